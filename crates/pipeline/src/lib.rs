//! Pipelines: from a file of tasks to records that are processed exactly once.
//!
//! ```text
//! text --spec--> Spec --lint--> checked --plan--> Plan --engine--> slots over the log --> sinks
//!                  \--diagnose--> all problems with place and help
//! ```
//!
//! [`spec`] reads a file with the place of every value, [`lint`] says whether its parts fit,
//! [`plan`] derives stages, topics, stores and tables, [`engine`] runs them through the client.
//! [`testing`] runs a file's test cases in memory. [`expression`] and [`json`] work on the bytes of
//! records; [`sink`] is what a database must do.
//!
//! Invariants: a plan follows from the file alone, so two processes that read one file agree;
//! outputs, state and positions change in one transaction; records of a key keep their order; no
//! sink and no broker is known here by name.
//!
//! Non-obvious: there is no way to the log but frames. So what runs over the log in this process
//! runs over Apache Kafka, and is fenced by the same epochs.
//!
//! What breaks without it: the log would be a log, and everybody would write the mill himself.

pub mod diagnose;
pub mod engine;
pub mod expression;
pub mod graph;
pub mod json;
pub mod limits;
pub mod lint;
pub mod plan;
pub mod sink;
pub mod spec;
pub mod testing;
pub mod timestamp;
