//! Where to begin and end reading: the `-o` option.
//!
//! `start`, `end`, `N` (absolute), `-N` (N before the end), `+N` (N after the start), `N:M` (from
//! N up to but not including M), `@TIME` and `@TIME:TIME`. A TIME is a date, a time of RFC 3339,
//! milliseconds since 1970, or an age such as `-1h`.

use std::fmt;

use crate::calendar;

/// Numbers of this size are seconds since 1970 for any date that people mean.
const LOOKS_LIKE_SECONDS: std::ops::Range<i64> = 100_000_000..100_000_000_000;

/// A parsed `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetSpec {
    /// The first record that there is.
    Start,
    /// What comes from now on.
    End,
    /// This offset.
    At(i64),
    /// So many records before the end of each partition.
    BeforeEnd(i64),
    /// So many records after the start of each partition.
    AfterStart(i64),
    /// From the first offset up to, but not including, the second one.
    Between { from: i64, until: i64 },
    /// The first record with this timestamp or a later one.
    Since { from_ms: i64 },
    /// From the first time up to, but not including, the second one.
    During { from_ms: i64, until_ms: i64 },
}

/// Why a text is no `-o`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OffsetSpecError {
    /// No form that is known.
    Form { text: String },
    /// A time that cannot be read.
    Time { text: String },
    /// A number that is a time in seconds where milliseconds are meant.
    Seconds { seconds: i64 },
    /// A range whose end is before its start.
    Backwards { text: String },
}

impl fmt::Display for OffsetSpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { text } => write!(
                f,
                "`{text}` is no place to read from; use start, end, N, -N, +N, N:M, @TIME or \
                 @TIME:TIME"
            ),
            Self::Time { text } => write!(
                f,
                "`{text}` is no time; use 2026-11-21T06:50:00Z, a date, milliseconds since 1970 \
                 or an age such as -1h"
            ),
            Self::Seconds { seconds } => {
                write!(f, "{seconds} looks like seconds; milliseconds are {seconds}000")
            }
            Self::Backwards { text } => write!(f, "`{text}` ends before it starts"),
        }
    }
}

impl std::error::Error for OffsetSpecError {}

impl OffsetSpec {
    /// Reads the option; ages are counted back from `now_ms`.
    pub(crate) fn parse(text: &str, now_ms: i64) -> Result<Self, OffsetSpecError> {
        let form = || OffsetSpecError::Form { text: text.to_owned() };
        if let Some(times) = text.strip_prefix('@') {
            return parse_times(times, now_ms);
        }
        if let Some((from, until)) = text.split_once(':') {
            let from = whole(from).ok_or_else(form)?;
            let until = whole(until).ok_or_else(form)?;
            if until < from {
                return Err(OffsetSpecError::Backwards { text: text.to_owned() });
            }
            return Ok(Self::Between { from, until });
        }
        let parsed = match text {
            "start" => Some(Self::Start),
            "end" => Some(Self::End),
            _ => match text.as_bytes().first() {
                Some(b'-') => whole(&text[1..]).map(Self::BeforeEnd),
                Some(b'+') => whole(&text[1..]).map(Self::AfterStart),
                _ => whole(text).map(Self::At),
            },
        };
        parsed.ok_or_else(form)
    }
}

/// Times hold colons themselves: exactly one of the cuts gives two times.
fn parse_times(text: &str, now_ms: i64) -> Result<OffsetSpec, OffsetSpecError> {
    let whole = time(text, now_ms);
    if let Ok(from_ms) = whole {
        return Ok(OffsetSpec::Since { from_ms });
    }
    for (at, _) in text.match_indices(':') {
        let (from, until) = (&text[..at], &text[at + 1..]);
        if let (Ok(from_ms), Ok(until_ms)) = (time(from, now_ms), time(until, now_ms)) {
            if until_ms < from_ms {
                return Err(OffsetSpecError::Backwards { text: format!("@{text}") });
            }
            return Ok(OffsetSpec::During { from_ms, until_ms });
        }
    }
    whole.map(|from_ms| OffsetSpec::Since { from_ms })
}

fn time(text: &str, now_ms: i64) -> Result<i64, OffsetSpecError> {
    if let Some(ms) = whole(text) {
        if LOOKS_LIKE_SECONDS.contains(&ms) {
            return Err(OffsetSpecError::Seconds { seconds: ms });
        }
        return Ok(ms);
    }
    let age_ms = text.strip_prefix('-').and_then(duration_ms);
    let past = age_ms.and_then(|age_ms| now_ms.checked_sub(age_ms));
    let found = past.or_else(|| calendar::parse(text));
    found.ok_or_else(|| OffsetSpecError::Time { text: text.to_owned() })
}

fn duration_ms(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let factor = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    whole(&text[..digits])?.checked_mul(factor)
}

/// A number without a sign.
fn whole(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_763_707_800_000;

    fn parsed(text: &str) -> OffsetSpec {
        OffsetSpec::parse(text, NOW_MS).expect("a place to read from")
    }

    fn complaint(text: &str) -> String {
        OffsetSpec::parse(text, NOW_MS).expect_err("no place to read from").to_string()
    }

    #[test]
    fn places_are_understood() {
        assert_eq!(parsed("start"), OffsetSpec::Start);
        assert_eq!(parsed("end"), OffsetSpec::End);
        assert_eq!(parsed("0"), OffsetSpec::At(0));
        assert_eq!(parsed("-10"), OffsetSpec::BeforeEnd(10));
        assert_eq!(parsed("+10"), OffsetSpec::AfterStart(10));
        assert_eq!(parsed("5:8"), OffsetSpec::Between { from: 5, until: 8 });
    }

    #[test]
    fn times_are_understood() {
        let since = |from_ms| OffsetSpec::Since { from_ms };
        assert_eq!(parsed("@1763707800000"), since(NOW_MS));
        assert_eq!(parsed("@0"), since(0));
        assert_eq!(parsed("@-1h"), since(NOW_MS - 3_600_000));
        assert_eq!(parsed("@2025-11-21T06:50:00Z"), since(NOW_MS));
        assert_eq!(parsed("@2025-11-21T07:50:00+01:00"), since(NOW_MS));
        assert_eq!(parsed("@2025-11-21"), since(NOW_MS - 24_600_000));
        let hour = OffsetSpec::During { from_ms: NOW_MS - 3_600_000, until_ms: NOW_MS - 1_800_000 };
        assert_eq!(parsed("@-1h:-30m"), hour);
        assert_eq!(parsed("@2025-11-21T05:50:00Z:2025-11-21T06:20:00Z"), hour);
        assert_eq!(parsed("@2025-11-21T06:50:00+01:00:-30m"), hour);
    }

    #[test]
    fn the_rest_is_refused_with_a_way_out() {
        for text in
            ["", "begin", "1.5", "--1", "+", "-", "1:", ":1", "1:2:3", "99999999999999999999"]
        {
            assert!(complaint(text).contains("no place to read from"), "{text}");
        }
        assert_eq!(complaint("8:5"), "`8:5` ends before it starts");
        assert_eq!(complaint("@-30m:-1h"), "`@-30m:-1h` ends before it starts");
        for text in ["@", "@yesterday", "@-1y", "@-h", "@-99999999999999999d", "@1h"] {
            assert!(complaint(text).contains("is no time"), "{text}");
        }
        assert_eq!(
            complaint("@1763707800"),
            "1763707800 looks like seconds; milliseconds are 1763707800000"
        );
    }
}
