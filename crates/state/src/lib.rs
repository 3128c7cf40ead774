//! What the tasks of a pipeline remember: values by key, in memory or on disk.
//!
//! ```text
//! operator --change, remove--> store --changes--> changelog     within a transaction
//!                              store <--settle, roll_back-- slot    at its end
//! ```
//!
//! [`store`] is the contract of all stores and the choice of one, [`value`] what they keep, and
//! [`memory`] what all of them together may take.
//!
//! Invariants: what a transaction changed stays or goes as a whole; a store on disk says how much
//! of its changelog it holds, and never more than that; no store takes part in deciding what is
//! committed, so all of them may be lost.
//!
//! Non-obvious: nothing here knows a topic or a client. Whoever owns a store carries its changes
//! into a changelog, and back after a loss.
//!
//! What breaks without it: counts and windows would begin anew with each process, or memory would
//! end before the keys do.

pub mod limits;
pub mod memory;
pub mod store;
pub mod value;
