//! Limits that meet on one partition: a record that fails and the end of a drain.

use base::clock::SystemClock;
use base::rng::SystemRandom;
use client::options::{ConsumerOptions, Isolation, ProducerOptions};
use client::producer::Record;
use client::{Client, ClientOptions};
use runtime::boot::Executor;
use runtime::channel::{Sender, mailbox};
use testkit::broker::TestBroker;
use topology::diagnose::Sources;
use topology::plan::Plan;

use super::super::code::StageCode;
use super::super::task::Position;
use super::*;
use state::memory::Memory;

const FAILING: &str = "
version: 1
name: failing
source: { topic: in }
tasks:
  - { id: plus, type: sum, field: n, to: sink }
sink: { kafka: { topic: out } }
";

/// The record at this offset fails.
const FAILS_AT: i64 = 2;
/// The end of a drain: behind the record that fails, with a good one between them.
const DRAINS_TO: i64 = 4;

fn place() -> (String, i32) {
    ("in".to_owned(), 0)
}

fn drain() -> BTreeMap<(String, i32), i64> {
    BTreeMap::from([(place(), DRAINS_TO)])
}

/// Calls a test with a slot over four records, of which the third fails.
fn check(test: impl AsyncFnOnce(Slot, Sender<Order>)) {
    Executor::new(2).unwrap().block_on(async {
        let mut broker = TestBroker::start_with(|_| {}).await;
        let mut options = ClientOptions::memory(broker.connector());
        options.topics_auto_create = true;
        let clock = Arc::new(SystemClock::new());
        let client = Client::connect(options, clock, Arc::new(SystemRandom)).await.unwrap();
        produce(&client, &["{\"n\":0}", "{\"n\":1}", "{\"n\":\"x\"}", "{\"n\":3}"]).await;
        let (slot, orders) = slot(&client).await;
        test(slot, orders).await;
        drop(client);
        broker.halt().await;
    });
}

async fn produce(client: &Client, values: &[&str]) {
    let producer = client.producer(ProducerOptions::default());
    for value in values {
        let value = Some(value.as_bytes());
        let record = Record { topic: "in", partition: Some(0), value, ..Record::default() };
        producer.append(record).await.unwrap();
    }
    producer.close().await.unwrap();
}

async fn slot(client: &Client) -> (Slot, Sender<Order>) {
    let parsed = topology::spec::parse(&Sources::single("test.yaml", FAILING), &|_| None);
    let plan = Plan::of(&parsed.spec.unwrap());
    let code = StageCode::all(&plan).remove(0);
    let positions = vec![Some(Position::at(0))];
    let (sender, orders) = mailbox(4);
    let isolation = Isolation::ReadCommitted;
    let slot = Slot::new(SlotParts {
        stages: 1,
        tasks: vec![Task::new(Arc::new(code), (0, 0, 1), positions, vec![1])],
        writer: Writer::at_least_once(client, String::new()),
        consumer: client.consumer(ConsumerOptions { isolation, ..ConsumerOptions::default() }),
        orders,
        view: Arc::default(),
        clock: Arc::new(SystemClock::new()),
        commit_interval_ms: 100,
        keeper: None,
        purge: Purge::new(client.clone(), Arc::new(SystemClock::new())),
        memory: MemoryShare::new(&Memory::new(usize::MAX)),
        parked: Parked::new(client.clone(), None),
    });
    (slot.await.unwrap(), sender)
}

fn position(slot: &Slot) -> Position {
    slot.tasks[0].positions[0].unwrap()
}

/// Works until the record has failed, and not on to where that is settled.
async fn until_it_fails(slot: &mut Slot) {
    while slot.failure.is_none() {
        match slot.turn().await {
            Ok(end) => assert!(end.is_none(), "the record has not failed yet"),
            Err(Trouble::Halt(halt)) => assert!(slot.halted(halt).await.is_none()),
            Err(Trouble::Client(error)) => panic!("{error}"),
            Err(Trouble::State(trouble)) => panic!("{trouble:?}"),
        }
    }
}

/// Everything before the record that fails is committed, nothing else, and the slot ends.
async fn ends_before_the_failure(mut slot: Slot) {
    loop {
        let Ok(end) = slot.turn().await else { panic!("nothing fails a second time") };
        if let Some(end) = end {
            let SlotEnd::Failed(failure) = end else { panic!("the record fails, not {end:?}") };
            assert_eq!(failure.offset, FAILS_AT);
            break;
        }
    }
    assert_eq!(position(&slot).committed, FAILS_AT);
    assert_eq!(slot.tasks[0].totals[0].records_out, 2);
}

#[test]
fn a_record_that_fails_lowers_the_limit_of_a_drain_that_began_before() {
    check(async |mut slot, _orders| {
        slot.limit(&drain());
        assert_eq!(position(&slot).limit, Some(DRAINS_TO));
        until_it_fails(&mut slot).await;
        assert_eq!(position(&slot).limit, Some(FAILS_AT));
        ends_before_the_failure(slot).await;
    });
}

#[test]
fn a_drain_that_begins_behind_a_record_that_failed_does_not_raise_its_limit() {
    check(async |mut slot, orders| {
        until_it_fails(&mut slot).await;
        assert!(orders.send(Order::Limit(drain())).await.is_ok());
        assert!(slot.turn().await.is_ok_and(|end| end.is_none()));
        assert_eq!(position(&slot).limit, Some(FAILS_AT));
        ends_before_the_failure(slot).await;
    });
}
