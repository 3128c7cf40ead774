//! The schema for editors says what the readers say.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;
use topology::diagnose::Sources;
use topology::spec::{SCHEMA_ID, parse, schema, schema_line, upgrade};

use super::validator;
use super::{CONFIG, GREENHOUSE, LEGACY, LIST, TESTED, VARIABLES};

fn the_schema() -> Value {
    serde_json::from_str(&schema()).unwrap()
}

/// A file as a JSON document, read by our own reader as the value of a test's record.
fn document(text: &str) -> Value {
    let mut file = "version: 1\nsource: a\nsink: { kafka: b }\ntasks: [{ id: a, type: forward }]\n\
                    tests:\n  - name: n\n    expect: []\n    input:\n      - value:\n"
        .to_owned();
    for line in text.lines() {
        writeln!(file, "          {line}").unwrap();
    }
    let parsed = parse(&Sources::single("wrapped.yaml", &file), &|_| None);
    assert_eq!(parsed.diagnostics, [], "{text}");
    let mut spec = parsed.spec.unwrap();
    let value = spec.tests.remove(0).input.remove(0).record().unwrap().value.clone().unwrap();
    serde_json::from_str(&value).unwrap()
}

fn wrong_with(text: &str) -> Vec<String> {
    validator::problems(&the_schema(), &document(text))
}

#[test]
fn it_is_one_document_with_a_stable_name() {
    let schema = the_schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["$id"], "https://millstream.dev/schema/pipeline-v1.json");
    assert_eq!(schema["$id"], SCHEMA_ID);
    assert_eq!(schema_line(), format!("# yaml-language-server: $schema={SCHEMA_ID}\n"));
    let choices = schema.to_string().contains("\"oneOf\"");
    assert!(!choices, "an editor could only say that nothing fits");
}

#[test]
fn what_the_reader_takes_is_valid() {
    let inside = format!("{CONFIG}pipeline:\n  - {{ id: a, type: sum, to: [sink] }}\n");
    let spec = parse(&Sources::single("legacy.yaml", LEGACY), &|_| None).spec.unwrap();
    let upgraded = upgrade(&spec);
    assert!(upgraded.starts_with(&schema_line()), "{upgraded}");
    let files = [GREENHOUSE, LIST, CONFIG, LEGACY, TESTED, VARIABLES, &*inside, &*upgraded];
    let mut files = files.map(str::to_owned).to_vec();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(std::fs::read_to_string(path).unwrap());
        }
    }
    assert!(files.len() >= 10, "the examples are missing");
    for file in files {
        assert_eq!(wrong_with(&file), Vec::<String>::new(), "{file}");
    }
}

/// A name that no field has, and that is like none.
const STRANGE: &str = "qqqqqqqqqq";

/// A file of the full form with this in it.
fn full(fields: &str) -> String {
    format!("version: 1\n{fields}\n")
}

/// A file with one task.
fn with_task(form: &str, fields: &str) -> String {
    match form {
        "task" => full(&format!("tasks: [{{ id: a, {fields} }}]")),
        _ => format!("- {{ id: a, {fields} }}\n"),
    }
}

/// What the reader names in the place of the strange name.
fn known_to_the_reader(file: &str) -> BTreeSet<String> {
    let parsed = parse(&Sources::single("p.yaml", file), &|_| None);
    let strange = format!("`{STRANGE}`");
    let told = parsed.diagnostics.iter().find(|it| it.title.contains(&strange));
    let told = told.unwrap_or_else(|| panic!("{file}: {:?}", parsed.diagnostics));
    let title = told.title.split_once(" is one of ").and_then(|(_, it)| it.split_once(", not"));
    let listed = match (title, told.help.as_deref().and_then(|help| help.split_once(": "))) {
        (Some((words, _)), _) | (None, Some((_, words))) => words,
        (None, None) => panic!("{told:?}"),
    };
    listed.split(", ").map(str::to_owned).collect()
}

/// Files with a strange field in each mapping of the grammar, by the schema's name for it.
fn strange_fields() -> Vec<(String, String)> {
    let at = |place: &str, file: &str| (place.to_owned(), file.replace("??", "qqqqqqqqqq: 1"));
    let mut places = vec![
        at("pipeline", &full("??")),
        at("configuration", "broker: a\n??\n"),
        at("cluster", &full("cluster: { ?? }")),
        at("runtime", &full("runtime: { ?? }")),
        at("state", &full("runtime: { state: { ?? } }")),
        at("gateway", &full("ingest: { h: { ?? } }")),
        at("source/then", &full("source: { ?? }")),
        at("source/then", &full("sources: { a: { ?? } }")),
        at("format/then", &full("source: { topic: a, format: { ?? } }")),
        at("json", &full("source: { topic: a, format: { json: { ?? } } }")),
        at("window/then", &with_task("task", "type: count, window: { ?? }")),
        at("sink", &full("sink: { ?? }")),
        at("sink", &full("sinks: { a: { ?? } }")),
        at("topic", &full("sink: { kafka: { ?? } }")),
        at("dead_letter/then", &full("dead_letter: { ?? }")),
        at("retry", &full("retry: { ?? }")),
        at("table", &full("sink: { sqlite: { ?? } }")),
        at("table", &full("sink: { sqlite: [{ ?? }] }")),
        at("topic_settings", &full("topics: { a: { ?? } }")),
        at("test", &full("tests: [{ ?? }]")),
        at("step", &full("tests: [{ name: a, input: [{ ?? }], expect: [] }]")),
        at("error", &full("tests: [{ name: a, input: [], errors: [{ ?? }] }]")),
        at("record", &full("tests: [{ name: a, input: [], expect: [{ ?? }] }]")),
    ];
    let schema = the_schema();
    for form in ["task", "old_task"] {
        let types = schema["definitions"][form]["allOf"].as_array().unwrap();
        for (number, one) in types.iter().enumerate() {
            let word = one["if"]["properties"]["type"]["const"].as_str().unwrap();
            // What a type cannot do without.
            let needs = match word {
                "filter" => "where: true, ",
                "average" => "window: 1s, ",
                _ => "",
            };
            let file = with_task(form, &format!("type: {word}, {needs}??"));
            places.push(at(&format!("{form}/allOf/{number}/then"), &file));
        }
    }
    places
}

#[test]
fn the_schema_and_the_reader_know_the_same_fields() {
    let schema = the_schema();
    let mut seen = BTreeSet::new();
    for (place, file) in strange_fields() {
        let mapping = schema.pointer(&format!("/definitions/{place}")).unwrap();
        let fields: BTreeSet<String> =
            mapping["properties"].as_object().unwrap().keys().cloned().collect();
        let known = known_to_the_reader(&file);
        let missing: Vec<_> = known.difference(&fields).collect();
        assert!(missing.is_empty(), "{place} lacks {missing:?}");
        for other in fields.difference(&known) {
            let parsed =
                parse(&Sources::single("p.yaml", &file.replace(STRANGE, other)), &|_| None);
            let refused = format!("has no field `{other}`");
            let is_refused = parsed.diagnostics.iter().any(|it| it.title.contains(&refused));
            assert!(!is_refused, "{place} has `{other}`, which the reader refuses");
        }
        assert_eq!(mapping["additionalProperties"], false, "{place}");
        seen.insert(place);
    }
    for (name, definition) in schema["definitions"].as_object().unwrap() {
        let inner = if definition["properties"].is_object() { "" } else { "/then" };
        let place = format!("{name}{inner}");
        let has_fields = definition.pointer(&format!("{inner}/properties")).is_some();
        let is_task = name.ends_with("task");
        assert!(
            !has_fields || is_task || seen.contains(&place),
            "{place} is compared with nothing"
        );
    }
}

#[test]
fn a_task_has_the_fields_that_every_type_has() {
    let schema = the_schema();
    for form in ["task", "old_task"] {
        let common = schema["definitions"][form]["properties"].as_object().unwrap();
        for one in schema["definitions"][form]["allOf"].as_array().unwrap() {
            let fields = one["then"]["properties"].as_object().unwrap();
            assert!(common.keys().all(|name| fields.contains_key(name)), "{one}");
        }
    }
}

#[test]
fn the_schema_and_the_reader_know_the_same_words() {
    let at = |file: &str| file.replace("??", STRANGE);
    let files = [
        at(&full("edges: ??")),
        at("broker: a\nedges: ??\n"),
        at(&full("runtime: { delivery: ?? }")),
        at(&full("runtime: { state: { spill: ?? } }")),
        at(&full("ingest: { h: { type: ?? } }")),
        at(&full("source: { topic: a, start: ?? }")),
        at(&full("source: { topic: a, format: ?? }")),
        at(&with_task("task", "type: ??")),
        at(&with_task("task", "type: forward, on_error: ??")),
        at(&full("retry: { then: ?? }")),
        at(&full("dead_letter: { order: ?? }")),
        at(&with_task("task", "type: count, window: 1s, emit: ??")),
    ];
    let of_reader: BTreeSet<_> = files.iter().map(|file| known_to_the_reader(file)).collect();
    let mut of_schema = BTreeSet::new();
    words_in(&the_schema(), &mut of_schema);
    assert_eq!(of_schema, of_reader);
}

/// All lists of words of the schema.
fn words_in(schema: &Value, found: &mut BTreeSet<BTreeSet<String>>) {
    let children: Vec<&Value> = match schema {
        Value::Array(items) => items.iter().collect(),
        Value::Object(rules) => {
            if let Some(words) = rules.get("enum").and_then(Value::as_array) {
                let words = words.iter().map(|word| word.as_str().unwrap().to_owned());
                found.insert(words.collect());
            }
            rules.values().collect()
        }
        _ => Vec::new(),
    };
    for child in children {
        words_in(child, found);
    }
}

/// A file with this one mistake is refused at its place only, by the schema and by the reader.
#[track_caller]
fn check(expected: &str, file: &str) {
    let found = wrong_with(file);
    assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
    let parsed = parse(&Sources::single("p.yaml", file), &|_| None);
    assert!(!parsed.diagnostics.is_empty(), "the reader takes it: {file}");
}

const ENDS: &str = "source: in\nsink: { kafka: out }\n";
const COPY: &str = "tasks: [{ id: a, type: forward }]\n";

#[test]
fn what_is_wrong_with_a_task_is_said_at_its_place() {
    let task = |fields: &str| full(&format!("{ENDS}tasks: [{{ {fields} }}]"));
    let second = format!("{ENDS}tasks: [{{ id: a, type: sum }}, {{ id: b, type: averge, x: 1 }}]");
    check("tasks[1].type: \"averge\" is not one of [", &full(&second));
    check("[0].type: \"averge\" is not one of [", "[{ id: a, type: averge, window: 10 }]");
    check("tasks: there are fewer than 1 items", &full(&format!("{ENDS}tasks: []")));
    check("tasks[0]: \"id\" is required", &task("type: forward"));
    check("tasks[0].id: \"a b\" does not match", &task("id: a b, type: forward"));
    check("tasks[0].on_error: \"skp\" is not one of [", &task("id: a, type: sum, on_error: skp"));
    check("tasks[0].add: \"x\" is not of type \"number\"", &task("id: a, type: sum, add: x"));
    check("tasks[0]: field \"window\" is not allowed", &task("id: a, type: sum, window: 1s"));
    check("tasks[0]: \"where\" is required", &task("id: a, type: filter"));
    check("tasks[0]: \"set\" is required", &task("id: a, type: map"));
    check("tasks[0]: \"window\" is required", &task("id: a, type: average"));
    let without = task("id: a, type: count, emit: final");
    check("tasks[0]: \"window\" is required by \"emit\"", &without);
    let window = |window: &str| task(&format!("id: a, type: count, window: {window}"));
    check("tasks[0].window: 10 is not of type \"string\"", &window("10"));
    check("tasks[0].window: \"10x\" does not match", &window("10x"));
    check("tasks[0].window: field \"evry\" is not allowed", &window("{ size: 1m, evry: 10s }"));
    check("tasks[0].window: \"size\" is required", &window("{ every: 10s }"));
    check("tasks[0].window: nothing may stand here", &window("10s, ttl: 30d"));
}

#[test]
fn what_is_wrong_around_the_tasks_is_said_at_its_place() {
    let with = |fields: &str| full(&format!("{fields}\n{COPY}"));
    check("the file: \"hello\" is not of type \"object\"", "hello");
    check("version: 2 is not 1", &format!("version: 2\n{ENDS}{COPY}"));
    let runtime = |fields: &str| with(&format!("runtime: {{ {fields} }}\n{ENDS}"));
    check("runtime: field \"paralelism\" is not allowed", &runtime("paralelism: 4"));
    let four = runtime("parallelism: four");
    check("runtime.parallelism: \"four\" is not of type \"integer\"", &four);
    check("runtime.parallelism: 0 is less than 1", &runtime("parallelism: 0"));
    let limit = runtime("state: { memory_limit: 256 }");
    check("runtime.state.memory_limit: 256 is not of type \"string\"", &limit);
    let limit = runtime("state: { memory_limit: 256mib }");
    check("runtime.state.memory_limit: \"256mib\" does not match", &limit);
    check("sources: nothing may stand here", &with(&format!("{ENDS}sources: {{ b: c }}")));
    check("the file: \"source\" is required", &with("sink: { kafka: out }"));
    check("the file: \"sink\" is required", &with("source: in"));
    let begin = "source: { topic: in, start: begin }\nsink: { kafka: out }";
    check("source.start: \"begin\" is not one of [", &with(begin));
    let sink = |sink: &str| with(&format!("source: in\nsink: {sink}"));
    check("sink: field \"postgres\" is not allowed", &sink("{ postgres: {} }"));
    check("sink: there are fewer than 1 fields", &sink("{}"));
    check("sink.sqlite[0]: \"file\" is required", &sink("{ sqlite: [{ table: t }] }"));
    let old = "edges: topic\npipeline: [{ id: a, type: sum }]";
    check("edges: \"topic\" is not one of [", old);
}

#[test]
fn what_is_wrong_in_a_case_is_said_at_its_place() {
    let case = |fields: &str| full(&format!("{ENDS}{COPY}tests: [{{ name: n, {fields} }}]"));
    let misspelt = case("input: [{ valeu: 1 }], expect: []");
    check("tests[0].input[0]: field \"valeu\" is not allowed", &misspelt);
    let both = case("input: [{ advance: 1s, key: a }], expect: []");
    check("tests[0].input[0].key: nothing may stand here", &both);
    check("tests[0]: \"expect\" is required", &case("input: []"));
    let parked = case("input: [], errors: [{ on_error: parked }]");
    check("tests[0].errors[0].on_error: \"parked\" is not one of [", &parked);
}
