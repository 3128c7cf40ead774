//! Which batches a reader sees: pure.
//!
//! The broker lists the aborted transactions that overlap what it sent, each with its producer and
//! first offset. From there on, until the abort marker, that producer's transactional batches are
//! skipped. Control batches are never seen.

use std::collections::BTreeSet;

use protocol::record::{Batch, Batches, ControlType, RecordError, control_type};

use super::fetch::PartitionAnswer;
use crate::limits::CONTROL_BATCH_BYTES_MAX;
use crate::options::{ConsumerOptions, Isolation};

/// The batches to hand out, and the position behind all that were looked at.
pub(super) fn visible(
    answer: &PartitionAnswer,
    from: i64,
    options: &ConsumerOptions,
) -> Result<(Vec<Batch>, i64), RecordError> {
    let mut next_offset = from;
    let mut seen = Vec::new();
    let mut aborted = answer.aborted.iter().peekable();
    let mut aborting: BTreeSet<i64> = BTreeSet::new();
    for batch in Batches::new(answer.records.clone()) {
        let batch = batch?;
        let header = *batch.header();
        if options.verify_crc {
            batch.verify_crc()?;
        }
        if header.next_offset() <= from {
            continue;
        }
        next_offset = header.next_offset();
        if options.isolation == Isolation::ReadCommitted {
            while let Some((_, producer)) =
                aborted.next_if(|(first, _)| *first <= header.last_offset())
            {
                aborting.insert(*producer);
            }
        }
        if header.is_control() {
            if marker(&batch)? == Some(ControlType::Abort) {
                aborting.remove(&header.producer_id);
            }
            continue;
        }
        let is_aborted = header.is_transactional() && aborting.contains(&header.producer_id);
        if !is_aborted && header.record_count > 0 {
            seen.push(batch);
        }
    }
    Ok((seen, next_offset))
}

/// What a control batch says; nothing after compaction has emptied it, or for later kinds.
fn marker(batch: &Batch) -> Result<Option<ControlType>, RecordError> {
    let decoded = batch.decode(CONTROL_BATCH_BYTES_MAX)?;
    match decoded.iter().next() {
        Some(record) => Ok(control_type(&record?).ok()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use protocol::error_code::ErrorCode;
    use protocol::record::{
        BatchBuilder, BatchOptions, Compression, ProducerIdentity, control_batch, stamp,
    };

    use super::super::NOTHING_KNOWN;
    use super::*;

    fn data(producer: i64, transactional: bool) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: Compression::None,
            producer: ProducerIdentity { id: producer, epoch: 0 },
            base_sequence: 0,
            transactional,
            capacity: 100,
        });
        builder.append(1, None, Some(b"v"), &[]);
        builder.build().unwrap()
    }

    fn end(producer: i64, kind: ControlType) -> Bytes {
        control_batch(ProducerIdentity { id: producer, epoch: 0 }, kind, 0, 1)
    }

    /// Puts batches of one record each at the offsets 0, 1, 2 and so on; gives the offsets seen.
    fn check(isolation: Isolation, aborted: &[(i64, i64)], batches: &[Bytes]) -> Vec<i64> {
        let mut records = BytesMut::new();
        for (offset, batch) in batches.iter().enumerate() {
            let mut batch = BytesMut::from(batch.as_ref());
            stamp(&mut batch, i64::try_from(offset).unwrap(), 0);
            records.extend_from_slice(&batch);
        }
        let answer = PartitionAnswer {
            code: ErrorCode::NONE,
            watermarks: NOTHING_KNOWN,
            aborted: aborted.to_vec(),
            records: records.freeze(),
        };
        let options = ConsumerOptions { isolation, ..Default::default() };
        let (seen, next) = visible(&answer, 0, &options).unwrap();
        assert_eq!(next, i64::try_from(batches.len()).unwrap());
        seen.iter().map(|batch| batch.header().base_offset).collect()
    }

    #[test]
    fn aborted_batches_are_skipped_from_their_first_offset_to_the_marker() {
        let batches = [
            data(7, true),
            data(8, true),
            end(7, ControlType::Abort),
            data(7, true),
            end(8, ControlType::Commit),
            end(7, ControlType::Commit),
        ];
        let seen = check(Isolation::ReadCommitted, &[(0, 7)], &batches);
        assert_eq!(seen, [1, 3]);
        let seen = check(Isolation::ReadUncommitted, &[], &batches);
        assert_eq!(seen, [0, 1, 3]);
    }

    #[test]
    fn two_aborted_transactions_of_one_producer_are_both_skipped() {
        let batches = [
            data(7, true),
            end(7, ControlType::Abort),
            data(7, true),
            end(7, ControlType::Abort),
            data(7, true),
        ];
        assert_eq!(check(Isolation::ReadCommitted, &[(0, 7), (2, 7)], &batches), [4]);
    }

    #[test]
    fn batches_outside_a_transaction_are_always_seen() {
        let batches = [data(7, true), data(7, false)];
        assert_eq!(check(Isolation::ReadCommitted, &[(0, 7)], &batches), [1]);
    }
}
