//! `up`: who may run where, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::program::{Folder, Log, program, run, send_signal};

#[test]
fn the_ready_block_says_how_to_go_on() {
    let mut child = program(&["up", "--listen", "127.0.0.1:0", "--ephemeral"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    while lines.last().is_none_or(|line: &String| !line.contains("Ctrl-C")) {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "{lines:?}");
        lines.push(line);
    }
    let text = lines.concat();
    assert!(text.contains("is ready after"), "{text}");
    assert!(text.contains("removed at the end"), "{text}");
    let data = text.split("data: ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(std::path::Path::new(&data).is_dir());
    send_signal(child.id(), "-INT");
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!std::path::Path::new(&data).exists(), "{data} was left");
}

#[test]
fn sigterm_ends_it_cleanly_and_the_records_are_there_again() {
    let mut log = Log::start();
    log.feed(&["produce", "kept"], "one\ntwo\n");
    assert_eq!(log.stop("-TERM").code(), Some(0));
    let data = log.folder.path().join("data");
    let mut command = program(&["up", "--listen", "127.0.0.1:0", "--json", "-q", "--data"]);
    let mut child = command.arg(&data).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = ready["listening"].as_str().unwrap();
    let ended = run(&["consume", "kept", "-o", "start", "-e", "-b", address]);
    send_signal(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(ended.output, "one\ntwo\n");
}

#[test]
fn a_taken_port_is_told_with_its_holder() {
    let log = Log::start();
    let data = log.folder.path().join("data").to_str().unwrap().to_owned();
    let ended = run(&["up", "--listen", "127.0.0.1:0", "--data", &data]);
    assert!(ended.messages.contains("error[MS-5002]"), "{}", ended.messages);
    assert!(ended.messages.contains(&format!("-b {}", log.address)), "{}", ended.messages);
    let ended = run(&["up", "--ephemeral", "--listen", &log.address]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-5001]"), "{}", ended.messages);
    assert!(ended.messages.contains(&format!("(pid {})", log.pid())), "{}", ended.messages);
}

#[test]
fn a_folder_in_use_is_told_with_its_holder_and_the_way_to_it() {
    let log = Log::start();
    let data = log.folder.path().join("data");
    let ended = run(&["up", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-5002]"), "{}", ended.messages);
    assert!(ended.messages.contains(&format!("process {}", log.pid())), "{}", ended.messages);
    assert!(ended.messages.contains(&format!("-b {}", log.address)), "{}", ended.messages);
}

#[test]
fn a_file_in_the_place_of_the_folder_is_told() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let ended = run(&["up", "--listen", "127.0.0.1:0", "--data", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-5003]"), "{}", ended.messages);
}

#[test]
fn listening_beyond_this_machine_needs_a_name_for_clients() {
    let ended = run(&["up", "--ephemeral", "--listen", "0.0.0.0:0"]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.messages.contains("error[MS-0008]"), "{}", ended.messages);
}

#[test]
fn variables_of_kafkas_image_set_the_broker_up() {
    let folder = Folder::new();
    let mut child = program(&["up", "--json", "-q"])
        .env("KAFKA_NUM_PARTITIONS", "3")
        .env("KAFKA_LISTENERS", "PLAINTEXT://127.0.0.1:0")
        .env("KAFKA_LOG_DIRS", folder.path().join("data"))
        .env("KAFKA_HEAP_OPTS", "-Xmx1G")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = ready["listening"].as_str().unwrap().to_owned();
    let created = run(&["topic", "create", "t", "-b", &address]);
    let described = run(&["topic", "describe", "t", "--json", "-b", &address]);
    send_signal(child.id(), "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(created.code, Some(0), "{}", created.messages);
    let topics: serde_json::Value = serde_json::from_str(&described.output).unwrap();
    assert_eq!(topics[0]["partitions"].as_array().unwrap().len(), 3);
}
