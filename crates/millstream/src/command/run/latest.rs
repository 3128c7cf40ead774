//! The latest averages of a pipeline, read from its results as any client could.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, ClientError};
use runtime::task::{self, Task};
use runtime::timer;
use topology::plan::{Output, Plan};
use topology::spec::TaskKind;

use crate::render::view::AverageLine;

/// Keys whose latest average is kept.
const KEYS_MAX: usize = 64;

/// Bytes that one batch may hold once it is decompressed.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// The latest average of each key.
pub(super) type Latest = Arc<Mutex<BTreeMap<String, AverageLine>>>;

/// Follows the topics that averages go to.
pub(super) fn follow(plan: &Plan, client: &Client, latest: &Latest) -> Task<()> {
    let mut topics = Vec::new();
    for operator in plan.stages.iter().flat_map(|stage| &stage.operators) {
        if !matches!(operator.kind, TaskKind::Average { .. }) {
            continue;
        }
        for output in &operator.outputs {
            if let Output::Sink { topic, .. } = output {
                topics.push(topic.clone());
            }
        }
    }
    let (client, latest) = (client.clone(), Arc::clone(latest));
    task::spawn("latest", async move {
        // The pipeline makes its topics while it starts, and the view can do without this.
        while !topics.is_empty() {
            if let Err(error) = read(&client, &topics, &latest).await {
                tracing::debug!(%error, "averages cannot be shown yet");
            }
            timer::sleep(Duration::from_millis(500)).await;
        }
    })
}

async fn read(client: &Client, topics: &[String], latest: &Latest) -> Result<(), ClientError> {
    let mut places = Vec::new();
    for topic in topics {
        let count = client.topic(topic).await?.partition_count();
        places.extend((0..count).map(|partition| (topic.as_str(), partition)));
    }
    let isolation = Isolation::ReadCommitted;
    let ends = client.admin().list_offsets(&places, OffsetAt::Latest, isolation).await?;
    let mut consumer = client.consumer(ConsumerOptions { isolation, ..Default::default() });
    let from =
        ends.iter().map(|((topic, partition), end)| (topic.as_str(), *partition, end.offset));
    consumer.assign(from);
    loop {
        for part in consumer.poll(Duration::from_secs(1)).await? {
            for batch in &part.batches {
                let Ok(decoded) = batch.decode(BATCH_BYTES_MAX) else {
                    continue;
                };
                for record in decoded.iter().flatten() {
                    take(record.key, record.value, latest);
                }
            }
        }
    }
}

fn take(key: Option<&[u8]>, value: Option<&[u8]>, latest: &Latest) {
    let (Some(key), Some(value)) = (key, value) else {
        return;
    };
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(value) else {
        return;
    };
    let Some(average) = document.get("average").and_then(serde_json::Value::as_f64) else {
        return;
    };
    let key = String::from_utf8_lossy(key).into_owned();
    let text = |name: &str| document.get(name).and_then(serde_json::Value::as_str);
    let line = AverageLine {
        key: key.clone(),
        average,
        count: document.get("count").and_then(serde_json::Value::as_u64).unwrap_or(0),
        window_end: text("window_end").unwrap_or_default().to_owned(),
    };
    let mut latest = latest.lock().expect("no holder of the averages panics");
    if latest.len() < KEYS_MAX || latest.contains_key(&key) {
        latest.insert(key, line);
    }
}
