//! The latest averages of a pipeline, read from its results as any client could.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, ClientError, Consumer};
use protocol::record::Batch;
use runtime::task::{self, Task};
use runtime::timer;
use topology::plan::{Output, Plan};
use topology::spec::TaskKind;

use crate::render::view::AverageLine;

/// Keys whose latest average is kept.
const KEYS_MAX: usize = 64;

/// Offsets of a partition that one look goes back from its end.
const RECORDS_MAX: i64 = 64;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Bytes that one batch may hold once it is decompressed.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// How far each partition reached at the last look.
type Seen = BTreeMap<(String, i32), i64>;

/// The latest average of each key.
pub(super) type Latest = Arc<Mutex<BTreeMap<String, AverageLine>>>;

/// Keeps looking at the newest results in the topics that averages go to.
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
        let mut seen = Seen::new();
        let isolation = Isolation::ReadCommitted;
        let mut consumer = client.consumer(ConsumerOptions { isolation, ..Default::default() });
        // The pipeline makes its topics while it starts, and the view can do without this.
        while !topics.is_empty() {
            if let Err(error) = look(&client, &topics, (&mut consumer, &mut seen), &latest).await {
                tracing::debug!(%error, "averages cannot be shown yet");
            }
            timer::sleep(LOOK_EVERY).await;
        }
    })
}

/// Reads the last records of each partition that has grown. However fast the pipeline is, a look
/// costs the same: a view that reads along would take more time than the pipeline itself.
async fn look(
    client: &Client,
    topics: &[String],
    (consumer, seen): (&mut Consumer, &mut Seen),
    latest: &Latest,
) -> Result<(), ClientError> {
    let mut places = Vec::new();
    for topic in topics {
        let count = client.topic(topic).await?.partition_count();
        places.extend((0..count).map(|partition| (topic.as_str(), partition)));
    }
    let isolation = Isolation::ReadCommitted;
    let ends = client.admin().list_offsets(&places, OffsetAt::Latest, isolation).await?;
    let starts = client.admin().list_offsets(&places, OffsetAt::Earliest, isolation).await?;
    let mut open = BTreeMap::new();
    for (place, end) in ends {
        let start = starts.get(&place).map_or(0, |start| start.offset);
        let known = seen.insert(place.clone(), end.offset).unwrap_or(start);
        if known < end.offset {
            open.insert(place, (known.max(end.offset - RECORDS_MAX).max(start), end.offset));
        }
    }
    consumer.assign(open.iter().map(|((topic, place), (from, _))| (topic.as_str(), *place, *from)));
    while !open.is_empty() {
        let fetched = consumer.poll(LOOK_EVERY).await?;
        if fetched.is_empty() {
            return Ok(());
        }
        for part in fetched {
            show(&part.batches, part.from, latest);
            let place = (part.topic.to_string(), part.partition);
            if open.get(&place).is_some_and(|(_, end)| part.next_offset >= *end) {
                open.remove(&place);
                consumer.pause(&part.topic, part.partition)?;
            }
        }
    }
    Ok(())
}

fn show(batches: &[Batch], from: i64, latest: &Latest) {
    for batch in batches {
        let Ok(decoded) = batch.decode(BATCH_BYTES_MAX) else {
            continue;
        };
        for record in decoded.iter().flatten().filter(|record| record.offset >= from) {
            take(record.key, record.value, latest);
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
