//! Records in and out, in every form.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::program::{Log, send_signal};

#[test]
fn lines_go_in_and_come_out() {
    let log = Log::start();
    let ended = log.feed(&["produce", "greetings"], "hello\nworld");
    assert_eq!((ended.code, ended.output.as_str()), (Some(0), ""));
    assert_eq!(ended.messages, "produced 2 records to greetings  (p0: offset 0)\n");
    assert_eq!(log.ok(&["consume", "greetings", "-o", "start", "-e"]), "hello\nworld\n");
    let quiet = log.feed(&["produce", "greetings", "-q"], "again\n");
    assert_eq!(quiet.messages, "");
    assert_eq!(log.ok(&["consume", "greetings", "-o", "-1", "-e"]), "again\n");
    assert_eq!(log.ok(&["consume", "greetings", "-o", "1:2"]), "world\n");
    assert_eq!(log.ok(&["consume", "greetings", "-o", "start", "-n", "2"]), "hello\nworld\n");
    assert_eq!(log.ok(&["consume", "greetings", "-o", "@-1h", "-e", "-f", "%o "]), "0 1 2 ");
    assert_eq!(log.ok(&["consume", "greetings", "-o", "end", "-e"]), "");
}

#[test]
fn formats_take_records_apart_and_put_them_together() {
    let log = Log::start();
    log.ok(&["topic", "create", "readings", "-p", "3"]);
    let args = ["produce", "readings", "-f", "%k %p %v\\n", "-H", "from=test", "-z", "lz4"];
    let ended = log.feed(&args, "d1 0 20.5\nd2 2 19\n");
    assert_eq!(ended.messages, "produced 2 records to readings  (p0: offset 0, p2: offset 0)\n");
    let format = "%t/%p/%o %k=%v %h{%k:%v} %a{compression}\\n";
    let output = log.ok(&["consume", "readings", "-o", "start", "-e", "-f", format]);
    let mut lines: Vec<&str> = output.lines().collect();
    lines.sort_unstable();
    let expected = ["readings/0/0 d1=20.5 from:test lz4", "readings/2/0 d2=19 from:test lz4"];
    assert_eq!(lines, expected);
    let one = log.ok(&["consume", "readings", "-o", "start", "-e", "-p", "2", "-f", "%k"]);
    assert_eq!(one, "d2");
}

#[test]
fn envelopes_go_round_with_all_that_they_hold() {
    let log = Log::start();
    let lines = concat!(
        r#"{"key":"k","value":"v","timestamp":1000,"headers":[{"key":"h","value":null}]}"#,
        "\n",
        r#"{"key":{"base64":"/w=="},"value":null}"#,
        "\n"
    );
    let ended = log.feed(&["produce", "a", "--json"], lines);
    assert_eq!(ended.code, Some(0), "{}", ended.messages);
    let first = log.ok(&["consume", "a", "-o", "start", "-e", "--json"]);
    let ended = log.feed(&["produce", "b", "--json"], &first);
    assert_eq!(ended.code, Some(0), "{}", ended.messages);
    let second = log.ok(&["consume", "b", "-o", "start", "-e", "--json"]);
    let records = |text: &str, topic: &str| -> Vec<serde_json::Value> {
        let record = |line: &str| {
            let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["topic"], topic);
            record["topic"].take();
            record
        };
        text.lines().map(record).collect()
    };
    let (first, second) = (records(&first, "a"), records(&second, "b"));
    assert_eq!(first.len(), 2);
    assert_eq!(first, second);
    assert_eq!(first[0]["timestamp"], 1000);
    assert_eq!(first[1]["key"]["base64"], "/w==");
    assert!(first[1]["value"].is_null());
}

#[test]
fn what_stands_before_a_faulty_record_is_produced() {
    let log = Log::start();
    let ended = log.feed(&["produce", "t", "-f", "%k %v\\n"], "a 1\nb 2\nfaulty\nc 3\n");
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-0006]: record 3"), "{}", ended.messages);
    assert!(ended.messages.contains("produced 2 records"), "{}", ended.messages);
    assert_eq!(log.ok(&["consume", "t", "-o", "start", "-e", "-f", "%k%v "]), "a1 b2 ");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let log = Log::start();
    let lines: String = (0..100_000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(log.feed(&["produce", "many"], &lines).code, Some(0));
    let mut child = log
        .program(&["consume", "many", "-o", "start"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "line 0\n");
    drop(output);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut messages = String::new();
    child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
    assert_eq!(messages, "");
}

#[test]
fn following_shows_what_comes_and_ends_with_a_signal() {
    let log = Log::start();
    log.feed(&["produce", "t"], "before\n");
    let mut child =
        log.program(&["consume", "t", "-o", "start"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    log.feed(&["produce", "t"], "after\n");
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "before\nafter\n");
    send_signal(child.id(), "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_group_goes_on_where_it_stopped_even_inside_a_batch() {
    let log = Log::start();
    log.feed(&["produce", "t"], "1\n2\n3\n4\n5\n");
    let read =
        |args: &[&str]| log.ok(&[&["consume", "t", "-g", "g", "-o", "start"], args].concat());
    assert_eq!(read(&["-n", "2"]), "1\n2\n");
    assert_eq!(read(&["-n", "1"]), "3\n");
    assert_eq!(read(&["-e"]), "4\n5\n");
    log.feed(&["produce", "t"], "6\n");
    assert_eq!(read(&["-e"]), "6\n");
    let described = log.ok(&["group", "describe", "g", "--json"]);
    let groups: serde_json::Value = serde_json::from_str(&described).unwrap();
    assert_eq!(groups[0]["state"], "Empty");
    let partition = &groups[0]["partitions"][0];
    assert_eq!((&partition["current_offset"], &partition["lag"]), (&6.into(), &0.into()));
    assert!(log.ok(&["group", "list"]).contains("g      consumer"));
    let text = log.ok(&["group", "describe", "g"]);
    let columns = "GROUP  TOPIC  PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG  CONSUMER-ID  HOST";
    assert!(text.contains(columns), "{text}");
}

#[test]
fn a_member_is_described_and_leaves_with_a_signal() {
    let log = Log::start();
    log.feed(&["produce", "t"], "1\n");
    let mut child = log
        .program(&["consume", "t", "-g", "g", "-o", "start", "-X", "client.id=reader"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let describe = || -> serde_json::Value {
        let described = log.ok(&["group", "describe", "g", "--json"]);
        serde_json::from_str::<serde_json::Value>(&described).unwrap()[0].take()
    };
    let group = describe();
    assert_eq!((&group["state"], &group["members"]), (&"Stable".into(), &1.into()));
    let partition = &group["partitions"][0];
    assert_eq!(partition["client_id"], "reader");
    assert!(partition["consumer_id"].as_str().unwrap().starts_with("reader-"), "{partition}");
    assert!(partition["host"].as_str().unwrap().contains("127.0.0.1"), "{partition}");
    send_signal(child.id(), "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let group = describe();
    assert_eq!((&group["state"], &group["partitions"][0]["lag"]), (&"Empty".into(), &0.into()));
}

#[test]
fn topics_are_listed_described_and_deleted() {
    let log = Log::start();
    log.ok(&["topic", "create", "a", "b", "-p", "2", "-c", "retention.ms=1000"]);
    log.feed(&["produce", "a"], "x\n");
    let listed = log.ok(&["topic", "list", "--records", "--json"]);
    let topics: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&topics[0]["name"], &topics[0]["records"]), (&"a".into(), &1.into()));
    assert!(log.ok(&["topic", "list"]).contains("a              2         1"));
    let text = log.ok(&["topic", "describe", "a"]);
    assert!(text.contains("PARTITIONS  2") && text.contains("retention.ms  1000"), "{text}");
    log.ok(&["topic", "delete", "a", "b"]);
    assert_eq!(log.ok(&["topic", "list", "--json"]), "[]\n");
}
