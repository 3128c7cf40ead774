//! What can go wrong at a sink.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a sink did not do what it was asked.
#[derive(Debug)]
pub enum SinkError {
    /// A later holder has claimed the partition; this one must stop and write nothing more.
    Fenced {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// The epoch of this holder.
        held: i64,
        /// The epoch in the database.
        found: i64,
    },
    /// The caller wrote to a partition that it has not claimed.
    Unclaimed {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
    },
    /// A record fits no row; the caller decides by the pipeline's `on_error`.
    Document {
        /// The record's topic.
        topic: Arc<str>,
        /// The record's partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
        /// The record's key, shortened for people.
        key: Option<String>,
        /// What does not fit.
        reason: String,
    },
    /// The table is not what the sink needs; somebody must change it or the pipeline.
    Table {
        /// The table's name.
        table: String,
        /// What does not fit.
        reason: String,
    },
    /// Somebody else has locked the database for longer than the sink waits; worth a retry.
    Busy {
        /// The database, as a person would name it.
        database: String,
    },
    /// The database failed.
    Database {
        /// The database, as a person would name it.
        database: String,
        /// What was being done.
        doing: &'static str,
        /// What the driver says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { topic, partition, held, found } => write!(
                f,
                "{topic}-{partition} was claimed by a later holder (epoch {found}, ours is {held})"
            ),
            Self::Unclaimed { topic, partition } => {
                write!(f, "{topic}-{partition} was not claimed")
            }
            Self::Document { topic, partition, offset, key, reason } => {
                write!(f, "{topic}-{partition} offset {offset}")?;
                match key {
                    Some(key) => write!(f, " key `{key}`: {reason}"),
                    None => write!(f, " without key: {reason}"),
                }
            }
            Self::Table { table, reason } => write!(f, "table `{table}`: {reason}"),
            Self::Busy { database } => write!(f, "{database} is locked by somebody else"),
            Self::Database { database, doing, source } => {
                write!(f, "{database}: {doing}: {source}")
            }
        }
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Database { source, .. } => Some(&**source),
            Self::Fenced { .. }
            | Self::Unclaimed { .. }
            | Self::Document { .. }
            | Self::Table { .. }
            | Self::Busy { .. } => None,
        }
    }
}
