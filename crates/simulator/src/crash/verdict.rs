//! Holding a log that was opened after a crash against what was noted before it.

use std::collections::{BTreeMap, BTreeSet};

use base::disk::MemoryDisk;
use bytes::BytesMut;
use commitlog::{Bound, Durability, LogReader, Opened, Origin, ReadError, ReadRange};
use protocol::record::{
    BatchHeader, Batches, ControlType, ProducerIdentity, Record, control_batch, control_type,
};

use super::history::{History, Kind, LogNotes, Sent, key_of};
use super::workload::{LOGS, Store, config, options};

/// Largest batch that is opened here.
const DECOMPRESS_BYTES_MAX: usize = 1 << 20;

/// A record as a reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its offset.
    pub offset: i64,
    /// Its value, without padding; `commit` or `abort` for a marker.
    pub value: String,
    /// Who wrote it.
    pub producer: ProducerIdentity,
    /// Whether it belongs to a transaction.
    pub is_transactional: bool,
    /// Whether it is a marker.
    pub is_marker: bool,
}

/// Reads everything from an offset on, markers included.
///
/// # Errors
/// What reading says.
///
/// # Panics
/// When a batch is damaged, which a log must never hand out.
pub fn records(reader: &LogReader, from: i64, until: Bound) -> Result<Vec<Seen>, ReadError> {
    let mut found = Vec::new();
    each_record(reader, (from, until), |header, record| {
        let value = if header.is_control() {
            format!("{:?}", control_type(record).expect("a marker ends a transaction"))
        } else {
            text(record.value)
        };
        found.push(Seen {
            offset: record.offset,
            value,
            producer: header.producer(),
            is_transactional: header.is_transactional(),
            is_marker: header.is_control(),
        });
    })?;
    Ok(found)
}

/// Calls `each` with every record from an offset on, markers included, and the header of its batch.
///
/// # Errors
/// What reading says.
///
/// # Panics
/// When a batch is damaged, which a log must never hand out.
pub(super) fn each_record(
    reader: &LogReader,
    (from, until): (i64, Bound),
    mut each: impl FnMut(&BatchHeader, &Record<'_>),
) -> Result<(), ReadError> {
    let mut next = from;
    loop {
        let range = ReadRange { from: next, bytes_max: 700, at_least_one: true, until };
        let slice = reader.read(range)?;
        let mut bytes = BytesMut::new();
        for chunk in &slice.chunks {
            bytes.extend_from_slice(&chunk.read().map_err(|_| out_of_range(reader, next))?);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        for batch in Batches::new(bytes.freeze()) {
            let batch = batch.expect("stored batches are whole");
            batch.verify_crc().expect("stored batches are sound");
            let header = *batch.header();
            assert!(header.last_offset() >= next, "a read gave what lies before it");
            next = header.next_offset();
            let decoded = batch.decode(DECOMPRESS_BYTES_MAX).expect("batches can be opened");
            for record in decoded.iter() {
                let record = record.expect("records are sound");
                if record.offset >= from {
                    each(&header, &record);
                }
            }
        }
    }
}

fn out_of_range(reader: &LogReader, from: i64) -> ReadError {
    ReadError::OffsetOutOfRange {
        from,
        log_start: reader.log_start_offset(),
        log_end: reader.log_end_offset(),
    }
}

fn text(value: Option<&[u8]>) -> String {
    let text = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Opens a disk after a crash and checks everything that was promised.
///
/// # Panics
/// When a promise is broken.
pub fn check(disk: &MemoryDisk, history: &History, case: &str) {
    let durability = history.durability;
    let open = |disk: &MemoryDisk| {
        Store::open(options(disk, durability), config(history.cleanup))
            .unwrap_or_else(|error| panic!("{case}: cannot open: {error}"))
    };
    let mut store = open(disk);
    let mut before = Vec::new();
    for (name, opened) in LOGS.iter().zip(&store.logs) {
        let case = format!("{case} {name}");
        before.push(check_log(opened, &history.logs[*name], history, &case));
    }
    // What was served must not hang on a flush that recovery left out.
    let again = open(&disk.crash_image(0));
    for ((name, opened), before) in LOGS.iter().zip(&again.logs).zip(&before) {
        let from = opened.reader.log_start_offset();
        let now = records(&opened.reader, from, Bound::HighWatermark).expect("it can be read");
        assert_eq!(&now, before, "{case} {name}: a second cut took what was served");
    }
    for (at, name) in LOGS.iter().enumerate() {
        check_retries(&mut store, at, &history.logs[*name], case);
        check_committed(&mut store, at, &history.logs[*name], case);
    }
}

fn check_log(opened: &Opened, notes: &LogNotes, history: &History, case: &str) -> Vec<Seen> {
    let reader = &opened.reader;
    let start = reader.log_start_offset();
    assert!(start <= notes.start_asked, "{case}: starts at {start}, behind what was asked");
    assert_eq!(reader.high_watermark(), reader.log_end_offset(), "{case}: all is served");
    let found = records(reader, start, Bound::HighWatermark)
        .unwrap_or_else(|error| panic!("{case}: cannot read: {error}"));
    let by_offset: BTreeMap<i64, &Seen> = found.iter().map(|seen| (seen.offset, seen)).collect();
    assert_eq!(by_offset.len(), found.len(), "{case}: an offset appears twice");
    let compacts = history.cleanup.compacts();
    for (at, seen) in found.iter().enumerate() {
        let whole = compacts || seen.offset == start + base::cast::i64_of(at);
        assert!(whole, "{case}: offsets have a hole before {seen:?}");
    }
    if history.durability == Durability::Flush {
        let kept = Kept { found: &by_offset, start, compacts };
        notes.sent.iter().for_each(|sent| kept.check(sent, case));
        for (offset, value) in notes.seen.range(start..) {
            let now = by_offset.get(offset).map(|seen| &seen.value);
            let gone = compacts && now.is_none();
            assert!(gone || now == Some(value), "{case}: offset {offset} was {value}, is {now:?}");
        }
    }
    check_order(&found, notes, case);
    found
}

/// What was acknowledged is where it was said to be.
struct Kept<'a> {
    found: &'a BTreeMap<i64, &'a Seen>,
    start: i64,
    compacts: bool,
}

impl Kept<'_> {
    fn check(&self, sent: &Sent, case: &str) {
        let Some(appended) = sent.appended() else { return };
        let Kind::Records(values) = &sent.kind else {
            let kept = self.found.get(&appended.base_offset).is_some_and(|seen| seen.is_marker);
            let gone = self.compacts || appended.base_offset < self.start;
            assert!(kept || gone, "{case}: a marker is lost: {appended:?}");
            return;
        };
        for (offset, value) in (appended.base_offset..).zip(values) {
            let now = self.found.get(&offset).map(|seen| &seen.value);
            let gone = offset < self.start || (now.is_none() && self.may_go(sent, offset, value));
            assert!(gone || now == Some(value), "{case}: offset {offset} of {value} is {now:?}");
        }
    }

    /// Compaction takes what has a newer value, and what a transaction may have undone.
    fn may_go(&self, sent: &Sent, offset: i64, value: &str) -> bool {
        let newer = || {
            let later = self.found.range(offset + 1..);
            let mut records = later.filter(|(_, seen)| !seen.is_marker);
            records.any(|(_, seen)| key_of(&seen.value) == key_of(value))
        };
        self.compacts && (sent.transaction.is_some() || newer())
    }
}

/// What is found was sent, once, and lies in the order in which it was sent.
fn check_order(found: &[Seen], notes: &LogNotes, case: &str) {
    let sent: Vec<&String> = notes
        .sent
        .iter()
        .filter_map(|sent| match &sent.kind {
            Kind::Records(values) => Some(values),
            Kind::Marker { .. } => None,
        })
        .flatten()
        .collect();
    let mut rest = sent.iter();
    for seen in found.iter().filter(|seen| !seen.is_marker) {
        let place = rest.by_ref().find(|value| ***value == seen.value);
        assert!(place.is_some(), "{case}: {seen:?} is repeated, invented or out of order");
    }
}

/// Each of a producer's last five batches can be sent again and gets its old place.
fn check_retries(store: &mut Store, log: usize, notes: &LogNotes, case: &str) {
    let id = store.logs[log].id;
    let reader = std::sync::Arc::clone(&store.logs[log].reader);
    let found = records(&reader, reader.log_start_offset(), Bound::HighWatermark)
        .expect("it could be read before");
    let places: BTreeMap<String, i64> =
        found.iter().map(|seen| (seen.value.clone(), seen.offset)).collect();
    for producer in 1..5 {
        let batches: Vec<(&Sent, i64)> = notes
            .sent
            .iter()
            .filter(|sent| sent.producer.id == producer)
            .filter_map(|sent| match &sent.kind {
                Kind::Records(values) => Some((sent, *places.get(&values[0])?)),
                Kind::Marker { .. } => None,
            })
            .collect();
        for (sent, place) in batches.iter().rev().take(5) {
            let answer = store.append(id, sent.bytes.clone(), Origin::Client);
            store.flusher.turn();
            let answer = answer.lock().expect("no holder of an answer panics").take();
            let appended = answer.expect("it is answered in the turn");
            let appended = appended.unwrap_or_else(|error| {
                panic!("{case}: producer {producer} cannot repeat offset {place}: {error}")
            });
            assert!(appended.duplicate, "{case}: producer {producer} wrote offset {place} twice");
            assert_eq!(appended.base_offset, *place, "{case}: a retry got another offset");
        }
    }
}

/// Readers of committed records see whole transactions or nothing, before and after the open
/// ones are ended; and the log takes new batches.
fn check_committed(store: &mut Store, log: usize, notes: &LogNotes, case: &str) {
    let id = store.logs[log].id;
    let reader = std::sync::Arc::clone(&store.logs[log].reader);
    check_transactions(&reader, notes, case);
    for producer in [3, 4] {
        let identity = ProducerIdentity { id: producer, epoch: 0 };
        let bytes = control_batch(identity, ControlType::Abort, 0, 1_000);
        let answer = store.append(id, bytes, Origin::Coordinator);
        store.flusher.turn();
        let answer = answer.lock().expect("no holder of an answer panics").take();
        let end = reader.log_end_offset();
        let appended = answer.expect("it is answered in the turn");
        let appended = appended.unwrap_or_else(|error| panic!("{case}: no appends: {error}"));
        assert_eq!(appended.last_offset + 1, end, "{case}: a new batch goes to the end");
    }
    let (stable, high) = (reader.last_stable_offset(), reader.high_watermark());
    assert_eq!(stable, high, "{case}: a transaction hangs");
    check_transactions(&reader, notes, case);
}

/// How a transaction ended, as far as its writer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ended {
    #[default]
    Open,
    /// The marker was not answered, or it was a commit.
    PerhapsCommitted,
    PerhapsAborted,
    Aborted,
}

impl Ended {
    fn from(aborted: bool, answered: bool) -> Self {
        match (aborted, answered) {
            (false, _) => Self::PerhapsCommitted,
            (true, false) => Self::PerhapsAborted,
            (true, true) => Self::Aborted,
        }
    }

    fn is_committed(self) -> bool {
        self == Self::PerhapsCommitted
    }
}

fn check_transactions(reader: &LogReader, notes: &LogNotes, case: &str) {
    let start = reader.log_start_offset();
    let committed: BTreeSet<String> = committed(reader, start, case);
    let all = records(reader, start, Bound::HighWatermark).expect("it could be read before");
    let present: BTreeSet<&String> = all.iter().map(|seen| &seen.value).collect();
    let settled = reader.last_stable_offset() == reader.high_watermark();
    let mut transactions: BTreeMap<(i64, u32), (Vec<&String>, Ended)> = BTreeMap::new();
    for sent in &notes.sent {
        let Some(number) = sent.transaction else { continue };
        let entry = transactions.entry((sent.producer.id, number)).or_default();
        match &sent.kind {
            // What deletion took away cannot be held against the transaction.
            Kind::Records(values) => {
                entry.0.extend(values.iter().filter(|value| present.contains(value)));
            }
            Kind::Marker { aborted } => entry.1 = Ended::from(*aborted, sent.appended().is_some()),
        }
    }
    for (transaction, (values, ended)) in &transactions {
        let shown = values.iter().filter(|value| committed.contains(**value)).count();
        // A reader may stand in the middle of a transaction that was committed.
        let whole = shown == 0 || shown == values.len() || (!settled && ended.is_committed());
        assert!(whole, "{case}: {transaction:?} is torn, {shown} of {}", values.len());
        if *ended == Ended::Aborted {
            assert_eq!(shown, 0, "{case}: {transaction:?} was aborted and is seen");
        }
    }
}

/// The values that a reader of committed records keeps, who skips as Kafka's clients do.
fn committed(reader: &LogReader, from: i64, case: &str) -> BTreeSet<String> {
    let stable = reader.last_stable_offset();
    let seen = records(reader, from, Bound::LastStable).expect("it could be read before");
    let mut aborted = reader.aborted_transactions(from, stable);
    aborted.sort_by_key(|txn| txn.first_offset);
    let mut coming = aborted.into_iter().peekable();
    let mut skipping = BTreeSet::new();
    let mut kept = BTreeSet::new();
    for record in seen {
        assert!(record.offset < stable, "{case}: {record:?} lies behind {stable}");
        while let Some(txn) = coming.next_if(|txn| txn.first_offset <= record.offset) {
            skipping.insert(txn.producer_id);
        }
        if record.is_marker {
            skipping.remove(&record.producer.id);
        } else if !record.is_transactional || !skipping.contains(&record.producer.id) {
            kept.insert(record.value);
        }
    }
    kept
}
