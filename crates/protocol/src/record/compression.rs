//! The five ways in which the records of a batch are packed.
//!
//! Decompression reads as a stream, stops at the caller's limit and believes no stated size: room
//! is made by the bytes that came, and memory grows with those that really came out.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::RecordError;
use super::header::COMPRESSION_MASK;
use super::limits::{EXPANSION_EXPECTED, ZSTD_LEVEL, ZSTD_WINDOW_LOG_MAX};

mod lz4;
mod snappy;

/// How a batch's records are compressed, with Kafka's numbers and names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Gzip at its default level.
    Gzip,
    /// Snappy in Java's stream framing; raw blocks are read as well.
    Snappy,
    /// LZ4 frames with independent blocks of 64 KiB.
    Lz4,
    /// Zstandard at level 3.
    Zstd,
}

impl Compression {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Kafka's name, as in `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The number in the attribute bits.
    #[must_use]
    pub const fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Reads the lowest three attribute bits.
    ///
    /// # Errors
    /// `UnsupportedCompression` for 5, 6 and 7.
    pub fn from_attributes(attributes: i16) -> Result<Self, RecordError> {
        match attributes & COMPRESSION_MASK {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            bits => Err(RecordError::UnsupportedCompression(u8::try_from(bits).unwrap_or(0))),
        }
    }

    /// Appends the compressed form of `plain` to `out`.
    ///
    /// # Errors
    /// `CompressionFailed` when the codec refuses; with memory as target none is known to.
    pub fn compress(self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        let done = match self {
            Self::None => out.write_all(plain),
            Self::Gzip => gzip(plain, out),
            Self::Snappy => snappy::compress(plain, out),
            Self::Lz4 => lz4::compress(plain, out),
            Self::Zstd => zstd(plain, out),
        };
        done.map_err(|_| RecordError::CompressionFailed(self))
    }

    /// The plain form of `packed`, at most `bytes_max` bytes of it.
    ///
    /// Uncompressed bytes are shared, not copied, and know no limit: they exist already.
    ///
    /// # Errors
    /// `DecompressedTooLarge` beyond the limit, `Decompression` for damage.
    pub fn decompress(self, packed: &Bytes, bytes_max: usize) -> Result<Bytes, RecordError> {
        // Growing a large piece step by step costs as much as the codec does.
        let room = (packed.len().saturating_mul(EXPANSION_EXPECTED), bytes_max);
        let damaged = RecordError::Decompression(self);
        let plain = match self {
            Self::None => return Ok(packed.clone()),
            Self::Gzip => drain(MultiGzDecoder::new(packed.as_ref()), room, damaged),
            Self::Snappy => snappy::decompress(packed, bytes_max),
            Self::Lz4 => lz4::decompress(packed, bytes_max),
            Self::Zstd => match zstd_reader(packed) {
                Ok(reader) => drain(reader, room, damaged),
                Err(_) => Err(damaged),
            },
        };
        plain.map(Bytes::from)
    }
}

/// Reads all there is, at most `bytes_max` bytes; so much room is made for it at once.
fn drain(
    source: impl Read,
    (room, bytes_max): (usize, usize),
    damaged: RecordError,
) -> Result<Vec<u8>, RecordError> {
    let mut plain = Vec::with_capacity(room.min(bytes_max));
    // One byte more than allowed tells "exactly full" from "too much".
    let mut limited = source.take(base::cast::u64_of(bytes_max).saturating_add(1));
    limited.read_to_end(&mut plain).map_err(|_| damaged)?;
    if plain.len() > bytes_max {
        return Err(RecordError::DecompressedTooLarge { bytes_max });
    }
    Ok(plain)
}

fn zstd_reader(packed: &[u8]) -> io::Result<impl Read + '_> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

fn gzip(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = GzEncoder::new(out, flate2::Compression::default());
    encoder.write_all(plain)?;
    encoder.try_finish()
}

// In one piece, so that the codec knows the size and sets up no larger tables than it needs.
fn zstd(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    out.resize(start + zstd::zstd_safe::compress_bound(plain.len()), 0);
    let written = zstd::bulk::compress_to_buffer(plain, &mut out[start..], ZSTD_LEVEL)?;
    out.truncate(start + written);
    Ok(())
}

impl fmt::Display for Compression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.name() == name).ok_or(UnknownCompression)
    }
}

/// A name that is not one of none, gzip, snappy, lz4, zstd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCompression;

impl fmt::Display for UnknownCompression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("compression is one of none, gzip, snappy, lz4, zstd")
    }
}

impl std::error::Error for UnknownCompression {}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: usize) -> Vec<u8> {
        let words = b"the mill grinds what the stream brings ";
        words.iter().copied().cycle().take(bytes).collect()
    }

    #[test]
    fn names_and_numbers_are_kafkas() {
        for (number, codec) in (0_i16..).zip(Compression::ALL) {
            assert_eq!(codec.name().parse(), Ok(codec));
            assert_eq!(codec.bits(), number);
            assert_eq!(Compression::from_attributes(number | 0x30), Ok(codec));
        }
        assert_eq!("LZ4".parse::<Compression>(), Err(UnknownCompression));
        for bits in 5..=7 {
            assert!(Compression::from_attributes(bits).is_err());
        }
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        for codec in Compression::ALL {
            for bytes in [0, 1, 100, 32 * 1024, 64 * 1024 + 1, 300_000] {
                let plain = text(bytes);
                let mut packed = vec![7; 3];
                codec.compress(&plain, &mut packed).unwrap();
                let packed = Bytes::from(packed).slice(3..);
                assert_eq!(codec.decompress(&packed, bytes).unwrap(), plain, "{codec} {bytes}");
            }
        }
    }

    #[test]
    fn one_byte_beyond_the_limit_is_too_large() {
        let plain = text(100_000);
        for codec in &Compression::ALL[1..] {
            let mut packed = Vec::new();
            codec.compress(&plain, &mut packed).unwrap();
            let packed = Bytes::from(packed);
            assert!(codec.decompress(&packed, 100_000).is_ok());
            let bytes_max = 99_999;
            let refused = codec.decompress(&packed, bytes_max);
            assert_eq!(refused, Err(RecordError::DecompressedTooLarge { bytes_max }), "{codec}");
        }
    }

    #[test]
    fn a_compressed_section_cut_anywhere_is_never_taken_for_whole() {
        let plain = text(1_000);
        for codec in &Compression::ALL[1..] {
            let mut packed = Vec::new();
            codec.compress(&plain, &mut packed).unwrap();
            let packed = Bytes::from(packed);
            for end in 0..packed.len() {
                let part = codec.decompress(&packed.slice(..end), 10_000);
                assert!(
                    part.is_err() || part.unwrap().len() < plain.len() || end + 4 >= packed.len(),
                    "{codec} {end}"
                );
            }
        }
    }
}
