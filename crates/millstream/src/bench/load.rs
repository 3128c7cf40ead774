//! The load: records on a thread of their own, as fast as they go or each at its time.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use base::clock::Clock;
use base::rng::{Random as _, SeededRandom};
use client::options::Isolation;
use client::producer::{Delivery, Record};
use client::{Client, ClientError, Producer};
use hdrhistogram::Histogram;
use runtime::channel::{Receiver, Sender, mailbox};
use runtime::task::{self, Task};
use runtime::thread;

use super::pipeline::readings;
use super::{BenchError, BenchTopic};

/// Bytes of a value that the bench itself writes: number of the record, time in microseconds.
pub(crate) const STAMP_BYTES: usize = 16;

/// Samples that wait to be picked up; the load then waits, so they must never be the limit.
const SAMPLES_WAITING_MAX: usize = 1 << 16;

/// Without a rate one record in so many is timed: timing all of them would be measured as well.
const SAMPLE_EVERY: u64 = 256;

/// Acknowledgements timed in a second at a rate.
const SAMPLES_PER_S: u32 = 10_000;

/// A gap between records from which on the last piece of it is spent waking, because a sleeping
/// thread comes 50 us late.
const PRECISE_GAP_US: u64 = 500;

/// The piece of a gap that is spent waking.
const AWAKE_US: u64 = 80;

/// Bytes of text from which values are cut; more than any window of a codec that is likely.
const TEXT_BYTES: usize = 4 << 20;

/// What the records hold.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// Number, time, and text up to this size.
    Stamps { size: usize },
    /// Readings of sensors by key, as a pipeline gets them.
    Readings,
}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) topic: Arc<str>,
    pub(crate) content: Content,
    pub(crate) rate: Option<u32>,
    /// When the first record is due, in steady microseconds; absent for at once.
    pub(crate) begins_us: Option<u64>,
    /// Whether acknowledgements are timed.
    pub(crate) is_timed: bool,
    /// Number of the first record.
    pub(crate) first: u64,
    pub(crate) records: Option<u64>,
    pub(crate) lasting: Option<Duration>,
}

/// What was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) records: u64,
    /// Until the last record was acknowledged, in microseconds.
    pub(crate) took_us: u64,
}

/// A record whose acknowledgement is timed.
struct Sample {
    due_us: u64,
    delivery: Delivery,
}

/// Delays of acknowledgements in microseconds.
pub(crate) type Delays = Histogram<u64>;

/// An empty histogram: a microsecond to ten minutes, three digits.
pub(crate) fn delays() -> Delays {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds of the histogram are valid")
}

/// Sends a load and waits for its acknowledgements.
///
/// # Errors
/// What the producer says, or a thread that the system refused.
pub(crate) async fn send(
    load: Load,
    producer: &Producer,
    clock: &Arc<dyn Clock>,
) -> Result<(Sent, Delays), BenchError> {
    let (sender, receiver) = mailbox(SAMPLES_WAITING_MAX);
    let collector = task::spawn("samples", collect(receiver, Arc::clone(clock)));
    let start_us = clock.steady_us();
    let (own_producer, own_clock) = (producer.clone(), Arc::clone(clock));
    let thread = thread::spawn_executor("load", move || async move {
        run(&load, &own_producer, own_clock.as_ref(), sender).await
    })?;
    let records = task::blocking(move || thread.join()).await??;
    producer.flush().await?;
    let took_us = clock.steady_us() - start_us;
    let delays = collector.join().await.expect("nobody aborts the collector of samples");
    Ok((Sent { records, took_us }, delays))
}

async fn run(
    load: &Load,
    producer: &Producer,
    clock: &dyn Clock,
    samples: Sender<Sample>,
) -> Result<u64, ClientError> {
    let mut writer = Writer::new(load.content);
    let start_us = load.begins_us.unwrap_or_else(|| clock.steady_us());
    // Between the two clocks: a record's time is when it was due.
    let offset_ms = clock.unix_ms() - base::cast::i64_of_u64(clock.steady_ms());
    let until_us = load.lasting.map(|lasting| start_us + micros(lasting));
    let sample_every = load.rate.map_or(SAMPLE_EVERY, |rate| u64::from(rate / SAMPLES_PER_S + 1));
    let mut sent = 0_u64;
    // The clock is read for every record at a rate, and now and then without one.
    let mut now_us = start_us;
    while load.records.is_none_or(|records| sent < records) {
        let is_sample = load.is_timed && sent.is_multiple_of(sample_every);
        let due_us = match load.rate {
            Some(rate) => {
                let due_us = start_us + due_after_us(sent, rate);
                wait_until(clock, due_us, u64::from(1_000_000 / rate));
                due_us
            }
            None if sent.is_multiple_of(SAMPLE_EVERY) => clock.steady_us(),
            None => now_us,
        };
        now_us = due_us;
        if until_us.is_some_and(|until_us| now_us >= until_us) {
            break;
        }
        writer.write(load.first + sent, due_us);
        let record = writer.record(&load.topic, offset_ms + base::cast::i64_of_u64(due_us / 1_000));
        if is_sample {
            let delivery = producer.send(record).await?;
            // The collector ends only with this sender.
            drop(samples.send(Sample { due_us, delivery }).await);
        } else {
            producer.append(record).await?;
        }
        sent += 1;
    }
    Ok(sent)
}

/// When a record of a load is due, in microseconds after its first.
pub(crate) fn due_after_us(number: u64, rate: u32) -> u64 {
    let due = u128::from(number) * 1_000_000 / u128::from(rate);
    u64::try_from(due).expect("a load does not last for longer than there are microseconds")
}

fn wait_until(clock: &dyn Clock, due_us: u64, gap_us: u64) {
    let awake_us = if gap_us >= PRECISE_GAP_US { AWAKE_US } else { 0 };
    loop {
        let left_us = due_us.saturating_sub(clock.steady_us());
        if left_us == 0 {
            return;
        }
        if left_us > awake_us {
            std::thread::sleep(Duration::from_micros(left_us - awake_us));
        } else {
            std::hint::spin_loop();
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2)
}

/// Makes one record after the other, in the same memory.
struct Writer {
    content: Content,
    text: Vec<u8>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Writer {
    fn new(content: Content) -> Self {
        let (text, value) = match content {
            Content::Stamps { size } => (text(size), vec![0; size]),
            Content::Readings => (Vec::new(), Vec::new()),
        };
        Self { content, text, key: Vec::new(), value }
    }

    fn write(&mut self, number: u64, due_us: u64) {
        match self.content {
            Content::Stamps { .. } => stamp(&mut self.value, &self.text, number, due_us),
            Content::Readings => readings::write(number, &mut self.key, &mut self.value),
        }
    }

    fn record<'a>(&'a self, topic: &'a str, due_ms: i64) -> Record<'a> {
        let plain = Record { topic, value: Some(&self.value), ..Record::default() };
        match self.content {
            Content::Stamps { .. } => plain,
            Content::Readings => Record { key: Some(&self.key), timestamp: Some(due_ms), ..plain },
        }
    }
}

/// Words and numbers, as they are in sensors' records: a codec finds something, not everything.
fn text(size: usize) -> Vec<u8> {
    let rng = SeededRandom::new(42);
    let words = ["\"sensor\":", "\"value\":", "temperature", "{\"at\":", "},", "ok", "pressure"];
    let mut text = Vec::with_capacity(TEXT_BYTES + size);
    while text.len() < TEXT_BYTES + size {
        let chance = rng.next_u64();
        let word = words[base::cast::usize_of(chance % 7)];
        text.extend_from_slice(word.as_bytes());
        text.extend_from_slice(format!("{}", (chance >> 8) % 1_000_000).as_bytes());
    }
    text
}

/// Fills a value: its number, its time, and text that is another one for every record.
fn stamp(value: &mut [u8], text: &[u8], number: u64, due_us: u64) {
    let from = base::cast::usize_of(number.wrapping_mul(97)) % TEXT_BYTES;
    let rest = value.len() - STAMP_BYTES;
    value[STAMP_BYTES..].copy_from_slice(&text[from..from + rest]);
    value[..8].copy_from_slice(&number.to_be_bytes());
    value[8..STAMP_BYTES].copy_from_slice(&due_us.to_be_bytes());
}

/// Number and time of a value; `None` for a record that is not ours.
pub(crate) fn read_stamp(value: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = value.split_first_chunk()?;
    let (due_us, _) = rest.split_first_chunk()?;
    Some((u64::from_be_bytes(*number), u64::from_be_bytes(*due_us)))
}

/// Times acknowledgements, each on a task of its own: they do not come in order.
async fn collect(mut samples: Receiver<Sample>, clock: Arc<dyn Clock>) -> Delays {
    let histogram = Arc::new(Mutex::new(delays()));
    let mut last: Vec<Task<()>> = Vec::new();
    while let Some(sample) = samples.recv().await {
        let (clock, histogram) = (Arc::clone(&clock), Arc::clone(&histogram));
        let timed = task::spawn("sample", async move {
            if sample.delivery.wait().await.is_ok() {
                let delay_us = clock.steady_us().saturating_sub(sample.due_us);
                histogram.lock().expect("no holder panics").saturating_record(delay_us.max(1));
            }
        });
        last.push(timed);
        if last.len() >= SAMPLES_WAITING_MAX {
            last.retain(|task| !task.is_finished());
        }
    }
    for timed in last {
        timed.join().await;
    }
    let histogram = histogram.lock().expect("no holder panics");
    histogram.clone()
}

/// Log start and end of each partition, added up: what is in the topic.
///
/// # Errors
/// Why the cluster cannot be asked.
pub(crate) async fn stored(client: &Client, topic: &BenchTopic) -> Result<u64, ClientError> {
    use client::admin::OffsetAt::{Earliest, Latest};

    let partitions: Vec<(&str, i32)> =
        (0..topic.partitions).map(|partition| (topic.name.as_str(), partition)).collect();
    let admin = client.admin();
    let starts = admin.list_offsets(&partitions, Earliest, Isolation::ReadUncommitted).await?;
    let ends = admin.list_offsets(&partitions, Latest, Isolation::ReadUncommitted).await?;
    let start = |key| starts.get(key).map_or(0, |found| found.offset);
    let count: i64 = ends.iter().map(|(key, end)| (end.offset - start(key)).max(0)).sum();
    Ok(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back() {
        let text = text(100);
        let mut value = vec![0; 100];
        stamp(&mut value, &text, 7, 1_234);
        assert_eq!(read_stamp(&value), Some((7, 1_234)));
        let first = value.clone();
        stamp(&mut value, &text, 8, 1_234);
        assert_ne!(first[STAMP_BYTES..], value[STAMP_BYTES..]);
        assert_eq!(read_stamp(&value[..15]), None);
    }

    #[test]
    fn times_do_not_drift() {
        assert_eq!(due_after_us(3, 3), 1_000_000);
        assert_eq!(due_after_us(3_000_000_000, 3_000), 1_000_000_000_000);
    }
}
