//! A record on its way through a chain, and what a chain gives to the world.

use std::fmt;

use protocol::record::{HeaderRef, Headers};
use topology::expression::RecordFacts;
use topology::spec::OnError;

/// A record as a task sees it; everything is borrowed from the fetched batch or from scratch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow<'a> {
    /// Key, value, time and origin.
    pub(crate) facts: RecordFacts<'a>,
    /// The headers, to be passed on.
    pub(crate) headers: Headers<'a>,
}

/// A record that leaves a chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp_ms: i64,
    pub(crate) headers: &'a [HeaderRef<'a>],
    /// The partition that the record came from, for outputs without a key.
    pub(crate) from_partition: i32,
}

/// Where the records of a chain go.
pub(crate) trait Outlet {
    /// Takes a record for one of the stage's outputs.
    ///
    /// # Errors
    /// The log's; the transaction must be given up.
    fn emit(&mut self, output: usize, record: Out<'_>) -> Result<(), OutletError>;

    /// The same, into this partition of it.
    ///
    /// # Errors
    /// As [`Outlet::emit`].
    fn emit_to(
        &mut self,
        output: usize,
        partition: i32,
        record: Out<'_>,
    ) -> Result<(), OutletError>;

    /// Whether it should hand on what it has before it takes more, when this many bytes of changed
    /// state are to follow; most outlets never fill.
    fn is_full(&self, _change_bytes: usize) -> bool {
        false
    }

    /// Is told of a record that fails; most outlets have no use for it.
    fn failed(&mut self, _failed: &Failed<'_>) {}
}

/// A record that a task cannot work on, before it is left out or parked or stops the pipeline.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'a> {
    pub(crate) task: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// What becomes of it.
    pub(crate) on_error: OnError,
}

/// A record could not be handed over.
#[derive(Debug)]
pub(crate) enum OutletError {
    /// It is larger than a batch may be; value is its size in bytes.
    TooLarge(usize),
    /// The client's.
    Client(client::ClientError),
}

impl fmt::Display for OutletError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => write!(f, "a record of {bytes} bytes fits no batch"),
            Self::Client(error) => write!(f, "{error}"),
        }
    }
}

/// A record that a task could not work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFailure {
    /// The task.
    pub task: String,
    /// Why, in words.
    pub reason: String,
    /// The topic that the record came from.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key as text; what is no text is shown in hexadecimal.
    pub key: Option<String>,
}

impl fmt::Display for RecordFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "task `{}` cannot work on {}-{} at offset {}",
            self.task, self.topic, self.partition, self.offset
        )?;
        match &self.key {
            Some(key) => write!(f, " (key {key})")?,
            None => write!(f, " (no key)")?,
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for RecordFailure {}

/// What stops a chain.
#[derive(Debug)]
pub(crate) enum Halt {
    /// A record fails and its task says that the pipeline stops.
    Record(RecordFailure),
    /// A record cannot be handed over.
    Outlet(OutletError),
}

impl From<OutletError> for Halt {
    fn from(error: OutletError) -> Self {
        Self::Outlet(error)
    }
}

/// Bytes as people read them: the text, or hexadecimal digits.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
