//! Bytes that mean harm: cut, flipped, inflated. Nothing may panic, and what comes out stays
//! within the limits that the reader set.

use base::cast;
use base::rng::{Random, SeededRandom};
use bytes::Bytes;
use protocol::record::{
    Batch, BatchBuilder, BatchHeader, BatchOptions, Batches, Compression, RecordError,
    validate_records,
};

use crate::golden::{FILES, PLAIN_BYTES_MAX, bytes_of};

/// A batch around `records`, with a true checksum whatever else is wrong.
fn wrap(records: &[u8], change: impl Fn(&mut BatchHeader)) -> Batch {
    let mut header = BatchHeader {
        base_offset: 0,
        batch_length: cast::i32_of(49 + records.len()),
        partition_leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: 0,
        last_offset_delta: 0,
        base_timestamp: 0,
        max_timestamp: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 1,
    };
    change(&mut header);
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(records);
    resum(&mut bytes);
    Batch::parse(&Bytes::from(bytes)).unwrap()
}

fn resum(batch: &mut [u8]) {
    if let Some((front, summed)) = batch.split_at_mut_checked(21) {
        front[17..].copy_from_slice(&crc32c::crc32c(summed).to_be_bytes());
    }
}

fn refusal(records: &[u8]) -> RecordError {
    let batch = wrap(records, |_| {});
    let found = validate_records(&batch, false, 1_000).unwrap_err();
    let walked = batch.decode(1_000).unwrap().iter().find_map(Result::err);
    assert_eq!(walked, Some(found), "both ways of reading agree");
    found
}

/// Reads everything that can be read and checks that it stays within bounds.
fn devour(bytes: &Bytes, bytes_max: usize) {
    let mut covered = 0;
    let mut batches = Batches::new(bytes.clone());
    for batch in &mut batches {
        let Ok(batch) = batch else { continue };
        covered += batch.bytes().len();
        let facts = validate_records(&batch, true, bytes_max);
        assert!(facts.is_err() || batch.verify_crc().is_ok());
        let Ok(decoded) = batch.decode(bytes_max) else { continue };
        let plain = decoded.records().len();
        assert!(plain <= bytes_max.max(batch.bytes().len()), "the limit held");
        let mut yielded = 0;
        for record in &decoded {
            let Ok(record) = record else { continue };
            yielded += 1;
            let headers: usize =
                record.headers.iter().map(|(n, v)| n.len() + v.map_or(0, <[u8]>::len)).sum();
            let parts = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            assert!(headers + parts <= plain, "a record lies within its batch");
            assert!(record.headers.len() <= plain / 2);
        }
        assert!(yielded <= plain / 7 + 1, "a record has seven bytes at least");
    }
    assert!(covered + batches.remainder() == bytes.len());
}

#[test]
fn every_cut_of_every_golden_batch_is_noticed() {
    for (name, text) in FILES {
        let whole = Batch::parse(&bytes_of(text)).unwrap();
        let whole = whole.bytes();
        // The large ones are cut everywhere in front and sparsely behind.
        let step = |at: usize| if at < 200 { 1 } else { 97 };
        let mut end = 0;
        while end < whole.len() {
            let part = whole.slice(..end);
            assert_eq!(Batch::parse(&part).err(), Some(RecordError::Truncated), "{name} {end}");
            // The same cut with a length that owns up to it: the records are what is short.
            if end >= 61 {
                let mut bytes = part.to_vec();
                bytes[8..12].copy_from_slice(&cast::i32_of(end - 12).to_be_bytes());
                resum(&mut bytes);
                let batch = Batch::parse(&Bytes::from(bytes)).unwrap();
                let refused = validate_records(&batch, false, PLAIN_BYTES_MAX);
                let whole_anyway =
                    refused.is_ok_and(|_| batch.header().compression() != Ok(Compression::None));
                assert!(refused.is_err() || whole_anyway, "{name} {end}");
            }
            end += step(end);
        }
    }
}

#[test]
fn lies_inside_of_a_record_are_named() {
    // A sound record first: length, attributes, deltas, null key, null value, no headers.
    let sound = [0x0c, 0, 0, 0, 1, 1, 0];
    assert!(validate_records(&wrap(&sound, |_| {}), false, 0).is_ok());
    assert_eq!(refusal(&[]), RecordError::Truncated);
    assert_eq!(refusal(&[0x0c, 0, 0]), RecordError::Truncated);
    assert_eq!(refusal(&[0x01]), RecordError::RecordLength(-1));
    assert_eq!(refusal(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), RecordError::Truncated);
    assert_eq!(refusal(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), RecordError::Varint);
    assert_eq!(refusal(&[0x0c, 0, 0, 0, 3, 1, 0]), RecordError::RecordLength(-2));
    assert_eq!(refusal(&[0x0c, 0, 0, 0, 8, 1, 0]), RecordError::RecordEnd);
    assert_eq!(refusal(&[0x0e, 0, 0, 0, 1, 1, 0, 9]), RecordError::RecordEnd);
    assert_eq!(refusal(&[0x0a, 0, 0, 0, 1, 1, 0]), RecordError::RecordEnd);
    assert_eq!(refusal(&[0x0c, 0, 0, 0, 1, 1, 1]), RecordError::HeaderCount(-1));
    assert_eq!(refusal(&[0x10, 0, 0, 0, 1, 1, 0x7e, 0, 1]), RecordError::HeaderCount(63));
    assert_eq!(refusal(&[0x10, 0, 0, 0, 1, 1, 2, 1, 1]), RecordError::RecordLength(-1));
    assert_eq!(refusal(&[0x12, 0, 0, 0, 1, 1, 2, 0, 0, 7]), RecordError::RecordEnd);
    assert_eq!(refusal(&[0x0c, 0, 0, 0, 1, 1, 0, 0]), RecordError::TrailingBytes(1));
}

#[test]
fn counts_and_offsets_that_contradict_the_records_are_refused() {
    let second = [0x0c, 0, 0, 2, 1, 1, 0];
    let refused = validate_records(&wrap(&second, |_| {}), false, 0);
    assert_eq!(refused, Err(RecordError::OffsetOrder { expected: 0, found: 1 }));
    let walked = wrap(&second, |_| {}).decode(0).unwrap().iter().next().unwrap().err();
    assert_eq!(walked, Some(RecordError::OffsetDelta(1)));
    let many = wrap(&[0x0c, 0, 0, 0, 1, 1, 0], |header| {
        header.record_count = i32::MAX;
        header.last_offset_delta = i32::MAX - 1;
    });
    let refused = validate_records(&many, false, 0);
    assert_eq!(refused, Err(RecordError::Truncated));
    let decoded = many.decode(0).unwrap();
    assert!(decoded.iter().size_hint().1.is_some_and(|hint| hint < 10), "counts reserve nothing");
    assert_eq!(decoded.iter().filter(Result::is_ok).count(), 1);
    let none = wrap(&[], |header| header.record_count = 0);
    assert_eq!(validate_records(&none, false, 0), Err(RecordError::EmptyBatch));
    let odd = wrap(&[0x0c, 0, 0, 0, 1, 1, 0], |header| header.last_offset_delta = 5);
    let refused = validate_records(&odd, false, 0);
    assert_eq!(refused, Err(RecordError::CountMismatch { record_count: 1, last_offset_delta: 5 }));
}

#[test]
fn a_flipped_bit_behind_the_checksum_is_noticed() {
    let batch = Batch::parse(&bytes_of(FILES[0].1)).unwrap();
    for at in 21..batch.bytes().len() {
        for bit in 0..8 {
            let mut bytes = batch.bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let Ok(flipped) = Batch::parse(&Bytes::from(bytes)) else { continue };
            assert!(matches!(flipped.verify_crc(), Err(RecordError::Crc { .. })));
        }
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeroes = vec![0; 64 << 20];
    let bytes_max = 1 << 20;
    for codec in &Compression::ALL[1..] {
        let mut packed = Vec::new();
        codec.compress(&zeroes, &mut packed).unwrap();
        let batch = wrap(&packed, |header| header.attributes = codec.bits());
        let refused = batch.decode(bytes_max).err();
        assert_eq!(refused, Some(RecordError::DecompressedTooLarge { bytes_max }), "{codec}");
    }
}

#[test]
fn unknown_compression_is_refused_and_not_guessed() {
    for bits in 5..8 {
        let batch = wrap(&[0x0c, 0, 0, 0, 1, 1, 0], |header| header.attributes = bits);
        let expected = RecordError::UnsupportedCompression(u8::try_from(bits).unwrap());
        assert_eq!(batch.decode(100).err(), Some(expected));
        assert_eq!(validate_records(&batch, false, 100), Err(expected));
    }
}

#[test]
fn random_damage_never_panics_and_never_escapes_the_limits() {
    let seed = 0x6d69_6c6c;
    println!("seed {seed:#x}");
    let rng = SeededRandom::new(seed);
    let goldens: Vec<Bytes> =
        FILES.iter().map(|(_, text)| bytes_of(text)).filter(|bytes| bytes.len() < 2_000).collect();
    for round in 0..30_000_usize {
        let mut bytes = goldens[round % goldens.len()].to_vec();
        for _ in 0..=rng.below(4) {
            mutate(&mut bytes, &rng);
        }
        // Most rounds get past the checksum, or only it would be tested.
        if round % 4 != 0 {
            resum(&mut bytes);
        }
        devour(&Bytes::from(bytes), 64 * 1024);
    }
}

fn mutate(bytes: &mut Vec<u8>, rng: &SeededRandom) {
    if bytes.is_empty() {
        return;
    }
    let at = cast::usize_of(rng.below(cast::u64_of(bytes.len())));
    match rng.below(6) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = cast::low_u8(rng.next_u64()),
        2 => bytes.truncate(at),
        3 => drop(bytes.remove(at)),
        4 => bytes.insert(at, 0xff),
        _ => {
            let end = (at + 8).min(bytes.len());
            bytes[at..end].fill(cast::low_u8(rng.next_u64()));
        }
    }
}

#[test]
fn random_damage_inside_of_compressed_sections_stays_bounded() {
    let seed = 0x7374_7265_616d;
    println!("seed {seed:#x}");
    let rng = SeededRandom::new(seed);
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for index in 0..50 {
        builder.append(index, Some(b"key"), Some(&[7; 40]), &[(b"h", Some(b"v"))]);
    }
    let plain = Batch::parse(&builder.build().unwrap()).unwrap().decode(0).unwrap();
    for round in 0..8_000_usize {
        let codec = Compression::ALL[1 + round % 4];
        let mut packed = Vec::new();
        codec.compress(plain.records(), &mut packed).unwrap();
        for _ in 0..=rng.below(3) {
            mutate(&mut packed, &rng);
        }
        let out = codec.decompress(&Bytes::from(packed), 10_000);
        assert!(out.is_err() || out.unwrap().len() <= 10_000);
    }
}
