//! Durations with units and points in time, as people write them.

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

/// Milliseconds since 1970 of an RFC 3339 time such as `2026-01-01T00:00:01.250Z`; `None` when
/// the text is none.
#[must_use]
pub fn timestamp_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        if all { digits.parse().ok() } else { None }
    };
    let at = |index: usize, allowed: &[u8]| bytes.get(index).is_some_and(|b| allowed.contains(b));
    let shape = at(4, b"-") && at(7, b"-") && at(10, b"Tt ") && at(13, b":") && at(16, b":");
    if !shape {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let days = days_of(year, month, day)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (ms, zone_at) = fraction_ms(text)?;
    let zone = text.get(zone_at..)?;
    let zone_minutes = if zone.eq_ignore_ascii_case("z") {
        0
    } else if zone.len() == 6 && at(zone_at, b"+-") && at(zone_at + 3, b":") {
        let (hours, minutes) =
            (number(zone_at + 1, zone_at + 3)?, number(zone_at + 4, zone_at + 6)?);
        if hours > 23 || minutes > 59 {
            return None;
        }
        if zone.starts_with('-') { -(hours * 60 + minutes) } else { hours * 60 + minutes }
    } else {
        return None;
    };
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - zone_minutes * 60;
    Some(seconds * 1_000 + ms)
}

/// The milliseconds after the seconds and the index where the zone begins.
fn fraction_ms(text: &str) -> Option<(i64, usize)> {
    let tail = text.get(19..)?;
    let Some(digits) = tail.strip_prefix('.') else { return Some((0, 19)) };
    let count = digits.find(|c: char| !c.is_ascii_digit())?;
    if count == 0 {
        return None;
    }
    let padded: String = digits.chars().take(count).chain("000".chars()).take(3).collect();
    Some((padded.parse().ok()?, 20 + count))
}

/// Days since 1970 of a date of the Gregorian calendar; `None` when there is no such day.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March put the leap day last, so that months have a regular pattern.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The RFC 3339 text of a time in milliseconds since 1970, UTC, always with milliseconds.
#[must_use]
pub fn timestamp_text(ms: i64) -> String {
    let days = ms.div_euclid(86_400_000);
    let of_day = ms.rem_euclid(86_400_000);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
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
    fn times_are_read_with_fraction_and_zone() {
        assert_eq!(timestamp_ms("1970-01-01T00:00:01.5Z"), Some(1_500));
        assert_eq!(timestamp_ms("2026-01-01T02:00:01+02:00"), Some(1_767_225_601_000));
        assert_eq!(timestamp_ms("2024-02-29T00:00:00Z"), Some(1_709_164_800_000));
        for wrong in ["2026-02-29T00:00:00Z", "2026-01-01", "x", "2026-01-01T24:00:00Z", ""] {
            assert_eq!(timestamp_ms(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn times_survive_their_text(ms in -62_135_596_800_000_i64..253_402_300_800_000) {
            prop_assert_eq!(timestamp_ms(&timestamp_text(ms)), Some(ms));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in ".{0,40}") {
            let _ = duration_ms(&text); // Only a panic would be wrong.
            let _ = timestamp_ms(&text); // Only a panic would be wrong.
        }

        #[test]
        fn durations_survive_their_text(ms in 0_u64..DURATION_MS_MAX) {
            prop_assert_eq!(duration_ms(&duration_text(ms)), Ok(ms));
        }
    }
}
