//! The engine: runs a plan exactly once over a log.
//!
//! ```text
//! plan --code--> StageCode --task--> Task (one stage, one partition: state, time, positions)
//! runner --attempt--> claim, fence, positions, restore --> slots (fetch, run, commit) --> log
//!                                                      --> tables (committed records --> sink)
//! ```
//!
//! Invariants: outputs, state changes and positions of a slot are one transaction; positions are
//! read only after every former owner was fenced; a fenced slot never initialises itself again;
//! state is restored to the high watermark; a record that fails stops the pipeline with
//! everything before it committed and nothing after it.

mod attempt;
pub(crate) mod chain;
mod changelog;
pub(crate) mod code;
pub mod error;
pub mod flow;
pub(crate) mod guard;
pub mod history;
pub(crate) mod host;
pub mod inspect;
pub mod latency;
pub mod ledger;
pub mod letters;
pub mod load;
pub(crate) mod marker;
mod node_state;
pub(crate) mod parking;
mod purge;
pub(crate) mod remembered;
mod render;
pub mod reset;
pub(crate) mod restore;
pub mod rewind;
pub(crate) mod room;
pub mod runner;
pub(crate) mod slot;
pub(crate) mod snapshot;
pub(crate) mod standby;
pub mod standing;
mod table;
pub mod tap;
pub(crate) mod task;
pub(crate) mod topics;
pub mod view;
mod watermark;
mod window;
pub(crate) mod writer;

pub use error::EngineError;
pub use flow::RecordFailure;
pub use ledger::{Claim, Claimant};
pub use marker::HEADER as WATERMARK_HEADER;
pub use runner::{BoundSink, Engine, EngineHandle, EngineOptions, Mode};
pub use snapshot::keeper::StateFolder;
pub use view::PipelineView;
