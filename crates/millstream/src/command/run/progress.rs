//! What a run shows of itself: the engine's view turned into lines, with rates between two looks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base::cast;
use base::clock::Clock;
use pipeline::engine::PipelineView;
use topology::plan::{InputKind, Output, Plan};

use super::latest::Latest;
use crate::cluster::World;
use crate::render::view::{LiveView, Summary, TableLine, TaskLine};

/// The port that clients try by themselves.
const DEFAULT_LISTEN: &str = "127.0.0.1:9092";

/// What is known of a run beside its engine's view.
pub(super) struct Progress {
    plan: Plan,
    listen: String,
    files: String,
    clock: Arc<dyn Clock>,
    started_ms: u64,
    latest: Latest,
    before: Mutex<Before>,
}

/// The last look, for rates.
#[derive(Default)]
struct Before {
    at_ms: u64,
    counts: BTreeMap<String, (u64, u64)>,
    rates: BTreeMap<String, (f64, f64)>,
}

/// Time between two looks that a rate is taken over, in milliseconds.
const RATE_MS_MIN: u64 = 1_000;

impl Progress {
    /// A run that begins now.
    pub(super) fn new(plan: &Plan, listen: &str, files: &[PathBuf], world: &World) -> Self {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        Self {
            plan: plan.clone(),
            listen: listen.to_owned(),
            files: files.join(" "),
            clock: Arc::clone(&world.clock),
            started_ms: world.clock.steady_ms(),
            latest: Latest::default(),
            before: Mutex::default(),
        }
    }

    /// Where the latest averages are kept.
    pub(super) fn latest(&self) -> &Latest {
        &self.latest
    }

    /// Where the log is reached.
    pub(super) fn listen(&self) -> &str {
        &self.listen
    }

    /// The time of day, UTC.
    pub(super) fn time(&self) -> String {
        let text = topology::spec::timestamp_text(self.clock.unix_ms());
        text.get(11..19).unwrap_or_default().to_owned()
    }

    /// A command that looks into the results.
    pub(super) fn hint(&self) -> Option<String> {
        let stages = self.plan.stages.iter();
        let outputs = stages.flat_map(|stage| &stage.operators).flat_map(|it| &it.outputs);
        let topic = outputs.into_iter().find_map(|output| match output {
            Output::Sink { topic, .. } => Some(topic),
            Output::Operator(_) | Output::Edge { .. } => None,
        })?;
        let target = match self.listen.as_str() {
            DEFAULT_LISTEN => String::new(),
            listen => format!(" -b {listen}"),
        };
        Some(format!("millstream consume {topic}{target}"))
    }

    /// This moment.
    pub(super) fn live(&self, view: &PipelineView) -> LiveView {
        let now_ms = self.clock.steady_ms();
        let rates = self.rates(view, now_ms);
        let age_ms = view.committed_ms.map(|at| (self.clock.unix_ms() - at).max(0));
        let mut averages: Vec<_> = {
            let latest = self.latest.lock().expect("no holder of the averages panics");
            latest.values().cloned().collect()
        };
        averages.sort_by(|left, right| right.window_end.cmp(&left.window_end));
        LiveView {
            pipeline: view.pipeline.clone(),
            state: state_word(view),
            uptime_ms: now_ms.saturating_sub(self.started_ms),
            listen: self.listen.clone(),
            tasks: self.tasks(view, &rates),
            records_in: self.records_in(view),
            records_out: self.records_out(view),
            commit_age_ms: age_ms.map(cast::f64_of_i64),
            p50_ms: view.latency.quantile_ms(0.5),
            p99_ms: view.latency.quantile_ms(0.99),
            averages,
            tables: self.tables(view),
            hints: self.hint().into_iter().collect(),
        }
    }

    fn rates(&self, view: &PipelineView, now_ms: u64) -> BTreeMap<String, (f64, f64)> {
        let mut before = self.before.lock().expect("no holder of the rates panics");
        let past_ms = now_ms.saturating_sub(before.at_ms);
        if past_ms < RATE_MS_MIN {
            return before.rates.clone();
        }
        let seconds = cast::f64_of(past_ms) / 1_000.0;
        let mut rates = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for (task, now) in &view.tasks {
            let then = before.counts.get(task).copied().unwrap_or_default();
            let per_s = |now: u64, then: u64| cast::f64_of(now.saturating_sub(then)) / seconds;
            let rate = (per_s(now.records_in, then.0), per_s(now.records_out, then.1));
            rates.insert(task.clone(), rate);
            counts.insert(task.clone(), (now.records_in, now.records_out));
        }
        // The first look has nothing to compare with.
        if before.at_ms == 0 {
            rates.values_mut().for_each(|rate| *rate = (0.0, 0.0));
        }
        *before = Before { at_ms: now_ms, counts, rates: rates.clone() };
        rates
    }

    fn tasks(&self, view: &PipelineView, rates: &BTreeMap<String, (f64, f64)>) -> Vec<TaskLine> {
        let operators = self
            .plan
            .stages
            .iter()
            .flat_map(|stage| stage.operators.iter().map(move |operator| (stage, operator)));
        let line = |(stage, operator): (&topology::plan::Stage, &topology::plan::Operator)| {
            let task = view.tasks.get(&operator.task).copied().unwrap_or_default();
            let rate = rates.get(&operator.task).copied().unwrap_or_default();
            let lag = view.lags.get(&stage.id).filter(|_| operator.task == stage.id);
            TaskLine {
                name: operator.task.clone(),
                kind: operator.kind.word().to_owned(),
                in_per_s: rate.0,
                out_per_s: rate.1,
                lag: lag.and_then(|lag| u64::try_from(*lag).ok()),
                errors: task.skipped + task.parked,
            }
        };
        operators.map(line).collect()
    }

    /// What the tasks that read sources have taken in.
    fn records_in(&self, view: &PipelineView) -> u64 {
        let mut tasks = Vec::new();
        for stage in &self.plan.stages {
            for input in &stage.inputs {
                if let (InputKind::Source(_), Some(first)) = (&input.kind, input.operators.first())
                    && let Some(operator) = stage.operators.get(*first)
                {
                    tasks.push(&operator.task);
                }
            }
        }
        tasks.into_iter().filter_map(|task| view.tasks.get(task)).map(|it| it.records_in).sum()
    }

    /// What the tasks that lead to sinks have given.
    fn records_out(&self, view: &PipelineView) -> u64 {
        let operators = self.plan.stages.iter().flat_map(|stage| &stage.operators);
        let ends = operators.filter(|operator| {
            operator.outputs.iter().any(|output| matches!(output, Output::Sink { .. }))
        });
        ends.filter_map(|operator| view.tasks.get(&operator.task)).map(|it| it.records_out).sum()
    }

    fn tables(&self, view: &PipelineView) -> Vec<TableLine> {
        let line = |table: &topology::plan::Table| TableLine {
            table: table.table.clone(),
            file: table.file.clone(),
            rows: view.tables.get(&table.sink).map_or(0, |it| it.rows_upserted),
        };
        self.plan.tables.iter().map(line).collect()
    }

    /// What is said at the end.
    pub(super) fn summary(&self, view: &PipelineView, outcome: &str) -> Summary {
        let mut hints: Vec<String> = Vec::new();
        if !self.plan.tables.is_empty() {
            hints.push(format!("millstream sink preview {}", self.files));
        }
        Summary {
            pipeline: view.pipeline.clone(),
            outcome: outcome.to_owned(),
            uptime_ms: self.clock.steady_ms().saturating_sub(self.started_ms),
            records_in: self.records_in(view),
            records_out: self.records_out(view),
            errors: view.tasks.values().map(|task| task.skipped + task.parked).sum(),
            tables: self.tables(view),
            p50_ms: view.latency.quantile_ms(0.5),
            p99_ms: view.latency.quantile_ms(0.99),
            open_windows: cast::u64_of(view.open_windows),
            hints,
        }
    }
}

/// What the pipeline is doing, and how far a restore has come.
fn state_word(view: &PipelineView) -> String {
    let word = view.phase.to_uppercase();
    match view.restoring {
        (done, total) if view.phase == "restoring" && total > 0 => {
            format!("{word} {} %", done.saturating_mul(100) / total)
        }
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_tells_how_far_it_has_come() {
        let mut view = PipelineView { phase: "restoring", ..PipelineView::default() };
        assert_eq!(state_word(&view), "RESTORING");
        view.restoring = (1, 3);
        assert_eq!(state_word(&view), "RESTORING 33 %");
        view.phase = "running";
        assert_eq!(state_word(&view), "RUNNING");
    }
}
