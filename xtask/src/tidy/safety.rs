//! Failures that must have a name: unwraps, casts, dropped results, errors without a case.

use super::source::{Source, find_word, indent_of};
use super::{FileRule, Report};

pub(super) const RULES: &[FileRule] = &[
    FileRule { id: "C1", check: check_notes },
    FileRule { id: "C2", check: check_unwraps },
    FileRule { id: "C3", check: check_casts },
    FileRule { id: "C4", check: check_unsafe },
    FileRule { id: "C7", check: check_error_variants },
    FileRule { id: "C8", check: check_dropped_results },
    FileRule { id: "C9", check: check_foreign_lengths },
];

const INTEGERS: &[&str] =
    &["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];

/// The fewest words that state an invariant.
const EXPECT_WORDS_MIN: usize = 3;

/// C1: a note to do something has an owner.
fn check_notes(source: &Source, report: &mut Report) {
    // The words are put together here, for this file is checked too.
    let bare = [["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let todo = ["TO", "DO"].concat();
    for (index, line) in source.raw.iter().enumerate() {
        if let Some(word) = bare.iter().find(|word| find_word(line, word).is_some()) {
            let what = format!("`{word}` is nobody's, fix it or write {todo}(issue):");
            report.add("C1", &source.path, index + 1, what);
        }
        let Some(at) = find_word(line, &todo) else { continue };
        let rest = &line[at + todo.len()..];
        if !(rest.starts_with('(') && rest.contains("):")) {
            let what = format!("`{todo}` without an owner, write {todo}(name or issue):");
            report.add("C1", &source.path, index + 1, what);
        }
    }
}

/// C2: outside tests nothing is unwrapped, and an expectation states its invariant.
fn check_unwraps(source: &Source, report: &mut Report) {
    for (number, line) in source.own_code() {
        if line.contains(".unwrap()") {
            let what = "`.unwrap()` hides which failure was impossible, use `?` or `.expect(..)`";
            report.add("C2", &source.path, number, what);
        }
        let Some(at) = line.find(".expect(\"") else { continue };
        let message = source.raw_line(number).chars().skip(at + 9).take_while(|char| *char != '"');
        let words = message.collect::<String>().split_whitespace().count();
        if words < EXPECT_WORDS_MIN {
            let what = "`.expect(..)` must state the invariant in three words or more";
            report.add("C2", &source.path, number, what);
        }
    }
}

/// C3: integers are cast in one place only.
fn check_casts(source: &Source, report: &mut Report) {
    if source.generated || source.path == "crates/base/src/cast.rs" {
        return;
    }
    for (number, line) in source.numbered_code() {
        let mut words = line.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        while let Some(word) = words.next() {
            let cast = word == "as" && words.next().is_some_and(|to| INTEGERS.contains(&to));
            if cast {
                let what = "`as` wraps silently, use From, TryFrom or base::cast";
                report.add("C3", &source.path, number, what);
            }
        }
    }
}

/// C4: no unsafe code; a list of files would be an exception with a reason.
fn check_unsafe(source: &Source, report: &mut Report) {
    for (number, line) in source.numbered_code() {
        if find_word(line, "unsafe").is_some() {
            report.add("C4", &source.path, number, "`unsafe` is not needed here, use a safe crate");
        }
    }
}

/// Names under which everything hides that nobody has thought of.
const VAGUE_CASES: &[&str] =
    &["Other", "Message", "Custom", "Unknown", "Generic", "Internal", "Misc", "Any", "Text"];

/// C7: a variant of an error is a case, not a text.
fn check_error_variants(source: &Source, report: &mut Report) {
    let mut depth = None;
    for (number, line) in source.own_code() {
        let indent = indent_of(line);
        let text = line.trim();
        if text.contains("enum ") && text.contains("Error") && text.ends_with('{') {
            depth = Some(indent);
        } else if depth == Some(indent) && text.starts_with('}') {
            depth = None;
        }
        if depth.is_none_or(|depth| indent != depth + 4) {
            continue;
        }
        let name: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
        if VAGUE_CASES.contains(&name.as_str()) {
            let what = format!("`{name}` is no case that a caller can act on, name the failure");
            report.add("C7", &source.path, number, what);
        }
    }
}

/// C8: a result that is dropped says why.
fn check_dropped_results(source: &Source, report: &mut Report) {
    for (number, line) in source.own_code() {
        let text = line.trim();
        let explained = source.raw_line(number).contains("//")
            || source.raw_line(number - 1).trim_start().starts_with("//");
        if text.starts_with("let _ =") && !explained {
            let what = "`let _ =` drops something in silence, say why in a comment beside it";
            report.add("C8", &source.path, number, what);
        }
        if text.ends_with(".ok();") && !text.contains('=') && !text.starts_with("return ") {
            let what = "`.ok();` drops an error in silence, handle it or use `let _ =` with why";
            report.add("C8", &source.path, number, what);
        }
    }
}

/// C9: a length that the peer has written allocates nothing.
fn check_foreign_lengths(source: &Source, report: &mut Report) {
    if source.crate_name != "protocol" || source.generated {
        return;
    }
    for (number, line) in source.own_code() {
        let sized = ["with_capacity(", ".reserve(", "vec![0"].iter().find(|w| line.contains(**w));
        let Some(word) = sized else { continue };
        let bound = ["capacity_hint", "_MAX", "_LEN", ".len()", ".min("];
        let safe = bound.iter().any(|bound| line.contains(bound)) || has_literal(line, word);
        if !safe {
            let what = "allocates by a number that may be foreign, use Reader::capacity_hint";
            report.add("C9", &source.path, number, format!("`{word}` {what}"));
        }
    }
}

/// Whether a number written down follows the word.
fn has_literal(line: &str, word: &str) -> bool {
    line.split_once(word).is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Proof;

    const HERE: &str = "crates/protocol/src/x.rs";

    pub(in super::super) const PROOFS: &[Proof] = &[
        Proof {
            rule: "C1",
            path: HERE,
            good: concat!("// TO", "DO(issue 7): later.\n"),
            bad: concat!("// TO", "DO later\n"),
            says: "without an owner",
        },
        Proof {
            rule: "C2",
            path: HERE,
            good: "#[cfg(test)]\nmod tests {\n    a.unwrap();\n}\n",
            bad: "fn f() {\n    a.unwrap();\n}\n",
            says: "use `?`",
        },
        Proof {
            rule: "C2",
            path: HERE,
            good: "a.expect(\"the map holds it\");\n",
            bad: "a.expect(\"oh no\");\n",
            says: "state the invariant",
        },
        Proof {
            rule: "C3",
            path: HERE,
            good: "use a as b; x as f64\n",
            bad: "x as u32\n",
            says: "base::cast",
        },
        Proof {
            rule: "C4",
            path: HERE,
            good: "let a = \"unsafe\";\n",
            bad: "unsafe { f() }\n",
            says: "use a safe crate",
        },
        Proof {
            rule: "C7",
            path: HERE,
            good: "enum Error {\n    Missing { name: String },\n}\n",
            bad: "enum Error {\n    Other(String),\n}\n",
            says: "name the failure",
        },
        Proof {
            rule: "C8",
            path: HERE,
            good: "// The peer has gone.\nlet _ = send();\n",
            bad: "x();\nlet _ = send();\n",
            says: "say why",
        },
        Proof {
            rule: "C8",
            path: HERE,
            good: "let a = b.ok();\n",
            bad: "x();\nsend().ok();\n",
            says: "drops an error",
        },
        Proof {
            rule: "C9",
            path: HERE,
            good: "Vec::with_capacity(reader.capacity_hint(n))\n",
            bad: "Vec::with_capacity(count)\n",
            says: "capacity_hint",
        },
    ];
}
