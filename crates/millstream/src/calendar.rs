//! Dates and times of day in UTC: RFC 3339 both ways, and the common letters of `strftime`.

const MS_PER_SECOND: i64 = 1_000;
const MS_PER_DAY: i64 = 86_400_000;
const DAYS_PER_ERA: i64 = 146_097;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A moment in UTC, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) ms: i64,
    days: i64,
    unix_ms: i64,
}

impl Moment {
    /// Takes milliseconds since 1970 apart; proleptic Gregorian calendar.
    pub(crate) fn from_unix_ms(unix_ms: i64) -> Self {
        let (days, within) = (unix_ms.div_euclid(MS_PER_DAY), unix_ms.rem_euclid(MS_PER_DAY));
        let (year, month, day) = date_of_days(days);
        let seconds = within / MS_PER_SECOND;
        Self {
            year,
            month,
            day,
            hour: seconds / 3_600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            ms: within % MS_PER_SECOND,
            days,
            unix_ms,
        }
    }

    /// `2026-11-21T06:50:00.250Z`.
    pub(crate) fn rfc3339(&self) -> String {
        let Self { year, month, day, hour, minute, second, ms, .. } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }

    /// `06:50:00`.
    pub(crate) fn time_of_day(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    /// Writes one letter of `strftime`; nothing for a letter that is not known.
    pub(crate) fn letter(&self, letter: char) -> Option<String> {
        let Self { year, month, day, hour, minute, second, ms, .. } = *self;
        let (weekday, month_name) = (WEEKDAYS[place(self.weekday())], MONTHS[place(month - 1)]);
        let hour_of_12 = if hour % 12 == 0 { 12 } else { hour % 12 };
        Some(match letter {
            'Y' => format!("{year}"),
            'm' => format!("{month:02}"),
            'd' => format!("{day:02}"),
            'e' => format!("{day:2}"),
            'y' => format!("{:02}", year.rem_euclid(100)),
            'C' => format!("{:02}", year.div_euclid(100)),
            'H' => format!("{hour:02}"),
            'I' => format!("{hour_of_12:02}"),
            'M' => format!("{minute:02}"),
            'S' => format!("{second:02}"),
            'L' => format!("{ms:03}"),
            'p' => (if hour < 12 { "AM" } else { "PM" }).to_owned(),
            'j' => format!("{:03}", self.days - days_of_date(year, 1, 1) + 1),
            'F' => format!("{year:04}-{month:02}-{day:02}"),
            'T' => self.time_of_day(),
            'R' => format!("{hour:02}:{minute:02}"),
            'D' => format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
            's' => format!("{}", self.unix_ms.div_euclid(MS_PER_SECOND)),
            'a' => weekday[..3].to_owned(),
            'A' => weekday.to_owned(),
            'b' | 'h' => month_name[..3].to_owned(),
            'B' => month_name.to_owned(),
            'u' => format!("{}", if self.weekday() == 0 { 7 } else { self.weekday() }),
            'w' => format!("{}", self.weekday()),
            'z' => "+0000".to_owned(),
            'Z' => "UTC".to_owned(),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }

    /// 0 is Sunday; the first day of 1970 was a Thursday.
    fn weekday(&self) -> i64 {
        (self.days + 4).rem_euclid(7)
    }
}

/// Reads a date (`2026-11-21`, its first moment) or a time of RFC 3339 as milliseconds since
/// 1970; nothing when it is neither.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month) = (number(&text[..4])?, number(&text[5..7])?);
    let day = number(&text[8..10])?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    let date_ms = days_of_date(year, month, day) * MS_PER_DAY;
    let Some(rest) = text[10..].strip_prefix(['T', 't', ' ']) else {
        return (bytes.len() == 10).then_some(date_ms);
    };
    time_of_day_ms(rest).map(|time_ms| date_ms + time_ms)
}

/// Reads `HH:MM:SS[.fraction](Z|+HH:MM)`.
fn time_of_day_ms(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 9 || bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let (hour, minute) = (number(&text[..2])?, number(&text[3..5])?);
    let second = number(&text[6..8])?;
    // A leap second counts as the first moment of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, zone) = match text[8..].strip_prefix('.') {
        None => (0, &text[8..]),
        Some(rest) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let shown = format!("{:0<3}", &rest[..digits.min(3)]);
            (number(&shown).filter(|_| digits > 0)?, &rest[digits..])
        }
    };
    let zone_ms = zone_ms(zone)?;
    Some((hour * 3_600 + minute * 60 + second) * MS_PER_SECOND + fraction_ms - zone_ms)
}

fn zone_ms(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60 * MS_PER_SECOND)
}

fn number(digits: &str) -> Option<i64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn place(number: i64) -> usize {
    usize::try_from(number).expect("months and weekdays are small and not negative")
}

fn days_in(year: i64, month: i64) -> i64 {
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_of_date(next_year, next_month, 1) - days_of_date(year, month, 1)
}

/// Days since 1970-01-01. A year begins in March here, so that a leap day is its last day.
fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - 719_468
}

fn date_of_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(DAYS_PER_ERA), shifted.rem_euclid(DAYS_PER_ERA));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_text_are_each_other() {
        let pairs = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_763_707_800_250, "2025-11-21T06:50:00.250Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (unix_ms, text) in pairs {
            assert_eq!(Moment::from_unix_ms(unix_ms).rfc3339(), text);
            assert_eq!(parse(text), Some(unix_ms));
        }
    }

    #[test]
    fn every_day_of_four_centuries_comes_back() {
        for day in (-150_000..150_000).step_by(17) {
            let (year, month, date) = date_of_days(day);
            assert_eq!(days_of_date(year, month, date), day);
        }
    }

    #[test]
    fn zones_and_fractions_are_understood() {
        let noon = parse("2026-01-02T12:00:00Z").expect("a plain time");
        assert_eq!(parse("2026-01-02T13:30:00+01:30"), Some(noon));
        assert_eq!(parse("2026-01-02t11:00:00.5-01:00"), Some(noon + 500));
        assert_eq!(parse("2026-01-02 12:00:00.123456789Z"), Some(noon + 123));
        assert_eq!(parse("2026-01-02"), Some(noon - 12 * 3_600_000));
        let leap_second = parse("2016-12-31T23:59:60Z");
        assert_eq!(leap_second, parse("2017-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let bad = [
            "",
            "now",
            "2026-1-2",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-02T",
            "2026-01-02T12:00",
            "2026-01-02T12:00:00",
            "2026-01-02T24:00:00Z",
            "2026-01-02T12:00:00.Z",
            "2026-01-02T12:00:00+1:00",
            "2026-01-02T12:00:00Zx",
            "+026-01-02",
            "2026-01-\u{fc}",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_letters_of_strftime_are_written() {
        let moment = Moment::from_unix_ms(1_763_707_800_250);
        let written = |letters: &str| -> String {
            letters.chars().map(|letter| moment.letter(letter).expect("a known letter")).collect()
        };
        assert_eq!(written("F"), "2025-11-21");
        assert_eq!(written("aAbB"), "FriFridayNovNovember");
        assert_eq!(written("HIMSLp"), "06065000250AM");
        assert_eq!(written("jsu"), "32517637078005");
        assert_eq!(moment.letter('Q'), None);
    }
}
