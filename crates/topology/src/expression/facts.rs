//! What an expression may know about a record.

use std::fmt::Debug;

use protocol::record;

/// The headers of a record.
pub trait Headers: Debug {
    /// The value of the last header of this name, as Kafka's clients look headers up.
    fn last(&self, name: &str) -> Option<&[u8]>;
}

/// A record without headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn last(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

/// As they lie in a batch.
impl Headers for record::Headers<'_> {
    fn last(&self, name: &str) -> Option<&[u8]> {
        record::Headers::last(self, name.as_bytes()).flatten()
    }
}

impl Headers for [(String, Vec<u8>)] {
    fn last(&self, name: &str) -> Option<&[u8]> {
        self.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

impl Headers for Vec<(String, Vec<u8>)> {
    fn last(&self, name: &str) -> Option<&[u8]> {
        self.as_slice().last_named(name)
    }
}

/// Keeps the slice's own `last` out of the way.
trait LastNamed {
    fn last_named(&self, name: &str) -> Option<&[u8]>;
}

impl LastNamed for [(String, Vec<u8>)] {
    fn last_named(&self, name: &str) -> Option<&[u8]> {
        Headers::last(self, name)
    }
}

/// A record as an expression sees it.
#[derive(Debug, Clone, Copy)]
pub struct RecordFacts<'a> {
    /// `@key`.
    pub key: Option<&'a [u8]>,
    /// The value; paths look into it.
    pub value: Option<&'a [u8]>,
    /// `@timestamp`, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// `@topic`.
    pub topic: &'a str,
    /// `@partition`.
    pub partition: i32,
    /// `@offset`.
    pub offset: i64,
    /// `@headers.name`.
    pub headers: &'a dyn Headers,
}

impl<'a> RecordFacts<'a> {
    /// A record that is only a value, for tests and measurements.
    #[must_use]
    pub fn of_value(value: &'a [u8]) -> Self {
        Self {
            key: None,
            value: Some(value),
            timestamp_ms: 0,
            topic: "",
            partition: 0,
            offset: 0,
            headers: &NoHeaders,
        }
    }
}
