//! Building a batch, record by record.
//!
//! The buffer is kept filled with zeroes ahead of the write position, so that appending is one
//! bounds check and plain stores; the header's place in front is filled in at the end.

use base::cast;
use bytes::Bytes;

use super::batch::stated_length;
use super::header::TRANSACTIONAL_FLAG;
use super::limits::{BATCH_BYTES_MAX, BUILDER_BYTES_MAX, VARINT_BYTES_MAX, VARLONG_BYTES_MAX};
use super::stamp::write_crc;
use super::varint::{put, raw_bytes, zigzag};
use super::{
    BATCH_HEADER_BYTES, BatchHeader, Compression, HeaderRef, ProducerIdentity, RecordError,
};

/// What a new batch is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// How the records are packed when the batch is built.
    pub compression: Compression,
    /// Who writes; `ProducerIdentity::NONE` without idempotence.
    pub producer: ProducerIdentity,
    /// Sequence of the first record; -1 without idempotence.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Bytes to start with, header included; the buffer grows when they do not suffice.
    pub capacity: usize,
}

impl Default for BatchOptions {
    /// A plain batch without producer, 16 KiB to start with as Kafka's `batch.size`.
    fn default() -> Self {
        Self {
            compression: Compression::None,
            producer: ProducerIdentity::NONE,
            base_sequence: -1,
            transactional: false,
            capacity: 16 * 1024,
        }
    }
}

/// Collects records and builds one batch of them.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    // Zeroed to its full length; only `..used` is written.
    buffer: Vec<u8>,
    used: usize,
    record_count: usize,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        let capacity = options.capacity.clamp(BATCH_HEADER_BYTES, BUILDER_BYTES_MAX);
        let mut buffer = [0; BATCH_HEADER_BYTES].to_vec();
        buffer.resize(capacity, 0);
        Self {
            options,
            buffer,
            used: BATCH_HEADER_BYTES,
            record_count: 0,
            base_timestamp: 0,
            max_timestamp: 0,
        }
    }

    /// Adds one record; `timestamp` in ms since 1970, -1 for none.
    ///
    /// A batch that outgrows the format fails when it is built; [`BatchBuilder::bytes_len`] is
    /// how callers split long before that.
    #[inline]
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[HeaderRef<'_>],
    ) {
        if self.record_count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        // Wraps as Kafka's does, and comes back by wrapping again.
        let timestamp_delta = zigzag(timestamp.wrapping_sub(self.base_timestamp));
        let offset_delta = zigzag(cast::i64_of(self.record_count));
        let header_count = zigzag(cast::i64_of(headers.len()));
        let mut body = 1 + raw_bytes(timestamp_delta) + raw_bytes(offset_delta);
        body += nullable_bytes(key) + nullable_bytes(value) + raw_bytes(header_count);
        for (name, value) in headers {
            body += nullable_bytes(Some(name)) + nullable_bytes(*value);
        }
        let length = zigzag(cast::i64_of(body));
        let end = self.used + raw_bytes(length) + body;
        if end > self.buffer.len() {
            self.grow(end);
        }
        let out = &mut self.buffer[self.used..end];
        let mut at = 0;
        put(out, &mut at, length);
        out[at] = 0;
        at += 1;
        put(out, &mut at, timestamp_delta);
        put(out, &mut at, offset_delta);
        put_nullable(out, &mut at, key);
        put_nullable(out, &mut at, value);
        put(out, &mut at, header_count);
        for (name, value) in headers {
            put_nullable(out, &mut at, Some(name));
            put_nullable(out, &mut at, *value);
        }
        self.used = end;
        self.record_count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    /// Records so far.
    #[must_use]
    pub const fn record_count(&self) -> usize {
        self.record_count
    }

    /// Bytes so far, uncompressed, header included.
    #[must_use]
    pub const fn bytes_len(&self) -> usize {
        self.used
    }

    /// Whether nothing was appended yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Sets the producer and the sequence of the first record, which are often known late.
    pub const fn set_producer(&mut self, producer: ProducerIdentity, base_sequence: i32) {
        self.options.producer = producer;
        self.options.base_sequence = base_sequence;
    }

    /// The finished batch, with base offset 0 and leader epoch -1.
    ///
    /// # Errors
    /// `EmptyBatch` without records, `BatchTooLarge` beyond the format's limits.
    pub fn build(mut self) -> Result<Bytes, RecordError> {
        if self.options.compression != Compression::None {
            return self.packed();
        }
        let header = self.header(Compression::None, self.used)?;
        self.buffer.truncate(self.used);
        seal(&mut self.buffer, &header);
        Ok(Bytes::from(self.buffer))
    }

    /// The finished batch as [`BatchBuilder::build`] gives it; the builder is empty again and
    /// keeps its buffer, so that a steady producer allocates only what it sends.
    ///
    /// # Errors
    /// As `build`; the builder is empty afterwards in any case.
    pub fn build_and_reset(&mut self) -> Result<Bytes, RecordError> {
        let built = self.packed();
        self.used = BATCH_HEADER_BYTES;
        self.record_count = 0;
        built
    }

    // A batch in bytes of its own; the buffer stays.
    fn packed(&self) -> Result<Bytes, RecordError> {
        // Fails early: what is empty or too large must not be compressed first.
        let codec = self.options.compression;
        self.header(codec, self.used)?;
        let (place, plain) = self.buffer[..self.used].split_at(BATCH_HEADER_BYTES);
        let mut out = place.to_vec();
        codec.compress(plain, &mut out)?;
        let header = self.header(codec, out.len())?;
        seal(&mut out, &header);
        Ok(Bytes::from(out))
    }

    fn header(&self, codec: Compression, bytes: usize) -> Result<BatchHeader, RecordError> {
        let last = self.record_count.checked_sub(1).ok_or(RecordError::EmptyBatch)?;
        let count = i32::try_from(self.record_count).map_err(|_| RecordError::BatchTooLarge)?;
        let transactional = if self.options.transactional { TRANSACTIONAL_FLAG } else { 0 };
        Ok(BatchHeader {
            base_offset: 0,
            batch_length: stated_length(bytes)?,
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: codec.bits() | transactional,
            last_offset_delta: cast::i32_of(last),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.options.producer.id,
            producer_epoch: self.options.producer.epoch,
            base_sequence: self.options.base_sequence,
            record_count: count,
        })
    }

    #[cold]
    fn grow(&mut self, bytes_min: usize) {
        self.buffer.resize(bytes_min.max(self.buffer.len() * 2), 0);
    }
}

/// Writes the header in front of its records and the checksum into the header.
pub(super) fn seal(batch: &mut [u8], header: &BatchHeader) {
    batch[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
    write_crc(batch);
}

#[inline]
fn nullable_bytes(part: Option<&[u8]>) -> usize {
    match part {
        None => 1,
        Some(bytes) => raw_bytes(zigzag(cast::i64_of(bytes.len()))) + bytes.len(),
    }
}

#[inline]
fn put_nullable(out: &mut [u8], at: &mut usize, part: Option<&[u8]>) {
    let Some(bytes) = part else {
        put(out, at, zigzag(-1));
        return;
    };
    put(out, at, zigzag(cast::i64_of(bytes.len())));
    out[*at..*at + bytes.len()].copy_from_slice(bytes);
    *at += bytes.len();
}

/// An upper bound of the bytes that a record adds to a batch, for splitting before appending.
#[must_use]
pub fn record_bytes_max(
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[HeaderRef<'_>],
) -> usize {
    // Length, attributes, timestamp delta, offset delta and header count at their longest.
    let fixed = VARINT_BYTES_MAX + 1 + VARLONG_BYTES_MAX + VARINT_BYTES_MAX + VARINT_BYTES_MAX;
    let part = |bytes: Option<&[u8]>| VARINT_BYTES_MAX.saturating_add(bytes.map_or(0, <[u8]>::len));
    let mut total = fixed.saturating_add(part(key)).saturating_add(part(value));
    for (name, value) in headers {
        total = total.saturating_add(part(Some(name))).saturating_add(part(*value));
    }
    total
}

const _: () = assert!(BUILDER_BYTES_MAX < BATCH_BYTES_MAX);
const _: () = assert!(size_of::<BatchOptions>() <= 40);
