//! CreateTopics, key 19, versions 2 to 7.
//!
//! Topics are made one by one, each whole or not at all; an answer means that it is on disk and
//! that every client sees it. From version 5 on the answer carries partitions, replication and
//! configs, from 7 on the topic's id.

use std::collections::{BTreeMap, BTreeSet};

use base::uuid::Uuid;
use protocol::error_code::ErrorCode;
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};

use crate::broker::Broker;
use crate::config::{candidates, topic};
use crate::handler::Call;
use crate::metadata::machine::{MetadataEvent, Refusal};

pub(crate) async fn handle(
    broker: &Broker,
    _call: &Call,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<String> = request
        .topics
        .iter()
        .filter(|topic| !seen.insert(topic.name.clone()))
        .map(|topic| topic.name.clone())
        .collect();
    let mut response = CreateTopicsResponse::default();
    let mut reported = BTreeSet::new();
    for topic in request.topics {
        let name = topic.name.clone();
        if twice.contains(&name) {
            if reported.insert(name.clone()) {
                let refusal = Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name.");
                response.topics.push(refused(name, refusal));
            }
            continue;
        }
        response.topics.push(match create(broker, topic, request.validate_only).await {
            Ok(result) => result,
            Err(refusal) => refused(name, refusal),
        });
    }
    response
}

fn refused(name: String, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: refusal.code.0,
        error_message: Some(refusal.message),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..CreatableTopicResult::default()
    }
}

async fn create(
    broker: &Broker,
    wanted: CreatableTopic,
    validate_only: bool,
) -> Result<CreatableTopicResult, Refusal> {
    // A name that is wrong is told before anything else is.
    broker.metadata.with(|machine| machine.may_create(&wanted.name, 1))?;
    let partitions = partitions(broker, &wanted)?;
    let configs = configs(&wanted)?;
    broker.metadata.with(|machine| machine.may_create(&wanted.name, partitions))?;
    let mut result = CreatableTopicResult {
        name: wanted.name.clone(),
        error_message: None,
        num_partitions: partitions,
        replication_factor: 1,
        configs: Some(listed(broker, &configs)),
        ..CreatableTopicResult::default()
    };
    if validate_only {
        return Ok(result);
    }
    result.topic_id = broker.metadata.fresh_id();
    let event =
        MetadataEvent::CreateTopic { name: wanted.name, id: result.topic_id, partitions, configs };
    broker.metadata.change(event).await?;
    debug_assert_ne!(result.topic_id, Uuid::ZERO, "a fresh id is never zero");
    Ok(result)
}

/// Number of partitions, given or by assignment, after the replicas have been checked.
fn partitions(broker: &Broker, wanted: &CreatableTopic) -> Result<i32, Refusal> {
    let replicas = wanted.replication_factor;
    if !wanted.assignments.is_empty() {
        return assigned(broker, wanted);
    }
    if wanted.num_partitions == 0 || wanted.num_partitions < -1 {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message));
    }
    if replicas == 0 || replicas < -1 {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
    }
    if replicas > 1 {
        let message = format!(
            "Unable to replicate the partition {replicas} time(s): The target replication factor \
             of {replicas} cannot be reached because only 1 broker(s) are registered or some \
             brokers have all their log directories cordoned."
        );
        return Err(Refusal::new(ErrorCode::INVALID_REPLICATION_FACTOR, message));
    }
    Ok(match wanted.num_partitions {
        -1 => broker.options.partitions_default,
        given => given,
    })
}

fn assigned(broker: &Broker, wanted: &CreatableTopic) -> Result<i32, Refusal> {
    for (given, what) in [
        (wanted.replication_factor != -1, "replicationFactor"),
        (wanted.num_partitions != -1, "numPartitions"),
    ] {
        if given {
            let message = format!(
                "A manual partition assignment was specified, but {what} was not set to -1."
            );
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
    }
    let mut indexes: Vec<i32> = wanted.assignments.iter().map(|one| one.partition_index).collect();
    indexes.sort_unstable();
    let count = i32::try_from(indexes.len()).unwrap_or(i32::MAX);
    if !indexes.into_iter().eq(0..count) {
        let message = "partitions should be a consecutive 0-based integer sequence";
        return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    }
    for one in &wanted.assignments {
        check_replicas(broker, &one.broker_ids)?;
    }
    Ok(count)
}

/// Each partition has one replica, on this node.
pub(crate) fn check_replicas(broker: &Broker, brokers: &[i32]) -> Result<(), Refusal> {
    let invalid = |message: String| Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    match brokers {
        [] => {
            Err(invalid("The manual partition assignment includes an empty replica list.".into()))
        }
        [one] if *one == broker.options.node_id => Ok(()),
        many => match many.iter().find(|id| **id != broker.options.node_id) {
            Some(other) => Err(invalid(format!(
                "The manual partition assignment includes broker {other}, but no such broker is \
                 registered."
            ))),
            None => Err(invalid(format!(
                "The manual partition assignment includes the broker {} more than once.",
                broker.options.node_id
            ))),
        },
    }
}

fn configs(wanted: &CreatableTopic) -> Result<BTreeMap<String, String>, Refusal> {
    let invalid = |message: String| Refusal::new(ErrorCode::INVALID_CONFIG, message);
    let mut configs = BTreeMap::new();
    for config in &wanted.configs {
        let name = &config.name;
        let definition = topic::find(name)
            .ok_or_else(|| invalid(format!("Unknown topic config name: {name}")))?;
        let Some(value) = &config.value else {
            let message = format!("Null value not supported for topic configs: {name}");
            return Err(invalid(message));
        };
        definition.check(value).map_err(invalid)?;
        configs.insert(name.clone(), value.clone());
    }
    Ok(configs)
}

/// The configs that the topic has, for the answer.
fn listed(broker: &Broker, own: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs> {
    let list = |broker: &BTreeMap<String, String>| {
        topic::DEFINITIONS
            .iter()
            .filter_map(|definition| {
                candidates(definition, own, broker).into_iter().next().map(|first| {
                    CreatableTopicConfigs {
                        name: definition.name.to_owned(),
                        value: first.value,
                        read_only: false,
                        config_source: first.source,
                        is_sensitive: false,
                    }
                })
            })
            .collect()
    };
    broker.metadata.with(|machine| list(machine.broker_configs()))
}
