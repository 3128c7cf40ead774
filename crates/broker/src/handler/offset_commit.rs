//! OffsetCommit, key 8, versions 2 to 10: a group has read this far.
//!
//! Version 10 names topics by id. The retention time of versions 2 to 4 is not looked at, as in
//! Kafka since offsets live as long as their group.

use protocol::error_code::ErrorCode;
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};
use crate::group::offsets::{Commit, Committable, Committed, Place};
use crate::handler::Call;
use crate::metadata::OFFSETS_TOPIC;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let named: Vec<Option<String>> =
        request.topics.iter().map(|topic| name_of(broker, call, topic)).collect();
    let offered = request.topics.iter().zip(&named).flat_map(|(topic, name)| {
        topic.partitions.iter().map(|partition| Offered {
            topic: name.as_deref().unwrap_or_default(),
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref(),
        })
    });
    let (offsets, mut errors) = placed(broker, offered);
    let commit = Commit {
        group: request.group_id,
        generation: request.generation_id_or_member_epoch,
        member: request.member_id,
        instance: request.group_instance_id,
        producer: None,
        offsets,
    };
    errors.extend(committed(broker, commit).await);
    response(call, &request.topics, &named, &errors)
}

/// A committed offset as a request has it, plain or transactional.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Option<&'a str>,
}

/// The offsets whose partitions are there, to be committed now, and the errors of the others.
pub(super) fn placed<'a>(
    broker: &Broker,
    offered: impl Iterator<Item = Offered<'a>>,
) -> (Vec<(Place, Committable)>, Committed) {
    let commit_timestamp_ms = broker.clock.unix_ms();
    let mut offsets = Vec::new();
    let mut errors = Committed::new();
    for one in offered {
        let place = (one.topic.to_owned(), one.partition);
        if let Err(error) = broker.partitions.find(one.topic, one.partition) {
            errors.push((place, error));
            continue;
        }
        let value = Committable {
            offset: one.offset,
            leader_epoch: one.leader_epoch,
            metadata: one.metadata.unwrap_or_default().to_owned(),
            commit_timestamp_ms,
        };
        offsets.push((place, value));
    }
    (offsets, errors)
}

/// Commits and tells the error of each place, also when the coordinator is not there.
pub(super) async fn committed(broker: &Broker, commit: Commit) -> Committed {
    let places: Vec<Place> = commit.offsets.iter().map(|(place, _)| place.clone()).collect();
    let every = |error| places.iter().map(|place| (place.clone(), error)).collect();
    if let Err(error) = broker.metadata.ensure_internal(OFFSETS_TOPIC).await {
        return every(error);
    }
    match broker.groups.ask(move |token| Event::Commit(token, commit)).await {
        Some(Reply::Committed(committed)) => committed,
        _ => every(ErrorCode::COORDINATOR_NOT_AVAILABLE),
    }
}

/// The error of a place.
pub(super) fn error_of(errors: &Committed, topic: &str, partition: i32) -> ErrorCode {
    let mut errors = errors.iter();
    let found = errors.find(|(place, _)| place.0 == topic && place.1 == partition);
    found.map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |(_, error)| *error)
}

fn name_of(broker: &Broker, call: &Call, topic: &OffsetCommitRequestTopic) -> Option<String> {
    if call.version < 10 {
        return Some(topic.name.clone());
    }
    broker.partitions.topic_by_id(topic.topic_id).map(|logs| logs.name.clone())
}

fn response(
    call: &Call,
    topics: &[OffsetCommitRequestTopic],
    named: &[Option<String>],
    errors: &Committed,
) -> OffsetCommitResponse {
    let topics = topics.iter().zip(named).map(|(topic, name)| OffsetCommitResponseTopic {
        name: if call.version < 10 { topic.name.clone() } else { String::new() },
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let index = partition.partition_index;
                let error = match name {
                    Some(name) => error_of(errors, name, index),
                    None => ErrorCode::UNKNOWN_TOPIC_ID,
                };
                OffsetCommitResponsePartition { partition_index: index, error_code: error.0 }
            })
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}
