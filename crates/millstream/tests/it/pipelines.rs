//! `pipeline`: what is said of a file without running it.

use std::path::PathBuf;

use crate::program::{Ended, Folder, Log, run};

fn example() -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/machine-health.yaml")
        .canonicalize()
        .unwrap();
    file.to_str().unwrap().to_owned()
}

/// Runs an action on a file with this content.
fn with_file(action: &str, content: &str, args: &[&str]) -> Ended {
    let folder = Folder::new();
    let file = folder.path().join("some.yaml");
    std::fs::write(&file, content).unwrap();
    run(&[&["pipeline", action, file.to_str().unwrap()], args].concat())
}

const FAULTY: &str = "- id: a\n  type: averge\n- id: b\n  type: sum\n  to: [nowhere]\n";

#[test]
fn the_example_is_sound() {
    let ended = run(&["pipeline", "lint", &example()]);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.starts_with("ok  "), "{}", ended.output);
    assert!(ended.output.contains("3 tasks, 1 source, 2 sinks, exactly_once"), "{}", ended.output);
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let ended = with_file("lint", FAULTY, &[]);
    assert_eq!((ended.code, ended.messages.as_str()), (Some(1), ""));
    for piece in ["some.yaml:2:9: error[MS-", "did you mean `average`?", "some.yaml:5:", "nowhere"]
    {
        assert!(ended.output.contains(piece), "{piece}: {}", ended.output);
    }
    let ended = with_file("lint", FAULTY, &["--json"]);
    let problems: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(problems.as_array().unwrap().len(), 2);
    let ended = with_file("lint", FAULTY, &["--output", "github"]);
    assert!(ended.output.starts_with("::error "), "{}", ended.output);
}

#[test]
fn other_actions_tell_the_problems_beside_the_output() {
    for action in ["graph", "explain", "upgrade"] {
        let ended = with_file(action, FAULTY, &[]);
        assert_eq!((ended.code, ended.output.as_str()), (Some(1), ""), "{action}");
        assert!(ended.messages.contains("nowhere"), "{action}: {}", ended.messages);
    }
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let ended = run(&["pipeline", "lint", "/nowhere/at/all.yaml"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.messages.contains("error[MS-0009]"), "{}", ended.messages);
}

#[test]
fn the_picture_has_every_task_in_every_form() {
    for form in ["text", "dot", "mermaid"] {
        let ended = run(&["pipeline", "graph", &example(), "--output", form]);
        assert_eq!(ended.code, Some(0), "{}", ended.messages);
        for task in ["valid", "mean", "seen", "machine.health"] {
            assert!(ended.output.contains(task), "{form} lacks {task}: {}", ended.output);
        }
    }
}

#[test]
fn the_explanation_names_stages_topics_groups_and_tables() {
    let ended = run(&["pipeline", "explain", &example()]);
    assert_eq!(ended.code, Some(0), "{}", ended.messages);
    for piece in
        ["group ms.machine-health.valid", "reads machine.readings", "averages", "window_start"]
    {
        assert!(ended.output.contains(piece), "{piece}: {}", ended.output);
    }
}

#[test]
fn an_upgraded_file_is_a_sound_one() {
    let old = "- id: a\n  type: forward\n  to: [b]\n- id: b\n  type: count\n  to: sink\n";
    let upgraded = with_file("upgrade", old, &[]);
    assert_eq!(upgraded.code, Some(0), "{}", upgraded.messages);
    assert!(upgraded.output.contains("version: 1"), "{}", upgraded.output);
    let linted = with_file("lint", &upgraded.output, &[]);
    assert_eq!(linted.code, Some(0), "{}", linted.output);
    assert_eq!(with_file("upgrade", &upgraded.output, &[]).code, Some(2));
}

const COUNTS: &str = "\
version: 1
name: counts
source: { topic: words }
tasks:
  - { id: all, type: count, to: sink }
sink: { kafka: { topic: counted } }
tests:
  - name: words are counted by key
    input:
      - { key: a, value: {} }
      - { key: a, value: {} }
    expect:
      - { key: a, value: { count: 1 } }
      - { key: a, value: { count: 2 } }
";

#[test]
fn test_cases_pass_or_show_what_came() {
    let ended = run(&["pipeline", "test", &example()]);
    assert_eq!(ended.code, Some(0), "{}", ended.output);
    assert!(ended.output.contains(" passed, 0 failed"), "{}", ended.output);
    let ended = with_file("test", COUNTS, &[]);
    assert_eq!(ended.output, "ok    words are counted by key\n1 passed, 0 failed\n");
    let wrong = COUNTS.replace("count: 2", "count: 3");
    let ended = with_file("test", &wrong, &[]);
    assert_eq!(ended.code, Some(1));
    for piece in
        ["FAIL  words are counted by key", "some.yaml:8:", "record 2", "0 passed, 1 failed"]
    {
        assert!(ended.output.contains(piece), "{piece}: {}", ended.output);
    }
    let ended = with_file("test", &wrong, &["--json"]);
    let cases: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(cases[0]["outcome"], "failed");
}

#[test]
fn a_reset_is_told_first_and_then_done() {
    let log = Log::start();
    let file = log.folder.path().join("counts.yaml");
    std::fs::write(&file, COUNTS).unwrap();
    let file = file.to_str().unwrap();
    log.feed(&["produce", "words", "-k", "a"], "{}\n{}\n");
    let data = log.folder.path().join("state");
    let data = data.to_str().unwrap();
    let counted = || {
        log.ok(&["run", file, "--until-end", "--data", data]);
        log.ok(&["consume", "counted", "-o", "start", "-e"])
    };
    let once = "{\"count\":1}\n{\"count\":2}\n";
    assert_eq!(counted(), once);
    assert_eq!(counted(), once, "what was counted is not counted again");
    let told = log.ok(&["pipeline", "reset", file]);
    assert!(told.contains("delete topic") && told.contains("ms.counts.all"), "{told}");
    assert_eq!(counted(), once, "it was only told");
    log.ok(&["pipeline", "reset", file, "--yes"]);
    assert_eq!(counted(), [once, once].concat());
}
