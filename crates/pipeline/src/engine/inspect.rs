//! What a pipeline remembers, read from its changelogs alone: whether it runs or not, and without
//! asking anybody who runs it.
//!
//! Committed records alone count, so what is shown is the state as of the last commits. What a
//! value means follows from its bytes: counts and means have their own lengths. Whether keys carry
//! a window follows from the virtual shards, which belong to the records' keys.

use std::collections::BTreeMap;

use client::Client;
use client::options::Isolation;
use topology::plan::{Outline, plan_topic_of};

use super::changelog::{self, Read};
use super::error::EngineError;
use super::ledger::Ledger;
use super::parking::open::each_record;
use crate::limits::INSPECTED_KEYS_MAX;
use state::store::{shard_of, split_key};
use state::value::{Mean, StateValue as _};

/// What is remembered of a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Remembered {
    /// How often it came.
    Count(u64),
    /// The mean of its numbers, and how many there were.
    Mean {
        /// The mean.
        mean: f64,
        /// The numbers.
        count: u64,
    },
}

/// A key of a store, in one window when it has windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The record's key.
    pub key: Vec<u8>,
    /// The end of its window in milliseconds since 1970; none without windows.
    pub window_end_ms: Option<i64>,
    /// What is remembered.
    pub value: Remembered,
    /// The partition of the task that remembers it.
    pub partition: i32,
    /// When it last changed, in milliseconds since 1970.
    pub changed_ms: i64,
}

/// The state of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Content {
    /// The topic that it was read from.
    pub changelog: String,
    /// The keys, by key and window.
    pub entries: Vec<Entry>,
    /// Keys beyond [`INSPECTED_KEYS_MAX`], which were not kept.
    pub left_out: u64,
    /// Whether the keys have windows.
    pub is_windowed: bool,
}

/// The tasks of a pipeline that keep state, with their changelogs; none when the log has nothing
/// of this name.
///
/// # Errors
/// The log's; [`EngineError::PlanFormat`] when what lies there was written by another version.
pub async fn stores(
    client: &Client,
    pipeline: &str,
) -> Result<Option<BTreeMap<String, String>>, EngineError> {
    let topic = plan_topic_of(pipeline);
    let listed = client.admin().topics().await?;
    if !listed.iter().any(|it| *it.name == *topic) {
        return Ok(None);
    }
    let Some(newest) = Ledger::read(client, &topic).await?.newest else {
        return Ok(None);
    };
    let outline = Outline::parse(&newest.outline)
        .map_err(|error| EngineError::PlanFormat { reason: error.to_string() })?;
    let stores = outline.stores.into_iter().map(|(task, store)| (task, store.changelog));
    Ok(Some(stores.collect()))
}

/// Reads the state of a task; of one key alone when one is given.
///
/// # Errors
/// The log's; [`EngineError::ChangelogUnreadable`] for what is no state of ours.
pub async fn read(
    client: &Client,
    changelog: &str,
    key: Option<&[u8]>,
) -> Result<Content, EngineError> {
    let count = match client.topic(changelog).await {
        Ok(topic) => topic.partition_count(),
        // It is made with the pipeline's first start.
        Err(client::ClientError::UnknownTopic { .. }) => 0,
        Err(error) => return Err(error.into()),
    };
    let places: Vec<(String, i32)> = (0..count).map(|it| (changelog.to_owned(), it)).collect();
    let mut heap = Heap { wanted: key, ..Heap::default() };
    each_record(client, &places, Isolation::ReadCommitted, |place, record| {
        let unreadable = || EngineError::ChangelogUnreadable {
            topic: place.0.clone(),
            partition: place.1,
            offset: record.offset,
        };
        let key = record.key.ok_or_else(unreadable)?;
        heap.take(place.1, (key, record.value), record.timestamp).ok_or_else(unreadable)
    })
    .await?;
    Ok(heap.content(changelog))
}

/// The last value of each stored key.
#[derive(Debug, Default)]
struct Heap<'k> {
    /// The only key that is wanted.
    wanted: Option<&'k [u8]>,
    values: BTreeMap<(Vec<u8>, i32), (Remembered, i64)>,
    left_out: u64,
    /// Stored keys whose shard is that of the whole, and of what follows a window's end.
    plain: u64,
    windowed: u64,
}

impl Heap<'_> {
    /// Takes a record over; none when it is no state of ours.
    fn take(
        &mut self,
        partition: i32,
        (key, value): (&[u8], Option<&[u8]>),
        changed_ms: i64,
    ) -> Option<()> {
        let Read::Key { shard, stored } = changelog::read_key(key)? else {
            return Some(());
        };
        let behind_window = split_key(stored).map(|(_, key)| key);
        self.plain += u64::from(shard_of(stored) == shard);
        self.windowed += u64::from(behind_window.is_some_and(|key| shard_of(key) == shard));
        let is_wanted = |wanted: &[u8]| stored == wanted || behind_window == Some(wanted);
        if !self.wanted.is_none_or(is_wanted) {
            return Some(());
        }
        let place = (stored.to_vec(), partition);
        let Some(value) = value else {
            self.values.remove(&place);
            return Some(());
        };
        let value = remembered(value)?;
        let has_room = self.values.len() < INSPECTED_KEYS_MAX || self.values.contains_key(&place);
        if has_room {
            self.values.insert(place, (value, changed_ms));
        } else {
            self.left_out += 1;
        }
        Some(())
    }

    fn content(self, changelog: &str) -> Content {
        // A key of the other kind has the right shard by chance once in 1,024.
        let is_windowed = self.windowed > self.plain;
        let entries = self.values.into_iter().map(|((stored, partition), (value, changed_ms))| {
            let window = split_key(&stored).filter(|_| is_windowed);
            let window_end_ms = window.map(|(end_ms, _)| end_ms);
            let key = window.map_or_else(|| stored.clone(), |(_, key)| key.to_vec());
            Entry { key, window_end_ms, value, partition, changed_ms }
        });
        let is_wanted = |entry: &Entry| self.wanted.is_none_or(|wanted| entry.key == wanted);
        let mut entries: Vec<Entry> = entries.filter(is_wanted).collect();
        entries.sort_by(|a, b| (&a.key, a.window_end_ms).cmp(&(&b.key, b.window_end_ms)));
        let changelog = changelog.to_owned();
        Content { changelog, entries, left_out: self.left_out, is_windowed }
    }
}

fn remembered(bytes: &[u8]) -> Option<Remembered> {
    if let Some(count) = u64::decode(bytes) {
        return Some(Remembered::Count(count));
    }
    let mean = Mean::decode(bytes)?;
    Some(Remembered::Mean { mean: mean.mean(), count: mean.count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(record_key: &[u8], window_end_ms: Option<i64>) -> Vec<u8> {
        let mut key = vec![1];
        key.extend_from_slice(&shard_of(record_key).to_be_bytes());
        if let Some(end_ms) = window_end_ms {
            key.extend_from_slice(&end_ms.to_be_bytes());
        }
        key.extend_from_slice(record_key);
        key
    }

    fn count(number: u8) -> [u8; 9] {
        [1, 0, 0, 0, 0, 0, 0, 0, number]
    }

    fn content(records: &[(Vec<u8>, Option<[u8; 9]>)], wanted: Option<&[u8]>) -> Content {
        let mut heap = Heap { wanted, ..Heap::default() };
        for (key, value) in records {
            let value = value.as_ref().map(|value| &value[..]);
            assert_eq!(heap.take(0, (key, value), 7), Some(()));
        }
        heap.content("log")
    }

    #[test]
    fn the_last_value_of_each_key_counts_and_what_was_forgotten_is_gone() {
        let records = [
            (stored(b"a-long-key", None), Some(count(1))),
            (stored(b"b", None), Some(count(2))),
            (stored(b"a-long-key", None), Some(count(3))),
            (stored(b"b", None), None),
        ];
        let content = content(&records, None);
        assert!(!content.is_windowed);
        let [entry] = &content.entries[..] else { panic!("{content:?}") };
        assert_eq!((&entry.key[..], entry.window_end_ms), (&b"a-long-key"[..], None));
        assert_eq!((entry.value, entry.changed_ms), (Remembered::Count(3), 7));
    }

    #[test]
    fn windows_are_told_from_keys_by_their_shards_and_one_key_may_be_asked_for() {
        let records = [
            (stored(b"a", Some(20)), Some(count(1))),
            (stored(b"a", Some(10)), Some(count(2))),
            (stored(b"b", Some(10)), Some(count(3))),
            (vec![1, 0xff, 0xff, b't', b'i', b'm', b'e'], None),
        ];
        let all = content(&records, None);
        assert!(all.is_windowed);
        assert_eq!(all.entries.len(), 3);
        let of_a = content(&records, Some(b"a"));
        let windows: Vec<_> = of_a.entries.iter().map(|it| (it.window_end_ms, it.value)).collect();
        let expected = [(Some(10), Remembered::Count(2)), (Some(20), Remembered::Count(1))];
        assert_eq!(windows, expected);
    }

    #[test]
    fn a_mean_is_read_with_its_count_and_foreign_bytes_are_refused() {
        let mut mean = Mean::default();
        mean.add(1.0);
        mean.add(2.0);
        let mut bytes = Vec::new();
        mean.encode(&mut bytes);
        assert_eq!(remembered(&bytes), Some(Remembered::Mean { mean: 1.5, count: 2 }));
        assert_eq!(remembered(b"\x09"), None);
        let mut heap = Heap::default();
        assert_eq!(heap.take(0, (b"\x02\0\0k", None), 7), None);
    }
}
