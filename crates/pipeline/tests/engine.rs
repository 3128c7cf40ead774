//! The engine over a broker in memory: what goes in, what comes out, and that it does so once.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

#[path = "engine/cluster.rs"]
mod cluster;
#[path = "engine/cluster_state.rs"]
mod cluster_state;
#[path = "engine/delivery.rs"]
mod delivery;
#[path = "engine/expire.rs"]
mod expire;
#[path = "engine/full.rs"]
mod full;
#[path = "engine/graphs.rs"]
mod graphs;
#[path = "engine/guard.rs"]
mod guard;
#[path = "engine/harness.rs"]
mod harness;
#[path = "engine/kafka.rs"]
mod kafka;
#[path = "engine/keys.rs"]
mod keys;
#[path = "engine/letters.rs"]
mod letters;
#[path = "engine/reset.rs"]
mod reset;
#[path = "engine/rest.rs"]
mod rest;
#[path = "engine/restore.rs"]
mod restore;
#[path = "engine/snapshot.rs"]
mod snapshot;
#[path = "engine/spill.rs"]
mod spill;
#[path = "engine/tables.rs"]
mod tables;
#[path = "engine/times.rs"]
mod times;

use std::sync::Arc;
use std::time::Duration;

use base::clock::SystemClock;
use client::admin::TopicSpec;
use harness::{Sent, check, claimant, plan, produce, read, run_to_end, start, values};
use pipeline::engine::{Claimant, Engine, EngineError, EngineOptions, Mode};

const COUNT: &str = "
version: 1
name: counts
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

#[test]
fn counts_run_on_over_restarts_without_gap_or_repeat() {
    check(async |_, client| {
        for round in 0..3 {
            let records = [("a", "{}", round), ("b", "{}", round), ("a", "{}", round)];
            produce(client, "in", &records).await;
            run_to_end(client, COUNT).await.unwrap();
        }
        let found = read(client, "out").await;
        let expected = |upto: i32| -> Vec<String> {
            (1..=upto).map(|count| format!("{{\"count\":{count}}}")).collect()
        };
        assert_eq!(values(&found, "a"), expected(6));
        assert_eq!(values(&found, "b"), expected(3));
    });
}

const CHAIN: &str = "
version: 1
name: chain
source: { topic: in }
EDGES
tasks:
  - { id: warm, type: filter, where: temp > 10, to: [plus, mean] }
  - { id: plus, type: sum, field: temp, add: 1, to: sums }
  - { id: mean, type: average, value: temp, window: 10s, to: means }
sinks:
  sums: { kafka: { topic: sums } }
  means: { kafka: { topic: means } }
";

#[test]
fn fused_tasks_and_tasks_with_topics_between_them_give_equal_results() {
    let outputs = |edges: &'static str| {
        let mut results = Vec::new();
        check(async |_, client| {
            let records: Vec<(String, String, i64)> = (0..200)
                .map(|at| (format!("k{}", at % 7), format!("{{\"temp\":{at}}}"), at * 500))
                .collect();
            let sent: Vec<Sent<'_>> = records
                .iter()
                .map(|(key, value, time)| (key.as_str(), value.as_str(), *time))
                .collect();
            client.admin().create_topics(&[TopicSpec::new("in", 4)]).await.unwrap();
            produce(client, "in", &sent).await;
            run_to_end(client, &CHAIN.replace("EDGES", edges)).await.unwrap();
            results.push(read(client, "sums").await);
            results.push(read(client, "means").await);
        });
        results
    };
    let fused = outputs("");
    let cut = outputs("edges: topics");
    assert_eq!(values(&fused[0], "k0").first().unwrap(), "{\"temp\":15}");
    assert_eq!(fused[0].values().map(Vec::len).sum::<usize>(), 189);
    let first_mean = "{\"average\":14.0,\"count\":1,\"window_start\":\"1970-01-01T00:00:00.000Z\",\
                      \"window_end\":\"1970-01-01T00:00:10.000Z\"}";
    assert_eq!(fused[1]["k0"][0], (first_mean.to_owned(), 9_999));
    assert_eq!(fused, cut);
}

const FAILING: &str = "
version: 1
name: failing
source: { topic: in }
tasks:
  - { id: plus, type: sum, field: n, on_error: ON_ERROR, to: sink }
sink: { kafka: { topic: out } }
dead_letter: { topic: dead }
";

#[test]
fn a_record_that_fails_stops_the_pipeline_with_all_before_it_committed_and_nothing_after() {
    check(async |_, client| {
        let records = [
            ("a", "{\"n\":1}", 0),
            ("a", "{\"n\":2}", 1),
            ("a", "{\"n\":\"x\"}", 2),
            ("a", "{\"n\":4}", 3),
        ];
        produce(client, "in", &records).await;
        for _ in 0..2 {
            let text = FAILING.replace("ON_ERROR", "fail");
            let failure = match run_to_end(client, &text).await {
                Err(EngineError::Record(failure)) => failure,
                other => panic!("the bad record stops the pipeline, not {other:?}"),
            };
            assert_eq!((failure.task.as_str(), failure.offset), ("plus", 2));
            assert_eq!(failure.key.as_deref(), Some("a"));
            assert!(failure.reason.contains("no number"), "{}", failure.reason);
            assert_eq!(values(&read(client, "out").await, "a"), ["{\"n\":2}", "{\"n\":3}"]);
        }
        run_to_end(client, &FAILING.replace("ON_ERROR", "skip")).await.unwrap();
        let expected = ["{\"n\":2}", "{\"n\":3}", "{\"n\":5}"];
        assert_eq!(values(&read(client, "out").await, "a"), expected);
    });
}

#[test]
fn a_record_that_fails_can_be_parked_with_its_reason() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{\"n\":\"x\"}", 2), ("a", "{\"n\":4}", 3)]).await;
        let text = FAILING.replace("topic: dead", "topic: dead, order: plain");
        run_to_end(client, &text.replace("ON_ERROR", "dead_letter")).await.unwrap();
        assert_eq!(values(&read(client, "out").await, "a"), ["{\"n\":5}"]);
        assert_eq!(values(&read(client, "dead").await, "a"), ["{\"n\":\"x\"}"]);
    });
}

#[test]
fn the_same_pipeline_started_twice_fences_the_older_which_says_by_whom() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{}", 0)]).await;
        let older = start(client, plan(COUNT), Mode::Forever);
        while older.handle().view().tasks.get("seen").is_none_or(|it| it.records_in == 0) {
            runtime::timer::sleep(Duration::from_millis(5)).await;
        }
        let options = EngineOptions {
            plan: plan(COUNT),
            claimant: Claimant { host: "newcomer".to_owned(), ..claimant("main") },
            sinks: Vec::new(),
            mode: Mode::Forever,
            state: None,
        };
        let newer = Engine::start(client.clone(), Arc::new(SystemClock::new()), options);
        while newer.handle().view().phase != "running" {
            runtime::timer::sleep(Duration::from_millis(5)).await;
        }
        produce(client, "in", &[("a", "{}", 0), ("a", "{}", 0)]).await;
        let Err(EngineError::Fenced { by: Some(by) }) = older.finished().await else {
            panic!("the older one is fenced");
        };
        assert_eq!(by.host, "newcomer");
        newer.handle().stop();
        newer.finished().await.unwrap();
        let expected = ["{\"count\":1}", "{\"count\":2}", "{\"count\":3}"];
        assert_eq!(values(&read(client, "out").await, "a"), expected);
    });
}
