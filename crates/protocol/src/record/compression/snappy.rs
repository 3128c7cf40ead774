//! Snappy as Kafka uses it: Java's stream framing ("Xerial") or one bare block.
//!
//! ```text
//! 82 "SNAPPY" 00 | version i32 | compatible i32 | { block length i32 | block }*
//! ```
//! Streams may be glued together, in which case the magic stands where a length would.

use std::io;

use base::cast;
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Compression, RecordError};
use crate::record::limits::{SNAPPY_BLOCK_BYTES, SNAPPY_RATIO_MAX};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const STREAM_HEADER_BYTES: usize = 16;
const DAMAGED: RecordError = RecordError::Decompression(Compression::Snappy);

pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION);
    let mut encoder = Encoder::new();
    for block in plain.chunks(SNAPPY_BLOCK_BYTES) {
        let length_at = out.len();
        let start = length_at + 4;
        out.resize(start + max_compress_len(block.len()), 0);
        let length = encoder.compress(block, &mut out[start..])?;
        out[length_at..start].copy_from_slice(&cast::u32_of(length).to_be_bytes());
        out.truncate(start + length);
    }
    Ok(())
}

pub(super) fn decompress(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, RecordError> {
    let mut plain = Vec::new();
    if !packed.starts_with(&MAGIC) {
        block(packed, &mut plain, bytes_max)?;
        return Ok(plain);
    }
    let mut rest = packed;
    while !rest.is_empty() {
        if rest.starts_with(&MAGIC) {
            rest = rest.get(STREAM_HEADER_BYTES..).ok_or(DAMAGED)?;
            continue;
        }
        let (length, behind) = rest.split_first_chunk::<4>().ok_or(DAMAGED)?;
        let length = cast::usize_of_u32(u32::from_be_bytes(*length));
        let (packed_block, behind) = behind.split_at_checked(length).ok_or(DAMAGED)?;
        block(packed_block, &mut plain, bytes_max)?;
        rest = behind;
    }
    Ok(plain)
}

// The stated length is held against the limit and against what so few bytes can become.
fn block(packed: &[u8], plain: &mut Vec<u8>, bytes_max: usize) -> Result<(), RecordError> {
    let stated = decompress_len(packed).map_err(|_| DAMAGED)?;
    let start = plain.len();
    let end = start.checked_add(stated).filter(|end| *end <= bytes_max);
    let end = end.ok_or(RecordError::DecompressedTooLarge { bytes_max })?;
    if stated > packed.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(DAMAGED);
    }
    plain.resize(end, 0);
    let written = Decoder::new().decompress(packed, &mut plain[start..]).map_err(|_| DAMAGED)?;
    plain.truncate(start + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_block_is_read_too() {
        let packed = Encoder::new().compress_vec(&[5; 1_000]).unwrap();
        assert_eq!(decompress(&packed, 1_000), Ok(vec![5; 1_000]));
    }

    #[test]
    fn streams_glued_together_are_read_as_one() {
        let mut packed = Vec::new();
        compress(b"first ", &mut packed).unwrap();
        compress(b"second", &mut packed).unwrap();
        assert_eq!(decompress(&packed, 100), Ok(b"first second".to_vec()));
    }

    #[test]
    fn the_densest_block_stays_within_the_ratio() {
        let packed = Encoder::new().compress_vec(&vec![0; 1 << 20]).unwrap();
        assert!(packed.len() * SNAPPY_RATIO_MAX >= 1 << 20);
        assert_eq!(decompress(&packed, 1 << 20).map(|plain| plain.len()), Ok(1 << 20));
    }

    #[test]
    fn a_stated_length_is_not_believed() {
        // The varint says 2^28 bytes, and four bytes of literals follow.
        let liar = [0x80, 0x80, 0x80, 0x80, 0x01, 0x0c, 1, 2, 3, 4];
        assert_eq!(decompress(&liar, 1 << 30), Err(DAMAGED));
        let bytes_max = 1 << 20;
        let refused = Err(RecordError::DecompressedTooLarge { bytes_max });
        assert_eq!(decompress(&liar, bytes_max), refused);
    }
}
