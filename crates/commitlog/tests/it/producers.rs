//! Idempotence, fencing and transactions.

use std::sync::Arc;

use base::disk::RealDisk;
use commitlog::{AppendError, Bound, LogConfig, ReadRange};
use protocol::record::{ControlType, ProducerIdentity, control_batch};

use crate::store::{By, Folder, Store, batch, read_all};

fn store(folder: &Folder) -> Store {
    Store::open(Arc::new(RealDisk), folder.0.clone())
}

fn marker(id: i64, epoch: i16, kind: ControlType) -> bytes::Bytes {
    control_batch(ProducerIdentity { id, epoch }, kind, 0, 1_000)
}

#[test]
fn a_repeated_batch_gets_its_old_offset_even_in_the_same_round() {
    let folder = Folder::new();
    let mut store = store(&folder);
    let log = store.log("orders-0", LogConfig::default());
    let first = store.submit(log.id, batch(By::idempotent(5, 0, 0), 1, &["a", "b"]));
    let again = store.submit(log.id, batch(By::idempotent(5, 0, 0), 1, &["a", "b"]));
    store.flusher.turn();
    let first = first.lock().unwrap().take().unwrap().unwrap();
    let again = again.lock().unwrap().take().unwrap().unwrap();
    assert_eq!((first.base_offset, first.last_offset, first.duplicate), (0, 1, false));
    assert_eq!((again.base_offset, again.last_offset, again.duplicate), (0, 1, true));
    assert_eq!(log.reader.log_end_offset(), 2);
}

#[test]
fn each_of_the_last_five_batches_may_be_repeated_also_after_any_end() {
    for clean in [true, false] {
        let folder = Folder::new();
        let mut store = self::store(&folder);
        // Small segments, so that the five batches lie in several of them.
        let config = LogConfig { segment_bytes: 200, ..LogConfig::default() };
        let log = store.log("orders-0", config);
        for sequence in 0..8 {
            let value = format!("v{sequence}");
            store.append(log.id, batch(By::idempotent(5, 0, sequence), 1, &[&value])).unwrap();
        }
        if clean {
            store.close().unwrap();
        } else {
            drop(store);
        }
        let mut store = self::store(&folder);
        let log = store.log("orders-0", config);
        for sequence in 3..8 {
            let again = batch(By::idempotent(5, 0, sequence), 1, &["x"]);
            let answer = store.append(log.id, again).unwrap();
            assert_eq!((answer.base_offset, answer.duplicate), (i64::from(sequence), true));
        }
        let next = store.append(log.id, batch(By::idempotent(5, 0, 8), 1, &["x"])).unwrap();
        assert_eq!((next.base_offset, next.duplicate), (8, false));
    }
}

#[test]
fn sequences_and_epochs_are_checked_as_kafka_does() {
    let folder = Folder::new();
    let mut store = store(&folder);
    let log = store.log("orders-0", LogConfig::default());
    let mut send = |epoch, sequence| {
        store.append(log.id, batch(By::idempotent(5, epoch, sequence), 1, &["x"]))
    };
    // Nothing is known of the producer, so any sequence will do.
    assert_eq!(send(0, 7).unwrap().base_offset, 0);
    assert_eq!(
        send(0, 9),
        Err(AppendError::OutOfOrderSequence { producer_id: 5, found: 9, last: 7 })
    );
    assert!(matches!(send(1, 8), Err(AppendError::OutOfOrderSequence { .. })));
    assert_eq!(send(1, 0).unwrap().base_offset, 1);
    assert_eq!(
        send(0, 8),
        Err(AppendError::InvalidProducerEpoch { producer_id: 5, found: 0, known: 1 })
    );
    assert_eq!(send(1, 1).unwrap().base_offset, 2);
}

#[test]
fn sequences_start_over_behind_the_largest() {
    let folder = Folder::new();
    let mut store = store(&folder);
    let log = store.log("orders-0", LogConfig::default());
    let mut send = |sequence, values: &[&str]| {
        store.append(log.id, batch(By::idempotent(5, 0, sequence), 1, values))
    };
    assert_eq!(send(i32::MAX - 1, &["a", "b", "c"]).unwrap().base_offset, 0);
    assert!(send(0, &["x"]).is_err());
    assert_eq!(send(1, &["d"]).unwrap().base_offset, 3);
    assert!(send(i32::MAX - 1, &["a", "b", "c"]).unwrap().duplicate);
}

#[test]
fn readers_of_committed_records_wait_for_the_marker() {
    let folder = Folder::new();
    let mut store = store(&folder);
    let log = store.log("orders-0", LogConfig::default());
    store.append(log.id, batch(By::NOBODY, 1, &["a"])).unwrap();
    store.append(log.id, batch(By::transaction(5, 0, 0), 1, &["b"])).unwrap();
    store.append(log.id, batch(By::transaction(6, 0, 0), 1, &["c"])).unwrap();
    assert_eq!((log.reader.last_stable_offset(), log.reader.high_watermark()), (1, 3));
    assert_eq!(read_all(&log.reader, 0, Bound::LastStable), [(0, "a".to_owned())]);
    store.mark(log.id, marker(5, 0, ControlType::Abort)).unwrap();
    assert_eq!(log.reader.last_stable_offset(), 2);
    store.mark(log.id, marker(6, 0, ControlType::Commit)).unwrap();
    assert_eq!(log.reader.last_stable_offset(), 5);
    let aborted = log.reader.aborted_transactions(0, 5);
    assert_eq!(
        aborted.iter().map(|txn| (txn.producer_id, txn.first_offset)).collect::<Vec<_>>(),
        [(5, 1)]
    );
    assert_eq!(log.reader.aborted_transactions(4, 5), []);
    // An old instance is fenced by the marker of a newer one.
    store.mark(log.id, marker(5, 1, ControlType::Abort)).unwrap();
    let late = store.append(log.id, batch(By::transaction(5, 0, 1), 1, &["x"]));
    assert!(matches!(late, Err(AppendError::InvalidProducerEpoch { known: 1, .. })));
}

#[test]
fn a_slice_ends_before_the_transactions_that_it_does_not_reach() {
    let folder = Folder::new();
    let mut store = store(&folder);
    let log = store.log("orders-0", LogConfig::default());
    for (at, producer) in (0..).zip([5, 6]) {
        store.append(log.id, batch(By::transaction(producer, 0, 0), 1, &["a", "b"])).unwrap();
        store.mark(log.id, marker(producer, 0, ControlType::Abort)).unwrap();
        assert_eq!(log.reader.last_stable_offset(), 3 * (at + 1));
    }
    store.append(log.id, batch(By::transaction(7, 0, 0), 1, &["open"])).unwrap();
    let read = |from, bytes_max| {
        let (at_least_one, until) = (true, Bound::LastStable);
        let slice = log.reader.read(ReadRange { from, bytes_max, at_least_one, until }).unwrap();
        let aborted = log.reader.aborted_transactions(from, slice.end_offset);
        let ids: Vec<i64> = aborted.iter().map(|txn| txn.producer_id).collect();
        (slice.end_offset, ids)
    };
    assert_eq!(read(0, 1), (2, vec![5]));
    assert_eq!(read(1, 200), (3, vec![5]), "the marker belongs to what it ends");
    assert_eq!(read(3, 1), (5, vec![6]));
    assert_eq!(read(0, 1 << 20), (6, vec![5, 6]), "what is open ends the slice");
    assert_eq!(read(6, 1 << 20), (6, vec![]));
}

#[test]
fn open_and_aborted_transactions_are_known_after_any_end() {
    for clean in [true, false] {
        let folder = Folder::new();
        let mut store = self::store(&folder);
        let config = LogConfig { segment_bytes: 150, ..LogConfig::default() };
        let log = store.log("orders-0", config);
        store.append(log.id, batch(By::transaction(5, 0, 0), 1, &["a"])).unwrap();
        store.append(log.id, batch(By::transaction(6, 0, 0), 1, &["b"])).unwrap();
        store.mark(log.id, marker(5, 0, ControlType::Abort)).unwrap();
        store.append(log.id, batch(By::NOBODY, 1, &["c"])).unwrap();
        if clean {
            store.close().unwrap();
        } else {
            drop(store);
        }
        let mut store = self::store(&folder);
        let log = store.log("orders-0", config);
        assert_eq!(log.reader.last_stable_offset(), 1);
        assert_eq!(log.reader.aborted_transactions(0, 4).len(), 1);
        store.mark(log.id, marker(6, 0, ControlType::Commit)).unwrap();
        assert_eq!(log.reader.last_stable_offset(), 5);
    }
}

#[test]
fn a_batch_outside_the_open_transaction_is_refused() {
    let folder = Folder::new();
    let mut store = store(&folder);
    let log = store.log("orders-0", LogConfig::default());
    store.append(log.id, batch(By::transaction(5, 0, 0), 1, &["a"])).unwrap();
    let plain = store.append(log.id, batch(By::idempotent(5, 0, 1), 1, &["b"]));
    assert_eq!(plain, Err(AppendError::InvalidTxnState { producer_id: 5 }));
    let forged = store.append(log.id, marker(5, 0, ControlType::Commit));
    assert_eq!(forged, Err(AppendError::NotAllowed));
}
