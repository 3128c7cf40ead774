//! Why a broker cannot start.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use commitlog::{AppendError, ReadError};
use protocol::record::RecordError;
use protocol::wire::DecodeError;

/// Why a broker cannot start.
#[derive(Debug)]
pub enum Error {
    /// Another process holds the data folder.
    FolderInUse {
        /// The folder.
        dir: PathBuf,
        /// The holder, where its lock file names it.
        pid: Option<u32>,
    },
    /// The data folder cannot be made, read or written.
    Folder {
        /// What was touched.
        path: PathBuf,
        /// The world's error.
        cause: io::Error,
    },
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// The world's error.
        cause: io::Error,
    },
    /// The operating system refuses a thread.
    Thread(io::Error),
    /// The store of logs, or the metadata log in it, cannot be opened.
    Log(commitlog::Error),
    /// The metadata log cannot be read from the disk.
    MetadataRead(ReadError),
    /// A batch of the metadata log is damaged.
    MetadataRecord(RecordError),
    /// A record of the metadata log is damaged, or of a newer Millstream.
    MetadataForeign {
        /// Where it stands.
        offset: i64,
        /// What is wrong with it.
        cause: DecodeError,
    },
    /// The metadata log ends before its end.
    MetadataEnd {
        /// Where it ends.
        offset: i64,
    },
    /// A log of the coordinators cannot be read to its end, so that what belongs elsewhere cannot
    /// be moved there.
    RelocationRead {
        /// `<topic>-<partition>`.
        log: String,
        /// What was met.
        reason: String,
    },
    /// What belongs into this log of the coordinators cannot be moved there.
    RelocationWrite {
        /// `<topic>-<partition>`.
        log: String,
        /// What the log says to it.
        cause: AppendError,
    },
    /// The flusher ended while the broker was starting.
    Ended,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FolderInUse { dir, pid: Some(pid) } => {
                write!(f, "{} is in use by process {pid}", dir.display())
            }
            Self::FolderInUse { dir, pid: None } => {
                write!(f, "{} is in use by another process", dir.display())
            }
            Self::Folder { path, cause } => write!(f, "{}: {cause}", path.display()),
            Self::Listen { address, cause } => write!(f, "cannot listen on {address}: {cause}"),
            Self::Thread(cause) => write!(f, "cannot start a thread: {cause}"),
            Self::Log(cause) => write!(f, "{cause}"),
            Self::MetadataRead(cause) => write!(f, "the metadata log cannot be read: {cause}"),
            Self::MetadataRecord(cause) => write!(f, "the metadata log is damaged: {cause}"),
            Self::MetadataForeign { offset, cause: DecodeError::Version } => {
                write!(f, "record {offset} of the metadata log is of a newer Millstream")
            }
            Self::MetadataForeign { offset, cause } => {
                write!(f, "record {offset} of the metadata log is damaged: {cause}")
            }
            Self::MetadataEnd { offset } => {
                write!(f, "the metadata log ends at offset {offset}, before its end")
            }
            Self::RelocationRead { log, reason } => {
                write!(f, "{log} cannot be read to bring it to the present format: {reason}")
            }
            Self::RelocationWrite { log, cause } => {
                write!(f, "{log} cannot be brought to the present format: {cause}")
            }
            Self::Ended => f.write_str("the log ended while the broker was starting"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::FolderInUse { .. }
            | Self::MetadataEnd { .. }
            | Self::RelocationRead { .. }
            | Self::Ended => None,
            Self::RelocationWrite { cause, .. } => Some(cause),
            Self::Folder { cause, .. } | Self::Listen { cause, .. } | Self::Thread(cause) => {
                Some(cause)
            }
            Self::Log(cause) => Some(cause),
            Self::MetadataRead(cause) => Some(cause),
            Self::MetadataRecord(cause) => Some(cause),
            Self::MetadataForeign { cause, .. } => Some(cause),
        }
    }
}
