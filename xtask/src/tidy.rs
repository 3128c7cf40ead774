//! `cargo xtask tidy`: the house rules of STYLE.md that a machine can check.
//!
//! It reads every file that git knows or would take in, applies all rules, drops what the table of
//! exceptions allows, and prints everything that is left as `path:line: [rule] what, use instead`.

mod apis;
mod bans;
mod crates;
mod exceptions;
mod history;
mod licences;
mod logs;
mod modules;
mod names;
mod papers;
mod purity;
mod safety;
mod size;
mod source;
mod text;
mod tree;

use std::fmt;

use source::Source;
use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.path, self.line, self.rule, self.what)
    }
}

/// What the rules have found so far.
#[derive(Debug, Default)]
struct Report {
    violations: Vec<Violation>,
}

impl Report {
    fn add(&mut self, rule: &'static str, path: &str, line: usize, what: impl Into<String>) {
        self.violations.push(Violation { path: path.to_owned(), line, rule, what: what.into() });
    }
}

/// A rule that looks at one Rust file at a time.
struct FileRule {
    /// Its number in STYLE.md.
    id: &'static str,
    check: fn(&Source, &mut Report),
}

/// A rule that looks at the tree as a whole.
struct TreeRule {
    check: fn(&Tree, &mut Report),
}

fn file_rules() -> Vec<FileRule> {
    let groups = [
        bans::RULES,
        safety::RULES,
        size::RULES,
        names::RULES,
        text::RULES,
        purity::RULES,
        modules::RULES,
        logs::RULES,
    ];
    groups.into_iter().flatten().map(|rule| FileRule { id: rule.id, check: rule.check }).collect()
}

const TREE_RULES: &[TreeRule] = &[
    TreeRule { check: apis::check },
    TreeRule { check: crates::check_arrows },
    TreeRule { check: crates::check_sizes },
    TreeRule { check: crates::check_profile },
    TreeRule { check: modules::check_reachable },
    TreeRule { check: text::check_manifests },
    TreeRule { check: tree::check_files },
    TreeRule { check: papers::check_markdown },
    TreeRule { check: papers::check_architecture },
    TreeRule { check: papers::check_changelog },
    TreeRule { check: papers::check_golden },
];

/// Checks the whole project.
///
/// # Errors
/// The number of violations, after all of them have been printed, or why the tree cannot be read.
pub(crate) fn run() -> Result<(), String> {
    let tree = Tree::read()?;
    let mut report = Report::default();
    for source in tree.sources() {
        check_file(source, &mut report);
    }
    for rule in TREE_RULES {
        (rule.check)(&tree, &mut report);
    }
    licences::check(&mut report)?;
    history::check(&mut report)?;
    let mut left = exceptions::apply(report.violations, &tree);
    left.sort();
    for violation in &left {
        println!("{violation}");
    }
    if left.is_empty() { Ok(()) } else { Err(format!("{} rules of the house broken", left.len())) }
}

fn check_file(source: &Source, report: &mut Report) {
    for rule in file_rules() {
        (rule.check)(source, report);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A good and a bad snippet of one rule, and a piece of what the bad one is told.
    #[derive(Debug)]
    pub(super) struct Proof {
        pub(super) rule: &'static str,
        pub(super) path: &'static str,
        pub(super) good: &'static str,
        pub(super) bad: &'static str,
        pub(super) says: &'static str,
    }

    fn proofs() -> Vec<&'static Proof> {
        let groups = [
            bans::tests::PROOFS,
            safety::tests::PROOFS,
            size::tests::PROOFS,
            names::tests::PROOFS,
            text::tests::PROOFS,
            purity::tests::PROOFS,
            modules::tests::PROOFS,
            logs::tests::PROOFS,
        ];
        groups.into_iter().flatten().collect()
    }

    fn found(path: &str, text: &str, rule: &str) -> Vec<Violation> {
        let text = text.replace("<many lines>", &"\n".repeat(1_200));
        let text = text.replace("<wide>", &"x".repeat(101));
        let placed = text.strip_prefix("<at ").and_then(|rest| rest.split_once(">\n"));
        let (path, text) = placed.unwrap_or((path, &text));
        let mut report = Report::default();
        check_file(&Source::new(path, text), &mut report);
        report.violations.into_iter().filter(|violation| violation.rule == rule).collect()
    }

    #[test]
    fn every_rule_passes_its_good_snippet_and_names_its_bad_one() {
        for proof in proofs() {
            let clean = found(proof.path, proof.good, proof.rule);
            assert!(clean.is_empty(), "{proof:?}: {clean:?}");
            let dirty = found(proof.path, proof.bad, proof.rule);
            assert!(dirty.iter().any(|v| v.what.contains(proof.says)), "{proof:?}: {dirty:?}");
        }
    }

    #[test]
    fn every_rule_has_a_proof() {
        let proved: BTreeSet<&str> = proofs().iter().map(|proof| proof.rule).collect();
        for rule in file_rules() {
            assert!(proved.contains(rule.id), "rule {} has no good and bad snippet", rule.id);
        }
    }

    #[test]
    fn a_violation_names_place_rule_and_way_out() {
        let violations = found("crates/client/src/x.rs", "//! X.\nfn f() { dbg!(1) }\n", "C1");
        assert_eq!(
            violations[0].to_string(),
            "crates/client/src/x.rs:2: [C1] `dbg!(` is left over from development, remove it"
        );
    }
}
