//! How fast a run may read and write: Kafka's `log.cleaner.io.max.bytes.per.second`.
//!
//! Time that was not used is not saved up, but for a moment, so that a slow disk is not followed
//! by a burst.

use std::time::Duration;

use base::cast;

use crate::limits::CLEANER_AHEAD_US_MAX;

/// Counts bytes against the time that they may take.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: f64,
    /// When the bytes counted so far may have been worked through, in steady microseconds.
    due_us: u64,
}

impl Pace {
    pub(super) fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second, due_us: 0 }
    }

    /// Notes bytes that were read or written; gives how long to wait before the next.
    pub(super) fn note(&mut self, now_us: u64, bytes: u64) -> Duration {
        let takes_us = cast::f64_of(bytes) / self.bytes_per_second * 1_000_000.0;
        let saved_from_us = now_us.saturating_sub(CLEANER_AHEAD_US_MAX);
        self.due_us = self.due_us.max(saved_from_us).saturating_add(cast::u64_of_f64(takes_us));
        let ahead_us = self.due_us.saturating_sub(now_us);
        // Many short waits are less exact than few, and cost more.
        Duration::from_micros(if ahead_us < CLEANER_AHEAD_US_MAX { 0 } else { ahead_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABYTE: u64 = 1_000_000;

    #[test]
    fn a_run_takes_as_long_as_its_bytes_may_take() {
        let mut pace = Pace::new(10.0 * cast::f64_of(MEGABYTE));
        let (mut now_us, step_us) = (77, 1_000);
        let began_us = now_us;
        for _ in 0..1_000 {
            now_us += step_us;
            let wait = pace.note(now_us, MEGABYTE / 10);
            now_us += u64::try_from(wait.as_micros()).unwrap();
        }
        // 100 MB at 10 MB/s, and never more than the tolerated lead before it.
        let took_us = now_us - began_us;
        assert!((10_000_000 - CLEANER_AHEAD_US_MAX..10_100_000).contains(&took_us), "{took_us}");
    }

    #[test]
    fn time_that_was_not_used_is_not_saved_up() {
        let mut pace = Pace::new(cast::f64_of(MEGABYTE));
        assert_eq!(pace.note(0, MEGABYTE / 1_000), Duration::ZERO);
        // An hour later a megabyte takes its second all the same.
        let second = Duration::from_micros(1_000_000 - CLEANER_AHEAD_US_MAX);
        assert_eq!(pace.note(3_600_000_000, MEGABYTE), second);
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let mut pace = Pace::new(f64::MAX);
        for now_us in 0..100 {
            assert_eq!(pace.note(now_us, u64::MAX / 2), Duration::ZERO);
        }
    }
}
