//! What a group and a transactional producer do, and what they were told.

use std::collections::BTreeSet;

use bytes::Bytes;
use protocol::error_code::ErrorCode;
use protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::describe_groups::DescribeGroupsRequest;
use protocol::messages::end_txn::EndTxnRequest;
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use protocol::messages::leave_group::LeaveGroupRequest;
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::record::{BatchBuilder, BatchOptions, ProducerIdentity};
use protocol::wire::Records;

use crate::session::Session;

/// The topic that is written to, and whose offsets are committed.
pub(crate) const TOPIC: &str = "moves";
/// Its partitions.
pub(crate) const PARTITIONS: [i32; 2] = [0, 1];
/// The group that commits by itself.
pub(crate) const READERS: &str = "readers";
/// The group whose offsets are part of transactions.
pub(crate) const SUMS: &str = "sums";
/// The transactional id.
pub(crate) const WRITER: &str = "writer";
/// Records of a transaction in each partition.
pub(crate) const RECORDS: usize = 2;

/// How a transaction ends, as far as its producer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its end was not asked for.
    Open,
    CommitAsked,
    Committed,
    /// Its abort was asked for or acknowledged, or it was taken over.
    Aborted,
}

/// The generation that a member was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generation {
    pub(crate) id: i32,
    pub(crate) member: String,
    pub(crate) assignment: Bytes,
}

/// What was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) has_topic: bool,
    pub(crate) generation: Option<Generation>,
    /// The last offset that the group has committed, and the last that it tried to commit.
    pub(crate) committed: i64,
    pub(crate) tried: i64,
    /// Fates by the number of the transaction.
    pub(crate) fates: Vec<Fate>,
    /// Identities of the transactional id, the present one last.
    pub(crate) identities: Vec<ProducerIdentity>,
    /// Producer ids that were given to anybody.
    pub(crate) ids: BTreeSet<i64>,
    /// Whether an end was acknowledged and nothing was begun since.
    pub(crate) is_ended: bool,
    /// How commits without an answer turned out: `true` for those that took place.
    pub(crate) outcomes: BTreeSet<bool>,
}

fn done(code: i16) -> Option<()> {
    (code == 0).then_some(())
}

/// Goes on until the power goes, which any step may notice.
pub(crate) async fn run(session: &mut Session, told: &mut Told) -> Option<()> {
    make_topic(session, told).await?;
    join(session, told).await?;
    commit(session, told).await?;
    commit(session, told).await?;
    init(session, told).await?;
    let mut writer = Writer::of(told)?;
    writer.fill(session, told).await?;
    writer.end(session, told, true).await?;
    commit(session, told).await?;
    writer.fill(session, told).await?;
    writer.end(session, told, false).await?;
    // The third is left open; whoever comes with the same id ends it.
    writer.fill(session, told).await?;
    init(session, told).await?;
    let late = end(session, writer.producer, true).await?;
    assert!(is_fenced(late), "the old producer ends a transaction: {late}");
    fresh_id(session, told).await?;
    let mut writer = Writer::of(told)?;
    writer.fill(session, told).await?;
    writer.end(session, told, true).await?;
    // One that stays open.
    writer.fill(session, told).await
}

/// Whether this is what a producer is told after another one has taken its place.
pub(crate) fn is_fenced(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH)
}

async fn make_topic(session: &mut Session, told: &mut Told) -> Option<()> {
    let topic = CreatableTopic {
        name: TOPIC.to_owned(),
        num_partitions: 2,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let code = ErrorCode(session.ask(7, &request).await?.topics[0].error_code);
    assert!(!told.has_topic || code != ErrorCode::NONE, "the topic was lost");
    if code != ErrorCode::TOPIC_ALREADY_EXISTS {
        done(code.0)?;
    }
    told.has_topic = true;
    Some(())
}

/// Makes a group of one member, after those who were there before have left.
async fn join(session: &mut Session, told: &mut Told) -> Option<()> {
    let request = DescribeGroupsRequest {
        groups: vec![READERS.to_owned()],
        ..DescribeGroupsRequest::default()
    };
    let known = session.ask(5, &request).await?.groups.remove(0);
    told.generation = None;
    for member in known.members {
        let (group_id, member_id) = (READERS.to_owned(), member.member_id);
        let request = LeaveGroupRequest { group_id, member_id, ..LeaveGroupRequest::default() };
        done(session.ask(2, &request).await?.error_code)?;
    }
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), ..Default::default() };
    let request = JoinGroupRequest {
        group_id: READERS.to_owned(),
        session_timeout_ms: 60_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    };
    let joined = session.ask(3, &request).await?;
    done(joined.error_code)?;
    let assignment = Bytes::from(format!("assignment of {}", joined.generation_id));
    let request = SyncGroupRequest {
        group_id: READERS.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: joined.member_id.clone(),
            assignment: assignment.clone(),
        }],
        ..SyncGroupRequest::default()
    };
    let synced = session.ask(3, &request).await?;
    done(synced.error_code)?;
    assert_eq!(synced.assignment, assignment);
    let (id, member) = (joined.generation_id, joined.member_id);
    told.generation = Some(Generation { id, member, assignment });
    Some(())
}

async fn commit(session: &mut Session, told: &mut Told) -> Option<()> {
    let generation = told.generation.clone()?;
    told.tried += 1;
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: told.tried,
        ..OffsetCommitRequestPartition::default()
    };
    let request = OffsetCommitRequest {
        group_id: READERS.to_owned(),
        generation_id_or_member_epoch: generation.id,
        member_id: generation.member,
        topics: vec![OffsetCommitRequestTopic {
            name: TOPIC.to_owned(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    done(session.ask(7, &request).await?.topics[0].partitions[0].error_code)?;
    told.committed = told.tried;
    Some(())
}

/// Takes the transactional id over, which ends what its producer before has left open.
pub(crate) async fn init(session: &mut Session, told: &mut Told) -> Option<()> {
    let request = InitProducerIdRequest {
        transactional_id: Some(WRITER.to_owned()),
        transaction_timeout_ms: 600_000,
        ..InitProducerIdRequest::default()
    };
    told.is_ended = false;
    let answer = session.ask(4, &request).await?;
    done(answer.error_code)?;
    let new = ProducerIdentity { id: answer.producer_id, epoch: answer.producer_epoch };
    match told.identities.last() {
        Some(old) if old.id == new.id => {
            assert!(new.epoch > old.epoch, "{new:?} was given after {old:?}");
        }
        _ => assert!(told.ids.insert(new.id), "producer id {} was given twice", new.id),
    }
    told.identities.push(new);
    for fate in &mut told.fates {
        if *fate == Fate::Open {
            *fate = Fate::Aborted;
        }
    }
    Some(())
}

/// An id for a producer without transactions.
pub(crate) async fn fresh_id(session: &mut Session, told: &mut Told) -> Option<()> {
    let request =
        InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
    let answer = session.ask(4, &request).await?;
    done(answer.error_code)?;
    let is_new = told.ids.insert(answer.producer_id);
    assert!(is_new, "producer id {} was given twice", answer.producer_id);
    Some(())
}

/// Ends a transaction, if the coordinator lets this producer.
pub(crate) async fn end(
    session: &mut Session,
    producer: ProducerIdentity,
    committed: bool,
) -> Option<ErrorCode> {
    let request = EndTxnRequest {
        transactional_id: WRITER.to_owned(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed,
    };
    Some(ErrorCode(session.ask(3, &request).await?.error_code))
}

/// Adds both partitions to the transaction, if the coordinator lets this producer.
pub(crate) async fn add(session: &mut Session, producer: ProducerIdentity) -> Option<ErrorCode> {
    let topic = AddPartitionsToTxnTopic { name: TOPIC.to_owned(), partitions: PARTITIONS.to_vec() };
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: WRITER.to_owned(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![topic],
        ..AddPartitionsToTxnRequest::default()
    };
    let answer = session.ask(3, &request).await?;
    let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
    Some(ErrorCode(results[0].partition_error_code))
}

/// The value of a record of the transaction of this number.
pub(crate) fn value(number: usize, partition: i32, nth: usize) -> String {
    format!("{number}/{partition}/{nth}")
}

/// The offset that the transaction of this number commits for a partition.
pub(crate) fn offset(number: usize, partition: i32) -> i64 {
    let number = i64::try_from(number).expect("there are few transactions");
    number * 10 + i64::from(partition)
}

/// A transactional producer.
struct Writer {
    producer: ProducerIdentity,
    sequence: i32,
}

impl Writer {
    fn of(told: &Told) -> Option<Self> {
        Some(Self { producer: *told.identities.last()?, sequence: 0 })
    }

    /// A transaction with records in both partitions and offsets, without its end.
    async fn fill(&mut self, session: &mut Session, told: &mut Told) -> Option<()> {
        let number = told.fates.len();
        told.fates.push(Fate::Open);
        told.is_ended = false;
        done(add(session, self.producer).await?.0)?;
        for nth in 0..RECORDS {
            for partition in PARTITIONS {
                let value = value(number, partition, nth);
                done(store(session, self.producer, self.sequence, (partition, &value)).await?.0)?;
            }
            self.sequence += 1;
        }
        let request = AddOffsetsToTxnRequest {
            transactional_id: WRITER.to_owned(),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            group_id: SUMS.to_owned(),
        };
        done(session.ask(3, &request).await?.error_code)?;
        self.offsets(session, number).await
    }

    async fn offsets(&self, session: &mut Session, number: usize) -> Option<()> {
        let partition = |partition_index| TxnOffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset(number, partition_index),
            ..TxnOffsetCommitRequestPartition::default()
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: WRITER.to_owned(),
            group_id: SUMS.to_owned(),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: TOPIC.to_owned(),
                partitions: PARTITIONS.map(partition).to_vec(),
            }],
            ..TxnOffsetCommitRequest::default()
        };
        let answer = session.ask(3, &request).await?;
        answer.topics[0].partitions.iter().try_for_each(|it| done(it.error_code))
    }

    async fn end(&self, session: &mut Session, told: &mut Told, commit: bool) -> Option<()> {
        let last = told.fates.last_mut()?;
        *last = if commit { Fate::CommitAsked } else { Fate::Aborted };
        done(end(session, self.producer, commit).await?.0)?;
        if commit {
            *last = Fate::Committed;
        }
        told.is_ended = true;
        Some(())
    }
}

/// Writes one record of a transaction to a partition.
pub(crate) async fn store(
    session: &mut Session,
    producer: ProducerIdentity,
    base_sequence: i32,
    (index, value): (i32, &str),
) -> Option<ErrorCode> {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer,
        base_sequence,
        transactional: true,
        ..BatchOptions::default()
    });
    builder.append(-1, None, Some(value.as_bytes()), &[]);
    let records = Some(Records::from(builder.build().expect("the batch is small")));
    let request = ProduceRequest {
        transactional_id: Some(WRITER.to_owned()),
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: TOPIC.to_owned(),
            partition_data: vec![PartitionProduceData { index, records }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let answer = session.ask(9, &request).await?;
    Some(ErrorCode(answer.responses[0].partition_responses[0].error_code))
}
