//! Diagnostics as text with carets, as one line each, as annotations and as JSON.

use std::fmt::Write as _;

use super::{Diagnostic, Label, Severity, Sources};
use crate::json::write_text;
use crate::limits::EXCERPT_CHARS_MAX;

/// How diagnostics are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Excerpts with box-drawing characters, for terminals that speak UTF-8.
    Boxes,
    /// Excerpts in ASCII, for `NO_COLOR`, dumb terminals and other character sets.
    Ascii,
    /// One line per diagnostic, for logs; editors make its place clickable.
    Plain,
    /// Annotations as hosted build services read them.
    Github,
}

/// Whether ANSI colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// No escape sequence at all.
    Off,
    /// Words and carets in colour.
    Ansi,
}

/// The diagnostics as text that ends with a line break; empty for none.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, look: Look, paint: Paint) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        match look {
            Look::Boxes | Look::Ascii => {
                if !out.is_empty() {
                    out.push('\n');
                }
                Drawing { sources, glyphs: Glyphs::of(look), paint, out: &mut out }
                    .diagnostic(diagnostic);
            }
            Look::Plain => plain(diagnostic, sources, &mut out),
            Look::Github => github(diagnostic, sources, &mut out),
        }
    }
    out
}

fn plain(diagnostic: &Diagnostic, sources: &Sources, out: &mut String) {
    out.push_str(&place_text(diagnostic, sources));
    if !out.is_empty() && !out.ends_with('\n') {
        out.push_str(": ");
    }
    let word = diagnostic.severity.word();
    out.push_str(&format!("{word}[{}]: {}", diagnostic.code, clean(&diagnostic.title)));
    for note in &diagnostic.notes {
        out.push_str("; ");
        out.push_str(&clean(note));
    }
    if let Some(help) = &diagnostic.help {
        out.push_str("; help: ");
        out.push_str(&clean(help));
    }
    out.push('\n');
}

fn github(diagnostic: &Diagnostic, sources: &Sources, out: &mut String) {
    let word = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    out.push_str("::");
    out.push_str(word);
    if let Some(place) = diagnostic.span().and_then(|span| sources.place(span)) {
        let file = escape(&clean(place.file)).replace(',', "%2C").replace(':', "%3A");
        out.push_str(&format!(" file={file},line={},col={}", place.line, place.column));
    }
    let mut message = format!("{}: {}", diagnostic.code, diagnostic.title);
    if let Some(help) = &diagnostic.help {
        message.push_str("; help: ");
        message.push_str(help);
    }
    out.push_str("::");
    out.push_str(&escape(&clean(&message)));
    out.push('\n');
}

fn escape(text: &str) -> String {
    text.replace('%', "%25")
}

/// `file:line:column`, or nothing when the diagnostic has no place.
fn place_text(diagnostic: &Diagnostic, sources: &Sources) -> String {
    diagnostic.span().and_then(|span| sources.place(span)).map_or_else(String::new, |place| {
        format!("{}:{}:{}", clean(place.file), place.line, place.column)
    })
}

/// Text of the file or the command line without control characters, which could steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The diagnostics as one JSON array, one object per diagnostic.
#[must_use]
pub fn render_json(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut out = String::from("[");
    for (index, diagnostic) in diagnostics.iter().enumerate() {
        out.push_str(if index == 0 { "\n  {" } else { ",\n  {" });
        out.push_str(&format!("\"severity\":\"{}\",", diagnostic.severity.word()));
        out.push_str(&format!("\"code\":\"{}\",\"title\":", diagnostic.code));
        write_text(&mut out, &diagnostic.title);
        out.push_str(",\"labels\":[");
        for (number, label) in diagnostic.labels.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            json_label(label, sources, &mut out);
        }
        out.push_str("],\"help\":");
        match &diagnostic.help {
            Some(help) => write_text(&mut out, help),
            None => out.push_str("null"),
        }
        out.push_str(",\"notes\":[");
        for (number, note) in diagnostic.notes.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            write_text(&mut out, note);
        }
        out.push_str("]}");
    }
    out.push_str(if diagnostics.is_empty() { "]\n" } else { "\n]\n" });
    out
}

fn json_label(label: &Label, sources: &Sources, out: &mut String) {
    out.push_str("{\"file\":");
    let place = sources.place(label.span);
    write_text(out, place.map_or("", |place| place.file));
    let (line, column) = place.map_or((0, 0), |place| (place.line, place.column));
    out.push_str(&format!(",\"line\":{line},\"column\":{column},"));
    out.push_str(&format!("\"start\":{},\"end\":{},\"text\":", label.span.start, label.span.end));
    write_text(out, &label.text);
    out.push('}');
}

/// The characters of one look.
struct Glyphs {
    open: &'static str,
    also: &'static str,
    bar: char,
    gap: char,
    close: &'static str,
    under: char,
    stem: char,
    turn: &'static str,
}

impl Glyphs {
    fn of(look: Look) -> Self {
        if look == Look::Boxes {
            return Self {
                open: "\u{256d}\u{2500}",
                also: "\u{251c}\u{2500}",
                bar: '\u{2502}',
                gap: '\u{b7}',
                close: "\u{2570}\u{2500}\u{2500}\u{2500}\u{2500}",
                under: '\u{2500}',
                stem: '\u{252c}',
                turn: "\u{2570}\u{2500}\u{2500} ",
            };
        }
        Self {
            open: "-->",
            also: "-->",
            bar: '|',
            gap: '|',
            close: "|",
            under: '^',
            stem: '^',
            turn: "",
        }
    }
}

struct Drawing<'a> {
    sources: &'a Sources,
    glyphs: Glyphs,
    paint: Paint,
    out: &'a mut String,
}

impl Drawing<'_> {
    fn diagnostic(&mut self, diagnostic: &Diagnostic) {
        let word = diagnostic.severity.word();
        let heading = self.painted(word, color(diagnostic.severity));
        let line = format!("{heading}[{}]: {}\n", diagnostic.code, clean(&diagnostic.title));
        self.out.push_str(&line);
        self.excerpts(diagnostic);
        for note in &diagnostic.notes {
            self.tail("note", note);
        }
        if let Some(help) = &diagnostic.help {
            self.tail("help", help);
        }
    }

    fn tail(&mut self, word: &str, text: &str) {
        let word = self.painted(word, "36");
        for (number, line) in text.lines().enumerate() {
            let start = if number == 0 { format!("  {word}: ") } else { " ".repeat(8) };
            self.out.push_str(&format!("{start}{}\n", clean(line)));
        }
    }

    fn painted(&self, text: &str, color: &str) -> String {
        match self.paint {
            Paint::Off => text.to_owned(),
            Paint::Ansi => format!("\u{1b}[1;{color}m{text}\u{1b}[0m"),
        }
    }

    /// One block per file, in the order of the labels, each with its lines and carets.
    fn excerpts(&mut self, diagnostic: &Diagnostic) {
        let mut files: Vec<usize> = Vec::new();
        for label in &diagnostic.labels {
            let known = self.sources.files().get(label.span.file).is_some();
            if known && !files.contains(&label.span.file) {
                files.push(label.span.file);
            }
        }
        let widest = diagnostic.labels.iter().map(|l| self.sources.line(l.span) + 1).max();
        let margin = widest.unwrap_or(1).to_string().len() + 1;
        for (number, file) in files.iter().enumerate() {
            let labels: Vec<&Label> =
                diagnostic.labels.iter().filter(|label| label.span.file == *file).collect();
            let open = if number == 0 { self.glyphs.open } else { self.glyphs.also };
            if let Some(place) = labels.first().and_then(|label| self.sources.place(label.span)) {
                let at = format!("{}:{}:{}", clean(place.file), place.line, place.column);
                let at = if open == "-->" { format!(" {at}") } else { format!("[{at}]") };
                self.out.push_str(&format!("{:margin$} {open}{at}\n", ""));
            }
            self.excerpt(*file, &labels, margin);
        }
        if !files.is_empty() {
            self.out.push_str(&format!("{:margin$} {}\n", "", self.glyphs.close));
        }
    }

    fn excerpt(&mut self, file: usize, labels: &[&Label], margin: usize) {
        let Some(source) = self.sources.files().get(file) else { return };
        let lines: Vec<&str> = source.text.lines().collect();
        let marked: Vec<usize> = labels.iter().map(|l| self.sources.line(l.span)).collect();
        let mut shown: Vec<usize> = marked
            .iter()
            .flat_map(|line| [line.saturating_sub(1), *line, line + 1])
            .filter(|line| (1..=lines.len().max(1)).contains(line))
            .collect();
        shown.sort_unstable();
        shown.dedup();
        let (bar, gap) = (self.glyphs.bar, self.glyphs.gap);
        let mut previous = None;
        for line in shown {
            if previous.is_some_and(|before| before + 1 < line) {
                self.out.push_str(&format!("{:margin$} {gap} ...\n", ""));
            }
            previous = Some(line);
            let text = excerpt_line(lines.get(line - 1).copied().unwrap_or(""));
            let row = format!("{line:margin$} {bar} {text}");
            self.out.push_str(row.trim_end());
            self.out.push('\n');
            for (label, _) in labels.iter().zip(&marked).filter(|(_, at)| **at == line) {
                self.caret(label, margin);
            }
        }
    }

    fn caret(&mut self, label: &Label, margin: usize) {
        let Some(place) = self.sources.place(label.span) else { return };
        let text = self.sources.files().get(label.span.file).map_or("", |file| &file.text);
        let marked = text.get(label.span.start..label.span.end).unwrap_or("");
        let first_line = marked.lines().next().unwrap_or("").trim_end();
        let indent = (place.column - 1).min(EXCERPT_CHARS_MAX);
        let width = first_line.chars().count().clamp(1, EXCERPT_CHARS_MAX + 1 - indent);
        let gap = self.glyphs.gap;
        let said = clean(&label.text);
        let mut line = String::new();
        if self.glyphs.turn.is_empty() || said.is_empty() {
            let carets: String = std::iter::repeat_n(self.glyphs.under, width).collect();
            line.push_str(&format!("{carets} {said}"));
            self.caret_line(gap, margin, indent, line.trim_end());
            return;
        }
        let middle = width / 2;
        for column in 0..width {
            line.push(if column == middle { self.glyphs.stem } else { self.glyphs.under });
        }
        self.caret_line(gap, margin, indent, &line);
        let turned = format!("{}{said}", self.glyphs.turn);
        self.caret_line(gap, margin, indent + middle, &turned);
    }

    fn caret_line(&mut self, gap: char, margin: usize, indent: usize, text: &str) {
        let text = self.painted(text, "35");
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{:margin$} {gap} {:indent$}{text}", "", "");
    }
}

fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "31",
        Severity::Warning => "33",
        Severity::Note => "36",
    }
}

/// A source line as it is shown: tabs and other control characters take one column.
fn excerpt_line(line: &str) -> String {
    let mut text: String = clean(line).chars().take(EXCERPT_CHARS_MAX).collect();
    if line.chars().count() > EXCERPT_CHARS_MAX {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Span, code};
    use super::*;

    const FILE: &str = "- id: ingest\n  type: forward\n  to: [totals]\n- id: total\n";

    fn sample() -> (Vec<Diagnostic>, Sources) {
        let sources = Sources::single("pipeline.yaml", FILE);
        let diagnostic = Diagnostic::error(code::UNKNOWN_TARGET, "task `ingest` sends to `totals`")
            .at(Span::new(0, 36, 42), "no task with this id")
            .help("did you mean `total`?");
        (vec![diagnostic], sources)
    }

    #[test]
    fn carets_stand_under_the_marked_text() {
        let (diagnostics, sources) = sample();
        let text = render(&diagnostics, &sources, Look::Ascii, Paint::Off);
        let expected = "error[MS-1005]: task `ingest` sends to `totals`\n   \
                        --> pipeline.yaml:3:8\n 2 |   type: forward\n 3 |   to: [totals]\n   \
                        |        ^^^^^^ no task with this id\n 4 | - id: total\n   |\n  \
                        help: did you mean `total`?\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_plain_form_is_one_clickable_line() {
        let (diagnostics, sources) = sample();
        let text = render(&diagnostics, &sources, Look::Plain, Paint::Off);
        let expected = "pipeline.yaml:3:8: error[MS-1005]: task `ingest` sends to `totals`; \
                        help: did you mean `total`?\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let sources = Sources::single("a\u{1b}.yaml", "x: \u{1b}[31m\n");
        let diagnostic =
            Diagnostic::error(code::WRONG_VALUE, "bad \u{1b}[31m").at(Span::new(0, 3, 4), "\u{7}");
        for look in [Look::Boxes, Look::Ascii, Look::Plain, Look::Github] {
            let text = render(std::slice::from_ref(&diagnostic), &sources, look, Paint::Off);
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{look:?}: {text:?}");
        }
    }

    #[test]
    fn json_holds_places_and_texts() {
        let (diagnostics, sources) = sample();
        let json = render_json(&diagnostics, &sources);
        assert!(json.contains("\"code\":\"MS-1005\""), "{json}");
        assert!(json.contains("\"line\":3,\"column\":8"), "{json}");
        assert_eq!(render_json(&[], &sources), "[]\n");
    }
}
