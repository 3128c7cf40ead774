//! Pipeline files in, specs and messages out.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

#[path = "spec/pattern.rs"]
mod pattern;
#[path = "spec/schema.rs"]
mod schema;
#[path = "spec/validator.rs"]
mod validator;

use proptest::prelude::*;
use topology::diagnose::{Look, Paint, Sources, render};
use topology::spec::{
    Edges, Form, Format, LetterOrder, OnError, Retry, Spec, Spill, StateSettings, TaskKind,
    TestStep, echo, parse, parse_configuration, upgrade,
};

fn problems(text: &str) -> String {
    let sources = Sources::single("pipeline.yaml", text);
    let parsed = parse(&sources, &|_| None);
    render(&parsed.diagnostics, &sources, Look::Plain, Paint::Off)
}

const GREENHOUSE: &str = "\
version: 1
name: greenhouse
cluster:
  brokers: [kafka-1:9092, kafka-2:9092]
  properties: { linger.ms: 5, compression.type: lz4 }
runtime:
  task_managers: 3
  parallelism: 4
  delivery: exactly_once
  checkpoint_interval: 1s
  state: { memory_limit: 256MiB, spill: disk, snapshot_interval: 5s, standby: 1 }
source: { topic: sensors.raw, group: greenhouse, start: earliest, format: json }
tasks:
  - { id: ingest, type: filter, where: temp_c != null, to: [mean, seen] }
  - { id: mean, type: average, key: device_id, value: temp_c, window: 10s, to: sink }
  - id: seen
    type: count
    key: device_id
    window: { size: 1m, every: 10s }
    on_error: dead_letter
    to: sink
sink:
  kafka: { topic: greenhouse.out }
  sqlite: { file: a.db, table: readings, key: [device_id, window_start], create_table: true }
dead_letter: { topic: greenhouse.dlq }
tests:
  - name: averages two readings of one device
    at: mean
    input:
      - { key: d1, value: { device_id: d1, temp_c: 20.0 }, timestamp: \"2026-01-01T00:00:01Z\" }
      - { key: d1, value: { device_id: d1, temp_c: 22.0 }, timestamp: 2026-01-01T00:00:02Z }
    expect:
      - { key: d1, value: { average: 21.0, count: 2 } }
";

#[test]
fn the_full_form_is_read_completely() {
    let sources = Sources::single("greenhouse.yaml", GREENHOUSE);
    let parsed = parse(&sources, &|_| None);
    assert_eq!(render(&parsed.diagnostics, &sources, Look::Plain, Paint::Off), "");
    let spec = parsed.spec.unwrap();
    assert_eq!(spec.name.value, "greenhouse");
    assert_eq!(spec.brokers.unwrap().value, "kafka-1:9092,kafka-2:9092");
    assert_eq!(spec.properties["linger.ms"], "5");
    assert_eq!((spec.runtime.parallelism, spec.runtime.commit_interval_ms), (4, 1_000));
    let state = StateSettings {
        memory_limit_bytes: 256 << 20,
        spill: Spill::Disk,
        snapshot_interval_ms: 5_000,
        standby: 1,
    };
    assert_eq!(spec.runtime.state, state);
    assert_eq!(spec.partitions, 12);
    assert_eq!(spec.tasks.len(), 3);
    assert_eq!(
        spec.tasks[2].kind.window().map(|w| (w.size_ms, w.every_ms)),
        Some((60_000, 10_000))
    );
    assert_eq!(spec.sinks[0].topic.as_ref().unwrap().value, "greenhouse.out");
    let case = &spec.tests[0];
    let records: Vec<_> = case.input.iter().filter_map(TestStep::record).collect();
    assert_eq!(records[1].timestamp_ms, Some(1_767_225_602_000));
    let value = records[0].value.as_deref();
    assert_eq!(value, Some("{\"device_id\":\"d1\",\"temp_c\":20.0}"));
}

const TESTED: &str = "\
version: 1
source: in
tasks:
  - { id: mean, type: average, window: 10s, on_error: skip, to: sink }
  - { id: seen, type: count, to: sink }
sink: { kafka: out }
tests:
  - name: time, state and errors
    input:
      - { key: a, value: { value: 1 } }
      - advance: 1m30s
      - { key: a, value: { value: x } }
    state:
      seen: { a: { count: 2 }, b: null }
      mean: { a: [{ average: 1 }, { average: 2 }] }
    errors:
      - { task: mean, key: a, value: { value: x }, on_error: skip, reason: no number }
";

#[test]
fn a_case_may_look_at_time_state_and_errors() {
    assert_eq!(problems(TESTED), "");
    let parsed = parse(&Sources::single("pipeline.yaml", TESTED), &|_| None);
    let case = parsed.spec.unwrap().tests.remove(0);
    assert_eq!(case.expect, None);
    assert_eq!(case.input[1], TestStep::Advance(90_000));
    let keys = |at: usize| -> Vec<(&str, Vec<&str>)> {
        let keys = case.state[at].keys.iter();
        keys.map(|it| (&*it.key.value, it.documents.iter().map(|it| &**it).collect())).collect()
    };
    assert_eq!(case.state[0].task.value, "seen");
    assert_eq!(keys(0), [("a", vec!["{\"count\":2}"]), ("b", vec![])]);
    assert_eq!(keys(1), [("a", vec!["{\"average\":1}", "{\"average\":2}"])]);
    let error = &case.errors.unwrap()[0];
    assert_eq!(error.task.as_ref().unwrap().value, "mean");
    assert_eq!((error.key.as_deref(), error.on_error), (Some("a"), Some(OnError::Skip)));
    assert_eq!(error.value.as_deref(), Some("{\"value\":\"x\"}"));
    assert_eq!(error.reason.as_deref(), Some("no number"));
}

#[test]
fn what_is_wrong_in_a_case_is_told_with_its_place() {
    let check = |from: &str, to: &str, parts: &[&str]| {
        let found = problems(&TESTED.replace(from, to));
        let lines: Vec<&str> = found.lines().collect();
        let is_told = lines.len() == 1 && parts.iter().all(|part| lines[0].contains(part));
        assert!(is_told, "wanted {parts:?} in {found}");
    };
    check("advance: 1m30s", "advance: 90", &["yaml:11:18", "90 has no unit"]);
    check("advance: 1m30s", "advance: 0s", &["MS-1016", "longer than nothing"]);
    check("advance:", "advnce:", &["yaml:11:9", "did you mean `advance`?"]);
    let both = "{ advance: 1s, key: a }";
    check("advance: 1m30s", both, &["a step with `advance` has no field `key`"]);
    check("errors:", "erors:", &["did you mean `errors`?"]);
    check("reason:", "reson:", &["yaml:17:", "did you mean `reason`?"]);
    check("on_error: skip, reason", "on_error: skp, reason", &["did you mean `skip`?"]);
    check(
        "state:\n      seen: { a: { count: 2 }, b: null }\n",
        "state:\n      seen: x\n",
        &["the state of `seen` must be a mapping"],
    );
    let text = TESTED.split("    state:").next().unwrap();
    assert!(problems(text).contains("test `time, state and errors` has no `expect`"));
}

const LIST: &str = "\
- id: ingest
  type: forward
  to: [total, hits, mean]
- id: total
  type: sum
  constant: 5
  to: [sink]
- id: hits
  type: count
  to: sink
- id: mean
  type: average
";

#[test]
fn the_bare_list_is_read() {
    let sources = Sources::single("tasks.yaml", LIST);
    let parsed = parse(&sources, &|_| None);
    assert_eq!(parsed.diagnostics, []);
    let spec = parsed.spec.unwrap();
    assert_eq!(spec.name.value, "tasks");
    assert_eq!(spec.sources[0].format, Format::Number);
    assert!(matches!(&spec.tasks[1].kind, TaskKind::Sum { field: None, .. }));
    assert_eq!(spec.tasks[3].kind.window().map(|window| window.implied), Some(true));
    assert_eq!(spec.tasks[3].to, None);
}

const CONFIG: &str = "broker: localhost:9092\ntask_managers_number: 3\nparallelism: 2\n\
                      source_topic: numbers\nsink_topic: results\nedges: topics\n";

#[test]
fn a_configuration_may_hold_the_list_or_stand_beside_it() {
    let list = "[{ id: a, type: sum, to: [sink] }]";
    let inside = format!("{CONFIG}pipeline:\n  - {{ id: a, type: sum, to: [sink] }}\n");
    let mut beside = Sources::single("tasks.yaml", list);
    assert_eq!(beside.add("config.yaml", CONFIG), 1);
    for sources in [Sources::single("tasks.yaml", &inside), beside] {
        let parsed = parse(&sources, &|_| None);
        assert_eq!(render(&parsed.diagnostics, &sources, Look::Plain, Paint::Off), "");
        let spec = parsed.spec.unwrap();
        assert_eq!(spec.brokers.unwrap().value, "localhost:9092");
        assert_eq!((spec.runtime.task_managers, spec.runtime.parallelism), (3, 2));
        assert_eq!(spec.sources[0].topic.value, "numbers");
        assert_eq!(spec.sinks[0].topic.as_ref().unwrap().value, "results");
        assert_eq!(spec.edges, Edges::Topics);
        assert_eq!(spec.tasks.len(), 1);
        assert_eq!(spec.name.value, "tasks");
    }
}

#[test]
fn limits_of_state_have_units_bounds_and_a_home() {
    let with = |runtime: &str, task: &str| {
        problems(&format!(
            "version: 1\nruntime: {{ state: {{ {runtime} }} }}\nsource: a\nsink: {{ kafka: b }}\n\
             tasks: [{{ id: one, {task} }}]\n"
        ))
    };
    let count = "type: count, ttl: 30d, to: sink";
    assert_eq!(with("memory_limit: 1.5GiB, spill: none", count), "");
    let unit = with("memory_limit: 256", count);
    assert!(unit.contains("error[MS-1012]: memory_limit: 256 has no unit"), "{unit}");
    assert!(unit.contains("write 256MiB or 256GiB"), "{unit}");
    let small = with("memory_limit: 1KiB", count);
    assert!(small.contains("must be a size from 1MiB to 1TiB, found 1KiB"), "{small}");
    let wrong = with("spill: dsk", count);
    assert!(wrong.contains("did you mean `disk`?"), "{wrong}");
    let window = with("", "type: count, ttl: 30d, window: 10s, to: sink");
    assert!(window.contains("error[MS-1023]: task `one` has `ttl` beside a window"), "{window}");
    let homeless = with("", "type: forward, ttl: 30d, to: sink");
    assert!(homeless.contains("`ttl`") && homeless.contains("`count`"), "{homeless}");
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = "\
version: 1
name: bad name
runtime: { paralelism: 4, parallelism: four, commit_interval: 10 }
source: { topic: a, start: begin }
tasks:
  - { id: one, type: averge, window: 10 }
  - { id: two, type: average, window: 10, to: sink }
  - { id: three, type: filter, where: \"temp >\", colour: red }
  - { id: four, type: sum, window: 10s, add: x }
  - { type: forward }
sink: { kafka: { topic: b }, postgres: {} }
sinks: {}
";
    let found = problems(text);
    let codes: Vec<&str> =
        found.lines().filter_map(|line| Some(&line[line.find("MS-")?..][..7])).collect();
    let expected = [
        "MS-1009", "MS-1003", "MS-1012", "MS-1002", "MS-1003", "MS-1004", "MS-1012", "MS-1020",
        "MS-1002", "MS-1003", "MS-1028", "MS-1007", "MS-1014", "MS-1029",
    ];
    assert_eq!(codes, expected, "{found}");
    assert!(found.contains("`paralelism`; help: did you mean `parallelism`?"), "{found}");
    assert!(found.contains("window: 10 has no unit; help: write 10s, 10m or 10ms"), "{found}");
    assert!(
        found.contains("must be a whole number from 1 to 1024, found the text `four`"),
        "{found}"
    );
    assert!(found.contains("pipeline.yaml:6:22: error[MS-1004]"), "{found}");
}

const VARIABLES: &str = "version: 1\nname: ${NAME}\nsource: ${TOPIC:-in}\ntasks:\n  \
                         - { id: a, type: forward, to: \"${TARGET}\" }\nsink: { kafka: out }\n";

#[test]
fn variables_are_replaced_in_scalars_only() {
    let sources = Sources::single("p.yaml", VARIABLES);
    let lookup = |name: &str| match name {
        "NAME" => Some("live".to_owned()),
        "TARGET" => Some("[a, b]".to_owned()),
        _ => None,
    };
    let spec = parse(&sources, &lookup).spec.unwrap();
    assert_eq!(spec.name.value, "live");
    assert_eq!(spec.sources[0].topic.value, "in");
    let targets: Vec<&str> =
        spec.tasks[0].to.iter().flatten().map(|target| target.value.as_str()).collect();
    assert_eq!(targets, ["[a, b]"], "a variable never becomes structure");
    assert!(problems(VARIABLES).contains("needs the variable `NAME`, which is not set"));
}

#[test]
fn what_is_no_pipeline_says_what_one_is() {
    assert!(problems("").contains("MS-1032"));
    assert!(problems("hello").contains("MS-1032"));
    assert!(problems("a: [").contains("MS-1001"));
    assert!(problems("version: 2\ntasks: []").contains("`version` must be 1"));
    assert!(problems("a: &a [*a]").contains("MS-1001"));
}

const LEGACY: &str = "\
broker: localhost:9092
parallelism: 2
edges: topics
source_topic: numbers
sink_topic: 'null'
pipeline:
  - { id: in, type: forward, to: [total, hits] }
  - { id: total, type: sum, constant: 5, to: [sink], on_error: skip }
  - { id: hits, type: count, key: \"text(value % 10) + '${X:-x}'\" }
  - { id: big, type: filter, where: 'value > 5', to: mean }
  - { id: mean, type: average }
  - { id: set, type: map, set: { a.b: value * 2, 'c': \"'\\\"'\" }, unset: [d] }
";

#[test]
fn a_legacy_file_becomes_a_full_one_that_means_the_same() {
    let read = |text: &str| -> Spec {
        let sources = Sources::single("legacy.yaml", text);
        let parsed = parse(&sources, &|_| None);
        assert_eq!(render(&parsed.diagnostics, &sources, Look::Plain, Paint::Off), "", "{text}");
        parsed.spec.unwrap()
    };
    let before = read(LEGACY);
    let full = upgrade(&before);
    let after = read(&full);
    assert_eq!((before.form, after.form), (Form::Legacy, Form::Full));
    assert_eq!(after.runtime, before.runtime);
    assert_eq!((after.edges, after.partitions), (before.edges, before.partitions));
    assert_eq!(after.sources[0].topic.value, "numbers");
    assert_eq!(after.sources[0].format, Format::Number);
    assert_eq!(after.sinks[0].topic.as_ref().unwrap().value, "null");
    for (old, new) in before.tasks.iter().zip(&after.tasks) {
        assert_eq!((&old.id.value, &old.key), (&new.id.value, &new.key), "{full}");
        assert_eq!((old.kind.word(), old.on_error), (new.kind.word(), new.on_error), "{full}");
        assert_eq!(
            old.kind.window().map(|w| (w.size_ms, w.emit)),
            new.kind.window().map(|w| (w.size_ms, w.emit)),
            "{full}"
        );
    }
    assert_eq!(before.tasks[5].kind, after.tasks[5].kind);
    let again = upgrade(&after);
    assert_eq!(upgrade(&read(&again)), again);
}

#[test]
fn an_old_file_is_echoed_in_todays_words_with_all_that_was_left_out() {
    let text = "broker_address: kafka-1\nbroker_port: 9093\ntask_managers_number: 3\n\
                checkpoint_interval: 1s\npipeline:\n  \
                - { id: a, type: sum, constant: 5, to: b }\n  - { id: b, type: average }\n";
    let read = |text: &str| {
        let parsed = parse(&Sources::single("old.yaml", text), &|_| None);
        assert_eq!(parsed.diagnostics, [], "{text}");
        parsed.spec.unwrap()
    };
    let echoed = echo(&read(text));
    let expected = "name: old\nbroker: kafka-1:9093\ntask_managers: 3\nparallelism: 1\n\
                    partitions: 1\ncommit_interval: 1s\nedges: topics\nsource_topic: source\n\
                    sink_topic: sink\npipeline:\n  - id: a\n    type: sum\n    add: 5\n    \
                    on_error: fail\n    to: b\n  - id: b\n    type: average\n    window: 10s\n    \
                    emit: update\n    on_error: fail\n    to: sink\n";
    assert_eq!(echoed, expected);
    assert_eq!(echo(&read(&echoed)), echoed);
    assert_eq!(upgrade(&read(&echoed)), upgrade(&read(text)));
    let all = read(LEGACY);
    assert_eq!(echo(&read(&echo(&all))), echo(&all));
    assert_eq!(upgrade(&read(&echo(&all))), upgrade(&all));
    let twice = problems("broker: a:1\nbroker_port: 2\npipeline: [{ id: a, type: sum }]\n");
    assert!(twice.contains("the port of the broker is given twice: `a:1` has one"), "{twice}");
}

/// A spec without the places where it was written.
fn meaning(spec: &Spec) -> String {
    let told = format!("{spec:?}");
    let mut parts = told.split("Span {");
    let mut meaning = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        meaning.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    meaning
}

#[test]
fn an_echo_of_a_whole_file_means_what_the_file_means() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut files: Vec<String> = [GREENHOUSE, TESTED, FAILING].map(str::to_owned).to_vec();
    for example in ["machine-health.yaml", "orders.yaml"] {
        files.push(std::fs::read_to_string(format!("{folder}/{example}")).unwrap());
    }
    files.push(
        "version: 1\nname: '${X:-a}'\nsources:\n  s: { topic: a, format: { json: { validate: \
         true } }, start: latest, event_time: t, idle: 5s }\n  u: b\ntasks:\n  - { id: a, type: \
         count, key: '\"$${\"', from: [s, u], event_time: \"'}'\", window: 1m, grace: 2s, \
         partitions: 3, to: [x, y], on_error: retry, retry: { limit: 3 } }\nsinks:\n  x: { kafka: \
         x, sqlite: [{ file: 'a b', table: t, key: [k] }, { file: c, table: u }] }\n  y: { sqlite: \
         { file: d, table: v } }\ntopics:\n  x: { partitions: 2, retention: 1h, config: { a.b: \
         '1' } }\ntests:\n  - { name: n, input: [{ key: k, value: [1, 'a'], timestamp: 7 }, { \
         advance: 3s }], expect: [] }\n"
            .to_owned(),
    );
    for file in files {
        let read = |text: &str| {
            let sources = Sources::single("p.yaml", text);
            let parsed = parse(&sources, &|_| None);
            assert_eq!(
                render(&parsed.diagnostics, &sources, Look::Plain, Paint::Off),
                "",
                "{text}"
            );
            parsed.spec.unwrap()
        };
        let before = read(&file);
        let echoed = echo(&before);
        assert_eq!(meaning(&read(&echoed)), meaning(&before), "{echoed}");
    }
}

#[test]
fn a_configuration_is_read_by_itself() {
    let read = |text: &str| parse_configuration(&Sources::single("config.yaml", text), &|_| None);
    let spec = read(CONFIG).spec.unwrap();
    assert_eq!(spec.brokers.unwrap().value, "localhost:9092");
    assert_eq!((spec.runtime.task_managers, spec.tasks.len()), (3, 0));
    assert_eq!(read(LEGACY).spec.unwrap().tasks.len(), 6);
    assert_eq!(read(GREENHOUSE).spec.unwrap().form, Form::Full);
    for wrong in [LIST, "", "a", "broker: [", "brokr: x\n"] {
        assert_eq!(read(wrong).diagnostics.len(), 1, "{wrong}");
    }
}

/// Fragments that reach deep into the readers when they are put together at random.
fn fragments() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "version: 1\n",
        "tasks:\n",
        "  - id: a\n",
        "    type: sum\n",
        "    type: map\n",
        "    set: { a.b: value + 1 }\n",
        "    to: [b, sink]\n",
        "    window: 10s\n",
        "- id: b\n",
        "  type: filter\n",
        "  where: value >\n",
        "sink:\n",
        "  kafka: { topic: x }\n",
        "sources:\n",
        "  s: { topic: t, format: { json: {} } }\n",
        "source: x\n",
        "ingest: { h: { type: host } }\n",
        "pipeline:\n",
        "broker: ${X}\n",
        "tests: [{ name: n, input: [{ value: [1, a] }] }]\n",
        "name: &n x\n",
        "edges: *n\n",
        "? [a]\n: b\n",
        "~: 1\n",
        "\"\": {}\n",
        "- \n",
        "\t",
        "!!map ",
        "topics: { a: { retention: 1h, config: { x: 1 } } }\n",
        "--- \n",
        "null\n",
        "runtime: []\n",
    ]);
    prop::collection::vec(words, 0..14).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(
            text in "(\\PC|[\\n\\t :\\-\\[\\]{}&*!|>'\"#,?%@`~]){0,120}",
        ) {
        let _ = problems(&text); // Only a panic would be wrong.
    }

    #[test]
    fn no_mixture_of_valid_parts_makes_the_reader_panic(text in fragments()) {
        let sources = Sources::single("p.yaml", &text);
        let parsed = parse(&sources, &|_| Some("v".to_owned()));
        for look in [Look::Boxes, Look::Ascii, Look::Plain, Look::Github] {
            let _ = render(&parsed.diagnostics, &sources, look, Paint::Ansi); // As above.
        }
        prop_assert!(parsed.spec.is_some() || !parsed.diagnostics.is_empty());
    }
}

const FAILING: &str = "\
version: 1
source: in
on_error: retry
retry: { limit: 3, backoff: 1s, then: dead_letter }
tasks:
  - { id: a, type: forward, to: b }
  - { id: b, type: forward, on_error: skip, to: c }
  - { id: c, type: forward, on_error: retry, retry: { backoff: 2s, then: skip }, to: sink }
sink: { kafka: out }
dlq: DLQ
";

#[test]
fn what_becomes_of_failures_is_said_for_all_tasks_and_for_one() {
    let read = |dlq: &str| {
        let sources = Sources::single("p.yaml", &FAILING.replace("DLQ", dlq));
        let parsed = parse(&sources, &|_| None);
        assert_eq!(render(&parsed.diagnostics, &sources, Look::Plain, Paint::Off), "");
        parsed.spec.unwrap()
    };
    let spec = read("plain");
    let rules: Vec<_> = spec.tasks.iter().map(|task| (task.on_error, task.retry)).collect();
    let then = OnError::DeadLetter;
    let usual = Retry { limit: 3, backoff_ms: 1_000, backoff_max_ms: 10_000, then };
    let own = Retry { backoff_ms: 2_000, then: OnError::Skip, ..usual };
    let expected =
        [(OnError::DeadLetter, Some(usual)), (OnError::Skip, None), (OnError::Skip, Some(own))];
    assert_eq!(rules, expected);
    let letters = |dlq: &str| {
        let spec = read(dlq);
        (spec.dead_letter.map(|topic| topic.value), spec.letters)
    };
    assert_eq!(letters("plain"), (None, LetterOrder::Plain));
    assert_eq!(letters("lost"), (Some("lost".to_owned()), LetterOrder::Sequenced));
    let both = "{ topic: plain, order: plain }";
    assert_eq!(letters(both), (Some("plain".to_owned()), LetterOrder::Plain));
}

#[test]
fn retries_that_cannot_be_meant_are_told() {
    let with = |from: &str, to: &str| problems(&FAILING.replace("DLQ", "plain").replace(from, to));
    let told = with("on_error: skip", "on_error: skip, retry: { limit: 2 }");
    assert!(told.contains("task `b` has `retry`, and its `on_error` is skip"), "{told}");
    let told = with("backoff: 1s", "backoff: 1m");
    assert!(told.contains("`backoff` is longer than `backoff_max`"), "{told}");
    let told = with("limit: 3", "limit: 0");
    assert!(told.contains("MS-1016"), "{told}");
    let told = with("then: skip", "then: retry");
    assert!(told.contains("`then` is one of fail, skip, dead_letter"), "{told}");
}
