//! `pipeline test`: the test cases of a file, without a log.

use std::path::PathBuf;

use clap::Args;
use pipeline::testing::{self, CaseResult, Difference, Outcome, TestFailure, TestOutput};
use topology::diagnose::Sources;
use topology::spec::{OnError, TestError, TestRecord, timestamp_text};

use super::FileArgs;
use crate::cli::Stage;
use crate::message::{Exit, Failure};
use crate::pipeline_file;
use crate::render::table::visible;

/// Lines shown of each side of a difference.
const RECORDS_SHOWN_MAX: usize = 5;

/// Options of the action.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl TestArgs {
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.file.files
    }
}

/// Runs the cases.
pub(super) fn run(args: &TestArgs, stage: &mut Stage) -> Result<Exit, Failure> {
    let sources = pipeline_file::read(args.files(), stage)?;
    let loaded = match pipeline_file::load(args.files(), stage) {
        Ok(loaded) => loaded,
        Err(told) => return told,
    };
    let results = testing::run(&loaded.spec);
    let is_passed = |result: &&CaseResult| result.outcome == Outcome::Passed;
    let passed = results.iter().filter(is_passed).count();
    let failed = results.len() - passed;
    if args.json {
        let cases: Vec<_> = results.iter().map(|result| json(result, &sources)).collect();
        stage.line(&serde_json::Value::Array(cases).to_string())?;
    } else {
        for result in &results {
            stage.put(text(result, &sources).as_bytes())?;
        }
        if results.is_empty() {
            stage.note("the file has no test cases; `tests:` holds them");
        } else {
            stage.line(&format!("{passed} passed, {failed} failed"))?;
        }
    }
    Ok(if failed == 0 { Exit::Success } else { Exit::Failed })
}

fn place(result: &CaseResult, sources: &Sources) -> String {
    sources
        .place(result.span)
        .map_or_else(String::new, |place| format!("{}:{}:{}", place.file, place.line, place.column))
}

fn text(result: &CaseResult, sources: &Sources) -> String {
    let name = visible(&result.name);
    let differences = match &result.outcome {
        Outcome::Passed => return format!("ok    {name}\n"),
        Outcome::Errored(failure) => {
            let place = place(result, sources);
            let (task, reason) = (&failure.task, visible(&failure.reason));
            let key = visible(failure.key.as_deref().unwrap_or("(none)"));
            return format!(
                "FAIL  {name}   {place}\n      task `{task}` stops at the record with key {key}: \
                 {reason}\n"
            );
        }
        Outcome::Failed(differences) => differences,
    };
    let mut text = format!("FAIL  {name}   {}\n", place(result, sources));
    for difference in differences {
        let (heading, from) = heading(difference);
        text.push_str(&format!("      {heading}\n"));
        let (expected, came) = sides(difference);
        for (word, side) in [("expected", expected), ("came    ", came)] {
            for line in side.iter().skip(from).take(RECORDS_SHOWN_MAX) {
                text.push_str(&format!("      {word}  {line}\n"));
            }
        }
    }
    text
}

/// What differs, and the first line of each side that is worth seeing.
fn heading(difference: &Difference) -> (String, usize) {
    let (expected, came, first, verbs) = match difference {
        Difference::Outputs { first, expected, actual } => {
            (expected.len(), actual.len(), *first, ("expected", "came"))
        }
        Difference::Errors { first, expected, actual } => {
            (expected.len(), actual.len(), *first, ("expected to fail", "did"))
        }
        Difference::State { task, expected, .. } => {
            let key = visible(&expected.key.value);
            return (format!("task `{task}` remembers something else of key {key}"), 0);
        }
    };
    let heading = format!(
        "{} {}, {came} {}; they differ from record {} on",
        records(expected),
        verbs.0,
        verbs.1,
        first + 1
    );
    (heading, first.saturating_sub(1))
}

/// What was expected and what came, in lines.
fn sides(difference: &Difference) -> (Vec<String>, Vec<String>) {
    match difference {
        Difference::Outputs { expected, actual, .. } => {
            let actual = actual.iter().map(actual_text).collect();
            (expected.iter().map(expected_text).collect(), actual)
        }
        Difference::Errors { expected, actual, .. } => {
            let actual = actual.iter().map(failed_text).collect();
            (expected.iter().map(error_text).collect(), actual)
        }
        Difference::State { expected, actual, .. } => {
            (remembered(&expected.documents), remembered(actual))
        }
    }
}

fn remembered(documents: &[String]) -> Vec<String> {
    if documents.is_empty() {
        return vec!["(nothing)".to_owned()];
    }
    documents.iter().map(|document| visible(document)).collect()
}

fn records(count: usize) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}

fn expected_text(record: &TestRecord) -> String {
    let topic = record.topic.as_ref().map(|topic| topic.value.as_str());
    let time = record.timestamp_ms.map(timestamp_text);
    line(topic, (record.key.as_deref(), record.value.as_deref()), time)
}

fn actual_text(record: &TestOutput) -> String {
    let time = Some(timestamp_text(record.timestamp_ms));
    line(record.topic.as_deref(), (record.key.as_deref(), record.value.as_deref()), time)
}

fn error_text(error: &TestError) -> String {
    let task = error.task.as_ref().map(|task| task.value.as_str());
    let record = (error.key.as_deref(), error.value.as_deref());
    failing(task, record, error.on_error, error.reason.as_deref())
}

fn failed_text(failure: &TestFailure) -> String {
    let record = (failure.key.as_deref().or(Some("(no key)")), failure.value.as_deref());
    failing(Some(&failure.task), record, Some(failure.on_error), Some(&failure.reason))
}

fn failing(
    task: Option<&str>,
    (key, value): (Option<&str>, Option<&str>),
    on_error: Option<OnError>,
    reason: Option<&str>,
) -> String {
    let mut parts = vec![task.unwrap_or("(any task)").to_owned()];
    parts.extend(on_error.map(|on_error| on_error.word().to_owned()));
    parts.extend(key.map(visible));
    parts.extend(value.map(visible));
    parts.extend(reason.map(|reason| format!("because {}", visible(reason))));
    parts.join("  ")
}

fn line(
    topic: Option<&str>,
    (key, value): (Option<&str>, Option<&str>),
    time: Option<String>,
) -> String {
    let mut parts = vec![visible(key.unwrap_or("(no key)")), visible(value.unwrap_or("(none)"))];
    parts.extend(topic.map(|topic| format!("to {topic}")));
    parts.extend(time.map(|time| format!("at {time}")));
    parts.join("  ")
}

fn json(result: &CaseResult, sources: &Sources) -> serde_json::Value {
    let (outcome, detail) = match &result.outcome {
        Outcome::Passed => ("passed", serde_json::Value::Null),
        Outcome::Errored(failure) => ("errored", failure.to_string().into()),
        Outcome::Failed(differences) => {
            let differences: Vec<_> = differences.iter().map(difference_json).collect();
            ("failed", serde_json::Value::Array(differences))
        }
    };
    serde_json::json!({ "name": result.name, "place": place(result, sources), "outcome": outcome,
        "detail": detail })
}

fn difference_json(difference: &Difference) -> serde_json::Value {
    let what = match difference {
        Difference::Outputs { .. } => "outputs",
        Difference::State { .. } => "state",
        Difference::Errors { .. } => "errors",
    };
    let (expected, came) = sides(difference);
    let mut json = serde_json::json!({ "what": what, "expected": expected, "came": came });
    if let Difference::State { task, expected, actual } = difference {
        json["task"] = task.as_str().into();
        json["key"] = expected.key.value.as_str().into();
        json["expected"] = expected.documents.as_slice().into();
        json["came"] = actual.as_slice().into();
    }
    json
}
