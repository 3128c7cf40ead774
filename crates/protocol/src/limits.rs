//! Limits of the codec.

/// Elements for which room is made before any of them has been decoded; longer arrays grow as
/// their elements arrive.
pub const ARRAY_RESERVE_MAX: usize = 128;

/// Bytes of memory that decoding may spend for each byte of the frame. Real messages stay below
/// eight; an array of empty strings, which only an attacker sends, reaches twenty-four.
pub const DECODE_BYTES_PER_FRAME_BYTE_MAX: usize = 32;

/// Bytes of memory that decoding may spend whatever the frame's length.
pub const DECODE_BYTES_FLOOR: usize = 4096;
