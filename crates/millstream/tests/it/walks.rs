//! The walks of the documents, typed as they stand there, and what has come of them.
//!
//! The `sh` blocks of a page are one script. Where it starts a log, a log runs already, on an
//! address that the system picked; everything else is as a reader types it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use base::rng::{Random as _, SystemRandom};

use crate::paper::{blocks, repository};
use crate::program::{Log, program, run};

/// Names an Apache Kafka that is already running, as `address:port`.
const KAFKA_VARIABLE: &str = "MILLSTREAM_TEST_KAFKA";

/// The address that the pages speak of.
const ADDRESS: &str = "127.0.0.1:9092";

const PATIENCE_MS: u64 = 240_000;

/// A walk through a page.
struct Walk {
    log: Log,
    /// Added to every name that the page makes up: on a log of others nobody has used it before.
    mark: String,
    /// The names that the page makes up.
    names: &'static [&'static str],
}

impl Walk {
    fn folder(&self) -> &Path {
        self.log.folder.path()
    }

    /// The name as it is in this walk.
    fn name(&self, name: &str) -> String {
        format!("{name}{}", self.mark)
    }

    fn marked(&self, text: &str) -> String {
        let text = text.replace(ADDRESS, &self.log.address);
        // The pipeline is called as its file is, which is a word of other meanings too.
        let text = text.replace("stop pipeline ", &format!("stop {} ", self.name("pipeline")));
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        let mut marked = String::new();
        for part in text.split_inclusive(|letter| !is_word(letter)) {
            let word = part.trim_end_matches(|letter| !is_word(letter));
            marked.push_str(word);
            if self.names.contains(&word) {
                marked.push_str(&self.mark);
            }
            marked.push_str(&part[word.len()..]);
        }
        marked
    }

    /// Puts a file of the repository where the reader has it.
    fn put(&self, file: &str) {
        let text = std::fs::read_to_string(repository().join(file)).unwrap();
        let name = Path::new(file).file_name().unwrap();
        std::fs::write(self.folder().join(name), self.marked(&text)).unwrap();
    }

    /// Types all lines of a page.
    fn go(&self, page: &str) {
        let typed = blocks(page).into_iter().filter(|block| block.language == "sh");
        let text: String = typed.map(|block| block.text).collect();
        let mut script = String::new();
        for line in text.lines().filter(|line| !is_left_out(line)) {
            writeln!(script, "{}", self.marked(line)).unwrap();
        }
        assert!(script.contains("kill -9 "), "{page} has lost its walk");
        let mut shell = self.shell(&script);
        let clock = SystemClock::new();
        let code = loop {
            if let Some(status) = shell.0.try_wait().unwrap() {
                break status.code();
            }
            assert!(clock.steady_ms() < PATIENCE_MS, "{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        };
        assert_eq!(code, Some(0), "{}", self.said());
    }

    fn shell(&self, script: &str) -> Shell {
        let path = self.folder().join("walk.sh");
        std::fs::write(&path, script).unwrap();
        let said = std::fs::File::create(self.folder().join("said.txt")).unwrap();
        let place = Path::new(env!("CARGO_BIN_EXE_millstream")).parent().unwrap();
        let places = std::env::var("PATH").unwrap_or_default();
        // The environment of the program's own tests, without what it says about millstream.
        let mut shell = Command::new("sh");
        for (name, value) in program(&[]).get_envs() {
            assert!(value.is_none());
            shell.env_remove(name);
        }
        let shell = shell.args(["-e", "-x", "walk.sh"]).current_dir(self.folder());
        let shell = shell.env("PATH", format!("{}:{places}", place.display()));
        let errors = said.try_clone().unwrap();
        let shell = shell.stdin(Stdio::null()).stdout(said).stderr(errors).process_group(0);
        Shell(shell.spawn().unwrap())
    }

    fn said(&self) -> String {
        let names = ["said.txt", "jobmanager.txt", "tm-1.txt", "tm-2.txt"];
        let read = |name: &&str| std::fs::read_to_string(self.folder().join(name)).ok();
        names.iter().filter_map(read).collect::<Vec<_>>().join("\n--\n")
    }

    fn read(&self, topic: &str, format: &str) -> Vec<String> {
        let args = ["consume", topic, "-o", "start", "-e", "-f", format, "-b", &self.log.address];
        let ended = run(&args);
        assert_eq!(ended.code, Some(0), "{topic}: {}", ended.messages);
        ended.output.lines().map(str::to_owned).collect()
    }

    /// The records of a topic, in the order of each key.
    fn by_key(&self, topic: &str) -> BTreeMap<String, Vec<String>> {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in self.read(&self.name(topic), "%k %v\\n") {
            let (key, value) = line.split_once(' ').unwrap();
            all.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        all
    }

    /// What a task manager was handed, in its order, as `processor.instance@thread`.
    fn handed(&self, worker: &str) -> Vec<BTreeSet<String>> {
        let topic = format!("__ms.taskmanager.{}", self.name(worker));
        let of = |line: &String| -> BTreeSet<String> {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["task_manager"], self.name(worker), "{record}");
            let each = record["processors"].as_array().unwrap().iter();
            each.map(|it| format!("{}.{}@{}", it["id"], it["instance"], it["thread"])).collect()
        };
        self.read(&topic, "%v\\n").iter().map(of).collect()
    }
}

/// A shell with all that it starts; they end with it.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let there = Command::new("kill").args(["-0", "--", &group]).stderr(Stdio::null()).status();
        if there.unwrap().success() {
            drop(Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status());
        }
        drop(self.0.wait());
    }
}

/// The log runs already, and the program is found.
fn is_left_out(line: &str) -> bool {
    line.starts_with("millstream up ") || line.starts_with("PATH=")
}

const LIST_NAMES: &[&str] =
    &["numbers", "results", "source_id", "node_1", "node_2", "sink_id", "jm", "tm-1", "tm-2"];

#[test]
fn the_walk_of_the_list_of_processors_gives_every_result_once_and_in_order() {
    list_of_processors(Log::start(), String::new());
}

fn list_of_processors(log: Log, mark: String) {
    let walk = Walk { log, mark, names: LIST_NAMES };
    walk.put("examples/legacy/pipeline.yaml");
    walk.put("examples/legacy/config.yaml");
    if !walk.mark.is_empty() {
        let path = walk.folder().join("config.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}name: {}\n", walk.name("pipeline"))).unwrap();
    }
    walk.go("examples/legacy/README.md");
    check_sums_and_counts(&walk);
    check_old_words(&walk);
    check_arcs(&walk);
}

/// Each number gives a sum and a count; both are there once, in the order of the key.
fn check_sums_and_counts(walk: &Walk) {
    let results = walk.by_key("results");
    assert_eq!(results.len(), 5, "{}", walk.said());
    for key in 0..5 {
        let numbers = (1..=10_000).filter(|number| number % 5 == key);
        let sums: Vec<String> = numbers.map(|it| (1_000_001 + it).to_string()).collect();
        let counts: Vec<String> = (1..=sums.len()).map(|it| it.to_string()).collect();
        let of_key = &results[&format!("k{key}")];
        let (found_sums, found_counts): (Vec<_>, Vec<_>) =
            of_key.iter().cloned().partition(|value| value.len() == 7);
        assert_eq!(found_sums, sums, "the sums of k{key}");
        assert_eq!(found_counts, counts, "the counts of k{key}");
    }
}

/// What a console consumer sees of the old words is what has happened.
fn check_old_words(walk: &Walk) {
    let (manager, workers) = (walk.name("jm"), ["tm-1", "tm-2"].map(|it| walk.name(it)));
    let calls = walk.read("__ms.sos", "%k says %v\\n");
    assert!(calls.contains(&format!("{manager} says sos")), "{calls:?}");
    let answers = walk.read("__ms.sos-answers", "%v\\n");
    for worker in &workers {
        let answer = format!("{{\"format\":1,\"id\":\"{worker}\",\"free_threads\":4}}");
        assert!(answers.contains(&answer), "{answers:?}");
    }
    let told = std::fs::read_to_string(walk.folder().join("jobmanager.txt")).unwrap();
    assert!(told.contains("waits for 2 task managers"), "{told}");
    assert!(told.contains(&format!("{} answers: 4 free threads", workers[1])), "{told}");
    let all: BTreeSet<String> = ["source_id", "node_1", "node_2", "sink_id"]
        .iter()
        .flat_map(|id| (0..2).map(|instance| format!("\"{}\".{instance}", walk.name(id))))
        .collect();
    let ids = |handed: &BTreeSet<String>| -> BTreeSet<String> {
        handed.iter().map(|it| it.split('@').next().unwrap().to_owned()).collect()
    };
    let threads = |handed: &BTreeSet<String>| -> BTreeSet<String> {
        handed.iter().map(|it| it.split('@').nth(1).unwrap().to_owned()).collect()
    };
    let (first, second) = (walk.handed("tm-1"), walk.handed("tm-2"));
    // Eight instances on eight threads, four with each.
    assert_eq!((threads(&first[0]).len(), threads(&second[0]).len()), (4, 4));
    assert_eq!((first[0].len(), second[0].len()), (4, 4), "{first:?} {second:?}");
    let both: BTreeSet<String> = ids(&first[0]).union(&ids(&second[0])).cloned().collect();
    assert_eq!(both, all);
    // The one that is left takes turns with all of them, and has none after the end.
    let after = first.iter().rev().nth(1).unwrap();
    assert_eq!((ids(after), threads(after).len()), (all, 4), "{first:?}");
    assert!(first.last().unwrap().is_empty() && second.last().unwrap().is_empty());
}

/// Arcs between processes are topics named by their ends, with a partition for each instance.
fn check_arcs(walk: &Walk) {
    for (from, to) in [
        ("source_id", "node_1"),
        ("source_id", "node_2"),
        ("node_1", "sink_id"),
        ("node_2", "sink_id"),
    ] {
        let topic = format!("{}_{}", walk.name(from), walk.name(to));
        let args = ["topic", "describe", &topic, "--json", "-b", &walk.log.address];
        let ended = run(&args);
        assert_eq!(ended.code, Some(0), "{topic}: {}", ended.messages);
        let described: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
        let partitions = described[0]["partitions"].as_array().map(Vec::len);
        assert_eq!(partitions, Some(2), "{described}");
    }
}

const CLUSTER_NAMES: &[&str] = &["visits", "doors", "jm-1", "tm-1", "tm-2"];

#[test]
fn the_walk_of_three_processes_counts_each_record_once_and_in_order() {
    three_processes(Log::start(), String::new());
}

/// One after the other: whoever runs on one log is one cluster.
#[test]
fn the_walks_hold_on_apache_kafka_too() {
    let Ok(address) = std::env::var(KAFKA_VARIABLE) else {
        println!("skipped: {KAFKA_VARIABLE} names no Apache Kafka");
        return;
    };
    let mark = || format!("-{:08x}", SystemRandom.next_u64() >> 32);
    list_of_processors(Log::of_others(address.clone()), mark());
    three_processes(Log::of_others(address), mark());
}

fn three_processes(log: Log, mark: String) {
    let walk = Walk { log, mark, names: CLUSTER_NAMES };
    walk.go("docs/cluster.md");
    let topic = format!("{}.by-room", walk.name("visits"));
    let lines = walk.read(&topic, "%k %v\\n");
    for room in 0..7 {
        let key = format!("r{room} ");
        let found: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(&key)).collect();
        let count = (1..=10_000).filter(|number| number % 7 == room).count();
        let expected: Vec<String> = (1..=count).map(|it| format!("{{\"count\":{it}}}")).collect();
        assert_eq!(found, expected, "{key}");
    }
    assert_eq!(lines.len(), 10_000);
}
