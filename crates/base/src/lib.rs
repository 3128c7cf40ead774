//! The earth the house stands on: clock, disk, chance, ids, casts and limits.
//!
//! Nothing here knows a word of the domain. What touches the world (time, files, randomness)
//! hides behind a trait, so that the simulator can replace it: a test that owns the clock, the
//! disk and the dice owns the whole house.
//!
//! What breaks without it: every crate would reach for the operating system by itself, and no
//! crash, no clock skew and no full disk could be rehearsed.

pub mod cast;
pub mod chunk;
pub mod clock;
pub mod disk;
pub mod limits;
pub mod rng;
pub mod uuid;
