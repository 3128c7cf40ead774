//! The legacy forms: a bare list of tasks, and the configuration around or beside it.

use super::edges::edges;
use super::errors::Rules;
use super::node::Node;
use super::reader::Reader;
use super::task;
use super::{Form, Format, Runtime, Sink, Source, Spec, Start};
use crate::diagnose::{Diagnostic, Located, Span, code};
use crate::limits::{PARALLELISM_MAX, PARTITIONS_MAX};

/// The topics of a list that stands alone.
const SOURCE_TOPIC: &str = "source";
const SINK_TOPIC: &str = "sink";

/// How late a record may come in a topic that others fill.
pub(crate) const OUT_OF_ORDER_MS: u64 = 1_000;

/// How long a caught-up partition may be silent before time goes on without it.
pub(crate) const IDLE_MS: u64 = 2_000;

/// Partitions of the topics that a pipeline makes, when the file does not say.
pub(crate) const PARTITIONS: u32 = 4;

/// Reads a list, a configuration, or both.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    tasks: Option<&Node>,
    config: Option<&Node>,
    name: String,
) -> Spec {
    let start = tasks.or(config).map_or_else(Span::default, |node| node.span);
    let start = Span::new(start.file, start.start, start.start);
    let mut spec = Spec {
        form: Form::Legacy,
        name: Located::new(name, start),
        sources: vec![source(Located::new(SOURCE_TOPIC.to_owned(), start))],
        sinks: vec![sink(Located::new(SINK_TOPIC.to_owned(), start))],
        partitions: PARTITIONS,
        ..Spec::default()
    };
    let mut list = tasks;
    if let Some(node) = config {
        let inner = configuration(reader, node, &mut spec);
        match (tasks, inner) {
            (Some(_), Some(inner)) => {
                let title = "the tasks stand in the configuration and in a file of their own";
                let diagnostic = Diagnostic::error(code::CONFLICT, title).at(inner.span, "here");
                reader.report(diagnostic.at(start, "and here"));
            }
            (None, None) => {
                let title = "the configuration has no tasks";
                let diagnostic = Diagnostic::error(code::MISSING_FIELD, title)
                    .at(start, "")
                    .help("add `pipeline:` with the list, or give the list's file as well");
                reader.report(diagnostic);
            }
            _ => list = list.or(inner),
        }
    }
    if let Some(node) = list {
        spec.tasks = task::read_all(reader, node, Form::Legacy, Rules::default());
    }
    spec
}

/// The configuration; returns the list of tasks in it.
fn configuration<'n>(reader: &mut Reader<'_>, node: &'n Node, spec: &mut Spec) -> Option<&'n Node> {
    let mut fields = reader.fields("the configuration", node);
    fields.allow_extensions();
    if let Some(name) = fields.take("name").and_then(|node| reader.name("the name", node)) {
        spec.name = name;
    }
    spec.brokers = fields.take("brokers").and_then(|node| reader.text("`broker`", node));
    spec.runtime = Runtime::default();
    let range = (1, PARALLELISM_MAX);
    if let Some(node) = fields.take("task_managers") {
        spec.runtime.task_managers = reader.count("`task_managers`", node, range).unwrap_or(1);
    }
    if let Some(node) = fields.take("parallelism") {
        spec.runtime.parallelism = reader.count("`parallelism`", node, range).unwrap_or(1);
    }
    if let Some(node) = fields.take("commit_interval") {
        let ms = reader.positive_duration("`commit_interval`", node);
        spec.runtime.commit_interval_ms = ms.unwrap_or(spec.runtime.commit_interval_ms);
    }
    if let Some(node) = fields.take("edges") {
        spec.edges = edges(reader, node);
    }
    let slots = spec.runtime.parallelism.saturating_mul(spec.runtime.task_managers);
    spec.partitions = slots.clamp(PARTITIONS, 1_024);
    if let Some(node) = fields.take("partitions") {
        let count = reader.count("`partitions`", node, (1, PARTITIONS_MAX));
        spec.partitions = count.unwrap_or(spec.partitions);
    }
    let topic = fields.take("source_topic");
    if let Some(topic) = topic.and_then(|node| reader.topic("the source topic", node)) {
        spec.sources = vec![source(topic)];
    }
    let topic = fields.take("sink_topic");
    if let Some(topic) = topic.and_then(|node| reader.topic("the sink topic", node)) {
        spec.sinks = vec![sink(topic)];
    }
    let list = fields.take("pipeline");
    fields.finish(reader);
    list
}

fn source(topic: Located<String>) -> Source {
    Source {
        name: Located::new("source".to_owned(), topic.span),
        topic,
        group: None,
        start: Start::Earliest,
        format: Format::Number,
        event_time: None,
        max_out_of_order_ms: OUT_OF_ORDER_MS,
        idle_ms: IDLE_MS,
    }
}

fn sink(topic: Located<String>) -> Sink {
    Sink {
        name: Located::new("sink".to_owned(), topic.span),
        topic: Some(topic),
        tables: Vec::new(),
    }
}
