//! `bench consume`: records per second out of a topic, every one of them decoded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::ClientError;
use client::consumer::Fetched;
use client::options::Isolation;

use super::load::{self, Content, Load, stored};
use super::report::{Faults, Measured};
use super::{Bench, BenchError};

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
    // The same records once before: connections, caches and the first allocations are made then.
    let warmup = bench.plan.warmup.min(there);
    if warmup > 0 {
        read(bench, warmup).await?;
    }
    let wanted = bench.plan.records.map_or(there, |records| there.min(records));
    let spent_before = bench.spent();
    let (tally, took_us) = read(bench, wanted).await?;
    Ok(Measured {
        records: tally.records,
        bytes: tally.bytes,
        took_us,
        delays: None,
        faults: tally.faults(wanted, bench.plan.lasting.is_some()),
        spent: bench.spent().since(spent_before),
    })
}

/// Reads from the start until there are so many records, the time is over or nothing comes.
async fn read(bench: &Bench, wanted: u64) -> Result<(Tally, u64), ClientError> {
    let starts = starts(bench).await?;
    let mut consumer = bench.client.consumer(bench.consuming.clone());
    let mut tally = Tally::default();
    tally.next.extend(starts.iter().map(|(_, partition, offset)| (*partition, *offset)));
    let start_us = bench.clock.steady_us();
    consumer.assign(starts);
    let mut last_us = start_us;
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
        let lasting = bench.plan.lasting.map(|lasting| lasting.as_micros());
        if lasting.is_some_and(|lasting| u128::from(now_us - start_us) >= lasting) {
            break;
        }
    }
    Ok((tally, last_us - start_us))
}

async fn fill(bench: &Bench) -> Result<u64, BenchError> {
    const RECORDS_USUAL: u64 = 1_000_000;
    let records = bench.plan.records.unwrap_or(RECORDS_USUAL);
    let load = Load {
        topic: Arc::from(bench.topic.name.as_str()),
        content: Content::Stamps { size: bench.plan.size },
        rate: None,
        begins_us: None,
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
