//! Numbers for people: `1,204`, `12.4k`, `1.5 MiB`, `4.1 ms`.

const KILO: f64 = 1_000.0;

/// A count with thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count that may be negative, which stands for "does not apply".
pub(crate) fn count_or_dash(number: i64) -> String {
    u64::try_from(number).map_or_else(|_| "-".to_owned(), count)
}

/// A rate in at most five characters: `0`, `12`, `410`, `12.4k`, `1.2M`.
pub(crate) fn rate(per_s: f64) -> String {
    short(per_s, KILO, &["", "k", "M", "G"])
}

/// A delay in milliseconds, with as many places as are worth reading.
pub(crate) fn delay_ms(ms: f64) -> String {
    if !ms.is_finite() || ms < 0.0 {
        return "-".to_owned();
    }
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..59_950.0 => format!("{:.1} s", ms / KILO),
        _ => duration_ms(base::cast::u64_of_f64(ms)),
    }
}

/// A delay that may not be known yet.
pub(crate) fn delay_or_dash(ms: Option<f64>) -> String {
    ms.map_or_else(|| "-".to_owned(), delay_ms)
}

/// A time span: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, `3 d 04 h`.
pub(crate) fn duration_ms(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..10 => format!("{}.{} s", seconds, ms % 1_000 / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min {:02} s", seconds % 60),
        3_600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

/// A measured value: up to three places, no trailing zeros, thousands apart.
pub(crate) fn value(number: f64) -> String {
    if !number.is_finite() {
        return "-".to_owned();
    }
    if number.abs() >= 1e15 {
        return format!("{number:e}");
    }
    let text = format!("{:.3}", number.abs());
    let (whole, fraction) = text.split_once('.').expect("three places were asked for");
    let whole = count(whole.parse().expect("a number below 1e15 fits"));
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let is_zero = whole == "0" && fraction.is_empty();
    let sign = if number < 0.0 && !is_zero { "-" } else { "" };
    format!("{sign}{whole}{dot}{fraction}")
}

fn short(number: f64, step: f64, units: &[&str]) -> String {
    if !number.is_finite() || number < 0.0 {
        return "-".to_owned();
    }
    let (mut scaled, mut unit) = (number, 0);
    // What would be rounded up to a whole step is shown in the next unit.
    while scaled >= step - 0.5 && unit + 1 < units.len() {
        scaled /= step;
        unit += 1;
    }
    let places = usize::from(unit > 0 && scaled < 99.95);
    format!("{scaled:.places$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let pairs = [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")];
        for (number, text) in pairs {
            assert_eq!(count(number), text);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!((count_or_dash(-1), count_or_dash(1_204)), ("-".to_owned(), "1,204".to_owned()));
    }

    #[test]
    fn rates_stay_short() {
        let pairs = [
            (0.0, "0"),
            (0.4, "0"),
            (12.0, "12"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (12_449.0, "12.4k"),
            (330_000.0, "330k"),
            (1_700_000.0, "1.7M"),
            (f64::NAN, "-"),
        ];
        for (number, text) in pairs {
            assert_eq!(rate(number), text);
        }
    }

    #[test]
    fn delays_have_the_places_that_matter() {
        let pairs = [
            (0.04, "0.0 ms"),
            (4.12, "4.1 ms"),
            (9.96, "10 ms"),
            (999.6, "1.0 s"),
            (31_000.0, "31.0 s"),
            (61_000.0, "1 min 01 s"),
            (-1.0, "-"),
        ];
        for (ms, text) in pairs {
            assert_eq!(delay_ms(ms), text);
        }
        assert_eq!(delay_or_dash(None), "-");
    }

    #[test]
    fn spans_name_two_units() {
        let pairs = [
            (420, "0.4 s"),
            (12_900, "12 s"),
            (185_000, "3 min 05 s"),
            (7_620_000, "2 h 07 min"),
            (273_600_000, "3 d 04 h"),
        ];
        for (ms, text) in pairs {
            assert_eq!(duration_ms(ms), text);
        }
    }

    #[test]
    fn values_have_no_noise() {
        let pairs = [
            (0.0, "0"),
            (-0.000_1, "0"),
            (12.5, "12.5"),
            (-1_234.567_89, "-1,234.568"),
            (24_483_241_984.0, "24,483,241,984"),
            (1e20, "1e20"),
            (f64::INFINITY, "-"),
        ];
        for (number, text) in pairs {
            assert_eq!(value(number), text);
        }
    }
}
