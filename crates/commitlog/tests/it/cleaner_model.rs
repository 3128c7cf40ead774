//! A model beside a compacted log: whatever is cleaned and when, readers see the last value of
//! every key, and nothing goes before its time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base::cast;
use base::clock::{Clock, ManualClock};
use base::disk::MemoryDisk;
use base::rng::{Random, SeededRandom};
use commitlog::{LogConfig, LogReader, Opened};
use protocol::record::{ControlType, ProducerIdentity, control_batch};

use crate::cleaner::{batches, clean, config, table};
use crate::store::{By, Store, keyed, options};

const START_MS: i64 = 1_700_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Counts,
    Aborted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    key: String,
    value: Option<String>,
    at_ms: i64,
    producer: Option<i64>,
    fate: Fate,
}

/// Every record that was ever written, by offset.
#[derive(Debug, Default)]
struct Model {
    records: BTreeMap<i64, Written>,
}

impl Model {
    fn end(&mut self, producer: i64, fate: Fate) {
        let open = |written: &&mut Written| written.fate == Fate::Open;
        for written in self.records.values_mut().filter(open) {
            if written.producer == Some(producer) {
                written.fate = fate;
            }
        }
    }

    /// The last record of every key, as readers of committed records see it.
    fn newest(&self) -> BTreeMap<&str, (i64, &Written)> {
        let open = self.records.iter().find(|(_, written)| written.fate == Fate::Open);
        let stable = open.map_or(i64::MAX, |(offset, _)| *offset);
        let counting = self.records.range(..stable).filter(|(_, w)| w.fate == Fate::Counts);
        counting.map(|(offset, written)| (written.key.as_str(), (*offset, written))).collect()
    }

    fn table(&self) -> BTreeMap<String, String> {
        let newest = self.newest().into_iter();
        newest.filter_map(|(key, (_, w))| Some((key.to_owned(), w.value.clone()?))).collect()
    }

    fn judge(&self, reader: &LogReader, now_ms: i64, rules: &LogConfig, case: &str) {
        let found = found(reader);
        for (offset, record) in &found {
            let written = &self.records[offset];
            let same = (&written.key, &written.value, written.at_ms);
            assert_eq!((&record.0, &record.1, record.2), same, "{case}: offset {offset}");
        }
        assert_eq!(table(reader), self.table(), "{case}");
        let stable = reader.last_stable_offset();
        let young_from_ms = now_ms - rules.min_compaction_lag_ms;
        for (offset, written) in &self.records {
            let stays = *offset >= stable || written.at_ms > young_from_ms;
            assert!(!stays || found.contains_key(offset), "{case}: {offset} {written:?} is gone");
        }
        for (offset, written) in self.newest().into_values() {
            // No run can have met it before it was written.
            let stands = now_ms < written.at_ms + rules.delete_retention_ms;
            let gone = stands && !found.contains_key(&offset);
            assert!(!gone, "{case}: the deletion {offset} {written:?} went too early");
        }
    }
}

/// Key, value and time of every record in the log.
fn found(reader: &LogReader) -> BTreeMap<i64, (String, Option<String>, i64)> {
    let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
    let mut found = BTreeMap::new();
    for batch in batches(reader).iter().filter(|batch| !batch.header().is_control()) {
        batch.verify_crc().unwrap();
        for record in &batch.decode(1 << 20).unwrap() {
            let record = record.unwrap();
            let (key, value) = (record.key.map(text).unwrap(), record.value.map(text));
            found.insert(record.offset, (key, value, record.timestamp));
        }
    }
    found
}

struct Run {
    rng: SeededRandom,
    disk: MemoryDisk,
    clock: Arc<ManualClock>,
    rules: LogConfig,
    store: Store,
    log: Opened,
    model: Model,
    sequences: [i32; 3],
}

impl Run {
    fn new(seed: u64) -> Self {
        let rng = SeededRandom::new(seed);
        let pick =
            |choices: &[i64]| choices[cast::usize_of(rng.below(cast::u64_of(choices.len())))];
        let rules = LogConfig {
            min_compaction_lag_ms: pick(&[0, 3_000]),
            max_compaction_lag_ms: pick(&[i64::MAX, 5_000]),
            delete_retention_ms: pick(&[0, 1_000, 6_000]),
            ..config()
        };
        let disk = MemoryDisk::new();
        let clock = Arc::new(ManualClock::at(START_MS));
        let (store, log) = open(&disk, &clock, rules);
        let (model, sequences) = (Model::default(), [0; 3]);
        Self { rng, disk, clock, rules, store, log, model, sequences }
    }

    fn step(&mut self, step: usize) {
        match self.rng.below(14) {
            0 | 1 => self.clock.advance_ms(self.rng.below(1_500)),
            2 => clean(&mut self.store),
            3..=5 => self.end(),
            // What was written is all there, but nothing was put in order for an end.
            6 if step.is_multiple_of(3) => {
                (self.store, self.log) = open(&self.disk, &self.clock, self.rules);
            }
            _ => self.write(step),
        }
    }

    fn end(&mut self) {
        let id = 1 + cast::i64_of_u64(self.rng.below(3));
        let (kind, fate) = match self.rng.below(2) {
            0 => (ControlType::Commit, Fate::Counts),
            _ => (ControlType::Abort, Fate::Aborted),
        };
        let marker = control_batch(ProducerIdentity { id, epoch: 0 }, kind, 0, START_MS);
        self.store.mark(self.log.id, marker).unwrap();
        self.model.end(id, fate);
    }

    fn write(&mut self, step: usize) {
        let at_ms = self.clock.unix_ms();
        let at = cast::usize_of(self.rng.below(5));
        let producer = (at < 3).then_some(cast::i64_of(at) + 1);
        let by = producer.map_or(By::NOBODY, |id| By::transaction(id, 0, self.sequences[at]));
        let records: Vec<(String, Option<String>)> = (0..=self.rng.below(3))
            .map(|number| {
                let value = (self.rng.below(5) > 0).then(|| format!("v{step}.{number}"));
                (format!("k{}", self.rng.below(9)), value)
            })
            .collect();
        let parts: Vec<(&str, Option<&str>)> =
            records.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let appended = self.store.append(self.log.id, keyed(by, at_ms, &parts)).unwrap();
        if producer.is_some() {
            self.sequences[at] += i32::try_from(records.len()).unwrap();
        }
        let fate = if producer.is_some() { Fate::Open } else { Fate::Counts };
        for (offset, (key, value)) in (appended.base_offset..).zip(records) {
            self.model.records.insert(offset, Written { key, value, at_ms, producer, fate });
        }
    }
}

fn open(disk: &MemoryDisk, clock: &Arc<ManualClock>, rules: LogConfig) -> (Store, Opened) {
    let options = options(Arc::new(disk.clone()), PathBuf::from("log"), clock);
    let mut store = Store::with(options, Arc::clone(clock));
    let log = store.log("state-0", rules);
    (store, log)
}

#[test]
fn readers_of_a_cleaned_log_see_what_the_model_knows_and_nothing_goes_too_early() {
    for seed in 0..30 {
        let mut run = Run::new(seed);
        let mut sizes = Vec::new();
        for step in 0..300 {
            run.step(step);
            sizes.push(run.log.reader.size_bytes());
            if step.is_multiple_of(3) {
                let case = format!("seed {seed} step {step} rules {:?}", run.rules);
                run.model.judge(&run.log.reader, run.clock.unix_ms(), &run.rules, &case);
            }
        }
        assert!(sizes.windows(2).any(|pair| pair[1] < pair[0]), "seed {seed} cleans nothing");
    }
}
