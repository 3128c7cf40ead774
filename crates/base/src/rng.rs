//! Chance: from the operating system, or from a seed when a test must be repeatable.

use std::fmt::Debug;
use std::sync::Mutex;

/// A source of random bits.
pub trait Random: Debug + Send + Sync {
    /// The next 64 bits.
    fn next_u64(&self) -> u64;

    /// A number in `0..bound`; 0 when the bound is 0.
    fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }
}

/// The operating system's source, good enough for ids and jitter alike.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        let mut bytes = [0u8; 8];
        let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        // Linux fills up to 256 bytes in one piece once its pool is ready, which it is long
        // before a program runs; a refusal means a broken kernel, and going on would give
        // two machines one id.
        assert!(matches!(got, Ok(8)), "the operating system gave no random bytes: {got:?}");
        u64::from_le_bytes(bytes)
    }
}

/// A repeatable source (splitmix64, Steele et al. 2014); not for secrets.
#[derive(Debug)]
pub struct SeededRandom {
    state: Mutex<u64>,
}

impl SeededRandom {
    /// The same seed gives the same sequence.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        let mut state = self.state.lock().expect("no holder of the seed panics");
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_another_differs() {
        let draw = |seed| {
            let rng = SeededRandom::new(seed);
            [rng.next_u64(), rng.next_u64(), rng.below(10)]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn the_system_source_does_not_repeat() {
        assert_ne!(SystemRandom.next_u64(), SystemRandom.next_u64());
    }
}
