//! Measuring with our own client: the load, the clock, the count of what arrived.
//!
//! At a rate the load is open-loop: every record has a time at which it is to be sent, and its
//! delay counts from then, so that a broker that stalls cannot hide the records that had to wait.

pub(crate) mod consume;
pub(crate) mod e2e;
pub(crate) mod environment;
pub(crate) mod load;
pub(crate) mod pipeline;
pub(crate) mod processor;
pub(crate) mod produce;
pub(crate) mod report;
pub(crate) mod seen;

use std::sync::Arc;
use std::time::Duration;

use ::pipeline::engine::EngineError;
use base::clock::Clock;
use base::rng::{Random as _, SystemRandom};
use client::admin::TopicSpec;
use client::options::{ConsumerOptions, ProducerOptions};
use client::{Client, ClientError};
use runtime::boot::Executor;
use runtime::thread;

use crate::cli::Stage;
use crate::cluster::{World, brokers};
use crate::command::consume::consumer_options;
use crate::command::produce::producer_options;
use crate::command::run::engine_failed;
use crate::command::up::data_dir;
use crate::message::{Failure, failed};

use self::pipeline::Mill;
use environment::Environment;
use processor::Processor;
use report::{Measured, Report};

/// What is to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) topic: Option<String>,
    pub(crate) partitions: i32,
    /// Records that are measured; absent where the time decides.
    pub(crate) records: Option<u64>,
    pub(crate) lasting: Option<Duration>,
    /// Records before the measured ones.
    pub(crate) warmup: u64,
    /// Bytes of a value.
    pub(crate) size: usize,
    /// Records per second; absent for as fast as they go.
    pub(crate) rate: Option<u32>,
    pub(crate) broker_pid: Option<u32>,
    /// Whether a topic that was made is left.
    pub(crate) keep: bool,
}

/// The topic of a run.
#[derive(Debug, Clone)]
pub(crate) struct BenchTopic {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    is_new: bool,
}

impl BenchTopic {
    /// Takes the topic that was named, or makes one.
    async fn ready(client: &Client, plan: &Plan, what: &str) -> Result<Self, ClientError> {
        if let Some(name) = &plan.topic {
            match client.topic(name).await {
                Ok(view) => {
                    let partitions = view.partition_count();
                    return Ok(Self { name: name.clone(), partitions, is_new: false });
                }
                Err(ClientError::UnknownTopic { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let usual = || format!("bench-{what}-{:08x}", SystemRandom.next_u64() >> 32);
        let name = plan.topic.clone().unwrap_or_else(usual);
        let partitions = plan.partitions;
        client.admin().create_topics(&[TopicSpec::new(&name, partitions)]).await?;
        Ok(Self { name, partitions, is_new: true })
    }

    /// Deletes the topic when it was made for the run.
    async fn done(&self, client: &Client, plan: &Plan) {
        if self.is_new && !plan.keep {
            // The figures are taken; a topic that is left over is only untidy.
            drop(client.admin().delete_topics(&[&self.name]).await);
        }
    }
}

/// Which way the records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Produce,
    Consume,
    E2e,
    Pipeline(Mill),
}

impl Way {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::E2e => "e2e",
            Self::Pipeline(_) => "pipeline",
        }
    }
}

/// What a measurement works with.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) plan: Plan,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) client: Client,
    pub(crate) topic: BenchTopic,
    pub(crate) producing: ProducerOptions,
    pub(crate) consuming: ConsumerOptions,
}

impl Bench {
    /// Processor time of this process and of the broker's, where it was named.
    pub(crate) fn spent(&self) -> Spent {
        Spent { client: Processor::own(), broker: self.plan.broker_pid.and_then(Processor::of) }
    }
}

/// Processor time of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Spent {
    pub(crate) client: Processor,
    pub(crate) broker: Option<Processor>,
}

impl Spent {
    /// What was spent since then.
    pub(crate) fn since(self, before: Self) -> Self {
        let broker = self.broker.zip(before.broker).map(|(now, then)| now.since(then));
        Self { client: self.client.since(before.client), broker }
    }
}

/// Measures.
///
/// # Errors
/// A setting that cannot be read, or what the cluster says.
pub(crate) fn run(way: Way, plan: Plan, stage: &Stage) -> Result<Report, Failure> {
    let settings = &stage.settings;
    let (producing, consuming) = (producer_options(settings)?, consumer_options(settings)?);
    let brokers: Vec<String> =
        brokers(settings)?.iter().map(|(host, port)| format!("{host}:{port}")).collect();
    let data_dir = data_dir(settings);
    let executor = Executor::new(thread::parallelism()).map_err(|error| failed::machine(&error))?;
    executor.block_on(async {
        let world = World::new();
        let client = world.connect(settings, false).await?;
        let environment = Environment::look(&data_dir, world.clock.as_ref());
        let measured = measure(way, plan, (&world, client), (producing, consuming)).await;
        let (bench, measured) = measured.map_err(|error| match error {
            BenchError::Client(error) => failed::client(&error, settings),
            BenchError::Machine(error) => failed::machine(&error),
            BenchError::Engine(error) => engine_failed(&error, stage),
        })?;
        Ok(Report { way, brokers: brokers.join(","), environment, bench, measured })
    })
}

async fn measure(
    way: Way,
    plan: Plan,
    (world, client): (&World, Client),
    (producing, consuming): (ProducerOptions, ConsumerOptions),
) -> Result<(Bench, Measured), BenchError> {
    let topic = BenchTopic::ready(&client, &plan, way.name()).await?;
    let clock = Arc::clone(&world.clock);
    let bench = Bench { plan, clock, client, topic, producing, consuming };
    let measured = match way {
        Way::Produce => produce::measure(&bench).await,
        Way::Consume => consume::measure(&bench).await,
        Way::E2e => e2e::measure(&bench).await,
        Way::Pipeline(mill) => pipeline::measure(&bench, mill).await,
    };
    bench.topic.done(&bench.client, &bench.plan).await;
    Ok((bench, measured?))
}

/// Why nothing was measured.
#[derive(Debug)]
pub(crate) enum BenchError {
    Client(ClientError),
    Machine(std::io::Error),
    Engine(EngineError),
}

impl From<ClientError> for BenchError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<EngineError> for BenchError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<std::io::Error> for BenchError {
    fn from(error: std::io::Error) -> Self {
        Self::Machine(error)
    }
}
