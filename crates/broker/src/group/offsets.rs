//! Committed offsets, plain and inside transactions.

use std::collections::BTreeMap;

use protocol::error_code::ErrorCode;
use protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use protocol::record::ProducerIdentity;
use protocol::wire::{Message as _, Reader};

use super::classic::{Group, State};
use super::machine::{Effect, Machine, Now, Pending, Reply};
use super::records::{GroupRecord, offset_commit};
use crate::coordinator::awaited::Token;

/// A partition of a topic.
pub(crate) type Place = (String, i32);

/// One error for each partition that was named.
pub(crate) type Committed = Vec<(Place, ErrorCode)>;

/// What is remembered of a committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committable {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    pub(crate) commit_timestamp_ms: i64,
}

/// A request to commit.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) group: String,
    pub(crate) generation: i32,
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    /// The transaction with which the offsets become visible.
    pub(crate) producer: Option<ProducerIdentity>,
    pub(crate) offsets: Vec<(Place, Committable)>,
}

/// A request for committed offsets.
#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    pub(crate) group: String,
    /// `None` for all there are.
    pub(crate) places: Option<Vec<Place>>,
    /// Whether an offset that a transaction may still change is refused (KIP-447).
    pub(crate) require_stable: bool,
}

/// Committed offsets; `Ok(None)` where there is none.
pub(crate) type Fetched = Vec<(Place, Result<Option<Committable>, ErrorCode>)>;

/// A request to forget offsets.
#[derive(Debug, Clone)]
pub(crate) struct OffsetDelete {
    pub(crate) group: String,
    pub(crate) places: Vec<Place>,
}

/// The offsets of one group.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<Place, Committable>,
    /// Offsets that wait for the marker of their transaction, by producer id.
    pending: BTreeMap<i64, BTreeMap<Place, Committable>>,
}

impl Offsets {
    /// Whether nothing is committed or waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// Takes an offset over, or with `None` forgets it.
    pub(crate) fn apply(&mut self, place: Place, value: Option<Committable>) {
        match value {
            Some(value) => drop(self.committed.insert(place, value)),
            None => drop(self.committed.remove(&place)),
        }
    }

    /// Keeps an offset until its transaction ends.
    pub(crate) fn hold(&mut self, producer_id: i64, place: Place, value: Committable) {
        self.pending.entry(producer_id).or_default().insert(place, value);
    }

    /// Ends a transaction.
    pub(crate) fn settle(&mut self, producer_id: i64, committed: bool) {
        let Some(held) = self.pending.remove(&producer_id) else {
            return;
        };
        if committed {
            self.committed.extend(held);
        }
    }

    /// Whether offsets wait for the end of this producer's transaction.
    #[cfg(test)]
    pub(crate) fn holds(&self, producer_id: i64) -> bool {
        self.pending.contains_key(&producer_id)
    }

    fn is_unstable(&self, place: &Place) -> bool {
        self.pending.values().any(|held| held.contains_key(place))
    }

    /// Records that make a later start forget every offset.
    pub(crate) fn tombstones(&self, group: &str) -> Vec<GroupRecord> {
        let places = self.committed.keys();
        places.map(|(topic, partition)| offset_commit(group, topic, *partition, None)).collect()
    }

    fn older_than(&self, unix_ms: i64) -> Vec<Place> {
        let old = self.committed.iter().filter(|(place, value)| {
            value.commit_timestamp_ms < unix_ms && !self.is_unstable(place)
        });
        old.map(|(place, _)| place.clone()).collect()
    }
}

/// Whether the sender may commit for this group (KIP-447 for what transactions may do).
fn check_commit(group: &mut Group, now: Now, commit: &Commit) -> Result<(), ErrorCode> {
    let is_transactional = commit.producer.is_some();
    let names_member =
        commit.generation >= 0 || !commit.member.is_empty() || commit.instance.is_some();
    if commit.generation < 0 && group.state == State::Empty {
        return Ok(());
    }
    if !names_member {
        return if is_transactional { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) };
    }
    super::sync::check_member(group, &commit.member, commit.instance.as_deref())?;
    if commit.generation != group.generation {
        return Err(ErrorCode::ILLEGAL_GENERATION);
    }
    if !is_transactional && group.state == State::CompletingRebalance {
        return Err(ErrorCode::REBALANCE_IN_PROGRESS);
    }
    if let Some(member) = group.members.change(&commit.member) {
        member.touch(now.steady_ms);
    }
    Ok(())
}

impl Machine {
    pub(super) fn commit(
        &mut self,
        now: Now,
        token: Token,
        mut commit: Commit,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(error) = self.admit_commit(now, &commit) {
            let committed = commit.offsets.into_iter().map(|(place, _)| (place, error)).collect();
            effects.push(Effect::Reply(token, Reply::Committed(committed)));
            return;
        }
        let bytes_max = self.settings.metadata_bytes_max;
        let mut refused = Vec::new();
        commit.offsets.retain(|(place, value)| {
            let fits = value.metadata.len() <= bytes_max;
            if !fits {
                refused.push((place.clone(), ErrorCode::OFFSET_METADATA_TOO_LARGE));
            }
            fits
        });
        if commit.offsets.is_empty() {
            effects.push(Effect::Reply(token, Reply::Committed(refused)));
            return;
        }
        let record = |((topic, partition), value): &(Place, Committable)| {
            offset_commit(&commit.group, topic, *partition, Some(value))
        };
        let records = commit.offsets.iter().map(record).collect();
        let (group, producer) = (commit.group.clone(), commit.producer);
        // From here on nobody may read the old offset as a stable one.
        if let Some(producer) = producer
            && let Some(holder) = self.groups.change(&group)
        {
            for (place, value) in &commit.offsets {
                holder.offsets.hold(producer.id, place.clone(), value.clone());
            }
            self.holders.insert((producer.id, group.clone()));
        }
        let pending = Pending::Offsets { token, commit, refused };
        self.write(&group, records, producer, pending, effects);
    }

    fn admit_commit(&mut self, now: Now, commit: &Commit) -> Result<(), ErrorCode> {
        if commit.generation >= 0 && !self.groups.contains(&commit.group) {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let fresh = || Group::new(&commit.group, now.unix_ms);
        let group = self.groups.change_or_make(&commit.group, fresh);
        check_commit(group, now, commit)
    }

    pub(super) fn offsets_written(
        &mut self,
        commit: Commit,
        refused: Committed,
        result: Result<(), ErrorCode>,
    ) -> Committed {
        let error = result.err().unwrap_or(ErrorCode::NONE);
        let mut committed = refused;
        let group = self.groups.change(&commit.group);
        committed.extend(commit.offsets.iter().map(|(place, _)| (place.clone(), error)));
        if result.is_ok()
            && commit.producer.is_none()
            && let Some(group) = group
        {
            for (place, value) in commit.offsets {
                group.offsets.apply(place, Some(value));
            }
        }
        committed
    }

    pub(super) fn fetch(&self, fetch: &Fetch) -> Fetched {
        let offsets = self.groups.get(&fetch.group).map(|group| &group.offsets);
        let places = match (&fetch.places, offsets) {
            (Some(places), _) => places.clone(),
            (None, Some(offsets)) => offsets.committed.keys().cloned().collect(),
            (None, None) => Vec::new(),
        };
        let look = |place: &Place| match offsets {
            Some(offsets) if fetch.require_stable && offsets.is_unstable(place) => {
                Err(ErrorCode::UNSTABLE_OFFSET_COMMIT)
            }
            Some(offsets) => Ok(offsets.committed.get(place).cloned()),
            None => Ok(None),
        };
        places.into_iter().map(|place| (place.clone(), look(&place))).collect()
    }

    pub(super) fn marker(&mut self, partition: i32, producer_id: i64, committed: bool) {
        let holders = self.holders.range((producer_id, String::new())..);
        let holders = holders.take_while(|(id, _)| *id == producer_id);
        let here = holders.filter(|(_, group)| self.partition_of(group) == partition);
        for holder in here.cloned().collect::<Vec<_>>() {
            if let Some(group) = self.groups.change(&holder.1) {
                group.offsets.settle(producer_id, committed);
            }
            self.holders.remove(&holder);
        }
    }

    pub(super) fn offset_delete(
        &mut self,
        token: Token,
        delete: OffsetDelete,
        effects: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get(&delete.group) else {
            let error = Err(ErrorCode::GROUP_ID_NOT_FOUND);
            effects.push(Effect::Reply(token, Reply::OffsetsDeleted(error)));
            return;
        };
        let is_consumer = group.protocol_type.as_deref() == Some("consumer");
        if group.state != State::Empty && !is_consumer {
            let error = Err(ErrorCode::NON_EMPTY_GROUP);
            effects.push(Effect::Reply(token, Reply::OffsetsDeleted(error)));
            return;
        }
        let subscribed = subscribed_topics(group);
        let mut dropped = Vec::new();
        let mut refused = Vec::new();
        for place in delete.places {
            if subscribed.contains(&place.0) {
                refused.push((place, ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC));
            } else {
                dropped.push((place, ErrorCode::NONE));
            }
        }
        let records: Vec<_> = dropped
            .iter()
            .map(|((topic, partition), _)| offset_commit(&delete.group, topic, *partition, None))
            .collect();
        let group = delete.group;
        let pending = Pending::OffsetsDeleted { token, group: group.clone(), dropped, refused };
        self.write(&group, records, None, pending, effects);
    }

    pub(super) fn offsets_dropped(
        &mut self,
        group: &str,
        dropped: Committed,
        refused: Committed,
        result: Result<(), ErrorCode>,
    ) -> Committed {
        let error = result.err().unwrap_or(ErrorCode::NONE);
        let mut done = refused;
        for (place, _) in dropped {
            if error.is_none()
                && let Some(group) = self.groups.change(group)
            {
                group.offsets.apply(place.clone(), None);
            }
            done.push((place, error));
        }
        done
    }

    pub(super) fn topic_deleted(&mut self, topic: &str, effects: &mut Vec<Effect>) {
        let ids: Vec<String> = self.groups.ids().cloned().collect();
        for id in ids {
            self.drop_offsets(&id, effects, |place, _| place.0 == topic);
        }
    }

    /// Forgets the offsets of groups that nobody has used for the retention time (KIP-211).
    pub(super) fn expire_offsets(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let before = now.unix_ms - self.settings.offsets_retention_ms;
        let unused: Vec<String> = self
            .groups
            .values()
            .filter(|group| group.state == State::Empty && group.state_since_ms < before)
            .map(|group| group.id.clone())
            .collect();
        for id in unused {
            let Some(group) = self.groups.get(&id) else {
                continue;
            };
            let old = group.offsets.older_than(before);
            self.drop_offsets(&id, effects, |place, _| old.contains(place));
            if self.groups.get(&id).is_some_and(Group::is_forgettable) {
                self.groups.remove(&id);
                let tombstone = super::records::group_tombstone(&id);
                self.write(&id, vec![tombstone], None, Pending::Note, effects);
            }
        }
    }

    fn drop_offsets(
        &mut self,
        id: &str,
        effects: &mut Vec<Effect>,
        mut is_dropped: impl FnMut(&Place, &Committable) -> bool,
    ) {
        let Some(group) = self.groups.change(id) else {
            return;
        };
        let mut records = Vec::new();
        group.offsets.committed.retain(|place, value| {
            let goes = is_dropped(place, value);
            if goes {
                records.push(offset_commit(id, &place.0, place.1, None));
            }
            !goes
        });
        for held in group.offsets.pending.values_mut() {
            held.retain(|place, value| !is_dropped(place, value));
        }
        if !records.is_empty() {
            self.write(id, records, None, Pending::Note, effects);
        }
    }
}

/// Topics that a member of the group reads.
fn subscribed_topics(group: &Group) -> Vec<String> {
    let protocol = group.protocol.as_deref().unwrap_or_default();
    let mut topics = Vec::new();
    for member in group.members.values() {
        let metadata = member.metadata(protocol);
        let mut reader = Reader::new(&metadata);
        let version = reader.int16().map_or(0, |version| version.clamp(0, 3));
        // A subscription that nobody understands names no topic.
        if let Ok(known) = ConsumerProtocolSubscription::decode(&mut reader, version) {
            topics.extend(known.topics);
        }
    }
    topics
}
