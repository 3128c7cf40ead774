//! One group: its members, its generation and the offsets it has committed.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::offsets::Offsets;
use super::records::{GroupRecord, group_metadata};
use crate::coordinator::awaited::Token;
use crate::coordinator::timetable::{Due, Timetable};

/// States of the classic protocol, under Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No members; only offsets, if any.
    Empty,
    /// Waiting for the members to join again.
    PreparingRebalance,
    /// Waiting for the leader's assignment.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
}

impl State {
    /// Kafka's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// One consumer in a group.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// What it can speak, best first, each with its subscription.
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    /// The join request that waits for the others.
    pub(crate) joining: Option<Token>,
    /// The sync request that waits for the leader.
    pub(crate) syncing: Option<Token>,
    /// Whether it has asked for this generation's assignment.
    pub(crate) has_synced: bool,
    /// When it counts as gone unless it is heard of.
    pub(crate) deadline_ms: u64,
}

impl Member {
    /// The subscription under a protocol.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// Whether it waits for an answer, which keeps it alive.
    fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    /// Counts it as heard of.
    pub(crate) fn touch(&mut self, now_ms: u64) {
        self.deadline_ms = now_ms + u64::try_from(self.session_timeout_ms).unwrap_or(0);
    }
}

impl Due for Member {
    /// Steady milliseconds.
    type Time = u64;

    fn due(&self) -> Option<u64> {
        (!self.is_waiting()).then_some(self.deadline_ms)
    }
}

/// An id that was given out and not used yet (KIP-394).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    /// When it is forgotten.
    pub(crate) until_ms: u64,
}

impl Due for Reserved {
    /// Steady milliseconds.
    type Time = u64;

    fn due(&self) -> Option<u64> {
        Some(self.until_ms)
    }
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) state: State,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: Timetable<Member>,
    /// Member id of each static member.
    pub(crate) statics: BTreeMap<String, String>,
    pub(crate) pending_members: Timetable<Reserved>,
    /// When a rebalance stops waiting for members.
    pub(crate) join_deadline_ms: Option<u64>,
    /// A first rebalance waits until then even if everybody is there, so that more can come.
    pub(crate) join_not_before_ms: u64,
    /// When members that have not asked for their assignment are dropped.
    pub(crate) sync_deadline_ms: Option<u64>,
    /// Wall-clock time of the last change of state.
    pub(crate) state_since_ms: i64,
    pub(crate) offsets: Offsets,
}

impl Group {
    /// A group without members.
    pub(crate) fn new(id: &str, unix_ms: i64) -> Self {
        Self {
            id: id.to_owned(),
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: Timetable::default(),
            statics: BTreeMap::new(),
            pending_members: Timetable::default(),
            join_deadline_ms: None,
            join_not_before_ms: 0,
            sync_deadline_ms: None,
            state_since_ms: unix_ms,
            offsets: Offsets::default(),
        }
    }

    /// Changes the state.
    pub(crate) fn enter(&mut self, state: State, unix_ms: i64) {
        self.state = state;
        self.state_since_ms = unix_ms;
    }

    /// The longest that a member may take to join again.
    pub(crate) fn rebalance_timeout_ms(&self) -> u64 {
        let longest = self.members.values().map(|member| member.rebalance_timeout_ms).max();
        u64::try_from(longest.unwrap_or(0)).unwrap_or(0)
    }

    /// Whether everybody who is known waits for the next generation.
    pub(crate) fn has_all_joined(&self) -> bool {
        self.pending_members.is_empty()
            && self.members.values().all(|member| member.joining.is_some())
    }

    /// Members of this generation that have not asked for their assignment.
    pub(crate) fn unsynced_members(&self) -> Vec<String> {
        let members = self.members.values();
        members.filter(|member| !member.has_synced).map(|member| member.id.clone()).collect()
    }

    /// Whether every member can speak one of these protocols, and they are of the same type.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.is_candidate(name, None))
    }

    /// Whether every member, but for the one named, speaks a protocol.
    fn is_candidate(&self, name: &str, except: Option<&str>) -> bool {
        let mut members = self.members.values().filter(|it| Some(it.id.as_str()) != except);
        members.all(|member| member.protocols.iter().any(|(known, _)| known == name))
    }

    /// As [`Group::supports`], for a member whose own protocols are about to be replaced.
    pub(crate) fn supports_without(
        &self,
        member: &str,
        protocol_type: &str,
        protocols: &[(String, Bytes)],
    ) -> bool {
        (self.members.len() == 1 || self.protocol_type.as_deref() == Some(protocol_type))
            && protocols.iter().any(|(name, _)| self.is_candidate(name, Some(member)))
    }

    /// The protocol that most members like best among those that all speak.
    pub(crate) fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let mut names = member.protocols.iter().map(|(name, _)| name.as_str());
            if let Some(favourite) = names.find(|name| self.is_candidate(name, None)) {
                *votes.entry(favourite).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    /// Takes a member out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.instance_id {
            self.statics.remove(instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.ids().next().cloned();
        }
        Some(member)
    }

    /// The record that a later start rebuilds the group from.
    pub(crate) fn metadata_record(&self) -> GroupRecord {
        group_metadata(self, |member| member.assignment.clone())
    }

    /// Records that make a later start forget the group.
    pub(crate) fn tombstones(&self) -> Vec<GroupRecord> {
        let mut records = self.offsets.tombstones(&self.id);
        records.push(super::records::group_tombstone(&self.id));
        records
    }

    /// Whether nothing is left that is worth remembering.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.members.is_empty() && self.pending_members.is_empty() && self.offsets.is_empty()
    }
}

impl Due for Group {
    /// Steady milliseconds.
    type Time = u64;

    fn due(&self) -> Option<u64> {
        let (silent, pending) = (self.members.first_due(), self.pending_members.first_due());
        let join = self.join_deadline_ms.map(|deadline| {
            // Who waits is not due, and while members are awaited there is nothing to wait for
            // but the others: this is `has_all_joined` without a look at every member.
            let has_all_joined = silent.is_none() && pending.is_none();
            if has_all_joined { deadline.min(self.join_not_before_ms) } else { deadline }
        });
        [silent, pending, join, self.sync_deadline_ms].into_iter().flatten().min()
    }

    fn settle(&mut self) {
        self.members.settle();
        self.pending_members.settle();
    }
}
