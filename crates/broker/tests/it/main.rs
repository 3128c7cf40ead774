//! The broker as its clients see it: frames in, frames out.

mod committed;
mod connections;
mod fetching;
mod lifecycle;
mod producing;
mod topics;
mod versions;

use std::future::Future;

use bytes::Bytes;
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use protocol::record::{BatchBuilder, BatchOptions};
use protocol::wire::Records;
use runtime::boot::Executor;
use testkit::wire::Wire;

/// Runs a test on two threads, so that broker and client do not wait for each other by accident.
fn run<F: Future>(test: F) -> F::Output {
    Executor::new(2).expect("threads can be started").block_on(test)
}

/// Makes a topic.
async fn make(wire: &mut Wire, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let answer = wire.call(7, &request).await;
    assert_eq!(answer.topics[0].error_code, 0, "{:?}", answer.topics[0].error_message);
}

/// A batch of records with these values and no keys, stamped now.
fn batch(values: &[&str]) -> Bytes {
    let now = base::clock::Clock::unix_ms(&base::clock::SystemClock::new());
    batch_at(now, values)
}

/// A batch of records with these values and no keys.
fn batch_at(timestamp: i64, values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(timestamp, None, Some(value.as_bytes()), &[]);
    }
    builder.build().expect("the batch is small")
}

/// A request to store a batch in partition 0.
fn produce(topic: &str, acks: i16, records: Option<Bytes>) -> ProduceRequest {
    let records = records.map(Records::from);
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData { index: 0, records }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

/// Stores a batch in partition 0; what that partition was told.
async fn store(wire: &mut Wire, topic: &str, records: Bytes) -> PartitionProduceResponse {
    let mut answer = wire.call(9, &produce(topic, -1, Some(records))).await;
    answer.responses.remove(0).partition_responses.remove(0)
}
