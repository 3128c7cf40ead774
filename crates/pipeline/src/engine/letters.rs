//! Dead letters as people see them: which keys are parked, their letters, and what becomes of them.
//!
//! What is parked is read from the topics, whether the pipeline runs or not. What becomes of a key
//! is written into the topic of orders: the slot that has the key takes it up within its own
//! transaction, now or when it runs again. An order names the letter that was seen first; once that
//! one has left, the order does nothing, so that it may come twice.

use std::collections::BTreeMap;

use client::Client;
use client::options::{Isolation, ProducerOptions};
use client::producer::Record;
use topology::plan::{Parking, Plan};

use super::error::EngineError;
use super::flow::shown;
use super::parking::letter::Letter;
use super::parking::open::each_record;
use super::parking::{Lot, Order, Place, bytes};

/// A key whose records wait at a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// Where they wait: the task's id, or `sender->task` for the way into it.
    pub place: String,
    /// The task's id.
    pub task: String,
    /// The key as text; what is no text is shown in hexadecimal.
    pub key: String,
    /// The partition of the task.
    pub partition: i32,
    /// The number of the first letter that waits.
    pub first: u64,
    /// How many letters wait.
    pub waiting: u64,
    /// Whether they are on their way out.
    pub is_leaving: bool,
    /// Why the first one cannot be worked on, or could not at its last try.
    pub reason: String,
    /// The key under which the lot is known.
    name: Vec<u8>,
    orders: String,
}

/// A record of the dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The task's id.
    pub task: String,
    /// Where it waits, or has waited; `None` for a letter that nobody waits behind.
    pub place: Option<String>,
    /// Its number at this place, likewise.
    pub sequence: Option<u64>,
    /// Why it was put aside.
    pub reason: String,
    /// The topic that the record came from.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset; -1 for the result of a window.
    pub offset: i64,
    /// The key as text; what is no text is shown in hexadecimal.
    pub key: Option<String>,
    /// The value as text, likewise.
    pub value: Option<String>,
    /// Its time in milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// What becomes of a parked key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// The first letter is left out, the others go on in their order.
    Release,
    /// The first letter is run again, then the others.
    Replay,
    /// All letters that were seen are left out; what came since goes on.
    Drop,
}

/// The keys that are parked, by place and key.
///
/// # Errors
/// The log's; a topic that holds what is not ours.
pub async fn parked(client: &Client, plan: &Plan) -> Result<Vec<ParkedKey>, EngineError> {
    let there = client.admin().topics().await?;
    let count = |topic: &str| {
        let found = there.iter().find(|known| &*known.name == topic);
        found.map_or(0, |known| known.partition_count())
    };
    let mut keys = Vec::new();
    for parking in plan.stages.iter().filter_map(|stage| stage.parking.as_ref()) {
        let changelog = &parking.changelog;
        let places: Vec<(String, i32)> =
            (0..count(changelog)).map(|partition| (changelog.clone(), partition)).collect();
        keys.extend(parked_in(client, parking, &places).await?);
    }
    keys.sort_by(|left, right| (&left.place, &left.key).cmp(&(&right.place, &right.key)));
    Ok(keys)
}

async fn parked_in(
    client: &Client,
    parking: &Parking,
    places: &[(String, i32)],
) -> Result<Vec<ParkedKey>, EngineError> {
    let mut lots: BTreeMap<(Vec<u8>, i32), Lot> = BTreeMap::new();
    // What was told as done may still wait for its marker.
    each_record(client, places, Isolation::ReadUncommitted, |(topic, partition), record| {
        let unreadable = || EngineError::ChangelogUnreadable {
            topic: topic.clone(),
            partition: *partition,
            offset: record.offset,
        };
        let name = (record.key.ok_or_else(unreadable)?.to_vec(), *partition);
        match record.value {
            Some(value) => {
                lots.insert(name, bytes::read_lot(value).ok_or_else(unreadable)?);
            }
            None => {
                lots.remove(&name);
            }
        }
        Ok(())
    })
    .await?;
    let parked = lots.into_iter().filter_map(|((name, partition), lot)| {
        let (place, key) = bytes::split_key(&name)?;
        Some(ParkedKey {
            place: place.to_owned(),
            task: Place::parse(place).task.to_owned(),
            key: shown(key),
            partition,
            first: lot.first,
            waiting: lot.next.saturating_sub(lot.first),
            is_leaving: lot.is_leaving,
            reason: lot.reason,
            orders: parking.orders.clone(),
            name,
        })
    });
    Ok(parked.collect())
}

/// Calls `each` with every letter of the pipeline, partition by partition in their order.
///
/// # Errors
/// The log's, and what `each` says.
pub async fn each_letter<E: From<EngineError>>(
    client: &Client,
    plan: &Plan,
    mut each: impl FnMut(DeadLetter) -> Result<(), E>,
) -> Result<(), E> {
    let Some(topic) = &plan.dead_letter else {
        return Ok(());
    };
    let there = client.admin().topics().await.map_err(EngineError::from)?;
    let found = there.iter().find(|known| *known.name == **topic);
    let count = found.map_or(0, |known| known.partition_count());
    let mut said = Ok(());
    for partition in 0..count {
        let place = [(topic.clone(), partition)];
        each_record(client, &place, Isolation::ReadUncommitted, |_, record| {
            let letter = Letter::of(record).filter(|letter| letter.pipeline == plan.pipeline);
            if let (Some(letter), Ok(())) = (letter, &said) {
                said = each(owned(&letter));
            }
            Ok(())
        })
        .await?;
    }
    said
}

fn owned(letter: &Letter<'_>) -> DeadLetter {
    DeadLetter {
        task: letter.task.to_owned(),
        place: letter.numbered.map(|(place, _)| place.to_string()),
        sequence: letter.numbered.map(|(_, sequence)| sequence),
        reason: letter.reason.to_owned(),
        topic: letter.topic.to_owned(),
        partition: letter.partition,
        offset: letter.offset,
        key: letter.key.map(shown),
        value: letter.value.map(shown),
        timestamp_ms: letter.timestamp_ms,
    }
}

/// Says what becomes of parked keys; it is durable when this returns.
///
/// # Errors
/// The log's.
pub async fn order(
    client: &Client,
    keys: &[ParkedKey],
    verb: Verb,
    now_ms: i64,
) -> Result<(), EngineError> {
    let producer = client.producer(ProducerOptions::default());
    for key in keys {
        let next = match verb {
            Verb::Replay => key.first,
            Verb::Release => key.first + 1,
            Verb::Drop => key.first + key.waiting,
        };
        let value = bytes::write_order(Order { first: key.first, next });
        let record = Record {
            topic: &key.orders,
            partition: Some(key.partition),
            key: Some(&key.name),
            value: Some(&value),
            headers: &[],
            timestamp: Some(now_ms),
        };
        producer.append(record).await?;
    }
    Ok(producer.close().await?)
}
