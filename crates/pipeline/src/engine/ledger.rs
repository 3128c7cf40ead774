//! The plan topic: who runs the pipeline, with what slots and what state.
//!
//! Whoever starts writes its claim before it uses any transactional id, then fences every id that
//! the topic knows, and only then reads positions. So of two processes with one pipeline the older
//! one is fenced, and can tell by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation, ProducerOptions};
use client::producer::Record;
use client::{Client, ClientError};
use serde::{Deserialize, Serialize};
use topology::plan::{Outline, Plan, compare};

use super::error::EngineError;
use crate::limits::DECODED_BATCH_BYTES_MAX;

/// The format of the claims; another number was written by another version.
const FORMAT: u32 = 1;

/// Who runs a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Format of this record.
    pub format: u32,
    /// The worker's stable id.
    pub worker: String,
    /// Slots that it uses; its transactional ids end with their numbers.
    pub slots: u32,
    /// Their numbers, where they are not all below `slots`: a task manager counts the slots of
    /// all its pipelines, and fencing those of others would cost a flush of the log for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<BTreeSet<u32>>,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When it started, in milliseconds since 1970.
    pub started_ms: i64,
    /// A random number that tells two starts apart.
    pub nonce: u64,
    /// The outline of its plan.
    pub outline: String,
}

impl Claim {
    /// The numbers of its slots.
    pub(crate) fn slot_numbers(&self) -> BTreeSet<u32> {
        self.numbers.clone().unwrap_or_else(|| (0..self.slots).collect())
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = topology::spec::timestamp_text(self.started_ms);
        write!(f, "pid {} on {}, started {started}", self.pid, self.host)
    }
}

/// All claims, the newest of each worker, and the newest of all.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) by_worker: BTreeMap<String, Claim>,
    pub(crate) newest: Option<Claim>,
}

impl Ledger {
    /// Reads the plan topic to its end.
    pub(crate) async fn read(client: &Client, topic: &str) -> Result<Self, EngineError> {
        let place = [(topic, 0)];
        let admin = client.admin();
        let isolation = Isolation::ReadUncommitted;
        let starts = admin.list_offsets(&place, OffsetAt::Earliest, isolation).await?;
        let ends = admin.list_offsets(&place, OffsetAt::Latest, isolation).await?;
        let key = (topic.to_owned(), 0);
        let mut next = starts.get(&key).map_or(0, |found| found.offset);
        let end = ends.get(&key).map_or(0, |found| found.offset);
        let mut ledger = Self::default();
        let mut consumer = client.consumer(ConsumerOptions { isolation, ..Default::default() });
        consumer.assign([(topic, 0, next)]);
        while next < end {
            for part in consumer.poll(Duration::from_secs(1)).await? {
                for batch in &part.batches {
                    ledger.take(batch)?;
                }
                next = part.next_offset;
            }
        }
        Ok(ledger)
    }

    fn take(&mut self, batch: &protocol::record::Batch) -> Result<(), EngineError> {
        let unreadable =
            |reason: String| EngineError::PlanFormat { reason: format!("plan topic: {reason}") };
        let decoded =
            batch.decode(DECODED_BATCH_BYTES_MAX).map_err(|cause| unreadable(cause.to_string()))?;
        for record in decoded.iter() {
            let record = record.map_err(|cause| unreadable(cause.to_string()))?;
            let worker = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            let Some(value) = record.value else {
                self.by_worker.remove(&worker);
                continue;
            };
            let claim: Claim = serde_json::from_slice(value)
                .map_err(|cause| unreadable(format!("offset {}: {cause}", record.offset)))?;
            if claim.format != FORMAT {
                let reason = "the plan was written by a newer Millstream".to_owned();
                return Err(EngineError::PlanFormat { reason });
            }
            self.newest = Some(claim.clone());
            self.by_worker.insert(worker, claim);
        }
        Ok(())
    }

    /// What of an earlier plan cannot be gone on with.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), EngineError> {
        let Some(newest) = &self.newest else {
            return Ok(());
        };
        let before = Outline::parse(&newest.outline)
            .map_err(|error| EngineError::PlanFormat { reason: error.to_string() })?;
        let changes = compare(&before, &Outline::of(plan));
        if changes.iter().any(topology::plan::Change::is_refused) {
            return Err(EngineError::PlanChanged(changes));
        }
        Ok(())
    }

    /// Every transactional id that may be in use.
    pub(crate) fn transactional_ids(&self, pipeline: &str) -> Vec<String> {
        let claims = self.by_worker.values();
        let ids = claims.flat_map(|claim| {
            let slots = claim.slot_numbers().into_iter();
            slots.map(|slot| transactional_id(pipeline, &claim.worker, slot))
        });
        ids.collect()
    }
}

/// The id under which a slot writes.
pub(crate) fn transactional_id(pipeline: &str, worker: &str, slot: u32) -> String {
    format!("ms.{pipeline}.{worker}.{slot}")
}

/// What a process says of itself.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// A stable id of the worker, kept in its data folder.
    pub worker: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When it started, in milliseconds since 1970.
    pub started_ms: i64,
    /// A random number that tells two starts apart.
    pub nonce: u64,
}

impl Claimant {
    /// The claim for a plan. It names all slots that this worker has ever used, so that the ids
    /// of all of them are fenced at the next start.
    pub(crate) fn claim(&self, plan: &Plan, ledger: &Ledger) -> Claim {
        let before = ledger.by_worker.get(&self.worker);
        let numbers = before.and_then(|claim| claim.numbers.clone());
        Claim {
            format: FORMAT,
            worker: self.worker.clone(),
            slots: plan.slots.max(before.map_or(0, |claim| claim.slots)),
            numbers: numbers.map(|numbers| numbers.into_iter().chain(0..plan.slots).collect()),
            host: self.host.clone(),
            pid: self.pid,
            started_ms: self.started_ms,
            nonce: self.nonce,
            outline: Outline::of(plan).to_text(),
        }
    }
}

/// Writes a claim; it is durable when this returns.
pub(crate) async fn write(
    client: &Client,
    topic: &str,
    claim: &Claim,
    now_ms: i64,
) -> Result<(), ClientError> {
    let producer = client.producer(ProducerOptions::default());
    let value = serde_json::to_vec(claim).expect("a claim is plain data");
    let record = Record {
        topic,
        partition: Some(0),
        key: Some(claim.worker.as_bytes()),
        value: Some(&value),
        headers: &[],
        timestamp: Some(now_ms),
    };
    producer.append(record).await?;
    producer.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_claim_are_those_of_the_slots_that_it_names() {
        let claim = |worker: &str, numbers: Option<&[u32]>| Claim {
            format: FORMAT,
            worker: worker.to_owned(),
            slots: 3,
            numbers: numbers.map(|numbers| numbers.iter().copied().collect()),
            host: "h".to_owned(),
            pid: 1,
            started_ms: 0,
            nonce: 1,
            outline: String::new(),
        };
        let claims = [claim("all", None), claim("some", Some(&[2, 700]))];
        let text = serde_json::to_string(&claims[0]).unwrap();
        assert!(!text.contains("numbers"), "as it always was: {text}");
        let text = serde_json::to_string(&claims[1]).unwrap();
        assert_eq!(serde_json::from_str::<Claim>(&text).unwrap(), claims[1]);
        let by_worker = claims.into_iter().map(|claim| (claim.worker.clone(), claim)).collect();
        let ids = Ledger { by_worker, newest: None }.transactional_ids("p");
        assert_eq!(ids, ["ms.p.all.0", "ms.p.all.1", "ms.p.all.2", "ms.p.some.2", "ms.p.some.700"]);
    }
}
