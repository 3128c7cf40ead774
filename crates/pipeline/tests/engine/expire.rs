//! Keys that are forgotten when they have been silent.

use std::collections::BTreeMap;

use client::Client;
use client::admin::TopicSpec;

use crate::harness::{check, each_record, produce, read, run_to_end, values};

const COUNT: &str = "
version: 1
name: counts
source: { topic: in, max_out_of_order: 0s }
tasks:
  - { id: seen, type: count, TTL to: sink }
sink: { kafka: { topic: out } }
";

const CHANGELOG: &str = "__ms.counts.seen.seen-changelog";

/// What the changelog says last of each key of records; `None` where it says that it is forgotten.
async fn remembered(client: &Client) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    each_record(client, CHANGELOG, |record| {
        let key = String::from_utf8(record.key.unwrap()[3..].to_vec()).unwrap();
        found.insert(key, record.value.map(<[u8]>::to_vec));
    })
    .await;
    found
}

async fn run(client: &Client, ttl: &str) {
    run_to_end(client, &COUNT.replace("TTL", ttl)).await.unwrap();
}

#[test]
fn a_silent_key_is_forgotten_in_the_changelog_and_counted_from_the_start_again() {
    check(async |_, client| {
        client.admin().create_topics(&[TopicSpec::new("in", 1)]).await.unwrap();
        produce(client, "in", &[("a", "{}", 0), ("b", "{}", 1_000), ("a", "{}", 5_000)]).await;
        run(client, "ttl: 10s,").await;
        let before = remembered(client).await;
        assert!(before["a"].is_some() && before["b"].is_some(), "{before:?}");
        // Time passes by the records of others; `b` has been silent for longer than 10 s, `a` not.
        produce(client, "in", &[("c", "{}", 12_000)]).await;
        run(client, "ttl: 10s,").await;
        let after = remembered(client).await;
        assert_eq!((after["a"].is_some(), after["b"].is_some()), (true, false), "{after:?}");
        produce(client, "in", &[("a", "{}", 13_000), ("b", "{}", 13_000)]).await;
        run(client, "ttl: 10s,").await;
        let found = read(client, "out").await;
        let counts = |key| values(&found, key);
        assert_eq!(counts("a"), ["{\"count\":1}", "{\"count\":2}", "{\"count\":3}"]);
        assert_eq!(counts("b"), ["{\"count\":1}", "{\"count\":1}"]);
    });
}

#[test]
fn a_count_may_gain_a_ttl_and_lose_it_again() {
    check(async |_, client| {
        client.admin().create_topics(&[TopicSpec::new("in", 1)]).await.unwrap();
        for (at, ttl) in ["", "ttl: 10s,", "ttl: 1h,", ""].into_iter().enumerate() {
            let time_ms = i64::try_from(at).unwrap() * 1_000;
            produce(client, "in", &[("a", "{}", time_ms)]).await;
            run(client, ttl).await;
        }
        let found = read(client, "out").await;
        let expected: Vec<String> = (1..=4).map(|count| format!("{{\"count\":{count}}}")).collect();
        assert_eq!(values(&found, "a"), expected);
    });
}
