//! Texts: reading with escapes, writing with the fewest of them.

use std::borrow::Cow;

use super::{JsonError, JsonErrorKind};

/// The text of a JSON string that fills all of `raw`, quotes included; borrowed when it has no
/// escapes.
///
/// # Errors
/// What is wrong and where, counted from the opening quote.
pub fn text(raw: &[u8]) -> Result<Cow<'_, str>, JsonError> {
    let bad = |at| JsonError::new(JsonErrorKind::BadText, at);
    let [b'"', inner @ .., b'"'] = raw else { return Err(bad(0)) };
    let utf8 = std::str::from_utf8(inner)
        .map_err(|error| JsonError::new(JsonErrorKind::NotUtf8, error.valid_up_to() + 1))?;
    let special = inner.iter().position(|byte| *byte == b'\\' || *byte < 0x20 || *byte == b'"');
    let Some(first) = special else { return Ok(Cow::Borrowed(utf8)) };
    let mut out = String::with_capacity(utf8.len());
    let mut rest = utf8;
    let mut at = first;
    loop {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let done = utf8.len() - tail.len();
        let Some(escaped) = tail.strip_prefix('\\') else { return Err(bad(done + 1)) };
        let (c, used) = unescape(escaped).ok_or_else(|| bad(done + 1))?;
        out.push(c);
        rest = escaped.get(used..).unwrap_or("");
        match rest.bytes().position(|byte| byte == b'\\' || byte < 0x20 || byte == b'"') {
            Some(next) => at = next,
            None => {
                out.push_str(rest);
                return Ok(Cow::Owned(out));
            }
        }
    }
}

/// The character after a backslash and how many bytes it took.
fn unescape(escaped: &str) -> Option<(char, usize)> {
    let plain = match escaped.bytes().next()? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(escaped),
        _ => return None,
    };
    Some((plain, 1))
}

/// `uXXXX`, or two of them for characters beyond 16 bits.
fn unicode(escaped: &str) -> Option<(char, usize)> {
    let high = hex(escaped.get(1..5)?)?;
    if let Some(c) = char::from_u32(high) {
        return Some((c, 5));
    }
    let low_text = escaped.get(5..)?.strip_prefix("\\u")?;
    let low = hex(low_text.get(..4)?)?;
    if !(0xd800..0xdc00).contains(&high) || !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    char::from_u32(code).map(|c| (c, 11))
}

fn hex(text: &str) -> Option<u32> {
    let all = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if all { u32::from_str_radix(text, 16).ok() } else { None }
}

/// Appends a text as a JSON string.
pub fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let Some(escape) = escape(byte) else { continue };
        // The escaped bytes are ASCII, so these are character boundaries.
        out.push_str(text.get(plain_from..at).unwrap_or(""));
        out.push_str(&escape);
        plain_from = at + 1;
    }
    out.push_str(text.get(plain_from..).unwrap_or(""));
    out.push('"');
}

/// Appends a text as a JSON string to bytes.
pub fn write_text_bytes(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain_from = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let Some(escape) = escape(*byte) else { continue };
        out.extend_from_slice(bytes.get(plain_from..at).unwrap_or(b""));
        out.extend_from_slice(escape.as_bytes());
        plain_from = at + 1;
    }
    out.extend_from_slice(bytes.get(plain_from..).unwrap_or(b""));
    out.push(b'"');
}

#[inline]
fn escape(byte: u8) -> Option<Cow<'static, str>> {
    if byte >= 0x20 && byte != b'"' && byte != b'\\' {
        return None;
    }
    Some(match byte {
        b'"' => Cow::Borrowed("\\\""),
        b'\\' => Cow::Borrowed("\\\\"),
        b'\n' => Cow::Borrowed("\\n"),
        b'\r' => Cow::Borrowed("\\r"),
        b'\t' => Cow::Borrowed("\\t"),
        _ => Cow::Owned(format!("\\u{byte:04x}")),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_read() {
        assert_eq!(text(br#""a\n\u0041\ud83d\ude00\/""#).unwrap(), "a\nA\u{1f600}/");
        assert!(matches!(text(b"\"abc\"").unwrap(), Cow::Borrowed("abc")));
    }

    #[test]
    fn bad_texts_are_refused_with_their_place() {
        for (raw, at) in [
            (&b"\"a\\x\""[..], 2),
            (b"\"\\ud83d\"", 1),
            (b"\"\\ud83d\\u0041\"", 1),
            (b"\"\\u12\"", 1),
            (b"\"a\nb\"", 2),
            (b"abc", 0),
            (b"\"", 0),
        ] {
            let error = text(raw).unwrap_err();
            assert_eq!((error.kind, error.at), (JsonErrorKind::BadText, at), "{raw:?}");
        }
        assert_eq!(text(b"\"\xff\"").unwrap_err().kind, JsonErrorKind::NotUtf8);
    }

    proptest! {
        #[test]
        fn texts_survive_writing_and_agree_with_another_reader(original: String) {
            let mut out = String::new();
            write_text(&mut out, &original);
            let mut bytes = Vec::new();
            write_text_bytes(&mut bytes, &original);
            prop_assert_eq!(out.as_bytes(), &bytes[..]);
            prop_assert_eq!(text(&bytes).unwrap(), original.as_str());
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), original);
        }

        #[test]
        fn foreign_texts_agree_with_another_reader(inner in "([a-z\"\\\\nu0-9]|\\PC){0,12}") {
            let raw = format!("\"{inner}\"");
            let ours = text(raw.as_bytes()).ok().map(Cow::into_owned);
            prop_assert_eq!(ours, serde_json::from_str::<String>(&raw).ok());
        }
    }
}
