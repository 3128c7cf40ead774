//! The contract of all stores, and the choice of one.
//!
//! A store belongs to one task and one partition. What operators need costs one branch before the
//! store's own code, because that is the price of each record.

#[cfg(test)]
mod conformance;
mod ends;
mod memory;
mod shelf;
mod spill;
mod table;

use std::ops::Range;

use protocol::partitioner::{murmur2, to_positive};

use crate::value::StateValue;
pub use memory::MemoryStore;
pub use shelf::{Owner, Shares, Shelf, ShelfError, Shelves, prune};
pub use spill::SpillStore;

/// Shards of a key space; fixed, because it is written into every key of a changelog.
pub const VIRTUAL_SHARDS: u16 = 1024;

/// All shards.
pub const ALL_SHARDS: Range<u16> = 0..VIRTUAL_SHARDS;

const END_BYTES: usize = 8;

/// The shard of a record's key: state can be moved by ranges of it.
#[inline]
pub fn shard_of(record_key: &[u8]) -> u16 {
    let shard = to_positive(murmur2(record_key)) % i32::from(VIRTUAL_SHARDS);
    u16::try_from(shard).expect("a shard is below 1024")
}

/// The end of a window and the record's key, out of a windowed store's key.
#[inline]
pub fn split_key(stored: &[u8]) -> Option<(i64, &[u8])> {
    let (end, rest) = stored.split_first_chunk::<END_BYTES>()?;
    Some((i64::from_be_bytes(*end), rest))
}

/// What the keys of a store are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The record's key.
    Keyed,
    /// The window's end, `i64` big-endian, then the record's key.
    Windowed,
}

impl Layout {
    /// The record's key in a key of the store.
    pub fn record_key(self, stored: &[u8]) -> &[u8] {
        match (self, split_key(stored)) {
            (Self::Windowed, Some((_, record_key))) => record_key,
            _ => stored,
        }
    }

    /// The end of the window that a key of the store belongs to.
    pub fn end_ms(self, stored: &[u8]) -> Option<i64> {
        match self {
            Self::Keyed => None,
            Self::Windowed => split_key(stored).map(|(end_ms, _)| end_ms),
        }
    }

    fn shard(self, stored: &[u8]) -> u16 {
        shard_of(self.record_key(stored))
    }
}

/// How much of its changelog a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// What the changelog says before this offset is in the store.
    pub offset: i64,
    /// When that was so, or earlier, in milliseconds since 1970.
    pub at_ms: i64,
    /// The time up to which the changelog says before the offset that windows are closed; none
    /// ([`NO_TIME`](crate::value::NO_TIME)) where there are no windows.
    pub closed_ms: i64,
}

/// A value that may be changed.
#[derive(Debug)]
pub struct Changed<'a, V> {
    /// Whether the key was not there before.
    pub is_new: bool,
    /// The value.
    pub value: &'a mut V,
}

/// What is to become of a key that a sweep meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate<V> {
    /// It stays as it is.
    Keep,
    /// It gets this value.
    Renew(V),
    /// It is forgotten.
    Drop,
}

/// What every store does; `conformance.rs` holds each of them against one model.
///
/// Changes belong to the transaction under way until `settle` makes them stay or `roll_back`
/// undoes them. Slots are valid within the transaction that named them.
pub trait StateStore<V: StateValue> {
    /// The value of a key, for changing; a missing one starts as the default.
    fn change(&mut self, key: &[u8]) -> Changed<'_, V>;

    /// Where the value of a key lies; `None` for a key that is not there.
    fn find(&mut self, key: &[u8]) -> Option<u32>;

    /// The key and value in a slot.
    fn at(&self, slot: u32) -> Option<(&[u8], &V)>;

    /// Forgets the key in a slot.
    fn remove(&mut self, slot: u32);

    /// Slots of the first window, when it ends at or before a time: all of them or the next page,
    /// so that whoever removes them calls again until there are none. Windowed stores only.
    fn take_due(&mut self, until_ms: i64) -> Option<(i64, Vec<u32>)>;

    /// Judges the next keys, so many of them, in a round through all that are there; tells whether
    /// the round is over. Keys that come meanwhile may be missed. Stores without windows only.
    fn sweep(&mut self, keys_max: usize, judge: &mut dyn FnMut(&V) -> Fate<V>) -> bool;

    /// Windows that are open, each with its keys counted; 0 where there are no windows.
    fn open_windows(&self) -> usize;

    /// Every key that the transaction changed, once, with its value unless it is gone.
    fn changes<'s>(&'s self) -> impl Iterator<Item = (&'s [u8], Option<&'s V>)>
    where
        V: 's;

    /// Bytes that the changes take in the changelog, roughly; 0 when nothing is changed.
    fn change_bytes(&self) -> usize;

    /// The transaction is committed: its changes stay. `applied` says how much of the changelog
    /// is in the store now; `None` when nobody knows more than before.
    fn settle(&mut self, applied: Option<Applied>);

    /// The transaction is aborted: everything is as it was before.
    fn roll_back(&mut self);

    /// Takes over a change that the changelog tells; between transactions.
    fn restore(&mut self, key: &[u8], value: Option<V>);

    /// Calls `each` with everything in a range of shards, in no order; between transactions.
    fn each<E>(
        &self,
        shards: Range<u16>,
        each: impl FnMut(&[u8], &V) -> Result<(), E>,
    ) -> Result<(), E>;

    /// How much of its changelog it holds, as it was told last; `None` where nobody has known.
    fn applied(&self) -> Option<Applied>;

    /// Memory in use, roughly, in bytes.
    fn bytes(&self) -> usize;
}

/// A store of one of the kinds that there are.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one per task, and records go through it")]
pub enum Store<V> {
    /// All of it in memory.
    Memory(MemoryStore<V>),
    /// All of it on disk, and what is in use in memory.
    Spill(Box<SpillStore<V>>),
}

/// Does the same with whichever store it is.
macro_rules! with_store {
    ($store:expr, $inner:ident => $work:expr) => {
        match $store {
            Store::Memory($inner) => $work,
            Store::Spill($inner) => $work,
        }
    };
}

impl<V: StateValue> Store<V> {
    /// An empty store in memory.
    pub fn memory(layout: Layout) -> Self {
        Self::Memory(MemoryStore::new(layout))
    }

    /// Why its content is not to be trusted any more; never of a store in memory.
    pub fn failure(&self) -> Option<ShelfError> {
        match self {
            Self::Memory(_) => None,
            Self::Spill(store) => store.failure(),
        }
    }

    /// Writes what is newer than the disk, where there is one; between transactions.
    pub fn write(&mut self) {
        match self {
            Self::Memory(_) => {}
            Self::Spill(store) => store.write(),
        }
    }
}

impl<V: StateValue> StateStore<V> for Store<V> {
    #[inline]
    fn change(&mut self, key: &[u8]) -> Changed<'_, V> {
        with_store!(self, store => store.change(key))
    }

    fn find(&mut self, key: &[u8]) -> Option<u32> {
        with_store!(self, store => store.find(key))
    }

    fn at(&self, slot: u32) -> Option<(&[u8], &V)> {
        with_store!(self, store => store.at(slot))
    }

    fn remove(&mut self, slot: u32) {
        with_store!(self, store => store.remove(slot));
    }

    fn take_due(&mut self, until_ms: i64) -> Option<(i64, Vec<u32>)> {
        with_store!(self, store => store.take_due(until_ms))
    }

    fn sweep(&mut self, keys_max: usize, judge: &mut dyn FnMut(&V) -> Fate<V>) -> bool {
        with_store!(self, store => store.sweep(keys_max, judge))
    }

    fn open_windows(&self) -> usize {
        with_store!(self, store => store.open_windows())
    }

    fn changes<'s>(&'s self) -> impl Iterator<Item = (&'s [u8], Option<&'s V>)>
    where
        V: 's,
    {
        with_store!(self, store => store.table()).changes()
    }

    #[inline]
    fn change_bytes(&self) -> usize {
        with_store!(self, store => store.change_bytes())
    }

    fn settle(&mut self, applied: Option<Applied>) {
        with_store!(self, store => store.settle(applied));
    }

    fn roll_back(&mut self) {
        with_store!(self, store => store.roll_back());
    }

    fn restore(&mut self, key: &[u8], value: Option<V>) {
        with_store!(self, store => store.restore(key, value));
    }

    fn each<E>(
        &self,
        shards: Range<u16>,
        each: impl FnMut(&[u8], &V) -> Result<(), E>,
    ) -> Result<(), E> {
        with_store!(self, store => store.each(shards, each))
    }

    fn applied(&self) -> Option<Applied> {
        with_store!(self, store => store.applied())
    }

    fn bytes(&self) -> usize {
        with_store!(self, store => store.bytes())
    }
}
