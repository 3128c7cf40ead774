//! Durations and sizes with units, as people write them.

use crate::limits::DURATION_MS_MAX;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DurationError {
    /// A number alone.
    NoUnit,
    /// No number with a known unit.
    Malformed,
    /// More than the limit.
    TooLong,
}

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Milliseconds of a text such as `500ms`, `10s`, `1.5h` or `1h30m`.
///
/// # Errors
/// Which of the three ways it is wrong in.
pub(crate) fn duration_ms(text: &str) -> Result<u64, DurationError> {
    let text = text.trim();
    if !text.is_empty() && text.parse::<f64>().is_ok_and(f64::is_finite) {
        return if text.parse::<u64>() == Ok(0) { Ok(0) } else { Err(DurationError::NoUnit) };
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(letters);
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let Some((_, factor)) = known else { return Err(DurationError::Malformed) };
        let part = scaled(number, *factor).ok_or(DurationError::Malformed)?;
        total = total.checked_add(part).ok_or(DurationError::TooLong)?;
        if total > DURATION_MS_MAX {
            return Err(DurationError::TooLong);
        }
        rest = after.trim_start();
    }
    if text.is_empty() { Err(DurationError::Malformed) } else { Ok(total) }
}

/// A decimal number times a unit; `None` when it is no number or no whole count of milliseconds.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 6 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let whole = whole.saturating_mul(factor);
    if fraction.is_empty() {
        return Some(whole);
    }
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let part = fraction.parse::<u64>().ok()?.checked_mul(factor)?;
    if part % scale != 0 { None } else { whole.checked_add(part / scale) }
}

/// A duration as short as it is exact: `1h`, `90s`, `250ms`.
#[must_use]
pub fn duration_text(ms: u64) -> String {
    let fits = UNITS.iter().rev().find(|(_, factor)| ms.is_multiple_of(*factor) && ms >= *factor);
    fits.map_or_else(|| format!("{ms}ms"), |(unit, factor)| format!("{}{unit}", ms / factor))
}

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SizeError {
    /// A number alone.
    NoUnit,
    /// No number with a known unit.
    Malformed,
}

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// Bytes of a text such as `256MiB`, `1.5 GiB` or `500MB`; larger than can be counted is the
/// largest number.
///
/// # Errors
/// Which of the two ways it is wrong in.
pub(crate) fn size_bytes(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if unit.is_empty() && !number.is_empty() {
        return Err(SizeError::NoUnit);
    }
    let known = SIZES.iter().find(|(name, _)| *name == unit.trim_start());
    let (_, factor) = known.ok_or(SizeError::Malformed)?;
    scaled(number, *factor).ok_or(SizeError::Malformed)
}

/// A size as short as it is exact: `256MiB`, `1500B`.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let binary = SIZES.iter().rev().filter(|(unit, _)| unit.ends_with("iB"));
    let mut fits = binary.filter(|(_, factor)| bytes.is_multiple_of(*factor) && bytes >= *factor);
    fits.next()
        .map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_need_units() {
        assert_eq!(duration_ms("250ms"), Ok(250));
        assert_eq!(duration_ms("1h30m"), Ok(5_400_000));
        assert_eq!(duration_ms("1.5s"), Ok(1_500));
        assert_eq!(duration_ms("0"), Ok(0));
        assert_eq!(duration_ms("10"), Err(DurationError::NoUnit));
        assert_eq!(duration_ms("1.0001s"), Err(DurationError::Malformed));
        assert_eq!(duration_ms("ten"), Err(DurationError::Malformed));
        assert_eq!(duration_ms(""), Err(DurationError::Malformed));
        assert_eq!(duration_ms("99999999999999999999d"), Err(DurationError::Malformed));
        assert_eq!(duration_ms("9999999999999999d"), Err(DurationError::TooLong));
    }

    #[test]
    fn sizes_need_units() {
        assert_eq!(size_bytes("256MiB"), Ok(256 << 20));
        assert_eq!(size_bytes(" 1.5 GiB "), Ok(3 << 29));
        assert_eq!(size_bytes("500MB"), Ok(500_000_000));
        assert_eq!(size_bytes("1B"), Ok(1));
        assert_eq!(size_bytes("256"), Err(SizeError::NoUnit));
        assert_eq!(size_bytes("1.0001B"), Err(SizeError::Malformed));
        assert_eq!(size_bytes("MiB"), Err(SizeError::Malformed));
        assert_eq!(size_bytes("1mib"), Err(SizeError::Malformed));
        assert_eq!(size_bytes(""), Err(SizeError::Malformed));
        assert_eq!(size_bytes("99999999999999999999GiB"), Err(SizeError::Malformed));
        assert_eq!(size_text(3 << 29), "1536MiB");
        assert_eq!(size_text(1 << 30), "1GiB");
        assert_eq!(size_text(1_500), "1500B");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in ".{0,40}") {
            let _ = duration_ms(&text); // Only a panic would be wrong.
            let _ = size_bytes(&text);
        }

        #[test]
        fn durations_survive_their_text(ms in 0_u64..DURATION_MS_MAX) {
            prop_assert_eq!(duration_ms(&duration_text(ms)), Ok(ms));
        }

        #[test]
        fn sizes_survive_their_text(bytes in 0_u64..1 << 50) {
            prop_assert_eq!(size_bytes(&size_text(bytes)), Ok(bytes));
        }
    }
}
