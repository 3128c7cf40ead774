//! One whole batch in shared bytes, several of them in a row, and a batch's plain records.

use base::cast;
use bytes::Bytes;

use super::header::ATTRIBUTES_AT;
use super::{BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES, BatchHeader, RecordError, RecordIter};

/// One whole batch. Sharing it costs a reference count, never a copy.
#[derive(Clone, Debug)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes the first batch of `buffer`; what follows it is left alone.
    ///
    /// # Errors
    /// `Truncated` when the batch is not whole, or what is wrong with its header. The checksum
    /// is not checked here: see [`Batch::verify_crc`].
    pub fn parse(buffer: &Bytes) -> Result<Self, RecordError> {
        let header = BatchHeader::parse(buffer)?;
        let total = header.total_bytes();
        if total > buffer.len() {
            return Err(RecordError::Truncated);
        }
        Ok(Self { header, bytes: buffer.slice(..total) })
    }

    /// The parsed header.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes, header included, nothing behind.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Computes the checksum and holds it against the header's.
    ///
    /// # Errors
    /// `Crc` when they differ.
    pub fn verify_crc(&self) -> Result<(), RecordError> {
        let computed = crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        if computed == self.header.crc {
            return Ok(());
        }
        Err(RecordError::Crc { stated: self.header.crc, computed })
    }

    /// Opens the record section, decompressing at most `decompressed_bytes_max` bytes.
    /// An uncompressed section is shared as it is.
    ///
    /// # Errors
    /// What is wrong with the compression. Records are checked as they are walked.
    pub fn decode(&self, decompressed_bytes_max: usize) -> Result<DecodedBatch, RecordError> {
        let packed = self.bytes.slice(BATCH_HEADER_BYTES..);
        let records = self.header.compression()?.decompress(&packed, decompressed_bytes_max)?;
        Ok(DecodedBatch { header: self.header, records })
    }
}

/// Walks batches that lie one behind the other, as fetch responses and segments hold them.
///
/// A fetch may cut the last batch anywhere; that ends the walk quietly, and
/// [`Batches::remainder`] tells how many bytes were left. Damage ends it after one `Err`.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    is_done: bool,
}

impl Batches {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self { rest: bytes, is_done: false }
    }

    /// Bytes that no yielded batch covered; after the walk, the size of the incomplete tail.
    #[must_use]
    pub const fn remainder(&self) -> usize {
        self.rest.len()
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        match Batch::parse(&self.rest) {
            Ok(batch) => {
                self.rest = self.rest.slice(batch.bytes.len()..);
                Some(Ok(batch))
            }
            Err(RecordError::Truncated) => {
                self.is_done = true;
                None
            }
            Err(error) => {
                self.is_done = true;
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for Batches {}

/// A batch whose record section lies open.
#[derive(Clone, Debug)]
pub struct DecodedBatch {
    header: BatchHeader,
    records: Bytes,
}

impl DecodedBatch {
    /// The header of the batch.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The plain record section.
    #[must_use]
    pub const fn records(&self) -> &Bytes {
        &self.records
    }

    /// Walks the records from the first one.
    #[must_use]
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.header, &self.records)
    }

    /// Shares `part`, which was borrowed from one of this batch's records, without a copy.
    ///
    /// # Panics
    /// When `part` is not from this batch.
    #[must_use]
    pub fn slice_ref(&self, part: &[u8]) -> Bytes {
        self.records.slice_ref(part)
    }
}

impl<'a> IntoIterator for &'a DecodedBatch {
    type Item = Result<super::Record<'a>, RecordError>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

const _: () = assert!(BATCH_PREFIX_BYTES < BATCH_HEADER_BYTES);
const _: () = assert!(size_of::<Batch>() <= 104, "batches travel through queues by value");

/// The CRC-32C that Kafka protects batches and its own files with.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The length that a batch of `bytes` states in its header.
pub(super) fn stated_length(bytes: usize) -> Result<i32, RecordError> {
    if bytes > super::limits::BATCH_BYTES_MAX {
        return Err(RecordError::BatchTooLarge);
    }
    Ok(cast::i32_of(bytes - BATCH_PREFIX_BYTES))
}
