//! What the text of a file looks like, before its meaning: documents, blanks, ASCII.

use super::source::Source;
use super::tree::Tree;
use super::{FileRule, Report};

pub(super) const RULES: &[FileRule] = &[
    FileRule { id: "E1", check: check_first_line },
    FileRule { id: "E2", check: |source, report| check_lines(&source.path, &source.raw, report) },
];

/// E1: a file says what it owns before anything else.
fn check_first_line(source: &Source, report: &mut Report) {
    if !source.raw_line(1).starts_with("//! ") {
        let what = "the first line says nothing about the file, begin with `//! ` and a sentence";
        report.add("E1", &source.path, 1, what);
    }
}

/// E2, for the manifests.
pub(super) fn check_manifests(tree: &Tree, report: &mut Report) {
    for file in tree.files().filter(|file| file.path.ends_with(".toml")) {
        let lines: Vec<String> = file.text().lines().map(str::to_owned).collect();
        check_lines(&file.path, &lines, report);
    }
}

fn check_lines(path: &str, lines: &[String], report: &mut Report) {
    for (index, line) in lines.iter().enumerate() {
        if let Some(what) = flaw(line) {
            report.add("E2", path, index + 1, what);
        }
    }
}

fn flaw(line: &str) -> Option<&'static str> {
    if !line.is_ascii() {
        Some("a character outside ASCII, spell it or use an escape")
    } else if line.contains('\t') {
        Some("a tab, use blanks")
    } else if line.ends_with(char::is_whitespace) {
        Some("blanks at the end of the line, remove them")
    } else {
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Proof;

    const HERE: &str = "crates/client/src/x.rs";

    pub(in super::super) const PROOFS: &[Proof] = &[
        Proof {
            rule: "E1",
            path: HERE,
            good: "//! Batches.\n",
            bad: "use std::fmt;\n",
            says: "begin with",
        },
        Proof { rule: "E2", path: HERE, good: "a\n", bad: "a\u{b0}\n", says: "outside ASCII" },
        Proof { rule: "E2", path: HERE, good: "a\n", bad: "a \n", says: "at the end" },
        Proof { rule: "E2", path: HERE, good: "a\n", bad: "\ta\n", says: "a tab" },
    ];
}
