//! `millstream bench`: how fast, how late, how dear, and whether anything was lost.

use clap::{Args, Subcommand};

use crate::bench::pipeline::readings::{READING_BYTES, RECORDS_MAX};
use crate::bench::pipeline::{Delivery, Mill, Task};
use crate::bench::{self, Plan, Way};
use crate::cli::Stage;
use crate::cluster::ClusterArgs;
use crate::config::{Settings, duration};
use crate::message::{Exit, Failure};

/// Options of the command.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    before_help = "Examples:
  millstream bench produce --records 5000000 --size 100
  millstream bench e2e --rate 1000 --linger-ms 0 --duration 30s
  millstream bench consume --records 5000000 -b kafka-1:9092 --json
  millstream bench pipeline --task count --records 5000000"
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Records into a topic, as fast as they go or at a rate.
    Produce(LoadArgs),
    /// Records out of a topic, as fast as they go.
    Consume(LoadArgs),
    /// Records through a topic at a rate: the delay from when each was to be sent.
    E2e(LoadArgs),
    /// Records through a pipeline: those that wait for it, or at a rate.
    Pipeline(MillArgs),
}

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The topic [default: a new one, deleted afterwards].
    #[arg(long, short)]
    topic: Option<String>,
    /// Partitions of a new topic.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// Records to measure [default: 1000000; at a rate, 10 seconds of it].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    records: Option<u64>,
    /// Bytes of a value, at least 16.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(16..=1 << 20))]
    size: u32,
    /// Records per second; without it as fast as they go (e2e: 1000).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// How long, instead of how many.
    #[arg(long, value_name = "TIME", conflicts_with = "records")]
    duration: Option<String>,
    #[command(flatten)]
    terms: TermArgs,
}

/// What is measured of a pipeline.
#[derive(Debug, Args)]
pub(crate) struct MillArgs {
    /// What the pipeline does: pass records on, drop some, add to a value, count by key, or work
    /// out a mean by key and window with a result for each record.
    #[arg(long, value_enum, default_value_t = Task::Forward)]
    task: Task,
    /// Slots of the pipeline, each a worker of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    slots: u32,
    /// What is promised of the results.
    #[arg(long, value_enum, default_value_t = Delivery::ExactlyOnce)]
    delivery: Delivery,
    /// Partitions of the topics, which are new.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=1000))]
    partitions: i32,
    /// Records to measure [default: 1000000; at a rate, 10 seconds of it].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=RECORDS_MAX))]
    records: Option<u64>,
    /// Records per second while the pipeline runs; without it they wait for its start.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    #[command(flatten)]
    terms: TermArgs,
}

/// How records are sent, and what becomes of the figures.
#[derive(Debug, Args)]
pub(crate) struct TermArgs {
    /// Records before the measured ones [default: a fifth, at most 200000; at a rate, 1 second].
    #[arg(long, value_name = "RECORDS")]
    warmup: Option<u64>,
    /// How long a batch waits for company [default: 5].
    #[arg(long, value_name = "MS")]
    linger_ms: Option<String>,
    /// Size of a full batch [default: 262144].
    #[arg(long, value_name = "BYTES")]
    batch_bytes: Option<String>,
    /// Which replicas must have a record: all, 1 or 0 [default: all].
    #[arg(long)]
    acks: Option<String>,
    /// Compression: none, gzip, snappy, lz4 or zstd.
    #[arg(long, short = 'z', value_name = "CODEC")]
    compression: Option<String>,
    /// Process of a broker on this machine, whose processor time is told too.
    #[arg(long, value_name = "PID")]
    broker_pid: Option<u32>,
    /// Leave the topic that was made.
    #[arg(long)]
    keep: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Action {
    fn terms(&self) -> &TermArgs {
        match self {
            Self::Produce(load) | Self::Consume(load) | Self::E2e(load) => &load.terms,
            Self::Pipeline(mill) => &mill.terms,
        }
    }
}

impl BenchArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        let terms = self.action.terms();
        terms.cluster.settle(settings);
        settings.flag("linger.ms", "--linger-ms", terms.linger_ms.clone());
        settings.flag("batch.size", "--batch-bytes", terms.batch_bytes.clone());
        settings.flag("acks", "--acks", terms.acks.clone());
        settings.flag("compression.type", "--compression", terms.compression.clone());
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.action.terms().json
    }
}

impl LoadArgs {
    fn plan(&self, rate: Option<u32>) -> Result<Plan, Failure> {
        let lasting = match &self.duration {
            Some(text) => Some(duration(text).ok_or_else(|| {
                Failure::usage(format!("--duration {text} is no duration such as 30s"))
            })?),
            None => None,
        };
        let plan = self.terms.plan((self.records, rate));
        Ok(Plan {
            topic: self.topic.clone(),
            partitions: self.partitions,
            records: plan.records.filter(|_| lasting.is_none()),
            lasting,
            size: base::cast::usize_of_u32(self.size),
            ..plan
        })
    }
}

impl MillArgs {
    fn plan(&self) -> Plan {
        let plan = self.terms.plan((self.records, self.rate));
        Plan { partitions: self.partitions, size: READING_BYTES, ..plan }
    }
}

impl TermArgs {
    /// A plan with the usual numbers.
    fn plan(&self, (records, rate): (Option<u64>, Option<u32>)) -> Plan {
        let seconds_of = |rate: u32, seconds: u64| u64::from(rate) * seconds;
        let usual = rate.map_or(1_000_000, |rate| seconds_of(rate, 10));
        let records = records.unwrap_or(usual);
        let warmup = rate.map_or(records / 5, |rate| seconds_of(rate, 1)).min(200_000);
        Plan {
            topic: None,
            partitions: 0,
            records: Some(records),
            lasting: None,
            warmup: self.warmup.unwrap_or(warmup),
            size: 0,
            rate,
            broker_pid: self.broker_pid,
            keep: self.keep,
        }
    }
}

/// Measures.
pub(crate) fn run(args: &BenchArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    const E2E_RATE: u32 = 1_000;
    let (way, plan) = match &args.action {
        Action::Produce(load) => (Way::Produce, load.plan(load.rate)?),
        Action::Consume(load) => (Way::Consume, load.plan(None)?),
        Action::E2e(load) => (Way::E2e, load.plan(Some(load.rate.unwrap_or(E2E_RATE)))?),
        Action::Pipeline(mill) => {
            let MillArgs { task, slots, delivery, .. } = *mill;
            (Way::Pipeline(Mill { task, slots, delivery }), mill.plan())
        }
    };
    let report = bench::run(way, plan, stage)?;
    let text = if args.is_json() { report.json() } else { report.text() };
    stage.line(&text)?;
    Ok(if report.is_sound() { Exit::Success } else { Exit::Failed })
}
