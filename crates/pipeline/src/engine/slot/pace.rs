//! When a slot commits: little delay at low load, few transactions at high load; and how long it
//! waits when there is nothing to commit.

use std::time::Duration;

use super::Slot;
use crate::engine::task::Task;
use crate::limits::{
    COMMIT_BYTES_MAX, COMMIT_PAUSE_US_MIN, COMMIT_RECORDS_MAX, SLOT_REST_MS_MAX, SLOT_WAIT_MS_MAX,
};

impl Slot {
    /// How long to wait for input.
    pub(super) fn wait(&self) -> Duration {
        match self.open.as_ref().filter(|_| self.has_work()) {
            Some(open) => Duration::from_micros(self.pace.wait_us(open, self.clock.steady_us())),
            None if self.is_at_rest() => Duration::from_millis(SLOT_REST_MS_MAX),
            None => Duration::from_millis(SLOT_WAIT_MS_MAX),
        }
    }

    /// Whether only records and orders can give it something to do.
    fn is_at_rest(&self) -> bool {
        self.failure.is_none()
            && !self.is_stopping
            && self.parked.is_at_rest()
            && self.tasks.iter().all(Task::is_at_rest)
    }
}

/// The transaction that is under way.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) since_us: u64,
    pub(super) records: u64,
    pub(super) bytes: usize,
    /// Times of records and how many there were, to be counted once they are committed.
    pub(super) times: Vec<(i64, u64)>,
    /// Whether the coordinator was told ahead of what is written.
    pub(super) is_prepared: bool,
}

impl Open {
    /// Nothing is in it yet.
    pub(super) fn new(since_us: u64) -> Self {
        Self { since_us, records: 0, bytes: 0, times: Vec::new(), is_prepared: false }
    }
}

/// How commits follow each other.
#[derive(Debug)]
pub(super) struct Pace {
    interval_us: u64,
    /// What the last commit took.
    last_us: u64,
}

impl Pace {
    /// A transaction is never older than this interval.
    pub(super) fn new(interval_ms: u64) -> Self {
        Self { interval_us: interval_ms.saturating_mul(1000), last_us: 0 }
    }

    /// A commit took this long.
    pub(super) fn note(&mut self, took_us: u64) {
        self.last_us = took_us;
    }

    /// The age at which a transaction is committed when no input waits. As long as the last commit
    /// took, so that commits take at most half of the time.
    fn pause_us(&self) -> u64 {
        self.last_us.max(COMMIT_PAUSE_US_MIN).min(self.interval_us)
    }

    /// The age at which the coordinator is told what the transaction writes: late enough to know
    /// most of it, early enough that the commit need not wait for it.
    fn prepare_us(&self) -> u64 {
        self.pause_us() / 2
    }

    /// How long nothing is due.
    pub(super) fn wait_us(&self, open: &Open, now_us: u64) -> u64 {
        let age_us = now_us.saturating_sub(open.since_us);
        let due_us = if open.is_prepared { self.pause_us() } else { self.prepare_us() };
        due_us.saturating_sub(age_us)
    }

    /// Whether it is time to tell the coordinator what the transaction writes.
    pub(super) fn is_preparing_due(&self, open: &Open, now_us: u64) -> bool {
        !open.is_prepared && now_us.saturating_sub(open.since_us) >= self.prepare_us()
    }

    /// Whether it is time to commit.
    pub(super) fn is_due(&self, open: &Open, now_us: u64, is_quiet: bool) -> bool {
        let age_us = now_us.saturating_sub(open.since_us);
        open.records >= COMMIT_RECORDS_MAX
            || open.bytes >= COMMIT_BYTES_MAX
            || age_us >= self.interval_us
            || (is_quiet && age_us >= self.pause_us())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_transaction_is_prepared_and_then_committed() {
        let pace = Pace::new(100);
        let mut open = Open::new(0);
        let half_us = COMMIT_PAUSE_US_MIN / 2;
        assert_eq!(pace.wait_us(&open, 0), half_us);
        assert!(!pace.is_preparing_due(&open, half_us - 1));
        assert!(pace.is_preparing_due(&open, half_us));
        open.is_prepared = true;
        assert!(!pace.is_preparing_due(&open, half_us));
        assert_eq!(pace.wait_us(&open, half_us), COMMIT_PAUSE_US_MIN - half_us);
        assert!(!pace.is_due(&open, COMMIT_PAUSE_US_MIN, false));
        assert!(pace.is_due(&open, COMMIT_PAUSE_US_MIN, true));
    }

    #[test]
    fn slow_commits_are_further_apart_up_to_the_interval() {
        let mut pace = Pace::new(100);
        let open = Open::new(0);
        pace.note(20_000);
        assert!(!pace.is_due(&open, 19_999, true));
        assert!(pace.is_due(&open, 20_000, true));
        pace.note(180_000);
        assert!(!pace.is_due(&open, 99_999, true));
        assert!(pace.is_due(&open, 100_000, false));
    }

    #[test]
    fn a_full_transaction_waits_for_nothing() {
        let pace = Pace::new(100);
        let records = Open { records: COMMIT_RECORDS_MAX, ..Open::new(0) };
        let bytes = Open { bytes: COMMIT_BYTES_MAX, ..Open::new(0) };
        assert!(pace.is_due(&records, 0, false) && pace.is_due(&bytes, 0, false));
    }
}
