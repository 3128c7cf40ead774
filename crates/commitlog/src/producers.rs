//! Who wrote what last: idempotence, fencing and open transactions of one log.
//!
//! The rules are Kafka's (`ProducerAppendInfo`). Appends are checked against an [`Overlay`], which
//! becomes part of the state only after the bytes are written, so that a write that fails leaves
//! no trace.

use std::collections::{BTreeMap, BTreeSet};

use protocol::record::{BatchHeader, sequence_add};

use crate::error::AppendError;
use crate::index::AbortedEntry;
use crate::limits::{PRODUCER_BATCHES_MAX, PRODUCERS_MAX};

const NO_EPOCH: i16 = -1;
const NO_SEQUENCE: i32 = -1;

/// A batch that a producer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub first_sequence: i32,
    pub last_sequence: i32,
    pub last_offset: i64,
    pub offset_delta: i32,
}

impl Written {
    pub(crate) fn base_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }
}

/// What is known of one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub epoch: i16,
    pub coordinator_epoch: i32,
    pub txn_first_offset: Option<i64>,
    /// When it was last heard of, in ms since 1970.
    pub seen_ms: i64,
    /// Its last batches, oldest first; the array is filled from the front.
    batches: [Option<Written>; PRODUCER_BATCHES_MAX],
}

impl Producer {
    fn unknown() -> Self {
        Self {
            epoch: NO_EPOCH,
            coordinator_epoch: -1,
            txn_first_offset: None,
            seen_ms: 0,
            batches: [None; PRODUCER_BATCHES_MAX],
        }
    }

    pub(crate) fn from_snapshot(epoch: i16, coordinator_epoch: i32, seen_ms: i64) -> Self {
        Self { epoch, coordinator_epoch, seen_ms, ..Self::unknown() }
    }

    pub(crate) fn last(&self) -> Option<Written> {
        self.batches.iter().rev().find_map(|batch| *batch)
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        self.last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    pub(crate) fn push(&mut self, batch: Written) {
        match self.batches.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(batch),
            None => {
                self.batches.rotate_left(1);
                self.batches[PRODUCER_BATCHES_MAX - 1] = Some(batch);
            }
        }
    }

    /// Puts an older batch before those known, if there is room and it was not known.
    fn push_front(&mut self, batch: Written) {
        let known = self.batches.iter().flatten().any(|b| b.last_offset <= batch.last_offset);
        if known || self.batches[PRODUCER_BATCHES_MAX - 1].is_some() {
            return;
        }
        self.batches.rotate_right(1);
        self.batches[0] = Some(batch);
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<Written> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        self.batches
            .iter()
            .flatten()
            .find(|batch| batch.first_sequence == first && batch.last_sequence == last)
            .copied()
    }

    fn enter_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = [None; PRODUCER_BATCHES_MAX];
        }
    }
}

/// A transaction's end, as its marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub aborted: bool,
    pub coordinator_epoch: i32,
}

/// A transaction that ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EndedTxn {
    producer_id: i64,
    first_offset: i64,
    /// The marker's offset.
    last_offset: i64,
    aborted: bool,
}

/// All producers of a log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Producers {
    known: BTreeMap<i64, Producer>,
    /// First offsets of open transactions with their producers.
    open: BTreeSet<(i64, i64)>,
    /// Whether a producer may have written more batches than are remembered.
    pub history_missing: bool,
}

/// Changes that are not written yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlay {
    changed: BTreeMap<i64, Producer>,
    events: Vec<TxnEvent>,
}

/// What happened to transactions, in the order of offsets.
#[derive(Debug, Clone, Copy)]
enum TxnEvent {
    Opened { first_offset: i64, producer_id: i64 },
    Ended(EndedTxn),
}

impl Producers {
    /// The offset before which no transaction is open.
    pub(crate) fn first_open(&self) -> Option<i64> {
        self.open.first().map(|(offset, _)| *offset)
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn find(&self, id: i64) -> Option<&Producer> {
        self.known.get(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.known.iter().map(|(id, producer)| (*id, producer))
    }

    /// Puts a producer of a snapshot in place.
    pub(crate) fn insert(&mut self, id: i64, producer: Producer) {
        if let Some(first) = producer.txn_first_offset {
            self.open.insert((first, id));
        }
        self.known.insert(id, producer);
    }

    /// The earlier attempt that this batch repeats, if it is still remembered.
    pub(crate) fn duplicate(&self, overlay: &Overlay, header: &BatchHeader) -> Option<Written> {
        let id = header.producer_id;
        let producer = overlay.changed.get(&id).or_else(|| self.known.get(&id))?;
        producer.duplicate_of(header)
    }

    /// Checks a client's batch and takes it into the overlay. The header bears its final offsets.
    pub(crate) fn check_client(
        &self,
        overlay: &mut Overlay,
        header: &BatchHeader,
        now_ms: i64,
    ) -> Result<(), AppendError> {
        let producer = self.latest(overlay, header.producer_id);
        check_epoch(&producer, header)?;
        check_sequence(&producer, header)?;
        if producer.txn_first_offset.is_some() && !header.is_transactional() {
            return Err(AppendError::InvalidTxnState { producer_id: header.producer_id });
        }
        overlay.note_batch(producer, header, now_ms);
        Ok(())
    }

    /// Takes a batch of a coordinator into the overlay.
    pub(crate) fn check_coordinator(
        &self,
        overlay: &mut Overlay,
        header: &BatchHeader,
        now_ms: i64,
    ) -> Result<(), AppendError> {
        let producer = self.latest(overlay, header.producer_id);
        check_epoch(&producer, header)?;
        overlay.note_batch(producer, header, now_ms);
        Ok(())
    }

    /// Takes a transaction's end into the overlay.
    pub(crate) fn check_marker(
        &self,
        overlay: &mut Overlay,
        header: &BatchHeader,
        marker: Marker,
        now_ms: i64,
    ) -> Result<(), AppendError> {
        let producer = self.latest(overlay, header.producer_id);
        check_epoch(&producer, header)?;
        if marker.coordinator_epoch < producer.coordinator_epoch {
            return Err(AppendError::CoordinatorFenced {
                found: marker.coordinator_epoch,
                known: producer.coordinator_epoch,
            });
        }
        overlay.end_txn(producer, header, marker, now_ms);
        Ok(())
    }

    /// Takes what is now written into the state; gives the transactions that were aborted.
    pub(crate) fn apply(&mut self, overlay: Overlay) -> Vec<AbortedEntry> {
        self.known.extend(overlay.changed);
        let mut aborted = Vec::new();
        for event in overlay.events {
            match event {
                TxnEvent::Opened { first_offset, producer_id } => {
                    self.open.insert((first_offset, producer_id));
                }
                TxnEvent::Ended(ended) => {
                    self.open.remove(&(ended.first_offset, ended.producer_id));
                    if ended.aborted {
                        aborted.push(self.aborted_entry(&ended));
                    }
                }
            }
        }
        aborted
    }

    fn aborted_entry(&self, ended: &EndedTxn) -> AbortedEntry {
        AbortedEntry {
            producer_id: ended.producer_id,
            first_offset: ended.first_offset,
            last_offset: ended.last_offset,
            last_stable_offset: self.first_open().unwrap_or(ended.last_offset + 1),
        }
    }

    /// Takes a batch of the log into the state while it is read back; nothing is refused.
    pub(crate) fn replay(
        &mut self,
        header: &BatchHeader,
        marker: Option<Marker>,
        now_ms: i64,
    ) -> Option<AbortedEntry> {
        if !header.has_producer() || (header.is_control() && marker.is_none()) {
            return None;
        }
        let mut overlay = Overlay::default();
        let producer = self.latest(&overlay, header.producer_id);
        match marker {
            Some(marker) => overlay.end_txn(producer, header, marker, now_ms),
            None => overlay.note_batch(producer, header, now_ms),
        }
        self.apply(overlay).pop()
    }

    /// Adds batches that lie before those remembered; given newest first.
    pub(crate) fn remember(&mut self, header: &BatchHeader) {
        let Some(producer) = self.known.get_mut(&header.producer_id) else { return };
        if header.producer_epoch == producer.epoch && !header.is_control() {
            producer.push_front(written(header));
        }
    }

    /// Forgets producers that were silent for long, and the longest silent above the limit.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let due = now_ms.saturating_sub(expiration_ms);
        self.known.retain(|_, p| p.txn_first_offset.is_some() || p.seen_ms > due);
        let surplus = self.known.len().saturating_sub(PRODUCERS_MAX);
        if surplus == 0 {
            return;
        }
        let idle = self.known.iter().filter(|(_, p)| p.txn_first_offset.is_none());
        let mut by_age: Vec<(i64, i64)> = idle.map(|(id, p)| (p.seen_ms, *id)).collect();
        by_age.sort_unstable();
        for (_, id) in by_age.into_iter().take(surplus) {
            self.known.remove(&id);
        }
    }

    fn latest(&self, overlay: &Overlay, id: i64) -> Producer {
        let known = overlay.changed.get(&id).or_else(|| self.known.get(&id));
        known.copied().unwrap_or_else(Producer::unknown)
    }
}

fn check_epoch(producer: &Producer, header: &BatchHeader) -> Result<(), AppendError> {
    if header.producer_epoch < producer.epoch {
        return Err(AppendError::InvalidProducerEpoch {
            producer_id: header.producer_id,
            found: header.producer_epoch,
            known: producer.epoch,
        });
    }
    Ok(())
}

fn check_sequence(producer: &Producer, header: &BatchHeader) -> Result<(), AppendError> {
    // Of a producer that is not known nothing can be said: its records may have been deleted.
    if producer.epoch == NO_EPOCH {
        return Ok(());
    }
    let last = producer.last_sequence();
    let follows = if header.producer_epoch == producer.epoch && last != NO_SEQUENCE {
        header.base_sequence == sequence_add(last, 1)
    } else {
        header.base_sequence == 0
    };
    if follows {
        return Ok(());
    }
    let (producer_id, found) = (header.producer_id, header.base_sequence);
    Err(AppendError::OutOfOrderSequence { producer_id, found, last })
}

fn written(header: &BatchHeader) -> Written {
    Written {
        first_sequence: header.base_sequence,
        last_sequence: header.last_sequence(),
        last_offset: header.last_offset(),
        offset_delta: header.last_offset_delta,
    }
}

impl Overlay {
    fn note_batch(&mut self, mut producer: Producer, header: &BatchHeader, now_ms: i64) {
        let producer_id = header.producer_id;
        producer.enter_epoch(header.producer_epoch);
        producer.seen_ms = now_ms;
        if header.base_sequence >= 0 {
            producer.push(written(header));
        }
        if header.is_transactional() && producer.txn_first_offset.is_none() {
            let first_offset = header.base_offset;
            producer.txn_first_offset = Some(first_offset);
            self.events.push(TxnEvent::Opened { first_offset, producer_id });
        }
        self.changed.insert(producer_id, producer);
    }

    fn end_txn(&mut self, mut producer: Producer, header: &BatchHeader, marker: Marker, now: i64) {
        producer.enter_epoch(header.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.seen_ms = now;
        if let Some(first_offset) = producer.txn_first_offset.take() {
            self.events.push(TxnEvent::Ended(EndedTxn {
                producer_id: header.producer_id,
                first_offset,
                last_offset: header.last_offset(),
                aborted: marker.aborted,
            }));
        }
        self.changed.insert(header.producer_id, producer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard_of(seen_ms: i64) -> Producer {
        Producer::from_snapshot(0, -1, seen_ms)
    }

    fn number(at: i32) -> Written {
        Written {
            first_sequence: at,
            last_sequence: at,
            last_offset: i64::from(at),
            offset_delta: 0,
        }
    }

    #[test]
    fn the_longest_silent_are_forgotten_above_the_limit_but_none_in_a_transaction() {
        let mut producers = Producers::default();
        let mut open = heard_of(0);
        open.txn_first_offset = Some(7);
        producers.insert(0, open);
        for (id, seen_ms) in (1..).zip(1..).take(PRODUCERS_MAX + 4) {
            producers.insert(id, heard_of(seen_ms));
        }
        producers.expire(1_000_000, 1_000_000);
        assert_eq!(producers.len(), PRODUCERS_MAX);
        let ids: Vec<i64> = producers.iter().map(|(id, _)| id).take(2).collect();
        assert_eq!(ids, [0, 6], "the one in a transaction stays, five others go");
        producers.expire(2_000_000, 1_000_000);
        assert_eq!(producers.len(), 1);
    }

    #[test]
    fn five_batches_are_remembered_and_older_ones_are_put_before_them() {
        let mut producer = heard_of(0);
        for at in 0..i32::try_from(PRODUCER_BATCHES_MAX).unwrap() + 2 {
            producer.push(number(at));
        }
        let first = |producer: &Producer| producer.batches[0].unwrap().first_sequence;
        assert_eq!((first(&producer), producer.last_sequence()), (2, 6));
        let mut producer = heard_of(0);
        producer.push(number(9));
        for at in [8, 7, 7, 9, 6, 5, 4] {
            producer.push_front(number(at));
        }
        assert_eq!((first(&producer), producer.last_sequence()), (5, 9));
    }
}
