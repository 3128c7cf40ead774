//! Lists of processors with their configuration: what their job and task managers say and wait for.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};

use crate::program::{Ended, Log, program, run, send_signal};

const PATIENCE_MS: u64 = 60_000;

const LIST: &str = "\
- { id: a, type: forward, to: [b] }
- { id: b, type: count, to: [sink] }
";

/// A log with a list and its configuration beside it.
struct Scene {
    log: Log,
}

impl Scene {
    fn new(task_managers: u32) -> Self {
        let scene = Self { log: Log::start() };
        let (host, port) = scene.log.address.split_once(':').unwrap();
        scene.write("list.yaml", LIST);
        let config = format!(
            "broker_address: {host}\nbroker_port: {port}\nsource_topic: in\nsink_topic: out\n\
             task_managers_number: {task_managers}\n"
        );
        scene.write("config.yaml", &config);
        scene
    }

    fn path(&self, name: &str) -> String {
        self.log.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Arguments of a command that is told of the log by the configuration alone.
    fn args(&self, words: &[&str]) -> Vec<String> {
        let words = words
            .iter()
            .map(|word| if word.ends_with(".yaml") { self.path(word) } else { (*word).to_owned() });
        words.chain(["--config".to_owned(), self.path("config.yaml")]).collect()
    }

    fn run(&self, words: &[&str]) -> Ended {
        let args = self.args(words);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn start(&self, words: &[&str]) -> Node {
        let args = self.args(words);
        let mut command = program(&args.iter().map(String::as_str).collect::<Vec<_>>());
        command.args(["-q", "--data", &self.path("data")]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Node { child, output }
    }

    /// The slots of the only pipeline.
    fn slots(&self) -> serde_json::Value {
        let ended = self.run(&["pipeline", "status", "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.messages);
        let status: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
        status[0]["slots"].clone()
    }

    fn wait_for_slots(&self, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let clock = SystemClock::new();
        loop {
            let slots = self.slots();
            if is_so(&slots) {
                return slots;
            }
            assert!(clock.steady_ms() < PATIENCE_MS, "{slots}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A node, killed when it is dropped.
struct Node {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Node {
    /// The next line that it says.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn is_running(slots: &serde_json::Value) -> bool {
    let slots = slots.as_array().unwrap();
    !slots.is_empty() && slots.iter().all(|slot| slot["state"] == "running")
}

#[test]
fn a_job_manager_says_how_many_task_managers_are_missing_and_hands_nothing_out() {
    let scene = Scene::new(3);
    let mut first = scene.start(&["taskmanager", "--id", "tm-1"]);
    assert!(first.line().contains("task manager `tm-1` is ready"));
    let ended = scene.run(&["jobmanager", "list.yaml", "--wait", "3s", "--id", "jm", "-q"]);
    assert_eq!(ended.code, Some(124), "{}", ended.messages);
    let told =
        "error[MS-3040]: 1 of 3 task managers have answered, 2 are missing\n  there are: tm-1";
    assert!(ended.messages.contains(told), "{}", ended.messages);
    assert_eq!(scene.slots(), serde_json::Value::Null);
    let calls = scene.run(&["consume", "__ms.sos", "-o", "start", "-e", "-f", "%k %v\\n"]);
    assert!(calls.output.lines().count() > 1, "it calls again: {}", calls.output);
    assert!(calls.output.lines().all(|line| line == "jm sos"), "{}", calls.output);
    let bad = scene.run(&["jobmanager", "list.yaml", "--wait", "soon"]);
    assert_eq!(bad.code, Some(2), "{}", bad.messages);
}

#[test]
fn what_runs_goes_on_when_its_job_manager_is_started_again() {
    let scene = Scene::new(2);
    // Started in one folder, each finds a place and a name of its own.
    let nodes = ["taskmanager", "taskmanager"].map(|role| {
        let mut node = scene.start(&[role, "--threads", "1"]);
        let line = node.line();
        assert!(line.contains("task manager `n-") && line.contains("1 slots"), "{line}");
        (node, line)
    });
    assert_ne!(nodes[0].1, nodes[1].1);
    let mut manager = scene.start(&["jobmanager", "list.yaml"]);
    let said: Vec<String> = (0..5).map(|_| manager.line()).collect();
    assert!(said[0].contains("job manager `n-"), "{said:?}");
    assert_eq!(said[1], "sos: list waits for 2 task managers");
    assert!(said[2].ends_with(" answers: 1 free threads"), "{said:?}");
    assert_eq!(said[4], "applied: is a new pipeline: list");
    let before = scene.wait_for_slots(is_running);
    assert_eq!(before.as_array().unwrap().len(), 2, "a thread for each processor");
    drop(manager);
    let mut manager = scene.start(&["jobmanager", "list.yaml"]);
    manager.line();
    assert_eq!(manager.line(), "list runs already, and goes on");
    scene.log.feed(&["produce", "in", "-f", "%k %v\n"], "x 7\nx 7\n");
    let seen = scene.run(&["consume", "out", "-o", "start", "-n", "2", "-f", "%k %v\\n"]);
    assert_eq!(seen.output, "x 1\nx 2\n", "{}", seen.messages);
    let since = |slots: &serde_json::Value| slots[0]["since"].clone();
    assert_eq!(since(&scene.slots()), since(&before), "its slots were left alone");

    // A second pipeline with an arc of the same name would read what the first one writes.
    scene.write("other.yaml", LIST);
    let other = scene.run(&["pipeline", "apply", "other.yaml"]);
    let told = "error[MS-3041]: the topic `a_b` is an arc of the pipeline `list`";
    assert!(other.messages.contains(told), "{}", other.messages);
    scene.write("other.yaml", &LIST.replace("id: a", "id: c"));
    let other = scene.run(&["pipeline", "apply", "other.yaml"]);
    assert_eq!(other.output, "applied: is a new pipeline: other\n", "{}", other.messages);
    send_signal(manager.child.id(), "-TERM");
    assert_eq!(manager.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_configuration_tells_every_command_where_the_log_is_and_is_told_when_it_is_wrong() {
    let scene = Scene::new(1);
    assert_eq!(scene.run(&["topic", "create", "in"]).code, Some(0));
    let echoed = scene.run(&["pipeline", "echo", "list.yaml"]);
    assert!(echoed.output.starts_with("name: list\nbroker: \"127.0.0.1:"), "{}", echoed.messages);
    assert!(echoed.output.contains("source_topic: in\nsink_topic: out\n"), "{}", echoed.output);
    let shown = scene.run(&["pipeline", "echo", "list.yaml", "--upgrade"]);
    let upgraded = scene.run(&["pipeline", "upgrade", "list.yaml"]);
    assert_eq!((shown.code, &shown.output), (Some(0), &upgraded.output));
    scene.write("new.yaml", &upgraded.output);
    let new = run(&["pipeline", "echo", &scene.path("new.yaml")]);
    assert!(new.output.starts_with("version: 1\nname: list\n"), "{}", new.messages);
    scene.write("config.yaml", "brokr: 127.0.0.1\n");
    let wrong = scene.run(&["topic", "list"]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.messages.contains("config.yaml:1:1: error[MS-1002]"), "{}", wrong.messages);
}
