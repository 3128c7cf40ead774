//! The measurements of one side: other programs measure, and what they print is read here.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::app::{Processes, Setting, USUAL_SESSION};
use super::broker::{self, Brokers};
use super::disk;
use super::ping;
use super::report::Values;
use super::rows::{Amount, App, Engine, READINGS, Run, Side, Work, figure};
use super::watcher::Watcher;
use crate::json::Json;
use crate::{clients, kafka, workspace};

const JAVA_PEER: &str = "xtask/java/StreamsPeer.java";
const PYTHON_PEER: &str = "tests/clients/python/librdkafka_peer.py";

/// A broker is up by then, even on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// Records before the first row of a broker: a cold virtual machine costs several times as much.
const WARM: Amount = Amount { full: 15_000_000, quick: 100_000 };
/// Seconds of the end to end row that are measured.
const END_TO_END_S: Amount = Amount { full: 20, quick: 3 };
/// The topic that pipelines read, and how many keys it has.
const PIPELINE_INPUT: &str = "peers-in";
const PIPELINE_KEYS: u32 = 10_000;
/// The topic of the start row.
const START_TOPIC: &str = "peers-start";

/// Everything that measurements share.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) brokers: Brokers,
    pub(super) quick: bool,
    classes: Option<PathBuf>,
    /// What lies in the broker of a side for whoever measures there.
    loaded: Vec<(Side, &'static str)>,
    /// Runs so far: names of topics and groups are never used twice.
    pub(super) count: u32,
}

impl Bench {
    /// Nothing runs yet.
    pub(super) const fn new(home: PathBuf, binary: PathBuf, quick: bool) -> Self {
        let brokers = Brokers::new(home, binary);
        Self { brokers, quick, classes: None, loaded: Vec::new(), count: 0 }
    }

    /// Measures one side of a row once.
    ///
    /// # Errors
    /// What went wrong, in a sentence.
    pub(super) fn measure(&mut self, run: &Run) -> Result<Values, String> {
        self.count += 1;
        match run.work {
            Work::Start => return self.start(run.side),
            Work::Idle => return self.idle(),
            _ => {}
        }
        self.ready(run.side)?;
        match run.work {
            Work::Bench { words, records } => self.bench(run.side, words, records),
            Work::Librdkafka { way, records } => self.librdkafka(run.side, way, records),
            Work::Pipeline { app, records } => self.pipeline(run.side, app, records),
            Work::EndToEnd { app } => self.end_to_end(run.side, app),
            Work::Large { app } => self.large(run.side, app),
            Work::Restore { app } => self.restore(run.side, app),
            Work::Failover { app } => self.failover(run.side, app),
            Work::MemoryAfter => {
                let (_, pid) = self.place(run.side)?;
                Ok(Values::from([(figure::MEMORY, resident_mb(pid)?)]))
            }
            Work::Start | Work::Idle => Err("it is measured without a running broker".to_owned()),
        }
    }

    /// Starts and warms the broker of a side, unless it runs already.
    fn ready(&mut self, side: Side) -> Result<(), String> {
        if self.brokers.running(side).is_some() {
            return Ok(());
        }
        self.brokers.start(side)?;
        let (bootstrap, _) = self.place(side)?;
        wait_until_it_listens(&bootstrap)?;
        let records = WARM.of(self.quick).to_string();
        json_of(self.millstream("bench produce --json --size 100 -b").args([
            &bootstrap,
            "--records",
            &records,
        ]))
        .map(drop)
    }

    /// Address and process of a running broker.
    pub(super) fn place(&self, side: Side) -> Result<(String, u32), String> {
        let broker = self.brokers.running(side).ok_or("the broker does not run")?;
        Ok((broker.bootstrap(), broker.pid()))
    }

    /// Our program with these words.
    pub(super) fn millstream(&self, words: &str) -> Command {
        let mut command = workspace::command(&self.brokers.binary.to_string_lossy());
        command.args(words.split_whitespace());
        command
    }

    fn bench(&self, side: Side, words: &str, records: Amount) -> Result<Values, String> {
        let (bootstrap, pid) = self.place(side)?;
        let (wanted, broker) = (records.of(self.quick).to_string(), pid.to_string());
        let mut command = self.millstream("bench");
        let command = command.args(words.split_whitespace()).args(["--json", "-b", &bootstrap]);
        let before = disk::written_bytes(&self.brokers.home);
        let json = json_of(command.args(["--records", &wanted, "--broker-pid", &broker]))?;
        let written = disk::written_bytes(&self.brokers.home).zip(before);
        let written = written.map(|(after, before)| after - before);
        let records = real(&json, "records").ok_or("the bench told no records")?;
        let rate = real(&json, "records_per_s");
        let all = records + real(&json, "warmup_records").unwrap_or(0.0);
        let per_million = |name| real(&json, name).map(|seconds| seconds / records * 1e6);
        let client = real(&json, "client_cpu_s").filter(|seconds| *seconds > 0.0);
        let figures = [
            (figure::RATE, rate),
            (figure::CPU, per_million("broker_cpu_s")),
            (figure::USER_CPU, per_million("broker_user_s")),
            (figure::DISK, written.zip(rate).map(|(bytes, rate)| rate * bytes / all / 1e6)),
            (figure::P50, real(&json, "p50_ms")),
            (figure::P99, real(&json, "p99_ms")),
            (figure::PER_CLIENT_CPU, client.map(|seconds| records / seconds)),
        ];
        Ok(told(figures))
    }

    /// What the disk gives at most, in megabytes per second.
    ///
    /// # Errors
    /// A disk that refuses.
    pub(super) fn ceiling(&self) -> Result<f64, String> {
        let rounds = if self.quick { 1 } else { disk::CEILING_ROUNDS };
        disk::ceiling_mb_per_s(&self.brokers.home, rounds)
    }

    fn librdkafka(&self, side: Side, way: &str, records: Amount) -> Result<Values, String> {
        let (bootstrap, _) = self.place(side)?;
        let topic = format!("peers-rd-{}", self.count);
        let mut python = workspace::command(&clients::python()?.to_string_lossy());
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(PYTHON_PEER).args([way, &bootstrap]);
        let json = json_of(python.args([&topic, &records.of(self.quick).to_string()]))?;
        let figures = [
            (figure::RATE, real(&json, "records_per_s")),
            (figure::PER_CLIENT_CPU, real(&json, "records_per_cpu_s")),
        ];
        Ok(told(figures))
    }

    /// Starts a broker on data that is there and times its first acknowledgement; its memory is
    /// taken then.
    fn start(&self, side: Side) -> Result<Values, String> {
        let folder = self.brokers.folder(side).with_extension("start");
        let binary = &self.brokers.binary;
        broker::clear(side, &folder)?;
        let broker = broker::start(side, &folder, binary)?;
        let bootstrap = broker.bootstrap();
        let filled = wait_until_it_listens(&bootstrap).and_then(|()| {
            let words = "bench produce --json --keep --records 1000 --warmup 0 --partitions 1 -t";
            json_of(self.millstream(words).args([START_TOPIC, "-b", &bootstrap]))
        });
        broker.stop().and_then(|()| filled.map(drop))?;
        let begin = Instant::now();
        let broker = broker::start(side, &folder, binary)?;
        let values = address(&broker.bootstrap())
            .and_then(|address| ping::first_acknowledged(address, START_TOPIC, START_MAX))
            .and_then(|()| {
                let took = begin.elapsed().as_secs_f64() * 1e3;
                let memory = resident_mb(broker.pid())?;
                Ok(Values::from([(figure::START, took), (figure::MEMORY, memory)]))
            });
        broker.stop()?;
        broker::clear(side, &folder)?;
        values
    }

    /// Whether something lies in the broker of a side.
    pub(super) fn has_loaded(&self, side: Side, what: &'static str) -> bool {
        self.loaded.contains(&(side, what))
    }

    /// Remembers that something lies there now.
    pub(super) fn loaded(&mut self, side: Side, what: &'static str) {
        self.loaded.push((side, what));
    }

    /// Where the files of a pipeline lie.
    pub(super) fn folder_of(&self, name: &str) -> PathBuf {
        self.brokers.home.join("apps").join(name)
    }

    fn pipeline(&mut self, side: Side, app: App, records: Amount) -> Result<Values, String> {
        let (bootstrap, _) = self.place(side)?;
        let all = READINGS.of(self.quick);
        if !self.has_loaded(side, PIPELINE_INPUT) {
            let words = format!("load bootstrap={bootstrap} in={PIPELINE_INPUT} records={all}");
            json_of(self.peer()?.args(words.split_whitespace()))?;
            self.loaded(side, PIPELINE_INPUT);
        }
        let name = format!("peers-{}-{}", app.task, self.count);
        let folder = self.folder_of(&name);
        let setting = Setting {
            bootstrap: &bootstrap,
            input: PIPELINE_INPUT,
            name: &name,
            folder: &folder,
            session: USUAL_SESSION,
        };
        self.through(side, app, setting, (records.of(self.quick), all, PIPELINE_KEYS))
    }

    /// Records per second and processor time through a pipeline, until it has worked off so many
    /// of so many records with so many keys. Ours works off all, and its results are checked.
    pub(super) fn through(
        &mut self,
        side: Side,
        app: App,
        setting: Setting<'_>,
        (until, all, keys): (u32, u32, u32),
    ) -> Result<Values, String> {
        let Setting { bootstrap, input, name, .. } = setting;
        let (_, broker) = self.place(side)?;
        let watch = format!(
            "watch bootstrap={bootstrap} group={name} in={input} out={name}-out until={until}"
        );
        let json = self.beside((app, broker), setting, &watch)?;
        if app.engine != Engine::Streams {
            let words = format!(
                "verify bootstrap={bootstrap} out={name}-out task={} records={all} keys={keys}",
                app.task
            );
            workspace::output_of(self.peer()?.args(words.split_whitespace()))?;
        }
        self.clean(bootstrap, name)?;
        Ok(told([
            (figure::RATE, real(&json, "records_per_s")),
            (figure::CPU, real(&json, "cpu_s_per_m")),
            (figure::APP_CPU, real(&json, "app_cpu_s_per_m")),
        ]))
    }

    fn end_to_end(&mut self, side: Side, app: App) -> Result<Values, String> {
        let (bootstrap, broker) = self.place(side)?;
        let seconds = END_TO_END_S.of(self.quick);
        let name = format!("peers-latency-{}", self.count);
        let input = format!("{name}-in");
        let made = format!("topics bootstrap={bootstrap} names={input},{name}-out");
        workspace::output_of(self.peer()?.args(made.split_whitespace()))?;
        let probe =
            format!("probe bootstrap={bootstrap} in={input} out={name}-out seconds={seconds}");
        let folder = self.folder_of(&name);
        let setting = Setting {
            bootstrap: &bootstrap,
            input: &input,
            name: &name,
            folder: &folder,
            session: USUAL_SESSION,
        };
        let json = self.beside((app, broker), setting, &probe)?;
        self.clean(&bootstrap, &name)?;
        Ok(told([(figure::P50, real(&json, "p50_ms")), (figure::P99, real(&json, "p99_ms"))]))
    }

    /// Deletes the topics that have a name in theirs.
    pub(super) fn clean(&mut self, bootstrap: &str, name: &str) -> Result<(), String> {
        let words = format!("clean bootstrap={bootstrap} name={name}");
        workspace::output_of(self.peer()?.args(words.split_whitespace())).map(drop)
    }

    /// Runs a pipeline in a process of its own while a program looks at it; that begins first, so
    /// nothing has run before. Then the pipeline's files go.
    pub(super) fn beside(
        &mut self,
        (app, broker): (App, u32),
        setting: Setting<'_>,
        watch: &str,
    ) -> Result<Json, String> {
        let mut command = self.app(app, setting)?;
        let Setting { folder, .. } = setting;
        let mut watcher = Watcher::ready(self.peer()?.args(watch.split_whitespace()))?;
        let mut processes = Processes::default();
        let json = processes.start(&mut command, (folder, "app.log")).and_then(|pid| {
            watcher.tell(&format!("{pid},{broker}"))?;
            watcher.json()
        });
        let (stopped, ended) = (processes.stop(), watcher.end());
        let json = json.map_err(|error| format!("{error}; see {}", folder.display()))?;
        stopped.and(ended)?;
        fs::remove_dir_all(folder).map_err(|error| error.to_string())?;
        Ok(json)
    }

    /// Our topologies and probes in Java, compiled when they are first needed.
    pub(super) fn peer(&mut self) -> Result<Command, String> {
        if self.classes.is_none() {
            let classes = self.brokers.home.join("classes");
            fs::create_dir_all(&classes).map_err(|error| error.to_string())?;
            let mut compile = workspace::command("javac");
            compile.args(["-nowarn", "-encoding", "UTF-8", "-d"]).arg(&classes).arg("-cp");
            workspace::output_of(compile.arg(kafka::jars()?.join("*")).arg(JAVA_PEER))?;
            self.classes = Some(classes);
        }
        let classes = self.classes.as_deref().unwrap_or_else(|| Path::new("."));
        let mut java = kafka::fast_java_with(classes)?;
        java.arg("StreamsPeer");
        Ok(java)
    }
}

/// Runs a program whose last line is JSON.
pub(super) fn json_of(command: &mut Command) -> Result<Json, String> {
    let printed = workspace::output_of(command)?;
    Json::parse(printed.trim().lines().last().unwrap_or_default())
}

fn address(bootstrap: &str) -> Result<SocketAddr, String> {
    bootstrap.parse().map_err(|error| format!("{bootstrap}: {error}"))
}

/// Waits until somebody listens there.
pub(super) fn wait_until_it_listens(bootstrap: &str) -> Result<(), String> {
    const POLL_INTERVAL: Duration = Duration::from_millis(20);
    let address = address(bootstrap)?;
    let begin = Instant::now();
    while begin.elapsed() < START_MAX {
        if std::net::TcpStream::connect_timeout(&address, POLL_INTERVAL).is_ok() {
            return Ok(());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Err(format!("nobody listens on {bootstrap}"))
}

/// The figures that there are.
pub(super) fn told<const N: usize>(figures: [(&'static str, Option<f64>); N]) -> Values {
    figures.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A number of a document.
pub(super) fn real(json: &Json, name: &str) -> Option<f64> {
    match json.at(name) {
        Json::Number(text) => text.parse().ok(),
        _ => None,
    }
}

/// Memory of a process that is in use, in megabytes of a million bytes.
pub(super) fn resident_mb(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    resident_kb(&status).map(|kb| kb * 1_024.0 / 1e6).ok_or_else(|| format!("{path} has no VmRSS"))
}

fn resident_kb(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_found() {
        assert_eq!(resident_kb("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2048.0));
        assert_eq!(resident_kb("Name:\tx\n"), None);
        assert!(resident_mb(std::process::id()).is_ok_and(|mb| mb > 0.1));
    }

    #[test]
    fn figures_that_are_null_are_left_out() {
        let json = Json::parse(r#"{"a": 1.5, "b": null}"#).unwrap();
        let values = told([("a", real(&json, "a")), ("b", real(&json, "b"))]);
        assert_eq!(values, Values::from([("a", 1.5)]));
    }
}
