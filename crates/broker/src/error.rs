//! Why a broker cannot start.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

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
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::FolderInUse { .. } => None,
            Self::Folder { cause, .. } | Self::Listen { cause, .. } | Self::Thread(cause) => {
                Some(cause)
            }
        }
    }
}
