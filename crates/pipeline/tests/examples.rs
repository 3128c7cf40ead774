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

#[test]
fn the_pipeline_of_the_page_passes_the_cases_of_the_page() {
    let page = include_str!("../../../docs/pipelines.md");
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).collect();
    let block = |start: &str| -> &str {
        let found = blocks.iter().find(|block| block.starts_with(start));
        found.and_then(|block| block.split("```").next()).unwrap()
    };
    let text = [block("version: 1\n"), block("tests:\n")].concat();
    let loaded = load(&Sources::single("page.yaml", &text), &|_| None).unwrap();
    let cases = run(&loaded.spec);
    assert!(cases.len() >= 3, "the page shows fewer");
    for case in cases {
        assert_eq!(case.outcome, Outcome::Passed, "{}", case.name);
    }
}
