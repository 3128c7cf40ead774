//! Pipelines on many processes: job managers decide who runs what, task managers run it.
//!
//! ```text
//! file --apply--> job manager that leads --admit--> job --assign--> grants in the catalogue
//!                                                                       |
//!                 task manager: slot with the identity of its grant <---+
//! ```
//!
//! Who leads, and who runs what, is decided in the crate `coordination`; here is what the
//! decisions mean for pipelines. A slot runs the same code as in one process, from the positions
//! and the state that the log has once everybody who had its tasks before is fenced, or has let
//! them go and said so.

mod hand_out;
mod hoard;
mod job_manager;
mod moves;
mod prepare;
mod register;
mod rooms;
mod slot_host;
mod standby;
mod task_manager;
mod views;

pub use job_manager::Candidate;
pub use prepare::{PrepareError, read};
pub use task_manager::Worker;
pub use views::Views;
