//! A slot's parked keys: orders come in, letters go on from where they waited.
//!
//! Orders are read as any input is: their positions are in the transaction of what they cause.
//! While a lot leaves, its partition of the dead letters is read too, from before the lot's first
//! letter. What comes in of the key meanwhile waits behind, so the end would run away from a busy
//! key: for the last stretch the slot takes no new input, and commits, until the letters that it
//! has just written have come back.

use std::collections::BTreeMap;
use std::fmt;

use client::admin::OffsetAt;
use client::consumer::Fetched;
use client::options::Isolation;
use client::transaction::TxnRecord;
use client::{Client, ClientError};
use protocol::record::Batch;
use tracing::{debug, warn};

use super::{Slot, Trouble};
use crate::engine::flow::{Halt, RecordFailure};
use crate::engine::parking::bytes;
use crate::engine::parking::letter::Letter;
use crate::engine::task::Task;
use crate::engine::writer::{Place, SlotOutlet, Writer};
use crate::limits::{DECODED_BATCH_BYTES_MAX, PARKED_HOLD_MS_MAX, WRITER_FULL_BYTES};

/// What a slot reads beside its inputs.
pub(crate) struct Parked {
    client: Client,
    /// The topic of the dead letters.
    topic: Option<String>,
    /// How far its partitions have been read, where lots leave.
    scans: BTreeMap<i32, i64>,
    /// Whether lots have begun to leave, or to leave again, so that reading starts anew.
    is_stale: bool,
    hold: Hold,
}

/// Whether new input waits for letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// It is taken, and will be until this time at least.
    Open { until_ms: u64 },
    /// It waits until this time at most.
    Held { until_ms: u64 },
}

impl fmt::Debug for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parked({} partitions are read)", self.scans.len())
    }
}

impl Parked {
    /// Nothing leaves yet.
    pub(crate) fn new(client: Client, topic: Option<String>) -> Self {
        let hold = Hold::Open { until_ms: 0 };
        Self { client, topic, scans: BTreeMap::new(), is_stale: true, hold }
    }

    /// Lets the letters be read from where they are needed now.
    pub(super) fn reread(&mut self) {
        self.is_stale = true;
    }

    /// Whether nothing leaves, so that nothing is due before the next order. Whether letters leave
    /// is known when it has been looked at since the start.
    pub(super) fn is_at_rest(&self) -> bool {
        let has_looked = !self.is_stale && self.scans.is_empty() && !self.holds_input();
        self.topic.is_none() || has_looked
    }

    /// Whether no new input is taken.
    pub(super) fn holds_input(&self) -> bool {
        matches!(self.hold, Hold::Held { .. })
    }
}

/// The position of a task's orders, if it has moved.
pub(super) fn orders_of(task: &Task) -> Option<(&str, i32, i64)> {
    let orders = &task.state.parking.orders;
    let parking = task.code.stage.parking.as_ref()?;
    let is_moved = orders.next != orders.committed;
    is_moved.then_some((parking.orders.as_str(), task.partition, orders.next))
}

/// Writes what the transaction has changed of a task's lots.
pub(super) fn write_changes(
    task: &Task,
    place: Option<Place>,
    now_ms: i64,
    writer: &mut Writer,
) -> Result<(), ClientError> {
    let Some(place) = place else {
        return Ok(());
    };
    let mut value = Vec::new();
    for (name, lot) in task.state.parking.changes() {
        if let Some(lot) = lot {
            bytes::write_lot(&mut value, lot);
        }
        let value = lot.map(|_| value.as_slice());
        let record = TxnRecord { timestamp: now_ms, key: Some(name), value, headers: &[] };
        writer.append(place, task.partition, &record)?;
    }
    Ok(())
}

impl Slot {
    /// Reads orders from where they were committed, and letters anew.
    pub(super) fn assign_orders(&mut self) {
        self.parked.scans.clear();
        self.parked.is_stale = true;
        self.parked.hold = Hold::Open { until_ms: 0 };
        for task in &self.tasks {
            if let Some(parking) = &task.code.stage.parking {
                let next = task.state.parking.orders.next;
                self.consumer.add(&parking.orders, task.partition, next);
            }
        }
    }

    /// Takes what was fetched, if it is orders or letters.
    pub(super) async fn take_parked(&mut self, part: &Fetched) -> Result<bool, Trouble> {
        if self.parked.topic.as_deref() == Some(&*part.topic) {
            self.take_letters(part).await?;
            return Ok(true);
        }
        let of = self.tasks.iter().position(|task| {
            let parking = task.code.stage.parking.as_ref();
            task.partition == part.partition && parking.is_some_and(|it| *it.orders == *part.topic)
        });
        let Some(index) = of else {
            return Ok(false);
        };
        if self.tasks[index].state.parking.orders.next != part.from {
            // Fetched before a rollback.
            return Ok(true);
        }
        self.begin()?;
        for batch in &part.batches {
            self.obey_orders(index, part.from, batch)?;
        }
        self.tasks[index].state.parking.orders.next = part.next_offset;
        Ok(true)
    }

    fn obey_orders(&mut self, index: usize, from: i64, batch: &Batch) -> Result<(), Trouble> {
        let task = &mut self.tasks[index];
        let decoded = batch.decode(DECODED_BATCH_BYTES_MAX).map_err(damaged(task, batch))?;
        for record in decoded.iter() {
            let record = record.map_err(damaged(task, batch))?;
            if record.offset < from {
                continue;
            }
            let order = record.value.and_then(bytes::read_order);
            let (Some(name), Some(order)) = (record.key, order) else {
                warn!(task = %task.code.stage.id, offset = record.offset, "foreign order left out");
                continue;
            };
            self.parked.is_stale |= task.state.parking.obey(name, order);
        }
        Ok(())
    }

    /// Lets letters go on, committing in between where it is much.
    async fn take_letters(&mut self, part: &Fetched) -> Result<(), Trouble> {
        if self.parked.scans.get(&part.partition) != Some(&part.from) {
            // Fetched before reading began anew.
            return Ok(());
        }
        self.begin()?;
        for batch in &part.batches {
            let mut from = part.from;
            while let Some(next) = self.run_letters(from, batch)? {
                self.commit().await?;
                self.begin()?;
                from = next;
            }
            self.check_state()?;
            self.writer.drain().await?;
        }
        self.parked.scans.insert(part.partition, part.next_offset);
        Ok(())
    }

    /// Runs the letters of a batch whose turn it is. When their results have filled the writer,
    /// the offset at which to go on after a commit.
    fn run_letters(&mut self, from: i64, batch: &Batch) -> Result<Option<i64>, Trouble> {
        let decoded = match batch.decode(DECODED_BATCH_BYTES_MAX) {
            Ok(decoded) => decoded,
            Err(cause) => {
                let at = batch.header().base_offset;
                warn!(offset = at, %cause, "damaged dead letters left out");
                return Ok(None);
            }
        };
        for record in decoded.iter() {
            let Ok(record) = record else {
                warn!(offset = batch.header().base_offset, "damaged dead letters left out");
                return Ok(None);
            };
            let Some(letter) = Letter::of(&record).filter(|it| it.at >= from) else {
                continue;
            };
            let waiting = self.writer.waiting_bytes();
            for (task, handles) in self.tasks.iter_mut().zip(&self.handles) {
                let is_its = task.code.chain.pipeline == letter.pipeline
                    && task.partition == letter.partition
                    && task.code.chain.is_sequenced;
                if !is_its {
                    continue;
                }
                if waiting + task.change_bytes() >= WRITER_FULL_BYTES {
                    return Ok(Some(letter.at));
                }
                let mut outlet = SlotOutlet { writer: &mut self.writer, places: &handles.outputs };
                let lost = task.let_go(&letter, &mut outlet, &mut self.scratch)?;
                if lost > 0 {
                    warn!(task = letter.task, lost, "dead letters are gone from their topic");
                }
            }
        }
        Ok(None)
    }

    /// Reads the letters of lots that leave, and holds new input back for the last of them.
    pub(super) async fn follow_letters(&mut self) -> Result<(), Trouble> {
        let mut leaving: BTreeMap<i32, i64> = BTreeMap::new();
        for task in &self.tasks {
            for (partition, from) in task.state.parking.leaving() {
                let known = leaving.entry(partition).or_insert(from);
                *known = from.min(*known);
            }
        }
        let Some(topic) = self.parked.topic.clone() else {
            return Ok(());
        };
        let over: Vec<i32> =
            self.parked.scans.keys().filter(|at| !leaving.contains_key(at)).copied().collect();
        for partition in over {
            self.consumer.remove(&topic, partition);
            self.parked.scans.remove(&partition);
        }
        if std::mem::take(&mut self.parked.is_stale) && !leaving.is_empty() {
            let places: Vec<(&str, i32)> =
                leaving.keys().map(|partition| (topic.as_str(), *partition)).collect();
            let (admin, isolation) = (self.parked.client.admin(), Isolation::ReadUncommitted);
            let starts = admin.list_offsets(&places, OffsetAt::Earliest, isolation).await?;
            for ((_, partition), start) in starts {
                let from = leaving.get(&partition).map_or(start.offset, |at| start.offset.max(*at));
                self.consumer.add(&topic, partition, from);
                self.parked.scans.insert(partition, from);
            }
        }
        self.hold(&topic)
    }

    /// Holds new input back, or takes it again.
    fn hold(&mut self, topic: &str) -> Result<(), Trouble> {
        let now_ms = self.clock.steady_ms();
        match self.parked.hold {
            Hold::Open { until_ms } => {
                let is_at_end = |(partition, next): (&i32, &i64)| {
                    let marks = self.consumer.watermarks(topic, *partition);
                    marks.is_some_and(|it| (0..=*next).contains(&it.last_stable_offset))
                };
                if now_ms >= until_ms && self.parked.scans.iter().any(is_at_end) {
                    let until_ms = now_ms + PARKED_HOLD_MS_MAX;
                    self.parked.hold = Hold::Held { until_ms };
                    self.pause_inputs()?;
                }
            }
            Hold::Held { until_ms } => {
                let is_late = now_ms >= until_ms;
                if is_late {
                    self.give_up_lots(topic)?;
                }
                if is_late || self.parked.scans.is_empty() {
                    let until_ms = if is_late { now_ms + PARKED_HOLD_MS_MAX } else { now_ms };
                    self.parked.hold = Hold::Open { until_ms };
                    self.resume_inputs()?;
                }
            }
        }
        Ok(())
    }

    /// Everything that was written has had its time to come back. Where nothing is open in the
    /// topic either, what has not come is not there.
    fn give_up_lots(&mut self, topic: &str) -> Result<(), Trouble> {
        if self.has_work() {
            return Ok(());
        }
        self.begin()?;
        for (partition, next) in &self.parked.scans {
            let marks = self.consumer.watermarks(topic, *partition);
            if marks.is_none_or(|it| it.high_watermark < 0 || it.high_watermark > *next) {
                continue;
            }
            for task in &mut self.tasks {
                let lost = task.state.parking.give_up(*partition);
                if lost > 0 {
                    let stage = &task.code.stage.id;
                    warn!(%stage, partition, lost, "dead letters are gone from their topic");
                }
            }
        }
        Ok(())
    }

    fn pause_inputs(&mut self) -> Result<(), Trouble> {
        debug!("input waits for the last dead letters");
        for (topic, partition) in self.routes.keys() {
            self.consumer.pause(topic, *partition)?;
        }
        Ok(())
    }

    fn resume_inputs(&mut self) -> Result<(), Trouble> {
        for (topic, partition) in self.routes.keys() {
            self.consumer.resume(topic, *partition)?;
        }
        Ok(())
    }
}

/// The end of the pipeline with orders that cannot be read.
fn damaged<E: fmt::Display>(task: &Task, batch: &Batch) -> impl Fn(E) -> Trouble + use<E> {
    let failure = RecordFailure {
        task: task.code.stage.id.clone(),
        reason: String::new(),
        topic: task.code.stage.parking.as_ref().map(|it| it.orders.clone()).unwrap_or_default(),
        partition: task.partition,
        offset: batch.header().base_offset,
        key: None,
    };
    move |cause| {
        let reason = format!("the batch is damaged: {cause}");
        Trouble::Halt(Halt::Record(RecordFailure { reason, ..failure.clone() }))
    }
}
