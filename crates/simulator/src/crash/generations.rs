//! A compacted log of several generations of values, deletions and transactions, cleaned after
//! each of them, while the power goes at every operation: writes, rolls, and each step by which a
//! cleaned segment takes the place of those it was made from.
//!
//! Every batch holds one record, so an offset is the number of an event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::cast;
use base::clock::{Clock, ManualClock};
use base::disk::MemoryDisk;
use bytes::Bytes;
use commitlog::{
    Bound, Cleanup, Command, Durability, LogConfig, LogReader, Origin, ReadError, StoreOptions,
};
use protocol::record::{BatchBuilder, BatchOptions, ControlType, ProducerIdentity, control_batch};

use super::Checked;
use super::verdict::each_record;
use super::workload::{Store, config, options};

/// How long a deletion stays after the first cleaning.
const RETENTION_MS: i64 = 1_000;

/// What passes between two generations: a deletion outlives the next one, not the one after.
const GENERATION_MS: u64 = 800;

/// So many that a marker goes: a run takes its records, one gives it a horizon, one is past that.
const GENERATIONS: u64 = 6;

/// When the first generation begins, in ms since 1970.
const START_MS: i64 = 1_700_000_000_000;

/// Who commits, and who aborts.
const PRODUCERS: [i64; 2] = [3, 4];

/// What was handed to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    /// A key got a value, or was deleted, alone or in a producer's transaction.
    Put { key: String, value: Option<String>, producer: Option<i64>, at_ms: i64 },
    /// A producer's transaction ended.
    End { producer: i64, aborted: bool },
}

/// A record that was found, or a marker.
#[derive(Debug, Clone)]
struct Found {
    offset: i64,
    key: String,
    value: Option<String>,
    at_ms: i64,
    producer: Option<i64>,
    is_marker: bool,
    has_horizon: bool,
}

/// How the log came to be, as far as the power lasted.
#[derive(Debug)]
struct Story {
    clock: Arc<ManualClock>,
    /// The last one may be on its way still.
    events: Vec<Event>,
    acknowledged: usize,
}

/// Cuts the power at every operation of the story and checks `seeds` images of each cut.
///
/// # Panics
/// When an image lacks what must be there, or shows what must not.
#[must_use]
pub fn check_generations(seeds: u64) -> Checked {
    let whole = MemoryDisk::new();
    let (story, store) = tell(&whole);
    judge_end(&story, &store.expect("without a cut the store opens"));
    let cuts = whole.operation_count();
    let mut images = 0;
    for cut in 0..cuts {
        let disk = MemoryDisk::new();
        disk.cut_power_at(cut);
        let (cut_short, _) = tell(&disk);
        for seed in 0..seeds {
            // The extremes (nothing or all that was not flushed) take turns with mixtures.
            let cut_number = cast::u64_of(cut);
            let turn = (cut_number + seed) % 4;
            let image = if turn < 2 { turn } else { turn + 1000 * cut_number };
            let case = format!("generations cut at {cut} image {image}");
            check(&disk.crash_image(image), &cut_short, &case);
            images += 1;
        }
    }
    Checked { cuts, images, acknowledged: story.acknowledged }
}

fn open(disk: &MemoryDisk, clock: &Arc<ManualClock>) -> Result<Store, commitlog::Error> {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let config = LogConfig {
        segment_bytes: 700,
        delete_retention_ms: RETENTION_MS,
        ..config(Cleanup::Compact)
    };
    Store::open(StoreOptions { clock, ..options(disk, Durability::Flush) }, config)
}

/// Tells the story on a disk, as far as its power lasts.
fn tell(disk: &MemoryDisk) -> (Story, Option<Store>) {
    let clock = Arc::new(ManualClock::at(START_MS));
    let mut story = Story { clock, events: Vec::new(), acknowledged: 0 };
    let Ok(mut store) = open(disk, &story.clock) else { return (story, None) };
    for generation in 0..GENERATIONS {
        for event in events_of(generation, story.clock.unix_ms()) {
            if !story.send(&mut store, event) {
                return (story, None);
            }
        }
        clean(&mut store);
        story.clock.advance_ms(GENERATION_MS);
    }
    (story, Some(store))
}

/// Everything that is due is cleaned, and put in place.
fn clean(store: &mut Store) {
    for _ in 0..3 {
        store.submit(Command::Maintain);
        store.flusher.turn();
    }
}

fn events_of(generation: u64, at_ms: i64) -> Vec<Event> {
    let put = |key: String, value: Option<&str>, producer| {
        let value = value.map(|value| format!("{value} of {generation}"));
        Event::Put { key, value, producer, at_ms }
    };
    let [commits, aborts] = PRODUCERS;
    let mut events = Vec::new();
    for round in ["first", "second"] {
        for key in 0..5 {
            events.push(put(format!("k{key}"), Some(round), None));
        }
    }
    events.extend([
        put(format!("dead{generation}"), Some("alive"), None),
        put(format!("dead{generation}"), None, None),
        put("k0".to_owned(), Some("committed"), Some(commits)),
        put("k1".to_owned(), Some("aborted"), Some(aborts)),
        put(format!("only{generation}"), Some("committed"), Some(commits)),
        put(format!("never{generation}"), Some("aborted"), Some(aborts)),
        Event::End { producer: aborts, aborted: true },
        put("k2".to_owned(), None, Some(commits)),
        Event::End { producer: commits, aborted: false },
        put("k1".to_owned(), None, Some(aborts)),
        Event::End { producer: aborts, aborted: true },
        put("k3".to_owned(), Some("last"), None),
    ]);
    events
}

impl Story {
    /// Appends what happens; false when the power is gone.
    fn send(&mut self, store: &mut Store, event: Event) -> bool {
        let (bytes, origin) = self.batch(&event);
        self.events.push(event);
        let answer = store.append(store.logs[0].id, bytes, origin);
        store.flusher.turn();
        let answer = answer.lock().expect("no holder of an answer panics").take();
        let is_stored = matches!(answer, Some(Ok(_)));
        if is_stored {
            self.acknowledged = self.events.len();
        }
        is_stored
    }

    fn batch(&self, event: &Event) -> (Bytes, Origin) {
        match event {
            Event::Put { key, value, producer, at_ms } => {
                let before = self.events.iter().filter(|event| event.is_put_of(*producer));
                let mut builder = BatchBuilder::new(BatchOptions {
                    producer: identity(*producer),
                    base_sequence: match producer {
                        Some(_) => cast::i32_of(before.count()),
                        None => -1,
                    },
                    transactional: producer.is_some(),
                    ..BatchOptions::default()
                });
                let value = value.as_ref().map(String::as_bytes);
                builder.append(*at_ms, Some(key.as_bytes()), value, &[]);
                (builder.build().expect("small batches can be built"), Origin::Client)
            }
            Event::End { producer, aborted } => {
                let kind = if *aborted { ControlType::Abort } else { ControlType::Commit };
                let at_ms = self.clock.unix_ms();
                (control_batch(identity(Some(*producer)), kind, 0, at_ms), Origin::Coordinator)
            }
        }
    }
}

impl Event {
    fn is_put_of(&self, by: Option<i64>) -> bool {
        matches!(self, Self::Put { producer, .. } if *producer == by)
    }
}

fn identity(producer: Option<i64>) -> ProducerIdentity {
    producer.map_or(ProducerIdentity::NONE, |id| ProducerIdentity { id, epoch: 0 })
}

/// The offsets whose records count for readers of committed records, in order.
fn counting(events: &[Event]) -> Vec<usize> {
    let mut open: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    let mut counting = BTreeSet::new();
    for (offset, event) in events.iter().enumerate() {
        match event {
            Event::Put { producer: None, .. } => counting.extend([offset]),
            Event::Put { producer: Some(id), .. } => open.entry(*id).or_default().push(offset),
            Event::End { producer, aborted } => {
                let ended = open.remove(producer).unwrap_or_default();
                counting.extend(ended.into_iter().filter(|_| !aborted));
            }
        }
    }
    let stable = open.values().flatten().copied().min().unwrap_or(events.len());
    counting.into_iter().filter(|offset| *offset < stable).collect()
}

/// The last value of every key.
fn table(events: &[Event]) -> BTreeMap<String, String> {
    let mut table = BTreeMap::new();
    for offset in counting(events) {
        let Event::Put { key, value, .. } = &events[offset] else { continue };
        match value {
            Some(value) => drop(table.insert(key.clone(), value.clone())),
            None => drop(table.remove(key)),
        }
    }
    table
}

/// Opens an image and holds it against the story, before and after more of everything.
fn check(disk: &MemoryDisk, story: &Story, case: &str) {
    let clock = Arc::new(ManualClock::at(story.clock.unix_ms()));
    let mut store = open(disk, &clock).unwrap_or_else(|error| panic!("{case}: no open: {error}"));
    let reader = Arc::clone(&store.logs[0].reader);
    let end = cast::usize_of(cast::u64_of_i64(reader.log_end_offset()));
    let known = story.acknowledged..=story.events.len();
    assert!(known.contains(&end), "{case}: ends at {end}, not in {known:?}");
    let events = story.events[..end].to_vec();
    let mut later = Story { clock, events, acknowledged: end };
    later.judge(&reader, case);
    clean(&mut store);
    later.judge(&reader, &format!("{case}, cleaned"));
    for producer in PRODUCERS {
        let sent = later.send(&mut store, Event::End { producer, aborted: true });
        assert!(sent, "{case}: a marker is refused");
    }
    assert_eq!(reader.last_stable_offset(), reader.high_watermark(), "{case}: something hangs");
    for event in events_of(GENERATIONS, later.clock.unix_ms()) {
        assert!(later.send(&mut store, event), "{case}: an append is refused");
    }
    clean(&mut store);
    later.judge(&reader, &format!("{case}, with another generation"));
}

impl Story {
    /// Everything that is found was sent, and everything that must be there is found.
    fn judge(&self, reader: &LogReader, case: &str) {
        let found = read(reader).unwrap_or_else(|error| panic!("{case}: cannot read: {error}"));
        let mut next = 0;
        for found in &found {
            assert!(found.offset >= next, "{case}: {found:?} is out of order");
            next = found.offset + 1;
            let event = &self.events[cast::usize_of(cast::u64_of_i64(found.offset))];
            assert!(found.is(event), "{case}: {event:?} was written, {found:?} is read");
        }
        assert_eq!(committed(reader, &found), table(&self.events), "{case}");
        let offsets: BTreeSet<i64> = found.iter().map(|found| found.offset).collect();
        for offset in self.standing_deletions() {
            assert!(offsets.contains(&offset), "{case}: the deletion at {offset} went too early");
        }
    }

    /// The last records of keys that were deleted too late for any horizon to be past.
    fn standing_deletions(&self) -> Vec<i64> {
        let mut last = BTreeMap::new();
        for offset in counting(&self.events) {
            if let Event::Put { key, value, at_ms, .. } = &self.events[offset] {
                last.insert(key, (offset, value.is_none(), *at_ms));
            }
        }
        let now_ms = self.clock.unix_ms();
        let standing = last
            .values()
            .filter(|(_, deletes, at_ms)| *deletes && now_ms < at_ms.saturating_add(RETENTION_MS));
        standing.map(|(offset, ..)| cast::i64_of(*offset)).collect()
    }
}

impl Found {
    fn is(&self, event: &Event) -> bool {
        match event {
            Event::Put { key, value, producer, at_ms } => {
                let same = (&self.key, &self.value) == (key, value);
                same && self.producer == *producer && self.at_ms == *at_ms && !self.is_marker
            }
            Event::End { producer, .. } => self.is_marker && self.producer == Some(*producer),
        }
    }
}

/// Without a cut deletions and markers go in the end, and those that will go have their horizon.
fn judge_end(story: &Story, store: &Store) {
    assert_eq!(story.acknowledged, story.events.len(), "without a cut everything is answered");
    let found = read(&store.logs[0].reader).expect("it can be read");
    let is_there = |key: &str| found.iter().any(|found| found.key == key);
    assert!(!is_there("dead0"), "the first deletion is past its horizon: {found:?}");
    let last = format!("dead{}", GENERATIONS - 1);
    assert!(is_there(&last), "the last deletion is not: {found:?}");
    let markers: Vec<&Found> = found.iter().filter(|found| found.is_marker).collect();
    let sent = story.events.iter().filter(|event| matches!(event, Event::End { .. })).count();
    assert!(markers.len() < sent, "markers go: {markers:?}");
    assert!(markers.iter().any(|found| found.has_horizon), "and some wait: {markers:?}");
    assert!(found.iter().any(|found| found.has_horizon && !found.is_marker), "{found:?}");
}

/// Everything that the log holds.
fn read(reader: &LogReader) -> Result<Vec<Found>, ReadError> {
    let mut found = Vec::new();
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    each_record(reader, (reader.log_start_offset(), Bound::HighWatermark), |header, record| {
        found.push(Found {
            offset: record.offset,
            key: record.key.map(text).unwrap_or_default(),
            value: record.value.map(text),
            at_ms: record.timestamp,
            producer: header.has_producer().then_some(header.producer_id),
            is_marker: header.is_control(),
            has_horizon: header.delete_horizon().is_some(),
        });
    })?;
    Ok(found)
}

/// The table that a reader of committed records makes of what is found.
fn committed(reader: &LogReader, found: &[Found]) -> BTreeMap<String, String> {
    let stable = reader.last_stable_offset();
    let mut aborted = reader.aborted_transactions(reader.log_start_offset(), stable);
    aborted.sort_by_key(|txn| txn.first_offset);
    let mut coming = aborted.into_iter().peekable();
    let mut skipping = BTreeSet::new();
    let mut table = BTreeMap::new();
    for found in found.iter().filter(|found| found.offset < stable) {
        while let Some(txn) = coming.next_if(|txn| txn.first_offset <= found.offset) {
            skipping.insert(txn.producer_id);
        }
        let skips = found.producer.is_some_and(|id| skipping.contains(&id));
        match (found.is_marker, &found.value) {
            (true, _) => skipping.retain(|id| Some(*id) != found.producer),
            (false, _) if skips => {}
            (false, Some(value)) => drop(table.insert(found.key.clone(), value.clone())),
            (false, None) => drop(table.remove(&found.key)),
        }
    }
    table
}
