//! At least once beside exactly once: without a crash the results are the same.

use std::collections::BTreeMap;

use client::admin::TopicSpec;
use pipeline::engine::{EngineError, Mode};

use crate::harness::{Sent, check, plan, produce, read, run_to_end, start, values};

const TEXT: &str = "
version: 1
name: both
source: { topic: in }
runtime: { delivery: DELIVERY }
EDGES
tasks:
  - { id: warm, type: filter, where: temp > 10, to: [plus, seen, mean] }
  - { id: plus, type: sum, field: temp, add: 1, to: sums }
  - { id: seen, type: count, to: counts }
  - { id: mean, type: average, value: temp, window: 10s, to: means }
sinks:
  sums: { kafka: { topic: sums } }
  counts: { kafka: { topic: counts } }
  means: { kafka: { topic: means } }
";

type Found = BTreeMap<String, Vec<(String, i64)>>;

fn outputs(delivery: &str, edges: &str) -> Vec<Found> {
    let text = TEXT.replace("DELIVERY", delivery).replace("EDGES", edges);
    let mut results = Vec::new();
    check(async |_, client| {
        client.admin().create_topics(&[TopicSpec::new("in", 4)]).await.unwrap();
        for round in 0..2 {
            let records: Vec<(String, String, i64)> = (round * 100..(round + 1) * 100)
                .map(|at| (format!("k{}", at % 7), format!("{{\"temp\":{at}}}"), at * 500))
                .collect();
            let sent: Vec<Sent<'_>> = records
                .iter()
                .map(|(key, value, time)| (key.as_str(), value.as_str(), *time))
                .collect();
            produce(client, "in", &sent).await;
            let mode = Mode::UntilEnd { close_windows: round == 1 };
            start(client, plan(&text), mode).finished().await.unwrap();
        }
        for topic in ["sums", "counts", "means"] {
            results.push(read(client, topic).await);
        }
    });
    results
}

#[test]
fn both_promises_give_the_same_results_when_nothing_crashes() {
    let exactly = outputs("exactly_once", "");
    assert_eq!(exactly[0].values().map(Vec::len).sum::<usize>(), 189);
    assert_eq!(exactly, outputs("at_least_once", ""));
    assert_eq!(exactly, outputs("at_least_once", "edges: topics"));
}

#[test]
fn a_record_that_fails_stops_a_pipeline_without_transactions_too() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{\"temp\":11}", 0)]).await;
        let text = TEXT.replace("DELIVERY", "at_least_once").replace("EDGES", "");
        run_to_end(client, &text).await.unwrap();
        produce(client, "in", &[("a", "{\"temp\":12}", 1), ("a", "{\"temp\":\"x\"}", 2)]).await;
        let Err(EngineError::Record(failure)) = run_to_end(client, &text).await else {
            panic!("a text is not compared with a number");
        };
        assert_eq!((failure.task.as_str(), failure.offset), ("warm", 2));
        let counts = values(&read(client, "counts").await, "a");
        assert_eq!(counts.last().map(String::as_str), Some("{\"count\":2}"));
    });
}
