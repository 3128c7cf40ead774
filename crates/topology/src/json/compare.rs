//! Whether a document is what a test case expects.

use serde_json::Value;

/// Whether `actual` has all that `expected` names: objects may have further fields, everything
/// else is equal, and 21 equals 21.0. Bytes that are no JSON are compared as they are.
#[must_use]
pub fn matches(expected: &[u8], actual: &[u8]) -> bool {
    let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    match (parsed(expected), parsed(actual)) {
        (Some(expected), Some(actual)) => is_part(&expected, &actual),
        _ => expected == actual,
    }
}

/// Documents that the reader accepts are at most 128 levels deep, so this ends.
fn is_part(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => expected
            .iter()
            .all(|(name, value)| actual.get(name).is_some_and(|found| is_part(value, found))),
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected.iter().zip(actual).all(|(expected, actual)| is_part(expected, actual))
        }
        (Value::Number(expected), Value::Number(actual)) => {
            expected == actual
                || (expected.as_f64() == actual.as_f64() && !both_whole(expected, actual))
        }
        _ => expected == actual,
    }
}

/// Whole numbers beyond 2^53 share doubles and are still different.
fn both_whole(left: &serde_json::Number, right: &serde_json::Number) -> bool {
    left.is_i64() && right.is_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_does_not_matter() {
        assert!(matches(b"{\"a\":1}", b"{\"b\":2,\"a\":1.0}"));
        assert!(matches(b"{\"a\":{\"b\":[1,2]}}", b"{\"a\":{\"c\":0,\"b\":[1,2]}}"));
        assert!(!matches(b"{\"a\":1}", b"{\"b\":2}"));
        assert!(!matches(b"{\"a\":null}", b"{}"));
        assert!(!matches(b"[1]", b"[1,2]"));
        assert!(!matches(b"9007199254740993", b"9007199254740992"));
        assert!(matches(b"plain text", b"plain text"));
        assert!(!matches(b"plain text", b"1"));
    }
}
