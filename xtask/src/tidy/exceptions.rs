//! The one table of exceptions; each has a reason, and one that nothing needs any more fails.

use super::tree::Tree;
use super::{Report, Violation};

/// A place that may break a rule.
struct Exception {
    rule: &'static str,
    path: &'static str,
    /// A piece of the line; empty means the whole file.
    line: &'static str,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "D1",
        path: "crates/runtime/src/timer.rs",
        line: "Instant::now",
        reason: "tokio's clock, which its timers count by; nobody outside sees it",
    },
    Exception {
        rule: "D2",
        path: "crates/state/src/store/table.rs",
        line: "RandomState",
        reason: "keys are looked up and never walked, and foreign keys must not pick their bucket",
    },
    Exception {
        rule: "D3",
        path: "crates/millstream/src/bench/load.rs",
        line: "std::thread::sleep",
        reason: "an open load is timed more finely than the executor's timers, on its own thread",
    },
    Exception {
        rule: "E4",
        path: "crates/millstream/src/bench/processor.rs",
        line: "struct Processor",
        reason: "the machine's processor, not something that processes",
    },
    Exception {
        rule: "E7",
        path: ".ci/run",
        line: "",
        reason: "continuous integration starts it as a program",
    },
    Exception {
        rule: "C8",
        path: "xtask/src/codegen/emit.rs",
        line: "let _ = write",
        reason: "writing to a String cannot fail, and every second line does it",
    },
    Exception {
        rule: "B3",
        path: "xtask/src/codegen/emit.rs",
        line: "\"",
        reason: "a line of a template is as long as the line that it makes",
    },
    Exception {
        rule: "D9",
        path: "xtask/src/tidy/bans.rs",
        line: "bind(",
        reason: "the bad snippet of the rule itself",
    },
];

/// Drops what the table allows and adds what the table allows in vain.
pub(super) fn apply(violations: Vec<Violation>, tree: &Tree) -> Vec<Violation> {
    apply_table(EXCEPTIONS, violations, tree)
}

fn apply_table(table: &[Exception], violations: Vec<Violation>, tree: &Tree) -> Vec<Violation> {
    let mut used = vec![false; table.len()];
    let mut left = Report::default();
    for violation in violations {
        let allowed = table.iter().position(|exception| exception.allows(&violation, tree));
        match allowed.and_then(|index| used.get_mut(index)) {
            Some(used) => *used = true,
            None => left.violations.push(violation),
        }
    }
    for (exception, _) in table.iter().zip(used).filter(|(_, used)| !used) {
        let what = format!(
            "nothing needs the exception ({}, {}, {:?}: {}) any more, delete it",
            exception.rule, exception.path, exception.line, exception.reason
        );
        left.add("F12", "xtask/src/tidy/exceptions.rs", 1, what);
    }
    left.violations
}

impl Exception {
    fn allows(&self, violation: &Violation, tree: &Tree) -> bool {
        self.rule == violation.rule
            && self.path == violation.path
            && line_of(tree, violation).contains(self.line)
    }
}

fn line_of<'a>(tree: &'a Tree, violation: &Violation) -> &'a str {
    let text = tree.file(&violation.path).map_or("", |file| file.text());
    text.lines().nth(violation.line.saturating_sub(1)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Exception] =
        &[Exception { rule: "C1", path: "a.rs", line: "dbg", reason: "a test" }];

    fn violation(line: usize) -> Violation {
        Violation { path: "a.rs".to_owned(), line, rule: "C1", what: "x".to_owned() }
    }

    #[test]
    fn an_exception_covers_its_line_only() {
        let tree = Tree::of(&[("a.rs", "dbg\ntodo\n")]);
        let left = apply_table(TABLE, vec![violation(1), violation(2)], &tree);
        assert_eq!(left, [violation(2)]);
    }

    #[test]
    fn an_exception_that_nothing_needs_fails() {
        let left = apply_table(TABLE, Vec::new(), &Tree::of(&[]));
        assert_eq!(left[0].rule, "F12");
        assert!(left[0].what.contains("delete it"), "{}", left[0].what);
    }
}
