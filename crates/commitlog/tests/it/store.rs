//! A store under test, on a real or a memory disk, turned by hand.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base::clock::ManualClock;
use base::disk::{Disk, MemoryDisk, RealDisk};
use base::rng::{Random, SystemRandom};
use base::uuid::Uuid;
use bytes::Bytes;
use commitlog::{
    Append, AppendError, Appended, Bound, Command, Durability, Error, FlushJob, Flusher, LogConfig,
    LogEvents, LogId, LogReader, Opened, Origin, Queue, ReadRange, Report, StoreOptions, Turn,
};
use protocol::record::{BatchBuilder, BatchOptions, Batches, Compression, ProducerIdentity};

pub(crate) const TOPIC: Uuid = Uuid([7; 16]);

/// Where a call leaves its answer.
pub(crate) type Slot<T> = Arc<Mutex<Option<T>>>;

pub(crate) fn slot<T: Send + 'static>() -> (Slot<T>, Box<dyn FnOnce(T) + Send>) {
    let slot: Slot<T> = Arc::new(Mutex::new(None));
    let inside = Arc::clone(&slot);
    (slot, Box::new(move |answer| *inside.lock().unwrap() = Some(answer)))
}

#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) advanced: Mutex<Vec<(LogId, i64, i64)>>,
    pub(crate) failed: Mutex<Vec<String>>,
    /// Flushes that wait to be run, while there is a place for them.
    pub(crate) held: Mutex<Option<Vec<FlushJob>>>,
}

impl Heard {
    /// Holds flushes from now on.
    pub(crate) fn hold(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    /// The flushes that are held, oldest first.
    pub(crate) fn take_held(&self) -> Vec<FlushJob> {
        self.held.lock().unwrap().as_mut().map(std::mem::take).unwrap_or_default()
    }
}

impl LogEvents for Heard {
    fn advanced(&self, id: LogId, high_watermark: i64, last_stable_offset: i64) {
        self.advanced.lock().unwrap().push((id, high_watermark, last_stable_offset));
    }

    fn failed(&self, name: &str, error: &Error) {
        self.failed.lock().unwrap().push(format!("{name}: {error}"));
    }

    fn flush(&self, mut jobs: Vec<FlushJob>) {
        match &mut *self.held.lock().unwrap() {
            Some(held) => held.extend(jobs),
            None => jobs.iter_mut().for_each(FlushJob::run),
        }
    }

    fn help_flush(&self) {
        self.take_held().iter_mut().for_each(FlushJob::run);
    }
}

/// A folder that goes when the test ends.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let name = format!("commitlog-{:x}", SystemRandom.next_u64());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        RealDisk.remove_dir_all(&self.0).unwrap();
    }
}

pub(crate) struct Store {
    pub(crate) flusher: Flusher,
    pub(crate) queue: Queue,
    pub(crate) report: Report,
    pub(crate) heard: Arc<Heard>,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) fn options(disk: Arc<dyn Disk>, dir: PathBuf, clock: &Arc<ManualClock>) -> StoreOptions {
    StoreOptions {
        dir,
        disk,
        clock: Arc::clone(clock) as _,
        durability: Durability::Flush,
        free_bytes_min: 0,
        cluster_id: Uuid([1; 16]),
        directory_id: Uuid([2; 16]),
        node_id: 1,
        journal_bytes: commitlog::limits::JOURNAL_BYTES_MAX,
    }
}

impl Store {
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        Self::with(options(disk, dir, &clock), clock)
    }

    /// A store that flushes each log's own file.
    pub(crate) fn open_without_journal(disk: &MemoryDisk) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let disk = Arc::new(disk.clone());
        let options =
            StoreOptions { journal_bytes: 0, ..options(disk, PathBuf::from("log"), &clock) };
        Self::with(options, clock)
    }

    pub(crate) fn with(options: StoreOptions, clock: Arc<ManualClock>) -> Self {
        Self::try_with(options, clock).unwrap()
    }

    pub(crate) fn try_with(options: StoreOptions, clock: Arc<ManualClock>) -> Result<Self, Error> {
        let heard = Arc::new(Heard::default());
        let (flusher, queue, report) = Flusher::open(options, Arc::clone(&heard) as _)?;
        Ok(Self { flusher, queue, report, heard, clock })
    }

    pub(crate) fn log(&mut self, name: &str, config: LogConfig) -> Opened {
        self.try_log(name, config).unwrap()
    }

    pub(crate) fn try_log(&mut self, name: &str, config: LogConfig) -> Result<Opened, Error> {
        let (answer, then) = slot();
        let name = name.to_owned();
        self.send(Command::Open { name, topic_id: TOPIC, config, lazy: true, then });
        let opened = answer.lock().unwrap().take();
        opened.expect("opening was answered")
    }

    pub(crate) fn send(&mut self, command: Command) {
        self.queue.try_submit(command).unwrap();
        self.flusher.turn();
    }

    pub(crate) fn submit(&self, id: LogId, batches: Bytes) -> Slot<Result<Appended, AppendError>> {
        self.submit_as(
            id,
            Append { batches, origin: Origin::Client, leader_epoch: 0, durable: true },
        )
    }

    pub(crate) fn submit_as(
        &self,
        id: LogId,
        append: Append,
    ) -> Slot<Result<Appended, AppendError>> {
        let (answer, then) = slot();
        self.queue.try_submit(Command::Append { id, append, then }).unwrap();
        answer
    }

    pub(crate) fn append(&mut self, id: LogId, batches: Bytes) -> Result<Appended, AppendError> {
        let answer = self.submit(id, batches);
        self.flusher.turn();
        let appended = answer.lock().unwrap().take();
        appended.expect("the append was answered")
    }

    pub(crate) fn mark(&mut self, id: LogId, batches: Bytes) -> Result<Appended, AppendError> {
        let append =
            Append { batches, origin: Origin::Coordinator, leader_epoch: 0, durable: true };
        let answer = self.submit_as(id, append);
        self.flusher.turn();
        let appended = answer.lock().unwrap().take();
        appended.expect("the marker was answered")
    }

    pub(crate) fn close(mut self) -> Result<(), Error> {
        let (answer, then) = slot();
        self.queue.try_submit(Command::Close { then }).unwrap();
        assert_eq!(self.flusher.turn(), Turn::Closed);
        let closed = answer.lock().unwrap().take();
        closed.expect("the close was answered")
    }
}

/// Who writes a batch, and where in its sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By {
    pub(crate) producer: ProducerIdentity,
    pub(crate) sequence: i32,
    pub(crate) transactional: bool,
}

impl By {
    pub(crate) const NOBODY: Self =
        Self { producer: ProducerIdentity::NONE, sequence: -1, transactional: false };

    pub(crate) fn idempotent(id: i64, epoch: i16, sequence: i32) -> Self {
        Self { producer: ProducerIdentity { id, epoch }, sequence, transactional: false }
    }

    pub(crate) fn transaction(id: i64, epoch: i16, sequence: i32) -> Self {
        Self { transactional: true, ..Self::idempotent(id, epoch, sequence) }
    }
}

/// One batch with these values, which are their own keys, all of one time.
pub(crate) fn batch(by: By, timestamp: i64, values: &[&str]) -> Bytes {
    let records: Vec<(&str, Option<&str>)> = values.iter().map(|v| (*v, Some(*v))).collect();
    keyed(by, timestamp, &records)
}

/// One batch with these keys and values, all of one time.
pub(crate) fn keyed(by: By, timestamp: i64, records: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression: Compression::None,
        producer: by.producer,
        base_sequence: by.sequence,
        transactional: by.transactional,
        capacity: 1024,
    });
    for (key, value) in records {
        builder.append(timestamp, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    builder.build().unwrap()
}

pub(crate) fn plain(values: &[&str]) -> Bytes {
    batch(By::NOBODY, 1_000, values)
}

/// Every record from an offset on, as offset and value, read batch by batch.
pub(crate) fn read_all(reader: &LogReader, from: i64, until: Bound) -> Vec<(i64, String)> {
    let mut records = Vec::new();
    let mut next = from;
    loop {
        let range = ReadRange { from: next, bytes_max: 1, at_least_one: true, until };
        let slice = reader.read(range).unwrap();
        let bytes: Vec<u8> =
            slice.chunks.iter().flat_map(|chunk| chunk.read().unwrap().to_vec()).collect();
        assert_eq!(bytes.len(), slice.bytes);
        if bytes.is_empty() {
            return records;
        }
        for batch in Batches::new(Bytes::from(bytes)) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            assert!(batch.header().last_offset() >= next, "the read goes forward");
            next = batch.header().next_offset();
            if batch.header().is_control() {
                continue;
            }
            for record in batch.decode(1 << 20).unwrap().iter() {
                let record = record.unwrap();
                let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
                if record.offset >= from {
                    records.push((record.offset, value));
                }
            }
        }
    }
}

pub(crate) fn values(reader: &LogReader) -> Vec<String> {
    let from = reader.log_start_offset();
    read_all(reader, from, Bound::HighWatermark).into_iter().map(|(_, value)| value).collect()
}
