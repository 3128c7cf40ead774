//! What a slot does with the state of its tasks around a commit.

use super::{Slot, Trouble};
use crate::engine::memory::OverLimit;
use crate::engine::store::{Applied, ShelfError};
use crate::engine::task::Task;

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

    /// The transaction is committed: the state takes its changes over, with how much of the
    /// changelogs it is now.
    pub(super) fn settle_state(&mut self, now_ms: i64) {
        for (task, handles) in self.tasks.iter_mut().zip(&self.handles) {
            let partition = task.partition;
            task.settle(|node| {
                let place = handles.changelogs.get(&node)?;
                let offset = self.writer.written_end(*place, partition)?;
                Some(Applied { offset, at_ms: now_ms })
            });
        }
    }

    /// After a commit: the state must fit into its memory.
    pub(super) fn hold_state(&mut self) -> Result<(), Trouble> {
        let bytes = self.tasks.iter().map(Task::state_bytes).sum();
        self.memory.hold(bytes).map_err(|over| Trouble::State(StateTrouble::Full(over)))
    }
}
