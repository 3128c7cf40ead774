//! Rebuilding a task's state from its changelogs.
//!
//! The end is the high watermark, asked for after every former owner was fenced: up to there
//! everything is either committed or aborted, so that reading committed records reaches it. The
//! last stable offset would not do: a foreign transaction that hangs would hide what lies behind
//! it (PIPELINES: silent under-restore). No progress for too long is an error, not a shrug.

use std::collections::BTreeMap;
use std::time::Duration;

use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, ClientError};
use runtime::timer;

use super::changelog;
use super::error::EngineError;
use super::snapshot::keeper::{StateFolder, Wanted, load};
use super::task::Task;
use crate::limits::{DECODED_BATCH_BYTES_MAX, RESTORE_SILENCE_MS_MAX};

/// A changelog partition and what it restores.
#[derive(Debug, Clone, Copy)]
struct Goal {
    task: usize,
    node: usize,
    end: i64,
    next: i64,
}

/// What a restore may make use of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aids<'a> {
    pub(crate) client: &'a Client,
    /// Where snapshots lie, when there are any.
    pub(crate) folder: Option<&'a StateFolder>,
    /// The plan's.
    pub(crate) fingerprint: u64,
    pub(crate) now_ms: i64,
}

/// Rebuilds the state of these tasks; tells the number of records that were read.
///
/// # Errors
/// The log's, or no progress for [`RESTORE_SILENCE_MS_MAX`].
pub(crate) async fn restore(aids: Aids<'_>, tasks: &mut [Task]) -> Result<u64, EngineError> {
    let mut goals = goals_of(aids.client, tasks).await?;
    load_snapshots(aids, &mut goals, tasks).await?;
    let mut consumer = aids.client.consumer(ConsumerOptions {
        isolation: Isolation::ReadCommitted,
        ..ConsumerOptions::default()
    });
    consumer.assign(
        goals.iter().map(|((topic, partition), goal)| (topic.as_str(), *partition, goal.next)),
    );
    let silence = Duration::from_millis(RESTORE_SILENCE_MS_MAX);
    let mut deadline = timer::now() + silence;
    let mut records = 0;
    goals.retain(|_, goal| goal.next < goal.end);
    while !goals.is_empty() {
        let fetched = consumer.poll(Duration::from_millis(500)).await?;
        if fetched.is_empty() && timer::now() >= deadline {
            let (topic, partition) = goals.keys().next().cloned().unwrap_or_default();
            return Err(EngineError::RestoreStuck { topic, partition });
        }
        for part in fetched {
            deadline = timer::now() + silence;
            let place = (part.topic.to_string(), part.partition);
            let Some(goal) = goals.get_mut(&place) else {
                continue;
            };
            for batch in &part.batches {
                records += take(batch, part.from, *goal, tasks, &place)?;
            }
            goal.next = part.next_offset;
            if goal.next >= goal.end {
                goals.remove(&place);
            }
        }
    }
    for task in tasks {
        task.restored();
    }
    Ok(records)
}

/// Takes snapshots over, so that only the tails behind them are left.
async fn load_snapshots(
    aids: Aids<'_>,
    goals: &mut BTreeMap<(String, i32), Goal>,
    tasks: &mut [Task],
) -> Result<(), ClientError> {
    let Some(folder) = aids.folder else {
        return Ok(());
    };
    for ((changelog, partition), goal) in goals {
        let wanted = Wanted {
            changelog,
            partition: *partition,
            topic: aids.client.topic(changelog).await?.id,
            fingerprint: aids.fingerprint,
            range: (goal.next, goal.end),
            now_ms: aids.now_ms,
        };
        if let Some(offset) = load(folder, &wanted, &mut tasks[goal.task], goal.node).await {
            goal.next = offset;
        }
    }
    Ok(())
}

async fn goals_of(
    client: &Client,
    tasks: &[Task],
) -> Result<BTreeMap<(String, i32), Goal>, ClientError> {
    let mut goals = BTreeMap::new();
    for (index, task) in tasks.iter().enumerate() {
        for (node, changelog) in task.changelogs() {
            let goal = Goal { task: index, node, end: 0, next: 0 };
            goals.insert((changelog.to_owned(), task.partition), goal);
        }
    }
    let places: Vec<(&str, i32)> =
        goals.keys().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
    if places.is_empty() {
        return Ok(goals);
    }
    let admin = client.admin();
    let isolation = Isolation::ReadUncommitted;
    let starts = admin.list_offsets(&places, OffsetAt::Earliest, isolation).await?;
    let ends = admin.list_offsets(&places, OffsetAt::Latest, isolation).await?;
    for (place, goal) in &mut goals {
        goal.next = starts.get(place).map_or(0, |found| found.offset);
        goal.end = ends.get(place).map_or(0, |found| found.offset);
    }
    Ok(goals)
}

fn take(
    batch: &protocol::record::Batch,
    from: i64,
    goal: Goal,
    tasks: &mut [Task],
    (topic, partition): &(String, i32),
) -> Result<u64, EngineError> {
    let damaged = |offset: i64| EngineError::ChangelogUnreadable {
        topic: topic.clone(),
        partition: *partition,
        offset,
    };
    let base = batch.header().base_offset;
    let decoded = batch.decode(DECODED_BATCH_BYTES_MAX).map_err(|_| damaged(base))?;
    let mut count = 0;
    for record in decoded.iter() {
        let record = record.map_err(|_| damaged(base))?;
        if record.offset < from {
            continue;
        }
        let state = &mut tasks[goal.task].state;
        let key = record.key.unwrap_or_default();
        changelog::apply(state, goal.node, key, record.value)
            .map_err(|_| damaged(record.offset))?;
        count += 1;
    }
    Ok(count)
}
