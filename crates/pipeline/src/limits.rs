//! Every bound of this crate, each with its reason.

/// Input bytes after which a slot commits, however young its transaction is.
pub const COMMIT_BYTES_MAX: usize = 4 << 20;

/// Input records after which a slot commits, however young its transaction is.
pub const COMMIT_RECORDS_MAX: u64 = 50_000;

/// Shortest pause after which a transaction is committed when no input waits, in microseconds.
pub const COMMIT_PAUSE_US_MIN: u64 = 2_000;

/// Keys that may be parked in a task: a lot costs memory until somebody decides. Beyond it the next
/// record that fails stops the pipeline.
pub const PARKED_KEYS_MAX: usize = 100_000;

/// Memory for what is known of parked keys in a task, in bytes.
pub const PARKED_BYTES_MAX: usize = 64 << 20;

/// Bytes of a reason that are kept in memory; the letter has all of it.
pub const PARKED_REASON_BYTES_MAX: usize = 200;

/// How long a slot takes no new input while the last letters of a key leave, in milliseconds: what
/// comes meanwhile would only wait behind them.
pub const PARKED_HOLD_MS_MAX: u64 = 2_000;

/// Longest that a slot without work waits before it looks at the time again, in milliseconds.
pub const SLOT_WAIT_MS_MAX: u64 = 100;

/// The same, in milliseconds, where nothing becomes due by time alone: records and orders wake the
/// slot, and a thousand that rest cost next to nothing.
pub const SLOT_REST_MS_MAX: u64 = 120_000;

/// Longest that a broker holds the fetch of a slot to which nothing comes, in milliseconds.
pub const FETCH_WAIT_QUIET_MS_MAX: u64 = 120_000;

/// Bytes that one batch may hold once it is decompressed.
pub const DECODED_BATCH_BYTES_MAX: usize = 128 << 20;

/// How long a changelog may give nothing before its restore is given up, in milliseconds.
pub const RESTORE_SILENCE_MS_MAX: u64 = 180_000;

/// Workers that read changelogs side by side at a start; each has its own consumer and decodes on
/// its own thread, and a broker serves few readers better than many.
pub const RESTORE_WORKERS_MAX: usize = 4;

/// First wait for a changelog that gives nothing, in milliseconds; it doubles.
pub const RESTORE_WAIT_MS: u64 = 10;

/// Longest wait for a changelog that gives nothing, in milliseconds, before it is looked at again.
pub const RESTORE_WAIT_MS_MAX: u64 = 500;

/// Records of its changelog that a copy of a task's state may lack and still be called up to date:
/// a start reads them in less time than it takes to be noticed.
pub const STANDBY_LAG_MAX: i64 = 10_000;

/// Longest wait for changes of state that is copied, in milliseconds, before it is looked at what
/// shall be copied.
pub const STANDBY_WAIT_MS: u64 = 500;

/// How often the ends of changelogs are asked for while changes come, in milliseconds: whether a
/// copy is up to date is known as late as that.
pub const STANDBY_LOOK_MS: u64 = 2_000;

/// The same while nothing comes. State is as old as the last look, and may be hours old.
pub const STANDBY_REST_MS: u64 = 60_000;

/// First pause before copies are begun anew after the log or a disk has failed, in milliseconds; it
/// doubles.
pub const STANDBY_PAUSE_MS: u64 = 1_000;

/// Longest pause before copies are begun anew, in milliseconds; those that have lasted longer begin
/// with the first pause again.
pub const STANDBY_PAUSE_MS_MAX: u64 = 30_000;

/// How often the log tells how far a restore has come, in milliseconds.
pub const RESTORE_TOLD_MS: u64 = 5_000;

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

/// How long a start waits for files of state that an earlier one has not closed yet, in
/// milliseconds.
pub const SHELVES_WAIT_MS_MAX: u64 = 10_000;

/// Pause between two attempts to open them, in milliseconds.
pub const SHELVES_LOOK_MS: u64 = 20;

/// Age at which local state is no longer used where the changelog does not tell for how long it
/// remembers deleted keys, in milliseconds; Kafka's `delete.retention.ms`.
pub const LOCAL_STATE_AGE_MS_MAX: i64 = 86_400_000;

/// Local state is left alone this long before the changelog may forget deleted keys, in
/// milliseconds: clocks differ, and a restore takes its time.
pub const LOCAL_STATE_MARGIN_MS_MAX: i64 = 3_600_000;

/// Age after which a node removes state at its start that nobody has gone on with, in milliseconds:
/// a week, because by then few changelogs remember the deletions since.
pub const LEFT_STATE_AGE_MS_MAX: i64 = 7 * 86_400_000;

/// Largest snapshot in bytes; it is held in memory while it is written.
pub const SNAPSHOT_BYTES_MAX: usize = 1 << 30;

/// Keys of a store that are looked at in one commit for being older than their `ttl`.
pub const EXPIRE_KEYS_MAX: usize = 1_000;

/// Rounds through all keys of a store in the time of one `ttl`: a key goes at most a round later.
pub const EXPIRE_ROUNDS: i64 = 16;

/// Bytes that may wait in a writer: the bound of a transactional producer, and the same without
/// transactions, so that both promises hold for the same pipelines.
pub const WRITER_BYTES_MAX: usize = client::limits::TXN_UNSENT_BYTES_MAX;

/// Bytes of results and changed state after which a slot commits between two records of a batch.
/// As much again is left for what a single record gives, and for the changes of its state.
pub const WRITER_FULL_BYTES: usize = WRITER_BYTES_MAX / 2;

/// How often a pipeline without transactions, which nobody can fence, looks whether another
/// process has taken it over, in milliseconds.
pub const CLAIM_LOOK_MS: u64 = 1_000;

/// The same of a pipeline with transactions, which learns it when it commits, and would never while
/// nothing comes.
pub const FENCED_CLAIM_LOOK_MS: u64 = 5_000;

/// Milliseconds between two deletions of what was worked off in edge topics; as Kafka Streams'
/// `repartition.purge.interval.ms`.
pub const EDGE_PURGE_EVERY_MS: u64 = 30_000;

/// Records at the end of the offsets of all groups that are searched for the last commit of one:
/// beyond them other groups have been so busy that the age says little.
pub const COMMIT_TAIL_RECORDS_MAX: i64 = 5_000;

/// Partitions of a stage whose waiting records are looked at; one request each.
pub const LOOK_PARTITIONS_MAX: usize = 1_000;

/// How long a look at waiting records may take, in milliseconds: somebody waits at a terminal.
pub const LOOK_MS_MAX: u64 = 2_000;

/// Keys of a task's state that are kept while somebody looks into it: they fit into memory, and
/// nobody reads more.
pub const INSPECTED_KEYS_MAX: usize = 1_000_000;

/// Records that a tap keeps until they are fetched; older ones make room, and are counted.
pub const TAP_RECORDS_MAX: usize = 1_000;

/// Bytes of keys and values that a tap keeps.
pub const TAP_BYTES_MAX: usize = 1 << 20;

/// How long a tap lives without being fetched from, in milliseconds.
pub const TAP_WANTED_MS: u64 = 5_000;
