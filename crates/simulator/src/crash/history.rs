//! What was sent to the logs, what was answered, and what readers saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use commitlog::{AppendError, Appended, Cleanup, Durability};
use protocol::record::ProducerIdentity;

/// Where an answer is left.
pub type Answer = Arc<Mutex<Option<Result<Appended, AppendError>>>>;

/// What a batch was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Records with these values; what follows the last `k` of a value is its key.
    Records(Vec<String>),
    /// The end of the producer's transaction.
    Marker {
        /// Whether it was aborted.
        aborted: bool,
    },
}

/// A batch that was handed to the log.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its bytes.
    pub bytes: Bytes,
    /// Who wrote it.
    pub producer: ProducerIdentity,
    /// The number of the producer's transaction, if it is in one.
    pub transaction: Option<u32>,
    /// What it was.
    pub kind: Kind,
    /// What the log said, if it still could.
    pub answer: Answer,
}

impl Sent {
    /// The place the log gave to it, if it said so.
    #[must_use]
    pub fn appended(&self) -> Option<Appended> {
        let answer = self.answer.lock().expect("no holder of an answer panics");
        match &*answer {
            Some(Ok(appended)) => Some(*appended),
            _ => None,
        }
    }
}

/// One log's notes.
#[derive(Debug, Clone, Default)]
pub struct LogNotes {
    /// Everything that was sent, in order.
    pub sent: Vec<Sent>,
    /// What readers saw, by offset.
    pub seen: BTreeMap<i64, String>,
    /// The largest log start that was asked for.
    pub start_asked: i64,
}

/// The notes of a run.
#[derive(Debug, Clone)]
pub struct History {
    /// What an answer promised.
    pub durability: Durability,
    /// What happened to old records.
    pub cleanup: Cleanup,
    /// The notes of each log, by name.
    pub logs: BTreeMap<String, LogNotes>,
}

impl History {
    /// How many appends were answered with success.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        let sent = self.logs.values().flat_map(|log| &log.sent);
        sent.filter(|sent| sent.appended().is_some()).count()
    }
}

/// The key that a value was written under.
#[must_use]
pub fn key_of(value: &str) -> &str {
    value.rsplit('k').next().unwrap_or_default()
}
