//! Readers beside the writer: nobody sees half a batch, whatever is rolled, deleted or cleaned.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use base::clock::{ManualClock, SystemClock};
use base::disk::{Disk, MemoryDisk, RealDisk};
use commitlog::{
    Append, AppendError, Appended, Bound, Cleanup, Command, FlushJob, Flusher, LogConfig,
    LogEvents, LogId, LogReader, Opened, Origin, Queue, QueueRefusal, ReadError, ReadRange,
    StoreOptions, Submitted,
};
use protocol::record::Batches;

use crate::store::{By, Folder, Store, keyed, options};

const APPENDS: i64 = 3_000;

/// Reads forward until the end is reached, checking every batch; gives the offsets met.
fn follow(reader: &LogReader, from: i64, is_done: &AtomicBool) -> usize {
    let mut next = from;
    let mut met = 0;
    loop {
        let ended = is_done.load(Ordering::SeqCst);
        let until = Bound::HighWatermark;
        let range = ReadRange { from: next, bytes_max: 3_000, at_least_one: true, until };
        let slice = match reader.read(range) {
            Ok(slice) => slice,
            Err(ReadError::OffsetOutOfRange { log_start, .. }) => {
                assert!(log_start > next, "only deletion puts a reader out of range");
                next = log_start;
                continue;
            }
            Err(ReadError::Store(error)) => panic!("{error}"),
        };
        if slice.chunks.is_empty() && ended && next >= reader.high_watermark() {
            return met;
        }
        for chunk in &slice.chunks {
            for batch in Batches::new(chunk.read().unwrap()) {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                assert!(batch.header().last_offset() >= next, "a read went back");
                next = batch.header().next_offset();
                met += 1;
            }
        }
    }
}

fn run(disk: Arc<dyn Disk>, dir: PathBuf, config: LogConfig) {
    let options = StoreOptions {
        clock: Arc::new(SystemClock::new()),
        ..options(disk, dir, &Arc::new(ManualClock::at(0)))
    };
    let mut store = Store::with(options, Arc::new(ManualClock::at(0)));
    let log = store.log("orders-0", config);
    let Store { flusher, queue, .. } = store;
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(move || flusher.run());
        let followers: Vec<_> =
            (0..2).map(|_| scope.spawn(|| follow(&log.reader, 0, &is_done))).collect();
        for round in 0..APPENDS {
            let (key, value) = (format!("k{}", round % 50), format!("value {round}"));
            let batches = keyed(By::NOBODY, 1_000, &[(&key, Some(&value))]);
            let append = commitlog::Append {
                batches,
                origin: commitlog::Origin::Client,
                leader_epoch: 0,
                durable: true,
            };
            let id = log.id;
            let mut refused = QueueRefusal::Full;
            while refused == QueueRefusal::Full {
                let then = Box::new(|stored: Result<_, _>| assert!(stored.is_ok()));
                let append = append.clone();
                match queue.try_submit_lending(Command::Append { id, append, then }) {
                    Ok(Submitted::Rung) => break,
                    Ok(Submitted::Silent) => {
                        queue.lend();
                        break;
                    }
                    Err(refusal) => refused = refusal,
                }
            }
            if round % 200 == 0 {
                queue.try_submit(Command::Maintain).unwrap();
            }
        }
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let then = Box::new(move |closed: Result<_, _>| sender.send(closed.is_ok()).unwrap());
        queue.try_submit(Command::Close { then }).unwrap();
        assert!(receiver.recv().unwrap());
        is_done.store(true, Ordering::SeqCst);
        for follower in followers {
            assert!(follower.join().unwrap() > 0);
        }
    });
    assert_eq!(log.reader.high_watermark(), APPENDS);
}

#[test]
fn readers_follow_a_log_that_rolls_and_deletes() {
    let config = LogConfig {
        segment_bytes: 4_000,
        retention_ms: -1,
        retention_bytes: 20_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    run(Arc::new(MemoryDisk::new()), PathBuf::from("log"), config);
}

#[test]
fn readers_follow_a_log_that_is_compacted_on_a_real_disk() {
    let folder = Folder::new();
    let config = LogConfig {
        segment_bytes: 20_000,
        cleanup: Cleanup::Compact,
        min_cleanable_dirty_ratio: 0.2,
        ..LogConfig::default()
    };
    run(Arc::new(RealDisk), folder.0.clone(), config);
}

/// Each flush takes this long on the clock; who flushed is kept.
#[derive(Debug)]
struct SlowDisk {
    clock: Arc<ManualClock>,
    flush_ms: u64,
    flushed_by: Mutex<Vec<ThreadId>>,
}

impl LogEvents for SlowDisk {
    fn advanced(&self, _: LogId, _: i64, _: i64) {}

    fn flush(&self, mut jobs: Vec<FlushJob>) {
        self.clock.advance_ms(self.flush_ms);
        self.flushed_by.lock().unwrap().push(std::thread::current().id());
        jobs.iter_mut().for_each(FlushJob::run);
    }
}

/// A store whose flusher has a thread, on a disk whose flushes take a time; closed at the end.
fn with_thread(flush_ms: u64, work: impl FnOnce(&Queue, &SlowDisk, LogId)) {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let options = StoreOptions {
        journal_bytes: 0,
        ..options(Arc::new(MemoryDisk::new()), PathBuf::from("log"), &clock)
    };
    let flushed_by = Mutex::default();
    let events = Arc::new(SlowDisk { clock: Arc::clone(&clock), flush_ms, flushed_by });
    let (flusher, queue, _) = Flusher::open(options, Arc::clone(&events) as _).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || flusher.run());
        let (sender, opened) = std::sync::mpsc::sync_channel::<Opened>(1);
        let then = Box::new(move |opened: Result<Opened, _>| sender.send(opened.unwrap()).unwrap());
        let (name, config) = ("orders-0".to_owned(), LogConfig::default());
        let topic_id = base::uuid::Uuid([7; 16]);
        queue.try_submit(Command::Open { name, topic_id, config, lazy: true, then }).unwrap();
        work(&queue, &events, opened.recv().unwrap().id);
        drop(queue);
    });
}

type Stored = std::sync::mpsc::Receiver<Result<Appended, AppendError>>;

/// Appends a record, offering this thread.
fn offer(queue: &Queue, id: LogId) -> (Submitted, Stored) {
    let (sender, stored) = std::sync::mpsc::sync_channel(1);
    let batches = keyed(By::NOBODY, 1_000, &[("k", Some("v"))]);
    let append = Append { batches, origin: Origin::Client, leader_epoch: 0, durable: true };
    let then = Box::new(move |result| sender.send(result).unwrap());
    (queue.try_submit_lending(Command::Append { id, append, then }).unwrap(), stored)
}

/// Appends records until an offer is taken, which it is once the flusher's thread sleeps.
fn offer_until_taken(queue: &Queue, id: LogId) -> Stored {
    loop {
        match offer(queue, id) {
            (Submitted::Silent, stored) => return stored,
            (Submitted::Rung, stored) => drop(stored.recv().unwrap()),
        }
    }
}

#[test]
fn whoever_offers_a_thread_works_the_queue_off() {
    with_thread(0, |queue, disk, id| {
        for _ in 0..20 {
            let stored = offer_until_taken(queue, id);
            queue.lend();
            assert!(stored.recv().unwrap().is_ok());
        }
        // Not each time: the flusher's thread looks by itself now and then.
        let this = std::thread::current().id();
        assert!(disk.flushed_by.lock().unwrap().contains(&this));
    });
}

#[test]
fn no_thread_is_borrowed_for_a_while_when_rounds_take_long() {
    // One such round is enough: spread over 64 it is more than 2 ms for each.
    with_thread(200, |queue, disk, id| {
        let stored = offer_until_taken(queue, id);
        queue.lend();
        assert!(stored.recv().unwrap().is_ok());
        for _ in 0..3 {
            let (submitted, stored) = offer(queue, id);
            assert_eq!(submitted, Submitted::Rung);
            assert!(stored.recv().unwrap().is_ok(), "the flusher's thread did it");
        }
        disk.clock.advance_ms(1_000);
        let stored = offer_until_taken(queue, id);
        queue.lend();
        assert!(stored.recv().unwrap().is_ok());
    });
}
