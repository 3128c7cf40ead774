//! Rounds that are written while the flushes of others are under way.

use std::io::ErrorKind;

use base::disk::MemoryDisk;
use commitlog::{AppendError, Appended, Command, FlushJob, LogConfig, Opened, limits};
use protocol::record::{ControlType, ProducerIdentity, control_batch};

use crate::store::{By, Slot, Store, batch, plain, values};

/// A store whose flushes wait to be run, and logs of these names.
fn held<const N: usize>(disk: &MemoryDisk, names: [&str; N]) -> (Store, [Opened; N]) {
    let mut store = Store::open_without_journal(disk);
    let logs = names.map(|name| {
        let log = store.log(name, LogConfig::default());
        // The folder and the first segment are there.
        store.append(log.id, plain(&["first"])).unwrap();
        log
    });
    store.heard.hold();
    (store, logs)
}

/// The only flush that is held.
fn the_one(store: &Store) -> FlushJob {
    let mut held = store.heard.take_held();
    assert_eq!(held.len(), 1);
    held.remove(0)
}

fn answer(slot: &Slot<Result<Appended, AppendError>>) -> Option<Result<Appended, AppendError>> {
    slot.lock().unwrap().clone()
}

#[test]
fn a_log_waits_for_no_flush_but_its_own() {
    let (mut store, [slow, quick]) = held(&MemoryDisk::new(), ["orders-0", "orders-1"]);
    let one = store.submit(slow.id, plain(&["a"]));
    store.flusher.turn();
    let mut flush_of_one = the_one(&store);
    let two = store.submit(quick.id, plain(&["b"]));
    store.flusher.turn();
    the_one(&store).run();
    store.flusher.turn();
    assert!(answer(&two).unwrap().is_ok());
    assert_eq!(values(&quick.reader), ["first", "b"]);
    assert_eq!((answer(&one), values(&slow.reader).len()), (None, 1));
    flush_of_one.run();
    drop(flush_of_one);
    store.flusher.turn();
    assert!(answer(&one).unwrap().is_ok());
    assert_eq!(values(&slow.reader), ["first", "a"]);
}

#[test]
fn readers_see_what_a_flush_covers_and_nothing_that_was_written_since() {
    let (mut store, [log]) = held(&MemoryDisk::new(), ["orders-0"]);
    let one = store.submit(log.id, plain(&["a"]));
    store.flusher.turn();
    let (two, three) = (store.submit(log.id, plain(&["b"])), store.submit(log.id, plain(&["c"])));
    store.flusher.turn();
    the_one(&store).run();
    store.flusher.turn();
    assert!(answer(&one).unwrap().is_ok());
    assert_eq!((answer(&two), answer(&three)), (None, None));
    assert_eq!(
        (values(&log.reader), log.reader.high_watermark()),
        (vec!["first".into(), "a".into()], 2)
    );
    // What came meanwhile shares the next flush.
    the_one(&store).run();
    store.flusher.turn();
    assert!(answer(&two).unwrap().is_ok() && answer(&three).unwrap().is_ok());
    assert_eq!(log.reader.high_watermark(), 4);
    assert!(store.heard.take_held().is_empty());
}

#[test]
fn the_last_stable_offset_is_that_of_what_was_flushed() {
    let (mut store, [log]) = held(&MemoryDisk::new(), ["orders-0"]);
    let open = store.submit(log.id, batch(By::transaction(3, 0, 0), 1_000, &["a"]));
    store.flusher.turn();
    let producer = ProducerIdentity { id: 3, epoch: 0 };
    let marker = control_batch(producer, ControlType::Commit, 0, 1_000);
    let append = commitlog::Append {
        batches: marker,
        origin: commitlog::Origin::Coordinator,
        leader_epoch: 0,
        durable: true,
    };
    let ended = store.submit_as(log.id, append);
    store.flusher.turn();
    the_one(&store).run();
    store.flusher.turn();
    assert!(answer(&open).unwrap().is_ok() && answer(&ended).is_none());
    // The marker is written and may be lost, so the transaction is open for whoever reads.
    assert_eq!((log.reader.high_watermark(), log.reader.last_stable_offset()), (2, 1));
    the_one(&store).run();
    store.flusher.turn();
    assert_eq!((log.reader.high_watermark(), log.reader.last_stable_offset()), (3, 3));
}

#[test]
fn a_repetition_waits_for_the_flush_of_the_first_attempt() {
    let (mut store, [log]) = held(&MemoryDisk::new(), ["orders-0"]);
    let bytes = batch(By::idempotent(5, 0, 0), 1_000, &["a"]);
    let first = store.submit(log.id, bytes.clone());
    store.flusher.turn();
    let again = store.submit(log.id, bytes);
    store.flusher.turn();
    assert_eq!((answer(&first), answer(&again)), (None, None));
    the_one(&store).run();
    store.flusher.turn();
    assert!(answer(&first).unwrap().is_ok());
    store.flusher.turn();
    store.heard.take_held().iter_mut().for_each(FlushJob::run);
    store.flusher.turn();
    let (first, again) = (answer(&first).unwrap().unwrap(), answer(&again).unwrap().unwrap());
    assert_eq!((again.base_offset, again.duplicate), (first.base_offset, true));
}

#[test]
fn a_flush_that_fails_refuses_what_was_written_meanwhile() {
    let disk = MemoryDisk::new();
    let (mut store, [log, other]) = held(&disk, ["orders-0", "orders-1"]);
    let one = store.submit(log.id, plain(&["a"]));
    store.flusher.turn();
    let two = store.submit(log.id, plain(&["b"]));
    store.flusher.turn();
    disk.fail_at(disk.operation_count(), ErrorKind::Other);
    the_one(&store).run();
    store.flusher.turn();
    assert_eq!(answer(&one), Some(Err(AppendError::LogFailed)));
    assert_eq!(answer(&two), Some(Err(AppendError::LogFailed)));
    assert_eq!(values(&log.reader), ["first"]);
    assert_eq!(store.heard.failed.lock().unwrap().len(), 1);
    let three = store.submit(other.id, plain(&["c"]));
    store.flusher.turn();
    the_one(&store).run();
    store.flusher.turn();
    assert!(answer(&three).unwrap().is_ok());
}

#[test]
fn a_flush_that_nobody_runs_has_failed() {
    let (mut store, [log]) = held(&MemoryDisk::new(), ["orders-0"]);
    let one = store.submit(log.id, plain(&["a"]));
    store.flusher.turn();
    drop(the_one(&store));
    store.flusher.turn();
    assert_eq!(answer(&one), Some(Err(AppendError::LogFailed)));
}

#[test]
fn no_more_than_so_many_flushes_are_begun() {
    let names = ["a-0", "a-1", "a-2", "a-3", "a-4", "a-5"];
    let (mut store, logs) = held(&MemoryDisk::new(), names);
    let mut answers = Vec::new();
    for log in &logs {
        answers.push(store.submit(log.id, plain(&["a"])));
        store.flusher.turn();
    }
    let mut begun = store.heard.take_held();
    assert_eq!(begun.len(), limits::FLUSHES_MAX);
    begun.remove(0).run();
    store.flusher.turn();
    // Those that waited are begun together.
    begun.extend(store.heard.take_held());
    assert_eq!(begun.len(), names.len() - 1);
    begun.iter_mut().for_each(FlushJob::run);
    drop(begun);
    store.flusher.turn();
    assert!(answers.iter().all(|one| answer(one).unwrap().is_ok()));
}

#[test]
fn what_must_not_meet_a_flush_waits_for_it() {
    let (mut store, [log]) = held(&MemoryDisk::new(), ["orders-0"]);
    for command in [
        Command::Truncate { id: log.id, to: 1 },
        Command::Maintain,
        Command::Configure { id: log.id, config: LogConfig::default() },
        Command::AdvanceLogStart { id: log.id, to: 1 },
        Command::Remove { id: log.id },
    ] {
        let one = store.submit(log.id, plain(&["a"]));
        store.flusher.turn();
        assert_eq!(answer(&one), None);
        store.send(command);
        assert!(answer(&one).unwrap().is_ok());
    }
    assert!(store.close().is_ok());
}
