//! What every sink must do, run by each implementation's tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::cast;
use bytes::Bytes;

use super::{Cell, Claim, Opened, Position, Sink, SinkError, SinkRecord, Written};

/// Makes holders of one store: each call stands for a process that has just started.
pub type Holders = Box<dyn Fn() -> Box<dyn Sink>>;

/// Records of the batch that must fit into one transaction.
const HUGE_BATCH_RECORDS: i64 = 5_000;

const TOPIC: &str = "conformance";

/// Checks a sink; `store` makes an empty store whose table has these key columns.
///
/// # Panics
/// When the sink breaks the contract.
pub fn check(store: &dyn Fn(&[&str]) -> Holders) {
    rows_and_positions_are_kept(&store(&["key"]));
    a_replay_after_a_lost_acknowledgement_doubles_nothing(&store(&["key"]));
    a_zombie_is_fenced(&store(&["key"]));
    partitions_are_fenced_one_by_one(&store(&["key"]));
    a_null_value_deletes(&store(&["key"]));
    a_null_value_deletes_every_window_of_the_key(&store(&["key", "window_start"]));
    the_last_document_is_the_row(&store(&["key"]));
    windows_are_rows_of_their_own(&store(&["key", "window_start"]));
    names_and_texts_of_any_alphabet_survive(&store(&["key"]));
    hostile_names_are_only_names(&store(&["key"]));
    a_huge_batch_is_one_transaction(&store(&["key"]));
    a_bad_document_leaves_nothing_of_its_batch(&store(&["key"]));
    a_row_needs_its_key_columns(&store(&["key", "window_start"]));
    unclaimed_partitions_are_refused(&store(&["key"]));
    the_preview_shows_the_newest(&store(&["key"]));
    a_field_may_be_the_key(&store(&["sensor"]));
}

fn claim(partitions: &[i32]) -> Claim {
    Claim {
        pipeline: "mill".to_owned(),
        sink: "rows".to_owned(),
        topic: Arc::from(TOPIC),
        partitions: partitions.to_vec(),
    }
}

fn record(partition: i32, offset: i64, key: &str, value: &str) -> SinkRecord {
    SinkRecord {
        topic: Arc::from(TOPIC),
        partition,
        offset,
        timestamp_ms: 1_700_000_000_000 + offset,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    }
}

fn tombstone(partition: i32, offset: i64, key: &str) -> SinkRecord {
    SinkRecord { value: None, ..record(partition, offset, key, "") }
}

fn at(partition: i32, next_offset: i64) -> Position {
    Position { topic: Arc::from(TOPIC), partition, next_offset }
}

fn opened(sink: &mut dyn Sink, partitions: &[i32]) -> Opened {
    sink.open(&claim(partitions)).expect("a claim is granted")
}

fn written(sink: &mut dyn Sink, batch: &[SinkRecord], positions: &[Position]) -> Written {
    sink.write(batch, positions).expect("the batch is written")
}

/// The rows as column -> cell, empty cells left out, ordered by their text.
fn rows(sink: &mut dyn Sink) -> Vec<BTreeMap<String, Cell>> {
    let tables = sink.preview(usize::MAX).expect("the table can be read");
    let mut rows = Vec::new();
    for table in tables {
        assert_eq!(table.rows_count, cast::u64_of(table.rows.len()), "every row is shown");
        for cells in table.rows {
            let pairs = table.columns.iter().cloned().zip(cells);
            rows.push(pairs.filter(|(_, cell)| *cell != Cell::Null).collect());
        }
    }
    rows.sort_by_key(|row: &BTreeMap<String, Cell>| format!("{row:?}"));
    rows
}

fn row(cells: &[(&str, Cell)]) -> BTreeMap<String, Cell> {
    cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect()
}

fn text(value: &str) -> Cell {
    Cell::Text(value.to_owned())
}

fn rows_and_positions_are_kept(holders: &Holders) {
    let mut sink = holders();
    assert_eq!(rows(&mut *sink), [], "a table that does not exist yet has no rows");
    let first = opened(&mut *sink, &[0, 1]);
    assert_eq!(first.positions, [], "nothing was written yet");
    let batch = [record(0, 5, "a", r#"{"n":1,"x":0.5,"t":"word"}"#), record(1, 0, "b", "7")];
    let done = written(&mut *sink, &batch, &[at(0, 6), at(1, 1)]);
    assert_eq!(done, Written { upserted: 2, deleted: 0, skipped: 0 });
    drop(sink);
    let mut sink = holders();
    let second = opened(&mut *sink, &[0, 1]);
    assert!(second.epoch > first.epoch, "each open raises the epoch");
    assert_eq!(second.positions, [at(0, 6), at(1, 1)]);
    let expected = [
        row(&[("key", text("a")), ("n", Cell::Integer(1)), ("x", Cell::Real(0.5)), {
            ("t", text("word"))
        }]),
        row(&[("key", text("b")), ("value", Cell::Integer(7))]),
    ];
    assert_eq!(rows(&mut *sink), expected);
}

fn a_replay_after_a_lost_acknowledgement_doubles_nothing(holders: &Holders) {
    let batch: Vec<SinkRecord> =
        (0..10).map(|n| record(0, n, "k", &format!("{{\"n\":{n}}}"))).collect();
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    written(&mut *sink, &batch[..6], &[at(0, 6)]);
    drop(sink);
    // The new process did not look at the positions and sends everything again, and more.
    let mut sink = holders();
    assert_eq!(opened(&mut *sink, &[0]).positions, [at(0, 6)]);
    let done = written(&mut *sink, &batch, &[at(0, 10)]);
    assert_eq!(done, Written { upserted: 4, deleted: 0, skipped: 6 });
    let done = written(&mut *sink, &batch[..3], &[at(0, 3)]);
    assert_eq!(done, Written { upserted: 0, deleted: 0, skipped: 3 });
    assert_eq!(rows(&mut *sink), [row(&[("key", text("k")), ("n", Cell::Integer(9))])]);
    assert_eq!(opened(&mut *sink, &[0]).positions, [at(0, 10)], "positions never move back");
}

fn a_zombie_is_fenced(holders: &Holders) {
    let (mut zombie, mut heir) = (holders(), holders());
    let old = opened(&mut *zombie, &[0]).epoch;
    written(&mut *zombie, &[record(0, 0, "k", "1")], &[at(0, 1)]);
    let new = opened(&mut *heir, &[0]).epoch;
    let attempts: [(&[SinkRecord], &[Position]); 3] = [
        (&[record(0, 1, "k", "2")], &[at(0, 2)]),
        (&[], &[at(0, 2)]),
        (&[record(0, 1, "other", "2")], &[]),
    ];
    for (batch, positions) in attempts {
        match zombie.write(batch, positions) {
            Err(SinkError::Fenced { partition: 0, held, found, .. }) => {
                assert_eq!((held, found), (old, new));
            }
            other => panic!("a zombie must be fenced, got {other:?}"),
        }
    }
    written(&mut *heir, &[record(0, 1, "k", "3")], &[at(0, 2)]);
    assert_eq!(rows(&mut *heir), [row(&[("key", text("k")), ("value", Cell::Integer(3))])]);
}

fn partitions_are_fenced_one_by_one(holders: &Holders) {
    let (mut first, mut second) = (holders(), holders());
    opened(&mut *first, &[0, 1]);
    opened(&mut *second, &[1]);
    written(&mut *first, &[record(0, 0, "a", "1")], &[at(0, 1)]);
    written(&mut *second, &[record(1, 0, "b", "1")], &[at(1, 1)]);
    let both = [record(0, 1, "a", "2"), record(1, 1, "b", "2")];
    let error = first.write(&both, &[at(0, 2), at(1, 2)]).expect_err("partition 1 is lost");
    assert!(matches!(error, SinkError::Fenced { partition: 1, .. }), "{error}");
    let expected = [
        row(&[("key", text("a")), ("value", Cell::Integer(1))]),
        row(&[("key", text("b")), ("value", Cell::Integer(1))]),
    ];
    assert_eq!(rows(&mut *second), expected, "nothing of a fenced batch is there");
}

fn a_null_value_deletes(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let done = written(&mut *sink, &[tombstone(0, 0, "a")], &[at(0, 1)]);
    assert_eq!(done.deleted, 0, "there is no table yet");
    assert_eq!(opened(&mut *sink, &[0]).positions, [], "positions belong to a table");
    let batch = [record(0, 1, "a", "1"), record(0, 2, "b", "2"), tombstone(0, 3, "a")];
    let done = written(&mut *sink, &batch, &[at(0, 4)]);
    assert_eq!(done, Written { upserted: 2, deleted: 1, skipped: 0 });
    let done = written(&mut *sink, &[tombstone(0, 4, "never")], &[at(0, 5)]);
    assert_eq!(done, Written::default());
    assert_eq!(rows(&mut *sink), [row(&[("key", text("b")), ("value", Cell::Integer(2))])]);
}

fn a_null_value_deletes_every_window_of_the_key(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let window = |offset, key, start| {
        record(0, offset, key, &format!("{{\"window_start\":\"{start}\",\"count\":1}}"))
    };
    let batch = [window(0, "a", "10:00"), window(1, "a", "10:05"), window(2, "b", "10:00")];
    written(&mut *sink, &batch, &[at(0, 3)]);
    let done = written(&mut *sink, &[tombstone(0, 3, "a")], &[at(0, 4)]);
    assert_eq!(done.deleted, 2);
    assert_eq!(rows(&mut *sink).len(), 1);
}

fn the_last_document_is_the_row(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    written(&mut *sink, &[record(0, 0, "k", r#"{"a":1,"b":2}"#)], &[at(0, 1)]);
    let batch = [
        record(0, 1, "k", r#"{"a":1,"c":"new"}"#),
        record(0, 2, "k", r#"{"a":9,"d":{"x":[1]},"e":null}"#),
    ];
    written(&mut *sink, &batch, &[at(0, 3)]);
    let expected = row(&[("key", text("k")), ("a", Cell::Integer(9)), ("d", text("{\"x\":[1]}"))]);
    assert_eq!(rows(&mut *sink), [expected], "what the last document lacks is empty");
    drop(sink);
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let batch = [record(0, 3, "k", r#"{"e":true,"C":"case is ignored"}"#)];
    written(&mut *sink, &batch, &[at(0, 4)]);
    let expected =
        row(&[("key", text("k")), ("e", Cell::Integer(1)), ("c", text("case is ignored"))]);
    assert_eq!(rows(&mut *sink), [expected], "columns may come at any time");
}

fn windows_are_rows_of_their_own(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let window = |offset, start, count| {
        let value = format!("{{\"window_start\":\"{start}\",\"count\":{count}}}");
        record(0, offset, "k", &value)
    };
    let batch = [window(0, "10:00", 1), window(1, "10:05", 2), window(2, "10:00", 3)];
    written(&mut *sink, &batch, &[at(0, 3)]);
    let expected = |start, count| {
        row(&[("key", text("k")), ("window_start", text(start)), ("count", Cell::Integer(count))])
    };
    let mut found = rows(&mut *sink);
    found.sort_by_key(|row| format!("{:?}", row["window_start"]));
    assert_eq!(found, [expected("10:00", 3), expected("10:05", 2)]);
}

fn names_and_texts_of_any_alphabet_survive(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let key = "K\u{fc}hlraum \u{1f9ca} \u{202e}rtl";
    let name = "temp\u{e9}rature \u{2103}";
    let value = "\u{4f60}\u{597d} \u{1f600} nul:\u{0} end";
    let json = serde_json::json!({ name: value, "e\u{301}": "combining" }).to_string();
    written(&mut *sink, &[record(0, 0, key, &json)], &[at(0, 1)]);
    let expected = row(&[("key", text(key)), (name, text(value)), ("e\u{301}", text("combining"))]);
    assert_eq!(rows(&mut *sink), [expected]);
    let done = written(&mut *sink, &[tombstone(0, 1, key)], &[at(0, 2)]);
    assert_eq!(done.deleted, 1);
}

fn hostile_names_are_only_names(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let names = [
        "select",
        "a b",
        "quote\"quote",
        "it's",
        "x\"); drop table \"rows",
        "`tick`",
        "[bracket]",
        "a.b",
        "1st",
        "?1",
        ":name",
        "--",
        "rowid",
        "tab\tline\n",
        "excluded",
    ];
    let fields: Vec<String> =
        names.iter().map(|name| format!("{}:1", serde_json::Value::from(*name))).collect();
    let json = format!("{{{}}}", fields.join(","));
    written(&mut *sink, &[record(0, 0, "'; --", &json)], &[at(0, 1)]);
    written(&mut *sink, &[record(0, 1, "'; --", &json)], &[at(0, 2)]);
    let mut expected = row(&[("key", text("'; --"))]);
    expected.extend(names.iter().map(|name| ((*name).to_owned(), Cell::Integer(1))));
    assert_eq!(rows(&mut *sink), [expected]);
}

fn a_huge_batch_is_one_transaction(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let batch: Vec<SinkRecord> = (0..HUGE_BATCH_RECORDS)
        .map(|n| record(0, n, &format!("key-{}", n % 1_000), &format!("{{\"n\":{n}}}")))
        .collect();
    let done = written(&mut *sink, &batch, &[at(0, HUGE_BATCH_RECORDS)]);
    assert_eq!(done.upserted, cast::u64_of_i64(HUGE_BATCH_RECORDS));
    assert_eq!(rows(&mut *sink).len(), 1_000);
    let mut heir = holders();
    assert_eq!(opened(&mut *heir, &[0]).positions, [at(0, HUGE_BATCH_RECORDS)]);
}

fn a_bad_document_leaves_nothing_of_its_batch(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[3]);
    let batch = [record(3, 0, "a", "{\"fresh\":1}"), record(3, 1, "bad", "{\"n\":")];
    match sink.write(&batch, &[at(3, 2)]) {
        Err(SinkError::Document { topic, partition, offset, key, reason }) => {
            assert_eq!((&*topic, partition, offset), (TOPIC, 3, 1));
            assert_eq!(key.as_deref(), Some("bad"));
            assert!(reason.contains("not JSON"), "{reason}");
        }
        other => panic!("a bad document must be named, got {other:?}"),
    }
    assert_eq!(rows(&mut *sink), []);
    assert_eq!(opened(&mut *sink, &[3]).positions, [], "the position stands before the batch");
    written(&mut *sink, &batch[..1], &[at(3, 1)]);
    assert_eq!(rows(&mut *sink), [row(&[("key", text("a")), ("fresh", Cell::Integer(1))])]);
}

fn a_row_needs_its_key_columns(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let whole = r#"{"window_start":"10:00"}"#;
    let keyless = SinkRecord { key: None, ..record(0, 0, "", whole) };
    for bad in [keyless, record(0, 0, "k", "{\"n\":1}"), record(0, 0, "k", "5")] {
        let error = sink.write(&[bad], &[at(0, 1)]).expect_err("a key column is missing");
        assert!(matches!(error, SinkError::Document { offset: 0, .. }), "{error}");
    }
    written(&mut *sink, &[record(0, 0, "k", whole)], &[at(0, 1)]);
    assert_eq!(rows(&mut *sink).len(), 1);
}

fn unclaimed_partitions_are_refused(holders: &Holders) {
    let mut sink = holders();
    let refused = |sink: &mut dyn Sink, batch: &[SinkRecord], positions: &[Position]| {
        let error = sink.write(batch, positions).expect_err("the partition is not claimed");
        assert!(matches!(error, SinkError::Unclaimed { .. }), "{error}");
    };
    refused(&mut *sink, &[record(0, 0, "k", "1")], &[at(0, 1)]);
    opened(&mut *sink, &[0]);
    refused(&mut *sink, &[record(1, 0, "k", "1")], &[at(1, 1)]);
    refused(&mut *sink, &[], &[at(1, 1)]);
    refused(&mut *sink, &[SinkRecord { topic: Arc::from("other"), ..record(0, 0, "k", "1") }], &[]);
    assert_eq!(rows(&mut *sink), []);
}

fn the_preview_shows_the_newest(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let batch: Vec<SinkRecord> =
        (0..9).map(|n| record(0, n, &format!("k{n}"), &n.to_string())).collect();
    written(&mut *sink, &batch, &[at(0, 9)]);
    let tables = sink.preview(2).expect("the table can be read");
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0].columns, ["key", "value"]);
    assert_eq!(tables[0].rows_count, 9);
    let expected = [[text("k8"), Cell::Integer(8)], [text("k7"), Cell::Integer(7)]];
    assert_eq!(tables[0].rows, expected);
}

fn a_field_may_be_the_key(holders: &Holders) {
    let mut sink = holders();
    opened(&mut *sink, &[0]);
    let keyless = SinkRecord { key: None, ..record(0, 1, "", r#"{"sensor":"cpu","v":2}"#) };
    let batch = [record(0, 0, "any", r#"{"sensor":"cpu","v":1}"#), keyless];
    written(&mut *sink, &batch, &[at(0, 2)]);
    assert_eq!(rows(&mut *sink), [row(&[("sensor", text("cpu")), ("v", Cell::Integer(2))])]);
}
