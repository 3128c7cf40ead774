//! One input batch that gives more than a writer holds.

use std::fmt::Write as _;
use std::time::Duration;

use client::Client;
use client::admin::TopicSpec;
use client::options::ProducerOptions;
use client::producer::Record;
use pipeline::engine::EngineError;

use crate::harness::{check, each_record, run_to_end};

/// Copies of its text that a record gets: nine times its size, still below a broker's largest.
const COPIES: usize = 8;
const TEXT_BYTES: usize = 100_000;
const RECORDS: usize = 9;

/// Each record goes to so many sinks, each of them nine times as large.
fn fan_out(delivery: &str, sinks: usize) -> String {
    let set: Vec<String> = (0..COPIES).map(|copy| format!("c{copy}: text")).collect();
    let to: Vec<String> = (0..sinks).map(|sink| format!("s{sink}")).collect();
    let mut text = format!(
        "version: 1\nname: wide\nsource: {{ topic: in }}\nruntime: {{ delivery: {delivery} }}\n\
         tasks:\n  - {{ id: wide, type: map, set: {{ {} }}, to: [{}] }}\nsinks:\n",
        set.join(", "),
        to.join(", ")
    );
    for sink in to {
        writeln!(text, "  {sink}: {{ kafka: {{ topic: out-{sink} }} }}").unwrap();
    }
    text
}

/// One batch.
async fn produce_batch(client: &Client) {
    client.admin().create_topics(&[TopicSpec::new("in", 1)]).await.unwrap();
    let options = ProducerOptions {
        batch_bytes_max: 1 << 20,
        linger: Duration::from_secs(5),
        ..ProducerOptions::default()
    };
    let producer = client.producer(options);
    let text = "x".repeat(TEXT_BYTES);
    for number in 0..RECORDS {
        let value = format!("{{\"number\":{number},\"text\":\"{text}\"}}");
        let value = Some(value.as_bytes());
        let record = Record { topic: "in", key: Some(b"k"), value, ..Record::default() };
        producer.append(record).await.unwrap();
    }
    producer.close().await.unwrap();
}

async fn run_in_time(client: &Client, text: &str) -> Result<(), EngineError> {
    let run = run_to_end(client, text);
    let ended = runtime::timer::timeout(Duration::from_secs(120), run).await;
    ended.expect("the pipeline comes to its end").map(drop)
}

/// Numbers of the records in a topic, in order.
async fn numbers(client: &Client, topic: &str) -> Vec<usize> {
    let mut found = Vec::new();
    each_record(client, topic, |record| {
        let value = std::str::from_utf8(record.value.unwrap()).unwrap();
        assert!(value.len() > TEXT_BYTES * COPIES);
        let digits = value.strip_prefix("{\"number\":").unwrap();
        found.push(digits.split(',').next().unwrap().parse().unwrap());
    })
    .await;
    found
}

fn a_batch_that_gives_more_than_a_writer_holds(delivery: &str) {
    // 9 records, 20 sinks, 0.9 MB each: 160 MB of results from 0.9 MB.
    const SINKS: usize = 20;
    check(async |_, client| {
        produce_batch(client).await;
        run_in_time(client, &fan_out(delivery, SINKS)).await.unwrap();
        for sink in [0, SINKS - 1] {
            let found = numbers(client, &format!("out-s{sink}")).await;
            assert_eq!(found, (0..RECORDS).collect::<Vec<_>>(), "{delivery}");
        }
    });
}

#[test]
fn a_batch_that_gives_more_than_a_writer_holds_is_committed_in_pieces() {
    a_batch_that_gives_more_than_a_writer_holds("exactly_once");
}

#[test]
fn a_batch_that_gives_more_than_a_writer_holds_is_handed_on_in_pieces_without_transactions() {
    a_batch_that_gives_more_than_a_writer_holds("at_least_once");
}

#[test]
fn a_record_that_gives_more_than_a_writer_holds_ends_the_pipeline() {
    check(async |_, client| {
        produce_batch(client).await;
        let failed = run_in_time(client, &fan_out("exactly_once", 160)).await;
        let Err(EngineError::TooLarge(reason)) = failed else {
            panic!("144 MB from one record fit nowhere, not {failed:?}");
        };
        assert!(reason.contains("67108864 bytes"), "{reason}");
    });
}

#[test]
fn windows_that_close_at_once_with_more_than_a_writer_holds_are_closed_in_pieces() {
    const KEYS: usize = 5_000;
    const KEY_BYTES: usize = 16_000;
    const TEXT: &str = "
version: 1
name: many
source: { topic: in, max_out_of_order: 0s }
tasks:
  - { id: seen, type: count, window: 10s, to: sink }
sink: { kafka: { topic: out } }
";
    check(async |_, client| {
        client.admin().create_topics(&[TopicSpec::new("in", 1)]).await.unwrap();
        let producer = client.producer(ProducerOptions::default());
        let filling = "k".repeat(KEY_BYTES);
        // 80 MB of keys, which leave with their results and once more with their state.
        for number in 0..=KEYS {
            let key = format!("{number}-{filling}");
            let is_last = number == KEYS;
            let timestamp = Some(if is_last { 20_000 } else { 1_000 });
            let (key, value) = (Some(key.as_bytes()), Some(b"{}".as_slice()));
            let record = Record { topic: "in", key, value, timestamp, ..Record::default() };
            producer.append(record).await.unwrap();
        }
        producer.close().await.unwrap();
        run_in_time(client, TEXT).await.unwrap();
        let mut found = Vec::new();
        each_record(client, "out", |record| {
            let key = std::str::from_utf8(record.key.unwrap()).unwrap();
            let (number, _) = key.split_once('-').unwrap();
            found.push(number.parse::<usize>().unwrap());
            assert!(record.value.unwrap().starts_with(b"{\"count\":1,"));
        })
        .await;
        found.sort_unstable();
        assert_eq!(found, (0..=KEYS).collect::<Vec<_>>());
    });
}
