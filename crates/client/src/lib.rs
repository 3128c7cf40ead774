//! A client of Kafka's protocol: connections, administration, producers, consumers.
//!
//! [`Client`] holds what all others share: a pool of connections, the picture of the cluster, the
//! coordinators. [`Producer`] and [`TransactionalProducer`] collect records into batches and
//! deliver them in order; [`Consumer`] fetches whole batches and hands them on undecoded;
//! [`GroupConsumer`] adds a consumer group; [`Admin`] asks for the rest.
//!
//! Invariants: batches stay batches (nothing here looks at a record that it does not make);
//! records of one partition are delivered in the order in which they were appended, retries
//! included; a producer that was fenced never comes back by itself; no position is ever reset
//! silently.
//!
//! Non-obvious: requests are written by whoever asks, answers come on one task per connection, so
//! what runs there (`OnAnswer`) must not wait. Fetches and produces have lanes of their own,
//! because a broker answers the requests of one connection one after the other.
//!
//! What breaks without it: nothing could be put into the log or taken out of it; the pipeline,
//! the gateways and the command line all speak through it, in one process as over the network.

pub mod admin;
mod client;
pub mod cluster;
mod connection;
pub mod consumer;
pub mod error;
pub mod group;
pub mod limits;
pub mod options;
mod pool;
pub mod producer;
mod retry;
pub mod transaction;
mod versions;

pub use crate::admin::Admin;
pub use crate::client::Client;
pub use crate::consumer::Consumer;
pub use crate::error::ClientError;
pub use crate::group::GroupConsumer;
pub use crate::options::{Bootstrap, ClientOptions};
pub use crate::producer::Producer;
pub use crate::transaction::TransactionalProducer;
