//! What tests of several crates share: the scenarios that every cluster must pass.
//!
//! What breaks without it: nobody would know that our broker and Apache Kafka answer our client
//! alike.

pub mod scenario;
