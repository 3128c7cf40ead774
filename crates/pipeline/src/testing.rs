//! The test cases of a file, run in memory: no log, no clock, no state left behind.
//!
//! Every stage runs as one task, over partition 0. A record of a case goes all the way, from its
//! source through every stage, before the next one comes; then time moves on and closes what it
//! has passed, so that a late record is late here too. `advance` lets time go on without a record.
//! After the last step state is looked at, and then all windows close. A source that has no records
//! in a case does not hold time back.

mod rehearsal;

use topology::diagnose::Span;
use topology::json;
use topology::plan::Plan;
use topology::spec::{OnError, Spec, TestCase, TestError, TestKey, TestRecord};

use crate::engine::RecordFailure;

/// What came of a test case.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// Where the name is written.
    pub span: Span,
    /// How it went.
    pub outcome: Outcome,
}

/// How a test case went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// What came is what was expected.
    Passed,
    /// Something else came; at least one difference.
    Failed(Vec<Difference>),
    /// A record would have stopped the pipeline.
    Errored(RecordFailure),
}

/// What is not as a case expects it. `first` is the first place where two lists differ, counted
/// from 0; it may lie behind the end of the shorter one.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// Other records came out.
    Outputs {
        /// Where they begin to differ.
        first: usize,
        /// What was expected.
        expected: Vec<TestRecord>,
        /// What came out, in order.
        actual: Vec<TestOutput>,
    },
    /// A task remembers something else.
    State {
        /// The task.
        task: String,
        /// What was expected, with its key.
        expected: TestKey,
        /// The documents that the task would give.
        actual: Vec<String>,
    },
    /// Other records failed.
    Errors {
        /// Where they begin to differ.
        first: usize,
        /// What was expected.
        expected: Vec<TestError>,
        /// What failed, in order.
        actual: Vec<TestFailure>,
    },
}

/// A record that failed in a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// The task that cannot work on it.
    pub task: String,
    /// Why, in words.
    pub reason: String,
    /// The key as text; what is no text is shown in hexadecimal.
    pub key: Option<String>,
    /// The value as text, likewise.
    pub value: Option<String>,
    /// What becomes of it.
    pub on_error: OnError,
}

/// A record that came out of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutput {
    /// The topic that it would have been written to; `None` when a task was looked at.
    pub topic: Option<String>,
    /// The key as text; what is no text is shown in hexadecimal.
    pub key: Option<String>,
    /// The value as text, likewise; `None` for none (a tombstone).
    pub value: Option<String>,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// Runs all cases of a spec that `lint` found free of errors, in the order of the file.
#[must_use]
pub fn run(spec: &Spec) -> Vec<CaseResult> {
    let plan = Plan::of(spec);
    let first = spec.sources.first().map_or("", |source| source.topic.value.as_str());
    spec.tests.iter().map(|case| run_case(&plan, case, first)).collect()
}

fn run_case(plan: &Plan, case: &TestCase, first: &str) -> CaseResult {
    let outcome = match rehearsal::play(plan, case, first) {
        Ok(played) => judge(case, played),
        Err(failure) => Outcome::Errored(failure),
    };
    CaseResult { name: case.name.value.clone(), span: case.name.span, outcome }
}

fn judge(case: &TestCase, played: rehearsal::Played) -> Outcome {
    let rehearsal::Played { outputs, state, failures } = played;
    let mut differences = Vec::new();
    if let Some(expected) = &case.expect
        && let Some(first) = first_difference(expected, &outputs, is_as_expected)
    {
        let expected = expected.clone();
        differences.push(Difference::Outputs { first, expected, actual: outputs });
    }
    let keys = case.state.iter().flat_map(|state| state.keys.iter().map(move |it| (state, it)));
    for ((of, key), actual) in keys.zip(state) {
        let is_same = |expected: &String, actual: &String| {
            json::matches(expected.as_bytes(), actual.as_bytes())
        };
        if first_difference(&key.documents, &actual, is_same).is_some() {
            let task = of.task.value.clone();
            differences.push(Difference::State { task, expected: key.clone(), actual });
        }
    }
    if let Some(expected) = &case.errors
        && let Some(first) = first_difference(expected, &failures, fails_as_expected)
    {
        let expected = expected.clone();
        differences.push(Difference::Errors { first, expected, actual: failures });
    }
    if differences.is_empty() { Outcome::Passed } else { Outcome::Failed(differences) }
}

/// The first place where two lists do not agree.
fn first_difference<E, A>(
    expected: &[E],
    actual: &[A],
    agrees: impl Fn(&E, &A) -> bool,
) -> Option<usize> {
    let longest = expected.len().max(actual.len());
    (0..longest).find(|at| match (expected.get(*at), actual.get(*at)) {
        (Some(expected), Some(actual)) => !agrees(expected, actual),
        _ => true,
    })
}

/// Whether a record has all that is named; what is not named does not matter.
fn is_as_expected(expected: &TestRecord, actual: &TestOutput) -> bool {
    let topic = expected.topic.as_ref().map(|topic| &topic.value);
    let is_topic = topic.is_none() || actual.topic.is_none() || topic == actual.topic.as_ref();
    let is_key = expected.key.is_none() || expected.key == actual.key;
    let is_time = expected.timestamp_ms.is_none_or(|time_ms| time_ms == actual.timestamp_ms);
    let is_value = match (&expected.value, &actual.value) {
        (None, _) => true,
        (Some(expected), Some(actual)) => json::matches(expected.as_bytes(), actual.as_bytes()),
        (Some(expected), None) => expected == "null",
    };
    is_topic && is_key && is_time && is_value
}

/// The same for a record that fails; a part of the reason is enough.
fn fails_as_expected(expected: &TestError, actual: &TestFailure) -> bool {
    let is_task = expected.task.as_ref().is_none_or(|task| task.value == actual.task);
    let is_key = expected.key.is_none() || expected.key == actual.key;
    let is_value = match (&expected.value, &actual.value) {
        (None, _) => true,
        (Some(expected), Some(actual)) => json::matches(expected.as_bytes(), actual.as_bytes()),
        (Some(expected), None) => expected == "null",
    };
    let is_end = expected.on_error.is_none_or(|on_error| on_error == actual.on_error);
    let is_reason = expected.reason.as_ref().is_none_or(|part| actual.reason.contains(part));
    is_task && is_key && is_value && is_end && is_reason
}

#[cfg(test)]
mod tests {
    use topology::diagnose::Sources;
    use topology::spec;

    use super::*;

    fn outcomes(text: &str) -> Vec<(String, Outcome)> {
        let parsed = spec::parse(&Sources::single("test.yaml", text), &|_| None);
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let spec = parsed.spec.unwrap();
        assert!(!topology::diagnose::has_errors(&topology::lint::check(&spec)));
        run(&spec).into_iter().map(|result| (result.name, result.outcome)).collect()
    }

    fn outcome(text: &str) -> Outcome {
        let mut all = outcomes(text);
        assert_eq!(all.len(), 1);
        all.remove(0).1
    }

    const GREENHOUSE: &str = r#"
version: 1
name: greenhouse
source: { topic: sensors.raw }
EDGES
tasks:
  - { id: ingest, type: filter, where: temp_c != null, key: device_id, to: [mean, seen] }
  - { id: mean, type: average, value: temp_c, window: 10s, to: out }
  - { id: seen, type: count, to: out }
sinks:
  out: { kafka: { topic: greenhouse.out } }
tests:
  - name: averages two readings of one device
    at: mean
    input:
      - { key: d1, value: { device_id: d1, temp_c: 20.0 }, timestamp: "2026-01-01T00:00:01Z" }
      - { key: d1, value: { device_id: d1, temp_c: 22.0 }, timestamp: "2026-01-01T00:00:02Z" }
    expect:
      - { key: d1, value: { average: 21.0, count: 2 } }
  - name: all that reaches the sinks in its order
    input:
      - { value: { device_id: d1, temp_c: 20.0 }, timestamp: "2026-01-01T00:00:01Z" }
      - { value: { device_id: d1 } }
      - { value: { device_id: d2, temp_c: 1 } }
    expect:
      - { topic: greenhouse.out, key: d1, value: { count: 1 } }
      - { key: d2, value: { count: 1 }, timestamp: "2026-01-01T00:00:01Z" }
      - { key: d1, value: { average: 20 }, timestamp: "2026-01-01T00:00:09.999Z" }
      - { key: d2, value: { window_start: "2026-01-01T00:00:00.000Z" } }
"#;

    #[test]
    fn the_cases_of_the_greenhouse_pass_with_and_without_topics_between_its_tasks() {
        for edges in ["", "edges: topics"] {
            for (name, outcome) in outcomes(&GREENHOUSE.replace("EDGES", edges)) {
                assert_eq!(outcome, Outcome::Passed, "{name} with `{edges}`");
            }
        }
    }

    const COUNT: &str = "
version: 1
name: counts
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
tests:
  - name: case
    input: [{ key: a, value: {} }, { key: a, value: {}, timestamp: 5 }]
    expect: [EXPECT]
";

    #[test]
    fn what_differs_is_shown_with_its_place() {
        let first_of = |expect: &str| match outcome(&COUNT.replace("EXPECT", expect)) {
            Outcome::Passed => None,
            Outcome::Failed(mut differences) => {
                let one = differences.pop();
                let Some(Difference::Outputs { first, expected, actual }) = one else {
                    panic!("only outputs differ: {differences:?}")
                };
                let shown = TestOutput {
                    topic: Some("out".to_owned()),
                    key: Some("a".to_owned()),
                    value: Some("{\"count\":2}".to_owned()),
                    timestamp_ms: 5,
                };
                assert_eq!((actual.len(), &actual[1]), (2, &shown));
                Some((first, expected.len()))
            }
            Outcome::Errored(failure) => panic!("{failure}"),
        };
        let one = "{ key: a, value: { count: 1 } }";
        assert_eq!(first_of(&format!("{one}, {{ key: a, value: {{ count: 2 }} }}")), None);
        assert_eq!(first_of(&format!("{one}, {{ timestamp: 5 }}")), None);
        assert_eq!(first_of(&format!("{one}, {{ timestamp: 6 }}")), Some((1, 2)));
        assert_eq!(first_of(&format!("{one}, {{ key: b }}")), Some((1, 2)));
        assert_eq!(first_of(&format!("{one}, {{ topic: other }}")), Some((1, 2)));
        assert_eq!(first_of("{ value: { count: 3 } }, {}"), Some((0, 2)));
        assert_eq!(first_of(one), Some((1, 1)));
        assert_eq!(first_of("{}, {}, {}"), Some((2, 3)));
    }

    #[test]
    fn a_record_that_would_stop_the_pipeline_is_named() {
        let text = "
version: 1
name: failing
source: { topic: in }
tasks:
  - { id: plus, type: sum, field: n, to: sink }
sink: { kafka: { topic: out } }
tests:
  - name: case
    input: [{ key: a, value: { n: 1 } }, { key: a, value: { n: x } }]
    expect: []
";
        let Outcome::Errored(failure) = outcome(text) else { panic!("the record fails") };
        assert_eq!((failure.task.as_str(), failure.offset), ("plus", 1));
        assert_eq!((failure.topic.as_str(), failure.key.as_deref()), ("in", Some("a")));
        let parked = text.replace("field: n", "field: n, on_error: dead_letter");
        let expected = parked.replace("expect: []", "expect: [{ key: a, value: { n: 2 } }]");
        assert_eq!(outcome(&expected), Outcome::Passed);
    }

    #[test]
    fn what_waits_behind_a_dead_letter_comes_out_of_nothing_and_has_not_failed() {
        let text = "
version: 1
name: waiting
source: { topic: in }
tasks:
  - { id: plus, type: sum, field: n, on_error: dead_letter, to: sink }
sink: { kafka: { topic: out } }
LETTERS
tests:
  - name: case
    input:
      - { key: a, value: { n: x } }
      - { key: a, value: { n: 1 } }
      - { key: b, value: { n: 1 } }
    expect: [MORE{ key: b, value: { n: 2 } }]
    errors: [{ task: plus, key: a, value: { n: x }, on_error: dead_letter }]
";
        let waits = text.replace("LETTERS", "").replace("MORE", "");
        assert_eq!(outcome(&waits), Outcome::Passed);
        let gap = text.replace("LETTERS", "dead_letter: plain");
        let gap = gap.replace("MORE", "{ key: a, value: { n: 2 } }, ");
        assert_eq!(outcome(&gap), Outcome::Passed);
    }

    #[test]
    fn time_is_that_of_the_slowest_source_with_records_and_a_late_record_is_left_out() {
        let text = "
version: 1
name: joined
sources:
  left: { topic: left, max_out_of_order: 0s }
  right: { topic: right, max_out_of_order: 0s }
  silent: { topic: silent }
tasks:
  - { id: all, type: forward, from: [left, right, silent], to: mean }
  - { id: mean, type: count, window: 10s, to: sink }
sink: { kafka: { topic: out } }
EDGES
tests:
  - name: case
    input:
      - { topic: left, key: a, value: {}, timestamp: 1000 }
      - { topic: left, key: a, value: {}, timestamp: 11000 }
      - { topic: right, key: a, value: {}, timestamp: 2000 }
      - { topic: right, key: a, value: {}, timestamp: 12000 }
      - { topic: right, key: a, value: {}, timestamp: 3000 }
    expect:
      - { key: a, value: { count: 2 }, timestamp: 9999 }
      - { key: a, value: { count: 2 }, timestamp: 19999 }
";
        for edges in ["", "edges: topics"] {
            assert_eq!(outcome(&text.replace("EDGES", edges)), Outcome::Passed, "{edges}");
        }
    }

    const SUMS: &str = "
version: 1
name: sums
source: { topic: in, max_out_of_order: 5s, event_time: 'coalesce(at, @timestamp)' }
tasks:
  - { id: plus, type: sum, field: n, on_error: skip, to: [mean, seen] }
  - id: mean
    type: average
    value: n
    key: \"'all'\"
    window: { size: 20s, every: 10s }
    to: sink
  - { id: seen, type: count, on_error: dead_letter, to: sink }
sink: { kafka: { topic: out } }
EDGES
tests:
  - name: case
    at: mean
    input:
      - { key: a, value: { n: 1, at: 21000 } }
      - { key: a, value: { n: x } }
      - { value: { n: 2, at: 12000 } }
      - advance: 8s
      - { key: a, value: { n: 3, at: 5000 } }
      MORE
    STATE
    errors:
      - { task: plus, key: a, value: { n: x }, on_error: skip, reason: no number }
      - { task: seen, value: { n: 3 }, on_error: dead_letter, reason: has no key }
";

    fn sums(edges: &str, more: &str, looks: &str) -> Outcome {
        let text = SUMS.replace("EDGES", edges).replace("MORE", more);
        outcome(&text.replace("STATE", looks))
    }

    #[test]
    fn time_passes_and_state_and_errors_are_seen_with_and_without_topics_between_tasks() {
        let open = "state:
      seen: { a: { count: 2 }, b: null }
      mean:
        a: null
        all:
          - { average: 2.5, count: 2, window_end: '1970-01-01T00:00:30.000Z' }
          - { average: 2, count: 1 }";
        let closed = "state: { mean: { all: { average: 2, count: 1 } } }
    expect:
      - { value: { average: 3, window_end: '1970-01-01T00:00:20.000Z' } }
      - { value: { average: 2.5, window_end: '1970-01-01T00:00:30.000Z' } }
      - { value: { average: 2, window_end: '1970-01-01T00:00:40.000Z' } }";
        for edges in ["", "edges: topics"] {
            assert_eq!(sums(edges, "", open), Outcome::Passed, "{edges}");
            assert_eq!(sums(edges, "- advance: 1s", closed), Outcome::Passed, "{edges}");
        }
    }

    #[test]
    fn what_differs_in_state_and_errors_is_shown() {
        let differences = |outcome: Outcome| match outcome {
            Outcome::Failed(differences) => differences,
            other => panic!("{other:?}"),
        };
        let looks = "state: { seen: { a: { count: 3 }, z: {} } }";
        let state = differences(sums("", "", looks));
        let [Difference::State { task, expected, actual }, Difference::State { actual: none, .. }] =
            state.as_slice()
        else {
            panic!("two keys differ: {state:?}")
        };
        assert_eq!((task.as_str(), expected.key.value.as_str()), ("seen", "a"));
        assert_eq!((actual.as_slice(), none.len()), (&["{\"count\":2}".to_owned()][..], 0));
        let text = SUMS.replace("EDGES", "").replace("MORE", "").replace("STATE", "");
        let errors = differences(outcome(&text.replace("no number", "no such number")));
        let [Difference::Errors { first: 0, expected, actual }] = errors.as_slice() else {
            panic!("only errors differ: {errors:?}")
        };
        assert_eq!((expected.len(), actual.len()), (2, 2));
        assert_eq!(actual[1].reason, "the record has no key");
    }

    #[test]
    fn a_record_that_stops_the_pipeline_may_be_expected() {
        let tasks = "{ id: plus, type: sum, field: n, to: seen }
  - { id: seen, type: count, to: sink }";
        let text = COUNT.replace("{ id: seen, type: count, to: sink }", tasks);
        let text = text.replace("expect: [EXPECT]", "expect: []\n    errors: [WHAT]");
        let with = |what: &str| outcome(&text.replace("WHAT", what));
        let stops = "{ task: plus, key: a, on_error: fail, reason: not there }";
        assert_eq!(with(stops), Outcome::Passed);
        assert!(matches!(with(""), Outcome::Failed(differences) if differences.len() == 1));
    }

    #[test]
    fn the_example_passes_its_own_cases() {
        let all = outcomes(include_str!("../../../examples/machine-health.yaml"));
        assert!(all.len() >= 2);
        for (name, outcome) in all {
            assert_eq!(outcome, Outcome::Passed, "{name}");
        }
    }
}
