//! The rows: what is measured on which side, and what the ratio must be.

/// A broker that a run goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// Ours as it is: what is acknowledged is on disk.
    Ours,
    /// Ours, acknowledging what the system has.
    OursOs,
    /// Apache Kafka as it is: it does not flush.
    Kafka,
    /// Apache Kafka, flushing each append.
    KafkaFlush,
}

impl Side {
    /// Its name in the output and of its folder.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursOs => "ours-os",
            Self::Kafka => "kafka",
            Self::KafkaFlush => "kafka-flush",
        }
    }

    /// Whether it is Apache Kafka.
    pub(super) const fn is_kafka(self) -> bool {
        matches!(self, Self::Kafka | Self::KafkaFlush)
    }
}

/// A number of records, and of those in a quick run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount {
    pub(super) full: u32,
    pub(super) quick: u32,
}

impl Amount {
    /// The number of this run.
    pub(super) const fn of(self, quick: bool) -> u32 {
        if quick { self.quick } else { self.full }
    }
}

/// What runs a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Millstream { delivery: &'static str },
    Streams,
}

/// Where a pipeline keeps what it remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// In memory on both sides, that of Streams without a cache.
    Memory,
    /// On disk: ours beyond a limit of memory, Streams in RocksDB with its usual caches.
    Disk,
}

/// A pipeline that runs in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct App {
    pub(super) engine: Engine,
    /// What it does, in the words of `StreamsPeer run`.
    pub(super) task: &'static str,
    /// Slots of a process of ours, threads of one of Streams.
    pub(super) slots: u32,
    pub(super) store: Store,
}

impl App {
    /// A pipeline of one slot that keeps its state in memory.
    pub(super) const fn of(engine: Engine, task: &'static str) -> Self {
        Self { engine, task, slots: 1, store: Store::Memory }
    }

    /// The same on so many slots.
    pub(super) const fn on(self, slots: u32) -> Self {
        Self { slots, ..self }
    }

    /// The same with its state on disk.
    pub(super) const fn on_disk(self) -> Self {
        Self { store: Store::Disk, ..self }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    /// A bench of our client, with these words.
    Bench { words: &'static str, records: Amount },
    /// The same by librdkafka: `produce` or `consume`.
    Librdkafka { way: &'static str, records: Amount },
    /// Records per second and processor time through a pipeline, until it has worked off so many.
    Pipeline { app: App, records: Amount },
    /// From producer to consumer through a pipeline, at 1,000 records per second.
    EndToEnd { app: App },
    /// Records per second through `count` with more keys than its memory holds.
    Large { app: App },
    /// From the start without local state to the first new results.
    Restore { app: App },
    /// From the death of one of two processes to the first new results of its keys.
    Failover { app: App },
    /// What a node spends on a thousand pipelines that have nothing to do.
    Idle,
    /// Start with data to the first acknowledged record; memory of a fresh process.
    Start,
    /// Memory of the broker that has run the other rows.
    MemoryAfter,
}

/// One side of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) side: Side,
    pub(super) work: Work,
}

impl Run {
    /// Whether it needs a virtual machine.
    pub(super) const fn needs_java(&self) -> bool {
        let is_without = matches!(
            self.work,
            Work::Bench { .. }
                | Work::Librdkafka { .. }
                | Work::Start
                | Work::MemoryAfter
                | Work::Idle
        );
        self.side.is_kafka() || !is_without
    }

    /// Whether it needs confluent-kafka.
    pub(super) const fn needs_python(&self) -> bool {
        matches!(self.work, Work::Librdkafka { .. })
    }
}

/// A target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target {
    /// The ratio of ours to theirs is at least this.
    AtLeast(f64),
    /// The same, or what we write comes near the ceiling of the disk ([`DISK_SHARE`]).
    AtLeastOrDisk(f64),
    /// The ratio of ours to theirs is at most this.
    AtMost(f64),
    /// Our own figure is at most this.
    Below(f64),
}

/// How much of the disk's ceiling counts as having reached it: the disk is not the same from one
/// minute to the next.
pub(super) const DISK_SHARE: f64 = 0.9;

/// A figure of a row with its target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check {
    pub(super) figure: &'static str,
    pub(super) target: Target,
}

/// A row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) ours: Run,
    /// Absent where nobody is compared with.
    pub(super) theirs: Option<Run>,
    /// The row whose figures of the other side are taken for this one too, where it was measured:
    /// the same run twice would tell nothing new.
    pub(super) shares: Option<&'static str>,
    pub(super) checks: Vec<Check>,
}

impl Row {
    /// Whether the disk may be what holds us up.
    pub(super) fn asks_the_disk(&self) -> bool {
        self.checks.iter().any(|check| matches!(check.target, Target::AtLeastOrDisk(_)))
    }
}

/// Names of figures.
pub(super) mod figure {
    pub(crate) const RATE: &str = "records/s";
    /// Seconds of the broker's processor time per million records.
    pub(crate) const CPU: &str = "cpu s/M";
    pub(crate) const USER_CPU: &str = "user cpu s/M";
    /// Megabytes per second that the disk writes meanwhile.
    pub(crate) const DISK: &str = "disk MB/s";
    /// Megabytes per second that a bare loop writes and flushes, beside it.
    pub(crate) const CEILING: &str = "ceiling MB/s";
    pub(crate) const P50: &str = "p50 ms";
    pub(crate) const P99: &str = "p99 ms";
    pub(crate) const PER_CLIENT_CPU: &str = "records/client cpu s";
    pub(crate) const START: &str = "start ms";
    pub(crate) const MEMORY: &str = "memory MB";
    /// Seconds of processor time of the pipeline's process alone per million records.
    pub(crate) const APP_CPU: &str = "app cpu s/M";
    /// Until one partition has a new result.
    pub(crate) const FIRST: &str = "first ms";
    /// Until every partition has a new result.
    pub(crate) const ALL: &str = "all ms";
    /// Processor time of a node in hundredths of a core.
    pub(crate) const IDLE_CPU: &str = "node cpu %";
    pub(crate) const IDLE_BROKER_CPU: &str = "broker cpu %";
    pub(crate) const IDLE_BROKER_MEMORY: &str = "broker memory MB";
    /// Seconds until all pipelines were applied and ran.
    pub(crate) const APPLY: &str = "apply s";
}

const MILLIONS: Amount = Amount { full: 5_000_000, quick: 100_000 };
const LARGE: Amount = Amount { full: 1_000_000, quick: 20_000 };
/// At 1,000 a second.
const SMALL: Amount = Amount { full: 20_000, quick: 2_000 };
/// At 10,000 a second.
const STEADY: Amount = Amount { full: 150_000, quick: 20_000 };

const PRODUCE_100: Work = Work::Bench { words: "produce --size 100", records: MILLIONS };
const PRODUCE_1000: Work = Work::Bench { words: "produce --size 1000", records: LARGE };
const PRODUCE_1000_LZ4: Work =
    Work::Bench { words: "produce --size 1000 --compression lz4", records: LARGE };
const CONSUME_100: Work =
    Work::Bench { words: "consume --size 100 --topic peers-c100 --keep", records: MILLIONS };
const CONSUME_1000: Work =
    Work::Bench { words: "consume --size 1000 --topic peers-c1000 --keep", records: LARGE };
const E2E: Work = Work::Bench { words: "e2e --size 100 --rate 1000 --linger-ms 0", records: SMALL };
const ACKS: Work =
    Work::Bench { words: "produce --size 100 --rate 10000 --linger-ms 0", records: STEADY };

/// What a pipeline reads that is measured by records per second.
pub(super) const READINGS: Amount = Amount { full: 4_000_000, quick: 400_000 };

pub(super) const EXACTLY: Engine = Engine::Millstream { delivery: "exactly_once" };
const AT_LEAST: Engine = Engine::Millstream { delivery: "at_least_once" };

pub(super) const fn at_least(figure: &'static str, ratio: f64) -> Check {
    Check { figure, target: Target::AtLeast(ratio) }
}

pub(super) const fn at_most(figure: &'static str, ratio: f64) -> Check {
    Check { figure, target: Target::AtMost(ratio) }
}

pub(super) const fn below(figure: &'static str, value: f64) -> Check {
    Check { figure, target: Target::Below(value) }
}

/// The same work on two brokers.
fn beside(name: &'static str, work: Work, sides: (Side, Side), checks: &[Check]) -> Row {
    let (ours, theirs) = (Run { side: sides.0, work }, Run { side: sides.1, work });
    Row { name, ours, theirs: Some(theirs), shares: None, checks: checks.to_vec() }
}

/// Every row, in the order of the table.
pub(super) fn all() -> Vec<Row> {
    let mut rows = broker_rows();
    rows.extend(client_rows());
    rows.extend(pipeline_rows());
    rows.extend(process_rows());
    rows
}

fn broker_rows() -> Vec<Row> {
    use Side::{Kafka, KafkaFlush, Ours, OursOs};
    use figure::{CPU, P50, P99, RATE, USER_CPU};

    let flushing = [at_least(RATE, 1.3), at_most(USER_CPU, 0.7)];
    let or_disk = Check { figure: RATE, target: Target::AtLeastOrDisk(1.0) };
    let unflushed = [or_disk, at_most(USER_CPU, 0.7)];
    let reading = [at_least(RATE, 1.0), at_most(CPU, 1.0)];
    let fast = [at_most(P50, 0.8), at_most(P99, 1.0)];
    let small_flush = [at_most(CPU, 0.25), at_most(P50, 0.8), at_most(P99, 0.5)];
    let acks = [at_most(P50, 0.4), at_most(P99, 0.4)];
    let produce = |cpu| [at_least(RATE, 1.0), at_most(CPU, cpu)];
    vec![
        beside("produce-100", PRODUCE_100, (Ours, Kafka), &produce(0.7)),
        beside("produce-100-flush", PRODUCE_100, (Ours, KafkaFlush), &produce(0.6)),
        beside("produce-1000-flush", PRODUCE_1000, (Ours, KafkaFlush), &flushing),
        beside("produce-1000", PRODUCE_1000, (Ours, Kafka), &unflushed),
        beside("produce-1000-lz4-flush", PRODUCE_1000_LZ4, (Ours, KafkaFlush), &flushing),
        beside("produce-1000-lz4", PRODUCE_1000_LZ4, (Ours, Kafka), &unflushed),
        beside("consume-100", CONSUME_100, (Ours, Kafka), &reading),
        beside("consume-1000", CONSUME_1000, (Ours, Kafka), &reading),
        beside("small", E2E, (Ours, Kafka), &[at_most(CPU, 0.3)]),
        beside("small-os", E2E, (OursOs, Kafka), &fast),
        beside("small-flush", E2E, (Ours, KafkaFlush), &small_flush),
        beside("acks-flush", ACKS, (Ours, KafkaFlush), &acks),
    ]
}

fn client_rows() -> Vec<Row> {
    let row = |name, work, way| Row {
        name,
        ours: Run { side: Side::Ours, work },
        theirs: Some(Run { side: Side::Ours, work: Work::Librdkafka { way, records: MILLIONS } }),
        shares: None,
        checks: vec![at_least(figure::PER_CLIENT_CPU, 1.5)],
    };
    vec![
        row("client-produce", PRODUCE_100, "produce"),
        row("client-consume", CONSUME_100, "consume"),
    ]
}

fn pipeline_rows() -> Vec<Row> {
    let run = |side, engine, task| {
        let app = App::of(engine, task);
        Run { side, work: Work::Pipeline { app, records: READINGS } }
    };
    let row = |name, task| Row {
        name,
        ours: run(Side::Ours, EXACTLY, task),
        theirs: Some(run(Side::Kafka, Engine::Streams, task)),
        shares: None,
        checks: vec![at_least(figure::RATE, 4.0), at_most(figure::CPU, 0.2)],
    };
    let through =
        |side, engine| Run { side, work: Work::EndToEnd { app: App::of(engine, "count") } };
    vec![
        row("pipeline-forward", "forward"),
        row("pipeline-filter", "filter"),
        row("pipeline-sum", "sum"),
        row("pipeline-count", "count"),
        row("pipeline-average", "average"),
        Row {
            name: "exactly-once",
            ours: run(Side::Ours, EXACTLY, "count"),
            theirs: Some(run(Side::Ours, AT_LEAST, "count")),
            shares: None,
            checks: vec![at_least(figure::RATE, 0.9), at_most(figure::CPU, 1.1)],
        },
        Row {
            name: "end-to-end",
            ours: through(Side::Ours, EXACTLY),
            theirs: Some(through(Side::Kafka, Engine::Streams)),
            shares: None,
            checks: vec![at_most(figure::P50, 0.15), at_most(figure::P99, 0.3)],
        },
    ]
}

fn process_rows() -> Vec<Row> {
    let sides = (Side::Ours, Side::Kafka);
    vec![
        beside(
            "start",
            Work::Start,
            sides,
            &[below(figure::START, 50.0), below(figure::MEMORY, 40.0)],
        ),
        beside("memory-after", Work::MemoryAfter, sides, &[below(figure::MEMORY, 200.0)]),
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
}
