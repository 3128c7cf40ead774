//! Pipelines that do not fit together, and what is said about them.

use topology::diagnose::{Diagnostic, Look, Paint, Sources, render, render_json};
use topology::graph::{Ink, Picture, draw};
use topology::lint::load;
use topology::plan::Plan;
use topology::spec::Skeleton;

fn diagnostics(text: &str) -> (Vec<Diagnostic>, Sources) {
    let sources = Sources::single("p.yaml", text);
    let found = match load(&sources, &|_| None) {
        Ok(loaded) => loaded.remarks,
        Err(diagnostics) => diagnostics,
    };
    (found, sources)
}

/// Everything that is said, one line each.
fn said(text: &str) -> Vec<String> {
    let (found, sources) = diagnostics(text);
    render(&found, &sources, Look::Plain, Paint::Off).lines().map(str::to_owned).collect()
}

/// A pipeline with these tasks between one topic and another; the tasks begin in line 4.
fn with_tasks(tasks: &str) -> String {
    format!("version: 1\nsource: in\ntasks:\n{tasks}\nsink: {{ kafka: out }}\n")
}

/// Checks that one of the lines holds all of these parts.
#[track_caller]
fn check(text: &str, parts: &[&str]) {
    let lines = said(text);
    let found = lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "wanted {parts:?} in {lines:#?}");
}

#[test]
fn unknown_targets_are_reported_with_the_likely_one() {
    let text = with_tasks(
        "  - { id: ingest, type: forward, to: [totals] }\n  - { id: total, type: count, to: sink }",
    );
    check(&text, &["p.yaml:4:39: error[MS-1005]", "did you mean `total`?"]);
    check(&with_tasks("  - { id: a, type: forward, to: source }"), &["MS-1005", "to the source"]);
}

#[test]
fn a_loop_is_shown_with_each_arrow() {
    let text = with_tasks(
        "  - { id: in, type: forward, to: a }\n  - { id: a, type: forward, to: b }\n  \
         - { id: b, type: forward, to: [c] }\n  - { id: c, type: forward, to: [a] }",
    );
    check(&text, &["error[MS-1010]", "a -> b -> c -> a"]);
    let (found, sources) = diagnostics(&text);
    let picture = render(&found, &sources, Look::Ascii, Paint::Off);
    for arrow in ["^ a -> b", "^ b -> c", "^ c -> a"] {
        assert!(picture.contains(arrow), "{picture}");
    }
    check(&text, &["MS-1011", "task `in` has no path to a sink"]);
    let beside = with_tasks(
        "  - { id: in, type: forward }\n  - { id: a, type: forward, to: [a, b] }\n  \
         - { id: b, type: forward, to: sink }",
    );
    check(&beside, &["MS-1010", "a -> a"]);
    check(&beside, &["MS-1011", "task `b` is reached from no source"]);
}

#[test]
fn names_are_reserved_and_unique() {
    check(&with_tasks("  - { id: sink, type: forward }"), &["MS-1008", "`sink`"]);
    let twice = with_tasks("  - { id: a, type: forward }\n  - { id: a, type: forward }");
    check(&twice, &["p.yaml:5:11", "MS-1006", "two tasks are called `a`"]);
    check(&with_tasks("  - { id: a, type: forward, to: [] }"), &["MS-1013"]);
}

#[test]
fn topics_are_unique_and_differ_in_more_than_dots() {
    let arcs = with_tasks(
        "  - { id: a, type: forward, to: [b_c] }\n  - { id: a_b, type: forward, to: [c] }\n  \
         - { id: b_c, type: forward }\n  - { id: c, type: forward }",
    );
    check(&arcs, &["MS-1018", "a -> b_c and the arc a_b -> c would share topic `p.a_b_c`"]);
    let dots = with_tasks("  - { id: a, type: forward }").replace("kafka: out", "kafka: i_n");
    check(&dots.replace("source: in", "source: i.n"), &["MS-1017", "`i.n` and `i_n`"]);
    let same = with_tasks("  - { id: a, type: forward }").replace("kafka: out", "kafka: in");
    check(&same, &["MS-1026", "topic `in` is read and written"]);
    let dead = with_tasks("  - { id: a, type: forward, on_error: dead_letter }");
    check(&format!("{dead}dead_letter: out\n"), &["MS-1018", "the dead letters"]);
}

#[test]
fn keys_of_tables_fit_what_comes_to_them() {
    let with_key = |tasks: &str, key: &str| {
        let table = format!("sqlite: {{ file: a.db, table: t{key} }}");
        with_tasks(tasks).replace("kafka: out", &table)
    };
    let mean = "  - { id: mean, type: average, window: 10s, to: sink }";
    check(&with_key(mean, ", key: [device]"), &["MS-1019", "`mean` writes no column `device`"]);
    check(&with_key(mean, ", key: [key, window_stat]"), &["did you mean `window_start`?"]);
    check(&with_key(mean, ", key: [key]"), &["note[MS-1056]"]);
    let both = format!("{mean}\n  - {{ id: n, type: count, to: sink }}");
    check(&with_key(&both, ""), &["MS-1019", "with a window from `mean` and without one from `n`"]);
}

#[test]
fn fields_that_are_never_there_are_found() {
    let text = with_tasks(
        "  - { id: n, type: count, to: big }\n  \
         - { id: big, type: filter, where: cuont > 5 and @key != 'x', to: sink }",
    );
    check(&text, &["warning[MS-1058]", "`cuont`", "did you mean `count`?"]);
}

#[test]
fn several_sources_and_sinks_are_named_by_tasks() {
    let text = "version: 1\nsources: { a: { topic: ta }, b: { topic: tb } }\ntasks:\n  \
                - { id: x, type: forward, from: a, to: one }\n  \
                - { id: y, type: forward, to: sink }\n  \
                - { id: z, type: forward, from: [c], to: two }\n\
                sinks: { one: { kafka: o }, two: { kafka: t } }\n";
    check(text, &["MS-1024", "`y` does not say which source it reads"]);
    check(text, &["MS-1031", "`y` does not say which sink"]);
    check(text, &["MS-1024", "`z` reads from `c`"]);
}

#[test]
fn remarks_tell_what_is_worth_knowing() {
    let list =
        "- { id: a, type: average }\n- { id: b, type: count, to: sink, on_error: dead_letter }";
    check(list, &["note[MS-1050]", "`a`"]);
    check(list, &["note[MS-1052]", "takes 10s"]);
    check(list, &["note[MS-1059]", "behind a dead letter of `b`"]);
    let gap = with_tasks("  - { id: b, type: count, on_error: dead_letter }");
    check(&format!("{gap}dead_letter: plain\n"), &["note[MS-1054]", "`b`", "leave `plain` out"]);
    let again = with_tasks("  - { id: b, type: count, on_error: retry }");
    check(&again, &["note[MS-1060]", "`b` tries nothing again", "`then: fail`"]);
    check(list, &["note[MS-1053]", "exactly once from `source` to topic sink"]);
    let text = with_tasks("  - { id: a, type: count, window: { size: 1m, every: 10s } }");
    check(&text, &["note[MS-1051]", "counted 6 times"]);
    check(&format!("{text}dead_letter: dead\n"), &["warning[MS-1055]", "dead letters"]);
    check(&format!("{text}topics: {{ outt: {{ retention: 1h }} }}\n"), &["did you mean `out`?"]);
    let loose = format!("{text}runtime: {{ delivery: at_least_once }}\n");
    check(&loose, &["warning[MS-1057]"]);
}

#[test]
fn problems_of_the_file_do_not_cause_others() {
    let text =
        with_tasks("  - { id: a, type: averge, to: [b] }\n  - { id: b, type: sum, to: [c] }");
    let lines = said(&text);
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn two_problems_are_drawn_together() {
    let text = "\
- id: ingest
  type: forward
  to: [totals]
- id: total
  type: averge
  to: [sink]
";
    let (found, sources) = diagnostics(text);
    insta::assert_snapshot!("boxes", render(&found, &sources, Look::Boxes, Paint::Off));
    insta::assert_snapshot!("ascii", render(&found, &sources, Look::Ascii, Paint::Off));
    insta::assert_snapshot!("github", render(&found, &sources, Look::Github, Paint::Off));
    insta::assert_snapshot!("json", render_json(&found, &sources));
}

#[test]
fn the_largest_pipelines_are_checked_in_time() {
    // Each layer doubles the number of ways; whoever walks ways instead of tasks never returns.
    let mut tasks = String::from("  - { id: t0, type: count, to: [a1, b1] }\n");
    for layer in 1..400 {
        let next = layer + 1;
        for side in ["a", "b"] {
            let fields = format!("type: filter, where: count > 1, to: [a{next}, b{next}]");
            tasks.push_str(&format!("  - {{ id: {side}{layer}, {fields} }}\n"));
        }
    }
    tasks.push_str("  - { id: a400, type: forward }\n  - { id: b400, type: forward }");
    let (found, sources) = diagnostics(&with_tasks(&tasks));
    let text = render(&found, &sources, Look::Plain, Paint::Off);
    assert!(!text.contains("error"), "{text}");
    let loaded = load(&sources, &|_| None).unwrap();
    let picture = Picture::of(&loaded.spec);
    assert!(draw(&picture, Ink::Ascii, 100).contains("a400"));
}

#[test]
fn the_examples_are_clean() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let sources = Sources::single(&name, &text);
            let loaded = load(&sources, &|_| None)
                .map_err(|found| render(&found, &sources, Look::Ascii, Paint::Off));
            let loaded = loaded.unwrap();
            let notes = render(&loaded.remarks, &sources, Look::Plain, Paint::Off);
            assert!(!notes.contains("warning"), "{notes}");
            assert!(!loaded.spec.tests.is_empty(), "{name} has no tests");
            assert!(!Plan::of(&loaded.spec).stages.is_empty());
            seen += 1;
        }
    }
    assert!(seen > 0, "no example was read");
}

#[test]
fn what_a_first_file_offers_in_comments_may_be_uncommented() {
    let topics = ["in", "other"].map(str::to_owned);
    for count in 1..=2 {
        let (sources, sink) = (topics[..count].to_vec(), "out".to_owned());
        let written = Skeleton { file: "p.yaml".to_owned(), sources, sink }.text();
        let mut offered = 0;
        let mut text = String::new();
        for line in written.lines() {
            let offer = line.trim_start().strip_prefix("# ").and_then(|it| it.split_once(": "));
            let is_field = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let is_offer = offer.is_some_and(|(name, _)| is_field(name));
            offered += u32::from(is_offer);
            text.push_str(&if is_offer { line.replacen("# ", "", 1) } else { line.to_owned() });
            text.push('\n');
        }
        assert_eq!(offered, 8, "{written}");
        assert!(!said(&text).iter().any(|line| line.contains("error[")), "{:?}", said(&text));
    }
}

#[test]
fn what_cases_look_at_must_be_there() {
    let tested = |looks: &str| {
        let tasks = with_tasks(
            "  - { id: seen, type: count, to: sink }\n  - { id: all, type: forward, to: sink }",
        );
        format!("{tasks}tests:\n  - {{ name: t, input: [], {looks} }}\n")
    };
    check(
        &tested("state: { seem: { a: null } }"),
        &["MS-1005", "p.yaml:8:", "did you mean `seen`?"],
    );
    check(
        &tested("state: { all: { a: null } }"),
        &["MS-1028", "the state of `all`, which keeps none"],
    );
    check(&tested("errors: [{ task: al }]"), &["MS-1005", "did you mean `all`?"]);
    assert!(!said(&tested("state: { seen: { a: null } }")).iter().any(|it| it.contains("error[")));
}
