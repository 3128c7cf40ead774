//! The examples pass their own test cases.

use pipeline::testing::{Outcome, run};
use topology::diagnose::Sources;
use topology::lint::load;

#[test]
fn every_example_passes_its_own_tests() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let loaded = load(&Sources::single("example.yaml", &text), &|_| None).unwrap();
            for case in run(&loaded.spec) {
                let name = path.display();
                assert_eq!(case.outcome, Outcome::Passed, "{name}: {}", case.name);
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "no test case was run");
}
