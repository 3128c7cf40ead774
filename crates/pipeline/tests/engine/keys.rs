//! Keys: new ones over a topic, none at all, and what is told of a record that was parked.

use std::collections::BTreeMap;

use client::Client;
use client::options::ProducerOptions;
use client::producer::Record;
use pipeline::engine::EngineError;

use crate::harness::{check, each_record, produce, read, run_to_end, values};

const REKEYED: &str = "
version: 1
name: rekeyed
source: { topic: in }
tasks:
  - { id: pass, type: filter, where: room != 'attic', to: seen }
  - { id: seen, type: count, key: room, on_error: ON_ERROR, to: sink }
sink: { kafka: { topic: out } }
dead_letter: { topic: dead }
";

const COUNT: &str = "
version: 1
name: counts
source: { topic: in, start: START }
tasks:
  - { id: seen, type: count, on_error: ON_ERROR, to: sink }
sink: { kafka: { topic: out } }
";

async fn produce_keyless(client: &Client, topic: &str, value: &str) {
    let producer = client.producer(ProducerOptions::default());
    let value = Some(value.as_bytes());
    let record = Record { topic, value, timestamp: Some(5), ..Record::default() };
    producer.append(record).await.unwrap();
    producer.close().await.unwrap();
}

#[test]
fn records_meet_under_their_new_key_whatever_partition_they_came_from() {
    check(async |_, client| {
        let rooms = ["hall", "attic", "cellar"];
        let records: Vec<(String, String)> = (0..30)
            .map(|at| (format!("sensor{}", at % 10), format!("{{\"room\":\"{}\"}}", rooms[at % 3])))
            .collect();
        let sent: Vec<_> =
            records.iter().map(|(key, value)| (key.as_str(), value.as_str(), 0)).collect();
        let topic = client::admin::TopicSpec::new("in", 4);
        client.admin().create_topics(&[topic]).await.unwrap();
        for half in sent.chunks(15) {
            produce(client, "in", half).await;
            run_to_end(client, &REKEYED.replace("ON_ERROR", "fail")).await.unwrap();
        }
        let found = read(client, "out").await;
        let expected: Vec<String> =
            (1..=10).map(|count| format!("{{\"count\":{count}}}")).collect();
        assert_eq!(values(&found, "hall"), expected);
        assert_eq!(values(&found, "cellar"), expected);
        assert_eq!(found.len(), 2);
    });
}

#[test]
fn an_edge_holds_nothing_that_was_worked_off() {
    check(async |_, client| {
        for round in 0..2 {
            let records = [("a", "{\"room\":\"hall\"}", round), ("b", "{\"room\":\"den\"}", round)];
            produce(client, "in", &records).await;
            run_to_end(client, &REKEYED.replace("ON_ERROR", "fail")).await.unwrap();
            let mut left = Vec::new();
            each_record(client, "rekeyed.pass_seen", |record| {
                // Time goes on behind the last record, and may still stand there.
                left.extend(record.value.map(<[u8]>::to_vec));
            })
            .await;
            assert!(left.is_empty(), "{left:?}");
        }
        let found = read(client, "out").await;
        assert_eq!(values(&found, "hall"), ["{\"count\":1}", "{\"count\":2}"]);
    });
}

#[test]
fn a_parked_record_tells_where_it_came_from_and_why() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{\"room\":null}", 0), ("b", "{\"room\":\"hall\"}", 1)])
            .await;
        run_to_end(client, &REKEYED.replace("ON_ERROR", "dead_letter")).await.unwrap();
        assert_eq!(values(&read(client, "out").await, "hall"), ["{\"count\":1}"]);
        let mut told = BTreeMap::new();
        each_record(client, "dead", |record| {
            assert_eq!(record.value, Some(&b"{\"room\":null}"[..]));
            for (name, value) in record.headers.iter() {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                told.insert(text(name), text(value.unwrap_or_default()));
            }
        })
        .await;
        assert_eq!(told["millstream-pipeline"], "rekeyed");
        assert_eq!(told["millstream-topic"], "in");
        assert_eq!(
            (told["millstream-partition"].as_str(), told["millstream-offset"].as_str()),
            ("0", "0")
        );
        assert!(told["millstream-reason"].contains("`room` is null"), "{told:?}");
        assert_eq!(told["millstream-task"], "seen");
    });
}

#[test]
fn a_record_without_a_key_cannot_be_counted_by_key() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{}", 0)]).await;
        produce_keyless(client, "in", "{}").await;
        produce(client, "in", &[("a", "{}", 0)]).await;
        let text = COUNT.replace("START", "earliest");
        let failed = run_to_end(client, &text.replace("ON_ERROR", "fail")).await;
        let Err(EngineError::Record(failure)) = failed else { panic!("it has no key") };
        assert_eq!((failure.task.as_str(), failure.key.as_deref()), ("seen", None));
        assert!(failure.reason.contains("no key"), "{}", failure.reason);
        let view = run_to_end(client, &text.replace("ON_ERROR", "skip")).await.unwrap();
        assert_eq!(view.tasks["seen"].skipped, 1);
        let expected = ["{\"count\":1}", "{\"count\":2}"];
        assert_eq!(values(&read(client, "out").await, "a"), expected);
    });
}

#[test]
fn a_source_that_begins_at_its_end_goes_on_where_it_was() {
    check(async |_, client| {
        produce(client, "in", &[("a", "{}", 0)]).await;
        let text = COUNT.replace("START", "latest").replace("ON_ERROR", "fail");
        run_to_end(client, &text).await.unwrap();
        assert!(read(client, "out").await.is_empty());
        produce(client, "in", &[("a", "{}", 0), ("a", "{}", 0)]).await;
        run_to_end(client, &text).await.unwrap();
        produce(client, "in", &[("a", "{}", 0)]).await;
        run_to_end(client, &text).await.unwrap();
        let expected = ["{\"count\":1}", "{\"count\":2}", "{\"count\":3}"];
        assert_eq!(values(&read(client, "out").await, "a"), expected);
    });
}
