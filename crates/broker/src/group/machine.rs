//! The group coordinator, as a pure machine: requests and finished writes in, answers and writes
//! out. It owns every group of the node and never waits, reads a clock or touches a file.
//!
//! A change that must survive is written first ([`Effect::Append`]) and takes effect when the
//! write is reported done ([`Event::Appended`]); the answer leaves then. Semantics are those of
//! Kafka's classic protocol (KIP-62, KIP-345, KIP-394, KIP-447).

use std::collections::BTreeSet;

use protocol::error_code::ErrorCode;
use protocol::partitioner::partition_for_name;
use protocol::record::ProducerIdentity;

use super::classic::Group;
use super::join::{Join, Joined};
use super::leave::{Leave, Left};
use super::offsets::{Commit, Committed, Fetch, Fetched, OffsetDelete};
use super::records::GroupRecord;
use super::sync::{Heartbeat, Sync, Synced};
use super::view::{DescribedGroup, ListedGroup};
use crate::coordinator::awaited::{Awaited, Token, WriteId};
use crate::coordinator::timetable::Timetable;

/// The two clocks at the moment of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Steady milliseconds, for deadlines.
    pub(crate) steady_ms: u64,
    /// Wall-clock milliseconds, for what is stored.
    pub(crate) unix_ms: i64,
}

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Partitions of `__consumer_offsets`.
    pub(crate) partitions: i32,
    /// `group.min.session.timeout.ms`.
    pub(crate) session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub(crate) session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub(crate) initial_rebalance_delay_ms: u64,
    /// `group.max.size`.
    pub(crate) members_max: usize,
    /// `offset.metadata.max.bytes`.
    pub(crate) metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub(crate) offsets_retention_ms: i64,
}

/// What happens to the coordinator.
#[derive(Debug)]
pub(crate) enum Event {
    Join(Token, Join),
    Sync(Token, Sync),
    Heartbeat(Token, Heartbeat),
    Leave(Token, Leave),
    Commit(Token, Commit),
    Fetch(Token, Fetch),
    OffsetDelete(Token, OffsetDelete),
    Delete(Token, String),
    Describe(Token, String),
    List(Token),
    /// A write is on disk, or has failed.
    Appended(WriteId, Result<(), ErrorCode>),
    /// A transaction marker has reached this partition of `__consumer_offsets`.
    Marker {
        partition: i32,
        producer_id: i64,
        committed: bool,
    },
    /// A topic is gone, and the offsets in it.
    TopicDeleted(String),
    /// Time has passed.
    Tick,
}

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    Reply(Token, Reply),
    /// Append these records, as one batch, to this partition of `__consumer_offsets`.
    Append {
        partition: i32,
        write: WriteId,
        records: Vec<GroupRecord>,
        /// The transaction that they belong to.
        producer: Option<ProducerIdentity>,
    },
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Reply {
    Joined(Joined),
    Synced(Synced),
    Heartbeat(ErrorCode),
    Left(Left),
    Committed(Committed),
    Fetched(Fetched),
    OffsetsDeleted(Result<Committed, ErrorCode>),
    Deleted(ErrorCode),
    Described(DescribedGroup),
    Listed(Vec<ListedGroup>),
}

/// What to do when a write is done.
#[derive(Debug)]
pub(crate) enum Pending {
    /// The leader's assignment of a generation.
    Assignment { group: String, generation: i32 },
    /// A static member that came back without a rebalance.
    StaticJoin { token: Token, group: String, joined: Box<Joined> },
    /// Offsets to take over and an answer to give.
    Offsets { token: Token, commit: Commit, refused: Committed },
    /// Offsets to drop.
    OffsetsDeleted { token: Token, group: String, dropped: Committed, refused: Committed },
    /// A group to drop.
    Deleted { token: Token, group: String },
    /// Nothing: the record only tells a later start what is known here already.
    Note,
}

/// All groups of the node.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) settings: Settings,
    pub(super) groups: Timetable<Group>,
    /// Producers with the groups in which their transactions have offsets.
    pub(super) holders: BTreeSet<(i64, String)>,
    pending: Awaited<Pending>,
    expire_at_ms: u64,
}

/// Offsets of groups that nobody uses are looked for this often, as Kafka does.
const EXPIRY_INTERVAL_MS: u64 = 600_000;

impl Machine {
    /// A coordinator without groups.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            groups: Timetable::default(),
            holders: BTreeSet::new(),
            pending: Awaited::default(),
            expire_at_ms: EXPIRY_INTERVAL_MS,
        }
    }

    /// The one way in.
    pub(crate) fn step(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Join(token, join) => self.join(now, token, join, effects),
            Event::Sync(token, sync) => self.sync(now, token, sync, effects),
            Event::Heartbeat(token, beat) => {
                let error = self.heartbeat(now, &beat);
                effects.push(Effect::Reply(token, Reply::Heartbeat(error)));
            }
            Event::Leave(token, leave) => {
                let left = self.leave(now, leave, effects);
                effects.push(Effect::Reply(token, Reply::Left(left)));
            }
            Event::Commit(token, commit) => self.commit(now, token, commit, effects),
            Event::Fetch(token, fetch) => {
                let fetched = self.fetch(&fetch);
                effects.push(Effect::Reply(token, Reply::Fetched(fetched)));
            }
            Event::OffsetDelete(token, delete) => self.offset_delete(token, delete, effects),
            Event::Delete(token, group) => self.delete(token, group, effects),
            Event::Describe(token, group) => {
                let described = self.describe(&group);
                effects.push(Effect::Reply(token, Reply::Described(described)));
            }
            Event::List(token) => effects.push(Effect::Reply(token, Reply::Listed(self.list()))),
            Event::Appended(write, result) => self.appended(now, write, result, effects),
            Event::Marker { partition, producer_id, committed } => {
                self.marker(partition, producer_id, committed);
            }
            Event::TopicDeleted(topic) => self.topic_deleted(&topic, effects),
            Event::Tick => self.tick(now, effects),
        }
        self.groups.settle();
    }

    /// When the next [`Event::Tick`] is due, in steady milliseconds.
    pub(crate) fn next_deadline_ms(&self) -> u64 {
        let first = self.groups.first_due();
        first.map_or(self.expire_at_ms, |first| first.min(self.expire_at_ms))
    }

    /// The partition of `__consumer_offsets` that holds a group.
    pub(crate) fn partition_of(&self, group: &str) -> i32 {
        partition_for_name(group, self.settings.partitions)
    }

    /// Tells how many partitions `__consumer_offsets` has; before it is made, the settings do.
    pub(crate) fn set_partitions(&mut self, count: i32) {
        self.settings.partitions = count;
    }

    /// Asks for a write and remembers what follows it.
    pub(super) fn write(
        &mut self,
        group: &str,
        records: Vec<GroupRecord>,
        producer: Option<ProducerIdentity>,
        pending: Pending,
        effects: &mut Vec<Effect>,
    ) {
        let write = self.pending.add(pending);
        let partition = self.partition_of(group);
        effects.push(Effect::Append { partition, write, records, producer });
    }

    fn appended(
        &mut self,
        now: Now,
        write: WriteId,
        result: Result<(), ErrorCode>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(pending) = self.pending.take(write) else {
            return;
        };
        match pending {
            Pending::Assignment { group, generation } => {
                self.assignment_written(now, &group, generation, result, effects);
            }
            Pending::StaticJoin { token, group, joined } => {
                self.static_join_written(now, (token, &group), *joined, result, effects);
            }
            Pending::Offsets { token, commit, refused } => {
                let committed = self.offsets_written(commit, refused, result);
                effects.push(Effect::Reply(token, Reply::Committed(committed)));
            }
            Pending::OffsetsDeleted { token, group, dropped, refused } => {
                let done = self.offsets_dropped(&group, dropped, refused, result);
                effects.push(Effect::Reply(token, Reply::OffsetsDeleted(Ok(done))));
            }
            Pending::Deleted { token, group } => {
                if result.is_ok() {
                    self.groups.remove(&group);
                }
                let error = result.err().unwrap_or(ErrorCode::NONE);
                effects.push(Effect::Reply(token, Reply::Deleted(error)));
            }
            Pending::Note => {}
        }
    }

    fn tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        for group in self.groups.due_by(now.steady_ms) {
            self.group_deadline(now, &group, effects);
        }
        if now.steady_ms >= self.expire_at_ms {
            self.expire_at_ms = now.steady_ms + EXPIRY_INTERVAL_MS;
            self.expire_offsets(now, effects);
        }
    }

    /// Handles whatever of a group is due: members that fell silent, a join or sync that took
    /// too long.
    fn group_deadline(&mut self, now: Now, id: &str, effects: &mut Vec<Effect>) {
        let Some(group) = self.groups.change(id) else {
            return;
        };
        for forgotten in group.pending_members.due_by(now.steady_ms) {
            group.pending_members.remove(&forgotten);
        }
        for member in group.members.due_by(now.steady_ms) {
            self.remove_member(now, id, &member, effects);
        }
        let Some(group) = self.groups.change(id) else {
            return;
        };
        if group.sync_deadline_ms.is_some_and(|due| due <= now.steady_ms) {
            group.sync_deadline_ms = None;
            for member in group.unsynced_members() {
                self.remove_member(now, id, &member, effects);
            }
        }
        self.try_complete_join(now, id, effects);
    }

    fn delete(&mut self, token: Token, id: String, effects: &mut Vec<Effect>) {
        let error = match self.groups.get(&id) {
            None => ErrorCode::GROUP_ID_NOT_FOUND,
            Some(group) if !group.members.is_empty() || !group.pending_members.is_empty() => {
                ErrorCode::NON_EMPTY_GROUP
            }
            Some(group) => {
                let records = group.tombstones();
                let pending = Pending::Deleted { token, group: id.clone() };
                self.write(&id, records, None, pending, effects);
                return;
            }
        };
        effects.push(Effect::Reply(token, Reply::Deleted(error)));
    }

    fn describe(&self, id: &str) -> DescribedGroup {
        self.groups.get(id).map_or_else(|| DescribedGroup::dead(id), DescribedGroup::of)
    }

    fn list(&self) -> Vec<ListedGroup> {
        self.groups.values().map(ListedGroup::of).collect()
    }
}
