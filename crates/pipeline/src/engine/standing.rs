//! How a pipeline stands as far as the log alone tells, whether anybody runs it or not.
//!
//! The plan topic names its groups and their inputs; the groups tell how far it has come, the
//! inputs what waits and since when, and the topic of offsets when it last committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, ClientError};
use protocol::messages::offset_commit_key::OffsetCommitKey;
use protocol::partitioner::partition_for_name;
use protocol::wire::{Message as _, Reader};
use runtime::timer;
use topology::plan::{Outline, plan_topic_of};

use super::error::EngineError;
use super::ledger::{Claim, Ledger};
use crate::limits::{
    COMMIT_TAIL_RECORDS_MAX, DECODED_BATCH_BYTES_MAX, LOOK_MS_MAX, LOOK_PARTITIONS_MAX,
};

const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// The key of an offset is in version 0 of its schema; the number before it is its kind.
const KEY_VERSION: i16 = 0;

/// A pipeline as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who ran it last.
    pub last: Claim,
    /// Its stages by group.
    pub stages: BTreeMap<String, StageStanding>,
}

/// A stage as the log shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageStanding {
    /// What it reads.
    pub topics: Vec<String>,
    /// Records that it has not worked off.
    pub lag: i64,
    /// Partitions of which it has not committed anything yet; all of those count as waiting.
    pub unread_partitions: usize,
    /// The time of the oldest record that waits, in milliseconds since 1970, if it could be read.
    pub behind_ms: Option<i64>,
    /// When it last committed, in milliseconds since 1970, if the newest commits of all groups
    /// beside it still show that.
    pub committed_ms: Option<i64>,
}

/// Looks at a pipeline; none when the log has nothing of this name.
///
/// # Errors
/// The log's; [`EngineError::PlanFormat`] when what lies there was written by another version.
pub async fn look(client: &Client, pipeline: &str) -> Result<Option<Standing>, EngineError> {
    let topic = plan_topic_of(pipeline);
    let listed = client.admin().topics().await?;
    let counts: BTreeMap<&str, i32> =
        listed.iter().map(|topic| (&*topic.name, topic.partition_count())).collect();
    if !counts.contains_key(topic.as_str()) {
        return Ok(None);
    }
    let Some(last) = Ledger::read(client, &topic).await?.newest else {
        return Ok(None);
    };
    let outline = Outline::parse(&last.outline)
        .map_err(|error| EngineError::PlanFormat { reason: error.to_string() })?;
    let mut stages = BTreeMap::new();
    for (group, topics) in outline.stages {
        let stage = stage(client, &group, topics, &counts).await?;
        stages.insert(group, stage);
    }
    Ok(Some(Standing { last, stages }))
}

/// The names of all pipelines that the log has something of.
///
/// # Errors
/// The log's.
pub async fn pipelines(client: &Client) -> Result<BTreeSet<String>, ClientError> {
    let listed = client.admin().topics().await?;
    let names = listed.iter().filter_map(|topic| {
        let name = topic.name.strip_prefix("__ms.")?.strip_suffix(".plan")?;
        (plan_topic_of(name) == *topic.name).then(|| name.to_owned())
    });
    Ok(names.collect())
}

async fn stage(
    client: &Client,
    group: &str,
    topics: Vec<String>,
    counts: &BTreeMap<&str, i32>,
) -> Result<StageStanding, ClientError> {
    let admin = client.admin();
    let count = |topic: &String| counts.get(topic.as_str()).copied().unwrap_or(0);
    let places: Vec<(&str, i32)> = topics
        .iter()
        .flat_map(|topic| (0..count(topic)).map(|partition| (topic.as_str(), partition)))
        .collect();
    let mut standing = StageStanding { topics: topics.clone(), ..StageStanding::default() };
    if places.is_empty() {
        return Ok(standing);
    }
    let committed = admin.committed_offsets(group, Some(&places), false).await?;
    let starts = admin.list_offsets(&places, OffsetAt::Earliest, Isolation::ReadCommitted).await?;
    let ends = admin.list_offsets(&places, OffsetAt::Latest, Isolation::ReadCommitted).await?;
    let mut waiting = Vec::new();
    for (place, end) in &ends {
        let start = starts.get(place).map_or(0, |found| found.offset);
        let found = committed.get(place).map_or(-1, |found| found.offset);
        if found < 0 {
            standing.unread_partitions += 1;
        }
        let next = found.max(start);
        if end.offset > next {
            standing.lag += end.offset - next;
            waiting.push((place.clone(), next));
        }
    }
    standing.behind_ms = oldest(client, &waiting).await?;
    standing.committed_ms = last_commit(client, group).await?;
    Ok(standing)
}

/// The time of the oldest record at these places, as far as they answer in time.
async fn oldest(
    client: &Client,
    waiting: &[((String, i32), i64)],
) -> Result<Option<i64>, ClientError> {
    if waiting.is_empty() {
        return Ok(None);
    }
    let isolation = Isolation::ReadCommitted;
    let mut consumer = client.consumer(ConsumerOptions { isolation, ..ConsumerOptions::default() });
    let places = waiting.iter().take(LOOK_PARTITIONS_MAX);
    consumer.assign(places.map(|((topic, partition), next)| (topic.as_str(), *partition, *next)));
    let mut left = waiting.len().min(LOOK_PARTITIONS_MAX);
    let mut oldest_ms = None;
    let deadline = timer::now() + Duration::from_millis(LOOK_MS_MAX);
    while left > 0 && timer::now() < deadline {
        for part in consumer.poll(Duration::from_millis(100)).await? {
            let times = part.batches.iter().filter_map(|batch| {
                let decoded = batch.decode(DECODED_BATCH_BYTES_MAX).ok()?;
                let mut records = decoded.iter().filter_map(Result::ok);
                records.find(|record| record.offset >= part.from).map(|record| record.timestamp)
            });
            let first = times.into_iter().next();
            if first.is_none() && part.next_offset < part.last_stable_offset {
                continue;
            }
            oldest_ms = oldest_ms.into_iter().chain(first).min();
            consumer.remove(&part.topic, part.partition);
            left -= 1;
        }
    }
    Ok(oldest_ms)
}

/// When a group last committed, as the newest records of its partition of the offsets show.
async fn last_commit(client: &Client, group: &str) -> Result<Option<i64>, ClientError> {
    let count = match client.topic(OFFSETS_TOPIC).await {
        Ok(topic) => topic.partition_count(),
        // Nobody has committed anything yet, or the cluster does not show it.
        Err(ClientError::UnknownTopic { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    last_commit_in(client, group, partition_for_name(group, count.max(1))).await
}

async fn last_commit_in(
    client: &Client,
    group: &str,
    partition: i32,
) -> Result<Option<i64>, ClientError> {
    let place = (OFFSETS_TOPIC, partition);
    let key = (place.0.to_owned(), place.1);
    let (admin, isolation) = (client.admin(), Isolation::ReadCommitted);
    let starts = admin.list_offsets(&[place], OffsetAt::Earliest, isolation).await?;
    let ends = admin.list_offsets(&[place], OffsetAt::Latest, isolation).await?;
    let start = starts.get(&key).map_or(0, |found| found.offset);
    let end = ends.get(&key).map_or(0, |found| found.offset);
    let mut next = start.max(end - COMMIT_TAIL_RECORDS_MAX);
    let mut consumer = client.consumer(ConsumerOptions { isolation, ..ConsumerOptions::default() });
    consumer.assign([(place.0, place.1, next)]);
    let mut committed_ms = None;
    let deadline = timer::now() + Duration::from_millis(LOOK_MS_MAX);
    while next < end && timer::now() < deadline {
        for part in consumer.poll(Duration::from_millis(100)).await? {
            for batch in &part.batches {
                let Ok(decoded) = batch.decode(DECODED_BATCH_BYTES_MAX) else {
                    continue;
                };
                let ours = decoded.iter().filter_map(Result::ok).filter(|record| {
                    record.key.and_then(group_of).is_some_and(|found| found == group)
                });
                committed_ms = ours.map(|record| record.timestamp).chain(committed_ms).max();
            }
            next = part.next_offset;
        }
    }
    Ok(committed_ms)
}

/// The group of an offset's key; none for other records of the topic.
fn group_of(key: &[u8]) -> Option<String> {
    let bytes = Bytes::copy_from_slice(key);
    let mut reader = Reader::new(&bytes);
    let is_offset = matches!(reader.int16(), Ok(0 | 1));
    let key = is_offset.then(|| OffsetCommitKey::decode(&mut reader, KEY_VERSION))?;
    key.ok().map(|key| key.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_offsets_name_their_group_and_others_do_not() {
        let key = b"\x00\x01\x00\x02ms\x00\x01t\x00\x00\x00\x00";
        assert_eq!(group_of(key).as_deref(), Some("ms"));
        assert_eq!(group_of(b"\x00\x02\x00\x02ms"), None);
        assert_eq!(group_of(b"\x00\x01\x00"), None);
    }
}
