//! `cargo xtask test`: everything that must hold before a change lands, in one command.
//!
//! The steps run in the order in which they fail fastest, the first failure ends the run, and the
//! tree is never written. What this machine cannot run is named in the summary, never passed over.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::Suite;
use crate::{clients, codegen, kafka, readme, tidy, workspace};

/// Where tests find the Apache Kafka that was started for them.
const KAFKA_VARIABLE: &str = "MILLSTREAM_TEST_KAFKA";

/// Our own broker listens within milliseconds; this allows for a busy machine.
const BROKER_START_MAX: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How a step ended.
enum Outcome {
    Passed,
    Skipped(String),
}

/// What has happened so far.
struct Run {
    lines: Vec<String>,
    began: Instant,
}

/// Runs all checks; `quick` leaves out what needs other programs.
///
/// # Errors
/// The name of the step that failed and what it said.
pub(crate) fn run(quick: bool) -> Result<(), String> {
    let mut run = Run { lines: Vec::new(), began: Instant::now() };
    let result = all_steps(&mut run, quick);
    println!("\nsummary ({} s)", run.began.elapsed().as_secs());
    for line in &run.lines {
        println!("  {line}");
    }
    result
}

fn all_steps(run: &mut Run, quick: bool) -> Result<(), String> {
    run.step("format", || passed(&mut cargo(&["fmt", "--all", "--check"])))?;
    run.step("clippy", || {
        let clippy =
            ["clippy", "--workspace", "--all-targets", "--locked", "--keep-going", "-q", "--"];
        passed(cargo(&clippy).args(["-D", "warnings"]))
    })?;
    run.step("tidy", || tidy::run().map(|()| Outcome::Passed))?;
    run.step("codegen", || codegen::run(true).map(|()| Outcome::Passed))?;
    let mut node = None;
    run.step("Apache Kafka", || start_kafka(quick, &mut node))?;
    let result = with_kafka(run, quick, node.as_ref());
    // The oracle ends with the run, however the run ends.
    node.map_or(Ok(()), |node| node.stop()).and(result)
}

fn with_kafka(run: &mut Run, quick: bool, node: Option<&kafka::Node>) -> Result<(), String> {
    run.step("tests", || passed(&mut tests(node)))?;
    run.step("commands of the README", || readme::run().map(|()| Outcome::Passed))?;
    real_clients(run, quick)?;
    run.step("answers beside Apache Kafka's", || {
        let Some(node) = node else {
            return Ok(Outcome::Skipped("no Apache Kafka".to_owned()));
        };
        let compare = |bootstrap: &str| clients::compare(bootstrap, &node.bootstrap(), "");
        with_broker(compare).map(|()| Outcome::Passed)
    })?;
    run.step("results beside Kafka Streams'", || {
        if node.is_none() {
            return Ok(Outcome::Skipped("no Apache Kafka".to_owned()));
        }
        let compare = |bootstrap: &str| clients::oracle(bootstrap, &program(), "1");
        with_broker(compare).map(|()| Outcome::Passed)
    })
}

impl Run {
    fn step(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<Outcome, String>,
    ) -> Result<(), String> {
        println!("== {name}");
        let began = Instant::now();
        let outcome = work();
        let seconds = began.elapsed().as_secs();
        let (line, result) = match outcome {
            Ok(Outcome::Passed) => (format!("ok      {name} ({seconds} s)"), Ok(())),
            Ok(Outcome::Skipped(why)) => (format!("skipped {name}: {why}"), Ok(())),
            Err(error) => (format!("FAILED  {name}: {error}"), Err(format!("{name} failed"))),
        };
        self.lines.push(line);
        result
    }
}

fn cargo(words: &[&str]) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(words);
    cargo
}

fn passed(command: &mut Command) -> Result<Outcome, String> {
    workspace::run(command).map(|()| Outcome::Passed)
}

fn start_kafka(quick: bool, node: &mut Option<kafka::Node>) -> Result<Outcome, String> {
    if quick {
        return Ok(Outcome::Skipped("--quick".to_owned()));
    }
    if let Some(missing) = kafka::missing() {
        return Ok(Outcome::Skipped(missing.to_owned()));
    }
    *node = Some(kafka::start_fresh(&workspace::target().join("kafka/test"))?);
    Ok(Outcome::Passed)
}

fn tests(node: Option<&kafka::Node>) -> Command {
    let mut tests = cargo(&["test", "--workspace", "--locked", "-q"]);
    // Snapshots are compared here and never written.
    tests.env("INSTA_UPDATE", "no").env_remove(KAFKA_VARIABLE);
    if let Some(node) = node {
        tests.env(KAFKA_VARIABLE, node.bootstrap());
    }
    tests
}

fn real_clients(run: &mut Run, quick: bool) -> Result<(), String> {
    let why_not = |suite: Suite| if quick { Some("--quick") } else { suite.missing() };
    if Suite::ALL.into_iter().all(|suite| why_not(suite).is_some()) {
        return run.step("real clients", || Ok(Outcome::Skipped(reasons(why_not))));
    }
    run.step("build millstream", || passed(&mut cargo(&["build", "-p", "millstream", "-q"])))?;
    for suite in Suite::ALL {
        let name = format!("{} clients against millstream up", suite.name());
        run.step(&name, || match why_not(suite) {
            Some(missing) => Ok(Outcome::Skipped(missing.to_owned())),
            None => with_broker(|bootstrap| suite.run(bootstrap, "")).map(|()| Outcome::Passed),
        })?;
    }
    Ok(())
}

fn reasons(why_not: impl Fn(Suite) -> Option<&'static str>) -> String {
    Suite::ALL.into_iter().filter_map(why_not).collect::<Vec<_>>().join(", ")
}

/// Runs the work while a broker of ours listens on a port of its own.
fn with_broker(work: impl FnOnce(&str) -> Result<(), String>) -> Result<(), String> {
    let address = SocketAddr::from(([127, 0, 0, 1], kafka::free_port()?));
    let mut broker = broker(address)?;
    let result =
        wait_until_it_listens(&mut broker, address).and_then(|()| work(&address.to_string()));
    stop(&mut broker).and(result)
}

/// Asks the broker to end, so that it takes its temporary folder along.
fn stop(broker: &mut Child) -> Result<(), String> {
    if matches!(broker.try_wait(), Ok(None)) {
        workspace::run(workspace::command("kill").arg(broker.id().to_string()))?;
    }
    let status = broker.wait().map_err(|error| format!("the broker cannot end: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("millstream up ended with {status}")) }
}

fn broker(address: SocketAddr) -> Result<Child, String> {
    let binary = program();
    let mut broker = workspace::command(&binary.to_string_lossy());
    broker
        .args(["up", "--quiet", "--ephemeral", "--listen", &address.to_string()])
        .env_remove(kafka::LIBS_VARIABLE)
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", binary.display()))
}

fn program() -> PathBuf {
    workspace::target().join("debug/millstream")
}

fn wait_until_it_listens(broker: &mut Child, address: SocketAddr) -> Result<(), String> {
    let began = Instant::now();
    while began.elapsed() < BROKER_START_MAX {
        if TcpStream::connect_timeout(&address, POLL_INTERVAL).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = broker.try_wait() {
            return Err(format!("millstream up ended with {status}"));
        }
        thread::sleep(POLL_INTERVAL);
    }
    Err(format!("millstream up did not listen on {address}"))
}
