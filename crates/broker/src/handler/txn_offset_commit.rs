//! TxnOffsetCommit, key 28, versions 0 to 5: offsets that become visible with a transaction.
//!
//! Up to version 4 the group must have been added to the transaction; version 5 adds it by itself.
//! From version 3 on the sender may name the member that it is (KIP-447).

use protocol::error_code::ErrorCode;
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use protocol::partitioner::partition_for_name;
use protocol::record::ProducerIdentity;

use super::init_producer_id::{abortable_as, fenced_as};
use super::offset_commit::{Offered, committed, error_of, placed};
use crate::broker::Broker;
use crate::group::offsets::{Commit, Committed};
use crate::handler::Call;
use crate::metadata::OFFSETS_TOPIC;
use crate::transaction::machine::Add;

/// From this version on clients know errors that end the transaction and nothing else (KIP-890).
const ABORTABLE_SINCE: i16 = 4;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let producer = ProducerIdentity { id: request.producer_id, epoch: request.producer_epoch };
    let offered = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| Offered {
            topic: &topic.name,
            partition: partition.partition_index,
            offset: partition.committed_offset,
            leader_epoch: partition.committed_leader_epoch,
            metadata: partition.committed_metadata.as_deref(),
        })
    });
    let (offsets, mut errors) = placed(broker, offered);
    let admitted = admit(broker, call, &request, producer).await;
    if let Err(error) = admitted {
        errors.extend(offsets.into_iter().map(|(place, _)| (place, error)));
        return response(&request.topics, &errors);
    }
    let commit = Commit {
        group: request.group_id,
        generation: request.generation_id,
        member: request.member_id,
        instance: request.group_instance_id,
        producer: Some(producer),
        offsets,
    };
    errors.extend(committed(broker, commit).await);
    response(&request.topics, &errors)
}

/// The group's partition must be part of the transaction, or nobody would ever end it there.
async fn admit(
    broker: &Broker,
    call: &Call,
    request: &TxnOffsetCommitRequest,
    producer: ProducerIdentity,
) -> Result<(), ErrorCode> {
    // Plain commits may still have no group, for the sake of old clients; these never could.
    if request.group_id.is_empty() {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    let partitions = broker.metadata.ensure_internal(OFFSETS_TOPIC).await?;
    let place = (OFFSETS_TOPIC.to_owned(), partition_for_name(&request.group_id, partitions));
    let add = Add {
        transactional_id: request.transactional_id.clone(),
        producer,
        places: vec![place],
        verify_only: call.version < 5,
    };
    // Clients of this request know no fenced producer, in any version.
    let error = fenced_as(false, broker.transactions.add(add).await);
    abortable_as(call.version >= ABORTABLE_SINCE, error).ok()
}

fn response(topics: &[TxnOffsetCommitRequestTopic], errors: &Committed) -> TxnOffsetCommitResponse {
    let topics = topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let index = partition.partition_index;
                let error = error_of(errors, &topic.name, index);
                TxnOffsetCommitResponsePartition { partition_index: index, error_code: error.0 }
            })
            .collect(),
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..TxnOffsetCommitResponse::default() }
}
