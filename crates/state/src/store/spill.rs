//! A store on disk behind a write-back cache in memory.
//!
//! ```text
//! change --> table --settle--> newer than the disk --write--> shelf {values, label}
//!              ^---- miss ---------------------------------------|
//! ```
//!
//! What a transaction changes lies in the table until it is settled, as in the store in memory.
//! What is settled stays there until enough of it has gathered, and is then written in one batch
//! with how much of the changelog it is. So a crash loses what is newer than the disk, and the
//! changelog behind the label brings it back. What is not newer may leave memory at any time
//! between transactions.
//!
//! A disk that fails is remembered and not told at once: operators go on with values that are
//! wrong, and the slot looks for it before it hands anything on.

use std::ops::Range;
use std::sync::Mutex;

use base::cast;

use super::ends::Ends;
use super::shelf::{Shelf, ShelfError};
use super::table::{CHANGE_OVERHEAD_BYTES, Table};
use super::{ALL_SHARDS, Applied, Changed, Fate, Layout, StateStore};
use crate::limits::{
    DUE_KEYS_MAX, SPILL_RECENT_TRANSACTIONS, SPILL_TRANSACTIONS_MAX, SPILL_UNWRITTEN_BYTES_MAX,
};
use crate::value::StateValue;

/// State in files, and what is in use of it in memory.
#[derive(Debug)]
pub struct SpillStore<V> {
    layout: Layout,
    table: Table<V>,
    shelf: Shelf,
    ends: Ends,
    /// Memory that the table may take between transactions, in bytes.
    /// Slots that are newer than the disk.
    newer: Vec<u32>,
    newer_bytes: usize,
    /// Transactions that have been settled since the last writing.
    unwritten_transactions: u32,
    applied: Option<Applied>,
    is_label_written: bool,
    /// The slot at which the next search for room begins.
    hand: u32,
    swept: Swept,
    failure: Mutex<Option<ShelfError>>,
}

/// How far a sweep has come.
#[derive(Debug)]
enum Swept {
    /// What is in memory, up to a slot.
    Memory(u32),
    /// What is on disk, up to a key.
    Disk(Option<Vec<u8>>),
}

impl<V: StateValue> SpillStore<V> {
    /// The store of a shelf, as it lies there.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn open(shelf: Shelf) -> Result<Self, ShelfError> {
        let ends = match shelf.layout() {
            Layout::Keyed => Ends::default(),
            Layout::Windowed => Ends::new(shelf.ends()?),
        };
        Ok(Self {
            layout: shelf.layout(),
            table: Table::default(),
            applied: shelf.applied()?,
            shelf,
            ends,
            newer: Vec::new(),
            newer_bytes: 0,
            unwritten_transactions: 0,
            is_label_written: true,
            hand: 0,
            swept: Swept::Memory(0),
            failure: Mutex::new(None),
        })
    }

    /// What is in memory.
    pub(super) fn table(&self) -> &Table<V> {
        &self.table
    }

    /// Why its content is not to be trusted any more.
    pub fn failure(&self) -> Option<ShelfError> {
        self.failure.lock().expect("no holder of a failure panics").clone()
    }

    /// Writes what is newer than the disk; between transactions.
    pub fn write(&mut self) {
        if self.failure().is_none()
            && let Err(error) = self.write_batch()
        {
            self.fail(error);
        }
    }

    fn write_batch(&mut self) -> Result<(), ShelfError> {
        if self.newer.is_empty() && self.is_label_written {
            return Ok(());
        }
        let mut batch = self.shelf.batch(self.newer.len());
        let mut bytes = Vec::new();
        for slot in &self.newer {
            let Some(place) = self.table.place(*slot) else { continue };
            bytes.clear();
            place.value.encode(&mut bytes);
            batch.set(&place.key, place.is_live.then_some(&bytes));
        }
        for (end_ms, count) in self.ends.take_unwritten() {
            batch.set_end(end_ms, count);
        }
        if let Some(applied) = self.applied {
            batch.set_applied(applied);
        }
        batch.commit()?;
        for slot in std::mem::take(&mut self.newer) {
            let place = self.table.place_mut(slot);
            place.is_newer = false;
            if !place.is_live {
                self.release(slot);
            }
        }
        self.newer_bytes = 0;
        self.unwritten_transactions = 0;
        self.is_label_written = true;
        Ok(())
    }

    /// Makes room in memory: what was not changed of late goes first.
    fn evict(&mut self) {
        let bytes_max = self.shelf.bytes_max();
        let goal = bytes_max - bytes_max / 8;
        for recent in [SPILL_RECENT_TRANSACTIONS, 0] {
            for _ in 0..self.table.len() {
                if self.table.bytes() <= goal {
                    return;
                }
                let slot = self.hand;
                self.hand = if slot + 1 < self.table.len() { slot + 1 } else { 0 };
                if self.table.is_spare(slot, recent) {
                    self.release(slot);
                }
            }
        }
    }

    fn release(&mut self, slot: u32) {
        if let Some(place) = self.table.place(slot)
            && let Some(end_ms) = self.layout.end_ms(&place.key)
        {
            self.ends.leave(end_ms, slot);
        }
        self.table.release(slot);
    }

    /// The slot of a key, as it is in memory or on disk; without life when it is nowhere.
    fn slot(&mut self, key: &[u8]) -> u32 {
        if let Some(slot) = self.table.slot(key) {
            return slot;
        }
        let found = self.shelf.value(key).and_then(|found| match found {
            Some(bytes) => V::decode(&bytes).map(Some).ok_or_else(|| self.shelf.damaged()),
            None => Ok(None),
        });
        match found {
            Ok(value) => self.admit(key, value),
            Err(error) => {
                self.fail(error);
                self.admit(key, None)
            }
        }
    }

    /// Takes a key into memory that is not there.
    fn admit(&mut self, key: &[u8], value: Option<V>) -> u32 {
        let slot = self.table.insert(key);
        if value.is_some() {
            self.table.put(slot, value);
        }
        if let Some(end_ms) = self.layout.end_ms(key) {
            self.ends.enter(end_ms, slot);
        }
        slot
    }

    fn fail(&self, error: ShelfError) {
        let mut failure = self.failure.lock().expect("no holder of a failure panics");
        failure.get_or_insert(error);
    }

    fn mark_newer(&mut self, slot: u32) {
        let place = self.table.place_mut(slot);
        if !std::mem::replace(&mut place.is_newer, true) {
            self.newer_bytes += place.key.len() + size_of::<V>() + CHANGE_OVERHEAD_BYTES;
            self.newer.push(slot);
        }
    }

    /// Loads the next keys of a window from the disk, as far as they are not in memory.
    fn load(&mut self, end_ms: i64) -> Result<Vec<u32>, ShelfError> {
        let mut slots = Vec::new();
        while slots.is_empty() {
            let cursor = self.ends.cursor.take().filter(|(at, _)| *at == end_ms);
            let after = cursor.as_ref().map(|(_, key)| key.as_slice());
            let page = self.shelf.page(Some(end_ms), after, DUE_KEYS_MAX)?;
            let Some((last, _)) = page.last() else {
                break;
            };
            self.ends.cursor = Some((end_ms, last.clone()));
            for (key, bytes) in page {
                if self.table.slot(&key).is_none() {
                    let value = V::decode(&bytes).ok_or_else(|| self.shelf.damaged())?;
                    slots.push(self.admit(&key, Some(value)));
                }
            }
        }
        Ok(slots)
    }

    /// Judges the next keys on disk that are not in memory; tells the last of them, `None` at the
    /// end.
    fn sweep_disk(
        &mut self,
        after: Option<&[u8]>,
        keys_max: usize,
        judge: &mut dyn FnMut(&V) -> Fate<V>,
    ) -> Result<Option<Vec<u8>>, ShelfError> {
        let page = self.shelf.page(None, after, keys_max)?;
        let last = page.last().filter(|_| page.len() == keys_max).map(|(key, _)| key.clone());
        for (key, bytes) in page {
            if self.table.slot(&key).is_some() {
                continue;
            }
            let value = V::decode(&bytes).ok_or_else(|| self.shelf.damaged())?;
            match judge(&value) {
                Fate::Keep => {}
                Fate::Renew(renewed) => {
                    let slot = self.admit(&key, Some(value));
                    *self.table.change(slot).value = renewed;
                }
                Fate::Drop => {
                    let slot = self.admit(&key, Some(value));
                    self.table.remove(slot);
                }
            }
        }
        Ok(last)
    }

    fn each_on_disk<E>(
        &self,
        end_ms: Option<i64>,
        shards: &Range<u16>,
        each: &mut impl FnMut(&[u8], &V) -> Result<(), E>,
    ) -> Result<(), E> {
        let seen = self.shelf.each(end_ms, shards, |key, bytes| {
            if self.table.slot(key).is_some() {
                return Ok(());
            }
            match V::decode(bytes) {
                Some(value) => each(key, &value),
                None => {
                    self.fail(self.shelf.damaged());
                    Ok(())
                }
            }
        });
        seen.unwrap_or_else(|error| {
            self.fail(error);
            Ok(())
        })
    }
}

impl<V: StateValue> StateStore<V> for SpillStore<V> {
    #[inline]
    fn change(&mut self, key: &[u8]) -> Changed<'_, V> {
        let slot = self.slot(key);
        let changed = self.table.change(slot);
        if changed.is_new
            && let Some(end_ms) = self.layout.end_ms(key)
        {
            self.ends.add(end_ms, true);
        }
        changed
    }

    fn find(&mut self, key: &[u8]) -> Option<u32> {
        let slot = self.slot(key);
        let place = self.table.place(slot)?;
        let (is_live, is_kept) = (place.is_live, place.is_newer || self.table.is_changed(slot));
        if !is_live && !is_kept {
            self.release(slot);
        }
        is_live.then_some(slot)
    }

    fn at(&self, slot: u32) -> Option<(&[u8], &V)> {
        let place = self.table.place(slot).filter(|place| place.is_live)?;
        Some((&place.key, &place.value))
    }

    fn remove(&mut self, slot: u32) {
        if self.table.remove(slot)
            && let Some(place) = self.table.place(slot)
            && let Some(end_ms) = self.layout.end_ms(&place.key)
        {
            self.ends.add(end_ms, false);
        }
    }

    fn take_due(&mut self, until_ms: i64) -> Option<(i64, Vec<u32>)> {
        let end_ms = self.ends.first().filter(|end_ms| *end_ms <= until_ms)?;
        let is_live = |slot: &u32| self.at(*slot).is_some();
        let resident: Vec<u32> =
            self.ends.resident(end_ms).filter(is_live).take(DUE_KEYS_MAX).collect();
        if !resident.is_empty() {
            return Some((end_ms, resident));
        }
        match self.load(end_ms) {
            Ok(slots) if slots.is_empty() => {
                // The numbers and the values were written together, so one of them is damaged.
                self.fail(self.shelf.damaged());
                None
            }
            Ok(slots) => Some((end_ms, slots)),
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    fn sweep(&mut self, keys_max: usize, judge: &mut dyn FnMut(&V) -> Fate<V>) -> bool {
        match std::mem::replace(&mut self.swept, Swept::Memory(0)) {
            Swept::Memory(from) => {
                let next = self.table.sweep(from, keys_max, judge);
                self.swept = next.map_or(Swept::Disk(None), Swept::Memory);
                false
            }
            Swept::Disk(after) => match self.sweep_disk(after.as_deref(), keys_max, judge) {
                Ok(Some(last)) => {
                    self.swept = Swept::Disk(Some(last));
                    false
                }
                Ok(None) => true,
                Err(error) => {
                    self.fail(error);
                    true
                }
            },
        }
    }

    fn open_windows(&self) -> usize {
        cast::usize_of(self.ends.total())
    }

    fn changes<'s>(&'s self) -> impl Iterator<Item = (&'s [u8], Option<&'s V>)>
    where
        V: 's,
    {
        self.table.changes()
    }

    #[inline]
    fn change_bytes(&self) -> usize {
        self.table.change_bytes()
    }

    fn settle(&mut self, applied: Option<Applied>) {
        let mut changed = Vec::new();
        self.table.settle(|_, slot| changed.push(slot));
        for slot in changed {
            self.mark_newer(slot);
        }
        self.ends.settle();
        if applied.is_some() {
            self.applied = applied;
            self.is_label_written = false;
        }
        self.unwritten_transactions += 1;
        let bytes_max = self.shelf.bytes_max();
        let is_full = self.table.bytes() > bytes_max;
        let newer_bytes_max = SPILL_UNWRITTEN_BYTES_MAX.min(bytes_max / 4);
        if is_full
            || self.newer_bytes > newer_bytes_max
            || self.unwritten_transactions >= SPILL_TRANSACTIONS_MAX
        {
            self.write();
        }
        if is_full {
            self.evict();
        }
    }

    fn roll_back(&mut self) {
        let mut gone = Vec::new();
        self.table.roll_back(|_, slot| gone.push(slot));
        for slot in gone {
            if self.table.place(slot).is_some_and(|place| !place.is_newer) {
                self.release(slot);
            }
        }
        self.ends.roll_back();
    }

    fn restore(&mut self, key: &[u8], value: Option<V>) {
        let slot = match (self.layout, self.table.slot(key)) {
            // What lies on disk is replaced, whatever it is.
            (Layout::Keyed, None) => self.table.insert(key),
            (Layout::Keyed, Some(slot)) => slot,
            // Windows count their keys, so what lies there must be known.
            (Layout::Windowed, _) => self.slot(key),
        };
        let was_live = self.table.place(slot).is_some_and(|place| place.is_live);
        let is_live = value.is_some();
        self.table.put(slot, value);
        self.mark_newer(slot);
        if let Some(end_ms) = self.layout.end_ms(key)
            && was_live != is_live
        {
            self.ends.add(end_ms, is_live);
        }
    }

    fn each<E>(
        &self,
        shards: Range<u16>,
        mut each: impl FnMut(&[u8], &V) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_all = shards == ALL_SHARDS;
        for (_, key, value) in self.table.live() {
            if is_all || shards.contains(&self.layout.shard(key)) {
                each(key, value)?;
            }
        }
        match self.layout {
            Layout::Keyed => self.each_on_disk(None, &shards, &mut each),
            Layout::Windowed => self
                .ends
                .all()
                .try_for_each(|end_ms| self.each_on_disk(Some(end_ms), &shards, &mut each)),
        }
    }

    fn applied(&self) -> Option<Applied> {
        self.applied
    }

    fn bytes(&self) -> usize {
        self.table.bytes()
    }
}
