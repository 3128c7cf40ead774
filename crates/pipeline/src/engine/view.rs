//! What others see of a running pipeline: plain data, taken at commits.

use std::collections::{BTreeMap, BTreeSet};

use super::chain::Counters;
use super::latency::Latency;

/// What has happened at a task up to the last commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskView {
    /// Records that came in.
    pub records_in: u64,
    /// Records that went out, once for each target.
    pub records_out: u64,
    /// Records that came after their windows had closed.
    pub late: u64,
    /// Records that failed and were left out.
    pub skipped: u64,
    /// Records that failed and were parked in the dead-letter topic.
    pub parked: u64,
}

impl TaskView {
    pub(crate) fn add(&mut self, counters: &Counters) {
        self.records_in += counters.records_in;
        self.records_out += counters.records_out;
        self.late += counters.late;
        self.skipped += counters.skipped;
        self.parked += counters.parked;
    }

    fn merge(&mut self, other: &Self) {
        self.records_in += other.records_in;
        self.records_out += other.records_out;
        self.late += other.late;
        self.skipped += other.skipped;
        self.parked += other.parked;
    }
}

/// How far an input has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputView {
    /// The next offset, as of the last commit.
    pub committed: i64,
    /// The end of the partition when it was last looked at.
    pub end: i64,
}

/// A partition of a topic as the input of a stage.
pub(crate) type StageInput = (usize, (String, i32));

/// One slot.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlotView {
    pub(crate) tasks: BTreeMap<String, TaskView>,
    pub(crate) inputs: BTreeMap<StageInput, InputView>,
    pub(crate) committed_ms: Option<i64>,
    pub(crate) latency: Latency,
    pub(crate) open_windows: usize,
    pub(crate) state_bytes: usize,
    /// The stages in which orders wait or letters leave.
    pub(crate) busy: BTreeSet<usize>,
}

/// A table that is written from a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableView {
    /// Rows inserted or changed.
    pub rows_upserted: u64,
    /// Rows removed.
    pub rows_deleted: u64,
    /// Records of the topic that are not in the table yet.
    pub lag: i64,
}

/// A running pipeline.
#[derive(Debug, Clone, Default)]
pub struct PipelineView {
    /// The pipeline's name.
    pub pipeline: String,
    /// What it is doing, in a word: `starting`, `restoring`, `running`, `waiting`, `draining`,
    /// `stopped`.
    pub phase: &'static str,
    /// The tasks by id.
    pub tasks: BTreeMap<String, TaskView>,
    /// Records that wait at each stage's inputs, by the id of the stage's first task.
    pub lags: BTreeMap<String, i64>,
    /// The tables by the name of their sink.
    pub tables: BTreeMap<String, TableView>,
    /// Wall-clock time of the last commit.
    pub committed_ms: Option<i64>,
    /// From a record's time to the commit of what it caused.
    pub latency: Latency,
    /// Windows that are open, each with its keys counted.
    pub open_windows: usize,
    /// Memory of the state, roughly, in bytes.
    pub state_bytes: usize,
    /// Records read from source topics.
    pub records_in: u64,
    /// How often the slots had to begin again.
    pub restarts: u64,
    /// Records of changelogs that the last start has read to rebuild its state.
    pub restored: u64,
    /// Offsets of changelogs that the last start has passed, and all that it had to.
    pub restoring: (u64, u64),
}

impl PipelineView {
    pub(crate) fn add_slot(&mut self, slot: &SlotView, stages: &[String]) {
        for (task, view) in &slot.tasks {
            self.tasks.entry(task.clone()).or_default().merge(view);
        }
        for ((stage, _), input) in &slot.inputs {
            let name = stages.get(*stage).cloned().unwrap_or_default();
            *self.lags.entry(name).or_default() += (input.end - input.committed).max(0);
        }
        self.committed_ms = self.committed_ms.max(slot.committed_ms);
        self.latency.merge(&slot.latency);
        self.open_windows += slot.open_windows;
        self.state_bytes += slot.state_bytes;
    }
}
