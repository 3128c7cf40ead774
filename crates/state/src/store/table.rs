//! Values by key in memory, with the changes of one transaction that can be taken back.
//!
//! Changes are made in place; the first change of a key within a transaction remembers what was
//! there before. A commit forgets the memory, an abort restores it. So reading costs one lookup,
//! and a transaction that touches a key a thousand times writes it to the changelog once.

use std::collections::HashMap;

use ahash::RandomState;
use base::cast;

use super::{Changed, Fate};
use crate::value::StateValue;

/// Bytes that a key costs beside its value and its own length, for the memory limit.
const PLACE_OVERHEAD_BYTES: usize = 96;

/// Bytes that a record of a changelog takes beside its key and its value.
pub(super) const CHANGE_OVERHEAD_BYTES: usize = 16;

/// A key with its value. Outside a transaction, one without life is free or waits for the disk.
#[derive(Debug)]
pub(super) struct Place<V> {
    pub(super) key: Box<[u8]>,
    pub(super) value: V,
    /// The transaction in which it was last changed.
    pub(super) changed_in: u64,
    pub(super) is_live: bool,
    /// Whether the disk holds something older; only of stores that have one.
    pub(super) is_newer: bool,
}

/// What was there before the transaction.
#[derive(Debug)]
pub(super) struct Undo<V> {
    pub(super) slot: u32,
    before: Option<V>,
}

/// Values by key.
#[derive(Debug)]
pub(super) struct Table<V> {
    index: HashMap<Box<[u8]>, u32, RandomState>,
    places: Vec<Place<V>>,
    free: Vec<u32>,
    undo: Vec<Undo<V>>,
    change_bytes: usize,
    transaction: u64,
    bytes: usize,
}

impl<V: StateValue> Default for Table<V> {
    fn default() -> Self {
        Self {
            index: HashMap::default(),
            places: Vec::new(),
            free: Vec::new(),
            undo: Vec::new(),
            change_bytes: 0,
            transaction: 1,
            bytes: 0,
        }
    }
}

impl<V: StateValue> Table<V> {
    /// The slot of a key, live or not.
    #[inline]
    pub(super) fn slot(&self, key: &[u8]) -> Option<u32> {
        self.index.get(key).copied()
    }

    /// Makes a place for a key that has none; it does not live yet.
    pub(super) fn insert(&mut self, key: &[u8]) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| cast::u32_of(self.places.len()));
        let fresh = Place {
            key: Box::from(key),
            value: V::default(),
            changed_in: 0,
            is_live: false,
            is_newer: false,
        };
        match self.places.get_mut(cast::usize_of_u32(slot)) {
            Some(place) => *place = fresh,
            None => self.places.push(fresh),
        }
        self.index.insert(Box::from(key), slot);
        self.bytes += place_bytes::<V>(key.len());
        slot
    }

    /// A place, live or not.
    pub(super) fn place(&self, slot: u32) -> Option<&Place<V>> {
        self.places.get(cast::usize_of_u32(slot))
    }

    /// A place, for those who keep the books of the disk.
    pub(super) fn place_mut(&mut self, slot: u32) -> &mut Place<V> {
        &mut self.places[cast::usize_of_u32(slot)]
    }

    /// Count of places, free ones too.
    pub(super) fn len(&self) -> u32 {
        cast::u32_of(self.places.len())
    }

    /// Whether the transaction under way has changed a place.
    pub(super) fn is_changed(&self, slot: u32) -> bool {
        self.place(slot).is_some_and(|place| place.changed_in == self.transaction)
    }

    /// Whether a place can leave memory between transactions: the disk has what it holds, and the
    /// last `recent` transactions have not changed it.
    pub(super) fn is_spare(&self, slot: u32, recent: u64) -> bool {
        self.place(slot).is_some_and(|place| {
            place.is_live && !place.is_newer && place.changed_in + recent < self.transaction
        })
    }

    /// The value in a slot, for changing within the transaction.
    #[inline]
    pub(super) fn change(&mut self, slot: u32) -> Changed<'_, V> {
        let transaction = self.transaction;
        let place = &mut self.places[cast::usize_of_u32(slot)];
        if place.changed_in != transaction {
            place.changed_in = transaction;
            self.undo.push(Undo { slot, before: place.is_live.then(|| place.value.clone()) });
            self.change_bytes += place.key.len() + size_of::<V>() + CHANGE_OVERHEAD_BYTES;
        }
        let is_new = !place.is_live;
        if is_new {
            place.is_live = true;
            place.value = V::default();
        }
        Changed { is_new, value: &mut place.value }
    }

    /// Takes the life of a place within the transaction; tells whether it had any.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        let transaction = self.transaction;
        let place = self.places.get_mut(cast::usize_of_u32(slot));
        let Some(place) = place.filter(|place| place.is_live) else {
            return false;
        };
        if place.changed_in != transaction {
            place.changed_in = transaction;
            self.undo.push(Undo { slot, before: Some(place.value.clone()) });
            self.change_bytes += place.key.len() + CHANGE_OVERHEAD_BYTES;
        }
        place.is_live = false;
        true
    }

    /// Judges the live places from a slot on, at most so many slots; tells the slot at which to go
    /// on, `None` at the end.
    pub(super) fn sweep(
        &mut self,
        from: u32,
        slots_max: usize,
        judge: &mut dyn FnMut(&V) -> Fate<V>,
    ) -> Option<u32> {
        let until = from.saturating_add(cast::u32_of(slots_max)).min(self.len());
        for slot in from..until {
            let place = self.place(slot).filter(|place| place.is_live);
            match place.map_or(Fate::Keep, |place| judge(&place.value)) {
                Fate::Keep => {}
                Fate::Renew(value) => *self.change(slot).value = value,
                Fate::Drop => {
                    self.remove(slot);
                }
            }
        }
        (until < self.len()).then_some(until)
    }

    /// Puts a value, outside any transaction; `None` takes the life of the place.
    pub(super) fn put(&mut self, slot: u32, value: Option<V>) {
        let place = self.place_mut(slot);
        place.is_live = value.is_some();
        place.value = value.unwrap_or_default();
    }

    /// Gives a place away, outside any transaction or of a change that is taken back.
    pub(super) fn release(&mut self, slot: u32) {
        let place = self.place_mut(slot);
        let key = std::mem::take(&mut place.key);
        place.is_live = false;
        place.is_newer = false;
        place.changed_in = 0;
        self.index.remove(&key);
        self.free.push(slot);
        self.bytes -= place_bytes::<V>(key.len());
    }

    /// Every key that the transaction changed, once, with its value unless it is gone.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&V>)> {
        self.undo.iter().map(|undo| {
            let place = &self.places[cast::usize_of_u32(undo.slot)];
            (&*place.key, place.is_live.then_some(&place.value))
        })
    }

    /// Bytes that the changes take in the changelog, roughly.
    #[inline]
    pub(super) fn change_bytes(&self) -> usize {
        self.change_bytes
    }

    /// Ends the transaction with its changes; `each` is called with every place that it changed.
    pub(super) fn settle(&mut self, mut each: impl FnMut(&mut Self, u32)) {
        self.end(|table, undo| each(table, undo.slot));
    }

    /// Ends the transaction without its changes; `each` is called with every place that came into
    /// life in it and has none any more.
    pub(super) fn roll_back(&mut self, mut each: impl FnMut(&mut Self, u32)) {
        self.end(|table, undo| {
            let is_gone = undo.before.is_none();
            table.put(undo.slot, undo.before);
            if is_gone {
                each(table, undo.slot);
            }
        });
    }

    fn end(&mut self, mut each: impl FnMut(&mut Self, Undo<V>)) {
        let mut undo = std::mem::take(&mut self.undo);
        undo.drain(..).for_each(|undo| each(self, undo));
        // The room stays, so that a steady stream of transactions allocates nothing.
        self.undo = undo;
        self.change_bytes = 0;
        self.transaction += 1;
    }

    /// All live places.
    pub(super) fn live(&self) -> impl Iterator<Item = (u32, &[u8], &V)> {
        let places = self.places.iter().enumerate().filter(|(_, place)| place.is_live);
        places.map(|(at, place)| (cast::u32_of(at), &*place.key, &place.value))
    }

    /// Memory in use, roughly, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn place_bytes<V>(key_bytes: usize) -> usize {
    // The key lies in the index and in its place.
    key_bytes * 2 + size_of::<V>() + PLACE_OVERHEAD_BYTES
}
