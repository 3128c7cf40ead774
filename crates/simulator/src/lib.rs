//! The house under a seed: disks that forget, networks that lie, clocks that jump.
//!
//! What breaks without it: nobody would know what the log keeps when the power goes between two
//! writes. It is never part of the binary.

pub mod crash;
