//! Scenarios over a network that cuts connections: before a request arrives, and before its answer
//! does, so that clients must repeat themselves without knowing what has happened. A failure names
//! the seed of its cuts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::rng::{Random, SeededRandom, SystemRandom};
use client::options::{Bootstrap, ConsumerOptions, ProducerOptions, TransactionalOptions};
use client::producer::Record;
use client::transaction::TxnRecord;
use client::{Client, ClientError, ClientOptions, TransactionalProducer};
use runtime::stream::{Connection, Listener, connect_tcp};
use runtime::task::{self, Task};

use super::{Cluster, fresh, fresh_topic, read, reader};

/// Frames that the network carries.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// A network between a client and a cluster.
#[derive(Debug)]
pub struct Network {
    options: ClientOptions,
    far: Arc<Mutex<Bootstrap>>,
    one_in: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
    carrier: Task<()>,
}

impl Drop for Network {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

impl Network {
    /// A network to this cluster that loses nothing yet; the seed throws its dice.
    #[must_use]
    pub fn new(cluster: &Cluster, seed: u64) -> Self {
        let (connector, listener) = Listener::memory();
        let one_in = Arc::new(AtomicU64::new(0));
        let cuts = Arc::new(AtomicU64::new(0));
        let far = Arc::new(Mutex::new(cluster.options.bootstrap.clone()));
        let wire = Wire {
            far: Arc::clone(&far),
            rng: Arc::new(SeededRandom::new(seed)),
            one_in: Arc::clone(&one_in),
            cuts: Arc::clone(&cuts),
        };
        let carrier = task::spawn("faulty-network", carry_all(listener, wire));
        let options = ClientOptions {
            bootstrap: Bootstrap::Memory(connector),
            retry_backoff: Duration::from_millis(2),
            ..cluster.options.clone()
        };
        Self { options, far, one_in, cuts, carrier }
    }

    /// A client at the near end.
    ///
    /// # Errors
    /// Why the cluster cannot be reached.
    pub async fn client(&self) -> Result<Client, ClientError> {
        Cluster { options: self.options.clone() }.client().await
    }

    /// Leads new connections to another cluster, or the same one at another place.
    ///
    /// # Panics
    /// Never, unless a holder of the place has panicked.
    pub fn redirect(&self, far: Bootstrap) {
        *self.far.lock().expect("no holder of the place panics") = far;
    }

    /// Loses one frame in so many, with its connection; none when 0.
    pub fn lose_one_in(&self, frames: u64) {
        self.one_in.store(frames, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Wire {
    far: Arc<Mutex<Bootstrap>>,
    rng: Arc<SeededRandom>,
    one_in: Arc<AtomicU64>,
    cuts: Arc<AtomicU64>,
}

impl Wire {
    fn is_cut(&self) -> bool {
        let one_in = self.one_in.load(Ordering::SeqCst);
        let is_cut = one_in > 0 && self.rng.below(one_in) == 0;
        if is_cut {
            self.cuts.fetch_add(1, Ordering::SeqCst);
        }
        is_cut
    }
}

async fn carry_all(mut listener: Listener, wire: Wire) {
    while let Ok(Some(near)) = listener.accept().await {
        let wire = wire.clone();
        task::spawn("faulty-connection", async move {
            let place = wire.far.lock().expect("no holder of the place panics").clone();
            let far = match &place {
                Bootstrap::Memory(connector) => connector.connect().await,
                Bootstrap::Tcp(addresses) => connect_tcp(&addresses[0].0, addresses[0].1).await,
            };
            if let Ok(far) = far {
                carry(near, far, &wire).await;
            }
        });
    }
}

/// Carries frames both ways until one end closes or the dice say so.
async fn carry(near: Connection, far: Connection, wire: &Wire) {
    let (mut near_reader, mut near_writer) = near.split();
    let (mut far_reader, mut far_writer) = far.split();
    loop {
        let (frame, is_request) = runtime::select! {
            frame = near_reader.read(FRAME_BYTES_MAX) => (frame, true),
            frame = far_reader.read(FRAME_BYTES_MAX) => (frame, false),
        };
        let Ok(Some(frame)) = frame else { return };
        if wire.is_cut() {
            return;
        }
        let chunks = [base::chunk::Chunk::Bytes(frame)];
        let writer = if is_request { &mut far_writer } else { &mut near_writer };
        if writer.write(&chunks).await.is_err() {
            return;
        }
    }
}

pub(super) async fn records_arrive_once_and_in_order_though_connections_break(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let seed = SystemRandom.next_u64();
    let network = Network::new(&cluster, seed);
    let client = network.client().await?;
    let topic = fresh_topic(&client, 2).await?;
    let options =
        ProducerOptions { linger: Duration::ZERO, batch_bytes_max: 500, ..Default::default() };
    let producer = client.producer(options);
    network.lose_one_in(15);
    let count = 3000;
    for number in 0..count {
        let value = number.to_string();
        let record = Record {
            topic: &topic,
            partition: Some(number % 2),
            value: Some(value.as_bytes()),
            ..Default::default()
        };
        producer.append(record).await?;
    }
    producer.close().await?;
    let cuts = network.cuts.load(Ordering::SeqCst);
    assert!(cuts > 0, "nothing was cut");
    // The consumer's connections break as well.
    let mut consumer = reader(&client, &topic, ConsumerOptions::default()).await?;
    let expected = usize::try_from(count).unwrap_or(0);
    let records = read(&mut consumer, expected).await?;
    network.lose_one_in(0);
    assert_eq!(records.len(), expected, "seed {seed}, {cuts} cuts");
    let mut next = [0, 1];
    for record in records {
        let next = &mut next[usize::try_from(record.partition).unwrap_or(0)];
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
        assert_eq!(value, next.to_string(), "seed {seed}, {cuts} cuts");
        *next += 2;
    }
    Ok(())
}

/// Copies numbers, each exactly once, however often a transaction fails.
struct Copier {
    client: Client,
    id: String,
    group: String,
    target: String,
}

impl Copier {
    async fn producer(&self) -> Result<TransactionalProducer, ClientError> {
        let mut producer = self.client.transactional(TransactionalOptions::new(&self.id));
        producer.init().await?;
        Ok(producer)
    }

    /// Where the copy stands, by the offsets that count.
    async fn position(&self) -> Result<i64, ClientError> {
        let partition = [(self.target.as_str(), 0)];
        let admin = self.client.admin();
        let found = admin.committed_offsets(&self.group, Some(&partition), true).await?;
        Ok(found.values().next().map_or(0, |committed| committed.offset))
    }

    async fn copy(
        &self,
        producer: &mut TransactionalProducer,
        numbers: std::ops::Range<i64>,
    ) -> Result<(), ClientError> {
        let handle = producer.topic(&self.target).await?;
        producer.begin()?;
        let end = numbers.end;
        for number in numbers {
            let value = number.to_string();
            let record = TxnRecord {
                timestamp: super::recent(),
                value: Some(value.as_bytes()),
                ..Default::default()
            };
            producer.append(handle, i32::from(number % 3 == 0), &record)?;
        }
        producer.drain().await?;
        producer.send_offsets(&self.group, &[(&self.target, 0, end)])?;
        producer.commit().await
    }
}

pub(super) async fn transactions_count_once_though_connections_break(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let seed = SystemRandom.next_u64();
    let network = Network::new(&cluster, seed);
    let client = network.client().await?;
    let target = fresh_topic(&client, 2).await?;
    let copier = Copier { client: client.clone(), id: fresh("txn"), group: fresh("group"), target };
    let mut producer = copier.producer().await?;
    network.lose_one_in(12);
    let (mut at, count) = (0, 600);
    let mut failures = 0;
    while at < count {
        match copier.copy(&mut producer, at..(at + 20).min(count)).await {
            Ok(()) => at = (at + 20).min(count),
            Err(error) => {
                failures += 1;
                assert!(failures < 200, "seed {seed}: no way forward: {error}");
                if producer.abort().await.is_err() {
                    // Nobody knows how it ended: a new incarnation asks what counts.
                    producer = copier.producer().await?;
                    at = copier.position().await?;
                }
            }
        }
    }
    network.lose_one_in(0);
    let cuts = network.cuts.load(Ordering::SeqCst);
    let expected = usize::try_from(count).unwrap_or(0);
    let mut consumer = reader(&client, &copier.target, ConsumerOptions::default()).await?;
    let records = read(&mut consumer, expected).await?;
    let parse = |record: &super::Read| {
        let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
        text.parse::<i64>().unwrap_or(-1)
    };
    for partition in [0, 1] {
        let seen: Vec<i64> =
            records.iter().filter(|record| record.partition == partition).map(parse).collect();
        let wanted: Vec<i64> =
            (0..count).filter(|number| i32::from(number % 3 == 0) == partition).collect();
        assert_eq!(seen, wanted, "seed {seed}, {cuts} cuts, {failures} failures");
    }
    assert_eq!(copier.position().await?, count);
    Ok(())
}
