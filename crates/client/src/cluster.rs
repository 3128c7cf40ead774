//! The picture of the cluster: who its brokers are, who leads which partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::uuid::Uuid;
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::metadata::{MetadataResponse, MetadataResponseTopic};

use crate::error::ClientError;
use crate::pool::Address;

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerView {
    /// Its number.
    pub node: i32,
    /// Where it says that it listens.
    pub host: String,
    /// Where it says that it listens.
    pub port: u16,
    /// Its rack, where it has one.
    pub rack: Option<String>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// Number of the leading broker, -1 when there is none.
    pub leader: i32,
    /// Counts the changes of the leader; -1 where the broker does not tell.
    pub leader_epoch: i32,
    /// All replicas.
    pub replicas: Vec<i32>,
    /// The replicas that are in sync.
    pub in_sync: Vec<i32>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicView {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; zero where the broker has none.
    pub id: Uuid,
    /// Whether it belongs to the broker.
    pub is_internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionView>,
}

impl TopicView {
    /// Count of the partitions.
    #[must_use]
    pub fn partition_count(&self) -> i32 {
        base::cast::i32_of(self.partitions.len())
    }

    /// One partition.
    ///
    /// # Errors
    /// [`ClientError::UnknownPartition`].
    pub fn partition(&self, partition: i32) -> Result<&PartitionView, ClientError> {
        let found = usize::try_from(partition).ok().and_then(|at| self.partitions.get(at));
        found.ok_or_else(|| ClientError::UnknownPartition {
            topic: self.name.to_string(),
            partition,
        })
    }
}

/// The cluster, as far as it has been asked about.
#[derive(Debug, Clone, Default)]
pub struct ClusterView {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// Number of the broker that takes administrative requests, -1 when unknown.
    pub controller: i32,
    /// The brokers, by number.
    pub brokers: BTreeMap<i32, BrokerView>,
    /// The topics, by name.
    pub topics: BTreeMap<Arc<str>, Arc<TopicView>>,
}

impl ClusterView {
    /// The picture after an answer; topics that it does not name stay as they were, unless
    /// all topics were asked for. The errors of topics go to `refused`.
    pub(crate) fn updated(
        &self,
        response: MetadataResponse,
        is_complete: bool,
        refused: &mut BTreeMap<String, ErrorCode>,
    ) -> Self {
        let brokers = response.brokers.into_iter().map(|broker| {
            let port = u16::try_from(broker.port).unwrap_or(0);
            let node = broker.node_id;
            (node, BrokerView { node, host: broker.host, port, rack: broker.rack })
        });
        let mut topics = if is_complete { BTreeMap::new() } else { self.topics.clone() };
        for topic in response.topics {
            let Some(name) = topic.name.clone() else { continue };
            let code = ErrorCode(topic.error_code);
            if !code.is_none() && code != ErrorCode::LEADER_NOT_AVAILABLE {
                topics.remove(name.as_str());
                refused.insert(name, code);
                continue;
            }
            match topic_view(&name, topic) {
                Some(view) => drop(topics.insert(Arc::clone(&view.name), Arc::new(view))),
                None => drop(refused.insert(name, ErrorCode::LEADER_NOT_AVAILABLE)),
            }
        }
        Self {
            cluster_id: response.cluster_id,
            controller: response.controller_id,
            brokers: brokers.collect(),
            topics,
        }
    }

    pub(crate) fn address(&self, node: i32) -> Option<Address> {
        let broker = self.brokers.get(&node)?;
        Some(Address { node, host: broker.host.clone(), port: broker.port })
    }
}

/// The topic, unless its partitions are not numbered from 0 without a gap.
fn topic_view(name: &str, topic: MetadataResponseTopic) -> Option<TopicView> {
    let mut partitions = topic.partitions;
    partitions.sort_by_key(|partition| partition.partition_index);
    let numbered = partitions.iter().map(|partition| partition.partition_index);
    if partitions.is_empty() || !numbered.eq(0..i32::try_from(partitions.len()).ok()?) {
        return None;
    }
    let views = partitions.into_iter().map(|partition| PartitionView {
        leader: partition.leader_id,
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes,
        in_sync: partition.isr_nodes,
    });
    Some(TopicView {
        name: Arc::from(name),
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions: views.collect(),
    })
}

/// The error that a topic's code in the metadata means.
pub(crate) fn topic_error(topic: &str, code: ErrorCode) -> ClientError {
    if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
        return ClientError::UnknownTopic { topic: topic.to_owned() };
    }
    ClientError::refused(ApiKey::Metadata, topic, code)
}

#[cfg(test)]
mod tests {
    use protocol::messages::metadata::MetadataResponsePartition;

    use super::*;

    fn topic(name: &str, code: ErrorCode, partitions: &[i32]) -> MetadataResponseTopic {
        let partition = |index: &i32| MetadataResponsePartition {
            partition_index: *index,
            leader_id: 1,
            ..Default::default()
        };
        MetadataResponseTopic {
            name: Some(name.to_owned()),
            error_code: code.0,
            partitions: partitions.iter().map(partition).collect(),
            ..Default::default()
        }
    }

    fn answer(topics: Vec<MetadataResponseTopic>) -> MetadataResponse {
        MetadataResponse { topics, ..Default::default() }
    }

    #[test]
    fn a_partial_answer_keeps_the_other_topics_and_a_complete_one_does_not() {
        let mut refused = BTreeMap::new();
        let none = ErrorCode::NONE;
        let old = ClusterView::default();
        let old = old.updated(answer(vec![topic("a", none, &[0])]), true, &mut refused);
        let both = old.updated(answer(vec![topic("b", none, &[1, 0])]), false, &mut refused);
        assert_eq!(both.topics.len(), 2);
        assert_eq!(both.topics["b"].partition_count(), 2);
        let one = old.updated(answer(vec![topic("b", none, &[0])]), true, &mut refused);
        assert_eq!(one.topics.len(), 1);
        assert!(refused.is_empty());
    }

    #[test]
    fn unknown_topics_and_gaps_in_the_partitions_are_reported() {
        let mut refused = BTreeMap::new();
        let unknown = topic("a", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, &[]);
        let gap = topic("b", ErrorCode::NONE, &[0, 2]);
        let view = ClusterView::default().updated(answer(vec![unknown, gap]), false, &mut refused);
        assert!(view.topics.is_empty());
        assert_eq!(refused["a"], ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(refused["b"], ErrorCode::LEADER_NOT_AVAILABLE);
    }
}
