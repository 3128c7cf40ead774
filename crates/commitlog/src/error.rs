//! What can go wrong, by what the caller does about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base::uuid::Uuid;
use protocol::record::RecordError;

/// A log or the whole store cannot be opened, written or read.
#[derive(Debug)]
pub enum Error {
    /// The disk refused.
    Io {
        /// What was tried, as a verb in the infinitive.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the world said.
        source: io::Error,
    },
    /// The folder was written by a version that this one does not understand.
    NewerFormat {
        /// The folder's format version.
        found: u32,
        /// The newest version understood here.
        known: u32,
    },
    /// A file that cannot be rebuilt holds nonsense.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The folder belongs to another topic of the same name.
    TopicIdMismatch {
        /// The log's name.
        name: String,
        /// The id in the folder.
        found: Uuid,
        /// The id that was asked for.
        wanted: Uuid,
    },
    /// The name is no `<topic>-<partition>` of a length that a folder can bear.
    InvalidName {
        /// The name.
        name: String,
    },
    /// A log of that name is open already.
    AlreadyOpen {
        /// The name.
        name: String,
    },
    /// The log failed earlier.
    Failed {
        /// The name.
        name: String,
    },
    /// A batch that was stored cannot be read back.
    Record {
        /// The segment file.
        path: PathBuf,
        /// The place in the file.
        position: u64,
        /// What is wrong with it.
        source: RecordError,
    },
}

/// The error of opening a log.
pub type LogError = Error;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the disk has no room left.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

/// Whether the world says that there is no room (or that a quota is used up).
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Self::NewerFormat { found, known } => write!(
                f,
                "written by a newer Millstream (disk format {found}, this one knows {known})"
            ),
            Self::Damaged { path, what } => write!(f, "{} is damaged: {what}", path.display()),
            Self::TopicIdMismatch { name, found, wanted } => {
                write!(f, "the folder {name} belongs to topic id {found}, not {wanted}")
            }
            Self::InvalidName { name } => write!(f, "{name:?} is no name of a log"),
            Self::AlreadyOpen { name } => write!(f, "the log {name} is open already"),
            Self::Failed { name } => write!(f, "the log {name} failed and needs a restart"),
            Self::Record { path, position, source } => {
                write!(f, "{} at byte {position}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Record { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// An append that was not stored, and never will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendError {
    /// The batch does not follow the last one of its producer.
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// The sequence that the batch starts with.
        found: i32,
        /// The last sequence that was stored; -1 for none.
        last: i32,
    },
    /// A newer instance of the producer has written or was registered.
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// The epoch in the batch.
        found: i16,
        /// The newest epoch known.
        known: i16,
    },
    /// The marker comes from a transaction coordinator that was replaced.
    CoordinatorFenced {
        /// The coordinator epoch in the marker.
        found: i32,
        /// The newest epoch known.
        known: i32,
    },
    /// A batch without transaction from a producer that has one open.
    InvalidTxnState {
        /// The producer.
        producer_id: i64,
    },
    /// A batch is larger than the topic allows.
    MessageTooLarge {
        /// Its size.
        bytes: usize,
        /// The largest size allowed.
        bytes_max: usize,
    },
    /// The bytes are no sequence of whole batches that may be appended here.
    InvalidRecord {
        /// What is wrong.
        source: RecordError,
    },
    /// A client sent a batch that only coordinators write, or an append without batches.
    NotAllowed,
    /// The disk is full, or nearly so and the append can wait.
    StorageFull,
    /// The log failed earlier and takes nothing until the next start.
    LogFailed,
    /// No log bears this number; it was removed.
    UnknownLog,
    /// The store is closing.
    Closed,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrderSequence { producer_id, found, last } => {
                write!(f, "producer {producer_id} sent sequence {found} after sequence {last}")
            }
            Self::InvalidProducerEpoch { producer_id, found, known } => {
                write!(f, "producer {producer_id} writes in epoch {found}, the newest is {known}")
            }
            Self::CoordinatorFenced { found, known } => {
                write!(f, "a marker of coordinator epoch {found}, the newest is {known}")
            }
            Self::InvalidTxnState { producer_id } => {
                write!(f, "producer {producer_id} has an open transaction and wrote outside it")
            }
            Self::MessageTooLarge { bytes, bytes_max } => {
                write!(f, "a batch of {bytes} bytes where {bytes_max} are allowed")
            }
            Self::InvalidRecord { source } => write!(f, "invalid batch: {source}"),
            Self::NotAllowed => f.write_str("a batch that clients may not send"),
            Self::StorageFull => f.write_str("the disk is full"),
            Self::LogFailed => f.write_str("the log failed and needs a restart"),
            Self::UnknownLog => f.write_str("the log was removed"),
            Self::Closed => f.write_str("the store is closing"),
        }
    }
}

impl std::error::Error for AppendError {}

/// A read that gave nothing.
#[derive(Debug)]
pub enum ReadError {
    /// The offset lies before the log's start or behind its end.
    OffsetOutOfRange {
        /// What was asked for.
        from: i64,
        /// The first offset that can be read.
        log_start: i64,
        /// The offset that the next record will get.
        log_end: i64,
    },
    /// The disk refused, or a stored batch is damaged.
    Store(Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffsetOutOfRange { from, log_start, log_end } => {
                write!(f, "offset {from} is outside {log_start}..={log_end}")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// A command that the queue did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueRefusal {
    /// Too much is waiting; try again when something was answered.
    Full,
    /// The flusher has ended.
    Closed,
}

impl fmt::Display for QueueRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the log's queue is full",
            Self::Closed => "the log is closed",
        })
    }
}

impl std::error::Error for QueueRefusal {}
