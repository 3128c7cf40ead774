//! What a task remembers of a key, written as the task would give it; for test cases.

use std::collections::BTreeMap;

use super::chain::{NodeState, Span};
use super::render;
use super::state::StateValue;
use super::task::Task;
use super::window::{Windows, split_key};

/// The documents of a key: one for a running count, one per open window in their order, none for
/// a key that is not known.
pub(crate) fn documents(task: &Task, at: usize, key: &[u8]) -> Vec<Vec<u8>> {
    let chain = &task.code.chain;
    let (Some(node), Some(state)) = (chain.nodes.get(at), task.state.nodes.get(at)) else {
        return Vec::new();
    };
    let size_ms = node.kind.window().map_or(0, |window| window.size_ms);
    match state {
        NodeState::None => Vec::new(),
        NodeState::Count(store) => {
            let mine = store.slots().filter(|(_, stored, _)| *stored == key);
            let written = mine.map(|(_, _, count)| {
                let mut out = Vec::new();
                render::count(&mut out, chain.form, *count);
                out
            });
            written.collect()
        }
        NodeState::WindowCount(windows) => {
            of_windows(windows, (key, size_ms), |out, count, end| {
                render::window_count(out, chain.form, *count, end);
            })
        }
        NodeState::Average(windows) => of_windows(windows, (key, size_ms), |out, mean, end| {
            render::average(out, chain.form, mean, end);
        }),
    }
}

fn of_windows<V: StateValue>(
    windows: &Windows<V>,
    (key, size_ms): (&[u8], u64),
    write: impl Fn(&mut Vec<u8>, &V, &[u8]),
) -> Vec<Vec<u8>> {
    let mut open = BTreeMap::new();
    for (_, stored, value) in windows.store.slots() {
        let Some((end_ms, _)) = split_key(stored).filter(|(_, rest)| *rest == key) else {
            continue;
        };
        let (mut bounds, mut out) = (Vec::new(), Vec::new());
        render::bounds(&mut bounds, Span { end_ms, size_ms });
        write(&mut out, value, &bounds);
        open.insert(end_ms, out);
    }
    open.into_values().collect()
}
