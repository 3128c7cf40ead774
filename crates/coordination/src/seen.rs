//! What slots tell of their tasks beside what the leader needs: for those who look on.
//!
//! It rides on the beats, so it is an addition: whoever does not know it leaves it alone, and a
//! beat without it is complete.

use serde::{Deserialize, Serialize};

/// What a slot has done and spends its time on, as of its last commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its tasks, summed over their partitions, by id.
    pub tasks: Vec<TaskSeen>,
    /// Records that wait at the inputs of each stage, by the id of the stage's first task.
    pub lags: Vec<(String, i64)>,
    /// When it last committed, in milliseconds since 1970.
    pub committed_ms: Option<i64>,
    /// The time of the oldest record read where others still wait, in milliseconds since 1970.
    pub behind_ms: Option<i64>,
    /// Transactions committed since it began.
    pub commits: u64,
    /// Transactions given up since it began.
    pub aborted: u64,
    /// What all commits took together, in microseconds.
    pub commits_us: u64,
    /// How often this node had to begin the slot again.
    pub restarts: u64,
}

/// A task in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSeen {
    /// Its id.
    pub task: String,
    /// The id of the first task of its stage.
    pub stage: String,
    /// Records that came in.
    pub records_in: u64,
    /// Records that went out, once for each target.
    pub records_out: u64,
    /// Records that came after their windows had closed.
    pub late: u64,
    /// Records that failed and were left out.
    pub skipped: u64,
    /// Records that failed and were parked in the dead-letter topic.
    pub parked: u64,
    /// Thousandths of the last seconds in which the slot worked for the task's stage.
    pub busy_permille: u16,
    /// Thousandths of the last seconds in which the slot waited for the log to take its results.
    pub backpressured_permille: u16,
}
