//! Walking over a document to the one value that is wanted.

use std::ops::Range;

use super::{JsonError, JsonErrorKind, Path, Step, text};

/// Where a value stands in its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The bytes of the value, quotes and brackets included.
    pub bytes: &'a [u8],
    /// Where they are.
    pub range: Range<usize>,
}

type Scan<T> = Result<T, JsonError>;

/// The value at a path; `None` when a field or element on the way is absent or something that is
/// neither object nor list stands in between.
///
/// Of two fields with one name the first counts. Only what stands before and in the value is
/// looked at.
///
/// # Errors
/// The document is not JSON up to there.
pub fn field<'a>(document: &'a [u8], path: &Path) -> Scan<Option<Found<'a>>> {
    let mut at = skip_space(document, 0);
    if at == document.len() {
        return Err(JsonError::new(JsonErrorKind::ExpectedValue, at));
    }
    for step in path.steps() {
        let next = match step {
            Step::Field(name) => into_object(document, at, name)?,
            Step::Index(index) => into_list(document, at, *index)?,
        };
        let Some(next) = next else { return Ok(None) };
        at = next;
    }
    let end = skip_value(document, at)?;
    Ok(document.get(at..end).map(|bytes| Found { bytes, range: at..end }))
}

/// The value at a path, where a document that is a bare number or text has the one field `value`:
/// so the same pipeline reads `41` and `{"value":41}`.
///
/// # Errors
/// As [`field`].
pub fn field_or_bare<'a>(document: &'a [u8], path: &Path) -> Scan<Option<Found<'a>>> {
    let found = field(document, path)?;
    if found.is_some() {
        return Ok(found);
    }
    let is_value = matches!(path.steps(), [Step::Field(name)] if name == "value");
    let is_bare = || !matches!(document.trim_ascii_start().first(), Some(b'{' | b'['));
    if is_value && is_bare() { root(document).map(Some) } else { Ok(None) }
}

/// The only value of a document that is a bare value, without the space around it.
///
/// # Errors
/// There is no value, or something follows it.
pub fn root(document: &[u8]) -> Scan<Found<'_>> {
    let at = skip_space(document, 0);
    let end = skip_value(document, at)?;
    let rest = skip_space(document, end);
    if rest < document.len() {
        return Err(JsonError::new(JsonErrorKind::Trailing, rest));
    }
    let bytes = document.get(at..end).unwrap_or_default();
    Ok(Found { bytes, range: at..end })
}

/// Checks a whole document.
///
/// # Errors
/// What is wrong first.
pub fn validate(document: &[u8]) -> Scan<()> {
    let mut reader = serde_json::Deserializer::from_slice(document);
    let checked = <serde::de::IgnoredAny as serde::Deserialize>::deserialize(&mut reader)
        .and_then(|_| reader.end());
    checked.map_err(|error| {
        let kind = if error.is_eof() { JsonErrorKind::Truncated } else { JsonErrorKind::BadScalar };
        let lines = document.split_inclusive(|byte| *byte == b'\n');
        let before: usize = lines.take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
        JsonError::new(kind, (before + error.column().saturating_sub(1)).min(document.len()))
    })
}

/// The start of a field's value; `None` when there is no such field or this is no object.
fn into_object(document: &[u8], at: usize, name: &str) -> Scan<Option<usize>> {
    if document.get(at) != Some(&b'{') {
        return Ok(None);
    }
    let mut at = skip_space(document, at + 1);
    if document.get(at) == Some(&b'}') {
        return Ok(None);
    }
    loop {
        if document.get(at) != Some(&b'"') {
            return Err(missing(document, JsonErrorKind::ExpectedName, at));
        }
        let end = skip_text(document, at)?;
        let colon = skip_space(document, end);
        if document.get(colon) != Some(&b':') {
            return Err(missing(document, JsonErrorKind::ExpectedColon, colon));
        }
        let value = skip_space(document, colon + 1);
        if is_name(document.get(at..end).unwrap_or_default(), name) {
            return Ok(Some(value));
        }
        match next_entry(document, value, b'}')? {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
}

/// The start of an element; `None` when the list is shorter or this is no list.
fn into_list(document: &[u8], at: usize, index: usize) -> Scan<Option<usize>> {
    if document.get(at) != Some(&b'[') {
        return Ok(None);
    }
    let mut at = skip_space(document, at + 1);
    if document.get(at) == Some(&b']') {
        return Ok(None);
    }
    for _ in 0..index {
        match next_entry(document, at, b']')? {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The start of the entry after the value that begins here; `None` after the last one.
#[inline]
fn next_entry(document: &[u8], value: usize, close: u8) -> Scan<Option<usize>> {
    let after = skip_space(document, skip_value(document, value)?);
    match document.get(after) {
        Some(b',') => Ok(Some(skip_space(document, after + 1))),
        Some(byte) if *byte == close => Ok(None),
        _ => Err(missing(document, JsonErrorKind::ExpectedSeparator, after)),
    }
}

fn missing(document: &[u8], kind: JsonErrorKind, at: usize) -> JsonError {
    let kind = if at >= document.len() { JsonErrorKind::Truncated } else { kind };
    JsonError::new(kind, at.min(document.len()))
}

/// Whether a raw name, quotes included, spells `name`.
#[inline]
fn is_name(raw: &[u8], name: &str) -> bool {
    let [b'"', inner @ .., b'"'] = raw else { return false };
    if inner == name.as_bytes() {
        return !name.contains('\\');
    }
    // Only a name with escapes can be longer than what it spells.
    inner.len() > name.len() && inner.contains(&b'\\') && text(raw).is_ok_and(|text| text == name)
}

#[inline]
pub(crate) fn skip_space(document: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = document.get(at) {
        at += 1;
    }
    at
}

/// The end of the text that begins here.
#[inline]
pub(crate) fn skip_text(document: &[u8], at: usize) -> Scan<usize> {
    let mut at = at + 1;
    loop {
        at = find_quote_or_backslash(document, at);
        match document.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(_) => at += 2,
            None => return Err(JsonError::new(JsonErrorKind::Truncated, document.len())),
        }
    }
}

/// The next quote or backslash, eight bytes at a time: texts are most of a document.
#[inline]
fn find_quote_or_backslash(document: &[u8], from: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = from;
    while let Some(chunk) = document.get(at..at + 8).and_then(|c| <[u8; 8]>::try_from(c).ok()) {
        let word = u64::from_le_bytes(chunk);
        let quotes = word ^ (ONES * 0x22);
        let slashes = word ^ (ONES * 0x5c);
        // A byte is zero exactly where its character stands; the lowest marked byte is exact.
        let zeros = (quotes.wrapping_sub(ONES) & !quotes) | (slashes.wrapping_sub(ONES) & !slashes);
        let marked = zeros & HIGHS;
        if marked != 0 {
            return at + base::cast::usize_of_u32(marked.trailing_zeros() / 8);
        }
        at += 8;
    }
    let tail = document.get(at..).unwrap_or_default();
    let found = tail.iter().position(|byte| *byte == b'"' || *byte == b'\\');
    found.map_or(document.len(), |offset| at + offset)
}

/// The end of the value that begins here; a scalar reaches to the next delimiter.
#[inline]
pub(crate) fn skip_value(document: &[u8], at: usize) -> Scan<usize> {
    match document.get(at) {
        Some(b'"') => skip_text(document, at),
        Some(b'{' | b'[') => skip_nested(document, at),
        Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
            let mut end = at + 1;
            while document.get(end).is_some_and(|byte| !is_delimiter(*byte)) {
                end += 1;
            }
            Ok(end)
        }
        _ => Err(missing(document, JsonErrorKind::ExpectedValue, at)),
    }
}

#[inline]
fn is_delimiter(byte: u8) -> bool {
    // One bit per ASCII character: cheaper than a comparison with each of the eleven.
    const LOW: u64 = (1 << b',')
        | (1 << b' ')
        | (1 << b'\n')
        | (1 << b'\r')
        | (1 << b'\t')
        | (1 << b':')
        | (1 << b'"');
    const HIGH: u64 =
        (1 << (b'}' - 64)) | (1 << (b']' - 64)) | (1 << (b'{' - 64)) | (1 << (b'[' - 64));
    match byte {
        0..64 => LOW >> byte & 1 == 1,
        64..128 => HIGH >> (byte - 64) & 1 == 1,
        _ => false,
    }
}

/// The end of an object or list, by counting brackets outside of texts.
fn skip_nested(document: &[u8], at: usize) -> Scan<usize> {
    let mut depth: usize = 0;
    let mut at = at;
    loop {
        match document.get(at) {
            Some(b'"') => {
                at = skip_text(document, at)?;
                continue;
            }
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            Some(_) => {}
            None => return Err(JsonError::new(JsonErrorKind::Truncated, document.len())),
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at<'a>(document: &'a str, path: &str) -> Option<&'a str> {
        let path = Path::parse(path).unwrap();
        let found = field(document.as_bytes(), &path).unwrap()?;
        assert_eq!(&document.as_bytes()[found.range.clone()], found.bytes);
        Some(std::str::from_utf8(found.bytes).unwrap())
    }

    #[test]
    fn values_are_found_wherever_they_stand() {
        let document = r#" {"a" : {"b":[1, {"c":"x\"}"}, null]}, "t":true,"n":-1.5e3} "#;
        assert_eq!(at(document, "a.b[1].c"), Some(r#""x\"}""#));
        assert_eq!(at(document, "a.b[0]"), Some("1"));
        assert_eq!(at(document, "a.b[2]"), Some("null"));
        assert_eq!(at(document, "a.b[3]"), None);
        assert_eq!(at(document, "t"), Some("true"));
        assert_eq!(at(document, "n"), Some("-1.5e3"));
        assert_eq!(at(document, "t.x"), None);
        assert_eq!(at(document, "missing"), None);
        assert_eq!(at("{}", "a"), None);
        assert_eq!(at("[]", "a"), None);
        assert_eq!(at("7", "a"), None);
    }

    #[test]
    fn names_with_escapes_are_compared_by_what_they_spell() {
        assert_eq!(at(r#"{"\u0061":1}"#, "a"), Some("1"));
        assert_eq!(at(r#"{"a\\b":1}"#, "['a\\b']"), Some("1"));
        assert_eq!(at(r#"{"a":1,"a":2}"#, "a"), Some("1"), "the first of two counts");
    }

    #[test]
    fn broken_documents_are_errors_with_their_place() {
        let path = Path::field("z");
        let kind = |document: &str| {
            let error = field(document.as_bytes(), &path).unwrap_err();
            (error.kind, error.at)
        };
        assert_eq!(kind(""), (JsonErrorKind::ExpectedValue, 0));
        assert_eq!(kind("{"), (JsonErrorKind::Truncated, 1));
        assert_eq!(kind("{\"a\" 1}"), (JsonErrorKind::ExpectedColon, 5));
        assert_eq!(kind("{\"a\":1 \"b\":2}"), (JsonErrorKind::ExpectedSeparator, 7));
        assert_eq!(kind("{a:1}"), (JsonErrorKind::ExpectedName, 1));
        assert_eq!(kind("{\"a\":}"), (JsonErrorKind::ExpectedValue, 5));
        assert_eq!(kind("{\"a\":\"x"), (JsonErrorKind::Truncated, 7));
    }

    #[test]
    fn bare_values_may_have_space_around_them_and_nothing_else() {
        assert_eq!(root(b" 42\n").unwrap().bytes, b"42");
        assert_eq!(root(b"42 43").unwrap_err().kind, JsonErrorKind::Trailing);
        assert_eq!(root(b"").unwrap_err().kind, JsonErrorKind::Truncated);
        assert!(validate(b"{\"a\":[1,2,{}]}").is_ok());
        assert!(validate(b"{\"a\":01}").is_err());
        assert!(validate(&b"[".repeat(100_000)).is_err());
    }

    fn documents() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            "[a-c\"\\\\ \u{e9}]{0,9}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::btree_map("[a-c\"\\\\]{1,2}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn lookups_agree_with_a_tree(
            document in documents(),
            names in prop::collection::vec("[a-c\"\\\\]{1,2}", 1..3),
        ) {
            let raw = document.to_string();
            let path = Path::of(names.iter().cloned().map(Step::Field).collect()).unwrap();
            let mut node = Some(&document);
            for name in &names {
                node = node.and_then(|node| node.get(name));
            }
            let found = field(raw.as_bytes(), &path).unwrap();
            let found: Option<serde_json::Value> =
                found.map(|f| serde_json::from_slice(f.bytes).unwrap());
            prop_assert_eq!(found.as_ref(), node);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let path = Path::parse("a[1].b").unwrap();
            let _ = field(&bytes, &path); // Only a panic would be wrong.
            let _ = root(&bytes); // Only a panic would be wrong.
            let _ = validate(&bytes); // Only a panic would be wrong.
        }
    }
}
