//! Which slot runs which tasks.

pub mod plan;

pub use plan::{Offer, SlotKey, Wish, target};
