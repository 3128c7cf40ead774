//! Compaction: the last value of every key stays, whatever else goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::cast;
use base::disk::{Disk, MemoryDisk};
use base::rng::{Random, SeededRandom};
use commitlog::{Bound, Cleanup, Command, LogConfig, LogReader, ReadRange};
use protocol::record::{Batch, Batches, ControlType, ProducerIdentity, control_batch};

use crate::store::{By, Store, batch, keyed};

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_000,
        cleanup: Cleanup::Compact,
        min_cleanable_dirty_ratio: 0.1,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

pub(crate) fn open(disk: &MemoryDisk) -> Store {
    Store::open(Arc::new(disk.clone()), PathBuf::from("log"))
}

/// What readers of committed records end up with: the last value of every key.
pub(crate) fn table(reader: &LogReader) -> BTreeMap<String, String> {
    let (from, until) = (reader.log_start_offset(), Bound::LastStable);
    let range = ReadRange { from, bytes_max: usize::MAX / 2, at_least_one: true, until };
    let mut aborted = reader.aborted_transactions(from, reader.last_stable_offset());
    aborted.sort_by_key(|txn| txn.first_offset);
    let mut coming = aborted.into_iter().peekable();
    let mut skipping = BTreeSet::new();
    let mut table = BTreeMap::new();
    let mut next = range.from;
    loop {
        let slice = reader.read(ReadRange { from: next, ..range }).unwrap();
        let Some(chunk) = slice.chunks.first() else { return table };
        for batch in Batches::new(chunk.read().unwrap()) {
            let batch = batch.unwrap();
            let header = *batch.header();
            next = header.next_offset();
            while let Some(txn) = coming.next_if(|txn| txn.first_offset <= header.last_offset()) {
                skipping.insert(txn.producer_id);
            }
            if header.is_control() {
                skipping.remove(&header.producer_id);
                continue;
            }
            if header.is_transactional() && skipping.contains(&header.producer_id) {
                continue;
            }
            for record in &batch.decode(1 << 20).unwrap() {
                let record = record.unwrap();
                let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
                let key = text(record.key.unwrap());
                match record.value {
                    Some(value) => drop(table.insert(key, text(value))),
                    None => drop(table.remove(&key)),
                }
            }
        }
    }
}

/// Every batch that the log holds.
pub(crate) fn batches(reader: &LogReader) -> Vec<Batch> {
    let (from, until) = (reader.log_start_offset(), Bound::HighWatermark);
    let range = ReadRange { from, bytes_max: usize::MAX / 2, at_least_one: true, until };
    let mut batches = Vec::new();
    let mut next = from;
    loop {
        let slice = reader.read(ReadRange { from: next, ..range }).unwrap();
        let Some(chunk) = slice.chunks.first() else { return batches };
        batches.extend(Batches::new(chunk.read().unwrap()).map(Result::unwrap));
        next = batches.last().unwrap().header().next_offset();
    }
}

pub(crate) fn clean(store: &mut Store) {
    for _ in 0..4 {
        store.send(Command::Maintain);
        store.flusher.turn();
    }
    assert_eq!(*store.heard.failed.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn only_the_last_value_of_a_key_stays_and_offsets_stay_with_it() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log = store.log("state-0", config());
    for round in 0..200 {
        let (key, value) = (format!("k{}", round % 7), format!("v{round}"));
        store.append(log.id, keyed(By::NOBODY, 1, &[(&key, Some(&value))])).unwrap();
    }
    let (before, size) = (table(&log.reader), log.reader.size_bytes());
    clean(&mut store);
    assert_eq!(table(&log.reader), before);
    assert!(log.reader.size_bytes() < size / 4, "{} of {size}", log.reader.size_bytes());
    assert_eq!(log.reader.high_watermark(), 200);
    drop(store);
    let mut store = open(&disk);
    assert_eq!(store.report.cuts, []);
    let log = store.log("state-0", config());
    assert_eq!(table(&log.reader), before);
    assert_eq!(store.append(log.id, batch(By::NOBODY, 1, &["x"])).unwrap().base_offset, 200);
}

#[test]
fn deleted_keys_and_old_markers_go_after_their_time() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log = store.log("state-0", LogConfig { delete_retention_ms: 1_000, ..config() });
    let now = base::clock::Clock::unix_ms(&*store.clock);
    for round in 0..40 {
        let by = By::transaction(5, 0, round);
        store.append(log.id, keyed(by, now, &[("gone", Some("x"))])).unwrap();
        let kind = if round % 2 == 0 { ControlType::Commit } else { ControlType::Abort };
        let producer = ProducerIdentity { id: 5, epoch: 0 };
        store.mark(log.id, control_batch(producer, kind, 0, now)).unwrap();
    }
    store.append(log.id, keyed(By::NOBODY, now, &[("gone", None)])).unwrap();
    for round in 0..20 {
        let value = format!("v{round}");
        store.append(log.id, keyed(By::NOBODY, now, &[("kept", Some(&value))])).unwrap();
    }
    clean(&mut store);
    let with_markers = log.reader.size_bytes();
    assert!(!log.reader.aborted_transactions(0, 1_000).is_empty());
    // A run takes the records, the next gives their markers a horizon, the one after is past it;
    // new dirt lets each of them run.
    for run in 0..4 {
        store.clock.advance_ms(2_000);
        for round in 0..40 {
            let value = format!("w{run}.{round}");
            store.append(log.id, keyed(By::NOBODY, now, &[("kept", Some(&value))])).unwrap();
        }
        clean(&mut store);
    }
    assert!(log.reader.size_bytes() < with_markers, "markers and deletions are forgotten");
    // The last batch of each file stays, markers too.
    let left = log.reader.aborted_transactions(0, 1_000).len();
    assert!(left <= 5, "{left} aborted transactions of 20 are still listed");
    assert_eq!(table(&log.reader), BTreeMap::from([("kept".to_owned(), "w3.39".to_owned())]));
    drop(store);
    // Even when everything is made anew from the batches, nothing hangs.
    for entry in disk.list(Path::new("log/state-0")).unwrap() {
        if entry.name.ends_with("snapshot") || entry.name.ends_with("index") {
            disk.remove_file(&Path::new("log/state-0").join(entry.name)).unwrap();
        }
    }
    let mut store = open(&disk);
    let log = store.log("state-0", config());
    assert_eq!(log.reader.last_stable_offset(), log.reader.high_watermark());
    assert_eq!(table(&log.reader).len(), 1);
    // The producer's last batch is still known.
    let again = batch(By::transaction(5, 0, 39), now, &["x"]);
    assert!(store.append(log.id, again).unwrap().duplicate);
}

#[test]
fn committed_tables_survive_any_mixture_of_transactions() {
    for seed in 0..30 {
        let disk = MemoryDisk::new();
        let mut store = open(&disk);
        let log = store.log("state-0", LogConfig { delete_retention_ms: 0, ..config() });
        let rng = SeededRandom::new(seed);
        let mut sequences = [0; 3];
        let mut is_open = [false; 3];
        for step in 0..150 {
            let at = cast::usize_of(rng.below(3));
            let id = cast::i64_of(at) + 1;
            if is_open[at] && rng.below(3) == 0 {
                let kind = if rng.below(2) == 0 { ControlType::Commit } else { ControlType::Abort };
                let marker = control_batch(ProducerIdentity { id, epoch: 0 }, kind, 0, 1);
                store.mark(log.id, marker).unwrap();
                is_open[at] = false;
            }
            let (key, value) = (format!("k{}", rng.below(9)), format!("v{step}"));
            let value = (rng.below(6) > 0).then_some(value.as_str());
            let by = By::transaction(id, 0, sequences[at]);
            store.append(log.id, keyed(by, 1, &[(&key, value)])).unwrap();
            sequences[at] += 1;
            is_open[at] = true;
            if rng.below(20) == 0 {
                let before = table(&log.reader);
                clean(&mut store);
                assert_eq!(table(&log.reader), before, "seed {seed} step {step}");
            }
        }
        let before = table(&log.reader);
        drop(store);
        let mut store = open(&disk);
        let log = store.log("state-0", config());
        assert_eq!(table(&log.reader), before, "seed {seed}");
    }
}
