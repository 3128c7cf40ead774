//! The measurements of one side: other programs measure, and what they print is read here.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::broker::{self, Brokers};
use super::ping;
use super::report::Values;
use super::rows::{Amount, Engine, Run, Side, Work, figure};
use crate::json::Json;
use crate::{clients, kafka, workspace};

const JAVA_PEER: &str = "xtask/java/StreamsPeer.java";
const PYTHON_PEER: &str = "tests/clients/python/librdkafka_peer.py";

/// A broker is up by then, even on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// Records before the first row of a broker: a cold virtual machine costs several times as much.
const WARM: Amount = Amount { full: 15_000_000, quick: 100_000 };
/// What a pipeline reads.
const PIPELINE: Amount = Amount { full: 4_000_000, quick: 1_000_000 };
/// Seconds of the end to end row that are measured.
const END_TO_END_S: Amount = Amount { full: 20, quick: 3 };
/// The topic that pipelines read.
const PIPELINE_INPUT: &str = "peers-in";
/// The topic of the start row.
const START_TOPIC: &str = "peers-start";

/// Everything that measurements share.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) brokers: Brokers,
    quick: bool,
    classes: Option<PathBuf>,
    /// Sides whose input of pipelines is there.
    loaded: Vec<Side>,
    /// Runs so far: names of topics and groups are never used twice.
    count: u32,
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
        if let Work::Start = run.work {
            return self.start(run.side);
        }
        self.ready(run.side)?;
        match run.work {
            Work::Bench { words, records } => self.bench(run.side, words, records),
            Work::Librdkafka { way, records } => self.librdkafka(run.side, way, records),
            Work::Pipeline { engine, task } => self.pipeline(run.side, engine, task),
            Work::EndToEnd { engine } => self.end_to_end(run.side, engine),
            Work::MemoryAfter => {
                let (_, pid) = self.place(run.side)?;
                Ok(Values::from([(figure::MEMORY, resident_mb(pid)?)]))
            }
            Work::Start => Err("a start is measured without a running broker".to_owned()),
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
    fn place(&self, side: Side) -> Result<(String, u32), String> {
        let broker = self.brokers.running(side).ok_or("the broker does not run")?;
        Ok((broker.bootstrap(), broker.pid()))
    }

    fn millstream(&self, words: &str) -> Command {
        let mut command = workspace::command(&self.brokers.binary.to_string_lossy());
        command.args(words.split_whitespace());
        command
    }

    fn bench(&self, side: Side, words: &str, records: Amount) -> Result<Values, String> {
        let (bootstrap, pid) = self.place(side)?;
        let (records, pid) = (records.of(self.quick).to_string(), pid.to_string());
        let mut command = self.millstream("bench");
        let command = command.args(words.split_whitespace()).args(["--json", "-b", &bootstrap]);
        let json = json_of(command.args(["--records", &records, "--broker-pid", &pid]))?;
        let records = real(&json, "records").ok_or("the bench told no records")?;
        let per_million = |name| real(&json, name).map(|seconds| seconds / records * 1e6);
        let client = real(&json, "client_cpu_s").filter(|seconds| *seconds > 0.0);
        let figures = [
            (figure::RATE, real(&json, "records_per_s")),
            (figure::CPU, per_million("broker_cpu_s")),
            (figure::USER_CPU, per_million("broker_user_s")),
            (figure::P50, real(&json, "p50_ms")),
            (figure::P99, real(&json, "p99_ms")),
            (figure::PER_CLIENT_CPU, client.map(|seconds| records / seconds)),
        ];
        Ok(told(figures))
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

    fn pipeline(&mut self, side: Side, engine: Engine, task: &str) -> Result<Values, String> {
        let (bootstrap, pid) = self.place(side)?;
        let records = PIPELINE.of(self.quick);
        if !self.loaded.contains(&side) {
            let words = format!("load bootstrap={bootstrap} in={PIPELINE_INPUT} records={records}");
            json_of(self.peer()?.args(words.split_whitespace()))?;
            self.loaded.push(side);
        }
        let name = format!("peers-{task}-{}", self.count);
        let watch = format!("watch bootstrap={bootstrap} group={name} in={PIPELINE_INPUT}");
        let topics = (PIPELINE_INPUT, name.as_str());
        let json = self.beside((&bootstrap, pid), (engine, task), topics, &watch)?;
        let rate = real(&json, "records_per_s");
        let cpu = real(&json, "cpu_s_per_m");
        Ok(told([(figure::RATE, rate), (figure::CPU, cpu)]))
    }

    fn end_to_end(&mut self, side: Side, engine: Engine) -> Result<Values, String> {
        let (bootstrap, pid) = self.place(side)?;
        let seconds = END_TO_END_S.of(self.quick);
        let name = format!("peers-latency-{}", self.count);
        let input = format!("{name}-in");
        let made = format!("topics bootstrap={bootstrap} names={input},{name}-out");
        workspace::output_of(self.peer()?.args(made.split_whitespace()))?;
        let probe =
            format!("probe bootstrap={bootstrap} in={input} out={name}-out seconds={seconds}");
        let topics = (input.as_str(), name.as_str());
        let json = self.beside((&bootstrap, pid), (engine, "count"), topics, &probe)?;
        Ok(told([(figure::P50, real(&json, "p50_ms")), (figure::P99, real(&json, "p99_ms"))]))
    }

    /// Runs a pipeline in a process of its own, a program that looks at it, and tidies up.
    fn beside(
        &mut self,
        (bootstrap, pid): (&str, u32),
        (engine, task): (Engine, &str),
        (input, name): (&str, &str),
        watch: &str,
    ) -> Result<Json, String> {
        let folder = self.brokers.home.join("apps").join(name);
        fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let mut command = match engine {
            Engine::Streams => {
                let words = format!(
                    "run bootstrap={bootstrap} in={input} out={name}-out group={name} task={task} \
                     state={}",
                    folder.display()
                );
                let mut command = self.peer()?;
                command.args(words.split_whitespace());
                command
            }
            Engine::Millstream { delivery } => {
                let file = folder.join("pipeline.yaml");
                let text = pipeline_file((task, delivery), (input, name));
                fs::write(&file, text).map_err(|error| error.to_string())?;
                let mut command = self.millstream("run --plain");
                command.arg(&file).args(["-b", bootstrap]);
                command
            }
        };
        let looked = beside_watcher(self.peer()?.args(watch.split_whitespace()), || {
            started(&mut command, &folder).map(|app| (app, pid))
        })
        .map_err(|error| format!("{error}; see {}", folder.join("app.log").display()));
        let clean = format!("clean bootstrap={bootstrap} name={name}");
        let cleaned = workspace::output_of(self.peer()?.args(clean.split_whitespace()));
        let json = looked?;
        cleaned?;
        fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
        Ok(json)
    }

    /// Our topologies and probes in Java, compiled when they are first needed.
    fn peer(&mut self) -> Result<Command, String> {
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

/// Starts a program that looks, then what it looks at, whose process it is told with the broker's;
/// ends that when the program has seen enough.
fn beside_watcher(
    watch: &mut Command,
    begin: impl FnOnce() -> Result<(Child, u32), String>,
) -> Result<Json, String> {
    let watch = watch.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut watch = watch.map_err(|error| format!("java cannot be started: {error}"))?;
    let mut printed = BufReader::new(watch.stdout.take().ok_or("its output is not read")?).lines();
    let mut line = || printed.next().and_then(Result::ok).ok_or("it has measured nothing");
    let began = line().map_err(str::to_owned).and_then(|_| begin());
    let result = began.and_then(|(mut app, broker)| {
        let pids = format!("{},{broker}\n", app.id());
        let input = watch.stdin.as_mut().ok_or("its input is not there");
        let told = input
            .map_err(str::to_owned)
            .and_then(|input| input.write_all(pids.as_bytes()).map_err(|error| error.to_string()));
        let json = told.and_then(|()| Json::parse(&line()?));
        broker::stop(&mut app).and(json)
    });
    // Without its input it ends by itself.
    drop(watch.stdin.take());
    watch.wait().map_err(|error| error.to_string())?;
    result
}

/// The same work as the topologies of the peer, with every update going out.
fn pipeline_file((task, delivery): (&str, &str), (input, name): (&str, &str)) -> String {
    let fields = match task {
        "filter" => ", where: value > 500",
        "sum" => ", field: value, add: 1.5",
        "average" => ", value: value, window: 10s, emit: update",
        _ => "",
    };
    format!(
        "version: 1\n\
         name: {name}\n\
         partitions: 4\n\
         runtime: {{ parallelism: 1, delivery: {delivery} }}\n\
         source: {{ topic: {input}, group: {name}, max_out_of_order: 0s }}\n\
         tasks:\n  - {{ id: work, type: {task}{fields}, to: sink }}\n\
         sink: {{ kafka: {{ topic: {name}-out }} }}\n"
    )
}

fn started(command: &mut Command, folder: &Path) -> Result<Child, String> {
    let log = fs::File::create(folder.join("app.log")).map_err(|error| error.to_string())?;
    let errors = log.try_clone().map_err(|error| error.to_string())?;
    let child = command.stdout(Stdio::from(log)).stderr(errors).spawn();
    child.map_err(|error| format!("the pipeline cannot be started: {error}"))
}

/// Runs a program whose last line is JSON.
fn json_of(command: &mut Command) -> Result<Json, String> {
    let printed = workspace::output_of(command)?;
    Json::parse(printed.trim().lines().last().unwrap_or_default())
}

fn address(bootstrap: &str) -> Result<SocketAddr, String> {
    bootstrap.parse().map_err(|error| format!("{bootstrap}: {error}"))
}

fn wait_until_it_listens(bootstrap: &str) -> Result<(), String> {
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

fn told<const N: usize>(figures: [(&'static str, Option<f64>); N]) -> Values {
    figures.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn real(json: &Json, name: &str) -> Option<f64> {
    match json.at(name) {
        Json::Number(text) => text.parse().ok(),
        _ => None,
    }
}

/// Memory of a process that is in use, in megabytes of a million bytes.
fn resident_mb(pid: u32) -> Result<f64, String> {
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
    fn a_pipeline_reads_its_own_group() {
        let text = pipeline_file(("average", "exactly_once"), ("in", "one"));
        assert!(text.contains("source: { topic: in, group: one,"), "{text}");
        assert!(text.contains("type: average, value: value, window: 10s, emit: update, to: sink"));
    }

    #[test]
    fn figures_that_are_null_are_left_out() {
        let json = Json::parse(r#"{"a": 1.5, "b": null}"#).unwrap();
        let values = told([("a", real(&json, "a")), ("b", real(&json, "b"))]);
        assert_eq!(values, Values::from([("a", 1.5)]));
    }
}
