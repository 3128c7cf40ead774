//! `millstream up`: the log alone, until somebody stops it.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use base::disk::RealDisk;
use base::rng::{Random as _, SystemRandom};
use broker::{BrokerOptions, Durability, Running};
use clap::Args;
use client::{Client, ClientOptions};
use dashboard::Server;
use runtime::boot::Executor;
use runtime::signal::{Signals, Told};
use runtime::thread;

use crate::cli::Stage;
use crate::config::{Settings, bad_value, host_port};
use crate::console::{self, HttpArgs, Looked};
use crate::message::{Exit, Failure, codes, failed};

const LISTEN_DEFAULT: &str = "127.0.0.1:9092";
const DATA_DEFAULT: &str = "./.millstream";

/// Options of the command.
#[derive(Debug, Args)]
#[command(before_help = "Examples:
  millstream up                                   data in ./.millstream, 127.0.0.1:9092
  millstream up --listen 127.0.0.1:0 --ephemeral  a free port, nothing kept
  millstream up --listen 0.0.0.0:9092 --advertise kafka.lan:9092")]
pub(crate) struct UpArgs {
    /// Data folder [default: ./.millstream].
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:9092].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Address that clients are told; needed when --listen is not on this machine alone.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Keep nothing: a temporary data folder, removed at the end.
    #[arg(long, conflicts_with = "data")]
    ephemeral: bool,
    /// When a record counts as written: flush (on disk) or os (handed to the system)
    /// [default: flush].
    #[arg(long, value_name = "flush|os")]
    durability: Option<String>,
    /// Print the addresses as one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    http: HttpArgs,
}

impl UpArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        settings.flag("data", "--data", self.data.clone());
        settings.flag("listen", "--listen", self.listen.clone());
        settings.flag("advertise", "--advertise", self.advertise.clone());
        settings.flag("durability", "--durability", self.durability.clone());
        self.http.settle(settings);
    }
}

/// A folder that is removed at the end, where nothing is to be kept.
#[derive(Debug)]
struct DataFolder {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed lies in the system's temporary folder, which is swept.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

/// Runs the log until a signal.
pub(crate) fn run(args: &UpArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let clock = SystemClock::new();
    let folder = folder(args, &stage.settings);
    let options = broker_options(&stage.settings, folder.path.clone())?;
    // The other half of the processors is for the disk's threads, and for those who are served.
    let executor = Executor::new(thread::parallelism().div_ceil(2))
        .map_err(|error| failed::machine(&error))?;
    executor.block_on(async {
        let mut signals = Signals::listen().map_err(|error| failed::machine(&error))?;
        let pages = console::bind(stage).await?;
        let (disk, rng) = (Arc::new(RealDisk), Arc::new(SystemRandom));
        let running = Running::start(options, Arc::new(clock), disk, rng).await;
        let running = running.map_err(|error| failed::broker(&error))?;
        let pages = match pages {
            Some(bound) => {
                let client = ClientOptions::memory(running.connector());
                let rng = Arc::new(SystemRandom);
                let client = Client::connect(client, Arc::new(clock), rng).await;
                let client = client.map_err(|error| failed::client(&error, &stage.settings))?;
                Some(console::serve(bound, Looked::Log, Some(client), Arc::new(clock)))
            }
            None => None,
        };
        let ready = Duration::from_micros(clock.steady_us());
        let http = pages.as_ref().map(Server::address);
        tell_ready(args, stage, &running, (&folder, ready, http))?;
        let told = signals.next().await;
        tracing::info!(signal = ?told, "stopping");
        drop(pages);
        let exit = runtime::select! {
            stopped = running.stop() => {
                stopped.map_err(|error| failed::broker(&error))?;
                Exit::Success
            }
            () = second_interrupt(&mut signals) => Exit::Interrupted,
        };
        Ok(exit)
    })
}

/// Somebody who presses Ctrl-C again does not want to wait for the end.
async fn second_interrupt(signals: &mut Signals) {
    while signals.next().await != Told::Interrupt {}
}

fn folder(args: &UpArgs, settings: &Settings) -> DataFolder {
    if args.ephemeral {
        let name = format!("millstream-{}-{:08x}", std::process::id(), SystemRandom.next_u64());
        return DataFolder { path: std::env::temp_dir().join(name), is_kept: false };
    }
    DataFolder { path: data_dir(settings), is_kept: true }
}

/// The data folder of the settings.
pub(crate) fn data_dir(settings: &Settings) -> PathBuf {
    Path::new(settings.text("data").unwrap_or(DATA_DEFAULT)).to_path_buf()
}

/// The broker's options as the settings have them.
///
/// # Errors
/// A setting that cannot be read, or an address that others could not reach.
pub(crate) fn broker_options(
    settings: &Settings,
    data_dir: PathBuf,
) -> Result<BrokerOptions, Failure> {
    let mut options = BrokerOptions::new(data_dir);
    let listen = settings.text("listen").unwrap_or(LISTEN_DEFAULT);
    options.listen = Some(listen_address(settings, listen)?);
    options.advertise = settings.read("advertise", "host:port", host_port)?;
    let is_local = options.listen.is_some_and(|address| address.ip().is_loopback());
    if !is_local && options.advertise.is_none() {
        let what = format!("--listen {listen} is reached from elsewhere, so --advertise is needed");
        return Err(Failure::new(Exit::Configuration, codes::ADVERTISE_NEEDED, what)
            .help("add --advertise host:port, with the name that clients reach"));
    }
    let durability = settings.read("durability", "flush or os", |text| match text {
        "flush" => Some(Durability::Flush),
        "os" => Some(Durability::Os),
        _ => None,
    })?;
    options.durability = durability.unwrap_or(options.durability);
    let automatic = settings.switch("auto.create.topics.enable")?;
    options.auto_create_topics = automatic.unwrap_or(options.auto_create_topics);
    let number = |name, usual| count(settings, name).map(|count| count.unwrap_or(usual));
    options.node_id = number("node.id", options.node_id)?;
    options.partitions_default = number("num.partitions", options.partitions_default)?;
    options.offsets_topic_partitions =
        number("offsets.topic.num.partitions", options.offsets_topic_partitions)?;
    options.transaction_topic_partitions =
        number("transaction.state.log.num.partitions", options.transaction_topic_partitions)?;
    options.transaction_timeout_ms_max =
        number("transaction.max.timeout.ms", options.transaction_timeout_ms_max)?;
    let delay = settings.parse("group.initial.rebalance.delay.ms", "a number of milliseconds")?;
    options.group_initial_rebalance_delay_ms =
        delay.unwrap_or(options.group_initial_rebalance_delay_ms);
    Ok(options)
}

fn count(settings: &Settings, name: &str) -> Result<Option<i32>, Failure> {
    let at_least = i32::from(name != "node.id");
    let wanted = format!("a whole number from {at_least} on");
    settings.read(name, &wanted, |text| text.parse().ok().filter(|number| *number >= at_least))
}

fn listen_address(settings: &Settings, text: &str) -> Result<SocketAddr, Failure> {
    // Kafka's own form for "everywhere" has no host.
    let everywhere = text.strip_prefix("PLAINTEXT://:").map(|port| format!("0.0.0.0:{port}"));
    let text = everywhere.as_deref().unwrap_or(text);
    let resolved = host_port(text).and_then(|address| address.to_socket_addrs().ok()?.next());
    match (resolved, settings.found("listen")) {
        (Some(address), _) => Ok(address),
        (None, Some(found)) => Err(bad_value("listen", "host:port of this machine", found)),
        (None, None) => unreachable!("the default address is a valid one"),
    }
}

fn tell_ready(
    args: &UpArgs,
    stage: &mut Stage,
    running: &Running,
    (folder, ready, http): (&DataFolder, Duration, Option<SocketAddr>),
) -> Result<(), Failure> {
    let address = running.address().expect("the options of `up` have an address to listen on");
    let pid = std::process::id();
    if args.json {
        let data = folder.path.display().to_string();
        let line = serde_json::json!({ "listening": address.to_string(), "pid": pid,
            "data": data, "ready_ms": ready.as_secs_f64() * 1_000.0,
            "http": http.map(|http| http.to_string()) });
        return stage.line(&line.to_string());
    }
    let kept =
        if folder.is_kept { "kept; --ephemeral keeps nothing" } else { "removed at the end" };
    let metrics = http.map(|http| format!("  Metrics     http://{http}/metrics\n"));
    let metrics = metrics.unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let target = match address.port() {
        9092 => String::new(),
        _ => format!(" -b {address}"),
    };
    stage.line(&format!(
        "  Millstream {version} is ready after {:.0} ms   data: {} ({kept})\n\n  \
         Kafka       {address}   any Kafka client works\n\
         {metrics}\n  \
         Try next, in another terminal:\n    \
         echo hello | millstream produce greetings{target}\n    \
         millstream consume greetings -o start{target}\n\n  Ctrl-C to stop.",
        ready.as_secs_f64() * 1_000.0,
        folder.path.display(),
    ))
}
