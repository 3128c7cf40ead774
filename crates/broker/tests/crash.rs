//! The power goes at every single operation of the disk, and what was acknowledged is still there.
//!
//! A workload of topics, configs, records, producer ids and deletions runs until the power goes;
//! then a broker starts over what a disk may look like afterwards and is asked for all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use base::clock::SystemClock;
use base::disk::MemoryDisk;
use base::rng::SystemRandom;
use base::uuid::Uuid;
use broker::{BrokerOptions, Running};
use protocol::api::Request;
use protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use protocol::messages::metadata::MetadataRequest;
use protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::record::{BatchBuilder, BatchOptions};
use protocol::wire::Records;
use runtime::boot::Executor;
use testkit::wire::Wire;

/// Ways in which each cut may leave the disk.
const IMAGES: u64 = 3;

/// A topic, as far as the workload was told.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    id: Uuid,
    partitions: usize,
    records: i64,
    retention: Option<String>,
}

/// What the workload was told, and what it does not know.
#[derive(Debug, Default)]
struct Told {
    topics: BTreeMap<String, Known>,
    /// The topic whose change was asked for and not answered.
    unsure: Option<String>,
    producer_ids: BTreeSet<i64>,
}

async fn start(disk: &MemoryDisk) -> Result<Running, broker::Error> {
    let mut options = BrokerOptions::new(PathBuf::from("/data"));
    options.free_bytes_min = 0;
    let clock = Arc::new(SystemClock::new());
    Running::start(options, clock, Arc::new(disk.clone()), Arc::new(SystemRandom)).await
}

async fn connect(running: &Running) -> Wire {
    Wire::new(running.connector().connect().await.expect("the broker accepts connections"))
}

/// Asks; `None` when the connection has ended.
async fn ask<R: Request>(wire: &mut Wire, version: i16, request: &R) -> Option<R::Response> {
    wire.send(version, request).await;
    Some(wire.try_receive::<R>(version).await?.1)
}

fn done(code: i16) -> Option<()> {
    (code == 0).then_some(())
}

async fn make(wire: &mut Wire, told: &mut Told, name: &str, partitions: i32) -> Option<()> {
    told.unsure = Some(name.to_owned());
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
    let answer = ask(wire, 7, &request).await?;
    done(answer.topics[0].error_code)?;
    let partitions = usize::try_from(partitions).expect("the workload counts upwards");
    let known = Known { id: answer.topics[0].topic_id, partitions, ..Known::default() };
    told.topics.insert(name.to_owned(), known);
    told.unsure = None;
    Some(())
}

async fn grow(wire: &mut Wire, told: &mut Told, name: &str, count: i32) -> Option<()> {
    told.unsure = Some(name.to_owned());
    let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments: None };
    let request =
        CreatePartitionsRequest { topics: vec![topic], ..CreatePartitionsRequest::default() };
    done(ask(wire, 3, &request).await?.results[0].error_code)?;
    told.topics.get_mut(name)?.partitions = usize::try_from(count).ok()?;
    told.unsure = None;
    Some(())
}

async fn store(wire: &mut Wire, told: &mut Told, name: &str) -> Option<()> {
    told.unsure = Some(name.to_owned());
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(-1, Some(b"key"), Some(b"value"), &[]);
    let records = Some(Records::from(builder.build().expect("the batch is small")));
    let request = ProduceRequest {
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: name.to_owned(),
            partition_data: vec![PartitionProduceData { index: 0, records }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    let answer = ask(wire, 9, &request).await?;
    done(answer.responses[0].partition_responses[0].error_code)?;
    told.topics.get_mut(name)?.records += 1;
    told.unsure = None;
    Some(())
}

async fn alter(wire: &mut Wire, told: &mut Told, name: &str, retention: &str) -> Option<()> {
    told.unsure = Some(name.to_owned());
    let config = AlterableConfig {
        name: "retention.ms".to_owned(),
        config_operation: 0,
        value: Some(retention.to_owned()),
    };
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: name.to_owned(),
        configs: vec![config],
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource],
        ..IncrementalAlterConfigsRequest::default()
    };
    done(ask(wire, 1, &request).await?.responses[0].error_code)?;
    told.topics.get_mut(name)?.retention = Some(retention.to_owned());
    told.unsure = None;
    Some(())
}

async fn delete(wire: &mut Wire, told: &mut Told, name: &str) -> Option<()> {
    told.unsure = Some(name.to_owned());
    let topic = DeleteTopicState { name: Some(name.to_owned()), ..DeleteTopicState::default() };
    let request = DeleteTopicsRequest { topics: vec![topic], ..DeleteTopicsRequest::default() };
    done(ask(wire, 6, &request).await?.responses[0].error_code)?;
    told.topics.remove(name);
    told.unsure = None;
    Some(())
}

async fn producer_id(wire: &mut Wire, told: &mut Told) -> Option<()> {
    let request =
        InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
    let answer = ask(wire, 4, &request).await?;
    done(answer.error_code)?;
    let is_new = told.producer_ids.insert(answer.producer_id);
    assert!(is_new, "producer id {} was given twice", answer.producer_id);
    Some(())
}

/// Goes on until the power goes, which any step may notice.
async fn work(wire: &mut Wire, told: &mut Told) -> Option<()> {
    make(wire, told, "kept", 2).await?;
    store(wire, told, "kept").await?;
    make(wire, told, "gone", 1).await?;
    store(wire, told, "gone").await?;
    alter(wire, told, "kept", "123456789").await?;
    producer_id(wire, told).await?;
    delete(wire, told, "gone").await?;
    grow(wire, told, "kept", 4).await?;
    make(wire, told, "gone", 2).await?;
    store(wire, told, "gone").await?;
    store(wire, told, "kept").await?;
    Some(())
}

/// Everything that was told is there, and everything that is there works.
async fn check(running: &Running, told: &mut Told, context: &str) {
    let mut wire = connect(running).await;
    let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let seen = wire.call(12, &all).await;
    let unsure = told.unsure.clone();
    let is_sure = |name: &str| unsure.as_deref() != Some(name);
    let names: BTreeSet<String> =
        seen.topics.iter().filter_map(|topic| topic.name.clone()).collect();
    for (name, known) in told.topics.iter().filter(|(name, _)| is_sure(name)) {
        let topic = seen.topics.iter().find(|topic| topic.name.as_deref() == Some(name));
        let topic = topic.unwrap_or_else(|| panic!("{context}: {name} is lost"));
        assert_eq!(topic.topic_id, known.id, "{context}: {name}");
        assert_eq!(topic.partitions.len(), known.partitions, "{context}: {name}");
        assert_eq!(end_of(&mut wire, name).await, known.records, "{context}: {name}");
        if let Some(retention) = &known.retention {
            assert_eq!(&retention_of(&mut wire, name).await, retention, "{context}: {name}");
        }
    }
    for name in names {
        let is_known = told.topics.contains_key(&name);
        assert!(is_known || !is_sure(&name), "{context}: {name} came back");
        let kept = told.topics.entry(name.clone()).or_default().clone();
        assert_eq!(store(&mut wire, told, &name).await, Some(()), "{context}: {name}");
        // What was acknowledged keeps its place: the new record comes behind it.
        assert!(end_of(&mut wire, &name).await > kept.records, "{context}: {name}");
    }
    assert_eq!(producer_id(&mut wire, told).await, Some(()), "{context}");
}

async fn end_of(wire: &mut Wire, name: &str) -> i64 {
    let partition = ListOffsetsPartition { timestamp: -1, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: name.to_owned(), partitions: vec![partition] };
    let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
    let answer = wire.call(5, &request).await;
    answer.topics[0].partitions[0].offset
}

async fn retention_of(wire: &mut Wire, name: &str) -> String {
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: name.to_owned(),
        configuration_keys: Some(vec!["retention.ms".to_owned()]),
    };
    let request =
        DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let answer = wire.call(4, &request).await;
    answer.results[0].configs[0].value.clone().expect("retention has a value")
}

/// Runs the workload over a disk that loses power at this operation; whether it came to its end.
async fn crash_at(operation: usize) -> bool {
    let disk = MemoryDisk::new();
    disk.cut_power_at(operation);
    let mut told = Told::default();
    let mut is_complete = false;
    if let Ok(running) = start(&disk).await {
        let mut wire = connect(&running).await;
        is_complete = work(&mut wire, &mut told).await.is_some();
        // The end of a broker without power is as bad as it can be.
        let _ = running.stop().await;
    }
    for seed in 0..IMAGES {
        let context = format!("operation {operation} seed {seed}");
        let image = disk.crash_image(seed);
        let running = start(&image).await.unwrap_or_else(|error| panic!("{context}: {error}"));
        let mut told = Told {
            topics: told.topics.clone(),
            unsure: told.unsure.clone(),
            producer_ids: told.producer_ids.clone(),
        };
        check(&running, &mut told, &context).await;
        running.stop().await.unwrap_or_else(|error| panic!("{context}: {error}"));
    }
    is_complete
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged() {
    Executor::new(2).unwrap().block_on(async {
        let mut operation = 0;
        while !crash_at(operation).await {
            operation += 1;
        }
        assert!(operation > 50, "the workload ends after {operation} operations");
        println!("{operation} operations, {IMAGES} images each");
    });
}
