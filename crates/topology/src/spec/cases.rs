//! `tests:` of a pipeline file.

use super::errors::ON_ERROR_WORDS;
use super::node::{Kind, Node, is_null};
use super::reader::{Fields, Reader};
use super::{TestCase, TestError, TestKey, TestRecord, TestState, TestStep};
use crate::json::{Number, write_text};
use crate::timestamp::timestamp_ms;

/// Reads the list of test cases.
pub(crate) fn read_all(reader: &mut Reader<'_>, node: &Node) -> Vec<TestCase> {
    let Kind::Sequence(items) = &node.kind else {
        reader.expected("`tests`", "a list of test cases", node);
        return Vec::new();
    };
    items.iter().filter_map(|item| read(reader, item)).collect()
}

fn read(reader: &mut Reader<'_>, node: &Node) -> Option<TestCase> {
    let mut fields = reader.fields("a test", node);
    if !matches!(node.kind, Kind::Mapping(_)) {
        return None;
    }
    let name = fields
        .require(reader, "name", "name: counts two records")
        .and_then(|node| reader.text("the name", node));
    if let Some(name) = &name {
        fields.rename(format!("test `{}`", name.value));
    }
    let at = fields.take("at").and_then(|node| reader.text("`at`", node));
    let input = fields.require(reader, "input", "input: [{ key: a, value: { value: 1 } }]");
    let input = input.map(|node| each(reader, "`input`", node, step)).unwrap_or_default();
    let state = fields.take("state");
    let errors = fields.take("errors");
    // A case must expect something, and outputs are what it usually is.
    let expect = if state.is_none() && errors.is_none() {
        fields.require(reader, "expect", "expect: []")
    } else {
        fields.take("expect")
    };
    let expect = expect.map(|node| each(reader, "`expect`", node, record));
    let state = state.map(|node| self::state(reader, node)).unwrap_or_default();
    let errors = errors.map(|node| each(reader, "`errors`", node, error));
    fields.finish(reader);
    Some(TestCase { name: name?, at, input, expect, state, errors })
}

/// Reads the items of a list.
fn each<T>(
    reader: &mut Reader<'_>,
    what: &str,
    node: &Node,
    read: fn(&mut Reader<'_>, &Node) -> Option<T>,
) -> Vec<T> {
    let Kind::Sequence(items) = &node.kind else {
        reader.expected(what, "a list", node);
        return Vec::new();
    };
    items.iter().filter_map(|item| read(reader, item)).collect()
}

/// A record, or `advance: 10s`.
fn step(reader: &mut Reader<'_>, node: &Node) -> Option<TestStep> {
    let mut fields = reader.fields("a record", node);
    if !matches!(node.kind, Kind::Mapping(_)) {
        return None;
    }
    let Some(by) = fields.take("advance") else {
        return Some(TestStep::Record(record_of(reader, node, fields)));
    };
    fields.rename("a step with `advance`".to_owned());
    fields.finish(reader);
    reader.positive_duration("`advance`", by).map(TestStep::Advance)
}

fn record(reader: &mut Reader<'_>, node: &Node) -> Option<TestRecord> {
    let fields = reader.fields("a record", node);
    let is_mapping = matches!(node.kind, Kind::Mapping(_));
    is_mapping.then(|| record_of(reader, node, fields))
}

fn record_of(reader: &mut Reader<'_>, node: &Node, mut fields: Fields<'_>) -> TestRecord {
    let topic = fields.take("topic").and_then(|node| reader.topic("the topic", node));
    let key = fields.take("key").and_then(|node| reader.text("the key", node));
    let value = fields.take("value").map(json_text);
    let timestamp = fields.take("timestamp").and_then(|node| timestamp(reader, node));
    fields.finish(reader);
    let key = key.map(|key| key.value);
    TestRecord { span: node.span, topic, key, value, timestamp_ms: timestamp }
}

/// `{ task: { key: document } }`; several open windows stand in a list.
fn state(reader: &mut Reader<'_>, node: &Node) -> Vec<TestState> {
    let mut states = Vec::new();
    for (task, node) in reader.fields("`state`", node).take_all() {
        let mut keys = Vec::new();
        let owner = format!("the state of `{}`", task.value);
        for (key, node) in reader.fields(&owner, node).take_all() {
            let documents = match &node.kind {
                Kind::Sequence(items) => items.iter().map(json_text).collect(),
                Kind::Scalar { .. } if node.is_null() => Vec::new(),
                Kind::Scalar { .. } | Kind::Mapping(_) => vec![json_text(node)],
            };
            keys.push(TestKey { key, documents });
        }
        states.push(TestState { task, keys });
    }
    states
}

fn error(reader: &mut Reader<'_>, node: &Node) -> Option<TestError> {
    let mut fields = reader.fields("an error", node);
    if !matches!(node.kind, Kind::Mapping(_)) {
        return None;
    }
    let task = fields.take("task").and_then(|node| reader.text("`task`", node));
    let key = fields.take("key").and_then(|node| reader.text("the key", node));
    let value = fields.take("value").map(json_text);
    let on_error = fields.take("on_error");
    let on_error = on_error.and_then(|node| reader.word("`on_error`", node, &ON_ERROR_WORDS));
    let reason = fields.take("reason").and_then(|node| reader.text("`reason`", node));
    fields.finish(reader);
    let (key, reason) = (key.map(|key| key.value), reason.map(|reason| reason.value));
    Some(TestError { span: node.span, task, key, value, on_error, reason })
}

fn timestamp(reader: &mut Reader<'_>, node: &Node) -> Option<i64> {
    let text = reader.text("`timestamp`", node)?;
    let found = text.value.parse::<i64>().ok().or_else(|| timestamp_ms(&text.value));
    if found.is_none() {
        let wanted = "a time such as 2026-01-01T00:00:00Z, or milliseconds since 1970";
        reader.expected("`timestamp`", wanted, node);
    }
    found
}

/// The node as JSON text: plain numbers, booleans and nothing keep their kinds, all else is text.
pub(crate) fn json_text(node: &Node) -> String {
    let mut out = String::new();
    write_json(&mut out, node);
    out
}

fn write_json(out: &mut String, node: &Node) {
    match &node.kind {
        Kind::Scalar { text, plain: true } if is_null(text) => out.push_str("null"),
        Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "true" | "false")
                || Number::parse(text.as_bytes()).is_some() =>
        {
            out.push_str(text);
        }
        Kind::Scalar { text, .. } => write_text(out, text),
        Kind::Sequence(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(out, item);
            }
            out.push(']');
        }
        Kind::Mapping(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(out, key.scalar().unwrap_or_default());
                out.push(':');
                write_json(out, value);
            }
            out.push('}');
        }
    }
}
