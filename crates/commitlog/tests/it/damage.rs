//! Torn tails, flipped bits, missing and damaged files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::cast;
use base::disk::{Disk, MemoryDisk, OpenMode};
use commitlog::{Bound, Error, LogConfig};
use protocol::record::{Batches, ControlType, ProducerIdentity, control_batch};

use crate::store::{By, Store, batch, plain, read_all, values};

fn config() -> LogConfig {
    LogConfig { segment_bytes: 2_000, index_interval_bytes: 100, ..LogConfig::default() }
}

fn open(disk: &MemoryDisk) -> Store {
    Store::open(Arc::new(disk.clone()), PathBuf::from("log"))
}

fn path(name: &str) -> PathBuf {
    Path::new("log/orders-0").join(name)
}

/// Sixty batches with an aborted and an open transaction among them.
fn written(clean: bool) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let mut store = Store::open_without_journal(&disk);
    let log = store.log("orders-0", config());
    for round in 0..60 {
        let by = match round {
            10 => By::transaction(7, 0, 0),
            50 => By::transaction(8, 0, 0),
            _ => By::NOBODY,
        };
        let value = format!("v{round}");
        store.append(log.id, batch(by, i64::from(round), &[&value])).unwrap();
        if round == 30 {
            let producer = ProducerIdentity { id: 7, epoch: 0 };
            store.mark(log.id, control_batch(producer, ControlType::Abort, 0, 30)).unwrap();
        }
    }
    if clean {
        store.close().unwrap();
    }
    disk
}

/// Everything that readers can ask, for comparing.
fn facts(store: &mut Store) -> (Vec<(i64, String)>, String) {
    let reader = store.log("orders-0", config()).reader;
    let all = read_all(&reader, 0, Bound::HighWatermark);
    let times: Vec<_> =
        [0, 17, 31, 59, 60].map(|time| reader.offset_for_timestamp(time).unwrap()).to_vec();
    let other = format!(
        "{:?} {:?} {:?} {times:?} {:?} {:?}",
        reader.last_stable_offset(),
        reader.aborted_transactions(0, 100),
        reader.max_timestamp().unwrap(),
        reader.end_offset_for_epoch(0),
        reader.active_producers().len(),
    );
    (all, other)
}

#[test]
fn any_file_but_the_batches_may_be_missing_or_damaged() {
    for clean in [true, false] {
        let expected = facts(&mut open(&written(clean)));
        assert_eq!(expected.0.len(), 60);
        let names: Vec<PathBuf> = [Path::new("log"), Path::new("log/orders-0")]
            .into_iter()
            .flat_map(|dir| {
                let entries = written(clean).list(dir).unwrap();
                entries.into_iter().filter(|e| !e.is_dir).map(|e| dir.join(e.name))
            })
            .filter(|path| {
                let name = path.to_string_lossy();
                !name.ends_with(".log") && !name.ends_with("meta.properties")
            })
            .collect();
        assert!(names.len() > 8, "{names:?}");
        for name in names {
            for damage in ["missing", "empty", "shorter", "flipped"] {
                // A flipped topic id is another topic's, which is refused (see below).
                if damage == "flipped" && name.ends_with("partition.metadata") {
                    continue;
                }
                let disk = written(clean);
                let len = disk.read(&name).unwrap().len();
                match damage {
                    "missing" => disk.remove_file(&name).unwrap(),
                    "empty" => drop(disk.open(&name, OpenMode::Truncate).unwrap()),
                    "shorter" => {
                        let file = disk.open(&name, OpenMode::Write).unwrap();
                        file.set_len(cast::u64_of(len.saturating_sub(3))).unwrap();
                    }
                    _ if len > 0 => disk.flip_bits(&name, cast::u64_of(len / 2), 0x40).unwrap(),
                    _ => {}
                }
                let mut store = open(&disk);
                assert_eq!(store.report.cuts, [], "{} {damage}", name.display());
                assert_eq!(facts(&mut store), expected, "{} {damage}", name.display());
            }
        }
    }
}

#[test]
fn all_small_files_may_be_missing_at_once() {
    let expected = facts(&mut open(&written(false)));
    let disk = written(false);
    for dir in [Path::new("log"), Path::new("log/orders-0")] {
        for entry in disk.list(dir).unwrap() {
            if !entry.is_dir && !entry.name.ends_with(".log") {
                disk.remove_file(&dir.join(entry.name)).unwrap();
            }
        }
    }
    assert_eq!(facts(&mut open(&disk)), expected);
}

#[test]
fn a_torn_tail_is_cut_at_the_last_whole_batch_and_reported() {
    let disk = written(false);
    let last = last_segment(&disk);
    let file = disk.open(&last, OpenMode::Write).unwrap();
    let len = file.len().unwrap();
    for cut in 1..74 {
        file.set_len(len - cut).unwrap();
        let mut store = Store::open_without_journal(&disk);
        let torn = store.report.cuts.clone();
        let log = store.log("orders-0", config());
        assert_eq!(values(&log.reader).len(), 59, "cut by {cut}");
        assert_eq!((torn[0].from_offset, torn[0].bytes), (60, 74 - cut), "cut by {cut}");
        let next = store.append(log.id, batch(By::NOBODY, 59, &["v59"])).unwrap();
        assert_eq!(next.base_offset, 60);
        drop(store);
        assert_eq!(file.len().unwrap(), len);
    }
}

fn last_segment(disk: &MemoryDisk) -> PathBuf {
    let names = disk.list(Path::new("log/orders-0")).unwrap();
    let last = names.iter().rfind(|entry| entry.name.ends_with(".log")).unwrap();
    path(&last.name)
}

#[test]
fn a_flipped_bit_in_the_tail_is_cut_and_in_flushed_segments_is_told() {
    let disk = written(false);
    let last = last_segment(&disk);
    let mut covered = Vec::new();
    let mut from = 0;
    for batch in Batches::new(disk.read(&last).unwrap()) {
        let end = from + batch.unwrap().header().total_bytes();
        // Offset and leader epoch are not covered by the checksum; all else is.
        covered.extend(from + 16..end);
        from = end;
    }
    for at in covered {
        let disk = disk.crash_image(1);
        disk.flip_bits(&last, cast::u64_of(at), 1).unwrap();
        let mut store = open(&disk);
        assert_eq!(store.report.cuts.len(), 1, "byte {at}");
        let log = store.log("orders-0", config());
        let kept = values(&log.reader);
        assert!(kept.len() < 60 && kept.iter().zip(0..).all(|(v, n)| *v == format!("v{n}")));
        store.append(log.id, plain(&["next"])).unwrap();
    }
}

#[test]
fn a_batch_that_decays_while_the_log_is_open_is_an_error_not_an_answer_by_time() {
    let disk = written(true);
    let mut store = open(&disk);
    let log = store.log("orders-0", config());
    let (offset, _) = log.reader.offset_for_timestamp(59).unwrap().unwrap();
    assert_eq!(offset, 60);
    let last = last_segment(&disk);
    let len = disk.read(&last).unwrap().len();
    disk.flip_bits(&last, cast::u64_of(len - 3), 1).unwrap();
    assert!(matches!(log.reader.offset_for_timestamp(59), Err(Error::Record { .. })));
}

#[test]
fn a_newer_format_and_a_foreign_topic_are_refused() {
    let disk = written(true);
    let meta = Path::new("log/meta.properties");
    let text = String::from_utf8(disk.read(meta).unwrap().to_vec()).unwrap();
    assert!(text.contains("version=1\n") && text.contains("node.id=1\n"), "{text}");
    let newer = text.replace("millstream.format=3", "millstream.format=4");
    disk.replace(meta, newer.as_bytes()).unwrap();
    let clock = Arc::new(base::clock::ManualClock::at(0));
    let options = crate::store::options(Arc::new(disk.clone()), PathBuf::from("log"), &clock);
    let refused = Store::try_with(options, clock).err().unwrap();
    assert!(refused.to_string().contains("newer Millstream"), "{refused}");
    disk.replace(meta, text.as_bytes()).unwrap();
    let other = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n";
    disk.replace(&path("partition.metadata"), other.as_bytes()).unwrap();
    let refused = open(&disk).try_log("orders-0", config()).err().unwrap();
    assert!(matches!(refused, Error::TopicIdMismatch { .. }), "{refused}");
}

#[test]
fn a_folder_of_an_older_format_is_told_as_such_until_it_is_raised() {
    let disk = written(true);
    let meta = Path::new("log/meta.properties");
    let read = || String::from_utf8(disk.read(meta).unwrap().to_vec()).unwrap();
    let present = read();
    assert_eq!(open(&disk).report.raise_from, None);
    let kafkas = present.replace("millstream.format=3\n", "");
    disk.replace(meta, kafkas.as_bytes()).unwrap();
    assert_eq!(open(&disk).report.raise_from, None, "nothing of ours lies in it");
    assert_eq!(read(), present);
    for older in [1, 2] {
        let text = kafkas.clone() + &format!("millstream.format={older}\n");
        disk.replace(meta, text.as_bytes()).unwrap();
        let mut store = open(&disk);
        assert_eq!(store.report.raise_from, Some(older));
        assert!(
            read().contains("millstream.format=3\n"),
            "an older program refuses it: {}",
            read()
        );
        assert_eq!(open(&disk).report.raise_from, Some(older), "it is not over");
        let (answer, then) = crate::store::slot();
        store.send(commitlog::Command::Raised { then });
        answer.lock().unwrap().take().unwrap().unwrap();
        assert_eq!((open(&disk).report.raise_from, read()), (None, present.clone()));
    }
}

#[test]
fn a_time_table_that_lost_its_end_deletes_nothing_young() {
    let disk = written(true);
    let clock = Arc::new(base::clock::ManualClock::at(100));
    let names = disk.list(Path::new("log/orders-0")).unwrap();
    for entry in names.iter().filter(|entry| entry.name.ends_with(".timeindex")) {
        disk.open(&path(&entry.name), OpenMode::Write).unwrap().set_len(12).unwrap();
    }
    let options = crate::store::options(Arc::new(disk), PathBuf::from("log"), &clock);
    let mut store = Store::with(options, clock);
    let log = store.log("orders-0", LogConfig { retention_ms: 85, ..config() });
    store.send(commitlog::Command::Maintain);
    // The first segment's newest record is of time 25, that of its table's first entry is older.
    assert_eq!(log.reader.log_start_offset(), 0);
}
