//! What every store must do, as one random walk beside a model.
//!
//! The model is a map with savepoints and a changelog. A store that outlives its process is also
//! cut off at any moment: what it says to hold, and the changelog behind that, must give the last
//! commit.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use base::disk::RealDisk;
use base::rng::SystemRandom;
use base::uuid::Uuid;

use super::{
    ALL_SHARDS, Applied, Fate, Layout, MemoryStore, Owner, Shares, Shelves, SpillStore, StateStore,
    VIRTUAL_SHARDS, split_key,
};

/// One step of the walk.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Adds 1 to a key, in a window where there are any.
    Add(u8, u8),
    Remove(u8, u8),
    /// Closes every window up to a time.
    Close(u8),
    /// Goes through all keys: some go, some get another value.
    Sweep(u8),
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
        1 => (1u8..4).prop_map(Act::Sweep),
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

    /// The memory of a store that holds so many keys, after a commit.
    fn check_bytes(&self, bytes: usize, keys: usize);
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
    walk.settle(true);
    walk.maker.check_bytes(walk.store.bytes(), walk.committed.len());
}

impl<M: Maker> Walk<'_, M> {
    fn act(&mut self, act: &Act) {
        match act {
            Act::Add(key, window) => self.add(*key, *window),
            Act::Remove(key, window) => self.remove(*key, *window),
            Act::Close(until) => self.close(i64::from(*until) - 1),
            Act::Sweep(keys_max) => self.sweep(usize::from(*keys_max)),
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

    fn sweep(&mut self, keys_max: usize) {
        if self.layout == Layout::Windowed {
            return;
        }
        let judge = |value: &u64| match value % 3 {
            0 => Fate::Drop,
            1 => Fate::Renew(value + 100),
            _ => Fate::Keep,
        };
        while !self.store.sweep(keys_max, &mut |value| judge(value)) {}
        self.now.retain(|_, value| match judge(value) {
            Fate::Keep => true,
            Fate::Renew(renewed) => {
                *value = renewed;
                true
            }
            Fate::Drop => false,
        });
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
        self.store.settle(is_known.then_some(Applied { offset, at_ms: offset, closed_ms: offset }));
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
        let times = (applied.at_ms, applied.closed_ms);
        assert_eq!(times, (applied.offset, applied.offset), "they belong to the offset");
        self.store = store;
        let tail = &self.changelog[usize::try_from(applied.offset).unwrap()..];
        for (key, value) in tail {
            self.store.restore(key, *value);
        }
        let offset = i64::try_from(self.changelog.len()).unwrap();
        self.store.settle(Some(Applied { offset, at_ms: offset, closed_ms: offset }));
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

    fn check_bytes(&self, bytes: usize, keys: usize) {
        assert_eq!(bytes > 0, keys > 0, "{bytes} bytes for {keys} keys");
    }
}

/// A store in files of a folder that goes with the test.
struct OnDisk {
    dir: PathBuf,
    /// Copies of the folder as a process that was killed would leave it.
    copies: usize,
    bytes_max: usize,
}

const OWNER: Owner = Owner { topic: Uuid([7; 16]), signature: 9 };

impl OnDisk {
    fn new(bytes_max: usize) -> Self {
        let name = format!("millstream-store-{}", Uuid::random(&SystemRandom));
        Self { dir: std::env::temp_dir().join(name), copies: 0, bytes_max }
    }

    fn open(&self, layout: Layout) -> SpillStore<u64> {
        let dir = self.dir.join(self.copies.to_string());
        let shares = Shares { files_bytes: 4 << 20, tables_bytes: self.bytes_max, stores: 1 };
        let shelves = Shelves::open(&RealDisk, &dir, shares).unwrap();
        SpillStore::open(shelves.shelf("s", layout, OWNER).unwrap()).unwrap()
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).unwrap();
    }
}

impl Maker for OnDisk {
    type Store = SpillStore<u64>;

    fn fresh(&mut self, layout: Layout) -> SpillStore<u64> {
        self.open(layout)
    }

    fn crashed(&mut self, _: &Self::Store, layout: Layout) -> Option<(Self::Store, Applied)> {
        let from = self.dir.join(self.copies.to_string());
        self.copies += 1;
        copy(&from, &self.dir.join(self.copies.to_string()));
        let store = self.open(layout);
        let applied = store.applied().unwrap_or(Applied { offset: 0, at_ms: 0, closed_ms: 0 });
        Some((store, applied))
    }

    fn check(&self, store: &Self::Store) {
        assert_eq!(store.failure(), None);
    }

    fn check_bytes(&self, bytes: usize, _: usize) {
        assert!(bytes <= self.bytes_max, "{bytes} bytes where {} are allowed", self.bytes_max);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Memory of a store on disk: next to nothing, so that all is read again; enough for a part; and
/// more than there is, so that only the number of transactions makes it write.
fn bytes_max() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), 500_usize..3_000, Just(1 << 20)]
}

/// Takes a window with many keys out in pieces, each in a transaction of its own; every second one
/// is undone first.
fn close_in_pieces<S: StateStore<u64>>(store: &mut S) {
    const KEYS: usize = 3_000;
    let key = |end_ms: i64, number: usize| {
        [&end_ms.to_be_bytes()[..], number.to_string().as_bytes()].concat()
    };
    for number in 0..KEYS {
        *store.change(&key(10, number)).value = 1;
    }
    *store.change(&key(20, 0)).value = 1;
    store.settle(None);
    let mut closed = BTreeSet::new();
    let mut pieces = 0;
    while let Some((end_ms, slots)) = store.take_due(19) {
        assert_eq!(end_ms, 10);
        let mut piece = BTreeSet::new();
        for slot in slots {
            let Some((key, _)) = store.at(slot) else { continue };
            assert!(piece.insert(key.to_vec()), "a key is in a piece once");
            store.remove(slot);
        }
        pieces += 1;
        if pieces % 2 == 0 {
            store.roll_back();
        } else {
            closed.extend(piece);
            store.settle(None);
        }
        assert_eq!(store.open_windows(), KEYS + 1 - closed.len());
    }
    assert_eq!(closed.len(), KEYS);
    assert!(pieces > 4, "{pieces} pieces");
    assert_eq!(store.take_due(20).map(|(end_ms, slots)| (end_ms, slots.len())), Some((20, 1)));
}

#[test]
fn a_window_in_memory_closes_in_pieces() {
    close_in_pieces(&mut InMemory.fresh(Layout::Windowed));
}

#[test]
fn a_window_on_disk_closes_in_pieces() {
    for bytes_max in [1, 20_000, 1 << 20] {
        close_in_pieces(&mut OnDisk::new(bytes_max).fresh(Layout::Windowed));
    }
}

proptest! {
    // Each case makes and copies folders.
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..Default::default() })]

    #[test]
    fn the_store_on_disk_behaves_like_a_map_with_savepoints_that_outlives_its_process(
        acts in acts(), bytes_max in bytes_max(),
    ) {
        walk(&mut OnDisk::new(bytes_max), Layout::Keyed, acts);
    }

    #[test]
    fn the_windowed_store_on_disk_behaves_like_a_map_with_savepoints_that_outlives_its_process(
        acts in acts(), bytes_max in bytes_max(),
    ) {
        walk(&mut OnDisk::new(bytes_max), Layout::Windowed, acts);
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
