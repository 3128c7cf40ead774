//! Taps of a slot: put where their records pass, and taken away when nobody looks any more.

use super::Slot;
use crate::engine::chain::{Chain, Target};
use crate::engine::tap::Placed;

impl Slot {
    /// Takes note of who looks; once per round, and mostly one comparison.
    pub(super) fn follow_taps(&mut self) {
        let Some(taps) = self.taps.changed() else {
            return;
        };
        for task in &mut self.tasks {
            task.state.taps = Placed::of(taps, task.partition, arcs(&task.code.chain));
        }
    }
}

/// The arcs between tasks of a chain, each end with its index and its id.
fn arcs(chain: &Chain) -> impl Iterator<Item = ((usize, &str), (usize, &str))> + Clone {
    chain.nodes.iter().enumerate().flat_map(move |(at, node)| {
        node.to.iter().filter_map(move |target| {
            let Target::Node(next) = target else {
                return None;
            };
            let to = chain.nodes.get(*next)?;
            Some(((at, node.id.as_str()), (*next, to.id.as_str())))
        })
    })
}
