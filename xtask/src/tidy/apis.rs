//! An API that we speak has a schema, a handler and golden bytes; none of them stands alone.

use std::collections::BTreeSet;

use super::Report;
use super::tree::Tree;

const SCHEMAS: &str = "crates/protocol/schema/";
const HANDLERS: &str = "crates/broker/src/handler/";
const GOLDEN: &str = "crates/protocol/tests/golden/";

/// A7: schema, handler and golden file of every API.
pub(super) fn check(tree: &Tree, report: &mut Report) {
    let schemas = stems(tree, SCHEMAS, ".schema");
    let handlers = stems(tree, HANDLERS, ".rs");
    let golden = stems(tree, GOLDEN, ".txt");
    for schema in &schemas {
        let path = format!("{SCHEMAS}{schema}.schema");
        let is_api = tree.file(&path).is_some_and(|file| is_api(file.text()));
        if is_api && !handlers.contains(schema) {
            report.add("A7", &path, 1, format!("no handler, write {HANDLERS}{schema}.rs"));
        }
        if !golden.contains(schema) {
            report.add("A7", &path, 1, format!("no golden bytes, write {GOLDEN}{schema}.txt"));
        }
    }
    for stem in golden.difference(&schemas) {
        let path = format!("{GOLDEN}{stem}.txt");
        report.add("A7", &path, 1, "golden bytes of a message without a schema, delete them");
    }
}

fn is_api(schema: &str) -> bool {
    schema.lines().any(|line| line.starts_with("api "))
}

/// Names of the files directly in the folder, without their ending.
fn stems(tree: &Tree, folder: &str, ending: &str) -> BTreeSet<String> {
    let stem = |path: &str| {
        let stem = path.strip_prefix(folder)?.strip_suffix(ending)?;
        (!stem.contains('/')).then(|| stem.to_owned())
    };
    tree.files().filter_map(|file| stem(&file.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let mut report = Report::default();
        check(&Tree::of(files), &mut report);
        report.violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_api_with_all_three_passes_and_a_record_needs_no_handler() {
        let files = [
            ("crates/protocol/schema/fetch.schema", "api 1 Fetch versions 4-18\n"),
            ("crates/broker/src/handler/fetch.rs", "//! F.\n"),
            ("crates/protocol/tests/golden/fetch.txt", ""),
            ("crates/protocol/schema/end_txn_marker.schema", "record EndTxnMarker\n"),
            ("crates/protocol/tests/golden/end_txn_marker.txt", ""),
        ];
        assert!(found(&files).is_empty(), "{:?}", found(&files));
    }

    #[test]
    fn what_is_missing_is_named() {
        let told = found(&[
            ("crates/protocol/schema/fetch.schema", "api 1 Fetch versions 4-18\n"),
            ("crates/protocol/tests/golden/gone.txt", ""),
        ]);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains("[A7] no handler"), "{told:?}");
        assert!(told[1].contains("no golden bytes"), "{told:?}");
        assert!(told[2].contains("without a schema"), "{told:?}");
    }
}
