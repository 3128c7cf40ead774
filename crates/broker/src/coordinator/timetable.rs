//! Things by id, and beside them the order in which they are due.
//!
//! Whoever takes a thing to change it leaves its id here, and [`Timetable::settle`] files what was
//! changed anew. There is no other way to a thing that can be changed, and the order is not shown
//! before it is settled, so the two cannot go out of step. A change costs the logarithm of how
//! many things there are; nobody looks through all of them for the one that is due next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

/// Something that is due at some time, perhaps.
pub(crate) trait Due {
    /// A time by the clock that counts here.
    type Time: Copy + Ord + Debug;

    /// When it is due as it is now.
    fn due(&self) -> Option<Self::Time>;

    /// Settles what is inside, before it is asked when it is due.
    fn settle(&mut self) {}
}

#[derive(Debug)]
struct Slot<T: Due> {
    thing: T,
    /// Where it stands in the order.
    filed: Option<T::Time>,
}

/// Things by id, in the order of ids and in that of time.
#[derive(Debug)]
pub(crate) struct Timetable<T: Due> {
    slots: BTreeMap<String, Slot<T>>,
    order: BTreeSet<(T::Time, String)>,
    /// Ids whose place in the order may be an old one.
    changed: BTreeSet<String>,
}

impl<T: Due> Default for Timetable<T> {
    fn default() -> Self {
        Self { slots: BTreeMap::new(), order: BTreeSet::new(), changed: BTreeSet::new() }
    }
}

impl<T: Due> Timetable<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether there is one with this id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.slots.contains_key(id)
    }

    /// All with their ids, in the order of these.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.slots.iter().map(|(id, slot)| (id, &slot.thing))
    }

    /// All, in the order of their ids.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.values().map(|slot| &slot.thing)
    }

    /// All ids, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.slots.keys()
    }

    /// Looks at one.
    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.slots.get(id).map(|slot| &slot.thing)
    }

    /// Takes one to change it.
    pub(crate) fn change(&mut self, id: &str) -> Option<&mut T> {
        let slot = self.slots.get_mut(id)?;
        if !self.changed.contains(id) {
            self.changed.insert(id.to_owned());
        }
        Some(&mut slot.thing)
    }

    /// Takes one to change it, and makes it before if it is not there.
    pub(crate) fn change_or_make(&mut self, id: &str, make: impl FnOnce() -> T) -> &mut T {
        if !self.contains(id) {
            self.insert(id.to_owned(), make());
        }
        self.change(id).expect("it was there or was put in")
    }

    /// Takes all to change them.
    pub(crate) fn change_all(&mut self) -> impl Iterator<Item = &mut T> {
        self.changed.extend(self.slots.keys().cloned());
        self.slots.values_mut().map(|slot| &mut slot.thing)
    }

    /// Puts one in, in the place of another with its id.
    pub(crate) fn insert(&mut self, id: String, thing: T) {
        self.changed.insert(id.clone());
        match self.slots.get_mut(&id) {
            Some(slot) => slot.thing = thing,
            None => drop(self.slots.insert(id, Slot { thing, filed: None })),
        }
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<T> {
        let slot = self.slots.remove(id)?;
        self.changed.remove(id);
        if let Some(filed) = slot.filed {
            self.order.remove(&(filed, id.to_owned()));
        }
        Some(slot.thing)
    }

    /// Takes all out.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Files what was changed.
    pub(crate) fn settle(&mut self) {
        for mut id in std::mem::take(&mut self.changed) {
            let slot = self.slots.get_mut(&id).expect("what is gone was not changed");
            slot.thing.settle();
            let due = slot.thing.due();
            let filed = std::mem::replace(&mut slot.filed, due);
            if filed == due {
                continue;
            }
            if let Some(filed) = filed {
                let old = (filed, id);
                self.order.remove(&old);
                id = old.1;
            }
            if let Some(due) = due {
                self.order.insert((due, id));
            }
        }
    }

    /// When the first of them is due.
    pub(crate) fn first_due(&self) -> Option<T::Time> {
        self.order().first().map(|(due, _)| *due)
    }

    /// The ids of those that are due by now, the longest due first.
    pub(crate) fn due_by(&self, now: T::Time) -> Vec<String> {
        let due = self.order().iter().take_while(|(due, _)| *due <= now);
        due.map(|(_, id)| id.clone()).collect()
    }

    fn order(&self) -> &BTreeSet<(T::Time, String)> {
        assert!(self.changed.is_empty(), "the order is not settled: {:?}", self.changed);
        &self.order
    }

    /// Checks that the order is the one that looking at every thing gives.
    #[cfg(test)]
    pub(crate) fn check(&self, due: impl Fn(&T) -> Option<T::Time>) {
        let found = self.iter().filter_map(|(id, thing)| Some((due(thing)?, id.clone())));
        assert_eq!(*self.order(), found.collect::<BTreeSet<_>>());
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Alarm(Option<u8>);

    impl Due for Alarm {
        type Time = u8;

        fn due(&self) -> Option<u8> {
            self.0
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Insert(u8, Option<u8>),
        Change(u8, Option<u8>),
        Remove(u8),
        ChangeAll(Option<u8>),
        Settle,
    }

    fn op() -> impl Strategy<Value = Op> {
        let (id, due) = (0..6_u8, proptest::option::of(0..9_u8));
        prop_oneof![
            4 => (id.clone(), due.clone()).prop_map(|(id, due)| Op::Insert(id, due)),
            4 => (id.clone(), due.clone()).prop_map(|(id, due)| Op::Change(id, due)),
            2 => id.prop_map(Op::Remove),
            1 => due.prop_map(Op::ChangeAll),
            4 => Just(Op::Settle),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_order_is_that_of_all_things(ops in vec(op(), 1..60), now in 0..9_u8) {
            let mut timetable = Timetable::default();
            let mut model: BTreeMap<String, Option<u8>> = BTreeMap::new();
            for op in ops {
                match op {
                    Op::Insert(id, due) => {
                        timetable.insert(id.to_string(), Alarm(due));
                        model.insert(id.to_string(), due);
                    }
                    Op::Change(id, due) => {
                        let alarm = timetable.change(&id.to_string());
                        prop_assert_eq!(alarm.is_some(), model.contains_key(&id.to_string()));
                        if let Some(alarm) = alarm {
                            *alarm = Alarm(due);
                            model.insert(id.to_string(), due);
                        }
                    }
                    Op::Remove(id) => {
                        let gone = timetable.remove(&id.to_string());
                        prop_assert_eq!(gone.map(|it| it.0), model.remove(&id.to_string()));
                    }
                    Op::ChangeAll(due) => {
                        timetable.change_all().for_each(|alarm| *alarm = Alarm(due));
                        model.values_mut().for_each(|known| *known = due);
                    }
                    Op::Settle => timetable.settle(),
                }
            }
            timetable.settle();
            timetable.check(|alarm| alarm.0);
            let all = model.iter().filter_map(|(id, due)| Some((due.as_ref()?, id)));
            let mut all: Vec<_> = all.collect();
            all.sort();
            prop_assert_eq!(timetable.first_due(), all.first().map(|(due, _)| **due));
            let due = all.iter().filter(|(due, _)| **due <= now);
            let due: Vec<String> = due.map(|(_, id)| (*id).clone()).collect();
            prop_assert_eq!(timetable.due_by(now), due);
        }
    }
}
