//! Pipelines on several task managers, each a number of tasks of this process with a client of
//! its own. Who is killed here stops to beat and to listen; his slots run on, as a process would
//! that is cut off and does not know it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::clock::{Clock, ManualClock, SystemClock};
use base::rng::{Random, SystemRandom};
use client::Client;
use client::admin::TopicSpec;
use coordination::ask::ask;
use coordination::beat::{Beat, Kept, Phase};
use coordination::catalogue::{Catalogue, Goal};
use coordination::heart::{self, Voice};
use coordination::node::Node;
use coordination::reader;
use coordination::request::{Ask, Kind, Reply};
use coordination::topics;
use pipeline::cluster::{Candidate, Worker};
use pipeline::engine::{EngineError, Mode, StateFolder};
use runtime::shutdown::{self, Trigger};
use runtime::task::{self, Task};
use runtime::timer;
use testkit::broker::TestBroker;

use crate::harness::{
    Sent, check, connect_as_program, each_record, plan, produce, read, start, values,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const FILE: &str = "
version: 1
name: mill
edges: topics
runtime: { parallelism: 2, task_managers: 2 }
source: { topic: in, idle: 500ms }
tasks:
  - { id: gate, type: forward, to: [seen, mean] }
  - { id: seen, type: count, to: counts }
  - { id: mean, type: average, value: n, window: 10s, to: means }
sinks:
  counts: { kafka: { topic: counts } }
  means: { kafka: { topic: means } }
";

pub(crate) struct Member {
    node: Node,
    heart: Task<()>,
    body: Task<()>,
    trigger: Trigger,
}

impl Member {
    pub(crate) async fn manager(broker: &TestBroker, id: &str) -> Self {
        Self::start(broker, (id, 0), None).await
    }

    async fn worker(broker: &TestBroker, id: &str) -> Self {
        Self::start(broker, (id, 2), None).await
    }

    pub(crate) async fn start(
        broker: &TestBroker,
        (id, slots): (&str, u32),
        state: Option<StateFolder>,
    ) -> Self {
        let client = connect_as_program(broker).await;
        topics::prepare(&client).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let node = Node {
            id: id.to_owned(),
            nonce: SystemRandom.next_u64(),
            started_ms: clock.unix_ms(),
            host: id.to_owned(),
            pid: 1,
        };
        let beat = Beat { is_candidate: slots == 0, slots, ..Beat::of(&node, "test") };
        let voice = Voice::new(beat, Arc::clone(&clock));
        let heart = heart::start(&client, &voice);
        let (trigger, ending) = shutdown::pair();
        let (of, rng) = (node.clone(), Arc::new(SystemRandom));
        let body = task::spawn("member", async move {
            if slots == 0 {
                let manager = Candidate::new((client, clock, rng), (of, "test"), voice);
                manager.run(ending).await.unwrap();
            } else {
                Worker::new((client, clock), (of, voice), state).run(ending).await.unwrap();
            }
        });
        Self { node, heart, body, trigger }
    }

    /// Waits until its beats say that so many tasks' state lies at it.
    pub(crate) async fn wait_until_kept(&self, client: &Client, count: usize) {
        self.wait_until_told(client, |beat| &beat.kept, count).await;
    }

    /// Waits until its beats say that copies of so many tasks' state are up to date at it.
    pub(crate) async fn wait_until_copied(&self, client: &Client, count: usize) {
        self.wait_until_told(client, |beat| &beat.copies, count).await;
    }

    async fn wait_until_told(&self, client: &Client, of: fn(&Beat) -> &Vec<Kept>, count: usize) {
        let deadline = timer::now() + PATIENCE;
        while self.told(client, of).await != count {
            assert!(timer::now() < deadline, "{} does not tell of {count} tasks", self.node.id);
            timer::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The tasks that its last beats tell of.
    async fn told(&self, client: &Client, of: fn(&Beat) -> &Vec<Kept>) -> usize {
        let beats = reader::beats(client, SystemClock::new().unix_ms() - 1_500).await.unwrap();
        let told = beats.get(&self.node.id).map_or(&[][..], |beat| of(beat));
        told.iter().map(|it| it.tasks.len()).sum()
    }

    pub(crate) fn kill(self) {
        self.heart.abort();
        self.body.abort();
    }

    pub(crate) async fn stop(self) {
        self.trigger.fire();
        self.body.join().await.unwrap();
        self.heart.abort();
    }
}

pub(crate) async fn apply(client: &Client, text: &str) -> Reply {
    let files = vec![("mill.yaml".to_owned(), text.to_owned())];
    put(client, Ask::Apply { files, variables: BTreeMap::new(), is_dry: false }).await
}

pub(crate) async fn put(client: &Client, what: Ask) -> Reply {
    ask(client, what, SystemRandom.next_u64(), &SystemClock::new()).await.unwrap()
}

/// Waits until the catalogue is as it should be.
pub(crate) async fn wait_for(
    client: &Client,
    what: &str,
    is_so: impl Fn(&Catalogue) -> bool,
) -> Catalogue {
    let deadline = timer::now() + PATIENCE;
    loop {
        let catalogue = reader::catalogue(client).await.unwrap();
        if is_so(&catalogue) {
            return catalogue;
        }
        assert!(timer::now() < deadline, "{what}: {catalogue:?}");
        timer::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn workers(catalogue: &Catalogue) -> Vec<String> {
    let grants = catalogue.assignments.get("mill").map(|it| it.grants.clone());
    let mut workers: Vec<String> =
        grants.unwrap_or_default().into_iter().map(|grant| grant.worker).collect();
    workers.dedup();
    workers
}

/// Feeds records of one round: each key once, at a time.
pub(crate) async fn feed(client: &Client, round: i64) {
    let text = |key: i64| (format!("k{key}"), format!("{{\"n\":{round}}}"), round * 100);
    let records: Vec<(String, String, i64)> = (0..20).map(text).collect();
    let sent: Vec<Sent<'_>> =
        records.iter().map(|(key, value, time)| (key.as_str(), value.as_str(), *time)).collect();
    produce(client, "in", &sent).await;
}

async fn result_count(client: &Client) -> usize {
    let mut seen = 0;
    each_record(client, "counts", |_| seen += 1).await;
    seen
}

async fn wait_for_results(client: &Client, count: usize) {
    let deadline = timer::now() + PATIENCE;
    while result_count(client).await < count {
        assert!(timer::now() < deadline, "there are less than {count} results");
        timer::sleep(Duration::from_millis(50)).await;
    }
}

/// The mean of each key's first window, once all of them are there.
async fn first_means(client: &Client) -> Vec<String> {
    let means = read(client, "means").await;
    (0..20).filter_map(|key| values(&means, &format!("k{key}")).first().cloned()).collect()
}

pub(crate) async fn check_counts(client: &Client, rounds: i64) {
    wait_for_results(client, usize::try_from(rounds * 20).unwrap()).await;
    let found = read(client, "counts").await;
    let expected: Vec<String> =
        (1..=rounds).map(|count| format!("{{\"count\":{count}}}")).collect();
    for key in 0..20 {
        assert_eq!(values(&found, &format!("k{key}")), expected, "k{key}");
    }
}

pub(crate) async fn make_topics(client: &Client) {
    let specs = ["in", "counts", "means"].map(|topic| TopicSpec::new(topic, 4));
    client.admin().create_topics(&specs).await.unwrap();
}

#[test]
fn tasks_of_the_dead_go_on_elsewhere_and_what_the_dead_still_do_counts_nothing() {
    check(async |broker, client| {
        make_topics(client).await;
        let manager = Member::manager(broker, "jm-1").await;
        let first = Member::worker(broker, "tm-1").await;
        let second = Member::worker(broker, "tm-2").await;
        assert!(matches!(apply(client, FILE).await, Reply::Done { .. }));
        let both = |catalogue: &Catalogue| workers(catalogue) == ["tm-1", "tm-2"];
        wait_for(client, "both task managers have slots", both).await;
        for round in 0..30 {
            feed(client, round).await;
        }
        check_counts(client, 30).await;
        // Its slots run on and race those that follow them.
        first.kill();
        for round in 30..60 {
            feed(client, round).await;
            timer::sleep(Duration::from_millis(100)).await;
        }
        wait_for(client, "the living have all", |it| workers(it) == ["tm-2"]).await;
        check_counts(client, 60).await;
        // Another one comes and gets its share.
        let third = Member::worker(broker, "tm-3").await;
        wait_for(client, "the newcomer has slots", |it| workers(it) == ["tm-2", "tm-3"]).await;
        for round in 60..200 {
            feed(client, round).await;
        }
        check_counts(client, 200).await;
        // The windows of 10 s: 20 seconds of records, and time has passed the first of them.
        let deadline = timer::now() + PATIENCE;
        while first_means(client).await.len() < 20 {
            assert!(timer::now() < deadline, "windows do not close");
            timer::sleep(Duration::from_millis(100)).await;
        }
        let mean = "{\"average\":49.5,\"count\":100";
        let means = first_means(client).await;
        assert!(means.iter().all(|it| it.starts_with(mean)), "{means:?}");
        for member in [second, third, manager] {
            member.stop().await;
        }
    });
}

#[test]
fn another_job_manager_goes_on_with_the_same_jobs() {
    check(async |broker, client| {
        make_topics(client).await;
        let first = Member::manager(broker, "jm-1").await;
        let worker = Member::worker(broker, "tm-1").await;
        assert!(matches!(apply(client, FILE).await, Reply::Done { .. }));
        let before = wait_for(client, "it is assigned", |it| !workers(it).is_empty()).await;
        let second = Member::manager(broker, "jm-2").await;
        let led = before.leader.unwrap();
        assert_eq!(led.node, first.node.id);
        feed(client, 0).await;
        first.kill();
        let killed = timer::now();
        let after = wait_for(client, "another one leads", |it| {
            it.leader.as_ref().is_some_and(|leader| leader.node == "jm-2")
        });
        let after = after.await;
        assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
        assert_eq!(after.leader.unwrap().epoch, led.epoch + 1);
        assert_eq!(after.assignments, before.assignments, "nothing moves for it");
        feed(client, 1).await;
        check_counts(client, 2).await;
        let pause = Ask::Pause { job: "mill".to_owned() };
        assert_eq!(put(client, pause.clone()).await, Reply::Done { notes: Vec::new() });
        let Reply::Refused { kind: Kind::Already, .. } = put(client, pause).await else {
            panic!("what rests cannot be told to rest");
        };
        feed(client, 2).await;
        let deadline = timer::now() + PATIENCE;
        loop {
            let beats = reader::beats(client, SystemClock::new().unix_ms() - 1_500).await.unwrap();
            if beats.get("tm-1").is_some_and(|beat| beat.runs.is_empty()) {
                break;
            }
            assert!(timer::now() < deadline, "{beats:?}");
            timer::sleep(Duration::from_millis(50)).await;
        }
        let resume = Ask::Resume { job: "mill".to_owned() };
        assert_eq!(put(client, resume).await, Reply::Done { notes: Vec::new() });
        check_counts(client, 3).await;
        let unknown = Ask::Stop { job: "other".to_owned() };
        let Reply::Refused { kind: Kind::NoJob, .. } = put(client, unknown).await else {
            panic!("what is not there cannot be stopped");
        };
        worker.stop().await;
        second.stop().await;
    });
}

#[test]
fn who_runs_the_file_elsewhere_takes_the_job_over_and_a_restart_takes_it_back() {
    check(async |broker, client| {
        make_topics(client).await;
        let manager = Member::manager(broker, "jm-1").await;
        let worker = Member::worker(broker, "tm-1").await;
        assert!(matches!(apply(client, FILE).await, Reply::Done { .. }));
        wait_for(client, "it is assigned", |it| !workers(it).is_empty()).await;
        feed(client, 0).await;
        check_counts(client, 1).await;
        let elsewhere = start(client, plan(FILE), Mode::Forever);
        feed(client, 1).await;
        let failed = wait_for(client, "the job has failed", |it| {
            it.jobs.get("mill").is_some_and(|job| job.goal == Goal::Failed)
        });
        let note = failed.await.jobs["mill"].note.clone().unwrap();
        assert!(note.contains("taken over by") && note.contains("on test"), "{note}");
        check_counts(client, 2).await;
        let restart = Ask::Restart { job: "mill".to_owned() };
        assert_eq!(put(client, restart).await, Reply::Done { notes: Vec::new() });
        let Err(EngineError::Fenced { by: Some(by) }) = elsewhere.finished().await else {
            panic!("the one elsewhere is fenced");
        };
        assert_eq!(by.worker, "tm-1");
        feed(client, 2).await;
        check_counts(client, 3).await;
        worker.stop().await;
        manager.stop().await;
    });
}

#[test]
fn state_beyond_its_limit_ends_the_job_and_says_why() {
    check(async |broker, client| {
        make_topics(client).await;
        let manager = Member::manager(broker, "jm-1").await;
        let worker = Member::worker(broker, "tm-1").await;
        let limit = "task_managers: 2, state: { memory_limit: 1MiB }";
        let text = FILE.replace("task_managers: 2", limit);
        assert!(matches!(apply(client, &text).await, Reply::Done { .. }));
        let keys: Vec<String> = (0..12_000).map(|key| format!("k{key}")).collect();
        let sent: Vec<Sent<'_>> = keys.iter().map(|key| (key.as_str(), "{\"n\":1}", 0)).collect();
        produce(client, "in", &sent).await;
        let failed = wait_for(client, "the job has failed", |it| {
            it.jobs.get("mill").is_some_and(|job| job.goal == Goal::Failed)
        });
        let note = failed.await.jobs["mill"].note.clone().unwrap();
        assert!(note.contains("its limit is 1 MiB"), "{note}");
        worker.stop().await;
        manager.stop().await;
    });
}

#[test]
fn a_record_that_fails_ends_the_job_and_says_why() {
    check(async |broker, client| {
        make_topics(client).await;
        let manager = Member::manager(broker, "jm-1").await;
        let worker = Member::worker(broker, "tm-1").await;
        let text = FILE.replace("type: count", "type: sum, field: n");
        assert!(matches!(apply(client, &text).await, Reply::Done { .. }));
        produce(client, "in", &[("a", "{\"n\":1}", 0), ("a", "{\"n\":\"x\"}", 1)]).await;
        let failed = wait_for(client, "the job has failed", |it| {
            it.jobs.get("mill").is_some_and(|job| job.goal == Goal::Failed)
        });
        let note = failed.await.jobs["mill"].note.clone().unwrap();
        assert!(note.contains("no number"), "{note}");
        assert_eq!(values(&read(client, "counts").await, "a"), ["{\"n\":2}"]);
        let since_ms = SystemClock::new().unix_ms() - 3_000;
        for beat in reader::beats(client, since_ms).await.unwrap().values() {
            let is_over = |phase: &Phase| !matches!(phase, Phase::Starting);
            assert!(beat.runs.iter().all(|run| is_over(&run.phase)), "{beat:?}");
        }
        worker.stop().await;
        manager.stop().await;
    });
}

#[test]
fn without_transactions_nobody_is_fenced_and_the_tasks_go_on_all_the_same() {
    check(async |broker, client| {
        make_topics(client).await;
        let manager = Member::manager(broker, "jm-1").await;
        let first = Member::worker(broker, "tm-1").await;
        let second = Member::worker(broker, "tm-2").await;
        let runtime = "{ parallelism: 1, task_managers: 2, delivery: at_least_once }";
        let text = FILE.replace("{ parallelism: 2, task_managers: 2 }", runtime);
        assert!(matches!(apply(client, &text).await, Reply::Done { .. }));
        let both = |catalogue: &Catalogue| workers(catalogue) == ["tm-1", "tm-2"];
        let assigned = wait_for(client, "both task managers have slots", both).await;
        assert!(assigned.assignments["mill"].grants.iter().all(|it| it.identity.is_none()));
        feed(client, 0).await;
        check_counts(client, 1).await;
        // In good order nothing is done twice.
        first.stop().await;
        wait_for(client, "the other one has all", |it| workers(it) == ["tm-2"]).await;
        feed(client, 1).await;
        check_counts(client, 2).await;
        second.stop().await;
        manager.stop().await;
    });
}

/// The slots of the job as `worker.slot since`.
pub(crate) fn slots(catalogue: &Catalogue) -> Vec<String> {
    let assignment = catalogue.assignments.get("mill");
    let grants = assignment.into_iter().flat_map(|it| &it.grants);
    grants.map(|grant| format!("{}.{} {}", grant.worker, grant.slot, grant.since)).collect()
}

/// Whether every task has a slot that runs it, and none leaves.
pub(crate) fn is_at_rest(catalogue: &Catalogue) -> bool {
    let grants = catalogue.assignments.get("mill").map_or(&[][..], |it| &it.grants);
    let count: usize = grants.iter().map(|grant| grant.tasks.len()).sum();
    count == catalogue.jobs["mill"].tasks().count()
}

/// Waits until so many slots say that they run: those that do not yet are begun anew instead.
pub(crate) async fn wait_until_all_run(client: &Client, count: usize) {
    let deadline = timer::now() + PATIENCE;
    while running(client).await != count {
        assert!(timer::now() < deadline, "there are no {count} slots that run");
        timer::sleep(Duration::from_millis(50)).await;
    }
}

async fn running(client: &Client) -> usize {
    let beats = reader::beats(client, SystemClock::new().unix_ms() - 1_500).await.unwrap();
    let runs = beats.values().flat_map(|beat| &beat.runs);
    runs.filter(|run| run.phase == Phase::Running).count()
}

#[test]
fn tasks_move_with_their_state_while_the_slots_that_stay_run_on() {
    check(async |broker, client| {
        make_topics(client).await;
        let manager = Member::manager(broker, "jm-1").await;
        let first = Member::worker(broker, "tm-1").await;
        // Nobody may be taken for silent here, however slow the machine.
        let file = FILE.replace("idle: 500ms", "idle: 1h");
        assert!(matches!(apply(client, &file).await, Reply::Done { .. }));
        wait_for(client, "all runs on one", |it| slots(it).len() == 2 && is_at_rest(it)).await;
        feed(client, 0).await;
        check_counts(client, 1).await;
        let stay = slots(&reader::catalogue(client).await.unwrap());
        wait_until_all_run(client, 2).await;
        // Another one comes: the first two give it their share, and are not begun anew.
        let second = Member::worker(broker, "tm-2").await;
        let mut round = 1;
        let four = loop {
            feed(client, round).await;
            round += 1;
            let now = reader::catalogue(client).await.unwrap();
            if slots(&now).len() == 4 && is_at_rest(&now) {
                break slots(&now);
            }
            assert!(round < 2_000, "{now:?}");
        };
        assert_eq!(four[..2], stay, "{four:?}");
        check_counts(client, round).await;
        // One slot takes all of it over, and gives it away again.
        for (wanted, count) in [(1, 1), (3, 3), (2, 2), (4, 4)] {
            let before = slots(&reader::catalogue(client).await.unwrap());
            wait_until_all_run(client, before.len()).await;
            let scale = Ask::Scale { job: "mill".to_owned(), slots: wanted };
            assert_eq!(put(client, scale).await, Reply::Done { notes: Vec::new() });
            let from = round;
            let after = loop {
                feed(client, round).await;
                round += 1;
                let now = reader::catalogue(client).await.unwrap();
                if slots(&now).len() == count && is_at_rest(&now) {
                    break slots(&now);
                }
                assert!(round < from + 2_000, "{now:?}");
            };
            let kept = after.iter().filter(|slot| before.contains(slot)).count();
            assert_eq!(kept, before.len().min(count), "{before:?} {after:?}");
            check_counts(client, round).await;
        }
        let scale = Ask::Scale { job: "mill".to_owned(), slots: 4 };
        assert!(matches!(put(client, scale).await, Reply::Refused { kind: Kind::Already, .. }));
        let means = read(client, "means").await;
        for key in 0..20 {
            let of_key = values(&means, &format!("k{key}"));
            let full = of_key.iter().filter(|it| it.contains("\"count\":100"));
            assert_eq!(full.count(), of_key.len(), "k{key}: {of_key:?}");
        }
        for member in [first, second, manager] {
            member.stop().await;
        }
    });
}

#[test]
fn who_is_there_is_seen_by_the_logs_clock_also_by_somebody_whose_own_is_minutes_wrong() {
    check(async |broker, client| {
        let worker = Member::worker(broker, "tm-1").await;
        let now_ms = SystemClock::new().unix_ms();
        let deadline = timer::now() + PATIENCE;
        let seen = async |apart_ms: i64| {
            let clock = ManualClock::at(SystemClock::new().unix_ms() - apart_ms);
            reader::present(client, &clock, 4_000).await.unwrap()
        };
        while seen(0).await.beats.is_empty() {
            assert!(timer::now() < deadline, "nobody beats");
            timer::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(seen(0).await.apart_ms, None);
        for apart_ms in [300_000, -300_000] {
            let found = seen(apart_ms).await;
            assert_eq!(found.beats.keys().collect::<Vec<_>>(), ["tm-1"]);
            let told = found.apart_ms.unwrap();
            assert!((told - apart_ms).abs() < 10_000, "{told}");
            let beat = &found.beats["tm-1"];
            assert!(beat.sent_ms >= now_ms && beat.logged_ms >= now_ms, "{beat:?}");
            assert_eq!(beat.apart_ms(), None);
        }
        worker.stop().await;
    });
}

#[test]
fn a_topic_that_is_deleted_under_a_job_ends_it_and_says_so() {
    check(async |broker, client| {
        make_topics(client).await;
        let manager = Member::manager(broker, "jm-1").await;
        let worker = Member::worker(broker, "tm-1").await;
        assert!(matches!(apply(client, FILE).await, Reply::Done { .. }));
        feed(client, 0).await;
        check_counts(client, 1).await;
        client.admin().delete_topics(&["counts"]).await.unwrap();
        feed(client, 1).await;
        let failed = wait_for(client, "the job has failed", |it| {
            it.jobs.get("mill").is_some_and(|job| job.goal == Goal::Failed)
        });
        let note = failed.await.jobs["mill"].note.clone().unwrap();
        assert_eq!(note, "topic counts was deleted while the pipeline ran");
        // Applied again it makes what is missing, and goes on with its state.
        assert!(matches!(apply(client, FILE).await, Reply::Done { .. }));
        feed(client, 2).await;
        wait_for_results(client, 40).await;
        let found = read(client, "counts").await;
        for key in 0..20 {
            let expected = ["{\"count\":2}", "{\"count\":3}"];
            assert_eq!(values(&found, &format!("k{key}")), expected, "k{key}");
        }
        worker.stop().await;
        manager.stop().await;
    });
}
