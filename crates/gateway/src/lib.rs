//! The edges where readings come in: the sensors of this machine.
//!
//! A gateway measures or listens, turns what it got into records, and hands them to an
//! [`outlet::Outlet`], which the binary connects to a producer.
//!
//! A record's way: sensor -> sample -> readings -> JSON documents -> outlet -> topic.
//!
//! Invariants: what is missing on a machine is absent, never zero; a reading that could not be
//! taken has no value. A gateway holds one batch at a time: while the outlet is busy it does not
//! measure, so nothing piles up.
//!
//! What breaks without it: data would have to be brought by other programs.

pub mod error;
pub mod host;
pub mod limits;
pub mod outlet;
pub mod view;
