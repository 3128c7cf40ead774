//! Where a task's parking begins: its lots from their changelog, the orders that wait, the ends of
//! the dead letters.
//!
//! Asked for after every former owner was fenced, so that what lies below the ends is settled:
//! letters of a lot that is made from now on lie behind them.

use std::collections::BTreeMap;
use std::time::Duration;

use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, ClientError};
use protocol::record::Record;
use runtime::timer;
use topology::plan::Plan;

use super::{OrderPosition, bytes};
use crate::engine::error::EngineError;
use crate::engine::task::Task;
use crate::limits::{DECODED_BATCH_BYTES_MAX, RESTORE_SILENCE_MS_MAX};

type Places = BTreeMap<(String, i32), i64>;

/// Lets the tasks of a plan begin to park.
///
/// # Errors
/// The log's; a changelog that holds what is no lot, or gives nothing for too long.
pub(crate) async fn open(
    client: &Client,
    plan: &Plan,
    tasks: &mut [Task],
) -> Result<(), EngineError> {
    let Some(topic) = plan.dead_letter.as_ref() else {
        return Ok(());
    };
    let mut changelogs = BTreeMap::new();
    for (index, task) in tasks.iter().enumerate() {
        if let Some(parking) = &task.code.stage.parking {
            changelogs.insert((parking.changelog.clone(), task.partition), index);
        }
    }
    if changelogs.is_empty() {
        return Ok(());
    }
    let count = client.topic(topic).await?.partition_count();
    let places: Vec<(&str, i32)> = (0..count).map(|at| (topic.as_str(), at)).collect();
    let floors = ends(client, &places, Isolation::ReadUncommitted).await?;
    let floors: Vec<i64> = floors.into_values().collect();
    for task in tasks.iter_mut() {
        let Some(parking) = task.code.stage.parking.clone() else {
            continue;
        };
        let position = orders(client, task, &parking.orders).await?;
        task.state.parking.begin(floors.clone(), position);
    }
    let places: Vec<(String, i32)> = changelogs.keys().cloned().collect();
    each_record(client, &places, Isolation::ReadUncommitted, |place, record| {
        let unreadable = || EngineError::ChangelogUnreadable {
            topic: place.0.clone(),
            partition: place.1,
            offset: record.offset,
        };
        let name = record.key.filter(|key| bytes::split_key(key).is_some());
        let name = name.ok_or_else(unreadable)?;
        let lot = match record.value {
            Some(value) => Some(bytes::read_lot(value).ok_or_else(unreadable)?),
            None => None,
        };
        if let Some(task) = changelogs.get(place).and_then(|index| tasks.get_mut(*index)) {
            task.state.parking.restore(name, lot);
        }
        Ok(())
    })
    .await
}

async fn ends(
    client: &Client,
    places: &[(&str, i32)],
    isolation: Isolation,
) -> Result<Places, ClientError> {
    let found = client.admin().list_offsets(places, OffsetAt::Latest, isolation).await?;
    Ok(found.into_iter().map(|(place, found)| (place, found.offset)).collect())
}

/// How far a task has read its orders, and where they end.
async fn orders(client: &Client, task: &Task, topic: &str) -> Result<OrderPosition, ClientError> {
    let (admin, place) = (client.admin(), [(topic, task.partition)]);
    let committed = admin.committed_offsets(&task.code.stage.group, Some(&place), true).await?;
    let committed = committed.into_values().map(|found| found.offset).find(|at| *at >= 0);
    let start = match committed {
        Some(offset) => offset,
        None => {
            let isolation = Isolation::ReadUncommitted;
            let found = admin.list_offsets(&place, OffsetAt::Earliest, isolation).await?;
            found.into_values().map(|found| found.offset).next().unwrap_or(0)
        }
    };
    let goal = ends(client, &place, Isolation::ReadCommitted).await?;
    let goal = goal.into_values().next().unwrap_or(start);
    Ok(OrderPosition { next: start, committed: start, goal })
}

/// Calls `each` with every record that committed readers see of these partitions, up to where they
/// end now.
///
/// # Errors
/// The log's, what `each` says, and no progress for [`RESTORE_SILENCE_MS_MAX`].
pub(crate) async fn each_record(
    client: &Client,
    places: &[(String, i32)],
    until: Isolation,
    mut each: impl FnMut(&(String, i32), &Record<'_>) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    let asked: Vec<(&str, i32)> =
        places.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let starts = client.admin().list_offsets(&asked, OffsetAt::Earliest, until).await?;
    let mut ends = ends(client, &asked, until).await?;
    ends.retain(|place, end| starts.get(place).is_some_and(|start| start.offset < *end));
    let isolation = Isolation::ReadCommitted;
    let mut consumer = client.consumer(ConsumerOptions { isolation, ..ConsumerOptions::default() });
    let begin = ends.keys().filter_map(|place| Some((place, starts.get(place)?.offset)));
    consumer.assign(begin.map(|((topic, partition), at)| (topic.as_str(), *partition, at)));
    let silence = Duration::from_millis(RESTORE_SILENCE_MS_MAX);
    let mut deadline = timer::now() + silence;
    while let Some((topic, partition)) = ends.keys().next().cloned() {
        let fetched = consumer.poll(Duration::from_millis(500)).await?;
        if fetched.is_empty() && timer::now() >= deadline {
            return Err(EngineError::RestoreStuck { topic, partition });
        }
        for part in fetched {
            deadline = timer::now() + silence;
            let place = (part.topic.to_string(), part.partition);
            let Some(end) = ends.get(&place).copied() else {
                continue;
            };
            for batch in &part.batches {
                let damaged = || EngineError::ChangelogUnreadable {
                    topic: place.0.clone(),
                    partition: place.1,
                    offset: batch.header().base_offset,
                };
                let decoded = batch.decode(DECODED_BATCH_BYTES_MAX).map_err(|_| damaged())?;
                for record in decoded.iter() {
                    let record = record.map_err(|_| damaged())?;
                    if (part.from..end).contains(&record.offset) {
                        each(&place, &record)?;
                    }
                }
            }
            if part.next_offset >= end {
                ends.remove(&place);
                consumer.remove(&place.0, place.1);
            }
        }
    }
    Ok(())
}
