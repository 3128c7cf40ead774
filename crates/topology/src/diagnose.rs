//! Problems of a pipeline file as data: what, where, and what to do.
//!
//! This module owns codes, places and their rendering. It never decides what is wrong: the readers
//! and checks do.

mod codes;
mod render;
mod suggest;

pub use codes::{Code, Explanation, code, explanation, explanations};
pub use render::{Look, Paint, render, render_json};
pub use suggest::{did_you_mean, nearest};

/// A range of bytes in one of the read files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Index of the file in [`Sources`].
    pub file: usize,
    /// First byte.
    pub start: usize,
    /// The byte after the last one; equal to `start` for a place between two characters.
    pub end: usize,
}

impl Span {
    /// A range in the file with this index.
    #[must_use]
    pub fn new(file: usize, start: usize, end: usize) -> Self {
        Self { file, start, end: end.max(start) }
    }
}

/// A value together with the place where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Located<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Located<T> {
    /// Ties a value to its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// One file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The name that messages show.
    pub name: String,
    /// Its whole text.
    pub text: String,
}

/// The files that a pipeline was read from, in the order of [`Span::file`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// A place as people and editors name it; both numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file's name.
    pub file: &'a str,
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

impl Sources {
    /// No file yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One file.
    #[must_use]
    pub fn single(name: &str, text: &str) -> Self {
        let mut sources = Self::new();
        let _ = sources.add(name, text); // The index of the only file is 0.
        sources
    }

    /// Adds a file and returns its index.
    pub fn add(&mut self, name: &str, text: &str) -> usize {
        self.files.push(SourceFile { name: name.to_owned(), text: text.to_owned() });
        self.files.len() - 1
    }

    /// The files in order.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Line and column of a span's first character; `None` for a file that is not here.
    #[must_use]
    pub fn place(&self, span: Span) -> Option<Place<'_>> {
        let file = self.files.get(span.file)?;
        let (line, column) = line_and_column(&file.text, span.start);
        Some(Place { file: &file.name, line, column })
    }

    /// The line number alone, 0 when the file is unknown; for texts such as "line 4".
    #[must_use]
    pub fn line(&self, span: Span) -> usize {
        self.place(span).map_or(0, |place| place.line)
    }
}

/// Line and column, both from 1, of a byte offset; an offset past the end names the end.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[line_start..].chars().count() + 1)
}

/// How much a diagnostic weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline cannot run.
    Error,
    /// It runs, and probably not as meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word in front of the code.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What, in a few words; may be empty.
    pub text: String,
}

/// One problem or remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its weight.
    pub severity: Severity,
    /// Its stable code, which `millstream explain` knows.
    pub code: Code,
    /// One sentence without a full stop.
    pub title: String,
    /// Places, the first one being the place of the problem.
    pub labels: Vec<Label>,
    /// One concrete thing to do.
    pub help: Option<String>,
    /// Further facts.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// Something that stops the pipeline.
    pub fn error(code: Code, title: impl Into<String>) -> Self {
        Self::of(Severity::Error, code, title.into())
    }

    /// Something that is probably a mistake.
    pub fn warning(code: Code, title: impl Into<String>) -> Self {
        Self::of(Severity::Warning, code, title.into())
    }

    /// Something that is good to know.
    pub fn note(code: Code, title: impl Into<String>) -> Self {
        Self::of(Severity::Note, code, title.into())
    }

    fn of(severity: Severity, code: Code, title: String) -> Self {
        Self { severity, code, title, labels: Vec::new(), help: None, notes: Vec::new() }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Sets what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Sets what to do when there is something to say.
    #[must_use]
    pub fn help_opt(mut self, text: Option<String>) -> Self {
        self.help = text.or(self.help);
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn also(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Whether it stops the pipeline.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The place of the problem.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.labels.first().map(|label| label.span)
    }
}

/// Whether one of them stops the pipeline.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// Orders by weight, then by place, as they are shown.
pub fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.severity, diagnostic.span()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one_and_survive_odd_offsets() {
        let sources = Sources::single("a.yaml", "ab\n\u{e9}x\n");
        let at = |start| {
            let place = sources.place(Span::new(0, start, start)).unwrap();
            (place.line, place.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (2, 1));
        assert_eq!(at(4), (2, 1), "the middle of a character names its start");
        assert_eq!(at(5), (2, 2));
        assert_eq!(at(999), (3, 1));
        assert_eq!(sources.place(Span::new(7, 0, 0)), None);
    }
}
