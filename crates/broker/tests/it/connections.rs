//! Order, pushing back, garbage and ends of connections.

use bytes::Bytes;
use protocol::messages::api_versions::ApiVersionsRequest;
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::produce::ProduceRequest;
use testkit::broker::TestBroker;
use testkit::wire::Wire;

use crate::{batch, make, produce, run};

fn end_of(topic: &str) -> ListOffsetsRequest {
    ListOffsetsRequest {
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![ListOffsetsPartition {
                timestamp: -1,
                ..ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let mut expected = Vec::new();
        for turn in 0..100 {
            let request = produce("t", -1, Some(batch(&["a", "b"])));
            expected.push((wire.send(9, &request).await, turn * 2));
        }
        let last = wire.send(5, &end_of("t")).await;
        for (number, offset) in expected {
            let (answered, response) = wire.receive::<ProduceRequest>(9).await;
            let partition = &response.responses[0].partition_responses[0];
            assert_eq!((answered, partition.base_offset), (number, offset));
        }
        let (answered, response) = wire.receive::<ListOffsetsRequest>(5).await;
        assert_eq!((answered, response.topics[0].partitions[0].offset), (last, 200));
        broker.stop().await;
    });
}

#[test]
fn acks_0_gets_no_answer_and_an_error_ends_the_connection() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        wire.send(9, &produce("t", 0, Some(batch(&["a"])))).await;
        let end = wire.call(5, &end_of("t")).await;
        assert_eq!(end.topics[0].partitions[0].offset, 1);
        wire.send(9, &produce("no-such-topic", 0, Some(batch(&["a"])))).await;
        assert_eq!(wire.frame().await, None);
        broker.stop().await;
    });
}

#[test]
fn garbage_ends_its_connection_and_the_broker_lives() {
    run(async {
        let broker = TestBroker::start().await;
        let garbage: [&[u8]; 5] = [
            b"",
            b"GET / HTTP/1.1\r\n\r\n",
            &[0xff; 64],
            &[0; 3],
            &[0, 3, 0, 12, 0, 0, 0, 1, 0x7f],
        ];
        for bytes in garbage {
            let mut wire = Wire::new(broker.connect().await);
            wire.send_bytes(Bytes::copy_from_slice(bytes)).await;
            assert_eq!(wire.frame().await, None, "{bytes:?}");
        }
        let mut wire = Wire::new(broker.connect().await);
        let answer = wire.call(0, &ApiVersionsRequest::default()).await;
        assert_eq!(answer.error_code, 0);
        broker.stop().await;
    });
}

#[test]
fn more_requests_than_may_be_in_flight_all_get_their_answers() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        let count = broker::limits::REQUESTS_IN_FLIGHT_MAX * 3;
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(wire.send(0, &ApiVersionsRequest::default()).await);
        }
        for number in numbers {
            assert_eq!(wire.receive::<ApiVersionsRequest>(0).await.0, number);
        }
        broker.stop().await;
    });
}

#[test]
fn a_connection_that_waits_does_not_hold_up_the_end() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        wire.send(4, &crate::fetching::fetch("t", 0, 60_000)).await;
        broker.stop().await;
        assert_eq!(wire.frame().await, None);
    });
}
