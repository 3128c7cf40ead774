//! The pipelines that pages show: each is sound, its cases pass, and nothing lacks an example.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;
use topology::diagnose::Sources;
use topology::expression::function_names;
use topology::spec::{parse, schema};

use crate::paper::{blocks, pages, pipelines, read};
use crate::program::{Folder, run};

const OPERATORS: &str = "docs/operators.md";

#[test]
fn every_pipeline_of_a_page_is_sound_and_its_cases_pass() {
    let folder = Folder::new();
    let mut count = 0;
    for page in pages() {
        for (name, text) in pipelines(&page) {
            let file = folder.path().join(format!("{name}.yaml"));
            std::fs::write(&file, &text).unwrap();
            let file = file.to_str().unwrap();
            let linted = run(&["pipeline", "lint", file]);
            assert_eq!(linted.code, Some(0), "{page}, {name}: {}", linted.output);
            assert!(!linted.output.contains("warning["), "{page}, {name}: {}", linted.output);
            let has_cases = text.contains("\ntests:\n");
            assert!(has_cases || page != OPERATORS, "{name} shows nothing");
            if has_cases {
                let tested = run(&["pipeline", "test", file]);
                assert_eq!(tested.code, Some(0), "{page}, {name}: {}", tested.output);
                count += tested.output.matches("ok    ").count();
            }
        }
    }
    assert!(count >= 18, "only {count} cases were run");
}

/// A file as a JSON document, read by our own reader as the value of a record.
fn document(text: &str) -> Value {
    let mut file = "version: 1\nsource: a\nsink: { kafka: b }\ntasks: [{ id: a, type: forward }]\n\
                    tests:\n  - name: n\n    expect: []\n    input:\n      - value:\n"
        .to_owned();
    for line in text.lines() {
        writeln!(file, "          {line}").unwrap();
    }
    let mut spec = parse(&Sources::single("wrapped.yaml", &file), &|_| None).spec.unwrap();
    let record = spec.tests.remove(0).input.remove(0).record().unwrap().clone();
    serde_json::from_str(&record.value.unwrap()).unwrap()
}

/// The tasks of the operators' page.
fn examples() -> Vec<Value> {
    let mut tasks = Vec::new();
    for (_, text) in pipelines(OPERATORS) {
        tasks.extend_from_slice(document(&text)["tasks"].as_array().unwrap());
    }
    tasks
}

/// Which fields of a mapping of the schema no task has; another name of a field counts as it.
fn lacking(fields: &Value, tasks: &[&Value], owner: &str) -> Vec<String> {
    let mut meanings: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, meaning) in fields.as_object().unwrap() {
        // `true` stands for what every type has.
        if meaning.is_object() {
            meanings.entry(meaning.to_string()).or_default().push(name);
        }
    }
    let is_used = |names: &Vec<&str>| {
        names.iter().any(|name| tasks.iter().any(|task| task.get(*name).is_some()))
    };
    let unused = meanings.values().filter(|names| !is_used(names));
    let mut lacking: Vec<String> = unused.map(|names| format!("{owner}: {names:?}")).collect();
    for (name, meaning) in fields.as_object().unwrap() {
        for word in meaning["else"]["enum"].as_array().into_iter().flatten() {
            if !tasks.iter().any(|task| task[name] == *word) {
                lacking.push(format!("{owner}: {name}: {word}"));
            }
        }
    }
    lacking
}

#[test]
fn every_type_of_task_and_every_field_and_word_of_it_has_an_example() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let task = &schema["definitions"]["task"];
    let examples = examples();
    let all: Vec<&Value> = examples.iter().collect();
    let mut lacks = lacking(&task["properties"], &all, "a task");
    let types = task["allOf"].as_array().unwrap();
    assert!(types.len() >= 6, "{types:?}");
    for of_type in types {
        let word = of_type["if"]["properties"]["type"]["const"].as_str().unwrap();
        let tasks: Vec<&Value> =
            all.iter().copied().filter(|task| task["type"].as_str() == Some(word)).collect();
        lacks.extend(lacking(&of_type["then"]["properties"], &tasks, word));
    }
    assert!(lacks.is_empty(), "{OPERATORS} has no example of\n{}", lacks.join("\n"));
}

#[test]
fn what_has_no_example_is_found() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let fields = &schema["definitions"]["task"]["properties"];
    let task: Value = serde_json::json!({ "id": "a", "type": "forward", "on_error": "skip" });
    let lacks = lacking(fields, &[&task], "a task");
    for lack in ["a task: [\"partitions\"]", "a task: type: \"map\"", "a task: on_error: \"fail\""]
    {
        assert!(lacks.iter().any(|it| it == lack), "{lack}: {lacks:?}");
    }
    assert!(!lacks.iter().any(|it| it.contains("skip") || it.contains("\"id\"")), "{lacks:?}");
}

#[test]
fn every_function_is_told_and_has_an_example() {
    let page = read(OPERATORS);
    let told: String = page.lines().filter(|line| line.starts_with("| `")).collect();
    let used: String = pipelines(OPERATORS).into_iter().map(|(_, text)| text).collect();
    let explained = run(&["explain", "MS-1021"]).output;
    let words: BTreeSet<&str> =
        explained.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let names: Vec<&str> = function_names().collect();
    assert!(names.len() >= 17, "{names:?}");
    for name in names {
        assert!(told.contains(&format!("`{name}(")), "{name} has no row in {OPERATORS}");
        // As a call, and not as the end of another name.
        let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
        let call = format!("{name}(");
        let mut calls = used.match_indices(&call).map(|(at, _)| &used[..at]);
        let is_called = calls.any(|before| !before.ends_with(is_letter));
        assert!(is_called, "{name} has no example in {OPERATORS}");
        assert!(words.contains(name), "`explain MS-1021` does not list {name}");
    }
}

#[test]
fn the_picture_has_the_names_that_the_plan_has() {
    let page = "docs/concepts.md";
    let (name, text) = pipelines(page).remove(0);
    let folder = Folder::new();
    let file = folder.path().join(format!("{name}.yaml"));
    std::fs::write(&file, text).unwrap();
    let explained = run(&["pipeline", "explain", file.to_str().unwrap()]).output;
    let picture = blocks(page).into_iter().find(|block| block.language == "text").unwrap();
    let is_name = |word: &&str| ["ms.", "__ms.", "rooms."].iter().any(|it| word.starts_with(it));
    let names: Vec<&str> = picture.text.split_whitespace().filter(is_name).collect();
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let is_there = explained.split_whitespace().any(|word| word.trim_end_matches(']') == name);
        assert!(is_there, "{name} is not in\n{explained}");
    }
}
