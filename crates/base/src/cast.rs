//! The only home of integer casts: each function names what is promised.
//!
//! `as` wraps silently, and a silent wrap in an offset is data loss. Everything else in the house
//! converts with `From`, `TryFrom` or one of these.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the one home of casts"
)]

const _: () = assert!(size_of::<usize>() == 8, "the house is built for 64-bit machines");

/// A count or length as `u64`; always fits on the machines this is built for.
#[must_use]
pub const fn u64_of(value: usize) -> u64 {
    value as u64
}

/// A 64-bit length as `usize`; always fits on the machines this is built for.
#[must_use]
pub const fn usize_of(value: u64) -> usize {
    value as usize
}

/// A 32-bit length as `usize`.
#[must_use]
pub const fn usize_of_u32(value: u32) -> usize {
    value as usize
}

/// A length as `i64`.
///
/// # Panics
/// When the length exceeds `i64::MAX`, which no buffer or file reaches.
#[must_use]
pub const fn i64_of(value: usize) -> i64 {
    assert!(value <= i64::MAX as usize, "a length exceeds i64");
    value as i64
}

/// An unsigned 64-bit quantity as `i64`.
///
/// # Panics
/// When the value exceeds `i64::MAX`.
#[must_use]
pub const fn i64_of_u64(value: u64) -> i64 {
    assert!(value <= i64::MAX as u64, "a quantity exceeds i64");
    value as i64
}

/// A signed quantity that is never negative as `u64`.
///
/// # Panics
/// When the value is negative.
#[must_use]
pub const fn u64_of_i64(value: i64) -> u64 {
    assert!(value >= 0, "a quantity is negative");
    value as u64
}

/// A length as `i32`, for the lengths that Kafka's protocol writes in 32 bits.
///
/// # Panics
/// When the length exceeds `i32::MAX`; callers check their limits first.
#[must_use]
pub const fn i32_of(value: usize) -> i32 {
    assert!(value <= i32::MAX as usize, "a length exceeds i32");
    value as i32
}

/// A length as `u32`.
///
/// # Panics
/// When the length exceeds `u32::MAX`; callers check their limits first.
#[must_use]
pub const fn u32_of(value: usize) -> u32 {
    assert!(value <= u32::MAX as usize, "a length exceeds u32");
    value as u32
}

/// The same 32 bits, read as unsigned.
#[must_use]
pub const fn bits_u32(value: i32) -> u32 {
    value as u32
}

/// The same 32 bits, read as signed.
#[must_use]
pub const fn bits_i32(value: u32) -> i32 {
    value as i32
}

/// The same 64 bits, read as unsigned.
#[must_use]
pub const fn bits_u64(value: i64) -> u64 {
    value as u64
}

/// The same 64 bits, read as signed.
#[must_use]
pub const fn bits_i64(value: u64) -> i64 {
    value as i64
}

/// The same 16 bits, read as unsigned.
#[must_use]
pub const fn bits_u16(value: i16) -> u16 {
    value as u16
}

/// The same 8 bits, read as unsigned.
#[must_use]
pub const fn bits_u8(value: i8) -> u8 {
    value as u8
}

/// The same 8 bits, read as signed.
#[must_use]
pub const fn bits_i8(value: u8) -> i8 {
    value as i8
}

/// The lowest 8 bits.
#[must_use]
pub const fn low_u8(value: u64) -> u8 {
    (value & 0xff) as u8
}

/// The lowest 32 bits.
#[must_use]
pub const fn low_u32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// A floating-point number cut to `i64`; saturates, and not-a-number gives 0.
#[must_use]
pub const fn i64_of_f64(value: f64) -> i64 {
    value as i64
}

/// A floating-point number cut to `u64`; saturates, and what is negative gives 0.
#[must_use]
pub const fn u64_of_f64(value: f64) -> u64 {
    value as u64
}

/// A quantity as a floating-point number, for rates and percentages.
#[must_use]
pub const fn f64_of(value: u64) -> f64 {
    value as f64
}

/// A signed quantity as a floating-point number.
#[must_use]
pub const fn f64_of_i64(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_and_unsigned_views_keep_the_bits() {
        assert_eq!(bits_u32(-1), u32::MAX);
        assert_eq!(bits_i32(u32::MAX), -1);
        assert_eq!(bits_u64(-2), u64::MAX - 1);
        assert_eq!(bits_i64(u64::MAX), -1);
        assert_eq!(bits_i8(bits_u8(-3)), -3);
    }

    #[test]
    fn floats_saturate_instead_of_wrapping() {
        assert_eq!(i64_of_f64(1e300), i64::MAX);
        assert_eq!(i64_of_f64(f64::NAN), 0);
        assert_eq!(u64_of_f64(-1.0), 0);
    }
}
