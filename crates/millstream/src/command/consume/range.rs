//! From where to where each partition is read.

use std::collections::BTreeMap;

use client::admin::{ListedOffset, OffsetAt};
use client::consumer::{Consumer, Fetched};
use client::{Client, ClientError};

use super::Asked;
use crate::offset_spec::OffsetSpec;

type TopicPartition = (String, i32);

/// A piece of a partition; without an end it goes on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    from: i64,
    until: Option<i64>,
}

/// The pieces that are still to be read.
#[derive(Debug)]
pub(super) struct Ranges {
    open: BTreeMap<TopicPartition, Range>,
}

/// What the cluster says of a partition.
struct Ends {
    start: i64,
    end: i64,
    since: Option<i64>,
    before: Option<i64>,
}

impl Ranges {
    /// Asks the cluster what the place means on each partition.
    pub(super) async fn resolve(client: &Client, asked: &Asked<'_>) -> Result<Self, ClientError> {
        let mut partitions: Vec<TopicPartition> = Vec::new();
        for topic in &asked.args.topics {
            let view = client.topic(topic).await?;
            if asked.args.partitions.is_empty() {
                partitions.extend((0..view.partition_count()).map(|it| (topic.clone(), it)));
            }
            for partition in &asked.args.partitions {
                view.partition(*partition)?;
                partitions.push((topic.clone(), *partition));
            }
        }
        let place = asked.place.unwrap_or(OffsetSpec::End);
        let lists = Lists::ask(client, &partitions, place, asked).await?;
        let range = |key: TopicPartition| {
            let ends = lists.of(&key);
            let mut range = range_of(place, &ends);
            if asked.args.until_end {
                range.until = Some(range.until.map_or(ends.end, |until| until.min(ends.end)));
            }
            (key, range)
        };
        Ok(Self { open: partitions.into_iter().map(range).collect() })
    }

    /// Where each partition begins.
    pub(super) fn starts(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.open.iter().map(|((topic, partition), range)| (topic.as_str(), *partition, range.from))
    }

    /// Where a partition ends; what is no longer open ends before its first record.
    pub(super) fn until(&self, part: &Fetched) -> Option<i64> {
        let key = (part.topic.to_string(), part.partition);
        self.open.get(&key).map_or(Some(0), |range| range.until)
    }

    /// Forgets the partitions that have been read to their end.
    pub(super) fn drop_finished(&mut self, consumer: &mut Consumer) {
        let is_finished =
            |consumer: &Consumer, (topic, partition): &TopicPartition, range: &Range| {
                let position = consumer.position(topic, *partition).unwrap_or(range.from);
                range.until.is_some_and(|until| position >= until)
            };
        let finished: Vec<TopicPartition> = self
            .open
            .iter()
            .filter(|(key, range)| is_finished(consumer, key, range))
            .map(|(key, _)| key.clone())
            .collect();
        for (topic, partition) in finished {
            consumer.remove(&topic, partition);
            self.open.remove(&(topic, partition));
        }
    }

    /// Whether all has been read.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_empty()
    }
}

type Listed = BTreeMap<TopicPartition, ListedOffset>;

/// Answers of the cluster for all partitions; only what the place needs was asked for.
struct Lists {
    starts: Listed,
    ends: Listed,
    since: Listed,
    before: Listed,
}

impl Lists {
    async fn ask(
        client: &Client,
        partitions: &[TopicPartition],
        place: OffsetSpec,
        asked: &Asked<'_>,
    ) -> Result<Self, ClientError> {
        let admin = client.admin();
        let isolation = asked.options.isolation;
        let names: Vec<(&str, i32)> =
            partitions.iter().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
        let list = async |at: Option<OffsetAt>| match at {
            Some(at) => admin.list_offsets(&names, at, isolation).await,
            None => Ok(Listed::new()),
        };
        let (since, before) = match place {
            OffsetSpec::Since { from_ms } => (Some(from_ms), None),
            OffsetSpec::During { from_ms, until_ms } => (Some(from_ms), Some(until_ms)),
            _ => (None, None),
        };
        Ok(Self {
            starts: list(Some(OffsetAt::Earliest)).await?,
            ends: list(Some(OffsetAt::Latest)).await?,
            since: list(since.map(OffsetAt::Timestamp)).await?,
            before: list(before.map(OffsetAt::Timestamp)).await?,
        })
    }

    fn of(&self, key: &TopicPartition) -> Ends {
        let offset = |listed: &Listed| listed.get(key).map(|found| found.offset);
        // -1 says that no record is as young.
        let found = |listed: &Listed| offset(listed).filter(|offset| *offset >= 0);
        Ends {
            start: offset(&self.starts).unwrap_or(0),
            end: offset(&self.ends).unwrap_or(0),
            since: found(&self.since),
            before: found(&self.before),
        }
    }
}

fn range_of(place: OffsetSpec, ends: &Ends) -> Range {
    let Ends { start, end, .. } = *ends;
    let endless = |from| Range { from, until: None };
    match place {
        OffsetSpec::Start => endless(start),
        OffsetSpec::End => endless(end),
        OffsetSpec::At(offset) => endless(offset),
        OffsetSpec::BeforeEnd(count) => endless(end.saturating_sub(count).max(start)),
        OffsetSpec::AfterStart(count) => endless(start.saturating_add(count).min(end)),
        OffsetSpec::Between { from, until } => Range { from: from.max(start), until: Some(until) },
        OffsetSpec::Since { .. } => endless(ends.since.unwrap_or(end)),
        OffsetSpec::During { .. } => {
            Range { from: ends.since.unwrap_or(end), until: Some(ends.before.unwrap_or(end)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_offsets() {
        let ends = Ends { start: 10, end: 100, since: Some(40), before: None };
        let from = |place| range_of(place, &ends).from;
        assert_eq!(from(OffsetSpec::Start), 10);
        assert_eq!(from(OffsetSpec::End), 100);
        assert_eq!(from(OffsetSpec::At(5)), 5);
        assert_eq!(from(OffsetSpec::BeforeEnd(3)), 97);
        assert_eq!(from(OffsetSpec::BeforeEnd(500)), 10);
        assert_eq!(from(OffsetSpec::AfterStart(3)), 13);
        assert_eq!(from(OffsetSpec::Since { from_ms: 0 }), 40);
        let range = range_of(OffsetSpec::Between { from: 1, until: 20 }, &ends);
        assert_eq!(range, Range { from: 10, until: Some(20) });
        let range = range_of(OffsetSpec::During { from_ms: 0, until_ms: 1 }, &ends);
        assert_eq!(range, Range { from: 40, until: Some(100) });
    }
}
