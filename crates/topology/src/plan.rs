//! What will run: stages, the topics between them, their state and the tables behind them.
//!
//! A plan follows from the spec alone: no clock, no chance, no look at the log. So two processes
//! that read one file agree, and a changed file can be compared with what ran before. A stage is a
//! chain of tasks that run as function calls; between stages lie topics.

mod arcs;
mod guarantee;
pub(crate) mod names;
mod outline;
mod stages;
mod topics;

use std::collections::BTreeMap;

pub use arcs::Arc;
pub use guarantee::{Guarantee, Path};
pub use names::plan_topic_of;
pub use outline::{Change, Outline, OutlineError, StoreOutline, compare};

pub(crate) use topics::{feeders, has_window_start};

use crate::expression::Expression;
use crate::spec::{
    Delivery, Form, Format, LetterOrder, OnError, Spec, Start, StateSettings, TaskKind,
};

/// Everything that the engine needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// The form of the file; in the legacy form results are bare numbers.
    pub form: Form,
    /// What is promised.
    pub delivery: Delivery,
    /// Longest time between commits in milliseconds.
    pub commit_interval_ms: u64,
    /// Where state is kept, and how much of it in memory.
    pub state: StateSettings,
    /// Slots per process.
    pub slots: u32,
    /// Processes that share the work.
    pub task_managers: u32,
    /// Gateways that feed topics.
    pub gateways: Vec<Gateway>,
    /// The stages; each reads only from sources and from stages before it.
    pub stages: Vec<Stage>,
    /// All topics that are read or written, by name.
    pub topics: BTreeMap<String, TopicPlan>,
    /// Tables that are written from topics.
    pub tables: Vec<Table>,
    /// The topic for records that fail, when a task sends some there.
    pub dead_letter: Option<String>,
    /// What later records of a key do once one of them is a dead letter.
    pub letters: LetterOrder,
    /// The compacted topic that records plans, slots and stores.
    pub plan_topic: String,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its name.
    pub name: String,
    /// Milliseconds between two readings of the host's sensors.
    pub every_ms: u64,
    /// The topic that it feeds.
    pub topic: String,
}

/// A chain of tasks between topics.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// The id of its first task.
    pub id: String,
    /// The consumer group that holds its positions.
    pub group: String,
    /// The topics that it reads; partition p of each belongs to one task of the stage.
    pub inputs: Vec<Input>,
    /// Its operators; each sends only to operators after it.
    pub operators: Vec<Operator>,
    /// The state of its operators.
    pub stores: Vec<Store>,
    /// Where it keeps what waits behind dead letters; `None` when nothing may wait in it.
    pub parking: Option<Parking>,
}

impl Stage {
    /// Whether its inputs must have equal numbers of partitions, because state is kept by key and
    /// a key must meet itself in one task.
    #[must_use]
    pub fn is_copartitioned(&self) -> bool {
        self.inputs.len() > 1 && !self.stores.is_empty()
    }
}

/// A topic that a stage reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The topic.
    pub topic: String,
    /// Whose it is.
    pub kind: InputKind,
    /// The operators that get each of its records, by index.
    pub operators: Vec<usize>,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum InputKind {
    /// A topic that others fill.
    Source(SourceInput),
    /// A topic of this pipeline; it carries watermarks.
    Edge {
        /// The task that writes it.
        from: String,
        /// The task that reads it.
        to: String,
    },
}

/// How a source topic is read.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceInput {
    /// The source's name.
    pub name: String,
    /// Where to begin without a committed position.
    pub start: Start,
    /// What its values are.
    pub format: Format,
    /// Where a record's time stands in it.
    pub event_time: Option<Expression>,
    /// How late a record may come and still be in order, in milliseconds.
    pub max_out_of_order_ms: u64,
    /// How long a caught-up partition may be silent before it no longer holds time back.
    pub idle_ms: u64,
}

/// A task as it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// The task's id.
    pub task: String,
    /// What it does.
    pub kind: TaskKind,
    /// What happens to a record that fails in it.
    pub on_error: OnError,
    /// The time of records that come in, when it is not theirs.
    pub event_time: Option<Expression>,
    /// Its state, by index into the stage's stores.
    pub store: Option<usize>,
    /// How long it remembers a key after its last record, in milliseconds of event time.
    pub ttl_ms: Option<u64>,
    /// Where its records go, each record to all of them.
    pub outputs: Vec<Output>,
}

/// Where an operator's records go.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// To another operator of the stage, by index.
    Operator(usize),
    /// To a topic of this pipeline, perhaps with a new key.
    Edge {
        /// The topic.
        topic: String,
        /// The task that reads it.
        to: String,
        /// The new key; `None` keeps the record's.
        key: Option<Expression>,
        /// What happens to a record whose key cannot be made: the reading task's word.
        on_error: OnError,
    },
    /// To a sink's topic.
    Sink {
        /// The topic.
        topic: String,
        /// The sink's name.
        sink: String,
    },
}

/// State per key with its changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The task, which also names the store.
    pub task: String,
    /// The compacted topic that it can be rebuilt from.
    pub changelog: String,
    /// Whether it is kept per window.
    pub is_windowed: bool,
    /// What its content means: state of one signature is never read as another's.
    pub signature: u64,
}

/// What a stage needs so that records wait behind a dead letter of their key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parking {
    /// The compacted topic that says which keys are parked.
    pub changelog: String,
    /// The topic by which people say what becomes of them.
    pub orders: String,
}

/// A topic with what it needs when it is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// What it is for.
    pub role: TopicRole,
    /// How many partitions it gets when it does not exist.
    pub partitions: Partitions,
    /// Its configs when it does not exist.
    pub config: BTreeMap<String, String>,
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRole {
    /// Read, and filled by others or by a gateway.
    Source,
    /// An arc between two stages.
    Edge,
    /// Written for others, and read by tables.
    Sink,
    /// State of a stage.
    Changelog,
    /// Records that failed.
    DeadLetter,
    /// Which keys of a stage are parked.
    Parked,
    /// What becomes of parked keys, as people say.
    Orders,
    /// The plans of this pipeline.
    Plan,
}

/// How many partitions a topic gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitions {
    /// This many.
    Count(u32),
    /// As many as the one of these topics that has most.
    AsMostOf(Vec<String>),
}

/// A table that is written from a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The name of its positions: the sink's name, with the table's where one sink has several.
    pub sink: String,
    /// The topic that it is written from.
    pub topic: String,
    /// The database file.
    pub file: String,
    /// The table.
    pub table: String,
    /// The columns that tell rows apart.
    pub key: Vec<String>,
    /// Whether a missing table is created.
    pub create_table: bool,
}

impl Plan {
    /// The plan of a spec that `lint` found free of errors; of another one it may have gaps.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let stages = stages::build(spec);
        let tables = topics::tables(spec);
        Self {
            pipeline: spec.name.value.clone(),
            form: spec.form,
            delivery: spec.runtime.delivery,
            commit_interval_ms: spec.runtime.commit_interval_ms,
            state: spec.runtime.state,
            slots: spec.runtime.parallelism,
            task_managers: spec.runtime.task_managers,
            gateways: topics::gateways(spec),
            topics: topics::of(spec, &stages),
            stages,
            tables,
            dead_letter: topics::dead_letter(spec),
            letters: spec.letters,
            plan_topic: names::plan_topic(spec),
        }
    }

    /// A number that is equal for plans whose positions and state mean the same.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        Outline::of(self).fingerprint()
    }

    /// The stage and index of a task's operator.
    #[must_use]
    pub fn operator(&self, task: &str) -> Option<(&Stage, usize)> {
        self.stages.iter().find_map(|stage| {
            let index = stage.operators.iter().position(|operator| operator.task == task)?;
            Some((stage, index))
        })
    }
}
