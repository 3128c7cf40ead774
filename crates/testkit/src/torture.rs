//! The kill test: broker and pipeline are killed with -9 while records flow; nothing may show.
//!
//! ```text
//! load --> in --> pipeline --> counts, sums, means --> database     (processes of the program)
//!   |      |          |          |                        |
//!   |      |          +--> strict, letters <-- dlq release
//!   +------+------ check <-------+------------------------+          (this process)
//! ```
//!
//! Some records are bad: the strict task makes dead letters of them, their keys wait, and people
//! let them go on now and then.
//!
//! The input is read back at the end and is the oracle of everything else, so the check needs no
//! knowledge of when what was killed. All chance comes from one seed.

mod check;
pub mod cluster;
mod failure;
mod limits;
mod load;
mod process;
mod read;
mod schedule;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::Client;
use client::admin::TopicSpec;
use runtime::timer;

pub use check::{Fault, Violation};
pub use failure::Failure;

use limits::{DRAIN_MAX, FENCE_MAX, LOOK, PARTITIONS, SETTLES_MAX, START_MAX};
use load::{Load, Sent};
use process::{Process, Site};
use schedule::{Action, Round, Shape, Victims};

/// The exit status of a pipeline that was overtaken.
const OVERTAKEN: i32 = 75;

/// The exit status of a pipeline that found no broker at its start.
const UNREACHABLE: i32 = 69;

/// What `dlq release` says when there is nothing to release.
const NOBODY_WAITS: &str = "MS-3017";

/// What a pipeline logs when its start is over.
const RUNNING: &str = "pipeline runs";

/// Reads a table of two columns out of a database: keys and what stands beside them.
pub type ReadTable = fn(&Path, &str) -> Result<BTreeMap<String, String>, String>;

/// What is tortured.
#[derive(Debug, Clone, Copy)]
pub enum Subject {
    /// The broker alone, under a producer.
    Broker,
    /// The broker and a pipeline.
    BrokerAndPipeline(ReadTable),
    /// A pipeline over a cluster that nobody touches.
    Pipeline(SocketAddr, ReadTable),
}

impl Subject {
    fn table(self) -> Option<ReadTable> {
        match self {
            Self::Broker => None,
            Self::BrokerAndPipeline(table) | Self::Pipeline(_, table) => Some(table),
        }
    }

    fn victims(self) -> Victims {
        match self {
            Self::Broker => Victims::Broker,
            Self::BrokerAndPipeline(_) => Victims::Both,
            Self::Pipeline(..) => Victims::Pipeline,
        }
    }

    fn cluster(self) -> Option<SocketAddr> {
        match self {
            Self::Pipeline(at, _) => Some(at),
            Self::Broker | Self::BrokerAndPipeline(_) => None,
        }
    }
}

/// How to torture.
#[derive(Debug, Clone)]
pub struct Torture {
    /// The program under test.
    pub binary: PathBuf,
    /// An existing folder for everything that is written.
    pub dir: PathBuf,
    /// What is tortured.
    pub subject: Subject,
    /// How often something is killed.
    pub rounds: u32,
    /// Where all chance comes from.
    pub seed: u64,
}

/// What a run that passed has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Offsets that the pipeline had filled in the topic of counts before the drain.
    pub counted_live: i64,
}

/// Names of the run's topics; a cluster that others use too has room for many runs.
#[derive(Debug, Clone)]
struct Names {
    input: String,
    counts: String,
    sums: String,
    means: String,
    strict: String,
    pipeline: String,
}

impl Names {
    fn new() -> Self {
        let run = super::scenario::fresh("torture");
        let name = |what: &str| format!("{run}-{what}");
        Self {
            input: name("in"),
            counts: name("counts"),
            sums: name("sums"),
            means: name("means"),
            strict: name("strict"),
            pipeline: run,
        }
    }

    /// The file of the pipeline; with a table of the counts, where one is wanted.
    fn file(&self, edges: &str, runtime: &str, table: Option<&str>) -> String {
        let Self { input, counts, sums, means, strict, pipeline } = self;
        let table = table.map(|table| format!("\n    {table}")).unwrap_or_default();
        // The load stands still for seconds when the broker is killed; with the usual `idle` its
        // records would rightly count as late, and windows could not be compared.
        format!(
            "version: 1
name: {pipeline}
edges: {edges}
runtime: {runtime}
source: {{ topic: {input}, idle: 1h }}
tasks:
  - {{ id: gate, type: forward, to: [seen, plus, mean, pick] }}
  - {{ id: seen, type: count, to: counts }}
  - {{ id: plus, type: sum, field: n, add: 1, to: sums }}
  - {{ id: mean, type: average, value: n, window: 1s, to: means }}
  - {{ id: pick, type: filter, where: 'n > coalesce(bad, 0)', on_error: dead_letter, to: strict }}
sinks:
  counts:
    kafka: {{ topic: {counts} }}{table}
  sums: {{ kafka: {{ topic: {sums} }} }}
  means: {{ kafka: {{ topic: {means} }} }}
  strict: {{ kafka: {{ topic: {strict} }} }}
dead_letter: {{ topic: {pipeline}-letters }}
"
        )
    }

    /// Whether every acknowledged record is there, where it was said to be.
    fn check_input(&self, oracle: &read::ByKey, sent: &Sent) -> Vec<Violation> {
        check::input(&self.input, oracle, &sent.acknowledged, sent.unknown > 0)
    }

    /// Whether the outputs are what follows from the input.
    async fn check_outputs(
        &self,
        client: &Client,
        oracle: &read::ByKey,
    ) -> Result<Vec<Violation>, Failure> {
        let Self { counts, sums, means, strict, pipeline, .. } = self;
        let mut violations = check::counts(counts, oracle, &read::topic(client, counts).await?);
        violations.extend(check::sums(sums, oracle, &read::topic(client, sums).await?));
        violations.extend(check::means(means, oracle, &read::topic(client, means).await?));
        violations.extend(check::strict(strict, oracle, &read::topic(client, strict).await?));
        let letters = format!("{pipeline}-letters");
        let found = read::topic(client, &letters).await?;
        violations.extend(check::letters(&letters, oracle, &found));
        Ok(violations)
    }
}

/// The world of a run.
struct World {
    torture: Torture,
    site: Site,
    names: Names,
    at: SocketAddr,
    broker: Option<Process>,
    pipeline: Option<Process>,
}

/// Runs the kill test; the folder stays, so that what went wrong can be looked at.
///
/// # Errors
/// What could not be done, or what was promised and does not hold.
pub async fn run(torture: Torture) -> Result<Report, Failure> {
    let mut world = World::begin(torture).await?;
    let client = load::client(world.at).await?;
    client.admin().create_topics(&[TopicSpec::new(&world.names.input, PARTITIONS)]).await?;
    if world.torture.subject.table().is_some() {
        println!("pipeline with {}", schedule::shape(world.torture.seed));
    }
    world.start_pipeline()?;
    let load = Load::start(client.clone(), world.names.input.clone(), world.torture.seed);
    let Torture { seed, rounds, subject, .. } = world.torture;
    let rounds = schedule::rounds(seed, rounds, subject.victims());
    for (number, round) in (1..).zip(&rounds) {
        world.round(*round).await?;
        if world.torture.subject.table().is_some() {
            release(&world.site, world.at).await?;
        }
        let (sent, acknowledged) = load.counts();
        let (of, action, after) = (rounds.len(), round.action, round.after_ms);
        println!(
            "round {number}/{of}: {action} after {after} ms; {sent} records sent, \
             {acknowledged} acknowledged"
        );
    }
    let sent = load.finish().await?;
    let counted_live = read::visible(&client, &world.names.counts, PARTITIONS).await;
    world.drain().await?;
    let violations = world.check(&client, &sent).await?;
    if violations.is_empty() {
        let acknowledged = base::cast::u64_of(sent.acknowledged.len());
        return Ok(Report { acknowledged, counted_live });
    }
    Err(Failure::Violated(violations))
}

impl World {
    async fn begin(torture: Torture) -> Result<Self, Failure> {
        let site = Site { binary: torture.binary.clone(), dir: torture.dir.clone() };
        let names = Names::new();
        let Shape { edges, parallelism } = schedule::shape(torture.seed);
        let runtime = format!("{{ parallelism: {parallelism} }}");
        let table = "sqlite: { file: counts.db, table: counts, key: [key] }";
        let text = names.file(edges, &runtime, Some(table));
        process::write_pipeline(&site.path("pipeline.yaml"), &text)?;
        let (broker, at) = if let Some(at) = torture.subject.cluster() {
            (None, at)
        } else {
            let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let (broker, at) = site.broker(free).await?;
            (Some(broker), at)
        };
        Ok(Self { torture, site, names, at, broker, pipeline: None })
    }

    fn start_pipeline(&mut self) -> Result<(), Failure> {
        if self.torture.subject.table().is_some() {
            self.pipeline = Some(self.site.pipeline(self.at, false)?);
        }
        Ok(())
    }

    async fn start_broker(&mut self) -> Result<(), Failure> {
        self.broker = Some(self.site.broker(self.at).await?.0);
        Ok(())
    }

    fn kill_broker(&mut self) -> Result<(), Failure> {
        self.broker.take().map_or(Ok(()), Process::kill)
    }

    /// Kills the pipeline, which must still run: nothing that happens to others may end it.
    fn kill_pipeline(&mut self) -> Result<(), Failure> {
        self.keep_pipeline_up()?;
        self.pipeline.take().map_or(Ok(()), Process::kill)
    }

    /// Starts the pipeline again when it found no broker at its start, as a supervisor would; no
    /// other end is allowed.
    fn keep_pipeline_up(&mut self) -> Result<(), Failure> {
        let Some(pipeline) = &mut self.pipeline else { return Ok(()) };
        let Some(status) = pipeline.ended() else { return Ok(()) };
        if status.code() == Some(UNREACHABLE) && !pipeline.has_said(RUNNING) {
            return self.start_pipeline();
        }
        let when = "the pipeline ended, and nobody had killed it".to_owned();
        let (how, said) = (status.to_string(), pipeline.last_words());
        Err(Failure::PipelineEnded { when, how, said })
    }

    /// Waits until the pipeline's start is over: of two that start, either may be the later one.
    async fn wait_until_running(&mut self) -> Result<(), Failure> {
        let deadline = timer::now() + START_MAX;
        loop {
            self.keep_pipeline_up()?;
            if self.pipeline.as_ref().is_none_or(|pipeline| pipeline.has_said(RUNNING)) {
                return Ok(());
            }
            if timer::now() > deadline {
                return Err(Failure::Stuck { what: "the pipeline does not start".to_owned() });
            }
            timer::sleep(LOOK).await;
        }
    }

    async fn round(&mut self, round: Round) -> Result<(), Failure> {
        self.keep_pipeline_up()?;
        pause(round.after_ms).await;
        match round.action {
            Action::Pipeline => {
                self.kill_pipeline()?;
                self.start_pipeline()
            }
            Action::Broker { away_ms } => {
                self.kill_broker()?;
                pause(away_ms).await;
                self.start_broker().await
            }
            Action::BrokerTwice { again_ms } => {
                self.kill_broker()?;
                let again = self.site.spawn_broker(self.at)?;
                pause(again_ms).await;
                again.kill()?;
                self.start_broker().await
            }
            Action::Both => {
                self.kill_broker()?;
                self.kill_pipeline()?;
                self.start_broker().await?;
                self.start_pipeline()
            }
            Action::Takeover { still_ms } => self.take_over(still_ms).await,
            Action::Stillness { still_ms } => {
                self.wait_until_running().await?;
                if let Some(pipeline) = &self.pipeline {
                    pipeline.pause()?;
                    pause(still_ms).await;
                    pipeline.resume()?;
                }
                Ok(())
            }
        }
    }

    /// A second pipeline takes over while the first one stands still; the first one must notice.
    async fn take_over(&mut self, still_ms: u64) -> Result<(), Failure> {
        self.wait_until_running().await?;
        let Some(mut older) = self.pipeline.take() else { return Ok(()) };
        older.pause()?;
        self.start_pipeline()?;
        pause(still_ms).await;
        older.resume()?;
        let status = older.wait(FENCE_MAX).await;
        if status.and_then(|status| status.code()) == Some(OVERTAKEN) {
            return Ok(());
        }
        let when = format!("overtaken after {still_ms} ms, must end with {OVERTAKEN}");
        Err(Failure::PipelineEnded { when, how: said(status), said: older.last_words() })
    }

    /// Lets the pipeline come to the end of its input.
    async fn drain(&mut self) -> Result<(), Failure> {
        if self.torture.subject.table().is_none() {
            return Ok(());
        }
        self.kill_pipeline()?;
        run_to_the_ends(&self.site, self.at).await?;
        settle(&self.site, self.at).await
    }

    async fn check(&self, client: &Client, sent: &Sent) -> Result<Vec<Violation>, Failure> {
        let oracle = read::topic(client, &self.names.input).await?;
        let mut violations = self.names.check_input(&oracle, sent);
        let Some(table) = self.torture.subject.table() else { return Ok(violations) };
        violations.extend(self.names.check_outputs(client, &oracle).await?);
        let rows = table(&self.site.path("counts.db"), "counts").map_err(Failure::Table)?;
        violations.extend(check::table("table counts", &oracle, &rows));
        Ok(violations)
    }
}

async fn pause(ms: u64) {
    timer::sleep(Duration::from_millis(ms)).await;
}

/// Lets one process come to the ends of the input that there is now.
async fn run_to_the_ends(site: &Site, at: SocketAddr) -> Result<(), Failure> {
    let mut last = site.pipeline(at, true)?;
    let status = last.wait(DRAIN_MAX).await;
    if status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let when = "the last run up to the ends".to_owned();
    Err(Failure::PipelineEnded { when, how: said(status), said: last.last_words() })
}

/// What came of a look at the keys that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Released {
    /// They go on.
    Some,
    /// There were none.
    None,
    /// Nobody knows: the broker was away, or the topics are not there yet.
    Unknown,
}

/// Lets all keys go on that wait.
async fn release(site: &Site, at: SocketAddr) -> Result<Released, Failure> {
    let mut command = site.release(at)?;
    let status = command.wait(START_MAX).await;
    Ok(match status {
        Some(status) if status.success() => Released::Some,
        _ if command.has_said(NOBODY_WAITS) => Released::None,
        _ => Released::Unknown,
    })
}

/// Lets keys go on, and runs behind it, until nobody waits any more: each time up to the next bad
/// record of the key.
async fn settle(site: &Site, at: SocketAddr) -> Result<(), Failure> {
    for _ in 0..SETTLES_MAX {
        if release(site, at).await? == Released::None {
            return Ok(());
        }
        run_to_the_ends(site, at).await?;
    }
    Err(Failure::Stuck { what: "keys still wait behind dead letters".to_owned() })
}

fn said(status: Option<std::process::ExitStatus>) -> String {
    status.map_or_else(|| "it still runs".to_owned(), |status| status.to_string())
}
