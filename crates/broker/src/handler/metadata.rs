//! Metadata, key 3, versions 0 to 13.
//!
//! Brokers, cluster and topics: all of them, or those asked for by name or (from version 12 on) by
//! id. A missing topic is made when both the request and the broker allow it, and is there at once.
//! Version 0 asks for all topics with an empty list, later ones with null; 8 adds what the client
//! may do, 10 topic ids, 11 drops the cluster's operations, 13 a top-level error.

use std::sync::Arc;

use base::uuid::Uuid;
use protocol::error_code::ErrorCode;
use protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};

use crate::broker::Broker;
use crate::handler::{CLUSTER_OPERATIONS, Call, NO_OPERATIONS, TOPIC_OPERATIONS};
use crate::metadata::machine::{MetadataEvent, check_name};
use crate::metadata::{Topic, is_internal};
use crate::partition::LEADER_EPOCH;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: MetadataRequest,
) -> MetadataResponse {
    let operations = operations(request.include_topic_authorized_operations, TOPIC_OPERATIONS);
    let mut topics = Vec::new();
    match request.topics {
        Some(wanted) if call.version > 0 || !wanted.is_empty() => {
            for topic in wanted {
                topics.push(one(broker, topic, request.allow_auto_topic_creation).await);
            }
        }
        _ => topics.extend(broker.metadata.topics().iter().map(|topic| found(broker, topic))),
    }
    for topic in &mut topics {
        if topic.name.is_some() {
            topic.topic_authorized_operations = operations;
        }
    }
    let (host, port) = &broker.advertised;
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: broker.options.node_id,
            host: host.clone(),
            port: i32::from(*port),
            rack: None,
        }],
        cluster_id: Some(broker.cluster_id.clone()),
        controller_id: broker.options.node_id,
        topics,
        cluster_authorized_operations: self::operations(
            request.include_cluster_authorized_operations,
            CLUSTER_OPERATIONS,
        ),
        ..MetadataResponse::default()
    }
}

fn operations(wanted: bool, all: i32) -> i32 {
    if wanted { all } else { NO_OPERATIONS }
}

async fn one(broker: &Broker, wanted: MetadataRequestTopic, create: bool) -> MetadataResponseTopic {
    // The id wins where there is one: the Java client sends an empty name beside it.
    let name = wanted.name.filter(|_| wanted.topic_id.is_zero());
    let Some(name) = name else {
        return match broker.metadata.topic_by_id(wanted.topic_id) {
            Some(topic) => found(broker, &topic),
            None => missing(None, wanted.topic_id, ErrorCode::UNKNOWN_TOPIC_ID),
        };
    };
    if let Some(topic) = broker.metadata.topic(&name) {
        return found(broker, &topic);
    }
    if let Err(refusal) = check_name(&name) {
        return missing(Some(name), Uuid::ZERO, refusal.code);
    }
    if !create || !broker.options.auto_create_topics {
        return missing(Some(name), Uuid::ZERO, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    match make(broker, &name).await {
        Ok(()) => match broker.metadata.topic(&name) {
            Some(topic) => found(broker, &topic),
            None => missing(Some(name), Uuid::ZERO, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        },
        Err(code) => missing(Some(name), Uuid::ZERO, code),
    }
}

async fn make(broker: &Broker, name: &str) -> Result<(), ErrorCode> {
    if is_internal(name) {
        return broker.metadata.ensure_internal(name).await.map(|_| ());
    }
    let event = MetadataEvent::CreateTopic {
        name: name.to_owned(),
        id: broker.metadata.fresh_id(),
        partitions: broker.options.partitions_default,
        configs: std::collections::BTreeMap::new(),
    };
    match broker.metadata.change(event).await {
        Err(refusal) if refusal.code != ErrorCode::TOPIC_ALREADY_EXISTS => Err(refusal.code),
        _ => Ok(()),
    }
}

fn found(broker: &Broker, topic: &Arc<Topic>) -> MetadataResponseTopic {
    let node = broker.options.node_id;
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: node,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: vec![node],
        isr_nodes: vec![node],
        ..MetadataResponsePartition::default()
    };
    MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: topic.is_internal(),
        partitions: (0..topic.partitions).map(partition).collect(),
        topic_authorized_operations: NO_OPERATIONS,
        ..MetadataResponseTopic::default()
    }
}

fn missing(name: Option<String>, topic_id: Uuid, code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.0,
        is_internal: name.as_deref().is_some_and(is_internal),
        name,
        topic_id,
        topic_authorized_operations: NO_OPERATIONS,
        ..MetadataResponseTopic::default()
    }
}
