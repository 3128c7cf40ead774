//! What the leader does about jobs and task managers.

pub mod machine;

pub use machine::{Action, Leader, Outcome, Refusal, Verb};
