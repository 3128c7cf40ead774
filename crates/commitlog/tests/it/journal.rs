//! The journal of small rounds: one flush for all, and a start puts back what the files lost.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::clock::ManualClock;
use base::disk::memory::Operation;
use base::disk::{Disk, MemoryDisk, OpenMode};
use base::uuid::Uuid;
use commitlog::{Command, Durability, Error, FlushJob, LogConfig, LogId, Opened, StoreOptions};

use crate::store::{Store, options, plain, slot, values};

const JOURNAL: &str = "log/round-journal";

fn open(disk: &MemoryDisk) -> Store {
    Store::open(Arc::new(disk.clone()), PathBuf::from("log"))
}

fn with_journal_of(disk: &MemoryDisk, journal_bytes: u64) -> Store {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let options = options(Arc::new(disk.clone()), PathBuf::from("log"), &clock);
    Store::with(StoreOptions { journal_bytes, ..options }, clock)
}

/// Two logs whose files are there and flushed.
fn two_logs(store: &mut Store) -> [Opened; 2] {
    ["orders-0", "orders-1"].map(|name| {
        let log = store.log(name, LogConfig { retention_ms: -1, ..LogConfig::default() });
        store.append(log.id, plain(&["first"])).unwrap();
        log
    })
}

fn syncs(disk: &MemoryDisk, from: usize) -> usize {
    disk.operations()[from..].iter().filter(|done| **done == Operation::Sync).count()
}

/// What a start reads after a power cut that took all that was not flushed.
fn after_cut(disk: &MemoryDisk, name: &str) -> Vec<String> {
    let image = disk.crash_image(0);
    let mut store = open(&image);
    assert_eq!(store.report.cuts, []);
    let log = store.log(name, LogConfig::default());
    values(&log.reader)
}

#[test]
fn a_small_round_over_many_logs_is_one_flush_and_survives_a_power_cut() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    for round in ["a", "b", "c"] {
        let before = disk.operation_count();
        let answers = logs.clone().map(|log| store.submit(log.id, plain(&[round])));
        store.flusher.turn();
        assert!(answers.iter().all(|answer| matches!(&*answer.lock().unwrap(), Some(Ok(_)))));
        assert_eq!(syncs(&disk, before), 1, "round {round}");
    }
    for log in &logs {
        assert_eq!(values(&log.reader), ["first", "a", "b", "c"]);
    }
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a", "b", "c"]);
    assert_eq!(after_cut(&disk, "orders-1"), ["first", "a", "b", "c"]);
}

#[test]
fn a_large_round_flushes_the_files_themselves() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    let large = "x".repeat(commitlog::limits::JOURNAL_LOG_BYTES_MAX);
    store.append(logs[0].id, plain(&[&large])).unwrap();
    assert!(!disk.exists(Path::new(JOURNAL)));
    assert_eq!(after_cut(&disk, "orders-0"), ["first", &large]);
}

#[test]
fn upkeep_flushes_the_files_behind_the_journal() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    // The first upkeep has more to do.
    store.send(Command::Maintain);
    store.append(logs[0].id, plain(&["a"])).unwrap();
    let before = disk.operation_count();
    store.send(Command::Maintain);
    assert_eq!(syncs(&disk, before), 1);
    store.send(Command::Maintain);
    assert_eq!(syncs(&disk, before), 1, "once is enough");
    disk.remove_file(Path::new(JOURNAL)).unwrap();
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a"]);
}

#[test]
fn a_full_journal_begins_anew_and_loses_nothing() {
    let disk = MemoryDisk::new();
    let mut store = with_journal_of(&disk, 600);
    let logs = two_logs(&mut store);
    let mut wanted = vec!["first".to_owned()];
    for round in 0..40 {
        let value = format!("v{round}");
        store.append(logs[0].id, plain(&[&value])).unwrap();
        wanted.push(value);
        assert_eq!(after_cut(&disk, "orders-0"), wanted);
    }
    assert_eq!(disk.read(Path::new(JOURNAL)).unwrap().len(), 600);
}

/// A store in which half of a small journal is in the hands of flushes that wait to be run.
fn with_flush_behind(disk: &MemoryDisk) -> (Store, [Opened; 2], Vec<FlushJob>) {
    // A part of it is less than a batch, so each round has its file flushed behind it.
    let mut store = with_journal_of(disk, 2_000);
    let logs = two_logs(&mut store);
    store.heard.hold();
    store.append(logs[0].id, plain(&["a"])).unwrap();
    let behind = store.heard.take_held();
    assert_eq!(behind.len(), 1);
    (store, logs, behind)
}

#[test]
fn a_log_is_answered_by_the_journal_while_its_file_is_flushed() {
    let disk = MemoryDisk::new();
    let (mut store, logs, mut behind) = with_flush_behind(&disk);
    store.append(logs[0].id, plain(&["b"])).unwrap();
    assert_eq!(values(&logs[0].reader), ["first", "a", "b"]);
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a", "b"]);
    behind[0].run();
    drop(behind);
    store.flusher.turn();
    assert_eq!(values(&logs[0].reader), ["first", "a", "b"], "nobody sees less than before");
    store.append(logs[0].id, plain(&["c"])).unwrap();
    assert_eq!(values(&logs[0].reader), ["first", "a", "b", "c"]);
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a", "b", "c"]);
}

#[test]
fn what_came_after_a_flush_behind_the_journal_is_flushed_before_it_begins_anew() {
    let disk = MemoryDisk::new();
    let (mut store, logs, mut behind) = with_flush_behind(&disk);
    behind[0].run();
    store.append(logs[0].id, plain(&["b"])).unwrap();
    drop(behind);
    for _ in 0..40 {
        store.append(logs[1].id, plain(&["other"])).unwrap();
        assert_eq!(after_cut(&disk, "orders-0"), ["first", "a", "b"]);
    }
}

#[test]
fn what_waits_behind_flushes_is_begun_when_a_journal_that_is_full_has_waited_for_them() {
    let disk = MemoryDisk::new();
    let mut store = with_journal_of(&disk, 2_000);
    let names = ["a-0", "a-1", "a-2", "a-3", "a-4", "small-0"];
    let logs = names.map(|name| {
        let log = store.log(name, LogConfig::default());
        store.append(log.id, plain(&["first"])).unwrap();
        log
    });
    store.heard.hold();
    let large = "x".repeat(commitlog::limits::JOURNAL_LOG_BYTES_MAX);
    let mut answers = Vec::new();
    for log in &logs[..5] {
        answers.push(store.submit(log.id, plain(&[&large])));
        store.flusher.turn();
    }
    // Four are begun, the fifth waits; small rounds go on until the journal is full.
    for _ in 0..40 {
        store.append(logs[5].id, plain(&["small"])).unwrap();
        let begun = store.heard.held.lock().unwrap().as_ref().unwrap().len();
        let last = answers[4].lock().unwrap().is_some();
        assert!(last || begun > 0, "nobody would ever begin it");
    }
    store.flusher.turn();
    assert!(answers.iter().all(|answer| matches!(&*answer.lock().unwrap(), Some(Ok(_)))));
}

#[test]
fn a_log_whose_flush_behind_the_journal_fails_has_its_batches_there() {
    let disk = MemoryDisk::new();
    let (mut store, logs, mut behind) = with_flush_behind(&disk);
    store.append(logs[0].id, plain(&["b"])).unwrap();
    disk.fail_at(disk.operation_count(), ErrorKind::Other);
    behind[0].run();
    drop(behind);
    assert!(store.append(logs[0].id, plain(&["c"])).is_err(), "the log has ended");
    for _ in 0..100 {
        let stored = store.submit(logs[1].id, plain(&["other"]));
        store.flusher.turn();
        store.heard.take_held().iter_mut().for_each(FlushJob::run);
        store.flusher.turn();
        assert!(stored.lock().unwrap().as_ref().unwrap().is_ok());
    }
    // Nor does upkeep flush it once more, which would go well and be taken for good.
    store.heard.hold();
    store.clock.advance_ms(commitlog::limits::CHECKPOINT_INTERVAL_MS);
    store.send(Command::Maintain);
    let points = disk.read(Path::new("log/recovery-point-offset-checkpoint")).unwrap();
    let points = String::from_utf8(points.to_vec()).unwrap();
    assert!(points.lines().any(|line| line == "orders 0 1"), "{points}");
    assert_eq!(after_cut(&disk, "orders-0")[..3], ["first", "a", "b"]);
}

#[test]
fn what_the_journal_has_of_a_log_that_cannot_be_written_stays_there() {
    let disk = MemoryDisk::new();
    let mut store = with_journal_of(&disk, 2_000);
    let logs = two_logs(&mut store);
    // Its file is not flushed yet, and nobody does it now.
    store.heard.hold();
    store.append(logs[0].id, plain(&["a"])).unwrap();
    drop(store.heard.take_held());
    store.heard.held.lock().unwrap().take();
    store.flusher.turn();
    for _ in 0..100 {
        store.append(logs[1].id, plain(&["other"])).unwrap();
    }
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a"]);

    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    store.append(logs[0].id, plain(&["a"])).unwrap();
    disk.fail_at(disk.operation_count(), ErrorKind::Other);
    assert!(store.append(logs[0].id, plain(&["b"])).is_err(), "it cannot be written");
    assert_eq!(store.heard.failed.lock().unwrap().len(), 1, "and that is told");
    store.send(Command::Maintain);
    for _ in 0..100 {
        store.append(logs[1].id, plain(&["other"])).unwrap();
    }
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a"]);
}

#[test]
fn a_clean_end_leaves_no_journal() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    store.append(logs[0].id, plain(&["a"])).unwrap();
    assert!(disk.exists(Path::new(JOURNAL)));
    store.close().unwrap();
    assert!(!disk.exists(Path::new(JOURNAL)));
    let mut store = open(&disk.crash_image(0));
    assert!(store.report.was_clean);
    let log = store.log("orders-0", LogConfig::default());
    assert_eq!(values(&log.reader), ["first", "a"]);
}

#[test]
fn batches_that_were_cut_off_do_not_come_back() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log = two_logs(&mut store)[0].clone();
    for value in ["a", "b", "c"] {
        store.append(log.id, plain(&[value])).unwrap();
    }
    store.send(Command::Truncate { id: log.id, to: 2 });
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a"]);
    store.append(log.id, plain(&["d"])).unwrap();
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a", "d"]);
}

#[test]
fn a_log_is_not_cut_while_a_journal_that_failed_must_be_kept() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    for value in ["a", "b"] {
        store.append(logs[0].id, plain(&[value])).unwrap();
    }
    // The next append writes the log, writes the journal, and flushes that.
    disk.fail_at(disk.operation_count() + 2, ErrorKind::Other);
    store.append(logs[1].id, plain(&["c"])).unwrap();
    store.send(Command::Truncate { id: logs[0].id, to: 2 });
    assert!(
        store.append(logs[0].id, plain(&["d"])).is_err(),
        "its offset could be the old \"b\"'s"
    );
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a", "b"]);
}

#[test]
fn a_topic_made_anew_does_not_get_the_old_ones_batches() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log = two_logs(&mut store)[0].clone();
    store.append(log.id, plain(&["old"])).unwrap();
    store.send(Command::Remove { id: log.id });
    let id = open_as(&mut store, "orders-0", Uuid([8; 16]));
    store.append(id, plain(&["new"])).unwrap();
    let image = disk.crash_image(0);
    let mut store = open(&image);
    let id = open_as(&mut store, "orders-0", Uuid([8; 16]));
    assert_eq!(store.append(id, plain(&["next"])).unwrap().base_offset, 1);
}

fn open_as(store: &mut Store, name: &str, topic_id: Uuid) -> LogId {
    let (answer, then) = slot();
    let (name, config) = (name.to_owned(), LogConfig::default());
    store.send(Command::Open { name, topic_id, config, lazy: true, then });
    let opened: Result<Opened, Error> = answer.lock().unwrap().take().unwrap();
    opened.unwrap().id
}

#[test]
fn a_journal_that_fails_is_given_up_and_the_files_are_flushed_instead() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    store.append(logs[0].id, plain(&["a"])).unwrap();
    // The next append writes the log, writes the journal, and flushes that.
    disk.fail_at(disk.operation_count() + 2, ErrorKind::Other);
    store.append(logs[1].id, plain(&["b"])).unwrap();
    assert_eq!(store.heard.failed.lock().unwrap().len(), 1, "it is told");
    let journal = disk.read(Path::new(JOURNAL)).unwrap();
    store.append(logs[0].id, plain(&["c"])).unwrap();
    assert_eq!(disk.read(Path::new(JOURNAL)).unwrap(), journal, "nothing depends on it any more");
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a", "c"]);
    assert_eq!(after_cut(&disk, "orders-1"), ["first", "b"]);
}

#[test]
fn what_a_log_lost_when_its_flush_failed_is_still_in_the_journal() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    // The first upkeep has more to do.
    store.send(Command::Maintain);
    store.append(logs[0].id, plain(&["a"])).unwrap();
    disk.fail_at(disk.operation_count(), ErrorKind::Other);
    store.send(Command::Maintain);
    assert!(store.append(logs[0].id, plain(&["b"])).is_err(), "the log has ended");
    for _ in 0..100 {
        store.append(logs[1].id, plain(&["other"])).unwrap();
    }
    assert_eq!(after_cut(&disk, "orders-0"), ["first", "a"]);
}

#[test]
fn without_room_for_what_was_lost_a_start_is_refused_and_later_finds_it() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    store.append(logs[0].id, plain(&["a"])).unwrap();
    let image = disk.crash_image(0);
    image.set_capacity(Some(0));
    let clock = Arc::new(ManualClock::at(0));
    let options = options(Arc::new(image.clone()), PathBuf::from("log"), &clock);
    let refused = Store::try_with(options, clock).err().unwrap();
    assert!(refused.is_storage_full(), "{refused}");
    image.set_capacity(None);
    assert_eq!(after_cut(&image, "orders-0"), ["first", "a"]);
}

#[test]
fn a_hole_that_nothing_can_fill_is_told() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let logs = two_logs(&mut store);
    store.append(logs[0].id, plain(&["a"])).unwrap();
    drop(store);
    let image = disk.crash_image(0);
    let segment = Path::new("log/orders-0/00000000000000000000.log");
    image.open(segment, OpenMode::Write).unwrap().set_len(0).unwrap();
    let store = open(&image);
    let reasons: Vec<_> = store.report.cuts.iter().map(|cut| cut.reason.as_str()).collect();
    assert_eq!(reasons, ["the journal holds batches behind a hole"]);
}

#[test]
fn logs_that_leave_flushing_to_the_system_stay_out_of_it() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let config = LogConfig { durability: Some(Durability::Os), ..LogConfig::default() };
    let log = store.log("orders-0", config);
    store.append(log.id, plain(&["a"])).unwrap();
    store.append(log.id, plain(&["b"])).unwrap();
    assert!(!disk.exists(Path::new(JOURNAL)));
    // From here on an answer promises more, also for what was answered before.
    let config = LogConfig::default();
    store.send(Command::Configure { id: log.id, config });
    store.append(log.id, plain(&["c"])).unwrap();
    assert_eq!(after_cut(&disk, "orders-0"), ["a", "b", "c"]);
}
