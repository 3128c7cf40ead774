//! `millstream run`: a pipeline in the foreground, over the log in this process or another one.

mod end;
mod gateway;
mod latest;
mod progress;
mod show;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::disk::RealDisk;
use base::rng::{Random as _, SystemRandom};
use broker::{BrokerOptions, Error as BrokerError, Running};
use clap::Args;
use client::{Client, ClientOptions};
use pipeline::engine::{
    BoundSink, Claimant, Engine, EngineHandle, EngineOptions, Mode, PipelineView, StateFolder,
};
use runtime::boot::Executor;
use runtime::signal::{Signals, Told};
use runtime::{shutdown, thread, timer};
use sinks::sqlite::{SqliteOptions, SqliteSink};
use topology::plan::Plan;
use topology::spec::Spec;

use crate::cli::Stage;
use crate::cluster::World;
use crate::command::up::{broker_options, data_dir};
use crate::config::{Settings, duration};
use crate::console::{self, HttpArgs, Looked};
use crate::message::{Exit, Failure, failed};
use crate::pipeline_file;
pub(crate) use end::{failure as engine_failed, sink_failed};
use progress::Progress;

/// The worker of a pipeline that runs in the foreground.
pub(crate) const WORKER: &str = "main";

/// The only word for the log in this process.
const EMBEDDED: &str = "embedded";

/// Options of the command.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  millstream run examples/machine-health.yaml                  see your own machine flow
  millstream run pipeline.yaml -b kafka-1:9092                 the same over Apache Kafka
  millstream run pipeline.yaml config.yaml                     a list of tasks and its configuration
  millstream run pipeline.yaml --until-end --close-windows     what is there now, and no more")]
pub(crate) struct RunArgs {
    /// The pipeline: one file, or a list of tasks and its configuration.
    #[arg(required = true, num_args = 1..=2, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Addresses of a cluster to run on, or the word embedded [default: as the file says].
    #[arg(long, short, value_name = "HOST:PORT", aliases = ["bootstrap-server", "broker-list"])]
    brokers: Option<String>,
    /// Data folder of the log in this process [default: ./.millstream].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address that the log in this process listens on [default: 127.0.0.1:9092 or a free port].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// When a record counts as written: flush (on disk) or os (handed to the system)
    /// [default: flush].
    #[arg(long, value_name = "flush|os")]
    durability: Option<String>,
    /// Stop after this time.
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,
    /// Stop at the ends of the sources as they are now; gateways do not start.
    #[arg(long)]
    until_end: bool,
    /// With --until-end: close the windows that are open then.
    #[arg(long, requires = "until_end")]
    close_windows: bool,
    /// Lines instead of the live view, also on a terminal.
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    http: HttpArgs,
}

impl RunArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        settings.flag("brokers", "--brokers", self.brokers.clone());
        settings.flag("data", "--data", self.data.clone());
        settings.flag("listen", "--listen", self.listen.clone());
        settings.flag("durability", "--durability", self.durability.clone());
        self.http.settle(settings);
    }
}

/// Where the pipeline runs.
pub(crate) struct Log {
    /// The log in this process, if there is one.
    embedded: Option<Running>,
    pub(crate) client: Client,
    /// For people: the address that clients use.
    listen: String,
}

impl Log {
    /// Ends the log in this process, if there is one.
    ///
    /// # Errors
    /// When its end could not be made a clean one.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        let Some(embedded) = self.embedded else { return Ok(()) };
        drop(self.client);
        embedded.stop().await.map_err(|error| failed::broker(&error))
    }
}

/// Runs the pipeline until its end.
pub(crate) fn run(args: &RunArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let loaded = match pipeline_file::load(&args.files, stage) {
        Ok(loaded) => loaded,
        Err(told) => return told,
    };
    let limit = limit(args)?;
    let executor = Executor::new(thread::parallelism()).map_err(|error| failed::machine(&error))?;
    executor.block_on(async {
        let signals = Signals::listen().map_err(|error| failed::machine(&error))?;
        let world = World::new();
        let pages = console::bind(stage).await?;
        let log = open_log(&loaded.spec, &stage.settings, &world).await?;
        let plan = Plan::of(&loaded.spec);
        let progress = Arc::new(Progress::new(&plan, &log.listen, &args.files, &world));
        let options = options(args, &plan, &stage.settings, &world)?;
        let engine = Engine::start(log.client.clone(), Arc::clone(&world.clock), options);
        let pages = pages.map(|bound| {
            let own = log.embedded.as_ref().map(|_| log.client.clone());
            let looked = Looked::Pipeline(engine.handle());
            console::serve(bound, looked, own, Arc::clone(&world.clock))
        });
        let watch = Watch { args, signals, limit, world: &world };
        let outcome = watch.until_over(engine, &plan, &log, &progress, stage).await;
        drop(pages);
        log.close().await?;
        end::told(outcome, &progress, stage)
    })
}

fn limit(args: &RunArgs) -> Result<Option<Duration>, Failure> {
    let Some(text) = &args.duration else {
        return Ok(None);
    };
    let what = || format!("--duration must be a duration such as 30s, found the text `{text}`");
    duration(text).map(Some).ok_or_else(|| Failure::usage(what()))
}

fn options(
    args: &RunArgs,
    plan: &Plan,
    settings: &Settings,
    world: &World,
) -> Result<EngineOptions, Failure> {
    let mode = if args.until_end {
        Mode::UntilEnd { close_windows: args.close_windows }
    } else {
        Mode::Forever
    };
    let mut sinks = Vec::new();
    for table in &plan.tables {
        let sink = SqliteSink::new(SqliteOptions {
            file: PathBuf::from(&table.file),
            table: table.table.clone(),
            key: table.key.clone(),
            create_table: table.create_table,
        });
        let sink = sink.map_err(|error| end::sink_failed(&table.sink, &error))?;
        sinks.push(BoundSink { table: table.clone(), sink: Box::new(sink) });
    }
    let claimant = claimant(world);
    let state = data_dir(settings).join("state");
    let spill = state.join("spill");
    let folder = StateFolder::new(Arc::new(RealDisk), state).spilling(spill);
    Ok(EngineOptions { plan: plan.clone(), claimant, sinks, mode, state: Some(folder) })
}

/// Who this process is, to others that run the same pipeline.
pub(crate) fn claimant(world: &World) -> Claimant {
    Claimant {
        worker: WORKER.to_owned(),
        host: crate::host::name(),
        pid: std::process::id(),
        started_ms: world.clock.unix_ms(),
        nonce: SystemRandom.next_u64(),
    }
}

/// The log that the settings or the file name; the one in this process when neither does.
pub(crate) async fn open_log(
    spec: &Spec,
    settings: &Settings,
    world: &World,
) -> Result<Log, Failure> {
    let mut settings = settings.clone();
    let named = spec.brokers.as_ref().map(|brokers| brokers.value.clone());
    settings.pipeline("brokers", "cluster.brokers", named);
    match settings.text("brokers").map(str::to_owned) {
        None => embedded(&settings, world).await,
        Some(brokers) if brokers == EMBEDDED => embedded(&settings, world).await,
        Some(brokers) => {
            let client = world.connect(&settings, false).await?;
            Ok(Log { embedded: None, client, listen: brokers })
        }
    }
}

/// The same for whoever serves nobody with it meanwhile: any free port will do.
pub(crate) async fn open_log_for_itself(
    spec: &Spec,
    settings: &Settings,
    world: &World,
) -> Result<Log, Failure> {
    let mut settings = settings.clone();
    settings.flag("listen", "--listen", Some("127.0.0.1:0".to_owned()));
    open_log(spec, &settings, world).await
}

async fn embedded(settings: &Settings, world: &World) -> Result<Log, Failure> {
    let options = broker_options(settings, data_dir(settings))?;
    let running = start(&options, world).await;
    // Nobody asked for this port, so another one will do.
    let running = match running {
        Err(BrokerError::Listen { address, cause })
            if cause.kind() == std::io::ErrorKind::AddrInUse
                && settings.found("listen").is_none() =>
        {
            let free = BrokerOptions { listen: Some((address.ip(), 0).into()), ..options.clone() };
            start(&free, world).await
        }
        other => other,
    };
    let running = running.map_err(|error| failed::broker(&error))?;
    let client = ClientOptions::memory(running.connector());
    let (clock, rng) = (Arc::clone(&world.clock), Arc::new(SystemRandom));
    let client = Client::connect(client, clock, rng).await;
    let client = client.map_err(|error| failed::client(&error, settings))?;
    let address = running.address().expect("the options of `run` have an address to listen on");
    Ok(Log { embedded: Some(running), client, listen: address.to_string() })
}

async fn start(options: &BrokerOptions, world: &World) -> Result<Running, BrokerError> {
    let (disk, rng) = (Arc::new(RealDisk), Arc::new(SystemRandom));
    Running::start(options.clone(), Arc::clone(&world.clock), disk, rng).await
}

/// What ends a run, beside its own end.
struct Watch<'a> {
    args: &'a RunArgs,
    signals: Signals,
    limit: Option<Duration>,
    world: &'a World,
}

/// How a run ended.
pub(super) enum Outcome {
    /// It did what it was to do.
    Done(PipelineView),
    /// Somebody stopped it, or its time was over.
    Stopped(PipelineView),
    /// It could not go on.
    Failed(Failure),
    /// Somebody did not want to wait for the orderly end.
    Abandoned,
}

impl Watch<'_> {
    async fn until_over(
        mut self,
        engine: Engine,
        plan: &Plan,
        log: &Log,
        progress: &Arc<Progress>,
        stage: &mut Stage,
    ) -> Outcome {
        let handle = engine.handle();
        let (trigger, gateways_end) = shutdown::pair();
        let gateways = if self.args.until_end {
            gateway::Gateways::none()
        } else {
            gateway::Gateways::start(plan, &log.client, &handle, self.world, &gateways_end)
        };
        let latest = latest::follow(plan, &log.client, progress.latest());
        let mut shown = show::Show::open(self.args.plain, stage, &handle, progress);
        let finished = engine.finished();
        let mut finished = std::pin::pin!(finished);
        let reason = runtime::select! {
            result = &mut finished => Reason::Over(Box::new(result)),
            () = time_is_over(self.limit) => Reason::Asked,
            _ = self.signals.next() => Reason::Asked,
            () = shown.wish() => Reason::Asked,
            error = gateways.failed() => Reason::Gateway(error),
        };
        latest.abort();
        trigger.fire();
        gateways.ended().await;
        let outcome = match reason {
            Reason::Over(result) => end::outcome(*result, &handle, !self.args.until_end, stage),
            reason => {
                // What the gateways have sent is in the log; the pipeline finishes it.
                handle.stop();
                let result = runtime::select! {
                    result = &mut finished => Some(result),
                    () = second_interrupt(&mut self.signals) => None,
                };
                match (result, reason) {
                    (None, _) => Outcome::Abandoned,
                    (Some(_), Reason::Gateway(error)) => Outcome::Failed(error),
                    (Some(result), _) => end::outcome(result, &handle, true, stage),
                }
            }
        };
        shown.close().await;
        outcome
    }
}

enum Reason {
    Over(Box<Result<PipelineView, pipeline::engine::EngineError>>),
    Asked,
    Gateway(Failure),
}

async fn time_is_over(limit: Option<Duration>) {
    match limit {
        Some(limit) => timer::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Somebody who presses Ctrl-C again does not want to wait for the end.
async fn second_interrupt(signals: &mut Signals) {
    while signals.next().await != Told::Interrupt {}
}

/// Looks at a pipeline.
pub(super) type Handle = EngineHandle;
