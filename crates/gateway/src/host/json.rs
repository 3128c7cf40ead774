//! The document of a reading: what strangers will parse, so it changes only by decision.

use bytes::Bytes;
use serde::Serialize;

/// A reading on its way into a topic; the fields are written in this order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReadingDocument<'a> {
    /// The sensor, unique on its machine.
    pub sensor: &'a str,
    /// The value, `null` when it could not be taken.
    pub value: Option<f64>,
    /// The value's unit.
    pub unit: &'a str,
    /// The machine.
    pub host: &'a str,
}

/// The document's text.
#[must_use]
pub fn document(reading: &ReadingDocument<'_>) -> Bytes {
    let text = serde_json::to_vec(reading);
    Bytes::from(text.expect("texts and finite numbers can always be written as JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_pinned() {
        let reading =
            ReadingDocument { sensor: "cpu.0", value: Some(12.5), unit: "percent", host: "a\"b" };
        let expected = r#"{"sensor":"cpu.0","value":12.5,"unit":"percent","host":"a\"b"}"#;
        assert_eq!(document(&reading), expected);
        let absent = ReadingDocument { value: None, ..reading };
        assert!(document(&absent).starts_with(br#"{"sensor":"cpu.0","value":null,"#));
    }
}
