//! What is stored, and what is refused in which words.

use bytes::{Bytes, BytesMut};
use protocol::error_code::ErrorCode;
use protocol::messages::produce::ProduceRequest;
use protocol::record::{
    BatchBuilder, BatchOptions, Compression, ControlType, ProducerIdentity, control_batch,
};
use testkit::broker::TestBroker;
use testkit::wire::Wire;

use crate::{batch, batch_at, make, produce, run, store};

fn compressed(compression: Compression) -> Bytes {
    let now = base::clock::Clock::unix_ms(&base::clock::SystemClock::new());
    let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    for at in 0..100u8 {
        builder.append(now, Some(&[at]), Some(&[at; 100]), &[]);
    }
    builder.build().expect("the batch is small")
}

async fn code(wire: &mut Wire, topic: &str, records: Bytes) -> ErrorCode {
    ErrorCode(store(wire, topic, records).await.error_code)
}

#[test]
fn every_compression_is_taken() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        for (turn, compression) in (0..).zip(Compression::ALL) {
            let answer = store(&mut wire, "t", compressed(compression)).await;
            assert_eq!((answer.error_code, answer.base_offset), (0, turn * 100), "{compression}");
            assert_eq!((answer.log_append_time_ms, answer.log_start_offset), (-1, 0));
        }
        broker.stop().await;
    });
}

#[test]
fn damaged_and_forbidden_batches_are_refused() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let sound = batch(&["hello"]);
        let mut flipped = BytesMut::from(&sound[..]);
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        let mut old = BytesMut::from(&sound[..]);
        old[16] = 1;
        let twice = [&sound[..], &sound[..]].concat();
        let producer = ProducerIdentity { id: 7, epoch: 0 };
        let control = control_batch(producer, ControlType::Commit, 0, 0);
        for (records, expected) in [
            (flipped.freeze(), ErrorCode::CORRUPT_MESSAGE),
            (old.freeze(), ErrorCode::INVALID_RECORD),
            (twice.into(), ErrorCode::INVALID_RECORD),
            (Bytes::new(), ErrorCode::INVALID_RECORD),
            (control, ErrorCode::INVALID_RECORD),
            (sound, ErrorCode::NONE),
        ] {
            assert_eq!(code(&mut wire, "t", records).await, expected);
        }
        broker.stop().await;
    });
}

#[test]
fn limits_of_the_topic_hold() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "small", 1, &[("max.message.bytes", "200")]).await;
        let large = batch(&["x".repeat(200).as_str()]);
        assert_eq!(code(&mut wire, "small", large).await, ErrorCode::MESSAGE_TOO_LARGE);

        make(&mut wire, "keyed", 1, &[("cleanup.policy", "compact")]).await;
        let answer = store(&mut wire, "keyed", batch(&["no key"])).await;
        assert_eq!(ErrorCode(answer.error_code), ErrorCode::INVALID_RECORD);
        assert_eq!(answer.record_errors[0].batch_index, 0);

        make(&mut wire, "timed", 1, &[]).await;
        let future = batch_at(i64::MAX / 2, &["late"]);
        let answer = store(&mut wire, "timed", future).await;
        assert_eq!(ErrorCode(answer.error_code), ErrorCode::INVALID_TIMESTAMP);
        assert_eq!(answer.record_errors.len(), 1);

        make(&mut wire, "fresh", 1, &[("message.timestamp.before.max.ms", "60000")]).await;
        let now = base::clock::Clock::unix_ms(&base::clock::SystemClock::new());
        let timed = |timestamps: &[i64]| {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            for timestamp in timestamps {
                builder.append(*timestamp, None, Some(b"v"), &[]);
            }
            builder.build().expect("the batch is small")
        };
        assert_eq!(code(&mut wire, "fresh", timed(&[now, -1, now - 1])).await, ErrorCode::NONE);
        let answer = store(&mut wire, "fresh", timed(&[now, now, now - 600_000, now])).await;
        assert_eq!(ErrorCode(answer.error_code), ErrorCode::INVALID_TIMESTAMP);
        assert_eq!(answer.record_errors[0].batch_index, 2, "every record's time counts");

        make(&mut wire, "stamped", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
        let answer = store(&mut wire, "stamped", batch_at(i64::MAX / 2, &["any"])).await;
        assert_eq!(answer.error_code, 0);
        assert!(answer.log_append_time_ms > 1_577_836_800_000);
        broker.stop().await;
    });
}

#[test]
fn wrong_acks_and_internal_topics_are_refused() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        make(&mut wire, "__consumer_offsets", 1, &[]).await;
        let refused = |answer: &protocol::messages::produce::ProduceResponse| {
            ErrorCode(answer.responses[0].partition_responses[0].error_code)
        };
        let answer = wire.call(9, &produce("t", 2, Some(batch(&["a"])))).await;
        assert_eq!(refused(&answer), ErrorCode::INVALID_REQUIRED_ACKS);
        let answer = wire.call(9, &produce("__consumer_offsets", 1, Some(batch(&["a"])))).await;
        assert_eq!(refused(&answer), ErrorCode::INVALID_TOPIC_EXCEPTION);
        let answer = wire.call(9, &produce("t", 1, None)).await;
        assert_eq!(refused(&answer), ErrorCode::INVALID_RECORD);
        let mut other = produce("t", 1, Some(batch(&["a"])));
        other.topic_data[0].partition_data[0].index = 1;
        let answer = wire.call(9, &other).await;
        assert_eq!(refused(&answer), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        let mut unknown = produce("", 1, Some(batch(&["a"])));
        unknown.topic_data[0].topic_id = base::uuid::Uuid([9; 16]);
        let answer = wire.call(13, &unknown).await;
        assert_eq!(refused(&answer), ErrorCode::UNKNOWN_TOPIC_ID);
        broker.stop().await;
    });
}

#[test]
fn a_batch_sent_twice_by_an_idempotent_producer_is_stored_once() {
    run(async {
        let broker = TestBroker::start().await;
        let mut wire = Wire::new(broker.connect().await);
        make(&mut wire, "t", 1, &[]).await;
        let now = base::clock::Clock::unix_ms(&base::clock::SystemClock::new());
        let numbered = |sequence: i32| {
            let mut builder = BatchBuilder::new(BatchOptions {
                producer: ProducerIdentity { id: 5, epoch: 0 },
                base_sequence: sequence,
                ..BatchOptions::default()
            });
            builder.append(now, None, Some(b"v"), &[]);
            builder.build().unwrap()
        };
        let mut sent = Vec::new();
        for sequence in [0, 1, 2, 1, 2] {
            sent.push(wire.send(9, &produce("t", -1, Some(numbered(sequence)))).await);
        }
        let mut offsets = Vec::new();
        for _ in sent {
            let (_, response) = wire.receive::<ProduceRequest>(9).await;
            let partition = &response.responses[0].partition_responses[0];
            assert_eq!(partition.error_code, 0);
            offsets.push(partition.base_offset);
        }
        assert_eq!(offsets, [0, 1, 2, 1, 2]);
        let gap = code(&mut wire, "t", numbered(9)).await;
        assert_eq!(gap, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        broker.stop().await;
    });
}
