//! Pipelines in, pictures out.

use proptest::prelude::*;
use topology::diagnose::Sources;
use topology::graph::{Ink, Picture, dot, draw, mermaid};
use topology::spec::parse;

fn picture(text: &str) -> Picture {
    let parsed = parse(&Sources::single("p.yaml", text), &|_| None);
    assert_eq!(parsed.diagnostics, []);
    Picture::of(&parsed.spec.expect("a file without problems has a spec"))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let drawn = draw(&picture(text), Ink::Ascii, 100);
    assert!(drawn == expected, "drawn:\n{drawn}\nexpected:\n{expected}");
}

const DIAMOND: &str = "version: 1
name: greenhouse
source: sensors.raw
tasks:
  - { id: ingest, type: filter, where: t > 1, to: [mean, seen] }
  - { id: mean, type: average, key: d, value: t, window: 10s, to: sink }
  - { id: seen, type: count, to: sink }
sink: { kafka: greenhouse.out, sqlite: { file: a.db, table: readings } }
";

#[test]
fn a_diamond_opens_and_closes() {
    let expected = [
        "                                +-> mean average 10s -+",
        "sensors.raw ---> ingest filter -+                     \
         +-> greenhouse.out ---> readings (sqlite)",
        "                                +-> seen count -------+",
    ];
    check(DIAMOND, &format!("{}\n", expected.join("\n")));
}

#[test]
fn long_lines_pass_by() {
    let list = "- { id: a, type: forward, to: [b, sink] }\n- { id: b, type: sum, to: [c] }\n\
                - { id: c, type: count, to: [sink] }\n";
    let expected = [
        "               +-> b sum -----> c count -+",
        "source ---> a -+                         +-> sink",
        "               +-------------------------+",
    ];
    check(list, &format!("{}\n", expected.join("\n")));
}

#[test]
fn what_is_too_wide_becomes_a_list() {
    let drawn = draw(&picture(DIAMOND), Ink::Ascii, 40);
    let expected = "\
sensors.raw
`-> ingest filter
    |-> mean average 10s
    |   `-> greenhouse.out
    |       `-> readings (sqlite)
    `-> seen count
        `-> greenhouse.out (above)
";
    assert_eq!(drawn, expected);
}

#[test]
fn other_programs_can_draw_it() {
    let picture = picture(DIAMOND);
    let text = dot(&picture, "greenhouse");
    assert!(text.contains("n1 -> n2 [label=\"greenhouse.ingest_mean\"];"), "{text}");
    let text = mermaid(&picture);
    assert!(text.contains("n1 -->|greenhouse.ingest_mean| n2"), "{text}");
}

proptest! {
    #[test]
    fn every_graph_is_drawn(arcs in prop::collection::vec((0_usize..7, 0_usize..7), 0..14)) {
        let mut text = String::new();
        for task in 0..7 {
            let to: Vec<String> = arcs
                .iter()
                .filter(|(from, to)| *from == task && from < to)
                .map(|(_, to)| format!("t{to}"))
                .chain(["sink".to_owned()])
                .collect();
            text.push_str(&format!("- {{ id: t{task}, type: sum, to: [{}] }}\n", to.join(", ")));
        }
        let picture = picture(&text);
        let drawn = draw(&picture, Ink::Ascii, 200);
        for task in 0..7 {
            let label = format!("t{task} sum");
            prop_assert!(drawn.contains(&label), "{} is missing in\n{}", label, drawn);
        }
    }
}
