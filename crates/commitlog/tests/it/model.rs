//! The log against a model of a few lines, under any order of operations.

use std::path::PathBuf;
use std::sync::Arc;

use base::cast;
use base::disk::MemoryDisk;
use commitlog::{Bound, Command, LogConfig, Opened, ReadRange};
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::record::Batches;

use crate::store::{By, Store, batch, read_all};

#[derive(Debug, Clone)]
enum Op {
    /// Appends these batches in one round, each with so many records and this much padding.
    Append(Vec<(usize, usize)>),
    Read {
        from: u16,
        bytes_max: usize,
    },
    Find {
        time: u16,
    },
    Truncate {
        to: u16,
    },
    AdvanceStart {
        to: u16,
    },
    Maintain,
    Close,
    Crash {
        seed: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => vec((1..5_usize, 0..80_usize), 1..4).prop_map(Op::Append),
        6 => (any::<u16>(), 0..2_000_usize)
            .prop_map(|(from, bytes_max)| Op::Read { from, bytes_max }),
        2 => any::<u16>().prop_map(|time| Op::Find { time }),
        1 => any::<u16>().prop_map(|to| Op::Truncate { to }),
        1 => any::<u16>().prop_map(|to| Op::AdvanceStart { to }),
        1 => Just(Op::Maintain),
        1 => Just(Op::Close),
        1 => any::<u64>().prop_map(|seed| Op::Crash { seed }),
    ]
}

/// What a log is: batches, a start and an end.
#[derive(Debug, Default)]
struct Model {
    /// First offset, values and time of each batch.
    batches: Vec<(i64, Vec<String>, i64)>,
    start: i64,
    end: i64,
}

impl Model {
    fn records(&self) -> Vec<(i64, String)> {
        let all = self.batches.iter().flat_map(|(base, values, _)| (*base..).zip(values.clone()));
        all.filter(|(offset, _)| *offset >= self.start).collect()
    }

    fn truncate(&mut self, to: i64) {
        if to >= self.end {
            return;
        }
        let to = to.max(self.start);
        let len = |values: &Vec<String>| cast::i64_of(values.len());
        self.batches.retain(|(base, values, _)| base + len(values) <= to);
        self.end = self.batches.last().map_or(self.end, |(base, values, _)| base + len(values));
        if self.batches.is_empty() {
            self.end = self.end.min(to);
        }
    }

    /// One of the offsets that make sense, or one that does not.
    fn pick(&self, number: u16) -> i64 {
        i64::from(number) % (self.end + 2)
    }
}

struct Subject {
    disk: MemoryDisk,
    store: Option<Store>,
    log: Option<Opened>,
    model: Model,
    written: usize,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_200,
        index_interval_bytes: 150,
        retention_ms: -1,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

impl Subject {
    fn new() -> Self {
        let (disk, model) = (MemoryDisk::new(), Model::default());
        let mut subject = Self { disk, store: None, log: None, model, written: 0 };
        subject.open();
        subject
    }

    fn open(&mut self) {
        let mut store = Store::open(Arc::new(self.disk.clone()), PathBuf::from("log"));
        assert_eq!(store.report.cuts, []);
        self.log = Some(store.log("orders-0", config()));
        self.store = Some(store);
    }

    fn act(&mut self, op: &Op) {
        let opened = self.log.clone().unwrap();
        let id = opened.id;
        let store = self.store.as_mut().unwrap();
        match op {
            Op::Append(batches) => self.append(&opened, batches),
            Op::Read { from, bytes_max } => {
                check_read(&opened, &self.model, self.model.pick(*from), *bytes_max);
            }
            Op::Find { time } => check_find(&opened, &self.model, self.model.pick(*time)),
            Op::Truncate { to } => {
                let to = self.model.pick(*to);
                store.send(Command::Truncate { id, to });
                self.model.truncate(to);
                if self.model.batches.is_empty() {
                    // Which of the offsets cut it goes on with depends on its files.
                    self.model.end = opened.reader.log_end_offset();
                    assert!(self.model.end >= self.model.start);
                }
            }
            Op::AdvanceStart { to } => {
                let to = self.model.pick(*to).min(self.model.end);
                store.send(Command::AdvanceLogStart { id, to });
                self.model.start = self.model.start.max(to);
                let start = self.model.start;
                let lives = |(base, values, _): &(i64, Vec<String>, i64)| {
                    base + cast::i64_of(values.len()) > start
                };
                self.model.batches.retain(lives);
            }
            Op::Maintain => store.send(Command::Maintain),
            Op::Close => {
                self.store.take().unwrap().close().unwrap();
                self.open();
            }
            Op::Crash { seed } => {
                drop(self.store.take());
                self.disk = self.disk.crash_image(*seed);
                self.open();
            }
        }
        self.check();
    }

    fn append(&mut self, opened: &Opened, batches: &[(usize, usize)]) {
        let store = self.store.as_mut().unwrap();
        let mut answers = Vec::new();
        for (count, padding) in batches {
            let name = |at| format!("r{}-{at}-{}", self.written, "p".repeat(*padding));
            let values: Vec<String> = (0..*count).map(name).collect();
            self.written += 1;
            let parts: Vec<&str> = values.iter().map(String::as_str).collect();
            let time = self.model.end;
            answers
                .push((store.submit(opened.id, batch(By::NOBODY, time, &parts)), self.model.end));
            self.model.batches.push((self.model.end, values, time));
            self.model.end += cast::i64_of(*count);
        }
        store.flusher.turn();
        for (answer, base_offset) in answers {
            let appended = answer.lock().unwrap().take().unwrap().unwrap();
            assert_eq!(appended.base_offset, base_offset);
        }
    }

    fn check(&self) {
        let reader = &self.log.as_ref().unwrap().reader;
        assert_eq!(reader.log_start_offset(), self.model.start);
        assert_eq!(reader.high_watermark(), self.model.end);
        assert_eq!(reader.last_stable_offset(), self.model.end);
        let found = read_all(reader, self.model.start, Bound::HighWatermark);
        assert_eq!(found, self.model.records());
    }
}

fn check_read(opened: &Opened, model: &Model, from: i64, bytes_max: usize) {
    let (at_least_one, until) = (false, Bound::HighWatermark);
    let slice = opened.reader.read(ReadRange { from, bytes_max, at_least_one, until });
    if from < model.start || from > model.end {
        assert!(slice.is_err());
        return;
    }
    let slice = slice.unwrap();
    assert!(slice.bytes <= bytes_max);
    let readable = opened.reader.readable_bytes(from, until).unwrap();
    assert!(cast::u64_of(slice.bytes) <= readable);
    assert_eq!(readable == 0, from == model.end);
    let holds =
        |(base, values, _): &&(i64, Vec<String>, i64)| base + cast::i64_of(values.len()) > from;
    let expected = model.batches.iter().find(holds).map_or(from, |batch| batch.0);
    let Some(chunk) = slice.chunks.first() else { return };
    assert_eq!(slice.base_offset, expected);
    let mut batches = Batches::new(chunk.read().unwrap());
    let first = batches.next().unwrap().unwrap();
    assert_eq!(first.header().base_offset, expected);
    let mut last = first.header().next_offset();
    for batch in batches.by_ref() {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        last = batch.header().next_offset();
    }
    let left_out = model.batches.iter().map(|batch| batch.0).find(|base| *base >= last);
    let bounds = last..=left_out.unwrap_or(model.end);
    assert!(bounds.contains(&slice.end_offset), "{} is not in {bounds:?}", slice.end_offset);
    assert_eq!(batches.remainder(), 0, "only whole batches are given");
}

fn check_find(opened: &Opened, model: &Model, time: i64) {
    let found = opened.reader.offset_for_timestamp(time).unwrap();
    let later = model.batches.iter().find(|(_, _, stamp)| *stamp >= time);
    let expected = later.map(|(base, _, stamp)| ((*base).max(model.start), *stamp));
    assert_eq!(found, expected);
    let newest = model.batches.iter().map(|(_, _, stamp)| *stamp).max();
    let max = opened.reader.max_timestamp().unwrap();
    assert_eq!(max.map(|(_, stamp)| stamp), newest);
}

/// Failures print their input; no file of them is kept in the tree.
fn config_of_cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config_of_cases(96))]

    #[test]
    fn the_log_does_what_its_model_does(ops in vec(op(), 1..40)) {
        let mut subject = Subject::new();
        for op in &ops {
            subject.act(op);
        }
    }
}
