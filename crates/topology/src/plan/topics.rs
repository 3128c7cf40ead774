//! The topics of a plan with their configs, and what stands at its ends.

use std::collections::BTreeMap;

use super::names;
use super::{Gateway, InputKind, Output, Partitions, Stage, Table, TopicPlan, TopicRole};
use crate::graph::{Graph, Target};
use crate::spec::{IngestKind, LetterOrder, OnError, Spec};

/// How long a compacted topic keeps its tombstones: a process that was away longer rebuilds its
/// state from the whole changelog.
const TOMBSTONES_MS: u64 = 86_400_000;

/// How often a changelog begins a new segment, so that compaction can get at the old ones.
const CHANGELOG_SEGMENT_MS: u64 = 600_000;

/// The shortest segments that are asked for.
const SEGMENT_MS_MIN: u64 = 60_000;

pub(crate) fn gateways(spec: &Spec) -> Vec<Gateway> {
    let gateway = |ingest: &crate::spec::Ingest| match ingest.kind {
        IngestKind::Host { every_ms } => {
            Gateway { name: ingest.name.value.clone(), every_ms, topic: ingest.topic.value.clone() }
        }
    };
    spec.ingest.iter().map(gateway).collect()
}

/// The dead-letter topic, when a task sends records there.
pub(crate) fn dead_letter(spec: &Spec) -> Option<String> {
    let used = spec.tasks.iter().any(|task| task.on_error == OnError::DeadLetter);
    used.then(|| names::dead_letter(spec))
}

/// All topics; where one has two roles the first one stands.
pub(crate) fn of(spec: &Spec, stages: &[Stage]) -> BTreeMap<String, TopicPlan> {
    let mut topics = Topics { spec, by_name: BTreeMap::new() };
    for ingest in &spec.ingest {
        let config = ingest.retention_ms.map(retention).unwrap_or_default();
        topics.add(&ingest.topic.value, TopicRole::Source, spec.partitions, config);
    }
    for sink in &spec.sinks {
        let topic = names::sink_topic(spec, sink);
        topics.add(&topic, TopicRole::Sink, spec.partitions, BTreeMap::new());
    }
    for stage in stages {
        topics.of_stage(stage);
    }
    if let Some(topic) = dead_letter(spec) {
        // What waits must not be forgotten before somebody has decided.
        let config = match spec.letters {
            LetterOrder::Sequenced => kept_for_ever(),
            LetterOrder::Plain => BTreeMap::new(),
        };
        topics.add(&topic, TopicRole::DeadLetter, spec.partitions, config);
    }
    topics.add(&names::plan_topic(spec), TopicRole::Plan, 1, compacted());
    topics.by_name
}

struct Topics<'a> {
    spec: &'a Spec,
    by_name: BTreeMap<String, TopicPlan>,
}

impl Topics<'_> {
    fn add(
        &mut self,
        name: &str,
        role: TopicRole,
        partitions: u32,
        config: BTreeMap<String, String>,
    ) {
        let mut plan = TopicPlan { role, partitions: Partitions::Count(partitions), config };
        if let Some(settings) = self.spec.topics.get(name) {
            if let Some(count) = settings.partitions {
                plan.partitions = Partitions::Count(count);
            }
            plan.config.extend(settings.retention_ms.map(retention).unwrap_or_default());
            plan.config.extend(settings.config.clone());
        }
        self.by_name.entry(name.to_owned()).or_insert(plan);
    }

    fn of_stage(&mut self, stage: &Stage) {
        let mut inputs = Vec::new();
        for input in &stage.inputs {
            inputs.push(input.topic.clone());
            if let InputKind::Source(_) = input.kind {
                let count = self.spec.partitions;
                self.add(&input.topic, TopicRole::Source, count, BTreeMap::new());
            }
        }
        for output in stage.operators.iter().flat_map(|operator| &operator.outputs) {
            let Output::Edge { topic, to, .. } = output else { continue };
            let task = self.spec.tasks.iter().find(|task| task.id.value == *to);
            let own = task.and_then(|task| task.partitions.as_ref()).map(|count| count.value);
            let count = own.unwrap_or(self.spec.partitions);
            self.add(topic, TopicRole::Edge, count, BTreeMap::new());
        }
        for store in &stage.stores {
            let partitions = Partitions::AsMostOf(inputs.clone());
            let plan =
                TopicPlan { role: TopicRole::Changelog, partitions, config: changelog_config() };
            self.by_name.insert(store.changelog.clone(), plan);
        }
        if let Some(parking) = &stage.parking {
            let mut add = |name: &str, role: TopicRole, config: BTreeMap<String, String>| {
                let partitions = Partitions::AsMostOf(inputs.clone());
                self.by_name.insert(name.to_owned(), TopicPlan { role, partitions, config });
            };
            add(&parking.changelog, TopicRole::Parked, changelog_config());
            // People write it, a line for each decision.
            add(&parking.orders, TopicRole::Orders, kept_for_ever());
        }
    }
}

/// Records older than this go, and segments are short enough for that to be true.
fn retention(ms: u64) -> BTreeMap<String, String> {
    let segment_ms = (ms / 4).max(SEGMENT_MS_MIN);
    BTreeMap::from([
        ("retention.ms".to_owned(), ms.to_string()),
        ("segment.ms".to_owned(), segment_ms.to_string()),
    ])
}

/// Records stay until somebody deletes them.
fn kept_for_ever() -> BTreeMap<String, String> {
    BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())])
}

fn compacted() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("delete.retention.ms".to_owned(), TOMBSTONES_MS.to_string()),
    ])
}

fn changelog_config() -> BTreeMap<String, String> {
    let mut config = compacted();
    config.insert("min.compaction.lag.ms".to_owned(), "0".to_owned());
    config.insert("segment.ms".to_owned(), CHANGELOG_SEGMENT_MS.to_string());
    config
}

/// The tables of all sinks.
pub(crate) fn tables(spec: &Spec) -> Vec<Table> {
    let graph = Graph::of(spec);
    let mut tables = Vec::new();
    for (index, sink) in spec.sinks.iter().enumerate() {
        let topic = names::sink_topic(spec, sink);
        for table in &sink.tables {
            let name = &sink.name.value;
            let several = sink.tables.len() > 1;
            let sink_id =
                if several { format!("{name}.{}", table.table.value) } else { name.clone() };
            let written = table.key.as_ref().map(|columns| {
                columns.iter().map(|column| column.value.clone()).collect::<Vec<String>>()
            });
            tables.push(Table {
                sink: sink_id,
                topic: topic.clone(),
                file: table.file.value.clone(),
                table: table.table.value.clone(),
                key: written.unwrap_or_else(|| default_key(spec, &graph, index)),
                create_table: table.create_table,
            });
        }
    }
    tables
}

/// `key`, and `window_start` where the rows come out of windows.
fn default_key(spec: &Spec, graph: &Graph, sink: usize) -> Vec<String> {
    let mut key = vec!["key".to_owned()];
    if feeders(graph, sink).any(|task| has_window_start(spec, graph, task)) {
        key.push("window_start".to_owned());
    }
    key
}

/// The tasks that send to a sink.
pub(crate) fn feeders(graph: &Graph, sink: usize) -> impl Iterator<Item = usize> + '_ {
    let to = Target::Sink(sink);
    graph.arcs.iter().filter(move |arc| arc.target == to).map(|arc| arc.from)
}

/// Whether the records that leave a task carry the window that they come from.
pub(crate) fn has_window_start(spec: &Spec, graph: &Graph, task: usize) -> bool {
    // A loop would make the walk endless; each task is asked once.
    let mut asked = std::collections::BTreeSet::new();
    let mut open = vec![task];
    while let Some(task) = open.pop() {
        if !asked.insert(task) {
            continue;
        }
        let Some(found) = spec.tasks.get(task) else { continue };
        if found.kind.window().is_some() {
            return true;
        }
        // A running count makes a document of its own, without the window of what it counts.
        if !found.kind.is_stateful() {
            open.extend(graph.parents(task));
        }
    }
    false
}
