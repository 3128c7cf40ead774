//! Which transactions were aborted, and which still have batches while a run passes over them.

use std::collections::{BTreeMap, BTreeSet};

use protocol::record::BatchHeader;

use crate::index::AbortedEntry;

#[derive(Debug)]
pub(super) struct Transactions {
    /// Aborted ones by producer, in the order of offsets.
    aborted: BTreeMap<i64, Vec<AbortedEntry>>,
    /// Producers of which batches were met since their last marker.
    with_batches: BTreeSet<i64>,
}

impl Transactions {
    pub(super) fn new(entries: &[AbortedEntry]) -> Self {
        let mut aborted: BTreeMap<i64, Vec<AbortedEntry>> = BTreeMap::new();
        for entry in entries {
            aborted.entry(entry.producer_id).or_default().push(*entry);
        }
        Self { aborted, with_batches: BTreeSet::new() }
    }

    /// Whether a batch of records belongs to an aborted transaction.
    pub(super) fn is_aborted(&self, header: &BatchHeader) -> bool {
        header.is_transactional()
            && self.entry(header).is_some_and(|entry| entry.first_offset <= header.base_offset)
    }

    /// The aborted transaction that this marker ends.
    pub(super) fn marked_at(&self, header: &BatchHeader) -> Option<AbortedEntry> {
        let entry = self.entry(header)?;
        (header.is_control() && entry.last_offset == header.last_offset()).then_some(*entry)
    }

    /// Passes over a batch of records; tells whether its transaction was aborted.
    pub(super) fn pass(&mut self, header: &BatchHeader) -> bool {
        if header.is_transactional() {
            // Kept or not: a marker outlives its records by a run, so that none of them can be
            // left without it wherever the power goes.
            self.with_batches.insert(header.producer_id);
        }
        self.is_aborted(header)
    }

    /// Passes over a marker; tells whether batches of its transaction were met.
    pub(super) fn end(&mut self, header: &BatchHeader) -> bool {
        self.with_batches.remove(&header.producer_id)
    }

    /// The first aborted transaction of the producer that ends at or behind this batch.
    fn entry(&self, header: &BatchHeader) -> Option<&AbortedEntry> {
        let entries = self.aborted.get(&header.producer_id)?;
        let at = entries.partition_point(|entry| entry.last_offset < header.last_offset());
        entries.get(at)
    }
}
