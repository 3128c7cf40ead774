//! Requests to a broker in memory.

use std::collections::BTreeSet;
use std::time::Duration;

use base::uuid::Uuid;
use broker::Running;
use protocol::error_code::ErrorCode;
use protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::end_txn::EndTxnRequest;
use protocol::messages::find_coordinator::FindCoordinatorRequest;
use protocol::messages::heartbeat::HeartbeatRequest;
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::list_groups::ListGroupsRequest;
use protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::record::ProducerIdentity;
use runtime::timer;
use testkit::wire::Wire;

use crate::folder::TOPIC;

/// Longest that a test waits for what must come: far more than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub(crate) async fn wire(running: &Running) -> Wire {
    Wire::new(running.connector().connect().await.expect("the broker accepts connections"))
}

/// Makes the topic whose offsets are committed, and those of both coordinators.
pub(crate) async fn make_topics(wire: &mut Wire) {
    let topic = CreatableTopic {
        name: TOPIC.to_owned(),
        num_partitions: 3,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    assert_eq!(wire.call(7, &request).await.topics[0].error_code, 0);
    for key_type in [0, 1] {
        let request = FindCoordinatorRequest {
            key: "any".to_owned(),
            key_type,
            ..FindCoordinatorRequest::default()
        };
        assert_eq!(wire.call(3, &request).await.error_code, 0);
    }
}

/// The id of a topic.
pub(crate) async fn topic_id(wire: &mut Wire, name: &str) -> Uuid {
    let topic =
        MetadataRequestTopic { name: Some(name.to_owned()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
    wire.call(12, &request).await.topics[0].topic_id
}

/// Commits an offset of the first partition.
pub(crate) async fn commit(wire: &mut Wire, group: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: -1,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: TOPIC.to_owned(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    let answer = wire.call(8, &request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{group}");
}

/// What is committed of a partition that no transaction is about to change: offset and metadata.
pub(crate) async fn fetched_at(
    wire: &mut Wire,
    group: &str,
    partition: i32,
) -> Result<(i64, String), ErrorCode> {
    let topic =
        OffsetFetchRequestTopic { name: TOPIC.to_owned(), partition_indexes: vec![partition] };
    let request = OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: Some(vec![topic]),
        require_stable: true,
        ..OffsetFetchRequest::default()
    };
    let answer = wire.call(7, &request).await;
    assert_eq!(answer.error_code, 0, "{group}");
    let found = &answer.topics[0].partitions[0];
    match ErrorCode(found.error_code) {
        ErrorCode::NONE => Ok((found.committed_offset, found.metadata.clone().unwrap_or_default())),
        code => Err(code),
    }
}

/// The committed offset of the first partition.
pub(crate) async fn fetched(wire: &mut Wire, group: &str) -> Result<i64, ErrorCode> {
    fetched_at(wire, group, 0).await.map(|(offset, _)| offset)
}

/// Waits until no transaction changes the group's offset any more; what it is then.
pub(crate) async fn settled(wire: &mut Wire, group: &str) -> i64 {
    let waited = timer::timeout(PATIENCE, async {
        loop {
            match fetched(wire, group).await {
                Ok(offset) => return offset,
                Err(ErrorCode::UNSTABLE_OFFSET_COMMIT) => {
                    timer::sleep(Duration::from_millis(1)).await;
                }
                Err(code) => panic!("{group}: {code}"),
            }
        }
    });
    waited.await.unwrap_or_else(|_| panic!("the transaction with offsets of {group} ends"))
}

/// The names of all groups.
pub(crate) async fn groups(wire: &mut Wire) -> BTreeSet<String> {
    let answer = wire.call(4, &ListGroupsRequest::default()).await;
    answer.groups.into_iter().map(|group| group.group_id).collect()
}

/// What a member is told when it says that it is there.
pub(crate) async fn beat(wire: &mut Wire, group: &str, generation: i32, member: &str) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id: generation,
        member_id: member.to_owned(),
        ..HeartbeatRequest::default()
    };
    ErrorCode(wire.call(3, &request).await.error_code)
}

/// Adds an offset of the first partition to a transaction that has announced its group.
pub(crate) async fn commit_in(
    wire: &mut Wire,
    (transactional_id, producer): (&str, ProducerIdentity),
    group: &str,
    offset: i64,
) -> ErrorCode {
    let partition = TxnOffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: -1,
        ..TxnOffsetCommitRequestPartition::default()
    };
    let topic = TxnOffsetCommitRequestTopic { name: TOPIC.to_owned(), partitions: vec![partition] };
    let request = TxnOffsetCommitRequest {
        transactional_id: transactional_id.to_owned(),
        group_id: group.to_owned(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        generation_id: -1,
        topics: vec![topic],
        ..TxnOffsetCommitRequest::default()
    };
    ErrorCode(wire.call(3, &request).await.topics[0].partitions[0].error_code)
}

/// Ends a transaction.
pub(crate) async fn end(
    wire: &mut Wire,
    (transactional_id, producer): (&str, ProducerIdentity),
    committed: bool,
) -> ErrorCode {
    let request = EndTxnRequest {
        transactional_id: transactional_id.to_owned(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed,
    };
    ErrorCode(wire.call(3, &request).await.error_code)
}

/// Takes a transactional id over.
pub(crate) async fn init(wire: &mut Wire, transactional_id: &str) -> ProducerIdentity {
    let request = InitProducerIdRequest {
        transactional_id: Some(transactional_id.to_owned()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    let answer = wire.call(4, &request).await;
    assert_eq!(answer.error_code, 0, "{transactional_id}");
    ProducerIdentity { id: answer.producer_id, epoch: answer.producer_epoch }
}
