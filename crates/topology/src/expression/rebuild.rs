//! `map`: a document with some fields set and some removed.

use super::evaluate::EvalError;
use super::{Expression, RecordFacts};
use crate::json::{Edit, Path, edit};

/// The record's document with the fields set in order and then the others removed.
///
/// All expressions see the document as it came in; a null result writes null.
///
/// # Errors
/// An expression has no value, or a path leads through something that is no object.
pub fn rebuild(
    set: &[(Path, Expression)],
    unset: &[Path],
    facts: &RecordFacts<'_>,
) -> Result<Vec<u8>, EvalError> {
    let mut values = Vec::with_capacity(set.len());
    for (_, expression) in set {
        let mut json = Vec::new();
        expression.evaluate(facts)?.write_json(&mut json);
        values.push(json);
    }
    let document = facts.value.unwrap_or(b"{}");
    let settings = set.iter().zip(&values).map(|((path, _), json)| Edit::Set(path, json));
    let edits: Vec<Edit<'_>> = settings.chain(unset.iter().map(Edit::Unset)).collect();
    edit(document, &edits).map_err(|error| {
        let paths: Vec<String> = set.iter().map(|(path, _)| path.to_string()).collect();
        EvalError::Json { path: paths.join(", "), error }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::Span;

    fn run(document: &str, set: &[(&str, &str)], unset: &[&str]) -> String {
        let set: Vec<(Path, Expression)> = set
            .iter()
            .map(|(path, text)| {
                let expression = Expression::compile(text, Span::default(), true).unwrap();
                (Path::parse(path).unwrap(), expression)
            })
            .collect();
        let unset: Vec<Path> = unset.iter().map(|path| Path::parse(path).unwrap()).collect();
        match rebuild(&set, &unset, &RecordFacts::of_value(document.as_bytes())) {
            Ok(bytes) => String::from_utf8(bytes).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn all_expressions_see_the_document_as_it_came_in() {
        let document = r#"{"a":1, "b":2,"c":"x"}"#;
        let set = [("a", "b"), ("b", "a"), ("d.e", "c + '!'"), ("n", "null")];
        assert_eq!(run(document, &set, &["c"]), r#"{"a":2, "b":1,"d":{"e":"x!"},"n":null}"#);
    }

    #[test]
    fn what_is_no_object_cannot_get_fields() {
        assert!(run("[1]", &[("a", "1")], &[]).contains("no object"));
        assert!(run("{\"a\":1}", &[("b", "a + 'x'")], &[]).contains("`+` cannot work on `a`"));
    }
}
