//! Retention, deletion, configuration, durability, and the flusher's own thread.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use base::disk::memory::Operation;
use base::disk::{Disk, MemoryDisk};
use commitlog::limits::UPKEEP_LOGS_MAX;
use commitlog::{Append, Command, Durability, LogConfig, Origin, StoreOptions, Turn};
use protocol::record::Batches;

use crate::store::{By, Store, batch, options, plain, slot, values};

fn open(disk: &MemoryDisk) -> Store {
    Store::open(Arc::new(disk.clone()), PathBuf::from("log"))
}

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 200,
        retention_ms: -1,
        file_delete_delay_ms: 1_000,
        ..LogConfig::default()
    }
}

fn names(disk: &MemoryDisk, dir: &str) -> Vec<String> {
    disk.list(Path::new(dir)).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// A batch of about so many bytes.
fn large(bytes: usize) -> bytes::Bytes {
    plain(&["v".repeat(bytes / 2).as_str()])
}

#[test]
fn a_segment_that_grows_fast_has_room_set_aside_until_nobody_writes() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let config = LogConfig {
        segment_bytes: 4 << 20,
        max_message_bytes: 2 << 20,
        retention_ms: -1,
        ..LogConfig::default()
    };
    let log = store.log("orders-0", config);
    let room = |base: u32| {
        let path = format!("log/orders-0/{base:020}.log");
        disk.reserved_bytes(Path::new(&path)).unwrap()
    };
    store.send(Command::Maintain);
    store.append(log.id, large(200 << 10)).unwrap();
    store.append(log.id, large(200 << 10)).unwrap();
    assert_eq!(room(0), 0, "it is small");
    store.append(log.id, large(800 << 10)).unwrap();
    let set_aside = room(0);
    assert!((1 << 20..2 << 20).contains(&set_aside), "{set_aside}, as much as there is");
    store.append(log.id, large(100 << 10)).unwrap();
    assert!(room(0) >= 1 << 20, "there is always some");
    store.append(log.id, large(1 << 20)).unwrap();
    assert!(room(0) <= (4 << 20) - (2 << 20), "not beyond the segment's end");
    // A power cut leaves it, and the next start gives it back.
    let cut = disk.crash_image(1);
    drop(Store::open(Arc::new(cut.clone()), PathBuf::from("log")));
    let first = Path::new("log/orders-0/00000000000000000000.log");
    assert_eq!(cut.reserved_bytes(first).unwrap(), 0);
    store.append(log.id, large(1 << 20)).unwrap();
    store.append(log.id, large(1 << 20)).unwrap();
    assert_eq!(room(0), 0, "a closed segment takes nothing more");
    store.append(log.id, large(1 << 20)).unwrap();
    assert!(room(6) > 0);
    store.clock.advance_ms(59_000);
    store.send(Command::Maintain);
    assert!(room(6) > 0);
    store.clock.advance_ms(1_000);
    store.send(Command::Maintain);
    assert_eq!(room(6), 0, "nobody has written for a minute");
    store.append(log.id, large(200 << 10)).unwrap();
    assert!(room(6) > 0, "it goes on growing");
    store.close().unwrap();
    assert_eq!(room(6), 0);
}

#[test]
fn no_room_is_set_aside_on_a_disk_that_is_short_of_it() {
    let disk = MemoryDisk::new();
    disk.set_capacity(Some(8 << 30));
    let mut store = open(&disk);
    let config = LogConfig { max_message_bytes: 2 << 20, ..LogConfig::default() };
    let log = store.log("orders-0", config);
    store.send(Command::Maintain);
    store.append(log.id, large(1 << 20)).unwrap();
    store.append(log.id, large(1 << 20)).unwrap();
    let path = Path::new("log/orders-0/00000000000000000000.log");
    assert_eq!(disk.reserved_bytes(path).unwrap(), 0);
}

#[test]
fn old_and_surplus_segments_go_and_their_files_later() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let now = base::clock::Clock::unix_ms(&*store.clock);
    let by_age = store.log("age-0", LogConfig { retention_ms: 10_000, ..small() });
    let by_size = store.log("size-0", LogConfig { retention_bytes: 400, ..small() });
    for round in 0..20 {
        let value = format!("v{round}");
        let time = now + i64::from(round) * 1_000;
        store.append(by_age.id, batch(By::NOBODY, time, &[&value])).unwrap();
        store.append(by_size.id, batch(By::NOBODY, time, &[&value])).unwrap();
    }
    store.clock.advance_ms(20_000);
    store.send(Command::Maintain);
    assert!(by_age.reader.log_start_offset() >= 8, "{:?}", by_age.reader);
    assert!(by_age.reader.log_start_offset() <= 10, "{:?}", by_age.reader);
    assert!(by_size.reader.size_bytes() >= 400 && by_size.reader.size_bytes() < 600);
    let first = "00000000000000000000.log.deleted".to_owned();
    assert!(names(&disk, "log/age-0").contains(&first));
    store.clock.advance_ms(2_000);
    store.send(Command::Maintain);
    assert!(!names(&disk, "log/age-0").contains(&first));
    store.clock.advance_ms(100_000);
    store.send(Command::Maintain);
    assert_eq!(values(&by_age.reader), Vec::<String>::new(), "even the last one goes by age");
    drop(store);
    let mut store = open(&disk);
    let log = store.log("age-0", small());
    let next = store.append(log.id, plain(&["x"])).unwrap();
    assert_eq!((next.base_offset, next.log_start_offset), (20, 20), "offsets never come again");
}

#[test]
fn many_logs_are_looked_through_in_turns() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let now = base::clock::Clock::unix_ms(&*store.clock);
    let config = LogConfig { retention_ms: 10_000, ..small() };
    let count = 2 * UPKEEP_LOGS_MAX + 10;
    let logs: Vec<_> = (0..count).map(|at| store.log(&format!("t-{at}"), config)).collect();
    for log in &logs {
        store.append(log.id, batch(By::NOBODY, now, &["x"])).unwrap();
    }
    store.clock.advance_ms(20_000);
    let mut seen = Vec::new();
    for _ in 0..3 {
        store.send(Command::Maintain);
        seen.push(logs.iter().filter(|log| log.reader.log_start_offset() == 1).count());
    }
    assert_eq!(seen, [UPKEEP_LOGS_MAX, 2 * UPKEEP_LOGS_MAX, count]);
}

#[test]
fn a_removed_log_is_gone_at_once_and_its_name_is_free() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log = store.log("orders-0", small());
    store.append(log.id, plain(&["a"])).unwrap();
    store.send(Command::Remove { id: log.id });
    assert_eq!(values(&log.reader), ["a"], "who still reads may end what was begun");
    let again = store.log("orders-0", small());
    assert_eq!(store.append(again.id, plain(&["b"])).unwrap().base_offset, 0);
    assert!(store.append(log.id, plain(&["c"])).is_err());
    store.clock.advance_ms(2_000);
    store.send(Command::Maintain);
    assert!(!names(&disk, "log").iter().any(|name| name.ends_with("-delete")));
    assert_eq!(*store.heard.failed.lock().unwrap(), Vec::<String>::new());
    drop(store);
    let mut store = open(&disk);
    let log = store.log("orders-0", small());
    assert_eq!(values(&log.reader), ["b"]);
}

#[test]
fn one_round_flushes_each_file_once() {
    let disk = MemoryDisk::new();
    let mut store = Store::open_without_journal(&disk);
    let logs =
        [store.log("orders-0", LogConfig::default()), store.log("orders-1", LogConfig::default())];
    logs.iter().for_each(|log| drop(store.append(log.id, plain(&["first"]))));
    let before = disk.operation_count();
    let answers: Vec<_> = (0..20).map(|n| store.submit(logs[n % 2].id, plain(&["x"]))).collect();
    store.flusher.turn();
    assert!(answers.iter().all(|answer| matches!(&*answer.lock().unwrap(), Some(Ok(_)))));
    let done = disk.operations()[before..].to_vec();
    assert_eq!(done.iter().filter(|done| **done == Operation::Sync).count(), 2, "{done:?}");
}

#[test]
fn with_os_durability_flushes_come_by_count_and_by_age() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let config = LogConfig {
        durability: Some(Durability::Os),
        flush_messages: 3,
        flush_ms: 500,
        ..LogConfig::default()
    };
    let log = store.log("orders-0", config);
    let syncs = || disk.operations().iter().filter(|done| **done == Operation::Sync).count();
    store.append(log.id, plain(&["a"])).unwrap();
    let before = syncs();
    store.append(log.id, plain(&["b"])).unwrap();
    assert_eq!(syncs(), before);
    assert_eq!(values(&log.reader), ["a", "b"]);
    store.append(log.id, plain(&["c"])).unwrap();
    assert_eq!(syncs(), before + 1, "three messages");
    store.append(log.id, plain(&["d"])).unwrap();
    assert_eq!(store.flusher.turn(), Turn::Idle);
    assert_eq!(syncs(), before + 1);
    store.clock.advance_ms(501);
    store.flusher.turn();
    assert_eq!(syncs(), before + 2, "half a second");
}

#[test]
fn what_is_not_durable_is_answered_but_not_seen_before_the_next_flush() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log = store.log("orders-0", LogConfig::default());
    store.append(log.id, plain(&["a"])).unwrap();
    let before = disk.operation_count();
    let append = Append {
        batches: plain(&["b"]),
        origin: Origin::Coordinator,
        leader_epoch: 0,
        durable: false,
    };
    let answer = store.submit_as(log.id, append);
    store.flusher.turn();
    assert_eq!(answer.lock().unwrap().take().unwrap().unwrap().base_offset, 1);
    assert_eq!(disk.operations()[before..], [Operation::Write]);
    assert_eq!(values(&log.reader), ["a"]);
    store.clock.advance_ms(50);
    store.flusher.turn();
    assert_eq!(values(&log.reader), ["a", "b"], "nothing is left lying for long");
}

#[test]
fn append_time_is_stamped_and_looked_up() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log =
        store.log("orders-0", LogConfig { timestamp_type_append: true, ..LogConfig::default() });
    let now = base::clock::Clock::unix_ms(&*store.clock);
    let large = "x".repeat(20_000);
    let appended = store.append(log.id, plain(&["a", &large])).unwrap();
    assert_eq!(appended.log_append_time_ms, now);
    assert_eq!(log.reader.offset_for_timestamp(now).unwrap(), Some((0, now)));
    assert_eq!(values(&log.reader).len(), 2);
}

#[test]
fn large_appends_of_several_batches_are_stamped_in_place() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let log = store.log("orders-0", LogConfig::default());
    let large = "x".repeat(30_000);
    let both = [plain(&["a", &large]), plain(&["b", &large])].concat();
    let appended = store.append(log.id, both.into()).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (0, 3));
    let bytes = disk.read(Path::new("log/orders-0/00000000000000000000.log")).unwrap();
    let bases: Vec<i64> =
        Batches::new(bytes).map(|batch| batch.unwrap().header().base_offset).collect();
    assert_eq!(bases, [0, 2]);
    assert_eq!(values(&log.reader).len(), 4);
}

#[test]
fn ten_thousand_empty_logs_cost_no_file() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk);
    let before = disk.operation_count();
    for partition in 0..10_000 {
        let (_, then) = slot();
        let name = format!("wide-{partition}");
        let (config, topic_id) = (LogConfig::default(), crate::store::TOPIC);
        store.queue.try_submit(Command::Open { name, topic_id, config, lazy: true, then }).unwrap();
    }
    store.flusher.turn();
    store.send(Command::Maintain);
    assert_eq!(disk.operation_count(), before);
}

#[test]
fn the_flusher_runs_until_it_is_closed_or_abandoned() {
    let clock = Arc::new(base::clock::ManualClock::at(0));
    for abandon in [true, false] {
        let disk = MemoryDisk::new();
        let options: StoreOptions = options(Arc::new(disk.clone()), PathBuf::from("log"), &clock);
        let Store { flusher, queue, .. } = Store::with(options, Arc::clone(&clock));
        std::thread::scope(|scope| {
            scope.spawn(move || flusher.run());
            let (sender, receiver) = mpsc::sync_channel(1);
            let then = Box::new(move |opened: Result<_, _>| sender.send(opened.is_ok()).unwrap());
            let (name, topic_id) = ("orders-0".to_owned(), crate::store::TOPIC);
            let config = LogConfig::default();
            queue.try_submit(Command::Open { name, topic_id, config, lazy: true, then }).unwrap();
            assert!(receiver.recv().unwrap());
            if !abandon {
                let (sender, receiver) = mpsc::sync_channel(1);
                let then =
                    Box::new(move |closed: Result<_, _>| sender.send(closed.is_ok()).unwrap());
                queue.try_submit(Command::Close { then }).unwrap();
                assert!(receiver.recv().unwrap());
                assert!(queue.try_submit(Command::Maintain).is_err());
            }
            drop(queue);
        });
        assert!(open(&disk).report.was_clean, "both ends are clean ones");
    }
}
