//! The arcs of a plan: what flows from where to where, and whether a topic lies between.

use std::fmt;

use super::{InputKind, Output, Plan, Stage};

/// A way of records from one name to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arc {
    /// A source's name, or a task.
    pub from: String,
    /// A task, or a sink's name.
    pub to: String,
    /// The topic between them; none when the two tasks run in one call.
    pub topic: Option<String>,
}

impl fmt::Display for Arc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.from, self.to)
    }
}

impl Arc {
    /// Whether a text names it: `from->to`, or one of its ends alone.
    #[must_use]
    pub fn is_named(&self, text: &str) -> bool {
        match text.split_once("->") {
            Some((from, to)) => self.from == from.trim() && self.to == to.trim(),
            None => self.from == text || self.to == text,
        }
    }
}

impl Plan {
    /// All arcs: from sources, between tasks, into sinks; in the order of the stages.
    #[must_use]
    pub fn arcs(&self) -> Vec<Arc> {
        let mut arcs = Vec::new();
        for stage in &self.stages {
            add_sources(stage, &mut arcs);
            for operator in &stage.operators {
                let outputs = operator.outputs.iter();
                arcs.extend(outputs.filter_map(|output| arc(stage, &operator.task, output)));
            }
        }
        arcs
    }
}

fn add_sources(stage: &Stage, arcs: &mut Vec<Arc>) {
    for input in &stage.inputs {
        let InputKind::Source(source) = &input.kind else {
            continue;
        };
        let readers = input.operators.iter().filter_map(|at| stage.operators.get(*at));
        arcs.extend(readers.map(|reader| Arc {
            from: source.name.clone(),
            to: reader.task.clone(),
            topic: Some(input.topic.clone()),
        }));
    }
}

fn arc(stage: &Stage, from: &str, output: &Output) -> Option<Arc> {
    let (to, topic) = match output {
        Output::Operator(at) => (&stage.operators.get(*at)?.task, None),
        Output::Edge { topic, to, .. } => (to, Some(topic.clone())),
        Output::Sink { topic, sink } => (sink, Some(topic.clone())),
    };
    Some(Arc { from: from.to_owned(), to: to.clone(), topic })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Sources;

    const TEXT: &str = "
version: 1
name: p
source: { topic: in }
tasks:
  - { id: a, type: forward, to: [b, c] }
  - { id: b, type: filter, where: x > 1, to: sink }
  - { id: c, type: count, key: x, to: sink }
sink: { kafka: { topic: out } }
";

    fn arcs(text: &str) -> Vec<(String, Option<String>)> {
        let parsed = crate::spec::parse(&Sources::single("test.yaml", text), &|_| None);
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let arcs = Plan::of(&parsed.spec.expect("a text without problems has a spec")).arcs();
        arcs.into_iter().map(|arc| (arc.to_string(), arc.topic)).collect()
    }

    #[test]
    fn fused_tasks_have_no_topic_between_them_and_others_have() {
        let all = arcs(TEXT);
        let named = |name: &str| {
            let found = all.iter().find(|(arc, _)| arc == name).expect("the arc is there");
            found.1.as_deref()
        };
        assert_eq!(named("source->a"), Some("in"));
        assert_eq!(named("a->b"), None);
        assert_eq!(named("a->c"), Some("p.a_c"));
        assert_eq!(named("b->sink"), Some("out"));
        assert_eq!(named("c->sink"), Some("out"));
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn an_arc_is_named_by_both_ends_or_one() {
        let arc = Arc { from: "a".to_owned(), to: "b".to_owned(), topic: None };
        for name in ["a->b", "a -> b", "a", "b"] {
            assert!(arc.is_named(name), "{name}");
        }
        for name in ["b->a", "c", "a->", ""] {
            assert!(!arc.is_named(name), "{name}");
        }
    }
}
