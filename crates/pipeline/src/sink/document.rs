//! A record as a row: which columns, which cells. The one mapping that all databases share.
//!
//! A JSON object gives one cell per field, in the document's order; what is nested stays JSON
//! text. A bare number is the column `value`. The record's key is the column `key`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use super::limits::{COLUMN_NAME_BYTES_MAX, COLUMNS_MAX};
use super::{SinkError, SinkRecord};

/// The column of the record's key.
pub const KEY_COLUMN: &str = "key";

/// The column of a value that is a bare number.
pub const VALUE_COLUMN: &str = "value";

/// Characters of a key that an error message shows.
const KEY_CHARS_SHOWN_MAX: usize = 80;

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number; JSON's `true` and `false` are 1 and 0.
    Integer(i64),
    /// A number with a fraction or an exponent.
    Real(f64),
    /// A text, or nested JSON as text.
    Text(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("-"),
            Self::Integer(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// What a record asks of its table.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Insert the row, or replace the one with the same key columns.
    Upsert(Row),
    /// Delete every row of this key.
    Delete {
        /// The record's key.
        key: String,
    },
}

/// One row: names and cells, each name once, ASCII case ignored, as databases do.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The cells, `key` first, then the document's order.
    pub cells: Vec<(String, Cell)>,
}

impl Row {
    /// The cell of a column; ASCII case is ignored.
    #[must_use]
    pub fn cell(&self, column: &str) -> Option<&Cell> {
        let found = self.cells.iter().find(|(name, _)| name.eq_ignore_ascii_case(column))?;
        Some(&found.1)
    }
}

impl SinkRecord {
    /// Reads the record as a change of its table.
    ///
    /// # Errors
    /// [`SinkError::Document`] with the reason.
    pub fn change(&self) -> Result<Change, SinkError> {
        let key = self.key_text()?;
        let Some(value) = &self.value else {
            let reason = "a null value deletes a row, but the record has no key";
            return key.map(|key| Change::Delete { key }).ok_or_else(|| self.rejected(reason));
        };
        let Document(fields) = serde_json::from_slice(value).map_err(|error| {
            let what = match error.classify() {
                Category::Data => "the value fits no row",
                Category::Syntax | Category::Eof | Category::Io => "the value is not JSON",
            };
            self.rejected(&format!("{what}: {error}"))
        })?;
        self.row(key, fields).map(Change::Upsert)
    }

    /// The error for a record that fits no row, with the record's place in the log.
    #[must_use]
    pub fn rejected(&self, reason: &str) -> SinkError {
        let shorten = |key: &bytes::Bytes| {
            String::from_utf8_lossy(key).chars().take(KEY_CHARS_SHOWN_MAX).collect()
        };
        SinkError::Document {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            key: self.key.as_ref().map(shorten),
            reason: reason.to_owned(),
        }
    }

    fn key_text(&self) -> Result<Option<String>, SinkError> {
        let Some(key) = &self.key else { return Ok(None) };
        let text =
            std::str::from_utf8(key).map_err(|_| self.rejected("the key is not text in UTF-8"))?;
        Ok(Some(text.to_owned()))
    }

    fn row(&self, key: Option<String>, fields: Vec<(String, Value)>) -> Result<Row, SinkError> {
        if fields.len() >= COLUMNS_MAX {
            let reason = format!("{} fields, more than {COLUMNS_MAX} columns", fields.len());
            return Err(self.rejected(&reason));
        }
        let key_cell = key.map_or(Cell::Null, Cell::Text);
        let mut cells: Vec<(String, Cell)> = Vec::with_capacity(fields.len() + 1);
        cells.push((KEY_COLUMN.to_owned(), key_cell));
        let mut names = std::collections::BTreeSet::from([KEY_COLUMN.to_owned()]);
        for (name, value) in fields {
            self.check_name(&name)?;
            let cell = cell_of(value).map_err(|reason| self.rejected(&reason))?;
            if names.insert(name.to_ascii_lowercase()) {
                cells.push((name, cell));
                continue;
            }
            let same = cells[0].0.eq_ignore_ascii_case(&name) && cells[0].1 == cell;
            if !same {
                let reason = format!("two values for the column `{name}` (case is ignored)");
                return Err(self.rejected(&reason));
            }
        }
        Ok(Row { cells })
    }

    fn check_name(&self, name: &str) -> Result<(), SinkError> {
        if name.is_empty() {
            return Err(self.rejected("a field has an empty name"));
        }
        if name.contains('\0') {
            return Err(self.rejected("a field's name holds a zero character"));
        }
        if name.len() > COLUMN_NAME_BYTES_MAX {
            let reason = format!("a field's name exceeds {COLUMN_NAME_BYTES_MAX} bytes");
            return Err(self.rejected(&reason));
        }
        Ok(())
    }
}

fn cell_of(value: Value) -> Result<Cell, String> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Bool(flag) => Cell::Integer(i64::from(flag)),
        Value::String(text) => Cell::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cell::Integer(whole),
            (None, Some(real)) if number.is_f64() => Cell::Real(real),
            _ => return Err(format!("the number {number} exceeds 64 bits")),
        },
        nested @ (Value::Array(_) | Value::Object(_)) => Cell::Text(nested.to_string()),
    })
}

/// A parsed value that keeps the order of its fields, so that columns follow the document.
struct Document(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a number")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Document(fields))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
        Ok(Document(vec![(VALUE_COLUMN.to_owned(), Value::from(value))]))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Document, E> {
        Ok(Document(vec![(VALUE_COLUMN.to_owned(), Value::from(value))]))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Document, E> {
        Ok(Document(vec![(VALUE_COLUMN.to_owned(), Value::from(value))]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    fn record(key: Option<&str>, value: Option<&str>) -> SinkRecord {
        SinkRecord {
            topic: Arc::from("machine.health"),
            partition: 2,
            offset: 41,
            timestamp_ms: 0,
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        }
    }

    fn row(key: &str, value: &str) -> Vec<(String, Cell)> {
        match record(Some(key), Some(value)).change() {
            Ok(Change::Upsert(row)) => row.cells,
            other => panic!("expected a row, got {other:?}"),
        }
    }

    fn complaint(key: Option<&str>, value: Option<&str>) -> String {
        record(key, value).change().expect_err("the record fits no row").to_string()
    }

    fn named(cells: &[(&str, Cell)]) -> Vec<(String, Cell)> {
        cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect()
    }

    #[test]
    fn an_object_gives_its_fields_in_order() {
        let expected = named(&[
            ("key", Cell::Text("cpu.0".to_owned())),
            ("z", Cell::Integer(1)),
            ("a", Cell::Real(2.5)),
            ("flag", Cell::Integer(1)),
            ("none", Cell::Null),
            ("deep", Cell::Text("{\"x\":[1,2]}".to_owned())),
        ]);
        let json = r#"{"z":1,"a":2.5,"flag":true,"none":null,"deep":{"x":[1,2]}}"#;
        assert_eq!(row("cpu.0", json), expected);
    }

    #[test]
    fn a_bare_number_is_the_column_value() {
        let expected = |cell| named(&[("key", Cell::Text("k".to_owned())), ("value", cell)]);
        assert_eq!(row("k", "12"), expected(Cell::Integer(12)));
        assert_eq!(row("k", "-0.5"), expected(Cell::Real(-0.5)));
    }

    #[test]
    fn a_null_value_deletes_by_key() {
        let change = record(Some("k"), None).change().expect("a tombstone is fine");
        assert_eq!(change, Change::Delete { key: "k".to_owned() });
        assert_eq!(
            complaint(None, None),
            "machine.health-2 offset 41 without key: a null value deletes a row, but the record \
             has no key"
        );
    }

    #[test]
    fn bad_documents_are_named_with_their_place() {
        assert_eq!(
            complaint(Some("k"), Some("[1]")),
            "machine.health-2 offset 41 key `k`: the value fits no row: invalid type: sequence, \
             expected an object or a number at line 1 column 1"
        );
        assert!(complaint(Some("k"), Some("{\"a\":")).contains("not JSON"));
        assert!(complaint(Some("k"), Some("")).contains("not JSON"));
        assert!(complaint(Some("k"), Some("{} {}")).contains("trailing"));
        assert!(complaint(Some("k"), Some("{\"\":1}")).contains("empty name"));
        assert!(complaint(Some("k"), Some("{\"a\\u0000b\":1}")).contains("zero character"));
        let huge = "18446744073709551615";
        assert!(complaint(Some("k"), Some(huge)).contains("exceeds 64 bits"));
        let deep = "[".repeat(10_000);
        assert!(complaint(Some("k"), Some(&format!("{{\"a\":{deep}"))).contains("recursion"));
    }

    #[test]
    fn columns_that_differ_only_in_case_are_refused() {
        assert!(complaint(Some("k"), Some("{\"a\":1,\"A\":2}")).contains("column `A`"));
        assert!(complaint(Some("k"), Some("{\"Key\":\"other\"}")).contains("column `Key`"));
        assert_eq!(row("k", "{\"key\":\"k\",\"n\":1}").len(), 2);
    }

    #[test]
    fn one_field_too_many_is_refused_and_one_less_is_not() {
        let object = |count: usize| {
            let fields: Vec<String> = (0..count).map(|at| format!("\"f{at}\":1")).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert_eq!(row("k", &object(COLUMNS_MAX - 1)).len(), COLUMNS_MAX);
        assert!(complaint(Some("k"), Some(&object(COLUMNS_MAX))).contains("more than"));
        let long = format!("{{\"{}\":1}}", "n".repeat(COLUMN_NAME_BYTES_MAX + 1));
        assert!(complaint(Some("k"), Some(&long)).contains("exceeds 255 bytes"));
    }

    #[test]
    fn a_key_that_is_no_text_is_refused() {
        let mut record = record(None, Some("{}"));
        record.key = Some(Bytes::from_static(&[0xff, 0xfe]));
        let error = record.change().expect_err("the key is not UTF-8").to_string();
        assert!(error.contains("not text in UTF-8"), "{error}");
    }
}
