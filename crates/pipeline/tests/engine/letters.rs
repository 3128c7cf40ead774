//! Dead letters in sequence: what waits behind one, and how it goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use base::rng::{Random as _, SeededRandom, SystemRandom};
use client::Client;
use client::admin::TopicSpec;
use client::options::ProducerOptions;
use client::producer::Record;
use pipeline::engine::letters::{DeadLetter, ParkedKey, Verb, each_letter, order, parked};
use pipeline::engine::reset::Reset;
use pipeline::engine::{EngineError, Mode};
use protocol::record::HeaderRef;

use crate::harness::{
    Sent, check, claimant, each_record, plan, produce, read, run_to_end, start, values,
};

/// A sum per record, then a filter that can fail too, so that two places may park.
const SUMS: &str = "
version: 1
name: sums
source: { topic: in }
tasks:
  - { id: plus, type: sum, field: FIELD, on_error: dead_letter, to: check }
  - { id: check, type: filter, where: limit > 0, on_error: dead_letter, to: sink }
sink: { kafka: { topic: out } }
";

fn sums() -> String {
    SUMS.replace("FIELD", "n")
}

fn good(n: i64) -> String {
    format!("{{\"n\":{n},\"limit\":1}}")
}

/// Records of key `a` between those of `b`: the one of `a` at each of these places is bad.
async fn send(client: &Client, range: std::ops::Range<i64>, bad: &[i64]) {
    let records: Vec<(&str, String)> = range
        .flat_map(|n| {
            let of_a =
                if bad.contains(&n) { "{\"n\":\"x\",\"limit\":1}".to_owned() } else { good(n) };
            [("a", of_a), ("b", good(n))]
        })
        .collect();
    let sent: Vec<Sent<'_>> =
        records.iter().map(|(key, value)| (*key, value.as_str(), 5)).collect();
    produce(client, "in", &sent).await;
}

/// What `plus` makes of these numbers.
fn summed(numbers: impl IntoIterator<Item = i64>) -> Vec<String> {
    numbers.into_iter().map(|n| good(n + 1)).collect()
}

async fn of(client: &Client, key: &str) -> Vec<String> {
    values(&read(client, "out").await, key)
}

async fn only(client: &Client, text: &str) -> ParkedKey {
    let mut keys = parked(client, &plan(text)).await.unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys.remove(0)
}

async fn tell(client: &Client, text: &str, verb: Verb) {
    let key = only(client, text).await;
    order(client, &[key], verb, 0).await.unwrap();
}

async fn letters(client: &Client, text: &str) -> Vec<DeadLetter> {
    let mut all = Vec::new();
    each_letter(client, &plan(text), |letter| {
        all.push(letter);
        Ok::<(), EngineError>(())
    })
    .await
    .unwrap();
    all
}

async fn is_settled(client: &Client, text: &str) -> bool {
    parked(client, &plan(text)).await.unwrap().is_empty()
}

#[test]
fn behind_a_poisoned_record_its_key_waits_in_order_while_healthy_keys_go_on() {
    check(async |_, client| poisoned_beside_healthy(client).await);
}

pub(crate) async fn poisoned_beside_healthy(client: &Client) {
    send(client, 0..3, &[1]).await;
    run_to_end(client, &sums()).await.unwrap();
    // That the key is parked is known to the next start.
    send(client, 3..5, &[]).await;
    run_to_end(client, &sums()).await.unwrap();
    assert_eq!(of(client, "a").await, summed([0]));
    assert_eq!(of(client, "b").await, summed(0..5));
    let key = only(client, &sums()).await;
    assert_eq!((key.task.as_str(), key.key.as_str(), key.waiting), ("plus", "a", 4));
    assert!(key.reason.contains("no number") && !key.is_leaving, "{key:?}");
    let all = letters(client, &sums()).await;
    let told: Vec<_> = all.iter().map(|it| (it.sequence, it.offset)).collect();
    assert_eq!(told, [(Some(0), 2), (Some(1), 4), (Some(2), 6), (Some(3), 8)]);
    assert!(all[0].reason.contains("no number") && all[1].reason.contains("waits behind"));
    assert_eq!(all[1].value.as_deref(), Some(good(2).as_str()));
}

#[test]
fn keys_that_wait_count_against_the_memory_limit_also_at_a_start() {
    check(async |_, client| {
        let limited = format!("runtime: {{ state: {{ memory_limit: 1MiB }} }}\n{}", sums().trim());
        let keys: Vec<String> = (0..12_000).map(|key| format!("k{key}")).collect();
        let sent: Vec<Sent<'_>> =
            keys.iter().map(|key| (key.as_str(), "{\"n\":\"x\"}", 5)).collect();
        produce(client, "in", &sent).await;
        for _ in 0..2 {
            let over = run_to_end(client, &limited).await;
            assert!(matches!(over, Err(EngineError::StateLimit(_))), "{over:?}");
        }
        // With room it goes on behind the last commit.
        run_to_end(client, &sums()).await.unwrap();
        assert_eq!(parked(client, &plan(&sums())).await.unwrap().len(), keys.len());
    });
}

#[test]
fn what_was_released_comes_out_once_and_in_order_and_without_the_poisoned_record() {
    check(async |_, client| {
        send(client, 0..4, &[1]).await;
        run_to_end(client, &sums()).await.unwrap();
        tell(client, &sums(), Verb::Release).await;
        // Told twice, it is done once: the second order means a letter that has left.
        tell(client, &sums(), Verb::Release).await;
        send(client, 4..6, &[]).await;
        run_to_end(client, &sums()).await.unwrap();
        assert_eq!(of(client, "a").await, summed([0, 2, 3, 4, 5]));
        assert_eq!(of(client, "b").await, summed(0..6));
        assert!(is_settled(client, &sums()).await);
        run_to_end(client, &sums()).await.unwrap();
        assert_eq!(of(client, "a").await.len(), 5);
    });
}

#[test]
fn a_second_poisoned_record_stops_the_way_out_again() {
    check(async |_, client| {
        send(client, 0..6, &[1, 3]).await;
        run_to_end(client, &sums()).await.unwrap();
        tell(client, &sums(), Verb::Release).await;
        run_to_end(client, &sums()).await.unwrap();
        assert_eq!(of(client, "a").await, summed([0, 2]));
        let key = only(client, &sums()).await;
        assert_eq!((key.first, key.waiting, key.is_leaving), (2, 3, false));
        assert!(key.reason.contains("no number"), "{}", key.reason);
        tell(client, &sums(), Verb::Drop).await;
        send(client, 6..8, &[]).await;
        run_to_end(client, &sums()).await.unwrap();
        assert!(is_settled(client, &sums()).await);
        let found = of(client, "a").await;
        assert_eq!(found, summed([0, 2, 6, 7]), "what was seen is dropped, what came since is not");
    });
}

#[test]
fn a_replay_with_a_mended_file_loses_nothing_and_keeps_order() {
    check(async |_, client| {
        let mended = SUMS.replace("field: FIELD", "field: limit");
        send(client, 0..3, &[1]).await;
        run_to_end(client, &sums()).await.unwrap();
        tell(client, &sums(), Verb::Replay).await;
        run_to_end(client, &sums()).await.unwrap();
        assert_eq!(of(client, "a").await, summed([0]), "the file is not mended yet");
        tell(client, &sums(), Verb::Replay).await;
        run_to_end(client, &mended).await.unwrap();
        let expected =
            [good(1), "{\"n\":\"x\",\"limit\":2}".into(), "{\"n\":2,\"limit\":2}".into()];
        assert_eq!(of(client, "a").await, expected);
        assert!(is_settled(client, &mended).await);
    });
}

#[test]
fn a_key_that_leaves_one_task_may_be_parked_at_the_next_one() {
    check(async |_, client| {
        let bad = "{\"n\":1,\"limit\":\"x\"}";
        let other = good(7);
        produce(client, "in", &[("a", "{\"n\":\"x\"}", 1), ("a", bad, 2), ("a", &other, 3)]).await;
        run_to_end(client, &sums()).await.unwrap();
        tell(client, &sums(), Verb::Release).await;
        run_to_end(client, &sums()).await.unwrap();
        let key = only(client, &sums()).await;
        assert_eq!((key.task.as_str(), key.waiting), ("check", 2));
        assert!(of(client, "a").await.is_empty());
        tell(client, &sums(), Verb::Release).await;
        run_to_end(client, &sums()).await.unwrap();
        assert_eq!(of(client, "a").await, summed([7]));
    });
}

#[test]
fn a_letter_that_stops_the_next_task_stops_the_pipeline_until_that_is_mended() {
    check(async |_, client| {
        let strict = sums().replace("limit > 0, on_error: dead_letter", "limit > 0");
        let bad = "{\"n\":1,\"limit\":\"x\"}";
        produce(client, "in", &[("a", "{}", 1), ("a", bad, 2), ("a", &good(7), 3)]).await;
        run_to_end(client, &strict).await.unwrap();
        tell(client, &strict, Verb::Release).await;
        for _ in 0..2 {
            send(client, 0..1, &[]).await;
            let Err(EngineError::Record(failure)) = run_to_end(client, &strict).await else {
                panic!("the second record stops the pipeline");
            };
            assert_eq!((failure.task.as_str(), failure.offset), ("check", 1));
        }
        run_to_end(client, &strict.replace("limit > 0", "limit > 0, on_error: skip"))
            .await
            .unwrap();
        assert_eq!(of(client, "a").await, summed([7, 0, 0]));
        assert_eq!(of(client, "b").await, summed([0, 0]));
    });
}

#[test]
fn a_busy_key_is_let_out_while_the_pipeline_runs() {
    check(async |_, client| {
        client.admin().create_topics(&[TopicSpec::new("in", 1)]).await.unwrap();
        let engine = start(client, plan(&sums()), Mode::Forever);
        send(client, 0..10, &[1]).await;
        while parked(client, &plan(&sums())).await.unwrap().first().is_none_or(|it| it.waiting < 9)
        {
            runtime::timer::sleep(Duration::from_millis(20)).await;
        }
        tell(client, &sums(), Verb::Release).await;
        let mut sent = 10;
        while !is_settled(client, &sums()).await {
            send(client, sent..sent + 10, &[]).await;
            sent += 10;
            assert!(sent < 10_000, "the key never leaves");
        }
        send(client, sent..sent + 10, &[]).await;
        engine.handle().stop();
        engine.finished().await.unwrap();
        run_to_end(client, &sums()).await.unwrap();
        let numbers = (0..sent + 10).filter(|n| *n != 1);
        assert_eq!(of(client, "a").await, summed(numbers));
        assert_eq!(of(client, "b").await, summed(0..sent + 10));
    });
}

/// All keys of two slots leave through one partition of letters, while records come.
fn all_keys_leave(delivery: &str, edges: &str) {
    let text = format!(
        "{}runtime: {{ parallelism: 2, delivery: {delivery} }}\nedges: {edges}\n\
         topics: {{ sums.dlq: {{ partitions: 1 }} }}\n",
        sums()
    );
    let keys: Vec<String> = (0..20).map(|at| format!("k{at}")).collect();
    let records = |range: std::ops::Range<i64>| -> Vec<(String, String)> {
        let of_key = |n: i64, key: &String| {
            let is_bad = n == 3;
            (key.clone(), if is_bad { "{\"limit\":1}".to_owned() } else { good(n) })
        };
        range.flat_map(|n| keys.iter().map(move |key| of_key(n, key))).collect()
    };
    check(async |_, client| {
        let send = async |range: std::ops::Range<i64>| {
            let records = records(range);
            let sent: Vec<Sent<'_>> =
                records.iter().map(|(key, value)| (key.as_str(), value.as_str(), 5)).collect();
            produce(client, "in", &sent).await;
        };
        client.admin().create_topics(&[TopicSpec::new("in", 4)]).await.unwrap();
        send(0..20).await;
        let engine = start(client, plan(&text), Mode::Forever);
        let all = async || parked(client, &plan(&text)).await.unwrap();
        while all().await.iter().map(|key| key.waiting).sum::<u64>() < 20 * 17 {
            runtime::timer::sleep(Duration::from_millis(20)).await;
        }
        let (head, tail) = (all().await, 20..60);
        order(client, &head, Verb::Release, 0).await.unwrap();
        for n in tail {
            send(n..n + 1).await;
        }
        while !is_settled(client, &text).await {
            runtime::timer::sleep(Duration::from_millis(20)).await;
        }
        engine.handle().stop();
        engine.finished().await.unwrap();
        run_to_end(client, &text).await.unwrap();
        let found = read(client, "out").await;
        let expected = summed((0..60).filter(|n| *n != 3));
        for key in &keys {
            assert_eq!(values(&found, key), expected, "{key} with {delivery} and {edges}");
        }
    });
}

#[test]
fn all_keys_of_two_slots_leave_at_once_while_records_come() {
    all_keys_leave("exactly_once", "auto");
    all_keys_leave("exactly_once", "topics");
    all_keys_leave("at_least_once", "auto");
}

#[test]
fn a_release_that_is_taken_over_again_and_again_lets_each_letter_out_once() {
    check(async |_, client| {
        client.admin().create_topics(&[TopicSpec::new("in", 1)]).await.unwrap();
        send(client, 0..3_000, &[1, 1_500]).await;
        run_to_end(client, &sums()).await.unwrap();
        let mut engine = start(client, plan(&sums()), Mode::Forever);
        for (round, pause_ms) in [0, 3, 7, 12, 18, 25, 33, 42].into_iter().enumerate() {
            if parked(client, &plan(&sums())).await.unwrap().iter().any(|key| !key.is_leaving) {
                tell(client, &sums(), Verb::Release).await;
            }
            let at = 3_000 + i64::try_from(round).unwrap() * 10;
            send(client, at..at + 10, &[]).await;
            runtime::timer::sleep(Duration::from_millis(pause_ms)).await;
            // Whoever starts fences the one before, wherever it is.
            let newer = start(client, plan(&sums()), Mode::Forever);
            assert!(matches!(engine.finished().await, Err(EngineError::Fenced { .. })));
            engine = newer;
        }
        while let Some(key) = parked(client, &plan(&sums())).await.unwrap().first() {
            if !key.is_leaving {
                tell(client, &sums(), Verb::Release).await;
            }
            runtime::timer::sleep(Duration::from_millis(20)).await;
        }
        engine.handle().stop();
        engine.finished().await.unwrap();
        run_to_end(client, &sums()).await.unwrap();
        let numbers = (0..3_080).filter(|n| ![1, 1_500].contains(n));
        assert_eq!(of(client, "a").await, summed(numbers));
        assert_eq!(of(client, "b").await, summed(0..3_080));
    });
}

#[test]
fn a_letter_goes_on_with_its_own_headers_time_and_origin() {
    let text = "
version: 1
name: whole
source: { topic: in }
tasks:
  - id: told
    type: map
    set: { at: '@timestamp', of: '@offset', trace: '@headers.trace', n: 'n + 1' }
    on_error: dead_letter
    to: sink
sink: { kafka: { topic: out } }
";
    check(async |_, client| {
        let producer = client.producer(ProducerOptions::default());
        // The second record comes from the letters of another pipeline.
        let foreign: [HeaderRef<'_>; 3] = [
            (b"trace", Some(b"old")),
            (b"millstream-topic", Some(b"elsewhere")),
            (b"trace", Some(b"new")),
        ];
        for (value, headers) in [("{\"n\":\"x\"}", &[][..]), ("{\"n\":1}", &foreign[..])] {
            let record = Record {
                topic: "in",
                partition: Some(0),
                key: Some(b"a"),
                value: Some(value.as_bytes()),
                timestamp: Some(77),
                headers,
            };
            producer.append(record).await.unwrap();
        }
        producer.close().await.unwrap();
        run_to_end(client, text).await.unwrap();
        tell(client, text, Verb::Release).await;
        run_to_end(client, text).await.unwrap();
        let mut found = Vec::new();
        each_record(client, "out", |record| {
            let headers = record.headers.iter();
            let headers: Vec<_> =
                headers.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect();
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            found.push((value, record.timestamp, headers));
        })
        .await;
        let own = foreign.map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)));
        let value = "{\"n\":2,\"at\":77,\"of\":1,\"trace\":\"new\"}".to_owned();
        assert_eq!(found, [(value, 77, own.to_vec())]);
    });
}

#[test]
fn after_a_reset_nobody_waits_and_old_letters_are_not_taken_for_new_ones() {
    check(async |_, client| {
        send(client, 0..4, &[1]).await;
        run_to_end(client, &sums()).await.unwrap();
        let plan = plan(&sums());
        let reset = Reset::look(client, &plan, None).await.unwrap();
        let topics = ["__ms.sums.plus-orders", "__ms.sums.plus-parked"];
        assert_eq!(reset.topics, topics);
        reset.perform(client, &plan, &claimant("main")).await.unwrap();
        assert!(is_settled(client, &sums()).await);
        // Read from the start again, and mended so that the second record fails no more.
        let other = sums().replace("field: n", "field: limit");
        let bad = "{\"n\":7,\"limit\":\"x\"}";
        produce(client, "in", &[("a", bad, 5), ("a", &good(8), 5)]).await;
        run_to_end(client, &other).await.unwrap();
        tell(client, &other, Verb::Release).await;
        run_to_end(client, &other).await.unwrap();
        let found = of(client, "a").await;
        let last = "{\"n\":8,\"limit\":2}";
        assert_eq!((found.len(), found.last().map(String::as_str)), (1 + 4 + 1, Some(last)));
        assert_eq!(letters(client, &other).await.len(), 3 + 2);
    });
}

/// Random records, starts and releases; a key's results are its good records, once and in order.
fn random_rounds(seed: u64) {
    println!("seed {seed}");
    let random = SeededRandom::new(seed);
    let below = |limit: u64| random.next_u64() % limit;
    let edges = if below(2) == 0 { "auto" } else { "topics" };
    let text = "
version: 1
name: sums
source: { topic: in }
edges: EDGES
runtime: { parallelism: SLOTS }
tasks:
  - { id: plus, type: sum, field: n, on_error: dead_letter, to: check }
  - id: check
    type: filter
    where: limit > 0
    key: \"'k' + @key\"
    on_error: dead_letter
    to: sink
sink: { kafka: { topic: out } }
"
    .replace("EDGES", edges);
    let slots = || text.replace("SLOTS", &(1 + below(3)).to_string());
    check(async |_, client| {
        client.admin().create_topics(&[TopicSpec::new("in", 3)]).await.unwrap();
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut sent = 0;
        for _ in 0..6 {
            let mut records = Vec::new();
            for _ in 0..below(40) {
                let key = format!("{}", below(5));
                sent += 1;
                let value = match below(8) {
                    0 => "{\"n\":\"x\"}".to_owned(),
                    1 => format!("{{\"n\":{sent},\"limit\":\"x\"}}"),
                    _ => {
                        expected.entry(format!("k{key}")).or_default().extend(summed([sent]));
                        good(sent)
                    }
                };
                records.push((key, value));
            }
            let records: Vec<Sent<'_>> =
                records.iter().map(|(key, value)| (key.as_str(), value.as_str(), 5)).collect();
            produce(client, "in", &records).await;
            let mut keys = parked(client, &plan(&slots())).await.unwrap();
            keys.retain(|_| below(2) == 0);
            order(client, &keys, Verb::Release, 0).await.unwrap();
            run_to_end(client, &slots()).await.unwrap();
        }
        while !is_settled(client, &slots()).await {
            let keys = parked(client, &plan(&slots())).await.unwrap();
            order(client, &keys, Verb::Release, 0).await.unwrap();
            run_to_end(client, &slots()).await.unwrap();
        }
        let found = read(client, "out").await;
        let found: BTreeMap<String, Vec<String>> =
            found.keys().map(|key| (key.clone(), values(&found, key))).collect();
        assert_eq!(found, expected, "seed {seed}");
    });
}

#[test]
fn a_keys_results_are_its_good_records_in_order_whatever_was_parked_and_released_when() {
    for _ in 0..3 {
        random_rounds(SystemRandom.next_u64());
    }
}

#[test]
fn letters_that_retention_has_taken_do_not_hold_a_key_for_ever() {
    check(async |_, client| {
        send(client, 0..4, &[1]).await;
        run_to_end(client, &sums()).await.unwrap();
        let topic = "sums.dlq";
        let count = client.topic(topic).await.unwrap().partition_count();
        let ends: Vec<(&str, i32, i64)> = (0..count).map(|at| (topic, at, -1)).collect();
        client.admin().delete_records(&ends).await.unwrap();
        tell(client, &sums(), Verb::Release).await;
        send(client, 4..5, &[]).await;
        run_to_end(client, &sums()).await.unwrap();
        assert!(is_settled(client, &sums()).await);
        let found = of(client, "a").await;
        assert_eq!(found.first(), summed([0]).first());
        assert_eq!(found.last(), summed([4]).last());
        assert_eq!(found.len(), 2);
    });
}

#[test]
fn records_whose_new_key_or_time_cannot_be_made_wait_where_they_are() {
    let text = "
version: 1
name: rekeyed
source: { topic: in, event_time: at }
tasks:
  - { id: pass, type: forward, on_error: dead_letter, to: seen }
  - { id: seen, type: count, key: room, on_error: dead_letter, to: sink }
sink: { kafka: { topic: out } }
";
    check(async |_, client| {
        let hall = "{\"at\":1,\"room\":\"hall\"}";
        let records = [
            ("a", "{\"at\":1,\"room\":null}", 0),
            ("a", hall, 0),
            ("b", "{\"at\":{},\"room\":\"hall\"}", 0),
            ("b", hall, 0),
            ("c", hall, 0),
        ];
        produce(client, "in", &records).await;
        run_to_end(client, text).await.unwrap();
        assert_eq!(of(client, "hall").await, ["{\"count\":1}"]);
        let keys = parked(client, &plan(text)).await.unwrap();
        let places: Vec<_> =
            keys.iter().map(|it| (it.place.as_str(), it.key.as_str(), it.waiting)).collect();
        assert_eq!(places, [("pass->seen", "a", 2), ("source->pass", "b", 2)]);
        order(client, &keys, Verb::Release, 0).await.unwrap();
        run_to_end(client, text).await.unwrap();
        let expected = ["{\"count\":1}", "{\"count\":2}", "{\"count\":3}"];
        assert_eq!(of(client, "hall").await, expected);
        assert!(is_settled(client, text).await);
    });
}

#[test]
fn plain_letters_leave_gaps_and_no_key_waits() {
    check(async |_, client| {
        let text = format!("{}dead_letter: plain\n", sums());
        send(client, 0..4, &[1]).await;
        run_to_end(client, &text).await.unwrap();
        assert_eq!(of(client, "a").await, summed([0, 2, 3]));
        assert!(is_settled(client, &text).await);
        let all = letters(client, &text).await;
        assert_eq!((all.len(), all[0].sequence, all[0].offset), (1, None, 2));
    });
}
