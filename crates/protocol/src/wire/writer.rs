//! Building a message as a list of chunks.

use base::cast;
use base::chunk::Chunk;
use base::uuid::Uuid;
use bytes::{BufMut as _, Bytes, BytesMut};

use super::{EncodeError, Records};

/// Collects bytes; record batches are kept as the chunks they came in.
#[derive(Debug, Default)]
pub struct Writer {
    chunks: Vec<Chunk>,
    buffer: BytesMut,
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The chunks written.
    #[must_use]
    pub fn finish(mut self) -> Vec<Chunk> {
        self.cut();
        self.chunks
    }

    /// All that was written as one buffer.
    ///
    /// # Panics
    /// When batches that lie in files were written: those belong into [`Writer::finish`].
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.chunks.is_empty() {
            return self.buffer.freeze();
        }
        self.cut();
        let mut whole = BytesMut::new();
        for chunk in &self.chunks {
            match chunk {
                Chunk::Bytes(bytes) => whole.extend_from_slice(bytes),
                Chunk::File(_) => panic!("batches in files cannot be written into one buffer"),
            }
        }
        whole.freeze()
    }

    fn cut(&mut self) {
        if !self.buffer.is_empty() {
            self.chunks.push(Chunk::Bytes(self.buffer.split().freeze()));
        }
    }

    /// A byte.
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    /// 8 bits.
    pub fn int8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    /// 16 bits, big-endian.
    pub fn int16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    /// 32 bits, big-endian.
    pub fn int32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    /// 32 bits, big-endian, unsigned.
    pub fn uint32(&mut self, value: u32) {
        self.buffer.put_u32(value);
    }

    /// 64 bits, big-endian.
    pub fn int64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    /// 128 bits.
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.put_slice(&value.0);
    }

    /// An unsigned varint.
    pub fn uvarint(&mut self, value: u32) {
        let mut left = value;
        while left >= 0x80 {
            self.buffer.put_u8(cast::low_u8(u64::from(left & 0x7f | 0x80)));
            left >>= 7;
        }
        self.buffer.put_u8(cast::low_u8(u64::from(left)));
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    fn string_len(&mut self, len: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        if flexible {
            return self.compact_len(len);
        }
        match len {
            Some(len) => self.int16(i16::try_from(len).map_err(|_| EncodeError::TooLong)?),
            None => self.int16(-1),
        }
        Ok(())
    }

    fn long_len(&mut self, len: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        if flexible {
            return self.compact_len(len);
        }
        match len {
            Some(len) => self.int32(i32::try_from(len).map_err(|_| EncodeError::TooLong)?),
            None => self.int32(-1),
        }
        Ok(())
    }

    fn compact_len(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        let plus_one = match len {
            Some(len) => i32::try_from(len).map_err(|_| EncodeError::TooLong)?.checked_add(1),
            None => Some(0),
        };
        self.uvarint(cast::bits_u32(plus_one.ok_or(EncodeError::TooLong)?));
        Ok(())
    }

    /// A string or null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn string(&mut self, value: Option<&str>, flexible: bool) -> Result<(), EncodeError> {
        self.string_len(value.map(str::len), flexible)?;
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Bytes or null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn bytes(&mut self, value: Option<&[u8]>, flexible: bool) -> Result<(), EncodeError> {
        self.long_len(value.map(<[u8]>::len), flexible)?;
        self.raw(value.unwrap_or_default());
        Ok(())
    }

    /// Record batches or null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn records(&mut self, value: Option<&Records>, flexible: bool) -> Result<(), EncodeError> {
        self.long_len(value.map(Records::len), flexible)?;
        if let Some(records) = value.filter(|records| !records.is_empty()) {
            self.cut();
            self.chunks.extend(records.chunks().iter().cloned());
        }
        Ok(())
    }

    /// The length of an array whose elements follow; `None` for null.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn array_len(&mut self, len: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        self.long_len(len, flexible)
    }

    /// The tagged fields that end a flexible structure, in the order of their tags.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn tagged_fields(&mut self, fields: &[(u32, Bytes)]) -> Result<(), EncodeError> {
        let count = u32::try_from(fields.len()).map_err(|_| EncodeError::TooLong)?;
        self.uvarint(count);
        for (tag, bytes) in fields {
            self.uvarint(*tag);
            self.uvarint(u32::try_from(bytes.len()).map_err(|_| EncodeError::TooLong)?);
            self.raw(bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Reader;

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 28, u32::MAX] {
            let mut writer = Writer::new();
            writer.uvarint(value);
            assert_eq!(Reader::new(&writer.into_bytes()).uvarint(), Ok(value));
        }
    }

    #[test]
    fn batches_stay_chunks_of_their_own() {
        let mut writer = Writer::new();
        writer.int8(1);
        writer.records(Some(&Records::from(Bytes::from_static(b"batch"))), false).unwrap();
        writer.int8(2);
        let lens: Vec<usize> = writer.finish().iter().map(Chunk::len).collect();
        assert_eq!(lens, [5, 5, 1]);
    }

    #[test]
    fn a_string_too_long_for_its_length_is_refused() {
        let long = "x".repeat(40_000);
        assert_eq!(Writer::new().string(Some(&long), false), Err(EncodeError::TooLong));
        assert_eq!(Writer::new().string(Some(&long), true), Ok(()));
    }
}
