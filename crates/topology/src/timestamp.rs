//! Points in time as RFC 3339 texts: read in any zone, written in UTC with milliseconds.

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
    let mut out = Vec::with_capacity(24);
    write_timestamp(&mut out, ms);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends the text of a time; window results carry two of them each.
pub fn write_timestamp(out: &mut Vec<u8>, ms: i64) {
    let of_day = ms.rem_euclid(86_400_000);
    let (year, month, day) = date_of(ms.div_euclid(86_400_000));
    if (0..=9_999).contains(&year) {
        digits(out, year, 4);
    } else {
        // No clock gives such a year, and a foreign timestamp must not end the process.
        out.extend_from_slice(year.to_string().as_bytes());
    }
    for (sign, number, count) in [
        (b'-', month, 2),
        (b'-', day, 2),
        (b'T', of_day / 3_600_000, 2),
        (b':', of_day / 60_000 % 60, 2),
        (b':', of_day / 1_000 % 60, 2),
        (b'.', of_day % 1_000, 3),
    ] {
        out.push(sign);
        digits(out, number, count);
    }
    out.push(b'Z');
}

/// Appends the last digits of a number that is not negative.
fn digits(out: &mut Vec<u8>, number: i64, count: u32) {
    for place in (0..count).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).expect("a decimal digit is below ten"));
    }
}

/// Year, month and day of a day counted from 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
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
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_with_fraction_and_zone() {
        assert_eq!(timestamp_ms("1970-01-01T00:00:01.5Z"), Some(1_500));
        assert_eq!(timestamp_ms("2026-01-01T02:00:01+02:00"), Some(1_767_225_601_000));
        assert_eq!(timestamp_ms("2024-02-29T00:00:00Z"), Some(1_709_164_800_000));
        for wrong in ["2026-02-29T00:00:00Z", "2026-01-01", "x", "2026-01-01T24:00:00Z", ""] {
            assert_eq!(timestamp_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_beyond_the_calendar_are_written_all_the_same() {
        for ms in [i64::MIN, i64::MAX, -62_167_219_200_001] {
            assert!(timestamp_text(ms).ends_with('Z'));
        }
        assert_eq!(timestamp_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp_text(-1), "1969-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn times_survive_their_text(ms in -62_135_596_800_000_i64..253_402_300_800_000) {
            prop_assert_eq!(timestamp_ms(&timestamp_text(ms)), Some(ms));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = timestamp_ms(&text); // Only a panic would be wrong.
        }
    }
}
