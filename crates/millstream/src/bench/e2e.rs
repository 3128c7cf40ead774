//! `bench e2e`: from when a record was to be sent until the consumer has it, and whether each
//! one arrives once and in the order of its partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::admin::OffsetAt;
use client::consumer::{Consumer, Fetched};
use client::options::Isolation;
use client::{Client, ClientError};
use runtime::channel::{WatchReceiver, watch};
use runtime::task;

use super::consume::BATCH_BYTES_MAX;
use super::load::{self, Content, Delays, Load, delays, read_stamp};
use super::report::{Faults, Measured};
use super::seen::{NUMBERS_MAX, Seen};
use super::{Bench, BenchError, BenchTopic, Spent};

/// How long one poll waits.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// How long the last records may take after the last one was acknowledged, in microseconds.
const TAIL_US_MAX: u64 = 10_000_000;

/// What arrived.
struct Arrivals {
    warmup: u64,
    delays: Delays,
    seen: Seen,
    last: BTreeMap<i32, u64>,
    records: u64,
    duplicates: u64,
    out_of_order: u64,
    /// Time of the first and of the last measured record.
    from_us: Option<u64>,
    until_us: u64,
}

/// Measures.
///
/// # Errors
/// What the cluster says.
pub(super) async fn measure(bench: &Bench) -> Result<Measured, BenchError> {
    let plan = &bench.plan;
    let rate = plan.rate.unwrap_or(1);
    let warming = Duration::from_micros(plan.warmup * 1_000_000 / u64::from(rate));
    let load = Load {
        topic: Arc::from(bench.topic.name.as_str()),
        content: Content::Stamps { size: plan.size },
        rate: plan.rate,
        begins_us: None,
        is_timed: false,
        first: 0,
        records: plan.records.map(|records| records + plan.warmup),
        lasting: plan.lasting.map(|lasting| lasting + warming),
    };
    let consumer = consumer_at_end(&bench.client, &bench.topic, bench).await?;
    let (tell_sent, sent) = watch(None);
    let reader = Reader {
        consumer,
        clock: Arc::clone(&bench.clock),
        sent,
        arrivals: Arrivals::new(plan.warmup),
        broker_pid: plan.broker_pid,
    };
    let reader = task::spawn("reader", reader.run());
    let producer = bench.client.producer(bench.producing.clone());
    let sending = load::send(load, &producer, &bench.clock).await;
    // The reader ends when it has so many, or after a while when some are lost.
    tell_sent.send_replace(Some(sending.as_ref().map_or(0, |(sent, _)| sent.records)));
    let read = reader.join().await.expect("nobody aborts the reader");
    let (sent, _) = sending?;
    let (arrivals, spent) = read?;
    let from_us = arrivals.from_us.unwrap_or(arrivals.until_us);
    let records = arrivals.records.saturating_sub(plan.warmup);
    Ok(Measured {
        records,
        bytes: records * base::cast::u64_of(plan.size),
        took_us: arrivals.until_us.saturating_sub(from_us),
        faults: Faults {
            lost: sent.records.saturating_sub(arrivals.records),
            duplicates: arrivals.duplicates,
            out_of_order: Some(arrivals.out_of_order),
        },
        delays: Some(arrivals.delays),
        spent,
    })
}

async fn consumer_at_end(
    client: &Client,
    topic: &BenchTopic,
    bench: &Bench,
) -> Result<Consumer, ClientError> {
    let partitions: Vec<(&str, i32)> =
        (0..topic.partitions).map(|partition| (topic.name.as_str(), partition)).collect();
    let isolation = Isolation::ReadUncommitted;
    let ends = client.admin().list_offsets(&partitions, OffsetAt::Latest, isolation).await?;
    let mut consumer = client.consumer(bench.consuming.clone());
    consumer.assign(
        ends.iter().map(|((topic, partition), end)| (topic.as_str(), *partition, end.offset)),
    );
    Ok(consumer)
}

/// The reading side, on a task of its own.
struct Reader {
    consumer: Consumer,
    clock: Arc<dyn base::clock::Clock>,
    /// Count of the records that were sent, once it is known.
    sent: WatchReceiver<Option<u64>>,
    arrivals: Arrivals,
    broker_pid: Option<u32>,
}

impl Reader {
    async fn run(mut self) -> Result<(Arrivals, Spent), ClientError> {
        let mut spent_before = None;
        let mut sent_at_us = None;
        loop {
            let fetched = self.consumer.poll(POLL_WAIT).await?;
            let now_us = self.clock.steady_us();
            for part in &fetched {
                self.arrivals.take(part, now_us)?;
            }
            if self.arrivals.from_us.is_some() && spent_before.is_none() {
                spent_before = Some(self.spent());
            }
            let Some(sent) = *self.sent.borrow() else { continue };
            let since_us = *sent_at_us.get_or_insert(now_us);
            if self.arrivals.records >= sent || now_us - since_us > TAIL_US_MAX {
                let spent = self.spent();
                return Ok((self.arrivals, spent.since(spent_before.unwrap_or(spent))));
            }
        }
    }

    fn spent(&self) -> Spent {
        Spent {
            client: super::processor::Processor::own(),
            broker: self.broker_pid.and_then(super::processor::Processor::of),
        }
    }
}

impl Arrivals {
    fn new(warmup: u64) -> Self {
        Self {
            warmup,
            delays: delays(),
            seen: Seen::default(),
            last: BTreeMap::new(),
            records: 0,
            duplicates: 0,
            out_of_order: 0,
            from_us: None,
            until_us: 0,
        }
    }

    fn take(&mut self, part: &Fetched, now_us: u64) -> Result<(), ClientError> {
        let damaged = |cause| {
            let topic = part.topic.to_string();
            ClientError::Record { topic, partition: part.partition, cause }
        };
        for batch in &part.batches {
            let decoded = batch.decode(BATCH_BYTES_MAX).map_err(damaged)?;
            for record in decoded.iter() {
                let record = record.map_err(damaged)?;
                if record.offset < part.from {
                    continue;
                }
                // What somebody else put into the topic is none of ours.
                if let Some((number, due_us)) = record.value.and_then(read_stamp) {
                    self.arrived(part.partition, (number, due_us), now_us);
                }
            }
        }
        Ok(())
    }

    fn arrived(&mut self, partition: i32, (number, due_us): (u64, u64), now_us: u64) {
        if number >= NUMBERS_MAX {
            return;
        }
        let last = self.last.insert(partition, number);
        if !self.seen.mark(number) {
            self.duplicates += 1;
            return;
        }
        self.records += 1;
        if last.is_some_and(|last| number < last) {
            self.out_of_order += 1;
        }
        if number >= self.warmup {
            self.delays.saturating_record(now_us.saturating_sub(due_us).max(1));
            self.from_us.get_or_insert(due_us);
            self.until_us = now_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_and_disorder_are_told_apart() {
        let mut arrivals = Arrivals::new(2);
        for (partition, number) in [(0, 0), (1, 1), (0, 2), (0, 4), (0, 3), (0, 3), (1, 70)] {
            arrivals.arrived(partition, (number, 1_000), 1_500);
        }
        assert_eq!((arrivals.records, arrivals.duplicates, arrivals.out_of_order), (6, 1, 1));
        assert_eq!(arrivals.delays.len(), 4);
        assert_eq!((arrivals.from_us, arrivals.until_us), (Some(1_000), 1_500));
    }
}
