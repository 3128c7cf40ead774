//! What `status` says of tasks: the beats of all slots of a pipeline, added up.

use std::collections::BTreeMap;

use coordination::seen::Seen;
use pipeline::engine::standing::Standing;
use serde_json::{Value, json};

use crate::render::numbers::duration_ms;
use crate::render::table::{Align, Table};

/// Thousandths of back pressure from which it is worth naming who holds the task up.
const BACKPRESSURE_PERMILLE_MIN: u64 = 100;

/// A task, over all slots that run it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TaskFigures {
    stage: String,
    records_in: u64,
    records_out: u64,
    late: u64,
    skipped: u64,
    parked: u64,
    busy_permille: u64,
    backpressured_permille: u64,
    slots: u64,
}

impl TaskFigures {
    /// The mean over its slots: busy, back-pressured, idle.
    fn permilles(&self) -> [u64; 3] {
        let slots = self.slots.max(1);
        let (busy, held) = (self.busy_permille / slots, self.backpressured_permille / slots);
        [busy, held, 1_000_u64.saturating_sub(busy + held)]
    }

    /// Who holds it up: tasks write into the log alone, so there is nobody else.
    fn held_by(&self) -> Option<&'static str> {
        (self.permilles()[1] >= BACKPRESSURE_PERMILLE_MIN).then_some("log")
    }
}

/// A pipeline, over all its slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Figures {
    tasks: BTreeMap<String, TaskFigures>,
    lags: BTreeMap<String, i64>,
    committed_ms: Option<i64>,
    behind_ms: Option<i64>,
    commits: u64,
    aborted: u64,
    commits_us: u64,
    restarts: u64,
}

impl Figures {
    /// Adds up what slots tell.
    pub(super) fn of<'s>(seen: impl Iterator<Item = &'s Seen>) -> Self {
        let mut figures = Self::default();
        for slot in seen {
            figures.add(slot);
        }
        figures
    }

    fn add(&mut self, slot: &Seen) {
        for task in &slot.tasks {
            let known = self.tasks.entry(task.task.clone()).or_default();
            known.stage.clone_from(&task.stage);
            known.records_in += task.records_in;
            known.records_out += task.records_out;
            known.late += task.late;
            known.skipped += task.skipped;
            known.parked += task.parked;
            known.busy_permille += u64::from(task.busy_permille);
            known.backpressured_permille += u64::from(task.backpressured_permille);
            known.slots += 1;
        }
        for (stage, lag) in &slot.lags {
            *self.lags.entry(stage.clone()).or_default() += lag;
        }
        self.committed_ms = self.committed_ms.max(slot.committed_ms);
        self.behind_ms = self.behind_ms.into_iter().chain(slot.behind_ms).min();
        self.commits += slot.commits;
        self.aborted += slot.aborted;
        self.commits_us += slot.commits_us;
        self.restarts += slot.restarts;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// `behind 0.3 s   last commit 0.1 s ago   42 commits of 3 ms, 1 aborted   0 restarts`
    pub(super) fn line(&self, now_ms: i64) -> String {
        let age = |then_ms: Option<i64>| then_ms.map(|it| duration_ms(age_ms(now_ms, it)));
        let behind = age(self.behind_ms).map(|age| format!("behind {age}"));
        let behind = behind.unwrap_or_else(|| "nothing waits".to_owned());
        let committed = age(self.committed_ms).unwrap_or_else(|| "-".to_owned());
        let mean_us = self.commits_us.checked_div(self.commits).unwrap_or(0);
        let restarts = if self.restarts == 1 { "restart" } else { "restarts" };
        format!(
            "  {behind}   last commit {committed} ago   {} commits of {}.{} ms, {} aborted   \
             {} {restarts}\n",
            self.commits,
            mean_us / 1_000,
            mean_us % 1_000 / 100,
            self.aborted,
            self.restarts,
        )
    }

    /// A line for each task.
    pub(super) fn table(&self, pipeline: &str, table: &mut Table) {
        for (id, task) in &self.tasks {
            let [busy, held, idle] = task.permilles();
            let percent = |permille: u64| format!("{}%", permille.div_ceil(10));
            // A stage has one input queue, which stands at its first task.
            let lag = self.lags.get(id).map_or_else(|| "-".to_owned(), i64::to_string);
            table.push([
                pipeline.to_owned(),
                id.clone(),
                task.records_in.to_string(),
                task.records_out.to_string(),
                lag,
                task.late.to_string(),
                (task.skipped + task.parked).to_string(),
                percent(busy),
                percent(held),
                task.held_by().unwrap_or("-").to_owned(),
                percent(idle),
            ]);
        }
    }

    /// The same as data; ages and times in milliseconds.
    pub(super) fn json(&self, now_ms: i64) -> Value {
        let ratio = |permille: u64| json!(base::cast::f64_of(permille) / 1_000.0);
        let task = |(id, task): (&String, &TaskFigures)| {
            let [busy, held, idle] = task.permilles();
            json!({ "task": id, "stage": task.stage, "slots": task.slots,
                "records_in": task.records_in, "records_out": task.records_out,
                "lag_records": self.lags.get(id), "late": task.late, "skipped": task.skipped,
                "dead_letters": task.parked, "busy_ratio": ratio(busy),
                "backpressured_ratio": ratio(held), "backpressured_by": task.held_by(),
                "idle_ratio": ratio(idle) })
        };
        json!({
            "tasks": self.tasks.iter().map(task).collect::<Vec<_>>(),
            "lag_ms": self.behind_ms.map_or(0, |then_ms| age_ms(now_ms, then_ms)),
            "checkpoint_age_ms": self.committed_ms.map(|then_ms| age_ms(now_ms, then_ms)),
            "checkpoints": self.commits, "checkpoints_aborted": self.aborted,
            "checkpoints_us": self.commits_us, "restarts": self.restarts,
        })
    }
}

/// The columns of [`Figures::table`].
pub(super) fn columns() -> Table {
    let right = ["IN", "OUT", "LAG", "LATE", "ERRORS", "BUSY", "BACKPR"];
    let left = [("PIPELINE", Align::Left), ("TASK", Align::Left)];
    let right = right.map(|name| (name, Align::Right));
    let last = [("BY", Align::Left), ("IDLE", Align::Right)];
    Table::new(&[&left[..], &right[..], &last[..]].concat())
}

fn age_ms(now_ms: i64, then_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(0)
}

/// The columns of [`stages`].
pub(super) fn stage_columns() -> Table {
    Table::new(&[
        ("GROUP", Align::Left),
        ("READS", Align::Left),
        ("LAG", Align::Right),
        ("BEHIND", Align::Right),
        ("LAST COMMIT", Align::Right),
    ])
}

/// What the log alone tells of a pipeline, a line for each stage.
pub(super) fn stages(standing: &Standing, now_ms: i64, table: &mut Table) {
    let ago = |then_ms: Option<i64>| {
        then_ms.map_or_else(|| "-".to_owned(), |it| duration_ms(age_ms(now_ms, it)))
    };
    for (group, stage) in &standing.stages {
        table.push([
            group.clone(),
            stage.topics.join(", "),
            stage.lag.to_string(),
            ago(stage.behind_ms),
            ago(stage.committed_ms),
        ]);
    }
}

/// The same as data.
pub(super) fn stages_json(standing: &Standing, now_ms: i64) -> Value {
    let age = |then_ms: Option<i64>| then_ms.map(|it| age_ms(now_ms, it));
    let stage = |(group, stage): (&String, &pipeline::engine::standing::StageStanding)| {
        json!({ "group": group, "topics": stage.topics, "lag_records": stage.lag,
            "lag_ms": age(stage.behind_ms), "checkpoint_age_ms": age(stage.committed_ms),
            "unread_partitions": stage.unread_partitions })
    };
    json!({ "last_run_by": standing.last.to_string(),
        "stages": standing.stages.iter().map(stage).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use coordination::seen::TaskSeen;

    use super::*;

    fn slot(busy_permille: u16, committed_ms: i64, behind_ms: Option<i64>) -> Seen {
        let task = TaskSeen {
            task: "a".to_owned(),
            stage: "a".to_owned(),
            records_in: 5,
            records_out: 4,
            late: 0,
            skipped: 1,
            parked: 0,
            busy_permille,
            backpressured_permille: 200,
        };
        Seen {
            tasks: vec![task],
            lags: vec![("a".to_owned(), 3)],
            committed_ms: Some(committed_ms),
            behind_ms,
            commits: 2,
            aborted: 0,
            commits_us: 5_000,
            restarts: 1,
        }
    }

    #[test]
    fn slots_add_up_and_their_shares_are_averaged() {
        let slots = [slot(600, 900, None), slot(200, 950, Some(400))];
        let figures = Figures::of(slots.iter());
        let mut table = columns();
        figures.table("p", &mut table);
        let text = table.text(40);
        let line: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        let expected = ["p", "a", "10", "8", "6", "0", "2", "40%", "20%", "log", "40%"];
        assert_eq!(line, expected);
        let told = figures.line(1_000);
        assert!(told.contains("behind 0.6 s   last commit 0.0 s ago"), "{told}");
        assert!(told.contains("4 commits of 2.5 ms, 0 aborted   2 restarts"), "{told}");
        let data = figures.json(1_000);
        assert_eq!((&data["lag_ms"], &data["checkpoint_age_ms"]), (&json!(600), &json!(50)));
        assert_eq!(data["tasks"][0]["backpressured_by"], "log");
    }

    #[test]
    fn a_pipeline_without_waiting_records_is_not_behind() {
        let figures = Figures::of([slot(0, 1_000, None)].iter());
        assert!(figures.line(1_000).starts_with("  nothing waits   last commit"));
        assert_eq!(figures.json(1_000)["lag_ms"], 0);
    }
}
