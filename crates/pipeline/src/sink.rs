//! The contract between a pipeline and a database: rows and positions in one transaction.
//!
//! A sink reads a topic and keeps, beside the rows, the offset that it will read next. Both are
//! written in one transaction of the database, so a crash between the commit and its
//! acknowledgement doubles nothing: the next holder reads the positions and goes on there.
//! Each open raises an epoch, and every write checks it, so a holder that was only slow can
//! change nothing any more.
//!
//! A sink blocks; it runs on a thread of its own. This module knows no database: which sinks
//! exist is decided in the binary. Every sink passes [`conformance`].

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

pub mod conformance;
pub mod document;
pub mod error;
pub mod limits;
pub mod memory;

pub use crate::sink::document::{Cell, Change, Row};
pub use crate::sink::error::SinkError;

/// A database that takes records.
pub trait Sink: Debug + Send {
    /// Claims the partitions for this holder and tells where to go on.
    ///
    /// The epoch of every claimed partition is raised, which fences older holders of them. What
    /// was written before is kept. Opening again after an error is allowed. Positions describe
    /// the rows of a table: where the table does not exist, they start again.
    ///
    /// # Errors
    /// When the database cannot be reached, or its tables are not what the sink needs.
    fn open(&mut self, claim: &Claim) -> Result<Opened, SinkError>;

    /// Writes a batch and the positions after it in one transaction: both are there or neither.
    ///
    /// Records below the position that the database holds are skipped: they are in it already.
    /// Positions never move back.
    ///
    /// # Errors
    /// [`SinkError::Fenced`] when a later holder has claimed one of the partitions;
    /// [`SinkError::Document`] names the first record that fits no row. After any error nothing
    /// of the batch is in the database, with one exception: when the error comes from the
    /// commit itself, the caller must [`Sink::open`] again to learn what holds.
    fn write(&mut self, batch: &[SinkRecord], positions: &[Position])
    -> Result<Written, SinkError>;

    /// The newest rows of the sink's tables; writes nothing.
    ///
    /// # Errors
    /// When the database cannot be read. A table that does not exist yet is no error.
    fn preview(&mut self, rows_max: usize) -> Result<Vec<TablePreview>, SinkError>;
}

/// Whose partitions a sink writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The pipeline's name.
    pub pipeline: String,
    /// The sink's name in the pipeline.
    pub sink: String,
    /// The topic that the sink reads.
    pub topic: Arc<str>,
    /// The partitions of the topic, each named once.
    pub partitions: Vec<i32>,
}

/// What a sink knows after its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The epoch of this holder, above that of every earlier one; the first is 1.
    pub epoch: i64,
    /// Where to go on. A partition that never had a row written is absent.
    pub positions: Vec<Position>,
}

/// The offset to be read next in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// One above the last offset whose effect is in the database.
    pub next_offset: i64,
}

/// A record on its way into a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkRecord {
    /// The topic that it was read from.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
    /// Its key: text in UTF-8, or the record fits no row.
    pub key: Option<Bytes>,
    /// A JSON object, a bare number, or nothing, which deletes the row.
    pub value: Option<Bytes>,
}

/// What a write changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Records that inserted a row or replaced one.
    pub upserted: u64,
    /// Rows that null values removed.
    pub deleted: u64,
    /// Records that the database held already.
    pub skipped: u64,
}

/// The newest rows of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct TablePreview {
    /// The table's name.
    pub table: String,
    /// Its columns, in the table's order.
    pub columns: Vec<String>,
    /// The newest rows first, one cell per column.
    pub rows: Vec<Vec<Cell>>,
    /// Rows of the table altogether.
    pub rows_count: u64,
}
