//! The language of `where:`, `key:`, `value:` and `set:`.
//!
//! An expression is compiled once, with all problems that can be known then, and evaluated on the
//! bytes of a record: paths are looked up in the JSON where they stand, and nothing is allocated
//! for comparisons. It has no loops, no assignments and no side effects, so it always ends.

mod compile;
mod evaluate;
mod facts;
mod functions;
mod lexer;
mod rebuild;
mod syntax;

use std::borrow::Cow;
use std::fmt;

pub use evaluate::EvalError;
pub use facts::{Headers, NoHeaders, RecordFacts};
pub use rebuild::rebuild;

use crate::diagnose::{Diagnostic, Span};
use crate::json::{Number, Path, Step, write_number, write_text_bytes};
use crate::timestamp::timestamp_ms;
use syntax::Node;

/// The names of all functions, for pages and editors.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    functions::Function::names()
}

/// A compiled expression.
#[derive(Clone)]
pub struct Expression {
    text: String,
    root: Node,
    kinds: Kinds,
    origin: Span,
}

impl fmt::Debug for Expression {
    /// The canonical text: plans are read by people, and trees are not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({})", self.root)
    }
}

impl PartialEq for Expression {
    /// Two expressions are equal when their trees are; spaces and brackets do not count.
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root
    }
}

impl Expression {
    /// Compiles a text that was written at `origin`.
    ///
    /// `verbatim` says that the text stands at the origin character by character, so that carets
    /// can point into it; otherwise they mark the whole origin.
    ///
    /// # Errors
    /// The first problem, with its place.
    pub fn compile(text: &str, origin: Span, verbatim: bool) -> Result<Self, Diagnostic> {
        compile::compile(text, origin, verbatim)
    }

    /// The expression that is the field of this name.
    #[must_use]
    pub fn field(name: &str) -> Self {
        let path = Path::field(name);
        let text = path.to_string();
        Self { text, root: Node::path(path), kinds: Kinds::ANY, origin: Span::default() }
    }

    /// The text as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it was written; the start of the file for one that nobody wrote.
    #[must_use]
    pub fn span(&self) -> Span {
        self.origin
    }

    /// The same expression in one spelling, for comparisons and fingerprints.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.root.to_string()
    }

    /// Whether it is `@key`, and so changes no key.
    #[must_use]
    pub fn is_record_key(&self) -> bool {
        self.root.is_record_key()
    }

    /// Whether it looks at nothing but the value, so that it gives the same wherever the record is.
    #[must_use]
    pub fn reads_only_value(&self) -> bool {
        let mut only_value = true;
        self.root.visit(&mut |node| {
            if let syntax::Kind::Fact(fact) = &node.kind {
                only_value &= *fact == syntax::Fact::Value;
            }
        });
        only_value
    }

    /// The names of the fields of the value that it looks at, each once, in order.
    #[must_use]
    pub fn fields(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.visit(&mut |node| {
            let syntax::Kind::Path(path) = &node.kind else { return };
            if let Some(Step::Field(name)) = path.steps().first()
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        });
        names
    }

    /// Whether its value can be true or false, as far as that is known before it runs.
    #[must_use]
    pub fn may_be_condition(&self) -> bool {
        self.kinds.overlaps(Kinds::BOOL)
    }

    /// The kinds of its value in words, such as `a number`.
    #[must_use]
    pub fn kind_word(&self) -> String {
        self.kinds.to_string()
    }

    /// The value for a record.
    ///
    /// # Errors
    /// What cannot be done, naming the path and the value.
    pub fn evaluate<'a>(&'a self, facts: &RecordFacts<'a>) -> Result<Value<'a>, EvalError> {
        evaluate::evaluate(&self.root, facts)
    }

    /// The value of a condition; null counts as false.
    ///
    /// # Errors
    /// As [`Expression::evaluate`], and when the value is neither true, false nor null.
    pub fn holds(&self, facts: &RecordFacts<'_>) -> Result<bool, EvalError> {
        evaluate::holds(&self.root, facts)
    }
}

/// A value of an expression, borrowed from the record or the expression where possible.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Nothing: JSON's null or an absent field.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Any other number; always finite.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An object or list as JSON.
    Json(&'a [u8]),
}

impl Value<'_> {
    /// The value as a number, when it is one.
    #[must_use]
    pub fn number(&self) -> Option<Number> {
        match self {
            Self::Int(int) => Some(Number::Int(*int)),
            Self::Float(float) => Some(Number::Float(*float)),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::Json(_) => None,
        }
    }

    /// The value as a point in time: whole milliseconds since 1970, or an RFC 3339 text.
    #[must_use]
    pub fn timestamp_ms(&self) -> Option<i64> {
        match self {
            Self::Int(ms) => Some(*ms),
            Self::Text(text) => timestamp_ms(text),
            Self::Float(_) | Self::Null | Self::Bool(_) | Self::Json(_) => None,
        }
    }

    /// Appends the value as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Int(int) => write_number(out, Number::Int(*int)),
            Self::Float(float) => write_number(out, Number::Float(*float)),
            Self::Text(text) => write_text_bytes(out, text),
            Self::Json(json) => out.extend_from_slice(json),
        }
    }

    /// Appends the value as a record's key: scalars as text without quotes. `false` for null,
    /// which makes no key.
    #[must_use]
    pub fn write_key(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Null => return false,
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Json(_) => self.write_json(out),
        }
        true
    }

    /// Its kind in words.
    #[must_use]
    pub fn kind_word(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Json(_) => "an object or list",
        }
    }
}

/// The set of kinds that a value may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOL: Self = Self(2);
    pub(crate) const NUMBER: Self = Self(4);
    pub(crate) const TEXT: Self = Self(8);
    pub(crate) const JSON: Self = Self(16);
    pub(crate) const ANY: Self = Self(31);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY {
            return f.write_str("any value");
        }
        let words = [
            (Self::NUMBER, "a number"),
            (Self::TEXT, "a text"),
            (Self::BOOL, "true or false"),
            (Self::JSON, "an object or list"),
            (Self::NULL, "null"),
        ];
        let mut first = true;
        for (_, word) in words.iter().filter(|(kind, _)| self.overlaps(*kind)) {
            if !first {
                f.write_str(" or ")?;
            }
            f.write_str(word)?;
            first = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_scalars_without_quotes() {
        let key = |value: Value<'_>| {
            let mut out = Vec::new();
            value.write_key(&mut out).then(|| String::from_utf8(out).unwrap())
        };
        assert_eq!(key(Value::Text("d1".into())), Some("d1".to_owned()));
        assert_eq!(key(Value::Int(7)), Some("7".to_owned()));
        assert_eq!(key(Value::Bool(true)), Some("true".to_owned()));
        assert_eq!(key(Value::Null), None);
    }

    #[test]
    fn times_are_milliseconds_or_texts() {
        assert_eq!(Value::Int(5).timestamp_ms(), Some(5));
        assert_eq!(Value::Text("1970-01-01T00:00:01Z".into()).timestamp_ms(), Some(1_000));
        assert_eq!(Value::Text("noon".into()).timestamp_ms(), None);
        assert_eq!(Value::Null.timestamp_ms(), None);
    }

    #[test]
    fn equal_trees_are_equal_expressions() {
        let compile = |text| Expression::compile(text, Span::default(), true).unwrap();
        assert_eq!(compile("a+1 > 2"), compile("(.a + 1)>2"));
        assert_ne!(compile("a + 1"), compile("a + 2"));
        assert!(compile("@key").is_record_key());
    }
}
