//! CreatePartitions, key 37, versions 0 to 3.
//!
//! The number wanted in all; assignments, where given, must name this node for each new partition.

use std::collections::BTreeSet;

use protocol::error_code::ErrorCode;
use protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use crate::broker::Broker;
use crate::handler::Call;
use crate::handler::create_topics::check_replicas;
use crate::metadata::machine::{MetadataEvent, Refusal};

pub(crate) async fn handle(
    broker: &Broker,
    _call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut response = CreatePartitionsResponse::default();
    let mut seen = BTreeSet::new();
    for topic in request.topics {
        let name = topic.name.clone();
        let outcome = if seen.insert(name.clone()) {
            grow(broker, topic, request.validate_only).await
        } else {
            let message = "Duplicate topic in request.";
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
        };
        let refusal = outcome.err();
        response.results.push(CreatePartitionsTopicResult {
            name,
            error_code: refusal.as_ref().map_or(0, |refusal| refusal.code.0),
            error_message: refusal.map(|refusal| refusal.message),
        });
    }
    response
}

async fn grow(
    broker: &Broker,
    topic: CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refusal> {
    let before = broker.metadata.with(|machine| {
        machine.may_grow(&topic.name, topic.count)?;
        Ok::<i32, Refusal>(machine.topic(&topic.name).map_or(0, |topic| topic.partitions))
    })?;
    if let Some(assignments) = &topic.assignments {
        let more = usize::try_from(topic.count - before).unwrap_or(0);
        if assignments.len() != more {
            let message = format!(
                "Attempted to add {more} additional partition(s), but only {} assignment(s) were \
                 specified.",
                assignments.len()
            );
            return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        }
        for assignment in assignments {
            check_replicas(broker, &assignment.broker_ids)?;
        }
    }
    if validate_only {
        return Ok(());
    }
    let event = MetadataEvent::AddPartitions { name: topic.name, count: topic.count };
    broker.metadata.change(event).await.map(|_| ())
}
