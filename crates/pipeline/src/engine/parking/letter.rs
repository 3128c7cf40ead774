//! A dead letter: a record with headers that tell where it failed, why, and where it came from.

use protocol::record::{HeaderRef, Headers, Record};
use topology::expression::RecordFacts;

use super::{Place, Ticket};
use crate::engine::flow::Flow;

const PIPELINE: &str = "millstream-pipeline";
const TASK: &str = "millstream-task";
const REASON: &str = "millstream-reason";
const TOPIC: &str = "millstream-topic";
const PARTITION: &str = "millstream-partition";
const OFFSET: &str = "millstream-offset";
const PLACE: &str = "millstream-place";
const SEQUENCE: &str = "millstream-sequence";

/// Headers of a letter that others wait behind, or that waits itself.
const SEQUENCED_HEADERS: usize = 8;

/// What is told of a record that is put aside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notice<'a> {
    pub(crate) pipeline: &'a str,
    pub(crate) place: Place<'a>,
    pub(crate) reason: &'a str,
    /// Its number; `None` for one that nobody waits behind.
    pub(crate) ticket: Option<Ticket>,
}

impl Notice<'_> {
    /// Calls `write` with the record's headers and, behind them, those that tell of it.
    pub(crate) fn with_headers<T>(
        &self,
        flow: &Flow<'_>,
        write: impl FnOnce(&[HeaderRef<'_>]) -> T,
    ) -> T {
        let facts = &flow.facts;
        let (partition, offset) = (facts.partition.to_string(), facts.offset.to_string());
        let told: [(&str, &str); 6] = [
            (PIPELINE, self.pipeline),
            (TASK, self.place.task),
            (REASON, self.reason),
            (TOPIC, facts.topic),
            (PARTITION, &partition),
            (OFFSET, &offset),
        ];
        let numbered =
            self.ticket.map(|ticket| (self.place.to_string(), ticket.sequence.to_string()));
        let numbered = numbered
            .iter()
            .flat_map(|(place, sequence)| [(PLACE, place.as_str()), (SEQUENCE, sequence.as_str())]);
        let told = told.into_iter().chain(numbered);
        let told = told.map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        let headers: Vec<HeaderRef<'_>> = flow.headers.iter().chain(told).collect();
        write(&headers)
    }
}

/// A letter as it lies in the topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter<'a> {
    pub(crate) pipeline: &'a str,
    pub(crate) task: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Its place and sequence, where letters have an order.
    pub(crate) numbered: Option<(Place<'a>, u64)>,
    /// The record's own headers.
    pub(crate) headers: Headers<'a>,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp_ms: i64,
    /// Where it lies among the letters.
    pub(crate) at: i64,
}

impl<'a> Letter<'a> {
    /// The letter that a record is; `None` for foreign records.
    pub(crate) fn of(record: &Record<'a>) -> Option<Self> {
        let text = |name: &str| {
            let value = record.headers.last(name.as_bytes()).flatten()?;
            std::str::from_utf8(value).ok()
        };
        let numbered = match (text(PLACE), text(SEQUENCE)) {
            (Some(place), Some(sequence)) => Some((Place::parse(place), sequence.parse().ok()?)),
            _ => None,
        };
        let told = if numbered.is_some() { SEQUENCED_HEADERS } else { SEQUENCED_HEADERS - 2 };
        Some(Self {
            pipeline: text(PIPELINE)?,
            task: text(TASK)?,
            reason: text(REASON)?,
            topic: text(TOPIC)?,
            partition: text(PARTITION)?.parse().ok()?,
            offset: text(OFFSET)?.parse().ok()?,
            numbered,
            headers: record.headers.first(record.headers.len().checked_sub(told)?),
            key: record.key,
            value: record.value,
            timestamp_ms: record.timestamp,
            at: record.offset,
        })
    }

    /// The record as it was when it was put aside.
    pub(crate) fn flow(&'a self) -> Flow<'a> {
        let facts = RecordFacts {
            key: self.key,
            value: self.value,
            timestamp_ms: self.timestamp_ms,
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            headers: &self.headers,
        };
        Flow { facts, headers: self.headers }
    }
}
