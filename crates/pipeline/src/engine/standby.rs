//! Copies of the state of tasks that others run, for whoever gets one of the tasks here.
//!
//! A copy is what its changelog says up to some offset, and knows that offset: a slot that begins
//! takes it over and reads the rest, as it does with a snapshot. So it need not be new, and nobody
//! has to be asked whether it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use base::uuid::Uuid;
use protocol::record::Batch;

use super::chain::NodeState;
use super::error::EngineError;
use super::restore::apply;
use super::task::Task;
use crate::limits::STANDBY_LAG_MAX;
use state::memory::{MemoryShare, OverLimit};
use state::store::Applied;

/// A task, by stage and partition.
pub(crate) type Own = (usize, i32);

/// The copies of a pipeline in this process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standbys {
    shared: Arc<Mutex<Copies>>,
}

#[derive(Debug, Default)]
struct Copies {
    tasks: BTreeMap<Own, StandbyTask>,
    /// Rises when a copy has become ready, or is gone.
    changes: u64,
}

impl Standbys {
    /// Takes a task's copy away, if there is one of this plan.
    pub(crate) fn take(&self, own: Own, fingerprint: u64) -> Option<StandbyTask> {
        let mut copies = self.copies();
        let copy = copies.tasks.remove(&own)?;
        copies.changes += 1;
        (copy.fingerprint == fingerprint).then_some(copy)
    }

    /// Keeps copies of one plan, of these tasks, and no others.
    pub(super) fn retain(&self, fingerprint: u64, is_wanted: impl Fn(&Own) -> bool) {
        self.keep(|own, copy| copy.fingerprint == fingerprint && is_wanted(own));
    }

    /// Forgets a copy.
    pub(super) fn forget(&self, own: Own) {
        self.keep(|it, _| *it != own);
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        self.keep(|_, _| false);
    }

    fn keep(&self, is_wanted: impl Fn(&Own, &StandbyTask) -> bool) {
        let mut copies = self.copies();
        let before = copies.tasks.len();
        copies.tasks.retain(|own, copy| is_wanted(own, copy));
        copies.changes += u64::from(copies.tasks.len() != before);
    }

    /// A copy from now on.
    pub(super) fn add(&self, copy: StandbyTask) {
        self.copies().tasks.insert((copy.task.stage, copy.task.partition), copy);
    }

    /// Does something with a copy; none when it is not there any more.
    pub(super) fn change<R>(
        &self,
        own: Own,
        work: impl FnOnce(&mut StandbyTask) -> R,
    ) -> Option<R> {
        let mut copies = self.copies();
        let copy = copies.tasks.get_mut(&own)?;
        let was_ready = copy.is_ready();
        let done = work(copy);
        let has_changed = copy.is_ready() != was_ready;
        copies.changes += u64::from(has_changed);
        Some(done)
    }

    /// The tasks with copies.
    pub(super) fn tasks(&self) -> BTreeSet<Own> {
        self.copies().tasks.keys().copied().collect()
    }

    /// The changelog partitions of all copies: whose, of which node, and how far each has come.
    pub(super) fn places(&self) -> BTreeMap<(String, i32), (Own, usize, i64)> {
        let copies = self.copies();
        let of = |(own, copy): (&Own, &StandbyTask)| {
            let stores = copy.task.changelogs().filter_map(|(node, changelog)| {
                let applied = copy.task.state.nodes[node].applied()?;
                Some(((changelog.to_owned(), own.1), (*own, node, applied.offset)))
            });
            stores.collect::<Vec<_>>()
        };
        copies.tasks.iter().flat_map(of).collect()
    }

    /// The copies that lack the last records at most.
    pub(crate) fn ready(&self) -> Vec<Own> {
        let copies = self.copies();
        let ready = copies.tasks.iter().filter(|(_, copy)| copy.is_ready());
        ready.map(|(own, _)| *own).collect()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.copies().tasks.is_empty()
    }

    /// Rises when a copy has become ready, or is gone.
    pub(crate) fn changes(&self) -> u64 {
        self.copies().changes
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.shared.lock().expect("no holder of the copies panics")
    }
}

/// The copy of a task's state.
pub(crate) struct StandbyTask {
    /// Has the state and no positions: it never runs.
    task: Task,
    fingerprint: u64,
    /// The changelogs, by node.
    logs: BTreeMap<usize, Log>,
    share: MemoryShare,
}

/// A changelog as it was found.
#[derive(Debug, Clone, Copy)]
struct Log {
    id: Uuid,
    /// Its end when it was last asked for.
    end: Option<i64>,
}

impl fmt::Debug for StandbyTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StandbyTask(stage {} partition {})", self.task.stage, self.task.partition)
    }
}

impl StandbyTask {
    /// A copy that has come as far as the task's nodes say; `ids` are those of their changelogs.
    pub(super) fn new(
        task: Task,
        fingerprint: u64,
        ids: BTreeMap<usize, Uuid>,
        share: MemoryShare,
    ) -> Self {
        let logs = ids.into_iter().map(|(node, id)| (node, Log { id, end: None }));
        Self { task, fingerprint, logs: logs.collect(), share }
    }

    /// Gives a node's state away, if it is that of this topic, with how much of it that is.
    pub(super) fn give(&mut self, node: usize, topic: Uuid) -> Option<(NodeState, Applied)> {
        if self.logs.get(&node)?.id != topic {
            return None;
        }
        let state = self.task.state.nodes.get_mut(node)?;
        let applied = state.applied()?;
        Some((std::mem::replace(state, NodeState::None), applied))
    }

    /// Takes a batch of a node's changelog over.
    pub(super) fn follow(
        &mut self,
        batch: &Batch,
        from: i64,
        node: usize,
        place: &(String, i32),
    ) -> Result<(), EngineError> {
        let from = from.max(self.offset(node));
        apply(batch, from, (&mut self.task.state, node), place)?;
        self.reached(node, batch.header().next_offset());
        Ok(())
    }

    /// A node has come up to an offset of its changelog.
    pub(super) fn reached(&mut self, node: usize, offset: i64) {
        let state = &mut self.task.state;
        let Some(known) = state.nodes[node].applied() else { return };
        if offset > known.offset {
            let closed_ms = state.closed_ms[node];
            state.nodes[node].settle(Some(Applied { offset, closed_ms, ..known }));
        }
    }

    /// The changelog of a node ended there at a time; who has come so far has seen all that was
    /// deleted before.
    pub(super) fn saw_end(&mut self, node: usize, end: i64, at_ms: i64) {
        let state = &mut self.task.state;
        if let Some(log) = self.logs.get_mut(&node) {
            log.end = Some(end);
        }
        if let Some(known) = state.nodes[node].applied()
            && known.offset >= end
        {
            state.nodes[node].settle(Some(Applied { at_ms, ..known }));
        }
    }

    /// Counts what it takes now.
    pub(super) fn hold(&mut self) -> Result<(), OverLimit> {
        self.share.hold(self.task.state_bytes())
    }

    /// Writes what is newer than the disk, where the state lies there.
    pub(super) fn write(&mut self) -> Result<(), EngineError> {
        self.task.write_state();
        self.task.state_failure().map_or(Ok(()), |error| Err(error.into()))
    }

    fn offset(&self, node: usize) -> i64 {
        self.task.state.nodes[node].applied().map_or(0, |applied| applied.offset)
    }

    /// Whether it lacks the last records at most.
    fn is_ready(&self) -> bool {
        let is_near = |(node, log): (&usize, &Log)| {
            log.end.is_some_and(|end| end - self.offset(*node) <= STANDBY_LAG_MAX)
        };
        self.logs.iter().all(is_near)
    }
}
