//! Reading as a member of a group.
//!
//! What is printed is committed. With `-n` the end may lie inside a batch, so commits are then
//! made by hand: those of whole polls through the group, the last one after leaving it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::consumer::Fetched;
use client::options::{GroupOptions, StartAt};
use client::{Client, ClientError, GroupConsumer};

use super::{Asked, Hands, POLL_WAIT, stopped};
use crate::config::Settings;
use crate::message::{Exit, Failure, failed};
use crate::offset_spec::OffsetSpec;

type Positions = BTreeMap<(String, i32), i64>;

/// Reads until there has been enough, or with `-e` until the group is at the ends of its
/// partitions.
pub(super) async fn read(
    client: &Client,
    group: &str,
    asked: &Asked<'_>,
    hands: &mut Hands<'_>,
) -> Result<Exit, Failure> {
    for topic in &asked.args.topics {
        let found = client.topic(topic).await;
        found.map_err(|error| failed::client(&error, &hands.stage.settings))?;
    }
    let options = options(group, asked, &hands.stage.settings)?;
    let mut consumer = client.group_consumer(GroupOptions { auto_commit_every: None, ..options });
    let mut printed = Positions::new();
    let ended = read_on(&mut consumer, asked, hands, &mut printed).await;
    // What belongs to somebody else by now is his to commit.
    let own: BTreeSet<(String, i32)> =
        consumer.assignment().map(|(topic, partition)| (topic.to_owned(), partition)).collect();
    printed.retain(|key, _| own.contains(key));
    let closed = consumer.close().await;
    if let Err(error) = commit(client, group, &printed).await {
        hands.stage.note(&format!("the last positions were not committed: {error}"));
    }
    let exit = ended?;
    closed.map_err(|error| failed::client(&error, &hands.stage.settings))?;
    Ok(exit)
}

fn options(group: &str, asked: &Asked<'_>, settings: &Settings) -> Result<GroupOptions, Failure> {
    let mut options = GroupOptions::new(group, &asked.args.names());
    options.consumer = asked.options.clone();
    options.start_at = match asked.place {
        Some(OffsetSpec::Start) => StartAt::Earliest,
        Some(OffsetSpec::End) => StartAt::Latest,
        None => reset(settings)?,
        Some(_) => {
            let failure = Failure::usage("a group begins at -o start or -o end only");
            return Err(failure.help("leave -g out to read from another place"));
        }
    };
    let or =
        |name: &str, usual: Duration| settings.duration(name).map(|found| found.unwrap_or(usual));
    options.session_timeout = or("session.timeout.ms", options.session_timeout)?;
    options.heartbeat_every = or("heartbeat.interval.ms", options.heartbeat_every)?;
    Ok(options)
}

fn reset(settings: &Settings) -> Result<StartAt, Failure> {
    let found = settings.read("auto.offset.reset", "earliest or latest", |text| match text {
        "earliest" => Some(StartAt::Earliest),
        "latest" => Some(StartAt::Latest),
        _ => None,
    })?;
    Ok(found.unwrap_or(StartAt::Latest))
}

async fn read_on(
    consumer: &mut GroupConsumer,
    asked: &Asked<'_>,
    hands: &mut Hands<'_>,
    printed: &mut Positions,
) -> Result<Exit, Failure> {
    loop {
        let fetched = runtime::select! {
            fetched = consumer.poll(POLL_WAIT) => fetched,
            _ = hands.signals.next() => return Ok(stopped(asked.args)),
        };
        let fetched = fetched.map_err(|error| failed::client(&error, &hands.stage.settings))?;
        for part in &fetched {
            let stopped_at = hands.print(part, None)?;
            note(printed, part, stopped_at);
        }
        hands.stage.flush()?;
        if hands.is_done() {
            return Ok(Exit::Success);
        }
        if !fetched.is_empty() {
            // A refused commit means a rebalance: who reads the partition next repeats a little.
            drop(consumer.commit().await);
        }
        if asked.args.until_end && is_at_end(consumer) {
            return Ok(Exit::Success);
        }
    }
}

fn note(printed: &mut Positions, part: &Fetched, stopped_at: Option<i64>) {
    let key = (part.topic.to_string(), part.partition);
    // A partition that had to wait for its turn may not have been printed at all.
    printed.insert(key, stopped_at.unwrap_or(part.next_offset));
}

/// Whether all partitions of this member have been read to their ends.
fn is_at_end(consumer: &GroupConsumer) -> bool {
    let mut assigned = consumer.assignment().peekable();
    let inner = consumer.consumer();
    assigned.peek().is_some()
        && assigned.all(|(topic, partition)| {
            let position = inner.position(topic, partition).unwrap_or(-1);
            let watermarks = inner.watermarks(topic, partition);
            watermarks.is_some_and(|it| {
                it.high_watermark >= 0 && position >= it.last_stable_offset.min(it.high_watermark)
            })
        })
}

async fn commit(client: &Client, group: &str, printed: &Positions) -> Result<(), ClientError> {
    if printed.is_empty() {
        return Ok(());
    }
    let offsets: Vec<(&str, i32, i64)> = printed
        .iter()
        .map(|((topic, partition), offset)| (topic.as_str(), *partition, *offset))
        .collect();
    client.admin().commit_offsets(group, &offsets).await
}
