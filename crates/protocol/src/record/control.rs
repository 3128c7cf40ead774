//! Control batches: one record that ends a producer's transaction in a partition.

use base::cast;
use bytes::Bytes;

use super::batch::stated_length;
use super::builder::seal;
use super::header::{CONTROL_FLAG, TRANSACTIONAL_FLAG, array};
use super::{BATCH_HEADER_BYTES, BatchHeader, ProducerIdentity, Record, RecordError};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControlType {
    /// Its records must not be seen.
    Abort,
    /// Its records count.
    Commit,
}

impl ControlType {
    /// Kafka's number.
    #[must_use]
    pub const fn number(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
        }
    }
}

/// Length, attributes, deltas, key (4 bytes), value (6 bytes) and header count of the one record.
const RECORD_BYTES: usize = 17;

/// The marker that ends `producer`'s transaction, with base offset 0 and leader epoch -1.
///
/// `timestamp` is in ms since 1970; `coordinator_epoch` lets partitions refuse old coordinators.
#[must_use]
pub fn control_batch(
    producer: ProducerIdentity,
    kind: ControlType,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Bytes {
    let mut batch = [0; BATCH_HEADER_BYTES].to_vec();
    // Length 16, no attributes, deltas 0 and 0, key of 4 bytes with version 0.
    batch.extend_from_slice(&[0x20, 0, 0, 0, 0x08, 0, 0]);
    batch.extend_from_slice(&kind.number().to_be_bytes());
    // Value of 6 bytes with version 0.
    batch.extend_from_slice(&[0x0c, 0, 0]);
    batch.extend_from_slice(&coordinator_epoch.to_be_bytes());
    batch.push(0);
    assert!(batch.len() == BATCH_HEADER_BYTES + RECORD_BYTES, "a marker has one size");
    let header = BatchHeader {
        base_offset: 0,
        batch_length: stated_length(batch.len()).expect("a marker is far below the limit"),
        partition_leader_epoch: -1,
        magic: 2,
        crc: 0,
        attributes: TRANSACTIONAL_FLAG | CONTROL_FLAG,
        last_offset_delta: 0,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        base_sequence: -1,
        record_count: 1,
    };
    seal(&mut batch, &header);
    Bytes::from(batch)
}

/// What the record of a control batch says.
///
/// # Errors
/// `ControlRecord` when the key is not a control key, `ControlType` when it is of a kind that
/// ends no transaction (Raft's leader changes and snapshots, for instance).
pub fn control_type(record: &Record<'_>) -> Result<ControlType, RecordError> {
    let key = record.key.ok_or(RecordError::ControlRecord)?;
    let malformed = |_| RecordError::ControlRecord;
    // Later versions of the key only append, as Kafka promises; the first 4 bytes stay.
    let version = i16::from_be_bytes(array(key, 0).map_err(malformed)?);
    let number = i16::from_be_bytes(array(key, 2).map_err(malformed)?);
    match (version, number) {
        (..0, _) => Err(RecordError::ControlRecord),
        (_, 0) => Ok(ControlType::Abort),
        (_, 1) => Ok(ControlType::Commit),
        (_, number) => Err(RecordError::ControlType(number)),
    }
}

const _: () = assert!(cast::u64_of(RECORD_BYTES) == 1 + 16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Batch;

    #[test]
    fn a_marker_says_who_ended_what() {
        for kind in [ControlType::Abort, ControlType::Commit] {
            let producer = ProducerIdentity { id: 77, epoch: 3 };
            let batch = Batch::parse(&control_batch(producer, kind, 5, 1_700)).unwrap();
            batch.verify_crc().unwrap();
            assert!(batch.header().is_control() && batch.header().is_transactional());
            assert_eq!(batch.header().producer(), producer);
            assert_eq!(batch.header().last_sequence(), -1);
            let decoded = batch.decode(0).unwrap();
            let records: Vec<_> = decoded.iter().map(Result::unwrap).collect();
            assert_eq!(records.len(), 1);
            assert_eq!(control_type(&records[0]), Ok(kind));
            assert_eq!(records[0].value, Some(&[0, 0, 0, 0, 0, 5][..]));
        }
    }
}
