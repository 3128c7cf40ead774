//! A keyed store in memory whose uncommitted changes can be taken back.
//!
//! Changes are made in place; the first change of a key within a transaction remembers what was
//! there before. A commit forgets the memory, an abort restores it. So reading costs one lookup,
//! and a transaction that touches a key a thousand times writes it to the changelog once.

use std::collections::HashMap;

use ahash::RandomState;
use base::cast;

/// A value that a store keeps and a changelog carries.
pub(crate) trait StateValue: Clone + Default {
    /// Appends the value's bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the value back; `None` when the bytes are not of this kind.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

#[derive(Debug)]
struct Slot<V> {
    key: Box<[u8]>,
    value: V,
    /// The transaction in which the slot was last changed.
    changed_in: u64,
    is_live: bool,
}

#[derive(Debug)]
struct Undo<V> {
    slot: u32,
    /// What was there before the transaction.
    before: Option<V>,
}

/// A value that may be changed.
#[derive(Debug)]
pub(crate) struct Changed<'a, V> {
    /// Where it lies, until it is removed.
    pub(crate) slot: u32,
    /// Whether the key was not there before.
    pub(crate) is_new: bool,
    /// The value.
    pub(crate) value: &'a mut V,
}

/// Values by key.
#[derive(Debug)]
pub(crate) struct Store<V> {
    index: HashMap<Box<[u8]>, u32, RandomState>,
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    undo: Vec<Undo<V>>,
    /// Bytes that the transaction's changes take in the changelog, roughly.
    change_bytes: usize,
    transaction: u64,
    bytes: usize,
}

/// Bytes that a key costs beside its value and its own length, for the memory limit.
const SLOT_OVERHEAD_BYTES: usize = 96;

/// Bytes that a record of a changelog takes beside its key and its value.
const CHANGE_OVERHEAD_BYTES: usize = 16;

impl<V: StateValue> Default for Store<V> {
    fn default() -> Self {
        Self {
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            undo: Vec::new(),
            change_bytes: 0,
            transaction: 1,
            bytes: 0,
        }
    }
}

impl<V: StateValue> Store<V> {
    /// The value of a key, for changing; a missing one starts as the default.
    pub(crate) fn change(&mut self, key: &[u8]) -> Changed<'_, V> {
        let slot = match self.index.get(key) {
            Some(slot) => *slot,
            None => self.insert(key),
        };
        let transaction = self.transaction;
        let place = &mut self.slots[cast::usize_of_u32(slot)];
        if place.changed_in != transaction {
            place.changed_in = transaction;
            self.undo.push(Undo { slot, before: place.is_live.then(|| place.value.clone()) });
            self.change_bytes += key.len() + size_of::<V>() + CHANGE_OVERHEAD_BYTES;
        }
        let is_new = !place.is_live;
        if is_new {
            place.is_live = true;
            place.value = V::default();
        }
        Changed { slot, is_new, value: &mut place.value }
    }

    fn insert(&mut self, key: &[u8]) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| cast::u32_of(self.slots.len()));
        let fresh =
            Slot { key: Box::from(key), value: V::default(), changed_in: 0, is_live: false };
        match self.slots.get_mut(cast::usize_of_u32(slot)) {
            Some(place) => *place = fresh,
            None => self.slots.push(fresh),
        }
        self.index.insert(Box::from(key), slot);
        self.bytes += key.len() * 2 + size_of::<V>() + SLOT_OVERHEAD_BYTES;
        slot
    }

    /// The key and value in a slot that [`Store::change`] named.
    pub(crate) fn at(&self, slot: u32) -> Option<(&[u8], &V)> {
        let place = self.slots.get(cast::usize_of_u32(slot)).filter(|place| place.is_live)?;
        Some((&place.key, &place.value))
    }

    /// Forgets the key in a slot.
    pub(crate) fn remove(&mut self, slot: u32) {
        let transaction = self.transaction;
        let Some(place) = self.slots.get_mut(cast::usize_of_u32(slot)).filter(|it| it.is_live)
        else {
            return;
        };
        if place.changed_in != transaction {
            place.changed_in = transaction;
            self.undo.push(Undo { slot, before: Some(place.value.clone()) });
            self.change_bytes += place.key.len() + CHANGE_OVERHEAD_BYTES;
        }
        place.is_live = false;
    }

    /// Every key that the transaction changed, once, with its value unless it is gone.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&V>)> {
        self.undo.iter().map(|undo| {
            let place = &self.slots[cast::usize_of_u32(undo.slot)];
            (&*place.key, place.is_live.then_some(&place.value))
        })
    }

    /// Bytes that the changes take in the changelog, roughly.
    pub(crate) fn change_bytes(&self) -> usize {
        self.change_bytes
    }

    /// The transaction is committed: its changes stay.
    pub(crate) fn settle(&mut self) {
        for undo in std::mem::take(&mut self.undo) {
            if !self.slots[cast::usize_of_u32(undo.slot)].is_live {
                self.release(undo.slot);
            }
        }
        self.change_bytes = 0;
        self.transaction += 1;
    }

    /// The transaction is aborted: everything is as it was before.
    pub(crate) fn roll_back(&mut self) {
        for undo in std::mem::take(&mut self.undo) {
            let place = &mut self.slots[cast::usize_of_u32(undo.slot)];
            match undo.before {
                Some(before) => {
                    place.value = before;
                    place.is_live = true;
                }
                None => self.release(undo.slot),
            }
        }
        self.change_bytes = 0;
        self.transaction += 1;
    }

    fn release(&mut self, slot: u32) {
        let place = &mut self.slots[cast::usize_of_u32(slot)];
        let key = std::mem::take(&mut place.key);
        place.is_live = false;
        place.changed_in = 0;
        self.index.remove(&key);
        self.free.push(slot);
        self.bytes -= key.len() * 2 + size_of::<V>() + SLOT_OVERHEAD_BYTES;
    }

    /// Takes over a value that was restored; outside any transaction.
    pub(crate) fn restore(&mut self, key: &[u8], value: Option<V>) {
        match value {
            Some(value) => *self.change(key).value = value,
            None => {
                if let Some(slot) = self.index.get(key).copied() {
                    self.remove(slot);
                }
            }
        }
        self.settle();
    }

    /// All live slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &[u8], &V)> {
        let slots = self.slots.iter().enumerate().filter(|(_, place)| place.is_live);
        slots.map(|(at, place)| (cast::u32_of(at), &*place.key, &place.value))
    }

    /// Live keys.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Memory in use, roughly, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// How often a key came.
impl StateValue for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(COUNT_VERSION);
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let fixed = <[u8; 8]>::try_from(rest).ok()?;
        (*version == COUNT_VERSION).then(|| Self::from_be_bytes(fixed))
    }
}

const COUNT_VERSION: u8 = 1;
const MEAN_VERSION: u8 = 1;
const MEAN_BYTES: usize = 25;

/// A sum with its rounding error (Neumaier 1974) and the number of addends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Mean {
    sum: f64,
    lost: f64,
    pub(crate) count: u64,
}

impl Mean {
    /// Takes one more number in.
    pub(crate) fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
        self.count += 1;
    }

    /// The mean of the numbers so far; 0 for none.
    pub(crate) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.sum + self.lost) / cast::f64_of(self.count) }
    }
}

impl StateValue for Mean {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(MEAN_VERSION);
        out.extend_from_slice(&self.sum.to_bits().to_be_bytes());
        out.extend_from_slice(&self.lost.to_bits().to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let fixed = <[u8; MEAN_BYTES]>::try_from(bytes).ok()?;
        let number =
            |from: usize| fixed[from..].first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        (fixed[0] == MEAN_VERSION).then_some(Self {
            sum: f64::from_bits(number(1)?),
            lost: f64::from_bits(number(9)?),
            count: number(17)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(store: &Store<u64>) -> Vec<(Vec<u8>, u64)> {
        let mut all: Vec<_> = store.slots().map(|(_, key, value)| (key.to_vec(), *value)).collect();
        all.sort();
        all
    }

    #[test]
    fn a_key_touched_often_is_written_once() {
        let mut store = Store::default();
        for _ in 0..5 {
            *store.change(b"a").value += 1;
        }
        let changes: Vec<_> = store.changes().map(|(key, value)| (key, value.copied())).collect();
        assert_eq!(changes, [(&b"a"[..], Some(5))]);
        assert_eq!(store.change_bytes(), 1 + 8 + CHANGE_OVERHEAD_BYTES);
        store.settle();
        assert_eq!(store.change_bytes(), 0);
        store.change(b"b");
        store.roll_back();
        assert_eq!(store.change_bytes(), 0);
    }

    #[test]
    fn values_survive_their_bytes_and_foreign_bytes_are_refused() {
        let mut mean = Mean::default();
        mean.add(0.1);
        mean.add(1e17);
        let mut bytes = Vec::new();
        mean.encode(&mut bytes);
        assert_eq!(Mean::decode(&bytes), Some(mean));
        assert_eq!(Mean::decode(&bytes[1..]), None);
        assert_eq!(u64::decode(&bytes), None);
        assert_eq!(u64::decode(&[2, 0, 0, 0, 0, 0, 0, 0, 1]), None);
    }

    #[test]
    fn a_mean_keeps_what_plain_addition_would_lose() {
        let mut mean = Mean::default();
        for value in [1e16, 1.0, -1e16, 1.0] {
            mean.add(value);
        }
        assert!((mean.mean() - 0.5).abs() < 1e-12);
    }

    #[derive(Debug, Clone)]
    enum Act {
        Add(u8),
        Remove(u8),
        Settle,
        RollBack,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            6 => (0u8..6).prop_map(Act::Add),
            2 => (0u8..6).prop_map(Act::Remove),
            1 => Just(Act::Settle),
            1 => Just(Act::RollBack),
        ]
    }

    proptest! {
        #[test]
        fn a_store_behaves_like_a_map_with_savepoints(acts in prop::collection::vec(act(), 0..60)) {
            let mut store: Store<u64> = Store::default();
            let mut now = std::collections::BTreeMap::<Vec<u8>, u64>::new();
            let mut committed = now.clone();
            for act in acts {
                match act {
                    Act::Add(key) => {
                        *store.change(&[key]).value += 1;
                        *now.entry(vec![key]).or_default() += 1;
                    }
                    Act::Remove(key) => {
                        let slot = store.index.get(&[key][..]).copied();
                        if let Some(slot) = slot {
                            store.remove(slot);
                        }
                        now.remove(&vec![key]);
                    }
                    Act::Settle => {
                        store.settle();
                        committed = now.clone();
                    }
                    Act::RollBack => {
                        store.roll_back();
                        now = committed.clone();
                    }
                }
                prop_assert_eq!(content(&store), now.clone().into_iter().collect::<Vec<_>>());
            }
            store.roll_back();
            prop_assert_eq!(content(&store), committed.into_iter().collect::<Vec<_>>());
            prop_assert!(store.bytes() >= store.len());
        }
    }
}
