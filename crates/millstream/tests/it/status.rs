//! How pipelines stand, told by their slots or by the log alone.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::program::{Log, Process, program};

const PATIENCE_MS: u64 = 60_000;

const FILE: &str = "version: 1
name: orders
source: { topic: in }
tasks:
  - { id: seen, type: count, on_error: skip, to: sink }
sink: { kafka: { topic: out } }
";

fn file(log: &Log) -> String {
    let path = log.folder.path().join("orders.yaml");
    std::fs::write(&path, FILE).unwrap();
    path.to_str().unwrap().to_owned()
}

fn node(log: &Log, role: &str) -> Process {
    let mut command = program(&[role, "-b", &log.address, "--id", role, "-q", "--data"]);
    command.arg(log.folder.path().join(role)).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    Process(child)
}

fn status(log: &Log) -> Value {
    let text = log.ok(&["pipeline", "status", "orders", "--json"]);
    serde_json::from_str::<Value>(&text).unwrap()[0].clone()
}

fn wait_for(log: &Log, is_so: impl Fn(&Value) -> bool) -> Value {
    let clock = SystemClock::new();
    loop {
        let shown = status(log);
        if is_so(&shown) {
            return shown;
        }
        assert!(clock.steady_ms() < PATIENCE_MS, "{shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_pipeline_that_nobody_runs_is_read_from_the_log() {
    let log = Log::start();
    let file = file(&log);
    log.ok(&["topic", "create", "in", "-p", "2"]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 1\nb 2\na 3\n");
    log.ok(&["run", &file, "-b", &log.address, "--until-end", "--http", "off"]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 4\nb 5\n");
    let shown = status(&log);
    let stage = &shown["in_log"]["stages"][0];
    assert_eq!((&shown["state"], &stage["lag_records"]), (&json!("not applied"), &json!(2)));
    assert_eq!(stage["group"], "ms.orders.seen", "{shown}");
    for age in ["lag_ms", "checkpoint_age_ms"] {
        assert!(stage[age].as_u64().is_some_and(|age| age < PATIENCE_MS), "{shown}");
    }
    let text = log.ok(&["pipeline", "status", "orders"]);
    assert!(text.starts_with("orders  not applied: last run by pid "), "{text}");
    assert!(log.ok(&["pipeline", "list"]).contains("orders    not applied"));
}

#[test]
fn a_pipeline_that_runs_tells_of_its_tasks_and_a_stopped_one_of_what_waits() {
    let log = Log::start();
    let file = file(&log);
    log.ok(&["topic", "create", "in", "-p", "2"]);
    let _nodes = [node(&log, "jobmanager"), node(&log, "taskmanager")];
    log.ok(&["pipeline", "apply", &file]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 1\nb 2\na 3\n");
    log.feed(&["produce", "in"], "without a key\n");
    let shown = wait_for(&log, |it| it["tasks"][0]["records_in"] == 4);
    let task = &shown["tasks"][0];
    assert_eq!((&task["task"], &task["records_out"]), (&json!("seen"), &json!(3)), "{shown}");
    assert_eq!((&task["skipped"], &task["lag_records"]), (&json!(1), &json!(0)), "{shown}");
    assert!(shown["checkpoints"].as_u64().is_some_and(|count| count > 0), "{shown}");
    let idle = task["idle_ratio"].as_f64().unwrap();
    let busy = task["busy_ratio"].as_f64().unwrap() + task["backpressured_ratio"].as_f64().unwrap();
    assert!((idle + busy - 1.0).abs() < 0.01, "{shown}");
    let text = log.ok(&["pipeline", "status"]);
    assert!(text.contains("nothing waits   last commit"), "{text}");
    assert!(text.contains("PIPELINE  TASK  IN  OUT  LAG  LATE  ERRORS"), "{text}");
    log.ok(&["pipeline", "stop", "orders"]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 4\n");
    let waits = |it: &Value| it["in_log"]["stages"][0]["lag_records"] == 1;
    assert_eq!(wait_for(&log, waits)["state"], "stopped");
}
