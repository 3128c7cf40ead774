//! Transactions: what was written under a transactional id becomes visible at once, or never.
//!
//! [`machine`] decides, [`service`] writes what it wants written to `__transaction_state`, puts
//! the markers into the partitions and carries the answers back.

pub(crate) mod init;
pub(crate) mod machine;
#[cfg(test)]
mod machine_test;
pub(crate) mod record;
pub(crate) mod service;
pub(crate) mod txn;
