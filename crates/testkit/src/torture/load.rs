//! The load: records with a running number per key, and what became of each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base::cast;
use base::clock::{Clock, SystemClock};
use base::rng::{Random, SeededRandom, SystemRandom};
use client::options::ProducerOptions;
use client::producer::{Delivery, Record};
use client::{Client, ClientError, ClientOptions};
use runtime::channel::{Receiver, mailbox};
use runtime::task::{self, Task};
use runtime::timer;

use super::failure::Failure;
use super::limits::{
    BEAT, BEAT_RECORDS_MAX, DELIVERIES_OPEN_MAX, KEYS, PATIENCE, POISONED_AT, POISONED_KEYS_END,
    POISONED_ONE_IN,
};

/// A record that the cluster has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// Number of the key.
    pub(super) key: usize,
    /// Running number of the record within its key, from 1.
    pub(super) number: u64,
    /// Where it was written.
    pub(super) partition: i32,
    /// Where it was written; -1 when the cluster did not tell.
    pub(super) offset: i64,
}

/// What became of all records.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Those that the cluster has taken.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// How many may or may not be there.
    pub(super) unknown: u64,
}

/// How far the load is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_over: AtomicBool,
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// The running load.
#[derive(Debug)]
pub(super) struct Load {
    progress: Arc<Progress>,
    task: Task<Result<Sent, ClientError>>,
}

/// The name of a key.
pub(super) fn key_name(key: usize) -> String {
    format!("k{key}")
}

/// The value of a record.
pub(super) fn value(key: &str, number: u64) -> String {
    let bad = if is_poisoned(key, number) { ",\"bad\":\"x\"" } else { "" };
    format!("{{\"n\":{number}{bad}}}")
}

/// Whether a record fails at the task that is strict: some of the keys have such records, so that
/// others must pass them by.
fn is_poisoned(key: &str, number: u64) -> bool {
    key.ends_with(POISONED_KEYS_END) && number % POISONED_ONE_IN == POISONED_AT
}

/// A client that outlives the broker's absences.
pub(super) async fn client(at: SocketAddr) -> Result<Client, ClientError> {
    let mut options = ClientOptions::tcp(&at.ip().to_string(), at.port());
    options.retry_total = PATIENCE;
    options.retry_backoff_max = Duration::from_millis(200);
    Client::connect(options, Arc::new(SystemClock::new()), Arc::new(SystemRandom)).await
}

impl Load {
    /// Starts to send.
    pub(super) fn start(client: Client, topic: String, seed: u64) -> Self {
        let progress = Arc::new(Progress::default());
        let task = task::spawn("torture-load", send(client, topic, seed, Arc::clone(&progress)));
        Self { progress, task }
    }

    /// Records that were sent and that were acknowledged, as far as is known.
    pub(super) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.progress.sent), read(&self.progress.acknowledged))
    }

    /// Ends the load and waits until everything that was sent is delivered.
    pub(super) async fn finish(self) -> Result<Sent, Failure> {
        self.progress.is_over.store(true, Ordering::Relaxed);
        let what = || Failure::Stuck { what: "the last records are not acknowledged".to_owned() };
        let joined = timer::timeout(PATIENCE * 2, self.task.join()).await;
        Ok(joined.ok().flatten().ok_or_else(what)??)
    }
}

/// A record on its way.
#[derive(Debug)]
struct Open {
    key: usize,
    number: u64,
    delivery: Delivery,
}

async fn send(
    client: Client,
    topic: String,
    seed: u64,
    progress: Arc<Progress>,
) -> Result<Sent, ClientError> {
    let (rng, clock) = (SeededRandom::new(seed), SystemClock::new());
    let producer = client.producer(ProducerOptions::default());
    let (opened, deliveries) = mailbox(DELIVERIES_OPEN_MAX);
    let counting = task::spawn("torture-count", count(deliveries, Arc::clone(&progress)));
    let mut numbers = vec![0; KEYS];
    while !progress.is_over.load(Ordering::Relaxed) {
        for _ in 0..=rng.below(BEAT_RECORDS_MAX) {
            let key = cast::usize_of(rng.below(cast::u64_of(KEYS)));
            numbers[key] += 1;
            let number = numbers[key];
            let name = key_name(key);
            let text = value(&name, number);
            let record = Record {
                topic: &topic,
                timestamp: Some(clock.unix_ms()),
                key: Some(name.as_bytes()),
                value: Some(text.as_bytes()),
                ..Record::default()
            };
            let delivery = producer.send(record).await?;
            progress.sent.fetch_add(1, Ordering::Relaxed);
            if opened.send(Open { key, number, delivery }).await.is_err() {
                return Err(ClientError::Closed);
            }
        }
        timer::sleep(BEAT).await;
    }
    drop(opened);
    // What failed is counted record by record.
    drop(producer.close().await);
    Ok(counting.join().await.unwrap_or_default())
}

/// Waits for the deliveries in the order of their records.
async fn count(mut deliveries: Receiver<Open>, progress: Arc<Progress>) -> Sent {
    let mut sent = Sent::default();
    while let Some(open) = deliveries.recv().await {
        let Open { key, number, delivery } = open;
        match delivery.wait().await {
            Ok(delivered) => {
                let (partition, offset) = (delivered.partition, delivered.offset);
                sent.acknowledged.push(Acknowledged { key, number, partition, offset });
                progress.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => sent.unknown += 1,
        }
    }
    sent
}
