//! Records, read one after the other where they lie.

use base::cast;

use super::varint::Cursor;
use super::{BatchHeader, RecordError};

/// One header of a record: its key and its value, which may be null.
pub type HeaderRef<'a> = (&'a [u8], Option<&'a [u8]>);

/// One record, borrowed from its batch.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Place in the partition (from 0 in a batch that no log has stamped).
    pub offset: i64,
    /// Milliseconds since 1970; the log's own when the batch says so. -1 is "none".
    pub timestamp: i64,
    /// The key, where there is one.
    pub key: Option<&'a [u8]>,
    /// The value; null is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, in order, duplicates kept.
    pub headers: Headers<'a>,
}

const _: () = assert!(size_of::<Record<'_>>() <= 72, "records are yielded by value");

/// The headers of one record. Their bytes were walked once, so that reading them cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const NONE: Headers<'static> = Headers { count: 0, bytes: &[] };

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Key and value of each, in order, duplicates kept.
    /// Kafka wants keys to be UTF-8; they are bytes here, so that what is foreign passes through.
    #[must_use]
    pub const fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { left: self.count, cursor: Cursor::new(self.bytes) }
    }

    /// The first `count` of them; all, when there are no more.
    #[must_use]
    pub const fn first(&self, count: usize) -> Self {
        let count = if count < self.count { count } else { self.count };
        Self { count, bytes: self.bytes }
    }

    /// The value of the last header called `key`, as Kafka's `lastHeader`.
    #[must_use]
    pub fn last(&self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(name, _)| *name == key).map(|(_, value)| value).last()
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = HeaderRef<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Headers<'a> {
    type Item = HeaderRef<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// Walks the headers of one record.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    left: usize,
    cursor: Cursor<'a>,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = HeaderRef<'a>;

    fn next(&mut self) -> Option<HeaderRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        header(&mut self.cursor).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

fn header<'a>(cursor: &mut Cursor<'a>) -> Result<HeaderRef<'a>, RecordError> {
    let key = cursor.nullable()?.ok_or(RecordError::RecordLength(-1))?;
    let value = cursor.nullable()?;
    Ok((key, value))
}

/// What a record says before it is placed into its batch.
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Headers<'a>,
}

/// Reads the record at the cursor and holds its fields against its stated length.
#[inline]
pub(super) fn raw_record<'a>(cursor: &mut Cursor<'a>) -> Result<RawRecord<'a>, RecordError> {
    let length = cursor.varint()?;
    let Ok(length) = usize::try_from(length) else {
        return Err(RecordError::RecordLength(i64::from(length)));
    };
    let mut body = Cursor::new(cursor.take(length)?);
    // A record's attribute byte carries nothing so far.
    body.byte().map_err(in_record)?;
    let timestamp_delta = body.varlong().map_err(in_record)?;
    let offset_delta = body.varint().map_err(in_record)?;
    let key = body.nullable().map_err(in_record)?;
    let value = body.nullable().map_err(in_record)?;
    let headers = headers(body)?;
    Ok(RawRecord { timestamp_delta, offset_delta, key, value, headers })
}

#[inline]
fn headers(mut body: Cursor<'_>) -> Result<Headers<'_>, RecordError> {
    let count = body.varint().map_err(in_record)?;
    if count == 0 && body.remaining() == 0 {
        return Ok(Headers::NONE);
    }
    walk_headers(body, count)
}

#[cold]
fn walk_headers(mut body: Cursor<'_>, count: i32) -> Result<Headers<'_>, RecordError> {
    let wrong = RecordError::HeaderCount(i64::from(count));
    let count = usize::try_from(count).map_err(|_| wrong)?;
    // The shortest header takes two bytes, which bounds the walk before it starts.
    if count > body.remaining() / 2 {
        return Err(wrong);
    }
    let bytes = body.rest();
    for _ in 0..count {
        header(&mut body).map_err(in_record)?;
    }
    if body.remaining() > 0 {
        return Err(RecordError::RecordEnd);
    }
    Ok(Headers { count, bytes })
}

// Running out of a record's own bytes is a lie about its length, not a cut batch.
fn in_record(error: RecordError) -> RecordError {
    if error == RecordError::Truncated { RecordError::RecordEnd } else { error }
}

/// Walks the records of one batch and checks them on the way.
///
/// Yields exactly as many records as the header counts, or an `Err`, after which it ends.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    cursor: Cursor<'a>,
    left: i32,
    base_offset: i64,
    last_offset_delta: i32,
    base_timestamp: i64,
    append_time: Option<i64>,
    is_done: bool,
}

impl<'a> RecordIter<'a> {
    pub(super) fn new(header: &BatchHeader, records: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(records),
            left: header.record_count,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            append_time: header.is_log_append_time().then_some(header.max_timestamp),
            is_done: false,
        }
    }

    fn end(&mut self) -> Option<Result<Record<'a>, RecordError>> {
        self.is_done = true;
        match self.cursor.remaining() {
            0 => None,
            bytes => Some(Err(RecordError::TrailingBytes(bytes))),
        }
    }

    #[inline]
    fn record(&mut self) -> Result<Record<'a>, RecordError> {
        let raw = raw_record(&mut self.cursor)?;
        if raw.offset_delta < 0 || raw.offset_delta > self.last_offset_delta {
            return Err(RecordError::OffsetDelta(raw.offset_delta));
        }
        Ok(Record {
            // The header promised that its last offset does not overflow.
            offset: self.base_offset.saturating_add(i64::from(raw.offset_delta)),
            // Timestamps wrap as Kafka's do: any 64 bits come back as they were written.
            timestamp: self
                .append_time
                .unwrap_or_else(|| self.base_timestamp.wrapping_add(raw.timestamp_delta)),
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        })
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        if self.left <= 0 {
            return self.end();
        }
        self.left -= 1;
        let record = self.record();
        if record.is_err() {
            self.is_done = true;
        }
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count is foreign: a collection must not reserve by it. A record has 7 bytes at least.
        let possible = self.cursor.remaining() / 7 + 1;
        let stated = cast::usize_of_u32(cast::bits_u32(self.left.max(0)));
        (0, Some(possible.min(stated.saturating_add(1))))
    }
}

impl std::iter::FusedIterator for RecordIter<'_> {}
