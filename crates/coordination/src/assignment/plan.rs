//! The assignment that is wanted, from what there is: a pure function.
//!
//! Whoever runs a task keeps it while that is fair; new slots are taken where the job has fewest,
//! first by machine, then by task manager, so that one machine's end takes little with it. A task
//! that nobody runs goes where its state lies, as far as that is fair.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::catalogue::TaskId;

/// A slot: the task manager and the slot's number there.
pub type SlotKey = (String, u32);

/// A task manager that can run tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub worker: String,
    /// Its machine.
    pub host: String,
    /// How many slots it has.
    pub slots: u32,
    /// Slots that other jobs have.
    pub taken: BTreeSet<u32>,
}

/// What a job wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Its tasks.
    pub tasks: Vec<TaskId>,
    /// Slots; fewer are used when there are fewer.
    pub slots: u32,
    /// Tasks of whose state a copy is up to date at task managers.
    pub copied: Places,
    /// Tasks whose state lies at task managers, as of some time.
    pub kept: Places,
}

/// Where the state of tasks lies: the task managers of each.
pub type Places = BTreeMap<TaskId, BTreeSet<String>>;

/// Whether the state of a task lies at a task manager.
fn is_at(places: &Places, task: TaskId, worker: &str) -> bool {
    places.get(&task).is_some_and(|workers| workers.contains(worker))
}

/// Tasks whose state lies at a task manager.
fn count_at(places: &Places, worker: &str) -> usize {
    places.values().filter(|workers| workers.contains(worker)).count()
}

/// The slots with their tasks, close to what runs now. Empty when no slot is free.
#[must_use]
pub fn target(
    wish: &Wish,
    offers: &[Offer],
    current: &BTreeMap<SlotKey, Vec<TaskId>>,
) -> BTreeMap<SlotKey, Vec<TaskId>> {
    let slots = choose(wish, offers, current);
    let kept = |slot: &SlotKey| current.get(slot).cloned().unwrap_or_default();
    let mut filled: BTreeMap<SlotKey, Vec<TaskId>> =
        slots.into_iter().map(|slot| (slot.clone(), kept(&slot))).collect();
    distribute(wish, &mut filled);
    filled.retain(|_, tasks| !tasks.is_empty());
    filled
}

/// The slots that the job gets.
fn choose(
    wish: &Wish,
    offers: &[Offer],
    current: &BTreeMap<SlotKey, Vec<TaskId>>,
) -> BTreeSet<SlotKey> {
    let is_offered = |(worker, slot): &SlotKey| {
        let offer = offers.iter().find(|offer| offer.worker == *worker);
        offer.is_some_and(|offer| *slot < offer.slots && !offer.taken.contains(slot))
    };
    let wanted = base::cast::usize_of_u32(wish.slots).clamp(1, wish.tasks.len().max(1));
    let mut slots: BTreeSet<SlotKey> =
        current.keys().filter(|slot| is_offered(slot)).cloned().collect();
    while slots.len() > wanted {
        let surplus = crowded(&slots);
        slots.remove(&surplus);
    }
    while slots.len() < wanted {
        let Some(free) = free_slot(wish, offers, &slots) else { break };
        slots.insert(free);
    }
    // A task manager that came later gets its share.
    for _ in 0..slots.len() {
        let crowded = crowded(&slots);
        let of = |worker: &str| slots.iter().filter(|(at, _)| at == worker).count();
        // Nobody has two less than one; with a thousand jobs the look for a free slot would cost.
        if of(&crowded.0) < 2 {
            break;
        }
        let Some(free) = free_slot(wish, offers, &slots) else { break };
        if of(&crowded.0) < of(&free.0) + 2 {
            break;
        }
        slots.remove(&crowded);
        slots.insert(free);
    }
    slots
}

/// The last slot of the task manager that has most.
fn crowded(slots: &BTreeSet<SlotKey>) -> SlotKey {
    let of = |worker: &str| slots.iter().filter(|(at, _)| at == worker).count();
    let most = slots.iter().max_by_key(|(worker, slot)| (of(worker), *slot));
    most.cloned().unwrap_or_default()
}

/// A free slot where the job has fewest, and of several one where most of its state lies.
fn free_slot(wish: &Wish, offers: &[Offer], slots: &BTreeSet<SlotKey>) -> Option<SlotKey> {
    let host_of = |worker: &str| offers.iter().find(|it| it.worker == worker).map(|it| &it.host);
    let free = offers.iter().filter_map(|offer| {
        let is_free = |slot: &u32| {
            !offer.taken.contains(slot) && !slots.contains(&(offer.worker.clone(), *slot))
        };
        let slot = (0..offer.slots).find(is_free)?;
        let on_host = slots.iter().filter(|(at, _)| host_of(at) == Some(&offer.host)).count();
        let on_worker = slots.iter().filter(|(at, _)| *at == offer.worker).count();
        let state = [&wish.copied, &wish.kept].map(|it| Reverse(count_at(it, &offer.worker)));
        Some(((on_host, on_worker, state, offer.taken.len(), &offer.worker), slot))
    });
    free.min().map(|((_, _, _, _, worker), slot)| (worker.clone(), slot))
}

/// Gives each stage's tasks out evenly; a slot keeps what it has up to its fair share.
fn distribute(wish: &Wish, filled: &mut BTreeMap<SlotKey, Vec<TaskId>>) {
    if filled.is_empty() {
        return;
    }
    let wanted: BTreeSet<TaskId> = wish.tasks.iter().copied().collect();
    let stages: BTreeSet<u32> = wanted.iter().map(|task| task.stage).collect();
    for stage in stages {
        let of_stage = || wanted.iter().filter(move |task| task.stage == stage);
        let count = of_stage().count();
        let (share, mut extras) = (count / filled.len(), count % filled.len());
        let mut given = BTreeSet::new();
        for held in filled.values_mut() {
            let mut kept = 0;
            held.retain(|task| {
                if task.stage != stage {
                    return true;
                }
                let is_extra = kept == share;
                let is_fair = kept < share || is_extra && extras > 0;
                let keeps = is_fair && wanted.contains(task) && given.insert(*task);
                if keeps {
                    kept += 1;
                    extras -= usize::from(is_extra);
                }
                keeps
            });
        }
        for places in [&wish.copied, &wish.kept] {
            let left: Vec<TaskId> = of_stage().filter(|it| !given.contains(it)).copied().collect();
            for task in left {
                if send_home(task, places, filled, (share, &mut extras)) {
                    given.insert(task);
                }
            }
        }
        for task in of_stage().filter(|task| !given.contains(task)) {
            let load = |held: &Vec<TaskId>| {
                (held.iter().filter(|it| it.stage == stage).count(), held.len())
            };
            if let Some((_, held)) = filled.iter_mut().min_by_key(|(_, held)| load(held)) {
                held.push(*task);
            }
        }
    }
    for held in filled.values_mut() {
        held.retain(|task| wanted.contains(task));
        held.sort_unstable();
    }
}

/// Gives a task to a slot where its state lies, if that is fair; tells whether.
fn send_home(
    task: TaskId,
    places: &Places,
    filled: &mut BTreeMap<SlotKey, Vec<TaskId>>,
    (share, extras): (usize, &mut usize),
) -> bool {
    let at_home = filled
        .iter_mut()
        .filter(|((worker, _), _)| is_at(places, task, worker))
        .map(|(_, held)| (held.iter().filter(|it| it.stage == task.stage).count(), held))
        .filter(|(count, _)| *count < share || *count == share && *extras > 0);
    let Some((count, held)) = at_home.min_by_key(|(count, _)| *count) else { return false };
    held.push(task);
    *extras -= usize::from(count == share);
    true
}

#[cfg(test)]
mod tests {
    use base::rng::{Random, SeededRandom};

    use super::*;

    fn offer(worker: &str, host: &str, slots: u32) -> Offer {
        let (worker, host) = (worker.to_owned(), host.to_owned());
        Offer { worker, host, slots, taken: BTreeSet::new() }
    }

    fn wish(stages: &[i32], slots: u32) -> Wish {
        let of = |(stage, count): (u32, &i32)| {
            (0..*count).map(move |partition| TaskId { stage, partition }).collect::<Vec<_>>()
        };
        let tasks = (0..).zip(stages).flat_map(of).collect();
        Wish { tasks, slots, copied: BTreeMap::new(), kept: BTreeMap::new() }
    }

    fn workers(target: &BTreeMap<SlotKey, Vec<TaskId>>) -> Vec<String> {
        target.keys().map(|(worker, slot)| format!("{worker}.{slot}")).collect()
    }

    fn moved(
        before: &BTreeMap<SlotKey, Vec<TaskId>>,
        after: &BTreeMap<SlotKey, Vec<TaskId>>,
    ) -> usize {
        let stays = |slot: &SlotKey, task: &TaskId| {
            after.get(slot).is_some_and(|tasks| tasks.contains(task))
        };
        before
            .iter()
            .flat_map(|(slot, tasks)| tasks.iter().map(move |it| (slot, it)))
            .filter(|(slot, task)| !stays(slot, task))
            .count()
    }

    #[test]
    fn slots_are_spread_over_machines_first() {
        let offers = [offer("a", "one", 2), offer("b", "one", 2), offer("c", "two", 2)];
        let target = target(&wish(&[4], 3), &offers, &BTreeMap::new());
        assert_eq!(workers(&target), ["a.0", "b.0", "c.0"]);
        assert_eq!(target.values().map(Vec::len).max(), Some(2));
    }

    #[test]
    fn who_is_lost_is_replaced_and_the_others_keep_what_they_have() {
        let all = [offer("a", "x", 1), offer("b", "y", 1), offer("c", "z", 1)];
        let wish = wish(&[6, 6], 3);
        let before = target(&wish, &all, &BTreeMap::new());
        let lost = before.get(&("b".to_owned(), 0)).map_or(0, Vec::len);
        let mut current = before;
        current.remove(&("b".to_owned(), 0));
        let after = target(&wish, &[all[0].clone(), all[2].clone()], &current);
        assert_eq!((lost, moved(&current, &after)), (4, 0));
        // It comes back: it gets its share, and no more moves than that.
        let again = target(&wish, &all, &after);
        assert_eq!((workers(&again).len(), moved(&after, &again)), (3, 4));
    }

    #[test]
    fn a_task_that_nobody_runs_goes_where_its_state_lies() {
        let all = [offer("a", "x", 1), offer("b", "y", 1), offer("c", "z", 1)];
        let at = |partition| TaskId { stage: 0, partition };
        let kept = |places: &[(i32, &str)]| {
            let one =
                |(task, worker): &(i32, &str)| (at(*task), BTreeSet::from([(*worker).to_owned()]));
            places.iter().map(one).collect()
        };
        let spread = Wish { kept: kept(&[(0, "c"), (1, "b"), (2, "a")]), ..wish(&[3], 3) };
        let target_now = target(&spread, &all, &BTreeMap::new());
        let tasks: Vec<&TaskId> = target_now.values().flatten().collect();
        assert_eq!(tasks, [&at(2), &at(1), &at(0)]);
        // One slot is enough: it is where most of the state lies.
        let one = Wish { kept: kept(&[(0, "b"), (1, "c"), (2, "c")]), ..wish(&[3], 1) };
        assert_eq!(workers(&target(&one, &all, &BTreeMap::new())), ["c.0"]);
        // A copy that is up to date is worth more than files of some time.
        let copied = kept(&[(0, "a"), (1, "b")]);
        let both = Wish { copied, kept: kept(&[(0, "b"), (1, "a")]), ..wish(&[3], 3) };
        let target_now = target(&both, &all, &BTreeMap::new());
        let tasks: Vec<&TaskId> = target_now.values().flatten().collect();
        assert_eq!(tasks, [&at(0), &at(1), &at(2)]);
        // State is no reason for an unfair share.
        let heap = Wish { kept: kept(&[(0, "b"), (1, "b"), (2, "b")]), ..wish(&[3], 3) };
        assert!(target(&heap, &all, &BTreeMap::new()).values().all(|tasks| tasks.len() == 1));
    }

    #[test]
    fn a_slot_of_another_job_is_left_alone() {
        let mut only = offer("a", "x", 2);
        only.taken.insert(0);
        let target_now = target(&wish(&[4], 2), &[only.clone()], &BTreeMap::new());
        assert_eq!(workers(&target_now), ["a.1"]);
        only.taken.insert(1);
        assert!(target(&wish(&[4], 2), &[only], &BTreeMap::new()).is_empty());
    }

    #[test]
    fn every_task_has_one_slot_shares_are_even_and_nothing_moves_without_need() {
        for seed in 0..300 {
            let rng = SeededRandom::new(seed);
            let below = |bound: u64| u32::try_from(rng.below(bound)).unwrap();
            let stages: Vec<i32> = (0..=below(3)).map(|_| below(9).cast_signed()).collect();
            let mut wish = wish(&stages, below(7));
            for task in wish.tasks.clone() {
                let workers = || (0..below(3)).map(|_| format!("w{}", below(5))).collect();
                wish.copied.insert(task, workers());
                wish.kept.insert(task, workers());
            }
            let mut current = BTreeMap::new();
            for round in 0..6 {
                let offers: Vec<Offer> = (0..below(5))
                    .map(|at| offer(&format!("w{at}"), &format!("h{}", at % 2), below(4)))
                    .collect();
                let next = target(&wish, &offers, &current);
                let mut given: Vec<TaskId> = next.values().flatten().copied().collect();
                given.sort_unstable();
                let has_slots = offers.iter().any(|offer| offer.slots > 0);
                let expected = if has_slots { wish.tasks.clone() } else { Vec::new() };
                assert_eq!(given, expected, "seed {seed}, round {round}");
                assert_eq!(target(&wish, &offers, &next), next, "seed {seed}, round {round}");
                current = next;
            }
        }
    }
}
