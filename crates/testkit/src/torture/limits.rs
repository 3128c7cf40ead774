//! Limits and usual values of the kill test.

use std::time::Duration;

/// Keys of the load; enough to meet every partition, few enough for each to be busy.
pub(super) const KEYS: usize = 100;

/// Keys that end like this have records that fail: one in ten.
pub(super) const POISONED_KEYS_END: char = '0';

/// Of the records of such a key one in so many fails: every few seconds.
pub(super) const POISONED_ONE_IN: u64 = 40;

/// Which one of them.
pub(super) const POISONED_AT: u64 = 7;

/// Releases of all keys and runs behind them until nobody may wait any more.
pub(super) const SETTLES_MAX: u32 = 100;

/// Rounds of a cluster of which one stops all nodes for [`ZOMBIE_MS`], and one a single node for
/// so long or longer.
pub(super) const ROUNDS_PER_STILLNESS: u32 = 15;

/// Partitions of the input topic.
pub(super) const PARTITIONS: i32 = 4;

/// Records of one beat of the load at most.
pub(super) const BEAT_RECORDS_MAX: u64 = 12;

/// Pause between two beats of the load.
pub(super) const BEAT: Duration = Duration::from_millis(10);

/// Deliveries that may be open; more than that and the load waits for the oldest.
pub(super) const DELIVERIES_OPEN_MAX: usize = 20_000;

/// How long a process may take from its start to its first line.
pub(super) const START_MAX: Duration = Duration::from_secs(30);

/// Starts of a broker before it counts as broken: another socket may hold its port for a moment.
pub(super) const START_ATTEMPTS_MAX: u32 = 20;

/// Pause between two looks at a process.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// How long the last records may take from the input to every output.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(120);

/// How long a process that was overtaken may take to notice.
pub(super) const FENCE_MAX: Duration = Duration::from_secs(40);

/// How long the load may take to deliver what it has sent, and a topic to be read.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Decompressed bytes of one batch.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// Lines of a log that a failure shows.
pub(super) const LOG_LINES_SHOWN_MAX: usize = 15;

/// Violations of one topic that are shown.
pub(super) const VIOLATIONS_SHOWN_MAX: usize = 8;

/// Width of the windows, in milliseconds; the pipeline's file says the same.
pub(super) const WINDOW_MS: i64 = 1_000;

/// How long the process that was stopped for longest stands still: its transaction, which may
/// stay open for ten seconds, is aborted meanwhile.
pub(super) const ZOMBIE_MS: u64 = 11_000;

/// How long a node of a cluster stands still at most.
pub(super) const STILL_MAX_MS: u64 = 30_000;

/// Rounds of which one is such a long stop under which another one takes over, and one more with
/// nobody to take over.
pub(super) const ROUNDS_PER_ZOMBIE: u32 = 40;

/// How long a cluster may take to count what it was given while it was tortured.
pub(super) const CATCH_UP_MAX: Duration = Duration::from_secs(120);
