//! Tokio's landlord: every task, thread, timer, channel and socket of the house is rented here.
//!
//! No other crate names tokio. That keeps the scheduler replaceable, gives each task a name and an
//! owner, and leaves one place to look at when something blocks.
//!
//! What breaks without it: the simulator could not stand in for the network and the clock.

pub mod boot;
pub mod channel;
pub mod limits;
pub mod shutdown;
pub mod signal;
pub mod stream;
pub mod task;
pub mod thread;
pub mod timer;

pub use tokio::select;
