//! Who keeps copies of which tasks' state: a pure function.
//!
//! A copy lies where the task does not run, on another machine if there is one, and stays where it
//! is: what has been copied would have to be copied once more. A task that nobody runs at present,
//! because it moves, gets no new copies; its old ones may be what its next slot begins with.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Offer, Places};
use crate::catalogue::{Grant, Standby, TaskId};

/// The task managers with the tasks that they shall copy, by id. `wanted` tells how many copies of
/// which tasks; `kept` where state of theirs lies, and `current` who has copied so far.
#[must_use]
pub fn standby(
    wanted: &[(TaskId, u32)],
    offers: &[Offer],
    grants: &[Grant],
    (kept, current): (&Places, &[Standby]),
) -> Vec<Standby> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let runners = runners(grants);
    let runs = |task: &TaskId, worker: &str| {
        runners.get(task).is_some_and(|workers| workers.contains(worker))
    };
    let mut given: BTreeMap<&str, BTreeSet<TaskId>> =
        offers.iter().map(|offer| (offer.worker.as_str(), BTreeSet::new())).collect();
    for (task, copies) in wanted {
        let has = |it: &&Standby| it.tasks.contains(task) && !runs(task, &it.worker);
        let before = current.iter().filter(has).filter(|it| given.contains_key(&*it.worker));
        let stay: Vec<&str> = before.map(|it| it.worker.as_str()).collect();
        for worker in stay.into_iter().take(base::cast::usize_of_u32(*copies)) {
            given.entry(worker).or_default().insert(*task);
        }
    }
    for (task, copies) in wanted.iter().filter(|(task, _)| runners.contains_key(task)) {
        let there = given.values().filter(|tasks| tasks.contains(task)).count();
        for _ in there..base::cast::usize_of_u32(*copies) {
            let has = |worker: &str| given.get(worker).is_some_and(|it| it.contains(task));
            let is_near = |offer: &&Offer| has(&offer.worker) || runs(task, &offer.worker);
            let near: Vec<&str> =
                offers.iter().filter(is_near).map(|offer| offer.host.as_str()).collect();
            let free = offers.iter().filter(|offer| !is_near(offer));
            let place = free.min_by_key(|offer| {
                let on_host = near.iter().filter(|host| **host == offer.host).count();
                let count = given.get(offer.worker.as_str()).map_or(0, BTreeSet::len);
                let is_kept = kept.get(task).is_some_and(|it| it.contains(&offer.worker));
                (on_host, count, !is_kept, &offer.worker)
            });
            let Some(offer) = place else { break };
            given.entry(&offer.worker).or_default().insert(*task);
        }
    }
    let copies = given.into_iter().filter(|(_, tasks)| !tasks.is_empty());
    copies
        .map(|(worker, tasks)| Standby {
            worker: worker.to_owned(),
            tasks: tasks.into_iter().collect(),
        })
        .collect()
}

/// Who runs each task, or may still do so.
fn runners(grants: &[Grant]) -> BTreeMap<TaskId, BTreeSet<&str>> {
    let mut runners: BTreeMap<TaskId, BTreeSet<&str>> = BTreeMap::new();
    for grant in grants {
        for task in grant.tasks.iter().chain(&grant.leaving) {
            runners.entry(*task).or_default().insert(&grant.worker);
        }
    }
    runners
}

#[cfg(test)]
mod tests {
    use base::rng::{Random, SeededRandom};

    use super::*;

    fn at(partition: i32) -> TaskId {
        TaskId { stage: 0, partition }
    }

    fn offer(worker: &str, host: &str) -> Offer {
        let (worker, host) = (worker.to_owned(), host.to_owned());
        Offer { worker, host, slots: 1, taken: BTreeSet::new() }
    }

    fn grant(worker: &str, tasks: &[i32]) -> Grant {
        Grant {
            worker: worker.to_owned(),
            nonce: 1,
            slot: 0,
            since: 1,
            turn: 1,
            identity: None,
            tasks: tasks.iter().copied().map(at).collect(),
            leaving: Vec::new(),
        }
    }

    fn copy(worker: &str, tasks: &[i32]) -> Standby {
        let tasks = tasks.iter().copied().map(at).collect();
        Standby { worker: worker.to_owned(), tasks }
    }

    fn wanted(count: i32, copies: u32) -> Vec<(TaskId, u32)> {
        (0..count).map(|partition| (at(partition), copies)).collect()
    }

    #[test]
    fn a_copy_lies_on_another_machine_and_stays_there() {
        let offers = [offer("a", "one"), offer("b", "one"), offer("c", "two")];
        let grants = [grant("a", &[0, 1]), grant("c", &[2])];
        let none = Places::new();
        let first = standby(&wanted(3, 1), &offers, &grants, (&none, &[]));
        assert_eq!(first, [copy("a", &[2]), copy("c", &[0, 1])]);
        // One more beside: nothing moves for that.
        let more = [&offers[..], &[offer("d", "three")]].concat();
        assert_eq!(standby(&wanted(3, 1), &more, &grants, (&none, &first)), first);
        // Two copies want two others.
        let two = standby(&wanted(3, 2), &offers, &grants, (&none, &first));
        assert_eq!(two, [copy("a", &[2]), copy("b", &[0, 1, 2]), copy("c", &[0, 1])]);
    }

    #[test]
    fn who_runs_a_task_copies_it_no_more_and_who_is_gone_is_replaced() {
        let offers = [offer("b", "y"), offer("c", "z")];
        let current = [copy("a", &[1]), copy("b", &[0])];
        let grants = [grant("b", &[0]), grant("c", &[1])];
        let kept = Places::new();
        let next = standby(&wanted(2, 1), &offers, &grants, (&kept, &current));
        assert_eq!(next, [copy("b", &[1]), copy("c", &[0])]);
    }

    #[test]
    fn while_a_task_moves_its_copies_stay() {
        let offers = [offer("a", "x"), offer("b", "y"), offer("c", "z")];
        let mut giver = grant("a", &[1]);
        giver.leaving = vec![at(0)];
        let (none, current) = (Places::new(), [copy("c", &[0, 1])]);
        assert_eq!(standby(&wanted(2, 1), &offers, &[giver], (&none, &current)), current);
        let nobody = [grant("a", &[1])];
        assert_eq!(standby(&wanted(2, 1), &offers, &nobody, (&none, &current)), current);
        assert_eq!(standby(&wanted(2, 1), &offers, &nobody, (&none, &[])), [copy("b", &[1])]);
    }

    #[test]
    fn where_files_lie_a_copy_begins_sooner() {
        let offers = [offer("a", "x"), offer("b", "y"), offer("c", "z")];
        let kept = Places::from([(at(0), BTreeSet::from(["c".to_owned()]))]);
        let next = standby(&wanted(1, 1), &offers, &[grant("a", &[0])], (&kept, &[]));
        assert_eq!(next, [copy("c", &[0])]);
    }

    #[test]
    fn each_task_has_its_copies_elsewhere_and_a_second_look_changes_nothing() {
        for seed in 0..300 {
            let rng = SeededRandom::new(seed);
            let below = |bound: u64| u32::try_from(rng.below(bound)).unwrap();
            let mut current = Vec::new();
            for round in 0..6 {
                let workers: BTreeSet<u32> = (0..=below(5)).map(|_| below(6)).collect();
                let offers: Vec<Offer> = workers
                    .iter()
                    .map(|at| offer(&format!("w{at}"), &format!("h{}", at % 3)))
                    .collect();
                let count = below(6).cast_signed();
                let mut grants: Vec<Grant> =
                    offers.iter().map(|offer| grant(&offer.worker, &[])).collect();
                for task in 0..count {
                    let to = base::cast::usize_of_u32(below(u64::from(u32::MAX))) % grants.len();
                    grants[to].tasks.push(at(task));
                }
                let wanted = wanted(count, below(4));
                let none = Places::new();
                let next = standby(&wanted, &offers, &grants, (&none, &current));
                for (task, copies) in &wanted {
                    let of = next.iter().filter(|it| it.tasks.contains(task));
                    let expected = base::cast::usize_of_u32(*copies).min(offers.len() - 1);
                    assert_eq!(of.clone().count(), expected, "seed {seed}, round {round}");
                    let is_own = |it: &Standby| {
                        let mut own = grants.iter().filter(|grant| grant.worker == it.worker);
                        own.any(|grant| grant.tasks.contains(task))
                    };
                    assert!(!of.clone().any(is_own), "seed {seed}, round {round}");
                }
                let again = standby(&wanted, &offers, &grants, (&none, &next));
                assert_eq!(again, next, "seed {seed}, round {round}");
                current = next;
            }
        }
    }
}
