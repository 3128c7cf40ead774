//! The rows of `bench-peers pipeline`: pipelines beside Kafka Streams, on our log and on Apache
//! Kafka.

use super::rows::{
    Amount, App, Check, EXACTLY, Engine, READINGS, Row, Run, Side, Work, at_least, at_most, below,
    figure,
};

/// What Streams works off of the same input before it is ended: its rate is known by then, and
/// the whole would take the longer part of an hour.
const STREAMS_READINGS: Amount = Amount { full: 2_500_000, quick: 400_000 };

/// Milliseconds: three beats that a task manager has missed, and a second to go on.
const FAILOVER_MS_MAX: f64 = 4_000.0;

/// Names of the rows of a task: on our log, and on Apache Kafka.
const NAMES: [(&str, u32, &str, &str); 10] = [
    ("forward", 1, "forward-1", "kafka-forward-1"),
    ("forward", 2, "forward-2", "kafka-forward-2"),
    ("filter", 1, "filter-1", "kafka-filter-1"),
    ("filter", 2, "filter-2", "kafka-filter-2"),
    ("sum", 1, "sum-1", "kafka-sum-1"),
    ("sum", 2, "sum-2", "kafka-sum-2"),
    ("count", 1, "count-1", "kafka-count-1"),
    ("count", 2, "count-2", "kafka-count-2"),
    ("average", 1, "average-1", "kafka-average-1"),
    ("average", 2, "average-2", "kafka-average-2"),
];

/// Every row, in the order of the table.
pub(super) fn all() -> Vec<Row> {
    let mut rows: Vec<Row> = NAMES.into_iter().flat_map(of_task).collect();
    rows.extend(state_rows());
    rows.push(Row {
        name: "idle-1000",
        ours: Run { side: Side::Ours, work: Work::Idle },
        theirs: None,
        shares: None,
        checks: vec![
            below(figure::IDLE_CPU, 1.0),
            below(figure::IDLE_BROKER_CPU, 1.0),
            below(figure::MEMORY, 300.0),
        ],
    });
    rows
}

/// A task on both logs, beside the same run of Streams.
fn of_task(
    (task, slots, name, on_kafka): (&'static str, u32, &'static str, &'static str),
) -> [Row; 2] {
    let run = |side, engine, records| Run {
        side,
        work: Work::Pipeline { app: App::of(engine, task).on(slots), records },
    };
    let theirs = run(Side::Kafka, Engine::Streams, STREAMS_READINGS);
    let row = |name, side, shares, checks: [Check; 2]| Row {
        name,
        ours: run(side, EXACTLY, READINGS),
        theirs: Some(theirs),
        shares,
        checks: checks.to_vec(),
    };
    let own = [at_least(figure::RATE, 5.0), at_most(figure::CPU, 0.15)];
    let foreign = [at_least(figure::RATE, 3.0), at_most(figure::APP_CPU, 0.15)];
    [row(name, Side::Ours, None, own), row(on_kafka, Side::Kafka, Some(name), foreign)]
}

/// What depends on state, on its loss, and on the way through topics.
fn state_rows() -> Vec<Row> {
    let count = App::of(EXACTLY, "count");
    let streams = App::of(Engine::Streams, "count").on_disk();
    let stages = |engine| Work::EndToEnd { app: App::of(engine, "stages") };
    let row = |name, (ours, theirs), checks: &[Check]| Row {
        name,
        ours: Run { side: Side::Ours, work: ours },
        theirs: Some(Run { side: Side::Kafka, work: theirs }),
        shares: None,
        checks: checks.to_vec(),
    };
    let large = (Work::Large { app: count.on_disk() }, Work::Large { app: streams });
    let restore = (Work::Restore { app: count }, Work::Restore { app: streams });
    let failover = (Work::Failover { app: count }, Work::Failover { app: streams });
    vec![
        row("state-large", large, &[at_least(figure::RATE, 3.0)]),
        row("restore", restore, &[at_most(figure::FIRST, 0.2), at_most(figure::ALL, 0.2)]),
        row("failover", failover, &[below(figure::ALL, FAILOVER_MS_MAX)]),
        row("stages", (stages(EXACTLY), stages(Engine::Streams)), &[at_most(figure::P50, 0.3)]),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_row_has_a_name_of_its_own_and_a_target() {
        let names: BTreeSet<&str> = all().iter().map(|row| row.name).collect();
        assert_eq!(names.len(), all().len());
        assert!(all().iter().all(|row| !row.checks.is_empty()));
    }

    #[test]
    fn a_row_takes_the_figures_of_the_same_run_alone() {
        let rows = all();
        for row in rows.iter().filter(|row| row.shares.is_some()) {
            let other = rows.iter().find(|other| Some(other.name) == row.shares).unwrap();
            assert_eq!(format!("{:?}", row.theirs), format!("{:?}", other.theirs), "{}", row.name);
        }
        assert_eq!(rows.iter().filter(|row| row.shares.is_some()).count(), NAMES.len());
    }
}
