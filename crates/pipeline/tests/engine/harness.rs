//! What the engine's tests share: a broker in memory, pipelines, records in and out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::clock::SystemClock;
use base::rng::{Random, SystemRandom};
use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation, ProducerOptions};
use client::producer::Record;
use client::{Client, ClientOptions};
use pipeline::engine::{
    Claimant, Engine, EngineError, EngineOptions, Mode, PipelineView, StateFolder,
};
use runtime::boot::Executor;
use testkit::broker::TestBroker;
use topology::diagnose::Sources;
use topology::plan::Plan;
use topology::spec;

pub(crate) fn plan(text: &str) -> Plan {
    let sources = Sources::single("test.yaml", text);
    let parsed = spec::parse(&sources, &|_| None);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    Plan::of(&parsed.spec.unwrap())
}

pub(crate) async fn connect(broker: &TestBroker) -> Client {
    connect_with(ClientOptions::memory(broker.connector()), true).await
}

/// A client that makes no topics by asking for them, as those of the program are.
pub(crate) async fn connect_as_program(broker: &TestBroker) -> Client {
    connect_with(ClientOptions::memory(broker.connector()), false).await
}

pub(crate) async fn connect_with(options: ClientOptions, topics_auto_create: bool) -> Client {
    let options = ClientOptions { topics_auto_create, ..options };
    let clock = Arc::new(SystemClock::new());
    Client::connect(options, clock, Arc::new(SystemRandom)).await.unwrap()
}

pub(crate) fn claimant(worker: &str) -> Claimant {
    Claimant {
        worker: worker.to_owned(),
        host: "test".to_owned(),
        pid: std::process::id(),
        started_ms: 0,
        nonce: SystemRandom.next_u64(),
    }
}

pub(crate) fn start(client: &Client, plan: Plan, mode: Mode) -> Engine {
    start_with(client, plan, mode, None)
}

pub(crate) fn start_with(
    client: &Client,
    plan: Plan,
    mode: Mode,
    state: Option<StateFolder>,
) -> Engine {
    let (claimant, sinks) = (claimant("main"), Vec::new());
    let options = EngineOptions { plan, claimant, sinks, mode, state };
    Engine::start(client.clone(), Arc::new(SystemClock::new()), options)
}

pub(crate) async fn run_to_end(client: &Client, text: &str) -> Result<PipelineView, EngineError> {
    let mode = Mode::UntilEnd { close_windows: true };
    start(client, plan(text), mode).finished().await
}

/// Records of a test: key, value, time.
pub(crate) type Sent<'a> = (&'a str, &'a str, i64);

pub(crate) async fn produce(client: &Client, topic: &str, records: &[Sent<'_>]) {
    let producer = client.producer(ProducerOptions::default());
    for (key, value, timestamp) in records {
        let record = Record {
            topic,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp: Some(*timestamp),
            ..Record::default()
        };
        producer.append(record).await.unwrap();
    }
    producer.close().await.unwrap();
}

/// What committed readers see of a topic: values by key, in order, with their times.
pub(crate) async fn read(client: &Client, topic: &str) -> BTreeMap<String, Vec<(String, i64)>> {
    let mut found: BTreeMap<String, Vec<(String, i64)>> = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    each_record(client, topic, |record| {
        let key = record.key.map(text).unwrap_or_default();
        let value = record.value.map(text).unwrap_or_default();
        found.entry(key).or_default().push((value, record.timestamp));
    })
    .await;
    found
}

/// Calls `each` with every record that committed readers see of a topic.
pub(crate) async fn each_record(
    client: &Client,
    topic: &str,
    mut each: impl FnMut(&protocol::record::Record<'_>),
) {
    let count = client.topic(topic).await.unwrap().partition_count();
    let places: Vec<(&str, i32)> = (0..count).map(|partition| (topic, partition)).collect();
    let admin = client.admin();
    // Up to the high watermark: the markers of the last transaction may still be on their way.
    let isolation = Isolation::ReadUncommitted;
    let ends = admin.list_offsets(&places, OffsetAt::Latest, isolation).await.unwrap();
    let starts = admin.list_offsets(&places, OffsetAt::Earliest, isolation).await.unwrap();
    let isolation = Isolation::ReadCommitted;
    let mut consumer = client.consumer(ConsumerOptions { isolation, ..Default::default() });
    let from = starts.iter().map(|((topic, partition), start)| (topic, *partition, start.offset));
    consumer.assign(from.clone().map(|(topic, partition, from)| (topic.as_str(), partition, from)));
    let mut next: Vec<i64> = from.map(|(_, _, from)| from).collect();
    let is_done = |next: &[i64]| {
        ends.iter()
            .all(|((_, partition), end)| next[usize::try_from(*partition).unwrap()] >= end.offset)
    };
    while !is_done(&next) {
        for part in consumer.poll(Duration::from_millis(200)).await.unwrap() {
            for batch in &part.batches {
                let decoded = batch.decode(1 << 24).unwrap();
                for record in decoded.iter() {
                    each(&record.unwrap());
                }
            }
            next[usize::try_from(part.partition).unwrap()] = part.next_offset;
        }
    }
}

pub(crate) fn values(found: &BTreeMap<String, Vec<(String, i64)>>, key: &str) -> Vec<String> {
    found.get(key).into_iter().flatten().map(|(value, _)| value.clone()).collect()
}

pub(crate) fn check(test: impl AsyncFnOnce(&TestBroker, &Client)) {
    Executor::new(2).unwrap().block_on(async {
        // The records are of 1970: nobody must come and clean them up.
        let mut broker =
            TestBroker::start_with(|options| options.maintenance_interval_ms = 3_600_000).await;
        let client = connect(&broker).await;
        test(&broker, &client).await;
        drop(client);
        broker.halt().await;
    });
}
