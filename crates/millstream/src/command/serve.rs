//! `millstream serve`: a node of a cluster that runs pipelines: job manager, task manager or both.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::disk::{Disk as _, DiskFile, OpenMode, RealDisk, lock};
use base::rng::{Random, SystemRandom};
use clap::{Args, ValueEnum};
use client::Client;
use coordination::CoordinationError;
use coordination::beat::Beat;
use coordination::heart::{self, Voice};
use coordination::limits::{MUSTER_MS_MAX, SLOTS_MAX};
use coordination::node::{Node, check_cluster};
use coordination::topics;
use dashboard::Server;
use pipeline::cluster::{Candidate, Views, Worker};
use pipeline::engine::StateFolder;
use protocol::api::ApiKey;
use runtime::boot::Executor;
use runtime::shutdown::{self, Shutdown};
use runtime::signal::{Signals, Told};
use runtime::task::{self, Task};
use runtime::{thread, timer};

use crate::cli::Stage;
use crate::cluster::{ClusterArgs, World};
use crate::command::up::data_dir;
use crate::config::{Settings, duration};
use crate::console::{self, HttpArgs, Looked};
use crate::message::{Exit, Failure, codes, failed};
use crate::pipeline_file::ToApply;

mod begin;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the last beat, which says that the node leaves, may take to be heard.
const LAST_BEAT_MS: u64 = 1_100;

/// Pause between two looks whether a role has ended by itself.
const ROLE_LOOK_MS: u64 = 250;

/// Nodes of one role that find a place of their own in one data folder.
const NODES_OF_A_FOLDER_MAX: u32 = 64;

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Decides who runs what; of several one leads.
    Jobmanager,
    /// Runs tasks in its slots.
    Taskmanager,
}

/// Options of the command.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  millstream serve                                   both roles, cluster at 127.0.0.1:9092
  millstream serve --roles jobmanager -b kafka-1:9092
  millstream serve --roles taskmanager --slots 4 -b kafka-1:9092")]
pub(crate) struct ServeArgs {
    /// What this node does, with commas between.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "ROLES",
        default_value = "jobmanager,taskmanager"
    )]
    roles: Vec<Role>,
    #[command(flatten)]
    slots: SlotArgs,
    #[command(flatten)]
    node: NodeArgs,
}

/// Options of `jobmanager`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  millstream jobmanager -b kafka-1:9092
  millstream jobmanager --id jm-1                    named, where several share a data folder
  millstream jobmanager --config config.yaml pipeline.yaml
                                                     and runs it once its task managers answer")]
pub(crate) struct ManagerArgs {
    /// A pipeline to run as soon as its task managers have answered: one file, or a list of tasks
    /// with its configuration, which --config may name.
    #[arg(num_args = 0..=2, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How long to wait for the task managers that the pipeline wants [default: 2m].
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// Options of `taskmanager`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  millstream taskmanager -b kafka-1:9092 --slots 4
  millstream taskmanager --id tm-1                   named, where several share a data folder
  millstream taskmanager --config config.yaml        the cluster that a configuration names")]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    slots: SlotArgs,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// How much a task manager takes.
#[derive(Debug, Args)]
struct SlotArgs {
    /// Slots: tasks of so many slots run at once [default: one per processor].
    #[arg(long, visible_alias = "threads", value_name = "N")]
    slots: Option<u32>,
}

/// Options of every node.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// A stable name of this node [default: one that is kept in the data folder].
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Data folder [default: ./.millstream].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl NodeArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        self.http.settle(settings);
        settings.flag("data", "--data", self.data.clone());
        self.cluster.settle(settings);
    }
}

impl ServeArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        self.node.settle(settings);
    }
}

/// Serves in the roles of the command line.
pub(crate) fn run(args: &ServeArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    serve(&args.roles, (&args.node, args.slots.slots), Start::default(), stage)
}

/// Serves as a job manager.
pub(crate) fn run_manager(args: &ManagerArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let patience = match &args.wait {
        Some(text) => duration(text).ok_or_else(|| {
            Failure::usage(format!("--wait must be a duration such as 30s, found `{text}`"))
        })?,
        None => Duration::from_millis(MUSTER_MS_MAX),
    };
    let pipeline = match begin::read(&args.files, stage) {
        Ok(pipeline) => pipeline,
        Err(told) => return told,
    };
    serve(&[Role::Jobmanager], (&args.node, None), Start { pipeline, patience }, stage)
}

/// Serves as a task manager.
pub(crate) fn run_worker(args: &WorkerArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    serve(&[Role::Taskmanager], (&args.node, args.slots.slots), Start::default(), stage)
}

/// What a job manager begins with.
#[derive(Default)]
struct Start {
    pipeline: Option<ToApply>,
    /// How long it waits for task managers.
    patience: Duration,
}

fn serve(
    roles: &[Role],
    (args, slots_wanted): (&NodeArgs, Option<u32>),
    start: Start,
    stage: &mut Stage,
) -> Result<Exit, Failure> {
    let slots = slots(roles, slots_wanted)?;
    let world = World::new();
    let Own { node, dir, lock } = own(roles, args, stage, &world)?;
    let executor = Executor::new(thread::parallelism()).map_err(|error| failed::machine(&error))?;
    executor.block_on(async {
        let mut signals = Signals::listen().map_err(|error| failed::machine(&error))?;
        let pages = console::bind(stage).await?;
        let client = world.connect(&stage.settings, false).await?;
        let client_failed = |error| failed::client(&error, &stage.settings);
        // The leader's seat is held by transactions, and what it agrees on is kept in them.
        client.require(ApiKey::InitProducerId).await.map_err(client_failed)?;
        if lock.is_some() {
            belongs(&client, &dir).map_err(|error| coordination_failed(&error, stage))?;
        }
        topics::prepare(&client).await.map_err(|error| coordination_failed(&error, stage))?;
        let is_candidate = roles.contains(&Role::Jobmanager);
        let beat = Beat { is_candidate, slots, ..Beat::of(&node, VERSION) };
        let voice = Voice::new(beat, Arc::clone(&world.clock));
        let heart = heart::start(&client, &voice);
        let (trigger, ending) = shutdown::pair();
        let state = dir.join("state");
        let parts =
            Parts { client: client.clone(), world: &world, node: &node, voice: &voice, state };
        let (mut running, views) = parts.start(roles, &ending);
        voice.answers_at(pages.as_ref().map(|bound| bound.address().to_string()));
        let pages = pages.map(|bound| {
            let looked = Looked::Node { voice: voice.clone(), views };
            console::serve(bound, looked, None, Arc::clone(&world.clock))
        });
        let http = pages.as_ref().map(Server::address);
        tell_ready(roles, &node, (slots, http), stage)?;
        let place = (&client, &world, &node);
        let failure = runtime::select! {
            _ = signals.next() => None,
            ended = first(&mut running) => {
                ended.err().map(|error| coordination_failed(&error, stage))
            }
            failure = begin::begin(start.pipeline, place, start.patience, stage) => Some(failure),
        };
        trigger.fire();
        // Somebody who presses Ctrl-C again does not want to wait for the end.
        let again = async { while signals.next().await != Told::Interrupt {} };
        runtime::select! {
            () = all(running) => {}
            () = again => return Ok(Exit::Interrupted),
        }
        // Nobody has to wait for the silence of a node that says that it leaves.
        timer::sleep(Duration::from_millis(LAST_BEAT_MS)).await;
        heart.abort();
        failure.map_or(Ok(Exit::Success), Err)
    })
}

struct Parts<'a> {
    client: Client,
    world: &'a World,
    node: &'a Node,
    voice: &'a Voice,
    /// Where the state of its tasks lies.
    state: PathBuf,
}

type Running = Vec<Task<Result<(), CoordinationError>>>;

impl Parts<'_> {
    fn start(&self, roles: &[Role], ending: &Shutdown) -> (Running, Option<Views>) {
        let mut running = Running::new();
        let mut views = None;
        let clock = || Arc::clone(&self.world.clock);
        if roles.contains(&Role::Jobmanager) {
            let rng: Arc<dyn Random> = Arc::new(SystemRandom);
            let world = (self.client.clone(), clock(), rng);
            let manager = Candidate::new(world, (self.node.clone(), VERSION), self.voice.clone());
            running.push(task::spawn("job manager", manager.run(ending.clone())));
        }
        if roles.contains(&Role::Taskmanager) {
            let of = (self.node.clone(), self.voice.clone());
            let spill = self.state.join("spill");
            let state = StateFolder::new(Arc::new(RealDisk), self.state.clone()).spilling(spill);
            let manager = Worker::new((self.client.clone(), clock()), of, Some(state));
            views = Some(manager.views());
            running.push(task::spawn("task manager", manager.run(ending.clone())));
        }
        (running, views)
    }
}

/// The first role that ends by itself.
async fn first(running: &mut Running) -> Result<(), CoordinationError> {
    loop {
        if let Some(at) = running.iter().position(Task::is_finished) {
            return running.swap_remove(at).join().await.unwrap_or(Ok(()));
        }
        timer::sleep(Duration::from_millis(ROLE_LOOK_MS)).await;
    }
}

async fn all(running: Running) {
    for role in running {
        // What it ends with no longer changes anything.
        drop(role.join().await);
    }
}

fn slots(roles: &[Role], wanted: Option<u32>) -> Result<u32, Failure> {
    if !roles.contains(&Role::Taskmanager) {
        return Ok(0);
    }
    let usual = u32::try_from(thread::parallelism()).unwrap_or(1);
    let slots = wanted.unwrap_or(usual);
    if (1..=SLOTS_MAX).contains(&slots) {
        return Ok(slots);
    }
    Err(Failure::usage(format!("--slots must be from 1 to {SLOTS_MAX}, found {slots}")))
}

/// A node, and what is its own on this machine.
struct Own {
    node: Node,
    /// Its folder.
    dir: PathBuf,
    /// Held where the folder gives the node its id, so that no other node has it.
    lock: Option<Arc<dyn DiskFile>>,
}

/// Who this node is, and where its folder is. Nodes with names of their own may share a data
/// folder; each has a folder of its name there.
fn own(roles: &[Role], args: &NodeArgs, stage: &Stage, world: &World) -> Result<Own, Failure> {
    let dir = data_dir(&stage.settings).join(folder(roles));
    let (dir, lock) = match (&args.id, &stage.configuration) {
        (Some(_), _) => (dir, None),
        (None, None) => (dir.clone(), Some(locked(&dir)?)),
        // Whoever runs a list of tasks starts the same command several times on one machine.
        (None, Some(_)) => first_free(&dir).map(|(dir, held)| (dir, Some(held)))?,
    };
    let (host, pid) = (crate::host::name(), std::process::id());
    let node = Node::start(
        args.id.as_deref(),
        (&RealDisk, &dir),
        (&*world.clock, &SystemRandom),
        (&host, pid),
    );
    let node = node.map_err(|error| node_failed(&error))?;
    let dir = if lock.is_some() { dir } else { dir.join(&node.id) };
    Ok(Own { node, dir, lock })
}

/// A node whose id is kept in a folder stays in the cluster that it has joined with it.
fn belongs(client: &Client, dir: &Path) -> Result<(), CoordinationError> {
    match &client.cluster().cluster_id {
        Some(id) => check_cluster((&RealDisk, dir), id),
        None => Ok(()),
    }
}

/// Nodes of different roles may share a data folder, and each has an id of its own in it.
fn folder(roles: &[Role]) -> &'static str {
    let has = |role| roles.contains(&role);
    match (has(Role::Jobmanager), has(Role::Taskmanager)) {
        (true, false) => "jobmanager",
        (false, true) => "taskmanager",
        _ => "node",
    }
}

/// The folder, or the next one beside it that no other node has.
fn first_free(dir: &Path) -> Result<(PathBuf, Arc<dyn DiskFile>), Failure> {
    let mut number = 1;
    loop {
        let name = if number == 1 { dir.to_owned() } else { numbered(dir, number) };
        match locked(&name) {
            Ok(held) => return Ok((name, held)),
            Err(failure) if failure.code != Some(codes::FOLDER_IN_USE) => return Err(failure),
            Err(failure) if number == NODES_OF_A_FOLDER_MAX => return Err(failure),
            Err(_) => number += 1,
        }
    }
}

fn numbered(dir: &Path, number: u32) -> PathBuf {
    let name = dir.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    dir.with_file_name(format!("{name}-{number}"))
}

fn locked(dir: &Path) -> Result<Arc<dyn DiskFile>, Failure> {
    let path: PathBuf = dir.join("lock");
    let opened = RealDisk
        .create_dir_all(dir)
        .and_then(|()| RealDisk.open(&path, OpenMode::Create))
        .and_then(|file| Ok((lock::try_lock(file.as_ref())?, file)));
    match opened {
        Ok((true, file)) => Ok(file),
        Ok((false, _)) => {
            let what = format!("the id in {} is in use by another process", dir.display());
            Err(Failure::new(Exit::Failed, codes::FOLDER_IN_USE, what)
                .help("give this node a name of its own with --id")
                .help("take another folder with --data DIR"))
        }
        Err(cause) => {
            let what = format!("the data folder cannot be used: {}: {cause}", path.display());
            Err(Failure::new(Exit::Failed, codes::FOLDER_UNUSABLE, what)
                .help("choose a folder that can be written with --data DIR"))
        }
    }
}

fn node_failed(error: &CoordinationError) -> Failure {
    match error {
        CoordinationError::Folder { .. } => {
            Failure::new(Exit::Failed, codes::FOLDER_UNUSABLE, error.to_string())
                .help("choose a folder that can be written with --data DIR")
        }
        _ => Failure::usage(error.to_string()),
    }
}

/// What a person is told of a node that could not go on, or of a request that was not answered.
pub(crate) fn coordination_failed(error: &CoordinationError, stage: &Stage) -> Failure {
    let what = error.to_string();
    match error {
        CoordinationError::Client(error) => failed::client(error, &stage.settings),
        CoordinationError::Protocol { .. } => {
            Failure::new(Exit::Configuration, codes::OTHER_PROTOCOL, what)
                .help("let all nodes of a cluster run one version of the program")
        }
        CoordinationError::TakenOver { .. } => Failure::new(Exit::TryAgain, codes::ID_TAKEN, what)
            .help("give each node a name of its own with --id"),
        CoordinationError::NoLeader => Failure::new(Exit::TimedOut, codes::NO_LEADER, what)
            .help("start one with `millstream jobmanager`"),
        CoordinationError::Missing { present, .. } => {
            let failure = Failure::new(Exit::TimedOut, codes::TASK_MANAGERS_MISSING, what)
                .help("start them with `millstream taskmanager --config FILE`, and it once more");
            match present.as_slice() {
                [] => failure,
                present => failure.fact(format!("there are: {}", present.join(", "))),
            }
        }
        CoordinationError::Unreadable { .. } => {
            Failure::new(Exit::Failed, codes::STATE_UNUSABLE, what)
        }
        CoordinationError::Partitions { .. } => {
            Failure::new(Exit::Configuration, codes::CLUSTER_TOPIC_UNFIT, what)
                .help("delete the topic while no node runs; the next node makes it anew")
        }
        CoordinationError::Folder { .. } | CoordinationError::BadId { .. } => node_failed(error),
        CoordinationError::OtherCluster { path, .. } => {
            Failure::new(Exit::Configuration, codes::OTHER_CLUSTER, what)
                .fact(format!("kept in {}", path.display()))
                .help("point to the node's own cluster with `-b host:port`")
                .help("take another folder with --data DIR, or a name of its own with --id")
        }
        CoordinationError::TooLarge { .. } => {
            Failure::new(Exit::Failed, codes::PIPELINE_FILE, what)
        }
    }
}

fn tell_ready(
    roles: &[Role],
    node: &Node,
    (slots, http): (u32, Option<SocketAddr>),
    stage: &mut Stage,
) -> Result<(), Failure> {
    let words: Vec<&str> = roles
        .iter()
        .map(|role| match role {
            Role::Jobmanager => "job manager",
            Role::Taskmanager => "task manager",
        })
        .collect();
    let brokers = stage.settings.text("brokers").unwrap_or("127.0.0.1:9092").to_owned();
    let slots = if slots == 0 { String::new() } else { format!("   {slots} slots") };
    let words = words.join(" and ");
    let http = http.map(|http| format!("   metrics at http://{http}/metrics")).unwrap_or_default();
    stage.line(&format!("  {words} `{}` is ready   cluster at {brokers}{slots}{http}", node.id))
}
