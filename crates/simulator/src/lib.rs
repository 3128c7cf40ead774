//! The house under a seed: disks that forget, networks that lie, clocks that jump.
//!
//! Today it crashes the log: [`crash`] runs a workload over the memory disk of `base`, takes the
//! disk as it may be after each write, flush, rename and removal, opens it again, and compares
//! what is left with what was promised.
//!
//! Invariants: a seed gives the same history again; verdicts know only what was promised and what
//! is read, never how the log does it.
//!
//! What breaks without it: nobody would know what the log keeps when the power goes between two
//! writes. It is never part of the binary.

pub mod crash;
