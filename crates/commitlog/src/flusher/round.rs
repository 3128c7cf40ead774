//! The end of a round: write all, see to it that it becomes durable, answer log by log.
//!
//! What is little for its log is durable when this returns, by the journal. The flushes of other
//! logs are only begun: while they are under way the next round is written, and their ends are
//! turned into answers when the flusher looks next. So a log waits for nobody's flush but its own.

use std::sync::Arc;

use base::cast;
use bytes::Bytes;

use crate::command::LogId;
use crate::error::Error;
use crate::flush::{FlushJob, Landed};
use crate::journal::{Entry, Fit};
use crate::limits::{FLUSHES_MAX, JOURNAL_ROUND_BYTES_MAX, NON_DURABLE_WAIT_MS};
use crate::log::{Kept, Log};
use crate::options::Durability;

use super::{Flusher, LogEvents, slot};

impl Flusher {
    /// Ends the round and waits until all of it is answered.
    pub(super) fn settle(&mut self) {
        self.end_round();
        while self.flights > 0 || !self.touched.is_empty() {
            self.await_flushes();
            self.end_round();
        }
    }

    /// Ends the round as far as that goes without waiting for a flush of a log.
    pub(super) fn end_round(&mut self) {
        loop {
            self.write_and_keep();
            // Where flushes are run at once they have ended by now.
            let landed = if self.flights > 0 { self.queue.landed() } else { Vec::new() };
            // What waited behind flushes that have ended meanwhile, with nobody else to begin it.
            let waits = self.flights == 0 && !self.touched.is_empty();
            if landed.is_empty() && !waits {
                return;
            }
            self.land(landed);
        }
    }

    fn write_and_keep(&mut self) {
        let now_ms = self.env.clock.steady_ms();
        let due = std::mem::take(&mut self.lingering);
        let touched = std::mem::take(&mut self.touched);
        for id in &touched {
            if let Some(log) = slot(&mut self.logs, *id) {
                log.write();
            }
        }
        let (mut small, mut large, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for id in touched.union(&due).copied() {
            match slot(&mut self.logs, id) {
                // The end of its flush brings it back here.
                Some(log) if log.is_held() => {}
                Some(log) if !log.wants_flush(log.lingers_too_long(now_ms)) => others.push(id),
                Some(log) if log.journal_entry().is_some() => small.push(id),
                Some(_) => large.push(id),
                None => {}
            }
        }
        others.into_iter().for_each(|id| self.answer(id, Kept::Not));
        // The journal is flushed meanwhile.
        self.flush_soon(large);
        if self.store_in_journal(&small) {
            self.journaled.extend(&small);
            small.iter().for_each(|id| self.answer(*id, Kept::Journaled));
            self.flush_behind(small);
        } else {
            self.flush_soon(small);
        }
    }

    /// Begins to flush the files of these logs, or leaves it to the next round.
    fn flush_soon(&mut self, ids: Vec<LogId>) {
        if self.flights < FLUSHES_MAX {
            self.begin_flushes(ids);
        } else {
            self.touched.extend(ids);
        }
    }

    /// Ends the round for a log that has no flush of its own in it.
    fn answer(&mut self, id: LogId, kept: Kept) {
        let Some(log) = slot(&mut self.logs, id) else { return };
        log.end_round(kept, tell(&*self.events));
        if log.lingers() {
            self.lingering.insert(id);
        }
        self.note_failure(id);
    }

    /// Begins to flush the files of those logs of which much is only in the journal.
    fn flush_behind(&mut self, mut ids: Vec<LogId>) {
        let much = self.journal.part_bytes();
        ids.retain(|id| slot(&mut self.logs, *id).is_some_and(|log| log.journaled_bytes() >= much));
        if self.flights < FLUSHES_MAX {
            self.begin_flushes(ids);
        }
    }

    fn begin_flushes(&mut self, ids: impl IntoIterator<Item = LogId>) {
        let mut jobs = Vec::new();
        for id in ids {
            if let Some(log) = slot(&mut self.logs, id).filter(|log| log.may_begin_flush()) {
                if self.space.is_ample() {
                    log.reserve();
                }
                jobs.push(FlushJob::new(log.begin_flush(), Arc::clone(&self.queue)));
            }
        }
        self.flights += jobs.len();
        if !jobs.is_empty() {
            self.events.flush(jobs);
        }
    }

    /// Waits for all flushes that are under way.
    fn await_flushes(&mut self) {
        while self.flights > 0 {
            self.events.help_flush();
            let landed = self.queue.await_landing();
            self.land(landed);
        }
    }

    /// Answers what these flushes were for; their logs take part in the next round.
    pub(super) fn land(&mut self, landed: Vec<Landed>) {
        self.flights -= landed.len();
        for Landed { id, outcome } in landed {
            let log = slot(&mut self.logs, id).expect("a log with a flush under way stays");
            let given_up = || Err(Error::Failed { name: log.name.clone() });
            log.end_flush(outcome.unwrap_or_else(given_up), tell(&*self.events));
            if log.journaled_bytes() == 0 && !log.is_failed() {
                self.journaled.remove(&id);
            }
            self.touched.insert(id);
            self.note_failure(id);
        }
    }

    /// Tells once that a log has failed, if it has. Its file takes no flush any more, so what the
    /// journal has of it must stay there for the next start.
    pub(super) fn note_failure(&mut self, id: LogId) {
        let Some(log) = slot(&mut self.logs, id) else { return };
        let Some(error) = &log.failure else { return };
        if !std::mem::replace(&mut log.is_failure_told, true) {
            self.events.failed(&log.name, error);
        }
        if self.journaled.remove(&id) {
            self.journal.retire();
        }
    }

    /// Whether the journal has made the writes of all these logs durable.
    fn store_in_journal(&mut self, wanted: &[LogId]) -> bool {
        match self.fit_in_journal(wanted) {
            None => return false,
            Some(Fit::Now) => {}
            Some(_) => {
                self.flush_journaled();
                if !self.journal.rewind() {
                    return false;
                }
            }
        }
        let Some(entries) = entries(&self.logs, wanted).collect::<Option<Vec<_>>>() else {
            return false;
        };
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
                self.flush_journaled();
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

    /// Begins to flush logs whose batches are only in the journal, at most so many.
    pub(super) fn begin_journaled(&mut self, count_max: usize) {
        let ids: Vec<LogId> = self.journaled.iter().take(count_max).copied().collect();
        self.begin_flushes(ids);
    }

    /// Flushes all logs whose batches are only in the journal.
    pub(super) fn flush_journaled(&mut self) {
        // Those that are under way may not reach the end of what the journal holds.
        self.await_flushes();
        self.begin_journaled(usize::MAX);
        self.await_flushes();
        // A log that was removed, or has failed, takes no flush any more.
        self.journaled.clear();
    }
}

/// Tells of a log that readers see more of it.
fn tell(events: &dyn LogEvents) -> impl FnOnce(&Log) + '_ {
    |log| {
        let (high, stable) = (log.reader.high_watermark(), log.reader.last_stable_offset());
        events.advanced(log.id, high, stable);
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
