//! Resetting a pipeline, or one task of it.

use std::collections::BTreeSet;
use std::time::Duration;

use client::Client;
use pipeline::engine::reset::Reset;
use pipeline::engine::{EngineError, Mode};

use crate::harness::{check, claimant, plan, produce, read, run_to_end, start, values};

const TWO: &str = "
version: 1
name: two
source: { topic: in }
edges: topics
tasks:
  - { id: pass, type: forward, to: [seen, mean] }
  - { id: seen, type: count, to: counts }
  - { id: mean, type: average, value: n, window: 10s, emit: update, to: means }
sinks:
  counts: { kafka: { topic: counts } }
  means: { kafka: { topic: means } }
";

async fn topics(client: &Client) -> BTreeSet<String> {
    let listed = client.admin().topics().await.unwrap();
    listed.iter().map(|topic| topic.name.to_string()).collect()
}

async fn reset(client: &Client, text: &str, task: Option<&str>) -> Reset {
    let plan = plan(text);
    let reset = Reset::look(client, &plan, task).await.unwrap();
    reset.perform(client, &plan, &claimant("main")).await.unwrap();
    reset
}

#[test]
fn a_pipeline_that_was_reset_does_everything_again() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{\"n\":1}", 0), ("a", "{\"n\":2}", 1)]).await;
        run_to_end(client, TWO).await.unwrap();
        let done = reset(client, TWO, None).await;
        assert_eq!(done.topics.len(), 4, "two changelogs and two edges: {:?}", done.topics);
        assert_eq!(done.groups.len(), 3);
        assert_eq!(done.repeated, ["counts", "means"]);
        let left = topics(client).await;
        assert!(done.topics.iter().all(|topic| !left.contains(topic)));
        let again = Reset::look(client, &plan(TWO), None).await.unwrap();
        assert!(again.is_empty(), "{again:?}");
        run_to_end(client, TWO).await.unwrap();
        let expected = ["{\"count\":1}", "{\"count\":2}", "{\"count\":1}", "{\"count\":2}"];
        assert_eq!(values(&read(client, "counts").await, "a"), expected);
        assert_eq!(values(&read(client, "means").await, "a").len(), 4);
    });
}

#[test]
fn a_task_that_was_reset_begins_empty_where_the_others_go_on() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{\"n\":1}", 0)]).await;
        run_to_end(client, TWO).await.unwrap();
        let done = reset(client, TWO, Some("mean")).await;
        assert_eq!((done.topics.len(), done.groups.len()), (1, 0));
        produce(client, "in", &[("a", "{\"n\":4}", 1)]).await;
        run_to_end(client, TWO).await.unwrap();
        let counts = values(&read(client, "counts").await, "a");
        assert_eq!(counts, ["{\"count\":1}", "{\"count\":2}"]);
        let means = values(&read(client, "means").await, "a");
        assert!(means[1].starts_with("{\"average\":4.0,\"count\":1,"), "{means:?}");
    });
}

#[test]
fn a_changed_plan_is_refused_until_its_task_is_reset() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{\"n\":1}", 0)]).await;
        run_to_end(client, TWO).await.unwrap();
        let changed = TWO.replace("window: 10s", "window: 20s");
        let Err(EngineError::PlanChanged(changes)) = run_to_end(client, &changed).await else {
            panic!("the state means something else");
        };
        assert!(changes.iter().any(|it| it.to_string().contains("reset --task mean")));
        reset(client, &changed, Some("mean")).await;
        run_to_end(client, &changed).await.unwrap();
    });
}

#[test]
fn what_never_ran_has_nothing_to_reset_and_a_stateless_task_has_no_state() {
    check(async |_, client| {
        let none = reset(client, TWO, None).await;
        assert!(none.is_empty() && none.last.is_none());
        let refused = Reset::look(client, &plan(TWO), Some("pass")).await;
        assert!(matches!(refused, Err(EngineError::NoState { .. })));
    });
}

const PASS: &str = "
version: 1
name: pass
source: { topic: in }
tasks:
  - { id: pass, type: forward, to: sink }
sink: { kafka: { topic: out } }
";

#[test]
fn a_pipeline_that_runs_is_fenced_by_a_reset() {
    check(async |_, client| {
        produce(client, "in", &[("a", "1", 0)]).await;
        let running = start(client, plan(PASS), Mode::Forever);
        while running.handle().view().tasks.get("pass").is_none_or(|it| it.records_in == 0) {
            runtime::timer::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(reset(client, PASS, None).await.groups, ["ms.pass.pass"]);
        produce(client, "in", &[("a", "2", 0)]).await;
        let ended = running.finished().await;
        assert!(matches!(ended, Err(EngineError::Fenced { by: Some(_) })), "{ended:?}");
        run_to_end(client, PASS).await.unwrap();
        assert_eq!(values(&read(client, "out").await, "a"), ["1", "1", "2"]);
    });
}
