//! `bench consume`: records per second out of a topic, every one of them decoded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::ClientError;
use client::consumer::Fetched;
use client::options::Isolation;

use super::load::{self, Load, stored};
use super::report::{Faults, Measured};
use super::{Bench, BenchError, Spent};

/// How long one poll waits.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Time without a record after which the topic is taken to be empty, in microseconds.
const SILENCE_US_MAX: u64 = 10_000_000;

/// Bytes of one batch after decompression.
pub(super) const BATCH_BYTES_MAX: usize = 256 << 20;

/// What was read so far.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    bytes: u64,
    next: BTreeMap<i32, i64>,
    lost: u64,
    duplicates: u64,
    out_of_order: u64,
}

/// Measures; a topic without records is filled first.
///
/// # Errors
/// What the cluster says.
pub(super) async fn measure(bench: &Bench) -> Result<Measured, BenchError> {
    let there = match stored(&bench.client, &bench.topic).await? {
        0 => fill(bench).await?,
        there => there,
    };
    let warmup = bench.plan.warmup.min(there / 2);
    let wanted = bench.plan.records.map_or(there, |records| there.min(records + warmup));
    let mut consumer = bench.client.consumer(bench.consuming.clone());
    let mut tally = Tally::default();
    let starts = starts(bench).await?;
    tally.next.extend(starts.iter().map(|(_, partition, offset)| (*partition, *offset)));
    consumer.assign(starts.iter().map(|(topic, partition, offset)| (*topic, *partition, *offset)));
    let mut begun: Option<Begun> = None;
    let mut last_us = bench.clock.steady_us();
    while tally.records < wanted {
        let fetched = consumer.poll(POLL_WAIT).await?;
        for part in &fetched {
            tally.take(part)?;
        }
        let now_us = bench.clock.steady_us();
        if !fetched.is_empty() {
            last_us = now_us;
        } else if now_us - last_us > SILENCE_US_MAX {
            break;
        }
        let Begun { at_us: from_us, .. } = match begun {
            None if tally.records < warmup => continue,
            None => *begun.insert(Begun::now(bench, &tally)),
            Some(begun) => begun,
        };
        let lasting = bench.plan.lasting.map(|lasting| lasting.as_micros());
        if lasting.is_some_and(|lasting| u128::from(now_us - from_us) >= lasting) {
            break;
        }
    }
    let end = Begun::now(bench, &tally);
    let begun = begun.unwrap_or(end);
    Ok(Measured {
        records: end.records - begun.records,
        bytes: end.bytes - begun.bytes,
        took_us: last_us.max(begun.at_us) - begun.at_us,
        delays: None,
        faults: tally.faults(wanted, bench.plan.lasting.is_some()),
        spent: end.spent.since(begun.spent),
    })
}

/// Where the figures stood at a moment.
#[derive(Debug, Clone, Copy)]
struct Begun {
    at_us: u64,
    spent: Spent,
    records: u64,
    bytes: u64,
}

impl Begun {
    fn now(bench: &Bench, tally: &Tally) -> Self {
        let (records, bytes) = (tally.records, tally.bytes);
        Self { at_us: bench.clock.steady_us(), spent: bench.spent(), records, bytes }
    }
}

async fn fill(bench: &Bench) -> Result<u64, BenchError> {
    const RECORDS_USUAL: u64 = 1_000_000;
    let records = bench.plan.records.unwrap_or(RECORDS_USUAL) + bench.plan.warmup;
    let load = Load {
        topic: Arc::from(bench.topic.name.as_str()),
        size: bench.plan.size,
        rate: None,
        is_timed: false,
        first: 0,
        records: Some(records),
        lasting: None,
    };
    let producer = bench.client.producer(bench.producing.clone());
    load::send(load, &producer, &bench.clock).await?;
    Ok(records)
}

async fn starts(bench: &Bench) -> Result<Vec<(&str, i32, i64)>, ClientError> {
    use client::admin::OffsetAt::Earliest;

    let name = bench.topic.name.as_str();
    let partitions: Vec<(&str, i32)> =
        (0..bench.topic.partitions).map(|partition| (name, partition)).collect();
    let isolation = Isolation::ReadUncommitted;
    let listed = bench.client.admin().list_offsets(&partitions, Earliest, isolation).await?;
    Ok(listed.into_iter().map(|((_, partition), found)| (name, partition, found.offset)).collect())
}

impl Tally {
    fn take(&mut self, part: &Fetched) -> Result<(), ClientError> {
        let mut next = self.next.get(&part.partition).copied().unwrap_or(part.from);
        for batch in &part.batches {
            let damaged = |cause| {
                let topic = part.topic.to_string();
                ClientError::Record { topic, partition: part.partition, cause }
            };
            let decoded = batch.decode(BATCH_BYTES_MAX).map_err(damaged)?;
            for record in decoded.iter() {
                let record = record.map_err(damaged)?;
                if record.offset < part.from {
                    continue;
                }
                self.records += 1;
                self.bytes += base::cast::u64_of(record.value.map_or(0, <[u8]>::len));
                match record.offset.cmp(&next) {
                    std::cmp::Ordering::Equal => {}
                    std::cmp::Ordering::Greater => {
                        self.lost += base::cast::u64_of_i64(record.offset - next);
                    }
                    std::cmp::Ordering::Less if record.offset == next - 1 => self.duplicates += 1,
                    std::cmp::Ordering::Less => self.out_of_order += 1,
                }
                next = record.offset + 1;
            }
        }
        self.next.insert(part.partition, next);
        Ok(())
    }

    fn faults(&self, wanted: u64, is_cut_by_time: bool) -> Faults {
        let missing = if is_cut_by_time { 0 } else { wanted.saturating_sub(self.records) };
        Faults {
            lost: self.lost.max(missing),
            duplicates: self.duplicates,
            out_of_order: Some(self.out_of_order),
        }
    }
}
