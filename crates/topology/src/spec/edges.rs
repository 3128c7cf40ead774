//! The ends of a pipeline: gateways, sources, sinks, topics, and how arcs are made.

use std::collections::BTreeMap;

use super::legacy::{IDLE_MS, OUT_OF_ORDER_MS};
use super::node::{Kind, Node};
use super::reader::{Fields, Reader};
use super::{Edges, Format, Ingest, IngestKind, Sink, Source, SqliteTable, Start, TopicSettings};
use crate::diagnose::{Diagnostic, Located, code, did_you_mean};
use crate::limits::{NAME_BYTES_MAX, PARTITIONS_MAX, TOPIC_BYTES_MAX};

/// How often the host's sensors are read when the file does not say, in milliseconds.
const HOST_EVERY_MS: u64 = 1_000;

/// The words of `edges`.
pub(crate) const EDGES_WORDS: [(&str, Edges); 2] =
    [("auto", Edges::Auto), ("topics", Edges::Topics)];

/// The words of a gateway's `type`.
pub(crate) const GATEWAY_WORDS: [(&str, ()); 1] = [("host", ())];

/// The words of `start`.
pub(crate) const START_WORDS: [(&str, Start); 2] =
    [("earliest", Start::Earliest), ("latest", Start::Latest)];

/// The words of `format`.
pub(crate) const FORMAT_WORDS: [(&str, Format); 2] =
    [("json", Format::Json { validate: false }), ("number", Format::Number)];

/// `edges: auto` or `edges: topics`.
pub(crate) fn edges(reader: &mut Reader<'_>, node: &Node) -> Edges {
    reader.word("`edges`", node, &EDGES_WORDS).unwrap_or_default()
}

/// Texts by name, such as Kafka properties: numbers and booleans are taken as written.
pub(crate) fn properties(
    reader: &mut Reader<'_>,
    what: &str,
    node: &Node,
) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let mut fields = reader.fields(what, node);
    for (name, value) in fields.take_all() {
        if let Some(text) = reader.text(&format!("`{}`", name.value), value) {
            properties.insert(name.value, text.value);
        }
    }
    properties
}

/// The gateways of `ingest:`.
pub(crate) fn ingest(reader: &mut Reader<'_>, node: &Node) -> Vec<Ingest> {
    let mut gateways = Vec::new();
    for (name, node) in reader.fields("`ingest`", node).take_all() {
        let Some(name) = reader.checked_name("the gateway", name, NAME_BYTES_MAX) else { continue };
        let mut fields = reader.fields(&format!("gateway `{}`", name.value), node);
        let kind = fields
            .require(reader, "type", "type: host")
            .and_then(|node| reader.word("`type`", node, &GATEWAY_WORDS));
        let every = fields.take("every");
        let every_ms = every.and_then(|node| reader.positive_duration("`every`", node));
        let topic = fields
            .require(reader, "topic", "topic: machine.readings")
            .and_then(|node| reader.topic("the topic", node));
        let retention = fields.take("retention");
        let retention_ms = retention.and_then(|n| reader.positive_duration("`retention`", n));
        fields.finish(reader);
        if let (Some(()), Some(topic)) = (kind, topic) {
            let kind = IngestKind::Host { every_ms: every_ms.unwrap_or(HOST_EVERY_MS) };
            gateways.push(Ingest { name, kind, topic, retention_ms });
        }
    }
    gateways
}

/// One source: its topic as a text, or a mapping. `default_topic` stands in for a missing one.
pub(crate) fn source(
    reader: &mut Reader<'_>,
    name: Located<String>,
    node: &Node,
    gateways: &[Ingest],
) -> Option<Source> {
    let fed = |topic: &str| gateways.iter().any(|gateway| gateway.topic.value == topic);
    if let Kind::Scalar { .. } = node.kind {
        let topic = reader.topic("the topic", node)?;
        let out_of_order_ms = if fed(&topic.value) { 0 } else { OUT_OF_ORDER_MS };
        return Some(plain_source(name, topic, out_of_order_ms));
    }
    let mut fields = reader.fields(&format!("source `{}`", name.value), node);
    let topic = fields
        .require(reader, "topic", "topic: readings")
        .and_then(|node| reader.topic("the topic", node));
    let group = fields.take("group").and_then(|node| reader.name("the group", node));
    let start = fields.take("start").and_then(|node| reader.word("`start`", node, &START_WORDS));
    let format = fields.take("format").and_then(|node| format(reader, node));
    let event_time =
        fields.take("event_time").and_then(|node| reader.expression("`event_time`", node));
    let late = fields.take("max_out_of_order");
    let late_ms = late.and_then(|node| reader.duration("`max_out_of_order`", node));
    let idle = fields.take("idle").and_then(|node| reader.positive_duration("`idle`", node));
    fields.finish(reader);
    let topic = topic?;
    let default_ms = if fed(&topic.value) { 0 } else { OUT_OF_ORDER_MS };
    Some(Source {
        group,
        start: start.unwrap_or_default(),
        format: format.unwrap_or(Format::Json { validate: false }),
        event_time,
        idle_ms: idle.unwrap_or(IDLE_MS),
        ..plain_source(name, topic, late_ms.unwrap_or(default_ms))
    })
}

/// A source with nothing but defaults.
pub(crate) fn plain_source(
    name: Located<String>,
    topic: Located<String>,
    max_out_of_order_ms: u64,
) -> Source {
    Source {
        name,
        topic,
        group: None,
        start: Start::Earliest,
        format: Format::Json { validate: false },
        event_time: None,
        max_out_of_order_ms,
        idle_ms: IDLE_MS,
    }
}

/// `json`, `number` or `{ json: { validate: true } }`.
fn format(reader: &mut Reader<'_>, node: &Node) -> Option<Format> {
    if !matches!(node.kind, Kind::Mapping(_)) {
        return reader.word("`format`", node, &FORMAT_WORDS);
    }
    let mut fields = reader.fields("`format`", node);
    let json = fields.require(reader, "json", "json: { validate: true }");
    let mut validate = None;
    if let Some(node) = json {
        let mut inner = reader.fields("`json`", node);
        validate = inner.take("validate").and_then(|node| reader.truth("`validate`", node));
        inner.finish(reader);
    }
    fields.finish(reader);
    json.map(|_| Format::Json { validate: validate.unwrap_or(false) })
}

/// One sink: `{ kafka: { topic }, sqlite: { file, table } }`, one or both.
pub(crate) fn sink(reader: &mut Reader<'_>, name: Located<String>, node: &Node) -> Sink {
    let mut sink = Sink { name, topic: None, tables: Vec::new() };
    let owner = format!("sink `{}`", sink.name.value);
    let mut fields = reader.fields(&owner, node);
    if !matches!(node.kind, Kind::Mapping(_)) {
        return sink;
    }
    let mut known = 0;
    for (kind, node) in fields.take_all() {
        match kind.value.as_str() {
            "kafka" => {
                sink.topic = kafka(reader, node);
                known += 1;
            }
            "sqlite" => {
                known += 1;
                let items = match &node.kind {
                    Kind::Sequence(items) => items.as_slice(),
                    Kind::Scalar { .. } | Kind::Mapping(_) => std::slice::from_ref(node),
                };
                sink.tables.extend(items.iter().filter_map(|item| sqlite(reader, item)));
            }
            other => {
                known += 1;
                let title = format!("{owner} has unknown kind `{other}`");
                let help = did_you_mean(other, ["kafka", "sqlite"])
                    .unwrap_or_else(|| "known kinds: kafka, sqlite".to_owned());
                let diagnostic = Diagnostic::error(code::UNKNOWN_SINK, title)
                    .at(kind.span, "not a known kind of sink")
                    .help(help);
                reader.report(diagnostic);
            }
        }
    }
    if known == 0 {
        let title = format!("{owner} leads nowhere");
        let help = "add `kafka: { topic: results }`";
        reader.report(Diagnostic::error(code::NO_SINK, title).at(node.span, "").help(help));
    }
    sink
}

/// A topic as `{ topic: name }`, or its name alone.
fn kafka(reader: &mut Reader<'_>, node: &Node) -> Option<Located<String>> {
    if let Kind::Scalar { .. } = node.kind {
        return reader.topic("the topic", node);
    }
    topic_of(reader, "`kafka`", node)
}

/// The `topic` of a mapping that has nothing else.
pub(crate) fn topic_of(
    reader: &mut Reader<'_>,
    owner: &str,
    node: &Node,
) -> Option<Located<String>> {
    if let Kind::Scalar { .. } = node.kind {
        return reader.topic("the topic", node);
    }
    let mut fields = reader.fields(owner, node);
    let topic = fields
        .require(reader, "topic", "topic: results")
        .and_then(|node| reader.topic("the topic", node));
    fields.finish(reader);
    topic
}

fn sqlite(reader: &mut Reader<'_>, node: &Node) -> Option<SqliteTable> {
    let mut fields = reader.fields("`sqlite`", node);
    if !matches!(node.kind, Kind::Mapping(_)) {
        return None;
    }
    let file = fields
        .require(reader, "file", "file: results.db")
        .and_then(|node| reader.text("`file`", node));
    let table = fields
        .require(reader, "table", "table: results")
        .and_then(|node| reader.text("`table`", node));
    let key = fields.take("key").and_then(|node| {
        let columns = reader.texts("`key`", node)?;
        if columns.is_empty() {
            let title = "the table has no key columns, so rows could not be told apart";
            let diagnostic = Diagnostic::error(code::SINK_KEY, title).at(node.span, "");
            reader.report(diagnostic.help("leave `key` out for the default"));
            return None;
        }
        Some(columns)
    });
    let create_table = create_table(reader, &mut fields);
    fields.finish(reader);
    Some(SqliteTable { file: file?, table: table?, key, create_table })
}

fn create_table(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> bool {
    let node = fields.take("create_table");
    node.and_then(|node| reader.truth("`create_table`", node)).unwrap_or(true)
}

/// `topics:`, settings of single topics.
pub(crate) fn topics(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, TopicSettings> {
    let mut topics = BTreeMap::new();
    for (name, node) in reader.fields("`topics`", node).take_all() {
        let span = name.span;
        let Some(name) = reader.checked_name("the topic", name, TOPIC_BYTES_MAX) else { continue };
        let mut fields = reader.fields(&format!("topic `{}`", name.value), node);
        let partitions = fields
            .take("partitions")
            .and_then(|node| reader.count("`partitions`", node, (1, PARTITIONS_MAX)));
        let retention_ms =
            fields.take("retention").and_then(|node| reader.positive_duration("`retention`", node));
        let config = fields.take("config");
        let config = config.map(|node| properties(reader, "`config`", node)).unwrap_or_default();
        fields.finish(reader);
        topics.insert(name.value, TopicSettings { span, partitions, retention_ms, config });
    }
    topics
}
