//! Time, as the house sees it: a wall clock for people and records, a steady one for waiting.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::cast;

/// The two clocks.
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970-01-01 UTC; may jump when somebody sets the machine's clock.
    fn unix_ms(&self) -> i64;

    /// Microseconds since an arbitrary start; never goes back.
    fn steady_us(&self) -> u64;

    /// Milliseconds of the steady clock.
    fn steady_ms(&self) -> u64 {
        self.steady_us() / 1000
    }
}

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts the steady clock at zero.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn unix_ms(&self) -> i64 {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
    }

    fn steady_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug, Default)]
pub struct ManualClock {
    unix_ms: AtomicI64,
    steady_us: AtomicU64,
}

impl ManualClock {
    /// Starts at this wall time.
    #[must_use]
    pub fn at(unix_ms: i64) -> Self {
        Self { unix_ms: AtomicI64::new(unix_ms), steady_us: AtomicU64::new(0) }
    }

    /// Moves both clocks forward.
    pub fn advance_ms(&self, by: u64) {
        self.unix_ms.fetch_add(cast::i64_of_u64(by), Ordering::SeqCst);
        self.steady_us.fetch_add(by * 1000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_ms(&self) -> i64 {
        self.unix_ms.load(Ordering::SeqCst)
    }

    fn steady_us(&self) -> u64 {
        self.steady_us.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(1_000);
        assert_eq!((clock.unix_ms(), clock.steady_ms()), (1_000, 0));
        clock.advance_ms(5);
        assert_eq!((clock.unix_ms(), clock.steady_ms()), (1_005, 5));
    }

    #[test]
    fn the_system_clock_is_past_2020_and_steady() {
        let clock = SystemClock::new();
        assert!(clock.unix_ms() > 1_577_836_800_000);
        let first = clock.steady_us();
        assert!(clock.steady_us() >= first);
    }
}
