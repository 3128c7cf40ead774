//! Sizes that keep a file and a function readable in one go.

use super::source::{Source, indent_of};
use super::{FileRule, Report};

pub(super) const RULES: &[FileRule] = &[
    FileRule { id: "B1", check: check_file },
    FileRule { id: "B2", check: check_functions },
    FileRule { id: "B3", check: check_lines },
    FileRule { id: "B5", check: check_test_file },
];

const FILE_LINES_MAX: usize = 700;
const TEST_FILE_LINES_MAX: usize = 1_000;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

fn check_file(source: &Source, report: &mut Report) {
    let own = source.test.iter().filter(|test| !**test).count();
    if own > FILE_LINES_MAX && !source.generated {
        let what = format!("{own} lines outside tests, at most {FILE_LINES_MAX}: split by noun");
        report.add("B1", &source.path, 1, what);
    }
}

fn check_test_file(source: &Source, report: &mut Report) {
    let lines = source.raw.len();
    if source.is_test() && lines > TEST_FILE_LINES_MAX {
        let what = format!("{lines} lines of tests, at most {TEST_FILE_LINES_MAX}: split by idea");
        report.add("B5", &source.path, 1, what);
    }
}

fn check_functions(source: &Source, report: &mut Report) {
    if source.generated {
        return;
    }
    for (index, line) in source.code.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let lines = function_lines(&source.code, index);
        if lines > FUNCTION_LINES_MAX {
            let what =
                format!("fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}: give it parts");
            report.add("B2", &source.path, index + 1, what);
        }
    }
}

/// The name of the function that a line begins.
pub(super) fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    loop {
        let (word, tail) = rest.split_once(' ')?;
        rest = tail;
        match word {
            "fn" => return rest.split(|char: char| !char.is_alphanumeric() && char != '_').next(),
            "async" | "const" | "unsafe" | "extern" => {}
            word if word.starts_with("pub") || word.starts_with("\"") || word.ends_with(')') => {}
            _ => return None,
        }
    }
}

/// Lines from the `fn` to its closing brace; 1 where there is no body of its own lines.
fn function_lines(code: &[String], start: usize) -> usize {
    let indent = indent_of(&code[start]);
    let mut opened = false;
    for (offset, line) in code[start..].iter().enumerate() {
        let text = line.trim_end();
        if !opened && (text.ends_with(';') || text.ends_with('}')) {
            return offset + 1;
        }
        opened = opened || text.ends_with('{');
        if offset > 0 && opened && indent_of(line) == indent && text.trim() == "}" {
            return offset + 1;
        }
    }
    code.len() - start
}

fn check_lines(source: &Source, report: &mut Report) {
    for (index, line) in source.raw.iter().enumerate() {
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX && !line.contains("://") && !source.generated {
            let what = format!("{columns} columns, at most {LINE_COLUMNS_MAX}: break the line");
            report.add("B3", &source.path, index + 1, what);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Proof;
    use super::*;

    const HERE: &str = "crates/client/src/x.rs";

    pub(in super::super) const PROOFS: &[Proof] = &[
        Proof {
            rule: "B1",
            path: HERE,
            good: "#[cfg(test)]\nmod tests {\n<many lines>}\n",
            bad: "fn f() {}\n<many lines>",
            says: "split by noun",
        },
        Proof {
            rule: "B2",
            path: HERE,
            good: "fn f();\n<many lines>\n",
            bad: "fn f() {\n<many lines>}\n",
            says: "fn f has 1202 lines",
        },
        Proof {
            rule: "B3",
            path: HERE,
            good: "// https://example.org/<wide>\n",
            bad: "// <wide>\n",
            says: "break the line",
        },
        Proof {
            rule: "B5",
            path: "crates/client/tests/x.rs",
            good: "a\n",
            bad: "<many lines>",
            says: "split by idea",
        },
    ];

    #[test]
    fn a_function_is_known_by_its_qualifiers() {
        assert_eq!(function_name("    pub(crate) async fn run<T>(x: T) {"), Some("run"));
        assert_eq!(function_name("    let f = |fn_name| x;"), None);
        assert_eq!(function_name("fn main() {}"), Some("main"));
    }

    #[test]
    fn a_signature_of_many_lines_counts() {
        let code: Vec<String> = "fn f(\n    a: u8,\n) -> u8 {\n    a\n}\nfn g();\n"
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(function_lines(&code, 0), 5);
        assert_eq!(function_lines(&code, 5), 1);
    }
}
