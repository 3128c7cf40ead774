//! Specs in, plans out.

use proptest::prelude::*;
use topology::diagnose::Sources;
use topology::plan::{Change, Input, InputKind, Outline, Output, Partitions, Plan, compare};
use topology::spec::parse;

fn plan(text: &str) -> Plan {
    let parsed = parse(&Sources::single("p.yaml", text), &|_| None);
    assert_eq!(parsed.diagnostics, []);
    Plan::of(&parsed.spec.expect("a file without problems has a spec"))
}

/// A plan in a few lines: stages with inputs, operators and stores; then topics and tables.
fn describe(plan: &Plan) -> String {
    let mut out = String::new();
    for stage in &plan.stages {
        let inputs: Vec<String> = stage.inputs.iter().map(input).collect();
        out.push_str(
            &(format!("{} [{}] reads {}", stage.id, stage.group, inputs.join(", ")) + "\n"),
        );
        for operator in &stage.operators {
            let outputs: Vec<String> = operator.outputs.iter().map(output).collect();
            let store = operator.store.map_or(String::new(), |store| format!(" store {store}"));
            let word = operator.kind.word();
            out.push_str(
                &(format!("  {} {word}{store} -> {}", operator.task, outputs.join(", ")) + "\n"),
            );
        }
        for store in &stage.stores {
            out.push_str(&(format!("  {}", store.changelog) + "\n"));
        }
    }
    for (name, topic) in &plan.topics {
        let count = match &topic.partitions {
            Partitions::Count(count) => count.to_string(),
            Partitions::AsMostOf(topics) => format!("as {}", topics.join("+")),
        };
        out.push_str(&(format!("{name} {:?} {count}", topic.role) + "\n"));
    }
    for table in &plan.tables {
        out.push_str(&(format!("{} {} {:?}", table.sink, table.topic, table.key) + "\n"));
    }
    out
}

fn input(input: &Input) -> String {
    let mark = match input.kind {
        InputKind::Source(_) => "",
        InputKind::Edge { .. } => "~",
    };
    format!("{mark}{} {:?}", input.topic, input.operators)
}

fn output(output: &Output) -> String {
    match output {
        Output::Operator(index) => format!("{index}"),
        Output::Edge { topic, key: Some(key), .. } => format!("~{topic} by {}", key.text()),
        Output::Edge { topic, key: None, .. } => format!("~{topic}"),
        Output::Sink { topic, .. } => format!("={topic}"),
    }
}

const LIST: &str = "pipeline:
  - { id: source_id, type: forward, to: [node_1, node_2] }
  - { id: node_1, type: sum, to: [sink_id] }
  - { id: node_2, type: count, to: [sink_id] }
  - { id: sink_id, type: forward, to: [sink] }
";

#[test]
fn tasks_with_one_key_run_in_one_stage() {
    let expected = "\
source_id [ms.p.source_id] reads source [0]
  source_id forward -> 1, 2
  node_1 sum -> 3
  node_2 count store 0 -> 3
  sink_id forward -> =sink
  __ms.p.source_id.node_2-changelog
__ms.p.plan Plan 1
__ms.p.source_id.node_2-changelog Changelog as source
sink Sink 1
source Source 1
";
    assert_eq!(describe(&plan(&format!("{LIST}edges: auto\n"))), expected);
}

#[test]
fn every_arc_of_a_bare_list_is_a_topic_with_a_partition_for_each_instance() {
    let expected = "\
source_id [ms.p.source_id] reads source [0]
  source_id forward -> ~source_id_node_1, ~source_id_node_2
node_1 [ms.p.node_1] reads ~source_id_node_1 [0]
  node_1 sum -> ~node_1_sink_id
node_2 [ms.p.node_2] reads ~source_id_node_2 [0]
  node_2 count store 0 -> ~node_2_sink_id
  __ms.p.node_2.node_2-changelog
sink_id [ms.p.sink_id] reads ~node_1_sink_id [0], ~node_2_sink_id [0]
  sink_id forward -> =sink
__ms.p.node_2.node_2-changelog Changelog as source_id_node_2
__ms.p.plan Plan 1
node_1_sink_id Edge 3
node_2_sink_id Edge 3
sink Sink 3
source Source 3
source_id_node_1 Edge 3
source_id_node_2 Edge 3
";
    assert_eq!(describe(&plan(&format!("{LIST}parallelism: 3\ntask_managers: 2\n"))), expected);
}

#[test]
fn a_new_key_cuts_and_an_old_one_does_not() {
    let text = "version: 1
name: g
source: { topic: raw, group: mine }
tasks:
  - { id: in, type: filter, where: t != null, to: [mean, same] }
  - { id: mean, type: average, key: device, value: t, window: 10s, to: [again, sums] }
  - { id: same, type: count, key: '@key', to: [a] }
  - { id: again, type: count, key: device, to: [b] }
  - { id: sums, type: sum, field: average, to: [c] }
  - { id: by, type: filter, key: device, where: t > 1, to: [more] }
  - { id: more, type: count, key: .device, partitions: 8, to: [d] }
sinks:
  a: { kafka: { topic: a } }
  b: { sqlite: { file: x.db, table: b } }
  c: { sqlite: [{ file: x.db, table: c }, { file: x.db, table: c2, key: [key] }] }
  d: { kafka: d, sqlite: { file: x.db, table: d } }
dead_letter: dead
topics: { b: {}, g.in_mean: { partitions: 2, retention: 1h } }
";
    let expected = "\
in [mine] reads raw [0, 2]
  in filter -> ~g.in_mean by device, 1
  same count store 0 -> =a
  source forward -> ~g.source_by by device
  __ms.g.in.same-changelog
mean [ms.g.mean] reads ~g.in_mean [0]
  mean average store 0 -> ~g.mean_again by device, 1
  sums sum -> =g.c
  __ms.g.mean.mean-changelog
again [ms.g.again] reads ~g.mean_again [0]
  again count store 0 -> =g.b
  __ms.g.again.again-changelog
by [ms.g.by] reads ~g.source_by [0]
  by filter -> ~g.by_more
more [ms.g.more] reads ~g.by_more [0]
  more count store 0 -> =d
  __ms.g.more.more-changelog
__ms.g.again.again-changelog Changelog as g.mean_again
__ms.g.in.same-changelog Changelog as raw
__ms.g.mean.mean-changelog Changelog as g.in_mean
__ms.g.more.more-changelog Changelog as g.by_more
__ms.g.plan Plan 1
a Sink 4
d Sink 4
g.b Sink 4
g.by_more Edge 8
g.c Sink 4
g.in_mean Edge 2
g.mean_again Edge 4
g.source_by Edge 4
raw Source 4
b g.b [\"key\"]
c.c g.c [\"key\", \"window_start\"]
c.c2 g.c [\"key\"]
d d [\"key\"]
";
    let plan = plan(text);
    assert_eq!(describe(&plan), expected);
    assert_eq!(plan.topics["g.in_mean"].config["retention.ms"], "3600000");
}

#[test]
fn an_outline_survives_its_text() {
    let outline = Outline::of(&plan(LIST));
    assert_eq!(Outline::parse(&outline.to_text()), Ok(outline));
    assert!(Outline::parse("millstream plan 2\n").is_err());
    assert!(Outline::parse("millstream plan 1\nstore x y z\n").is_err());
    assert!(Outline::parse("").is_err());
}

#[test]
fn fingerprints_are_pinned_and_ignore_what_does_not_matter() {
    let list = format!("{LIST}edges: auto\n");
    let before = plan(&list);
    assert_eq!(before.fingerprint(), plan(&list).fingerprint());
    let more = format!("{list}parallelism: 3\ncommit_interval: 50ms\n");
    assert_eq!(before.fingerprint(), plan(&more).fingerprint());
    // A new number would throw away the state of every pipeline on the next start.
    assert_eq!(format!("{:016x}", before.fingerprint()), FINGERPRINT);
}

const FINGERPRINT: &str = "70012fa6ce07de85";

#[test]
fn changed_state_is_refused_and_the_rest_goes_on() {
    let outline = |window: &str, key: &str, first: &str| {
        let text = format!(
            "version: 1\nname: g\nsource: raw\ntasks:\n  \
             - {{ id: {first}, type: forward, to: [a, m] }}\n  \
             - {{ id: a, type: count }}\n  \
             - {{ id: m, type: average, key: {key}, window: {window} }}\nsink: {{ kafka: out }}\n"
        );
        Outline::of(&plan(&text))
    };
    let before = outline("10s", "d", "in");
    assert_eq!(compare(&before, &before), []);
    let changed = |task: &str| Change::StoreChanged { task: task.to_owned() };
    assert_eq!(compare(&before, &outline("20s", "d", "in")), [changed("m")]);
    assert_eq!(compare(&before, &outline("10s", "e", "in")), [changed("m")]);
    let moved = compare(&before, &outline("10s", "d", "first"));
    assert!(matches!(&moved[0], Change::StoreMoved { task, .. } if task == "a"), "{moved:?}");
    assert!(moved[0].is_refused());
    let renamed: Vec<String> = moved.iter().map(ToString::to_string).collect();
    assert!(renamed.iter().any(|line| line == "ms.g.first is new"), "{renamed:?}");
}

/// A pipeline of eight tasks with these arcs; type, key and partitions follow from the numbers.
fn random(arcs: &[(usize, usize)], kinds: &[usize], keys: &[usize], edges: &str) -> String {
    let mut text = format!("version: 1\nname: r\nedges: {edges}\n");
    text.push_str("sources: { a: { topic: ta }, b: { topic: tb } }\ntasks:\n");
    for task in 0..kinds.len() {
        let to: Vec<String> = arcs
            .iter()
            .filter(|(from, to)| *from == task && from < to)
            .map(|(_, to)| format!("t{to}"))
            .chain(["sink".to_owned()])
            .collect();
        let kind = ["forward", "filter, where: v > 1", "count", "average, window: 1s", "sum"];
        let from = ["a", "b", "[a, b]"][(kinds[task] + keys[task]) % 3];
        let is_root = !arcs.iter().any(|(from, to)| *to == task && from < to);
        let from = if is_root { format!(", from: {from}") } else { String::new() };
        let key = ["", "", ", key: k", ", key: '@key'", ", partitions: 3"][keys[task]];
        let to = to.join(", ");
        let kind = kind[kinds[task]];
        text.push_str(&format!("  - {{ id: t{task}, type: {kind}{key}{from}, to: [{to}] }}\n"));
    }
    text.push_str("sink: { kafka: out }\n");
    text
}

/// Every arc of the file as `from -> to`, however the plan carries it, in order.
fn carried(plan: &Plan) -> Vec<String> {
    let mut arcs = Vec::new();
    let mut written: Vec<String> = Vec::new();
    for stage in &plan.stages {
        for input in &stage.inputs {
            for index in &input.operators {
                let to = &stage.operators[*index].task;
                match &input.kind {
                    InputKind::Source(source) => arcs.push(format!("{} -> {to}", source.name)),
                    InputKind::Edge { from, .. } => {
                        arcs.push(format!("{from} -> {to}"));
                        assert!(written.contains(&input.topic), "{} is read first", input.topic);
                    }
                }
            }
        }
        for (index, operator) in stage.operators.iter().enumerate() {
            assert_eq!(operator.store.is_some(), operator.kind.is_stateful());
            for output in &operator.outputs {
                match output {
                    Output::Operator(next) => {
                        assert!(*next > index, "operators send forwards");
                        let to = &stage.operators[*next].task;
                        arcs.push(format!("{} -> {to}", operator.task));
                    }
                    Output::Edge { topic, .. } => written.push(topic.clone()),
                    Output::Sink { topic, .. } => {
                        arcs.push(format!("{} -> {topic}", operator.task));
                    }
                }
            }
        }
    }
    // A source that is passed through shows itself as a task of its own.
    arcs.retain(|arc| !matches!(arc.as_str(), "a -> a" | "b -> b"));
    arcs.sort();
    arcs
}

#[test]
fn a_stage_in_which_keys_may_wait_has_topics_for_it() {
    let text = "version: 1
name: p
source: { topic: in }
tasks:
  - { id: a, type: forward, to: b }
  - { id: b, type: count, key: room, on_error: dead_letter, to: c }
  - { id: c, type: filter, key: hall, where: n > 1, to: sink }
sink: { kafka: out }
";
    // The new key of `b` is made in the stage of `a`, and may fail there.
    let parked = |text: &str| -> Vec<(String, String)> {
        let plan = plan(text);
        let of_stage = |stage: &topology::plan::Stage| {
            let parking = stage.parking.as_ref()?;
            for topic in [&parking.changelog, &parking.orders] {
                let inputs = stage.inputs.iter().map(|input| input.topic.clone()).collect();
                assert_eq!(plan.topics[topic].partitions, Partitions::AsMostOf(inputs));
            }
            Some((parking.changelog.clone(), parking.orders.clone()))
        };
        plan.stages.iter().filter_map(of_stage).collect()
    };
    let both = |stage: &str| (format!("__ms.p.{stage}-parked"), format!("__ms.p.{stage}-orders"));
    assert_eq!(parked(text), [both("a"), both("b")]);
    assert_eq!(plan(text).topics["p.dlq"].config["retention.ms"], "-1");
    let plain = format!("{text}dlq: plain\n");
    assert_eq!(parked(&plain), []);
    assert!(plan(&plain).topics["p.dlq"].config.is_empty());
}

proptest! {
    #[test]
    fn both_kinds_of_edges_carry_every_arc_once(
        arcs in prop::collection::vec((0_usize..8, 0_usize..8), 0..14),
        kinds in prop::collection::vec(0_usize..5, 8),
        keys in prop::collection::vec(0_usize..5, 8),
    ) {
        let auto = plan(&random(&arcs, &kinds, &keys, "auto"));
        let topics = plan(&random(&arcs, &kinds, &keys, "topics"));
        let found = carried(&auto);
        prop_assert_eq!(&found, &carried(&topics));
        let mut unique = found.clone();
        unique.dedup();
        prop_assert_eq!(&unique, &found, "an arc is carried twice");
        let wanted = arcs.iter().filter(|(from, to)| from < to);
        for (from, to) in wanted {
            let arc = format!("t{from} -> t{to}");
            prop_assert!(found.contains(&arc), "{} is lost", arc);
        }
        let groups: Vec<&str> = auto.stages.iter().map(|stage| stage.group.as_str()).collect();
        let mut distinct = groups.clone();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), groups.len(), "two stages share a group: {:?}", groups);
    }

    #[test]
    fn a_broken_file_gives_gaps_and_no_panic(
        arcs in prop::collection::vec((0_usize..8, 0_usize..10), 0..20),
        kinds in prop::collection::vec(0_usize..6, 8),
    ) {
        let mut text = String::from("version: 1\nsources: { t1: { topic: x } }\ntasks:\n");
        for task in 0..8 {
            let to: Vec<String> =
                arcs.iter().filter(|arc| arc.0 == task).map(|arc| format!("t{}", arc.1)).collect();
            let words = ["forward", "count", "averge", "map", "sum, key: t", "filter, where: a >"];
            let id = task % 6;
            let to = to.join(", ");
            let word = words[kinds[task]];
            text.push_str(&format!("  - {{ id: t{id}, type: {word}, to: [{to}] }}\n"));
        }
        let parsed = parse(&Sources::single("p.yaml", &text), &|_| None);
        if let Some(spec) = parsed.spec {
            let plan = Plan::of(&spec);
            prop_assert_eq!(Outline::parse(&Outline::of(&plan).to_text()), Ok(Outline::of(&plan)));
            prop_assert!(!topology::spec::upgrade(&spec).is_empty());
            prop_assert!(!topology::lint::check(&spec).is_empty());
            let picture = topology::graph::Picture::of(&spec);
            let _ = topology::graph::draw(&picture, topology::graph::Ink::Boxes, 80); // No panic.
        }
    }
}
