//! `bench pipeline`: records per second through a pipeline of one task, and whether each result
//! is there once and in the order of its key.
//!
//! The engine runs in this process, over the cluster, as `millstream run` does. Without a rate the
//! records lie in the topic before the pipeline starts, and its start does not count. At a rate
//! they come while it runs, and each is late from when it was to be sent until a reader of
//! committed records has its result.

pub(crate) mod readings;
pub(crate) mod results;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::pipeline::engine::{Engine, EngineError, EngineOptions, Mode, PipelineView};
use base::clock::Clock;
use clap::ValueEnum;
use client::ClientError;
use client::admin::OffsetAt;
use client::consumer::{Consumer, Fetched};
use client::options::{ConsumerOptions, Isolation};
use runtime::channel::{WatchReceiver, watch};
use runtime::{task, timer};
use topology::diagnose::Sources;
use topology::lint;
use topology::plan::{Plan, TopicRole};

use super::consume::BATCH_BYTES_MAX;
use super::load::{self, Content, Delays, Load, delays, due_after_us};
use super::processor::Processor;
use super::report::Measured;
use super::{Bench, BenchError, Spent};
use crate::cluster::World;
use crate::command::run::claimant;
use readings::READING_BYTES;
use results::{ADDED, Results};

/// The pipeline's only task.
const TASK: &str = "work";

/// Pause between two looks at the pipeline.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long one poll waits.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Time without a result after which those that are missing are taken to be lost.
const SILENCE_US_MAX: u64 = 10_000_000;

/// From when everything runs until the first record is due.
const LEAD_US: u64 = 100_000;

/// What the pipeline does with each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Task {
    Forward,
    Filter,
    Sum,
    Count,
    Average,
}

impl Task {
    /// Its name in a pipeline's file.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Filter => "filter",
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Average => "average",
        }
    }

    fn fields(self) -> String {
        match self {
            Self::Forward | Self::Count => String::new(),
            Self::Filter => format!(", where: value > {:?}", readings::FILTER_ABOVE),
            Self::Sum => format!(", field: value, add: {ADDED:?}"),
            Self::Average => ", value: value, window: 10s, emit: update".to_owned(),
        }
    }
}

/// What is promised of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Delivery {
    #[value(name = "exactly_once")]
    ExactlyOnce,
    #[value(name = "at_least_once")]
    AtLeastOnce,
}

impl Delivery {
    /// Its name in a pipeline's file.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly_once",
            Self::AtLeastOnce => "at_least_once",
        }
    }
}

/// The pipeline that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mill {
    pub(crate) task: Task,
    pub(crate) slots: u32,
    pub(crate) delivery: Delivery,
}

impl Mill {
    /// The pipeline's file; its name is that of the topic which it reads.
    fn file(self, topic: &str, partitions: i32) -> String {
        let Self { task, slots, delivery } = self;
        format!(
            "version: 1\n\
             name: {topic}\n\
             partitions: {partitions}\n\
             runtime: {{ parallelism: {slots}, delivery: {} }}\n\
             source: {{ topic: {topic} }}\n\
             tasks:\n  - {{ id: {TASK}, type: {}{}, to: sink }}\n\
             sink: {{ kafka: {{ topic: {topic}-out }} }}\n",
            delivery.word(),
            task.word(),
            task.fields()
        )
    }

    fn plan(self, topic: &str, partitions: i32) -> Plan {
        let sources = Sources::single("bench.yaml", &self.file(topic, partitions));
        let loaded = lint::load(&sources, &|_| None).expect("the bench's own file has no errors");
        Plan::of(&loaded.spec)
    }
}

/// Measures.
///
/// # Errors
/// What the cluster or the engine says.
pub(super) async fn measure(bench: &Bench, mill: Mill) -> Result<Measured, BenchError> {
    let plan = mill.plan(&bench.topic.name, bench.topic.partitions);
    let measured = match bench.plan.rate {
        Some(rate) => at_rate(bench, mill, &plan, rate).await,
        None => at_once(bench, mill, &plan).await,
    };
    if !bench.plan.keep {
        clean(bench, &plan).await;
    }
    measured
}

/// Deletes what the pipeline has made; its source is deleted as every bench's topic is.
async fn clean(bench: &Bench, plan: &Plan) {
    let admin = bench.client.admin();
    let made = plan.topics.iter().filter(|(_, topic)| topic.role != TopicRole::Source);
    for (name, _) in made {
        // The figures are taken; a topic that is left over is only untidy.
        drop(admin.delete_topics(&[name]).await);
    }
    for stage in &plan.stages {
        // The same holds for positions.
        drop(admin.delete_group(&stage.group).await);
    }
}

fn start(bench: &Bench, plan: &Plan, mode: Mode) -> Engine {
    let world = World { clock: Arc::clone(&bench.clock) };
    let options = EngineOptions {
        plan: plan.clone(),
        claimant: claimant(&world),
        sinks: Vec::new(),
        mode,
        state: None,
    };
    Engine::start(bench.client.clone(), world.clock, options)
}

fn load(bench: &Bench, first: u64, records: u64) -> Load {
    Load {
        topic: Arc::from(bench.topic.name.as_str()),
        content: Content::Readings,
        rate: bench.plan.rate,
        begins_us: None,
        is_timed: false,
        first,
        records: Some(records),
        lasting: None,
    }
}

/// Records that wait for the pipeline. The first ones go through it in a run of their own, which
/// warms everything up; the second run goes on with their state.
async fn at_once(bench: &Bench, mill: Mill, plan: &Plan) -> Result<Measured, BenchError> {
    let (warmup, records) = (bench.plan.warmup, bench.plan.records.unwrap_or(0));
    let producer = bench.client.producer(bench.producing.clone());
    if warmup > 0 {
        load::send(load(bench, 0, warmup), &producer, &bench.clock).await?;
        run_to_end(bench, plan, warmup).await?;
    }
    load::send(load(bench, warmup, records), &producer, &bench.clock).await?;
    let Run { took_us, spent, view } = run_to_end(bench, plan, records).await?;
    let (tell_ends, ends) = watch(None);
    tell_ends.send_replace(Some(result_ends(bench).await?));
    let reader = Reader::new(bench, mill, ends, None).run().await?;
    let mut delays = delays();
    for (time_ms, count) in view.latency.buckets() {
        let time_us = base::cast::u64_of_f64(time_ms * 1_000.0).max(1);
        delays.saturating_record_n(time_us, count);
    }
    Ok(Measured {
        records,
        bytes: records * base::cast::u64_of(READING_BYTES),
        took_us,
        delays: Some(delays),
        faults: reader.results.faults(warmup + records),
        spent,
    })
}

/// A run of the pipeline over what waits for it.
struct Run {
    took_us: u64,
    spent: Spent,
    view: PipelineView,
}

/// Runs until the end of the topic. What counts begins when the slots do, after claim and state,
/// and ends with the commit of the last record.
async fn run_to_end(bench: &Bench, plan: &Plan, records: u64) -> Result<Run, EngineError> {
    let engine = start(bench, plan, Mode::UntilEnd { close_windows: false });
    let handle = engine.handle();
    let finished = engine.finished();
    let mut finished = std::pin::pin!(finished);
    let now = || (bench.clock.steady_us(), bench.spent());
    let (mut from, mut until) = (None, None);
    let view = loop {
        runtime::select! {
            ended = &mut finished => break ended?,
            () = timer::sleep(LOOK_EVERY) => {}
        }
        let view = handle.view();
        if matches!(view.phase, "running" | "draining") {
            from.get_or_insert_with(now);
        }
        if view.tasks.get(TASK).is_some_and(|task| task.records_in >= records) {
            until.get_or_insert_with(now);
        }
    };
    let (until_us, spent) = until.unwrap_or_else(now);
    let (from_us, spent_before) = from.unwrap_or((until_us, spent));
    Ok(Run { took_us: until_us - from_us, spent: spent.since(spent_before), view })
}

/// Records that come at a rate while the pipeline runs and somebody reads its results.
async fn at_rate(
    bench: &Bench,
    mill: Mill,
    plan: &Plan,
    rate: u32,
) -> Result<Measured, BenchError> {
    let (warmup, records) = (bench.plan.warmup, bench.plan.records.unwrap_or(0));
    let engine = start(bench, plan, Mode::Forever);
    let handle = engine.handle();
    let finished = engine.finished();
    let mut finished = std::pin::pin!(finished);
    while handle.view().phase != "running" {
        runtime::select! {
            ended = &mut finished => {
                unreachable!("a pipeline that nobody stops has ended: {:?}", ended?)
            }
            () = timer::sleep(LOOK_EVERY) => {}
        }
    }
    let (tell_ends, ends) = watch(None);
    let pace = Pace { begins_us: bench.clock.steady_us() + LEAD_US, rate, warmup };
    let reader = task::spawn("reader", Reader::new(bench, mill, ends, Some(pace)).run());
    let producer = bench.client.producer(bench.producing.clone());
    let timed = Load { begins_us: Some(pace.begins_us), ..load(bench, 0, warmup + records) };
    let sending = load::send(timed, &producer, &bench.clock).await;
    // What has been sent is finished before the pipeline ends.
    handle.stop();
    let ended = finished.await;
    tell_ends.send_replace(Some(result_ends(bench).await?));
    let reader = reader.join().await.expect("nobody aborts the reader");
    let (sent, _) = sending?;
    ended?;
    let reader = reader?;
    let (from_us, spent_before) = reader.from.unwrap_or(reader.until);
    let (until_us, spent) = reader.until;
    let measured = sent.records.saturating_sub(warmup);
    Ok(Measured {
        records: measured,
        bytes: measured * base::cast::u64_of(READING_BYTES),
        took_us: until_us.saturating_sub(from_us),
        faults: reader.results.faults(sent.records),
        delays: Some(reader.delays),
        spent: spent.since(spent_before),
    })
}

type Ends = BTreeMap<i32, i64>;

fn result_topic(bench: &Bench) -> String {
    format!("{}-out", bench.topic.name)
}

/// Where the partitions of the results end.
async fn result_ends(bench: &Bench) -> Result<Ends, ClientError> {
    let topic = result_topic(bench);
    let partitions: Vec<(&str, i32)> =
        (0..bench.topic.partitions).map(|partition| (topic.as_str(), partition)).collect();
    // The markers of the last transaction may still be on their way to a reader.
    let isolation = Isolation::ReadUncommitted;
    let ends = bench.client.admin().list_offsets(&partitions, OffsetAt::Latest, isolation).await?;
    Ok(ends.into_iter().map(|((_, partition), end)| (partition, end.offset)).collect())
}

/// When each record is due.
#[derive(Debug, Clone, Copy)]
struct Pace {
    begins_us: u64,
    rate: u32,
    /// Records before the measured ones.
    warmup: u64,
}

/// Reads all results from the start on, as far as they are committed.
struct Reader {
    consumer: Consumer,
    clock: Arc<dyn Clock>,
    broker_pid: Option<u32>,
    /// The ends, once nothing comes any more.
    ends: WatchReceiver<Option<Ends>>,
    next: Ends,
    pace: Option<Pace>,
    results: Results,
    delays: Delays,
    /// When the first measured record was due, with what had been spent when its result was there.
    from: Option<(u64, Spent)>,
    /// The same of the last result.
    until: (u64, Spent),
}

impl Reader {
    fn new(
        bench: &Bench,
        mill: Mill,
        ends: WatchReceiver<Option<Ends>>,
        pace: Option<Pace>,
    ) -> Self {
        let options =
            ConsumerOptions { isolation: Isolation::ReadCommitted, ..bench.consuming.clone() };
        let mut consumer = bench.client.consumer(options);
        let topic = result_topic(bench);
        let partitions = 0..bench.topic.partitions;
        consumer.assign(partitions.map(|partition| (topic.as_str(), partition, 0)));
        Self {
            consumer,
            clock: Arc::clone(&bench.clock),
            broker_pid: bench.plan.broker_pid,
            ends,
            next: Ends::new(),
            pace,
            results: Results::new(mill.task),
            delays: delays(),
            from: None,
            until: (bench.clock.steady_us(), bench.spent()),
        }
    }

    async fn run(mut self) -> Result<Self, ClientError> {
        let mut heard_us = self.clock.steady_us();
        loop {
            let fetched = self.consumer.poll(POLL_WAIT).await?;
            let now_us = self.clock.steady_us();
            for part in &fetched {
                self.take(part, now_us)?;
                heard_us = now_us;
            }
            let ends = self.ends.borrow().clone();
            let Some(ends) = ends else {
                heard_us = now_us;
                continue;
            };
            let has_reached = |(partition, end): (&i32, &i64)| {
                self.next.get(partition).copied().unwrap_or(0) >= *end
            };
            if ends.iter().all(has_reached) || now_us - heard_us > SILENCE_US_MAX {
                return Ok(self);
            }
        }
    }

    fn take(&mut self, part: &Fetched, now_us: u64) -> Result<(), ClientError> {
        let damaged = |cause| {
            let topic = part.topic.to_string();
            ClientError::Record { topic, partition: part.partition, cause }
        };
        let mut has_measured = false;
        for batch in &part.batches {
            let decoded = batch.decode(BATCH_BYTES_MAX).map_err(damaged)?;
            for record in decoded.iter() {
                let record = record.map_err(damaged)?;
                if record.offset >= part.from {
                    let number = self.results.take(record.key, record.value, record.timestamp);
                    has_measured |= number.is_some_and(|number| self.time(number, now_us));
                }
            }
        }
        if has_measured {
            self.until = (now_us, self.spent());
        }
        self.next.insert(part.partition, part.next_offset);
        Ok(())
    }

    /// Times a result; whether its record is one of the measured ones.
    fn time(&mut self, number: u64, now_us: u64) -> bool {
        let Some(pace) = self.pace.filter(|pace| number >= pace.warmup) else {
            return false;
        };
        let due_us = pace.begins_us + due_after_us(number, pace.rate);
        self.delays.saturating_record(now_us.saturating_sub(due_us).max(1));
        if self.from.is_none() {
            self.from = Some((due_us, self.spent()));
        }
        true
    }

    fn spent(&self) -> Spent {
        Spent { client: Processor::own(), broker: self.broker_pid.and_then(Processor::of) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_sound_file() {
        for task in Task::value_variants() {
            for delivery in Delivery::value_variants() {
                let mill = Mill { task: *task, slots: 2, delivery: *delivery };
                let plan = mill.plan("bench-pipeline-1", 3);
                assert_eq!((plan.slots, plan.stages.len()), (2, 1), "{task:?}");
                assert!(plan.topics.contains_key("bench-pipeline-1-out"), "{task:?}");
            }
        }
    }
}
