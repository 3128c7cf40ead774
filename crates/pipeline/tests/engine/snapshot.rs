//! Restarting from a snapshot of the state.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::disk::MemoryDisk;
use client::Client;
use pipeline::engine::{Mode, PipelineView, StateFolder};

use crate::harness::{check, plan, produce, read, start_with, values};

const COUNT: &str = "
version: 1
name: counts
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

const DIR: &str = "/state";
const FILE: &str = "/state/__ms.counts.seen.seen-changelog-0.snapshot";

fn folder() -> StateFolder {
    StateFolder::new(Arc::new(MemoryDisk::new()), PathBuf::from(DIR))
}

async fn run(client: &Client, text: &str, state: Option<&StateFolder>) -> PipelineView {
    let mode = Mode::UntilEnd { close_windows: false };
    start_with(client, plan(text), mode, state.cloned()).finished().await.unwrap()
}

async fn produce_keys(client: &Client, count: usize) {
    let keys: Vec<String> = (0..count).map(|key| format!("k{key}")).collect();
    let sent: Vec<_> = keys.iter().map(|key| (key.as_str(), "{}", 0)).collect();
    produce(client, "in", &sent).await;
}

async fn last_count(client: &Client, key: &str) -> Option<String> {
    values(&read(client, "out").await, key).pop()
}

#[test]
fn a_restart_with_a_snapshot_reads_only_what_came_after_it() {
    check(async |_, client| {
        let folder = folder();
        produce_keys(client, 50).await;
        assert_eq!(run(client, COUNT, Some(&folder)).await.restored, 0);
        assert_eq!(run(client, COUNT, Some(&folder)).await.restored, 0, "all is in the snapshot");
        produce_keys(client, 3).await;
        assert_eq!(run(client, COUNT, None).await.restored, 50, "without it all is read");
        produce_keys(client, 5).await;
        assert_eq!(run(client, COUNT, Some(&folder)).await.restored, 3, "the tail");
        for (key, expected) in [("k0", 3), ("k4", 2), ("k49", 1)] {
            let expected = format!("{{\"count\":{expected}}}");
            assert_eq!(last_count(client, key).await, Some(expected), "{key}");
        }
    });
}

#[test]
fn a_snapshot_that_is_damaged_or_of_another_plan_is_left_alone() {
    check(async |_, client| {
        let folder = folder();
        produce_keys(client, 10).await;
        run(client, COUNT, Some(&folder)).await;
        let path = Path::new(FILE);
        let mut bytes = folder.disk.read(path).unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        folder.disk.replace(path, &bytes).unwrap();
        produce_keys(client, 10).await;
        assert_eq!(run(client, COUNT, Some(&folder)).await.restored, 10);
        assert_eq!(last_count(client, "k9").await.as_deref(), Some("{\"count\":2}"));
        let other = COUNT.replace(
            "to: sink }",
            "to: [sink, more] }\n  - { id: more, type: average, value: count, window: 10s }",
        );
        produce_keys(client, 1).await;
        assert!(run(client, &other, Some(&folder)).await.restored >= 10);
        assert_eq!(last_count(client, "k9").await.as_deref(), Some("{\"count\":2}"));
    });
}

#[test]
fn a_pipeline_that_never_came_to_its_end_has_the_snapshots_of_its_commits() {
    check(async |_, client| {
        let folder = folder();
        let often = format!("{COUNT}runtime: {{ state: {{ snapshot_interval: 0s }} }}\n");
        produce_keys(client, 20).await;
        let older = start_with(client, plan(&often), Mode::Forever, Some(folder.clone()));
        while !folder.disk.exists(Path::new(FILE)) {
            runtime::timer::sleep(Duration::from_millis(5)).await;
        }
        produce_keys(client, 1).await;
        let newer = run(client, COUNT, Some(&folder)).await;
        assert!(newer.restored <= 1, "{} records were read", newer.restored);
        produce_keys(client, 2).await;
        run(client, COUNT, Some(&folder)).await;
        drop(older);
        assert_eq!(last_count(client, "k0").await.as_deref(), Some("{\"count\":3}"));
        assert_eq!(last_count(client, "k1").await.as_deref(), Some("{\"count\":2}"));
    });
}
