//! A record as one line of JSON, both ways, without losing a byte.
//!
//! Bytes that are text in UTF-8 are JSON texts; other bytes are `{"base64":"..."}`.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base64;
use crate::shown::{DraftRecord, ShownHeader, ShownRecord};

#[derive(Serialize)]
struct Envelope<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    timestamp_type: &'a str,
    key: Option<Content<'a>>,
    value: Option<Content<'a>>,
    headers: Vec<HeaderEnvelope<'a>>,
}

#[derive(Serialize)]
struct HeaderEnvelope<'a> {
    key: Content<'a>,
    value: Option<Content<'a>>,
}

/// What a reader accepts: what the log decides by itself (offset and type of the timestamp) is
/// read over, so that what was consumed can be produced again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftEnvelope<'a> {
    topic: Option<String>,
    partition: Option<i32>,
    #[serde(rename = "offset")]
    _offset: Option<i64>,
    timestamp: Option<i64>,
    #[serde(rename = "timestamp_type")]
    _timestamp_type: Option<String>,
    #[serde(borrow)]
    key: Option<Content<'a>>,
    #[serde(borrow)]
    value: Option<Content<'a>>,
    #[serde(borrow, default)]
    headers: Vec<HeaderDraft<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderDraft<'a> {
    #[serde(borrow)]
    key: Content<'a>,
    #[serde(borrow)]
    value: Option<Content<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, null or {\"base64\": \"...\"}; quote a document")]
enum Content<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Raw(RawContent),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContent {
    base64: String,
}

/// Why a line is no record.
#[derive(Debug)]
pub(crate) enum EnvelopeError {
    /// Not the JSON that is expected.
    Json(serde_json::Error),
    /// A `base64` that is none.
    Base64,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Base64 => f.write_str("the text after `base64` is no base64"),
        }
    }
}

impl std::error::Error for EnvelopeError {}

/// Writes a record without a line end.
pub(crate) fn write(record: &ShownRecord, out: &mut Vec<u8>) {
    let envelope = Envelope {
        topic: &record.topic,
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp_ms,
        timestamp_type: record.timestamp_type(),
        key: record.key.as_ref().map(content),
        value: record.value.as_ref().map(content),
        headers: record.headers.iter().map(header_envelope).collect(),
    };
    serde_json::to_writer(out, &envelope).expect("texts and numbers can always be written");
}

/// Writes bytes as the envelope would: a JSON text, or `{"base64":"..."}`.
pub(crate) fn write_content(bytes: &Bytes, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &content(bytes)).expect("texts can always be written");
}

/// Reads one line.
pub(crate) fn read(line: &[u8]) -> Result<DraftRecord, EnvelopeError> {
    let draft: DraftEnvelope<'_> = serde_json::from_slice(line).map_err(EnvelopeError::Json)?;
    let header = |header: HeaderDraft<'_>| {
        let value = header.value.map(bytes_of).transpose()?;
        Ok(ShownHeader { key: bytes_of(header.key)?, value })
    };
    Ok(DraftRecord {
        topic: draft.topic,
        partition: draft.partition,
        timestamp_ms: draft.timestamp,
        key: draft.key.map(bytes_of).transpose()?,
        value: draft.value.map(bytes_of).transpose()?,
        headers: draft.headers.into_iter().map(header).collect::<Result<_, _>>()?,
    })
}

/// Reads bytes as [`write_content`] wrote them; `null` gives nothing.
pub(crate) fn read_content(text: &[u8]) -> Result<Option<Bytes>, EnvelopeError> {
    let content: Option<Content<'_>> = serde_json::from_slice(text).map_err(EnvelopeError::Json)?;
    content.map(bytes_of).transpose()
}

fn header_envelope(header: &ShownHeader) -> HeaderEnvelope<'_> {
    HeaderEnvelope { key: content(&header.key), value: header.value.as_ref().map(content) }
}

fn content(bytes: &Bytes) -> Content<'_> {
    std::str::from_utf8(bytes).map_or_else(
        |_| Content::Raw(RawContent { base64: base64::encode(bytes) }),
        |text| Content::Text(Cow::Borrowed(text)),
    )
}

fn bytes_of(content: Content<'_>) -> Result<Bytes, EnvelopeError> {
    match content {
        Content::Text(text) => Ok(Bytes::from(text.into_owned())),
        Content::Raw(raw) => {
            base64::decode(raw.base64.as_bytes()).map(Bytes::from).ok_or(EnvelopeError::Base64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ShownRecord {
        ShownRecord {
            topic: "readings".to_owned(),
            partition: 2,
            offset: 41,
            timestamp_ms: 1_763_707_800_250,
            key: Some(Bytes::from_static(b"d1")),
            value: Some(Bytes::from_static("{\"t\":\"\u{2103}\n\"}".as_bytes())),
            headers: vec![
                ShownHeader { key: Bytes::from_static(b"a"), value: None },
                ShownHeader {
                    key: Bytes::from_static(b"a"),
                    value: Some(Bytes::from_static(&[0xff, 0])),
                },
            ],
            ..ShownRecord::default()
        }
    }

    fn written(record: &ShownRecord) -> String {
        let mut out = Vec::new();
        write(record, &mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn the_envelope_is_pinned() {
        let expected = "{\"topic\":\"readings\",\"partition\":2,\"offset\":41,\
             \"timestamp\":1763707800250,\"timestamp_type\":\"CreateTime\",\"key\":\"d1\",\
             \"value\":\"{\\\"t\\\":\\\"\u{2103}\\n\\\"}\",\"headers\":[\
             {\"key\":\"a\",\"value\":null},{\"key\":\"a\",\"value\":{\"base64\":\"/wA=\"}}]}";
        assert_eq!(written(&record()), expected);
    }

    #[test]
    fn what_was_written_can_be_produced_again() {
        let record = record();
        let draft = read(written(&record).as_bytes()).unwrap();
        assert_eq!((draft.key, draft.value), (record.key, record.value));
        assert_eq!(draft.headers, record.headers);
        assert_eq!(draft.partition, Some(2));
        assert_eq!(draft.timestamp_ms, Some(1_763_707_800_250));
        assert_eq!(draft.topic.as_deref(), Some("readings"));
    }

    #[test]
    fn nothing_and_empty_are_not_the_same() {
        let draft = read(b"{\"key\":null,\"value\":\"\"}").unwrap();
        assert_eq!((draft.key, draft.value), (None, Some(Bytes::new())));
        assert_eq!(read(b"{}").unwrap(), DraftRecord::default());
    }

    #[test]
    fn every_byte_survives() {
        for from in 0..=255_u8 {
            let bytes = Bytes::from((from..=255).collect::<Vec<u8>>());
            let mut out = Vec::new();
            write_content(&bytes, &mut out);
            assert_eq!(read_content(&out).unwrap(), Some(bytes));
        }
        assert_eq!(read_content(b"null").unwrap(), None);
    }

    #[test]
    fn other_json_is_refused_with_a_reason() {
        let complaint = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert!(complaint("{\"value\":{\"t\":1}}").contains("quote a document"));
        assert!(complaint("{\"valeu\":\"x\"}").contains("unknown field `valeu`"));
        assert!(complaint("{\"value\":{\"base64\":\"!\"}}").contains("no base64"));
        assert!(complaint("[]").contains("invalid"));
        assert!(complaint("{\"value\":1").contains("quote a document"));
    }
}
