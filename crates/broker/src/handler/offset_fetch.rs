//! OffsetFetch, key 9, versions 1 to 10: how far a group has read.
//!
//! From version 2 on null topics mean all; 7 adds the wish for stable offsets (KIP-447); 8 asks
//! for several groups; 10 names topics by id.

use base::uuid::Uuid;
use protocol::error_code::ErrorCode;
use protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};
use crate::group::offsets::{Committable, Fetch, Fetched, Place};
use crate::handler::Call;
use crate::metadata::OFFSETS_TOPIC;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if call.version < 8 {
        return handle_one(broker, call, request).await;
    }
    let mut groups = Vec::new();
    for group in request.groups {
        groups.push(fetch_group(broker, call, group, request.require_stable).await);
    }
    OffsetFetchResponse { groups, ..OffsetFetchResponse::default() }
}

/// Before version 8 there is one group, and its answer lies in other fields.
async fn handle_one(
    broker: &Broker,
    call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    let topics = request.topics.map(|topics| {
        let topic = |it: protocol::messages::offset_fetch::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics {
                name: it.name,
                topic_id: Uuid::ZERO,
                partition_indexes: it.partition_indexes,
            }
        };
        topics.into_iter().map(topic).collect()
    });
    let group = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..OffsetFetchRequestGroup::default()
    };
    let group = fetch_group(broker, call, group, request.require_stable).await;
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|it| OffsetFetchResponsePartition {
                partition_index: it.partition_index,
                committed_offset: it.committed_offset,
                committed_leader_epoch: it.committed_leader_epoch,
                metadata: it.metadata,
                error_code: it.error_code,
            })
            .collect(),
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

async fn fetch_group(
    broker: &Broker,
    call: &Call,
    group: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let mut answer = OffsetFetchResponseGroup {
        group_id: group.group_id.clone(),
        ..OffsetFetchResponseGroup::default()
    };
    if let Err(error) = broker.metadata.ensure_internal(OFFSETS_TOPIC).await {
        answer.error_code = error.0;
        return answer;
    }
    let (places, unknown) = places_of(broker, call, group.topics);
    let fetch = Fetch { group: group.group_id, places, require_stable };
    match broker.groups.ask(move |token| Event::Fetch(token, fetch)).await {
        Some(Reply::Fetched(fetched)) => {
            answer.topics = topics_of(broker, call, fetched);
            answer.topics.extend(unknown);
        }
        _ => answer.error_code = ErrorCode::COORDINATOR_NOT_AVAILABLE.0,
    }
    answer
}

/// The places asked for, and the answers for topics whose id nobody knows.
fn places_of(
    broker: &Broker,
    call: &Call,
    topics: Option<Vec<OffsetFetchRequestTopics>>,
) -> (Option<Vec<Place>>, Vec<OffsetFetchResponseTopics>) {
    let Some(topics) = topics else {
        return (None, Vec::new());
    };
    let mut places = Vec::new();
    let mut unknown = Vec::new();
    for topic in topics {
        let name = if call.version < 10 {
            Some(topic.name)
        } else {
            broker.partitions.topic_by_id(topic.topic_id).map(|logs| logs.name.clone())
        };
        let Some(name) = name else {
            let partitions = topic.partition_indexes.into_iter();
            unknown.push(OffsetFetchResponseTopics {
                topic_id: topic.topic_id,
                partitions: partitions
                    .map(|index| answer_of(index, Err(ErrorCode::UNKNOWN_TOPIC_ID)))
                    .collect(),
                ..OffsetFetchResponseTopics::default()
            });
            continue;
        };
        places.extend(topic.partition_indexes.into_iter().map(|index| (name.clone(), index)));
    }
    (Some(places), unknown)
}

fn topics_of(broker: &Broker, call: &Call, fetched: Fetched) -> Vec<OffsetFetchResponseTopics> {
    let mut topics: Vec<(String, OffsetFetchResponseTopics)> = Vec::new();
    for ((name, partition), found) in fetched {
        if topics.last().is_none_or(|(last, _)| *last != name) {
            let topic_id = broker.partitions.topic(&name).map_or(Uuid::ZERO, |logs| logs.id);
            let shown = if call.version < 10 { name.clone() } else { String::new() };
            let topic = OffsetFetchResponseTopics {
                name: shown,
                topic_id,
                ..OffsetFetchResponseTopics::default()
            };
            topics.push((name, topic));
        }
        if let Some((_, topic)) = topics.last_mut() {
            topic.partitions.push(answer_of(partition, found));
        }
    }
    topics.into_iter().map(|(_, topic)| topic).collect()
}

fn answer_of(
    partition_index: i32,
    found: Result<Option<Committable>, ErrorCode>,
) -> OffsetFetchResponsePartitions {
    let nothing = OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: 0,
    };
    match found {
        Ok(Some(value)) => OffsetFetchResponsePartitions {
            committed_offset: value.offset,
            committed_leader_epoch: value.leader_epoch,
            metadata: Some(value.metadata),
            ..nothing
        },
        Ok(None) => nothing,
        Err(error) => OffsetFetchResponsePartitions { error_code: error.0, ..nothing },
    }
}
