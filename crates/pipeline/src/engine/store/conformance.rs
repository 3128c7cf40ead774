//! What every store must do, as one random walk beside a model.
//!
//! The model is a map with savepoints and a changelog. A store that outlives its process is also
//! cut off at any moment: what it says to hold, and the changelog behind that, must give the last
//! commit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;

use super::{ALL_SHARDS, Applied, Layout, MemoryStore, StateStore, VIRTUAL_SHARDS, split_key};

/// One step of the walk.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Adds 1 to a key, in a window where there are any.
    Add(u8, u8),
    Remove(u8, u8),
    /// Closes every window up to a time.
    Close(u8),
    /// Looks at a range of shards.
    Look(u16, u16),
    Settle,
    /// Settles without knowing how far the changelog has come.
    SettleBlind,
    RollBack,
    /// Ends the process without warning.
    Crash,
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        12 => (0u8..24, 0u8..4).prop_map(|(key, window)| Act::Add(key, window)),
        3 => (0u8..24, 0u8..4).prop_map(|(key, window)| Act::Remove(key, window)),
        1 => (0u8..4).prop_map(Act::Close),
        1 => (0..VIRTUAL_SHARDS, 1..=VIRTUAL_SHARDS).prop_map(|(at, count)| Act::Look(at, count)),
        4 => Just(Act::Settle),
        1 => Just(Act::SettleBlind),
        2 => Just(Act::RollBack),
        1 => Just(Act::Crash),
    ];
    prop::collection::vec(act, 0..120)
}

/// How the store under test comes to be, and comes back.
pub(super) trait Maker {
    type Store: StateStore<u64>;

    /// An empty store.
    fn fresh(&mut self, layout: Layout) -> Self::Store;

    /// The store as another process finds it after this one was killed, and what it holds of the
    /// changelog; `None` for a store that ends with its process.
    fn crashed(&mut self, store: &Self::Store, layout: Layout) -> Option<(Self::Store, Applied)>;

    /// Nothing more is wrong than what the walk has seen.
    fn check(&self, _: &Self::Store) {}
}

type Content = BTreeMap<Vec<u8>, u64>;

struct Walk<'m, M: Maker> {
    maker: &'m mut M,
    layout: Layout,
    store: M::Store,
    now: Content,
    committed: Content,
    changelog: Vec<(Vec<u8>, Option<u64>)>,
}

/// Walks, and compares at every step.
pub(super) fn walk<M: Maker>(maker: &mut M, layout: Layout, acts: Vec<Act>) {
    let store = maker.fresh(layout);
    let (now, committed, changelog) = (Content::new(), Content::new(), Vec::new());
    let mut walk = Walk { maker, layout, store, now, committed, changelog };
    for act in acts {
        walk.act(&act);
        walk.maker.check(&walk.store);
    }
    walk.roll_back();
    assert_eq!(walk.content(ALL_SHARDS), walk.committed);
    let bytes = walk.store.bytes();
    assert!(bytes > 0 || walk.committed.is_empty(), "{bytes} bytes for a store that holds some");
}

impl<M: Maker> Walk<'_, M> {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Add(key, window) => self.add(*key, *window),
            Act::Remove(key, window) => self.remove(*key, *window),
            Act::Close(until) => self.close(i64::from(*until) - 1),
            Act::Look(from, count) => self.look(*from, *count),
            Act::Settle => self.settle(true),
            Act::SettleBlind => self.settle(false),
            Act::RollBack => self.roll_back(),
            Act::Crash => self.crash(),
        }
    }

    fn key(&self, key: u8, window: u8) -> Vec<u8> {
        match self.layout {
            // An empty key is a key like others.
            Layout::Keyed => vec![b'k'; usize::from(key)],
            Layout::Windowed => {
                // Windows before 1970 close first.
                let mut stored = (i64::from(window) - 1).to_be_bytes().to_vec();
                stored.extend(std::iter::repeat_n(b'k', usize::from(key)));
                stored
            }
        }
    }

    fn add(&mut self, key: u8, window: u8) {
        let key = self.key(key, window);
        let was_there = self.now.contains_key(&key);
        let changed = self.store.change(&key);
        assert_eq!(changed.is_new, !was_there);
        *changed.value += 1;
        let value = *changed.value;
        let slot = self.store.find(&key).expect("what was just changed is there");
        assert_eq!(self.store.at(slot), Some((key.as_slice(), &value)));
        let expected = self.now.entry(key).or_default();
        *expected += 1;
        assert_eq!(value, *expected);
    }

    fn remove(&mut self, key: u8, window: u8) {
        let key = self.key(key, window);
        let found = self.store.find(&key);
        let found_value = found.and_then(|slot| self.store.at(slot)).map(|(_, value)| *value);
        assert_eq!(found_value, self.now.remove(&key));
        if let Some(slot) = found {
            self.store.remove(slot);
            assert_eq!(self.store.at(slot), None);
        }
    }

    fn close(&mut self, until_ms: i64) {
        let mut closed = Content::new();
        let mut last_end_ms = i64::MIN;
        while let Some((end_ms, slots)) = self.store.take_due(until_ms) {
            assert!(last_end_ms <= end_ms && end_ms <= until_ms, "windows close in order");
            last_end_ms = end_ms;
            for slot in slots {
                let Some((key, value)) = self.store.at(slot) else { continue };
                assert_eq!(split_key(key).unwrap().0, end_ms);
                assert_eq!(closed.insert(key.to_vec(), *value), None, "a key closes once");
                self.store.remove(slot);
            }
        }
        let is_due = |key: &[u8]| self.layout.end_ms(key).is_some_and(|end| end <= until_ms);
        let (due, open): (Content, Content) =
            std::mem::take(&mut self.now).into_iter().partition(|(key, _)| is_due(key));
        assert_eq!(closed, due);
        self.now = open;
        if self.layout == Layout::Windowed {
            assert_eq!(self.store.open_windows(), self.now.len());
        }
    }

    /// What lies in a range of shards; ends the transaction first.
    fn look(&mut self, from: u16, count: u16) {
        self.settle(true);
        let shards = from..from.saturating_add(count).min(VIRTUAL_SHARDS);
        let layout = self.layout;
        let expected = self.committed.iter().filter(|(key, _)| shards.contains(&layout.shard(key)));
        let expected: Content = expected.map(|(key, value)| (key.clone(), *value)).collect();
        assert_eq!(self.content(shards), expected);
    }

    fn content(&self, shards: Range<u16>) -> Content {
        let mut content = Content::new();
        let seen = self.store.each(shards, |key, value| {
            assert_eq!(content.insert(key.to_vec(), *value), None, "a key is seen once");
            Ok::<(), ()>(())
        });
        assert_eq!(seen, Ok(()));
        content
    }

    fn settle(&mut self, is_known: bool) {
        let changes: Vec<(Vec<u8>, Option<u64>)> =
            self.store.changes().map(|(key, value)| (key.to_vec(), value.copied())).collect();
        assert_eq!(self.store.change_bytes() > 0, !changes.is_empty());
        let keys: BTreeSet<&Vec<u8>> = changes.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), changes.len(), "a key touched often is written once");
        for (key, value) in &changes {
            assert_eq!(self.now.get(key), value.as_ref());
        }
        let differs = |key: &&Vec<u8>| self.now.get(*key) != self.committed.get(*key);
        let all: BTreeSet<&Vec<u8>> = self.now.keys().chain(self.committed.keys()).collect();
        assert!(
            all.into_iter().filter(differs).all(|key| keys.contains(key)),
            "nothing is missing"
        );
        self.changelog.extend(changes);
        let offset = i64::try_from(self.changelog.len()).unwrap();
        self.store.settle(is_known.then_some(Applied { offset, at_ms: offset }));
        assert_eq!(self.store.change_bytes(), 0);
        self.committed = self.now.clone();
    }

    fn roll_back(&mut self) {
        self.store.roll_back();
        self.now = self.committed.clone();
    }

    fn crash(&mut self) {
        let Some((store, applied)) = self.maker.crashed(&self.store, self.layout) else {
            return;
        };
        assert_eq!(applied.offset, applied.at_ms, "an offset and its time belong together");
        self.store = store;
        let tail = &self.changelog[usize::try_from(applied.offset).unwrap()..];
        for (key, value) in tail {
            self.store.restore(key, *value);
        }
        let offset = i64::try_from(self.changelog.len()).unwrap();
        self.store.settle(Some(Applied { offset, at_ms: offset }));
        self.now = self.committed.clone();
        assert_eq!(self.content(ALL_SHARDS), self.committed);
        if self.layout == Layout::Windowed {
            assert_eq!(self.store.open_windows(), self.now.len());
        }
    }
}

struct InMemory;

impl Maker for InMemory {
    type Store = MemoryStore<u64>;

    fn fresh(&mut self, layout: Layout) -> MemoryStore<u64> {
        MemoryStore::new(layout)
    }

    fn crashed(&mut self, _: &Self::Store, _: Layout) -> Option<(Self::Store, Applied)> {
        None
    }
}

proptest! {
    #[test]
    fn the_store_in_memory_behaves_like_a_map_with_savepoints(acts in acts()) {
        walk(&mut InMemory, Layout::Keyed, acts);
    }

    #[test]
    fn the_windowed_store_in_memory_behaves_like_a_map_with_savepoints(acts in acts()) {
        walk(&mut InMemory, Layout::Windowed, acts);
    }
}
