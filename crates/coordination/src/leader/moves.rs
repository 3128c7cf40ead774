//! From the tasks that slots hold to those that they should hold, so that no two hold one.
//!
//! A slot that runs gives a task away before another one gets it: first its grant names the task
//! no more, and keeps it among those that are leaving; the slot commits, lets it go, and says so
//! by the grant's turn; only then another grant names it. Whoever keeps running meanwhile keeps its
//! identity, its other tasks and their state. A slot that is to give something away and is not
//! running yet, or not any more, is fenced instead: it has nothing that would be worth the wait.

use std::collections::{BTreeMap, BTreeSet};

use crate::assignment::SlotKey;
use crate::catalogue::{Grant, TaskId};

/// How a grant is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has been granted, and is not running yet.
    Young,
    /// It runs, and has followed its grant up to this turn.
    Working { turn: u64 },
    /// Its slot has ended and waits for a new grant.
    Ended,
    /// Its task manager is gone or has begun anew.
    Gone,
}

impl Standing {
    /// Whether the slot may still hold what is leaving.
    fn is_behind(self, grant: &Grant) -> bool {
        self != Self::Working { turn: grant.turn }
    }
}

/// The next grants, in the order of their slots; `nonce` gives the start of a task manager.
pub(super) fn next(
    grants: &[(Grant, Standing)],
    wanted: &BTreeMap<SlotKey, Vec<TaskId>>,
    epoch: u64,
    nonce: impl Fn(&str) -> u64,
) -> Vec<Grant> {
    let key = |grant: &Grant| (grant.worker.clone(), grant.slot);
    let wants = |key: &SlotKey| -> BTreeSet<TaskId> {
        wanted.get(key).into_iter().flatten().copied().collect()
    };
    let stays = |(grant, standing): &&(Grant, Standing)| {
        let wants = wants(&key(grant));
        match standing {
            Standing::Ended | Standing::Gone => false,
            // What it lacks comes when others have let it go: to begin anew would not be sooner.
            Standing::Young => grant.tasks.iter().all(|task| wants.contains(task)),
            Standing::Working { .. } => {
                let is_needed = !wants.is_empty() || !grant.tasks.is_empty();
                is_needed || standing.is_behind(grant)
            }
        }
    };
    let staying: Vec<&(Grant, Standing)> = grants.iter().filter(stays).collect();
    let mut held: BTreeSet<TaskId> = BTreeSet::new();
    for (grant, standing) in &staying {
        held.extend(&grant.tasks);
        if standing.is_behind(grant) {
            held.extend(&grant.leaving);
        }
    }
    let mut next = BTreeMap::new();
    for (grant, standing) in &staying {
        let own = |task: &TaskId| grant.tasks.contains(task) || !held.contains(task);
        let tasks: Vec<TaskId> = wants(&key(grant)).into_iter().filter(own).collect();
        let mut kept = Grant::clone(grant);
        if tasks != grant.tasks {
            if !standing.is_behind(grant) {
                kept.leaving.clear();
            }
            kept.leaving.extend(grant.tasks.iter().filter(|task| !tasks.contains(task)));
            (kept.tasks, kept.turn) = (tasks, epoch);
        }
        next.insert(key(grant), kept);
    }
    for (key, tasks) in wanted {
        let mut free =
            tasks.iter().copied().filter(|task| !held.contains(task)).collect::<Vec<_>>();
        free.sort_unstable();
        if !free.is_empty() {
            next.entry(key.clone()).or_insert_with(|| Grant {
                worker: key.0.clone(),
                nonce: nonce(&key.0),
                slot: key.1,
                since: epoch,
                turn: epoch,
                identity: None,
                tasks: free,
                leaving: Vec::new(),
            });
        }
    }
    next.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(partitions: &[i32]) -> Vec<TaskId> {
        partitions.iter().map(|partition| TaskId { stage: 0, partition: *partition }).collect()
    }

    fn grant(worker: &str, since: u64, partitions: &[i32]) -> Grant {
        Grant {
            worker: worker.to_owned(),
            nonce: 1,
            slot: 0,
            since,
            turn: since,
            identity: None,
            tasks: tasks(partitions),
            leaving: Vec::new(),
        }
    }

    fn wanted(slots: &[(&str, &[i32])]) -> BTreeMap<SlotKey, Vec<TaskId>> {
        slots.iter().map(|(worker, of)| (((*worker).to_owned(), 0), tasks(of))).collect()
    }

    fn working(grant: &Grant) -> (Grant, Standing) {
        (grant.clone(), Standing::Working { turn: grant.turn })
    }

    #[test]
    fn who_runs_lets_go_before_another_gets_it() {
        let before = grant("a", 1, &[0, 1, 2, 3]);
        let target = wanted(&[("a", &[0, 1]), ("b", &[2, 3])]);
        let first = next(&[working(&before)], &target, 2, |_| 1);
        let [giving] = first.as_slice() else { panic!("b has to wait: {first:?}") };
        assert_eq!((giving.since, giving.turn), (1, 2));
        assert_eq!((&giving.tasks, &giving.leaving), (&tasks(&[0, 1]), &tasks(&[2, 3])));
        // It has not followed yet, and nothing changes.
        let behind = (giving.clone(), Standing::Working { turn: 1 });
        assert_eq!(next(&[behind], &target, 3, |_| 1), first);
        // It has.
        let second = next(&[working(giving)], &target, 3, |_| 1);
        assert_eq!(second.len(), 2);
        assert_eq!((second[0].since, second[0].turn), (1, 2), "a is left in peace");
        assert_eq!((second[1].since, &second[1].tasks), (3, &tasks(&[2, 3])));
        let third: Vec<_> = second.iter().map(working).collect();
        assert_eq!(next(&third, &target, 4, |_| 1), second);
    }

    #[test]
    fn who_waits_for_tasks_of_another_is_not_begun_anew_meanwhile() {
        let mut a = grant("a", 1, &[0]);
        (a.turn, a.leaving) = (2, tasks(&[1]));
        let b = grant("b", 2, &[2]);
        let target = wanted(&[("a", &[0]), ("b", &[1, 2])]);
        let behind = (a.clone(), Standing::Working { turn: 1 });
        let young = (b.clone(), Standing::Young);
        assert_eq!(next(&[behind, young.clone()], &target, 3, |_| 1), [a.clone(), b]);
        // It gets them as soon as they are free, whether it runs by then or not.
        let third = next(&[working(&a), young], &target, 3, |_| 1);
        assert_eq!((third[1].since, third[1].turn, &third[1].tasks), (2, 3, &tasks(&[1, 2])));
    }

    #[test]
    fn a_slot_that_is_given_up_is_emptied_first_and_another_takes_over_while_it_runs() {
        let (a, b) = (grant("a", 1, &[0, 1]), grant("b", 1, &[2, 3]));
        let target = wanted(&[("a", &[0, 1, 2, 3])]);
        let first = next(&[working(&a), working(&b)], &target, 2, |_| 1);
        assert_eq!((&first[0], &first[1].tasks), (&a, &tasks(&[])));
        let second = next(&[working(&first[0]), working(&first[1])], &target, 3, |_| 1);
        let [all] = second.as_slice() else { panic!("b is still there: {second:?}") };
        assert_eq!((all.since, all.turn, &all.tasks), (1, 3, &tasks(&[0, 1, 2, 3])));
    }

    #[test]
    fn what_was_taken_back_before_it_was_known_stays_leaving() {
        let mut a = grant("a", 1, &[0, 1]);
        (a.turn, a.leaving) = (2, tasks(&[2]));
        let b = grant("b", 2, &[3]);
        let behind = (a, Standing::Working { turn: 1 });
        let target = wanted(&[("a", &[0]), ("b", &[1, 2, 3])]);
        let next = next(&[behind, working(&b)], &target, 3, |_| 1);
        assert_eq!((&next[0].tasks, &next[0].leaving), (&tasks(&[0]), &tasks(&[2, 1])));
        assert_eq!((next[1].turn, &next[1].tasks), (2, &tasks(&[3])));
    }

    #[test]
    fn who_is_lost_or_not_running_yet_is_not_waited_for() {
        let (a, b) = (grant("a", 1, &[0, 1]), grant("b", 1, &[2, 3]));
        let target = wanted(&[("a", &[0, 1, 2, 3])]);
        for standing in [Standing::Young, Standing::Ended, Standing::Gone] {
            let next = next(&[working(&a), (b.clone(), standing)], &target, 2, |_| 1);
            assert_eq!(next.len(), 1, "{standing:?}");
            assert_eq!((next[0].since, next[0].turn), (1, 2), "{standing:?}");
        }
        // A young slot whose tasks stay the same stays.
        let same = wanted(&[("a", &[0, 1]), ("b", &[2, 3])]);
        let grants = [working(&a), (b.clone(), Standing::Young)];
        assert_eq!(next(&grants, &same, 2, |_| 1), [a, b]);
    }
}
