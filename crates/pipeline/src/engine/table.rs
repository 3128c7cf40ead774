//! Feeding a table: committed records of a topic go to a sink, which keeps the positions.
//!
//! Rows and positions change in one database transaction, so that what this task repeats after a
//! crash has no effect. The group's offsets in the log are only a mirror for people.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::admin::OffsetAt;
use client::consumer::Fetched;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, Consumer};
use runtime::channel::WatchReceiver;
use runtime::{task, timer};
use topology::plan::Table;

use super::error::EngineError;
use super::view::TableView;
use crate::limits::{
    DECODED_BATCH_BYTES_MAX, SINK_BATCH_RECORDS_MAX, SINK_BUSY_RETRIES_MAX, SINK_BUSY_WAIT_MS,
};
use crate::sink::{Claim, Opened, Position, Sink, SinkError, SinkRecord, Written};

/// A sink that several starts share, one after the other.
pub(crate) type SharedSink = Arc<Mutex<Box<dyn Sink>>>;

/// What the feeder is told: how far to go, once the end is known, and when to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Goal {
    /// Ends of the partitions; empty while nobody waits.
    pub(crate) ends: BTreeMap<i32, i64>,
    /// Whether to end, wherever it stands.
    pub(crate) is_over: bool,
}

/// What a feeder is made of.
pub(crate) struct FeederParts {
    pub(crate) client: Client,
    pub(crate) pipeline: String,
    pub(crate) table: Table,
    pub(crate) partitions: i32,
    pub(crate) sink: SharedSink,
    pub(crate) view: Arc<Mutex<BTreeMap<String, TableView>>>,
    pub(crate) goal: WatchReceiver<Goal>,
}

/// Writes until the goal is reached or the end is asked for.
pub(crate) async fn run(parts: FeederParts) -> Result<(), EngineError> {
    let mut feeder = Feeder::open(parts).await?;
    loop {
        let goal = feeder.parts.goal.borrow_and_update().clone();
        if goal.is_over || feeder.has_reached(&goal) {
            return feeder.close().await;
        }
        let fetched = runtime::select! {
            fetched = feeder.consumer.poll(Duration::from_millis(500)) => fetched?,
            changed = feeder.parts.goal.changed() => {
                if changed.is_err() {
                    return feeder.close().await;
                }
                continue;
            }
        };
        feeder.write(fetched).await?;
    }
}

struct Feeder {
    parts: FeederParts,
    consumer: Consumer,
    next: BTreeMap<i32, i64>,
    mirrored: BTreeMap<i32, i64>,
}

impl Feeder {
    async fn open(parts: FeederParts) -> Result<Self, EngineError> {
        let claim = Claim {
            pipeline: parts.pipeline.clone(),
            sink: parts.table.sink.clone(),
            topic: Arc::from(parts.table.topic.as_str()),
            partitions: (0..parts.partitions).collect(),
        };
        let opened = open(&parts.sink, claim).await;
        let opened = opened.map_err(|error| sink_error(&parts.table, error))?;
        let next = starts(&parts, &opened.positions).await?;
        let mut consumer = parts.client.consumer(ConsumerOptions {
            isolation: Isolation::ReadCommitted,
            ..ConsumerOptions::default()
        });
        let topic = parts.table.topic.as_str();
        consumer.assign(next.iter().map(|(partition, offset)| (topic, *partition, *offset)));
        Ok(Self { consumer, mirrored: BTreeMap::new(), next, parts })
    }

    fn has_reached(&self, goal: &Goal) -> bool {
        let reached = |(partition, end): (&i32, &i64)| {
            self.next.get(partition).is_some_and(|next| next >= end)
        };
        !goal.ends.is_empty() && goal.ends.iter().all(reached)
    }

    async fn write(&mut self, fetched: Vec<Fetched>) -> Result<(), EngineError> {
        for part in fetched {
            let topic = Arc::clone(&part.topic);
            let records = records_of(&part, &topic).map_err(|error| self.failed(error))?;
            let mut batches: Vec<Vec<SinkRecord>> = Vec::new();
            for record in records {
                match batches.last_mut() {
                    Some(batch) if batch.len() < SINK_BATCH_RECORDS_MAX => batch.push(record),
                    _ => batches.push(vec![record]),
                }
            }
            let last = batches.len().saturating_sub(1);
            for (index, batch) in batches.into_iter().enumerate() {
                let behind = batch.last().map_or(part.next_offset, |record| record.offset + 1);
                let next_offset = if index == last { part.next_offset } else { behind };
                self.write_batch(batch, &part, next_offset).await?;
            }
            self.next.insert(part.partition, part.next_offset);
            self.show_lag(&part);
        }
        Ok(())
    }

    async fn write_batch(
        &mut self,
        batch: Vec<SinkRecord>,
        part: &Fetched,
        next_offset: i64,
    ) -> Result<(), EngineError> {
        let topic = Arc::clone(&part.topic);
        let position = Position { topic, partition: part.partition, next_offset };
        let batch = Arc::new(batch);
        for _ in 0..SINK_BUSY_RETRIES_MAX {
            let sink = Arc::clone(&self.parts.sink);
            let (rows, positions) = (Arc::clone(&batch), vec![position.clone()]);
            match task::blocking(move || lock(&sink).write(&rows, &positions)).await {
                Ok(written) => {
                    self.show(written);
                    return Ok(());
                }
                Err(SinkError::Busy { .. }) => {
                    timer::sleep(Duration::from_millis(SINK_BUSY_WAIT_MS)).await;
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        let sink = Arc::clone(&self.parts.sink);
        let written = task::blocking(move || lock(&sink).write(&batch, &[position])).await;
        self.show(written.map_err(|error| self.failed(error))?);
        Ok(())
    }

    fn show(&self, written: Written) {
        let mut views = self.parts.view.lock().expect("no holder of the tables' view panics");
        let view = views.entry(self.parts.table.sink.clone()).or_default();
        view.rows_upserted += written.upserted;
        view.rows_deleted += written.deleted;
    }

    fn show_lag(&self, part: &Fetched) {
        let mut views = self.parts.view.lock().expect("no holder of the tables' view panics");
        let view = views.entry(self.parts.table.sink.clone()).or_default();
        view.lag = (part.last_stable_offset - part.next_offset).max(0);
    }

    fn failed(&self, error: SinkError) -> EngineError {
        sink_error(&self.parts.table, error)
    }

    /// Mirrors the positions into the log, so that tools show them.
    async fn close(mut self) -> Result<(), EngineError> {
        let group = format!("ms.{}.{}", self.parts.pipeline, self.parts.table.sink);
        let topic = self.parts.table.topic.as_str();
        let moved = self
            .next
            .iter()
            .filter(|(partition, next)| self.mirrored.get(*partition) != Some(*next));
        let offsets: Vec<_> = moved.map(|(partition, next)| (topic, *partition, *next)).collect();
        self.parts.client.admin().commit_offsets(&group, &offsets).await?;
        self.mirrored.clone_from(&self.next);
        Ok(())
    }
}

fn lock(sink: &SharedSink) -> std::sync::MutexGuard<'_, Box<dyn Sink>> {
    sink.lock().expect("no holder of a sink panics")
}

fn sink_error(table: &Table, error: SinkError) -> EngineError {
    match error {
        SinkError::Fenced { .. } => EngineError::Fenced { by: None },
        error => EngineError::Sink { sink: table.sink.clone(), error },
    }
}

/// Where to begin: behind what the database has, or at the start of the log.
async fn starts(
    parts: &FeederParts,
    positions: &[Position],
) -> Result<BTreeMap<i32, i64>, EngineError> {
    let topic = parts.table.topic.as_str();
    let places: Vec<(&str, i32)> = (0..parts.partitions).map(|it| (topic, it)).collect();
    let admin = parts.client.admin();
    let isolation = Isolation::ReadUncommitted;
    let first = admin.list_offsets(&places, OffsetAt::Earliest, isolation).await?;
    let last = admin.list_offsets(&places, OffsetAt::Latest, isolation).await?;
    let mut next = BTreeMap::new();
    for partition in 0..parts.partitions {
        let key = (topic.to_owned(), partition);
        let end = last.get(&key).map_or(0, |found| found.offset);
        let known = positions.iter().find(|it| &*it.topic == topic && it.partition == partition);
        let position = match known {
            Some(known) if known.next_offset > end => {
                return Err(EngineError::SinkAhead {
                    sink: parts.table.sink.clone(),
                    topic: topic.to_owned(),
                    partition,
                    position: known.next_offset,
                    end,
                });
            }
            Some(known) => known.next_offset,
            None => first.get(&key).map_or(0, |found| found.offset),
        };
        next.insert(partition, position);
    }
    Ok(next)
}

fn records_of(part: &Fetched, topic: &Arc<str>) -> Result<Vec<SinkRecord>, SinkError> {
    let mut records = Vec::new();
    for batch in &part.batches {
        let damaged = |reason: String| SinkError::Document {
            topic: Arc::clone(topic),
            partition: part.partition,
            offset: batch.header().base_offset,
            key: None,
            reason,
        };
        let decoded =
            batch.decode(DECODED_BATCH_BYTES_MAX).map_err(|error| damaged(error.to_string()))?;
        for record in decoded.iter() {
            let record = record.map_err(|error| damaged(error.to_string()))?;
            if record.offset < part.from {
                continue;
            }
            records.push(SinkRecord {
                topic: Arc::clone(topic),
                partition: part.partition,
                offset: record.offset,
                timestamp_ms: record.timestamp,
                key: record.key.map(|key| decoded.slice_ref(key)),
                value: record.value.map(|value| decoded.slice_ref(value)),
            });
        }
    }
    Ok(records)
}

/// Claims the sink's places. Whoever was overtaken may stand still inside a transaction of the
/// database and keeps it busy until it ends or goes on.
async fn open(sink: &SharedSink, claim: Claim) -> Result<Opened, SinkError> {
    let claim = Arc::new(claim);
    let mut retries_left = SINK_BUSY_RETRIES_MAX;
    loop {
        let (sink, claim) = (Arc::clone(sink), Arc::clone(&claim));
        match task::blocking(move || lock(&sink).open(&claim)).await {
            Err(SinkError::Busy { .. }) if retries_left > 0 => {
                retries_left -= 1;
                timer::sleep(Duration::from_millis(SINK_BUSY_WAIT_MS)).await;
            }
            opened => return opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime::boot::Executor;

    use super::*;
    use crate::sink::TablePreview;

    /// Somebody else holds its database for the first few claims.
    #[derive(Debug)]
    struct HeldByAnother {
        refusals_left: u32,
    }

    impl Sink for HeldByAnother {
        fn open(&mut self, _: &Claim) -> Result<Opened, SinkError> {
            if self.refusals_left == 0 {
                return Ok(Opened { epoch: 2, positions: Vec::new() });
            }
            self.refusals_left -= 1;
            Err(SinkError::Busy { database: "counts.db".to_owned() })
        }

        fn write(&mut self, _: &[SinkRecord], _: &[Position]) -> Result<Written, SinkError> {
            Ok(Written::default())
        }

        fn preview(&mut self, _: usize) -> Result<Vec<TablePreview>, SinkError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_database_that_an_overtaken_process_still_holds_is_asked_again() {
        let held = HeldByAnother { refusals_left: 3 };
        let sink: SharedSink = Arc::new(Mutex::new(Box::new(held)));
        let claim = Claim {
            pipeline: "p".to_owned(),
            sink: "counts".to_owned(),
            topic: Arc::from("counts"),
            partitions: vec![0],
        };
        let opened = Executor::local().unwrap().block_on(open(&sink, claim)).unwrap();
        assert_eq!(opened.epoch, 2);
    }
}
