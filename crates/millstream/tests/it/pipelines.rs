//! `pipeline`: what is said of a file without running it.

use std::path::PathBuf;

use crate::program::{Ended, Folder, Log, program, run};

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
    assert_eq!(cases[0]["detail"][0]["what"], "outputs");
}

#[test]
fn what_is_remembered_and_what_fails_is_shown_beside_what_was_expected() {
    let looks =
        COUNTS.replace("- { key: a, value: {} }\n    expect:", "- { value: {} }\n    expect:");
    let looks = looks.replace("type: count", "type: count, on_error: skip");
    let looks = looks.replace("      - { key: a, value: { count: 2 } }\n", "");
    let at_end =
        |more: &str| format!("{looks}    state: {{ all: {{ a: {{ count: 1 }} }} }}\n{more}");
    let ended = with_file("test", &at_end("    errors: [{ reason: no key }]\n"), &[]);
    assert_eq!(ended.output, "ok    words are counted by key\n1 passed, 0 failed\n");
    let wrong =
        at_end("    errors: []\n").replace("a: { count: 1 } } }", "a: { count: 7 }, b: {} } }");
    let ended = with_file("test", &wrong, &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.output);
    for piece in [
        "task `all` remembers something else of key a\n      expected  {\"count\":7}\n      \
         came      {\"count\":1}\n",
        "something else of key b\n      expected  {}\n      came      (nothing)\n",
        "0 records expected to fail, 1 did; they differ from record 1 on\n      \
         came      all  skip  (no key)  {}  because the record has no key\n",
    ] {
        assert!(ended.output.contains(piece), "{piece} in {}", ended.output);
    }
    let ended = with_file("test", &wrong, &["--json"]);
    let cases: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    let detail = &cases[0]["detail"];
    assert_eq!((&detail[1]["key"], &detail[1]["came"]), (&"b".into(), &serde_json::json!([])));
}

fn run_in(folder: &Folder, args: &[&str]) -> Ended {
    program(args).current_dir(folder.path()).output().unwrap().into()
}

#[test]
fn a_first_file_is_sound_and_passes_its_own_case() {
    let folder = Folder::new();
    for (file, from) in
        [("a.yaml", "readings"), ("b.yaml", "x,y.z/out"), ("null.yaml", "sink,mean/1")]
    {
        let made = run_in(&folder, &["pipeline", "init", file, "--from", from]);
        assert_eq!((made.code, made.output.as_str()), (Some(0), ""), "{}", made.messages);
        assert!(made.messages.contains("millstream pipeline test"), "{}", made.messages);
        let linted = run_in(&folder, &["pipeline", "lint", file]);
        assert_eq!(linted.code, Some(0), "{}", linted.output);
        let tested = run_in(&folder, &["pipeline", "test", file]);
        assert_eq!(tested.code, Some(0), "{}{}", tested.output, tested.messages);
        assert!(tested.output.ends_with("1 passed, 0 failed\n"), "{}", tested.output);
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(text.starts_with("# yaml-language-server: $schema=https://"), "{text}");
    }
}

#[test]
fn a_first_file_is_written_over_nothing_unless_it_is_asked_for() {
    let folder = Folder::new();
    let init = |args: &[&str]| run_in(&folder, &[&["pipeline", "init"], args].concat());
    assert_eq!(init(&["-q"]).messages, "");
    let read = || std::fs::read_to_string(folder.path().join("pipeline.yaml")).unwrap();
    let first = read();
    assert_eq!(init(&["-"]).output, first);
    let again = init(&["--from", "other"]);
    assert_eq!((again.code, read()), (Some(2), first.clone()));
    assert!(again.messages.contains("--force"), "{}", again.messages);
    assert_eq!(init(&["--from", "other", "--force"]).code, Some(0));
    assert!(read() != first && read().contains("topic: other"));
    for (from, told) in [("a/a", "is read and written"), ("a b", "no legal name"), (",b", "``")] {
        let refused = init(&["-", "--from", from]);
        assert_eq!((refused.code, refused.output.as_str()), (Some(2), ""));
        assert!(refused.messages.contains(told), "{}", refused.messages);
    }
    assert_eq!(init(&["no/such/folder.yaml"]).code, Some(1));
}

#[test]
fn the_schema_is_printed_as_one_document() {
    let ended = run(&["schema", "pipeline"]);
    assert_eq!((ended.code, ended.messages.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(schema["$id"], "https://millstream.dev/schema/pipeline-v1.json");
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
