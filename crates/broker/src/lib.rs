//! The broker: Kafka's wire protocol over the commit log, one node.
//!
//! A frame's way: `connection` reads it, `dispatch` decodes it and picks the handler, `handler/*`
//! (one file per API key) answers from `metadata`, `partition` and the coordinators; what is to be
//! written goes through the flusher's queue and comes back once it is on disk.
//!
//! Invariants: answers leave a connection in the order of its requests; nothing is acknowledged
//! before the group commit that holds it; a reader never sees unflushed bytes; every queue has a
//! limit from `limits` and what is full pushes back.
//!
//! Non-obvious: a Produce is handed to the log when it is read, not when the answers before it
//! have been sent, so that one connection can fill a group commit. Every other request starts when
//! those before it on its connection have been answered, as in Kafka.
//!
//! What breaks without it: nobody could reach the log.

mod broker;
mod config;
mod connection;
mod coordinator;
mod dispatch;
pub mod error;
mod folder;
mod group;
mod handler;
pub mod limits;
mod metadata;
pub mod options;
mod partition;
mod relocation;
mod running;
mod store;
mod sweeper;
mod traffic;
mod transaction;
pub mod view;
mod watch;

pub use crate::error::Error;
pub use crate::options::{BrokerOptions, Durability};
pub use crate::running::Running;
