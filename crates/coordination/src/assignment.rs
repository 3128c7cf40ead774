//! Which slot runs which tasks, and who keeps copies of their state.

pub mod plan;
pub mod standby;

pub use plan::{Offer, Places, SlotKey, Wish, target};
pub use standby::standby;
