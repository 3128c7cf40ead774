//! Reading a topic back, as a reader of committed records sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use client::Client;
use client::admin::OffsetAt;
use client::consumer::Fetched;
use client::options::{ConsumerOptions, Isolation};
use runtime::timer;

use super::failure::Failure;
use super::limits::{DECOMPRESSED_BYTES_MAX, PATIENCE};

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: i64,
    pub(super) value: String,
}

/// What a topic holds: the records of each key in their order.
pub(super) type ByKey = BTreeMap<String, Vec<Seen>>;

/// Reads a topic from its start to its end.
pub(super) async fn topic(client: &Client, topic: &str) -> Result<ByKey, Failure> {
    let count = client.topic(topic).await?.partition_count();
    let places: Vec<(&str, i32)> = (0..count).map(|partition| (topic, partition)).collect();
    // Up to the high watermark: an open transaction would otherwise hide what comes after it.
    let isolation = Isolation::ReadUncommitted;
    let ends = client.admin().list_offsets(&places, OffsetAt::Latest, isolation).await?;
    let mut left: BTreeMap<i32, i64> = ends
        .iter()
        .filter(|(_, end)| end.offset > 0)
        .map(|((_, partition), end)| (*partition, end.offset))
        .collect();
    let mut consumer = client.consumer(ConsumerOptions::default());
    consumer.assign(places.iter().map(|(topic, partition)| (*topic, *partition, 0)));
    let mut found = ByKey::new();
    let deadline = timer::now() + PATIENCE;
    while !left.is_empty() {
        if timer::now() > deadline {
            let what = format!("{topic} gives nothing more, left to read up to: {left:?}");
            return Err(Failure::Stuck { what });
        }
        for fetched in consumer.poll(Duration::from_millis(200)).await? {
            take(&fetched, &mut found);
            if left.get(&fetched.partition).is_some_and(|end| fetched.next_offset >= *end) {
                left.remove(&fetched.partition);
            }
        }
    }
    Ok(found)
}

/// Records of a topic that readers of committed records may see by now; 0 without the topic.
pub(super) async fn visible(client: &Client, topic: &str, partitions: i32) -> i64 {
    let places: Vec<(&str, i32)> = (0..partitions).map(|partition| (topic, partition)).collect();
    let isolation = Isolation::ReadCommitted;
    let ends = client.admin().list_offsets(&places, OffsetAt::Latest, isolation).await;
    ends.map_or(0, |ends| ends.values().map(|end| end.offset).sum())
}

fn take(fetched: &Fetched, found: &mut ByKey) {
    for batch in &fetched.batches {
        let decoded = batch.decode(DECOMPRESSED_BYTES_MAX).expect("a batch that was read is sound");
        for record in &decoded {
            let record = record.expect("a record that was read is sound");
            if record.offset < fetched.from {
                continue;
            }
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let seen = Seen {
                partition: fetched.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                value: record.value.map(text).unwrap_or_default(),
            };
            found.entry(record.key.map(text).unwrap_or_default()).or_default().push(seen);
        }
    }
}
