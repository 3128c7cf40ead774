//! What the operator and the topics decide.

use std::path::PathBuf;
use std::sync::Arc;

use base::clock::Clock;
use base::disk::Disk;
use base::uuid::Uuid;

/// When an append counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When the disk has confirmed it; what is answered survives a power cut.
    Flush,
    /// When the operating system has it; what is answered survives the end of the process.
    Os,
}

/// The store: one folder of logs.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The folder; made when missing.
    pub dir: PathBuf,
    /// Where it lies.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When an append counts as stored, for logs that do not say so themselves.
    pub durability: Durability,
    /// Below this much free space clients' appends are refused; coordinators' go on.
    pub free_bytes_min: u64,
    /// The cluster's id, written into a new folder; a folder that has one keeps it.
    pub cluster_id: Uuid,
    /// The id of this folder, written into a new one; a folder that has one keeps it.
    pub directory_id: Uuid,
    /// The node's number, written into a new folder.
    pub node_id: i32,
    /// Bytes of the journal of small rounds before it begins anew; 0 for none.
    pub journal_bytes: u64,
}

/// What happens to old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Whole segments go by age and size.
    Delete,
    /// Records go when a newer one bears the same key.
    Compact,
    /// Both.
    CompactDelete,
}

impl Cleanup {
    /// Whether segments go by age and size.
    #[must_use]
    pub const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::CompactDelete)
    }

    /// Whether older records of a key go.
    #[must_use]
    pub const fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::CompactDelete)
    }
}

/// One log. Names and defaults are Kafka's topic configs; negative retention means "for ever".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it grows beyond this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is closed when it is this old.
    pub segment_ms: i64,
    /// `retention.ms`: closed segments whose newest record is older go; -1 keeps them.
    pub retention_ms: i64,
    /// `retention.bytes`: oldest segments go while the log is larger; -1 keeps them.
    pub retention_bytes: i64,
    /// `index.interval.bytes`: bytes of log per index entry.
    pub index_interval_bytes: u64,
    /// `cleanup.policy`.
    pub cleanup: Cleanup,
    /// `max.message.bytes`: the largest batch of a client.
    pub max_message_bytes: usize,
    /// `flush.messages`: with `Durability::Os`, flush after this many records.
    pub flush_messages: u64,
    /// `flush.ms`: with `Durability::Os`, flush what is older than this.
    pub flush_ms: u64,
    /// Overrides the store's durability.
    pub durability: Option<Durability>,
    /// `message.timestamp.type`: true for LogAppendTime.
    pub timestamp_type_append: bool,
    /// `file.delete.delay.ms`: how long deleted files stay for those who still read them.
    pub file_delete_delay_ms: u64,
    /// `min.cleanable.dirty.ratio`: share of not yet cleaned bytes that starts the cleaner.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: segments with a younger record are not cleaned.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: a log with an older record that no run has seen is cleaned
    /// whatever its share of dirt; `i64::MAX` for no such limit.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`: how long a record that deletes its key stays after cleaning.
    pub delete_retention_ms: i64,
    /// `log.cleaner.io.max.bytes.per.second`: what the cleaner reads and writes at most.
    pub cleaner_bytes_per_second: f64,
    /// `producer.id.expiration.ms`: silent producers are forgotten after this.
    pub producer_id_expiration_ms: i64,
}

impl LogConfig {
    /// How old a segment gets: a compacted log closes it in time for `max.compaction.lag.ms`,
    /// because the segment that is written is never cleaned.
    #[must_use]
    pub fn segment_ms_max(&self) -> i64 {
        match self.cleanup {
            Cleanup::Delete => self.segment_ms,
            Cleanup::Compact | Cleanup::CompactDelete => {
                self.segment_ms.min(self.max_compaction_lag_ms)
            }
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        Self {
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: 7 * DAY_MS,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            index_interval_bytes: 4096,
            cleanup: Cleanup::Delete,
            max_message_bytes: 1024 * 1024 + 12,
            flush_messages: u64::MAX,
            flush_ms: u64::MAX,
            durability: None,
            timestamp_type_append: false,
            file_delete_delay_ms: 60_000,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: DAY_MS,
            cleaner_bytes_per_second: f64::MAX,
            producer_id_expiration_ms: DAY_MS,
        }
    }
}
