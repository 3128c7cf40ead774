//! Every bound of this crate, each with its reason.

/// Longest pipeline file in bytes: far beyond what people write, small enough to hold twice.
pub const SPEC_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of a pipeline file; the grammar needs eight, test inputs a few more.
pub const SPEC_DEPTH_MAX: usize = 64;

/// Most nodes of a pipeline file after its aliases are expanded: aliases of aliases grow
/// exponentially, and this is where that ends.
pub const SPEC_NODES_MAX: usize = 100_000;

/// Most problems that one reading of a file reports; a hostile file has a problem per byte.
pub const DIAGNOSTICS_MAX: usize = 100;

/// Most tasks of one pipeline: the checks walk paths, and plans are drawn.
pub const TASKS_MAX: usize = 1_000;

/// Longest task, sink and pipeline name in bytes: two of them and a prefix fit a topic name.
pub const NAME_BYTES_MAX: usize = 100;

/// Longest topic name in bytes, which is Kafka's bound.
pub const TOPIC_BYTES_MAX: usize = 249;

/// Most slots of one pipeline process.
pub const PARALLELISM_MAX: u64 = 1_024;

/// Most partitions of a topic that a pipeline creates.
pub const PARTITIONS_MAX: u64 = 10_000;

/// Longest duration in a pipeline file: ten thousand days, so that sums of times cannot overflow.
pub const DURATION_MS_MAX: u64 = 10_000 * 86_400_000;

/// Most windows that one record may be counted in (size divided by step).
pub const WINDOWS_PER_RECORD_MAX: u64 = 1_000;

/// Longest source line that a message shows, in characters; the rest of a longer one is cut.
pub const EXCERPT_CHARS_MAX: usize = 160;

/// Longest name for which a similar one is looked for, in characters: the search is quadratic.
pub const SUGGESTION_CHARS_MAX: usize = 64;

/// Longest expression in bytes; a longer one is no longer read by people.
pub const EXPRESSION_BYTES_MAX: usize = 10_000;

/// Deepest nesting of an expression: it is evaluated by recursion.
pub const EXPRESSION_DEPTH_MAX: usize = 64;

/// Input bytes after which a slot commits, however young its transaction is.
pub const COMMIT_BYTES_MAX: usize = 4 << 20;

/// Input records after which a slot commits, however young its transaction is.
pub const COMMIT_RECORDS_MAX: u64 = 50_000;

/// Shortest pause after which a transaction is committed when no input waits, in microseconds.
pub const COMMIT_PAUSE_US_MIN: u64 = 2_000;

/// Longest that a slot without work waits before it looks at the time again, in milliseconds.
pub const SLOT_WAIT_MS_MAX: u64 = 100;

/// Bytes that one batch may hold once it is decompressed.
pub const DECODED_BATCH_BYTES_MAX: usize = 128 << 20;

/// How long a changelog may give nothing before its restore is given up, in milliseconds.
pub const RESTORE_SILENCE_MS_MAX: u64 = 180_000;

/// Records in one transaction of a database.
pub const SINK_BATCH_RECORDS_MAX: usize = 5_000;

/// How often a busy database is asked again.
pub const SINK_BUSY_RETRIES_MAX: u32 = 100;

/// Pause before a busy database is asked again, in milliseconds.
pub const SINK_BUSY_WAIT_MS: u64 = 50;

/// Orders that wait for a slot.
pub const SLOT_ORDERS_MAX: usize = 64;

/// First pause before a pipeline that lost the log begins again, in milliseconds.
pub const RESTART_WAIT_MS: u64 = 100;

/// Longest pause before a pipeline that lost the log begins again, in milliseconds.
pub const RESTART_WAIT_MS_MAX: u64 = 5_000;

/// How long a stop may take to finish what has been read, in milliseconds.
pub const DRAIN_MS_MAX: u64 = 10_000;

/// Pause between two looks at how far a drain has come, in milliseconds.
pub const DRAIN_LOOK_MS: u64 = 5;

/// Milliseconds between two snapshots of a slot's state: a restart after a crash reads what has
/// changed since.
pub const SNAPSHOT_EVERY_MS: u64 = 30_000;

/// Age at which a snapshot is no longer used, in milliseconds: changelogs forget deleted keys
/// after a day, and what it still holds of them would come back.
pub const SNAPSHOT_AGE_MS_MAX: i64 = 86_400_000;

/// Largest snapshot in bytes; it is held in memory while it is written.
pub const SNAPSHOT_BYTES_MAX: usize = 1 << 30;

/// Bytes that may wait in a writer: the bound of a transactional producer, and the same without
/// transactions, so that both promises hold for the same pipelines.
pub const WRITER_BYTES_MAX: usize = client::limits::TXN_UNSENT_BYTES_MAX;

/// Bytes of results and changed state after which a slot commits between two records of a batch.
/// As much again is left for what a single record gives, and for the changes of its state.
pub const WRITER_FULL_BYTES: usize = WRITER_BYTES_MAX / 2;

/// How often a pipeline without transactions, which nobody can fence, looks whether another
/// process has taken it over, in milliseconds.
pub const CLAIM_LOOK_MS: u64 = 1_000;
