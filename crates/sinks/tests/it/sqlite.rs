//! `SQLite` through the conformance suite, as crash images, and beside other programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pipeline::sink::{Cell, Claim, Position, Sink, SinkError, SinkRecord, conformance};
use runtime::thread as landlord;
use rusqlite::Connection;
use sinks::sqlite::{SqliteOptions, SqliteSink, preview_file};

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sqlite-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn sink(file: &Path, table: &str) -> SqliteSink {
    SqliteSink::new(SqliteOptions::new(file, table)).unwrap()
}

fn claim(sink: &str) -> Claim {
    Claim {
        pipeline: "mill".to_owned(),
        sink: sink.to_owned(),
        topic: Arc::from("t"),
        partitions: vec![0],
    }
}

fn record(offset: i64, key: &str, value: &str) -> SinkRecord {
    SinkRecord {
        topic: Arc::from("t"),
        partition: 0,
        offset,
        timestamp_ms: 0,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    }
}

fn at(next_offset: i64) -> [Position; 1] {
    [Position { topic: Arc::from("t"), partition: 0, next_offset }]
}

fn wal_of(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", file.display()))
}

#[test]
fn the_sqlite_sink_keeps_the_contract() {
    conformance::check(&|key| {
        let folder = Folder::new();
        let key: Vec<String> = key.iter().map(|column| (*column).to_owned()).collect();
        Box::new(move || {
            let options = SqliteOptions {
                key: key.clone(),
                ..SqliteOptions::new(folder.file("rows.db"), "rows \"quoted\"")
            };
            Box::new(SqliteSink::new(options).unwrap())
        })
    });
}

/// The file as a new process finds it: rows by key, and the position beside them.
fn image(file: &Path) -> (Vec<(String, i64)>, i64) {
    let mut heir = sink(file, "rows");
    let opened = heir.open(&claim("rows")).unwrap();
    let position = opened.positions.first().map_or(0, |position| position.next_offset);
    let mut rows = Vec::new();
    for table in heir.preview(usize::MAX).unwrap() {
        for row in table.rows {
            match row.as_slice() {
                [Cell::Text(key), Cell::Integer(n), ..] => rows.push((key.clone(), *n)),
                other => panic!("an unexpected row: {other:?}"),
            }
        }
    }
    rows.sort();
    (rows, position)
}

/// What a table must hold when exactly the records below `position` were applied.
fn expected(position: i64) -> Vec<(String, i64)> {
    let keys = 0..position.min(3);
    keys.map(|key| (format!("k{key}"), position - 1 - (position - 1 - key) % 3)).collect()
}

fn counted(offset: i64) -> SinkRecord {
    let wide = if offset > 12 { format!(",\"late{}\":1", offset / 5) } else { String::new() };
    record(offset, &format!("k{}", offset % 3), &format!("{{\"n\":{offset}{wide}}}"))
}

#[test]
fn every_commit_and_every_torn_journal_is_a_whole_state() {
    let folder = Folder::new();
    let file = folder.file("live.db");
    let mut live = sink(&file, "rows");
    live.open(&claim("rows")).unwrap();
    let mut next = 0;
    for size in [1, 2, 4, 3, 6, 5] {
        let batch: Vec<SinkRecord> = (next..next + size).map(counted).collect();
        next += size;
        live.write(&batch, &at(next)).unwrap();
        let copy = folder.file("copy.db");
        fs::copy(&file, &copy).unwrap();
        fs::copy(wal_of(&file), wal_of(&copy)).unwrap();
        assert_eq!(image(&copy), (expected(next), next), "after the commit at {next}");
    }
    let (base, journal) = (fs::read(&file).unwrap(), fs::read(wal_of(&file)).unwrap());
    let mut seen = std::collections::BTreeSet::new();
    for cut in (0..journal.len()).step_by(997).chain([journal.len()]) {
        let torn = folder.file("torn.db");
        fs::write(&torn, &base).unwrap();
        fs::write(wal_of(&torn), &journal[..cut]).unwrap();
        let (rows, position) = image(&torn);
        assert_eq!(rows, expected(position), "the journal cut at byte {cut}");
        seen.insert(position);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 3, 7, 10, 16, 21]);
}

#[test]
fn a_process_that_dies_in_a_transaction_leaves_the_state_before_it() {
    let folder = Folder::new();
    let file = folder.file("live.db");
    let mut live = sink(&file, "rows");
    live.open(&claim("rows")).unwrap();
    live.write(&[counted(0), counted(1)], &at(2)).unwrap();
    // A statement of an open transaction has reached the journal, its commit has not.
    let other = Connection::open(&file).unwrap();
    other.execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE").unwrap();
    for n in 0..2_000 {
        let sql = format!("INSERT INTO rows (\"key\", n) VALUES ('open-{n}', {n})");
        other.execute_batch(&sql).unwrap();
    }
    let copy = folder.file("copy.db");
    fs::copy(&file, &copy).unwrap();
    fs::copy(wal_of(&file), wal_of(&copy)).unwrap();
    assert!(fs::metadata(wal_of(&copy)).unwrap().len() > 50_000, "the journal holds open rows");
    assert_eq!(image(&copy), (expected(2), 2));
}

#[test]
fn several_sinks_share_one_file() {
    let folder = Folder::new();
    let file = folder.file("shared.db");
    let threads: Vec<_> = ["one", "two", "three", "four"]
        .into_iter()
        .map(|name| {
            let file = file.clone();
            let work = move || {
                let mut sink = sink(&file, name);
                sink.open(&claim(name)).unwrap();
                for n in 0..25 {
                    sink.write(&[record(n, &format!("k{n}"), "1")], &at(n + 1)).unwrap();
                }
            };
            landlord::spawn(name, work).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join();
    }
    let tables = preview_file(&file, 3).unwrap();
    let counts: Vec<(&str, u64)> =
        tables.iter().map(|table| (table.table.as_str(), table.rows_count)).collect();
    let positions = ("millstream_offsets", 4);
    assert_eq!(counts, [("four", 25), ("one", 25), ("three", 25), ("two", 25), positions]);
    assert_eq!(tables[1].rows.len(), 3);
}

#[test]
fn a_table_of_somebody_else_keeps_its_own_columns() {
    let folder = Folder::new();
    let file = folder.file("own.db");
    let other = Connection::open(&file).unwrap();
    let ddl = "CREATE TABLE health (sensor TEXT PRIMARY KEY, v REAL, seen INT DEFAULT 7, \
         double REAL GENERATED ALWAYS AS (v * 2) STORED, note TEXT DEFAULT 'none')";
    other.execute_batch(ddl).unwrap();
    let options = SqliteOptions {
        key: vec!["sensor".to_owned()],
        create_table: false,
        ..SqliteOptions::new(&file, "Health")
    };
    let mut sink = SqliteSink::new(options).unwrap();
    sink.open(&claim("rows")).unwrap();
    sink.write(&[record(0, "k", r#"{"sensor":"cpu","v":1}"#)], &at(1)).unwrap();
    other.execute_batch("UPDATE health SET note = 'mine'").unwrap();
    sink.write(&[record(1, "k", r#"{"sensor":"cpu","v":4}"#)], &at(2)).unwrap();
    let row = other.query_row("SELECT v, seen, double, note FROM health", [], |row| {
        Ok((row.get::<_, f64>(0)?, row.get::<_, i64>(1)?, row.get::<_, f64>(2)?, {
            row.get::<_, String>(3)?
        }))
    });
    assert_eq!(row.unwrap(), (4.0, 7, 8.0, "mine".to_owned()));
    let unknown = sink.write(&[record(2, "k", r#"{"sensor":"cpu","x":1}"#)], &at(3));
    assert!(unknown.unwrap_err().to_string().contains("no column `x`"));
    let mut tombstone = record(2, "k", "");
    tombstone.value = None;
    let deleted = sink.write(&[tombstone], &at(3));
    assert!(deleted.unwrap_err().to_string().contains("the table has no `key`"));
}

#[test]
fn a_row_that_the_table_refuses_is_named() {
    let folder = Folder::new();
    let file = folder.file("own.db");
    let other = Connection::open(&file).unwrap();
    let ddl = "CREATE TABLE rows (key TEXT PRIMARY KEY, n INT NOT NULL CHECK (n > 0))";
    other.execute_batch(ddl).unwrap();
    let mut sink = sink(&file, "rows");
    sink.open(&claim("rows")).unwrap();
    for bad in ["{\"n\":0}", "{}"] {
        let batch = [record(0, "fine", "{\"n\":1}"), record(1, "bad", bad)];
        let error = sink.write(&batch, &at(2)).unwrap_err();
        assert!(matches!(error, SinkError::Document { offset: 1, .. }), "{error}");
        assert!(error.to_string().contains("the table refuses the row"), "{error}");
    }
    let count: i64 = other.query_row("SELECT count(*) FROM rows", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0);
}

#[test]
fn a_dropped_table_is_filled_anew() {
    let folder = Folder::new();
    let file = folder.file("drop.db");
    let mut first = sink(&file, "rows");
    first.open(&claim("rows")).unwrap();
    first.write(&[record(0, "k", "1")], &at(1)).unwrap();
    Connection::open(&file).unwrap().execute_batch("DROP TABLE rows").unwrap();
    let mut second = sink(&file, "rows");
    let opened = second.open(&claim("rows")).unwrap();
    assert_eq!((opened.epoch, opened.positions), (2, vec![]));
    second.write(&[record(0, "k", "1")], &at(1)).unwrap();
    assert_eq!(second.preview(1).unwrap()[0].rows_count, 1);
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_is_written() {
    let folder = Folder::new();
    let file = folder.file("bad.db");
    for table in ["", "millstream_offsets", "SQLITE_master", "a\0b"] {
        let error = SqliteSink::new(SqliteOptions::new(&file, table)).unwrap_err();
        assert!(matches!(error, SinkError::Table { .. }), "{error}");
    }
    for key in [&[][..], &["a", "A"], &[""]] {
        let key = key.iter().map(|column| (*column).to_owned()).collect();
        let options = SqliteOptions { key, ..SqliteOptions::new(&file, "rows") };
        SqliteSink::new(options).unwrap_err();
    }
    let mut missing = sink(&folder.file("no/such/folder.db"), "rows");
    let error = missing.open(&claim("rows")).unwrap_err();
    assert!(error.to_string().contains("no/such/folder.db"), "{error}");
    let options = SqliteOptions { create_table: false, ..SqliteOptions::new(&file, "rows") };
    let error = SqliteSink::new(options).unwrap().open(&claim("rows")).unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE rows (key TEXT)").unwrap();
    let error = sink(&file, "rows").open(&claim("rows")).unwrap_err();
    assert!(error.to_string().contains("cannot be replaced by key (key)"), "{error}");
    let garbage = folder.file("garbage.db");
    fs::write(&garbage, "no database, just some text".repeat(200)).unwrap();
    let error = sink(&garbage, "rows").open(&claim("rows")).unwrap_err();
    assert!(matches!(error, SinkError::Database { .. }), "{error}");
    assert!(preview_file(&folder.file("absent.db"), 1).is_err());
}

#[test]
fn a_table_stops_growing_at_its_limit() {
    let folder = Folder::new();
    let mut sink = sink(&folder.file("wide.db"), "rows");
    sink.open(&claim("rows")).unwrap();
    let object = |from: usize, to: usize| {
        let fields: Vec<String> = (from..to).map(|at| format!("\"f{at}\":1")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let last = sinks::limits::TABLE_COLUMNS_MAX - 1;
    sink.write(&[record(0, "k", &object(0, last - 1))], &at(1)).unwrap();
    sink.write(&[record(1, "k", &object(last - 1, last))], &at(2)).unwrap();
    let error = sink.write(&[record(2, "k", &object(last, last + 1))], &at(3)).unwrap_err();
    assert!(error.to_string().contains("more than 1000 columns"), "{error}");
}
