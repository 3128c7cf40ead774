//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Commands waiting for the flusher; enough for every connection to have some in flight.
pub const QUEUE_COMMANDS_MAX: usize = 16_384;

/// Bytes of batches waiting for the flusher: what a disk of 1 GB/s swallows in 64 ms.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Batches remembered per producer, as Kafka's brokers do; clients keep at most 5 in flight.
pub const PRODUCER_BATCHES_MAX: usize = 5;

/// Producers remembered per log. One costs about 200 bytes, so a log stays below 20 MB;
/// beyond it the producers that were silent longest are forgotten, never one in a transaction.
pub const PRODUCERS_MAX: usize = 100_000;

/// How far back the log is read for the batches that a snapshot does not hold. A client retries
/// what it had in flight, which lies at the very end.
pub const HISTORY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Appends up to this size are copied into one buffer; larger ones are written in place with
/// only their first 16 bytes replaced. Below it a copy is cheaper than two more write buffers.
pub const COPY_BYTES_MAX: usize = 16 * 1024;

/// Bytes fetched at once while batch headers are looked through near an index entry.
pub const HEADER_WINDOW_BYTES: usize = 8 * 1024;

/// Bytes fetched at once while a whole segment is walked.
pub const WALK_WINDOW_BYTES: usize = 1024 * 1024;

/// Largest decompressed size of one batch that a look-up by time or the cleaner opens.
pub const DECOMPRESS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Milliseconds between two writings of the checkpoint files (Kafka: 60 s).
pub const CHECKPOINT_INTERVAL_MS: u64 = 60_000;

/// Milliseconds between two looks at the free space while little is written.
pub const SPACE_CHECK_MS: u64 = 1_000;

/// Bytes written between two looks at the free space.
pub const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

/// Aborted transactions named in one answer; a reader that needs more asks again from where
/// the batches end.
pub const ABORTED_MAX: usize = 100_000;

/// Distinct keys that one run of the cleaner keeps in mind; what is beyond waits for the next
/// run. A key costs about 60 bytes plus its length.
pub const CLEANER_KEYS_MAX: usize = 1_000_000;

/// Bytes of distinct keys that one run of the cleaner keeps in mind.
pub const CLEANER_KEY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that the cleaner reads and writes between two looks at the clock and at the store's end.
pub const CLEANER_METER_BYTES: usize = 64 * 1024;

/// How far the cleaner may be ahead of its rate without waiting, in microseconds.
pub const CLEANER_AHEAD_US_MAX: u64 = 20_000;

/// Longest single wait of the cleaner: so long it may take to notice that the store is closed.
pub const CLEANER_WAIT_MAX: Duration = Duration::from_millis(200);

/// Batches at the end of a segment whose places are kept in memory: a reader that follows is a few
/// batches behind, and need not look for its place in the file. 3 kB for a log that is written.
pub const RECENT_PLACES_MAX: usize = 32;

/// Bytes in the queue up to which whoever has put them there may work them off itself. Writing
/// them takes less time than waking the flusher; beyond it, two threads get more done than one.
pub const LEND_BYTES_MAX: usize = 16 * 1024;

/// Commands in the queue up to which whoever has put them there may work them off itself.
pub const LEND_COMMANDS_MAX: usize = 32;

/// What a round on a borrowed thread may take, in microseconds and on average over
/// [`LEND_ROUNDS`] of them: others wait for that thread, and a slow disk must not hold them up.
pub const LEND_US_MAX: u64 = 2_000;

/// Rounds over which their time is averaged.
pub const LEND_ROUNDS: u64 = 64;

/// How long no thread is borrowed when rounds take too long, in milliseconds.
pub const LEND_PAUSE_MS: u64 = 1_000;

/// Longest wait of the flusher between two looks at its timers, in milliseconds.
pub const IDLE_WAIT_MS: u64 = 1_000;

/// How long a non-durable append waits for a durable one to bring its flush along.
pub const NON_DURABLE_WAIT_MS: u64 = 20;

/// Bytes of the journal before it begins anew at its front, for which everybody waits until the
/// rest of the logs' own files is flushed. A start after a crash reads it whole.
pub const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of a round up to which it goes into the journal.
pub const JOURNAL_ROUND_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that a round may have for one log to go into the journal. Writing them twice costs less
/// than a flush that stores where they lie; beyond it the copy does not pay. A log with more, which
/// may be because the disk is slow, is written once.
pub const JOURNAL_LOG_BYTES_MAX: usize = 128 * 1024;

/// A log's own file is flushed when this part of the journal holds batches of it: then little is
/// left to be flushed when the journal begins anew.
pub const JOURNAL_BEHIND_PARTS: u64 = 64;

/// Bytes by which the journal's file grows.
pub const JOURNAL_STEP_BYTES: u64 = 256 * 1024;

/// Logs that one upkeep looks through for what is old or dirty; the next one goes on behind them.
/// A thousand pipelines have thousands of logs, and looking costs some microseconds for each.
pub const UPKEEP_LOGS_MAX: usize = 128;

/// Logs whose files are flushed at each upkeep because their batches are only in the journal.
pub const JOURNALED_FLUSHES_MAX: usize = 64;

/// A segment that has grown to this size has room set aside in front of it, as long as no more than
/// this is left of it: looking for room with every flush costs a quarter of the flush.
pub const RESERVE_FROM_BYTES: u64 = 1024 * 1024;

/// Bytes set aside at once: as much as the segment has, up to this.
pub const RESERVE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Room is set aside only while so much is free.
pub const RESERVE_FREE_BYTES_MIN: u64 = 8 * 1024 * 1024 * 1024;

/// A log that was not written for so long gives its room back.
pub const RESERVE_IDLE_MS: u64 = 60_000;

/// Flushes under way beyond which no further one is begun: a disk gains little by more, and what
/// waits until one of them has ended shares one flush.
pub const FLUSHES_MAX: usize = 4;
