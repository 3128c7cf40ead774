//! YAML as a tree in which every node knows its place.
//!
//! Deserialisation into types would stop at the first problem and lose places; a tree of our own
//! lets the readers report everything at once. Only this module and `wording` see the YAML parser.

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle};

use super::wording::rewritten;
use crate::diagnose::{Diagnostic, Span, code};
use crate::limits::{SPEC_BYTES_MAX, SPEC_DEPTH_MAX, SPEC_NODES_MAX};

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A single value; `plain` is false for quoted and block texts, which are never numbers.
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file, duplicates included.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// What the node is, for messages that say what was found.
    pub(crate) fn found(&self) -> String {
        match &self.kind {
            Kind::Scalar { text, plain: true } if is_null(text) => "nothing".to_owned(),
            Kind::Scalar { text, .. } if text.chars().count() > 40 => "a long text".to_owned(),
            Kind::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => {
                format!("the number {text}")
            }
            Kind::Scalar { text, .. } => format!("the text `{text}`"),
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
        }
    }

    /// Whether nothing is written here.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if is_null(text))
    }

    /// The text of a scalar.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }
}

/// The ways in which YAML writes "nothing".
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Reads one document.
///
/// # Errors
/// The place where the text stops being YAML, or a limit that it exceeds.
pub(crate) fn parse(text: &str, file: usize) -> Result<Node, Diagnostic> {
    if text.len() > SPEC_BYTES_MAX {
        let title = format!("the file has more than {SPEC_BYTES_MAX} bytes");
        return Err(Diagnostic::error(code::TOO_LARGE, title).at(Span::new(file, 0, 0), ""));
    }
    let mut builder = Builder::new(text, file);
    for next in Parser::new_from_str(text) {
        let (event, span) =
            next.map_err(|error| rewritten(&error, text, file, builder.offset(error.marker())))?;
        let span = builder.span(span.start, span.end);
        builder.event(event, span)?;
        if builder.documents > 1 {
            let title = "the file holds a second document; only one is read";
            return Err(Diagnostic::error(code::INVALID_YAML, title).at(span, "begins here"));
        }
    }
    builder.root.ok_or_else(|| {
        Diagnostic::error(code::WRONG_FORM, "the file is empty")
            .at(Span::new(file, 0, 0), "")
            .help("start with `version: 1`, or with a list of tasks")
    })
}

/// A collection that is still open.
struct Frame {
    kind: Kind,
    key: Option<Node>,
    span: Span,
    anchor: usize,
}

struct Builder<'a> {
    text: &'a str,
    file: usize,
    root: Option<Node>,
    open: Vec<Frame>,
    anchors: Vec<(usize, Node)>,
    node_count: usize,
    documents: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, file: usize) -> Self {
        Self {
            text,
            file,
            root: None,
            open: Vec::new(),
            anchors: Vec::new(),
            node_count: 0,
            documents: 0,
        }
    }

    fn offset(&self, marker: &Marker) -> usize {
        marker.byte_offset().unwrap_or_else(|| {
            let at = self.text.char_indices().nth(marker.index());
            at.map_or(self.text.len(), |(offset, _)| offset)
        })
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        Span::new(self.file, self.offset(&start), self.offset(&end))
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentStart(..) => self.documents += 1,
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let kind = Kind::Scalar { text: text.into_owned(), plain };
                self.complete(Node { kind, span }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.push(Kind::Sequence(Vec::new()), span, anchor)?;
            }
            Event::MappingStart(_, anchor, _) => {
                self.push(Kind::Mapping(Vec::new()), span, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.open.pop() {
                    let end = self.trimmed(frame.span.start, span.end);
                    let place = Span::new(self.file, frame.span.start, end);
                    self.complete(Node { kind: frame.kind, span: place }, frame.anchor)?;
                }
            }
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(id, _)| *id == anchor);
                // A collection that contains itself has no finished node yet.
                let Some((_, node)) = known else {
                    let title = "the alias refers to something that is not finished";
                    return Err(Diagnostic::error(code::INVALID_YAML, title).at(span, ""));
                };
                let node = node.clone();
                self.count(count(&node), depth(&node), span)?;
                self.complete(node, 0)?;
            }
            // Stream events, comments and presentation metadata carry no values.
            _ => {}
        }
        Ok(())
    }

    /// The end of a block without the blank lines and comments that follow it.
    fn trimmed(&self, start: usize, end: usize) -> usize {
        self.text.get(start..end).map_or(end, |text| start + text.trim_end().len())
    }

    fn push(&mut self, kind: Kind, span: Span, anchor: usize) -> Result<(), Diagnostic> {
        self.count(1, 1, span)?;
        self.open.push(Frame { kind, key: None, span, anchor });
        Ok(())
    }

    fn count(&mut self, nodes: usize, depth: usize, span: Span) -> Result<(), Diagnostic> {
        self.node_count = self.node_count.saturating_add(nodes);
        if self.node_count > SPEC_NODES_MAX || self.open.len() + depth > SPEC_DEPTH_MAX {
            let title = "the file is too large or too deeply nested";
            return Err(Diagnostic::error(code::TOO_LARGE, title).at(span, "here"));
        }
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        if matches!(node.kind, Kind::Scalar { .. }) {
            self.count(1, 0, node.span)?;
        }
        if anchor > 0 {
            self.count(count(&node), 0, node.span)?;
            self.anchors.push((anchor, node.clone()));
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping(entries) => match frame.key.take() {
                Some(key) => entries.push((key, node)),
                None => frame.key = Some(node),
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }
}

fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 1,
        Kind::Sequence(items) => 1 + items.iter().map(count).sum::<usize>(),
        Kind::Mapping(entries) => {
            1 + entries.iter().map(|(key, value)| count(key) + count(value)).sum::<usize>()
        }
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Mapping(entries) => {
            1 + entries.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice<'a>(text: &'a str, node: &Node) -> &'a str {
        &text[node.span.start..node.span.end]
    }

    #[test]
    fn nodes_know_their_places() {
        let text = "a: [1, 'x']\n# note\nb:\n  c: \u{e9}t\u{e9} # tail\n\n";
        let root = parse(text, 0).unwrap();
        let Kind::Mapping(entries) = &root.kind else { panic!("no mapping: {root:?}") };
        assert_eq!(slice(text, &entries[0].1), "[1, 'x']");
        let Kind::Sequence(items) = &entries[0].1.kind else { panic!("no list") };
        assert_eq!(slice(text, &items[1]), "'x'");
        let Kind::Mapping(inner) = &entries[1].1.kind else { panic!("no mapping") };
        assert_eq!(slice(text, &inner[0].1), "\u{e9}t\u{e9}");
        assert_eq!(slice(text, &inner[0].0), "c");
    }

    #[test]
    fn exponential_aliases_end_at_the_limit() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let before = level - 1;
            let list = vec![format!("*a{before}"); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert_eq!(parse(&text, 0).unwrap_err().code, code::TOO_LARGE);
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        assert!(parse(&"[".repeat(100_000), 0).is_err());
        let balanced = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(parse(&balanced, 0).unwrap_err().code, code::TOO_LARGE);
    }
}
