//! Why a pipeline does not run.

use std::fmt;
use std::path::PathBuf;

use client::ClientError;
use topology::plan::Change;

use super::flow::RecordFailure;
use super::ledger::Claim;
use super::slot::StateTrouble;
use crate::sink::SinkError;
use state::memory::OverLimit;
use state::store::ShelfError;

/// Why a pipeline ended or could not start.
#[derive(Debug)]
pub enum EngineError {
    /// The log cannot be worked with.
    Client(ClientError),
    /// A record failed, and its task says `on_error: fail`.
    Record(RecordFailure),
    /// Another process has taken the pipeline over.
    Fenced {
        /// Who, if the plan topic tells.
        by: Option<Box<Claim>>,
    },
    /// A position is not in the log any more.
    OutOfRange(ClientError),
    /// A topic has another number of partitions than the state that belongs to it.
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: i32,
        /// How many it should have.
        expected: i32,
    },
    /// The positions of a group were committed by another pipeline.
    GroupShared {
        /// The group.
        group: String,
        /// The other pipeline.
        owner: String,
    },
    /// A topic was deleted while the pipeline ran, and perhaps made again.
    TopicGone {
        /// The topic.
        topic: String,
    },
    /// A topic of the pipeline is missing, and its positions say that there was something in it.
    TopicLost {
        /// The topic.
        topic: String,
        /// What it held.
        holds: String,
        /// The group of the positions.
        group: String,
    },
    /// A source topic does not exist and nothing here fills it.
    NoSource {
        /// The topic.
        topic: String,
    },
    /// The plan has changed in ways that the stored state cannot follow.
    PlanChanged(Vec<Change>),
    /// Neither the plan nor what ran before has state of this task.
    NoState {
        /// The task.
        task: String,
    },
    /// The plan topic holds a plan of a format that is not known.
    PlanFormat {
        /// What is wrong with it.
        reason: String,
    },
    /// A changelog's record is none of ours.
    ChangelogUnreadable {
        /// The changelog.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
    /// A changelog gives nothing more although its end has not been reached.
    RestoreStuck {
        /// The changelog.
        topic: String,
        /// Its partition.
        partition: i32,
    },
    /// The state takes more memory than it may, and there is no disk for it.
    StateLimit(OverLimit),
    /// State that is kept on disk cannot be read or written.
    StateDisk {
        /// Its folder.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
        /// Whether a slot that is about to end holds it.
        is_busy: bool,
    },
    /// A table cannot be written.
    Sink {
        /// The sink.
        sink: String,
        /// Why.
        error: SinkError,
    },
    /// A database has positions that the log does not reach: the log was deleted, or is another.
    SinkAhead {
        /// The sink.
        sink: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The database's position.
        position: i64,
        /// The log's end.
        end: i64,
    },
    /// An output is larger than the log takes.
    TooLarge(String),
    /// A thread could not be started.
    Thread(std::io::Error),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) | Self::OutOfRange(error) => write!(f, "{error}"),
            Self::Record(failure) => write!(f, "{failure}"),
            Self::Fenced { by: Some(claim) } => {
                write!(f, "the pipeline was taken over by {claim}")
            }
            Self::Fenced { by: None } => f.write_str("the pipeline was taken over by another one"),
            Self::Partitions { topic, found, expected } => {
                write!(f, "topic {topic} has {found} partitions where {expected} are needed")
            }
            Self::GroupShared { group, owner } => write!(
                f,
                "two pipelines use group `{group}`, and its positions are those of `{owner}`"
            ),
            Self::TopicGone { topic } => {
                write!(f, "topic {topic} was deleted while the pipeline ran")
            }
            Self::TopicLost { topic, holds, .. } => {
                write!(f, "topic {topic} is gone, and with it {holds}")
            }
            Self::NoSource { topic } => write!(f, "source topic {topic} does not exist"),
            Self::PlanChanged(changes) => {
                f.write_str("the file has changed in ways that stored state cannot follow:")?;
                let refused = changes.iter().filter(|change| change.is_refused());
                refused.into_iter().try_for_each(|change| write!(f, "\n  {change}"))
            }
            Self::PlanFormat { reason } => f.write_str(reason),
            Self::ChangelogUnreadable { topic, partition, offset } => {
                write!(f, "{topic}-{partition} holds a foreign record at offset {offset}")
            }
            Self::RestoreStuck { topic, partition } => write!(
                f,
                "{topic}-{partition} gives nothing more before its end: a transaction hangs in it"
            ),
            Self::StateLimit(over) => write!(f, "{over}"),
            Self::StateDisk { dir, reason, .. } => {
                write!(f, "the state in {} cannot be worked with: {reason}", dir.display())
            }
            Self::Sink { sink, error } => write!(f, "sink {sink}: {error}"),
            Self::SinkAhead { sink, topic, partition, position, end } => write!(
                f,
                "sink {sink} has written {topic}-{partition} up to offset {position}, but the log \
                 ends at {end}: the database is newer than the log"
            ),
            Self::NoState { task } => write!(f, "task `{task}` has no state to reset"),
            Self::TooLarge(reason) => f.write_str(reason),
            Self::Thread(error) => write!(f, "a thread cannot be started: {error}"),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<ClientError> for EngineError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<ShelfError> for EngineError {
    fn from(error: ShelfError) -> Self {
        Self::StateDisk { dir: error.dir, reason: error.reason, is_busy: error.is_busy }
    }
}

impl From<StateTrouble> for EngineError {
    fn from(trouble: StateTrouble) -> Self {
        match trouble {
            StateTrouble::Full(over) => Self::StateLimit(over),
            StateTrouble::Disk(error) => error.into(),
        }
    }
}

impl EngineError {
    /// Whether beginning again from the last commit may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            // A fatal end of a producer is not that of the pipeline: another attempt settles what
            // became of its transaction, and reads the committed offsets.
            Self::Client(ClientError::Fatal { .. }) => true,
            Self::Client(error) => error.is_retriable(),
            // Nobody has claimed the pipeline since: whoever fenced us came too late himself, or
            // the broker gave up a transaction that had been open for too long.
            Self::Fenced { by: None } => true,
            Self::StateDisk { is_busy, .. } => *is_busy,
            _ => false,
        }
    }
}
