//! Whatever goes into a batch comes out of it, for every compression.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use protocol::record::{
    Batch, BatchBuilder, BatchOptions, Batches, Compression, HeaderRef, ProducerIdentity,
    RecordError, record_bytes_max, rewrite_producer, stamp, stamp_append_time, validate_records,
};

const PLAIN_BYTES_MAX: usize = 1 << 24;

type Bin = Vec<u8>;

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Bin>,
    value: Option<Bin>,
    headers: Vec<(Bin, Option<Bin>)>,
}

impl Owned {
    fn headers(&self) -> Vec<HeaderRef<'_>> {
        self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect()
    }
}

fn bin(bytes_max: usize) -> impl Strategy<Value = Bin> {
    vec(any::<u8>(), 0..bytes_max)
}

fn record() -> impl Strategy<Value = Owned> {
    let timestamp = prop_oneof![any::<i64>(), -1..2_i64, 1_700_000_000_000..1_700_000_010_000_i64];
    let headers = vec((bin(8), of(bin(40))), 0..4);
    (timestamp, of(bin(100)), of(bin(300)), headers)
        .prop_map(|(timestamp, key, value, headers)| Owned { timestamp, key, value, headers })
}

fn compression() -> impl Strategy<Value = Compression> {
    prop::sample::select(&Compression::ALL[..])
}

fn build(records: &[Owned], options: BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (count, record) in records.iter().enumerate() {
        assert_eq!(builder.record_count(), count);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let before = builder.bytes_len();
        builder.append(record.timestamp, key, value, &record.headers());
        let grown = builder.bytes_len() - before;
        assert!(grown <= record_bytes_max(key, value, &record.headers()));
    }
    builder.build().unwrap()
}

fn read(batch: &Batch) -> Vec<Owned> {
    let base = batch.header().base_offset;
    let decoded = batch.decode(PLAIN_BYTES_MAX).unwrap();
    let own = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
    (base..)
        .zip(&decoded)
        .map(|(offset, record)| {
            let record = record.unwrap();
            assert_eq!(record.offset, offset);
            assert_eq!(record.headers.iter().len(), record.headers.len());
            if let Some(value) = record.value {
                assert_eq!(decoded.slice_ref(value), value);
            }
            Owned {
                timestamp: record.timestamp,
                key: own(record.key),
                value: own(record.value),
                headers: record.headers.iter().map(|(n, v)| (n.to_vec(), own(v))).collect(),
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_goes_in_comes_out(
        records in vec(record(), 1..40),
        compression in compression(),
        capacity in 0..4_096_usize,
        base_offset in 0..i64::MAX - 100,
    ) {
        let bytes = build(&records, BatchOptions { compression, capacity, ..Default::default() });
        let mut stamped = bytes.to_vec();
        stamp(&mut stamped, base_offset, 12);
        let batch = Batch::parse(&Bytes::from(stamped)).unwrap();
        prop_assert_eq!(batch.header().compression(), Ok(compression));
        prop_assert_eq!(batch.header().base_offset, base_offset);
        prop_assert_eq!(batch.header().partition_leader_epoch, 12);
        prop_assert_eq!(read(&batch), &records[..]);
        let facts = validate_records(&batch, false, PLAIN_BYTES_MAX).unwrap();
        let latest = records.iter().map(|record| record.timestamp).max().unwrap();
        prop_assert_eq!(facts.max_timestamp, latest.max(-1));
        let timed = records.iter().zip(0..).filter(|(record, _)| record.timestamp != -1);
        let earliest = timed.min_by_key(|(record, _)| record.timestamp);
        let earliest = earliest.map_or((-1, 0), |(record, index)| (record.timestamp, index));
        prop_assert_eq!((facts.min_timestamp, facts.min_timestamp_offset_delta), earliest);
        prop_assert_eq!(batch.header().max_timestamp, latest);
    }

    #[test]
    fn several_batches_are_walked_and_a_cut_tail_ends_quietly(
        groups in vec((vec(record(), 1..5), compression()), 1..5),
        cut in 0..200_usize,
    ) {
        let parts: Vec<Bytes> = groups
            .iter()
            .map(|(records, compression)| {
                build(records, BatchOptions { compression: *compression, ..Default::default() })
            })
            .collect();
        let whole = parts.concat();
        let end = whole.len().saturating_sub(cut);
        let mut batches = Batches::new(Bytes::from(whole).slice(..end));
        let mut covered = 0;
        for (batch, part) in (&mut batches).zip(&parts) {
            let batch = batch.unwrap();
            prop_assert_eq!(batch.bytes(), part);
            covered += part.len();
        }
        prop_assert!(batches.next().is_none());
        prop_assert_eq!(batches.remainder(), end - covered);
    }

    #[test]
    fn a_forwarded_batch_keeps_its_records(
        records in vec(record(), 1..10),
        compression in compression(),
        id in 0..i64::MAX,
        epoch in 0..i16::MAX,
        base_sequence in 0..i32::MAX,
        transactional: bool,
    ) {
        let producer = ProducerIdentity { id, epoch };
        let mut bytes =
            build(&records, BatchOptions { compression, ..Default::default() }).to_vec();
        rewrite_producer(&mut bytes, producer, base_sequence, transactional);
        let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
        batch.verify_crc().unwrap();
        prop_assert_eq!(batch.header().producer(), producer);
        prop_assert_eq!(batch.header().base_sequence, base_sequence);
        prop_assert_eq!(batch.header().is_transactional(), transactional);
        prop_assert_eq!(read(&batch), &records[..]);
        let built = build(&records, BatchOptions {
            compression, producer, base_sequence, transactional, capacity: 64,
        });
        prop_assert_eq!(batch.bytes(), &built);
    }
}

#[test]
fn the_logs_time_is_every_records_time() {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(5, Some(b"k"), None, &[]);
    builder.append(9, Some(b"k"), None, &[]);
    let mut bytes = builder.build().unwrap().to_vec();
    stamp_append_time(&mut bytes, 1_000);
    let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
    let facts = validate_records(&batch, true, 0).unwrap();
    assert_eq!((facts.max_timestamp, facts.max_timestamp_offset_delta), (1_000, 0));
    assert_eq!((facts.min_timestamp, facts.min_timestamp_offset_delta), (1_000, 0));
    for record in &batch.decode(0).unwrap() {
        assert_eq!(record.unwrap().timestamp, 1_000);
    }
}

#[test]
fn the_first_record_of_the_largest_and_of_the_smallest_timestamp_is_named() {
    let facts = |timestamps: &[i64]| {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for timestamp in timestamps {
            builder.append(*timestamp, None, None, &[]);
        }
        let batch = Batch::parse(&builder.build().unwrap()).unwrap();
        validate_records(&batch, false, 0).unwrap()
    };
    let found = facts(&[3, 8, -1, 8, 1, 1]);
    assert_eq!((found.max_timestamp, found.max_timestamp_offset(100)), (8, 101));
    assert_eq!((found.min_timestamp, found.min_timestamp_offset_delta), (1, 4));
    let without = facts(&[-1, -1]);
    assert_eq!((without.max_timestamp, without.min_timestamp), (-1, -1));
}

#[test]
fn an_empty_builder_builds_nothing() {
    for compression in Compression::ALL {
        let options = BatchOptions { compression, ..Default::default() };
        assert_eq!(BatchBuilder::new(options).build(), Err(RecordError::EmptyBatch));
    }
}

#[test]
fn a_reset_builder_starts_anew() {
    let options = BatchOptions { capacity: 4_096, ..Default::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(50, Some(b"long key of the first batch"), Some(&[1; 2_000]), &[]);
    let first = builder.build_and_reset().unwrap();
    assert!(builder.is_empty());
    builder.append(7, Some(b"k"), Some(b"v"), &[(b"h", None)]);
    let second = builder.build_and_reset().unwrap();
    let mut fresh = BatchBuilder::new(options);
    fresh.append(7, Some(b"k"), Some(b"v"), &[(b"h", None)]);
    assert_eq!(second, fresh.build().unwrap());
    assert!(Batch::parse(&first).unwrap().verify_crc().is_ok());
}
