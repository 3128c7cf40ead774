//! The cluster's metadata: topics, ids, partition counts, configs, producer-id blocks.
//!
//! Truth is the log `__cluster_metadata-0`, an append-only list of versioned records (`record`).
//! `machine` decides and holds what the records add up to, `service` is the one task that writes.
//! Everybody else reads through [`Metadata`], under a short lock.

pub(crate) mod machine;
pub(crate) mod record;
pub(crate) mod service;

use std::collections::BTreeMap;

use base::uuid::Uuid;

pub(crate) use service::Metadata;

/// Topic of consumer groups' offsets and members.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Topic of transactions' states.
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Name of the log that holds the metadata; no topic, so that no client sees it.
pub(crate) const METADATA_LOG: &str = "__cluster_metadata-0";

/// A topic as the records left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: String,
    /// Its id; a topic of the same name made later has another.
    pub(crate) id: Uuid,
    /// Number of partitions.
    pub(crate) partitions: i32,
    /// What was set for it alone.
    pub(crate) configs: BTreeMap<String, String>,
}

impl Topic {
    /// Whether it is one of Kafka's own topics.
    pub(crate) fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }
}

/// Whether this is the name of one of Kafka's own topics.
pub(crate) fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC || name == TRANSACTIONS_TOPIC
}
