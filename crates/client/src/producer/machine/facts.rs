//! What goes into the machine and comes out of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use protocol::error_code::ErrorCode;
use protocol::record::{BatchBuilder, Compression, HeaderRef, ProducerIdentity};

/// Number of a topic, and of a partition in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) topic: usize,
    pub(crate) partition: usize,
}

/// What the machine must know of the options.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) compression: Compression,
    pub(crate) batch_bytes_max: usize,
    pub(crate) batch_bytes_first: usize,
    pub(crate) request_bytes_max: usize,
    pub(crate) buffer_bytes_max: usize,
    pub(crate) linger_ms: u64,
    pub(crate) delivery_timeout_ms: u64,
    pub(crate) retry_ms: u64,
    pub(crate) retry_ms_max: u64,
    pub(crate) in_flight_max: usize,
    pub(crate) is_idempotent: bool,
    pub(crate) is_transactional: bool,
    pub(crate) seed: u64,
}

/// The parts of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [HeaderRef<'a>],
}

/// A batch that somebody else has built.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    pub(crate) record_count: i32,
    pub(crate) born_ms: u64,
}

/// What became of a record that was to be appended.
#[derive(Debug)]
pub(crate) enum Appended<'a, T> {
    /// It is the `index`-th record of a batch. `wakes`: there is something new to drain for.
    Taken { token: &'a T, index: i64, wakes: bool },
    /// The buffer is full.
    Full,
}

/// What goes on the wire for a batch.
#[derive(Debug)]
pub(crate) enum Body {
    /// Records that have not been made a batch yet.
    Builder(Box<BatchBuilder>),
    /// A batch under this identity and sequence.
    Built(Bytes),
    /// A batch that must be written anew under its new identity and sequence.
    Renumber(Bytes),
    /// It is on its way.
    Away,
}

/// A batch to be sent.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) slot: Slot,
    pub(crate) id: u64,
    pub(crate) body: Body,
    pub(crate) producer: ProducerIdentity,
    pub(crate) sequence: i32,
}

/// A request to be sent.
#[derive(Debug)]
pub(crate) struct Shipment {
    pub(crate) request: u64,
    pub(crate) node: i32,
    pub(crate) parcels: Vec<Parcel>,
}

/// What the broker, or the way to it, did with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Written at this offset; -1 when the broker does not tell.
    Written { base_offset: i64 },
    /// Refused.
    Refused(ErrorCode),
    /// Nobody knows.
    Lost,
}

/// Why a batch failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Refused(ErrorCode),
    TimedOut,
}

/// A batch that has come to its end.
#[derive(Debug)]
pub(crate) struct Finished<T> {
    pub(crate) token: T,
    pub(crate) result: Result<i64, Failure>,
}

/// What is to be done now.
#[derive(Debug)]
pub(crate) struct Plan<T> {
    pub(crate) shipments: Vec<Shipment>,
    pub(crate) finished: Vec<Finished<T>>,
    /// Topics whose leaders must be looked up.
    pub(crate) refresh: BTreeSet<usize>,
    /// An identity is needed before anything can be sent.
    pub(crate) wants_identity: bool,
    /// When to look again, if nothing happens before; in milliseconds.
    pub(crate) wake_at_ms: Option<u64>,
}

impl<T> Plan<T> {
    /// Looks again at this time, if no earlier one is planned.
    pub(super) fn wake_at(&mut self, at_ms: u64) {
        self.wake_at_ms = Some(self.wake_at_ms.map_or(at_ms, |other| other.min(at_ms)));
    }
}
