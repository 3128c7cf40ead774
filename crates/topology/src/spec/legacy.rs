//! The legacy forms: a bare list of tasks, and the configuration around or beside it.

use super::edges::edges;
use super::errors::Rules;
use super::node::Node;
use super::reader::Reader;
use super::task;
use super::{Edges, Form, Format, Runtime, Sink, Source, Spec, Start};
use crate::diagnose::{Diagnostic, Located, Span, code};
use crate::limits::{PARALLELISM_MAX, PARTITIONS_MAX};

/// The topics of a list that stands alone.
const SOURCE_TOPIC: &str = "source";
const SINK_TOPIC: &str = "sink";

/// The broker's machine when only its port is given.
const BROKER: &str = "127.0.0.1";

/// The highest port of TCP.
pub(crate) const PORT_MAX: u64 = 65_535;

/// How late a record may come in a topic that others fill.
pub(crate) const OUT_OF_ORDER_MS: u64 = 1_000;

/// How long a caught-up partition may be silent before time goes on without it.
pub(crate) const IDLE_MS: u64 = 2_000;

/// Partitions of the topics that a pipeline of the full form makes, when the file does not say. In
/// the legacy form they are as many as `parallelism` says: an instance of a processor is a task,
/// and a task is a partition.
pub(crate) const PARTITIONS: u32 = 4;

/// Reads a list, a configuration, or both.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    tasks: Option<&Node>,
    config: Option<&Node>,
    name: String,
) -> Spec {
    let start = start_of(tasks.or(config));
    let mut spec = blank(name, start);
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

/// Reads a configuration that may stand beside a list of tasks: it need not have one.
pub(crate) fn around(reader: &mut Reader<'_>, config: &Node, name: String) -> Spec {
    let mut spec = blank(name, start_of(Some(config)));
    if let Some(list) = configuration(reader, config, &mut spec) {
        spec.tasks = task::read_all(reader, list, Form::Legacy, Rules::default());
    }
    spec
}

fn start_of(node: Option<&Node>) -> Span {
    let span = node.map_or_else(Span::default, |node| node.span);
    Span::new(span.file, span.start, span.start)
}

/// What holds when nothing is said: each processor is there once, and may run in a process of its
/// own, so that its arcs are topics.
fn blank(name: String, start: Span) -> Spec {
    Spec {
        form: Form::Legacy,
        name: Located::new(name, start),
        sources: vec![source(Located::new(SOURCE_TOPIC.to_owned(), start))],
        sinks: vec![sink(Located::new(SINK_TOPIC.to_owned(), start))],
        edges: Edges::Topics,
        partitions: 1,
        ..Spec::default()
    }
}

/// The configuration; returns the list of tasks in it.
fn configuration<'n>(reader: &mut Reader<'_>, node: &'n Node, spec: &mut Spec) -> Option<&'n Node> {
    let mut fields = reader.fields("the configuration", node);
    fields.allow_extensions();
    if let Some(name) = fields.take("name").and_then(|node| reader.name("the name", node)) {
        spec.name = name;
    }
    spec.brokers = brokers(reader, (fields.take("brokers"), fields.take_keyed("broker_port")));
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
    spec.partitions = spec.runtime.parallelism;
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

/// The addresses: `broker: host:port`, or `broker: host` with `broker_port: port` beside it.
fn brokers(
    reader: &mut Reader<'_>,
    (address, port): (Option<&Node>, Option<(Span, &Node)>),
) -> Option<Located<String>> {
    let address = address.and_then(|node| reader.text("`broker`", node));
    let Some((key, node)) = port else { return address };
    let port = reader.count("`broker_port`", node, (1, PORT_MAX))?;
    let Some(address) = address else {
        return Some(Located::new(format!("{BROKER}:{port}"), node.span));
    };
    let has_port =
        |one: &str| one.rsplit_once(':').is_some_and(|(_, it)| it.parse::<u16>().is_ok());
    let all = || address.value.split(',').map(str::trim);
    if let Some(named) = all().find(|one| has_port(one)) {
        let title = format!("the port of the broker is given twice: `{named}` has one");
        let diagnostic = Diagnostic::error(code::CONFLICT, title).at(key, "this");
        reader.report(diagnostic.at(address.span, "and this"));
        return Some(address);
    }
    let whole: Vec<String> = all().map(|one| format!("{one}:{port}")).collect();
    Some(Located::new(whole.join(","), address.span))
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
