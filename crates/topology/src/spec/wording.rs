//! The YAML parser's errors in the words of people who write pipelines.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use crate::diagnose::{Diagnostic, Span, code};

/// The problem at a byte of a text, with the likely reason where there is one.
pub(crate) fn rewritten(error: &ScanError, text: &str, file: usize, offset: usize) -> Diagnostic {
    let offset = offset.min(text.len());
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    if let Some((at, line)) = tab_indented(text, start) {
        let title = "this is not valid YAML: a line is indented with a tab";
        let end = at + line.len() - line.trim_start().len();
        return Diagnostic::error(code::INVALID_YAML, title)
            .at(Span::new(file, at, end), "a tab")
            .help("indent with spaces");
    }
    let (what, help) = wording(error.kind());
    let what = what.map_or_else(|| error.info(), str::to_owned);
    let title = format!("this is not valid YAML: {what}");
    let indentation = matches!(
        error.kind(),
        ErrorKind::ExpectedBlockSequenceEntry
            | ErrorKind::ExpectedBlockMappingKey
            | ErrorKind::InvalidIndentation
    );
    let shown = if indentation { indentation_help(text, start) } else { None };
    Diagnostic::error(code::INVALID_YAML, title)
        .at(Span::new(file, offset, offset + 1), "reading stopped here")
        .help_opt(shown.or_else(|| help.map(str::to_owned)))
}

/// Our words and our advice for the errors that people make.
fn wording(kind: &ErrorKind) -> (Option<&'static str>, Option<&'static str>) {
    match kind {
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => (
            Some("`:` is missing after the name of a field"),
            Some("write `name: value`, with a space after the colon"),
        ),
        ErrorKind::ExpectedBlockSequenceEntry => (
            Some("this line is neither an item of the list above it nor outside of it"),
            Some("begin the items of a list with `- `, all of them in one column"),
        ),
        ErrorKind::ExpectedBlockMappingKey => (
            Some("this line is neither a field of the mapping above it nor outside of it"),
            Some("put the fields of a mapping in one column"),
        ),
        ErrorKind::UnclosedFlowCollection { .. } => {
            (None, Some("close the bracket on this line or a later one"))
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            (Some("a text in quotes is not closed"), Some("close the text with the same quote"))
        }
        ErrorKind::ExpectedFlowMappingSeparator => {
            (Some("`,` or `}` is missing"), Some("write `{ a: 1, b: 2 }`"))
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            (Some("`,` or `]` is missing"), Some("write `[a, b]`"))
        }
        ErrorKind::UnknownAnchor => (Some("the alias refers to no anchor"), None),
        // A colon inside a text is the usual reason.
        ErrorKind::MappingValueNotAllowed => {
            (Some("a second `:` on this line"), Some("put a text that has `: ` in it in quotes"))
        }
        _ => (None, None),
    }
}

/// The first line from here on, one line back included, that is indented with a tab.
fn tab_indented(text: &str, start: usize) -> Option<(usize, &str)> {
    let mut at = text.get(..start.saturating_sub(1))?.rfind('\n').map_or(0, |at| at + 1);
    for line in text.get(at..)?.split_inclusive('\n').take(3) {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let has_text = !line.trim().is_empty();
        if has_text && line.get(..indent).is_some_and(|indent| indent.contains('\t')) {
            return Some((at, line.trim_end_matches('\n')));
        }
        at += line.len();
    }
    None
}

/// Names the two indentations when a line does not line up with any line above it.
fn indentation_help(text: &str, line_start: usize) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let line = text.get(line_start..)?.lines().next()?;
    let this = indent(line);
    let above: Vec<usize> = text
        .get(..line_start)?
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .map(indent)
        .collect();
    let last = *above.last()?;
    if line.trim().is_empty() || this == last || above.contains(&this) {
        return None;
    }
    Some(format!("this line is indented {this} spaces, the one above it {last}"))
}

#[cfg(test)]
mod tests {
    use super::super::node;

    fn said(text: &str) -> String {
        let error = node::parse(text, 0).unwrap_err();
        format!("{} | {}", error.title, error.help.unwrap_or_default())
    }

    #[test]
    fn the_usual_slips_are_explained() {
        let list = said("a:\n    - id: x\n   - id: y\n");
        assert!(list.contains("indented 3 spaces, the one above it 4"), "{list}");
        assert!(said("- id: c\n\ttype: x\n").contains("indented with a tab"));
        assert!(said("- id: a\n  type forward\n  to: b\n").contains("`:` is missing"));
        assert!(said("a: b: c\n").contains("a second `:` on this line"));
        assert!(said("a: [b\n").contains("close the bracket"));
        let quote = said("a: 'b\n");
        assert!(quote.contains("close the text"), "{quote}");
        assert!(said("a: *b\n").contains("refers to no anchor"));
    }
}
