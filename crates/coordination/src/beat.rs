//! What a node says of itself, again and again.

use serde::{Deserialize, Serialize};

use crate::catalogue::{FORMAT, TaskId};
use crate::limits::CLOCKS_APART_MS_MAX;
use crate::node::Node;
use crate::seen::Seen;

/// The protocol between nodes. It is raised when nodes of two versions could not work together.
pub const PROTOCOL: u32 = 4;

/// One beat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Format of this record.
    pub format: u32,
    /// The protocol that the node speaks.
    pub protocol: u32,
    /// The program's version.
    pub version: String,
    /// The node's id.
    pub node: String,
    /// Tells its starts apart.
    pub nonce: u64,
    /// When it started, in milliseconds since 1970.
    pub started_ms: i64,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// Whether it is a job manager, and so may lead.
    pub is_candidate: bool,
    /// The epoch in which it leads.
    pub leads: Option<u64>,
    /// Slots that it offers; 0 when it is no task manager.
    pub slots: u32,
    /// What its slots are doing.
    pub runs: Vec<Run>,
    /// Whether the runs are those that have news; of the others holds what was told before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
    /// What its clock says, in milliseconds since 1970; 0 when it does not tell.
    #[serde(default)]
    pub sent_ms: i64,
    /// What the log's clock said when the beat was taken; no part of the record's value.
    #[serde(skip)]
    pub logged_ms: i64,
    /// Tasks whose state lies on its disk, so that they begin sooner there than elsewhere, in the
    /// order of jobs. A partial beat says nothing of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// Tasks whose state it copies and has in memory or on disk but for the last records, told as
    /// `kept` is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Kept>,
    /// Where it answers over HTTP, as `host:port`, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
}

impl Beat {
    /// The first beat of a node.
    #[must_use]
    pub fn of(node: &Node, version: &str) -> Self {
        Self {
            format: FORMAT,
            protocol: PROTOCOL,
            version: version.to_owned(),
            node: node.id.clone(),
            nonce: node.nonce,
            started_ms: node.started_ms,
            host: node.host.clone(),
            pid: node.pid,
            is_candidate: false,
            leads: None,
            slots: 0,
            runs: Vec::new(),
            is_partial: false,
            sent_ms: 0,
            logged_ms: 0,
            kept: Vec::new(),
            copies: Vec::new(),
            http: None,
        }
    }

    /// How far the node's clock is ahead of the log's, in milliseconds, where that is so much that
    /// neither the way nor a slow disk explains it; negative when it is behind.
    #[must_use]
    pub fn apart_ms(&self) -> Option<i64> {
        let is_told = self.sent_ms > 0 && self.logged_ms > 0;
        let apart_ms = self.sent_ms.saturating_sub(self.logged_ms);
        (is_told && apart_ms.saturating_abs() > CLOCKS_APART_MS_MAX).then_some(apart_ms)
    }

    /// Takes over what a partial beat does not say again.
    pub(crate) fn complete(&mut self, before: Self) {
        if self.is_partial {
            (self.kept, self.copies) = (before.kept, before.copies);
        }
    }

    /// What its slot does under a grant.
    #[must_use]
    pub fn run(&self, job: &str, slot: u32, since: u64) -> Option<&Run> {
        let mut runs = self.runs.iter();
        runs.find(|run| run.job == job && run.slot == slot && run.since == since)
    }
}

/// Tasks of a job whose state lies at a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The job.
    pub job: String,
    /// The tasks.
    pub tasks: Vec<TaskId>,
}

/// What a slot does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The job.
    pub job: String,
    /// The slot's number on its node.
    pub slot: u32,
    /// The epoch of the assignment that granted it.
    pub since: u64,
    /// The turn of the grant that it has followed, in so far as it holds nothing else any more.
    #[serde(default)]
    pub turn: u64,
    /// How far it is.
    pub phase: Phase,
    /// The tasks that it holds.
    pub tasks: Vec<TaskId>,
    /// Records read from sources and edges, up to the last commit.
    pub records_in: u64,
    /// Records that wait at its inputs, as of the last commit.
    pub lag: i64,
    /// More of it, as far as there was room in the beat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// How far a slot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It reads positions and restores state.
    Starting,
    /// It works.
    Running,
    /// Its identity was fenced, or the log was lost: it may be granted again.
    Ended {
        /// Why.
        reason: String,
    },
    /// It cannot go on, and another slot could not either.
    Failed {
        /// Why.
        reason: String,
    },
}
