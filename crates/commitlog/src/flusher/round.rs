//! The end of a round: write all, make all of it durable, then answer log by log.

use std::collections::{BTreeMap, BTreeSet};

use base::cast;
use bytes::Bytes;

use crate::command::LogId;
use crate::error::Error;
use crate::journal::{Entry, Fit};
use crate::limits::{JOURNAL_ROUND_BYTES_MAX, NON_DURABLE_WAIT_MS};
use crate::log::{Kept, Log};
use crate::options::Durability;

use super::{Flusher, slot};

impl Flusher {
    /// Ends the round: write all, make durable what must be, then answer log by log.
    pub(super) fn settle(&mut self) {
        let now_ms = self.env.clock.steady_ms();
        let due = std::mem::take(&mut self.lingering);
        let touched = std::mem::take(&mut self.touched);
        for id in &touched {
            if let Some(log) = slot(&mut self.logs, *id) {
                log.write();
            }
        }
        let ids: BTreeSet<LogId> = touched.union(&due).copied().collect();
        let wanted: Vec<LogId> = ids
            .iter()
            .filter(|id| {
                let log = slot(&mut self.logs, **id);
                log.is_some_and(|log| log.wants_flush(log.lingers_too_long(now_ms)))
            })
            .copied()
            .collect();
        let mut kept = self.keep(&wanted);
        for id in ids {
            let Some(log) = slot(&mut self.logs, id) else { continue };
            let failed_before = log.is_failed();
            log.end_round(kept.remove(&id).unwrap_or(Kept::Not), |log| {
                let (high, stable) = (log.reader.high_watermark(), log.reader.last_stable_offset());
                self.events.advanced(log.id, high, stable);
            });
            if log.lingers() {
                self.lingering.insert(id);
            }
            if let (false, Some(error)) = (failed_before, &log.failure) {
                self.events.failed(&log.name, error);
            }
        }
    }

    /// Makes what these logs have written durable: all of it in the journal, if it is little.
    fn keep(&mut self, wanted: &[LogId]) -> BTreeMap<LogId, Kept> {
        if self.store_in_journal(wanted) {
            self.journaled.extend(wanted);
            return wanted.iter().map(|id| (*id, Kept::Journaled)).collect();
        }
        let flushed = self.flush(wanted).into_iter();
        flushed.map(|(id, outcome)| (id, Kept::Flushed(outcome))).collect()
    }

    fn flush(&mut self, wanted: &[LogId]) -> BTreeMap<LogId, Result<(), Error>> {
        let open = |id: &LogId| slot(&mut self.logs, *id).map(|log| log.flush_job());
        let jobs: Vec<_> = wanted.iter().filter_map(open).collect();
        let count = jobs.len();
        let jobs = self.events.flush(jobs);
        assert!(jobs.len() == count, "every flush of a round comes back");
        for job in &jobs {
            self.journaled.remove(&job.id);
            if job.outcome.is_err() {
                // What the log may have lost is still in the journal, for the next start.
                self.journal.retire();
            }
        }
        jobs.into_iter().map(|job| (job.id, job.outcome)).collect()
    }

    /// Whether the journal has made the writes of all these logs durable.
    fn store_in_journal(&mut self, wanted: &[LogId]) -> bool {
        match self.fit_in_journal(wanted) {
            None => return false,
            Some(Fit::Now) => {}
            Some(_) => {
                self.flush_journaled(usize::MAX);
                if !self.journal.rewind() {
                    return false;
                }
            }
        }
        let entries: Vec<_> = entries(&self.logs, wanted).flatten().collect();
        if entries.iter().all(|entry| entry.buffers.is_empty()) {
            // Repetitions of what is durable already.
            return true;
        }
        match self.journal.store(&entries) {
            Ok(()) => true,
            Err(error) if error.is_storage_full() => false,
            Err(error) => {
                self.events.failed("journal", &error);
                // Nobody knows what the disk keeps of it, so nothing may depend on it any more.
                self.journal.retire();
                self.flush_journaled(usize::MAX);
                false
            }
        }
    }

    /// Where the writes of all these logs go in the journal, if they may.
    fn fit_in_journal(&self, wanted: &[LogId]) -> Option<Fit> {
        if wanted.is_empty() {
            return None;
        }
        let entries = entries(&self.logs, wanted).collect::<Option<Vec<_>>>()?;
        let bytes: usize = entries.iter().flat_map(|entry| entry.buffers).map(Bytes::len).sum();
        if bytes > JOURNAL_ROUND_BYTES_MAX {
            return None;
        }
        Some(self.journal.fit(&entries)).filter(|fit| *fit != Fit::Never)
    }

    /// Flushes logs whose batches are only in the journal, at most so many.
    pub(super) fn flush_journaled(&mut self, count_max: usize) {
        let ids: Vec<LogId> = self.journaled.iter().take(count_max).copied().collect();
        for (id, outcome) in self.flush(&ids) {
            let Some(log) = slot(&mut self.logs, id) else { continue };
            let failed_before = log.is_failed();
            log.note_file_flushed(outcome);
            if let (false, Some(error)) = (failed_before, &log.failure) {
                self.events.failed(&log.name, error);
            }
        }
        // A log that was removed takes no flush any more.
        for id in &ids {
            self.journaled.remove(id);
        }
    }
}

/// What the journal would have to hold for these logs; none for a log that only a flush will do
/// for.
fn entries<'a>(
    logs: &'a [Option<Log>],
    wanted: &'a [LogId],
) -> impl Iterator<Item = Option<Entry<'a>>> {
    wanted.iter().map(|id| logs.get(cast::usize_of_u32(id.0))?.as_ref()?.journal_entry())
}

impl Log {
    /// Whether something written waits for a flush that will be due by itself.
    fn lingers(&self) -> bool {
        let waits = match self.durability() {
            Durability::Flush => self.is_at_risk(),
            Durability::Os => self.config.flush_ms < u64::MAX && self.has_unflushed(),
        };
        waits && !self.is_failed()
    }

    fn lingers_too_long(&self, now_ms: u64) -> bool {
        let limit_ms = match self.durability() {
            Durability::Flush => NON_DURABLE_WAIT_MS,
            Durability::Os => self.config.flush_ms,
        };
        self.unflushed_since_ms().is_some_and(|since| now_ms.saturating_sub(since) >= limit_ms)
    }
}
