//! `dlq`: keys that wait behind dead letters, seen and let go by people.

use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use base::rng::{Random as _, SystemRandom};

use crate::program::{Ended, Log, run};

/// Names an Apache Kafka that is already running, as `address:port`.
const KAFKA_VARIABLE: &str = "MILLSTREAM_TEST_KAFKA";

const SUMS: &str = "\
version: 1
name: NAME
source: { topic: NAME.in }
partitions: 1
tasks:
  - { id: plus, type: sum, field: FIELD, on_error: dead_letter, to: sink }
sink: { kafka: { topic: NAME.out } }
";

/// A log with a pipeline file beside it.
struct Scene {
    log: Log,
    file: String,
    data: String,
    /// The pipeline's name, which its topics begin with.
    name: String,
}

impl Scene {
    fn new(text: &str) -> Self {
        Self::on(Log::start(), text)
    }

    fn on(log: Log, text: &str) -> Self {
        let path = |name: &str| log.folder.path().join(name).to_str().unwrap().to_owned();
        let (file, data) = (path("sums.yaml"), path("state"));
        // On a log of others nobody has used the name before.
        let name = format!("sums-{}", SystemRandom.next_u64());
        let scene = Self { log, file, data, name };
        scene.write(text);
        scene
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text.replace("NAME", &self.name)).unwrap();
    }

    fn send(&self, key: &str, values: &str) {
        let sent = self.log.feed(&["produce", &format!("{}.in", self.name), "-k", key], values);
        assert_eq!(sent.code, Some(0), "{}", sent.messages);
    }

    fn run_to_end(&self) {
        self.log.ok(&["run", &self.file, "--until-end", "--data", &self.data]);
    }

    fn dlq(&self, verb: &str, args: &[&str]) -> Ended {
        self.log.run(&[&["dlq", verb, &self.file], args].concat())
    }

    fn parked(&self) -> Vec<serde_json::Value> {
        let listed = self.dlq("list", &["--json"]);
        assert_eq!(listed.code, Some(0), "{}", listed.messages);
        serde_json::from_str(&listed.output).unwrap()
    }

    fn out(&self, key: &str) -> Vec<String> {
        let topic = format!("{}.out", self.name);
        let lines = self.log.ok(&["consume", &topic, "-o", "start", "-e", "-f", "%k %v\\n"]);
        let of_key = lines.lines().filter_map(|line| line.strip_prefix(&format!("{key} ")));
        of_key.map(str::to_owned).collect()
    }
}

#[test]
fn parked_keys_are_listed_shown_released_replayed_and_dropped() {
    let scene = Scene::new(&SUMS.replace("FIELD", "n"));
    let empty = scene.dlq("list", &[]);
    assert_eq!((empty.code, empty.output.as_str()), (Some(0), ""));
    assert!(empty.messages.contains("no key waits"), "{}", empty.messages);
    for key in ["a", "b", "c"] {
        scene.send(key, "{\"n\":1}\n{\"n\":\"x\"}\n{\"n\":3}\n");
    }
    scene.run_to_end();
    assert_eq!(scene.out("a"), ["{\"n\":2}"]);
    let listed = scene.dlq("list", &[]);
    assert!(
        listed.output.starts_with("TASK  KEY  LETTERS  STATE  REASON\nplus  a "),
        "{}",
        listed.output
    );
    let keys = scene.parked();
    assert_eq!((keys.len(), &keys[1]["key"], &keys[1]["letters"]), (3, &"b".into(), &2.into()));
    let shown = scene.dlq("show", &["--key", "b"]);
    assert!(shown.output.contains("plus  b  letter ") && shown.output.contains("value  {\"n\":3}"));
    assert_eq!(shown.output.lines().count(), 6, "{}", shown.output);

    assert_eq!(scene.dlq("release", &["--key", "a"]).code, Some(0));
    assert_eq!(scene.dlq("replay", &["--key", "b"]).code, Some(0));
    let told = scene.dlq("drop", &["--key", "c"]);
    assert!(told.messages.contains("--yes does it"), "{}", told.messages);
    scene.run_to_end();
    assert_eq!(scene.parked().len(), 2, "the value is as bad as it was, and c was only told");
    assert_eq!(scene.dlq("drop", &["--key", "c", "--yes"]).code, Some(0));
    scene.send("a", "{\"m\":5}\n");
    let mended = SUMS.replace("type: sum, field: FIELD", "type: map, unset: [n]");
    scene.write(&mended);
    assert_eq!(scene.dlq("replay", &["--all"]).code, Some(0));
    scene.send("c", "{\"c\":1}\n");
    scene.run_to_end();
    assert_eq!(scene.parked().len(), 0);
    assert_eq!(scene.out("a"), ["{\"n\":2}", "{\"n\":4}", "{\"m\":5}"]);
    assert_eq!(scene.out("b"), ["{\"n\":2}", "{}", "{}"]);
    assert_eq!(scene.out("c"), ["{\"n\":2}", "{\"c\":1}"]);
    let all = scene.dlq("show", &["--history", "--json"]);
    assert_eq!(all.output.lines().count(), 6, "the letters stay in their topic");
}

#[test]
fn what_cannot_be_ordered_is_told() {
    let scene = Scene::new(&SUMS.replace("FIELD", "n"));
    let vague = scene.dlq("release", &[]);
    assert_eq!(vague.code, Some(2));
    assert!(vague.messages.contains("--all"), "{}", vague.messages);
    let unknown = scene.dlq("release", &["--key", "a", "--task", "plus"]);
    assert_eq!(unknown.code, Some(1));
    let told = "error[MS-3017]: key a is not parked at task `plus`";
    assert!(unknown.messages.contains(told), "{}", unknown.messages);
    scene.write(&format!("{}dlq: plain\n", SUMS.replace("FIELD", "n")));
    scene.send("a", "{\"n\":\"x\"}\n{\"n\":3}\n");
    scene.run_to_end();
    assert_eq!(scene.out("a"), ["{\"n\":4}"]);
    let listed = scene.dlq("list", &[]);
    assert!(
        listed.output.starts_with("TASK  LETTERS  LAST-REASON\nplus        1  "),
        "{}",
        listed.output
    );
    let plain = scene.dlq("replay", &["--all"]);
    assert_eq!(plain.code, Some(1));
    assert!(plain.messages.contains("error[MS-3018]"), "{}", plain.messages);
    for code in ["MS-1059", "MS-1060", "MS-3017", "MS-3018"] {
        assert_eq!(run(&["explain", code]).code, Some(0), "{code}");
    }
}

/// A pipeline that runs until it is killed.
struct Running(Child);

impl Running {
    fn start(scene: &Scene) -> Self {
        let mut command = scene.log.program(&["run", &scene.file, "-q", "--data", &scene.data]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Looks until something is so; a minute is the end of it.
fn until(is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("it does not come to be so");
}

#[test]
fn a_release_cut_short_by_kills_lets_each_letter_out_once_and_in_order() {
    release_under_kills(Log::start());
}

#[test]
fn a_release_cut_short_by_kills_is_exactly_once_on_apache_kafka_too() {
    let Ok(address) = std::env::var(KAFKA_VARIABLE) else {
        println!("skipped: {KAFKA_VARIABLE} names no Apache Kafka");
        return;
    };
    release_under_kills(Log::of_others(address));
}

fn release_under_kills(log: Log) {
    let scene = Scene::on(log, &SUMS.replace("FIELD", "n"));
    let records = |numbers: std::ops::Range<u32>| -> String {
        numbers
            .map(|n| if n == 1 { "{\"n\":\"x\"}\n".to_owned() } else { format!("{{\"n\":{n}}}\n") })
            .collect()
    };
    let sums = |numbers: std::ops::Range<u32>| -> Vec<String> {
        numbers.filter(|n| *n != 1).map(|n| format!("{{\"n\":{}}}", n + 1)).collect()
    };
    scene.send("a", &records(0..20_000));
    scene.send("b", &records(2..500));
    let running = Running::start(&scene);
    let waiting = || scene.parked().first().map(|key| key["letters"].as_u64().unwrap());
    until(|| waiting() == Some(19_999) && scene.out("b").len() >= sums(2..500).len());
    running.kill();
    assert_eq!(scene.out("b"), sums(2..500), "other keys have gone on");
    assert_eq!(scene.dlq("release", &["--key", "a"]).code, Some(0));
    // Each start lets more of them out, and is killed as soon as some are seen.
    let (mut sent, mut kills) = (20_000, 0);
    while waiting().is_some() {
        let before = scene.out("a").len();
        let running = Running::start(&scene);
        // Every other one is killed before it can have done anything that is seen.
        if kills % 2 == 0 {
            thread::sleep(Duration::from_millis(100 + 20 * kills));
        } else {
            until(|| scene.out("a").len() > before || waiting().is_none());
        }
        running.kill();
        kills += 1;
        scene.send("a", &records(sent..sent + 50));
        sent += 50;
    }
    println!("{kills} kills");
    let running = Running::start(&scene);
    until(|| scene.out("a").len() >= sums(0..sent).len());
    running.kill();
    assert_eq!(scene.out("a"), sums(0..sent));
    assert_eq!(scene.out("b"), sums(2..500));
}
