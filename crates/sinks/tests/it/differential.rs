//! `SQLite` beside the sink in memory: the same calls, the same answers, the same rows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pipeline::sink::memory::MemoryStore;
use pipeline::sink::{Cell, Claim, Position, Sink, SinkRecord};
use proptest::prelude::*;
use sinks::sqlite::{SqliteOptions, SqliteSink};

/// One call, made on both sinks.
#[derive(Debug, Clone)]
enum Call {
    /// A new process takes over these partitions; the holder before it lives on as a zombie.
    Open { partitions: Vec<i32> },
    /// The holder writes so many records, from so many offsets before or at its position.
    Write { partition: i32, back: i64, values: Vec<(u8, Option<String>)> },
    /// The holder before the last one tries to write.
    ZombieWrites { partition: i32 },
}

fn value() -> impl Strategy<Value = Option<String>> {
    let field = prop_oneof![
        Just(("n", "1".to_owned())),
        any::<i32>().prop_map(|n| ("n", n.to_string())),
        (1..1_000).prop_map(|n| ("x", format!("{n}.5"))),
        Just(("t\u{fc}r \"x\"", "\"o'clock \u{1f600}\"".to_owned())),
        Just(("deep", "{\"a\":[1,null]}".to_owned())),
        Just(("gone", "null".to_owned())),
        Just(("flag", "true".to_owned())),
        any::<u8>().prop_map(|n| ("late", format!("\"w{n}\""))),
    ];
    let object = prop::collection::btree_map(field.clone().prop_map(|(name, _)| name), field, 0..5)
        .prop_map(|fields| {
            let unique: BTreeMap<&str, String> = fields.into_values().collect();
            let fields: Vec<String> = unique
                .iter()
                .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(*name)))
                .collect();
            Some(format!("{{{}}}", fields.join(",")))
        });
    prop_oneof![
        8 => object,
        2 => any::<i16>().prop_map(|n| Some(n.to_string())),
        2 => Just(None),
        1 => Just(Some("{\"broken\":".to_owned())),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let partitions = prop::sample::subsequence(vec![0, 1], 1..=2)
        .prop_map(|partitions| Call::Open { partitions });
    let values = prop::collection::vec((0..4_u8, value()), 0..6);
    let write = (0..2_i32, 0..3_i64, values).prop_map(|(partition, back, values)| Call::Write {
        partition,
        back,
        values,
    });
    prop_oneof![
        2 => partitions,
        8 => write,
        1 => (0..2_i32).prop_map(|partition| Call::ZombieWrites { partition }),
    ]
}

fn topic() -> Arc<str> {
    Arc::from("t")
}

fn records(partition: i32, from: i64, values: &[(u8, Option<String>)]) -> Vec<SinkRecord> {
    let record = |(offset, (key, value)): (i64, &(u8, Option<String>))| SinkRecord {
        topic: topic(),
        partition,
        offset,
        timestamp_ms: 0,
        // A key belongs to one partition, as in a real topic.
        key: Some(Bytes::from(format!("p{partition}-k{key}"))),
        value: value.as_ref().map(|value| Bytes::from(value.clone())),
    };
    (from..).zip(values).map(record).collect()
}

fn rows(sink: &mut dyn Sink) -> Vec<BTreeMap<String, Cell>> {
    let mut rows = Vec::new();
    for table in sink.preview(usize::MAX).expect("the table can be read") {
        for cells in table.rows {
            let pairs = table.columns.iter().cloned().zip(cells);
            rows.push(pairs.filter(|(_, cell)| *cell != Cell::Null).collect());
        }
    }
    rows.sort_by_key(|row: &BTreeMap<String, Cell>| format!("{row:?}"));
    rows
}

/// A holder of each database.
type Holders = (Box<dyn Sink>, Box<dyn Sink>);

/// Two databases that see the same calls.
struct Pair {
    make: Box<dyn Fn() -> Holders>,
    holders: Vec<Holders>,
    positions: BTreeMap<i32, i64>,
}

impl Pair {
    fn play(&mut self, call: &Call) -> Result<(), TestCaseError> {
        match call {
            Call::Open { partitions } => self.open(partitions),
            Call::Write { partition, back, values } => {
                self.write(self.holders.len() - 1, *partition, *back, values)
            }
            Call::ZombieWrites { partition } if self.holders.len() > 1 => {
                let zombie = self.holders.len() - 2;
                self.write(zombie, *partition, 0, &[(0, Some("1".to_owned()))])
            }
            Call::ZombieWrites { .. } => Ok(()),
        }
    }

    fn open(&mut self, partitions: &[i32]) -> Result<(), TestCaseError> {
        let claim = Claim {
            pipeline: "p".to_owned(),
            sink: "s".to_owned(),
            topic: topic(),
            partitions: partitions.to_vec(),
        };
        let (mut one, mut other): Holders = (self.make)();
        let opened = one.open(&claim).expect("a claim is granted");
        let same = other.open(&claim).expect("a claim is granted");
        prop_assert_eq!(&opened.epoch, &same.epoch);
        prop_assert_eq!(opened.positions, same.positions);
        self.holders.push((one, other));
        Ok(())
    }

    fn write(
        &mut self,
        holder: usize,
        partition: i32,
        back: i64,
        values: &[(u8, Option<String>)],
    ) -> Result<(), TestCaseError> {
        let held = self.positions.get(&partition).copied().unwrap_or(0);
        let from = (held - back).max(0);
        let batch = records(partition, from, values);
        let next_offset = from + i64::try_from(values.len()).expect("few values");
        let position = [Position { topic: topic(), partition, next_offset }];
        let (one, other) = &mut self.holders[holder];
        let result = one.write(&batch, &position);
        let same = other.write(&batch, &position);
        match (result, same) {
            (Ok(written), Ok(same)) => {
                prop_assert_eq!(written, same);
                self.positions.insert(partition, held.max(next_offset));
            }
            (Err(error), Err(same)) => prop_assert_eq!(error.to_string(), same.to_string()),
            (result, same) => prop_assert!(false, "{result:?} is not {same:?}"),
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_give_the_rows_of_the_sink_in_memory(
        calls in prop::collection::vec(call(), 1..25),
        seed in any::<u64>(),
    ) {
        let name = format!("differential-{}-{seed}.db", std::process::id());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let (store, path) = (MemoryStore::default(), file.clone());
        let mut pair = Pair {
            make: Box::new(move || {
                let options = SqliteOptions::new(&path, "rows");
                let sqlite = SqliteSink::new(options).expect("the options are fine");
                (Box::new(sqlite), Box::new(store.sink(&["key"])))
            }),
            holders: Vec::new(),
            positions: BTreeMap::new(),
        };
        pair.open(&[0, 1])?;
        let result = calls.iter().try_for_each(|call| pair.play(call));
        let (one, other) = pair.holders.last_mut().expect("one was opened");
        let (found, expected) = (rows(&mut **one), rows(&mut **other));
        drop(pair);
        std::fs::remove_file(&file).expect("the file is closed and can go");
        result?;
        prop_assert_eq!(found, expected);
    }
}
