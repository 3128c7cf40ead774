//! Numbers: exact integers where they fit, doubles otherwise.

use base::cast;

/// A number of a document or a pipeline file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer that fits 64 bits.
    Int(i64),
    /// Everything else; always finite.
    Float(f64),
}

impl Number {
    /// Reads a JSON number that fills all of `bytes`; `None` when it is none or overflows a double.
    ///
    /// An integer beyond 64 bits becomes a double.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if let Some(int) = small_integer(bytes) {
            return Some(Self::Int(int));
        }
        if let Some(float) = short_decimal(bytes) {
            return Some(Self::Float(float));
        }
        let shape = Shape::of(bytes)?;
        let text = std::str::from_utf8(bytes).ok()?;
        if shape == Shape::Integer
            && let Ok(int) = text.parse()
        {
            return Some(Self::Int(int));
        }
        let float: f64 = text.parse().ok()?;
        if float.is_finite() { Some(Self::Float(float)) } else { None }
    }

    /// The number as a double; integers beyond 2^53 are rounded.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(int) => cast::f64_of_i64(int),
            Self::Float(float) => float,
        }
    }

    /// The sum; integers stay integers. `None` on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        if let (Self::Int(left), Self::Int(right)) = (self, other) {
            return left.checked_add(right).map(Self::Int);
        }
        let sum = self.as_f64() + other.as_f64();
        if sum.is_finite() { Some(Self::Float(sum)) } else { None }
    }
}

/// Integers of up to 18 digits, which need no overflow check; by far the most common numbers.
#[inline]
fn small_integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    let leading_zero = digits.len() > 1 && digits.first() == Some(&b'0');
    if digits.is_empty() || digits.len() > 18 || leading_zero {
        return None;
    }
    // A minus zero is a double: the integer would lose its sign.
    if negative && digits == b"0" {
        return None;
    }
    let mut value: i64 = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(if negative { -value } else { value })
}

/// Decimals of up to 15 digits without exponent. Such an integer and such a power of ten are both
/// exact doubles, so that their quotient is the nearest double (Clinger's fast path).
#[inline]
fn short_decimal(bytes: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (negative, rest) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if rest.len() > 16 {
        return None;
    }
    let mut value: i64 = 0;
    let mut point = None;
    for (at, byte) in rest.iter().enumerate() {
        if byte.is_ascii_digit() {
            value = value * 10 + i64::from(byte - b'0');
        } else if *byte == b'.' && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let whole = point?;
    let places = rest.len() - whole - 1;
    if whole == 0 || places == 0 || (whole > 1 && rest.first() == Some(&b'0')) {
        return None;
    }
    let float = cast::f64_of_i64(value) / POWERS.get(places)?;
    Some(if negative { -float } else { float })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Integer,
    Decimal,
}

impl Shape {
    /// The JSON grammar of numbers.
    fn of(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"-").unwrap_or(bytes);
        let whole = digits(rest);
        if whole == 0 || (whole > 1 && rest.first() == Some(&b'0')) {
            return None;
        }
        let mut rest = rest.get(whole..)?;
        if rest.is_empty() {
            return Some(if bytes == b"-0" { Self::Decimal } else { Self::Integer });
        }
        if let Some(fraction) = rest.strip_prefix(b".") {
            let count = digits(fraction);
            if count == 0 {
                return None;
            }
            rest = fraction.get(count..)?;
        }
        if let [b'e' | b'E', exponent @ ..] = rest {
            let unsigned = match exponent {
                [b'+' | b'-', tail @ ..] => tail,
                _ => exponent,
            };
            let count = digits(unsigned);
            if count == 0 {
                return None;
            }
            rest = unsigned.get(count..)?;
        }
        if rest.is_empty() { Some(Self::Decimal) } else { None }
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Appends a number as JSON: the shortest text that reads back as the same number.
pub fn write_number(out: &mut Vec<u8>, number: Number) {
    match number {
        Number::Int(int) => out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes()),
        Number::Float(float) if float.is_finite() => {
            out.extend_from_slice(ryu::Buffer::new().format_finite(float).as_bytes());
        }
        // JSON has no infinity; the constructors never make one.
        Number::Float(_) => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<Number> {
        Number::parse(text.as_bytes())
    }

    #[test]
    fn integers_stay_exact_and_the_rest_becomes_double() {
        assert_eq!(parse("9223372036854775807"), Some(Number::Int(i64::MAX)));
        assert_eq!(parse("-9223372036854775808"), Some(Number::Int(i64::MIN)));
        assert_eq!(parse("9223372036854775808"), Some(Number::Float(9_223_372_036_854_775_808.0)));
        assert_eq!(parse("1e2"), Some(Number::Float(100.0)));
        assert_eq!(parse("-0"), Some(Number::Float(-0.0)));
        assert_eq!(parse("0.1"), Some(Number::Float(0.1)));
    }

    #[test]
    fn what_json_does_not_allow_is_no_number() {
        for text in [
            "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "1 ", "NaN", "inf", "1e999", "--1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn overflow_is_found() {
        assert_eq!(Number::Int(i64::MAX).checked_add(Number::Int(1)), None);
        assert_eq!(Number::Float(f64::MAX).checked_add(Number::Float(f64::MAX)), None);
        assert_eq!(Number::Int(1).checked_add(Number::Float(0.5)), Some(Number::Float(1.5)));
    }

    proptest! {
        #[test]
        fn numbers_survive_their_text(int: i64, float in proptest::num::f64::NORMAL) {
            let mut out = Vec::new();
            write_number(&mut out, Number::Int(int));
            prop_assert_eq!(Number::parse(&out), Some(Number::Int(int)));
            out.clear();
            write_number(&mut out, Number::Float(float));
            prop_assert_eq!(Number::parse(&out), Some(Number::Float(float)));
        }

        #[test]
        fn numbers_agree_with_another_reader(
            text in "-?[0-9]{1,25}(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        ) {
            // The other reader decides what a number is; its doubles are not always the nearest.
            let accepted = serde_json::from_str::<f64>(&text).is_ok();
            let nearest = text.parse::<f64>().ok().filter(|_| accepted);
            prop_assert_eq!(parse(&text).map(Number::as_f64), nearest);
        }
    }
}
