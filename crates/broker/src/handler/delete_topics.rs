//! DeleteTopics, key 20, versions 1 to 6.
//!
//! By name, from version 6 on also by id. An answer means that no client sees the topic any more
//! and that its files bear names which no start opens again; they are unlinked a little later.

use std::collections::BTreeMap;

use base::uuid::Uuid;
use protocol::error_code::ErrorCode;
use protocol::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use crate::broker::Broker;
use crate::handler::Call;
use crate::metadata::machine::{MetadataEvent, Refusal};

pub(crate) async fn handle(
    broker: &Broker,
    _call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState { name: Some(name), topic_id: Uuid::ZERO };
    let wanted: Vec<DeleteTopicState> =
        request.topics.into_iter().chain(request.topic_names.into_iter().map(by_name)).collect();
    let mut times = BTreeMap::new();
    for topic in &wanted {
        *times.entry((topic.name.clone(), topic.topic_id)).or_insert(0) += 1;
    }
    let mut response = DeleteTopicsResponse::default();
    for topic in wanted {
        let (name, topic_id) = (topic.name.clone(), topic.topic_id);
        // What is named twice is refused once, and stays.
        let outcome = match times.remove(&(name.clone(), topic_id)) {
            Some(1) => delete(broker, topic).await,
            Some(_) => {
                let what = if name.is_some() { "name" } else { "id" };
                let message = format!("Duplicate topic {what}.");
                Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
            }
            None => continue,
        };
        response.responses.push(match outcome {
            Ok((name, topic_id)) => DeletableTopicResult {
                name: Some(name),
                topic_id,
                ..DeletableTopicResult::default()
            },
            Err(refusal) => DeletableTopicResult {
                name,
                topic_id,
                error_code: refusal.code.0,
                error_message: Some(refusal.message),
            },
        });
    }
    response
}

async fn delete(broker: &Broker, topic: DeleteTopicState) -> Result<(String, Uuid), Refusal> {
    let found = match (&topic.name, topic.topic_id) {
        (Some(_), id) if !id.is_zero() => {
            let message = "You may not specify both topic name and topic id.";
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
        (None, Uuid::ZERO) => {
            let message = "Neither topic name nor id were specified.";
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        }
        (Some(name), _) => broker.metadata.topic(name).ok_or_else(|| {
            let message = "This server does not host this topic-partition.";
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        })?,
        (None, id) => broker.metadata.topic_by_id(id).ok_or_else(|| {
            let message = "This server does not host this topic ID.";
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, message)
        })?,
    };
    broker.metadata.change(MetadataEvent::DeleteTopic { id: found.id }).await?;
    Ok((found.name.clone(), found.id))
}
