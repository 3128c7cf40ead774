//! The windows of a store on disk: how many keys each has, and which of them are in memory.

use std::collections::{BTreeMap, BTreeSet};

/// The open windows.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Keys by window, with the changes of the transaction.
    counts: BTreeMap<i64, u64>,
    /// What the transaction has changed, as it was before.
    before: BTreeMap<i64, u64>,
    /// Windows whose number on disk is another.
    unwritten: BTreeSet<i64>,
    /// Slots in memory by window.
    resident: BTreeSet<(i64, u32)>,
    /// How far the first window has been read from disk in this transaction.
    pub(super) cursor: Option<(i64, Vec<u8>)>,
}

impl Ends {
    /// As the disk has them.
    pub(super) fn new(counts: BTreeMap<i64, u64>) -> Self {
        Self { counts, ..Self::default() }
    }

    /// A key has come into a window, or has left it.
    pub(super) fn add(&mut self, end_ms: i64, is_more: bool) {
        let count = self.counts.get(&end_ms).copied().unwrap_or(0);
        self.before.entry(end_ms).or_insert(count);
        let count = if is_more { count + 1 } else { count.saturating_sub(1) };
        self.set(end_ms, count);
    }

    fn set(&mut self, end_ms: i64, count: u64) {
        if count == 0 {
            self.counts.remove(&end_ms);
        } else {
            self.counts.insert(end_ms, count);
        }
    }

    /// A slot in memory holds a key of a window.
    pub(super) fn enter(&mut self, end_ms: i64, slot: u32) {
        self.resident.insert((end_ms, slot));
    }

    /// A slot is given away.
    pub(super) fn leave(&mut self, end_ms: i64, slot: u32) {
        self.resident.remove(&(end_ms, slot));
    }

    /// Slots in memory that hold keys of a window.
    pub(super) fn resident(&self, end_ms: i64) -> impl Iterator<Item = u32> {
        self.resident.range((end_ms, 0)..=(end_ms, u32::MAX)).map(|(_, slot)| *slot)
    }

    /// The first window.
    pub(super) fn first(&self) -> Option<i64> {
        self.counts.first_key_value().map(|(end_ms, _)| *end_ms)
    }

    /// All windows.
    pub(super) fn all(&self) -> impl Iterator<Item = i64> {
        self.counts.keys().copied()
    }

    /// Keys of all windows.
    pub(super) fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The changes stay.
    pub(super) fn settle(&mut self) {
        self.unwritten.extend(std::mem::take(&mut self.before).into_keys());
        self.cursor = None;
    }

    /// The changes are undone.
    pub(super) fn roll_back(&mut self) {
        for (end_ms, count) in std::mem::take(&mut self.before) {
            self.set(end_ms, count);
        }
        self.cursor = None;
    }

    /// What the disk must be told, each window with its number of keys.
    pub(super) fn take_unwritten(&mut self) -> Vec<(i64, u64)> {
        let unwritten = std::mem::take(&mut self.unwritten).into_iter();
        unwritten.map(|end_ms| (end_ms, self.counts.get(&end_ms).copied().unwrap_or(0))).collect()
    }
}
