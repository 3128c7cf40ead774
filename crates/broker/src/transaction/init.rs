//! Giving a producer its id and epoch, and thereby fencing whoever had them before.

use protocol::error_code::ErrorCode;
use protocol::record::ProducerIdentity;

use super::machine::{Effect, Event, Machine, Reply, Then};
use super::txn::{State, Stored, Txn};
use crate::coordinator::awaited::Token;

/// The highest epoch that is given out: one is left to fence its holder with.
const EPOCH_MAX: i16 = i16::MAX - 1;

/// A request for a producer id.
#[derive(Debug, Clone)]
pub(crate) struct Init {
    /// `None` for a producer that is only idempotent.
    pub(crate) transactional_id: Option<String>,
    pub(crate) timeout_ms: i32,
    /// What the producer had, when it asks for a higher epoch after an error (KIP-360).
    pub(crate) expected: Option<ProducerIdentity>,
}

impl Machine {
    pub(super) fn init(
        &mut self,
        now_ms: i64,
        token: Token,
        init: Init,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = init.transactional_id.clone() else {
            let producer = self.fresh_producer();
            effects.push(Effect::Reply(token, Reply::Init(producer)));
            return;
        };
        if let Err(error) = self.check_init(&id, &init) {
            effects.push(Effect::Reply(token, Reply::Init(Err(error))));
            return;
        }
        let Some(txn) = self.txns.get(&id) else {
            self.init_new(now_ms, token, &id, init.timeout_ms, effects);
            return;
        };
        if txn.is_busy() {
            self.park(&id, Event::Init(token, init), effects);
            return;
        }
        let stored = txn.stored.clone();
        match next_identity(&stored, init.expected) {
            Err(error) => effects.push(Effect::Reply(token, Reply::Init(Err(error)))),
            Ok(_) if stored.state == State::Ongoing => {
                // What is open is aborted first; then the request is looked at again.
                let again = Init { expected: None, ..init };
                self.fence_and_abort(now_ms, &id, false, effects);
                self.park(&id, Event::Init(token, again), effects);
            }
            Ok(Next::Same) => {
                effects.push(Effect::Reply(token, Reply::Init(Ok(stored.producer))));
            }
            Ok(Next::Bumped { last_epoch }) => {
                let mut next = emptied(&stored, now_ms, init.timeout_ms);
                next.producer.epoch += 1;
                next.last_epoch = last_epoch;
                self.change(&id, next, Then::ReplyInit(token), effects);
            }
            Ok(Next::Fresh) => match self.fresh_producer() {
                Ok(producer) => {
                    let mut next = emptied(&stored, now_ms, init.timeout_ms);
                    next.previous_id = stored.producer.id;
                    next.producer = producer;
                    next.last_epoch = -1;
                    self.change(&id, next, Then::ReplyInit(token), effects);
                }
                Err(error) => effects.push(Effect::Reply(token, Reply::Init(Err(error)))),
            },
        }
    }

    fn check_init(&self, id: &str, init: &Init) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if init.timeout_ms <= 0 || init.timeout_ms > self.settings.timeout_ms_max {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        Ok(())
    }

    fn fresh_producer(&mut self) -> Result<ProducerIdentity, ErrorCode> {
        let id = self.ids.next().ok_or(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)?;
        Ok(ProducerIdentity { id, epoch: 0 })
    }

    fn init_new(
        &mut self,
        now_ms: i64,
        token: Token,
        id: &str,
        timeout_ms: i32,
        effects: &mut Vec<Effect>,
    ) {
        let producer = match self.fresh_producer() {
            Ok(producer) => producer,
            Err(error) => {
                effects.push(Effect::Reply(token, Reply::Init(Err(error))));
                return;
            }
        };
        let stored = Stored {
            producer,
            last_epoch: -1,
            previous_id: -1,
            timeout_ms,
            state: State::Empty,
            places: std::collections::BTreeSet::new(),
            started_ms: -1,
            updated_ms: now_ms,
        };
        // Until the record is on disk nobody can use the id: it is busy.
        self.txns.insert(id.to_owned(), Txn::new(stored.clone()));
        self.change(id, stored, Then::ReplyInit(token), effects);
    }
}

/// What identity a producer gets next.
enum Next {
    /// The present one: the request is a retry of one that was granted.
    Same,
    Bumped {
        last_epoch: i16,
    },
    /// Epochs have run out.
    Fresh,
}

fn next_identity(stored: &Stored, expected: Option<ProducerIdentity>) -> Result<Next, ErrorCode> {
    let present = stored.producer;
    let is_exhausted = present.epoch >= EPOCH_MAX;
    let Some(expected) = expected else {
        return Ok(if is_exhausted { Next::Fresh } else { Next::Bumped { last_epoch: -1 } });
    };
    if expected.id == present.id && expected.epoch == present.epoch {
        let last_epoch = present.epoch;
        return Ok(if is_exhausted { Next::Fresh } else { Next::Bumped { last_epoch } });
    }
    let is_retry = expected.id == present.id && expected.epoch == stored.last_epoch
        || expected.id == stored.previous_id && expected.epoch >= EPOCH_MAX;
    if is_retry { Ok(Next::Same) } else { Err(ErrorCode::PRODUCER_FENCED) }
}

fn emptied(stored: &Stored, now_ms: i64, timeout_ms: i32) -> Stored {
    Stored {
        timeout_ms,
        state: State::Empty,
        places: std::collections::BTreeSet::new(),
        started_ms: -1,
        updated_ms: now_ms,
        ..stored.clone()
    }
}
