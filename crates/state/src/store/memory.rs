//! A store that holds everything in memory.

use std::collections::BTreeMap;
use std::ops::Range;
use std::vec;

use super::table::Table;
use super::{Applied, Changed, Fate, Layout, StateStore};
use crate::limits::DUE_KEYS_MAX;
use crate::value::StateValue;

/// Values by key in memory, and their slots by the time at which windows close.
#[derive(Debug)]
pub struct MemoryStore<V> {
    layout: Layout,
    table: Table<V>,
    /// The slots of each open window in the order in which their keys came.
    ends: BTreeMap<i64, Vec<u32>>,
    /// The window that is being taken out, and what is left of it.
    taken: Option<(i64, vec::IntoIter<u32>)>,
    /// Whether `ends` must be made anew before it is used.
    is_disordered: bool,
    /// The slot at which the next part of a sweep begins.
    swept: u32,
    applied: Option<Applied>,
}

impl<V: StateValue> MemoryStore<V> {
    /// Nothing remembered.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            table: Table::default(),
            ends: BTreeMap::new(),
            taken: None,
            is_disordered: false,
            swept: 0,
            applied: None,
        }
    }

    /// What is in memory.
    pub(super) fn table(&self) -> &Table<V> {
        &self.table
    }

    /// Orders everything anew, after changes that went past the order.
    fn order(&mut self) {
        if !std::mem::take(&mut self.is_disordered) {
            return;
        }
        self.ends.clear();
        self.taken = None;
        for (slot, key, _) in self.table.live() {
            if let Some(end_ms) = self.layout.end_ms(key) {
                self.ends.entry(end_ms).or_default().push(slot);
            }
        }
    }
}

impl<V: StateValue> StateStore<V> for MemoryStore<V> {
    #[inline]
    fn change(&mut self, key: &[u8]) -> Changed<'_, V> {
        let slot = match self.table.slot(key) {
            Some(slot) => slot,
            None => self.table.insert(key),
        };
        let changed = self.table.change(slot);
        if changed.is_new
            && let Some(end_ms) = self.layout.end_ms(key)
        {
            self.ends.entry(end_ms).or_default().push(slot);
        }
        changed
    }

    fn find(&mut self, key: &[u8]) -> Option<u32> {
        self.table.slot(key).filter(|slot| self.at(*slot).is_some())
    }

    fn at(&self, slot: u32) -> Option<(&[u8], &V)> {
        let place = self.table.place(slot).filter(|place| place.is_live)?;
        Some((&place.key, &place.value))
    }

    fn remove(&mut self, slot: u32) {
        self.table.remove(slot);
        // Whoever closes a window has taken its slots out before; anybody else has not.
        let end_ms = self.table.place(slot).and_then(|place| self.layout.end_ms(&place.key));
        self.is_disordered |= end_ms.is_some_and(|end_ms| self.ends.contains_key(&end_ms));
    }

    fn take_due(&mut self, until_ms: i64) -> Option<(i64, Vec<u32>)> {
        self.order();
        loop {
            if let Some((end_ms, left)) = &mut self.taken {
                let (end_ms, slots) = (*end_ms, left.take(DUE_KEYS_MAX).collect::<Vec<_>>());
                if !slots.is_empty() {
                    // Who was removed otherwise meanwhile has left its slot to somebody else.
                    let is_its = |slot: &u32| {
                        self.at(*slot).and_then(|(key, _)| self.layout.end_ms(key)) == Some(end_ms)
                    };
                    return Some((end_ms, slots.into_iter().filter(is_its).collect()));
                }
            }
            let first = self.ends.first_entry().filter(|first| *first.key() <= until_ms)?;
            let (end_ms, slots) = first.remove_entry();
            self.taken = Some((end_ms, slots.into_iter()));
        }
    }

    fn sweep(&mut self, keys_max: usize, judge: &mut dyn FnMut(&V) -> Fate<V>) -> bool {
        self.swept = self.table.sweep(self.swept, keys_max, judge).unwrap_or(0);
        self.swept == 0
    }

    fn open_windows(&self) -> usize {
        if self.is_disordered {
            return self.table.live().filter_map(|(_, key, _)| self.layout.end_ms(key)).count();
        }
        let left = self.taken.as_ref().map_or(0, |(_, left)| left.len());
        self.ends.values().map(Vec::len).sum::<usize>() + left
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
        self.applied = applied.or(self.applied);
        self.table.settle(|table, slot| {
            if table.place(slot).is_some_and(|place| !place.is_live) {
                table.release(slot);
            }
        });
    }

    fn roll_back(&mut self) {
        self.table.roll_back(Table::release);
        self.is_disordered = self.layout == Layout::Windowed;
    }

    fn restore(&mut self, key: &[u8], value: Option<V>) {
        match (self.table.slot(key), value) {
            (Some(slot), Some(value)) => self.table.put(slot, Some(value)),
            (Some(slot), None) => self.table.release(slot),
            (None, Some(value)) => {
                let slot = self.table.insert(key);
                self.table.put(slot, Some(value));
            }
            (None, None) => {}
        }
        self.is_disordered = self.layout == Layout::Windowed;
    }

    fn each<E>(
        &self,
        shards: Range<u16>,
        mut each: impl FnMut(&[u8], &V) -> Result<(), E>,
    ) -> Result<(), E> {
        let is_all = shards == super::ALL_SHARDS;
        for (_, key, value) in self.table.live() {
            if is_all || shards.contains(&self.layout.shard(key)) {
                each(key, value)?;
            }
        }
        Ok(())
    }

    fn applied(&self) -> Option<Applied> {
        self.applied
    }

    fn bytes(&self) -> usize {
        self.table.bytes()
    }
}
