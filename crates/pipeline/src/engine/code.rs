//! A stage of the plan, ready to run: its chain and the topics that it writes.

use std::collections::BTreeMap;

use topology::plan::{Operator, Output, Plan, Stage};
use topology::spec::OnError;

use super::chain::{Chain, Node, Rekeyed, Target};

/// A stage, ready to run.
#[derive(Debug)]
pub(crate) struct StageCode {
    pub(crate) stage: Stage,
    pub(crate) chain: Chain,
    /// The topics that it writes, by output index.
    pub(crate) outputs: Vec<String>,
    /// Which of the outputs are edges, and so carry watermarks.
    pub(crate) edges: Vec<usize>,
}

impl StageCode {
    /// The code of a plan's stage.
    pub(crate) fn of(plan: &Plan, stage: &Stage) -> Self {
        let mut outputs = Outputs::default();
        let nodes = stage.operators.iter().map(|it| node(it, &mut outputs)).collect();
        let parks = stage
            .operators
            .iter()
            .any(|it| it.on_error == OnError::DeadLetter || it.outputs.iter().any(parks_keyless));
        let dead_letter = plan.dead_letter.as_ref().filter(|_| parks);
        let dead_letter = dead_letter.map(|topic| outputs.index(topic));
        let chain = Chain {
            pipeline: plan.pipeline.clone(),
            nodes,
            form: plan.form,
            dead_letter,
            is_sequenced: stage.parking.is_some(),
        };
        Self { stage: stage.clone(), chain, outputs: outputs.topics, edges: outputs.edges }
    }

    /// The stages of a plan, in its order.
    pub(crate) fn all(plan: &Plan) -> Vec<Self> {
        plan.stages.iter().map(|stage| Self::of(plan, stage)).collect()
    }

    /// Whether any of its tasks does something because time has passed: it closes windows, or
    /// forgets keys.
    pub(crate) fn needs_time(&self) -> bool {
        let mut operators = self.stage.operators.iter();
        operators.any(|it| it.kind.window().is_some() || it.ttl_ms.is_some())
    }
}

#[derive(Debug, Default)]
struct Outputs {
    topics: Vec<String>,
    by_topic: BTreeMap<String, usize>,
    edges: Vec<usize>,
}

impl Outputs {
    fn index(&mut self, topic: &str) -> usize {
        if let Some(index) = self.by_topic.get(topic) {
            return *index;
        }
        let index = self.topics.len();
        self.topics.push(topic.to_owned());
        self.by_topic.insert(topic.to_owned(), index);
        index
    }

    fn edge(&mut self, topic: &str) -> usize {
        let index = self.index(topic);
        if !self.edges.contains(&index) {
            self.edges.push(index);
        }
        index
    }
}

/// Whether records that get no key for an output are parked.
fn parks_keyless(output: &Output) -> bool {
    matches!(output, Output::Edge { key: Some(_), on_error: OnError::DeadLetter, .. })
}

fn node(operator: &Operator, outputs: &mut Outputs) -> Node {
    let target = |output: &Output| match output {
        Output::Operator(index) => Target::Node(*index),
        Output::Edge { topic, key: None, .. } => Target::Output(outputs.edge(topic)),
        Output::Edge { topic, key: Some(key), on_error, to } => {
            let output = outputs.edge(topic);
            let (key, reader) = (key.clone(), to.clone());
            Target::Rekeyed(Box::new(Rekeyed { output, key, on_error: *on_error, reader }))
        }
        Output::Sink { topic, .. } => Target::Output(outputs.index(topic)),
    };
    let to = operator.outputs.iter().map(target).collect();
    Node {
        id: operator.task.clone(),
        kind: operator.kind.clone(),
        event_time: operator.event_time.clone(),
        on_error: operator.on_error,
        ttl_ms: operator.ttl_ms.map(|ttl_ms| i64::try_from(ttl_ms).unwrap_or(i64::MAX)),
        to,
    }
}
