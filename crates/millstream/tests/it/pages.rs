//! Metrics and health of the processes that serve.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use base::clock::{Clock as _, SystemClock};

use crate::program::{Folder, Log, Process, program, run, send_signal};

const PATIENCE_MS: u64 = 60_000;

const FILE: &str = "version: 1
name: orders
source: { topic: in }
tasks:
  - { id: seen, type: count, on_error: skip, to: sink }
sink: { kafka: { topic: out } }
";

/// Starts a node; its first line names its pages.
fn node(mut command: Command) -> (Process, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("metrics at http://").nth(1).unwrap_or_else(|| panic!("{line}"));
    let address = address.trim().strip_suffix("/metrics").unwrap().to_owned();
    (Process(child), address)
}

/// Status and body of a page.
pub(crate) fn page(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Waits until a page has what is wanted; gives it.
fn wait_for(address: &str, path: &str, is_so: impl Fn(u16, &str) -> bool) -> String {
    let clock = SystemClock::new();
    loop {
        let (status, text) = page(address, path);
        if is_so(status, &text) {
            return text;
        }
        assert!(clock.steady_ms() < PATIENCE_MS, "{status} {text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|it| it == line)
}

fn file(folder: &Folder) -> String {
    let path = folder.path().join("orders.yaml");
    std::fs::write(&path, FILE).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_log_shows_its_topics_and_the_lag_of_its_groups() {
    let folder = Folder::new();
    let mut command =
        program(&["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--json", "--data"]);
    command.arg(folder.path().join("data")).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let _log = Process(child);
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let http = ready["http"].as_str().unwrap();
    let log = Log::of_others(ready["listening"].as_str().unwrap().to_owned());
    assert_eq!(page(http, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(page(http, "/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(page(http, "/other").0, 404);
    log.feed(&["produce", "t"], "one\ntwo\nthree\n");
    log.ok(&["consume", "t", "-g", "readers", "-o", "start", "-n", "1"]);
    let lag = "kafka_consumergroup_lag{consumergroup=\"readers\",topic=\"t\",partition=\"0\"} 2.0";
    let text = wait_for(http, "/metrics", |_, text| has(text, lag));
    let end = "kafka_topic_partition_current_offset{topic=\"t\",partition=\"0\"} 3.0";
    assert!(has(&text, end) && has(&text, "kafka_brokers 1.0"), "{text}");
}

#[test]
fn an_address_that_was_asked_for_is_had_or_told_and_off_serves_nothing() {
    let folder = Folder::new();
    let file = file(&folder);
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let ended = run(&["run", &file, "--http", &taken]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-5001]"), "{}", ended.messages);
    assert!(ended.messages.contains("--http off"), "{}", ended.messages);
    let ended = run(&["run", &file, "--http", "nowhere"]);
    assert_eq!(ended.code, Some(78), "{}", ended.messages);
    let mut command = program(&["up", "--listen", "127.0.0.1:0", "--http", "off", "--json"]);
    command.args(["--ephemeral"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(ready["http"].is_null(), "{line}");
    send_signal(child.id(), "-TERM");
    child.wait().unwrap();
}

#[test]
fn nodes_are_ready_when_somebody_leads_and_count_what_their_slots_do() {
    let log = Log::start();
    let path = file(&log.folder);
    let start = |role: &str, id: &str| {
        let arguments = [role, "-b", &log.address, "--id", id, "-q", "--http", "127.0.0.1:0"];
        let mut command = program(&arguments);
        command.arg("--data").arg(log.folder.path().join(id));
        node(command)
    };
    let (_worker, worker) = start("taskmanager", "tm");
    assert_eq!(page(&worker, "/healthz"), (200, "ok\n".to_owned()));
    let (status, reason) = page(&worker, "/readyz");
    assert_eq!((status, reason.contains("no job manager")), (503, true), "{reason}");
    let (_manager, manager) = start("jobmanager", "jm");
    wait_for(&worker, "/readyz", |status, _| status == 200);
    wait_for(&manager, "/readyz", |status, _| status == 200);
    wait_for(&manager, "/metrics", |_, text| {
        has(text, "millstream_master_is_leader 1.0")
            && has(text, "millstream_workers{state=\"alive\"} 1.0")
    });
    log.ok(&["topic", "create", "in", "-p", "1"]);
    log.ok(&["pipeline", "apply", &path]);
    log.feed(&["produce", "in", "-f", "%k %v\n"], "a 1\nb 2\na 3\n");
    log.feed(&["produce", "in"], "without a key\n");
    let line = "millstream_task_records_in_total{pipeline=\"orders\",task=\"seen\"} 4";
    let text = wait_for(&worker, "/metrics", |_, text| has(text, line));
    for line in [
        "millstream_task_records_out_total{pipeline=\"orders\",task=\"seen\"} 3",
        "millstream_task_errors_total{pipeline=\"orders\",task=\"seen\",reason=\"skipped\"} 1",
        "millstream_pipeline_running{pipeline=\"orders\"} 1.0",
        "millstream_pipeline_lag_records{pipeline=\"orders\",stage=\"seen\"} 0.0",
        "millstream_pipeline_lag_seconds{pipeline=\"orders\"} 0.0",
    ] {
        assert!(has(&text, line), "{line} is not in:\n{text}");
    }
}

#[test]
fn a_pipeline_in_the_foreground_shows_itself_and_the_log_beside_it() {
    let folder = Folder::new();
    let file = file(&folder);
    let mut command = program(&["run", &file, "--listen", "127.0.0.1:0", "--plain", "--data"]);
    command.arg(folder.path().join("data"));
    // What it logs tells the address, as operators find it.
    command.args(["--http", "127.0.0.1:0", "--log-format", "json"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let told: serde_json::Value = serde_json::from_str(&line.unwrap()).ok()?;
        let is_it = told["message"] == "metrics and health are served";
        is_it.then(|| told["address"].as_str().unwrap().to_owned())
    });
    let running = Process(child);
    // The rest is read, so that the process never waits for us.
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).count());
    let address = address.unwrap();
    wait_for(&address, "/readyz", |status, _| status == 200);
    let commits = "millstream_checkpoints_total{pipeline=\"orders\",result=\"aborted\"} 0";
    let text = wait_for(&address, "/metrics", |_, text| has(text, commits));
    assert!(has(&text, "kafka_topic_partitions{topic=\"out\"} 4.0"), "{text}");
    assert!(has(&text, "millstream_task_busy_ratio{pipeline=\"orders\",task=\"seen\"} 0.0"));
    drop(running);
    rest.join().unwrap();
}
