//! Tokio's landlord: every task, thread, timer, channel and socket of the house is rented here.
//!
//! No other crate names tokio. That keeps the scheduler replaceable, gives each task a name and an
//! owner, and leaves one place to look at when something blocks.
//!
//! A frame's way: chunks --[`stream`]--> socket (bytes, and files by sendfile) or memory pair
//! --> frame.
//!
//! Invariants: channels are bounded; a frame is whole or an error, and none is longer than its
//! reader allows; the two ends of a memory pair behave as two ends of a socket.
//!
//! What breaks without it: the simulator could not stand in for the network and the clock.

pub mod boot;
pub mod channel;
pub mod crew;
pub mod limits;
pub mod shutdown;
pub mod signal;
pub mod stream;
pub mod task;
pub mod thread;
pub mod timer;

pub use tokio::select;
