//! How the processes of a cluster find each other and share work, through topics alone.
//!
//! ```text
//! every node --beat--> __ms.beats ----> roll: who is there, who has fallen silent
//! commands -----------> __ms.requests -> the leader --answer--> __ms.answers
//! the leader --transactions of `__ms.leader`--> __ms.cluster: leader, jobs, assignments
//! task managers <------ __ms.cluster: what to run, and with which identities
//! a job manager --sos--> __ms.sos --> task managers --free threads--> __ms.sos-answers
//! ```
//!
//! A job is a number of stages with tasks; a task manager has slots; an assignment says which slot
//! runs which tasks. What a task does is the matter of those who use this crate.
//!
//! Invariants: only one node writes `__ms.cluster` at a time, because the log fences the others;
//! silence is counted in beats of one's own that the log shows, never by a clock; the identity
//! under which a slot writes is issued by the leader with the assignment; before a task belongs to
//! another slot, either that identity is fenced or the slot has let the task go and said so.
//!
//! Non-obvious: a task manager never initialises a transactional id. So one that slept through its
//! own replacement can do no harm when it wakes, however late: what it holds was fenced.
//!
//! What breaks without it: a pipeline would live and die with one process.

pub mod ask;
pub mod assignment;
pub mod beat;
pub mod catalogue;
pub mod election;
pub mod error;
pub mod heart;
pub mod leader;
pub mod limits;
pub mod muster;
pub mod node;
pub mod reader;
pub mod request;
pub mod roll;
pub mod runs;
pub mod seat;
pub mod seen;
pub mod sos;
pub mod topics;

pub use crate::error::CoordinationError;
