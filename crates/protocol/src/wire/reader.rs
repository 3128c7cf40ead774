//! A cursor over a frame.

use base::cast;
use base::uuid::Uuid;
use bytes::Bytes;

use super::{DecodeError, Records};
use crate::limits::{ARRAY_RESERVE_MAX, DECODE_BYTES_FLOOR, DECODE_BYTES_PER_FRAME_BYTE_MAX};

/// Reads a frame from front to back; byte fields share the frame's memory.
#[derive(Debug)]
pub struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
    end: usize,
    budget: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the frame's first byte.
    #[must_use]
    pub fn new(frame: &'a Bytes) -> Self {
        let budget =
            frame.len().saturating_mul(DECODE_BYTES_PER_FRAME_BYTE_MAX) + DECODE_BYTES_FLOOR;
        Self { frame, at: 0, end: frame.len(), budget }
    }

    /// Bytes that are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`].
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.remaining() == 0 { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        if len > self.remaining() {
            return Err(DecodeError::Truncated);
        }
        let taken = self.frame.get(self.at..self.at + len).ok_or(DecodeError::Truncated)?;
        self.at += len;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        taken.first_chunk::<N>().copied().ok_or(DecodeError::Truncated)
    }

    fn share(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let start = self.at;
        self.take(len)?;
        Ok(self.frame.slice(start..self.at))
    }

    /// The rest of the frame, shared.
    #[must_use]
    pub fn rest(&mut self) -> Bytes {
        let start = self.at;
        self.at = self.end;
        self.frame.slice(start..self.end)
    }

    /// A byte; any value but 0 is true.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], as for all numbers below.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.fixed::<1>()? != [0])
    }

    /// 8 bits.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn int8(&mut self) -> Result<i8, DecodeError> {
        self.fixed().map(i8::from_be_bytes)
    }

    /// 16 bits, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn int16(&mut self) -> Result<i16, DecodeError> {
        self.fixed().map(i16::from_be_bytes)
    }

    /// 32 bits, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn int32(&mut self) -> Result<i32, DecodeError> {
        self.fixed().map(i32::from_be_bytes)
    }

    /// 32 bits, big-endian, unsigned.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn uint32(&mut self) -> Result<u32, DecodeError> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// 64 bits, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn int64(&mut self) -> Result<i64, DecodeError> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// 128 bits.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.fixed().map(Uuid)
    }

    /// An unsigned varint of at most five bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::Varint`].
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let mut value: u32 = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed::<1>()?;
            let low = u32::from(byte & 0x7f);
            if shift == 28 && low > 0x0f {
                return Err(DecodeError::Varint);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Varint)
    }

    /// A length in 16 bits or a compact one; `None` for null.
    fn string_len(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return self.compact_len();
        }
        match self.int16()? {
            -1 => Ok(None),
            len => usize::try_from(len).map(Some).map_err(|_| DecodeError::Length),
        }
    }

    /// A length in 32 bits or a compact one; `None` for null.
    fn long_len(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return self.compact_len();
        }
        match self.int32()? {
            -1 => Ok(None),
            len => usize::try_from(len).map(Some).map_err(|_| DecodeError::Length),
        }
    }

    fn compact_len(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.uvarint()?.checked_sub(1).map(cast::usize_of_u32))
    }

    /// A string.
    ///
    /// # Errors
    /// [`DecodeError`], also when it is null.
    pub fn string(&mut self, flexible: bool) -> Result<String, DecodeError> {
        self.nullable_string(flexible)?.ok_or(DecodeError::Length)
    }

    /// A string or null.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<String>, DecodeError> {
        let Some(len) = self.string_len(flexible)? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| DecodeError::Utf8)?;
        Ok(Some(text.to_owned()))
    }

    /// Bytes that share the frame's memory.
    ///
    /// # Errors
    /// [`DecodeError`], also when they are null.
    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(flexible)?.ok_or(DecodeError::Length)
    }

    /// Bytes that share the frame's memory, or null.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        match self.long_len(flexible)? {
            Some(len) => self.share(len).map(Some),
            None => Ok(None),
        }
    }

    /// Record batches that share the frame's memory, or null.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn records(&mut self, flexible: bool) -> Result<Option<Records>, DecodeError> {
        Ok(self.nullable_bytes(flexible)?.map(Records::from))
    }

    /// An array, each element read by `element`.
    ///
    /// # Errors
    /// [`DecodeError`], also when it is null.
    pub fn array<T>(
        &mut self,
        flexible: bool,
        element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(flexible, element)?.ok_or(DecodeError::Length)
    }

    /// An array or null.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.long_len(flexible)? else {
            return Ok(None);
        };
        let mut elements = Vec::with_capacity(self.capacity_hint(count)?);
        for _ in 0..count {
            self.budget = self.budget.checked_sub(size_of::<T>()).ok_or(DecodeError::Budget)?;
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// Room worth making for `count` announced elements: each takes at least one byte.
    fn capacity_hint(&self, count: usize) -> Result<usize, DecodeError> {
        if count > self.remaining() {
            return Err(DecodeError::Truncated);
        }
        Ok(count.min(ARRAY_RESERVE_MAX))
    }

    /// The tagged fields that end a flexible structure (KIP-482); `field` reads those it knows.
    ///
    /// # Errors
    /// [`DecodeError`], also when a known field does not fill its size.
    pub fn tagged_fields(
        &mut self,
        mut field: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        for _ in 0..count {
            let tag = self.uvarint()?;
            let len = cast::usize_of_u32(self.uvarint()?);
            let start = self.at;
            self.take(len)?;
            let mut inner =
                Reader { frame: self.frame, at: start, end: self.at, budget: self.budget };
            if field(tag, &mut inner)? {
                inner.finish()?;
                self.budget = inner.budget;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(raw: &'static [u8]) -> Bytes {
        Bytes::from_static(raw)
    }

    #[test]
    fn a_varint_longer_than_its_type_is_refused() {
        for raw in [&[0x80u8, 0x80, 0x80, 0x80, 0x10][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 1]] {
            let frame = Bytes::copy_from_slice(raw);
            assert_eq!(Reader::new(&frame).uvarint(), Err(DecodeError::Varint));
        }
        let frame = bytes(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(Reader::new(&frame).uvarint(), Ok(u32::MAX));
    }

    #[test]
    fn an_announced_length_beyond_the_frame_is_refused_before_anything_is_allocated() {
        let frame = bytes(&[0x7f, 0xff, 0xff, 0xff, 1]);
        assert_eq!(Reader::new(&frame).bytes(false), Err(DecodeError::Truncated));
        let read = Reader::new(&frame).array(false, Reader::int8);
        assert_eq!(read, Err(DecodeError::Truncated));
    }

    #[test]
    fn arrays_of_empty_strings_hit_the_budget() {
        let count = 64 << 10;
        let mut raw = vec![0, 1, 0, 0];
        raw.extend(std::iter::repeat_n(1u8, count));
        let frame = Bytes::from(raw);
        let nested = Reader::new(&frame).array(false, |reader| {
            let text = reader.string(true)?;
            Ok([text.clone(), text.clone(), text])
        });
        assert_eq!(nested, Err(DecodeError::Budget));
    }

    #[test]
    fn null_is_an_error_where_it_is_not_allowed() {
        let frame = bytes(&[0xff, 0xff]);
        assert_eq!(Reader::new(&frame).string(false), Err(DecodeError::Length));
        assert_eq!(Reader::new(&frame).nullable_string(false), Ok(None));
        let frame = bytes(&[0]);
        assert_eq!(Reader::new(&frame).string(true), Err(DecodeError::Length));
    }

    #[test]
    fn unknown_tags_are_skipped_and_known_ones_must_fill_their_size() {
        let frame = bytes(&[2, 5, 2, 9, 9, 7, 1, 42]);
        let mut seen = 0;
        let mut reader = Reader::new(&frame);
        let read = reader.tagged_fields(|tag, field| {
            if tag == 7 {
                seen = field.int8()?;
            }
            Ok(tag == 7)
        });
        assert_eq!((read, seen), (Ok(()), 42));
        assert_eq!(reader.finish(), Ok(()));
        let read = Reader::new(&frame).tagged_fields(|_, _| Ok(true));
        assert_eq!(read, Err(DecodeError::Trailing));
    }
}
