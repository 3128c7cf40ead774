//! The batches of one partition.

use std::collections::VecDeque;

use protocol::record::{BATCH_HEADER_BYTES, BatchBuilder, BatchOptions, ProducerIdentity};

use super::facts::{Body, Parts, Rules};

/// The batches of one partition.
#[derive(Debug)]
pub(super) struct Lane<T> {
    pub(super) open: Option<Batch<T>>,
    pub(super) queue: VecDeque<Batch<T>>,
    pub(super) in_flight: VecDeque<Batch<T>>,
    pub(super) next_sequence: i32,
    pub(super) retry_at_ms: u64,
    /// Something came back: wait for the rest before anything is sent again.
    pub(super) is_held: bool,
    /// The broker cannot place our sequences any more.
    pub(super) is_broken: bool,
    /// The leader has taken a batch of our identity, so it insists on the next sequence.
    pub(super) is_established: bool,
    /// The transaction coordinator knows of this partition.
    pub(super) is_registered: bool,
    /// Size of the last batch that was closed, as a hint for the next.
    pub(super) last_bytes: usize,
    /// The offset behind what the broker has written, as far as it told; 0 before.
    pub(super) written_end: i64,
}

#[derive(Debug)]
pub(super) struct Batch<T> {
    pub(super) id: u64,
    pub(super) body: Body,
    pub(super) bytes: usize,
    pub(super) record_count: i32,
    pub(super) born_ms: u64,
    pub(super) attempts: u32,
    pub(super) number: Option<(ProducerIdentity, i32)>,
    pub(super) token: T,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            open: None,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            next_sequence: 0,
            retry_at_ms: 0,
            is_held: false,
            is_broken: false,
            is_established: false,
            is_registered: false,
            last_bytes: 0,
            written_end: 0,
        }
    }
}

impl<T> Lane<T> {
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.queue.is_empty()
    }

    pub(super) fn close_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.last_bytes = open.bytes;
            self.queue.push_back(open);
        }
    }

    /// Puts a batch back where its age belongs.
    pub(super) fn requeue(&mut self, batch: Batch<T>) {
        let at = self.queue.iter().position(|other| other.id > batch.id);
        self.queue.insert(at.unwrap_or(self.queue.len()), batch);
    }
}

impl<T> Batch<T> {
    pub(super) fn open(rules: &Rules, id: u64, hint: usize, (born_ms, token): (u64, T)) -> Self {
        // A batch like the one before it needs no growing, and what is growing has room.
        let hint = hint.max(rules.batch_bytes_first) + rules.batch_bytes_first / 4;
        let builder = BatchBuilder::new(BatchOptions {
            compression: rules.compression,
            producer: ProducerIdentity::NONE,
            base_sequence: -1,
            transactional: rules.is_transactional,
            capacity: hint,
        });
        Self {
            id,
            body: Body::Builder(Box::new(builder)),
            bytes: BATCH_HEADER_BYTES,
            record_count: 0,
            born_ms,
            attempts: 0,
            number: None,
            token,
        }
    }

    /// Appends a record; tells how many bytes the buffer grew by.
    pub(super) fn append(&mut self, parts: &Parts<'_>) -> usize {
        let Body::Builder(builder) = &mut self.body else {
            unreachable!("an open batch has not been built");
        };
        builder.append(parts.timestamp, parts.key, parts.value, parts.headers);
        // The header of a batch is counted with its first record.
        let before = if self.record_count == 0 { 0 } else { self.bytes };
        self.bytes = builder.bytes_len();
        self.record_count += 1;
        self.bytes - before
    }
}
