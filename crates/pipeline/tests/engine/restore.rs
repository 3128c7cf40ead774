//! Restoring state from changelogs that are not at rest.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::disk::MemoryDisk;
use client::Client;
use client::options::TransactionalOptions;
use client::transaction::{TransactionalProducer, TxnRecord};
use pipeline::engine::{Engine, EngineError, Mode, StateFolder};

use crate::harness::{check, plan, produce, read, start_with, values};

const COUNT: &str = "
version: 1
name: kept
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

const CHANGELOG: &str = "__ms.kept.seen.seen-changelog";

/// The key in the changelog of the key `21`: format, virtual shard, key.
const CHANGELOG_KEY: &[u8] = b"\x01\x00\xec21";

/// A pipeline that has counted `21` twice, with the open transaction of somebody else between its
/// changes; it has ended since.
async fn with_foreign_transaction(client: &Client) -> TransactionalProducer {
    produce(client, "in", &[("21", "{}", 0)]).await;
    let engine = start_with(client, plan(COUNT), Mode::Forever, None);
    let handle = engine.handle();
    let has_taken =
        |records: u64| handle.view().tasks.get("seen").is_some_and(|it| it.records_in == records);
    while !has_taken(1) {
        runtime::timer::sleep(Duration::from_millis(5)).await;
    }
    // With no room in flight, a drain sends everything.
    let mut options = TransactionalOptions::new("somebody else");
    options.in_flight_bytes_max = 0;
    let mut foreign = client.transactional(options);
    foreign.init().await.unwrap();
    let changelog = foreign.topic(CHANGELOG).await.unwrap();
    foreign.begin().unwrap();
    let value = b"\x01\0\0\0\0\0\0\x03\xe7";
    let record =
        TxnRecord { timestamp: 0, key: Some(CHANGELOG_KEY), value: Some(value), headers: &[] };
    for partition in 0..foreign.partition_count(changelog) {
        foreign.append(changelog, partition, &record).unwrap();
    }
    foreign.drain().await.unwrap();
    produce(client, "in", &[("21", "{}", 0)]).await;
    while !has_taken(2) {
        runtime::timer::sleep(Duration::from_millis(5)).await;
    }
    handle.stop();
    engine.finished().await.unwrap();
    foreign
}

#[test]
fn a_restore_waits_for_a_foreign_transaction_and_reads_what_lies_behind_it() {
    check(async |_, client| wait_for_a_foreign_transaction(client).await);
}

pub(crate) async fn wait_for_a_foreign_transaction(client: &Client) {
    let mut foreign = with_foreign_transaction(client).await;
    produce(client, "in", &[("21", "{}", 0)]).await;
    let mode = Mode::UntilEnd { close_windows: false };
    let engine: Engine = start_with(client, plan(COUNT), mode, None);
    let handle = engine.handle();
    // Everything before the open transaction is read, and then it waits, told how far it is.
    while handle.view().restored < 1 {
        runtime::timer::sleep(Duration::from_millis(5)).await;
    }
    let (done, total) = handle.view().restoring;
    assert!(done < total, "{done} of {total}");
    assert_eq!(handle.view().phase, "restoring");
    foreign.abort().await.unwrap();
    let view = engine.finished().await.unwrap();
    assert_eq!(view.restored, 2, "the aborted record counts for nothing");
    assert_eq!(view.restoring, (total, total));
    let expected = ["{\"count\":1}", "{\"count\":2}", "{\"count\":3}"];
    assert_eq!(values(&read(client, "out").await, "21"), expected);
}

#[test]
fn a_restore_that_gets_no_further_ends_with_the_name_of_the_changelog() {
    check(async |_, client| {
        let mut foreign = with_foreign_transaction(client).await;
        let disk = Arc::new(MemoryDisk::new());
        let mut folder = StateFolder::new(disk, PathBuf::from("/state"));
        folder.silence_ms_max = 100;
        let mode = Mode::UntilEnd { close_windows: false };
        let engine = start_with(client, plan(COUNT), mode, Some(folder));
        match engine.finished().await {
            Err(EngineError::RestoreStuck { topic, .. }) => assert_eq!(topic, CHANGELOG),
            other => panic!("a transaction hangs in the changelog, not {other:?}"),
        }
        foreign.abort().await.unwrap();
    });
}
