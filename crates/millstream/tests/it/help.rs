//! The help of every command, as it is printed.
//!
//! `BLESS=1 cargo test -p millstream --test it help` writes the snapshots anew.

use std::path::Path;

use crate::program::run;

/// All commands; the first one is the program itself.
pub(crate) const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["up"],
    &["serve"],
    &["jobmanager"],
    &["taskmanager"],
    &["produce"],
    &["consume"],
    &["topic"],
    &["topic", "list"],
    &["topic", "create"],
    &["topic", "describe"],
    &["topic", "delete"],
    &["group"],
    &["group", "list"],
    &["group", "describe"],
    &["pipeline"],
    &["pipeline", "init"],
    &["pipeline", "lint"],
    &["pipeline", "graph"],
    &["pipeline", "explain"],
    &["pipeline", "test"],
    &["pipeline", "reset"],
    &["pipeline", "apply"],
    &["pipeline", "list"],
    &["pipeline", "status"],
    &["pipeline", "tap"],
    &["pipeline", "history"],
    &["pipeline", "pause"],
    &["pipeline", "resume"],
    &["pipeline", "stop"],
    &["pipeline", "restart"],
    &["pipeline", "scale"],
    &["pipeline", "upgrade"],
    &["pipeline", "echo"],
    &["dlq"],
    &["dlq", "list"],
    &["dlq", "show"],
    &["dlq", "release"],
    &["dlq", "replay"],
    &["dlq", "drop"],
    &["state"],
    &["state", "keys"],
    &["state", "get"],
    &["sink"],
    &["sink", "preview"],
    &["bench"],
    &["bench", "produce"],
    &["bench", "consume"],
    &["bench", "e2e"],
    &["bench", "pipeline"],
    &["schema"],
    &["schema", "pipeline"],
    &["explain"],
    &["version"],
];

#[test]
fn the_help_of_every_command_is_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    for command in COMMANDS {
        let name = if command.is_empty() { "millstream".to_owned() } else { command.join("-") };
        let file = folder.join(format!("{name}.txt"));
        let ended = run(&[command, &["--help"][..]].concat());
        assert_eq!((ended.code, ended.messages.as_str()), (Some(0), ""), "{name}");
        let shown: String =
            ended.output.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, &shown).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(shown, kept, "{} differs", file.display());
    }
}

#[test]
fn every_help_begins_with_examples() {
    for command in COMMANDS.iter().filter(|command| command.len() < 2) {
        let ended = run(&[command, &["-h"][..]].concat());
        assert!(ended.output.starts_with("Examples:\n  "), "{command:?}");
    }
}

#[test]
fn a_command_that_does_not_exist_gets_the_nearest_one() {
    let ended = run(&["topcis", "list"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.messages.contains("topcis"), "{}", ended.messages);
    assert!(ended.messages.contains("'topic'"), "{}", ended.messages);
    let ended = run(&["consume", "--ofset", "start", "t"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.messages.contains("--offset"), "{}", ended.messages);
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(run(&["version"]).output, format!("millstream {}\n", env!("CARGO_PKG_VERSION")));
    let json = run(&["version", "--json"]).output;
    let version: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn codes_are_explained_without_a_network() {
    let ended = run(&["explain", "2003"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.output.starts_with("MS-2003: ") && ended.output.contains("--advertise"));
    let list = run(&["explain"]).output;
    assert!(list.contains("MS-1005  ") && list.contains("MS-5001  "), "{list}");
    assert_eq!(run(&["explain", "MS-9999"]).code, Some(2));
}
