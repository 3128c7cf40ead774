//! Log lines are written for operators: lower case, no full stop, fields instead of prose.

use super::source::Source;
use super::{FileRule, Report};

pub(super) const RULES: &[FileRule] = &[FileRule { id: "E5", check }];

const MACROS: &[&str] = &["trace!(", "debug!(", "info!(", "warn!(", "error!("];

/// A log call of more lines than this is no log line.
const CALL_LINES_MAX: usize = 20;

fn check(source: &Source, report: &mut Report) {
    for (number, line) in source.own_code() {
        let Some(at) = MACROS.iter().find_map(|word| start_of(line, word)) else { continue };
        let Some(message) = last_literal(source, number, at) else { continue };
        if let Some(flaw) = flaw(&message) {
            report.add("E5", &source.path, number, format!("log message {flaw}"));
        }
    }
}

/// Where the macro stands, unless it is the tail of another name.
fn start_of(line: &str, word: &str) -> Option<usize> {
    let at = line.find(word)?;
    let before = line[..at].chars().next_back();
    before.is_none_or(|char| !char.is_alphanumeric() && char != '_').then_some(at)
}

/// The last text of the call that starts at this line and column: the message comes last.
fn last_literal(source: &Source, number: usize, column: usize) -> Option<String> {
    let mut depth = 0_usize;
    let mut open = None;
    let mut last = None;
    for line_number in number..(number + CALL_LINES_MAX) {
        let code = source.code.get(line_number - 1)?;
        let raw = source.raw_line(line_number);
        let from = if line_number == number { column } else { 0 };
        for (at, char) in code.char_indices().filter(|(at, _)| *at >= from) {
            match char {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                '"' => match open.take() {
                    None => open = Some(at + 1),
                    Some(start) => last = raw.get(start..at).map(str::to_owned),
                },
                _ => {}
            }
            if depth == 0 && char == ')' {
                return last;
            }
        }
        // A text over several lines is not followed.
        open = None;
    }
    None
}

fn flaw(message: &str) -> Option<&'static str> {
    let mut chars = message.chars();
    let (first, second) = (chars.next(), chars.next());
    let shouts = first.is_some_and(|char| char.is_ascii_uppercase())
        && second.is_some_and(|char| char.is_ascii_lowercase());
    if shouts && !message.starts_with("Kafka") {
        Some("begins with a capital, write it in lower case")
    } else if message.ends_with('.') {
        Some("ends with a full stop, remove it")
    } else if message.contains('{') {
        Some("formats values into its text, make them fields")
    } else {
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Proof;

    const HERE: &str = "crates/broker/src/x.rs";

    pub(in super::super) const PROOFS: &[Proof] = &[
        Proof {
            rule: "E5",
            path: HERE,
            good: "warn!(%topic, \"fetch failed\");\n",
            bad: "warn!(\n    topic,\n    \"Fetch failed\"\n);\n",
            says: "lower case",
        },
        Proof {
            rule: "E5",
            path: HERE,
            good: "let a = \"A. b.\";\n",
            bad: "info!(\"started.\");\n",
            says: "full stop",
        },
        Proof {
            rule: "E5",
            path: HERE,
            good: "info!(count = f(1), \"started\");\n",
            bad: "info!(\"started {count}\");\n",
            says: "make them fields",
        },
    ];
}
