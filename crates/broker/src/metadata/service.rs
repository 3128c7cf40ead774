//! The task that writes the metadata log and carries out what the machine decides.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, RwLock};

use base::clock::Clock;
use base::rng::Random;
use base::uuid::Uuid;
use bytes::Bytes;
use commitlog::{Append, Bound, Command, FoundLog, LogConfig, LogId, LogReader, Origin, ReadRange};
use protocol::error_code::ErrorCode;
use protocol::record::{Batch, BatchBuilder, BatchOptions, Batches, Compression, ProducerIdentity};
use runtime::channel::{self, Receiver, Reply, Sender};
use runtime::task;
use tracing::{error, info};

use super::machine::{Machine, MetadataEffect, MetadataEvent, Refusal};
use super::record::MetadataRecord;
use super::{METADATA_LOG, OFFSETS_TOPIC, TRANSACTIONS_TOPIC, Topic};
use crate::config::topic::Settings;
use crate::error::Error;
use crate::limits::{
    DELETIONS_WAITING_MAX, METADATA_BATCH_BYTES_MAX, METADATA_CHANGES_MAX, METADATA_READ_BYTES,
};
use crate::options::BrokerOptions;
use crate::partition::{LEADER_EPOCH, Partitions};
use crate::store::Store;

/// Id of the metadata log, the same in every cluster; Kafka's.
const METADATA_TOPIC_ID: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// What a change gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Done {
    /// Nothing beyond the change itself.
    Changed,
    /// Producer ids that belong to the asker now.
    Granted(Range<i64>),
}

struct Ask {
    event: MetadataEvent,
    reply: Reply<Result<Done, Refusal>>,
}

type Listeners = Arc<Mutex<Vec<Sender<Arc<Topic>>>>>;

/// The metadata as everybody sees it, and the way to change it.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    machine: Arc<RwLock<Machine>>,
    asks: Sender<Ask>,
    listeners: Listeners,
    rng: Arc<dyn Random>,
    internal_partitions: (i32, i32),
}

impl Metadata {
    /// A topic.
    pub(crate) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.with(|machine| machine.topic(name).cloned())
    }

    /// A topic by its id.
    pub(crate) fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.with(|machine| machine.topic_by_id(id).cloned())
    }

    /// All topics, sorted by name.
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        self.with(|machine| machine.topics().values().cloned().collect())
    }

    /// Looks at the machine under its lock; `look` must be short.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Machine) -> T) -> T {
        look(&self.machine.read().expect("no holder of the metadata panics"))
    }

    /// Makes a change; it is on disk and seen by everybody when this returns.
    ///
    /// # Errors
    /// [`Refusal`], with KAFKA_STORAGE_ERROR when the disk refuses.
    pub(crate) async fn change(&self, event: MetadataEvent) -> Result<Done, Refusal> {
        let (reply, answer) = channel::reply();
        let gone = || Refusal::new(ErrorCode::NOT_CONTROLLER, "The broker is shutting down.");
        self.asks.send(Ask { event, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// A block of producer ids that nobody else gets, on disk before this returns.
    ///
    /// # Errors
    /// The refusal's code.
    pub(crate) async fn next_producer_id_block(&self) -> Result<Range<i64>, ErrorCode> {
        match self.change(MetadataEvent::ReserveProducerIds).await {
            Ok(Done::Granted(block)) => Ok(block),
            Ok(Done::Changed) => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
            Err(refusal) => Err(refusal.code),
        }
    }

    /// Makes an internal topic unless it exists; gives its number of partitions.
    ///
    /// # Errors
    /// The refusal's code.
    pub(crate) async fn ensure_internal(&self, name: &str) -> Result<i32, ErrorCode> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic.partitions);
        }
        let (offsets, transactions) = self.internal_partitions;
        let partitions = if name == TRANSACTIONS_TOPIC { transactions } else { offsets };
        debug_assert!(name == TRANSACTIONS_TOPIC || name == OFFSETS_TOPIC, "no internal topic");
        let configs = [("cleanup.policy", "compact"), ("segment.bytes", "104857600")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let id = Uuid::random(self.rng.as_ref());
        let event = MetadataEvent::CreateTopic { name: name.to_owned(), id, partitions, configs };
        match self.change(event).await {
            Ok(_) => Ok(partitions),
            // Somebody else was faster.
            Err(refusal) if refusal.code == ErrorCode::TOPIC_ALREADY_EXISTS => {
                self.topic(name).map(|topic| topic.partitions).ok_or(refusal.code)
            }
            Err(refusal) => Err(refusal.code),
        }
    }

    /// Every topic that is deleted from now on, after its logs have gone. Deleting waits for a
    /// listener that is behind by more than the limit.
    pub(crate) fn deletions(&self) -> Receiver<Arc<Topic>> {
        let (sender, receiver) = channel::mailbox(DELETIONS_WAITING_MAX);
        self.listeners.lock().expect("no holder of the listeners panics").push(sender);
        receiver
    }

    /// A fresh id.
    pub(crate) fn fresh_id(&self) -> Uuid {
        Uuid::random(self.rng.as_ref())
    }
}

/// What the service is made of.
pub(crate) struct Parts {
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Random>,
}

/// Reads the metadata log, opens all partitions and starts the service.
///
/// # Errors
/// When the metadata log cannot be opened or read, or was written by a newer version.
pub(crate) async fn start(
    options: &BrokerOptions,
    parts: Parts,
    found: &[FoundLog],
) -> Result<Metadata, Error> {
    let config = LogConfig {
        retention_ms: -1,
        retention_bytes: -1,
        // Whatever the records may do: a topic whose folder survives its record, or a producer
        // id that is given twice, could never be mended.
        durability: Some(commitlog::Durability::Flush),
        ..LogConfig::default()
    };
    let store = parts.partitions.store();
    let opened = store
        .open(METADATA_LOG, METADATA_TOPIC_ID, config, false)
        .await
        .map_err(|error| error.map_or(Error::Ended, Error::Log))?;
    let (machine, removed) = load(&opened.reader)?;
    remove_leftovers(store, found, &removed).await?;
    for topic in machine.topics().values() {
        let settings = Settings::new(&topic.configs, machine.broker_configs());
        // A log that cannot be opened has been reported; the others serve.
        let _ = parts.partitions.open(topic, 0..topic.partitions, settings).await;
    }
    info!(topics = machine.topics().len(), "metadata loaded");
    let (asks, receiver) = channel::mailbox(METADATA_CHANGES_MAX);
    let machine = Arc::new(RwLock::new(machine));
    let listeners = Listeners::default();
    let internal_partitions =
        (options.offsets_topic_partitions, options.transaction_topic_partitions);
    let metadata = Metadata {
        machine: Arc::clone(&machine),
        asks,
        listeners: Arc::clone(&listeners),
        rng: Arc::clone(&parts.rng),
        internal_partitions,
    };
    let service = Service { machine, listeners, log: opened.id, parts };
    // Ends by itself when the last handle is gone.
    drop(task::spawn("metadata", service.run(receiver)));
    Ok(metadata)
}

/// Removes the logs of topics whose end is on record: the process ended before their files did.
/// Logs that no record mentions are left alone, whoever put them there.
async fn remove_leftovers(
    store: &Store,
    found: &[FoundLog],
    removed: &BTreeSet<Uuid>,
) -> Result<(), Error> {
    for log in found.iter().filter(|log| removed.contains(&log.topic_id)) {
        let opened = store
            .open(&log.name, log.topic_id, LogConfig::default(), true)
            .await
            .map_err(|error| error.map_or(Error::Ended, Error::Log))?;
        store.tell(|| Command::Remove { id: opened.id }).await;
        info!(log = %log.name, "log of a deleted topic removed");
    }
    Ok(())
}

/// What the records of the log add up to, and the topics whose end they tell.
fn load(reader: &LogReader) -> Result<(Machine, BTreeSet<Uuid>), Error> {
    let mut machine = Machine::default();
    let mut removed = BTreeSet::new();
    let mut from = reader.log_start_offset();
    while from < reader.high_watermark() {
        let range = ReadRange {
            from,
            bytes_max: METADATA_READ_BYTES,
            at_least_one: true,
            until: Bound::HighWatermark,
        };
        let slice = reader.read(range).map_err(Error::MetadataRead)?;
        let before = from;
        for chunk in &slice.chunks {
            let bytes = chunk.read().map_err(Error::Thread)?;
            for batch in Batches::new(bytes) {
                let batch = batch.map_err(Error::MetadataRecord)?;
                apply_batch(&mut machine, &mut removed, &batch)?;
                from = batch.header().next_offset();
            }
        }
        if from == before {
            return Err(Error::MetadataEnd { offset: from });
        }
    }
    Ok((machine, removed))
}

fn apply_batch(
    machine: &mut Machine,
    removed: &mut BTreeSet<Uuid>,
    batch: &Batch,
) -> Result<(), Error> {
    let decoded = batch.decode(METADATA_BATCH_BYTES_MAX).map_err(Error::MetadataRecord)?;
    for record in decoded.iter() {
        let record = record.map_err(Error::MetadataRecord)?;
        let value = decoded.slice_ref(record.value.unwrap_or_default());
        let offset = record.offset;
        let record = MetadataRecord::decode(&value)
            .map_err(|cause| Error::MetadataForeign { offset, cause })?;
        machine.apply(&record);
        if let MetadataRecord::RemoveTopic { id } = record {
            removed.insert(id);
        }
    }
    Ok(())
}

struct Service {
    machine: Arc<RwLock<Machine>>,
    listeners: Listeners,
    log: LogId,
    parts: Parts,
}

impl Service {
    async fn run(self, mut asks: Receiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            let mut effects = Vec::new();
            self.machine
                .read()
                .expect("no holder of the metadata panics")
                .step(ask.event, &mut effects);
            let done = self.execute(effects).await;
            // The asker may have gone away; the change stands.
            drop(ask.reply.send(done));
        }
    }

    async fn execute(&self, effects: Vec<MetadataEffect>) -> Result<Done, Refusal> {
        let mut written = Vec::new();
        let mut result = Ok(Done::Changed);
        for effect in effects {
            match effect {
                MetadataEffect::Refuse(refusal) => return Err(refusal),
                MetadataEffect::Append(records) => {
                    self.append(&records).await?;
                    written = records;
                }
                MetadataEffect::Open { topic, partitions } => {
                    let settings = self.settings(&topic);
                    let opened = self.parts.partitions.open(&topic, partitions, settings).await;
                    if let Err(code) = opened {
                        // The records stand, so the machine must follow them all the same.
                        result = Err(Refusal::new(code, "A log could not be made."));
                    }
                }
                MetadataEffect::Apply => {
                    let mut machine = self.machine.write().expect("no holder panics");
                    written.iter().for_each(|record| machine.apply(record));
                }
                MetadataEffect::Configure(topic) => {
                    let settings = self.settings(&topic);
                    self.parts.partitions.configure(topic.id, settings).await;
                }
                MetadataEffect::ConfigureAll => self.configure_all().await,
                MetadataEffect::Close(topic) => {
                    self.parts.partitions.close(topic.id).await;
                    self.announce(&topic).await;
                }
                MetadataEffect::Grant(block) => result = Ok(Done::Granted(block)),
            }
        }
        result
    }

    fn settings(&self, topic: &Topic) -> Settings {
        let machine = self.machine.read().expect("no holder of the metadata panics");
        Settings::new(&topic.configs, machine.broker_configs())
    }

    async fn configure_all(&self) {
        let topics: Vec<Arc<Topic>> = {
            let machine = self.machine.read().expect("no holder of the metadata panics");
            machine.topics().values().cloned().collect()
        };
        for topic in topics {
            self.parts.partitions.configure(topic.id, self.settings(&topic)).await;
        }
    }

    async fn announce(&self, topic: &Arc<Topic>) {
        let listeners = self.listeners.lock().expect("no holder of the listeners panics").clone();
        for listener in listeners {
            // A listener that is gone no longer cares.
            drop(listener.send(Arc::clone(topic)).await);
        }
    }

    async fn append(&self, records: &[MetadataRecord]) -> Result<(), Refusal> {
        if records.is_empty() {
            return Ok(());
        }
        let refused = || {
            let message = "The metadata log cannot be written.";
            Refusal::new(ErrorCode::KAFKA_STORAGE_ERROR, message)
        };
        let batches = encode(records, self.parts.clock.unix_ms()).ok_or_else(refused)?;
        let append = Append {
            batches,
            origin: Origin::Coordinator,
            leader_epoch: LEADER_EPOCH,
            durable: true,
        };
        match self.parts.partitions.store().append(self.log, append).await {
            Ok(_) => Ok(()),
            Err(error) => {
                error!(%error, "metadata log cannot be written");
                Err(refused())
            }
        }
    }
}

/// One batch with all records: they take effect together or not at all.
fn encode(records: &[MetadataRecord], now_ms: i64) -> Option<Bytes> {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: Compression::None,
        producer: ProducerIdentity::NONE,
        base_sequence: -1,
        transactional: false,
        capacity: 1024,
    });
    for record in records {
        let value = record.encode().ok()?;
        builder.append(now_ms, None, Some(&value), &[]);
    }
    builder.build().ok()
}
