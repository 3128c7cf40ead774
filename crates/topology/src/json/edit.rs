//! Setting and removing fields while all other bytes stay as they are.

use std::ops::Range;

use super::scan::{skip_space, skip_text, skip_value};
use super::{JsonError, JsonErrorKind, Path, Step, field, text, write_text_bytes};

/// One change of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Writes this JSON at the path; missing objects on the way are made.
    Set(&'a Path, &'a [u8]),
    /// Takes the field away, if it is there.
    Unset(&'a Path),
}

/// The document with the bytes of a range replaced.
#[must_use]
pub fn replace(document: &[u8], range: Range<usize>, with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len() + with.len());
    out.extend_from_slice(document.get(..range.start).unwrap_or(document));
    out.extend_from_slice(with);
    out.extend_from_slice(document.get(range.end..).unwrap_or_default());
    out
}

/// The document with the changes applied in order.
///
/// # Errors
/// The document is no object, a path leads through something else, or a list is too short.
pub fn edit(document: &[u8], edits: &[Edit<'_>]) -> Result<Vec<u8>, JsonError> {
    let mut current = document.to_vec();
    for edit in edits {
        current = match edit {
            Edit::Set(path, json) => set(&current, path, json)?,
            Edit::Unset(path) => unset(&current, path)?,
        };
    }
    Ok(current)
}

fn set(document: &[u8], path: &Path, json: &[u8]) -> Result<Vec<u8>, JsonError> {
    if let Some(found) = field(document, path)? {
        return Ok(replace(document, found.range, json));
    }
    // The longest part of the path that exists is the object that gets the rest of it.
    let steps = path.steps();
    for taken in (0..steps.len()).rev() {
        let range = match Path::of(steps.get(..taken).unwrap_or_default().to_vec()) {
            Some(parent) => match field(document, &parent)? {
                Some(found) => found.range,
                None => continue,
            },
            None => {
                let start = skip_space(document, 0);
                start..skip_value(document, start)?
            }
        };
        let missing = steps.get(taken..).unwrap_or_default();
        // A null in between is as good as an absent object.
        if document.get(range.clone()) == Some(b"null") && taken > 0 {
            let mut made = Vec::new();
            nest(&mut made, missing, json, range.start)?;
            return Ok(replace(document, range, &made));
        }
        return add(document, range, missing, json);
    }
    Err(JsonError::new(JsonErrorKind::NotAnObject, 0))
}

/// Appends a field to the object in the range.
fn add(
    document: &[u8],
    object: Range<usize>,
    missing: &[Step],
    json: &[u8],
) -> Result<Vec<u8>, JsonError> {
    let [Step::Field(name), rest @ ..] = missing else {
        return Err(JsonError::new(JsonErrorKind::NotInList, object.start));
    };
    let bytes = document.get(object.clone()).unwrap_or_default();
    let [b'{', inner @ .., b'}'] = bytes else {
        return Err(JsonError::new(JsonErrorKind::NotAnObject, object.start));
    };
    let filled = inner.trim_ascii_end().len();
    let mut addition = Vec::new();
    if !inner.trim_ascii().is_empty() {
        addition.push(b',');
    }
    write_text_bytes(&mut addition, name);
    addition.push(b':');
    nest(&mut addition, rest, json, object.start)?;
    let at = object.start + 1 + filled;
    Ok(replace(document, at..at, &addition))
}

/// Writes `json` inside the objects that the steps name.
fn nest(out: &mut Vec<u8>, steps: &[Step], json: &[u8], at: usize) -> Result<(), JsonError> {
    for step in steps {
        let Step::Field(name) = step else {
            return Err(JsonError::new(JsonErrorKind::NotInList, at));
        };
        out.push(b'{');
        write_text_bytes(out, name);
        out.push(b':');
    }
    out.extend_from_slice(json);
    out.extend(std::iter::repeat_n(b'}', steps.len()));
    Ok(())
}

fn unset(document: &[u8], path: &Path) -> Result<Vec<u8>, JsonError> {
    let (Some(Step::Field(name)), Some(above)) = (path.steps().last(), path.steps().split_last())
    else {
        return Err(JsonError::new(JsonErrorKind::NotAnObject, 0));
    };
    let start = match Path::of(above.1.to_vec()) {
        Some(parent) => match field(document, &parent)? {
            Some(found) => found.range.start,
            None => return Ok(document.to_vec()),
        },
        None => skip_space(document, 0),
    };
    if document.get(start) != Some(&b'{') {
        return Ok(document.to_vec());
    }
    let mut current = document.to_vec();
    // A name that stands twice is removed twice, or the second one would come to light.
    while let Some(range) = entry(&current, start, name)? {
        current = replace(&current, range, b"");
    }
    Ok(current)
}

/// The range of a field with its name and one of the commas beside it.
fn entry(document: &[u8], object: usize, name: &str) -> Result<Option<Range<usize>>, JsonError> {
    let mut at = skip_space(document, object + 1);
    let mut comma_before = None;
    while document.get(at) == Some(&b'"') {
        let name_end = skip_text(document, at)?;
        let colon = skip_space(document, name_end);
        let value = skip_space(document, colon + 1);
        let end = skip_value(document, value)?;
        let after = skip_space(document, end);
        let comma_after = document.get(after) == Some(&b',');
        let spelt = text(document.get(at..name_end).unwrap_or_default());
        if spelt.is_ok_and(|spelt| spelt == name) {
            return Ok(Some(match (comma_before, comma_after) {
                (Some(comma), _) => comma..end,
                (None, true) => at..skip_space(document, after + 1),
                (None, false) => at..end,
            }));
        }
        if !comma_after {
            break;
        }
        comma_before = Some(after);
        at = skip_space(document, after + 1);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_in(document: &str, path: &str, json: &str) -> String {
        let path = Path::parse(path).unwrap();
        let edits = [Edit::Set(&path, json.as_bytes())];
        match edit(document.as_bytes(), &edits) {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    fn unset_in(document: &str, path: &str) -> String {
        let path = Path::parse(path).unwrap();
        String::from_utf8(edit(document.as_bytes(), &[Edit::Unset(&path)]).unwrap()).unwrap()
    }

    #[test]
    fn setting_keeps_order_and_all_other_bytes() {
        assert_eq!(set_in(r#"{"a": 1 , "b":2}"#, "a", "7"), r#"{"a": 7 , "b":2}"#);
        assert_eq!(set_in(r#"{"a":1}"#, "c", "null"), r#"{"a":1,"c":null}"#);
        assert_eq!(set_in("{ }", "c", "1"), r#"{"c":1 }"#);
        assert_eq!(set_in(r#"{"a":1}"#, "x.y.z", "1"), r#"{"a":1,"x":{"y":{"z":1}}}"#);
        assert_eq!(set_in(r#"{"a":{"b":1}}"#, "a.c", "2"), r#"{"a":{"b":1,"c":2}}"#);
        assert_eq!(set_in(r#"{"a":null}"#, "a.c", "2"), r#"{"a":{"c":2}}"#);
        assert_eq!(set_in(r#"{"a":[1,2]}"#, "a[1]", "9"), r#"{"a":[1,9]}"#);
    }

    #[test]
    fn setting_through_something_else_is_an_error() {
        assert!(set_in("7", "a", "1").contains("no object"));
        assert!(set_in(r#"{"a":1}"#, "a.b", "1").contains("no object"));
        assert!(set_in(r#"{"a":[1]}"#, "a[3]", "1").contains("no list has"));
    }

    #[test]
    fn removing_takes_one_comma_along() {
        assert_eq!(unset_in(r#"{"a":1,"b":2,"c":3}"#, "a"), r#"{"b":2,"c":3}"#);
        assert_eq!(unset_in(r#"{"a":1, "b":2 ,"c":3}"#, "b"), r#"{"a":1 ,"c":3}"#);
        assert_eq!(unset_in(r#"{"a":1,"b":2}"#, "b"), r#"{"a":1}"#);
        assert_eq!(unset_in(r#"{"a":1}"#, "a"), "{}");
        assert_eq!(unset_in(r#"{"a":1,"a":2}"#, "a"), "{}");
        assert_eq!(unset_in(r#"{"a":{"b":1}}"#, "a.b"), r#"{"a":{}}"#);
        assert_eq!(unset_in(r#"{"a":1}"#, "z.y"), r#"{"a":1}"#);
    }
}
