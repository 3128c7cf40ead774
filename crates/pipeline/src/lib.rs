//! Pipelines that run: from a plan to records that are processed exactly once.
//!
//! ```text
//! file --topology--> Plan --engine--> slots over the log --> sinks
//!                      \--testing--> the file's test cases, in memory
//! ```
//!
//! [`engine`] runs a plan through the client, [`cluster`] runs many plans on many processes,
//! [`testing`] runs a file's test cases on the engine's
//! operators, and [`sink`] is what a database must do. What may stand in a file, and what follows
//! from it, is the matter of the crate `topology`.
//!
//! Invariants: outputs, state and positions change in one transaction; records of a key keep
//! their order; no sink and no broker is known here by name.
//!
//! Non-obvious: there is no way to the log but frames. So what runs over the log in this process
//! runs over Apache Kafka, and is fenced by the same epochs.
//!
//! What breaks without it: the log would be a log, and everybody would write the mill himself.

pub mod cluster;
pub mod engine;
pub mod limits;
#[cfg(test)]
mod sample;
pub mod sink;
pub mod testing;
