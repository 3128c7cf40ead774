//! LZ4 as Kafka's clients write it: a frame of independent blocks without checksums of their own,
//! because a batch has one. Such frames are read and written block by block, straight from the
//! one buffer into the other; frames of any other kind go through the library's reader, which
//! copies once more.
//!
//! ```text
//! 04 22 4d 18 | flags 60 | block size, 40 to 70 | check | { length u32 | block }* | 0 u32
//! ```
//! The highest bit of a length says that the block is stored as it is.

use std::io;

use base::cast;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use lz4_flex::frame::FrameDecoder;

use super::{Compression, RecordError};
use crate::record::limits::{EXPANSION_EXPECTED, LZ4_BLOCK_BYTES, LZ4_RATIO_MAX};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Flags, block size and their check, for blocks of at most 64 KiB, 256 KiB, 1 MiB and 4 MiB.
const DESCRIPTORS: [[u8; 3]; 4] =
    [[0x60, 0x40, 0x82], [0x60, 0x50, 0xfb], [0x60, 0x60, 0x51], [0x60, 0x70, 0x73]];
const STORED: u32 = 1 << 31;
const DAMAGED: RecordError = RecordError::Decompression(Compression::Lz4);

pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&DESCRIPTORS[0]);
    for block in plain.chunks(LZ4_BLOCK_BYTES) {
        let length_at = out.len();
        let start = length_at + 4;
        out.resize(start + get_maximum_output_size(block.len()), 0);
        let packed = compress_into(block, &mut out[start..]).map_err(io::Error::other)?;
        let (length, kind) = if packed < block.len() { (packed, 0) } else { (block.len(), STORED) };
        out.truncate(start + length);
        if kind == STORED {
            out[start..].copy_from_slice(block);
        }
        out[length_at..start].copy_from_slice(&(cast::u32_of(length) | kind).to_le_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    Ok(())
}

pub(super) fn decompress(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, RecordError> {
    match blocks_of(packed) {
        Some((block_bytes_max, blocks)) => plain_of(blocks, block_bytes_max, bytes_max),
        None => read_any(packed, bytes_max),
    }
}

/// The blocks of a frame that is read here, with the largest size of a plain one.
fn blocks_of(packed: &[u8]) -> Option<(usize, &[u8])> {
    let rest = packed.strip_prefix(&MAGIC)?;
    let (descriptor, blocks) = rest.split_first_chunk::<3>()?;
    let at = DESCRIPTORS.iter().position(|known| known == descriptor)?;
    Some((LZ4_BLOCK_BYTES << (2 * at), blocks))
}

fn plain_of(
    mut blocks: &[u8],
    block_bytes_max: usize,
    bytes_max: usize,
) -> Result<Vec<u8>, RecordError> {
    let room = blocks.len().saturating_mul(EXPANSION_EXPECTED);
    let mut plain = Vec::with_capacity(room.min(bytes_max));
    loop {
        let (length, behind) = blocks.split_first_chunk::<4>().ok_or(DAMAGED)?;
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            // What follows the end is ignored, as Kafka does.
            return Ok(plain);
        }
        let is_stored = length & STORED != 0;
        let length = cast::usize_of_u32(length & !STORED);
        let (block, behind) = behind.split_at_checked(length).ok_or(DAMAGED)?;
        if is_stored {
            if length > block_bytes_max {
                return Err(DAMAGED);
            }
            plain.extend_from_slice(block);
        } else {
            unpack(block, &mut plain, block_bytes_max)?;
        }
        if plain.len() > bytes_max {
            return Err(RecordError::DecompressedTooLarge { bytes_max });
        }
        blocks = behind;
    }
}

fn unpack(block: &[u8], plain: &mut Vec<u8>, block_bytes_max: usize) -> Result<(), RecordError> {
    let start = plain.len();
    // No more room than so few bytes can fill.
    let room = block.len().saturating_mul(LZ4_RATIO_MAX).min(block_bytes_max);
    plain.resize(start + room, 0);
    let written = decompress_into(block, &mut plain[start..]).map_err(|_| DAMAGED)?;
    plain.truncate(start + written);
    Ok(())
}

fn read_any(packed: &[u8], bytes_max: usize) -> Result<Vec<u8>, RecordError> {
    let room = packed.len().saturating_mul(EXPANSION_EXPECTED);
    super::drain(FrameDecoder::new(packed), (room, bytes_max), DAMAGED)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use super::*;

    /// Words that repeat, and between them bytes that do not.
    fn mixed(bytes: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let noisy = |at: usize| (at / 70_000) % 2 == 1;
        (0..bytes).map(|at| if noisy(at) { next() } else { b"millstream"[at % 10] }).collect()
    }

    fn frame(info: FrameInfo, plain: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_the_library_writes_is_read_here_and_the_other_way_round() {
        for bytes in [0, 1, 65_536, 65_537, 300_000] {
            let plain = mixed(bytes);
            for (at, size) in
                [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB]
                    .into_iter()
                    .enumerate()
            {
                let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(size);
                let packed = frame(info, &plain);
                assert_eq!(packed[4..7], DESCRIPTORS[at], "the check of {size:?}");
                assert!(blocks_of(&packed).is_some());
                assert_eq!(decompress(&packed, bytes).as_ref(), Ok(&plain));
            }
            let mut packed = Vec::new();
            compress(&plain, &mut packed).unwrap();
            assert_eq!(read_any(&packed, bytes).as_ref(), Ok(&plain), "{bytes}");
            assert!(packed.len() <= bytes + 11 + 4 * bytes.div_ceil(LZ4_BLOCK_BYTES), "{bytes}");
        }
    }

    #[test]
    fn frames_of_other_kinds_are_read_too() {
        let plain = mixed(200_000);
        let independent = || FrameInfo::new().block_mode(BlockMode::Independent);
        for info in [
            FrameInfo::new().block_mode(BlockMode::Linked),
            independent().content_checksum(true),
            independent().block_checksums(true),
            independent().content_size(Some(200_000)),
        ] {
            let packed = frame(info, &plain);
            assert!(blocks_of(&packed).is_none());
            assert_eq!(decompress(&packed, 200_000).as_ref(), Ok(&plain));
        }
    }

    #[test]
    fn the_densest_block_stays_within_the_ratio() {
        let plain = vec![0; LZ4_BLOCK_BYTES];
        let mut packed = Vec::new();
        compress(&plain, &mut packed).unwrap();
        assert!((packed.len() - 15) * LZ4_RATIO_MAX >= LZ4_BLOCK_BYTES);
        assert_eq!(decompress(&packed, LZ4_BLOCK_BYTES), Ok(plain));
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let whole = |blocks: &[u8]| [&MAGIC[..], &DESCRIPTORS[0], blocks].concat();
        let refused = |blocks: &[u8]| decompress(&whole(blocks), 1 << 20);
        assert_eq!(refused(&[]), Err(DAMAGED), "no end");
        assert_eq!(refused(&[9, 0, 0, 0, 1]), Err(DAMAGED), "longer than what is there");
        assert_eq!(refused(&[1, 0, 0, 0, 0xf0, 0, 0, 0, 0]), Err(DAMAGED), "no literals");
        let mut stored = (cast::u32_of(LZ4_BLOCK_BYTES + 1) | STORED).to_le_bytes().to_vec();
        stored.resize(4 + LZ4_BLOCK_BYTES + 1, 7);
        stored.extend_from_slice(&[0; 4]);
        assert_eq!(refused(&stored), Err(DAMAGED), "larger than a block may be");
    }
}
