//! Consumer groups: who reads which partition, and how far.
//!
//! [`machine`] decides, [`service`] keeps the machine's time, writes what it wants written to
//! `__consumer_offsets` and carries the answers back.

pub(crate) mod classic;
pub(crate) mod join;
pub(crate) mod leave;
mod load;
pub(crate) mod machine;
#[cfg(test)]
mod machine_test;
pub(crate) mod offsets;
pub(crate) mod records;
pub(crate) mod service;
pub(crate) mod sync;
pub(crate) mod view;
