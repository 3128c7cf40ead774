//! State that lies at task managers: snapshots, files, and who is given what because of them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::disk::{MemoryDisk, RealDisk};
use base::rng::SystemRandom;
use base::uuid::Uuid;
use client::Client;
use client::admin::{ConfigResource, OffsetAt};
use client::options::Isolation;
use coordination::request::{Ask, Reply};
use pipeline::engine::StateFolder;

use crate::cluster::{
    FILE, Member, apply, check_counts, feed, is_at_rest, make_topics, put, slots, wait_for,
    wait_until_all_run, workers,
};
use crate::harness::check;

const CHANGELOGS: [&str; 2] = ["__ms.mill.seen.seen-changelog", "__ms.mill.mean.mean-changelog"];

fn in_memory() -> StateFolder {
    StateFolder::new(Arc::new(MemoryDisk::new()), PathBuf::from("/state"))
}

/// Empties changelogs but for the mark of the last commit: what is still known afterwards was known
/// from elsewhere.
async fn empty_changelogs(client: &Client) {
    let admin = client.admin();
    for changelog in CHANGELOGS {
        let topic = ConfigResource::Topic(changelog.to_owned());
        let policy = [("cleanup.policy", Some("compact,delete"))];
        admin.alter_configs(&topic, &policy).await.unwrap();
        let places: Vec<(&str, i32)> = (0..4).map(|partition| (changelog, partition)).collect();
        let isolation = Isolation::ReadUncommitted;
        let ends = admin.list_offsets(&places, OffsetAt::Latest, isolation).await.unwrap();
        let ends = places.iter().map(|(topic, partition)| {
            (*topic, *partition, ends[&((*topic).to_owned(), *partition)].offset - 1)
        });
        admin.delete_records(&ends.collect::<Vec<_>>()).await.unwrap();
    }
}

/// Feeds these rounds and waits until all that were fed so far are counted.
async fn feed_rounds(client: &Client, rounds: Range<i64>) {
    for round in rounds.clone() {
        feed(client, round).await;
    }
    check_counts(client, rounds.end).await;
}

fn ask_for(make: fn(String) -> Ask) -> Ask {
    make("mill".to_owned())
}

#[test]
fn a_task_manager_that_comes_back_begins_with_what_lies_at_it() {
    check(async |broker, client| {
        make_topics(client).await;
        let state = in_memory();
        let manager = Member::manager(broker, "jm-1").await;
        let worker = Member::start(broker, ("tm-1", 2), Some(state.clone())).await;
        assert!(matches!(apply(client, FILE).await, Reply::Done { .. }));
        feed_rounds(client, 0..10).await;
        worker.stop().await;
        for partition in 0..4 {
            let name = format!("{}-{partition}.snapshot", CHANGELOGS[0]);
            assert!(state.disk.exists(&state.dir.join(name)), "{partition}");
        }
        empty_changelogs(client).await;
        let again = StateFolder::new(Arc::clone(&state.disk), state.dir.clone());
        let worker = Member::start(broker, ("tm-1", 2), Some(again)).await;
        feed_rounds(client, 10..20).await;
        worker.stop().await;
        manager.stop().await;
    });
}

#[test]
fn tasks_that_nobody_runs_go_to_the_task_manager_where_their_state_lies() {
    check(async |broker, client| {
        make_topics(client).await;
        let state = in_memory();
        let manager = Member::manager(broker, "jm-1").await;
        let worker = Member::start(broker, ("tm-2", 2), Some(state.clone())).await;
        let runtime = "{ parallelism: 1, task_managers: 1 }";
        let text = FILE.replace("{ parallelism: 2, task_managers: 2 }", runtime);
        assert!(matches!(apply(client, &text).await, Reply::Done { .. }));
        feed(client, 0).await;
        check_counts(client, 1).await;
        let pause = ask_for(|job| Ask::Pause { job });
        assert!(matches!(put(client, pause).await, Reply::Done { .. }));
        worker.stop().await;
        // The first in line knows nothing of the tasks.
        let first = Member::start(broker, ("tm-1", 2), Some(in_memory())).await;
        let second = Member::start(broker, ("tm-2", 2), Some(state.clone())).await;
        second.wait_until_kept(client, 8).await;
        let resume = ask_for(|job| Ask::Resume { job });
        assert!(matches!(put(client, resume).await, Reply::Done { .. }));
        wait_for(client, "the state's home runs all", |it| workers(it) == ["tm-2"]).await;
        feed(client, 1).await;
        check_counts(client, 2).await;
        for member in [first, second, manager] {
            member.stop().await;
        }
    });
}

/// Folders that go with the test.
struct Folders(PathBuf);

impl Folders {
    fn new() -> Self {
        let name = format!("millstream-cluster-{}", Uuid::random(&SystemRandom));
        Self(std::env::temp_dir().join(name))
    }

    fn of(&self, node: &str) -> StateFolder {
        let dir = self.0.join(node);
        StateFolder::new(Arc::new(RealDisk), dir.join("state")).spilling(dir.join("spill"))
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn shelves(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".shelf")).count()
}

#[test]
fn state_on_disk_follows_its_tasks_from_slot_to_slot_and_from_node_to_node() {
    check(async |broker, client| {
        make_topics(client).await;
        let folders = Folders::new();
        let start =
            async |node: &str| Member::start(broker, (node, 2), Some(folders.of(node))).await;
        let manager = Member::manager(broker, "jm-1").await;
        let (first, second) = (start("tm-1").await, start("tm-2").await);
        let state = "state: { memory_limit: 1MiB, spill: disk }";
        let runtime = format!("{{ parallelism: 2, task_managers: 2, {state} }}");
        let text = FILE.replace("{ parallelism: 2, task_managers: 2 }", &runtime);
        assert!(matches!(apply(client, &text).await, Reply::Done { .. }));
        let mut rounds = 0;
        let mut feed_some = async |count: i64| {
            feed_rounds(client, rounds..rounds + count).await;
            rounds += count;
        };
        feed_some(20).await;
        // Two slots of one process give tasks to each other, and take them back.
        for (slots_wanted, wanted) in [(2, 2), (4, 4), (1, 1), (3, 3)] {
            let scale = Ask::Scale { job: "mill".to_owned(), slots: wanted };
            assert!(matches!(put(client, scale).await, Reply::Done { .. }));
            let is_so = |it: &_| slots(it).len() == slots_wanted && is_at_rest(it);
            wait_for(client, "the job has its slots", is_so).await;
            wait_until_all_run(client, slots_wanted).await;
            feed_some(5).await;
        }
        // The slots of one that is cut off run on with their own files.
        first.kill();
        wait_for(client, "the living have all", |it| workers(it) == ["tm-2"] && is_at_rest(it))
            .await;
        feed_some(20).await;
        let third = start("tm-3").await;
        wait_for(client, "the newcomer has slots", |it| workers(it).contains(&"tm-3".into())).await;
        feed_some(20).await;
        assert!(shelves(&folders.of("tm-2").dir) > 0 && shelves(&folders.of("tm-3").dir) > 0);
        for member in [second, third, manager] {
            member.stop().await;
        }
    });
}

/// The job on one slot, with a copy of its state elsewhere.
fn copied(state: &str) -> String {
    let runtime = format!("{{ parallelism: 1, task_managers: 1, state: {state} }}");
    FILE.replace("{ parallelism: 2, task_managers: 2 }", &runtime)
}

#[test]
fn whoever_copies_the_state_goes_on_with_it_when_its_owner_is_gone() {
    check(async |broker, client| {
        make_topics(client).await;
        let manager = Member::manager(broker, "jm-1").await;
        let first = Member::start(broker, ("tm-1", 2), None).await;
        assert!(matches!(apply(client, &copied("{ standby: 1 }")).await, Reply::Done { .. }));
        feed_rounds(client, 0..10).await;
        // What was there before is copied, and so is what comes then.
        let second = Member::start(broker, ("tm-2", 2), None).await;
        second.wait_until_copied(client, 8).await;
        feed_rounds(client, 10..20).await;
        second.wait_until_copied(client, 8).await;
        empty_changelogs(client).await;
        first.kill();
        wait_for(client, "the copy's place has all", |it| {
            workers(it) == ["tm-2"] && is_at_rest(it)
        })
        .await;
        feed_rounds(client, 20..30).await;
        second.wait_until_copied(client, 0).await;
        second.stop().await;
        manager.stop().await;
    });
}

#[test]
fn copies_on_disk_change_places_with_the_slots_that_run() {
    check(async |broker, client| {
        make_topics(client).await;
        let folders = Folders::new();
        let start =
            async |node: &str| Member::start(broker, (node, 2), Some(folders.of(node))).await;
        let manager = Member::manager(broker, "jm-1").await;
        let (mut owner, mut other) = (start("tm-1").await, start("tm-2").await);
        let text = copied("{ memory_limit: 1MiB, spill: disk, standby: 1 }");
        assert!(matches!(apply(client, &text).await, Reply::Done { .. }));
        let mut names = ["tm-1", "tm-2"];
        let mut rounds = 0;
        for _ in 0..3 {
            feed_rounds(client, rounds..rounds + 5).await;
            rounds += 5;
            wait_for(client, "the owner has all", |it| workers(it) == [names[0]]).await;
            other.wait_until_copied(client, 8).await;
            // It goes in good order and comes back: then it is the one that copies.
            owner.stop().await;
            wait_for(client, "the other one has all", |it| {
                workers(it) == [names[1]] && is_at_rest(it)
            })
            .await;
            let again = start(names[0]).await;
            (owner, other) = (other, again);
            names.reverse();
        }
        // Each runs half of the tasks and copies the other half.
        let scale = Ask::Scale { job: "mill".to_owned(), slots: 2 };
        assert!(matches!(put(client, scale).await, Reply::Done { .. }));
        wait_for(client, "both run", |it| workers(it) == ["tm-1", "tm-2"] && is_at_rest(it)).await;
        owner.wait_until_copied(client, 4).await;
        other.wait_until_copied(client, 4).await;
        feed_rounds(client, rounds..rounds + 5).await;
        for member in [owner, other, manager] {
            member.stop().await;
        }
    });
}
