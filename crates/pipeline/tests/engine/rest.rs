//! Pipelines to which nothing comes: what they ask of the log, and that they wake at once.

use std::time::Duration;

use base::clock::{Clock, SystemClock};
use client::admin::TopicSpec;
use coordination::beat::Phase;
use coordination::reader;
use coordination::request::{Ask, Reply};
use runtime::timer;

use crate::cluster::{Member, PATIENCE, apply, put};
use crate::harness::{check, produce, read, values};

const PIPELINES: usize = 50;

/// Requests to the log in a second from which on a slot or a task manager asks without need: two
/// nodes beat, and three readers hear them; a slot at rest asks every 30 s.
const REQUESTS_PER_SECOND_MAX: u64 = 40;

fn file(number: usize) -> String {
    format!(
        "
version: 1
name: p{number}
source: {{ topic: in-{number} }}
tasks:
  - {{ id: seen, type: count, to: sink }}
sink: {{ kafka: {{ topic: out-{number} }} }}
"
    )
}

async fn running(client: &client::Client) -> usize {
    let since_ms = SystemClock::new().unix_ms() - 2_500;
    let beats = reader::beats(client, since_ms).await.unwrap();
    let runs = beats.values().flat_map(|beat| &beat.runs);
    runs.filter(|run| run.phase == Phase::Running).count()
}

#[test]
fn pipelines_at_rest_ask_next_to_nothing_of_the_log_and_wake_at_once() {
    check(async |broker, client| {
        let topics = |of: &'static str| (0..PIPELINES).map(move |at| format!("{of}-{at}"));
        let specs: Vec<TopicSpec> =
            topics("in").chain(topics("out")).map(|topic| TopicSpec::new(&topic, 1)).collect();
        client.admin().create_topics(&specs).await.unwrap();
        let manager = Member::manager(broker, "jm-1").await;
        let worker = Member::start(broker, ("tm-1", 64), None).await;
        for number in 0..PIPELINES {
            assert!(matches!(apply(client, &file(number)).await, Reply::Done { .. }));
        }
        let deadline = timer::now() + PATIENCE;
        while running(client).await < PIPELINES {
            assert!(timer::now() < deadline, "not all of them run");
            timer::sleep(Duration::from_millis(100)).await;
        }
        let requests = || broker.running().view().requests;
        let deadline = timer::now() + PATIENCE;
        loop {
            let before = requests();
            timer::sleep(Duration::from_secs(2)).await;
            let per_second = (requests() - before) / 2;
            if per_second <= REQUESTS_PER_SECOND_MAX {
                break;
            }
            assert!(timer::now() < deadline, "{per_second} requests in a second");
        }
        // The beats of now do not repeat what was told before, and all of it is known still.
        assert_eq!(running(client).await, PIPELINES);
        let asked = timer::now();
        produce(client, "in-7", &[("k", "{}", 0)]).await;
        while values(&read(client, "out-7").await, "k") != ["{\"count\":1}"] {
            assert!(asked.elapsed() < Duration::from_secs(3), "a slot at rest wakes at a record");
            timer::sleep(Duration::from_millis(10)).await;
        }
        let pause = Ask::Pause { job: "p8".to_owned() };
        assert_eq!(put(client, pause).await, Reply::Done { notes: Vec::new() });
        let asked = timer::now();
        while running(client).await == PIPELINES {
            assert!(asked.elapsed() < Duration::from_secs(5), "a slot at rest hears its order");
            timer::sleep(Duration::from_millis(50)).await;
        }
        worker.stop().await;
        manager.stop().await;
    });
}
