//! What comes from outside: its licences, and that nothing builds C where it need not.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use crate::json::Json;
use crate::workspace;

/// Licences that let anybody use the binary for anything.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
    "zlib-acknowledgement",
];

/// Crates that build or bind C, and the rooms whose business that is.
const NATIVE: &[(&str, &[&str])] = &[
    ("zstd-sys", &["zstd-safe"]),
    ("libsqlite3-sys", &["rusqlite"]),
    ("cc", &["zstd-sys", "libsqlite3-sys", "ring"]),
];

/// Bindings of the system itself, written in Rust and built without a C compiler.
const SYSTEM: &[&str] = &["linux-raw-sys", "windows-sys", "redox_syscall", "objc2"];

/// A3 and the licences, over the crates that a Linux build really uses.
pub(super) fn check(report: &mut Report) -> Result<(), String> {
    let platform = ["--filter-platform", "x86_64-unknown-linux-gnu"];
    let mut cargo = workspace::cargo();
    let cargo = cargo.args(["metadata", "--format-version", "1", "--locked"]).args(platform);
    let metadata = Json::parse(&workspace::output_of(cargo)?)?;
    check_metadata(&metadata, report);
    Ok(())
}

fn check_metadata(metadata: &Json, report: &mut Report) {
    let used = users(metadata);
    for package in metadata.at("packages").items() {
        let (id, name) = (package.at("id").text(), package.at("name").text());
        let Some(users) = used.get(id) else { continue };
        let licence = package.at("license").text();
        if !is_permissive(licence) {
            let what = format!("`{name}` has the licence `{licence}`, which is not permissive");
            report.add("A2", "Cargo.lock", 1, what);
        }
        if name == "bindgen" {
            report.add("A3", "Cargo.lock", 1, "`bindgen` needs libclang, use checked-in bindings");
        }
        if SYSTEM.contains(&name) || !(name.ends_with("-sys") || name == "cc") {
            continue;
        }
        let allowed = NATIVE.iter().find(|(native, _)| *native == name).map_or(&[][..], |n| n.1);
        for user in users.iter().filter(|user| !allowed.contains(&user.as_str())) {
            let what = format!("`{user}` brings in `{name}`, which builds C: use another crate");
            report.add("A3", "Cargo.lock", 1, what);
        }
    }
}

/// For each package in the build: the names of the packages that use it outside their tests.
fn users(metadata: &Json) -> BTreeMap<&str, BTreeSet<String>> {
    let name_of = |id: &str| {
        let is_it = |package: &&Json| package.at("id").text() == id;
        let package = metadata.at("packages").items().iter().find(is_it);
        package.map_or_else(String::new, |package| package.at("name").text().to_owned())
    };
    let mut users: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for node in metadata.at("resolve").at("nodes").items() {
        let user = name_of(node.at("id").text());
        // Our own crates are in the build although nobody uses them.
        let _ = users.entry(node.at("id").text()).or_default();
        for dep in node.at("deps").items() {
            let is_dev = |kind: &&Json| kind.at("kind").text() == "dev";
            if !dep.at("dep_kinds").items().iter().all(|kind| is_dev(&kind)) {
                users.entry(dep.at("pkg").text()).or_default().extend([user.clone()]);
            }
        }
    }
    users
}

/// Whether an SPDX expression leaves a permissive choice.
fn is_permissive(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    if expression.contains('(') {
        // `(A OR B) AND C`: every part joined by AND must leave a choice.
        return expression.split(" AND ").all(|part| {
            is_permissive(part.trim().trim_start_matches('(').trim_end_matches(')').trim())
        });
    }
    let term = |term: &str| PERMISSIVE.contains(&term.trim());
    flat.split(" OR ").any(|choice| choice.split(" AND ").all(term))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_licences_is_enough() {
        assert!(is_permissive("MIT OR Apache-2.0"));
        assert!(is_permissive("GPL-3.0 OR MIT"));
        assert!(is_permissive("MIT/Apache-2.0"));
        assert!(is_permissive("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_permissive("GPL-3.0"));
        assert!(!is_permissive("MIT AND GPL-3.0"));
        assert!(!is_permissive(""));
    }

    #[test]
    fn c_builds_and_closed_licences_are_named() {
        let text = r#"{"packages": [
            {"id": "a", "name": "ours", "license": "Apache-2.0"},
            {"id": "b", "name": "cc", "license": "MIT"},
            {"id": "c", "name": "shut", "license": "GPL-3.0"}],
            "resolve": {"nodes": [{"id": "a", "deps": [
                {"pkg": "b", "dep_kinds": [{"kind": "build"}]},
                {"pkg": "c", "dep_kinds": [{"kind": null}]}]}]}}"#;
        let mut report = Report::default();
        check_metadata(&Json::parse(text).unwrap(), &mut report);
        let told: Vec<&str> = report.violations.iter().map(|v| v.what.as_str()).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("`ours` brings in `cc`"), "{told:?}");
        assert!(told[1].contains("not permissive"), "{told:?}");
    }
}
