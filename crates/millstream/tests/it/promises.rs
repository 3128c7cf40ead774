//! What the page of guarantees promises and no other test tries.

use std::collections::BTreeSet;
use std::process::Stdio;

use crate::program::{Log, Process};

const PLAIN: &str = "version: 1
name: plain
runtime: { delivery: at_least_once }
source: { topic: in }
tasks:
  - { id: on, type: forward, to: sink }
sink: { kafka: { topic: out } }
";

/// A file beside the log.
fn file(log: &Log, text: &str) -> String {
    let path = log.folder.path().join("some.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a topic holds now.
fn values(log: &Log, topic: &str) -> Vec<String> {
    let printed = log.ok(&["consume", topic, "-o", "start", "-e", "-f", "%v\n"]);
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn at_least_once_loses_nothing_when_it_is_killed() {
    const EACH: usize = 5_000;
    let log = Log::start();
    log.ok(&["topic", "create", "in", "out", "-p", "1"]);
    let file = file(&log, PLAIN);
    let mut sent = 0;
    for _ in 0..4 {
        let mut running = log.program(&["run", &file, "-b", &log.address, "--http", "off", "-q"]);
        running.arg("--data").arg(log.folder.path().join("state"));
        let running = Process(running.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let before = values(&log, "out").len();
        let numbers: String = (sent..sent + EACH).map(|n| format!("k{} {n}\n", n % 3)).collect();
        log.feed(&["produce", "in", "-f", "%k %v\n"], &numbers);
        sent += EACH;
        // It is killed in the middle, as soon as something is seen of its work.
        log.ok(&["consume", "out", "-o", "start", "-n", &(before + 1).to_string()]);
        drop(running);
    }
    log.ok(&["run", &file, "-b", &log.address, "--until-end", "--http", "off"]);
    let seen: BTreeSet<usize> = values(&log, "out").iter().map(|it| it.parse().unwrap()).collect();
    assert_eq!(seen, (0..sent).collect());
}

const COUNT: &str = "version: 1
name: counts
source: { topic: in }
tasks:
  - { id: seen, type: count, to: counted }
sinks:
  counted: { kafka: { topic: out } }
";

#[test]
fn an_applied_change_keeps_what_tasks_remember_and_where_they_are() {
    let log = Log::start();
    log.ok(&["topic", "create", "in", "out", "copies", "-p", "1"]);
    let _nodes = ["jobmanager", "taskmanager"].map(|role| {
        let mut command = log.program(&[role, "--id", role, "-q", "--http", "off", "--data"]);
        command.arg(log.folder.path().join(role)).stdout(Stdio::null());
        Process(command.spawn().unwrap())
    });
    let count = |upto: u32| -> Vec<String> {
        (1..=upto).map(|count| format!("{{\"count\":{count}}}")).collect()
    };
    log.ok(&["pipeline", "apply", &file(&log, COUNT)]);
    log.feed(&["produce", "in", "-k", "a"], "{}\n{}\n");
    log.ok(&["consume", "out", "-o", "start", "-n", "2"]);
    let copy = "  - { id: copy, type: forward, to: copied }\n";
    let copied = "  copied: { kafka: { topic: copies } }\n";
    let more = COUNT
        .replace("type: count,", "type: count, ttl: 30d,")
        .replace("sinks:\n", &format!("{copy}sinks:\n{copied}"));
    let told = log.ok(&["pipeline", "apply", &file(&log, &more), "--dry-run"]);
    let expected = "\
would: replaces the file of counts
+   copied:
+     kafka: { topic: copies }
+ task seen: ttl: 30d
+ task copy: forward
the state of seen goes on
";
    assert_eq!(told, expected);
    log.ok(&["pipeline", "apply", &file(&log, &more)]);
    log.feed(&["produce", "in", "-k", "a"], "{\"n\":3}\n");
    log.ok(&["consume", "copies", "-o", "start", "-n", "1"]);
    log.ok(&["consume", "out", "-o", "start", "-n", "3"]);
    assert_eq!((values(&log, "out"), values(&log, "copies")), (count(3), vec!["{\"n\":3}".into()]));
    // What would mean something else is refused, and what runs goes on.
    let other = more.replace("type: count, ttl: 30d,", "type: count, key: n,");
    let refused = log.run(&["pipeline", "apply", &file(&log, &other)]);
    assert_eq!(refused.code, Some(1), "{}{}", refused.output, refused.messages);
    assert!(refused.messages.contains("seen"), "{}", refused.messages);
    log.feed(&["produce", "in", "-k", "a"], "{}\n");
    log.ok(&["consume", "out", "-o", "start", "-n", "4"]);
    assert_eq!(values(&log, "out"), count(4));
}
