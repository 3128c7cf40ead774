//! What a plan leaves behind in the log, and what of it another plan may go on with.

use std::collections::BTreeMap;
use std::fmt;

use super::{Plan, Stage};
use crate::spec::{Form, TaskKind};

/// The first line of an outline's text; another number is another format.
const FORMAT: &str = "millstream plan 1";

/// The part of a plan that outlives a process: positions by group, and state by task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// The input topics of each stage, by group.
    pub stages: BTreeMap<String, Vec<String>>,
    /// The state of each task.
    pub stores: BTreeMap<String, StoreOutline>,
}

/// The state of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOutline {
    /// Where its changes are.
    pub changelog: String,
    /// What its content means.
    pub signature: u64,
}

/// Why a text is no outline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutlineError {
    /// It was written in a format of another version.
    Format {
        /// Its first line.
        found: String,
    },
    /// A line of it is not understood.
    Line {
        /// Its number, counted from 1.
        number: usize,
    },
}

impl fmt::Display for OutlineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { found } => write!(f, "the stored plan has the format `{found}`"),
            Self::Line { number } => {
                write!(f, "line {number} of the stored plan is not understood")
            }
        }
    }
}

impl std::error::Error for OutlineError {}

/// What another plan means for the state and positions of the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A task with state came new and begins empty.
    StoreAdded {
        /// The task.
        task: String,
    },
    /// A task with state is gone; its changelog stays until it is reset.
    StoreRemoved {
        /// The task.
        task: String,
        /// Its changelog.
        changelog: String,
    },
    /// The state of a task means something else now: refused until the task is reset.
    StoreChanged {
        /// The task.
        task: String,
    },
    /// The state of a task would be looked for elsewhere: refused until the task is reset.
    StoreMoved {
        /// The task.
        task: String,
        /// Where it is.
        from: String,
        /// Where it would be looked for.
        to: String,
    },
    /// A stage reads other topics; positions of topics that stay are kept.
    InputsChanged {
        /// The stage's group.
        group: String,
    },
    /// A stage is new and begins where its sources say.
    StageAdded {
        /// The stage's group.
        group: String,
    },
    /// A stage is gone; what lay unread in topics between stages is never read.
    StageRemoved {
        /// The stage's group.
        group: String,
    },
}

impl Change {
    /// Whether the pipeline must not go on without a reset.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::StoreChanged { .. } | Self::StoreMoved { .. } => true,
            Self::StoreAdded { .. }
            | Self::StoreRemoved { .. }
            | Self::InputsChanged { .. }
            | Self::StageAdded { .. }
            | Self::StageRemoved { .. } => false,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StoreAdded { task } => write!(f, "task `{task}` begins with empty state"),
            Self::StoreRemoved { task, changelog } => {
                write!(f, "task `{task}` is gone; its state stays in {changelog}")
            }
            Self::StoreChanged { task } => write!(
                f,
                "task `{task}` means something else now, so its state cannot be used: \
                 `millstream pipeline reset --task {task}`"
            ),
            Self::StoreMoved { task, from, to } => write!(
                f,
                "the state of task `{task}` is in {from} and would be looked for in {to}: \
                 `millstream pipeline reset --task {task}`"
            ),
            Self::InputsChanged { group } => write!(f, "{group} reads other topics than before"),
            Self::StageAdded { group } => write!(f, "{group} is new"),
            Self::StageRemoved { group } => {
                write!(f, "{group} is gone; what it had not read stays unread")
            }
        }
    }
}

impl Outline {
    /// The outline of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let inputs = |stage: &Stage| {
            let mut topics: Vec<String> =
                stage.inputs.iter().map(|input| input.topic.clone()).collect();
            topics.sort_unstable();
            (stage.group.clone(), topics)
        };
        let stores = plan.stages.iter().flat_map(|stage| &stage.stores).map(|store| {
            let changelog = store.changelog.clone();
            (store.task.clone(), StoreOutline { changelog, signature: store.signature })
        });
        Self { stages: plan.stages.iter().map(inputs).collect(), stores: stores.collect() }
    }

    /// The text that the plan topic holds; [`Outline::parse`] reads it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{FORMAT}\n");
        for (group, topics) in &self.stages {
            text.push_str(&format!("stage {group} {}\n", topics.join(",")));
        }
        for (task, store) in &self.stores {
            text.push_str(&format!("store {task} {:016x} {}\n", store.signature, store.changelog));
        }
        text
    }

    /// Reads the text of an outline.
    ///
    /// # Errors
    /// The format is another one, or a line is damaged.
    pub fn parse(text: &str) -> Result<Self, OutlineError> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or("");
        if first != FORMAT {
            return Err(OutlineError::Format { found: first.chars().take(60).collect() });
        }
        let mut outline = Self::default();
        for (index, line) in lines.enumerate() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["stage", group, topics] => {
                    let topics = topics.split(',').filter(|topic| !topic.is_empty());
                    let topics = topics.map(str::to_owned).collect();
                    outline.stages.insert((*group).to_owned(), topics);
                }
                ["store", task, signature, changelog] => {
                    let signature = u64::from_str_radix(signature, 16)
                        .map_err(|_| OutlineError::Line { number: index + 2 })?;
                    let store = StoreOutline { changelog: (*changelog).to_owned(), signature };
                    outline.stores.insert((*task).to_owned(), store);
                }
                _ => return Err(OutlineError::Line { number: index + 2 }),
            }
        }
        Ok(outline)
    }

    /// A number that is equal for equal outlines on every machine and in every version.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        hash(self.to_text().as_bytes())
    }
}

/// What changes between two plans, state first; empty when everything goes on as it is.
#[must_use]
pub fn compare(before: &Outline, after: &Outline) -> Vec<Change> {
    let mut changes = Vec::new();
    for (task, old) in &before.stores {
        let task = task.clone();
        match after.stores.get(&task) {
            None => {
                let changelog = old.changelog.clone();
                changes.push(Change::StoreRemoved { task, changelog });
            }
            Some(new) if new.signature != old.signature => {
                changes.push(Change::StoreChanged { task });
            }
            Some(new) if new.changelog != old.changelog => {
                let (from, to) = (old.changelog.clone(), new.changelog.clone());
                changes.push(Change::StoreMoved { task, from, to });
            }
            Some(_) => {}
        }
    }
    for task in after.stores.keys().filter(|task| !before.stores.contains_key(*task)) {
        changes.push(Change::StoreAdded { task: task.clone() });
    }
    for (group, topics) in &before.stages {
        let group = group.clone();
        match after.stages.get(&group) {
            None => changes.push(Change::StageRemoved { group }),
            Some(new) if new != topics => changes.push(Change::InputsChanged { group }),
            Some(_) => {}
        }
    }
    for group in after.stages.keys().filter(|group| !before.stages.contains_key(*group)) {
        changes.push(Change::StageAdded { group: group.clone() });
    }
    changes
}

/// What the state of a task means: its kind, its windows, its number and its key.
pub(crate) fn signature(form: Form, kind: &TaskKind, key: &str) -> u64 {
    let mut text =
        format!("{} {}", kind.word(), if form == Form::Legacy { "number" } else { "json" });
    if let Some(window) = kind.window() {
        text.push_str(&format!(" window {} {}", window.size_ms, window.every_ms));
    }
    if let TaskKind::Average { value: Some(value), .. } = kind {
        text.push_str(&format!(" value {}", value.canonical()));
    }
    text.push_str(&format!(" key {key}"));
    hash(text.as_bytes())
}

/// FNV-1a: stable, simple, and nobody gains by a collision in their own file.
fn hash(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}
