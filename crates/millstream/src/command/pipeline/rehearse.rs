//! `pipeline test`: the test cases of a file, without a log.

use std::path::PathBuf;

use clap::Args;
use pipeline::testing::{self, CaseResult, Outcome, TestOutput};
use topology::diagnose::Sources;
use topology::spec::{TestRecord, timestamp_text};

use super::FileArgs;
use crate::cli::Stage;
use crate::message::{Exit, Failure};
use crate::pipeline_file;
use crate::render::table::visible;

/// Records shown of each side of a case that failed.
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
    let sources = pipeline_file::read(args.files())?;
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
    let (first, expected, actual) = match &result.outcome {
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
        Outcome::Failed { first, expected, actual } => (*first, expected, actual),
    };
    let mut text = format!("FAIL  {name}   {}\n", place(result, sources));
    text.push_str(&format!(
        "      {} expected, {} came; they differ from record {} on\n",
        records(expected.len()),
        actual.len(),
        first + 1
    ));
    let from = first.saturating_sub(1);
    for record in expected.iter().skip(from).take(RECORDS_SHOWN_MAX) {
        text.push_str(&format!("      expected  {}\n", expected_text(record)));
    }
    for record in actual.iter().skip(from).take(RECORDS_SHOWN_MAX) {
        text.push_str(&format!("      came      {}\n", actual_text(record)));
    }
    text
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
        Outcome::Failed { expected, actual, .. } => {
            let expected: Vec<String> = expected.iter().map(expected_text).collect();
            let actual: Vec<String> = actual.iter().map(actual_text).collect();
            ("failed", serde_json::json!({ "expected": expected, "actual": actual }))
        }
    };
    serde_json::json!({ "name": result.name, "place": place(result, sources), "outcome": outcome,
        "detail": detail })
}
