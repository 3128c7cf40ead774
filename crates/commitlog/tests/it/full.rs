//! Full and failing disks: refused cleanly, never half done.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use base::clock::ManualClock;
use base::disk::MemoryDisk;
use base::disk::memory::Operation;
use commitlog::{AppendError, LogConfig, StoreOptions};

use crate::store::{By, Store, batch, options, plain, values};

fn open(disk: &MemoryDisk) -> Store {
    Store::open(Arc::new(disk.clone()), PathBuf::from("log"))
}

#[test]
fn a_full_disk_refuses_appends_and_nothing_else() {
    for capacity in (300..4_000).step_by(97) {
        let disk = MemoryDisk::new();
        let mut store = open(&disk);
        let config = LogConfig { segment_bytes: 600, ..LogConfig::default() };
        let log = store.log("orders-0", config);
        disk.set_capacity(Some(capacity));
        let mut kept = Vec::new();
        for round in 0..60 {
            let value = format!("v{round}");
            let by = By::idempotent(5, 0, i32::try_from(kept.len()).unwrap());
            match store.append(log.id, batch(by, 1, &[&value])) {
                Ok(_) => kept.push(value),
                Err(error) => assert_eq!(error, AppendError::StorageFull),
            }
        }
        assert!(kept.len() < 60, "the disk of {capacity} bytes was never full");
        assert_eq!(values(&log.reader), kept);
        // With room again the log goes on where it stood, sequences included.
        disk.set_capacity(None);
        let by = By::idempotent(5, 0, i32::try_from(kept.len()).unwrap());
        store.append(log.id, batch(by, 1, &["after"])).unwrap();
        kept.push("after".to_owned());
        drop(store);
        let mut store = open(&disk);
        assert_eq!(store.report.cuts, [], "capacity {capacity}");
        let log = store.log("orders-0", config);
        assert_eq!(values(&log.reader), kept, "capacity {capacity}");
    }
}

#[test]
fn recovery_needs_no_room() {
    let disk = MemoryDisk::new();
    let mut store = Store::open_without_journal(&disk);
    let config = LogConfig { segment_bytes: 300, ..LogConfig::default() };
    let log = store.log("orders-0", config);
    for round in 0..20 {
        store.append(log.id, plain(&[&format!("v{round}")])).unwrap();
    }
    drop(store);
    let image = disk.crash_image(0);
    image.set_capacity(Some(0));
    let mut store = open(&image);
    let log = store.log("orders-0", config);
    assert_eq!(values(&log.reader).len(), 20);
    assert_eq!(store.append(log.id, plain(&["x"])), Err(AppendError::StorageFull));
}

#[test]
fn clients_are_turned_away_before_the_disk_is_full_and_coordinators_later() {
    let disk = MemoryDisk::new();
    disk.set_capacity(Some(100_000));
    let clock = Arc::new(ManualClock::at(0));
    let options = StoreOptions {
        free_bytes_min: 90_000,
        ..options(Arc::new(disk.clone()), PathBuf::from("log"), &clock)
    };
    let mut store = Store::with(options, Arc::clone(&clock));
    let log = store.log("orders-0", LogConfig::default());
    let large = "x".repeat(12_000);
    store.append(log.id, plain(&[&large])).unwrap();
    clock.advance_ms(2_000);
    assert_eq!(store.append(log.id, plain(&["a"])), Err(AppendError::StorageFull));
    store.mark(log.id, plain(&["offsets"])).unwrap();
    disk.set_capacity(None);
    clock.advance_ms(2_000);
    store.append(log.id, plain(&["b"])).unwrap();
}

#[test]
fn a_failed_flush_ends_the_log_until_the_next_start() {
    let disk = MemoryDisk::new();
    let mut store = Store::open_without_journal(&disk);
    let log = store.log("orders-0", LogConfig::default());
    let other = store.log("orders-1", LogConfig::default());
    store.append(log.id, plain(&["a"])).unwrap();
    // The next append writes and then flushes.
    disk.fail_at(disk.operation_count() + 1, ErrorKind::Other);
    assert_eq!(store.append(log.id, plain(&["b"])), Err(AppendError::LogFailed));
    assert_eq!(disk.operations().last(), Some(&Operation::Sync));
    assert_eq!(store.append(log.id, plain(&["c"])), Err(AppendError::LogFailed));
    assert_eq!(store.heard.failed.lock().unwrap().len(), 1);
    assert_eq!(values(&log.reader), ["a"], "what was not flushed is not seen");
    store.append(other.id, plain(&["d"])).unwrap();
    assert!(store.close().is_err(), "an end with a failed log is no clean one");
    let mut store = open(&disk);
    assert!(!store.report.was_clean);
    let log = store.log("orders-0", LogConfig::default());
    assert_eq!(values(&log.reader)[0], "a");
    store.append(log.id, plain(&["e"])).unwrap();
}

#[test]
fn any_single_failing_operation_leaves_an_honest_log() {
    for at in 0..60 {
        let disk = MemoryDisk::new();
        disk.fail_at(at, ErrorKind::Other);
        let clock = Arc::new(ManualClock::at(0));
        let options = options(Arc::new(disk.clone()), PathBuf::from("log"), &clock);
        let Ok(mut store) = Store::try_with(options, clock) else { continue };
        let config = LogConfig { segment_bytes: 200, ..LogConfig::default() };
        let Ok(log) = store.try_log("orders-0", config) else { continue };
        let mut acknowledged = Vec::new();
        for round in 0..8 {
            let value = format!("v{round}");
            if store.append(log.id, plain(&[&value])).is_ok() {
                acknowledged.push(value);
            }
        }
        drop(store);
        let mut store = open(&disk.crash_image(0));
        let log = store.log("orders-0", config);
        let found = values(&log.reader);
        for value in &acknowledged {
            assert!(found.contains(value), "operation {at}: {value} is not in {found:?}");
        }
    }
}
