//! Why a node cannot take part.

use std::fmt;
use std::io;
use std::path::PathBuf;

use client::ClientError;

/// Why a node ended, or a command got no answer.
#[derive(Debug)]
pub enum CoordinationError {
    /// The log cannot be worked with.
    Client(ClientError),
    /// The cluster speaks another version of the protocol between nodes.
    Protocol {
        /// The version of the program that leads.
        version: String,
        /// Its protocol.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// Another process has the same id and started later.
    TakenOver {
        /// The id.
        node: String,
        /// The other one's machine.
        host: String,
        /// The other one's process.
        pid: u32,
    },
    /// A record of the cluster's topics is none of ours.
    Unreadable {
        /// The topic.
        topic: &'static str,
        /// The record's offset.
        offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The node's id cannot be kept.
    Folder {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The data folder belongs to a node of another cluster of brokers.
    OtherCluster {
        /// The file that says so.
        path: PathBuf,
        /// The id that it holds.
        kept: String,
        /// The id of the cluster at the address.
        found: String,
    },
    /// An id that is none.
    BadId {
        /// What was given.
        id: String,
    },
    /// A topic of the cluster has another number of partitions than one.
    Partitions {
        /// The topic.
        topic: String,
        /// Its partitions.
        found: i32,
    },
    /// Nobody answered a request.
    NoLeader,
    /// Fewer task managers than were wanted have answered the call.
    Missing {
        /// How many were wanted.
        wanted: u32,
        /// Those who have answered.
        present: Vec<String>,
    },
    /// A record is larger than the topic takes.
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
}

impl fmt::Display for CoordinationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "{error}"),
            Self::Protocol { version, theirs, ours } => write!(
                f,
                "the cluster is led by Millstream {version}, whose nodes speak protocol {theirs}; \
                 this program speaks {ours}"
            ),
            Self::TakenOver { node, host, pid } => {
                write!(f, "another process has the id `{node}`: pid {pid} on {host}")
            }
            Self::Unreadable { topic, offset, reason } => {
                write!(
                    f,
                    "{topic} holds a record that is none of ours at offset {offset}: {reason}"
                )
            }
            Self::Folder { path, cause } => {
                write!(f, "the node's id cannot be kept in {}: {cause}", path.display())
            }
            Self::OtherCluster { kept, found, .. } => write!(
                f,
                "the node belongs to the cluster {kept}, and the one at this address is {found}"
            ),
            Self::BadId { id } => {
                write!(f, "`{id}` is no id: 1 to 64 letters, digits, dashes and underscores are")
            }
            Self::Partitions { topic, found } => {
                write!(f, "{topic} has {found} partitions, and must have one")
            }
            Self::NoLeader => f.write_str("no job manager has answered"),
            Self::Missing { wanted, present } => write!(
                f,
                "{} of {wanted} task managers have answered, {} missing",
                present.len(),
                match base::cast::usize_of_u32(*wanted).saturating_sub(present.len()) {
                    1 => "1 is".to_owned(),
                    count => format!("{count} are"),
                },
            ),
            Self::TooLarge { bytes } => {
                write!(f, "the pipeline's files take {bytes} bytes, more than a record may have")
            }
        }
    }
}

impl std::error::Error for CoordinationError {}

impl From<ClientError> for CoordinationError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
