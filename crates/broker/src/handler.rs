//! One file per API key: versions and behaviour in its header, one `handle`, tests with bytes.

pub(crate) mod add_offsets_to_txn;
pub(crate) mod add_partitions_to_txn;
pub(crate) mod api_versions;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_groups;
pub(crate) mod delete_records;
pub(crate) mod delete_topics;
pub(crate) mod describe_cluster;
pub(crate) mod describe_configs;
pub(crate) mod describe_groups;
pub(crate) mod end_txn;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod heartbeat;
pub(crate) mod incremental_alter_configs;
pub(crate) mod init_producer_id;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_groups;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod offset_commit;
pub(crate) mod offset_delete;
pub(crate) mod offset_fetch;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
pub(crate) mod resource;
pub(crate) mod sasl_authenticate;
pub(crate) mod sasl_handshake;
pub(crate) mod sync_group;
pub(crate) mod txn_offset_commit;

use std::sync::Arc;

use commitlog::Bound;
use protocol::error_code::ErrorCode;

use crate::partition::LEADER_EPOCH;

/// What a client without restrictions may do with a topic, as Kafka's bits: read, write, create,
/// delete, alter, describe, describe configs, alter configs.
pub(crate) const TOPIC_OPERATIONS: i32 = 0x0df8;

/// What a client without restrictions may do with the cluster: create, alter, describe, act for
/// the cluster, describe configs, alter configs, write idempotently.
pub(crate) const CLUSTER_OPERATIONS: i32 = 0x1fa0;

/// Nobody asked what the client may do.
pub(crate) const NO_OPERATIONS: i32 = i32::MIN;

/// How far a reader of this isolation level may see.
pub(crate) fn bound(isolation_level: i8) -> Bound {
    if isolation_level == 1 { Bound::LastStable } else { Bound::HighWatermark }
}

/// Compares the epoch that a client believes in with the leader's (KIP-320); -1 believes in none.
///
/// # Errors
/// UNKNOWN_LEADER_EPOCH or FENCED_LEADER_EPOCH.
pub(crate) fn check_leader_epoch(believed: i32) -> Result<(), ErrorCode> {
    match believed {
        -1 | LEADER_EPOCH => Ok(()),
        newer if newer > LEADER_EPOCH => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Err(ErrorCode::FENCED_LEADER_EPOCH),
    }
}

/// What a handler may know about the request beside its body.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Version of the request, and so of the answer.
    pub(crate) version: i16,
    /// What the client calls itself.
    pub(crate) client_id: Option<String>,
    /// The other end's address and port.
    pub(crate) peer: Arc<str>,
}

impl Call {
    /// The client's host in the form that Kafka shows, `/127.0.0.1`.
    pub(crate) fn host(&self) -> String {
        let host = self.peer.rsplit_once(':').map_or(&*self.peer, |(host, _)| host);
        format!("/{}", host.trim_matches(['[', ']']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_shown_as_kafka_shows_it() {
        let call = |peer: &str| Call { version: 0, client_id: None, peer: Arc::from(peer) };
        assert_eq!(call("127.0.0.1:5555").host(), "/127.0.0.1");
        assert_eq!(call("[::1]:5555").host(), "/::1");
        assert_eq!(call("memory").host(), "/memory");
    }
}
