//! A pipeline file as plain data, and the way from text to it.
//!
//! Three forms are read: a bare list of tasks, a configuration with the list inside or beside it,
//! and the full form (`version: 1`). All of them end in the same [`Spec`]. Reading checks shapes,
//! words, units and expressions; how the parts fit together is `lint`'s matter. Nothing here
//! touches files or the environment: variables come through a lookup function. The grammar is told
//! to editors by a schema that is made of the readers' tables.

mod cases;
mod difference;
mod echo;
mod edges;
mod errors;
mod full;
mod interpolate;
mod legacy;
mod names;
mod node;
mod reader;
mod schema;
mod skeleton;
mod task;
mod units;
mod upgrade;
mod wording;

use std::collections::BTreeMap;

pub use crate::timestamp::{timestamp_ms, timestamp_text, write_timestamp};
pub use difference::difference;
pub use echo::echo;
pub use schema::{SCHEMA_ID, schema, schema_line};
pub use skeleton::Skeleton;
pub use units::{duration_text, size_text};
pub use upgrade::upgrade;

use crate::diagnose::{Diagnostic, Located, Sources, Span, code};
use crate::expression::Expression;
use crate::json::{Number, Path};

/// Which form the file was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// A bare list of tasks, or a configuration around one: values are bare numbers.
    Legacy,
    /// `version: 1`: values are JSON documents.
    #[default]
    Full,
}

/// A whole pipeline.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spec {
    /// The form of the file.
    pub form: Form,
    /// The pipeline's name: `name:`, or the file's name without its ending.
    pub name: Located<String>,
    /// `host:port` list of the log; `None` is the embedded one.
    pub brokers: Option<Located<String>>,
    /// Kafka client properties, handed on unchanged.
    pub properties: BTreeMap<String, String>,
    /// How it runs.
    pub runtime: Runtime,
    /// Gateways that feed topics.
    pub ingest: Vec<Ingest>,
    /// Topics that it reads.
    pub sources: Vec<Source>,
    /// The processors, in the order of the file.
    pub tasks: Vec<Task>,
    /// Where results go.
    pub sinks: Vec<Sink>,
    /// The topic for records that fail; `None` takes the default name when one is needed.
    pub dead_letter: Option<Located<String>>,
    /// What later records of a key do once one of them is a dead letter.
    pub letters: LetterOrder,
    /// Whether every arc becomes a topic.
    pub edges: Edges,
    /// Partitions of the topics that the pipeline creates.
    pub partitions: u32,
    /// Settings of single topics by name.
    pub topics: BTreeMap<String, TopicSettings>,
    /// Test cases of the file.
    pub tests: Vec<TestCase>,
}

/// How a pipeline runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// Processes that share the work.
    pub task_managers: u32,
    /// Slots per process; 1 by default.
    pub parallelism: u32,
    /// Longest time between commits in milliseconds.
    pub commit_interval_ms: u64,
    /// What is promised.
    pub delivery: Delivery,
    /// Where state is kept, and how much of it in memory.
    pub state: StateSettings,
}

/// Where a process keeps the state of a pipeline, and how much of it in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateSettings {
    /// Memory for the state in each process, in bytes; the slots share it equally.
    pub memory_limit_bytes: u64,
    /// What becomes of state beyond it.
    pub spill: Spill,
    /// Milliseconds between two snapshots of state in memory: what a start after a crash reads of
    /// the changelog, at most.
    pub snapshot_interval_ms: u64,
    /// Copies of the state of each task that other task managers of a cluster keep up to date.
    pub standby: u32,
}

/// Memory for the state in each process when a file names none, in bytes.
pub const STATE_MEMORY_BYTES: u64 = 1 << 30;

/// Milliseconds between two snapshots when a file says nothing.
pub const SNAPSHOT_INTERVAL_MS: u64 = 30_000;

impl Default for StateSettings {
    fn default() -> Self {
        Self {
            memory_limit_bytes: STATE_MEMORY_BYTES,
            spill: Spill::None,
            snapshot_interval_ms: SNAPSHOT_INTERVAL_MS,
            standby: 0,
        }
    }
}

/// What becomes of state beyond the memory that it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spill {
    /// The pipeline stops.
    #[default]
    None,
    /// All state lies in files of the data folder, and memory holds what is in use.
    Disk,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            task_managers: 1,
            parallelism: 1,
            commit_interval_ms: 100,
            delivery: Delivery::ExactlyOnce,
            state: StateSettings::default(),
        }
    }
}

/// What a pipeline promises about each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Outputs, state and positions change together.
    #[default]
    ExactlyOnce,
    /// After a crash some outputs come again.
    AtLeastOnce,
}

/// When an arc between tasks is a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edges {
    /// Where it must be.
    #[default]
    Auto,
    /// Always.
    Topics,
}

/// A gateway that produces readings into a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Ingest {
    /// Its name in the file.
    pub name: Located<String>,
    /// What it reads.
    pub kind: IngestKind,
    /// The topic that it feeds.
    pub topic: Located<String>,
    /// How long the topic keeps its records, in milliseconds; `None` is the log's default.
    pub retention_ms: Option<u64>,
}

/// The kinds of gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestKind {
    /// The sensors of this machine, read every so many milliseconds.
    Host {
        /// Milliseconds between two readings.
        every_ms: u64,
    },
}

/// A topic that the pipeline reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its name for `from:`; `source` for the only one.
    pub name: Located<String>,
    /// The topic.
    pub topic: Located<String>,
    /// The consumer group that holds its positions, when it is not the derived one.
    pub group: Option<Located<String>>,
    /// Where to begin when there is no committed position.
    pub start: Start,
    /// What its values are.
    pub format: Format,
    /// Where a record's time stands in it, when it is not the record's timestamp.
    pub event_time: Option<Expression>,
    /// How late a record may come and still be in order, in milliseconds.
    pub max_out_of_order_ms: u64,
    /// How long a caught-up partition may be silent before it no longer holds time back.
    pub idle_ms: u64,
}

/// Where reading begins without a committed position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest record.
    #[default]
    Earliest,
    /// With the next record to come.
    Latest,
}

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON documents.
    Json {
        /// Whether the whole document is checked, and not only what is touched.
        validate: bool,
    },
    /// Bare numbers as text, as in the legacy form.
    Number,
}

/// One processor.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its id.
    pub id: Located<String>,
    /// Where the whole task is written.
    pub span: Span,
    /// What it does.
    pub kind: TaskKind,
    /// The new key of records that come in; `None` keeps theirs.
    pub key: Option<Expression>,
    /// Where its records go; `None` when the file does not say, which means the sink.
    pub to: Option<Vec<Located<String>>>,
    /// The sources that it reads by name.
    pub from: Vec<Located<String>>,
    /// What becomes of a record that fails, once it is not tried again.
    pub on_error: OnError,
    /// How a record that fails is tried again; `None` without `on_error: retry`.
    pub retry: Option<Retry>,
    /// Partitions of the topics that lead into it, when they differ from the pipeline's.
    pub partitions: Option<Located<u32>>,
    /// The time of records that come in; `None` keeps theirs.
    pub event_time: Option<Expression>,
    /// How long a key is remembered after its last record, in milliseconds of event time; `None`
    /// is for ever.
    pub ttl_ms: Option<u64>,
}

/// What a task does to a record.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskKind {
    /// Passes it on.
    Forward,
    /// Adds a constant to a number of it.
    Sum {
        /// Where the number stands; `None` for a value that is a bare number.
        field: Option<Path>,
        /// What is added.
        add: Number,
    },
    /// Counts the records of a key, in all or per window.
    Count {
        /// The windows; `None` counts for ever.
        window: Option<Window>,
    },
    /// The mean of a number over the records of a key in a window.
    Average {
        /// The number; `None` for a value that is a bare number.
        value: Option<Expression>,
        /// The windows.
        window: Window,
    },
    /// Lets a record pass when the condition holds.
    Filter {
        /// The condition.
        condition: Expression,
    },
    /// Sets and removes fields.
    Map {
        /// Fields to set, in order.
        set: Vec<(Path, Expression)>,
        /// Fields to remove.
        unset: Vec<Path>,
    },
}

impl TaskKind {
    /// The word of the grammar.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Sum { .. } => "sum",
            Self::Count { .. } => "count",
            Self::Average { .. } => "average",
            Self::Filter { .. } => "filter",
            Self::Map { .. } => "map",
        }
    }

    /// Whether it remembers something per key.
    #[must_use]
    pub fn is_stateful(&self) -> bool {
        matches!(self, Self::Count { .. } | Self::Average { .. })
    }

    /// Its windows.
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        match self {
            Self::Count { window } => window.as_ref(),
            Self::Average { window, .. } => Some(window),
            Self::Forward | Self::Sum { .. } | Self::Filter { .. } | Self::Map { .. } => None,
        }
    }
}

/// Windows of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Length in milliseconds.
    pub size_ms: u64,
    /// Distance between two starts in milliseconds; equal to the size for tumbling windows.
    pub every_ms: u64,
    /// How long after its end a window still takes records, in milliseconds.
    pub grace_ms: u64,
    /// When results go out.
    pub emit: Emit,
    /// Whether the file left the window out and the legacy default stands.
    pub implied: bool,
}

/// When a window gives its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emit {
    /// Once, when it closes.
    Final,
    /// With every record.
    Update,
}

/// What happens to a record that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The pipeline stops before it.
    #[default]
    Fail,
    /// It is counted and left out.
    Skip,
    /// It is parked in the dead-letter topic.
    DeadLetter,
}

impl OnError {
    /// The word of the grammar.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// How a record is tried again whose failure may pass with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often, at most.
    pub limit: u32,
    /// The first pause in milliseconds; each one is twice as long as the one before.
    pub backoff_ms: u64,
    /// The longest pause in milliseconds.
    pub backoff_max_ms: u64,
    /// What becomes of it after that, and at once when its failure cannot pass.
    pub then: OnError,
}

impl Default for Retry {
    fn default() -> Self {
        Self { limit: 5, backoff_ms: 100, backoff_max_ms: 10_000, then: OnError::Fail }
    }
}

/// What later records of a key do once one of them is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LetterOrder {
    /// They wait behind it, in the dead-letter topic.
    #[default]
    Sequenced,
    /// They go on, and the key has a gap.
    Plain,
}

impl LetterOrder {
    /// The word of the grammar.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sequenced => "sequenced",
            Self::Plain => "plain",
        }
    }
}

/// Where results go: a topic, and tables that are written from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sink {
    /// Its name for `to:`; `sink` for the only one.
    pub name: Located<String>,
    /// The topic when the file names one; otherwise it is `<pipeline>.<sink>`.
    pub topic: Option<Located<String>>,
    /// The tables.
    pub tables: Vec<SqliteTable>,
}

/// A table of a SQLite file.
#[derive(Debug, Clone, PartialEq)]
pub struct SqliteTable {
    /// The database file.
    pub file: Located<String>,
    /// The table.
    pub table: Located<String>,
    /// The columns that tell rows apart; `None` takes the default of what feeds it.
    pub key: Option<Vec<Located<String>>>,
    /// Whether a missing table is created.
    pub create_table: bool,
}

/// Settings of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicSettings {
    /// Where they are written.
    pub span: Span,
    /// Partitions when the pipeline creates it.
    pub partitions: Option<u32>,
    /// How long it keeps its records, in milliseconds.
    pub retention_ms: Option<u64>,
    /// Kafka's topic configs, unchanged.
    pub config: BTreeMap<String, String>,
}

/// A test case: what happens, and what is expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCase {
    /// What it shows.
    pub name: Located<String>,
    /// The task whose outputs are compared; `None` compares what reaches the sinks.
    pub at: Option<Located<String>>,
    /// What happens, in order.
    pub input: Vec<TestStep>,
    /// The expected outputs in order; `None` does not compare them.
    pub expect: Option<Vec<TestRecord>>,
    /// What tasks are expected to remember after the last step.
    pub state: Vec<TestState>,
    /// The records that are expected to fail, in order; `None` does not compare them.
    pub errors: Option<Vec<TestError>>,
}

/// One thing that happens in a test case.
#[derive(Debug, Clone, PartialEq)]
pub enum TestStep {
    /// A record comes.
    Record(TestRecord),
    /// Event time goes on by this many milliseconds in every source.
    Advance(u64),
}

impl TestStep {
    /// The record, if it is one.
    #[must_use]
    pub fn record(&self) -> Option<&TestRecord> {
        match self {
            Self::Record(record) => Some(record),
            Self::Advance(_) => None,
        }
    }
}

/// What a task is expected to remember.
#[derive(Debug, Clone, PartialEq)]
pub struct TestState {
    /// The task.
    pub task: Located<String>,
    /// What it remembers of each key.
    pub keys: Vec<TestKey>,
}

/// What is expected to be remembered of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct TestKey {
    /// The key as text.
    pub key: Located<String>,
    /// The documents that the task would give: one per open window in their order, one for a
    /// running count, none for a key that is not known.
    pub documents: Vec<String>,
}

/// A record that is expected to fail; what is not named does not matter.
#[derive(Debug, Clone, PartialEq)]
pub struct TestError {
    /// Where it is written.
    pub span: Span,
    /// The task that cannot work on it.
    pub task: Option<Located<String>>,
    /// The key as text.
    pub key: Option<String>,
    /// The value as JSON text.
    pub value: Option<String>,
    /// What becomes of it.
    pub on_error: Option<OnError>,
    /// A part of the reason.
    pub reason: Option<String>,
}

/// A record of a test case.
#[derive(Debug, Clone, PartialEq)]
pub struct TestRecord {
    /// Where it is written.
    pub span: Span,
    /// The source topic; `None` is the first source's.
    pub topic: Option<Located<String>>,
    /// The key as text; `None` without one.
    pub key: Option<String>,
    /// The value as JSON text; `None` for none (a tombstone).
    pub value: Option<String>,
    /// Milliseconds since 1970; `None` takes the previous one's, or 0.
    pub timestamp_ms: Option<i64>,
}

/// What reading gave: as much of the pipeline as could be understood, and all problems.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The pipeline; incomplete where the diagnostics say so, `None` when nothing could be read.
    pub spec: Option<Spec>,
    /// The problems in the order they were met.
    pub diagnostics: Vec<Diagnostic>,
}

/// Finds the value of `${NAME}`, or the content of a file for `file:/path`.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a pipeline from one file, or from a list of tasks and a configuration beside it (in
/// either order).
#[must_use]
pub fn parse(sources: &Sources, lookup: Lookup<'_>) -> Parsed {
    let mut nodes = Vec::new();
    let mut diagnostics = Vec::new();
    for (index, file) in sources.files().iter().enumerate() {
        match node::parse(&file.text, index) {
            Ok(node) => nodes.push(node),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    if !diagnostics.is_empty() {
        return Parsed { spec: None, diagnostics };
    }
    let mut reader = reader::Reader::new(lookup);
    let spec = match decide(&nodes) {
        Ok(Shape::Legacy { tasks, config }) => {
            let name = names::from_file(sources, tasks.map_or(0, |node| node.span.file));
            Some(legacy::read(&mut reader, tasks, config, name))
        }
        Ok(Shape::Full(root)) => {
            let name = names::from_file(sources, root.span.file);
            Some(full::read(&mut reader, root, name))
        }
        Err(diagnostic) => {
            reader.report(diagnostic);
            None
        }
    };
    Parsed { spec, diagnostics: reader.into_diagnostics() }
}

/// Reads a configuration by itself, for the settings that it has: its list of tasks may stand in
/// another file. A pipeline of the full form is one too.
#[must_use]
pub fn parse_configuration(sources: &Sources, lookup: Lookup<'_>) -> Parsed {
    let read = sources.files().iter().enumerate();
    let read: Result<Vec<_>, _> = read.map(|(at, file)| node::parse(&file.text, at)).collect();
    let nodes = match read {
        Ok(nodes) => nodes,
        Err(diagnostic) => return Parsed { spec: None, diagnostics: vec![diagnostic] },
    };
    let [node::Node { kind: node::Kind::Mapping(_), .. }] = nodes.as_slice() else {
        let span = nodes.first().map_or_else(Span::default, |node| node.span);
        let title = "this is no configuration";
        let help = "a configuration is a mapping with `broker`, `parallelism`, `source_topic` ..";
        let diagnostic = Diagnostic::error(code::WRONG_FORM, title).at(span, "").help(help);
        return Parsed { spec: None, diagnostics: vec![diagnostic] };
    };
    let mut reader = reader::Reader::new(lookup);
    let name = names::from_file(sources, 0);
    let spec = match decide(&nodes) {
        Ok(Shape::Full(root)) => full::read(&mut reader, root, name),
        _ => legacy::around(&mut reader, &nodes[0], name),
    };
    Parsed { spec: Some(spec), diagnostics: reader.into_diagnostics() }
}

/// The fields by which a mapping is known for the full form.
const FULL_FIELDS: [&str; 5] = ["version", "tasks", "source", "sources", "ingest"];

/// Which forms the given files are.
enum Shape<'n> {
    Legacy { tasks: Option<&'n node::Node>, config: Option<&'n node::Node> },
    Full(&'n node::Node),
}

/// Decides by the kinds of the first nodes, before anything is read in detail.
fn decide(nodes: &[node::Node]) -> Result<Shape<'_>, Diagnostic> {
    let is_list = |node: &node::Node| matches!(node.kind, node::Kind::Sequence(_));
    let is_full = |node: &node::Node| match &node.kind {
        node::Kind::Mapping(entries) => {
            let mut names = entries.iter().filter_map(|(key, _)| key.scalar());
            names.any(|name| FULL_FIELDS.contains(&name))
        }
        node::Kind::Scalar { .. } | node::Kind::Sequence(_) => false,
    };
    let wrong = |span: Span, title: &str| {
        let help = "a pipeline is a list of tasks, or a mapping that begins with `version: 1`";
        Err(Diagnostic::error(code::WRONG_FORM, title).at(span, "").help(help))
    };
    match nodes {
        [] => wrong(Span::default(), "there is no pipeline file"),
        [only] => match &only.kind {
            node::Kind::Sequence(_) => Ok(Shape::Legacy { tasks: Some(only), config: None }),
            node::Kind::Mapping(_) if is_full(only) => Ok(Shape::Full(only)),
            node::Kind::Mapping(_) => Ok(Shape::Legacy { tasks: None, config: Some(only) }),
            node::Kind::Scalar { .. } => wrong(only.span, "the file holds a text, no pipeline"),
        },
        [left, right] if is_list(left) && !is_list(right) => {
            Ok(Shape::Legacy { tasks: Some(left), config: Some(right) })
        }
        [left, right] if is_list(right) && !is_list(left) => {
            Ok(Shape::Legacy { tasks: Some(right), config: Some(left) })
        }
        [_, second, ..] => {
            wrong(second.span, "of two files one must be a list of tasks and one its configuration")
        }
    }
}
