//! Zigzag numbers of variable length, as records use them.
//!
//! Seven bits a byte, lowest first. Padding inside the byte limit is accepted, as Kafka does;
//! more bytes than the type can need, or bits beyond it, are not.

use base::cast;

use super::RecordError;
use super::limits::{VARINT_BYTES_MAX, VARLONG_BYTES_MAX};

/// Maps small magnitudes of either sign to small numbers.
#[inline]
pub(super) const fn zigzag(value: i64) -> u64 {
    cast::bits_u64((value << 1) ^ (value >> 63))
}

#[inline]
const fn unzigzag(raw: u64) -> i64 {
    cast::bits_i64(raw >> 1) ^ -cast::bits_i64(raw & 1)
}

/// Bytes that `raw` takes: 1 to 10.
#[inline]
pub(super) const fn raw_bytes(raw: u64) -> usize {
    let bits = 64 - (raw | 1).leading_zeros();
    cast::usize_of_u32(bits.div_ceil(7))
}

/// Writes `raw` at `*at` and moves `*at` behind it.
///
/// # Panics
/// When `out` is too short; builders measure first.
#[inline]
pub(super) fn put(out: &mut [u8], at: &mut usize, mut raw: u64) {
    while raw >= 0x80 {
        out[*at] = cast::low_u8(raw | 0x80);
        *at += 1;
        raw >>= 7;
    }
    out[*at] = cast::low_u8(raw);
    *at += 1;
}

/// A reader over foreign bytes; it only ever moves forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(super) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What has not been read yet.
    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        let (first, rest) = self.rest.split_first().ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        let (part, rest) = self.rest.split_at_checked(count).ok_or(RecordError::Truncated)?;
        self.rest = rest;
        Ok(part)
    }

    /// A 32-bit number, at most five bytes.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<i32, RecordError> {
        // Nearly all lengths and deltas of small records are one byte.
        if let Some((first, rest)) = self.rest.split_first()
            && *first < 0x80
        {
            self.rest = rest;
            let raw = i32::from(*first);
            return Ok((raw >> 1) ^ -(raw & 1));
        }
        let raw = self.raw(VARINT_BYTES_MAX)?;
        if raw > u64::from(u32::MAX) {
            return Err(RecordError::Varint);
        }
        i32::try_from(unzigzag(raw)).map_err(|_| RecordError::Varint)
    }

    /// A 64-bit number, at most ten bytes.
    #[inline]
    pub(super) fn varlong(&mut self) -> Result<i64, RecordError> {
        if let Some((first, rest)) = self.rest.split_first()
            && *first < 0x80
        {
            self.rest = rest;
            let raw = i64::from(*first);
            return Ok((raw >> 1) ^ -(raw & 1));
        }
        self.raw(VARLONG_BYTES_MAX).map(unzigzag)
    }

    /// The whole record that starts here, its length included.
    pub(super) fn record_bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let start = self.rest;
        let length = self.varint()?;
        let Ok(length) = usize::try_from(length) else {
            return Err(RecordError::RecordLength(i64::from(length)));
        };
        self.take(length)?;
        Ok(&start[..start.len() - self.rest.len()])
    }

    fn raw(&mut self, bytes_max: usize) -> Result<u64, RecordError> {
        let mut raw = 0_u64;
        for index in 0..bytes_max {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index;
            // The tenth byte has room for one bit; more would be lost silently.
            if shift == 63 && bits > 1 {
                return Err(RecordError::Varint);
            }
            raw |= bits << shift;
            if byte < 0x80 {
                return Ok(raw);
            }
        }
        Err(RecordError::Varint)
    }

    /// A length prefix and its bytes; -1 is null, anything below that is damage.
    #[inline]
    pub(super) fn nullable(&mut self) -> Result<Option<&'a [u8]>, RecordError> {
        let length = self.varint()?;
        if length == -1 {
            return Ok(None);
        }
        let Ok(length) = usize::try_from(length) else {
            return Err(RecordError::RecordLength(i64::from(length)));
        };
        self.take(length).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(value: i64) -> Vec<u8> {
        let raw = zigzag(value);
        let mut out = vec![0; raw_bytes(raw)];
        let mut at = 0;
        put(&mut out, &mut at, raw);
        assert_eq!(at, out.len(), "the measured size is the written size");
        out
    }

    #[test]
    fn known_numbers_have_kafkas_bytes() {
        let cases: [(i64, &[u8]); 9] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in cases {
            assert_eq!(encode(value), bytes);
            assert_eq!(Cursor::new(bytes).varlong(), Ok(value));
            assert_eq!(Cursor::new(bytes).varint().map(i64::from), Ok(value));
        }
        let lowest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(encode(i64::MIN), lowest);
        assert_eq!(Cursor::new(&lowest).varlong(), Ok(i64::MIN));
    }

    #[test]
    fn numbers_round_trip_at_every_bit_length() {
        for shift in 0..64 {
            for near in [-1, 0, 1] {
                let value = (1_i64 << shift).wrapping_add(near);
                assert_eq!(Cursor::new(&encode(value)).varlong(), Ok(value));
            }
        }
    }

    #[test]
    fn too_many_bytes_or_bits_are_refused() {
        let overlong = [0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(Cursor::new(&overlong).varint(), Err(RecordError::Varint));
        let wide = [0xff, 0xff, 0xff, 0xff, 0x1f];
        assert_eq!(Cursor::new(&wide).varint(), Err(RecordError::Varint));
        let wide = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(Cursor::new(&wide).varlong(), Err(RecordError::Varint));
        assert_eq!(Cursor::new(&[0x80; 11]).varlong(), Err(RecordError::Varint));
        assert_eq!(Cursor::new(&[0x80]).varlong(), Err(RecordError::Truncated));
        assert_eq!(Cursor::new(&[]).varint(), Err(RecordError::Truncated));
    }

    #[test]
    fn only_minus_one_is_null() {
        assert_eq!(Cursor::new(&[0x01]).nullable(), Ok(None));
        assert_eq!(Cursor::new(&[0x03]).nullable(), Err(RecordError::RecordLength(-2)));
        assert_eq!(Cursor::new(&[0x04, 7]).nullable(), Err(RecordError::Truncated));
        assert_eq!(Cursor::new(&[0x04, 7, 8]).nullable(), Ok(Some(&[7, 8][..])));
    }
}
