//! The partitions that are open: from (topic, partition) to a log, its reader and its watch list.
//!
//! The metadata service opens and closes; everybody else looks up, writes and reads. A partition
//! whose log cannot be opened stays listed without one: its requests get KAFKA_STORAGE_ERROR.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, RwLock};

use base::uuid::Uuid;
use bytes::Bytes;
use commitlog::{Append, AppendError, Appended, Command, LogId, LogReader, Origin};
use protocol::error_code::ErrorCode;
use runtime::channel::Answer;
use tracing::error;

use crate::config::topic::Settings;
use crate::metadata::Topic;
use crate::store::{AppendResult, Store};
use crate::watch::{Watch, Watches};

/// The epoch of every leader: there is one node, and it never hands leadership over.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// An open partition.
#[derive(Debug)]
pub(crate) struct Partition {
    /// Its log, for writing.
    pub(crate) log: LogId,
    /// Its log, for reading.
    pub(crate) reader: Arc<LogReader>,
    /// Those who wait for it to grow.
    pub(crate) watch: Arc<Watch>,
}

/// The partitions of one topic.
#[derive(Debug)]
pub(crate) struct TopicLogs {
    /// The topic's name.
    pub(crate) name: String,
    /// The topic's id.
    pub(crate) id: Uuid,
    /// What its configs mean.
    pub(crate) settings: Settings,
    partitions: Vec<Option<Arc<Partition>>>,
}

impl TopicLogs {
    /// One partition.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION, or KAFKA_STORAGE_ERROR when its log could not be opened.
    pub(crate) fn partition(&self, index: i32) -> Result<&Arc<Partition>, ErrorCode> {
        let at = usize::try_from(index).map_err(|_| ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let place = self.partitions.get(at).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        place.as_ref().ok_or(ErrorCode::KAFKA_STORAGE_ERROR)
    }
}

#[derive(Debug, Default)]
struct Index {
    by_name: HashMap<String, Arc<TopicLogs>>,
    by_id: HashMap<Uuid, Arc<TopicLogs>>,
}

/// All open partitions.
#[derive(Debug)]
pub(crate) struct Partitions {
    store: Store,
    watches: Arc<Watches>,
    index: RwLock<Index>,
}

impl Partitions {
    pub(crate) fn new(store: Store, watches: Arc<Watches>) -> Self {
        Self { store, watches, index: RwLock::default() }
    }

    /// The way to the flusher.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The partitions of a topic.
    pub(crate) fn topic(&self, name: &str) -> Option<Arc<TopicLogs>> {
        self.read().by_name.get(name).cloned()
    }

    /// The partitions of a topic by its id.
    pub(crate) fn topic_by_id(&self, id: Uuid) -> Option<Arc<TopicLogs>> {
        self.read().by_id.get(&id).cloned()
    }

    /// One partition.
    ///
    /// # Errors
    /// As [`TopicLogs::partition`].
    pub(crate) fn find(&self, topic: &str, partition: i32) -> Result<Arc<Partition>, ErrorCode> {
        let index = self.read();
        let logs = index.by_name.get(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        logs.partition(partition).cloned()
    }

    /// The readable side of one partition.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(crate) fn reader(&self, topic: &str, partition: i32) -> Result<Arc<LogReader>, ErrorCode> {
        self.find(topic, partition).map(|found| Arc::clone(&found.reader))
    }

    /// Number of partitions of a topic.
    pub(crate) fn partition_count(&self, topic: &str) -> Option<i32> {
        self.topic(topic).and_then(|logs| i32::try_from(logs.partitions.len()).ok())
    }

    /// Hands batches over, waiting for room in the queue; the answer comes when they are stored.
    ///
    /// # Errors
    /// Why the batches are refused, as far as it is known at once.
    pub(crate) async fn begin_append(
        &self,
        log: LogId,
        batches: Bytes,
        origin: Origin,
    ) -> Result<Answer<AppendResult>, AppendError> {
        self.store.begin_append(log, request(batches, origin)).await
    }

    /// Hands batches over without waiting; `then` is called once, on the flusher's thread or, when
    /// they are refused at once, on this one, and must not block.
    pub(crate) fn submit(
        &self,
        topic: &str,
        partition: i32,
        batches: Bytes,
        origin: Origin,
        then: Box<dyn FnOnce(Result<Appended, ErrorCode>) + Send>,
    ) {
        match self.find(topic, partition) {
            Ok(found) => self.store.submit(
                found.log,
                request(batches, origin),
                Box::new(move |stored| then(stored.map_err(|error| code_of(&error)))),
            ),
            Err(code) => then(Err(code)),
        }
    }

    /// Moves the start of a log forward; readers see it when this returns.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER when the broker is ending.
    pub(crate) async fn advance_log_start(&self, id: LogId, to: i64) -> Result<(), ErrorCode> {
        let told = self.store.tell(|| Command::AdvanceLogStart { id, to }).await;
        if told && self.store.settled().await {
            return Ok(());
        }
        Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
    }

    /// Opens the logs of these partitions and lists them. Internal topics get their files when
    /// something is first written.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR when a log cannot be opened; the others are listed all the same.
    pub(crate) async fn open(
        &self,
        topic: &Topic,
        partitions: Range<i32>,
        settings: Settings,
    ) -> Result<(), ErrorCode> {
        let mut places: Vec<Option<Arc<Partition>>> =
            self.topic_by_id(topic.id).map(|logs| logs.partitions.clone()).unwrap_or_default();
        let mut result = Ok(());
        for partition in partitions {
            let place = self.open_log(topic, partition, settings).await;
            if place.is_none() {
                result = Err(ErrorCode::KAFKA_STORAGE_ERROR);
            }
            places.push(place);
        }
        self.list(Arc::new(TopicLogs {
            name: topic.name.clone(),
            id: topic.id,
            settings,
            partitions: places,
        }));
        result
    }

    async fn open_log(
        &self,
        topic: &Topic,
        partition: i32,
        settings: Settings,
    ) -> Option<Arc<Partition>> {
        let name = format!("{}-{partition}", topic.name);
        match self.store.open(&name, topic.id, settings.log, topic.is_internal()).await {
            Ok(opened) => Some(Arc::new(Partition {
                log: opened.id,
                reader: opened.reader,
                watch: self.watches.of(opened.id),
            })),
            Err(Some(error)) => {
                error!(log = %name, %error, "log cannot be opened");
                None
            }
            Err(None) => None,
        }
    }

    /// Gives changed settings to a topic's logs.
    pub(crate) async fn configure(&self, id: Uuid, settings: Settings) {
        let Some(logs) = self.topic_by_id(id) else { return };
        for partition in logs.partitions.iter().flatten() {
            let id = partition.log;
            self.store.tell(|| Command::Configure { id, config: settings.log }).await;
        }
        let (name, partitions) = (logs.name.clone(), logs.partitions.clone());
        self.list(Arc::new(TopicLogs { name, id, settings, partitions }));
    }

    /// Removes a topic's logs; readers that hold one may finish.
    pub(crate) async fn close(&self, id: Uuid) {
        let Some(logs) = self.unlist(id) else { return };
        for partition in logs.partitions.iter().flatten() {
            let id = partition.log;
            self.store.tell(|| Command::Remove { id }).await;
            self.watches.forget(id);
        }
    }

    fn list(&self, logs: Arc<TopicLogs>) {
        let mut index = self.index.write().expect("no holder of the partition index panics");
        index.by_id.insert(logs.id, Arc::clone(&logs));
        index.by_name.insert(logs.name.clone(), logs);
    }

    fn unlist(&self, id: Uuid) -> Option<Arc<TopicLogs>> {
        let mut index = self.index.write().expect("no holder of the partition index panics");
        let logs = index.by_id.remove(&id)?;
        index.by_name.remove(&logs.name);
        Some(logs)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().expect("no holder of the partition index panics")
    }
}

fn request(batches: Bytes, origin: Origin) -> Append {
    Append { batches, origin, leader_epoch: LEADER_EPOCH, durable: true }
}

/// What a client is told about an append that failed.
pub(crate) fn code_of(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        AppendError::InvalidTxnState { .. } => ErrorCode::INVALID_TXN_STATE,
        AppendError::MessageTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        AppendError::InvalidRecord { .. } => ErrorCode::CORRUPT_MESSAGE,
        AppendError::NotAllowed => ErrorCode::INVALID_RECORD,
        AppendError::StorageFull | AppendError::LogFailed => ErrorCode::KAFKA_STORAGE_ERROR,
        AppendError::UnknownLog => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        // The client finds the broker again, or its successor.
        AppendError::Closed => ErrorCode::NOT_LEADER_OR_FOLLOWER,
    }
}
