//! What a running pipeline shows of itself, as plain data: the run command fills it in.

/// A moment of a running pipeline.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct LiveView {
    pub(crate) pipeline: String,
    /// A word: `RUNNING`, `STARTING`, `DRAINING`, `STOPPED`.
    pub(crate) state: String,
    /// Since the start, in milliseconds.
    pub(crate) uptime_ms: u64,
    /// Where the log listens, `127.0.0.1:9092`; or the cluster that is used.
    pub(crate) listen: String,
    pub(crate) tasks: Vec<TaskLine>,
    /// Records that the pipeline has read and written since its start.
    pub(crate) records_in: u64,
    pub(crate) records_out: u64,
    /// Since the last commit, in milliseconds.
    pub(crate) commit_age_ms: Option<f64>,
    /// From a record's timestamp to its effect, in milliseconds.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// The latest averages, the newest first.
    pub(crate) averages: Vec<AverageLine>,
    pub(crate) tables: Vec<TableLine>,
    /// Commands worth trying now.
    pub(crate) hints: Vec<String>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct TaskLine {
    pub(crate) name: String,
    /// `filter`, `count`, `average`.
    pub(crate) kind: String,
    pub(crate) in_per_s: f64,
    pub(crate) out_per_s: f64,
    /// Records that wait; absent for a task inside a stage.
    pub(crate) lag: Option<u64>,
    pub(crate) errors: u64,
}

/// The latest window of one key.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct AverageLine {
    pub(crate) key: String,
    pub(crate) average: f64,
    pub(crate) count: u64,
    /// RFC 3339.
    pub(crate) window_end: String,
}

/// A database table that the pipeline fills.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TableLine {
    pub(crate) table: String,
    pub(crate) file: String,
    /// Rows that were written since the start.
    pub(crate) rows: u64,
}

/// What is said at the end.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Summary {
    pub(crate) pipeline: String,
    /// `done`, `stopped`, `failed`.
    pub(crate) outcome: String,
    pub(crate) uptime_ms: u64,
    pub(crate) records_in: u64,
    pub(crate) records_out: u64,
    pub(crate) errors: u64,
    pub(crate) tables: Vec<TableLine>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Windows that were still open.
    pub(crate) open_windows: u64,
    /// Commands worth trying next.
    pub(crate) hints: Vec<String>,
}

impl LiveView {
    /// Records that wait anywhere.
    pub(crate) fn lag(&self) -> u64 {
        self.tasks.iter().filter_map(|task| task.lag).fold(0, u64::saturating_add)
    }

    /// Errors of all tasks.
    pub(crate) fn errors(&self) -> u64 {
        self.tasks.iter().map(|task| task.errors).fold(0, u64::saturating_add)
    }

    /// What the first task takes in per second; the tasks behind it see the same records again.
    pub(crate) fn in_per_s(&self) -> f64 {
        self.tasks.first().map_or(0.0, |task| task.in_per_s)
    }
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    /// A pipeline as the example file makes it.
    pub(crate) fn machine_health() -> LiveView {
        let task = |name: &str, kind: &str, rates: (f64, f64), lag| TaskLine {
            name: name.to_owned(),
            kind: kind.to_owned(),
            in_per_s: rates.0,
            out_per_s: rates.1,
            lag,
            errors: 0,
        };
        let average = |key: &str, average, count| AverageLine {
            key: key.to_owned(),
            average,
            count,
            window_end: "2026-11-21T06:50:05.000Z".to_owned(),
        };
        let table = |table: &str, rows| TableLine {
            table: table.to_owned(),
            file: "machine-health.db".to_owned(),
            rows,
        };
        LiveView {
            pipeline: "machine-health".to_owned(),
            state: "RUNNING".to_owned(),
            uptime_ms: 62_000,
            listen: "localhost:9092".to_owned(),
            tasks: vec![
                task("present", "filter", (52.0, 51.6), Some(3)),
                task("mean", "average", (51.6, 2.6), None),
                task("seen", "count", (12_449.0, 51.6), Some(1_204)),
            ],
            records_in: 3_224,
            records_out: 3_361,
            commit_age_ms: Some(41.0),
            p50_ms: Some(6.42),
            p99_ms: Some(18.8),
            averages: vec![average("cpu.0", 12.345, 20), average("memory.used", 3.138, 20)],
            tables: vec![table("health", 137), table("seen", 3_224)],
            hints: vec!["millstream consume machine.health".to_owned()],
        }
    }

    /// The end of the same pipeline.
    pub(crate) fn summary() -> Summary {
        let view = machine_health();
        Summary {
            pipeline: view.pipeline,
            outcome: "stopped".to_owned(),
            uptime_ms: view.uptime_ms,
            records_in: view.records_in,
            records_out: view.records_out,
            errors: 0,
            tables: view.tables,
            p50_ms: view.p50_ms,
            p99_ms: view.p99_ms,
            open_windows: 13,
            hints: vec!["millstream sink preview machine-health.yaml".to_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_over_all_tasks() {
        let view = examples::machine_health();
        assert_eq!((view.lag(), view.errors()), (1_207, 0));
        assert!((view.in_per_s() - 52.0).abs() < f64::EPSILON);
        assert_eq!(LiveView::default().lag(), 0);
    }
}
