//! One transactional id and the transaction that is under way.

use std::collections::{BTreeSet, VecDeque};

use protocol::record::ProducerIdentity;

use super::machine::Event;
use crate::coordinator::timetable::Due;

/// A partition of a topic.
pub(crate) type Place = (String, i32);

/// States of a transaction, with the numbers under which Kafka stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing has been written since the producer came.
    Empty = 0,
    /// Partitions have been added.
    Ongoing = 1,
    /// The decision to commit is on disk; markers are being written.
    PrepareCommit = 2,
    /// The decision to abort is on disk; markers are being written.
    PrepareAbort = 3,
    /// Every partition has its marker.
    CompleteCommit = 4,
    /// Every partition has its marker.
    CompleteAbort = 5,
}

impl State {
    /// The number that Kafka stores.
    pub(crate) const fn code(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
        }
    }

    /// The state of a stored number; `None` for those that are not stored.
    pub(crate) const fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Empty),
            1 => Some(Self::Ongoing),
            2 => Some(Self::PrepareCommit),
            3 => Some(Self::PrepareAbort),
            4 => Some(Self::CompleteCommit),
            5 => Some(Self::CompleteAbort),
            _ => None,
        }
    }

    /// Whether the transaction waits for its markers.
    pub(crate) const fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// The state once all markers are written.
    pub(crate) const fn completed(self) -> Self {
        match self {
            Self::PrepareCommit => Self::CompleteCommit,
            Self::PrepareAbort => Self::CompleteAbort,
            other => other,
        }
    }
}

/// What is stored of a transactional id.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// Who may write.
    pub(crate) producer: ProducerIdentity,
    /// The epoch before, whose holder may ask for the present one again; -1 for none.
    pub(crate) last_epoch: i16,
    /// The producer id before epochs ran out; -1 for none.
    pub(crate) previous_id: i64,
    pub(crate) timeout_ms: i32,
    pub(crate) state: State,
    pub(crate) places: BTreeSet<Place>,
    /// Wall-clock time of the first partition; -1 outside a transaction.
    pub(crate) started_ms: i64,
    pub(crate) updated_ms: i64,
}

/// A transactional id.
#[derive(Debug)]
pub(crate) struct Txn {
    pub(crate) stored: Stored,
    /// The change that is being written; nothing else happens meanwhile.
    pub(crate) next: Option<Stored>,
    /// Requests that wait until the present change is over.
    pub(crate) parked: VecDeque<Event>,
}

impl Txn {
    pub(crate) fn new(stored: Stored) -> Self {
        Self { stored, next: None, parked: VecDeque::new() }
    }

    /// Whether a request must wait: a change or markers are being written.
    pub(crate) fn is_busy(&self) -> bool {
        self.next.is_some() || self.stored.state.is_prepared()
    }
}

impl Due for Txn {
    /// Wall-clock milliseconds, as they are stored.
    type Time = i64;

    /// When a transaction that is under way is given up.
    fn due(&self) -> Option<i64> {
        let is_open = self.stored.state == State::Ongoing && self.next.is_none();
        is_open.then(|| self.stored.started_ms.saturating_add(self.stored.timeout_ms.into()))
    }
}
