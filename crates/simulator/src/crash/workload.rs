//! A workload that a seed decides: plain, idempotent and transactional batches on a few logs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base::clock::ManualClock;
use base::disk::MemoryDisk;
use base::rng::{Random, SeededRandom};
use base::uuid::Uuid;
use bytes::Bytes;
use commitlog::{
    Append, Bound, Cleanup, Command, Durability, Error, FlushJob, Flusher, LogConfig, LogEvents,
    LogId, LogReader, Opened, Origin, Queue, Report, StoreOptions,
};
use protocol::record::{
    BatchBuilder, BatchOptions, Compression, ControlType, ProducerIdentity, control_batch,
};

use super::history::{Answer, History, Kind, LogNotes, Sent, key_of};
use super::verdict::records;

/// The logs that are written.
pub const LOGS: [&str; 2] = ["orders-0", "orders-1"];

/// The topic's id.
pub const TOPIC: Uuid = Uuid([7; 16]);

/// So small that the journal begins anew several times.
pub const JOURNAL_BYTES: u64 = 1_500;

/// Producer 0 writes without a sequence, 1 and 2 are idempotent, 3 and 4 transactional.
const PRODUCERS: u64 = 5;

/// What is done, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How many steps are done.
    pub steps: usize,
    /// What an answer promises.
    pub durability: Durability,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// When the flushes of the logs' files are run.
    pub flushes: Flushes,
    /// What the journal holds before it begins anew; what does not fit flushes the logs' files.
    pub journal_bytes: u64,
}

/// When the flushes of the logs' files are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushes {
    /// As soon as they are asked for.
    AtOnce,
    /// Every second one some steps later, in any order, while other rounds are written; the others
    /// at once, of which the log is told later.
    Later,
}

/// The options of a store on a memory disk.
#[must_use]
pub fn options(disk: &MemoryDisk, durability: Durability) -> StoreOptions {
    StoreOptions {
        dir: PathBuf::from("log"),
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::at(1_700_000_000_000)),
        durability,
        free_bytes_min: 0,
        cluster_id: Uuid([1; 16]),
        directory_id: Uuid([2; 16]),
        node_id: 1,
        journal_bytes: JOURNAL_BYTES,
    }
}

/// Small segments and indexes, so that few records meet every border.
#[must_use]
pub fn config(cleanup: Cleanup) -> LogConfig {
    LogConfig {
        segment_bytes: 1_500,
        index_interval_bytes: 200,
        retention_ms: -1,
        file_delete_delay_ms: 0,
        min_cleanable_dirty_ratio: 0.1,
        delete_retention_ms: 0,
        cleanup,
        ..LogConfig::default()
    }
}

/// Runs flushes when it is told to.
#[derive(Debug)]
struct Crew {
    flushes: Flushes,
    begun: AtomicU64,
    /// Those whose end the log is to hear of, and whether they were run.
    held: Mutex<Vec<(FlushJob, bool)>>,
}

impl Crew {
    fn held(&self) -> MutexGuard<'_, Vec<(FlushJob, bool)>> {
        self.held.lock().expect("no holder of the flushes panics")
    }

    /// Runs one of those that are held, if there are any.
    fn run_one(&self, rng: &mut SeededRandom) {
        let mut held = self.held();
        let count = base::cast::u64_of(held.len());
        if count > 0 {
            let job = held.swap_remove(base::cast::usize_of(rng.below(count)));
            drop(held);
            finish(job);
        }
    }
}

impl LogEvents for Crew {
    fn advanced(&self, _id: LogId, _high_watermark: i64, _last_stable_offset: i64) {}

    fn flush(&self, jobs: Vec<FlushJob>) {
        for mut job in jobs {
            let mut held = self.held();
            let is_second = self.begun.fetch_add(1, Ordering::Relaxed) % 2 == 1;
            let is_run = self.flushes == Flushes::AtOnce || is_second;
            if is_run {
                job.run();
            }
            if self.flushes == Flushes::Later {
                held.push((job, is_run));
            }
        }
    }

    fn help_flush(&self) {
        let held = std::mem::take(&mut *self.held());
        held.into_iter().for_each(finish);
    }
}

fn finish((mut job, is_run): (FlushJob, bool)) {
    if !is_run {
        job.run();
    }
}

/// An open store that is turned by hand.
pub struct Store {
    /// The writer.
    pub flusher: Flusher,
    /// The way to it.
    pub queue: Queue,
    /// What opening found.
    pub report: Report,
    /// The open logs, as in [`LOGS`].
    pub logs: Vec<Opened>,
    crew: Arc<Crew>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?})", self.flusher)
    }
}

impl Store {
    /// Opens the store and its logs.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn open(options: StoreOptions, config: LogConfig) -> Result<Self, Error> {
        Self::open_with(options, config, Flushes::AtOnce)
    }

    fn open_with(
        options: StoreOptions,
        config: LogConfig,
        flushes: Flushes,
    ) -> Result<Self, Error> {
        let crew = Arc::new(Crew { flushes, begun: AtomicU64::new(0), held: Mutex::default() });
        let (flusher, queue, report) = Flusher::open(options, Arc::clone(&crew) as _)?;
        let mut store = Self { flusher, queue, report, logs: Vec::new(), crew };
        for name in LOGS {
            let answer = Arc::new(Mutex::new(None));
            let inside = Arc::clone(&answer);
            let then = Box::new(move |opened| {
                *inside.lock().expect("no holder of an answer panics") = Some(opened);
            });
            let name = name.to_owned();
            store.submit(Command::Open { name, topic_id: TOPIC, config, lazy: true, then });
            store.flusher.turn();
            let opened = answer.lock().expect("no holder of an answer panics").take();
            store.logs.push(opened.expect("opening is answered in the turn")?);
        }
        Ok(store)
    }

    /// Hands a command over.
    ///
    /// # Panics
    /// When the queue is full, which a workload never gets to.
    pub fn submit(&self, command: Command) {
        self.queue.try_submit(command).expect("a workload does not fill the queue");
    }

    /// Hands an append over.
    #[must_use]
    pub fn append(&self, id: LogId, batches: Bytes, origin: Origin) -> Answer {
        let answer = Answer::default();
        let inside = Arc::clone(&answer);
        let then = Box::new(move |result| {
            *inside.lock().expect("no holder of an answer panics") = Some(result);
        });
        let append = Append { batches, origin, leader_epoch: 0, durable: true };
        self.submit(Command::Append { id, append, then });
        answer
    }
}

/// What producers remember, by log and producer.
#[derive(Debug, Default)]
struct Writer {
    sequence: i32,
    transaction: u32,
    is_open: bool,
}

struct Run<'a> {
    workload: &'a Workload,
    disk: &'a MemoryDisk,
    rng: SeededRandom,
    store: Option<Store>,
    history: History,
    writers: BTreeMap<(usize, u64), Writer>,
}

impl Workload {
    /// Runs until the end or until the power goes.
    #[must_use]
    pub fn run(&self, disk: &MemoryDisk) -> History {
        let logs = LOGS.iter().map(|name| ((*name).to_owned(), LogNotes::default())).collect();
        let mut run = Run {
            workload: self,
            disk,
            rng: SeededRandom::new(self.seed),
            store: None,
            history: History { durability: self.durability, cleanup: self.cleanup, logs },
            writers: BTreeMap::new(),
        };
        for step in 0..self.steps {
            if run.step(step).is_none() {
                break;
            }
        }
        run.end();
        run.history
    }
}

impl Run<'_> {
    /// One step; none when the power is gone.
    fn step(&mut self, step: usize) -> Option<()> {
        if self.store.is_none() {
            let Workload { durability, journal_bytes, .. } = *self.workload;
            let options = StoreOptions { journal_bytes, ..options(self.disk, durability) };
            let config = config(self.workload.cleanup);
            self.store = Store::open_with(options, config, self.workload.flushes).ok();
        }
        self.store.as_ref()?;
        let log = base::cast::usize_of(self.rng.below(2));
        match self.rng.below(20) {
            0 => self.close(),
            1 | 2 => self.store.as_ref()?.submit(Command::Maintain),
            3 if !self.workload.cleanup.compacts() => self.advance_start(log),
            4..=6 => self.end_transaction(log),
            _ => self.send_records(step, log),
        }
        if let (Flushes::Later, Some(store)) = (self.workload.flushes, &self.store)
            && self.rng.below(3) == 0
        {
            store.crew.run_one(&mut self.rng);
        }
        // Some turns find several commands, which then share one flush.
        if self.rng.below(3) > 0 {
            self.turn();
        }
        Some(())
    }

    /// Runs the flushes that are left, and answers.
    fn end(&mut self) {
        if let Some(store) = &self.store {
            store.crew.help_flush();
        }
        self.turn();
    }

    fn turn(&mut self) {
        let Some(store) = &mut self.store else { return };
        store.flusher.turn();
        for (name, opened) in LOGS.iter().zip(&store.logs) {
            let notes = self.history.logs.get_mut(*name).expect("every log has notes");
            // A read that the cut disturbs shows nothing.
            notes.seen.extend(visible(&opened.reader));
        }
    }

    fn close(&mut self) {
        self.turn();
        if let Some(mut store) = self.store.take() {
            store.submit(Command::Close { then: Box::new(|_| {}) });
            store.flusher.turn();
        }
    }

    fn advance_start(&mut self, log: usize) {
        let Some(store) = &self.store else { return };
        let opened = &store.logs[log];
        let (start, high) = (opened.reader.log_start_offset(), opened.reader.high_watermark());
        let span = base::cast::u64_of_i64(high - start);
        let to = start + base::cast::i64_of_u64(self.rng.below(span + 1));
        let notes = self.history.logs.get_mut(LOGS[log]).expect("every log has notes");
        notes.start_asked = notes.start_asked.max(to);
        store.submit(Command::AdvanceLogStart { id: opened.id, to });
    }

    fn send_records(&mut self, step: usize, log: usize) {
        let producer = self.rng.below(PRODUCERS);
        let count = 1 + self.rng.below(4);
        let key = self.rng.below(3);
        let name = |at| format!("s{step}v{at}k{}", key + at);
        let values: Vec<String> = (0..count).map(name).collect();
        let writer = self.writers.entry((log, producer)).or_default();
        let transactional = producer >= 3;
        if transactional && !writer.is_open {
            writer.is_open = true;
            writer.transaction += 1;
        }
        let identity = identity(producer);
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: Compression::None,
            producer: identity,
            base_sequence: if producer == 0 { -1 } else { writer.sequence },
            transactional,
            capacity: 1_024,
        });
        // Padding makes batches longer than a disk's sector now and then.
        let padding = "p".repeat(base::cast::usize_of(self.rng.below(300)));
        for value in &values {
            let padded = format!("{value} {padding}");
            let key = key_of(value).as_bytes();
            builder.append(1_000, Some(key), Some(padded.as_bytes()), &[]);
        }
        writer.sequence += i32::try_from(count).expect("a batch has at most four records");
        let transaction = transactional.then_some(writer.transaction);
        let bytes = builder.build().expect("small batches can be built");
        self.send(log, identity, transaction, (bytes, Kind::Records(values)));
    }

    fn end_transaction(&mut self, log: usize) {
        let producer = 3 + self.rng.below(2);
        let aborted = self.rng.below(2) == 0;
        let writer = self.writers.entry((log, producer)).or_default();
        if !std::mem::take(&mut writer.is_open) {
            return;
        }
        let transaction = Some(writer.transaction);
        let kind = if aborted { ControlType::Abort } else { ControlType::Commit };
        let bytes = control_batch(identity(producer), kind, 0, 1_000);
        self.send(log, identity(producer), transaction, (bytes, Kind::Marker { aborted }));
    }

    fn send(
        &mut self,
        log: usize,
        producer: ProducerIdentity,
        transaction: Option<u32>,
        (bytes, kind): (Bytes, Kind),
    ) {
        let Some(store) = &self.store else { return };
        let origin = match kind {
            Kind::Records(_) => Origin::Client,
            Kind::Marker { .. } => Origin::Coordinator,
        };
        let answer = store.append(store.logs[log].id, bytes.clone(), origin);
        let notes = self.history.logs.get_mut(LOGS[log]).expect("every log has notes");
        notes.sent.push(Sent { bytes, producer, transaction, kind, answer });
    }
}

/// Who producer number n is.
fn identity(producer: u64) -> ProducerIdentity {
    match i64::try_from(producer) {
        Ok(id) if id > 0 => ProducerIdentity { id, epoch: 0 },
        _ => ProducerIdentity::NONE,
    }
}

fn visible(reader: &LogReader) -> Vec<(i64, String)> {
    let all = records(reader, reader.log_start_offset(), Bound::HighWatermark);
    all.unwrap_or_default().into_iter().map(|record| (record.offset, record.value)).collect()
}
