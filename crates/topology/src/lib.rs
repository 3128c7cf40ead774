//! What a pipeline is: from a file of tasks to a plan, without running anything.
//!
//! ```text
//! text --spec--> Spec --lint--> checked --plan--> Plan --> whoever runs it
//!                  \--diagnose--> all problems with place and help
//!                  \--graph--> drawings
//! ```
//!
//! [`spec`] reads a file with the place of every value, [`lint`] says whether its parts fit,
//! [`diagnose`] says what is wrong so that a person can mend it, [`graph`] draws, and [`plan`]
//! derives stages, topics, stores and tables. [`expression`] and [`json`] work on the bytes of
//! records; they are here because a file is checked with its expressions.
//!
//! Invariants: everything follows from the file alone, so two processes that read one file agree;
//! all problems of a file are told at once, each with its place; no text makes a reader panic,
//! recurse without bound or grow without limit.
//!
//! Non-obvious: there is no clock, file, task or connection in here. Variables of the environment
//! come through a lookup function, and what a plan means for the log is the engine's matter.
//!
//! What breaks without it: a pipeline could only be checked by starting it.

pub mod diagnose;
pub mod expression;
pub mod graph;
pub mod json;
pub mod limits;
pub mod lint;
pub mod plan;
pub mod spec;
pub mod timestamp;
