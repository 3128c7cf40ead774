//! What a pipeline refuses to go on with, and what survives it; and the zombie that comes late.

use std::sync::Arc;
use std::time::Duration;

use base::chunk::Chunk;
use client::admin::TopicSpec;
use client::{Client, ClientOptions};
use pipeline::engine::reset::Reset;
use pipeline::engine::{EngineError, Mode};
use runtime::channel::{self, WatchReceiver};
use runtime::stream::{Connection, Listener, MemoryConnector, connect_tcp};
use runtime::{task, timer};

use crate::harness::{
    Sent, check, claimant, connect_as_program, connect_with, each_record, plan, produce, read,
    run_to_end, start, values,
};

const COUNT: &str = "
version: 1
name: counts
source: { topic: in }
edges: EDGES
tasks:
  - { id: pass, type: forward, to: seen }
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

fn fused() -> String {
    COUNT.replace("EDGES", "auto")
}

const PATIENCE: Duration = Duration::from_secs(60);

const CHANGELOG: &str = "__ms.counts.pass.seen-changelog";

fn counts(upto: i32) -> Vec<String> {
    (1..=upto).map(|count| format!("{{\"count\":{count}}}")).collect()
}

async fn send(client: &Client, count: usize) {
    let records: Vec<Sent<'_>> = vec![("a", "{}", 0); count];
    produce(client, "in", &records).await;
}

async fn of_a(client: &Client) -> Vec<String> {
    values(&read(client, "out").await, "a")
}

/// Waits for so many results of key `a`.
async fn wait_for(client: &Client, count: usize) {
    let deadline = timer::now() + PATIENCE;
    while of_a(client).await.len() < count {
        assert!(timer::now() < deadline, "there are less than {count} results");
        timer::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn two_pipelines_do_not_share_a_group_and_the_second_one_says_whose_it_is() {
    let file = |name: &str, delivery: &str| {
        format!(
            "version: 1\nname: {name}\nsource: {{ topic: in, group: shared }}\n\
             runtime: {{ delivery: {delivery} }}\n\
             tasks:\n  - {{ id: pass, type: forward, to: sink }}\n\
             sink: {{ kafka: {{ topic: {name}-out }} }}\n"
        )
    };
    for delivery in ["exactly_once", "at_least_once"] {
        check(async |_, client| {
            let (one, two) = (file("one", delivery), file("two", delivery));
            client.admin().create_topics(&[TopicSpec::new("in", 2)]).await.unwrap();
            // Whose the group is stands there before the first record.
            run_to_end(client, &one).await.unwrap();
            for round in 1..3 {
                send(client, 1).await;
                let Err(EngineError::GroupShared { group, owner }) = run_to_end(client, &two).await
                else {
                    panic!("the group is taken");
                };
                assert_eq!((group.as_str(), owner.as_str()), ("shared", "one"));
                run_to_end(client, &one).await.unwrap();
                assert_eq!(values(&read(client, "one-out").await, "a").len(), round);
            }
            let plan = plan(&one);
            let reset = Reset::look(client, &plan, None).await.unwrap();
            reset.perform(client, &plan, &claimant("main")).await.unwrap();
            run_to_end(client, &two).await.unwrap();
            assert_eq!(values(&read(client, "two-out").await, "a").len(), 2);
        });
    }
}

#[test]
fn state_that_is_gone_stops_the_pipeline_until_its_task_is_reset() {
    check(async |_, client| {
        send(client, 2).await;
        run_to_end(client, &fused()).await.unwrap();
        client.admin().delete_topics(&[CHANGELOG]).await.unwrap();
        send(client, 1).await;
        for _ in 0..2 {
            let Err(EngineError::TopicLost { topic, holds, group }) =
                run_to_end(client, &fused()).await
            else {
                panic!("its state is gone");
            };
            assert_eq!((topic.as_str(), group.as_str()), (CHANGELOG, "ms.counts.pass"));
            assert_eq!(holds, "the state of task `seen`");
        }
        assert_eq!(of_a(client).await, counts(2), "nothing was counted anew");
        let plan = plan(&fused());
        let reset = Reset::look(client, &plan, Some("seen")).await.unwrap();
        reset.perform(client, &plan, &claimant("main")).await.unwrap();
        run_to_end(client, &fused()).await.unwrap();
        assert_eq!(of_a(client).await, [counts(2), counts(1)].concat());
    });
}

#[test]
fn records_between_two_tasks_that_are_gone_stop_the_pipeline() {
    check(async |_, client| {
        let text = COUNT.replace("EDGES", "topics");
        send(client, 2).await;
        run_to_end(client, &text).await.unwrap();
        client.admin().delete_topics(&["counts.pass_seen"]).await.unwrap();
        let Err(EngineError::TopicLost { topic, holds, .. }) = run_to_end(client, &text).await
        else {
            panic!("an edge is gone");
        };
        assert_eq!(topic, "counts.pass_seen");
        assert_eq!(holds, "what task `seen` had still to read");
    });
}

#[test]
fn a_topic_that_is_deleted_under_a_pipeline_stops_it_with_its_state_kept() {
    for topic in ["in", "out"] {
        check(async |broker, client| {
            let spec = |topic| TopicSpec::new(topic, 2);
            client.admin().create_topics(&[spec("in"), spec("out")]).await.unwrap();
            let own = connect_as_program(broker).await;
            let engine = start(&own, plan(&fused()), Mode::Forever);
            send(client, 3).await;
            wait_for(client, 3).await;
            client.admin().delete_topics(&[topic]).await.unwrap();
            // Of the results nothing is written, and so nothing noticed, before the next record.
            if topic == "out" {
                send(client, 1).await;
            }
            let ended = timer::timeout(PATIENCE, engine.finished()).await;
            let Ok(Err(EngineError::TopicGone { topic: told })) = ended else {
                panic!("{topic} is gone: {ended:?}");
            };
            assert_eq!(told, topic);
            // The next start makes what is missing, and goes on with the state.
            run_to_end(client, &fused()).await.unwrap();
            send(client, 1).await;
            run_to_end(client, &fused()).await.unwrap();
            let expected = if topic == "in" { counts(4) } else { counts(5)[3..].to_vec() };
            assert_eq!(of_a(client).await, expected, "{topic}");
        });
    }
}

#[test]
fn a_source_with_fewer_partitions_than_its_state_is_refused_and_a_missing_one_gets_as_many() {
    check(async |_, client| {
        let admin = client.admin();
        admin.create_topics(&[TopicSpec::new("in", 6)]).await.unwrap();
        send(client, 2).await;
        run_to_end(client, &fused()).await.unwrap();
        admin.delete_topics(&["in"]).await.unwrap();
        admin.create_topics(&[TopicSpec::new("in", 3)]).await.unwrap();
        send(client, 1).await;
        let refused = run_to_end(client, &fused()).await;
        let Err(EngineError::Partitions { topic, found, expected }) = refused else {
            panic!("a key would look for its state in another partition: {refused:?}");
        };
        assert_eq!((topic.as_str(), found, expected), ("in", 3, 6));
        assert_eq!(of_a(client).await, counts(2), "nothing was counted anew");
        admin.delete_topics(&["in"]).await.unwrap();
        run_to_end(client, &fused()).await.unwrap();
        assert_eq!(client.topic("in").await.unwrap().partition_count(), 6);
        send(client, 1).await;
        run_to_end(client, &fused()).await.unwrap();
        assert_eq!(of_a(client).await, counts(3));
    });
}

/// Frames that the gate carries.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// The API whose requests the gate holds: the one that takes a transactional id over.
const INIT_PRODUCER_ID: [u8; 2] = 22_i16.to_be_bytes();

/// The way to a broker.
pub(crate) enum Far {
    Memory(MemoryConnector),
    Tcp(String, u16),
}

impl Far {
    async fn connect(&self) -> Connection {
        match self {
            Self::Memory(connector) => connector.connect().await.unwrap(),
            Self::Tcp(host, port) => connect_tcp(host, *port).await.unwrap(),
        }
    }
}

/// A way to the broker that lets `free` of these requests pass and holds further ones, with all
/// that comes behind them, until it is opened.
fn gate(far: Far, free: usize, is_open: &WatchReceiver<bool>) -> MemoryConnector {
    let (near, mut listener) = Listener::memory();
    let passed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let is_open = is_open.clone();
    drop(task::spawn("gate", async move {
        while let Ok(Some(near)) = listener.accept().await {
            let far = far.connect().await;
            let (passed, is_open) = (Arc::clone(&passed), is_open.clone());
            drop(task::spawn("gate connection", async move {
                let is_held =
                    move || passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= free;
                carry(near, far, is_held, is_open).await;
            }));
        }
    }));
    near
}

async fn carry(
    near: Connection,
    far: Connection,
    is_held: impl Fn() -> bool,
    mut is_open: WatchReceiver<bool>,
) {
    let (mut near_reader, mut near_writer) = near.split();
    let (mut far_reader, mut far_writer) = far.split();
    loop {
        let (frame, is_request) = runtime::select! {
            frame = near_reader.read(FRAME_BYTES_MAX) => (frame, true),
            frame = far_reader.read(FRAME_BYTES_MAX) => (frame, false),
        };
        let Ok(Some(frame)) = frame else { return };
        if is_request && frame.starts_with(&INIT_PRODUCER_ID) && is_held() {
            drop(is_open.wait_for(|is_open| *is_open).await);
        }
        let writer = if is_request { &mut far_writer } else { &mut near_writer };
        if writer.write(&[Chunk::Bytes(frame)]).await.is_err() {
            return;
        }
    }
}

/// Whoever stands still between his claim and the moment when he takes his ids over fences the
/// one who has come since, under the same ids.
#[test]
fn a_zombie_that_takes_its_ids_late_ends_and_the_newer_one_goes_on() {
    check(async |broker, client| late_zombie(Far::Memory(broker.connector()), client).await);
}

pub(crate) async fn late_zombie(far: Far, client: &Client) {
    let (opener, is_open) = channel::watch(false);
    send(client, 2).await;
    // The claim's producer and the fence of the claim pass; what waits is the slot's own.
    let options = ClientOptions::memory(gate(far, 2, &is_open));
    let late = connect_with(options, false).await;
    let zombie = start(&late, plan(&fused()), Mode::Forever);
    let deadline = timer::now() + PATIENCE;
    while !has_claimed(client).await {
        assert!(timer::now() < deadline, "nobody claims the pipeline");
        timer::sleep(Duration::from_millis(5)).await;
    }
    let newer = start(client, plan(&fused()), Mode::Forever);
    wait_for(client, 2).await;
    assert_eq!(zombie.handle().view().phase, "starting");
    opener.send_replace(true);
    let ended = timer::timeout(PATIENCE, zombie.finished()).await;
    assert!(matches!(ended, Ok(Err(EngineError::Fenced { by: Some(_) }))), "{ended:?}");
    // The zombie fences the newer one for certain: its ids are the same.
    for _ in 0..20 {
        send(client, 1).await;
        timer::sleep(Duration::from_millis(10)).await;
    }
    wait_for(client, 22).await;
    assert_eq!(newer.handle().view().restarts, 1, "it was fenced once");
    newer.handle().stop();
    newer.finished().await.unwrap();
    assert_eq!(of_a(client).await, counts(22));
}

async fn has_claimed(client: &Client) -> bool {
    let plan_topic = plan(&fused()).plan_topic;
    let listed = client.admin().topics().await.unwrap();
    if !listed.iter().any(|topic| *topic.name == *plan_topic) {
        return false;
    }
    let mut claims = 0;
    each_record(client, &plan_topic, |_| claims += 1).await;
    claims > 0
}
