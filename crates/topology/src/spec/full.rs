//! The full form: `version: 1`.

use super::legacy::PARTITIONS;
use super::node::{Kind, Node};
use super::reader::{Fields, Reader};
use super::{
    Delivery, Form, Runtime, Sink, Source, Spec, Spill, StateSettings, cases, edges, errors, task,
};
use crate::diagnose::{Diagnostic, Located, Span, code};
use crate::limits::{
    NAME_BYTES_MAX, PARALLELISM_MAX, PARTITIONS_MAX, STANDBY_MAX, STATE_BYTES_MAX, STATE_BYTES_MIN,
};

/// The words of `delivery`.
pub(crate) const DELIVERY_WORDS: [(&str, Delivery); 2] =
    [("exactly_once", Delivery::ExactlyOnce), ("at_least_once", Delivery::AtLeastOnce)];

/// The words of `spill`.
pub(crate) const SPILL_WORDS: [(&str, Spill); 2] = [("none", Spill::None), ("disk", Spill::Disk)];

/// Reads the whole mapping.
pub(crate) fn read(reader: &mut Reader<'_>, root: &Node, default_name: String) -> Spec {
    let start = Span::new(root.span.file, root.span.start, root.span.start);
    let mut spec = Spec {
        form: Form::Full,
        name: Located::new(default_name, start),
        partitions: PARTITIONS,
        ..Spec::default()
    };
    let mut fields = reader.fields("the pipeline", root);
    fields.allow_extensions();
    version(reader, &mut fields);
    if let Some(name) = fields.take("name").and_then(|node| reader.name("the name", node)) {
        spec.name = name;
    }
    cluster(reader, &mut fields, &mut spec);
    let runtime = fields.take("runtime");
    spec.runtime = runtime.map(|node| self::runtime(reader, node)).unwrap_or_default();
    spec.partitions = usual_partitions(&spec.runtime);
    if let Some(node) = fields.take("partitions") {
        let count = reader.count("`partitions`", node, (1, PARTITIONS_MAX));
        spec.partitions = count.unwrap_or(spec.partitions);
    }
    if let Some(node) = fields.take("edges") {
        spec.edges = edges::edges(reader, node);
    }
    if let Some(node) = fields.take("ingest") {
        spec.ingest = edges::ingest(reader, node);
    }
    spec.sources = sources(reader, &mut fields, &spec);
    let usual = errors::usual(reader, &mut fields);
    if let Some(node) = fields.require(reader, "tasks", "tasks:") {
        spec.tasks = task::read_all(reader, node, Form::Full, usual);
    }
    spec.sinks = sinks(reader, &mut fields);
    if let Some(node) = fields.take("dead_letter") {
        (spec.dead_letter, spec.letters) = errors::dead_letter(reader, node);
    }
    let topics = fields.take("topics");
    spec.topics = topics.map(|node| edges::topics(reader, node)).unwrap_or_default();
    let tests = fields.take("tests");
    spec.tests = tests.map(|node| cases::read_all(reader, node)).unwrap_or_default();
    fields.finish(reader);
    spec
}

/// Partitions of the topics that a pipeline makes, when the file does not say.
pub(crate) fn usual_partitions(runtime: &Runtime) -> u32 {
    runtime.parallelism.saturating_mul(runtime.task_managers).clamp(PARTITIONS, 1_024)
}

fn version(reader: &mut Reader<'_>, fields: &mut Fields<'_>) {
    let Some(node) = fields.require(reader, "version", "version: 1") else { return };
    if node.scalar() != Some("1") {
        let title = format!("`version` must be 1, found {}", node.found());
        let diagnostic = Diagnostic::error(code::WRONG_VALUE, title).at(node.span, "unknown");
        reader.report(diagnostic.help("this program reads version 1"));
    }
}

fn cluster(reader: &mut Reader<'_>, fields: &mut Fields<'_>, spec: &mut Spec) {
    let Some(node) = fields.take("cluster") else { return };
    let mut inner = reader.fields("`cluster`", node);
    let brokers = inner.take("brokers").and_then(|node| brokers(reader, node));
    spec.brokers = brokers.filter(|brokers| brokers.value != "embedded");
    let properties = inner.take("properties");
    spec.properties =
        properties.map(|node| edges::properties(reader, "`properties`", node)).unwrap_or_default();
    inner.finish(reader);
}

/// `embedded`, `host:port,host:port` or a list of them.
fn brokers(reader: &mut Reader<'_>, node: &Node) -> Option<Located<String>> {
    let texts = reader.texts("`brokers`", node)?;
    let names: Vec<&str> = texts.iter().map(|text| text.value.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    Some(Located::new(names.join(","), node.span))
}

fn runtime(reader: &mut Reader<'_>, node: &Node) -> Runtime {
    let mut runtime = Runtime::default();
    let mut fields = reader.fields("`runtime`", node);
    let range = (1, PARALLELISM_MAX);
    if let Some(node) = fields.take("task_managers") {
        runtime.task_managers = reader.count("`task_managers`", node, range).unwrap_or(1);
    }
    if let Some(node) = fields.take("parallelism") {
        runtime.parallelism = reader.count("`parallelism`", node, range).unwrap_or(1);
    }
    if let Some(node) = fields.take("commit_interval") {
        let ms = reader.positive_duration("`commit_interval`", node);
        runtime.commit_interval_ms = ms.unwrap_or(runtime.commit_interval_ms);
    }
    if let Some(node) = fields.take("delivery") {
        runtime.delivery = reader.word("`delivery`", node, &DELIVERY_WORDS).unwrap_or_default();
    }
    if let Some(node) = fields.take("state") {
        runtime.state = state(reader, node);
    }
    fields.finish(reader);
    runtime
}

/// `state: { memory_limit: 256MiB, spill: disk, snapshot_interval: 30s, standby: 1 }`.
fn state(reader: &mut Reader<'_>, node: &Node) -> StateSettings {
    let mut state = StateSettings::default();
    let mut fields = reader.fields("`state`", node);
    if let Some(node) = fields.take("memory_limit") {
        let bytes = reader.size("`memory_limit`", node, (STATE_BYTES_MIN, STATE_BYTES_MAX));
        state.memory_limit_bytes = bytes.unwrap_or(state.memory_limit_bytes);
    }
    if let Some(node) = fields.take("spill") {
        state.spill = reader.word("`spill`", node, &SPILL_WORDS).unwrap_or_default();
    }
    if let Some(node) = fields.take("snapshot_interval") {
        let every_ms = reader.duration("`snapshot_interval`", node);
        state.snapshot_interval_ms = every_ms.unwrap_or(state.snapshot_interval_ms);
    }
    if let Some(node) = fields.take("standby") {
        state.standby = reader.count("`standby`", node, (0, STANDBY_MAX)).unwrap_or(0);
    }
    fields.finish(reader);
    state
}

/// `source:` or `sources:`; without both, the topic of the only gateway.
fn sources(reader: &mut Reader<'_>, fields: &mut Fields<'_>, spec: &Spec) -> Vec<Source> {
    let one = fields.take_keyed("source");
    let many = fields.take_keyed("sources");
    exclusive(reader, "source", one, many);
    let mut sources = Vec::new();
    if let Some((key, node)) = one {
        let name = Located::new("source".to_owned(), key);
        sources.extend(edges::source(reader, name, node, &spec.ingest));
    } else if let Some((_, node)) = many {
        for (name, node) in reader.fields("`sources`", node).take_all() {
            let Some(name) = reader.checked_name("the source", name, NAME_BYTES_MAX) else {
                continue;
            };
            sources.extend(edges::source(reader, name, node, &spec.ingest));
        }
    } else if let [gateway] = spec.ingest.as_slice() {
        let name = Located::new("source".to_owned(), gateway.name.span);
        sources.push(edges::plain_source(name, gateway.topic.clone(), 0));
    } else {
        let title = "the pipeline has no source";
        let at = Span::new(fields.span().file, fields.span().start, fields.span().start);
        let diagnostic = Diagnostic::error(code::NO_SOURCE, title).at(at, "");
        reader.report(diagnostic.help("add `source: { topic: readings }`"));
    }
    sources
}

fn exclusive(
    reader: &mut Reader<'_>,
    name: &str,
    one: Option<(Span, &Node)>,
    many: Option<(Span, &Node)>,
) {
    if let (Some((one, _)), Some((many, _))) = (one, many) {
        let title = format!("`{name}` and `{name}s` stand side by side");
        let diagnostic = Diagnostic::error(code::CONFLICT, title)
            .at(many, "this")
            .at(one, "and this")
            .help(format!("give the one in `{name}` a name and move it to `{name}s`"));
        reader.report(diagnostic);
    }
}

/// `sink:` or `sinks:`.
fn sinks(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Vec<Sink> {
    let one = fields.take_keyed("sink");
    let many = fields.take_keyed("sinks");
    exclusive(reader, "sink", one, many);
    if let Some((key, node)) = one {
        let name = Located::new("sink".to_owned(), key);
        return vec![edges::sink(reader, name, node)];
    }
    let mut sinks = Vec::new();
    if let Some((_, node)) = many {
        for (name, node) in reader.fields("`sinks`", node).take_all() {
            let Some(name) = reader.checked_name("the sink", name, NAME_BYTES_MAX) else {
                continue;
            };
            sinks.push(edges::sink(reader, name, node));
        }
        if !matches!(node_kind(many), Some(Kind::Mapping(entries)) if entries.is_empty()) {
            return sinks;
        }
    }
    let title = "the pipeline has no sink";
    let at = Span::new(fields.span().file, fields.span().start, fields.span().start);
    let diagnostic = Diagnostic::error(code::NO_SINK, title).at(at, "");
    reader.report(diagnostic.help("add `sink: { kafka: { topic: results } }`"));
    sinks
}

fn node_kind(field: Option<(Span, &Node)>) -> Option<&Kind> {
    field.map(|(_, node)| &node.kind)
}
