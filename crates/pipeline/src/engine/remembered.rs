//! What a task remembers of a key, written as the task would give it; for test cases.

use std::collections::BTreeMap;

use super::chain::{Chain, NodeState, Span};
use super::render;
use super::task::Task;
use super::window::Windows;
use state::store::{StateStore as _, Store, shard_of, split_key};
use state::value::StateValue;

/// The documents of a key: one for a running count, one per open window in their order, none for
/// a key that is not known.
pub(crate) fn documents(task: &mut Task, at: usize, key: &[u8]) -> Vec<Vec<u8>> {
    let chain = &task.code.chain;
    let (Some(node), Some(state)) = (chain.nodes.get(at), task.state.nodes.get_mut(at)) else {
        return Vec::new();
    };
    let size_ms = node.kind.window().map_or(0, |window| window.size_ms);
    match state {
        NodeState::None => Vec::new(),
        NodeState::Count(store) => {
            let found = store.find(key).and_then(|slot| store.at(slot));
            found.map(|(_, count)| count_document(chain, *count)).into_iter().collect()
        }
        NodeState::AgedCount(store) => {
            let found = store.find(key).and_then(|slot| store.at(slot));
            found.map(|(_, aged)| count_document(chain, aged.count())).into_iter().collect()
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

fn count_document(chain: &Chain, count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    render::count(&mut out, chain.form, count);
    out
}

fn of_windows<V: StateValue>(
    windows: &Windows<V>,
    (key, size_ms): (&[u8], u64),
    write: impl Fn(&mut Vec<u8>, &V, &[u8]),
) -> Vec<Vec<u8>> {
    let mut open = BTreeMap::new();
    each_of(&windows.store, key, |stored, value| {
        let Some((end_ms, _)) = split_key(stored).filter(|(_, rest)| *rest == key) else {
            return;
        };
        let (mut bounds, mut out) = (Vec::new(), Vec::new());
        render::bounds(&mut bounds, Span { end_ms, size_ms });
        write(&mut out, value, &bounds);
        open.insert(end_ms, out);
    });
    open.into_values().collect()
}

/// Calls `each` with all that may belong to a key of records.
fn each_of<V: StateValue>(store: &Store<V>, key: &[u8], mut each: impl FnMut(&[u8], &V)) {
    let shard = shard_of(key);
    let seen = store.each(shard..shard + 1, |stored, value| {
        each(stored, value);
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(()) = seen;
}
