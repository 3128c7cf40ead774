//! Scripts for the group machine: what is sent, what comes back.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use protocol::error_code::ErrorCode;
use protocol::record::ProducerIdentity;

use super::classic::Member;
use super::join::{Join, Joined};
use super::leave::{Leave, Leaver};
use super::machine::{Effect, Event, Machine, Now, Reply, Settings};
use super::offsets::{Commit, Committable, Fetch, OffsetDelete};
use super::records::GroupRecord;
use super::sync::{Heartbeat, Sync, Synced};
use crate::coordinator::awaited::{Token, WriteId};

const SETTINGS: Settings = Settings {
    partitions: 50,
    session_timeout_ms_min: 100,
    session_timeout_ms_max: 60_000,
    initial_rebalance_delay_ms: 0,
    members_max: 3,
    metadata_bytes_max: 16,
    offsets_retention_ms: 1_000_000,
};

/// A machine with a disk that is as fast or as slow as the script says.
struct Script {
    machine: Machine,
    now: Now,
    token: Token,
    replies: Vec<(Token, Reply)>,
    writes: Vec<(WriteId, Vec<GroupRecord>)>,
    written: Vec<(Option<i64>, GroupRecord)>,
    is_slow: bool,
}

impl Script {
    fn new() -> Self {
        Self::over(Machine::new(SETTINGS))
    }

    fn over(machine: Machine) -> Self {
        let now = Now { steady_ms: 1, unix_ms: 10_000_000 };
        let (replies, writes, written) = (Vec::new(), Vec::new(), Vec::new());
        Self { machine, now, token: 0, replies, writes, written, is_slow: false }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.step(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Reply(token, reply) => self.replies.push((token, reply)),
                Effect::Append { write, records, producer, .. } => {
                    let id = producer.map(|producer| producer.id);
                    self.written.extend(records.iter().map(|record| (id, record.clone())));
                    self.writes.push((write, records));
                }
            }
        }
        if !self.is_slow {
            self.finish_writes(Ok(()));
        }
    }

    fn finish_writes(&mut self, result: Result<(), ErrorCode>) {
        for (write, _) in std::mem::take(&mut self.writes) {
            self.step(Event::Appended(write, result));
        }
    }

    /// Sends a request and returns its token.
    fn send(&mut self, event: impl FnOnce(Token) -> Event) -> Token {
        self.token += 1;
        let token = self.token;
        self.step(event(token));
        token
    }

    fn reply(&mut self, token: Token) -> Option<Reply> {
        let at = self.replies.iter().position(|(known, _)| *known == token)?;
        Some(self.replies.remove(at).1)
    }

    fn wait(&mut self, ms: u64) {
        self.now.steady_ms += ms;
        self.now.unix_ms += i64::try_from(ms).unwrap();
        self.step(Event::Tick);
    }

    fn join(&mut self, join: Join) -> Token {
        self.send(|token| Event::Join(token, join))
    }

    fn joined(&mut self, token: Token) -> Joined {
        match self.reply(token) {
            Some(Reply::Joined(joined)) => joined,
            other => panic!("no answer to the join: {other:?}"),
        }
    }

    fn sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &str)]) -> Token {
        let assignments = assignments
            .iter()
            .map(|(id, bytes)| ((*id).to_owned(), Bytes::copy_from_slice(bytes.as_bytes())))
            .collect();
        let sync = Sync {
            group: "g".to_owned(),
            generation,
            member: member.to_owned(),
            instance: None,
            protocol_type: None,
            protocol: None,
            assignments,
        };
        self.send(|token| Event::Sync(token, sync))
    }

    fn synced(&mut self, token: Token) -> Synced {
        match self.reply(token) {
            Some(Reply::Synced(synced)) => synced,
            other => panic!("no answer to the sync: {other:?}"),
        }
    }

    fn beat(&mut self, member: &str, generation: i32) -> ErrorCode {
        let beat = Heartbeat {
            group: "g".to_owned(),
            generation,
            member: member.to_owned(),
            instance: None,
        };
        let token = self.send(|token| Event::Heartbeat(token, beat));
        match self.reply(token) {
            Some(Reply::Heartbeat(error)) => error,
            other => panic!("no answer to the heartbeat: {other:?}"),
        }
    }

    fn commit(&mut self, offset: i64, producer: Option<ProducerIdentity>) -> ErrorCode {
        self.commit_as("", -1, offset, producer)
    }

    fn commit_as(
        &mut self,
        member: &str,
        generation: i32,
        offset: i64,
        producer: Option<ProducerIdentity>,
    ) -> ErrorCode {
        let value = committable(offset, "", self.now.unix_ms);
        let commit = Commit {
            group: "g".to_owned(),
            generation,
            member: member.to_owned(),
            instance: None,
            producer,
            offsets: vec![(("t".to_owned(), 0), value)],
        };
        let token = self.send(|token| Event::Commit(token, commit));
        match self.reply(token) {
            Some(Reply::Committed(committed)) => committed[0].1,
            other => panic!("no answer to the commit: {other:?}"),
        }
    }

    fn fetch(&mut self, require_stable: bool) -> Result<Option<i64>, ErrorCode> {
        let places = Some(vec![("t".to_owned(), 0)]);
        let fetch = Fetch { group: "g".to_owned(), places, require_stable };
        let token = self.send(|token| Event::Fetch(token, fetch));
        match self.reply(token) {
            Some(Reply::Fetched(mut fetched)) => {
                fetched.remove(0).1.map(|found| found.map(|value| value.offset))
            }
            other => panic!("no answer to the fetch: {other:?}"),
        }
    }

    /// A group of two members in the stable state, generation 2; the leader comes first.
    fn stable_pair(&mut self) -> (String, String) {
        let first = self.join(join("", "fresh-1"));
        let leader = self.joined(first).member;
        let synced = self.sync(&leader, 1, &[(&leader, "all")]);
        assert_eq!(self.synced(synced).assignment, "all");
        let second = self.join(join("", "fresh-2"));
        assert_eq!(self.beat(&leader, 1), ErrorCode::REBALANCE_IN_PROGRESS);
        let again = self.join(join(&leader, ""));
        let follower = self.joined(second).member;
        assert_eq!(self.joined(again).generation, 2);
        let waiting = self.sync(&follower, 2, &[]);
        assert_eq!(self.reply(waiting), None);
        let leading = self.sync(&leader, 2, &[(&leader, "left"), (&follower, "right")]);
        assert_eq!(self.synced(leading).assignment, "left");
        assert_eq!(self.synced(waiting).assignment, "right");
        (leader, follower)
    }

    /// The same history, read back by a new coordinator.
    fn restarted(&self) -> Self {
        let mut machine = Machine::new(SETTINGS);
        for (producer_id, record) in &self.written {
            let from = (machine.partition_of("g"), *producer_id);
            machine.load(self.now, from, &record.key, record.value.as_ref());
        }
        machine.loaded();
        Self::over(machine)
    }
}

fn join(member: &str, fresh_id: &str) -> Join {
    Join {
        group: "g".to_owned(),
        member: member.to_owned(),
        instance: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 1_000,
        rebalance_timeout_ms: 5_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"sub"))],
        id_required: false,
        can_skip_assignment: true,
        fresh_id: fresh_id.to_owned(),
    }
}

fn committable(offset: i64, metadata: &str, commit_timestamp_ms: i64) -> Committable {
    Committable { offset, leader_epoch: -1, metadata: metadata.to_owned(), commit_timestamp_ms }
}

const PRODUCER: ProducerIdentity = ProducerIdentity { id: 7, epoch: 0 };

#[test]
fn two_members_share_what_the_leader_hands_out() {
    let mut script = Script::new();
    let (leader, follower) = script.stable_pair();
    assert_eq!(script.beat(&leader, 2), ErrorCode::NONE);
    assert_eq!(script.beat(&follower, 2), ErrorCode::NONE);
    assert_eq!(script.beat(&follower, 1), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(script.beat("stranger", 2), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn only_the_leader_sees_all_members() {
    let mut script = Script::new();
    let first = script.join(join("", "fresh-1"));
    let joined = script.joined(first);
    assert_eq!((joined.leader.as_str(), joined.members.len()), ("fresh-1", 1));
    let second = script.join(join("", "fresh-2"));
    let again = script.join(join("fresh-1", ""));
    assert_eq!(script.joined(second).members.len(), 0);
    assert_eq!(script.joined(again).members.len(), 2);
}

#[test]
fn a_new_dynamic_member_must_come_back_with_its_id() {
    let mut script = Script::new();
    let mut new = join("", "fresh");
    new.id_required = true;
    let token = script.join(new);
    let told = script.joined(token);
    assert_eq!((told.error, told.member.as_str()), (ErrorCode::MEMBER_ID_REQUIRED, "fresh"));
    let token = script.join(join("fresh", ""));
    assert_eq!(script.joined(token).error, ErrorCode::NONE);
    let token = script.join(join("made-up", ""));
    assert_eq!(script.joined(token).error, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_silent_member_is_dropped_and_the_other_takes_over() {
    let mut script = Script::new();
    let (leader, follower) = script.stable_pair();
    script.wait(600);
    assert_eq!(script.beat(&leader, 2), ErrorCode::NONE);
    script.wait(600);
    assert_eq!(script.beat(&leader, 2), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(script.beat(&follower, 2), ErrorCode::UNKNOWN_MEMBER_ID);
    let token = script.join(join(&leader, ""));
    let joined = script.joined(token);
    assert_eq!((joined.generation, joined.members.len()), (3, 1));
}

#[test]
fn a_rebalance_waits_no_longer_than_its_timeout() {
    let mut script = Script::new();
    let (leader, follower) = script.stable_pair();
    let third = script.join(join("", "fresh-3"));
    let again = script.join(join(&leader, ""));
    for _ in 0..9 {
        script.wait(600);
        if script.reply(again).is_some() {
            break;
        }
        assert_eq!(script.beat(&follower, 2), ErrorCode::REBALANCE_IN_PROGRESS);
    }
    assert_eq!(script.joined(third).generation, 3);
    assert_eq!(script.beat(&follower, 2), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_that_never_asks_for_its_assignment_is_dropped() {
    let mut script = Script::new();
    let first = script.join(join("", "fresh-1"));
    script.joined(first);
    for _ in 0..11 {
        script.wait(500);
        script.beat("fresh-1", 1);
    }
    assert_eq!(script.beat("fresh-1", 1), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn an_assignment_counts_only_once_it_is_on_disk() {
    let mut script = Script::new();
    let first = script.join(join("", "fresh-1"));
    script.joined(first);
    script.is_slow = true;
    let waiting = script.sync("fresh-1", 1, &[("fresh-1", "all")]);
    assert_eq!(script.reply(waiting), None);
    script.finish_writes(Err(ErrorCode::NOT_COORDINATOR));
    assert_eq!(script.synced(waiting).error, ErrorCode::NOT_COORDINATOR);
    assert_eq!(script.beat("fresh-1", 1), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_group_has_a_limit_and_one_protocol_that_all_speak() {
    let mut script = Script::new();
    let mut other = join("", "fresh-x");
    other.protocols[0].0 = "sticky".to_owned();
    let first = script.join(join("", "fresh-1"));
    assert_eq!(script.joined(first).error, ErrorCode::NONE);
    let token = script.join(other);
    assert_eq!(script.joined(token).error, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    script.join(join("", "fresh-2"));
    script.join(join("", "fresh-3"));
    let token = script.join(join("", "fresh-4"));
    assert_eq!(script.joined(token).error, ErrorCode::GROUP_MAX_SIZE_REACHED);
    let mut hasty = join("", "fresh-5");
    hasty.session_timeout_ms = 5;
    let token = script.join(hasty);
    assert_eq!(script.joined(token).error, ErrorCode::INVALID_SESSION_TIMEOUT);
}

fn static_join(instance: &str, fresh_id: &str) -> Join {
    Join { instance: Some(instance.to_owned()), ..join("", fresh_id) }
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_old_self() {
    let mut script = Script::new();
    let token = script.join(static_join("i", "i-1"));
    assert_eq!(script.joined(token).member, "i-1");
    let token = script.sync("i-1", 1, &[("i-1", "all")]);
    script.synced(token);
    let token = script.join(static_join("i", "i-2"));
    let joined = script.joined(token);
    assert_eq!((joined.generation, joined.member.as_str()), (1, "i-2"));
    assert!(joined.skip_assignment);
    let token = script.sync("i-2", 1, &[]);
    assert_eq!(script.synced(token).assignment, "all");
    let beat = Heartbeat {
        group: "g".to_owned(),
        generation: 1,
        member: "i-1".to_owned(),
        instance: Some("i".to_owned()),
    };
    let token = script.send(|token| Event::Heartbeat(token, beat));
    let fenced = Reply::Heartbeat(ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(script.reply(token), Some(fenced));
}

#[test]
fn leaving_by_instance_takes_its_member_out() {
    let mut script = Script::new();
    let token = script.join(static_join("i", "i-1"));
    script.joined(token);
    let leaver =
        |member: &str| Leaver { member: member.to_owned(), instance: Some("i".to_owned()) };
    let leave = |leaver| Leave { group: "g".to_owned(), members: vec![leaver] };
    let token = script.send(|token| Event::Leave(token, leave(leaver("other"))));
    let Some(Reply::Left(left)) = script.reply(token) else { panic!("no answer") };
    assert_eq!(left.members[0].1, ErrorCode::FENCED_INSTANCE_ID);
    let token = script.send(|token| Event::Leave(token, leave(leaver(""))));
    let Some(Reply::Left(left)) = script.reply(token) else { panic!("no answer") };
    assert_eq!(left.members[0].1, ErrorCode::NONE);
    assert_eq!(script.machine.groups.get("g").unwrap().members.len(), 0);
}

#[test]
fn offsets_without_members_need_no_generation() {
    let mut script = Script::new();
    assert_eq!(script.fetch(true), Ok(None));
    assert_eq!(script.commit(5, None), ErrorCode::NONE);
    assert_eq!(script.fetch(true), Ok(Some(5)));
    assert_eq!(script.commit_as("m", 3, 6, None), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn members_commit_only_in_their_generation() {
    let mut script = Script::new();
    let (leader, _) = script.stable_pair();
    assert_eq!(script.commit_as(&leader, 2, 9, None), ErrorCode::NONE);
    assert_eq!(script.commit_as(&leader, 1, 9, None), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(script.commit(9, None), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn metadata_over_the_limit_is_refused_alone() {
    let mut script = Script::new();
    let long = committable(1, "seventeen letters", 0);
    let commit = Commit {
        group: "g".to_owned(),
        generation: -1,
        member: String::new(),
        instance: None,
        producer: None,
        offsets: vec![(("t".to_owned(), 0), long), (("t".to_owned(), 1), committable(2, "ok", 0))],
    };
    let token = script.send(|token| Event::Commit(token, commit));
    let Some(Reply::Committed(committed)) = script.reply(token) else { panic!("no answer") };
    let errors: Vec<_> = committed.iter().map(|(place, error)| (place.1, *error)).collect();
    assert_eq!(errors, [(0, ErrorCode::OFFSET_METADATA_TOO_LARGE), (1, ErrorCode::NONE)]);
}

#[test]
fn offsets_in_a_transaction_wait_for_its_marker() {
    let mut script = Script::new();
    script.commit(5, None);
    script.commit(8, Some(PRODUCER));
    assert_eq!(script.fetch(false), Ok(Some(5)));
    assert_eq!(script.fetch(true), Err(ErrorCode::UNSTABLE_OFFSET_COMMIT));
    let partition = script.machine.partition_of("g");
    let marker = |committed| Event::Marker { partition, producer_id: 7, committed };
    script.step(marker(false));
    assert_eq!(script.fetch(true), Ok(Some(5)));
    script.commit(8, Some(PRODUCER));
    script.step(marker(true));
    assert_eq!(script.fetch(true), Ok(Some(8)));
}

#[test]
fn a_commit_whose_write_fails_changes_nothing() {
    let mut script = Script::new();
    script.commit(5, None);
    script.is_slow = true;
    let value = committable(9, "", 0);
    let commit = Commit {
        group: "g".to_owned(),
        generation: -1,
        member: String::new(),
        instance: None,
        producer: None,
        offsets: vec![(("t".to_owned(), 0), value)],
    };
    let token = script.send(|token| Event::Commit(token, commit));
    script.finish_writes(Err(ErrorCode::KAFKA_STORAGE_ERROR));
    let Some(Reply::Committed(committed)) = script.reply(token) else { panic!("no answer") };
    assert_eq!(committed[0].1, ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!(script.fetch(true), Ok(Some(5)));
}

#[test]
fn a_restart_finds_members_offsets_and_open_transactions() {
    let mut script = Script::new();
    let (leader, _) = script.stable_pair();
    script.commit_as(&leader, 2, 9, None);
    script.commit_as(&leader, 2, 11, Some(PRODUCER));
    let mut after = script.restarted();
    assert_eq!(after.beat(&leader, 2), ErrorCode::NONE);
    assert_eq!(after.fetch(false), Ok(Some(9)));
    assert_eq!(after.fetch(true), Err(ErrorCode::UNSTABLE_OFFSET_COMMIT));
    let partition = after.machine.partition_of("g");
    after.step(Event::Marker { partition, producer_id: 7, committed: true });
    assert_eq!(after.fetch(true), Ok(Some(11)));
}

#[test]
fn a_deleted_group_stays_deleted() {
    let mut script = Script::new();
    script.commit(5, None);
    let token = script.send(|token| Event::Delete(token, "g".to_owned()));
    assert_eq!(script.reply(token), Some(Reply::Deleted(ErrorCode::NONE)));
    assert_eq!(script.fetch(false), Ok(None));
    assert!(script.restarted().machine.groups.is_empty());
    let token = script.send(|token| Event::Delete(token, "g".to_owned()));
    assert_eq!(script.reply(token), Some(Reply::Deleted(ErrorCode::GROUP_ID_NOT_FOUND)));
}

#[test]
fn a_group_with_members_cannot_be_deleted() {
    let mut script = Script::new();
    script.stable_pair();
    let token = script.send(|token| Event::Delete(token, "g".to_owned()));
    assert_eq!(script.reply(token), Some(Reply::Deleted(ErrorCode::NON_EMPTY_GROUP)));
}

#[test]
fn deleted_offsets_and_topics_are_forgotten_for_good() {
    let mut script = Script::new();
    script.commit(5, None);
    let places = vec![("t".to_owned(), 0)];
    let delete = OffsetDelete { group: "g".to_owned(), places };
    let token = script.send(|token| Event::OffsetDelete(token, delete));
    let done = Ok(vec![(("t".to_owned(), 0), ErrorCode::NONE)]);
    assert_eq!(script.reply(token), Some(Reply::OffsetsDeleted(done)));
    assert_eq!(script.fetch(false), Ok(None));
    script.commit(6, None);
    script.step(Event::TopicDeleted("t".to_owned()));
    assert_eq!(script.fetch(false), Ok(None));
    assert_eq!(script.restarted().fetch(false), Ok(None));
}

#[test]
fn offsets_that_nobody_uses_expire() {
    let mut script = Script::new();
    script.commit(5, None);
    script.wait(600_000);
    assert_eq!(script.fetch(false), Ok(Some(5)));
    script.wait(600_000);
    assert_eq!(script.fetch(false), Ok(None));
    assert!(script.machine.groups.is_empty());
}

/// What a random history is made of; numbers choose among the groups and members that there are.
#[derive(Debug, Clone)]
enum Op {
    Join { group: u8, member: Option<u8>, instance: Option<u8>, twice: bool, session_ms: i32 },
    Sync { group: u8, member: u8 },
    Beat { group: u8, member: u8 },
    Leave { group: u8, member: u8 },
    Commit { group: u8, member: Option<u8>, in_transaction: bool },
    Marker { group: u8, committed: bool },
    Delete { group: u8 },
    Written { fails: bool },
    Wait { ms: u64 },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let (group, member) = (0..3_u8, 0..4_u8);
    let joining = (group.clone(), option::of(member.clone()), option::of(0..2_u8));
    prop_oneof![
        6 => (joining, any::<bool>(), 100..2_000).prop_map(
            |((group, member, instance), twice, session_ms)| {
                Op::Join { group, member, instance, twice, session_ms }
            }
        ),
        4 => (group.clone(), member.clone()).prop_map(|(group, member)| Op::Sync { group, member }),
        4 => (group.clone(), member.clone()).prop_map(|(group, member)| Op::Beat { group, member }),
        1 => (group.clone(), member.clone())
            .prop_map(|(group, member)| Op::Leave { group, member }),
        2 => (group.clone(), option::of(member), any::<bool>()).prop_map(
            |(group, member, in_transaction)| Op::Commit { group, member, in_transaction }
        ),
        1 => (group.clone(), any::<bool>())
            .prop_map(|(group, committed)| Op::Marker { group, committed }),
        1 => group.prop_map(|group| Op::Delete { group }),
        6 => any::<bool>().prop_map(|fails| Op::Written { fails }),
        4 => (0..3_000_u64).prop_map(|ms| Op::Wait { ms }),
        1 => Just(Op::Restart),
    ]
}

impl Script {
    /// One of the ids that the group knows, and its generation.
    fn pick(&self, group: &str, number: u8) -> (String, i32) {
        let Some(group) = self.machine.groups.get(group) else {
            return (format!("stranger-{number}"), 1);
        };
        let ids = group.members.ids().chain(group.pending_members.ids());
        let ids: Vec<&String> = ids.collect();
        let at = usize::from(number).checked_rem(ids.len());
        (at.map_or(String::new(), |at| ids[at].clone()), group.generation)
    }

    fn act(&mut self, op: &Op) {
        let name = |group: u8| format!("g{group}");
        let event: Box<dyn FnOnce(Token) -> Event> = match op.clone() {
            Op::Join { group, member, instance, twice, session_ms } => {
                let group = name(group);
                let member = member.map(|it| self.pick(&group, it).0).unwrap_or_default();
                let join = Join {
                    group,
                    session_timeout_ms: session_ms,
                    instance: instance.map(|it| it.to_string()),
                    id_required: twice,
                    ..join(&member, &format!("fresh-{}", self.token))
                };
                Box::new(move |token| Event::Join(token, join))
            }
            Op::Sync { group, member } => {
                let group = name(group);
                let ((member, generation), assignments) = (self.pick(&group, member), Vec::new());
                let (instance, protocol_type, protocol) = (None, None, None);
                let sync = Sync {
                    group,
                    generation,
                    member,
                    instance,
                    protocol_type,
                    protocol,
                    assignments,
                };
                Box::new(move |token| Event::Sync(token, sync))
            }
            Op::Beat { group, member } => {
                let group = name(group);
                let (member, generation) = self.pick(&group, member);
                let beat = Heartbeat { group, generation, member, instance: None };
                Box::new(move |token| Event::Heartbeat(token, beat))
            }
            Op::Leave { group, member } => {
                let group = name(group);
                let leaver = Leaver { member: self.pick(&group, member).0, instance: None };
                let leave = Leave { group, members: vec![leaver] };
                Box::new(move |token| Event::Leave(token, leave))
            }
            Op::Commit { group, member, in_transaction } => {
                let group = name(group);
                let known = member.map(|it| self.pick(&group, it));
                let (member, generation) = known.unwrap_or((String::new(), -1));
                let (instance, producer) = (None, in_transaction.then_some(PRODUCER));
                let offsets = vec![(("t".to_owned(), 0), committable(1, "", self.now.unix_ms))];
                let commit = Commit { group, generation, member, instance, producer, offsets };
                Box::new(move |token| Event::Commit(token, commit))
            }
            Op::Marker { group, committed } => {
                let partition = self.machine.partition_of(&name(group));
                Box::new(move |_| Event::Marker { partition, producer_id: 7, committed })
            }
            Op::Delete { group } => Box::new(move |token| Event::Delete(token, name(group))),
            Op::Written { fails } => {
                let result = if fails { Err(ErrorCode::KAFKA_STORAGE_ERROR) } else { Ok(()) };
                return self.finish_writes(result);
            }
            Op::Wait { ms } => return self.wait(ms),
            Op::Restart => {
                let (now, token) = (self.now, self.token);
                *self = Self { now, token, is_slow: true, ..self.restarted() };
                return;
            }
        };
        self.send(event);
    }

    /// What is due is what a look at every group and every member finds.
    fn check_order(&self) {
        let silent = |member: &Member| {
            let is_waiting = member.joining.is_some() || member.syncing.is_some();
            (!is_waiting).then_some(member.deadline_ms)
        };
        for group in self.machine.groups.values() {
            group.members.check(silent);
            group.pending_members.check(|reserved| Some(reserved.until_ms));
        }
        self.machine.groups.check(|group| {
            let members = group.members.values().filter_map(silent);
            let reserved = group.pending_members.values().map(|it| it.until_ms);
            let join = group.join_deadline_ms.map(|deadline| {
                let is_first = group.has_all_joined();
                if is_first { deadline.min(group.join_not_before_ms) } else { deadline }
            });
            members.chain(reserved).chain(join).chain(group.sync_deadline_ms).min()
        });
        let first = self.machine.groups.first_due();
        assert!(first.is_none_or(|first| self.machine.next_deadline_ms() <= first));
        // Whoever holds offsets for a transaction hears of its marker.
        for group in self.machine.groups.values().filter(|group| group.offsets.holds(PRODUCER.id)) {
            let holder = (PRODUCER.id, group.id.clone());
            assert!(self.machine.holders.contains(&holder), "{holder:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_due_next_is_known_without_looking_at_everything(ops in vec(op(), 1..80)) {
        let settings = Settings { initial_rebalance_delay_ms: 700, ..SETTINGS };
        let mut script = Script::over(Machine::new(settings));
        script.is_slow = true;
        for op in &ops {
            script.act(op);
            script.check_order();
        }
    }
}
