//! Looking into pipelines: edges, state, promises.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::program::{Log, run, send_signal};

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
fn an_edge_is_tapped_without_a_group_and_a_fused_one_is_told() {
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
    let fused = log.run(&["pipeline", "tap", &file, "warm->seen"]);
    assert!(fused.messages.contains("error[MS-3031]"), "{}", fused.messages);
    let unknown = log.run(&["pipeline", "tap", &file, "warm->nowhere"]);
    assert!(unknown.messages.contains("error[MS-3030]"), "{}", unknown.messages);
    assert!(unknown.messages.contains("warm->seen"), "{}", unknown.messages);
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
}
