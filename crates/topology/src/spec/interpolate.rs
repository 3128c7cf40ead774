//! `${NAME}` in scalars that were already parsed, so that no value can become structure.

use super::Lookup;

/// Why a text could not be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The variable has no value; the text says why it is needed, when the file gives a reason.
    Value { name: String, reason: Option<String> },
    /// A `${` without its `}`.
    Unclosed,
    /// Nothing between the braces.
    NoName,
}

/// Replaces `${NAME}`, `${NAME:-default}`, `${NAME:?reason}` and `${file:/path}`; `$${` is a
/// literal `${`. Values are not interpolated again.
///
/// # Errors
/// The first variable that has no value.
pub(crate) fn interpolate(text: &str, lookup: Lookup<'_>) -> Result<String, Missing> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = rest.split_at(at);
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after.get(2..).unwrap_or("");
            continue;
        }
        out.push_str(before);
        let inner = after.get(2..).unwrap_or("");
        let Some((name, tail)) = inner.split_once('}') else { return Err(Missing::Unclosed) };
        out.push_str(&value(name, lookup)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn value(reference: &str, lookup: Lookup<'_>) -> Result<String, Missing> {
    if reference.is_empty() {
        return Err(Missing::NoName);
    }
    let missing = |name: &str, reason: Option<&str>| Missing::Value {
        name: name.to_owned(),
        reason: reason.map(str::to_owned),
    };
    if reference.starts_with("file:") {
        let content = lookup(reference).ok_or_else(|| missing(reference, None))?;
        // Secret files usually end with a line break that is not part of the secret.
        return Ok(content.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Some((name, default)) = reference.split_once(":-") {
        let set = lookup(name).filter(|value| !value.is_empty());
        return Ok(set.unwrap_or_else(|| default.to_owned()));
    }
    if let Some((name, reason)) = reference.split_once(":?") {
        let set = lookup(name).filter(|value| !value.is_empty());
        return set.ok_or_else(|| missing(name, Some(reason)));
    }
    lookup(reference).ok_or_else(|| missing(reference, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, Missing> {
        interpolate(text, &|name| match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            "file:/secret" => Some("s3cret\n".to_owned()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn every_form_of_reference_is_replaced() {
        assert_eq!(run("a ${HOST} b").unwrap(), "a db b");
        assert_eq!(run("${NO:-x}${EMPTY:-y}${HOST:-z}").unwrap(), "xydb");
        assert_eq!(run("${file:/secret}").unwrap(), "s3cret");
        assert_eq!(run("$${HOST} $HOST $").unwrap(), "${HOST} $HOST $");
        assert_eq!(run("${NESTED}").unwrap(), "${HOST}", "values are not read again");
    }

    #[test]
    fn missing_values_are_errors_and_never_empty() {
        let missing = |name: &str, reason: Option<&str>| Missing::Value {
            name: name.to_owned(),
            reason: reason.map(str::to_owned),
        };
        assert_eq!(run("${NO}"), Err(missing("NO", None)));
        assert_eq!(run("${NO:?set it}"), Err(missing("NO", Some("set it"))));
        assert_eq!(run("${file:/gone}"), Err(missing("file:/gone", None)));
        assert_eq!(run("${HOST"), Err(Missing::Unclosed));
        assert_eq!(run("${}"), Err(Missing::NoName));
    }
}
