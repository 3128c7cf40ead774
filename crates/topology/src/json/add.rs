//! `sum`: a number of a document increased, with all bytes around it kept.

use std::fmt;

use super::{Found, JsonError, Number, Path, field_or_bare, root, write_number};

/// Why a number could not be increased.
#[derive(Debug, Clone, PartialEq)]
pub enum AddError {
    /// The document is not JSON up to the number.
    Json(JsonError),
    /// There is no such field.
    Absent,
    /// There is something else than a number.
    NotANumber {
        /// What is there, cut when it is long.
        found: String,
    },
    /// The sum fits neither 64 bits nor a double.
    Overflow {
        /// The number that is there.
        found: String,
    },
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "{error}"),
            Self::Absent => f.write_str("the field is not there"),
            Self::NotANumber { found } => write!(f, "{found} is no number"),
            Self::Overflow { found } => write!(f, "adding to {found} is more than a number holds"),
        }
    }
}

impl std::error::Error for AddError {}

/// Appends to `out` the document with the number at the path increased; without a path the whole
/// document is the number.
///
/// # Errors
/// There is no number, or the sum is too large. `out` is then unchanged.
pub fn add(
    document: &[u8],
    path: Option<&Path>,
    addend: Number,
    out: &mut Vec<u8>,
) -> Result<(), AddError> {
    let found = match path {
        Some(path) => {
            field_or_bare(document, path).map_err(AddError::Json)?.ok_or(AddError::Absent)?
        }
        None => root(document).map_err(AddError::Json)?,
    };
    let sum = increased(&found, addend)?;
    out.extend_from_slice(document.get(..found.range.start).unwrap_or_default());
    write_number(out, sum);
    out.extend_from_slice(document.get(found.range.end..).unwrap_or_default());
    Ok(())
}

fn increased(found: &Found<'_>, addend: Number) -> Result<Number, AddError> {
    let number = Number::parse(found.bytes)
        .ok_or_else(|| AddError::NotANumber { found: shown(found.bytes) })?;
    // An integer of more than 64 bits would lose digits as a double.
    let lossy = matches!(number, Number::Float(_)) && is_integer(found.bytes);
    let sum = if lossy { None } else { number.checked_add(addend) };
    sum.ok_or_else(|| AddError::Overflow { found: shown(found.bytes) })
}

/// Whether a number is written without point and exponent; minus zero is left to the doubles.
fn is_integer(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    digits.len() > 1 && digits.iter().all(u8::is_ascii_digit)
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.chars().count() <= 60 {
        return text.into_owned();
    }
    let start: String = text.chars().take(57).collect();
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(document: &str, path: Option<&str>, addend: Number) -> String {
        let path = path.map(|path| Path::parse(path).unwrap());
        let mut out = Vec::new();
        match add(document.as_bytes(), path.as_ref(), addend, &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_bytes_around_the_number_stay() {
        let document = r#"{ "v" : 41 , "s":"\u00e9" }"#;
        assert_eq!(run(document, Some("v"), Number::Int(1)), r#"{ "v" : 42 , "s":"\u00e9" }"#);
        assert_eq!(run(" 7\n", None, Number::Int(5)), " 12\n");
        assert_eq!(run("7", Some("value"), Number::Int(5)), "12");
        assert_eq!(run("{\"v\":1}", Some("v"), Number::Float(0.5)), "{\"v\":1.5}");
        assert_eq!(run("{\"v\":2.5}", Some("v"), Number::Int(1)), "{\"v\":3.5}");
    }

    #[test]
    fn what_cannot_be_increased_says_why() {
        let one = Number::Int(1);
        assert_eq!(run("{\"v\":\"x\"}", Some("v"), one), "\"x\" is no number");
        assert_eq!(run("{\"v\":null}", Some("v"), one), "null is no number");
        assert_eq!(run("{}", Some("v"), one), "the field is not there");
        assert!(run("9223372036854775807", None, one).contains("more than a number holds"));
        assert!(run("99999999999999999999", None, one).contains("more than a number holds"));
        assert!(run("{\"v\":", Some("v"), one).contains("ends in the middle"));
    }
}
