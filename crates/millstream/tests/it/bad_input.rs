//! What bad input gets when pipelines run: the message with its code, and what survives.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};
use coordination::beat::PROTOCOL;
use protocol::api::ApiKey;
use protocol::messages::api_versions::ApiVersionsResponse;
use protocol::wire::{Message as _, Reader, Writer};
use runtime::boot::Executor;
use testkit::broker::TestBroker;

use crate::program::{Ended, Log, program, run, send_signal};

const COUNTS: &str = "version: 1
name: counts
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

/// A log with a folder for a pipeline's file and state.
struct Mill {
    log: Log,
}

impl Mill {
    fn start() -> Self {
        Self { log: Log::start() }
    }

    fn path(&self, name: &str) -> String {
        self.log.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs this file to the ends of its sources.
    fn run(&self, text: &str) -> Ended {
        let file = self.file("pipeline.yaml", text);
        self.log.run(&["run", &file, "--until-end", "--data", &self.path("state")])
    }

    fn ok(&self, text: &str) {
        let ended = self.run(text);
        assert_eq!(ended.code, Some(0), "{}", ended.messages);
    }

    /// Starts this file and leaves it running.
    fn start_run(&self, name: &str, text: &str) -> Child {
        let file = self.file(name, text);
        let mut command = self.log.program(&["run", &file, "--plain", "--data"]);
        command.arg(self.path("state")).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn send(&self, topic: &str) {
        let ended = self.log.feed(&["produce", topic, "-k", "a"], "{}\n");
        assert_eq!(ended.code, Some(0), "{}", ended.messages);
    }

    fn out(&self) -> String {
        self.log.ok(&["consume", "out", "-o", "start", "-e"])
    }
}

fn counts(upto: u32) -> String {
    (1..=upto).map(|count| format!("{{\"count\":{count}}}\n")).collect()
}

/// The message has its code, an action and these words, and `explain` knows the code.
fn check(ended: &Ended, code: &str, words: &[&str]) {
    let begin = format!("error[{code}]: ");
    assert!(ended.messages.contains(&begin), "{}", ended.messages);
    assert!(ended.messages.contains("\n  help: "), "{}", ended.messages);
    for word in words {
        assert!(ended.messages.contains(word), "{word}: {}", ended.messages);
    }
    let told = run(&["explain", code]);
    assert!(told.output.starts_with(code) && told.output.len() > 100, "{}", told.output);
}

#[test]
fn two_pipelines_with_one_name_are_one_and_the_later_start_goes_on() {
    let mill = Mill::start();
    mill.log.ok(&["topic", "create", "in", "out", "-p", "2"]);
    let mut older = mill.start_run("older.yaml", COUNTS);
    mill.send("in");
    mill.log.ok(&["consume", "out", "-o", "start", "-n", "1"]);
    let newer = mill.start_run("newer.yaml", &COUNTS.replace("type: count", "type: count "));
    // Whoever was overtaken notices when he wants to commit.
    let mut sent = 1;
    while older.try_wait().unwrap().is_none() {
        assert!(sent < 600, "two processes run one pipeline");
        mill.send("in");
        sent += 1;
        thread::sleep(Duration::from_millis(50));
    }
    let ended: Ended = older.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(75), "{}", ended.messages);
    let by = format!("taken over by pid {} on ", newer.id());
    check(&ended, "MS-3001", &[&by, "only one process runs a pipeline"]);
    mill.log.ok(&["consume", "out", "-o", "start", "-n", &sent.to_string()]);
    send_signal(newer.id(), "-TERM");
    assert_eq!(newer.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(mill.out(), counts(sent));
}

#[test]
fn two_pipelines_with_one_group_are_refused() {
    let mill = Mill::start();
    let text = COUNTS.replace("topic: in", "topic: in, group: shared");
    mill.log.ok(&["topic", "create", "in", "-p", "2"]);
    mill.send("in");
    mill.ok(&text);
    let other = text.replace("name: counts", "name: other").replace("topic: out", "topic: else");
    let ended = mill.run(&other);
    assert_eq!(ended.code, Some(1), "{}", ended.messages);
    let what = "two pipelines use group `shared`, and its positions are those of `counts`";
    check(&ended, "MS-3007", &[what, "why: ", "nothing was read or written", "`group:`"]);
    mill.send("in");
    mill.ok(&text);
    assert_eq!(mill.out(), counts(2));
}

#[test]
fn a_changed_key_of_a_task_with_state_is_refused() {
    let mill = Mill::start();
    mill.send_to_new("in");
    mill.ok(COUNTS);
    let ended = mill.run(&COUNTS.replace("type: count", "type: count, key: room"));
    assert_eq!(ended.code, Some(1), "{}", ended.messages);
    check(&ended, "MS-3003", &["task `seen`", "pipeline reset FILE --task"]);
    mill.send("in");
    mill.ok(COUNTS);
    assert_eq!(mill.out(), counts(2));
}

#[test]
fn fewer_partitions_than_state_knows_are_refused() {
    let mill = Mill::start();
    mill.send_to_new("in");
    mill.ok(COUNTS);
    mill.log.ok(&["topic", "delete", "in", "-y"]);
    mill.log.ok(&["topic", "create", "in", "-p", "1"]);
    let ended = mill.run(COUNTS);
    assert_eq!(ended.code, Some(1), "{}", ended.messages);
    let what = "topic in has 1 partitions where 2 are needed";
    check(&ended, "MS-3008", &[what, "why: ", "help: make in with 2 partitions"]);
    mill.log.ok(&["topic", "delete", "in", "-y"]);
    mill.ok(COUNTS);
    mill.send("in");
    mill.ok(COUNTS);
    assert_eq!(mill.out(), counts(2), "the state is as it was");
}

#[test]
fn a_topic_that_is_deleted_under_a_running_pipeline_ends_it_with_its_state_kept() {
    let mill = Mill::start();
    mill.log.ok(&["topic", "create", "in", "out", "-p", "2"]);
    let running = mill.start_run("pipeline.yaml", COUNTS);
    mill.send("in");
    mill.log.ok(&["consume", "out", "-o", "start", "-n", "1"]);
    mill.log.ok(&["topic", "delete", "in", "-y"]);
    let ended: Ended = running.wait_with_output().unwrap().into();
    assert_eq!(ended.code, Some(1), "{}", ended.messages);
    let what = "topic in was deleted while the pipeline ran";
    check(&ended, "MS-3050", &[what, "as of the last commit"]);
    mill.ok(COUNTS);
    mill.send("in");
    mill.ok(COUNTS);
    assert_eq!(mill.out(), counts(2));
}

#[test]
fn state_whose_topic_was_deleted_is_not_begun_anew_without_a_word() {
    let mill = Mill::start();
    mill.send_to_new("in");
    mill.ok(COUNTS);
    mill.log.ok(&["topic", "delete", "__ms.counts.seen.seen-changelog", "-y"]);
    mill.send("in");
    let ended = mill.run(COUNTS);
    assert_eq!(ended.code, Some(1), "{}", ended.messages);
    let what = "topic __ms.counts.seen.seen-changelog is gone, and with it the state of task";
    check(&ended, "MS-3051", &[what, "group ms.counts.seen", "pipeline reset FILE"]);
    let file = mill.path("pipeline.yaml");
    mill.log.ok(&["pipeline", "reset", &file, "--task", "seen", "--yes"]);
    mill.ok(COUNTS);
    assert_eq!(mill.out(), [counts(1), counts(1)].concat());
}

impl Mill {
    /// Makes a topic of two partitions with a record in it.
    fn send_to_new(&self, topic: &str) {
        self.log.ok(&["topic", "create", topic, "-p", "2"]);
        self.send(topic);
    }
}

/// A way to a broker that hides an API: the broker behind it seems to know nothing of it.
struct Hiding {
    address: String,
    far: Arc<Mutex<String>>,
}

impl Hiding {
    fn start(hidden: ApiKey) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let far = Arc::new(Mutex::new(String::new()));
        let towards = Arc::clone(&far);
        // It ends with the test's process.
        thread::spawn(move || {
            for near in listener.incoming() {
                let far = TcpStream::connect(towards.lock().unwrap().as_str()).unwrap();
                Self::carry(near.unwrap(), far, hidden);
            }
        });
        Self { address, far }
    }

    fn carry(near: TcpStream, far: TcpStream, hidden: ApiKey) {
        let asked: Arc<Mutex<BTreeMap<[u8; 4], i16>>> = Arc::default();
        let (mut from_near, mut to_far) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            while let Some(request) = read_frame(&mut from_near) {
                let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
                if number(0) == ApiKey::ApiVersions.code() {
                    let correlation = request[4..8].try_into().unwrap();
                    noted.lock().unwrap().insert(correlation, number(2));
                }
                assert_ne!(number(0), hidden.code(), "nobody asks for what is not there");
                write_frame(&mut to_far, &request);
            }
            drop(to_far.shutdown(std::net::Shutdown::Both));
        });
        let (mut from_far, mut to_near) = (far, near);
        thread::spawn(move || {
            while let Some(mut answer) = read_frame(&mut from_far) {
                let correlation: [u8; 4] = answer[..4].try_into().unwrap();
                if let Some(version) = asked.lock().unwrap().remove(&correlation) {
                    answer = without(&answer, version, hidden);
                }
                write_frame(&mut to_near, &answer);
            }
            drop(to_near.shutdown(std::net::Shutdown::Both));
        });
    }
}

/// The answer to `ApiVersions` without an API.
fn without(answer: &[u8], version: i16, hidden: ApiKey) -> Vec<u8> {
    let body = bytes::Bytes::copy_from_slice(&answer[4..]);
    let mut reader = Reader::new(&body);
    let mut response = ApiVersionsResponse::decode(&mut reader, version).unwrap();
    response.api_keys.retain(|it| it.api_key != hidden.code());
    let mut writer = Writer::new();
    response.encode(&mut writer, version).unwrap();
    let mut changed = answer[..4].to_vec();
    for chunk in writer.finish() {
        let base::chunk::Chunk::Bytes(bytes) = chunk else { panic!("it holds no file") };
        changed.extend_from_slice(&bytes);
    }
    changed
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut frame).ok()?;
    Some(frame)
}

fn write_frame(stream: &mut TcpStream, frame: &[u8]) {
    let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
    // Whoever has hung up reads nothing any more.
    drop(stream.write_all(&[&length[..], frame].concat()));
}

#[test]
fn a_broker_without_transactions_is_refused_at_once() {
    let hiding = Hiding::start(ApiKey::InitProducerId);
    let log = Log::start_with(&["--advertise", &hiding.address]);
    hiding.far.lock().unwrap().clone_from(&log.address);
    let mill = Mill { log };
    let file = mill.file("pipeline.yaml", COUNTS);
    let data = mill.path("state");
    for words in [
        &["run", &file, "--until-end", "-b", &hiding.address, "--data", &data][..],
        &["jobmanager", "-b", &hiding.address, "--data", &data],
        &["taskmanager", "-b", &hiding.address, "--data", &data],
    ] {
        let ended = run(words);
        assert_eq!(ended.code, Some(1), "{words:?}: {}", ended.messages);
        let facts = ["the broker has no transactions", "InitProducerId", "value came from: flag"];
        check(&ended, "MS-3052", &facts);
        assert!(ended.messages.contains("nothing was read or written"), "{}", ended.messages);
    }
}

#[test]
fn a_broker_that_allows_only_shorter_transactions_is_refused() {
    let executor = Executor::new(2).unwrap();
    let change = |options: &mut broker::BrokerOptions| options.transaction_timeout_ms_max = 5_000;
    let mut far = executor.block_on(TestBroker::start_with(change));
    let mill = Mill { log: Log::of_others(far.address().to_string()) };
    mill.log.ok(&["topic", "create", "in", "-p", "2"]);
    let ended = mill.run(COUNTS);
    assert_eq!(ended.code, Some(1), "{}", ended.messages);
    let facts = ["INVALID_TRANSACTION_TIMEOUT", "nothing was read or written"];
    check(&ended, "MS-3053", &facts);
    assert!(ended.messages.contains("transaction.max.timeout.ms"), "{}", ended.messages);
    let data = mill.path("node");
    let ended = mill.log.run(&["jobmanager", "--data", &data]);
    assert_eq!(ended.code, Some(1), "{}", ended.messages);
    check(&ended, "MS-3053", &facts);
    executor.block_on(far.halt());
    std::fs::remove_dir_all(far.dir()).unwrap();
}

#[test]
fn clocks_that_are_minutes_apart_are_told_and_nothing_stops() {
    let mill = Mill::start();
    let list = || mill.log.run(&["pipeline", "list"]);
    assert!(!list().messages.contains("MS-3054"));
    let now_ms = SystemClock::new().unix_ms();
    let beat = |node: &str, sent_ms: i64| {
        format!(
            "{{\"format\":1,\"protocol\":{PROTOCOL},\"version\":\"0\",\
             \"node\":\"{node}\",\"nonce\":1,\
             \"started_ms\":1,\"host\":\"far\",\"pid\":1,\"is_candidate\":false,\"leads\":null,\
             \"slots\":0,\"runs\":[],\"sent_ms\":{sent_ms}}}\n"
        )
    };
    let ahead = beat("tm-1", now_ms + 300_000);
    let behind = beat("tm-2", now_ms - 300_000);
    let beats = [ahead, behind, beat("tm-3", now_ms)].concat();
    assert_eq!(mill.log.feed(&["produce", "__ms.beats"], &beats).code, Some(0));
    let ended = list();
    assert_eq!(ended.code, Some(0), "{}", ended.messages);
    for (node, word) in [("tm-1", "ahead of"), ("tm-2", "behind")] {
        let begin = format!("warning[MS-3054]: the clock of {node} on far is ");
        let line = ended.messages.lines().find(|line| line.starts_with(&begin));
        let line = line.unwrap_or_else(|| panic!("{node}: {}", ended.messages));
        assert!(line.contains(&format!(" s {word} the log's; set it")), "{line}");
    }
    assert!(!ended.messages.contains("tm-3"), "{}", ended.messages);
    assert!(run(&["explain", "MS-3054"]).output.contains("NTP"));
}

#[test]
fn a_task_manager_of_another_cluster_is_refused() {
    let (ours, theirs) = (Log::start(), Log::start());
    let data = ours.folder.path().join("node");
    let node = |log: &Log| {
        let mut command = program(&["taskmanager", "-b", &log.address, "-q", "--data"]);
        command.arg(&data).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    for _ in 0..2 {
        let mut joined = node(&ours).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(joined.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("is ready"), "{line}");
        send_signal(joined.id(), "-TERM");
        assert_eq!(joined.wait().unwrap().code(), Some(0));
        // The other cluster is told apart, and its topics are not made.
        let ended: Ended = node(&theirs).output().unwrap().into();
        assert_eq!(ended.code, Some(78), "{}", ended.messages);
        check(&ended, "MS-3055", &["belongs to the cluster", "cluster.id", "--data DIR"]);
        assert_eq!(theirs.ok(&["topic", "list"]).lines().count(), 0);
    }
}
