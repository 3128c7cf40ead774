//! What the slots of a node do, from its beats: whole ones, and those that tell only what is new.

use std::collections::BTreeMap;

use crate::beat::Run;

/// What is known of the slots of one start of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    by_job: BTreeMap<String, BTreeMap<u32, Run>>,
    is_whole: bool,
}

impl Runs {
    /// Takes over what a beat tells; whether anything has changed but figures.
    pub fn take(&mut self, told: Vec<Run>, is_partial: bool) -> bool {
        let mut is_news = false;
        let before = if is_partial {
            BTreeMap::new()
        } else {
            is_news = !self.is_whole;
            self.is_whole = true;
            std::mem::take(&mut self.by_job)
        };
        let count = told.len();
        for run in told {
            let known = if is_partial { &self.by_job } else { &before };
            let known = known.get(&run.job).and_then(|of| of.get(&run.slot));
            is_news |= !known.is_some_and(|known| is_same(known, &run));
            match self.by_job.get_mut(&run.job) {
                Some(of) => drop(of.insert(run.slot, run)),
                None => {
                    let (job, slot) = (run.job.clone(), run.slot);
                    self.by_job.insert(job, BTreeMap::from([(slot, run)]));
                }
            }
        }
        is_news || !is_partial && before.values().map(BTreeMap::len).sum::<usize>() != count
    }

    /// Whether all of it is known: a beat was heard that told everything.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What a slot does under a grant.
    #[must_use]
    pub fn run(&self, job: &str, slot: u32, since: u64) -> Option<&Run> {
        self.by_job.get(job)?.get(&slot).filter(|run| run.since == since)
    }

    /// All of them, by job and slot.
    pub fn all(&self) -> impl Iterator<Item = &Run> {
        self.by_job.values().flat_map(BTreeMap::values)
    }
}

/// Whether two words of a slot differ in their figures at most.
fn is_same(one: &Run, other: &Run) -> bool {
    let of = |run: &Run| (run.since, run.turn);
    of(one) == of(other) && one.phase == other.phase && one.tasks == other.tasks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beat::Phase;

    fn run(job: &str, slot: u32, records_in: u64) -> Run {
        Run {
            job: job.to_owned(),
            slot,
            since: 1,
            turn: 1,
            phase: Phase::Running,
            tasks: Vec::new(),
            records_in,
            lag: 0,
            seen: None,
        }
    }

    #[test]
    fn partial_beats_add_to_the_last_whole_one_which_takes_away_too() {
        let mut runs = Runs::default();
        assert!(runs.take(vec![run("a", 0, 0)], true));
        assert!(!runs.is_whole(), "there may be more of them");
        assert!(runs.take(vec![run("a", 0, 0), run("a", 1, 0), run("b", 2, 0)], false));
        assert!(runs.is_whole());
        assert!(!runs.take(Vec::new(), true));
        assert!(!runs.take(vec![run("a", 1, 7)], true), "only figures have changed");
        assert_eq!(runs.run("a", 1, 1).unwrap().records_in, 7);
        assert!(runs.run("a", 1, 2).is_none(), "that is another grant");
        assert_eq!(runs.all().count(), 3);
        let ended = Run { phase: Phase::Ended { reason: String::new() }, ..run("b", 2, 0) };
        assert!(runs.take(vec![ended.clone()], true));
        assert!(runs.take(vec![run("a", 0, 0), ended.clone()], false), "one is gone");
        assert!(!runs.take(vec![run("a", 0, 9), ended], false));
        assert_eq!(runs.all().count(), 2);
    }
}
