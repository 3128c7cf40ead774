//! What the flusher is asked to do, and what it answers.

use std::fmt;
use std::sync::Arc;

use base::uuid::Uuid;
use bytes::Bytes;

use crate::cleaner::Cleaned;
use crate::error::{AppendError, Error};
use crate::options::LogConfig;
use crate::reader::LogReader;

/// The number of an open log, valid until the store is closed; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

/// Called once with the outcome, on the flusher's thread; must not block.
pub type Then<T> = Box<dyn FnOnce(T) + Send>;

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client's Produce: sequences, sizes and the free space are checked.
    Client,
    /// A coordinator: internal topics and transaction markers.
    Coordinator,
}

/// Batches to store.
#[derive(Debug, Clone)]
pub struct Append {
    /// One or more v2 batches, whole, whose CRC and records the caller has verified.
    pub batches: Bytes,
    /// Who writes.
    pub origin: Origin,
    /// The epoch of the partition's leader.
    pub leader_epoch: i32,
    /// False lets the answer come before the flush, which the next durable append brings along.
    pub durable: bool,
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// The time that was stamped on the batches; -1 unless LogAppendTime is configured.
    pub log_append_time_ms: i64,
    /// The first offset of the log that can be read.
    pub log_start_offset: i64,
    /// Whether it was stored by an earlier attempt already.
    pub duplicate: bool,
}

/// An open log.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Its number.
    pub id: LogId,
    /// The way to read it, for any number of threads.
    pub reader: Arc<LogReader>,
}

/// What the flusher is asked to do.
pub enum Command {
    /// Opens a log, or makes it when there is none.
    Open {
        /// `<topic>-<partition>`, the folder's name.
        name: String,
        /// The topic's id; must be the one in the folder, if there is one.
        topic_id: Uuid,
        /// The log's configuration.
        config: LogConfig,
        /// Makes the folder only when something is appended.
        lazy: bool,
        /// The answer.
        then: Then<Result<Opened, Error>>,
    },
    /// Stores batches.
    Append {
        /// The log.
        id: LogId,
        /// The batches.
        append: Append,
        /// The answer, after the batches are as durable as the log promises.
        then: Then<Result<Appended, AppendError>>,
    },
    /// Cuts everything from this offset on.
    Truncate {
        /// The log.
        id: LogId,
        /// The new end.
        to: i64,
    },
    /// Makes everything before this offset unreadable (DeleteRecords).
    AdvanceLogStart {
        /// The log.
        id: LogId,
        /// The new start; at most the high watermark.
        to: i64,
    },
    /// Changes the configuration.
    Configure {
        /// The log.
        id: LogId,
        /// The new configuration.
        config: LogConfig,
    },
    /// Removes a log; its folder is renamed at once and unlinked later.
    Remove {
        /// The log.
        id: LogId,
    },
    /// Retention, rolling by time, delayed unlinking, checkpoints, forgotten producers,
    /// the cleaner. Meant to be sent about once a second.
    Maintain,
    /// Puts a cleaned segment in place; sent by a [`crate::CleanJob`].
    Cleaned(Cleaned),
    /// The records have the present format: what [`crate::Report::raise_from`] told is over. All
    /// that was written for it must be durable before this is sent.
    Raised {
        /// The answer, once it is on disk.
        then: Then<Result<(), Error>>,
    },
    /// Flushes everything and leaves the mark of a clean end.
    Close {
        /// The answer.
        then: Then<Result<(), Error>>,
    },
}

impl Command {
    /// Bytes of batches that it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Append { append, .. } => append.batches.len(),
            _ => 0,
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Open { .. } => "Open",
            Self::Append { .. } => "Append",
            Self::Truncate { .. } => "Truncate",
            Self::AdvanceLogStart { .. } => "AdvanceLogStart",
            Self::Configure { .. } => "Configure",
            Self::Remove { .. } => "Remove",
            Self::Maintain => "Maintain",
            Self::Cleaned(_) => "Cleaned",
            Self::Raised { .. } => "Raised",
            Self::Close { .. } => "Close",
        };
        f.write_str(name)
    }
}
