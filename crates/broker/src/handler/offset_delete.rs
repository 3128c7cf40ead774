//! OffsetDelete, key 47, version 0: forgets offsets of topics that no member reads.

use std::collections::BTreeMap;

use protocol::error_code::ErrorCode;
use protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};
use crate::group::offsets::{Committed, OffsetDelete};

pub(crate) async fn handle(broker: &Broker, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let mut places = Vec::new();
    let mut unknown = Committed::new();
    for topic in request.topics {
        for partition in topic.partitions {
            let place = (topic.name.clone(), partition.partition_index);
            match broker.partitions.find(&place.0, place.1) {
                Ok(_) => places.push(place),
                Err(error) => unknown.push((place, error)),
            }
        }
    }
    let delete = OffsetDelete { group: request.group_id, places };
    let reply = broker.groups.ask(move |token| Event::OffsetDelete(token, delete)).await;
    let done = match reply {
        Some(Reply::OffsetsDeleted(Ok(done))) => done,
        Some(Reply::OffsetsDeleted(Err(error))) => return refused(error),
        _ => return refused(ErrorCode::COORDINATOR_NOT_AVAILABLE),
    };
    let mut topics: BTreeMap<String, Vec<OffsetDeleteResponsePartition>> = BTreeMap::new();
    for ((topic, partition_index), error) in done.into_iter().chain(unknown) {
        let answer = OffsetDeleteResponsePartition { partition_index, error_code: error.0 };
        topics.entry(topic).or_default().push(answer);
    }
    let topics = topics.into_iter();
    OffsetDeleteResponse {
        topics: topics
            .map(|(name, partitions)| OffsetDeleteResponseTopic { name, partitions })
            .collect(),
        ..OffsetDeleteResponse::default()
    }
}

fn refused(error: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse { error_code: error.0, ..OffsetDeleteResponse::default() }
}
