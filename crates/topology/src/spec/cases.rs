//! `tests:` of a pipeline file.

use super::node::{Kind, Node, is_null};
use super::reader::Reader;
use super::{TestCase, TestRecord};
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
    let input = input.map(|node| records(reader, node)).unwrap_or_default();
    let expect = fields.require(reader, "expect", "expect: []");
    let expect = expect.map(|node| records(reader, node)).unwrap_or_default();
    fields.finish(reader);
    Some(TestCase { name: name?, at, input, expect })
}

fn records(reader: &mut Reader<'_>, node: &Node) -> Vec<TestRecord> {
    let Kind::Sequence(items) = &node.kind else {
        reader.expected("the records", "a list", node);
        return Vec::new();
    };
    items.iter().filter_map(|item| record(reader, item)).collect()
}

fn record(reader: &mut Reader<'_>, node: &Node) -> Option<TestRecord> {
    let mut fields = reader.fields("a record", node);
    if !matches!(node.kind, Kind::Mapping(_)) {
        return None;
    }
    let topic = fields.take("topic").and_then(|node| reader.topic("the topic", node));
    let key = fields.take("key").and_then(|node| reader.text("the key", node));
    let value = fields.take("value").map(json_text);
    let timestamp = fields.take("timestamp").and_then(|node| timestamp(reader, node));
    fields.finish(reader);
    let key = key.map(|key| key.value);
    Some(TestRecord { span: node.span, topic, key, value, timestamp_ms: timestamp })
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
