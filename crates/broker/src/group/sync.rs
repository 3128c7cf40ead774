//! Handing out the leader's assignment, and signs of life.

use bytes::Bytes;
use protocol::error_code::ErrorCode;

use super::classic::{Group, State};
use super::join::fail_syncs;
use super::machine::{Effect, Machine, Now, Pending, Reply};
use super::records::group_metadata;
use crate::coordinator::awaited::Token;

/// A request for the assignment; the leader's carries it.
#[derive(Debug, Clone)]
pub(crate) struct Sync {
    pub(crate) group: String,
    pub(crate) generation: i32,
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignments: Vec<(String, Bytes)>,
}

/// The answer to a sync.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Synced {
    pub(crate) error: ErrorCode,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignment: Bytes,
}

impl Synced {
    pub(super) fn refused(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol: None, assignment: Bytes::new() }
    }

    fn granted(group: &Group, assignment: Bytes) -> Self {
        Self {
            error: ErrorCode::NONE,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            assignment,
        }
    }
}

/// A sign of life.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeat {
    pub(crate) group: String,
    pub(crate) generation: i32,
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
}

/// Checks that a member belongs to the group and is the present holder of its instance id.
pub(super) fn check_member(
    group: &Group,
    member: &str,
    instance: Option<&str>,
) -> Result<(), ErrorCode> {
    if let Some(instance) = instance {
        match group.statics.get(instance) {
            None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            Some(holder) if holder != member => return Err(ErrorCode::FENCED_INSTANCE_ID),
            Some(_) => {}
        }
    }
    if group.members.contains(member) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
}

impl Machine {
    pub(super) fn sync(&mut self, now: Now, token: Token, sync: Sync, effects: &mut Vec<Effect>) {
        if let Err(error) = self.try_sync(now, token, sync, effects) {
            effects.push(Effect::Reply(token, Reply::Synced(Synced::refused(error))));
        }
    }

    fn try_sync(
        &mut self,
        now: Now,
        token: Token,
        sync: Sync,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        let group = self.groups.change(&sync.group).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        check_member(group, &sync.member, sync.instance.as_deref())?;
        if sync.generation != group.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |asked: &Option<String>, known: &Option<String>| {
            asked.is_some() && known.is_some() && asked != known
        };
        if differs(&sync.protocol_type, &group.protocol_type)
            || differs(&sync.protocol, &group.protocol)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let is_leader = group.leader.as_deref() == Some(sync.member.as_str());
        let state = group.state;
        let member = group.members.change(&sync.member).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        match state {
            State::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance => return Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::Stable => {
                member.has_synced = true;
                member.touch(now.steady_ms);
                let assignment = member.assignment.clone();
                let synced = Synced::granted(group, assignment);
                effects.push(Effect::Reply(token, Reply::Synced(synced)));
                return Ok(());
            }
            State::CompletingRebalance => {
                member.has_synced = true;
                member.syncing = Some(token);
            }
        }
        if is_leader {
            self.write_assignment(&sync, effects);
        }
        Ok(())
    }

    /// Stores the leader's assignment; the members get it once it is on disk.
    fn write_assignment(&mut self, sync: &Sync, effects: &mut Vec<Effect>) {
        let Some(group) = self.groups.change(&sync.group) else {
            return;
        };
        for (id, assignment) in &sync.assignments {
            if let Some(member) = group.members.change(id) {
                member.assignment = assignment.clone();
            }
        }
        let record = group_metadata(group, |member| member.assignment.clone());
        let pending =
            Pending::Assignment { group: sync.group.clone(), generation: group.generation };
        self.write(&sync.group, vec![record], None, pending, effects);
    }

    pub(super) fn assignment_written(
        &mut self,
        now: Now,
        id: &str,
        generation: i32,
        result: Result<(), ErrorCode>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.change(id) else {
            return;
        };
        // Another rebalance may have begun while the write was under way.
        if group.state != State::CompletingRebalance || group.generation != generation {
            return;
        }
        if let Err(error) = result {
            fail_syncs(group, error, effects);
            self.prepare_rebalance(now, id, effects);
            return;
        }
        group.enter(State::Stable, now.unix_ms);
        let mut waiting = Vec::new();
        for member in group.members.change_all() {
            if let Some(token) = member.syncing.take() {
                member.touch(now.steady_ms);
                waiting.push((token, member.assignment.clone()));
            }
        }
        for (token, assignment) in waiting {
            let synced = Synced::granted(group, assignment);
            effects.push(Effect::Reply(token, Reply::Synced(synced)));
        }
    }

    pub(super) fn heartbeat(&mut self, now: Now, beat: &Heartbeat) -> ErrorCode {
        let Some(group) = self.groups.change(&beat.group) else {
            return ErrorCode::UNKNOWN_MEMBER_ID;
        };
        if let Err(error) = check_member(group, &beat.member, beat.instance.as_deref()) {
            return error;
        }
        if beat.generation != group.generation {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        if let Some(member) = group.members.change(&beat.member) {
            member.touch(now.steady_ms);
        }
        match group.state {
            State::Empty => ErrorCode::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            State::CompletingRebalance | State::Stable => ErrorCode::NONE,
        }
    }
}
