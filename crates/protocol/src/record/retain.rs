//! What a log cleaner leaves of a batch: fewer records at their old offsets.
//!
//! Base offset, last offset and base timestamp stay, so the bytes of a kept record stay as well
//! and are copied as they lie; only the header and the compression are made anew. A delete horizon
//! takes the place of the base timestamp, so there the records' time deltas are made anew too.

use base::cast;
use bytes::Bytes;

use super::batch::stated_length;
use super::builder::seal;
use super::header::{COMPRESSION_MASK, DELETE_HORIZON_FLAG};
use super::limits::{VARINT_BYTES_MAX, VARLONG_BYTES_MAX};
use super::varint::{Cursor, put, raw_bytes, zigzag};
use super::{BATCH_HEADER_BYTES, Batch, BatchHeader, Record, RecordError};

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retained {
    /// Every record was kept: the batch can stay as it is.
    All,
    /// Some were kept: the smaller batch.
    Some(Bytes),
    /// None was kept. [`empty_batch`] is what stays where a producer's sequence must be
    /// remembered.
    None,
}

/// Keeps the records of `batch` that `keep` wants; decompresses `decompressed_bytes_max` at most.
///
/// # Errors
/// What is wrong with the batch's records; nothing is lost then but the call.
pub fn retain_records(
    batch: &Batch,
    decompressed_bytes_max: usize,
    mut keep: impl FnMut(&Record<'_>) -> bool,
) -> Result<Retained, RecordError> {
    let header = *batch.header();
    let decoded = batch.decode(decompressed_bytes_max)?;
    let mut cursor = Cursor::new(decoded.records());
    let mut plain = Vec::new();
    let mut kept = 0_i32;
    let mut max_timestamp = i64::MIN;
    for record in &decoded {
        let record = record?;
        let bytes = cursor.record_bytes()?;
        if keep(&record) {
            plain.extend_from_slice(bytes);
            kept += 1;
            max_timestamp = max_timestamp.max(record.timestamp);
        }
    }
    if kept == header.record_count {
        return Ok(Retained::All);
    }
    if kept == 0 {
        return Ok(Retained::None);
    }
    let codec = header.compression()?;
    let mut out = [0; BATCH_HEADER_BYTES].to_vec();
    codec.compress(&plain, &mut out)?;
    let batch_length = stated_length(out.len())?;
    seal(&mut out, &BatchHeader { batch_length, record_count: kept, max_timestamp, ..header });
    Ok(Retained::Some(Bytes::from(out)))
}

/// The batch without records that remembers the offsets and the producer of `header`.
#[must_use]
pub fn empty_batch(header: &BatchHeader) -> Bytes {
    let mut out = [0; BATCH_HEADER_BYTES].to_vec();
    let batch_length = stated_length(out.len()).expect("a header is far below the limit");
    let attributes = header.attributes & !(COMPRESSION_MASK | DELETE_HORIZON_FLAG);
    // Without records there is nothing that a base could be the base of.
    let (base_timestamp, record_count) = (-1, 0);
    let emptied = BatchHeader { batch_length, attributes, base_timestamp, record_count, ..*header };
    seal(&mut out, &emptied);
    Bytes::from(out)
}

/// The batch with the time (ms since 1970) from which on its deletions, or its marker, may go.
///
/// # Errors
/// What is wrong with the batch's records.
pub fn set_delete_horizon(
    batch: &Batch,
    decompressed_bytes_max: usize,
    horizon_ms: i64,
) -> Result<Bytes, RecordError> {
    let header = *batch.header();
    let decoded = batch.decode(decompressed_bytes_max)?;
    let mut cursor = Cursor::new(decoded.records());
    let mut plain = Vec::new();
    for record in &decoded {
        let timestamp = record?.timestamp;
        rebase(cursor.record_bytes()?, timestamp.wrapping_sub(horizon_ms), &mut plain)?;
    }
    let codec = header.compression()?;
    let mut out = [0; BATCH_HEADER_BYTES].to_vec();
    codec.compress(&plain, &mut out)?;
    let batch_length = stated_length(out.len())?;
    let attributes = header.attributes | DELETE_HORIZON_FLAG;
    let base_timestamp = horizon_ms;
    seal(&mut out, &BatchHeader { batch_length, attributes, base_timestamp, ..header });
    Ok(Bytes::from(out))
}

/// Copies a record with another time delta.
fn rebase(record: &[u8], timestamp_delta: i64, out: &mut Vec<u8>) -> Result<(), RecordError> {
    let mut body = Cursor::new(record);
    body.varint()?;
    let attributes = body.byte()?;
    body.varlong()?;
    let rest = body.rest();
    let delta = zigzag(timestamp_delta);
    let mut head = [0; VARINT_BYTES_MAX + 1 + VARLONG_BYTES_MAX];
    let mut at = 0;
    put(&mut head, &mut at, zigzag(cast::i64_of(1 + raw_bytes(delta) + rest.len())));
    head[at] = attributes;
    at += 1;
    put(&mut head, &mut at, delta);
    out.extend_from_slice(&head[..at]);
    out.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{BatchBuilder, BatchOptions, Compression, stamp};

    fn batch(compression: Compression) -> Batch {
        let mut builder = BatchBuilder::new(BatchOptions { compression, ..Default::default() });
        for (index, key) in (0..).zip([b"a", b"b", b"a", b"c", b"a"]) {
            builder.append(100 - index, Some(key), Some(b"value"), &[(b"h", None)]);
        }
        let mut bytes = builder.build().unwrap().to_vec();
        stamp(&mut bytes, 40, 2);
        Batch::parse(&Bytes::from(bytes)).unwrap()
    }

    #[test]
    fn kept_records_keep_their_offsets() {
        for compression in Compression::ALL {
            let retained =
                retain_records(&batch(compression), 1_000, |record| record.key != Some(b"a"));
            let Ok(Retained::Some(bytes)) = retained else { panic!("{retained:?}") };
            let left = Batch::parse(&bytes).unwrap();
            left.verify_crc().unwrap();
            assert_eq!((left.header().base_offset, left.header().last_offset()), (40, 44));
            assert_eq!((left.header().record_count, left.header().max_timestamp), (2, 99));
            let decoded = left.decode(1_000).unwrap();
            let seen: Vec<_> = decoded
                .iter()
                .map(Result::unwrap)
                .map(|record| (record.offset, record.timestamp, record.headers.len()))
                .collect();
            assert_eq!(seen, [(41, 99, 1), (43, 97, 1)]);
        }
    }

    #[test]
    fn all_and_none_are_told_apart() {
        let batch = batch(Compression::Lz4);
        assert_eq!(retain_records(&batch, 1_000, |_| true), Ok(Retained::All));
        assert_eq!(retain_records(&batch, 1_000, |_| false), Ok(Retained::None));
        let empty = Batch::parse(&empty_batch(batch.header())).unwrap();
        empty.verify_crc().unwrap();
        assert_eq!(empty.header().last_offset(), 44);
        assert_eq!(empty.decode(0).unwrap().iter().count(), 0);
    }

    #[test]
    fn a_delete_horizon_changes_nothing_that_a_reader_sees() {
        for compression in Compression::ALL {
            let old = batch(compression);
            let horizon = 1_900_000_000_000;
            let bytes = set_delete_horizon(&old, 1_000, horizon).unwrap();
            let new = Batch::parse(&bytes).unwrap();
            new.verify_crc().unwrap();
            assert_eq!(new.header().delete_horizon(), Some(horizon));
            assert_eq!(new.header().max_timestamp, old.header().max_timestamp);
            assert_eq!(new.header().last_offset(), old.header().last_offset());
            let seen = |batch: &Batch| -> Vec<String> {
                let decoded = batch.decode(1_000).unwrap();
                decoded.iter().map(|record| format!("{:?}", record.unwrap())).collect()
            };
            assert_eq!(seen(&new), seen(&old));
            // A later cleaning leaves the horizon where it is.
            let retained = retain_records(&new, 1_000, |record| record.key == Some(b"b"));
            let Ok(Retained::Some(bytes)) = retained else { panic!("{retained:?}") };
            let left = Batch::parse(&bytes).unwrap();
            assert_eq!(left.header().delete_horizon(), Some(horizon));
            assert_eq!(seen(&left), seen(&old)[1..2]);
            let empty = Batch::parse(&empty_batch(new.header())).unwrap();
            assert_eq!(empty.header().delete_horizon(), None);
        }
    }
}
