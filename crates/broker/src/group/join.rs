//! Joining a group, and the rebalance that follows.

use bytes::Bytes;
use protocol::error_code::ErrorCode;

use super::classic::{Group, Member, Reserved, State};
use super::machine::{Effect, Machine, Now, Pending, Reply};
use super::sync::Synced;
use crate::coordinator::awaited::Token;

/// Members that have an id but never joined are forgotten with the session timeout; the id of a
/// brand-new member costs memory, so there is a limit on them as well.
const PENDING_MEMBERS_MAX: usize = 10_000;

/// A request to join.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) group: String,
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// Whether a new dynamic member must come twice, the second time with its id (KIP-394).
    pub(crate) id_required: bool,
    /// Whether a static leader can be told to keep the assignment (version 9).
    pub(crate) can_skip_assignment: bool,
    /// A new id, used when the member has none.
    pub(crate) fresh_id: String,
}

/// The answer to a join.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Joined {
    pub(crate) error: ErrorCode,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: String,
    pub(crate) skip_assignment: bool,
    pub(crate) member: String,
    /// All members with their subscriptions; only for the leader.
    pub(crate) members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JoinedMember {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) metadata: Bytes,
}

impl Joined {
    pub(super) fn refused(member: &str, error: ErrorCode) -> Self {
        Self {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: String::new(),
            skip_assignment: false,
            member: member.to_owned(),
            members: Vec::new(),
        }
    }

    /// The group's present generation, as one member sees it.
    fn present(group: &Group, member: &str) -> Self {
        let leader = group.leader.clone().unwrap_or_default();
        let members = if leader == member { roster(group) } else { Vec::new() };
        Self {
            error: ErrorCode::NONE,
            generation: group.generation,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            leader,
            skip_assignment: false,
            member: member.to_owned(),
            members,
        }
    }
}

fn roster(group: &Group) -> Vec<JoinedMember> {
    let protocol = group.protocol.clone().unwrap_or_default();
    let entry = |member: &Member| JoinedMember {
        id: member.id.clone(),
        instance: member.instance_id.clone(),
        metadata: member.metadata(&protocol),
    };
    group.members.values().map(entry).collect()
}

impl Machine {
    pub(super) fn join(&mut self, now: Now, token: Token, join: Join, effects: &mut Vec<Effect>) {
        if let Err(error) = self.try_join(now, token, &join, effects) {
            let joined = Joined::refused(&join.member, error);
            effects.push(Effect::Reply(token, Reply::Joined(joined)));
        }
    }

    fn try_join(
        &mut self,
        now: Now,
        token: Token,
        join: &Join,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        if join.group.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        let settings = self.settings;
        let timeouts = settings.session_timeout_ms_min..=settings.session_timeout_ms_max;
        if !timeouts.contains(&join.session_timeout_ms) {
            return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        let is_new = join.member.is_empty();
        if !is_new && !self.groups.contains(&join.group) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        let fresh = || Group::new(&join.group, now.unix_ms);
        let group = self.groups.change_or_make(&join.group, fresh);
        let supported = if group.members.contains(&join.member) {
            group.supports_without(&join.member, &join.protocol_type, &join.protocols)
        } else {
            group.supports(&join.protocol_type, &join.protocols)
        };
        if !supported {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let is_full = group.members.len() >= settings.members_max;
        if is_full && !group.members.contains(&join.member) {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        match (is_new, &join.instance) {
            (true, Some(instance)) => {
                let instance = instance.clone();
                self.join_static(now, token, join, &instance, effects)
            }
            (true, None) => self.join_new(now, token, join, effects),
            (false, _) => self.join_known(now, token, join, effects),
        }
    }

    fn join_new(
        &mut self,
        now: Now,
        token: Token,
        join: &Join,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        if !join.id_required {
            self.add_member(now, token, join, &join.fresh_id, effects);
            return Ok(());
        }
        let group = self.groups.change(&join.group).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if group.pending_members.len() >= PENDING_MEMBERS_MAX {
            return Err(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        let timeout = u64::try_from(join.session_timeout_ms).unwrap_or(0);
        let reserved = Reserved { until_ms: now.steady_ms + timeout };
        group.pending_members.insert(join.fresh_id.clone(), reserved);
        let joined = Joined::refused(&join.fresh_id, ErrorCode::MEMBER_ID_REQUIRED);
        effects.push(Effect::Reply(token, Reply::Joined(joined)));
        Ok(())
    }

    /// A static member without its id: the first start of the instance, or a restart (KIP-345).
    fn join_static(
        &mut self,
        now: Now,
        token: Token,
        join: &Join,
        instance: &str,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        let group = self.groups.change(&join.group).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let Some(old_id) = group.statics.get(instance).cloned() else {
            self.add_member(now, token, join, &join.fresh_id, effects);
            return Ok(());
        };
        let old_leader = group.leader.clone().unwrap_or_default();
        replace_static(group, &old_id, join, now, effects);
        match group.state {
            State::Stable => {}
            State::CompletingRebalance => {
                self.await_join(&join.group, &join.fresh_id, token);
                self.prepare_rebalance(now, &join.group, effects);
                return Ok(());
            }
            State::PreparingRebalance | State::Empty => {
                self.await_join(&join.group, &join.fresh_id, token);
                self.try_complete_join(now, &join.group, effects);
                return Ok(());
            }
        }
        if group.select_protocol() != group.protocol {
            self.await_join(&join.group, &join.fresh_id, token);
            self.prepare_rebalance(now, &join.group, effects);
            return Ok(());
        }
        let mut joined = Joined::present(group, &join.fresh_id);
        if join.can_skip_assignment {
            joined.skip_assignment = joined.leader == join.fresh_id;
        } else {
            // Old clients would assign anew if they saw themselves as the leader.
            joined.leader = old_leader;
            joined.members = Vec::new();
        }
        let record = group.metadata_record();
        let joined = Box::new(joined);
        let pending = Pending::StaticJoin { token, group: join.group.clone(), joined };
        self.write(&join.group, vec![record], None, pending, effects);
        Ok(())
    }

    pub(super) fn static_join_written(
        &mut self,
        now: Now,
        (token, group): (Token, &str),
        joined: Joined,
        result: Result<(), ErrorCode>,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(error) = result {
            // The new id is not on disk: the member comes again and starts a rebalance.
            self.remove_member(now, group, &joined.member, effects);
            let joined = Joined::refused("", error);
            effects.push(Effect::Reply(token, Reply::Joined(joined)));
            return;
        }
        effects.push(Effect::Reply(token, Reply::Joined(joined)));
    }

    fn join_known(
        &mut self,
        now: Now,
        token: Token,
        join: &Join,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        let group = self.groups.change(&join.group).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if group.pending_members.remove(&join.member).is_some() {
            self.add_member(now, token, join, &join.member, effects);
            return Ok(());
        }
        super::sync::check_member(group, &join.member, join.instance.as_deref())?;
        let member = group.members.change(&join.member).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let is_unchanged = member.protocols == join.protocols;
        let is_leader = group.leader.as_deref() == Some(join.member.as_str());
        let keeps_generation = match group.state {
            State::PreparingRebalance => false,
            State::CompletingRebalance => is_unchanged,
            State::Stable => is_unchanged && !is_leader,
            State::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
        };
        member.touch(now.steady_ms);
        if keeps_generation {
            let joined = Joined::present(group, &join.member);
            effects.push(Effect::Reply(token, Reply::Joined(joined)));
            return Ok(());
        }
        member.protocols.clone_from(&join.protocols);
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        let already_preparing = group.state == State::PreparingRebalance;
        self.await_join(&join.group, &join.member, token);
        if already_preparing {
            self.try_complete_join(now, &join.group, effects);
        } else {
            self.prepare_rebalance(now, &join.group, effects);
        }
        Ok(())
    }

    fn add_member(
        &mut self,
        now: Now,
        token: Token,
        join: &Join,
        id: &str,
        effects: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.change(&join.group) else {
            return;
        };
        if group.members.is_empty() {
            group.protocol_type = Some(join.protocol_type.clone());
        }
        let mut member = new_member(join, id);
        member.touch(now.steady_ms);
        member.joining = Some(token);
        if let Some(instance) = &join.instance {
            group.statics.insert(instance.clone(), id.to_owned());
        }
        group.leader.get_or_insert_with(|| id.to_owned());
        group.members.insert(id.to_owned(), member);
        if group.state == State::PreparingRebalance {
            self.try_complete_join(now, &join.group, effects);
        } else {
            self.prepare_rebalance(now, &join.group, effects);
        }
    }

    /// Parks a join until the generation is complete.
    fn await_join(&mut self, group: &str, member: &str, token: Token) {
        let group = self.groups.change(group);
        if let Some(member) = group.and_then(|group| group.members.change(member)) {
            member.joining = Some(token);
        }
    }

    /// Starts a rebalance, or ends it at once when everybody is there.
    pub(super) fn prepare_rebalance(&mut self, now: Now, id: &str, effects: &mut Vec<Effect>) {
        let delay_ms = self.settings.initial_rebalance_delay_ms;
        let Some(group) = self.groups.change(id) else {
            return;
        };
        if group.state == State::CompletingRebalance {
            fail_syncs(group, ErrorCode::REBALANCE_IN_PROGRESS, effects);
        }
        let is_first = group.state == State::Empty;
        group.enter(State::PreparingRebalance, now.unix_ms);
        group.sync_deadline_ms = None;
        group.join_not_before_ms = if is_first { now.steady_ms + delay_ms } else { 0 };
        let timeout_ms = group.rebalance_timeout_ms().max(if is_first { delay_ms } else { 0 });
        group.join_deadline_ms = Some(now.steady_ms + timeout_ms);
        self.try_complete_join(now, id, effects);
    }

    /// Ends the rebalance when everybody has joined, or when its time is over.
    pub(super) fn try_complete_join(&mut self, now: Now, id: &str, effects: &mut Vec<Effect>) {
        let Some(group) = self.groups.change(id) else {
            return;
        };
        if group.state != State::PreparingRebalance {
            if group.state == State::Empty && group.is_forgettable() && group.generation == 0 {
                self.groups.remove(id);
            }
            return;
        }
        let is_late = group.join_deadline_ms.is_some_and(|deadline| deadline <= now.steady_ms);
        let is_complete = group.has_all_joined() && now.steady_ms >= group.join_not_before_ms;
        if !is_complete && !is_late {
            return;
        }
        drop_absent(group);
        if group.members.values().all(|it| it.joining.is_none()) && !group.members.is_empty() {
            // Only static members are left and none has come: wait for another round.
            let timeout_ms = group.rebalance_timeout_ms();
            group.join_deadline_ms = Some(now.steady_ms + timeout_ms);
            return;
        }
        group.join_deadline_ms = None;
        group.generation = group.generation.checked_add(1).unwrap_or(1);
        if group.members.is_empty() {
            group.protocol = None;
            group.leader = None;
            group.enter(State::Empty, now.unix_ms);
            let record = group.metadata_record();
            self.write(id, vec![record], None, Pending::Note, effects);
            return;
        }
        start_generation(group, now, effects);
    }
}

/// Drops dynamic members that did not come; makes somebody who came the leader.
fn drop_absent(group: &mut Group) {
    let absent = group.members.values().filter(|it| it.joining.is_none());
    let absent = absent.filter(|it| it.instance_id.is_none()).map(|it| it.id.clone());
    for id in absent.collect::<Vec<_>>() {
        group.remove(&id);
    }
    let leader = group.leader.as_ref().and_then(|id| group.members.get(id));
    if leader.is_none_or(|leader| leader.joining.is_none()) {
        let present = group.members.values().find(|member| member.joining.is_some());
        if let Some(present) = present {
            group.leader = Some(present.id.clone());
        }
    }
}

/// Answers everybody's join with the new generation.
fn start_generation(group: &mut Group, now: Now, effects: &mut Vec<Effect>) {
    group.protocol = group.select_protocol();
    group.enter(State::CompletingRebalance, now.unix_ms);
    group.sync_deadline_ms = Some(now.steady_ms + group.rebalance_timeout_ms());
    let waiting: Vec<(String, Token)> = group
        .members
        .values()
        .filter_map(|member| member.joining.map(|token| (member.id.clone(), token)))
        .collect();
    for (id, token) in waiting {
        let joined = Joined::present(group, &id);
        effects.push(Effect::Reply(token, Reply::Joined(joined)));
    }
    for member in group.members.change_all() {
        member.joining = None;
        member.has_synced = false;
        member.assignment = Bytes::new();
        member.touch(now.steady_ms);
    }
}

/// Answers everybody who waits for an assignment with an error.
pub(super) fn fail_syncs(group: &mut Group, error: ErrorCode, effects: &mut Vec<Effect>) {
    for member in group.members.change_all() {
        member.assignment = Bytes::new();
        if let Some(token) = member.syncing.take() {
            effects.push(Effect::Reply(token, Reply::Synced(Synced::refused(error))));
        }
    }
}

fn new_member(join: &Join, id: &str) -> Member {
    Member {
        id: id.to_owned(),
        instance_id: join.instance.clone(),
        client_id: join.client_id.clone(),
        client_host: join.client_host.clone(),
        rebalance_timeout_ms: join.rebalance_timeout_ms,
        session_timeout_ms: join.session_timeout_ms,
        protocols: join.protocols.clone(),
        assignment: Bytes::new(),
        joining: None,
        syncing: None,
        has_synced: false,
        deadline_ms: 0,
    }
}

/// The instance has restarted under a new id; whoever still uses the old one is fenced.
fn replace_static(
    group: &mut Group,
    old_id: &str,
    join: &Join,
    now: Now,
    effects: &mut Vec<Effect>,
) {
    let mut member = new_member(join, &join.fresh_id);
    member.touch(now.steady_ms);
    if let Some(old) = group.members.remove(old_id) {
        member.assignment = old.assignment;
        member.has_synced = old.has_synced;
        let fenced = ErrorCode::FENCED_INSTANCE_ID;
        if let Some(token) = old.joining {
            let joined = Joined::refused(old_id, fenced);
            effects.push(Effect::Reply(token, Reply::Joined(joined)));
        }
        if let Some(token) = old.syncing {
            effects.push(Effect::Reply(token, Reply::Synced(Synced::refused(fenced))));
        }
    }
    if group.leader.as_deref() == Some(old_id) {
        group.leader = Some(join.fresh_id.clone());
    }
    if let Some(instance) = &join.instance {
        group.statics.insert(instance.clone(), join.fresh_id.clone());
    }
    group.members.insert(join.fresh_id.clone(), member);
}
