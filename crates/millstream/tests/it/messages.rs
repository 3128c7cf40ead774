//! What goes wrong is told with its code, its place and a way out.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::program::{Folder, Log, program, run};

/// An address that nobody listens on.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn an_unreachable_broker_is_told_with_where_the_address_came_from() {
    let address = free_address();
    let ended = run(&["topic", "list", "-b", &address]);
    assert_eq!((ended.code, ended.output.as_str()), (Some(69), ""));
    let expected = format!("error[MS-2001]: cannot reach Kafka at {address}");
    assert!(ended.messages.starts_with(&expected), "{}", ended.messages);
    assert!(ended.messages.contains("value came from: flag --brokers"), "{}", ended.messages);
    assert!(ended.messages.contains("millstream up"), "{}", ended.messages);

    let ended = program(&["topic", "list"]).env("MILLSTREAM_BROKERS", &address).output().unwrap();
    let messages = String::from_utf8(ended.stderr).unwrap();
    assert!(messages.contains("MILLSTREAM_BROKERS in the environment"), "{messages}");
}

#[test]
fn failures_are_json_where_the_output_is() {
    let ended = run(&["topic", "list", "--json", "-b", &free_address()]);
    let failure: serde_json::Value = serde_json::from_str(&ended.messages).unwrap();
    assert_eq!((&failure["error"]["code"], &failure["exit"]), (&"MS-2001".into(), &69.into()));
}

/// Answers every connection with these bytes, once something was said, and hangs up.
fn stranger(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut some = [0; 64];
            drop(stream.read(&mut some));
            drop(stream.write_all(answer));
        }
    });
    address
}

#[test]
fn a_web_server_is_no_broker() {
    let address = stranger(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    let ended = run(&["topic", "list", "-b", &address]);
    assert_eq!(ended.code, Some(69), "{}", ended.messages);
    assert!(ended.messages.contains("error[MS-2002]"), "{}", ended.messages);
}

#[test]
fn who_hangs_up_at_once_probably_wants_tls() {
    let ended = run(&["topic", "list", "-b", &stranger(b"")]);
    assert_eq!(ended.code, Some(69), "{}", ended.messages);
    assert!(ended.messages.contains("error[MS-2004]"), "{}", ended.messages);
}

#[test]
fn silence_is_a_time_out() {
    // The system accepts the connection; nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let ended = run(&["topic", "list", "-b", &address, "--timeout", "200ms"]);
    assert_eq!(ended.code, Some(124), "{}", ended.messages);
    assert!(ended.messages.contains("error[MS-2005]"), "{}", ended.messages);
}

#[test]
fn an_advertised_address_that_does_not_work_is_told() {
    let gone = free_address();
    let log = Log::start_with(&["--advertise", &gone]);
    let ended = log.run(&["topic", "list"]);
    assert_eq!(ended.code, Some(69), "{}", ended.messages);
    assert!(ended.messages.contains("error[MS-2003]"), "{}", ended.messages);
    assert!(ended.messages.contains(&gone), "{}", ended.messages);
    assert!(ended.messages.contains(&log.address), "{}", ended.messages);
}

#[test]
fn bad_settings_name_their_source() {
    let folder = Folder::new();
    let file = folder.path().join("client.properties");
    std::fs::write(&file, "# ours\nlinger.ms = soon\n").unwrap();
    let file = file.to_str().unwrap();
    let log = Log::start();
    let ended = log.feed(&["produce", "t", "-F", file], "x\n");
    assert_eq!(ended.code, Some(78));
    assert!(ended.messages.contains("error[MS-0002]"), "{}", ended.messages);
    assert!(ended.messages.contains("client.properties line 2"), "{}", ended.messages);

    let ended = log.feed(&["produce", "t", "-F", file, "-X", "linger.ms=1"], "x\n");
    assert_eq!(ended.code, Some(0), "the stronger source counts: {}", ended.messages);

    let ended = run(&["produce", "t", "-X", "linger.mss=1"]);
    assert_eq!(ended.code, Some(78));
    assert!(ended.messages.contains("did you mean `linger.ms`?"), "{}", ended.messages);

    let ended = run(&["produce", "t", "-b", "http://x/y"]);
    assert_eq!(ended.code, Some(78), "{}", ended.messages);
}

#[test]
fn an_env_file_is_read_where_it_is_named() {
    let folder = Folder::new();
    let file = folder.path().join("some.env");
    let address = free_address();
    std::fs::write(&file, format!("# ours\nexport MILLSTREAM_BROKERS=\"{address}\"\n")).unwrap();
    let ended = run(&["topic", "list", "--env-file", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(69));
    assert!(ended.messages.contains("MILLSTREAM_BROKERS in "), "{}", ended.messages);
    assert!(ended.messages.contains("some.env line 2"), "{}", ended.messages);
}

#[test]
fn a_secret_may_stand_in_a_file_that_a_variable_names() {
    let folder = Folder::new();
    let file = folder.path().join("brokers");
    let address = free_address();
    std::fs::write(&file, format!("{address}\n")).unwrap();
    let output = program(&["topic", "list"]).env("MILLSTREAM_BROKERS_FILE", &file).output();
    let messages = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(messages.contains(&address), "{messages}");
    assert!(messages.contains("MILLSTREAM_BROKERS_FILE in the environment"), "{messages}");
}

#[test]
fn a_misspelt_variable_is_only_a_warning() {
    let output = program(&["version"]).env("MILLSTREAM_BROKER", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(messages.contains("warning[MS-0007]"), "{messages}");
    assert!(messages.contains("MILLSTREAM_BROKERS"), "{messages}");
}

#[test]
fn bad_formats_and_places_are_wrong_usage() {
    let ended = run(&["consume", "t", "-f", "%q"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.messages.contains("error[MS-0004]"), "{}", ended.messages);
    let ended = run(&["consume", "t", "-o", "yesterday"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.messages.contains("error[MS-0005]"), "{}", ended.messages);
    assert_eq!(run(&["produce"]).code, Some(2));
}

#[test]
fn topics_and_groups_that_are_missing_are_told() {
    let log = Log::start();
    for args in [&["consume", "nope", "-e"][..], &["topic", "describe", "nope"]] {
        let ended = log.run(args);
        assert_eq!(ended.code, Some(1), "{args:?}");
        assert!(ended.messages.contains("error[MS-2008]"), "{}", ended.messages);
    }
    let ended = log.run(&["group", "describe", "nope"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-2014]"), "{}", ended.messages);
    log.ok(&["topic", "create", "t"]);
    let ended = log.run(&["topic", "create", "t"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-2009]"), "{}", ended.messages);
    log.ok(&["topic", "create", "t", "--if-not-exists"]);
    let ended = log.run(&["consume", "t", "-o", "7", "-n", "1"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-2013]"), "{}", ended.messages);
}
