//! What commands ask of the leader, and what it answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Format of this record.
    pub format: u32,
    /// Drawn by the command; the answer has the same.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Run a pipeline, or run it by another file from now on.
    Apply {
        /// Its files, by name.
        files: Vec<(String, String)>,
        /// The variables that they name.
        variables: BTreeMap<String, String>,
        /// Whether to say only what would be done.
        is_dry: bool,
    },
    /// Let a job rest.
    Pause {
        /// Its name.
        job: String,
    },
    /// Let it go on.
    Resume {
        /// Its name.
        job: String,
    },
    /// End it.
    Stop {
        /// Its name.
        job: String,
    },
    /// Let its slots begin anew.
    Restart {
        /// Its name.
        job: String,
    },
    /// Let it run on another number of slots, without a stop.
    Scale {
        /// Its name.
        job: String,
        /// Slots that it wants, at least one.
        slots: u32,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Format of this record.
    pub format: u32,
    /// The request's.
    pub id: u64,
    /// What came of it.
    pub reply: Reply,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is done.
    Done {
        /// What is worth knowing, one line each.
        notes: Vec<String>,
    },
    /// It is not done.
    Refused {
        /// Of what kind the reason is.
        kind: Kind,
        /// The reason.
        reason: String,
        /// What belongs to it, one line each.
        facts: Vec<String>,
    },
}

/// Of what kind a reason is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// There is no such job.
    NoJob,
    /// It is what it should become already.
    Already,
    /// The file cannot be read here as it was there.
    File,
    /// What stored state cannot follow has changed.
    PlanChanged,
    /// A topic does not fit.
    TopicUnfit,
    /// A topic is gone that held state, or records.
    TopicLost,
    /// The pipeline needs what task managers do not do.
    Unsupported,
    /// It would share a topic between processors with another pipeline.
    Shared,
    /// There is no room for it.
    TooMany,
    /// The log refused.
    Log,
}
