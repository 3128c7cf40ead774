//! What is done with the state of a task, whatever it is that the task remembers.

use super::chain::NodeState;
use super::changelog::Unreadable;
use crate::limits::EXPIRE_KEYS_MAX;
use state::store::{Applied, Fate, Layout, Shelf, ShelfError, SpillStore, StateStore as _, Store};
use state::value::{Aged, StateValue};

/// Does the same with a node's store, whichever it is; `else` where there is none.
macro_rules! with_store {
    ($node:expr, $store:ident => $work:expr, else $none:expr) => {
        match $node {
            NodeState::None => $none,
            NodeState::Count($store) => $work,
            NodeState::AgedCount($store) => $work,
            NodeState::WindowCount(windows) => {
                let $store = &windows.store;
                $work
            }
            NodeState::Average(windows) => {
                let $store = &windows.store;
                $work
            }
        }
    };
    ($node:expr, mut $store:ident => $work:expr, else $none:expr) => {
        match $node {
            NodeState::None => $none,
            NodeState::Count($store) => $work,
            NodeState::AgedCount($store) => $work,
            NodeState::WindowCount(windows) => {
                let $store = &mut windows.store;
                $work
            }
            NodeState::Average(windows) => {
                let $store = &mut windows.store;
                $work
            }
        }
    };
}

pub(crate) use with_store;

impl NodeState {
    /// What the keys of its store are; `None` without one.
    pub(crate) fn layout(&self) -> Option<Layout> {
        match self {
            Self::None => None,
            Self::Count(_) | Self::AgedCount(_) => Some(Layout::Keyed),
            Self::WindowCount(_) | Self::Average(_) => Some(Layout::Windowed),
        }
    }

    /// What the changelog will get for what the transaction has changed, roughly, in bytes; 0 when
    /// nothing is.
    #[inline]
    pub(crate) fn change_bytes(&self) -> usize {
        with_store!(self, store => store.change_bytes(), else 0)
    }

    /// The transaction is committed, and this much of the changelog is in the store.
    pub(crate) fn settle(&mut self, applied: Option<Applied>) {
        with_store!(self, mut store => store.settle(applied), else ());
    }

    /// How much of its changelog is in it; `None` without a store, or where nobody knows.
    pub(crate) fn applied(&self) -> Option<Applied> {
        with_store!(self, store => store.applied(), else None)
    }

    /// The transaction is aborted.
    pub(crate) fn roll_back(&mut self) {
        with_store!(self, mut store => store.roll_back(), else ());
    }

    /// Windows that are open, each with its keys counted.
    pub(crate) fn open_windows(&self) -> usize {
        with_store!(self, store => store.open_windows(), else 0)
    }

    /// Memory in use, roughly, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        with_store!(self, store => store.bytes(), else 0)
    }

    /// Why the content is not to be trusted any more.
    pub(crate) fn failure(&self) -> Option<ShelfError> {
        with_store!(self, store => store.failure(), else None)
    }

    /// Writes what is newer than the disk, where there is one; between transactions.
    pub(crate) fn write(&mut self) {
        with_store!(self, mut store => store.write(), else ());
    }

    /// Whether it lies on disk already, so that nobody need write it to a file.
    pub(crate) fn is_on_disk(&self) -> bool {
        with_store!(self, store => matches!(store, Store::Spill(_)), else false)
    }

    /// Keeps what is remembered on a shelf from now on, beginning with what lies there; tells how
    /// much of the changelog that is.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) fn spill(&mut self, shelf: Shelf) -> Result<Option<Applied>, ShelfError> {
        with_store!(self, mut store => put_on_shelf(store, shelf), else Ok(None))
    }

    /// Takes over a change that the changelog tells.
    ///
    /// # Errors
    /// The value is none of this kind.
    pub(crate) fn restore(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Unreadable> {
        with_store!(self, mut store => restore(store, key, value), else Err(Unreadable))
    }

    /// Looks at some keys for those that had no record for longer than `ttl_ms` when event time has
    /// come to `now_ms`, and forgets them; tells whether it has seen all.
    pub(crate) fn expire(&mut self, now_ms: i64, ttl_ms: i64) -> bool {
        match self {
            Self::AgedCount(store) => {
                let mut judge = |aged: &Aged| -> Fate<Aged> { aged.fate(now_ms, ttl_ms) };
                store.sweep(EXPIRE_KEYS_MAX, &mut judge)
            }
            Self::None | Self::Count(_) | Self::WindowCount(_) | Self::Average(_) => true,
        }
    }
}

fn put_on_shelf<V: StateValue>(
    store: &mut Store<V>,
    shelf: Shelf,
) -> Result<Option<Applied>, ShelfError> {
    let spilled = SpillStore::open(shelf)?;
    let applied = spilled.applied();
    *store = Store::Spill(Box::new(spilled));
    Ok(applied)
}

fn restore<V: StateValue>(
    store: &mut Store<V>,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), Unreadable> {
    let value = match value {
        Some(bytes) => Some(V::decode(bytes).ok_or(Unreadable)?),
        None => None,
    };
    store.restore(key, value);
    Ok(())
}
