//! Appending, reading, closing, opening.

use std::sync::Arc;

use base::disk::RealDisk;
use commitlog::{Bound, LogConfig, ReadError, ReadRange};

use crate::store::{Folder, Store, plain, read_all, values};

#[test]
fn what_was_appended_is_read_and_survives_a_clean_end() {
    let folder = Folder::new();
    let mut store = Store::open(Arc::new(RealDisk), folder.0.clone());
    let log = store.log("orders-0", LogConfig::default());
    assert!(!folder.0.join("orders-0").exists(), "an empty log costs nothing");
    assert_eq!(store.append(log.id, plain(&["a", "b"])).unwrap().base_offset, 0);
    assert_eq!(store.append(log.id, plain(&["c"])).unwrap().base_offset, 2);
    assert_eq!(values(&log.reader), ["a", "b", "c"]);
    assert_eq!(store.heard.advanced.lock().unwrap().last(), Some(&(log.id, 3, 3)));
    store.close().unwrap();

    let mut store = Store::open(Arc::new(RealDisk), folder.0.clone());
    assert!(store.report.was_clean);
    assert_eq!(store.report.logs.len(), 1);
    let log = store.log("orders-0", LogConfig::default());
    assert_eq!(values(&log.reader), ["a", "b", "c"]);
    assert_eq!(store.append(log.id, plain(&["d"])).unwrap().base_offset, 3);
    assert_eq!(read_all(&log.reader, 1, Bound::HighWatermark).len(), 3);
}

#[test]
fn what_was_acknowledged_survives_an_end_without_warning() {
    let folder = Folder::new();
    let mut store = Store::open(Arc::new(RealDisk), folder.0.clone());
    let log = store.log("orders-0", LogConfig { segment_bytes: 200, ..LogConfig::default() });
    for value in ["a", "b", "c", "d", "e", "f"] {
        store.append(log.id, plain(&[value])).unwrap();
    }
    drop(store);
    let mut store = Store::open(Arc::new(RealDisk), folder.0.clone());
    assert!(!store.report.was_clean);
    assert_eq!(store.report.cuts, []);
    let log = store.log("orders-0", LogConfig::default());
    assert_eq!(values(&log.reader), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(log.reader.end_offset_for_epoch(0), (0, 6));
}

#[test]
fn the_batch_that_holds_an_offset_comes_first_and_whole() {
    let folder = Folder::new();
    let mut store = Store::open(Arc::new(RealDisk), folder.0.clone());
    let log = store.log("orders-0", LogConfig::default());
    store.append(log.id, plain(&["a", "b", "c"])).unwrap();
    let size = log.reader.size_bytes();
    let until = Bound::HighWatermark;
    let read = |from, bytes_max, at_least_one| {
        log.reader.read(ReadRange { from, bytes_max, at_least_one, until })
    };
    assert_eq!(read(2, 1, true).unwrap().base_offset, 0);
    assert_eq!(read(2, 1, false).unwrap().bytes, 0);
    assert_eq!(read(3, 1, true).unwrap().bytes, 0);
    assert!(matches!(read(4, 1, true), Err(ReadError::OffsetOutOfRange { log_end: 3, .. })));
    assert!(matches!(read(-1, 1, true), Err(ReadError::OffsetOutOfRange { .. })));
    assert_eq!(log.reader.readable_bytes(1, until).unwrap(), size);
    assert_eq!(log.reader.readable_bytes(3, until).unwrap(), 0);
}
