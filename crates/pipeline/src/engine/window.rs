//! State per key and window, and the windows that a time lies in.

use topology::spec::Window;

use super::chain::Span;
use super::render;
use state::store::{Layout, StateStore as _, Store};
use state::value::StateValue;

/// Values by window and key. The store's key is the window's end, big-endian, then the key.
#[derive(Debug)]
pub(crate) struct Windows<V> {
    pub(crate) store: Store<V>,
    scratch: Vec<u8>,
    bounds: Bounds,
}

/// The text of the bounds that were last asked for: nearly every result has those of the one
/// before it, and dates cost more than the rest of a result.
#[derive(Debug, Default)]
struct Bounds {
    of: Option<Span>,
    text: Vec<u8>,
}

impl<V: StateValue> Default for Windows<V> {
    fn default() -> Self {
        Self {
            store: Store::memory(Layout::Windowed),
            scratch: Vec::new(),
            bounds: Bounds::default(),
        }
    }
}

impl<V: StateValue> Windows<V> {
    /// The value of a key in the window with this end, for changing.
    pub(crate) fn change(&mut self, end_ms: i64, key: &[u8]) -> &mut V {
        self.scratch.clear();
        self.scratch.extend_from_slice(&end_ms.to_be_bytes());
        self.scratch.extend_from_slice(key);
        self.store.change(&self.scratch).value
    }

    /// How a result ends that tells its window.
    pub(crate) fn bounds(&mut self, span: Span) -> &[u8] {
        let Bounds { of, text } = &mut self.bounds;
        if *of != Some(span) {
            *of = Some(span);
            text.clear();
            render::bounds(text, span);
        }
        text
    }
}

/// The ends of the windows that hold a time, in order; none beyond the range of time.
pub(crate) fn ends_of(window: &Window, time_ms: i64) -> impl Iterator<Item = i64> {
    let size = i64::try_from(window.size_ms).unwrap_or(i64::MAX);
    let every = i64::try_from(window.every_ms).unwrap_or(i64::MAX).max(1);
    let last_start = time_ms.div_euclid(every).checked_mul(every);
    // Starts lie `every` apart; the first that still holds the time is less than `size` before it.
    let back = (size - 1) / every;
    (0..=back).rev().filter_map(move |steps| {
        let start = last_start?.checked_sub(steps.checked_mul(every)?)?;
        let end = start.checked_add(size)?;
        (end > time_ms).then_some(end)
    })
}

#[cfg(test)]
mod tests {
    use topology::spec::Emit;

    use super::*;
    use state::store::split_key;

    fn window(size_ms: u64, every_ms: u64) -> Window {
        Window { size_ms, every_ms, grace_ms: 0, emit: Emit::Final, implied: false }
    }

    fn ends(size_ms: u64, every_ms: u64, time_ms: i64) -> Vec<i64> {
        ends_of(&window(size_ms, every_ms), time_ms).collect()
    }

    #[test]
    fn a_time_lies_in_one_tumbling_window() {
        assert_eq!(ends(10, 10, 0), [10]);
        assert_eq!(ends(10, 10, 9), [10]);
        assert_eq!(ends(10, 10, 10), [20]);
        assert_eq!(ends(10, 10, -1), [0]);
    }

    #[test]
    fn a_time_lies_in_several_hopping_windows() {
        assert_eq!(ends(10, 5, 12), [15, 20]);
        assert_eq!(ends(10, 3, 12), [13, 16, 19, 22]);
        assert_eq!(ends(10, 20, 5), [10]);
        assert_eq!(ends(10, 20, 15), [0i64; 0]);
    }

    #[test]
    fn times_at_the_edge_of_the_range_do_not_overflow() {
        assert_eq!(ends(10, 10, i64::MAX), [0i64; 0]);
        assert_eq!(ends(10, 10, i64::MIN).len(), 0);
    }

    #[test]
    fn windows_come_due_in_order() {
        let mut windows: Windows<u64> = Windows::default();
        for (end, key) in [(20, b"a"), (10, b"b"), (10, b"c"), (10, b"b")] {
            *windows.change(end, key) += 1;
        }
        assert_eq!(windows.store.take_due(9), None);
        let (end, slots) = windows.store.take_due(20).unwrap();
        let found: Vec<_> = slots
            .iter()
            .filter_map(|slot| windows.store.at(*slot))
            .map(|(key, value)| (split_key(key).unwrap().1.to_vec(), *value))
            .collect();
        assert_eq!((end, found), (10, vec![(b"b".to_vec(), 2), (b"c".to_vec(), 1)]));
        assert_eq!(windows.store.open_windows(), 1);
        windows.store.roll_back();
        assert_eq!(windows.store.open_windows(), 0);
    }
}
