//! What can be wrong with a batch. Small and `Copy`: it travels in every iterator item.

use std::fmt;

use super::Compression;
use crate::error_code::ErrorCode;

/// Why bytes are not a batch, or a batch is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Fewer bytes than the batch or one of its fields needs.
    Truncated,
    /// A message set of the formats before v2 (magic 0 or 1), which is not spoken here.
    LegacyMagic(i8),
    /// A format newer than v2, or not a batch at all.
    UnsupportedMagic(i8),
    /// The length field is below the header's 49 bytes.
    BatchLength(i32),
    /// The record count is negative.
    RecordCount(i32),
    /// The last offset delta is negative.
    LastOffsetDelta(i32),
    /// Base offset plus delta leaves the range of offsets.
    OffsetOverflow,
    /// The checksum of the header differs from that of the bytes.
    Crc {
        /// What the header says.
        stated: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// Attribute bits name a compression that does not exist.
    UnsupportedCompression(u8),
    /// The compressed section is damaged.
    Decompression(Compression),
    /// The compressed section holds more than the reader allows.
    DecompressedTooLarge {
        /// The reader's limit in bytes.
        bytes_max: usize,
    },
    /// Compressing failed inside the codec.
    CompressionFailed(Compression),
    /// A variable-length number has too many bytes or bits.
    Varint,
    /// A record, key, value or header states a length that cannot be.
    RecordLength(i64),
    /// A record's fields end before or behind its stated length.
    RecordEnd,
    /// A record's header count is negative or larger than its bytes.
    HeaderCount(i64),
    /// An offset delta outside of the batch.
    OffsetDelta(i32),
    /// Bytes follow the last record.
    TrailingBytes(usize),
    /// Offset deltas are not 0, 1, 2, .. in order.
    OffsetOrder {
        /// The delta that belongs here.
        expected: i32,
        /// The delta that stands here.
        found: i32,
    },
    /// The header's record count and last offset delta contradict each other.
    CountMismatch {
        /// Records, as the header says.
        record_count: i32,
        /// Last offset delta, as the header says.
        last_offset_delta: i32,
    },
    /// A batch without records where records are required.
    EmptyBatch,
    /// A record without a key in a compacted topic.
    KeyMissing {
        /// Which record of the batch, from 0.
        index: i32,
    },
    /// A batch of more bytes or records than the format can hold.
    BatchTooLarge,
    /// A control record whose key or value is not one.
    ControlRecord,
    /// A control record of a type that ends no transaction.
    ControlType(i16),
}

impl RecordError {
    /// What a producer is told. `CORRUPT_MESSAGE` asks it to send again, so only what a network
    /// or a disk can do to a batch maps to it; `MESSAGE_TOO_LARGE` lets Java's client split.
    #[must_use]
    pub const fn error_code(&self) -> ErrorCode {
        match self {
            Self::Truncated
            | Self::BatchLength(_)
            | Self::RecordCount(_)
            | Self::LastOffsetDelta(_)
            | Self::OffsetOverflow
            | Self::Crc { .. } => ErrorCode::CORRUPT_MESSAGE,
            Self::UnsupportedCompression(_) => ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            Self::DecompressedTooLarge { .. } | Self::BatchTooLarge => ErrorCode::MESSAGE_TOO_LARGE,
            Self::CompressionFailed(_) => ErrorCode::UNKNOWN_SERVER_ERROR,
            Self::LegacyMagic(_)
            | Self::UnsupportedMagic(_)
            | Self::Decompression(_)
            | Self::Varint
            | Self::RecordLength(_)
            | Self::RecordEnd
            | Self::HeaderCount(_)
            | Self::OffsetDelta(_)
            | Self::TrailingBytes(_)
            | Self::OffsetOrder { .. }
            | Self::CountMismatch { .. }
            | Self::EmptyBatch
            | Self::KeyMissing { .. }
            | Self::ControlRecord
            | Self::ControlType(_) => ErrorCode::INVALID_RECORD,
        }
    }

    /// Whether the bytes were damaged on their way or at rest, so that reading or sending again
    /// may help.
    #[must_use]
    pub const fn is_corruption(&self) -> bool {
        self.error_code().0 == ErrorCode::CORRUPT_MESSAGE.0
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => out.write_str("the bytes end inside the batch"),
            Self::LegacyMagic(magic) => {
                write!(out, "message format v{magic} is older than record batches (v2)")
            }
            Self::UnsupportedMagic(magic) => write!(out, "magic {magic} is not a record batch"),
            Self::BatchLength(length) => write!(out, "batch length {length} is impossible"),
            Self::RecordCount(count) => write!(out, "record count {count} is negative"),
            Self::LastOffsetDelta(delta) => write!(out, "last offset delta {delta} is negative"),
            Self::OffsetOverflow => out.write_str("the batch's offsets leave the range"),
            Self::Crc { stated, computed } => {
                write!(out, "checksum {computed:#010x} differs from the stated {stated:#010x}")
            }
            Self::UnsupportedCompression(bits) => write!(out, "compression {bits} is not known"),
            Self::Decompression(codec) => write!(out, "the {codec} section is damaged"),
            Self::DecompressedTooLarge { bytes_max } => {
                write!(out, "the records decompress to more than {bytes_max} bytes")
            }
            Self::CompressionFailed(codec) => write!(out, "compressing with {codec} failed"),
            Self::Varint => out.write_str("a variable-length number is too long"),
            Self::RecordLength(length) => write!(out, "a length of {length} cannot be"),
            Self::RecordEnd => out.write_str("a record's fields do not fill its length"),
            Self::HeaderCount(count) => write!(out, "a header count of {count} cannot be"),
            Self::OffsetDelta(delta) => write!(out, "offset delta {delta} is outside the batch"),
            Self::TrailingBytes(bytes) => write!(out, "{bytes} bytes follow the last record"),
            Self::OffsetOrder { expected, found } => {
                write!(out, "offset delta {found} stands where {expected} belongs")
            }
            Self::CountMismatch { record_count, last_offset_delta } => {
                write!(out, "{record_count} records contradict last delta {last_offset_delta}")
            }
            Self::EmptyBatch => out.write_str("the batch holds no records"),
            Self::KeyMissing { index } => write!(out, "record {index} has no key"),
            Self::BatchTooLarge => out.write_str("the batch exceeds what the format can hold"),
            Self::ControlRecord => out.write_str("the control record is malformed"),
            Self::ControlType(kind) => write!(out, "control type {kind} ends no transaction"),
        }
    }
}

impl std::error::Error for RecordError {}

const _: () = assert!(size_of::<RecordError>() == 16, "errors travel in every iterator item");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_like_sentences() {
        let crc = RecordError::Crc { stated: 1, computed: 0xdead_beef };
        assert_eq!(crc.to_string(), "checksum 0xdeadbeef differs from the stated 0x00000001");
        assert!(crc.is_corruption());
        assert_eq!(crc.error_code(), ErrorCode::CORRUPT_MESSAGE);
        assert!(!RecordError::KeyMissing { index: 0 }.is_corruption());
        assert_eq!(RecordError::LegacyMagic(1).error_code(), ErrorCode::INVALID_RECORD);
        let damaged = RecordError::Decompression(Compression::Lz4);
        assert_eq!(damaged.to_string(), "the lz4 section is damaged");
    }
}
