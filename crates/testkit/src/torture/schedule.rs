//! What is done in which round, from a seed: the same seed gives the same rounds.

use std::fmt;

use base::rng::{Random, SeededRandom};

use super::limits::{ROUNDS_PER_ZOMBIE, ZOMBIE_MS};

/// What happens to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The pipeline is killed and started again.
    Pipeline,
    /// The broker is killed and started again after a while.
    Broker {
        /// How long it stays away.
        away_ms: u64,
    },
    /// The broker is killed, and once more while it starts.
    BrokerTwice {
        /// How long after its start.
        again_ms: u64,
    },
    /// Both are killed and started again.
    Both,
    /// The pipeline stands still while a second one takes over, and then goes on.
    Takeover {
        /// How long it stands still.
        still_ms: u64,
    },
    /// The pipeline stands still, and nobody takes over: its transaction times out.
    Stillness {
        /// How long it stands still.
        still_ms: u64,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipeline => f.write_str("pipeline killed"),
            Self::Broker { away_ms } => write!(f, "broker killed, away for {away_ms} ms"),
            Self::BrokerTwice { again_ms } => {
                write!(f, "broker killed, and again {again_ms} ms after its start")
            }
            Self::Both => f.write_str("broker and pipeline killed"),
            Self::Takeover { still_ms } => {
                write!(f, "pipeline overtaken while it stood still for {still_ms} ms")
            }
            Self::Stillness { still_ms } => {
                write!(f, "pipeline stood still for {still_ms} ms")
            }
        }
    }
}

/// Who may be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victims {
    /// The broker alone; there is no pipeline.
    Broker,
    /// The pipeline alone; the broker belongs to others.
    Pipeline,
    /// Both.
    Both,
}

/// One round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// How long everything runs before.
    pub(super) after_ms: u64,
    /// What happens then.
    pub(super) action: Action,
}

/// The shape that the pipeline has over all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// How tasks are connected: `auto` fuses them, `topics` puts a topic on every arc.
    pub(super) edges: &'static str,
    /// Slots, each with a transactional producer of its own.
    pub(super) parallelism: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "edges: {}, parallelism: {}", self.edges, self.parallelism)
    }
}

/// The shape of a seed.
pub(super) fn shape(seed: u64) -> Shape {
    let edges = if seed.is_multiple_of(2) { "auto" } else { "topics" };
    let parallelism = if (seed / 2).is_multiple_of(2) { 1 } else { 2 };
    Shape { edges, parallelism }
}

/// The rounds of a seed.
pub(super) fn rounds(seed: u64, count: u32, victims: Victims) -> Vec<Round> {
    let rng = SeededRandom::new(seed);
    let block = u64::from(ROUNDS_PER_ZOMBIE.min(count.max(1)));
    let zombie = rng.below(block);
    let stillness = (zombie + 1 + rng.below(block.saturating_sub(1).max(1))) % block;
    let round = |number: u32| {
        let after_ms = 300 + rng.below(1_200);
        let mut action = action(&rng, victims);
        let at = u64::from(number % ROUNDS_PER_ZOMBIE);
        if victims != Victims::Broker {
            action = match at {
                _ if at == zombie => Action::Takeover { still_ms: ZOMBIE_MS },
                _ if at == stillness => Action::Stillness { still_ms: ZOMBIE_MS },
                _ => action,
            };
        }
        Round { after_ms, action }
    };
    (0..count).map(round).collect()
}

fn action(rng: &SeededRandom, victims: Victims) -> Action {
    let (dice, ms) = (rng.below(100), rng.next_u64());
    let dice = match victims {
        Victims::Both => dice,
        Victims::Pipeline => dice * 2 / 5,
        Victims::Broker => 40 + dice * 2 / 5,
    };
    match dice {
        0..8 => Action::Takeover { still_ms: 200 + ms % 1_500 },
        8..40 => Action::Pipeline,
        40..70 => Action::Broker { away_ms: ms % 300 },
        70..80 => Action::BrokerTwice { again_ms: ms % 60 },
        _ => Action::Both,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_rounds() {
        assert_eq!(rounds(7, 200, Victims::Both), rounds(7, 200, Victims::Both));
        assert_ne!(rounds(7, 200, Victims::Both), rounds(8, 200, Victims::Both));
    }

    #[test]
    fn every_run_has_a_long_stop_and_every_kind_of_kill() {
        for seed in 0..50 {
            let still = Action::Takeover { still_ms: ZOMBIE_MS };
            let rounds = rounds(seed, 10, Victims::Pipeline);
            assert!(rounds.iter().any(|round| round.action == still), "{seed}");
            let still = Action::Stillness { still_ms: ZOMBIE_MS };
            assert!(rounds.iter().any(|round| round.action == still), "{seed}");
        }
        let many = rounds(1, 200, Victims::Both);
        let has = |kind: fn(&Action) -> bool| many.iter().any(|round| kind(&round.action));
        assert!(has(|action| matches!(action, Action::Pipeline)));
        assert!(has(|action| matches!(action, Action::Broker { .. })));
        assert!(has(|action| matches!(action, Action::BrokerTwice { .. })));
        assert!(has(|action| matches!(action, Action::Both)));
    }

    #[test]
    fn who_is_not_there_is_left_alone() {
        let is_about_pipeline = |round: &Round| {
            !matches!(
                round.action,
                Action::Broker { .. } | Action::BrokerTwice { .. } | Action::Both
            )
        };
        assert!(rounds(3, 200, Victims::Pipeline).iter().all(is_about_pipeline));
        let is_about_broker = |round: &Round| {
            matches!(round.action, Action::Broker { .. } | Action::BrokerTwice { .. })
        };
        assert!(rounds(3, 200, Victims::Broker).iter().all(is_about_broker));
    }
}
