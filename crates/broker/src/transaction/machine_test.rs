//! Scripts for the transaction machine: what is sent, what comes back.

use proptest::collection::vec;
use proptest::prelude::*;
use protocol::error_code::ErrorCode;
use protocol::record::ProducerIdentity;

use super::init::Init;
use super::machine::{Add, Effect, End, Event, Machine, Reply, Settings};
use super::record::{TransactionRecord, understand};
use super::txn::State;
use crate::coordinator::awaited::{Token, WriteId};

const SETTINGS: Settings =
    Settings { partitions: 50, timeout_ms_max: 900_000, id_expiration_ms: 604_800_000 };

type Marker = (ProducerIdentity, bool, usize);

struct Script {
    machine: Machine,
    now_ms: i64,
    token: Token,
    replies: Vec<(Token, Reply)>,
    writes: Vec<WriteId>,
    written: Vec<TransactionRecord>,
    markers: Vec<Marker>,
    is_slow: bool,
    holds_markers: bool,
}

impl Script {
    fn new() -> Self {
        let mut script = Self::over(Machine::new(SETTINGS));
        script.step(Event::Ids(1_000..2_000));
        script
    }

    fn over(machine: Machine) -> Self {
        Self {
            machine,
            now_ms: 1_000_000,
            token: 0,
            replies: Vec::new(),
            writes: Vec::new(),
            written: Vec::new(),
            markers: Vec::new(),
            is_slow: false,
            holds_markers: false,
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.step(self.now_ms, event, &mut effects);
        self.execute(effects);
    }

    fn execute(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(token, reply) => self.replies.push((token, reply)),
                Effect::Append { write, record, .. } => {
                    self.written.push(record);
                    self.writes.push(write);
                }
                Effect::Markers { producer, commit, places, .. } => {
                    self.markers.push((producer, commit, places.len()));
                }
            }
        }
        if !self.is_slow {
            self.finish_writes(Ok(()));
        }
        if !self.holds_markers && self.writes.is_empty() {
            self.finish_markers();
        }
    }

    fn finish_writes(&mut self, result: Result<(), ErrorCode>) {
        for write in std::mem::take(&mut self.writes) {
            self.step(Event::Appended(write, result));
        }
    }

    fn finish_markers(&mut self) {
        let is_prepared = |script: &Self| {
            let txn = script.machine.txns.get("x");
            txn.is_some_and(|txn| txn.stored.state.is_prepared())
        };
        if is_prepared(self) {
            self.step(Event::MarkersWritten("x".to_owned()));
        }
    }

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

    fn init(&mut self, expected: Option<ProducerIdentity>) -> Result<ProducerIdentity, ErrorCode> {
        let transactional_id = Some("x".to_owned());
        let init = Init { transactional_id, timeout_ms: 60_000, expected };
        let token = self.send(|token| Event::Init(token, init));
        match self.reply(token) {
            Some(Reply::Init(result)) => result,
            other => panic!("no answer to init: {other:?}"),
        }
    }

    fn add(&mut self, producer: ProducerIdentity, partition: i32) -> ErrorCode {
        let token = self.send(|token| Event::Add(token, add(producer, partition, false)));
        self.done(token)
    }

    fn verify(&mut self, producer: ProducerIdentity, partition: i32) -> ErrorCode {
        let token = self.send(|token| Event::Add(token, add(producer, partition, true)));
        self.done(token)
    }

    fn end(&mut self, producer: ProducerIdentity, commit: bool) -> ErrorCode {
        let token = self.send(|token| Event::End(token, end(producer, commit)));
        self.done(token)
    }

    fn done(&mut self, token: Token) -> ErrorCode {
        match self.reply(token) {
            Some(Reply::Done(error)) => error,
            other => panic!("no answer: {other:?}"),
        }
    }

    fn state(&self) -> State {
        self.machine.txns.get("x").unwrap().stored.state
    }

    /// A new coordinator over the first `records` of what was written.
    fn restarted(&self, records: usize) -> Self {
        let mut machine = Machine::new(SETTINGS);
        for record in self.written.iter().take(records) {
            let (id, stored) = understand(&record.key, record.value.as_ref()).unwrap();
            machine.load(machine.partition_of(&id), id, stored);
        }
        let mut effects = Vec::new();
        machine.loaded(&mut effects);
        let mut script = Self::over(machine);
        script.step(Event::Ids(2_000..3_000));
        script.execute(effects);
        script
    }
}

fn add(producer: ProducerIdentity, partition: i32, verify_only: bool) -> Add {
    let places = vec![("t".to_owned(), partition)];
    Add { transactional_id: "x".to_owned(), producer, places, verify_only }
}

fn end(producer: ProducerIdentity, commit: bool) -> End {
    End { transactional_id: "x".to_owned(), producer, commit }
}

fn producer(id: i64, epoch: i16) -> ProducerIdentity {
    ProducerIdentity { id, epoch }
}

#[test]
fn a_commit_puts_a_marker_into_every_partition() {
    let mut script = Script::new();
    let me = script.init(None).unwrap();
    assert_eq!(me, producer(1_000, 0));
    assert_eq!(script.add(me, 0), ErrorCode::NONE);
    assert_eq!(script.add(me, 1), ErrorCode::NONE);
    assert_eq!(script.verify(me, 1), ErrorCode::NONE);
    assert_eq!(script.verify(me, 2), ErrorCode::INVALID_TXN_STATE);
    assert_eq!(script.end(me, true), ErrorCode::NONE);
    assert_eq!(script.markers, [(me, true, 2)]);
    assert_eq!(script.state(), State::CompleteCommit);
    assert_eq!(script.end(me, true), ErrorCode::NONE, "a retry is answered as the first");
    assert_eq!(script.end(me, false), ErrorCode::INVALID_TXN_STATE);
}

#[test]
fn a_producer_without_transactions_gets_a_fresh_id() {
    let mut script = Script::new();
    let init = Init { transactional_id: None, timeout_ms: 0, expected: None };
    let token = script.send(|token| Event::Init(token, init));
    assert_eq!(script.reply(token), Some(Reply::Init(Ok(producer(1_000, 0)))));
}

#[test]
fn a_newcomer_aborts_what_is_open_and_fences_its_holder() {
    let mut script = Script::new();
    let old = script.init(None).unwrap();
    script.add(old, 0);
    let new = script.init(None).unwrap();
    assert_eq!(new, producer(1_000, 2), "one epoch fences, the next is given out");
    assert_eq!(script.markers, [(producer(1_000, 1), false, 1)]);
    assert_eq!(script.add(old, 0), ErrorCode::PRODUCER_FENCED);
    assert_eq!(script.end(old, true), ErrorCode::PRODUCER_FENCED);
    assert_eq!(script.init(Some(old)), Err(ErrorCode::PRODUCER_FENCED));
}

#[test]
fn a_fenced_producer_cannot_slip_in_while_the_fence_is_being_written() {
    let mut script = Script::new();
    let old = script.init(None).unwrap();
    script.add(old, 0);
    script.is_slow = true;
    let init = Init { transactional_id: Some("x".to_owned()), timeout_ms: 9, expected: None };
    let waiting = script.send(|token| Event::Init(token, init));
    let token = script.send(|token| Event::End(token, end(old, true)));
    assert_eq!(script.done(token), ErrorCode::PRODUCER_FENCED);
    script.is_slow = false;
    script.finish_writes(Ok(()));
    assert_eq!(script.reply(waiting), Some(Reply::Init(Ok(producer(1_000, 2)))));
}

#[test]
fn requests_wait_while_markers_are_being_written() {
    let mut script = Script::new();
    let me = script.init(None).unwrap();
    script.add(me, 0);
    script.holds_markers = true;
    assert_eq!(script.end(me, true), ErrorCode::NONE);
    let next = script.send(|token| Event::Add(token, add(me, 5, false)));
    let again = script.send(|token| Event::End(token, end(me, false)));
    assert_eq!((script.reply(next), script.reply(again)), (None, None));
    script.holds_markers = false;
    script.finish_markers();
    assert_eq!(script.done(next), ErrorCode::NONE);
    assert_eq!(script.done(again), ErrorCode::NONE);
    assert_eq!(script.markers, [(me, true, 1), (me, false, 1)]);
}

#[test]
fn a_bumped_epoch_is_given_again_to_whoever_missed_the_answer() {
    let mut script = Script::new();
    let first = script.init(None).unwrap();
    let second = script.init(Some(first)).unwrap();
    assert_eq!(second, producer(1_000, 1));
    assert_eq!(script.init(Some(first)), Ok(second));
    assert_eq!(script.init(Some(producer(999, 0))), Err(ErrorCode::PRODUCER_FENCED));
}

#[test]
fn exhausted_epochs_give_way_to_a_new_producer_id() {
    let mut script = Script::new();
    script.init(None).unwrap();
    let txn = script.machine.txns.change("x").unwrap();
    txn.stored.producer.epoch = i16::MAX - 1;
    let last = producer(1_000, i16::MAX - 1);
    let fresh = script.init(Some(last)).unwrap();
    assert_eq!(fresh, producer(1_001, 0));
    assert_eq!(script.init(Some(last)), Ok(fresh), "the answer may have been lost");
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_may_recover() {
    let mut script = Script::new();
    let me = script.init(None).unwrap();
    script.add(me, 0);
    assert_eq!(script.machine.next_deadline_ms(), 1_060_000.min(script.machine.next_deadline_ms()));
    script.now_ms += 60_000;
    script.step(Event::Tick);
    assert_eq!(script.markers, [(producer(1_000, 1), false, 1)]);
    assert_eq!(script.end(me, true), ErrorCode::PRODUCER_FENCED);
    assert_eq!(script.init(Some(me)), Ok(producer(1_000, 1)));
}

#[test]
fn timeouts_out_of_bounds_and_unknown_ids_are_refused() {
    let mut script = Script::new();
    for timeout_ms in [0, -1, 900_001] {
        let init = Init { transactional_id: Some("x".to_owned()), timeout_ms, expected: None };
        let token = script.send(|token| Event::Init(token, init));
        let refused = Reply::Init(Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT));
        assert_eq!(script.reply(token), Some(refused));
    }
    assert_eq!(script.add(producer(1, 0), 0), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    let me = script.init(None).unwrap();
    assert_eq!(script.end(me, true), ErrorCode::INVALID_TXN_STATE);
}

#[test]
fn a_failed_write_leaves_the_transaction_as_it_was() {
    let mut script = Script::new();
    let me = script.init(None).unwrap();
    script.add(me, 0);
    script.is_slow = true;
    let token = script.send(|token| Event::End(token, end(me, true)));
    script.finish_writes(Err(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(script.done(token), ErrorCode::KAFKA_STORAGE_ERROR);
    assert_eq!((script.state(), script.markers.len()), (State::Ongoing, 0));
}

#[test]
fn too_many_waiting_requests_are_told_to_come_again() {
    let mut script = Script::new();
    let me = script.init(None).unwrap();
    script.add(me, 0);
    script.holds_markers = true;
    script.end(me, true);
    for _ in 0..64 {
        let token = script.send(|token| Event::Add(token, add(me, 9, false)));
        assert_eq!(script.reply(token), None);
    }
    let token = script.send(|token| Event::Add(token, add(me, 9, false)));
    assert_eq!(script.done(token), ErrorCode::CONCURRENT_TRANSACTIONS);
}

#[test]
fn a_restart_after_any_record_ends_in_one_outcome() {
    let mut script = Script::new();
    let me = script.init(None).unwrap();
    script.add(me, 0);
    script.add(me, 1);
    script.end(me, true);
    let records = script.written.len();
    for kept in 0..=records {
        let mut after = script.restarted(kept);
        let next = after.init(None).unwrap();
        assert!(kept == 0 || next > me, "{kept} records: {next:?} does not fence {me:?}");
        let was_decided = kept >= 4;
        let markers = after.markers.iter();
        let commits = markers.clone().filter(|(_, commit, _)| *commit).count();
        let aborts = markers.filter(|(_, commit, _)| !*commit).count();
        // The decision is record four; completion, record five, needs no marker any more.
        assert_eq!(commits, usize::from(was_decided && kept < 5), "{kept} records");
        assert_eq!(aborts, usize::from(kept == 2 || kept == 3), "{kept} records");
    }
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let mut script = Script::new();
    script.init(None).unwrap();
    script.step(Event::Tick);
    script.now_ms += SETTINGS.id_expiration_ms + 3_600_001;
    script.step(Event::Tick);
    assert!(script.machine.txns.is_empty());
    assert!(script.written.last().unwrap().value.is_none());
}

/// What a random history is made of; numbers choose among a few transactional ids.
#[derive(Debug, Clone)]
enum Op {
    Init { id: u8, timeout_ms: i32 },
    Add { id: u8, partition: i32 },
    End { id: u8, commit: bool },
    Markers { id: u8 },
    Written { fails: bool },
    Wait { ms: i64 },
    Restart { records: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let id = 0..4_u8;
    prop_oneof![
        4 => (id.clone(), 1..90_000).prop_map(|(id, timeout_ms)| Op::Init { id, timeout_ms }),
        6 => (id.clone(), 0..3).prop_map(|(id, partition)| Op::Add { id, partition }),
        2 => (id.clone(), any::<bool>()).prop_map(|(id, commit)| Op::End { id, commit }),
        3 => id.prop_map(|id| Op::Markers { id }),
        6 => any::<bool>().prop_map(|fails| Op::Written { fails }),
        3 => (0..60_000_i64).prop_map(|ms| Op::Wait { ms }),
        1 => Just(Op::Wait { ms: SETTINGS.id_expiration_ms + 1 }),
        1 => (0..20_usize).prop_map(|records| Op::Restart { records }),
    ]
}

impl Script {
    fn act(&mut self, op: &Op) {
        let name = |id: u8| format!("x{id}");
        let holder = |id: &str| {
            let txn = self.machine.txns.get(id);
            txn.map_or_else(|| producer(1, 0), |txn| txn.stored.producer)
        };
        match *op {
            Op::Init { id, timeout_ms } => {
                let transactional_id = Some(name(id));
                let init = Init { transactional_id, timeout_ms, expected: None };
                self.send(|token| Event::Init(token, init));
            }
            Op::Add { id, partition } => {
                let holder = holder(&name(id));
                let add = Add { transactional_id: name(id), ..add(holder, partition, false) };
                self.send(|token| Event::Add(token, add));
            }
            Op::End { id, commit } => {
                let holder = holder(&name(id));
                let end = End { transactional_id: name(id), ..end(holder, commit) };
                self.send(|token| Event::End(token, end));
            }
            Op::Markers { id } => self.step(Event::MarkersWritten(name(id))),
            Op::Written { fails } => {
                let result = if fails { Err(ErrorCode::KAFKA_STORAGE_ERROR) } else { Ok(()) };
                self.finish_writes(result);
            }
            Op::Wait { ms } => {
                self.now_ms += ms;
                self.step(Event::Tick);
            }
            Op::Restart { records } => {
                let now_ms = self.now_ms;
                *self = Self { now_ms, is_slow: true, ..self.restarted(records) };
            }
        }
    }

    /// What is due is what a look at every transactional id finds.
    fn check_order(&self) {
        self.machine.txns.check(|txn| {
            let is_open = txn.stored.state == State::Ongoing && txn.next.is_none();
            is_open.then(|| txn.stored.started_ms + i64::from(txn.stored.timeout_ms))
        });
        let first = self.machine.txns.first_due();
        assert!(first.is_none_or(|first| self.machine.next_deadline_ms() <= first));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_due_next_is_known_without_looking_at_everything(ops in vec(op(), 1..80)) {
        let mut script = Script::new();
        script.is_slow = true;
        for op in &ops {
            script.act(op);
            script.check_order();
        }
    }
}
