//! Which transactions were aborted, and which still have records while a run passes over them.

use std::collections::{BTreeMap, BTreeSet};

use protocol::record::BatchHeader;

use crate::index::AbortedEntry;

#[derive(Debug)]
pub(super) struct Transactions {
    /// Aborted ones by producer, in the order of offsets.
    aborted: BTreeMap<i64, Vec<AbortedEntry>>,
    /// Producers of which records were kept since their last marker.
    with_records: BTreeSet<i64>,
}

impl Transactions {
    pub(super) fn new(entries: &[AbortedEntry]) -> Self {
        let mut aborted: BTreeMap<i64, Vec<AbortedEntry>> = BTreeMap::new();
        for entry in entries {
            aborted.entry(entry.producer_id).or_default().push(*entry);
        }
        Self { aborted, with_records: BTreeSet::new() }
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

    pub(super) fn note_records(&mut self, header: &BatchHeader) {
        if header.is_transactional() {
            self.with_records.insert(header.producer_id);
        }
    }

    /// Passes over a marker; tells whether records of its transaction were kept.
    pub(super) fn end(&mut self, header: &BatchHeader) -> bool {
        self.with_records.remove(&header.producer_id)
    }

    /// The first aborted transaction of the producer that ends at or behind this batch.
    fn entry(&self, header: &BatchHeader) -> Option<&AbortedEntry> {
        let entries = self.aborted.get(&header.producer_id)?;
        let at = entries.partition_point(|entry| entry.last_offset < header.last_offset());
        entries.get(at)
    }
}
