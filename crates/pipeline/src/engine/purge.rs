//! Deleting from edge topics what has been worked off.
//!
//! An edge lies between two tasks and is read by one of them only. What the reader has committed
//! will not be read again, so it need not wait for the topic's retention (KAFKA-6150, and KIP-811
//! for the interval). Deleting is no promise: what fails is tried again with the next commit that
//! is due.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base::clock::Clock;
use client::Client;
use runtime::task::{self as run, Task as RunningTask};
use topology::plan::InputKind;
use tracing::debug;

use super::task::Task;
use crate::limits::EDGE_PURGE_EVERY_MS;

/// A partition, with the offset before which everything goes.
type Bound = (String, i32, i64);

/// Deletes behind the commits of a slot, beside its work.
pub(crate) struct Purge {
    client: Client,
    clock: Arc<dyn Clock>,
    due_ms: u64,
    /// What was asked for so far.
    asked: BTreeMap<(String, i32), i64>,
    running: Option<RunningTask<()>>,
}

impl fmt::Debug for Purge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Purge({} partitions)", self.asked.len())
    }
}

impl Purge {
    /// Begins after an interval.
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        let due_ms = clock.steady_ms() + EDGE_PURGE_EVERY_MS;
        Self { client, clock, due_ms, asked: BTreeMap::new(), running: None }
    }

    /// After a commit: starts to delete, if it is time and nothing is being deleted.
    pub(crate) fn after_commit(&mut self, tasks: &[Task]) {
        let now_ms = self.clock.steady_ms();
        let is_busy = self.running.as_ref().is_some_and(|running| !running.is_finished());
        if now_ms < self.due_ms || is_busy {
            return;
        }
        self.due_ms = now_ms + EDGE_PURGE_EVERY_MS;
        self.start(tasks);
    }

    /// After the last commit: deletes, and waits for it.
    pub(crate) async fn at_end(&mut self, tasks: &[Task]) {
        self.wait().await;
        self.start(tasks);
        self.wait().await;
    }

    async fn wait(&mut self) {
        if let Some(running) = self.running.take() {
            running.join().await;
        }
    }

    fn start(&mut self, tasks: &[Task]) {
        let bounds: Vec<Bound> = tasks.iter().flat_map(|task| self.bounds(task)).collect();
        if bounds.is_empty() {
            return;
        }
        for (topic, partition, offset) in &bounds {
            self.asked.insert((topic.clone(), *partition), *offset);
        }
        self.running = Some(run::spawn("edge purge", delete(self.client.clone(), bounds)));
    }

    /// How far a task has come on its edges since the last time.
    fn bounds(&self, task: &Task) -> Vec<Bound> {
        let inputs = task.code.stage.inputs.iter().zip(&task.positions);
        let edges = inputs.filter(|(input, _)| matches!(input.kind, InputKind::Edge { .. }));
        let moved = edges.filter_map(|(input, position)| {
            let place = (input.topic.clone(), task.partition);
            let committed = position.as_ref()?.committed;
            let is_new = committed > self.asked.get(&place).copied().unwrap_or(0);
            is_new.then_some((place.0, place.1, committed))
        });
        moved.collect()
    }
}

async fn delete(client: Client, bounds: Vec<Bound>) {
    let before: Vec<(&str, i32, i64)> = bounds
        .iter()
        .map(|(topic, partition, offset)| (topic.as_str(), *partition, *offset))
        .collect();
    if let Err(error) = client.admin().delete_records(&before).await {
        debug!(%error, "edges are not purged this time");
    }
}
