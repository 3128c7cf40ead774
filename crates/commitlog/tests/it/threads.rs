//! Readers beside the writer: nobody sees half a batch, whatever is rolled, deleted or cleaned.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::clock::{ManualClock, SystemClock};
use base::disk::{Disk, MemoryDisk, RealDisk};
use commitlog::{
    Bound, Cleanup, Command, LogConfig, LogReader, QueueRefusal, ReadError, ReadRange, StoreOptions,
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
                match queue.try_submit(Command::Append { id, append, then }) {
                    Ok(()) => break,
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
