//! JSON as bytes: finding, reading and replacing single values without a tree.
//!
//! Records are read where they lie. Only what a path touches is checked; what stands around a
//! value keeps its bytes. Nothing here allocates unless a text has escapes or bytes are rebuilt.

mod add;
mod compare;
mod edit;
mod number;
mod path;
mod scan;
mod text;

use std::fmt;

pub use add::{AddError, add};
pub use compare::matches;
pub use edit::{Edit, edit, replace};
pub use number::{Number, write_number};
pub use path::{Path, PathError, Step};
pub use scan::{Found, field, field_or_bare, root, validate};
pub use text::{text, write_text, write_text_bytes};

/// What is wrong with a document, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// What.
    pub kind: JsonErrorKind,
    /// The byte, counted from 0.
    pub at: usize,
}

/// The ways in which a document is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// It ends in the middle.
    Truncated,
    /// Something else stands where a value should.
    ExpectedValue,
    /// Something else stands where a field's name should.
    ExpectedName,
    /// A colon is missing after a field's name.
    ExpectedColon,
    /// A comma or the closing bracket is missing.
    ExpectedSeparator,
    /// Something follows the document.
    Trailing,
    /// A text has an unknown escape, half a surrogate pair or a raw control character.
    BadText,
    /// A text is not UTF-8.
    NotUtf8,
    /// A number or word is misspelt.
    BadScalar,
    /// The path leads into something that is no object.
    NotAnObject,
    /// The path leads into something that is no list, or past its end.
    NotInList,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            JsonErrorKind::Truncated => "the document ends in the middle",
            JsonErrorKind::ExpectedValue => "a value is missing",
            JsonErrorKind::ExpectedName => "a field's name is missing",
            JsonErrorKind::ExpectedColon => "a colon is missing",
            JsonErrorKind::ExpectedSeparator => "a comma or closing bracket is missing",
            JsonErrorKind::Trailing => "something follows the document",
            JsonErrorKind::BadText => "a text has a bad escape or control character",
            JsonErrorKind::NotUtf8 => "a text is not UTF-8",
            JsonErrorKind::BadScalar => "a number or word is misspelt",
            JsonErrorKind::NotAnObject => "a field was wanted of something that is no object",
            JsonErrorKind::NotInList => "an element was wanted that no list has",
        };
        write!(f, "{what} (byte {})", self.at)
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    pub(crate) fn new(kind: JsonErrorKind, at: usize) -> Self {
        Self { kind, at }
    }
}
