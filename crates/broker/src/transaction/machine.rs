//! The transaction coordinator, as a pure machine.
//!
//! A change of state is written first and takes effect when it is on disk. Where Kafka answers
//! `CONCURRENT_TRANSACTIONS` so that the client tries again, requests are parked here until the
//! change is over and then answered; clients see the same outcome sooner. Completion needs no
//! flush of its own: the record stands in the log before any record of the next transaction, and
//! a start that misses it writes the markers again, which changes nothing.
//!
//! The flow is that of KIP-98 with the epochs of KIP-360 and the recovery of KIP-588.

use std::collections::BTreeSet;
use std::ops::Range;

use protocol::error_code::ErrorCode;
use protocol::partitioner::partition_for_name;
use protocol::record::ProducerIdentity;

use super::init::Init;
use super::record::TransactionRecord;
use super::txn::{Place, State, Stored, Txn};
use crate::coordinator::awaited::{Awaited, Token, WriteId};
use crate::coordinator::timetable::Timetable;

/// Requests that may wait for one transactional id; more are told to come again.
const PARKED_MAX: usize = 64;

/// Transactional ids that nobody uses are looked for this often.
const EXPIRY_INTERVAL_MS: i64 = 3_600_000;

/// What an operator may set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Partitions of `__transaction_state`.
    pub(crate) partitions: i32,
    /// `transaction.max.timeout.ms`.
    pub(crate) timeout_ms_max: i32,
    /// `transactional.id.expiration.ms`.
    pub(crate) id_expiration_ms: i64,
}

/// A request to add partitions, or to check that they are in.
#[derive(Debug, Clone)]
pub(crate) struct Add {
    pub(crate) transactional_id: String,
    pub(crate) producer: ProducerIdentity,
    pub(crate) places: Vec<Place>,
    /// Refuse what is not in, instead of adding it.
    pub(crate) verify_only: bool,
}

/// A request to end the transaction.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) transactional_id: String,
    pub(crate) producer: ProducerIdentity,
    pub(crate) commit: bool,
}

/// What happens to the coordinator.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Init(Token, Init),
    Add(Token, Add),
    End(Token, End),
    /// A write is on disk, or has failed.
    Appended(WriteId, Result<(), ErrorCode>),
    /// Every partition has the marker.
    MarkersWritten(String),
    /// Producer ids that may be given out.
    Ids(Range<i64>),
    /// Time has passed.
    Tick,
}

/// What the shell has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    Reply(Token, Reply),
    /// Append this record to its partition of `__transaction_state`.
    Append {
        partition: i32,
        write: WriteId,
        record: TransactionRecord,
    },
    /// Put markers into these partitions, however long it takes.
    Markers {
        transactional_id: String,
        producer: ProducerIdentity,
        commit: bool,
        places: Vec<Place>,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    Init(Result<ProducerIdentity, ErrorCode>),
    Done(ErrorCode),
}

/// What to do when a write is done.
#[derive(Debug)]
enum Pending {
    /// The change of a transactional id, and the request to answer.
    Change { transactional_id: String, then: Then },
    /// Nothing waits for it.
    Note,
}

/// What follows a change.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Then {
    ReplyInit(Token),
    ReplyDone(Token),
    /// Take up the requests that were parked, the fencing one first.
    Resume,
}

/// All transactional ids of the node.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) settings: Settings,
    pub(super) txns: Timetable<Txn>,
    pub(super) ids: Range<i64>,
    pending: Awaited<Pending>,
    expire_at_ms: i64,
}

impl Machine {
    /// A coordinator that knows no transactional id.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            txns: Timetable::default(),
            ids: 0..0,
            pending: Awaited::default(),
            expire_at_ms: 0,
        }
    }

    /// Whether the next request may need a producer id that is not there.
    pub(crate) fn needs_ids(&self) -> bool {
        self.ids.is_empty()
    }

    /// The partition of `__transaction_state` that holds a transactional id.
    pub(crate) fn partition_of(&self, transactional_id: &str) -> i32 {
        partition_for_name(transactional_id, self.settings.partitions)
    }

    /// Tells how many partitions `__transaction_state` has; before it is made, the settings do.
    pub(crate) fn set_partitions(&mut self, count: i32) {
        self.settings.partitions = count;
    }

    /// Takes over a transactional id that is stored in the partition `at`, in the order of the
    /// log; `None` for a tombstone. One that belongs elsewhere is passed over: a start has moved
    /// it from here, and it waits for the cleaner.
    pub(crate) fn load(&mut self, at: i32, transactional_id: String, stored: Option<Stored>) {
        if self.partition_of(&transactional_id) != at {
            return;
        }
        match stored {
            Some(stored) => self.txns.insert(transactional_id, Txn::new(stored)),
            None => drop(self.txns.remove(&transactional_id)),
        }
    }

    /// After the last [`Machine::load`]: goes on with what a crash has interrupted.
    pub(crate) fn loaded(&mut self, effects: &mut Vec<Effect>) {
        self.txns.settle();
        for (id, txn) in self.txns.iter() {
            if txn.stored.state.is_prepared() {
                effects.push(markers(id, &txn.stored));
            }
        }
    }

    /// The one way in. Time is wall-clock milliseconds, as it is stored.
    pub(crate) fn step(&mut self, now_ms: i64, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Init(token, init) => self.init(now_ms, token, init, effects),
            Event::Add(token, add) => self.add(now_ms, token, add, effects),
            Event::End(token, end) => self.end(now_ms, token, end, effects),
            Event::Appended(write, result) => self.appended(now_ms, write, result, effects),
            Event::MarkersWritten(id) => self.markers_written(now_ms, &id, effects),
            Event::Ids(ids) => self.ids = ids,
            Event::Tick => self.tick(now_ms, effects),
        }
        self.txns.settle();
    }

    /// When the next [`Event::Tick`] is due.
    pub(crate) fn next_deadline_ms(&self) -> i64 {
        let first = self.txns.first_due();
        first.map_or(self.expire_at_ms, |first| first.min(self.expire_at_ms))
    }

    /// Lets a request wait until its transactional id is free; says so when too many wait.
    pub(super) fn park(&mut self, id: &str, event: Event, effects: &mut Vec<Effect>) {
        let Some(txn) = self.txns.change(id) else {
            return;
        };
        if txn.parked.len() < PARKED_MAX {
            txn.parked.push_back(event);
            return;
        }
        let busy = ErrorCode::CONCURRENT_TRANSACTIONS;
        match event {
            Event::Init(token, _) => effects.push(Effect::Reply(token, Reply::Init(Err(busy)))),
            Event::Add(token, _) | Event::End(token, _) => {
                effects.push(Effect::Reply(token, Reply::Done(busy)));
            }
            Event::Appended(..) | Event::MarkersWritten(_) | Event::Ids(_) | Event::Tick => {}
        }
    }

    /// Takes up parked requests until one of them starts another change.
    fn resume(&mut self, now_ms: i64, id: &str, effects: &mut Vec<Effect>) {
        for _ in 0..=PARKED_MAX {
            let txn = self.txns.change(id).filter(|txn| !txn.is_busy());
            let Some(event) = txn.and_then(|txn| txn.parked.pop_front()) else {
                return;
            };
            self.step(now_ms, event, effects);
        }
    }

    /// Writes a change of state.
    pub(super) fn change(&mut self, id: &str, next: Stored, then: Then, effects: &mut Vec<Effect>) {
        let write = self.pending.add(Pending::Change { transactional_id: id.to_owned(), then });
        let partition = self.partition_of(id);
        let record = TransactionRecord::new(id, Some(&next));
        effects.push(Effect::Append { partition, write, record });
        if let Some(txn) = self.txns.change(id) {
            txn.next = Some(next);
        }
    }

    /// Writes a record that nothing waits for.
    fn note(&mut self, id: &str, stored: Option<&Stored>, effects: &mut Vec<Effect>) {
        let write = self.pending.add(Pending::Note);
        let partition = self.partition_of(id);
        let record = TransactionRecord::new(id, stored);
        effects.push(Effect::Append { partition, write, record });
    }

    fn appended(
        &mut self,
        now_ms: i64,
        write: WriteId,
        result: Result<(), ErrorCode>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Pending::Change { transactional_id: id, then }) = self.pending.take(write) else {
            return;
        };
        let Some(txn) = self.txns.change(&id) else {
            return;
        };
        let next = txn.next.take();
        if let (Ok(()), Some(next)) = (result, next) {
            txn.stored = next;
        }
        let producer = txn.stored.producer;
        match then {
            Then::ReplyInit(token) => {
                effects.push(Effect::Reply(token, Reply::Init(result.map(|()| producer))));
            }
            Then::ReplyDone(token) => {
                let error = result.err().unwrap_or(ErrorCode::NONE);
                effects.push(Effect::Reply(token, Reply::Done(error)));
            }
            Then::Resume => {}
        }
        if result.is_ok() && txn.stored.state.is_prepared() {
            effects.push(markers(&id, &txn.stored));
        }
        self.resume(now_ms, &id, effects);
    }

    fn markers_written(&mut self, now_ms: i64, id: &str, effects: &mut Vec<Effect>) {
        let Some(txn) = self.txns.change(id) else {
            return;
        };
        if !txn.stored.state.is_prepared() {
            return;
        }
        txn.stored.state = txn.stored.state.completed();
        txn.stored.places = BTreeSet::new();
        txn.stored.updated_ms = now_ms;
        let stored = txn.stored.clone();
        self.note(id, Some(&stored), effects);
        self.resume(now_ms, id, effects);
    }

    fn add(&mut self, now_ms: i64, token: Token, add: Add, effects: &mut Vec<Effect>) {
        let id = add.transactional_id.clone();
        let txn = match self.admit(&id, add.producer) {
            Ok(txn) => txn,
            Err(error) => {
                effects.push(Effect::Reply(token, Reply::Done(error)));
                return;
            }
        };
        let is_open = txn.stored.state == State::Ongoing;
        let has_all = is_open && add.places.iter().all(|it| txn.stored.places.contains(it));
        // What is in stays in until the decision is made, even while more is being added.
        if has_all || add.verify_only {
            let error = if has_all { ErrorCode::NONE } else { ErrorCode::INVALID_TXN_STATE };
            effects.push(Effect::Reply(token, Reply::Done(error)));
            return;
        }
        if txn.is_busy() {
            self.park(&id, Event::Add(token, add), effects);
            return;
        }
        let mut next = txn.stored.clone();
        if next.state != State::Ongoing {
            next.state = State::Ongoing;
            next.places = BTreeSet::new();
            next.started_ms = now_ms;
        }
        next.places.extend(add.places);
        next.updated_ms = now_ms;
        self.change(&id, next, Then::ReplyDone(token), effects);
    }

    /// The transactional id, if this producer may use it.
    fn admit(&self, id: &str, producer: ProducerIdentity) -> Result<&Txn, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let txn = self.txns.get(id).ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        // A change of identity that is being written counts already: a fenced producer must not
        // slip anything in behind it.
        let present = txn.next.as_ref().unwrap_or(&txn.stored).producer;
        if present.id != producer.id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if present.epoch != producer.epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        Ok(txn)
    }

    fn end(&mut self, now_ms: i64, token: Token, end: End, effects: &mut Vec<Effect>) {
        let id = end.transactional_id.clone();
        let txn = match self.admit(&id, end.producer) {
            Ok(txn) => txn,
            Err(error) => {
                effects.push(Effect::Reply(token, Reply::Done(error)));
                return;
            }
        };
        if txn.is_busy() {
            self.park(&id, Event::End(token, end), effects);
            return;
        }
        let (prepared, completed) = if end.commit {
            (State::PrepareCommit, State::CompleteCommit)
        } else {
            (State::PrepareAbort, State::CompleteAbort)
        };
        if txn.stored.state != State::Ongoing {
            // A retry of an end that has succeeded is answered as the first one was.
            let is_retry = txn.stored.state == completed;
            let error = if is_retry { ErrorCode::NONE } else { ErrorCode::INVALID_TXN_STATE };
            effects.push(Effect::Reply(token, Reply::Done(error)));
            return;
        }
        let mut next = txn.stored.clone();
        next.state = prepared;
        next.updated_ms = now_ms;
        self.change(&id, next, Then::ReplyDone(token), effects);
    }

    fn tick(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        for id in self.txns.due_by(now_ms) {
            // The producer may come back and ask for the new epoch: nobody else has taken over.
            self.fence_and_abort(now_ms, &id, true, effects);
        }
        if now_ms >= self.expire_at_ms {
            self.expire_at_ms = now_ms + EXPIRY_INTERVAL_MS;
            self.expire_ids(now_ms, effects);
        }
    }

    /// Aborts what is under way with a higher epoch, so that the producer can add nothing more.
    pub(super) fn fence_and_abort(
        &mut self,
        now_ms: i64,
        id: &str,
        producer_may_return: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(txn) = self.txns.get(id) else {
            return;
        };
        let mut next = txn.stored.clone();
        next.last_epoch = if producer_may_return { next.producer.epoch } else { -1 };
        next.producer.epoch = next.producer.epoch.saturating_add(1);
        next.state = State::PrepareAbort;
        next.updated_ms = now_ms;
        self.change(id, next, Then::Resume, effects);
    }

    fn expire_ids(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        let before = now_ms - self.settings.id_expiration_ms;
        let unused = self.txns.iter().filter(|(_, txn)| {
            !txn.is_busy() && txn.stored.state != State::Ongoing && txn.stored.updated_ms < before
        });
        for id in unused.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.txns.remove(&id);
            self.note(&id, None, effects);
        }
    }
}

fn markers(id: &str, stored: &Stored) -> Effect {
    Effect::Markers {
        transactional_id: id.to_owned(),
        producer: stored.producer,
        commit: stored.state == State::PrepareCommit,
        places: stored.places.iter().cloned().collect(),
    }
}
