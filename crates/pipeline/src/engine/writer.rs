//! What a slot writes with: transactions, or plain batches with positions committed behind them.
//!
//! Both take records, hand them on between batches and settle everything at a commit. Without
//! transactions a crash between the outputs and the positions repeats what lies between: that is
//! `delivery: at_least_once`. Without a crash the results are the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use client::options::ProducerOptions;
use client::producer::{Producer, Record};
use client::transaction::{TopicHandle, TransactionalProducer, TxnRecord};
use client::{Client, ClientError};
use protocol::partitioner::{murmur2, to_positive};
use protocol::record::HeaderRef;

use super::flow::{Out, Outlet, OutletError};
use super::task::Task;
use crate::limits::{WRITER_BYTES_MAX, WRITER_FULL_BYTES};

/// Writes for a slot.
pub(crate) enum Writer {
    /// Outputs, state and positions in one transaction.
    ExactlyOnce(Box<TransactionalProducer>),
    /// Outputs and state first, then positions.
    AtLeastOnce(Plain),
}

/// A topic that a writer knows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Transactional(TopicHandle),
    Plain(usize),
}

/// A writer without transactions.
pub(crate) struct Plain {
    client: Client,
    producer: Producer,
    topics: Vec<(Arc<str>, i32)>,
    /// Keys, values and headers of what waits, one behind the other.
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
    /// Whether something was handed on since the last commit.
    is_dirty: bool,
    offsets: BTreeMap<String, BTreeMap<(String, i32), i64>>,
    /// What is kept beside each offset: whose it is.
    owner: String,
}

struct Waiting {
    topic: usize,
    partition: i32,
    timestamp: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Vec<(Range<usize>, Option<Range<usize>>)>,
}

impl Writer {
    /// A writer without transactions; `owner` is kept beside each offset that it commits.
    pub(crate) fn at_least_once(client: &Client, owner: String) -> Self {
        Self::AtLeastOnce(Plain {
            client: client.clone(),
            producer: client.producer(ProducerOptions::default()),
            topics: Vec::new(),
            bytes: Vec::new(),
            waiting: Vec::new(),
            is_dirty: false,
            offsets: BTreeMap::new(),
            owner,
        })
    }

    /// Learns of a topic.
    pub(crate) async fn topic(&mut self, topic: &str) -> Result<Place, ClientError> {
        match self {
            Self::ExactlyOnce(producer) => Ok(Place::Transactional(producer.topic(topic).await?)),
            Self::AtLeastOnce(plain) => {
                let view = plain.client.topic(topic).await?;
                let known = plain.topics.iter().position(|(name, _)| *name == view.name);
                if known.is_none() {
                    plain.topics.push((Arc::clone(&view.name), view.partition_count()));
                }
                Ok(Place::Plain(known.unwrap_or(plain.topics.len() - 1)))
            }
        }
    }

    pub(crate) fn partition_count(&self, place: Place) -> i32 {
        match (self, place) {
            (Self::ExactlyOnce(producer), Place::Transactional(topic)) => {
                producer.partition_count(topic)
            }
            (Self::AtLeastOnce(plain), Place::Plain(topic)) => {
                plain.topics.get(topic).map_or(0, |(_, count)| *count)
            }
            _ => 0,
        }
    }

    /// The offset behind the last record that is known to be written to a partition by this writer
    /// alone; `None` when there is none, or others may have written in between.
    pub(crate) fn written_end(&self, place: Place, partition: i32) -> Option<i64> {
        match (self, place) {
            (Self::ExactlyOnce(producer), Place::Transactional(topic)) => {
                producer.written_end(topic, partition)
            }
            // Without transactions nobody is fenced.
            _ => None,
        }
    }

    /// Whether it writes in transactions, so that whoever takes over has fenced it before.
    pub(crate) fn is_transactional(&self) -> bool {
        matches!(self, Self::ExactlyOnce(_))
    }

    fn partition_for(&self, place: Place, key: &[u8]) -> i32 {
        match (self, place) {
            (Self::ExactlyOnce(producer), Place::Transactional(topic)) => {
                producer.partition_for(topic, Some(key))
            }
            _ => to_positive(murmur2(key)) % self.partition_count(place).max(1),
        }
    }

    pub(crate) fn begin(&mut self) -> Result<(), ClientError> {
        match self {
            Self::ExactlyOnce(producer) => producer.begin(),
            Self::AtLeastOnce(_) => Ok(()),
        }
    }

    /// Takes a record; it goes out with the next `drain` or commit.
    pub(crate) fn append(
        &mut self,
        place: Place,
        partition: i32,
        record: &TxnRecord<'_>,
    ) -> Result<(), ClientError> {
        match (self, place) {
            (Self::ExactlyOnce(producer), Place::Transactional(topic)) => {
                producer.append(topic, partition, record)
            }
            (Self::AtLeastOnce(plain), Place::Plain(topic)) => {
                plain.append(topic, partition, record)
            }
            _ => Err(ClientError::NoTransaction { call: "append" }),
        }
    }

    pub(crate) fn send_offsets(
        &mut self,
        group: &str,
        offsets: &[(&str, i32, i64)],
    ) -> Result<(), ClientError> {
        match self {
            Self::ExactlyOnce(producer) => producer.send_offsets(group, offsets),
            Self::AtLeastOnce(plain) => {
                let of_group = plain.offsets.entry(group.to_owned()).or_default();
                for (topic, partition, next) in offsets {
                    of_group.insert(((*topic).to_owned(), *partition), *next);
                }
                Ok(())
            }
        }
    }

    /// Says ahead of a commit what it will write beside what was appended.
    pub(crate) async fn prepare(
        &mut self,
        places: &[(Place, i32)],
        groups: &[&str],
    ) -> Result<(), ClientError> {
        let Self::ExactlyOnce(producer) = self else {
            return Ok(());
        };
        let transactional = places.iter().filter_map(|(place, partition)| match place {
            Place::Transactional(topic) => Some((*topic, *partition)),
            Place::Plain(_) => None,
        });
        let partitions: Vec<_> = transactional.collect();
        producer.prepare(&partitions, groups).await
    }

    /// Whether something was taken since the last commit.
    pub(crate) fn has_records(&self) -> bool {
        match self {
            Self::ExactlyOnce(producer) => producer.buffered_bytes() > 0,
            Self::AtLeastOnce(plain) => plain.is_dirty || !plain.waiting.is_empty(),
        }
    }

    /// Bytes that were taken and are not acknowledged yet.
    pub(crate) fn waiting_bytes(&self) -> usize {
        match self {
            Self::ExactlyOnce(producer) => producer.buffered_bytes(),
            Self::AtLeastOnce(plain) => plain.bytes.len(),
        }
    }

    /// Hands on what was taken, between input batches.
    pub(crate) async fn drain(&mut self) -> Result<(), ClientError> {
        match self {
            Self::ExactlyOnce(producer) => producer.drain().await,
            Self::AtLeastOnce(plain) => plain.drain().await,
        }
    }

    /// Settles everything since the last commit.
    pub(crate) async fn commit(&mut self) -> Result<(), ClientError> {
        match self {
            Self::ExactlyOnce(producer) => producer.commit().await,
            Self::AtLeastOnce(plain) => plain.commit().await,
        }
    }

    /// Gives up what can still be given up.
    pub(crate) async fn abort(&mut self) -> Result<(), ClientError> {
        match self {
            Self::ExactlyOnce(producer) => producer.abort().await,
            Self::AtLeastOnce(plain) => {
                plain.forget();
                plain.offsets.clear();
                Ok(())
            }
        }
    }
}

impl Plain {
    fn append(
        &mut self,
        topic: usize,
        partition: i32,
        record: &TxnRecord<'_>,
    ) -> Result<(), ClientError> {
        if self.bytes.len() >= WRITER_BYTES_MAX {
            return Err(ClientError::BufferFull);
        }
        let mut keep = |part: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(part);
            start..self.bytes.len()
        };
        let key = record.key.map(&mut keep);
        let value = record.value.map(&mut keep);
        let headers = record.headers.iter();
        let headers = headers.map(|(name, value)| (keep(name), value.map(&mut keep))).collect();
        let timestamp = record.timestamp;
        self.waiting.push(Waiting { topic, partition, timestamp, key, value, headers });
        Ok(())
    }

    async fn drain(&mut self) -> Result<(), ClientError> {
        self.is_dirty |= !self.waiting.is_empty();
        for waiting in &self.waiting {
            let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
            let headers: Vec<HeaderRef<'_>> = waiting
                .headers
                .iter()
                .map(|(name, value)| (part(name), value.as_ref().map(part)))
                .collect();
            let record = Record {
                topic: self.topics.get(waiting.topic).map_or("", |(name, _)| &**name),
                partition: Some(waiting.partition),
                timestamp: Some(waiting.timestamp),
                key: waiting.key.as_ref().map(part),
                value: waiting.value.as_ref().map(part),
                headers: &headers,
            };
            self.producer.append(record).await?;
        }
        self.forget();
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), ClientError> {
        self.drain().await?;
        self.producer.flush().await?;
        self.is_dirty = false;
        let admin = self.client.admin();
        for (group, offsets) in std::mem::take(&mut self.offsets) {
            let offsets: Vec<(&str, i32, i64)> = offsets
                .iter()
                .map(|((topic, partition), next)| (topic.as_str(), *partition, *next))
                .collect();
            if !offsets.is_empty() {
                admin.commit_offsets_with(&group, &offsets, &self.owner).await?;
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.bytes.clear();
    }
}

/// The topics that a task writes.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    /// By output index.
    pub(crate) outputs: Vec<Place>,
    /// By node.
    pub(crate) changelogs: BTreeMap<usize, Place>,
    /// Of the keys that are parked.
    pub(crate) parked: Option<Place>,
}

impl Handles {
    /// Those of a task.
    ///
    /// # Errors
    /// When a topic cannot be found.
    pub(crate) async fn of(task: &Task, writer: &mut Writer) -> Result<Self, ClientError> {
        let mut handles = Self::default();
        for topic in &task.code.outputs {
            handles.outputs.push(writer.topic(topic).await?);
        }
        for (node, changelog) in task.changelogs() {
            handles.changelogs.insert(node, writer.topic(changelog).await?);
        }
        if let Some(parking) = &task.code.stage.parking {
            handles.parked = Some(writer.topic(&parking.changelog).await?);
        }
        Ok(handles)
    }
}

/// Puts a chain's records into a writer.
pub(crate) struct SlotOutlet<'s> {
    pub(crate) writer: &'s mut Writer,
    pub(crate) places: &'s [Place],
}

impl SlotOutlet<'_> {
    fn append(&mut self, place: Place, partition: i32, record: Out<'_>) -> Result<(), OutletError> {
        let taken = TxnRecord {
            timestamp: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        self.writer.append(place, partition, &taken).map_err(|error| match error {
            ClientError::TooLarge { bytes, .. } => OutletError::TooLarge(bytes),
            other => OutletError::Client(other),
        })
    }
}

impl Outlet for SlotOutlet<'_> {
    fn emit(&mut self, output: usize, record: Out<'_>) -> Result<(), OutletError> {
        let Some(place) = self.places.get(output).copied() else {
            return Ok(());
        };
        let partition = match record.key {
            Some(key) => self.writer.partition_for(place, key),
            // Without a key, what came from one partition stays together and in order.
            None => record.from_partition % self.writer.partition_count(place).max(1),
        };
        self.append(place, partition, record)
    }

    fn emit_to(
        &mut self,
        output: usize,
        partition: i32,
        record: Out<'_>,
    ) -> Result<(), OutletError> {
        match self.places.get(output).copied() {
            Some(place) => self.append(place, partition, record),
            None => Ok(()),
        }
    }

    fn is_full(&self, change_bytes: usize) -> bool {
        self.writer.waiting_bytes() + change_bytes >= WRITER_FULL_BYTES
    }
}
