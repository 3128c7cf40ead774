//! The tasks of a pipeline as a graph: who sends to whom, in which order, and its drawings.

mod canvas;
mod export;
mod layout;
mod picture;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

pub use export::{dot, mermaid};
pub use picture::{Ink, Picture, Role, Spot, draw};

use crate::diagnose::{Located, Span};
use crate::spec::Spec;

/// Where an arc leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// To a task, by index.
    Task(usize),
    /// To a sink, by index.
    Sink(usize),
}

/// An arc that leaves a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arc {
    /// The task that it leaves.
    pub from: usize,
    /// Where it leads.
    pub target: Target,
    /// Where it is written; the task's id when `to` was left out.
    pub span: Span,
}

/// A name in `to` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// No task and no sink has this name.
    Unknown(Located<String>),
    /// The word `sink`, with several sinks to choose from.
    Ambiguous(Located<String>),
    /// The word `sink`, without any sink.
    NoSink,
}

/// The graph of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// The arcs in the order of the file, without repetitions.
    pub arcs: Vec<Arc>,
    /// What could not be resolved, with the task it belongs to.
    pub unresolved: Vec<(usize, Unresolved)>,
    /// The sources that each task reads, by index.
    pub sources: Vec<Vec<usize>>,
    /// The senders of each task.
    parents: Vec<Vec<usize>>,
    /// Where the arcs of each task begin; they stand together in the order of the tasks.
    starts: Vec<usize>,
}

impl Graph {
    /// Resolves all names of a spec.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let names = Names::of(spec);
        let mut graph = Self {
            arcs: Vec::new(),
            unresolved: Vec::new(),
            sources: Vec::new(),
            parents: vec![Vec::new(); spec.tasks.len()],
            starts: Vec::new(),
        };
        let mut known = BTreeSet::new();
        for (from, task) in spec.tasks.iter().enumerate() {
            graph.starts.push(graph.arcs.len());
            let implied = [Located::new("sink".to_owned(), task.id.span)];
            for name in task.to.as_deref().unwrap_or(&implied) {
                match names.resolve(name) {
                    Ok(target) if !known.insert((from, target)) => {}
                    Ok(target) => graph.add(Arc { from, target, span: name.span }),
                    Err(unresolved) => graph.unresolved.push((from, unresolved)),
                }
            }
        }
        graph.sources = (0..spec.tasks.len()).map(|task| graph.read_by(spec, task)).collect();
        graph
    }

    fn add(&mut self, arc: Arc) {
        self.arcs.push(arc);
        if let Target::Task(to) = arc.target
            && let Some(parents) = self.parents.get_mut(to)
        {
            parents.push(arc.from);
        }
    }

    /// The sources named by `from:`, or all of them for a task that nobody sends to.
    fn read_by(&self, spec: &Spec, task: usize) -> Vec<usize> {
        let names = spec.tasks.get(task).map_or(&[][..], |task| task.from.as_slice());
        let index = |name: &Located<String>| {
            spec.sources.iter().position(|source| source.name.value == name.value)
        };
        let named: BTreeSet<usize> = names.iter().filter_map(index).collect();
        if !names.is_empty() || self.parents(task).next().is_some() {
            return named.into_iter().collect();
        }
        (0..spec.sources.len()).collect()
    }

    /// The tasks that send to a task.
    pub fn parents(&self, task: usize) -> impl Iterator<Item = usize> + '_ {
        self.parents.get(task).into_iter().flatten().copied()
    }

    /// The arcs that leave a task.
    pub fn leaving(&self, task: usize) -> impl Iterator<Item = &Arc> + '_ {
        let start = self.starts.get(task).copied().unwrap_or(self.arcs.len());
        self.arcs.get(start..).unwrap_or_default().iter().take_while(move |arc| arc.from == task)
    }

    /// The tasks in an order in which senders come first, otherwise as in the file; tasks in and
    /// behind a loop are left out.
    #[must_use]
    pub fn order(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> =
            (0..self.starts.len()).map(|t| self.parents(t).count()).collect();
        let mut ready: BTreeSet<usize> =
            (0..self.starts.len()).filter(|task| waiting.get(*task) == Some(&0)).collect();
        let mut order = Vec::new();
        while let Some(task) = ready.pop_first() {
            order.push(task);
            for arc in self.leaving(task) {
                let Target::Task(child) = arc.target else { continue };
                if let Some(count) = waiting.get_mut(child) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(child);
                    }
                }
            }
        }
        order
    }

    /// The arcs of one loop in order; empty when there is none.
    #[must_use]
    pub fn cycle(&self) -> Vec<Arc> {
        let sorted: BTreeSet<usize> = self.order().into_iter().collect();
        // Each task outside the order has a sender outside of it, so walking against the arrows
        // must meet itself.
        let Some(start) = (0..self.starts.len()).find(|task| !sorted.contains(task)) else {
            return Vec::new();
        };
        let mut walked: Vec<Arc> = Vec::new();
        let mut at = start;
        loop {
            let back = self
                .arcs
                .iter()
                .find(|arc| arc.target == Target::Task(at) && !sorted.contains(&arc.from));
            let Some(arc) = back else { return Vec::new() };
            walked.push(*arc);
            at = arc.from;
            let closed = walked.iter().position(|arc| arc.target == Target::Task(at));
            if let Some(first) = closed {
                let mut cycle: Vec<Arc> = walked.split_off(first);
                cycle.reverse();
                return cycle;
            }
        }
    }
}

/// What the names in `to` mean; of two with one name the first counts, and tasks before sinks.
struct Names<'a> {
    targets: BTreeMap<&'a str, Target>,
    sink_count: usize,
}

impl<'a> Names<'a> {
    fn of(spec: &'a Spec) -> Self {
        let mut targets = BTreeMap::new();
        for (index, task) in spec.tasks.iter().enumerate() {
            targets.entry(task.id.value.as_str()).or_insert(Target::Task(index));
        }
        for (index, sink) in spec.sinks.iter().enumerate() {
            targets.entry(sink.name.value.as_str()).or_insert(Target::Sink(index));
        }
        Self { targets, sink_count: spec.sinks.len() }
    }

    fn resolve(&self, name: &Located<String>) -> Result<Target, Unresolved> {
        if let Some(target) = self.targets.get(name.value.as_str()) {
            return Ok(*target);
        }
        if name.value != "sink" {
            return Err(Unresolved::Unknown(name.clone()));
        }
        match self.sink_count {
            0 => Err(Unresolved::NoSink),
            1 => Ok(Target::Sink(0)),
            _ => Err(Unresolved::Ambiguous(name.clone())),
        }
    }
}
