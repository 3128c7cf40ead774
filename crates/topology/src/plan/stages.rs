//! From tasks to stages: what runs together, and where a topic must lie in between.

use std::collections::{BTreeMap, BTreeSet};

use super::names;
use super::outline::signature;
use super::{Input, InputKind, Operator, Output, Parking, SourceInput, Stage, Store};
use crate::expression::Expression;
use crate::graph::{Arc, Graph, Target};
use crate::spec::{Edges, LetterOrder, OnError, Source, Spec, Task, TaskKind};

/// The stages of a spec in an order in which writers come before readers.
pub(crate) fn build(spec: &Spec) -> Vec<Stage> {
    let graph = Graph::of(spec);
    let cuts = Cuts::of(spec, &graph);
    let mut builder = Builder { spec, graph: &graph, cuts: &cuts, drafts: Vec::new() };
    builder.draft();
    builder.finish()
}

/// Which tasks begin a stage, and why.
struct Cuts {
    /// Tasks in order, loops left out.
    order: Vec<usize>,
    /// The stage of each task, by the number of the draft.
    stage: BTreeMap<usize, usize>,
    /// Tasks whose incoming records get a new key.
    rekeyed: BTreeSet<usize>,
    /// Tasks whose incoming arcs are topics.
    behind_topics: BTreeSet<usize>,
    /// What the key of the records in a task is made of, for signatures.
    key_names: BTreeMap<usize, String>,
    stage_count: usize,
}

impl Cuts {
    fn of(spec: &Spec, graph: &Graph) -> Self {
        let mut cuts = Self {
            order: graph.order(),
            stage: BTreeMap::new(),
            rekeyed: BTreeSet::new(),
            behind_topics: BTreeSet::new(),
            key_names: BTreeMap::new(),
            stage_count: 0,
        };
        let mut exits: BTreeMap<usize, Option<String>> = BTreeMap::new();
        let mut heads: BTreeMap<Vec<usize>, usize> = BTreeMap::new();
        for task_index in cuts.order.clone() {
            let Some(task) = spec.tasks.get(task_index) else { continue };
            let parents: Vec<usize> = graph.parents(task_index).collect();
            let sources = graph.sources.get(task_index).map_or(&[][..], Vec::as_slice);
            let entry = common_key(&parents, sources, &exits);
            if changes_key(task, entry.as_deref()) {
                cuts.rekeyed.insert(task_index);
            }
            cuts.name_key(task_index, task, &parents);
            let after = task.key.as_ref().filter(|key| key.reads_only_value());
            let entry = if task.key.as_ref().is_some_and(|key| !key.is_record_key()) {
                after.map(Expression::canonical)
            } else {
                entry
            };
            let keeps_value = matches!(task.kind, TaskKind::Forward | TaskKind::Filter { .. });
            exits.insert(task_index, entry.filter(|_| keeps_value));
            cuts.place(spec, task_index, &parents, sources, &mut heads);
        }
        cuts
    }

    /// Gives a task its stage: its senders' where it may, the other readers' of its sources, or a
    /// new one.
    fn place(
        &mut self,
        spec: &Spec,
        task_index: usize,
        parents: &[usize],
        sources: &[usize],
        heads: &mut BTreeMap<Vec<usize>, usize>,
    ) {
        let new_key = self.rekeyed.contains(&task_index);
        let scaled = spec.tasks.get(task_index).is_some_and(|task| task.partitions.is_some());
        let of_parents: BTreeSet<Option<usize>> =
            parents.iter().map(|parent| self.stage.get(parent).copied()).collect();
        let every_edge = spec.edges == Edges::Topics;
        if parents.is_empty() && !new_key && !scaled {
            let head = heads.get(sources).copied().filter(|_| !every_edge);
            let stage = head.unwrap_or_else(|| self.next_stage());
            heads.insert(sources.to_vec(), stage);
            self.stage.insert(task_index, stage);
            return;
        }
        let together = of_parents.len() == 1 && sources.is_empty();
        let first = of_parents.into_iter().next().flatten();
        if let (true, false, false, false, Some(stage)) =
            (together, new_key, scaled, every_edge, first)
        {
            self.stage.insert(task_index, stage);
            return;
        }
        self.behind_topics.insert(task_index);
        let stage = self.next_stage();
        self.stage.insert(task_index, stage);
    }

    fn next_stage(&mut self) -> usize {
        self.stage_count += 1;
        self.stage_count - 1
    }

    fn name_key(&mut self, task_index: usize, task: &Task, parents: &[usize]) {
        let own = task.key.as_ref().filter(|key| !key.is_record_key());
        let name = own.map_or_else(
            || {
                let of_parents: BTreeSet<&str> = parents
                    .iter()
                    .filter_map(|parent| self.key_names.get(parent).map(String::as_str))
                    .collect();
                let names: Vec<&str> = of_parents.into_iter().collect();
                if names.is_empty() { "@key".to_owned() } else { names.join(" | ") }
            },
            Expression::canonical,
        );
        self.key_names.insert(task_index, name);
    }
}

/// The expression of the value that all incoming records have as their key, when there is one.
fn common_key(
    parents: &[usize],
    sources: &[usize],
    exits: &BTreeMap<usize, Option<String>>,
) -> Option<String> {
    if !sources.is_empty() {
        return None;
    }
    let (first, rest) = parents.split_first()?;
    let key = exits.get(first)?.clone()?;
    let same = |parent: &usize| exits.get(parent).is_some_and(|exit| exit.as_ref() == Some(&key));
    if rest.iter().all(same) { Some(key) } else { None }
}

/// Whether a task's `key:` may give a record another key than it has.
fn changes_key(task: &Task, entry: Option<&str>) -> bool {
    let Some(key) = &task.key else { return false };
    if key.is_record_key() {
        return false;
    }
    !(key.reads_only_value() && entry == Some(key.canonical().as_str()))
}

/// A stage while it is built: its members and what it reads.
#[derive(Default)]
struct Draft {
    tasks: Vec<usize>,
    /// Sources that only pass through into topics, with the tasks behind them.
    passed: BTreeMap<usize, Vec<usize>>,
}

struct Builder<'a> {
    spec: &'a Spec,
    graph: &'a Graph,
    cuts: &'a Cuts,
    drafts: Vec<Draft>,
}

impl Builder<'_> {
    fn draft(&mut self) {
        self.drafts.resize_with(self.cuts.stage_count, Draft::default);
        for task in &self.cuts.order {
            let stage = self.cuts.stage.get(task).and_then(|stage| self.drafts.get_mut(*stage));
            if let Some(draft) = stage {
                draft.tasks.push(*task);
            }
        }
        // A source whose records get new keys is passed through by a stage that reads it anyway.
        for task in &self.cuts.behind_topics {
            for source in self.passed_sources(*task) {
                let reads = |draft: &Draft| {
                    let alone = |t: &usize| self.graph.sources.get(*t) == Some(&vec![source]);
                    let head = draft
                        .tasks
                        .iter()
                        .any(|t| alone(t) && !self.cuts.behind_topics.contains(t));
                    head || draft.passed.contains_key(&source)
                };
                let home =
                    self.drafts.iter().position(reads).filter(|_| self.spec.edges == Edges::Auto);
                let home = home.unwrap_or_else(|| {
                    // Writers come before readers.
                    self.drafts.insert(0, Draft::default());
                    0
                });
                if let Some(draft) = self.drafts.get_mut(home) {
                    draft.passed.entry(source).or_default().push(*task);
                }
            }
        }
        // Stages that read nothing but sources wait for nobody, and others may wait for them.
        let waits = |draft: &Draft| draft.tasks.iter().any(|t| self.cuts.behind_topics.contains(t));
        self.drafts.sort_by_key(waits);
    }

    /// The sources whose records reach a task through a topic of ours.
    fn passed_sources(&self, task: usize) -> Vec<usize> {
        let through = self.cuts.rekeyed.contains(&task)
            || self.spec.tasks.get(task).is_some_and(|task| task.partitions.is_some());
        let sources = self.graph.sources.get(task).cloned().unwrap_or_default();
        if through { sources } else { Vec::new() }
    }

    fn finish(&self) -> Vec<Stage> {
        let mut renamed = BTreeSet::new();
        let mut stages: Vec<Stage> = self.drafts.iter().map(|draft| self.stage(draft)).collect();
        for stage in &mut stages {
            // The file's group holds the positions of one stage; two would overwrite each other.
            let named = stage.inputs.iter().find_map(|input| self.group_of(input));
            if let Some(group) = named.filter(|group| renamed.insert(group.clone())) {
                stage.group = group;
            }
        }
        stages
    }

    fn stage(&self, draft: &Draft) -> Stage {
        let first = draft.tasks.first().and_then(|task| self.spec.tasks.get(*task));
        let passed = draft.passed.keys().next().and_then(|s| self.spec.sources.get(*s));
        let id = match (first, passed) {
            (Some(task), _) => task.id.value.clone(),
            (None, Some(source)) => source.name.value.clone(),
            (None, None) => String::new(),
        };
        let mut stage = Stage {
            group: names::group(self.spec, &id),
            id,
            inputs: Vec::new(),
            operators: Vec::new(),
            stores: Vec::new(),
            parking: None,
        };
        for task_index in &draft.tasks {
            self.add_operator(&mut stage, draft, *task_index);
        }
        for (source, tasks) in &draft.passed {
            self.add_passage(&mut stage, *source, tasks);
        }
        if self.spec.letters == LetterOrder::Sequenced && parks(&stage) {
            stage.parking = Some(Parking {
                changelog: names::parked(self.spec, &stage.id),
                orders: names::orders(self.spec, &stage.id),
            });
        }
        stage
    }

    /// The group that the file names for the source behind an input.
    fn group_of(&self, input: &Input) -> Option<String> {
        let InputKind::Source(source) = &input.kind else { return None };
        let found = self.spec.sources.iter().find(|known| known.name.value == source.name)?;
        found.group.as_ref().map(|group| group.value.clone())
    }

    fn add_operator(&self, stage: &mut Stage, draft: &Draft, task_index: usize) {
        let Some(task) = self.spec.tasks.get(task_index) else { return };
        let store = task.kind.is_stateful().then(|| {
            stage.stores.push(Store {
                task: task.id.value.clone(),
                changelog: names::changelog(self.spec, &stage.id, &task.id.value),
                is_windowed: task.kind.window().is_some(),
                signature: self.signature(task_index, task),
            });
            stage.stores.len() - 1
        });
        let operator = stage.operators.len();
        stage.operators.push(Operator {
            task: task.id.value.clone(),
            kind: task.kind.clone(),
            on_error: task.on_error,
            event_time: task.event_time.clone(),
            store,
            ttl_ms: task.ttl_ms,
            outputs: self.outputs(draft, task_index),
        });
        let direct = self.passed_sources(task_index).is_empty();
        for source in self.graph.sources.get(task_index).into_iter().flatten() {
            let Some(source) = self.spec.sources.get(*source) else { continue };
            if direct {
                read_source(stage, source, operator);
            } else {
                let topic = names::edge(self.spec, &source.name.value, &task.id.value);
                read_edge(stage, topic, (&source.name.value, &task.id.value), operator);
            }
        }
        if self.cuts.behind_topics.contains(&task_index) {
            for parent in self.graph.parents(task_index) {
                let Some(parent) = self.spec.tasks.get(parent) else { continue };
                let topic = names::edge(self.spec, &parent.id.value, &task.id.value);
                read_edge(stage, topic, (&parent.id.value, &task.id.value), operator);
            }
        }
    }

    fn signature(&self, task_index: usize, task: &Task) -> u64 {
        let key = self.cuts.key_names.get(&task_index).map_or("", String::as_str);
        signature(self.spec.form, &task.kind, key)
    }

    /// An operator that hands the records of a source on under new keys.
    fn add_passage(&self, stage: &mut Stage, source: usize, tasks: &[usize]) {
        let Some(source) = self.spec.sources.get(source) else { return };
        let operator = stage.operators.len();
        let outputs = tasks.iter().filter_map(|task| self.edge(&source.name.value, *task));
        stage.operators.push(Operator {
            task: source.name.value.clone(),
            kind: TaskKind::Forward,
            on_error: OnError::Fail,
            event_time: None,
            store: None,
            ttl_ms: None,
            outputs: outputs.collect(),
        });
        read_source(stage, source, operator);
    }

    fn outputs(&self, draft: &Draft, task_index: usize) -> Vec<Output> {
        let output = |arc: &Arc| match arc.target {
            Target::Sink(sink) => {
                let sink = self.spec.sinks.get(sink)?;
                let topic = names::sink_topic(self.spec, sink);
                Some(Output::Sink { topic, sink: sink.name.value.clone() })
            }
            Target::Task(to) if self.cuts.behind_topics.contains(&to) => {
                let from = self.spec.tasks.get(task_index)?;
                self.edge(&from.id.value, to)
            }
            Target::Task(to) => {
                draft.tasks.iter().position(|member| *member == to).map(Output::Operator)
            }
        };
        self.graph.leaving(task_index).filter_map(output).collect()
    }

    fn edge(&self, from: &str, to: usize) -> Option<Output> {
        let task = self.spec.tasks.get(to)?;
        let new_key = self.cuts.rekeyed.contains(&to);
        Some(Output::Edge {
            topic: names::edge(self.spec, from, &task.id.value),
            to: task.id.value.clone(),
            key: task.key.clone().filter(|_| new_key),
            on_error: task.on_error,
        })
    }
}

/// Whether records that fail in a stage, or on the way out of it, become dead letters.
fn parks(stage: &Stage) -> bool {
    stage.operators.iter().any(|operator| {
        let rekeys = |output: &Output| {
            matches!(output, Output::Edge { key: Some(_), on_error: OnError::DeadLetter, .. })
        };
        operator.on_error == OnError::DeadLetter || operator.outputs.iter().any(rekeys)
    })
}

fn read_source(stage: &mut Stage, source: &Source, operator: usize) {
    let known = stage.inputs.iter_mut().find(|input| input.topic == source.topic.value);
    if let Some(input) = known {
        input.operators.push(operator);
        return;
    }
    let kind = InputKind::Source(SourceInput {
        name: source.name.value.clone(),
        start: source.start,
        format: source.format,
        event_time: source.event_time.clone(),
        max_out_of_order_ms: source.max_out_of_order_ms,
        idle_ms: source.idle_ms,
    });
    stage.inputs.push(Input { topic: source.topic.value.clone(), kind, operators: vec![operator] });
}

fn read_edge(stage: &mut Stage, topic: String, ends: (&str, &str), operator: usize) {
    let kind = InputKind::Edge { from: ends.0.to_owned(), to: ends.1.to_owned() };
    stage.inputs.push(Input { topic, kind, operators: vec![operator] });
}
