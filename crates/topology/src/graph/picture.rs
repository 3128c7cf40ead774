//! A pipeline as spots and lines between them, from source topics to tables.

use super::canvas::Canvas;
use super::layout::Layout;
use super::{Graph, Target, tree};
use crate::plan::{Output, Plan, names};
use crate::spec::{Spec, Task, TaskKind, duration_text};

/// What a spot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A topic that is read.
    Source,
    /// A task.
    Task,
    /// A topic that is written.
    Sink,
    /// A table behind a topic.
    Table,
}

/// A spot of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// What it is.
    pub role: Role,
    /// Its name and a few words.
    pub label: String,
}

/// The picture of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// The spots; lines lead from earlier to later ones.
    pub spots: Vec<Spot>,
    /// The lines: from, to, and the topic that lies in between, if one does.
    pub lines: Vec<(usize, usize, Option<String>)>,
}

impl Picture {
    /// The picture of a spec that `lint` found free of errors; loops are left out of another one.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let graph = Graph::of(spec);
        let plan = Plan::of(spec);
        let mut picture = Self::default();
        let sources: Vec<usize> = spec
            .sources
            .iter()
            .map(|source| picture.spot(Role::Source, source.topic.value.clone()))
            .collect();
        let order = graph.order();
        let mut tasks = vec![None; spec.tasks.len()];
        for index in &order {
            let Some(task) = spec.tasks.get(*index) else { continue };
            let spot = picture.spot(Role::Task, label(task));
            if let Some(slot) = tasks.get_mut(*index) {
                *slot = Some(spot);
            }
            for source in graph.sources.get(*index).into_iter().flatten() {
                let name = spec.sources.get(*source).map_or("", |s| s.name.value.as_str());
                let topic = topic_between(&plan, name, &task.id.value);
                picture.line(sources.get(*source).copied(), Some(spot), topic);
            }
        }
        let mut sinks = Vec::new();
        for sink in &spec.sinks {
            let spot = picture.spot(Role::Sink, names::sink_topic(spec, sink));
            sinks.push(spot);
            for table in &sink.tables {
                let label = format!("{} (sqlite)", table.table.value);
                let table = picture.spot(Role::Table, label);
                picture.line(Some(spot), Some(table), None);
            }
        }
        for arc in &graph.arcs {
            let from = tasks.get(arc.from).copied().flatten();
            match arc.target {
                Target::Sink(sink) => picture.line(from, sinks.get(sink).copied(), None),
                Target::Task(to) => {
                    let id = |task: usize| spec.tasks.get(task).map_or("", |t| t.id.value.as_str());
                    let topic = topic_between(&plan, id(arc.from), id(to));
                    picture.line(from, tasks.get(to).copied().flatten(), topic);
                }
            }
        }
        picture
    }

    fn spot(&mut self, role: Role, label: String) -> usize {
        self.spots.push(Spot { role, label });
        self.spots.len() - 1
    }

    fn line(&mut self, from: Option<usize>, to: Option<usize>, topic: Option<String>) {
        if let (Some(from), Some(to)) = (from, to) {
            self.lines.push((from, to, topic));
        }
    }

    /// The spots that a spot has lines to.
    pub(crate) fn after(&self, spot: usize) -> impl Iterator<Item = usize> + '_ {
        self.lines.iter().filter(move |line| line.0 == spot).map(|line| line.1)
    }

    /// The spots that have lines to a spot.
    pub(crate) fn before(&self, spot: usize) -> impl Iterator<Item = usize> + '_ {
        self.lines.iter().filter(move |line| line.1 == spot).map(|line| line.0)
    }
}

/// `mean average 10s`.
fn label(task: &Task) -> String {
    let mut label = format!("{} {}", task.id.value, task.kind.word());
    if matches!(task.kind, TaskKind::Forward) {
        label.clone_from(&task.id.value);
    }
    if let Some(window) = task.kind.window() {
        label.push_str(&format!(" {}", duration_text(window.size_ms)));
    }
    label
}

/// The topic between two tasks, when there is one.
fn topic_between(plan: &Plan, from: &str, to: &str) -> Option<String> {
    let (stage, index) = plan.operator(from)?;
    stage.operators.get(index)?.outputs.iter().find_map(|output| match output {
        Output::Edge { topic, to: reader, .. } if reader == to => Some(topic.clone()),
        Output::Edge { .. } | Output::Operator(_) | Output::Sink { .. } => None,
    })
}

/// The characters of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Box-drawing characters.
    Boxes,
    /// ASCII only.
    Ascii,
}

/// Draws the picture from left to right; where that is wider than `columns` or lines would be
/// mistaken for one another, as an indented list.
#[must_use]
pub fn draw(picture: &Picture, ink: Ink, columns: usize) -> String {
    let drawn = Layout::of(picture).and_then(|layout| Canvas::of(picture, &layout));
    match drawn.map(|canvas| canvas.text(ink)) {
        Some(text) if text.lines().all(|line| line.chars().count() <= columns) => text,
        _ => tree::draw(picture, ink),
    }
}
