//! Kafka's rules of cleaning, one by one: lags, horizons, retention, pace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::{Clock, ManualClock};
use base::disk::{Disk, MemoryDisk};
use commitlog::{
    Bound, CleanJob, Cleanup, Command, Flusher, LogConfig, LogEvents, LogId, Opened, Turn,
};
use protocol::record::{ControlType, ProducerIdentity, control_batch};

use crate::cleaner::{batches, clean, config, open, table};
use crate::store::{By, Heard, Store, keyed, options, read_all, values};

const START_MS: i64 = 1_700_000_000_000;

fn now_ms(store: &Store) -> i64 {
    store.clock.unix_ms()
}

/// Writes the same key over and over, at the clock's time; values count on from `from`.
fn write(store: &mut Store, log: &Opened, key: &str, from: usize, count: usize) {
    let now = now_ms(store);
    for number in from..from + count {
        let value = format!("v{number}");
        store.append(log.id, keyed(By::NOBODY, now, &[(key, Some(&value))])).unwrap();
    }
}

fn names(disk: &MemoryDisk, ending: &str) -> Vec<String> {
    let entries = disk.list(Path::new("log/state-0")).unwrap();
    let names = entries.into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(ending)).collect()
}

#[test]
fn segments_with_records_younger_than_the_minimum_lag_are_left_alone() {
    let mut store = open(&MemoryDisk::new());
    let log = store.log("state-0", LogConfig { min_compaction_lag_ms: 10_000, ..config() });
    write(&mut store, &log, "k", 0, 60);
    clean(&mut store);
    assert_eq!(values(&log.reader).len(), 60);
    store.clock.advance_ms(5_000);
    write(&mut store, &log, "k", 60, 60);
    store.clock.advance_ms(6_000);
    clean(&mut store);
    let left = read_all(&log.reader, 0, Bound::HighWatermark);
    let old = left.iter().filter(|(offset, _)| *offset < 60).count();
    // The last segment with old records has young ones too.
    assert!((1..20).contains(&old), "{old} of the old records are left");
    assert_eq!(left.len() - old, 60);
}

#[test]
fn a_record_older_than_the_maximum_lag_is_cleaned_whatever_the_share_of_dirt() {
    let mut store = open(&MemoryDisk::new());
    let lags = LogConfig { max_compaction_lag_ms: 10_000, ..config() };
    let log = store.log("state-0", LogConfig { min_cleanable_dirty_ratio: 1.0, ..lags });
    write(&mut store, &log, "k", 0, 60);
    clean(&mut store);
    assert_eq!(values(&log.reader).len(), 60);
    store.clock.advance_ms(10_001);
    clean(&mut store);
    // The segment that was written is closed for it, so that not one old record is left.
    assert_eq!(values(&log.reader), ["v59"]);
}

#[test]
fn a_start_does_not_let_old_records_wait_anew() {
    let disk = MemoryDisk::new();
    let config = LogConfig { max_compaction_lag_ms: 10_000, ..config() };
    let mut store = open(&disk);
    let log = store.log("state-0", config);
    write(&mut store, &log, "k", 0, 5);
    store.close().unwrap();
    let clock = Arc::new(ManualClock::at(START_MS + 10_001));
    let options = options(Arc::new(disk), PathBuf::from("log"), &clock);
    let mut store = Store::with(options, clock);
    let log = store.log("state-0", config);
    clean(&mut store);
    assert_eq!(values(&log.reader), ["v4"]);
}

#[test]
fn appends_close_a_segment_in_time_for_the_maximum_lag_where_it_matters() {
    for (cleanup, segments) in [(Cleanup::Compact, 2), (Cleanup::Delete, 1)] {
        let disk = MemoryDisk::new();
        let mut store = open(&disk);
        let lag = LogConfig { max_compaction_lag_ms: 10_000, ..config() };
        let log = store.log("state-0", LogConfig { cleanup, ..lag });
        for at_ms in [START_MS, START_MS + 10_001] {
            store.append(log.id, keyed(By::NOBODY, at_ms, &[("k", Some("v"))])).unwrap();
        }
        assert_eq!(names(&disk, ".log").len(), segments, "{cleanup:?}");
    }
}

#[test]
fn a_deletion_stays_until_the_horizon_that_the_first_run_gave_it() {
    let mut store = open(&MemoryDisk::new());
    let log = store.log("state-0", LogConfig { delete_retention_ms: 1_000, ..config() });
    // However old the record says it is: readers have had no time yet to see it.
    store.append(log.id, keyed(By::NOBODY, 7, &[("gone", Some("x"))])).unwrap();
    store.append(log.id, keyed(By::NOBODY, 7, &[("gone", None), ("kept", Some("y"))])).unwrap();
    let deletion = |log: &Opened| {
        let batch = batches(&log.reader).into_iter().find(|batch| batch.header().base_offset == 1);
        let batch = batch.expect("the other record of the batch stays");
        let decoded = batch.decode(1 << 20).unwrap();
        let records: Vec<(bool, i64)> = decoded
            .iter()
            .map(|record| record.map(|record| (record.value.is_none(), record.timestamp)).unwrap())
            .collect();
        (batch.header().delete_horizon(), records)
    };
    write(&mut store, &log, "k", 0, 40);
    assert_eq!(deletion(&log).0, None);
    clean(&mut store);
    let horizon = Some(START_MS + 1_000);
    assert_eq!(deletion(&log), (horizon, vec![(true, 7), (false, 7)]));
    store.clock.advance_ms(999);
    write(&mut store, &log, "k", 40, 40);
    clean(&mut store);
    assert_eq!(deletion(&log), (horizon, vec![(true, 7), (false, 7)]));
    store.clock.advance_ms(1);
    write(&mut store, &log, "k", 80, 40);
    clean(&mut store);
    assert_eq!(deletion(&log), (horizon, vec![(false, 7)]));
}

#[test]
fn a_marker_gets_its_horizon_when_no_batch_of_its_transaction_is_left() {
    let mut store = open(&MemoryDisk::new());
    let log = store.log("state-0", LogConfig { delete_retention_ms: 1_000, ..config() });
    let producer = ProducerIdentity { id: 5, epoch: 0 };
    let marker = || control_batch(producer, ControlType::Commit, 0, 7);
    store.append(log.id, keyed(By::transaction(5, 0, 0), 7, &[("t", Some("x"))])).unwrap();
    store.mark(log.id, marker()).unwrap();
    // The producer's last batch is another, which would be kept for its sequence.
    store.append(log.id, keyed(By::transaction(5, 0, 1), 7, &[("z", Some("x"))])).unwrap();
    store.mark(log.id, marker()).unwrap();
    store.append(log.id, keyed(By::NOBODY, 7, &[("t", Some("y"))])).unwrap();
    let run = |store: &mut Store, at: usize| {
        write(store, &log, "k", at * 40, 40);
        clean(store);
        let found = batches(&log.reader);
        let at = |offset| found.iter().find(|batch| batch.header().base_offset == offset);
        assert!(at(2).is_some() && at(3).is_some_and(|b| b.header().delete_horizon().is_none()));
        (at(0).is_some(), at(1).map(|batch| batch.header().delete_horizon()))
    };
    assert_eq!(run(&mut store, 0), (false, Some(None)));
    let horizon = Some(START_MS + 1_000);
    assert_eq!(run(&mut store, 1), (false, Some(horizon)));
    store.clock.advance_ms(999);
    assert_eq!(run(&mut store, 2), (false, Some(horizon)));
    store.clock.advance_ms(1);
    assert_eq!(run(&mut store, 3), (false, None));
}

#[test]
fn the_markers_of_a_producer_that_wrote_nothing_else_stay_for_its_epoch() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log = store.log("state-0", LogConfig { delete_retention_ms: 0, ..config() });
    let producer = ProducerIdentity { id: 5, epoch: 3 };
    store.mark(log.id, control_batch(producer, ControlType::Abort, 0, 7)).unwrap();
    for at in 0..4 {
        write(&mut store, &log, "k", at * 40, 40);
        clean(&mut store);
    }
    assert!(batches(&log.reader)[0].header().is_control());
}

#[test]
fn a_log_that_compacts_and_deletes_loses_old_and_surplus_segments_too() {
    let mut store = open(&MemoryDisk::new());
    let both = LogConfig { cleanup: Cleanup::CompactDelete, ..config() };
    let bounded = LogConfig { retention_ms: 10_000, retention_bytes: 3_000, ..both };
    let log = store.log("state-0", bounded);
    let mut expected = BTreeMap::new();
    for number in 0..100 {
        let (key, value) = (format!("k{}", number / 2), format!("v{number}"));
        let now = now_ms(&store);
        store.append(log.id, keyed(By::NOBODY, now, &[(&key, Some(&value))])).unwrap();
        expected.insert(key, value);
    }
    clean(&mut store);
    let size = log.reader.size_bytes();
    assert!((1_000..=4_000).contains(&size), "{size} bytes are left");
    assert!(log.reader.log_start_offset() > 0);
    let left = table(&log.reader);
    assert!(left.len() > 10 && left.iter().all(|(key, value)| expected.get(key) == Some(value)));
    assert_eq!(left.get("k49").map(String::as_str), Some("v99"), "the newest stay");
    store.clock.advance_ms(10_001);
    clean(&mut store);
    assert_eq!(log.reader.log_start_offset(), 100);
    assert_eq!(values(&log.reader), Vec::<String>::new());
}

#[test]
fn a_run_over_segments_that_were_deleted_meanwhile_brings_nothing_back() {
    // Groups of one segment and of all of them: the start then tears no group, or the only one.
    for group_bytes in [1_000, 1_000_000] {
        let disk = MemoryDisk::new();
        let mut store = open(&disk);
        let log = store.log("state-0", LogConfig { min_cleanable_dirty_ratio: 1.0, ..config() });
        write(&mut store, &log, "k", 0, 30);
        write(&mut store, &log, "l", 30, 30);
        let config = LogConfig { segment_bytes: group_bytes, ..config() };
        store.send(Command::Configure { id: log.id, config });
        let before = table(&log.reader);
        store.queue.try_submit(Command::Maintain).unwrap();
        store.queue.try_submit(Command::AdvanceLogStart { id: log.id, to: 40 }).unwrap();
        // The run reads in the first turn, the log's start moves, and the second turn has the
        // run's result.
        store.flusher.turn();
        store.flusher.turn();
        assert_eq!(names(&disk, ".cleaned"), Vec::<String>::new());
        assert_eq!(log.reader.log_start_offset(), 40);
        let expected = BTreeMap::from([("l".to_owned(), before["l"].clone())]);
        assert_eq!(table(&log.reader), expected);
        clean(&mut store);
        assert_eq!(table(&log.reader), expected);
        let left = values(&log.reader).len();
        assert!(left < 15, "{left} records are left in groups of {group_bytes} bytes");
    }
}

#[test]
fn keys_for_which_there_is_no_room_wait_for_the_next_run() {
    let mut store = open(&MemoryDisk::new());
    let config = LogConfig { segment_bytes: 16 << 20, ..config() };
    let log = store.log("state-0", config);
    // More bytes of keys than a run keeps in mind, before a key that is written often.
    let long = "x".repeat(1_000_000);
    let keys = commitlog::limits::CLEANER_KEY_BYTES_MAX / long.len() + 3;
    for number in 0..keys {
        let key = format!("{number}{long}");
        store.append(log.id, keyed(By::NOBODY, 1, &[(&key, Some("v"))])).unwrap();
    }
    write(&mut store, &log, "k", 0, 40);
    store.send(Command::Configure {
        id: log.id,
        config: LogConfig { max_compaction_lag_ms: 1_000, ..config },
    });
    store.clock.advance_ms(2_000);
    store.send(Command::Maintain);
    store.flusher.turn();
    assert_eq!(values(&log.reader).len(), keys + 40);
    clean(&mut store);
    assert_eq!(values(&log.reader).len(), keys + 1);
}

/// Keeps a job instead of running it.
#[derive(Debug, Default)]
struct Holder {
    job: Mutex<Option<CleanJob>>,
}

impl LogEvents for Holder {
    fn advanced(&self, _id: LogId, _high_watermark: i64, _last_stable_offset: i64) {}

    fn clean(&self, job: CleanJob) {
        *self.job.lock().unwrap() = Some(job);
    }
}

/// A store with a log of 300 kB and a job that is to clean it.
fn held(bytes_per_second: f64) -> (Store, Opened, CleanJob) {
    let clock = Arc::new(ManualClock::at(START_MS));
    let holder = Arc::new(Holder::default());
    let options = options(Arc::new(MemoryDisk::new()), PathBuf::from("log"), &clock);
    let (flusher, queue, report) = Flusher::open(options, Arc::clone(&holder) as _).unwrap();
    let heard = Arc::new(Heard::default());
    let mut store = Store { flusher, queue, report, heard, clock };
    let config = LogConfig { cleaner_bytes_per_second: bytes_per_second, ..config() };
    let log = store.log("state-0", LogConfig { segment_bytes: 10_000, ..config });
    write(&mut store, &log, "k", 0, 4_000);
    store.send(Command::Maintain);
    let job = holder.job.lock().unwrap().take();
    (store, log, job.expect("the log is dirty"))
}

#[test]
fn a_run_reads_and_writes_no_faster_than_it_may() {
    for (bytes_per_second, is_limited) in [(1_000_000.0, true), (f64::MAX, false)] {
        let (mut store, log, job) = held(bytes_per_second);
        let size = log.reader.size_bytes();
        let mut waited = Duration::ZERO;
        let clock = Arc::clone(&store.clock);
        job.run_paced(&mut |wait| {
            assert!(wait <= commitlog::limits::CLEANER_WAIT_MAX);
            clock.advance_ms(u64::try_from(wait.as_millis()).unwrap() + 1);
            waited += wait;
        });
        store.flusher.turn();
        assert!(log.reader.size_bytes() < size / 4, "the log is clean");
        // All of it was read twice, and next to nothing was written.
        let takes_ms = if is_limited { 2 * size / 1_000 } else { 0 };
        let waited_ms = u64::try_from(waited.as_millis()).unwrap();
        let known = (takes_ms * 7 / 10)..=(takes_ms * 11 / 10);
        assert!(known.contains(&waited_ms), "{waited_ms} ms for {size} bytes, not {known:?}");
    }
}

#[test]
fn a_run_ends_when_its_store_is_closed() {
    let (mut store, log, job) = held(1_000.0);
    let size = log.reader.size_bytes();
    store.queue.try_submit(Command::Close { then: Box::new(|_| {}) }).unwrap();
    assert_eq!(store.flusher.turn(), Turn::Closed);
    job.run_paced(&mut |_| panic!("nobody waits for a store that is closed"));
    assert_eq!(log.reader.size_bytes(), size);
}
