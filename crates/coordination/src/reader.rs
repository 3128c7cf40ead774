//! Reading the cluster's topics, in the order of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use base::cast;
use base::clock::Clock;
use client::admin::OffsetAt;
use client::consumer::Fetched;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, Consumer};
use protocol::record::Record;
use runtime::timer;
use serde::Deserialize;
use tracing::warn;

use crate::beat::{Beat, PROTOCOL};
use crate::catalogue::{Catalogue, Entry};
use crate::error::CoordinationError;
use crate::limits::{
    CLOCKS_APART_MS_MAX, DECODED_BATCH_BYTES_MAX, READ_WAIT_MS_MAX, RUN_TOLD_MS, SLOTS_MAX,
    WORKER_BEAT_MS,
};
use crate::request::{Answer, Request};
use crate::runs::Runs;
use crate::sos::{CALL, FreeThreads};
use crate::topics::{ANSWERS, BEATS, CLUSTER, REQUESTS, SOS, SOS_ANSWERS};

/// How far back from its newest beat a node may have told of all its slots, in milliseconds.
const WHOLE_MS_MAX: i64 = cast::i64_of_u64(RUN_TOLD_MS)
    * cast::i64_of(cast::usize_of_u32(SLOTS_MAX))
    + cast::i64_of_u64(2 * WORKER_BEAT_MS);

/// How long somebody whose clock is in doubt listens for a beat: two of a task manager.
const LISTEN_MS: u64 = 2 * WORKER_BEAT_MS;

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the first record.
    Start,
    /// Behind the last record that there is now.
    End,
    /// At an offset.
    At(i64),
}

/// Something that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Of the catalogue.
    Entry(Entry),
    /// A beat.
    Beat(Beat),
    /// A beat of a node that speaks another protocol.
    Foreign(Foreign),
    /// A request, with the offset behind it.
    Request(Request, i64),
    /// An answer.
    Answer(Answer),
    /// The call of a job manager.
    Sos,
    /// The answer of a task manager to it.
    Free(FreeThreads),
}

/// What can be read of a beat of another protocol.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Foreign {
    /// The protocol.
    pub protocol: u32,
    /// The program's version.
    pub version: String,
    /// The epoch in which the node leads.
    #[serde(default)]
    pub leads: Option<u64>,
}

/// Reads some of the topics.
#[derive(Debug)]
pub struct Reader {
    consumer: Consumer,
}

impl Reader {
    /// Reads these topics, committed records only.
    ///
    /// # Errors
    /// The log's.
    pub async fn open(
        client: &Client,
        topics: &[(&'static str, From)],
    ) -> Result<Self, CoordinationError> {
        let options = ConsumerOptions { isolation: Isolation::ReadCommitted, ..Default::default() };
        let mut reader = Self { consumer: client.consumer(options) };
        for (topic, from) in topics {
            let offset = offset(client, topic, *from).await?;
            reader.consumer.add(topic, 0, offset);
        }
        Ok(reader)
    }

    /// Reads a further topic.
    ///
    /// # Errors
    /// The log's.
    pub async fn add(
        &mut self,
        client: &Client,
        topic: &'static str,
        from: From,
    ) -> Result<(), CoordinationError> {
        let offset = offset(client, topic, from).await?;
        self.consumer.add(topic, 0, offset);
        Ok(())
    }

    /// Reads a topic no more.
    pub fn remove(&mut self, topic: &'static str) {
        self.consumer.remove(topic, 0);
    }

    /// What came, in the order of each topic; waits for at most this long.
    ///
    /// # Errors
    /// The log's; [`CoordinationError::Unreadable`] for a record of the catalogue that is none.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<Word>, CoordinationError> {
        let mut words = Vec::new();
        for part in self.consumer.poll(wait).await? {
            read(&part, &mut words)?;
        }
        Ok(words)
    }
}

/// The whole catalogue as it is now.
///
/// # Errors
/// As [`Reader::poll`].
pub async fn catalogue(client: &Client) -> Result<Catalogue, CoordinationError> {
    let mut reader = Reader::open(client, &[(CLUSTER, From::Start)]).await?;
    let end = offset(client, CLUSTER, From::End).await?;
    let mut catalogue = Catalogue::default();
    while reader.consumer.position(CLUSTER, 0).unwrap_or(end) < end {
        for word in reader.poll(Duration::from_secs(1)).await? {
            if let Word::Entry(entry) = word {
                catalogue.apply(entry);
            }
        }
    }
    Ok(catalogue)
}

async fn offset(
    client: &Client,
    topic: &'static str,
    from: From,
) -> Result<i64, CoordinationError> {
    let at = match from {
        From::At(offset) => return Ok(offset),
        From::Start => OffsetAt::Earliest,
        From::End => OffsetAt::Latest,
    };
    let isolation = Isolation::ReadUncommitted;
    let found = client.admin().list_offsets(&[(topic, 0)], at, isolation).await?;
    Ok(found.get(&(topic.to_owned(), 0)).map_or(0, |found| found.offset))
}

fn read(part: &Fetched, words: &mut Vec<Word>) -> Result<(), CoordinationError> {
    let topics = [CLUSTER, BEATS, REQUESTS, ANSWERS, SOS, SOS_ANSWERS];
    let topic = topics.into_iter().find(|it| **it == *part.topic);
    let Some(topic) = topic else {
        return Ok(());
    };
    for batch in &part.batches {
        let base = batch.header().base_offset;
        let damaged =
            |offset: i64, reason: String| CoordinationError::Unreadable { topic, offset, reason };
        let decoded = batch
            .decode(DECODED_BATCH_BYTES_MAX)
            .map_err(|cause| damaged(base, cause.to_string()))?;
        for record in decoded.iter() {
            let record = record.map_err(|cause| damaged(base, cause.to_string()))?;
            if record.offset < part.from {
                continue;
            }
            let read = word(topic, &record);
            let read = read.map_err(|cause| damaged(record.offset, cause.to_string()));
            match read {
                Ok(word) => words.extend(word),
                Err(error) if topic == CLUSTER => return Err(error),
                // Anybody may write there, and a bad word must not stop the cluster.
                Err(error) => warn!(%error, "record left alone"),
            }
        }
    }
    Ok(())
}

fn word(topic: &str, record: &Record<'_>) -> Result<Option<Word>, serde_json::Error> {
    let Some(value) = record.value else {
        return Ok(None);
    };
    let word = match topic {
        CLUSTER => {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            return Ok(Entry::decode(&key, value)?.map(Word::Entry));
        }
        BEATS => {
            let beat: Result<Beat, _> = serde_json::from_slice(value);
            match beat {
                Ok(beat) if beat.protocol == PROTOCOL => {
                    Word::Beat(Beat { logged_ms: record.timestamp, ..beat })
                }
                // What another protocol says need not be read any further.
                told => match serde_json::from_slice::<Foreign>(value)? {
                    foreign if foreign.protocol != PROTOCOL => Word::Foreign(foreign),
                    _ => return told.map(|_| None),
                },
            }
        }
        REQUESTS => Word::Request(serde_json::from_slice(value)?, record.offset + 1),
        SOS => return Ok((value == CALL.as_bytes()).then_some(Word::Sos)),
        SOS_ANSWERS => Word::Free(serde_json::from_slice(value)?),
        _ => Word::Answer(serde_json::from_slice(value)?),
    };
    Ok(Some(word))
}

/// Who is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The newest beat of each node, by id.
    pub beats: BTreeMap<String, Beat>,
    /// How far the log's clock is ahead of ours, in milliseconds, where that is minutes.
    pub apart_ms: Option<i64>,
}

/// The nodes whose newest beat is not older than this, also when our clock is wrong.
///
/// # Errors
/// As [`Reader::poll`].
pub async fn present(
    client: &Client,
    clock: &dyn Clock,
    age_ms: i64,
) -> Result<Present, CoordinationError> {
    let now_ms = clock.unix_ms();
    let end = offset(client, BEATS, From::End).await?;
    let nobody = Present { beats: BTreeMap::new(), apart_ms: None };
    if offset(client, BEATS, From::Start).await? >= end {
        return Ok(nobody);
    }
    let last = first_beat(client, end - 1, READ_WAIT_MS_MAX).await?;
    let is_near = |logged_ms: i64| (logged_ms - now_ms).abs() <= CLOCKS_APART_MS_MAX;
    if last.is_some_and(|beat| is_near(beat.logged_ms)) {
        return Ok(Present { beats: beats(client, now_ms - age_ms).await?, apart_ms: None });
    }
    // Either nobody has been there for long or our clock is wrong; a beat that comes now tells.
    let Some(live) = first_beat(client, end, LISTEN_MS).await? else {
        return Ok(nobody);
    };
    let apart_ms = (!is_near(live.logged_ms)).then_some(live.logged_ms - now_ms);
    Ok(Present { beats: beats(client, live.logged_ms - age_ms).await?, apart_ms })
}

/// The first beat from an offset on, if it comes in time.
async fn first_beat(
    client: &Client,
    from: i64,
    wait_ms: u64,
) -> Result<Option<Beat>, CoordinationError> {
    let mut reader = Reader::open(client, &[(BEATS, From::At(from))]).await?;
    let deadline = timer::now() + Duration::from_millis(wait_ms);
    while timer::now() < deadline {
        let words = reader.poll(Duration::from_millis(READ_WAIT_MS_MAX)).await?;
        let beat = words.into_iter().find_map(|word| match word {
            Word::Beat(beat) => Some(beat),
            _ => None,
        });
        if beat.is_some() {
            return Ok(beat);
        }
    }
    Ok(None)
}

/// The newest beat of each node, of those that were written since a time in milliseconds since
/// 1970 by the log's clock, by id, with all that is known of its slots.
///
/// # Errors
/// As [`Reader::poll`].
pub async fn beats(
    client: &Client,
    since_ms: i64,
) -> Result<BTreeMap<String, Beat>, CoordinationError> {
    let end = offset(client, BEATS, From::End).await?;
    let (admin, isolation) = (client.admin(), Isolation::ReadUncommitted);
    // What a beat does not repeat stands in those before it.
    let at = OffsetAt::Timestamp(since_ms.saturating_sub(WHOLE_MS_MAX).max(0));
    let found = admin.list_offsets(&[(BEATS, 0)], at, isolation).await?;
    let start = found.get(&(BEATS.to_owned(), 0)).map_or(end, |found| found.offset);
    let mut beats: BTreeMap<String, (Beat, Runs)> = BTreeMap::new();
    if start < 0 {
        return Ok(BTreeMap::new());
    }
    let mut reader = Reader::open(client, &[(BEATS, From::At(start))]).await?;
    while reader.consumer.position(BEATS, 0).unwrap_or(end) < end {
        for word in reader.poll(Duration::from_secs(1)).await? {
            if let Word::Beat(mut beat) = word {
                let known = beats.remove(&beat.node);
                let known = known.filter(|(known, _)| known.nonce == beat.nonce);
                let mut runs = Runs::default();
                if let Some((known, of_known)) = known {
                    runs = of_known;
                    beat.complete(known);
                }
                runs.take(std::mem::take(&mut beat.runs), beat.is_partial);
                beats.insert(beat.node.clone(), (beat, runs));
            }
        }
    }
    let since = beats.into_iter().filter(|(_, (beat, _))| beat.logged_ms >= since_ms);
    let whole = since.map(|(node, (beat, runs))| {
        let runs = runs.all().cloned().collect();
        (node, Beat { runs, is_partial: false, ..beat })
    });
    Ok(whole.collect())
}
