//! State beyond memory: its limit, and its life on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::disk::RealDisk;
use base::rng::SystemRandom;
use base::uuid::Uuid;
use client::Client;
use client::admin::ConfigResource;
use pipeline::engine::letters::{Verb, order, parked};
use pipeline::engine::{EngineError, EngineHandle, Mode, PipelineView, StateFolder};

use crate::harness::{check, each_record, plan, produce, read, start_with, values};

const COUNT: &str = "
version: 1
name: counts
runtime: { state: { memory_limit: 1MiB, spill: SPILL } }
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

const CHANGELOG: &str = "__ms.counts.seen.seen-changelog";

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("millstream-spill-{}", Uuid::random(&SystemRandom));
        Self(std::env::temp_dir().join(name))
    }

    fn state(&self) -> StateFolder {
        let disk = Arc::new(RealDisk);
        StateFolder::new(disk, self.0.join("state")).spilling(self.0.join("spill"))
    }

    /// What a process that is killed now leaves behind.
    fn image(&self) -> Self {
        let image = Self::new();
        copy(&self.0, &image.0);
        image
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

async fn produce_keys(client: &Client, keys: std::ops::Range<usize>) {
    let keys: Vec<String> = keys.map(|key| format!("k{key}")).collect();
    let sent: Vec<_> = keys.iter().map(|key| (key.as_str(), "{}", 0)).collect();
    produce(client, "in", &sent).await;
}

async fn run(client: &Client, folder: &Folder) -> PipelineView {
    let mode = Mode::UntilEnd { close_windows: false };
    let text = COUNT.replace("SPILL", "disk");
    start_with(client, plan(&text), mode, Some(folder.state())).finished().await.unwrap()
}

/// Every key was counted without gap or repeat.
async fn check_counts(client: &Client, keys: usize, counts: usize) {
    let found = read(client, "out").await;
    assert_eq!(found.len(), keys);
    let expected: Vec<String> =
        (1..=counts).map(|count| format!("{{\"count\":{count}}}")).collect();
    for key in found.keys() {
        assert_eq!(values(&found, key), expected, "{key}");
    }
}

const KEYS: usize = 12_000;

#[test]
fn counts_beyond_the_memory_limit_go_on_over_restarts_without_gap_or_repeat() {
    check(async |_, client| {
        let folder = Folder::new();
        for _ in 0..3 {
            produce_keys(client, 0..KEYS).await;
            let view = run(client, &folder).await;
            assert_eq!(view.restored, 0, "an orderly end leaves nothing to be read again");
            assert!(view.state_bytes <= 1 << 20, "{} bytes in memory", view.state_bytes);
        }
        check_counts(client, KEYS, 3).await;
    });
}

#[test]
fn keys_wait_behind_dead_letters_over_restarts_while_state_is_on_disk() {
    check(async |_, client| {
        let plus = "tasks:\n  - { id: plus, type: sum, on_error: dead_letter, to: seen }";
        let text = COUNT.replace("SPILL", "disk").replace("tasks:", plus);
        let folder = Folder::new();
        let mode = Mode::UntilEnd { close_windows: false };
        let run = async || {
            let state = Some(folder.state());
            start_with(client, plan(&text), mode, state).finished().await.unwrap()
        };
        let numbers = ["1", "\"x\"", "2"].map(|number| format!("{{\"value\":{number}}}"));
        for key in ["a", "b"] {
            let sent: Vec<_> = numbers.iter().map(|number| (key, number.as_str(), 0)).collect();
            produce(client, "in", &sent).await;
        }
        run().await;
        let waiting = parked(client, &plan(&text)).await.unwrap();
        assert_eq!(waiting.len(), 2);
        order(client, &waiting[..1], Verb::Release, 0).await.unwrap();
        produce(client, "in", &[("a", &numbers[0], 0), ("b", &numbers[0], 0)]).await;
        let view = run().await;
        assert_eq!(view.restored, 0, "what is on disk is not read again");
        let found = read(client, "out").await;
        let counts = |key: &str| values(&found, key).len();
        assert_eq!((counts(&waiting[0].key), counts(&waiting[1].key)), (3, 1));
    });
}

#[test]
fn more_state_than_memory_stops_the_pipeline_with_all_before_committed() {
    check(async |_, client| {
        produce_keys(client, 0..KEYS).await;
        let text = COUNT.replace("SPILL", "none");
        let mode = Mode::UntilEnd { close_windows: false };
        let over = match start_with(client, plan(&text), mode, None).finished().await {
            Err(EngineError::StateLimit(over)) => over,
            other => panic!("the limit is met, not {other:?}"),
        };
        assert!(over.used_bytes > over.limit_bytes && over.limit_bytes == 1 << 20, "{over}");
        let before = read(client, "out").await.len();
        assert!(before > 1_000, "{before} results are committed");
        // The state is as large as before, so the next start meets the limit while it restores.
        let again = start_with(client, plan(&text), mode, None).finished().await;
        assert!(matches!(again, Err(EngineError::StateLimit(_))), "{again:?}");
        // With room it goes on behind the last commit.
        let text = text.replace("1MiB", "64MiB");
        start_with(client, plan(&text), mode, None).finished().await.unwrap();
        check_counts(client, KEYS, 1).await;
    });
}

async fn until(handle: &EngineHandle, is_so: impl Fn(&PipelineView) -> bool) {
    while !is_so(&handle.view()) {
        runtime::timer::sleep(Duration::from_millis(5)).await;
    }
}

fn has_taken(records: usize) -> impl Fn(&PipelineView) -> bool {
    move |view| {
        view.tasks.get("seen").is_some_and(|it| usize::try_from(it.records_in) == Ok(records))
    }
}

async fn changelog_records(client: &Client) -> u64 {
    let mut count = 0;
    each_record(client, CHANGELOG, |_| count += 1).await;
    count
}

#[test]
fn a_store_as_a_killed_process_left_it_is_replayed_from_its_own_offset() {
    check(async |_, client| {
        let folder = Folder::new();
        produce_keys(client, 0..KEYS).await;
        run(client, &folder).await;
        let text = COUNT.replace("SPILL", "disk");
        let engine = start_with(client, plan(&text), Mode::Forever, Some(folder.state()));
        produce_keys(client, 0..KEYS).await;
        until(&engine.handle(), has_taken(KEYS)).await;
        let killed = folder.image();
        let seen_then = changelog_records(client).await;
        produce_keys(client, 0..10).await;
        until(&engine.handle(), has_taken(KEYS + 10)).await;
        engine.handle().stop();
        engine.finished().await.unwrap();
        let behind = changelog_records(client).await - seen_then;
        // What was not written to disk when the process was killed, and all that came later.
        let view = run(client, &killed).await;
        let all = changelog_records(client).await;
        assert!(view.restored >= behind && view.restored < all, "{} of {all}", view.restored);
        assert_eq!(view.restoring.0, view.restoring.1, "the whole tail was passed");
        produce_keys(client, 10..KEYS).await;
        run(client, &killed).await;
        check_counts(client, KEYS, 3).await;
    });
}

#[test]
fn a_store_that_may_hold_what_the_changelog_has_forgotten_is_rebuilt() {
    check(async |_, client| {
        let folder = Folder::new();
        produce_keys(client, 0..100).await;
        run(client, &folder).await;
        assert_eq!(run(client, &folder).await.restored, 0);
        let topic = ConfigResource::Topic(CHANGELOG.to_owned());
        let configs = [("delete.retention.ms", Some("0"))];
        client.admin().alter_configs(&topic, &configs).await.unwrap();
        produce_keys(client, 0..100).await;
        assert_eq!(run(client, &folder).await.restored, 100, "all of it is read again");
        check_counts(client, 100, 2).await;
    });
}

#[test]
fn a_store_that_is_damaged_is_rebuilt() {
    check(async |_, client| {
        let folder = Folder::new();
        produce_keys(client, 0..100).await;
        run(client, &folder).await;
        let dir = folder.0.join("spill").join("counts");
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::write(&path, b"none of ours").unwrap();
            }
        }
        produce_keys(client, 0..100).await;
        assert_eq!(run(client, &folder).await.restored, 100);
        check_counts(client, 100, 2).await;
    });
}

const MEANS: &str = "
version: 1
name: means
runtime: { state: { memory_limit: 1MiB, spill: disk } }
source: { topic: in }
tasks:
  - { id: mean, type: average, value: n, window: 10s, to: sink }
sink: { kafka: { topic: out } }
";

#[test]
fn windows_beyond_the_memory_limit_close_with_all_their_keys() {
    check(async |_, client| {
        let folder = Folder::new();
        let mode = |close_windows| Mode::UntilEnd { close_windows };
        let send = async |time_ms: i64, n: &str| {
            let keys: Vec<String> = (0..KEYS).map(|key| format!("k{key}")).collect();
            let sent: Vec<_> = keys.iter().map(|key| (key.as_str(), n, time_ms)).collect();
            produce(client, "in", &sent).await;
        };
        send(1_000, "{\"n\":1}").await;
        let engine = start_with(client, plan(MEANS), mode(false), Some(folder.state()));
        let view = engine.finished().await.unwrap();
        assert_eq!(view.open_windows, KEYS);
        assert!(view.state_bytes <= 1 << 20, "{} bytes in memory", view.state_bytes);
        send(2_000, "{\"n\":2}").await;
        let engine = start_with(client, plan(MEANS), mode(true), Some(folder.state()));
        let view = engine.finished().await.unwrap();
        assert_eq!((view.restored, view.open_windows), (0, 0));
        let found = read(client, "out").await;
        assert_eq!(found.len(), KEYS);
        for (key, results) in &found {
            assert_eq!(results.len(), 1, "{key}");
            assert!(
                results[0].0.starts_with("{\"average\":1.5,\"count\":2,"),
                "{key}: {results:?}"
            );
        }
    });
}

#[test]
fn what_is_late_stays_late_over_a_restart_with_state_on_disk() {
    check(async |_, client| {
        let folder = Folder::new();
        let run = async |time_ms: i64| {
            produce(client, "in", &[("a", "{\"n\":1}", time_ms)]).await;
            let mode = Mode::UntilEnd { close_windows: false };
            let engine = start_with(client, plan(MEANS), mode, Some(folder.state()));
            let view = engine.finished().await.unwrap();
            (view.tasks["mean"].late, values(&read(client, "out").await, "a").len())
        };
        assert_eq!(run(1_000).await, (0, 0));
        assert_eq!(run(25_000).await, (0, 1));
        assert_eq!(run(2_000).await, (1, 1), "its window has given its result");
        assert_eq!(run(45_000).await, (0, 2), "the window of 25 s, and no other");
    });
}
