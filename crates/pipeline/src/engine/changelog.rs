//! State as records of a compacted topic.
//!
//! ```text
//! key    u8 format = 1 | u16 BE virtual shard | the store's key     value  the state's own bytes
//! time   u8 format = 1 | u16 BE 0xffff        | "time"              value  u8 1 | i64 BE
//! ```
//!
//! The virtual shard is that of the record's key (murmur2 modulo 1024), so that state can be
//! moved by ranges of it. A missing value forgets the key. The layout is pinned by golden bytes.

use super::chain::{ChainState, NodeState};
use super::node_state::with_store;
use state::store::{ALL_SHARDS, Layout, StateStore, Store, shard_of};
use state::value::NO_TIME;
use state::value::StateValue;

const FORMAT: u8 = 1;
const TIME_SHARD: u16 = u16::MAX;
const TIME_KEY: &[u8] = b"time";
const TIME_VERSION: u8 = 1;
const PREFIX_BYTES: usize = 3;

/// A change of a task's state, as the changelog holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangelogRecord<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

fn write_key(out: &mut Vec<u8>, shard: u16, key: &[u8]) {
    out.clear();
    out.push(FORMAT);
    out.extend_from_slice(&shard.to_be_bytes());
    out.extend_from_slice(key);
}

/// Calls `each` with every change that the transaction made to a task's state.
pub(crate) fn each_change<E>(
    state: &ChainState,
    at: usize,
    time_has_moved: bool,
    mut each: impl FnMut(ChangelogRecord<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(node) = state.nodes.get(at) else { return Ok(()) };
    let Some(layout) = node.layout() else { return Ok(()) };
    with_store!(node, store => write_changes(store, layout, &mut each), else Ok(()))?;
    if time_has_moved && layout == Layout::Windowed {
        write_time(state.closed_ms[at], &mut each)?;
    }
    Ok(())
}

/// Calls `each` with all that a task remembers, as if it had just come to be.
pub(crate) fn each_live<E>(
    state: &ChainState,
    at: usize,
    closed_ms: i64,
    mut each: impl FnMut(ChangelogRecord<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(node) = state.nodes.get(at) else { return Ok(()) };
    let Some(layout) = node.layout() else { return Ok(()) };
    with_store!(node, store => write_live(store, layout, &mut each), else Ok(()))?;
    if layout == Layout::Keyed {
        return Ok(());
    }
    if closed_ms == NO_TIME { Ok(()) } else { write_time(closed_ms, &mut each) }
}

fn write_time<E>(
    time_ms: i64,
    each: &mut impl FnMut(ChangelogRecord<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut key = Vec::new();
    write_key(&mut key, TIME_SHARD, TIME_KEY);
    let mut value = vec![TIME_VERSION];
    value.extend_from_slice(&time_ms.to_be_bytes());
    each(ChangelogRecord { key: &key, value: Some(&value) })
}

fn write_changes<V: StateValue, E>(
    store: &Store<V>,
    layout: Layout,
    each: &mut impl FnMut(ChangelogRecord<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut written = Written::default();
    for (stored, value) in store.changes() {
        each(written.record(layout, stored, value))?;
    }
    Ok(())
}

fn write_live<V: StateValue, E>(
    store: &Store<V>,
    layout: Layout,
    each: &mut impl FnMut(ChangelogRecord<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut written = Written::default();
    store.each(ALL_SHARDS, |stored, value| each(written.record(layout, stored, Some(value))))
}

/// The room in which one record after the other is written.
#[derive(Debug, Default)]
struct Written {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Written {
    fn record<V: StateValue>(
        &mut self,
        layout: Layout,
        stored: &[u8],
        value: Option<&V>,
    ) -> ChangelogRecord<'_> {
        write_key(&mut self.key, shard_of(layout.record_key(stored)), stored);
        self.value.clear();
        if let Some(value) = value {
            value.encode(&mut self.value);
        }
        ChangelogRecord { key: &self.key, value: value.map(|_| self.value.as_slice()) }
    }
}

/// A record of a changelog that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// A key of a changelog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read<'a> {
    /// That of a store.
    Key {
        /// The virtual shard of the record's key.
        shard: u16,
        /// The store's key.
        stored: &'a [u8],
    },
    /// That of the time.
    Time,
}

/// Reads a key; none for one that is not ours.
pub(crate) fn read_key(key: &[u8]) -> Option<Read<'_>> {
    let (prefix, stored) = key.split_at_checked(PREFIX_BYTES)?;
    let [FORMAT, high, low] = prefix else {
        return None;
    };
    let shard = u16::from_be_bytes([*high, *low]);
    Some(if shard == TIME_SHARD { Read::Time } else { Read::Key { shard, stored } })
}

/// Takes a record of the changelog over.
pub(crate) fn apply(
    state: &mut ChainState,
    at: usize,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), Unreadable> {
    let Read::Key { stored, .. } = read_key(key).ok_or(Unreadable)? else {
        let [TIME_VERSION, time @ ..] = value.ok_or(Unreadable)? else {
            return Err(Unreadable);
        };
        let time = <[u8; 8]>::try_from(time).map_err(|_| Unreadable)?;
        let closed_ms = state.closed_ms.get_mut(at).ok_or(Unreadable)?;
        *closed_ms = i64::from_be_bytes(time);
        return Ok(());
    };
    state.nodes.get_mut(at).ok_or(Unreadable)?.restore(stored, value)
}

#[cfg(test)]
mod tests {
    use topology::spec::{Emit, Form, OnError, TaskKind, Window};

    use super::*;
    use crate::engine::chain::{Chain, Node};

    fn chain(kind: TaskKind) -> Chain {
        let node = Node {
            id: "n".to_owned(),
            kind,
            event_time: None,
            on_error: OnError::Fail,
            ttl_ms: None,
            to: vec![],
        };
        Chain {
            pipeline: "p".to_owned(),
            nodes: vec![node],
            form: Form::Full,
            dead_letter: None,
            is_sequenced: false,
        }
    }

    fn windowed() -> Chain {
        let window =
            Window { size_ms: 10, every_ms: 10, grace_ms: 0, emit: Emit::Final, implied: false };
        chain(TaskKind::Average { value: None, window })
    }

    fn changes(state: &ChainState) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        let done = each_change(state, 0, true, |record| {
            all.push((record.key.to_vec(), record.value.map(<[u8]>::to_vec)));
            Ok::<(), ()>(())
        });
        assert_eq!(done, Ok(()));
        all
    }

    #[test]
    fn the_bytes_of_a_count_are_pinned() {
        let mut state = ChainState::new(&chain(TaskKind::Count { window: None }));
        let NodeState::Count(store) = &mut state.nodes[0] else { panic!("no count") };
        *store.change(b"21").value = 258;
        // murmur2("21") is -973,932,308; without its sign, modulo 1024, it is 236.
        let expected = (b"\x01\x00\xec21".to_vec(), Some(b"\x01\0\0\0\0\0\0\x01\x02".to_vec()));
        assert_eq!(changes(&state), [expected]);
    }

    #[test]
    fn the_bytes_of_a_window_and_of_time_are_pinned() {
        let mut state = ChainState::new(&windowed());
        state.closed_ms[0] = 7;
        let NodeState::Average(windows) = &mut state.nodes[0] else { panic!("no average") };
        windows.change(10, b"21").add(1.5);
        let value = b"\x01\x3f\xf8\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01";
        let expected = [
            (b"\x01\x00\xec\0\0\0\0\0\0\0\x0a21".to_vec(), Some(value.to_vec())),
            (b"\x01\xff\xfftime".to_vec(), Some(b"\x01\0\0\0\0\0\0\0\x07".to_vec())),
        ];
        assert_eq!(changes(&state), expected);
    }

    #[test]
    fn state_comes_back_from_its_changelog() {
        let mut state = ChainState::new(&windowed());
        state.closed_ms[0] = 7;
        let NodeState::Average(windows) = &mut state.nodes[0] else { panic!("no average") };
        for (end, key, value) in [(10, b"a", 1.0), (20, b"a", 2.0), (10, b"b", 3.0)] {
            windows.change(end, key).add(value);
        }
        let mut restored = ChainState::new(&windowed());
        for (key, value) in changes(&state) {
            assert_eq!(apply(&mut restored, 0, &key, value.as_deref()), Ok(()));
        }
        let NodeState::Average(windows) = &mut restored.nodes[0] else { panic!("no average") };
        assert_eq!(windows.store.open_windows(), 3);
        assert_eq!(
            windows.store.take_due(i64::MAX).map(|(end_ms, slots)| (end_ms, slots.len())),
            Some((10, 2))
        );
        assert_eq!(restored.closed_ms, [7]);
    }

    #[test]
    fn foreign_records_are_refused() {
        let mut state = ChainState::new(&windowed());
        for (key, value) in [
            (&b""[..], None),
            (b"\x02\0\0key", None),
            (b"\x01\xff\xfftime", Some(&b"\x02"[..])),
            (b"\x01\0\0key", Some(b"\x09")),
        ] {
            assert_eq!(apply(&mut state, 0, key, value), Err(Unreadable), "{key:?}");
        }
    }
}
