//! Producer snapshots: what is known of producers at an offset, in Kafka's bytes.
//!
//! A snapshot holds one batch per producer. The four before it are found in the log's tail when
//! a retry asks for them.

use std::path::Path;

use base::disk::Disk;
use protocol::record::checksum;

use crate::error::Error;
use crate::producers::{Producer, Producers, Written};

const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const ENTRIES_AT: usize = 6;
const ENTRY_BYTES: usize = 46;

/// Writes a snapshot, whole and durable.
pub(crate) fn store(disk: &dyn Disk, path: &Path, producers: &Producers) -> Result<(), Error> {
    disk.replace(path, &encode(producers)).map_err(Error::io("replace", path))
}

/// Reads a snapshot; none when it is missing or damaged. `now_ms` is when producers count as
/// heard of, because a stored time may be one that a client made up.
pub(crate) fn load(disk: &dyn Disk, path: &Path, now_ms: i64) -> Option<Producers> {
    decode(&disk.read(path).ok()?, now_ms)
}

fn encode(producers: &Producers) -> Vec<u8> {
    let count = i32::try_from(producers.len()).expect("producers are limited far below 2^31");
    let mut out = Vec::with_capacity(ENTRIES_AT + 4 + producers.len() * ENTRY_BYTES);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&count.to_be_bytes());
    for (id, producer) in producers.iter() {
        let last = producer.last();
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&producer.epoch.to_be_bytes());
        out.extend_from_slice(&producer.last_sequence().to_be_bytes());
        out.extend_from_slice(&last.map_or(-1, |batch| batch.last_offset).to_be_bytes());
        out.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
        out.extend_from_slice(&producer.seen_ms.to_be_bytes());
        out.extend_from_slice(&producer.coordinator_epoch.to_be_bytes());
        out.extend_from_slice(&producer.txn_first_offset.unwrap_or(-1).to_be_bytes());
    }
    let crc = checksum(&out[ENTRIES_AT..]);
    out[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    out
}

fn decode(bytes: &[u8], now_ms: i64) -> Option<Producers> {
    let (head, body) = bytes.split_at_checked(ENTRIES_AT)?;
    let version = i16::from_be_bytes(*head.first_chunk()?);
    let crc = u32::from_be_bytes(*head.get(CRC_AT..)?.first_chunk()?);
    if version != VERSION || checksum(body) != crc {
        return None;
    }
    let (count, entries) = body.split_first_chunk::<4>()?;
    let count = usize::try_from(i32::from_be_bytes(*count)).ok()?;
    if entries.len() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    let mut producers = Producers::default();
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let (id, producer) = decode_entry(entry, now_ms)?;
        producers.insert(id, producer);
    }
    producers.history_missing = count > 0;
    Some(producers)
}

fn decode_entry(entry: &[u8], now_ms: i64) -> Option<(i64, Producer)> {
    let i64_at = |at: usize| Some(i64::from_be_bytes(*entry.get(at..)?.first_chunk()?));
    let i32_at = |at: usize| Some(i32::from_be_bytes(*entry.get(at..)?.first_chunk()?));
    let id = i64_at(0)?;
    let epoch = i16::from_be_bytes(*entry.get(8..)?.first_chunk()?);
    let mut producer = Producer::from_snapshot(epoch, i32_at(34)?, now_ms);
    let (last_sequence, last_offset, offset_delta) = (i32_at(10)?, i64_at(14)?, i32_at(22)?);
    if last_sequence >= 0 && last_offset >= 0 && offset_delta >= 0 {
        producer.push(Written {
            first_sequence: sequence_back(last_sequence, offset_delta),
            last_sequence,
            last_offset,
            offset_delta,
        });
    }
    producer.txn_first_offset = Some(i64_at(38)?).filter(|first| *first >= 0);
    Some((id, producer))
}

/// The sequence `by` records earlier; sequences run from 0 to `i32::MAX` and start over.
fn sequence_back(sequence: i32, by: i32) -> i32 {
    match sequence.checked_sub(by) {
        Some(earlier) if earlier >= 0 => earlier,
        _ => i32::MAX - (by - sequence) + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producers() -> Producers {
        let mut producers = Producers::default();
        let mut one = Producer::from_snapshot(3, 4, 1_000);
        one.push(Written { first_sequence: 5, last_sequence: 7, last_offset: 40, offset_delta: 2 });
        one.txn_first_offset = Some(38);
        producers.insert(9, one);
        producers.insert(10, Producer::from_snapshot(0, -1, 1_000));
        producers
    }

    #[test]
    fn a_snapshot_keeps_the_last_batch_and_the_open_transaction() {
        let read = decode(&encode(&producers()), 1_000).unwrap();
        let entries: Vec<_> = read.iter().map(|(id, producer)| (id, *producer)).collect();
        let before: Vec<_> = producers().iter().map(|(id, producer)| (id, *producer)).collect();
        assert_eq!(entries, before);
        assert_eq!(read.first_open(), Some(38));
    }

    #[test]
    fn a_damaged_snapshot_is_none_at_all() {
        let bytes = encode(&producers());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(decode(&bad, 0).is_none(), "byte {at}");
            assert!(decode(&bytes[..at], 0).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn sequences_start_over_behind_the_largest() {
        assert_eq!(sequence_back(7, 2), 5);
        assert_eq!(sequence_back(1, 3), i32::MAX - 1);
    }
}
