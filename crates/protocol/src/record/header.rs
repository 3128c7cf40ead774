//! The 61 bytes in front of every batch.

use base::cast;

use super::{Compression, RecordError};

/// Base offset and length: what must be read before the size of a batch is known.
pub const BATCH_PREFIX_BYTES: usize = 12;

/// All header fields; the records follow.
pub const BATCH_HEADER_BYTES: usize = 61;

pub(super) const LENGTH_AT: usize = 8;
pub(super) const LEADER_EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const PRODUCER_ID_AT: usize = 43;
pub(super) const PRODUCER_EPOCH_AT: usize = 51;
pub(super) const BASE_SEQUENCE_AT: usize = 53;

pub(super) const COMPRESSION_MASK: i16 = 0x07;
pub(super) const APPEND_TIME_FLAG: i16 = 0x08;
pub(super) const TRANSACTIONAL_FLAG: i16 = 0x10;
pub(super) const CONTROL_FLAG: i16 = 0x20;
pub(super) const DELETE_HORIZON_FLAG: i16 = 0x40;

const LENGTH_MIN: i32 = 49;
const MAGIC: i8 = 2;

/// The header of one batch, as it stands in the bytes.
///
/// A parsed header keeps these promises: magic is 2, `batch_length >= 49`, `record_count >= 0`,
/// `last_offset_delta >= 0`, and neither the last nor the next offset overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 from producers, stamped by the log.
    pub base_offset: i64,
    /// Bytes behind this field, at least 49.
    pub batch_length: i32,
    /// Epoch of the leader that appended; -1 where there is none.
    pub partition_leader_epoch: i32,
    /// Format version, always 2.
    pub magic: i8,
    /// CRC-32C of everything behind this field.
    pub crc: u32,
    /// Flags: compression, timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// Last offset minus base offset; survives compaction.
    pub last_offset_delta: i32,
    /// Timestamp of the first record in ms since 1970 (or the delete horizon, when flagged).
    pub base_timestamp: i64,
    /// Largest timestamp of the records in ms since 1970.
    pub max_timestamp: i64,
    /// Producer id; -1 without idempotence.
    pub producer_id: i64,
    /// Producer epoch; -1 without idempotence.
    pub producer_epoch: i16,
    /// Sequence of the first record; -1 without idempotence.
    pub base_sequence: i32,
    /// Records in the batch; may be 0 after compaction.
    pub record_count: i32,
}

const _: () = assert!(size_of::<BatchHeader>() <= 64, "a header fits a cache line");

impl BatchHeader {
    /// Reads the header at the front of `bytes`; the records behind it need not be there.
    ///
    /// # Errors
    /// `Truncated` below 61 bytes, or what is wrong with the fields. The checksum is not checked.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        // Older message formats are shorter but have the magic at the same place.
        let magic = i8::from_be_bytes(array(bytes, MAGIC_AT)?);
        match magic {
            MAGIC => {}
            0 | 1 => return Err(RecordError::LegacyMagic(magic)),
            _ => return Err(RecordError::UnsupportedMagic(magic)),
        }
        let fields = bytes.first_chunk::<BATCH_HEADER_BYTES>().ok_or(RecordError::Truncated)?;
        let header = Self {
            base_offset: i64::from_be_bytes(array(fields, 0)?),
            batch_length: i32::from_be_bytes(array(fields, LENGTH_AT)?),
            partition_leader_epoch: i32::from_be_bytes(array(fields, LEADER_EPOCH_AT)?),
            magic,
            crc: u32::from_be_bytes(array(fields, CRC_AT)?),
            attributes: i16::from_be_bytes(array(fields, ATTRIBUTES_AT)?),
            last_offset_delta: i32::from_be_bytes(array(fields, 23)?),
            base_timestamp: i64::from_be_bytes(array(fields, 27)?),
            max_timestamp: i64::from_be_bytes(array(fields, MAX_TIMESTAMP_AT)?),
            producer_id: i64::from_be_bytes(array(fields, PRODUCER_ID_AT)?),
            producer_epoch: i16::from_be_bytes(array(fields, PRODUCER_EPOCH_AT)?),
            base_sequence: i32::from_be_bytes(array(fields, BASE_SEQUENCE_AT)?),
            record_count: i32::from_be_bytes(array(fields, 57)?),
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), RecordError> {
        if self.batch_length < LENGTH_MIN {
            return Err(RecordError::BatchLength(self.batch_length));
        }
        if self.record_count < 0 {
            return Err(RecordError::RecordCount(self.record_count));
        }
        if self.last_offset_delta < 0 {
            return Err(RecordError::LastOffsetDelta(self.last_offset_delta));
        }
        let last = self.base_offset.checked_add(i64::from(self.last_offset_delta));
        if last.and_then(|last| last.checked_add(1)).is_none() {
            return Err(RecordError::OffsetOverflow);
        }
        Ok(())
    }

    /// The 61 bytes of this header.
    #[must_use]
    pub fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut out = [0; BATCH_HEADER_BYTES];
        out[..LENGTH_AT].copy_from_slice(&self.base_offset.to_be_bytes());
        out[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&self.batch_length.to_be_bytes());
        out[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        out[MAGIC_AT] = cast::bits_u8(self.magic);
        out[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&self.crc.to_be_bytes());
        out[ATTRIBUTES_AT..23].copy_from_slice(&self.attributes.to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..MAX_TIMESTAMP_AT].copy_from_slice(&self.base_timestamp.to_be_bytes());
        out[MAX_TIMESTAMP_AT..PRODUCER_ID_AT].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&self.producer_id.to_be_bytes());
        out[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT]
            .copy_from_slice(&self.producer_epoch.to_be_bytes());
        out[BASE_SEQUENCE_AT..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        out[57..].copy_from_slice(&self.record_count.to_be_bytes());
        out
    }

    /// Bytes of the whole batch, header included.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        let length = usize::try_from(self.batch_length).unwrap_or(0);
        BATCH_PREFIX_BYTES + length
    }

    /// Offset of the last record that the batch ever held.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset that the next batch starts at.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    /// `UnsupportedCompression` when the attribute bits name none that exists.
    pub fn compression(&self) -> Result<Compression, RecordError> {
        Compression::from_attributes(self.attributes)
    }

    /// Whether the batch belongs to a transaction (control batches do as well).
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_FLAG != 0
    }

    /// Whether the batch holds a control record instead of people's records.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL_FLAG != 0
    }

    /// Whether the log set the timestamps (`max_timestamp` then holds for every record).
    #[must_use]
    pub const fn is_log_append_time(&self) -> bool {
        self.attributes & APPEND_TIME_FLAG != 0
    }

    /// When tombstones of this batch may go, in ms since 1970, once a cleaner has set it.
    #[must_use]
    pub const fn delete_horizon(&self) -> Option<i64> {
        if self.attributes & DELETE_HORIZON_FLAG == 0 { None } else { Some(self.base_timestamp) }
    }

    /// Whether an idempotent or transactional producer wrote the batch.
    #[must_use]
    pub const fn has_producer(&self) -> bool {
        self.producer_id > ProducerIdentity::NONE.id
    }

    /// Who wrote the batch; `ProducerIdentity::NONE` without idempotence.
    #[must_use]
    pub const fn producer(&self) -> ProducerIdentity {
        ProducerIdentity { id: self.producer_id, epoch: self.producer_epoch }
    }

    /// Sequence of the last record; -1 without sequences.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        sequence_add(self.base_sequence, self.last_offset_delta.max(0))
    }
}

/// A producer as the log tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerIdentity {
    /// Id that the broker gave, from 0; -1 for none.
    pub id: i64,
    /// Raised to fence older holders of the id, from 0; -1 for none.
    pub epoch: i16,
}

impl ProducerIdentity {
    /// A producer without idempotence.
    pub const NONE: Self = Self { id: -1, epoch: -1 };
}

/// Moves a sequence on by `by` records; behind `i32::MAX` comes 0, as in Kafka.
///
/// Both numbers are sequences or counts and therefore not negative; a negative one counts as 0.
#[must_use]
pub fn sequence_add(sequence: i32, by: i32) -> i32 {
    let sum = i64::from(sequence.max(0)) + i64::from(by.max(0));
    // The remainder of a positive number by 2^31 always fits.
    i32::try_from(sum % (i64::from(i32::MAX) + 1)).unwrap_or(0)
}

/// The `N` bytes at `at`.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], RecordError> {
    let rest = bytes.get(at..).ok_or(RecordError::Truncated)?;
    rest.first_chunk::<N>().copied().ok_or(RecordError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BatchHeader {
        BatchHeader {
            base_offset: 7,
            batch_length: 49,
            partition_leader_epoch: 3,
            magic: 2,
            crc: 0xdead_beef,
            attributes: 0x10 | 0x04,
            last_offset_delta: 4,
            base_timestamp: 1_000,
            max_timestamp: 2_000,
            producer_id: 9,
            producer_epoch: 1,
            base_sequence: i32::MAX - 1,
            record_count: 5,
        }
    }

    #[test]
    fn a_header_reads_back_what_it_wrote() {
        let header = sample();
        assert_eq!(BatchHeader::parse(&header.encode()), Ok(header));
        assert_eq!(header.total_bytes(), BATCH_HEADER_BYTES);
        assert_eq!((header.last_offset(), header.next_offset()), (11, 12));
        assert_eq!(header.compression(), Ok(Compression::Zstd));
        assert!(header.is_transactional() && !header.is_control());
        assert!(!header.is_log_append_time() && header.has_producer());
        assert_eq!(header.delete_horizon(), None);
    }

    #[test]
    fn sequences_wrap_to_zero_behind_the_largest() {
        assert_eq!(sample().last_sequence(), 2);
        assert_eq!(sequence_add(i32::MAX, 0), i32::MAX);
        assert_eq!(sequence_add(i32::MAX, 1), 0);
        assert_eq!(sequence_add(i32::MAX, i32::MAX), i32::MAX - 1);
        assert_eq!(BatchHeader { base_sequence: -1, ..sample() }.last_sequence(), -1);
    }

    #[test]
    fn impossible_fields_are_refused_by_name() {
        let check = |header: BatchHeader, expected| {
            assert_eq!(BatchHeader::parse(&header.encode()), Err(expected));
        };
        check(BatchHeader { magic: 1, ..sample() }, RecordError::LegacyMagic(1));
        check(BatchHeader { magic: 3, ..sample() }, RecordError::UnsupportedMagic(3));
        check(BatchHeader { magic: -1, ..sample() }, RecordError::UnsupportedMagic(-1));
        check(BatchHeader { batch_length: 48, ..sample() }, RecordError::BatchLength(48));
        check(BatchHeader { batch_length: -1, ..sample() }, RecordError::BatchLength(-1));
        check(BatchHeader { record_count: -1, ..sample() }, RecordError::RecordCount(-1));
        check(BatchHeader { last_offset_delta: -1, ..sample() }, RecordError::LastOffsetDelta(-1));
        check(BatchHeader { base_offset: i64::MAX - 4, ..sample() }, RecordError::OffsetOverflow);
        let none = BatchHeader { attributes: 5, ..sample() };
        assert_eq!(none.compression(), Err(RecordError::UnsupportedCompression(5)));
    }

    #[test]
    fn a_header_cut_anywhere_is_truncated() {
        let bytes = sample().encode();
        for end in 0..BATCH_HEADER_BYTES {
            assert_eq!(BatchHeader::parse(&bytes[..end]), Err(RecordError::Truncated));
        }
    }

    #[test]
    fn an_old_message_shorter_than_our_header_is_still_called_old() {
        let mut message = [0; 26];
        message[MAGIC_AT] = 1;
        assert_eq!(BatchHeader::parse(&message), Err(RecordError::LegacyMagic(1)));
    }
}
