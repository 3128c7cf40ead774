//! The roll call: who is there, from the beats in the order of the log.
//!
//! Silence is counted in beats of one's own that the log shows after the last one of another node.
//! A clock would call everybody dead after a sleep of the machine, or while the log stands still;
//! in the log, one's own beats stand still as well.

use std::collections::BTreeMap;

use crate::beat::Beat;
use crate::limits::{LEADER_SILENT_BEATS_MAX, NODES_MAX, WORKER_SILENT_BEATS_MAX};
use crate::runs::Runs;

/// A node that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its last beat, but for what it told of slots.
    pub beat: Beat,
    /// What its slots do.
    pub runs: Runs,
    /// Own beats that the log shows after it.
    pub silent: u32,
}

/// Beats of one's own without one of a task manager that are more than chance: it beats half as
/// often as a job manager.
const SUSPECT_SILENT_BEATS: u32 = 4;

/// Task managers by how they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// They beat.
    pub alive: usize,
    /// Beats stay away, and they are not given up yet.
    pub suspect: usize,
    /// They are gone without having said so.
    pub gone: usize,
}

/// Who is there.
#[derive(Debug, Clone)]
pub struct Roll {
    me: (String, u64),
    heard: BTreeMap<String, Heard>,
    own: u32,
    changes: u64,
}

impl Roll {
    /// Nobody has been heard yet; `me` is the own id and nonce.
    #[must_use]
    pub fn new(me: &str, nonce: u64) -> Self {
        Self { me: (me.to_owned(), nonce), heard: BTreeMap::new(), own: 0, changes: 0 }
    }

    /// Takes a beat, in the order of the log; whether it was one's own.
    pub fn take(&mut self, mut beat: Beat) -> bool {
        let is_own = beat.node == self.me.0 && beat.nonce == self.me.1;
        if is_own {
            self.own = self.own.saturating_add(1);
            let others = self.heard.values_mut().filter(|it| it.beat.node != self.me.0);
            for heard in others {
                heard.silent = heard.silent.saturating_add(1);
                self.changes += u64::from(heard.silent == WORKER_SILENT_BEATS_MAX);
            }
        }
        let born = |beat: &Beat| (beat.started_ms, beat.nonce);
        let known = self.heard.get(&beat.node);
        // Of two with one id the later one counts; a late word of the earlier one does not.
        let is_stale = known.is_some_and(|known| born(&known.beat) > born(&beat));
        if !is_stale && (known.is_some() || self.heard.len() < NODES_MAX) {
            let known = self.heard.remove(&beat.node).filter(|it| it.beat.nonce == beat.nonce);
            let is_known = known.as_ref().is_some_and(|known| {
                let of = |beat: &Beat| (beat.slots, beat.protocol, beat.host.clone());
                of(&known.beat) == of(&beat) && known.silent < WORKER_SILENT_BEATS_MAX
            });
            let mut runs = Runs::default();
            if let Some(known) = known {
                runs = known.runs;
                beat.complete(known.beat);
            }
            let is_news = runs.take(std::mem::take(&mut beat.runs), beat.is_partial);
            self.changes += u64::from(is_news || !is_known);
            self.heard.insert(beat.node.clone(), Heard { beat, runs, silent: 0 });
        }
        is_own
    }

    /// Rises with everything from which work is assigned: who is there, what is offered, and how
    /// the slots stand; not with figures.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Own beats that the log has shown.
    #[must_use]
    pub fn own_beats(&self) -> u32 {
        self.own
    }

    /// A later start of the own id, if one was heard.
    #[must_use]
    pub fn successor(&self) -> Option<&Beat> {
        let heard = self.heard.get(&self.me.0)?;
        (heard.beat.nonce != self.me.1 && self.own > 0).then_some(&heard.beat)
    }

    /// A node, if it was ever heard.
    #[must_use]
    pub fn node(&self, id: &str) -> Option<&Heard> {
        self.heard.get(id)
    }

    /// The task managers that are there, by id.
    pub fn workers(&self) -> impl Iterator<Item = &Heard> {
        let heard = self.heard.values();
        heard.filter(|it| it.silent < WORKER_SILENT_BEATS_MAX && it.beat.slots > 0)
    }

    /// The ids of the job managers that are there, in their order.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        let heard = self.heard.values();
        let there = heard.filter(|it| it.silent < LEADER_SILENT_BEATS_MAX && it.beat.is_candidate);
        there.map(|it| it.beat.node.as_str())
    }

    /// How the task managers stand that have offered slots.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for heard in self.heard.values().filter(|heard| heard.beat.slots > 0) {
            match heard.silent {
                0..SUSPECT_SILENT_BEATS => census.alive += 1,
                SUSPECT_SILENT_BEATS..WORKER_SILENT_BEATS_MAX => census.suspect += 1,
                _ => census.gone += 1,
            }
        }
        census
    }

    /// Every node that is there, by id.
    pub fn present(&self) -> impl Iterator<Item = &Heard> {
        self.heard.values().filter(|it| it.silent < WORKER_SILENT_BEATS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;

    fn beat(id: &str, nonce: u64) -> Beat {
        let started_ms = i64::try_from(nonce).unwrap();
        let node = Node { id: id.to_owned(), nonce, started_ms, host: "h".to_owned(), pid: 1 };
        Beat { slots: 1, ..Beat::of(&node, "1") }
    }

    fn workers(roll: &Roll) -> Vec<&str> {
        roll.workers().map(|heard| heard.beat.node.as_str()).collect()
    }

    #[test]
    fn a_node_is_gone_after_so_many_beats_of_ones_own_and_back_with_its_next() {
        let mut roll = Roll::new("me", 1);
        assert!(!roll.take(beat("other", 1)));
        for _ in 1..WORKER_SILENT_BEATS_MAX {
            assert!(roll.take(beat("me", 1)));
            assert_eq!(workers(&roll), ["me", "other"]);
        }
        roll.take(beat("me", 1));
        assert_eq!(workers(&roll), ["me"]);
        roll.take(beat("other", 1));
        assert_eq!(workers(&roll), ["me", "other"]);
    }

    #[test]
    fn the_census_tells_who_beats_who_is_suspect_and_who_is_gone() {
        let mut roll = Roll::new("me", 1);
        roll.take(Beat { slots: 0, ..beat("me", 1) });
        roll.take(beat("other", 1));
        let mut seen = Vec::new();
        for _ in 0..=WORKER_SILENT_BEATS_MAX {
            let Census { alive, suspect, gone } = roll.census();
            seen.push((alive, suspect, gone));
            roll.take(Beat { slots: 0, ..beat("me", 1) });
        }
        assert_eq!(seen[..4], [(1, 0, 0); 4]);
        assert_eq!(seen[4..6], [(0, 1, 0); 2]);
        assert_eq!(seen[6], (0, 0, 1));
    }

    #[test]
    fn while_the_log_stands_still_nobody_is_gone() {
        let mut roll = Roll::new("me", 1);
        roll.take(beat("a", 1));
        roll.take(beat("b", 1));
        assert_eq!(workers(&roll), ["a", "b"]);
    }

    #[test]
    fn of_two_starts_the_later_counts_and_the_earlier_one_learns_of_it() {
        let mut roll = Roll::new("me", 5);
        roll.take(beat("a", 9));
        roll.take(beat("a", 8));
        assert_eq!(roll.node("a").unwrap().beat.nonce, 9);
        roll.take(beat("me", 4));
        assert!(roll.successor().is_none(), "an earlier start of ours is no successor");
        roll.take(beat("me", 5));
        assert!(roll.successor().is_none());
        roll.take(beat("me", 6));
        assert_eq!(roll.successor().unwrap().nonce, 6);
    }
}
