//! What the leader does about jobs and task managers.

pub mod machine;
mod moves;

pub use machine::{Action, Leader, Outcome, Refusal, Verb};
