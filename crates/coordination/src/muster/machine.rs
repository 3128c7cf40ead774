//! Who has answered the call, and how many are missing.

use std::collections::{BTreeMap, BTreeSet};

use crate::beat::Beat;
use crate::limits::NODES_MAX;
use crate::sos::FreeThreads;

/// A roll call that goes on until enough task managers are there.
///
/// One is there when it has answered and its beats can be heard: whoever leads knows it by them.
#[derive(Debug, Clone)]
pub struct Muster {
    wanted: u32,
    answered: BTreeMap<String, u32>,
    beating: BTreeSet<String>,
}

impl Muster {
    /// Nobody has answered yet.
    #[must_use]
    pub fn new(wanted: u32) -> Self {
        Self { wanted, answered: BTreeMap::new(), beating: BTreeSet::new() }
    }

    /// Takes a beat; one that offers nothing says that its node leaves.
    pub fn hear(&mut self, beat: &Beat) {
        if beat.slots == 0 {
            self.beating.remove(&beat.node);
        } else if self.beating.len() < NODES_MAX {
            self.beating.insert(beat.node.clone());
        }
    }

    /// Takes an answer; a later one of the same task manager takes its place.
    pub fn answer(&mut self, answer: FreeThreads) {
        if self.answered.contains_key(&answer.id) || self.answered.len() < NODES_MAX {
            self.answered.insert(answer.id, answer.free_threads);
        }
    }

    /// How many are wanted.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Those who are there, by id, with their free threads.
    pub fn present(&self) -> impl Iterator<Item = (&str, u32)> {
        let answered = self.answered.iter().filter(|(id, _)| self.beating.contains(*id));
        answered.map(|(id, free)| (id.as_str(), *free))
    }

    /// How many are missing.
    #[must_use]
    pub fn missing(&self) -> u32 {
        let present = u32::try_from(self.present().count()).unwrap_or(u32::MAX);
        self.wanted.saturating_sub(present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;

    fn beat(id: &str, slots: u32) -> Beat {
        let node =
            Node { id: id.to_owned(), nonce: 1, started_ms: 1, host: "h".to_owned(), pid: 1 };
        Beat { slots, ..Beat::of(&node, "1") }
    }

    #[test]
    fn whoever_answers_and_beats_is_there_once() {
        let mut muster = Muster::new(2);
        muster.hear(&beat("a", 2));
        assert_eq!(muster.missing(), 2, "a beat is no answer");
        muster.answer(FreeThreads::of("a", 2));
        muster.answer(FreeThreads::of("a", 1));
        assert_eq!(muster.missing(), 1, "the same one again is no other");
        muster.answer(FreeThreads::of("b", 0));
        assert_eq!(muster.missing(), 1, "whoever leads does not know it yet");
        muster.hear(&beat("jm", 0));
        muster.hear(&beat("b", 3));
        assert_eq!(muster.present().collect::<Vec<_>>(), [("a", 1), ("b", 0)]);
        assert_eq!(muster.missing(), 0);
        muster.hear(&beat("a", 0));
        assert_eq!(muster.missing(), 1, "it has left");
    }
}
