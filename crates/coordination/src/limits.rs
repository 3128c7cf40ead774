//! Every bound of this crate, each with its reason.

/// Milliseconds between two beats of a job manager: three missed and a claim fit into the three
/// seconds that a failover may take.
pub const MANAGER_BEAT_MS: u64 = 500;

/// Milliseconds between two beats of a node that is no job manager.
pub const WORKER_BEAT_MS: u64 = 1_000;

/// Own beats that the log shows without one of the leader, after which the first in line claims;
/// each further one waits for one more, so that they do not fence each other.
pub const LEADER_SILENT_BEATS_MAX: u32 = 3;

/// Beats of the leader that the log shows without one of a task manager, after which that one is
/// gone: three of its own, which come half as often.
pub const WORKER_SILENT_BEATS_MAX: u32 = 6;

/// Own beats that a new leader waits before it assigns anything, so that those who are there have
/// been heard.
pub const LEADER_SETTLE_BEATS: u32 = 3;

/// Milliseconds that the leader's loop may stand still before its beats no longer claim to lead:
/// longer than a fence that waits for a transaction to time out.
pub const LEADER_STALL_MS_MAX: u64 = 15_000;

/// Nodes that are kept in the roll; beats of further ones are not counted.
pub const NODES_MAX: usize = 1_000;

/// Jobs of a cluster.
pub const JOBS_MAX: usize = 1_000;

/// Slots of one node.
pub const SLOTS_MAX: u32 = 1_024;

/// Tasks whose figures ride on one beat; those of further ones are left out, so that a node with
/// many slots still fits into a record.
pub const BEAT_TASKS_MAX: usize = 512;

/// Tasks of which a beat says that their state lies at the node; of further ones nobody knows.
pub const BEAT_KEPT_MAX: usize = 2_048;

/// Milliseconds for each of its slots after which a node tells of all of them again, whatever has
/// changed: who comes later must hear of them, and a thousand that rest must cost little.
pub const RUN_TOLD_MS: u64 = 50;

/// Bytes of one record of the cluster's topics: a job carries its files.
pub const RECORD_BYTES_MAX: usize = 900 << 10;

/// Bytes that one batch may hold once it is decompressed.
pub const DECODED_BATCH_BYTES_MAX: usize = 16 << 20;

/// Longest that the leader puts off giving tasks to a slot that keeps ending, in own beats.
pub const RESTART_HOLD_BEATS_MAX: u32 = 16;

/// Own beats without an end of a slot after which its job counts as healthy again.
pub const RESTART_FORGET_BEATS: u32 = 120;

/// How long a command waits for the leader's answer, in milliseconds: two failovers.
pub const ANSWER_MS_MAX: u64 = 15_000;

/// Milliseconds between two calls of a job manager while task managers are missing: who starts
/// meanwhile is not waited for longer.
pub const SOS_EVERY_MS: u64 = 1_000;

/// How long a job manager waits for its task managers when nothing is said, in milliseconds: they
/// may be started by hand, one after the other.
pub const MUSTER_MS_MAX: u64 = 120_000;

/// How long a transaction of a slot may stay open before the broker aborts it, in milliseconds.
pub const SLOT_TRANSACTION_MS: u64 = 10_000;

/// Longest wait for records of the cluster's topics before its reader looks at the time again, in
/// milliseconds.
pub const READ_WAIT_MS_MAX: u64 = 250;

/// How far the clock of a node may be from that of the log before people are told, in
/// milliseconds; a beat that waits for the log is given up long before.
pub const CLOCKS_APART_MS_MAX: i64 = 60_000;
