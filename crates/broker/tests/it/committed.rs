//! Readers of committed records: what they see, what they wait for, what they are told to skip.

use std::time::Duration;

use bytes::Bytes;
use protocol::error_code::ErrorCode;
use protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use protocol::messages::end_txn::EndTxnRequest;
use protocol::messages::fetch::{FetchRequest, PartitionData};
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::record::{BatchBuilder, BatchOptions, ProducerIdentity};
use runtime::timer;
use testkit::broker::TestBroker;
use testkit::wire::Wire;

use crate::fetching::{bases, fetch, only};
use crate::{batch, make, produce, run, store};

/// Longest that a test waits for what must come: far more than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A transactional producer made of requests.
struct Writer {
    wire: Wire,
    producer: ProducerIdentity,
    sequence: i32,
}

impl Writer {
    async fn new(mut wire: Wire) -> Self {
        let request = InitProducerIdRequest {
            transactional_id: Some("writer".to_owned()),
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        let answer = timer::timeout(PATIENCE, async {
            loop {
                let answer = wire.call(4, &request).await;
                if !ErrorCode(answer.error_code).is_retriable() {
                    break answer;
                }
            }
        });
        let answer = answer.await.expect("the coordinator answers in time");
        assert_eq!(answer.error_code, 0);
        let producer = ProducerIdentity { id: answer.producer_id, epoch: answer.producer_epoch };
        Self { wire, producer, sequence: 0 }
    }

    fn records(&mut self, value: &str) -> Bytes {
        let now = base::clock::Clock::unix_ms(&base::clock::SystemClock::new());
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: self.producer,
            base_sequence: self.sequence,
            transactional: true,
            ..BatchOptions::default()
        });
        builder.append(now, None, Some(value.as_bytes()), &[]);
        self.sequence += 1;
        builder.build().expect("the batch is small")
    }

    /// Adds partition 0 of the topic to the transaction and writes there.
    async fn write(&mut self, topic: &str, value: &str) {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: "writer".to_owned(),
            v3_and_below_producer_id: self.producer.id,
            v3_and_below_producer_epoch: self.producer.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: topic.to_owned(),
                partitions: vec![0],
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        let code = timer::timeout(PATIENCE, async {
            loop {
                let answer = self.wire.call(3, &request).await;
                let topic = &answer.results_by_topic_v3_and_below[0];
                let code = ErrorCode(topic.results_by_partition[0].partition_error_code);
                // The transaction before this one may still be ending.
                if code != ErrorCode::CONCURRENT_TRANSACTIONS {
                    break code;
                }
            }
        });
        assert_eq!(code.await, Ok(ErrorCode::NONE));
        let records = self.records(value);
        assert_eq!(self.store(topic, records).await, ErrorCode::NONE);
    }

    async fn store(&mut self, topic: &str, records: Bytes) -> ErrorCode {
        let mut request = produce(topic, -1, Some(records));
        request.transactional_id = Some("writer".to_owned());
        let answer = self.wire.call(9, &request).await;
        ErrorCode(answer.responses[0].partition_responses[0].error_code)
    }

    async fn end(&mut self, committed: bool) {
        let request = EndTxnRequest {
            transactional_id: "writer".to_owned(),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            committed,
        };
        assert_eq!(self.wire.call(3, &request).await.error_code, 0);
    }
}

fn committed(topic: &str, from: i64, max_wait_ms: i32) -> FetchRequest {
    FetchRequest { isolation_level: 1, ..fetch(topic, from, max_wait_ms) }
}

async fn answer(wire: &mut Wire) -> PartitionData {
    let answered = timer::timeout(PATIENCE, wire.receive::<FetchRequest>(4)).await;
    only(answered.expect("the long poll ends in time").1)
}

#[test]
fn a_long_poll_for_committed_records_ends_with_the_transaction() {
    run(async {
        let broker = TestBroker::start().await;
        let mut reader = Wire::new(broker.connect().await);
        make(&mut reader, "t", 1, &[]).await;
        let mut writer = Writer::new(Wire::new(broker.connect().await)).await;
        reader.send(4, &committed("t", 0, 60_000)).await;
        writer.write("t", "a").await;
        let mut other = Wire::new(broker.connect().await);
        // Everybody else sees it, and what follows waits behind it.
        store(&mut other, "t", batch(&["b"])).await;
        let open = only(other.call(4, &committed("t", 0, 0)).await);
        assert_eq!((open.high_watermark, open.last_stable_offset), (2, 0));
        assert_eq!(bases(&open), Vec::<i64>::new());
        assert_eq!(bases(&only(other.call(4, &fetch("t", 0, 0)).await)), [0, 1]);
        writer.end(true).await;
        let seen = answer(&mut reader).await;
        assert_eq!(bases(&seen), [0, 1, 2]);
        assert_eq!((seen.last_stable_offset, seen.aborted_transactions), (3, Some(vec![])));
        broker.stop().await;
    });
}

#[test]
fn an_aborted_transaction_is_named_to_those_who_must_skip_it() {
    run(async {
        let broker = TestBroker::start().await;
        let mut reader = Wire::new(broker.connect().await);
        make(&mut reader, "t", 1, &[]).await;
        let mut writer = Writer::new(Wire::new(broker.connect().await)).await;
        store(&mut reader, "t", batch(&["before"])).await;
        writer.write("t", "undone").await;
        reader.send(4, &committed("t", 1, 60_000)).await;
        writer.end(false).await;
        let seen = answer(&mut reader).await;
        assert_eq!(bases(&seen), [1, 2]);
        let aborted = seen.aborted_transactions.unwrap();
        let named: Vec<_> = aborted.iter().map(|one| (one.producer_id, one.first_offset)).collect();
        assert_eq!(named, [(writer.producer.id, 1)]);
        let all = only(reader.call(4, &fetch("t", 1, 0)).await);
        assert_eq!((bases(&all), all.aborted_transactions), (vec![1, 2], None));
        broker.stop().await;
    });
}

#[test]
fn an_answer_names_no_transaction_behind_its_last_batch() {
    run(async {
        let broker = TestBroker::start().await;
        let mut reader = Wire::new(broker.connect().await);
        make(&mut reader, "t", 1, &[]).await;
        let mut writer = Writer::new(Wire::new(broker.connect().await)).await;
        for value in ["first", "second"] {
            writer.write("t", value).await;
            writer.end(false).await;
        }
        reader.send(4, &committed("t", 3, 60_000)).await;
        assert_eq!(bases(&answer(&mut reader).await), [3]);
        store(&mut reader, "t", batch(&["after"])).await;
        let first_offsets = |seen: PartitionData| {
            let aborted = seen.aborted_transactions.expect("committed records were asked for");
            aborted.iter().map(|one| one.first_offset).collect::<Vec<_>>()
        };
        let all = only(reader.call(4, &committed("t", 0, 0)).await);
        assert_eq!((bases(&all), first_offsets(all)), (vec![0, 1, 2, 3, 4], vec![0, 2]));
        let mut one_batch = committed("t", 0, 0);
        one_batch.max_bytes = 1;
        let one = only(reader.call(4, &one_batch).await);
        assert_eq!((bases(&one), first_offsets(one)), (vec![0], vec![0]));
        broker.stop().await;
    });
}

#[test]
fn a_group_without_a_name_may_join_a_transaction_but_not_commit_in_it() {
    run(async {
        let broker = TestBroker::start().await;
        let mut admin = Wire::new(broker.connect().await);
        make(&mut admin, "t", 1, &[]).await;
        let mut writer = Writer::new(Wire::new(broker.connect().await)).await;
        let add = AddOffsetsToTxnRequest {
            transactional_id: "writer".to_owned(),
            producer_id: writer.producer.id,
            producer_epoch: writer.producer.epoch,
            group_id: String::new(),
        };
        assert_eq!(ErrorCode(writer.wire.call(3, &add).await.error_code), ErrorCode::NONE);
        let partition = TxnOffsetCommitRequestPartition {
            committed_offset: 1,
            ..TxnOffsetCommitRequestPartition::default()
        };
        let topic =
            TxnOffsetCommitRequestTopic { name: "t".to_owned(), partitions: vec![partition] };
        let commit = TxnOffsetCommitRequest {
            transactional_id: "writer".to_owned(),
            producer_id: writer.producer.id,
            producer_epoch: writer.producer.epoch,
            topics: vec![topic],
            ..TxnOffsetCommitRequest::default()
        };
        let answer = writer.wire.call(3, &commit).await;
        let code = ErrorCode(answer.topics[0].partitions[0].error_code);
        assert_eq!(code, ErrorCode::INVALID_GROUP_ID);
        broker.stop().await;
    });
}

#[test]
fn a_partition_that_no_transaction_knows_takes_no_transactional_batch() {
    run(async {
        let broker = TestBroker::start().await;
        let mut admin = Wire::new(broker.connect().await);
        make(&mut admin, "t", 1, &[]).await;
        let mut writer = Writer::new(Wire::new(broker.connect().await)).await;
        let records = writer.records("a");
        assert_eq!(writer.store("t", records).await, ErrorCode::INVALID_TXN_STATE);
        broker.stop().await;
    });
}
