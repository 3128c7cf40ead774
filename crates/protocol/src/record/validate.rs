//! What a broker checks before it appends a batch.

use super::iter::raw_record;
use super::varint::Cursor;
use super::{Batch, RecordError};

/// The timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;

/// What the records of a sound batch say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFacts {
    /// Records in the batch, at least 1.
    pub record_count: i32,
    /// Largest timestamp found, ms since 1970; -1 when no record has one. It may differ from
    /// the header's, which then is to be corrected.
    pub max_timestamp: i64,
    /// How far behind the base offset the first record with that timestamp lies.
    pub max_timestamp_offset_delta: i32,
    /// Smallest timestamp among the records that have one; -1 when none has.
    pub min_timestamp: i64,
    /// How far behind the base offset the first record with that timestamp lies.
    pub min_timestamp_offset_delta: i32,
    /// Bytes of the record section, decompressed.
    pub plain_bytes: usize,
}

impl RecordFacts {
    /// Offset of the first record with the largest timestamp, once the base offset is known.
    #[must_use]
    pub fn max_timestamp_offset(&self, base_offset: i64) -> i64 {
        base_offset.saturating_add(i64::from(self.max_timestamp_offset_delta))
    }
}

/// Checks the checksum, that offsets count 0, 1, 2, .. up to what the header says, that every
/// record is whole and nothing follows, and that keys are there when `keys_required`.
///
/// Decompresses at most `decompressed_bytes_max` bytes. Allocates nothing otherwise.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate_records(
    batch: &Batch,
    keys_required: bool,
    decompressed_bytes_max: usize,
) -> Result<RecordFacts, RecordError> {
    batch.verify_crc()?;
    let header = batch.header();
    if header.record_count == 0 {
        return Err(RecordError::EmptyBatch);
    }
    if i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
        return Err(RecordError::CountMismatch {
            record_count: header.record_count,
            last_offset_delta: header.last_offset_delta,
        });
    }
    let decoded = batch.decode(decompressed_bytes_max)?;
    let mut cursor = Cursor::new(decoded.records());
    let (mut max_timestamp, mut max_index) = (i64::MIN, 0);
    let (mut min_timestamp, mut min_index) = (i64::MAX, 0);
    for index in 0..header.record_count {
        let record = raw_record(&mut cursor)?;
        if record.offset_delta != index {
            let found = record.offset_delta;
            return Err(RecordError::OffsetOrder { expected: index, found });
        }
        if keys_required && record.key.is_none() {
            return Err(RecordError::KeyMissing { index });
        }
        let timestamp = header.base_timestamp.wrapping_add(record.timestamp_delta);
        if timestamp > max_timestamp {
            max_timestamp = timestamp;
            max_index = index;
        }
        if timestamp < min_timestamp && timestamp != NO_TIMESTAMP {
            min_timestamp = timestamp;
            min_index = index;
        }
    }
    if cursor.remaining() > 0 {
        return Err(RecordError::TrailingBytes(cursor.remaining()));
    }
    if header.is_log_append_time() {
        (max_timestamp, max_index) = (header.max_timestamp, 0);
        (min_timestamp, min_index) = (header.max_timestamp, 0);
    }
    if min_timestamp == i64::MAX {
        min_timestamp = NO_TIMESTAMP;
    }
    Ok(RecordFacts {
        record_count: header.record_count,
        max_timestamp: max_timestamp.max(NO_TIMESTAMP),
        max_timestamp_offset_delta: max_index,
        min_timestamp,
        min_timestamp_offset_delta: min_index,
        plain_bytes: decoded.records().len(),
    })
}
