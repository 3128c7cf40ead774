//! Changes to a finished batch: what a log or a forwarding client writes into its header.
//!
//! All of these take a whole batch that was parsed before; a shorter slice is our own mistake.

use super::header::{
    APPEND_TIME_FLAG, ATTRIBUTES_AT, BASE_SEQUENCE_AT, CRC_AT, LEADER_EPOCH_AT, MAGIC_AT,
    MAX_TIMESTAMP_AT, PRODUCER_EPOCH_AT, PRODUCER_ID_AT, TRANSACTIONAL_FLAG, array,
};
use super::{BATCH_HEADER_BYTES, BatchHeader, ProducerIdentity};

/// Writes the place that the log gave to the batch. The checksum starts behind these fields.
///
/// # Panics
/// When `batch` is shorter than a header.
pub fn stamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    assert!(batch.len() >= BATCH_HEADER_BYTES, "a batch is at least its header");
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Gives all records of the batch the log's own `timestamp` (ms since 1970): `LogAppendTime`.
/// Computes the checksum anew.
///
/// # Panics
/// When `batch` is not exactly one whole batch.
pub fn stamp_append_time(batch: &mut [u8], timestamp: i64) {
    let attributes = attributes(batch) | APPEND_TIME_FLAG;
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    stamp_max_timestamp(batch, timestamp);
}

/// Corrects the header's largest timestamp (ms since 1970) and computes the checksum anew.
///
/// # Panics
/// When `batch` is not exactly one whole batch.
pub fn stamp_max_timestamp(batch: &mut [u8], max_timestamp: i64) {
    assert_whole(batch);
    batch[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&max_timestamp.to_be_bytes());
    write_crc(batch);
}

/// Makes the batch another producer's, so that compressed batches pass on as they are.
/// Computes the checksum anew.
///
/// # Panics
/// When `batch` is not exactly one whole batch.
pub fn rewrite_producer(
    batch: &mut [u8],
    producer: ProducerIdentity,
    base_sequence: i32,
    transactional: bool,
) {
    assert_whole(batch);
    let mut attributes = attributes(batch) & !TRANSACTIONAL_FLAG;
    if transactional {
        attributes |= TRANSACTIONAL_FLAG;
    }
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    batch[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&producer.id.to_be_bytes());
    batch[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&producer.epoch.to_be_bytes());
    batch[BASE_SEQUENCE_AT..BASE_SEQUENCE_AT + 4].copy_from_slice(&base_sequence.to_be_bytes());
    write_crc(batch);
}

/// Computes the checksum of a whole batch and writes it.
pub(super) fn write_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

fn attributes(batch: &[u8]) -> i16 {
    let bytes = array(batch, ATTRIBUTES_AT).expect("a batch is at least its header");
    i16::from_be_bytes(bytes)
}

// A checksum over more or fewer bytes than the batch would be wrong for ever.
fn assert_whole(batch: &[u8]) {
    let header = BatchHeader::parse(batch).expect("only parsed batches are stamped");
    assert!(header.total_bytes() == batch.len(), "exactly one whole batch is stamped at a time");
}
