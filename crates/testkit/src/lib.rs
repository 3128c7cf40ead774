//! What tests of several crates share: the scenarios that every cluster must pass, a broker to
//! start and stop, a client of bytes.
//!
//! What breaks without it: nobody would know that our broker and Apache Kafka answer our client
//! alike.

pub mod broker;
pub mod scenario;
pub mod wire;
