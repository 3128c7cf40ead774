//! What tests of several crates share: the scenarios that every cluster must pass, a broker to
//! start and stop, a client of bytes.
//!
//! A scenario is an async function of a [`scenario::Cluster`], which a test brings along and
//! names. It is never part of the binary.
//!
//! Invariants: a scenario makes its own topics and groups, so that all run side by side; what is
//! started is stopped by whoever started it; addresses are free ports of 127.0.0.1.
//!
//! What breaks without it: nobody would know that our broker and Apache Kafka answer our client
//! alike.

pub mod broker;
pub mod scenario;
pub mod torture;
pub mod wire;
