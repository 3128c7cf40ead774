//! The decision to claim, from beats and the newest word of who leads.
//!
//! A claim fences whoever led, so the log settles it when two claim at once. What is decided here
//! is only that few do: the first of the candidates in the order of their ids waits for the fewest
//! beats, each further one for one more.

use crate::beat::Beat;
use crate::catalogue::Leadership;
use crate::limits::LEADER_SILENT_BEATS_MAX;
use crate::roll::Roll;

/// Watches the leader.
#[derive(Debug, Clone)]
pub struct Election {
    leader: Option<Leadership>,
    /// Own beats since the leader was last heard to lead.
    silent: u32,
}

impl Election {
    /// Knows of no leader.
    #[must_use]
    pub fn new() -> Self {
        Self { leader: None, silent: 0 }
    }

    /// Learns who leads.
    pub fn learn(&mut self, leader: &Leadership) {
        if self.epoch() < leader.epoch {
            self.leader = Some(leader.clone());
            self.silent = 0;
        }
    }

    /// Hears a beat, in the order of the log.
    pub fn hear(&mut self, beat: &Beat, is_own: bool) {
        let leader = self.leader.as_ref();
        let leads = leader.is_some_and(|leader| {
            (&leader.node, leader.nonce) == (&beat.node, beat.nonce)
                && beat.leads == Some(leader.epoch)
        });
        if leads {
            self.silent = 0;
        } else if is_own {
            self.silent = self.silent.saturating_add(1);
        }
    }

    /// The epoch of the newest leader that is known; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.leader.as_ref().map_or(0, |leader| leader.epoch)
    }

    /// Whether it is time to claim.
    #[must_use]
    pub fn is_due(&self, me: &str, roll: &Roll) -> bool {
        let before_me = roll.candidates().filter(|id| *id < me && !self.led_by(id)).count();
        let patience = if self.leader.is_some() { LEADER_SILENT_BEATS_MAX } else { 1 };
        let turn = patience.saturating_add(u32::try_from(before_me).unwrap_or(u32::MAX));
        self.silent >= turn
    }

    fn led_by(&self, id: &str) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.node == id)
    }
}

impl Default for Election {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;

    fn beat(id: &str, leads: Option<u64>) -> Beat {
        let host = "h".to_owned();
        let node = Node { id: id.to_owned(), nonce: 1, started_ms: 1, host, pid: 1 };
        Beat { is_candidate: true, leads, ..Beat::of(&node, "1") }
    }

    fn leadership(node: &str, epoch: u64) -> Leadership {
        Leadership {
            format: 1,
            protocol: 1,
            version: "1".to_owned(),
            node: node.to_owned(),
            nonce: 1,
            epoch,
            host: "h".to_owned(),
            pid: 1,
        }
    }

    /// Own beats of `b` until it claims; `others` have beaten just before.
    fn beats_until_claim(leader: Option<Leadership>, others: &[Beat]) -> u32 {
        let (mut roll, mut election) = (Roll::new("b", 1), Election::new());
        if let Some(leader) = &leader {
            election.learn(leader);
        }
        for beat in others {
            let is_own = roll.take(beat.clone());
            election.hear(beat, is_own);
        }
        (1..20)
            .find(|_| {
                let own = beat("b", None);
                let is_own = roll.take(own.clone());
                election.hear(&own, is_own);
                election.is_due("b", &roll)
            })
            .unwrap_or(0)
    }

    #[test]
    fn a_silent_leader_is_followed_by_the_first_in_line() {
        let dead = Some(leadership("x", 4));
        assert_eq!(beats_until_claim(dead.clone(), &[]), 3);
        assert_eq!(beats_until_claim(dead.clone(), &[beat("a", None)]), 3, "a is gone by then");
        assert_eq!(beats_until_claim(dead, &[beat("c", None)]), 3);
        assert_eq!(beats_until_claim(None, &[]), 1);
        assert_eq!(beats_until_claim(None, &[beat("a", None)]), 2);
    }

    #[test]
    fn a_leader_that_is_heard_is_left_alone_and_one_that_only_lives_is_not() {
        let (mut roll, mut election) = (Roll::new("b", 1), Election::new());
        election.learn(&leadership("a", 4));
        for round in 0..10 {
            let leads = if round < 5 { Some(4) } else { None };
            for heard in [beat("a", leads), beat("b", None)] {
                let is_own = roll.take(heard.clone());
                election.hear(&heard, is_own);
            }
            assert_eq!(election.is_due("b", &roll), round >= 6, "{round}");
        }
    }

    #[test]
    fn an_old_word_of_a_leader_changes_nothing() {
        let mut election = Election::new();
        election.learn(&leadership("a", 4));
        election.learn(&leadership("b", 3));
        assert_eq!(election.epoch(), 4);
    }
}
