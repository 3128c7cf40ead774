//! What is promised of each way from a source to where results go, and why.

use std::collections::BTreeSet;
use std::fmt;

use super::{Arc, Gateway, InputKind, Plan, Table};
use crate::spec::{Delivery, OnError, Start};

/// How often a record of the source has its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// Once, or not at all after a crash.
    AtMostOnce,
    /// Once, or again after a crash.
    AtLeastOnce,
    /// Once, whatever ends in between.
    ExactlyOnce,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMostOnce => "at most once",
            Self::AtLeastOnce => "at least once",
            Self::ExactlyOnce => "exactly once",
        })
    }
}

/// A way from a source to a place of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The name of the source, or of a gateway.
    pub source: String,
    /// The name of the sink, or the topic of a gateway.
    pub sink: String,
    /// Where results are: `topic out`, or `table rooms in a.db`.
    pub target: String,
    /// What is promised.
    pub guarantee: Guarantee,
    /// Why, and what it does not cover: a sentence each.
    pub reasons: Vec<String>,
}

impl Plan {
    /// What is promised of every way from a source to where results go.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let arcs = self.arcs();
        let mut paths: Vec<Path> = self.gateways.iter().map(measured).collect();
        for source in sources(self) {
            let behind = closure(&source, |at| next(&arcs, at));
            let is_sink = |name: &str| self.operator(name).is_none();
            let is_end = |arc: &&Arc| behind.contains(&arc.from) && is_sink(&arc.to);
            let mut sinks: Vec<(&str, &str)> = arcs
                .iter()
                .filter(is_end)
                .map(|arc| (arc.to.as_str(), arc.topic.as_deref().unwrap_or_default()))
                .collect();
            sinks.sort_unstable();
            sinks.dedup();
            for (sink, target) in sinks {
                let before = closure(sink, |at| previous(&arcs, at));
                let on_way: BTreeSet<&String> = behind.intersection(&before).collect();
                let reasons = self.limits_of(&source, &on_way);
                paths.push(self.path(&source, (sink, target, None), &reasons));
                let tables = self.tables.iter().filter(|table| table.topic == target);
                paths.extend(
                    tables.map(|table| self.path(&source, (sink, target, Some(table)), &reasons)),
                );
            }
        }
        paths
    }

    fn path(
        &self,
        source: &str,
        (sink, target, table): (&str, &str, Option<&Table>),
        limits: &[String],
    ) -> Path {
        let mut reasons = Vec::new();
        let guarantee = match self.delivery {
            Delivery::ExactlyOnce => Guarantee::ExactlyOnce,
            Delivery::AtLeastOnce => Guarantee::AtLeastOnce,
        };
        reasons.push(match (self.delivery, table) {
            (Delivery::ExactlyOnce, None) => {
                "results, state and positions are one transaction; readers take read_committed"
            }
            (Delivery::ExactlyOnce, Some(_)) => {
                "committed results are read, and rows and positions are one transaction of the \
                 database"
            }
            (Delivery::AtLeastOnce, _) => {
                "`delivery: at_least_once`: what lies between the last positions and a crash is \
                 done again"
            }
        }
        .to_owned());
        reasons.extend_from_slice(limits);
        let target = match table {
            Some(table) => format!("table {} in {}", table.table, table.file),
            None => format!("topic {target}"),
        };
        let (source, sink) = (source.to_owned(), sink.to_owned());
        Path { source, sink, target, guarantee, reasons }
    }

    /// What the promise does not cover on these tasks.
    fn limits_of(&self, source: &str, tasks: &BTreeSet<&String>) -> Vec<String> {
        let mut limits = Vec::new();
        if starts_late(self, source) {
            let limit = "`start: latest`: what lies in the topic at the first start is not read";
            limits.push(limit.to_owned());
        }
        let operators = self.stages.iter().flat_map(|stage| &stage.operators);
        for operator in operators.filter(|operator| tasks.contains(&operator.task)) {
            let task = &operator.task;
            match operator.on_error {
                OnError::Skip => {
                    limits.push(format!("`{task}` leaves out records that fail"));
                }
                OnError::DeadLetter => {
                    limits.push(format!("`{task}` puts records that fail aside as dead letters"));
                }
                OnError::Fail => {}
            }
            if operator.kind.window().is_some() {
                limits.push(format!("`{task}` leaves out records that are late for their windows"));
            }
        }
        limits
    }
}

/// The way of readings into their topic.
fn measured(gateway: &Gateway) -> Path {
    let reason = "it measures once: a reading that is not in the log when the process dies is gone";
    Path {
        source: gateway.name.clone(),
        sink: gateway.topic.clone(),
        target: format!("topic {}", gateway.topic),
        guarantee: Guarantee::AtMostOnce,
        reasons: vec![reason.to_owned()],
    }
}

fn sources(plan: &Plan) -> BTreeSet<String> {
    let inputs = plan.stages.iter().flat_map(|stage| &stage.inputs);
    let sources = inputs.filter_map(|input| match &input.kind {
        InputKind::Source(source) => Some(source.name.clone()),
        InputKind::Edge { .. } => None,
    });
    sources.collect()
}

fn starts_late(plan: &Plan, name: &str) -> bool {
    let mut inputs = plan.stages.iter().flat_map(|stage| &stage.inputs);
    inputs.any(|input| match &input.kind {
        InputKind::Source(source) => source.name == name && source.start == Start::Latest,
        InputKind::Edge { .. } => false,
    })
}

fn next(arcs: &[Arc], at: &str) -> Vec<String> {
    arcs.iter().filter(|arc| arc.from == at).map(|arc| arc.to.clone()).collect()
}

fn previous(arcs: &[Arc], at: &str) -> Vec<String> {
    arcs.iter().filter(|arc| arc.to == at).map(|arc| arc.from.clone()).collect()
}

/// Everything that can be reached, the beginning included.
fn closure(from: &str, step: impl Fn(&str) -> Vec<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(at) = left.pop() {
        if reached.insert(at.clone()) {
            left.extend(step(&at));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Sources;

    fn paths(text: &str) -> Vec<Path> {
        let parsed = crate::spec::parse(&Sources::single("test.yaml", text), &|_| None);
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        Plan::of(&parsed.spec.expect("a text without problems has a spec")).paths()
    }

    const TWO: &str = "
version: 1
name: p
sources: { left: { topic: l }, right: { topic: r, start: latest } }
tasks:
  - { id: a, type: filter, where: x > 1, from: left, on_error: skip, to: out }
  - { id: b, type: count, from: right, window: 1m, on_error: dead_letter, to: [out, kept] }
sinks:
  out: { kafka: { topic: o } }
  kept: { sqlite: { file: k.db, table: rows } }
";

    #[test]
    fn each_way_has_its_promise_and_only_the_limits_of_its_own_tasks() {
        let all = paths(TWO);
        let told: Vec<String> = all
            .iter()
            .map(|it| format!("{}->{} {}: {}", it.source, it.sink, it.target, it.guarantee))
            .collect();
        assert_eq!(
            told,
            [
                "left->out topic o: exactly once",
                "right->kept topic p.kept: exactly once",
                "right->kept table rows in k.db: exactly once",
                "right->out topic o: exactly once",
            ]
        );
        let reasons = |at: usize| all[at].reasons.join("; ");
        assert!(reasons(0).contains("`a` leaves out records that fail"), "{}", reasons(0));
        assert!(!reasons(0).contains("latest") && !reasons(0).contains("`b`"), "{}", reasons(0));
        assert!(reasons(2).contains("rows and positions are one"), "{}", reasons(2));
        for limit in ["`start: latest`", "`b` puts records", "late for their windows"] {
            assert!(reasons(3).contains(limit), "{}", reasons(3));
        }
    }

    #[test]
    fn without_transactions_a_crash_repeats_and_a_gateway_measures_once() {
        let text = TWO.replace("name: p", "name: p\nruntime: { delivery: at_least_once }");
        assert!(paths(&text).iter().all(|it| it.guarantee == Guarantee::AtLeastOnce));
        let text = "
version: 1
name: p
ingest: { host: { type: host, every: 1s, topic: readings } }
tasks:
  - { id: a, type: forward, to: sink }
sink: { kafka: { topic: o } }
";
        let all = paths(text);
        let told =
            |at: usize| (all[at].source.as_str(), all[at].target.as_str(), all[at].guarantee);
        assert_eq!(told(0), ("host", "topic readings", Guarantee::AtMostOnce));
        assert_eq!(told(1), ("source", "topic o", Guarantee::ExactlyOnce));
        assert_eq!(all.len(), 2);
    }
}
