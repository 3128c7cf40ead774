//! Looking into pipelines: edges, state, promises.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::program::{Log, Process, run, send_signal};

const FILE: &str = "version: 1
name: rooms
source: { topic: in, event_time: at }
tasks:
  - { id: warm, type: filter, where: temp > 20, to: [seen, mean] }
  - { id: seen, type: count, to: sink }
  - { id: mean, type: average, value: temp, window: 1m, to: sink }
sink: { kafka: { topic: out } }
";

fn file(log: &Log) -> String {
    let path = log.folder.path().join("rooms.yaml");
    std::fs::write(&path, FILE).unwrap();
    path.to_str().unwrap().to_owned()
}

const INPUT: &str = "a {\"at\":1000,\"temp\":21}
b {\"at\":2000,\"temp\":10}
a {\"at\":3000,\"temp\":24}
a {\"at\":61000,\"temp\":30}
";

/// A log in which the pipeline has worked off its input.
fn worked() -> (Log, String) {
    let log = Log::start();
    let file = file(&log);
    log.ok(&["topic", "create", "in", "-p", "1"]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], INPUT);
    log.ok(&["run", &file, "-b", &log.address, "--until-end", "--http", "off"]);
    (log, file)
}

#[test]
fn state_is_read_from_the_topics_alone_with_its_windows() {
    let (log, _) = worked();
    let keys = log.ok(&["state", "keys", "rooms", "seen", "--json"]);
    let keys: Value = serde_json::from_str(&keys).unwrap();
    assert_eq!(keys["keys"], 1, "{keys}");
    assert_eq!(
        (&keys["entries"][0]["key"], &keys["entries"][0]["count"]),
        (&json!("a"), &json!(3))
    );
    let mean = log.ok(&["state", "get", "rooms", "mean", "a", "--json"]);
    let mean: Value = serde_json::from_str(&mean).unwrap();
    let entry = &mean["entries"][0];
    // The first window has closed and is forgotten; the second is open.
    assert_eq!(mean["keys"], 1, "{mean}");
    assert_eq!((&entry["average"], &entry["count"]), (&json!(30.0), &json!(1)));
    assert_eq!(entry["window_end"], "1970-01-01T00:02:00.000Z", "{mean}");
    let text = log.ok(&["state", "keys", "rooms", "mean"]);
    assert!(text.starts_with("KEY  WINDOW END"), "{text}");
    assert!(text.contains("average 30 of 1"), "{text}");
    let absent = log.run(&["state", "get", "rooms", "seen", "b"]);
    assert!(absent.messages.contains("error[MS-3032]"), "{}", absent.messages);
    let stateless = log.run(&["state", "keys", "rooms", "warm"]);
    assert!(stateless.messages.contains("error[MS-3010]"), "{}", stateless.messages);
    assert!(stateless.messages.contains("mean, seen"), "{}", stateless.messages);
    let unknown = log.run(&["state", "keys", "other", "seen"]);
    assert!(unknown.messages.contains("error[MS-3011]"), "{}", unknown.messages);
}

#[test]
fn an_edge_is_tapped_without_a_group() {
    let (log, file) = worked();
    let tap = |edge: &str, more: &[&str]| {
        log.ok(&[&["pipeline", "tap", &file, edge, "--from-start"], more].concat())
    };
    let source = tap("source->warm", &["-n", "2"]);
    let expected = "source->warm  p0/0  a  {\"at\":1000,\"temp\":21}\n\
                    source->warm  p0/1  b  {\"at\":2000,\"temp\":10}\n";
    assert_eq!(source, expected);
    let results = tap("sink", &["-n", "1", "--json"]);
    let record: Value = serde_json::from_str(&results).unwrap();
    assert_eq!((&record["topic"], &record["key"]), (&json!("out"), &json!("a")));
    let groups = log.ok(&["group", "list"]);
    assert!(!groups.contains("tap"), "{groups}");
    // Nobody listens on the port of a socket that was closed.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let fused = log.run(&["pipeline", "tap", &file, "warm->seen", "--http", &closed.to_string()]);
    assert!(fused.messages.contains("error[MS-3031]"), "{}", fused.messages);
    let unknown = log.run(&["pipeline", "tap", &file, "warm->nowhere"]);
    assert!(unknown.messages.contains("error[MS-3030]"), "{}", unknown.messages);
    assert!(unknown.messages.contains("warm->seen"), "{}", unknown.messages);
}

/// Feeds the source until a tap has printed so many lines; what it printed.
fn tapped(log: &Log, arguments: &[&str]) -> Vec<String> {
    let mut command = log.program(&[&["pipeline", "tap"], arguments, &["-n", "2"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    while child.try_wait().unwrap().is_none() {
        let input = "a {\"at\":1000,\"temp\":21}\nb {\"at\":2000,\"temp\":10}\n";
        log.feed(&["produce", "in", "-f", "%k %v\n"], input);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    reader.join().unwrap()
}

#[test]
fn between_fused_tasks_the_process_that_runs_them_is_asked() {
    let log = Log::start();
    let file = file(&log);
    log.ok(&["topic", "create", "in", "-p", "1"]);
    let node = |arguments: &[&str]| {
        let mut command = log.program(arguments);
        command.args(["--http", "127.0.0.1:0", "--log-format", "json"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let told: Value = serde_json::from_str(&line.unwrap()).ok()?;
            let is_it = told["message"] == "metrics and health are served";
            is_it.then(|| told["address"].as_str().unwrap().to_owned())
        });
        // The rest is read, so that the process never waits for us.
        std::thread::spawn(move || lines.map_while(Result::ok).count());
        (Process(child), address.unwrap())
    };
    let (running, http) = node(&["run", &file, "-b", &log.address, "--plain"]);
    let ready = || crate::pages::page(&http, "/readyz").0 == 200;
    while !ready() {
        std::thread::yield_now();
    }
    let lines = tapped(&log, &[&file, "warm->seen", "--http", &http]);
    assert_eq!(lines, ["warm->seen  p0  a  {\"at\":1000,\"temp\":21}"; 2], "b is not warm");
    drop(running);
    // In a cluster the beats tell where to ask, and the pipeline has a name.
    let data = log.folder.path().join("node").to_str().unwrap().to_owned();
    let (_node, _) = node(&["serve", "--slots", "1", "--data", &data]);
    log.ok(&["pipeline", "apply", &file]);
    while !log.ok(&["pipeline", "list"]).contains("rooms     running") {}
    let lines = tapped(&log, &["rooms", "warm->mean", "--json"]);
    let record: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&record["edge"], &record["key"]), (&json!("warm->mean"), &json!("a")));
}

#[test]
fn a_tap_shows_what_comes_from_now_on_and_ends_when_it_is_told() {
    let (log, file) = worked();
    let mut command = log.program(&["pipeline", "tap", &file, "source"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // When it has begun is not told, so records come until one is seen.
    let (sender, seen) = std::sync::mpsc::sync_channel(1);
    let reader = std::thread::spawn(move || sender.send(lines.next().unwrap().unwrap()));
    let line = loop {
        log.feed(&["produce", "in", "-f", "%k %v\n"], "c {\"at\":62000,\"temp\":5}\n");
        if let Ok(line) = seen.try_recv() {
            break line;
        }
    };
    reader.join().unwrap().unwrap();
    assert!(line.ends_with("c  {\"at\":62000,\"temp\":5}"), "{line}");
    assert!(!line.contains("p0/0 "), "what was there before is not shown: {line}");
    send_signal(child.id(), "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn lint_says_what_is_promised_of_every_way() {
    let log = Log::start();
    let ended = run(&["pipeline", "lint", &file(&log)]);
    assert_eq!(ended.code, Some(0));
    let expected = "  source -> topic out: exactly once
    results, state and positions are one transaction; readers take read_committed
    `mean` leaves out records that are late for their windows
";
    assert!(ended.output.contains(expected), "{}", ended.output);
    assert!(!ended.output.contains("MS-1053"), "it says so twice: {}", ended.output);
    let ended = run(&["pipeline", "lint", "--json", &file(&log)]);
    let remarks: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    let promises = remarks.as_array().unwrap().iter().filter(|it| it["code"] == "MS-1053");
    let promises: Vec<(&str, usize)> = promises
        .map(|it| (it["title"].as_str().unwrap(), it["notes"].as_array().unwrap().len()))
        .collect();
    assert_eq!(promises, [("exactly once from `source` to topic out", 2)]);
}
