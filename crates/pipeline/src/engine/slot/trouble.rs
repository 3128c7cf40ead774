//! What a slot does with the state of its tasks around a commit.

use client::transaction::TxnRecord;

use super::{Slot, Trouble, parked};
use crate::engine::changelog;
use crate::engine::task::Task;
use state::memory::OverLimit;
use state::store::{Applied, ShelfError};

/// Why a state cannot be gone on with.
#[derive(Debug)]
pub(crate) enum StateTrouble {
    /// It takes more memory than it may.
    Full(OverLimit),
    /// The disk that it lies on refuses.
    Disk(ShelfError),
}

impl Slot {
    /// What was read from a disk that refuses must not be handed on.
    pub(super) fn check_state(&self) -> Result<(), Trouble> {
        match self.tasks.iter().find_map(Task::state_failure) {
            Some(error) => Err(Trouble::State(StateTrouble::Disk(error))),
            None => Ok(()),
        }
    }

    /// Writes what the transaction has changed in the state, each key once.
    pub(super) fn write_changes(&mut self) -> Result<(), Trouble> {
        let now_ms = self.clock.unix_ms();
        let writer = &mut self.writer;
        for (task, handles) in self.tasks.iter().zip(&self.handles) {
            for (node, handle) in &handles.changelogs {
                let time_has_moved = task.time_has_moved(*node);
                changelog::each_change(&task.state, *node, time_has_moved, |change| {
                    let record = TxnRecord {
                        timestamp: now_ms,
                        key: Some(change.key),
                        value: change.value,
                        headers: &[],
                    };
                    writer.append(*handle, task.partition, &record)
                })?;
            }
            parked::write_changes(task, handles.parked, now_ms, writer)?;
        }
        Ok(())
    }

    /// The transaction is committed: the state takes its changes over, with how much of the
    /// changelogs it is. That was so when the commit began: it succeeded, so nobody else had been
    /// let in by then, and what this slot did not write was not written.
    pub(super) fn settle_state(&mut self, began_ms: i64) {
        let is_alone = self.writer.is_transactional();
        for (task, handles) in self.tasks.iter_mut().zip(&self.handles) {
            let partition = task.partition;
            let nodes = task.state.nodes.iter().zip(&task.state.closed_ms).enumerate();
            let applied = nodes.map(|(at, (node, closed_ms))| {
                let place = handles.changelogs.get(&at)?;
                let known = node.applied().filter(|_| is_alone).map(|applied| applied.offset);
                let offset = known.max(self.writer.written_end(*place, partition))?;
                Some(Applied { offset, at_ms: began_ms, closed_ms: *closed_ms })
            });
            let applied: Vec<Option<Applied>> = applied.collect();
            task.settle(|node| applied.get(node).copied().flatten());
        }
    }

    /// After a commit: the state must fit into its memory.
    pub(super) fn hold_state(&mut self) -> Result<(), Trouble> {
        let bytes = self.tasks.iter().map(Task::state_bytes).sum();
        self.memory.hold(bytes).map_err(|over| Trouble::State(StateTrouble::Full(over)))
    }
}
