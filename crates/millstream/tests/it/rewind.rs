//! Letting a pipeline begin elsewhere, and what is told of those who ran it.

use std::process::Stdio;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use serde_json::Value;

use crate::program::{Log, Process};

const PATIENCE_MS: u64 = 60_000;

const FILE: &str = "version: 1
name: orders
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

fn file(log: &Log, text: &str) -> String {
    let path = log.folder.path().join("orders.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A log with four records that the pipeline has counted.
fn worked() -> (Log, String) {
    let log = Log::start();
    let file = file(&log, FILE);
    log.ok(&["topic", "create", "in", "-p", "1"]);
    log.ok(&["topic", "create", "out", "-p", "1"]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 1\na 2\na 3\na 4\n");
    run_to_end(&log, &file);
    (log, file)
}

fn run_to_end(log: &Log, file: &str) {
    log.ok(&["run", file, "-b", &log.address, "--until-end", "--http", "off"]);
}

fn results(log: &Log) -> Vec<String> {
    let printed = log.ok(&["consume", "out", "-o", "start", "-e", "-f", "%v\n"]);
    printed.lines().map(|line| line.trim_matches(['{', '}']).replace("\"count\":", "")).collect()
}

#[test]
fn a_pipeline_begins_elsewhere_with_empty_state() {
    let (log, file) = worked();
    assert_eq!(results(&log), ["1", "2", "3", "4"]);
    let reset = |to: &str, more: &[&str]| {
        log.run(&[&["pipeline", "reset", &file, "-b", &log.address, "--to", to], more].concat())
    };
    let told = reset("2", &[]);
    assert_eq!(told.code, Some(0), "{}", told.messages);
    assert!(told.output.contains("delete topic            __ms.orders.seen.seen-changelog"));
    assert!(told.output.contains("ms.orders.seen  in             0    4    2"), "{}", told.output);
    assert!(told.messages.contains("nothing was changed"), "{}", told.messages);
    assert_eq!(reset("2", &["--yes"]).code, Some(0));
    run_to_end(&log, &file);
    assert_eq!(results(&log), ["1", "2", "3", "4", "1", "2"], "two records are counted anew");
    let far = reset("99", &["--yes"]);
    assert!(far.output.contains("the nearest that is left"), "{}", far.output);
    run_to_end(&log, &file);
    assert_eq!(results(&log).len(), 6, "nothing lies behind the end");
    assert_eq!(reset("earliest", &["--yes"]).code, Some(0));
    run_to_end(&log, &file);
    assert_eq!(results(&log)[6..], ["1", "2", "3", "4"]);
    assert_eq!(reset("sometime", &[]).code, Some(2));
}

#[test]
fn what_runs_is_not_reset_and_what_was_stopped_goes_on_from_there() {
    let log = Log::start();
    let path = file(&log, FILE);
    log.ok(&["topic", "create", "in", "-p", "1"]);
    log.ok(&["topic", "create", "out", "-p", "1"]);
    let nodes = ["jobmanager", "taskmanager"].map(|role| {
        let mut command = log.program(&[role, "--id", role, "-q", "--http", "off", "--data"]);
        command.arg(log.folder.path().join(role)).stdout(Stdio::null());
        Process(command.spawn().unwrap())
    });
    log.ok(&["pipeline", "apply", &path]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 1\na 2\n");
    wait_for(&log, 2);
    let refused = log.run(&["pipeline", "reset", "orders", "--to", "earliest", "--yes"]);
    assert!(refused.messages.contains("error[MS-3033]"), "{}", refused.messages);
    assert!(refused.messages.contains("pipeline stop orders"), "{}", refused.messages);
    log.ok(&["pipeline", "stop", "orders"]);
    log.ok(&["pipeline", "reset", "orders", "--to", "earliest", "--yes"]);
    log.ok(&["pipeline", "resume", "orders"]);
    wait_for(&log, 4);
    assert_eq!(results(&log), ["1", "2", "1", "2"]);
    drop(nodes);
}

fn wait_for(log: &Log, count: usize) {
    let clock = SystemClock::new();
    while results(log).len() < count {
        assert!(clock.steady_ms() < PATIENCE_MS, "{:?}", results(log));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_in_the_foreground_is_not_reset() {
    let (log, file) = worked();
    let mut command = log.program(&["run", &file, "-b", &log.address, "--http", "off", "-q"]);
    let running = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 5\n");
    wait_for(&log, 5);
    let refused = log.run(&["pipeline", "reset", &file, "-b", &log.address, "--to", "2", "--yes"]);
    assert!(refused.messages.contains("error[MS-3033]"), "{}", refused.messages);
    drop(running);
    assert_eq!(results(&log).len(), 5);
}

#[test]
fn history_tells_who_ran_it_and_what_was_different() {
    let (log, _) = worked();
    let changed = FILE.replace(
        "  - { id: seen, type: count, to: sink }\n",
        "  - { id: seen, type: count, to: sink }\n  - { id: more, type: count, to: sink }\n",
    );
    run_to_end(&log, &file(&log, &changed));
    let told = log.ok(&["pipeline", "history", "orders", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let deployments = told.as_array().unwrap();
    assert_eq!(deployments.len(), 2, "{told}");
    assert_eq!(deployments[0]["workers"][0]["worker"], "main");
    let changes = deployments[1]["changes"].to_string();
    assert!(changes.contains("task `more` begins with empty state"), "{told}");
    let text = log.ok(&["pipeline", "history", "orders"]);
    assert!(text.contains("Z  main (1 slot)  pid "), "{text}");
    let unknown = log.run(&["pipeline", "history", "other"]);
    assert!(unknown.messages.contains("error[MS-3011]"), "{}", unknown.messages);
}
