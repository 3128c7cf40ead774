//! A cluster of processes: what people type, and what they are told.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};

use crate::program::{Ended, Folder, Log, program, run, send_signal};

const PATIENCE_MS: u64 = 60_000;

const FILE: &str = "version: 1
name: orders
runtime: { parallelism: 1, task_managers: 2 }
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

/// A node that is killed when it is dropped.
struct Node(Child);

impl Node {
    fn start(log: &Log, role: &str, id: &str) -> Self {
        let data = log.folder.path().join(id);
        let mut command = program(&[role, "-b", &log.address, "--id", id, "-q", "--data"]);
        command.arg(&data).stdout(Stdio::null());
        if role == "taskmanager" {
            command.args(["--slots", "2"]);
        }
        Self(command.spawn().unwrap())
    }

    /// Ends it in good order; its exit.
    fn stop(mut self) -> Option<i32> {
        send_signal(self.0.id(), "-TERM");
        self.0.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn file(folder: &Folder, text: &str) -> String {
    let path = folder.path().join("orders.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn status(log: &Log) -> serde_json::Value {
    let ended = run(&["pipeline", "status", "--json", "-b", &log.address]);
    assert_eq!(ended.code, Some(0), "{}", ended.messages);
    let pipelines: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    pipelines[0].clone()
}

fn wait_for(log: &Log, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
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

fn task_managers(status: &serde_json::Value) -> Vec<String> {
    let slots = status["slots"].as_array().into_iter().flatten();
    slots.map(|slot| slot["task_manager"].as_str().unwrap_or_default().to_owned()).collect()
}

fn refusal(ended: &Ended) -> (Option<i32>, &str) {
    (ended.code, ended.messages.get(..14).unwrap_or_default())
}

#[test]
fn a_cluster_is_told_what_to_run_and_tells_how_it_stands() {
    let log = Log::start();
    let path = file(&log.folder, FILE);
    run(&["topic", "create", "in", "-p", "4", "-b", &log.address]);
    let _manager = Node::start(&log, "jobmanager", "jm");
    let first = Node::start(&log, "taskmanager", "tm-1");
    let second = Node::start(&log, "taskmanager", "tm-2");
    let on = |words: &[&str]| run(&[words, &["-b", &log.address][..]].concat());
    let dry = on(&["pipeline", "apply", &path, "--dry-run"]);
    assert_eq!(dry.output, "would: is a new pipeline: orders\n", "{}", dry.messages);
    let applied = on(&["pipeline", "apply", &path]);
    assert_eq!(applied.output, "applied: is a new pipeline: orders\n", "{}", applied.messages);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 1\nb 2\na 3\n");
    let running = wait_for(&log, |it| it["state"] == "running" && it["records_in"] == 3);
    assert_eq!(task_managers(&running), ["tm-1", "tm-2"]);
    // One is killed, the other one leaves.
    let killed = SystemClock::new();
    drop(first);
    wait_for(&log, |it| it["state"] == "running" && task_managers(it) == ["tm-2", "tm-2"]);
    assert!(killed.steady_ms() < 20_000, "{} ms", killed.steady_ms());
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 4\n");
    let third = Node::start(&log, "taskmanager", "tm-3");
    wait_for(&log, |it| it["state"] == "running" && task_managers(it) == ["tm-2", "tm-3"]);
    assert_eq!(second.stop(), Some(0));
    wait_for(&log, |it| it["state"] == "running" && task_managers(it) == ["tm-3", "tm-3"]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 5\n");
    let paused = on(&["pipeline", "pause", "orders"]);
    assert_eq!((paused.code, paused.messages.as_str()), (Some(0), "done\n"));
    assert_eq!(status(&log)["state"], "paused");
    assert_eq!(refusal(&on(&["pipeline", "pause", "orders"])), (Some(1), "error[MS-3012]"));
    assert_eq!(on(&["pipeline", "resume", "orders"]).code, Some(0));
    wait_for(&log, |it| it["state"] == "running" && it["lag"] == 0);
    let list = on(&["pipeline", "list"]);
    assert!(list.output.starts_with("PIPELINE  STATE    SLOTS  TASKS"), "{}", list.output);
    assert!(list.output.contains("orders    running    2/2      4"), "{}", list.output);
    assert_eq!(on(&["pipeline", "stop", "orders"]).code, Some(0));
    let counts = on(&["consume", "out", "-o", "start", "-e", "-f", "%k %v\n"]);
    let of_a: Vec<&str> = counts.output.lines().filter(|line| line.starts_with("a ")).collect();
    let expected: Vec<String> = (1..=4).map(|count| format!("a {{\"count\":{count}}}")).collect();
    assert_eq!(of_a, expected);
    drop(third);
}

#[test]
fn a_copy_of_the_state_is_shown_and_gone_on_with() {
    let log = Log::start();
    let one = FILE.replace("{ parallelism: 1, task_managers: 2 }", "{ state: { standby: 1 } }");
    let path = file(&log.folder, &one);
    run(&["topic", "create", "in", "-p", "4", "-b", &log.address]);
    let _manager = Node::start(&log, "jobmanager", "jm");
    let first = Node::start(&log, "taskmanager", "tm-1");
    assert_eq!(run(&["pipeline", "apply", &path, "-b", &log.address]).code, Some(0));
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 1\nb 2\na 3\n");
    wait_for(&log, |it| it["state"] == "running" && it["records_in"] == 3);
    let _second = Node::start(&log, "taskmanager", "tm-2");
    let copies = serde_json::json!([{ "task_manager": "tm-2", "tasks": 4, "up_to_date": 4 }]);
    wait_for(&log, |it| it["copies"] == copies);
    let shown = run(&["pipeline", "status", "orders", "-b", &log.address]);
    let line = "\n  copies of state: 4 of 4 up to date at tm-2\n";
    assert!(shown.output.contains(line), "{}", shown.output);
    drop(first);
    wait_for(&log, |it| it["state"] == "running" && task_managers(it) == ["tm-2"]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 4\n");
    wait_for(&log, |it| it["records_in"] == 1 && it["lag"] == 0 && it["copies"].is_null());
    let counts = run(&["consume", "out", "-o", "start", "-e", "-f", "%k %v\n", "-b", &log.address]);
    let of_a: Vec<&str> = counts.output.lines().filter(|line| line.starts_with("a ")).collect();
    assert_eq!(of_a, ["a {\"count\":1}", "a {\"count\":2}", "a {\"count\":3}"]);
}

#[test]
fn what_a_cluster_cannot_do_is_told_with_a_way_out() {
    let log = Log::start();
    let _manager = Node::start(&log, "jobmanager", "jm");
    let on = |words: &[&str]| run(&[words, &["-b", &log.address][..]].concat());
    let unknown = on(&["pipeline", "stop", "other"]);
    assert_eq!(refusal(&unknown), (Some(1), "error[MS-3011]"), "{}", unknown.messages);
    let table = FILE.replace("topic: out }", "topic: out }, sqlite: { file: a.db, table: t }");
    let ended = on(&["pipeline", "apply", &file(&log.folder, &table)]);
    assert_eq!(refusal(&ended), (Some(1), "error[MS-3013]"), "{}", ended.messages);
    assert!(ended.messages.contains("help: `millstream run FILE"), "{}", ended.messages);
    let wrong = on(&["pipeline", "apply", &file(&log.folder, &FILE.replace("count", "cuont"))]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.messages.contains("MS-1004"), "{}", wrong.messages);
    let missing = on(&["pipeline", "status", "other"]);
    assert_eq!(refusal(&missing), (Some(1), "error[MS-3011]"), "{}", missing.messages);
    let bad = run(&["taskmanager", "--id", "a.b", "-b", &log.address]);
    assert_eq!(bad.code, Some(2), "{}", bad.messages);
}

/// Starts a node and waits until it says that it is ready.
fn ready(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

#[test]
fn two_nodes_do_not_share_an_id() {
    let log = Log::start();
    let data = log.folder.path().join("shared");
    let kept = || {
        let mut command = program(&["jobmanager", "-b", &log.address, "-q", "--data"]);
        command.arg(&data);
        command
    };
    let (mut first, line) = ready(kept());
    assert!(line.contains("job manager `n-") && line.contains("is ready"), "{line}");
    let second: Ended = kept().output().unwrap().into();
    send_signal(first.id(), "-TERM");
    assert_eq!(first.wait().unwrap().code(), Some(0));
    assert_eq!(refusal(&second), (Some(1), "error[MS-5002]"), "{}", second.messages);
    // By name they can be started twice, and then the later one stays.
    for role in ["jobmanager", "taskmanager"] {
        let (older, _) = ready(program(&[role, "-b", &log.address, "-q", "--id", "named"]));
        let newer = Node::start(&log, role, "named");
        let ended: Ended = older.wait_with_output().unwrap().into();
        assert_eq!(refusal(&ended), (Some(75), "error[MS-3016]"), "{}", ended.messages);
        assert_eq!(newer.stop(), Some(0));
    }
}

#[test]
fn a_cluster_of_another_version_is_refused() {
    let log = Log::start();
    for role in ["jobmanager", "taskmanager"] {
        let (node, _) = ready(program(&[role, "-b", &log.address, "-q", "--id", "named"]));
        let theirs = coordination::beat::PROTOCOL + 1;
        let beat = format!("{{\"protocol\":{theirs},\"version\":\"9.9.9\",\"leads\":7}}\n");
        assert_eq!(log.feed(&["produce", "__ms.beats"], &beat).code, Some(0));
        let ended: Ended = node.wait_with_output().unwrap().into();
        assert_eq!(refusal(&ended), (Some(78), "error[MS-3015]"), "{}", ended.messages);
        assert!(ended.messages.contains("led by Millstream 9.9.9"), "{}", ended.messages);
    }
}

#[test]
fn what_nobody_answers_is_carried_out_by_the_job_manager_that_comes() {
    let log = Log::start();
    log.ok(&["topic", "create", "in", "-p", "2"]);
    let on = |words: &[&str]| run(&[words, &["-b", &log.address][..]].concat());
    let ended = on(&["pipeline", "apply", &file(&log.folder, FILE)]);
    assert_eq!(refusal(&ended), (Some(124), "error[MS-3014]"), "{}", ended.messages);
    assert!(ended.messages.contains("help: start one with `millstream jobmanager`"));
    let told = run(&["explain", "MS-3014"]);
    assert!(told.output.contains("within the hour"), "{}", told.output);
    let _manager = Node::start(&log, "jobmanager", "jm");
    wait_for(&log, |it| it["pipeline"] == "orders" && it["state"] == "waiting");
}
