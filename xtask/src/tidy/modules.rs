//! How files hang together: front pages, module lines, globs, conformance suites.

use std::collections::BTreeSet;

use super::size::function_name;
use super::source::{Source, is_test_path};
use super::tree::Tree;
use super::{FileRule, Report};

pub(super) const RULES: &[FileRule] = &[
    FileRule { id: "A4", check: check_front_page },
    FileRule { id: "A9", check: check_globs },
    FileRule { id: "A9", check: check_order },
];

const LIB_LINES_MAX: usize = 150;

/// A4: `lib.rs` is the front page of a crate: documents, modules and its own items shown.
fn check_front_page(source: &Source, report: &mut Report) {
    if source.name() != "lib.rs" || source.path.split('/').count() != 4 {
        return;
    }
    let own = source.test.iter().filter(|test| !**test).count();
    if own > LIB_LINES_MAX {
        let what = format!("lib.rs has {own} lines, at most {LIB_LINES_MAX}: move items out");
        report.add("A4", &source.path, 1, what);
    }
    for (number, line) in source.own_code() {
        if function_name(line).is_some() {
            report.add("A4", &source.path, number, "a function in lib.rs, move it to its noun");
        }
        let shown = line.trim().strip_prefix("pub use ").unwrap_or("crate");
        let crate_name = shown.split("::").next().unwrap_or("");
        if super::crates::is_ours(crate_name) {
            let what = "another crate shown as our own, let callers name it themselves";
            report.add("A4", &source.path, number, what);
        }
    }
}

/// A9: a reader sees where a name comes from.
fn check_globs(source: &Source, report: &mut Report) {
    for (number, line) in source.own_code() {
        let text = line.trim();
        let imports = text.starts_with("use ") || text.starts_with("pub use ");
        if imports && text.contains("::*") {
            report.add("A9", &source.path, number, "a glob hides where names come from, name them");
        }
    }
}

/// A9: standard library first, then other crates, then our own file's.
fn check_order(source: &Source, report: &mut Report) {
    let mut last = 0;
    for (number, line) in source.numbered_code() {
        let Some(path) = line.strip_prefix("use ") else { continue };
        let group = match path.split("::").next().unwrap_or("") {
            "std" | "core" | "alloc" => 0,
            "crate" | "self" | "super" => 2,
            _ => 1,
        };
        if group == 0 && last > 0 {
            let what = "std is named after others, order imports std, other crates, our own";
            report.add("A9", &source.path, number, what);
        }
        last = group.max(last);
    }
}

/// A8: every file is reached by a `mod` line, for Rust ignores an orphan in silence.
pub(super) fn check_reachable(tree: &Tree, report: &mut Report) {
    let mut reached = BTreeSet::new();
    for source in tree.sources() {
        for name in source.code.iter().filter_map(|line| declared_module(line)) {
            reached.extend(children(&source.path, name));
        }
        reached.extend(source.raw.iter().filter_map(|line| named_file(&source.path, line)));
    }
    for source in tree.sources().filter(|source| !is_root(&source.path)) {
        if !reached.contains(&source.path) {
            report.add("A8", &source.path, 1, "no `mod` line leads here, add one or delete it");
        }
    }
}

/// Files that cargo finds by itself.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let below_crate = match parts.first() {
        Some(&"crates") => parts.get(2..),
        _ => parts.get(1..),
    };
    matches!(
        below_crate,
        Some(
            ["src", "lib.rs" | "main.rs"]
                | ["build.rs"]
                | ["src", "bin", _]
                | ["tests" | "benches" | "examples", _]
                | ["tests" | "benches", _, "main.rs"]
        )
    )
}

/// The module that a line declares without a body.
fn declared_module(line: &str) -> Option<&str> {
    let text = line.trim().strip_suffix(';')?;
    let (before, name) = text.rsplit_once("mod ")?;
    let visible = before.is_empty() || before.starts_with("pub") || before.ends_with("] ");
    visible.then_some(name)
}

/// The file that `#[path = ".."]` names.
fn named_file(parent: &str, line: &str) -> Option<String> {
    let name = line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]")?;
    let (folder, _) = parent.rsplit_once('/')?;
    Some(format!("{folder}/{name}"))
}

/// Where the module may stand.
fn children(parent: &str, name: &str) -> Vec<String> {
    let (folder, file) = parent.rsplit_once('/').unwrap_or(("", parent));
    let stem = file.trim_end_matches(".rs");
    let mut places = vec![format!("{folder}/{stem}/{name}.rs")];
    if ["lib", "main"].contains(&stem) || is_test_path(parent) {
        places.push(format!("{folder}/{name}.rs"));
        places.push(format!("{folder}/{name}/mod.rs"));
    }
    places
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::Proof;
    use super::*;

    pub(in super::super) const PROOFS: &[Proof] = &[
        Proof {
            rule: "A4",
            path: "crates/client/src/lib.rs",
            good: "//! X.\nmod a;\npub use crate::a::A;\n",
            bad: "//! X.\npub fn f() {}\n",
            says: "move it to its noun",
        },
        Proof {
            rule: "A4",
            path: "crates/client/src/lib.rs",
            good: "pub use a::A;\n",
            bad: "pub use protocol::wire::Reader;\n",
            says: "let callers name it",
        },
        Proof {
            rule: "A9",
            path: "crates/client/src/x.rs",
            good: "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n",
            bad: "use super::*;\n",
            says: "name them",
        },
        Proof {
            rule: "A9",
            path: "crates/client/src/x.rs",
            good: "use std::fmt;\n\nuse bytes::Bytes;\n\nuse crate::a;\n",
            bad: "use bytes::Bytes;\n\nuse std::fmt;\n",
            says: "order imports",
        },
    ];

    #[test]
    fn an_orphan_is_found() {
        let tree = Tree::of(&[
            ("crates/client/src/lib.rs", "//! X.\npub(crate) mod a;\n"),
            ("crates/client/src/a.rs", "//! A.\nmod b;\n"),
            ("crates/client/src/a/b.rs", "//! B.\n"),
            ("crates/client/src/c.rs", "//! C.\n"),
            ("crates/client/src/a/d.rs", "//! D.\n#[path = \"d_test.rs\"]\nmod tests;\n"),
            ("crates/client/src/a/d_test.rs", "//! D's tests.\n"),
            ("crates/client/tests/it.rs", "//! It.\n"),
        ]);
        let mut report = Report::default();
        check_reachable(&tree, &mut report);
        let paths: Vec<&str> = report.violations.iter().map(|v| v.path.as_str()).collect();
        assert_eq!(paths, ["crates/client/src/c.rs", "crates/client/src/a/d.rs"]);
    }
}
