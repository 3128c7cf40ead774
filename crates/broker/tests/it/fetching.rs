//! Reading: whole batches, long polls, limits, epochs.

use std::time::Duration;

use protocol::error_code::ErrorCode;
use protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use protocol::record::Batches;
use runtime::timer;
use testkit::broker::TestBroker;
use testkit::wire::Wire;

use crate::{batch, batch_at, make, run, store};

/// Longest that a test waits for what must come: far more than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request for partition 0 from this offset on.
pub(crate) fn fetch(topic: &str, from: i64, max_wait_ms: i32) -> FetchRequest {
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![FetchPartition {
                fetch_offset: from,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// The one partition of an answer.
pub(crate) fn only(answer: FetchResponse) -> PartitionData {
    let topic = answer.responses.into_iter().next().expect("one topic was asked for");
    topic.partitions.into_iter().next().expect("one partition was asked for")
}

/// Base offsets of the batches in an answer.
pub(crate) fn bases(partition: &PartitionData) -> Vec<i64> {
    let records = partition.records.as_ref().expect("records are never null");
    let batches = Batches::new(records.to_bytes().expect("the records are in memory"));
    batches.map(|batch| batch.expect("whole batches come").header().base_offset).collect()
}

#[test]
fn the_batch_that_holds_the_offset_comes_whole() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        store(&mut wire, "t", batch(&["a", "b", "c"])).await;
        store(&mut wire, "t", batch(&["d", "e"])).await;
        for (from, expected) in [(0, vec![0, 3]), (1, vec![0, 3]), (4, vec![3]), (5, vec![])] {
            let partition = only(wire.call(4, &fetch("t", from, 0)).await);
            assert_eq!((partition.error_code, bases(&partition)), (0, expected), "from {from}");
            assert_eq!((partition.high_watermark, partition.last_stable_offset), (5, 5));
        }
        for from in [-1, 6] {
            let partition = only(wire.call(4, &fetch("t", from, 60_000)).await);
            assert_eq!(ErrorCode(partition.error_code), ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        broker.stop().await;
    });
}

#[test]
fn the_first_partition_with_bytes_gives_a_batch_however_large() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        store(&mut wire, "t", batch(&["x".repeat(5000).as_str()])).await;
        store(&mut wire, "t", batch(&["y"])).await;
        let mut request = fetch("t", 0, 0);
        request.max_bytes = 1;
        request.topics[0].partitions[0].partition_max_bytes = 1;
        let again = request.topics[0].partitions[0].clone();
        request.topics[0].partitions.push(again);
        let answer = wire.call(4, &request).await;
        let partitions = &answer.responses[0].partitions;
        assert_eq!((bases(&partitions[0]), bases(&partitions[1])), (vec![0], vec![]));
        broker.stop().await;
    });
}

#[test]
fn a_long_poll_ends_when_something_is_stored() {
    run(async {
        let broker = TestBroker::start().await;
        let mut reader = Wire::new(broker.connect().await);
        let mut writer = Wire::new(broker.connect().await);
        make(&mut writer, "t", 1, &[]).await;
        for turn in 0..50 {
            reader.send(4, &fetch("t", turn, 60_000)).await;
            let stored = store(&mut writer, "t", batch(&["a"])).await;
            assert_eq!(stored.base_offset, turn);
            let answered = timer::timeout(PATIENCE, reader.receive::<FetchRequest>(4)).await;
            assert_eq!(bases(&only(answered.unwrap().1)), [turn]);
        }
        broker.stop().await;
    });
}

#[test]
fn a_long_poll_waits_for_the_bytes_it_asked_for() {
    run(async {
        let broker = TestBroker::start().await;
        let mut reader = Wire::new(broker.connect().await);
        let mut writer = Wire::new(broker.connect().await);
        make(&mut writer, "t", 1, &[]).await;
        let one = batch(&["a"]);
        let mut request = fetch("t", 0, 60_000);
        request.min_bytes = i32::try_from(one.len() * 3).unwrap();
        reader.send(4, &request).await;
        for _ in 0..3 {
            store(&mut writer, "t", one.clone()).await;
        }
        let answered = timer::timeout(PATIENCE, reader.receive::<FetchRequest>(4)).await;
        assert_eq!(bases(&only(answered.unwrap().1)), [0, 1, 2]);
        broker.stop().await;
    });
}

#[test]
fn a_long_poll_ends_when_its_time_is_up() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let partition = only(wire.call(4, &fetch("t", 0, 20)).await);
        assert_eq!((partition.error_code, bases(&partition)), (0, vec![]));
        broker.stop().await;
    });
}

#[test]
fn a_long_poll_ends_when_the_topic_is_deleted() {
    run(async {
        let broker = TestBroker::start().await;
        let mut reader = Wire::new(broker.connect().await);
        let mut admin = Wire::new(broker.connect().await);
        make(&mut admin, "t", 1, &[]).await;
        reader.send(4, &fetch("t", 0, 60_000)).await;
        crate::topics::delete(&mut admin, "t").await;
        let answered = timer::timeout(PATIENCE, reader.receive::<FetchRequest>(4)).await;
        let code = ErrorCode(only(answered.unwrap().1).error_code);
        assert_eq!(code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        broker.stop().await;
    });
}

#[test]
fn sessions_are_declined_and_epochs_compared() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let mut request = fetch("t", 0, 0);
        (request.session_id, request.session_epoch) = (7, 1);
        let answer = wire.call(12, &request).await;
        assert_eq!(ErrorCode(answer.error_code), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        for (epoch, expected) in
            [(-1, ErrorCode::NONE), (0, ErrorCode::NONE), (1, ErrorCode::UNKNOWN_LEADER_EPOCH)]
        {
            let mut request = fetch("t", 0, 0);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            let answer = wire.call(12, &request).await;
            assert_eq!(answer.session_id, 0);
            assert_eq!(ErrorCode(only(answer).error_code), expected);
        }
        broker.stop().await;
    });
}

#[test]
fn a_reader_beyond_the_end_of_its_epoch_is_told_where_that_is() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        store(&mut wire, "t", batch(&["a", "b"])).await;
        let mut request = fetch("t", 9, 0);
        request.topics[0].partitions[0].last_fetched_epoch = 0;
        let partition = only(wire.call(12, &request).await);
        let diverging = &partition.diverging_epoch;
        assert_eq!((diverging.epoch, diverging.end_offset), (0, 2));
        request.topics[0].partitions[0].last_fetched_epoch = 5;
        let partition = only(wire.call(12, &request).await);
        assert_eq!(ErrorCode(partition.error_code), ErrorCode::OFFSET_OUT_OF_RANGE);
        for (epoch, expected) in [(0, (0, 2)), (5, (-1, -1))] {
            let request = OffsetForLeaderEpochRequest {
                topics: vec![OffsetForLeaderTopic {
                    topic: "t".to_owned(),
                    partitions: vec![OffsetForLeaderPartition {
                        partition: 0,
                        current_leader_epoch: -1,
                        leader_epoch: epoch,
                    }],
                }],
                ..OffsetForLeaderEpochRequest::default()
            };
            let answer = wire.call(4, &request).await;
            let end = &answer.topics[0].partitions[0];
            assert_eq!((end.leader_epoch, end.end_offset), expected);
        }
        broker.stop().await;
    });
}

#[test]
fn offsets_are_found_by_name_and_by_time() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        for (timestamp, value) in [(1000, "a"), (3000, "b"), (2000, "c")] {
            store(&mut wire, "t", batch_at(timestamp, &[value])).await;
        }
        for (timestamp, expected) in [
            (-1, (3, -1)),
            (-2, (0, -1)),
            (-3, (1, 3000)),
            (-4, (0, -1)),
            (-5, (-1, -1)),
            (0, (0, 1000)),
            (1001, (1, 3000)),
            (3001, (-1, -1)),
        ] {
            let request = ListOffsetsRequest {
                topics: vec![ListOffsetsTopic {
                    name: "t".to_owned(),
                    partitions: vec![ListOffsetsPartition {
                        timestamp,
                        ..ListOffsetsPartition::default()
                    }],
                }],
                ..ListOffsetsRequest::default()
            };
            let answer = wire.call(9, &request).await;
            let found = &answer.topics[0].partitions[0];
            assert_eq!((found.offset, found.timestamp), expected, "at {timestamp}");
            assert_eq!(found.error_code, 0);
        }
        broker.stop().await;
    });
}
