//! What others see of a running pipeline: plain data, taken at commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::chain::Counters;
use super::latency::Latency;
use super::load::{CommitsView, Load, LoadView};
use super::tap::{Tap, Taps};

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
    /// The newest time in the batch that was read last, in milliseconds since 1970.
    pub time_ms: Option<i64>,
}

impl InputView {
    /// Records that wait.
    #[must_use]
    pub fn lag(&self) -> i64 {
        (self.end - self.committed).max(0)
    }
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
    /// What it spends its time on; none before it runs.
    pub(crate) load: Option<Arc<Load>>,
    /// The stage of each of its tasks.
    pub(crate) stage_of: Arc<BTreeMap<String, usize>>,
    /// Where it learns who wants to look; none before it runs.
    pub(crate) taps: Option<Arc<Taps>>,
    /// How often it has shown how things stand.
    pub(crate) shown: u64,
    /// Rung then.
    pub(crate) bell: Bell,
}

/// What many ring, so that whoever looks after all of them need not look at each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bell(Arc<AtomicU64>);

impl Bell {
    /// There is news.
    pub(crate) fn ring(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// How often it was rung.
    pub(crate) fn rung(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl SlotView {
    /// Lets the slot know of a tap; whether it runs.
    pub(crate) fn tap(&self, tap: &Arc<Tap>) -> bool {
        self.taps.as_ref().map(|taps| taps.ensure(tap)).is_some()
    }
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
    /// The time of the oldest record that is known to have been read where others still wait, in
    /// milliseconds since 1970; none when nothing waits.
    pub behind_ms: Option<i64>,
    /// The id of the first task of each task's stage.
    pub stage_of: BTreeMap<String, String>,
    /// What the slots of each task spend their time on.
    pub loads: BTreeMap<String, LoadView>,
    /// Commits since the slots began.
    pub commits: CommitsView,
    /// Slots that run.
    pub slots: u32,
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
        self.add_figures(slot, stages);
        self.latency.merge(&slot.latency);
        self.open_windows += slot.open_windows;
        self.state_bytes += slot.state_bytes;
    }

    /// Adds what is said in beats, many times a second: no histograms.
    pub(crate) fn add_figures(&mut self, slot: &SlotView, stages: &[String]) {
        for (task, view) in &slot.tasks {
            self.tasks.entry(task.clone()).or_default().merge(view);
        }
        for ((stage, _), input) in &slot.inputs {
            let name = stages.get(*stage).cloned().unwrap_or_default();
            *self.lags.entry(name).or_default() += input.lag();
            if let Some(time_ms) = input.time_ms.filter(|_| input.lag() > 0) {
                self.behind_ms = Some(self.behind_ms.map_or(time_ms, |known| known.min(time_ms)));
            }
        }
        self.add_load(slot, stages);
        self.committed_ms = self.committed_ms.max(slot.committed_ms);
    }

    fn add_load(&mut self, slot: &SlotView, stages: &[String]) {
        let Some(load) = &slot.load else {
            return;
        };
        self.slots += 1;
        self.commits.merge(&load.commits());
        let shares = load.shares();
        for (task, stage) in slot.stage_of.iter() {
            let busy = shares.stages.get(*stage).copied().unwrap_or_default();
            self.loads.entry(task.clone()).or_default().add(busy, shares.blocked);
            let first = stages.get(*stage).cloned().unwrap_or_default();
            self.stage_of.insert(task.clone(), first);
        }
    }

    /// How far the pipeline is behind, in milliseconds, as far as the records' own times tell; 0
    /// when nothing waits.
    #[must_use]
    pub fn lag_ms(&self, now_ms: i64) -> i64 {
        self.behind_ms.map_or(0, |time_ms| now_ms.saturating_sub(time_ms).max(0))
    }
}
