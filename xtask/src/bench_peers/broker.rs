//! The brokers under measurement: each is started when a row first needs it, warmed once, and runs
//! until the end, so that no row meets a cold virtual machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::rows::Side;
use crate::{kafka, workspace};

/// A broker that was told to end has ended by then.
const STOP_MAX: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Lets members of a group be missed as early as our task managers are; it changes nothing else.
const SESSIONS: &str = "group.min.session.timeout.ms=1000\n";

/// What Apache Kafka needs for flushing as our default does.
const FLUSHING: &str = "log.flush.interval.messages=1\n";

/// A broker in a process of its own.
#[derive(Debug)]
pub(super) enum Broker {
    Ours { child: Child, address: SocketAddr },
    Kafka(kafka::Node),
}

impl Broker {
    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Ours { child, .. } => child.id(),
            Self::Kafka(node) => node.pid(),
        }
    }

    /// Where clients connect.
    pub(super) fn bootstrap(&self) -> String {
        match self {
            Self::Ours { address, .. } => address.to_string(),
            Self::Kafka(node) => node.bootstrap(),
        }
    }

    /// Ends it in its own way, and waits for that.
    pub(super) fn stop(mut self) -> Result<(), String> {
        match &mut self {
            Self::Ours { child, .. } => stop(child),
            Self::Kafka(node) => node.stop(),
        }
    }
}

/// Ends a child that was started here and waits until it has ended.
///
/// # Errors
/// That it did not end in time.
pub(super) fn stop(child: &mut Child) -> Result<(), String> {
    let has_ended = |child: &mut Child| !matches!(child.try_wait(), Ok(None));
    if !has_ended(child) {
        workspace::run(workspace::command("kill").arg(child.id().to_string()))?;
    }
    let begin = Instant::now();
    while !has_ended(child) {
        if begin.elapsed() > STOP_MAX {
            child.kill().map_err(|error| error.to_string())?;
            child.wait().map_err(|error| error.to_string())?;
            return Err(format!("process {} had to be killed", child.id()));
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Starts a broker on the data of a folder; ours is not waited for.
///
/// # Errors
/// What kept it from starting.
pub(super) fn start(side: Side, folder: &Path, binary: &Path) -> Result<Broker, String> {
    match side {
        Side::Kafka => kafka::start_with(folder, SESSIONS).map(Broker::Kafka),
        Side::KafkaFlush => kafka::start_with(folder, FLUSHING).map(Broker::Kafka),
        Side::Ours | Side::OursOs => {
            let durability = if side == Side::Ours { "flush" } else { "os" };
            let address = SocketAddr::from(([127, 0, 0, 1], kafka::free_port()?));
            let told = |error: std::io::Error| format!("{}: {error}", folder.display());
            fs::create_dir_all(folder).map_err(told)?;
            let log = fs::File::create(folder.with_extension("log")).map_err(told)?;
            let mut up = workspace::command(&binary.to_string_lossy());
            let up = up.args(["up", "--durability", durability, "--listen", &address.to_string()]);
            let up = up.arg("--data").arg(folder).stdout(Stdio::null()).stderr(log);
            let child = up.spawn().map_err(|error| format!("millstream up: {error}"))?;
            Ok(Broker::Ours { child, address })
        }
    }
}

/// Deletes the data of an earlier run, after ending the Apache Kafka that may still run there.
///
/// # Errors
/// What kept it from being deleted.
pub(super) fn clear(side: Side, folder: &Path) -> Result<(), String> {
    if side.is_kafka() {
        kafka::stop(folder)?;
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The brokers that run.
#[derive(Debug)]
pub(super) struct Brokers {
    pub(super) home: PathBuf,
    pub(super) binary: PathBuf,
    running: BTreeMap<Side, Broker>,
}

impl Brokers {
    /// None yet.
    pub(super) const fn new(home: PathBuf, binary: PathBuf) -> Self {
        Self { home, binary, running: BTreeMap::new() }
    }

    /// Where a side keeps its data.
    pub(super) fn folder(&self, side: Side) -> PathBuf {
        self.home.join(side.name())
    }

    /// The broker of a side, when it runs.
    pub(super) fn running(&self, side: Side) -> Option<&Broker> {
        self.running.get(&side)
    }

    /// Starts the broker of a side on an empty folder.
    ///
    /// # Errors
    /// What kept it from starting.
    pub(super) fn start(&mut self, side: Side) -> Result<(), String> {
        let folder = self.folder(side);
        clear(side, &folder)?;
        let broker = start(side, &folder, &self.binary)?;
        self.running.insert(side, broker);
        Ok(())
    }

    /// Ends all of them and deletes their data.
    ///
    /// # Errors
    /// The first that did not end well; the others are ended all the same.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        let mut result = Ok(());
        for (side, broker) in std::mem::take(&mut self.running) {
            let ended = broker.stop().and_then(|()| clear(side, &self.folder(side)));
            result = result.and(ended);
        }
        result
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        // Whoever comes here with brokers has failed already and says why.
        drop(self.stop());
    }
}
