//! What happens to a log beside appending: truncation, retention, rolling by time.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cleaner::Group;
use crate::error::Error;
use crate::format::{self, DELETED, LOG, OFFSET_INDEX, SNAPSHOT, TIME_INDEX, TXN_INDEX};
use crate::index::Tables;
use crate::load::remove;
use crate::log::{LoadStart, Log};
use crate::segment::{Parts, Segment};
use crate::swap;

impl Log {
    /// The upkeep of one log; gives the new start when old records are due to go.
    pub(crate) fn keep_up(&mut self) -> Result<Option<i64>, Error> {
        self.roll_by_time()?;
        self.flush_sealed()?;
        self.shed_memory();
        let now_ms = self.env.clock.steady_ms();
        if let Some(active) = &mut self.active {
            active.release_if_idle(now_ms);
        }
        self.store_epochs()?;
        let start = self.retained_from()?;
        Ok((start > self.reader.log_start_offset()).then_some(start))
    }

    /// Cuts everything from the batch on that holds this offset.
    pub(crate) fn truncate(&mut self, to: i64) -> Result<(), Error> {
        let log_start = self.reader.log_start_offset();
        let to = to.max(log_start);
        if self.active.is_none() || to >= self.next_offset {
            // Epochs that begin at the end are forgotten all the same (KAFKA-10706).
            self.reader.with_epochs(|epochs| epochs.truncate_end(self.next_offset));
            return Ok(());
        }
        let disk = Arc::clone(&self.env.disk);
        let sync = || disk.sync_dir(&self.dir).map_err(Error::io("flush", &self.dir));
        let mut segments = self.reader.segments();
        // From the end, each durable, so that a crash in between leaves no hole.
        while segments.len() > 1 && segments.last().is_some_and(|last| last.base >= to) {
            let last = segments.pop().expect("there is more than one");
            for kind in [TXN_INDEX, TIME_INDEX, OFFSET_INDEX, LOG] {
                remove(&*disk, &format::file(&self.dir, last.base, kind))?;
            }
            sync()?;
        }
        let last = segments.last().expect("a log on disk has a segment");
        if let Some(place) = last.place_of(to, last.bytes())? {
            last.file.set_len(place.position).map_err(Error::io("cut", &last.path))?;
            last.file.sync_data().map_err(Error::io("flush", &last.path))?;
        }
        self.cleaned_to = self.cleaned_to.min(to);
        // What lies before the cut was written and flushed by this very process.
        self.load(&LoadStart {
            clean: false,
            recovery_point: 0,
            trusts_gaps: true,
            log_start: Some(log_start),
            tail: Vec::new(),
        })?;
        Ok(())
    }

    /// The first offset that retention leaves; the log's start when nothing is due.
    pub(crate) fn retained_from(&mut self) -> Result<i64, Error> {
        let start = self.reader.log_start_offset();
        if self.active.is_none() || !self.config.cleanup.deletes() {
            return Ok(start);
        }
        let segments = self.reader.segments();
        let due_ms = self.env.clock.unix_ms().saturating_sub(self.config.retention_ms.max(0));
        let mut surplus = self.surplus_bytes();
        let mut from = start;
        for (at, segment) in segments.iter().enumerate() {
            let end = segments.get(at + 1).map_or(self.next_offset, |next| next.base);
            if end > self.reader.high_watermark() {
                break;
            }
            let newest = segment.max_timestamp()?;
            let seems_old = self.config.retention_ms >= 0 && newest >= 0 && newest < due_ms;
            // A damaged table must not delete what is young, so the last batches are asked too.
            let old = seems_old && segment.newest_at_end()? < due_ms;
            let large = surplus >= segment.bytes() && segment.bytes() > 0;
            // The last segment goes by age only: by size it is what is to be kept.
            let is_last = at + 1 == segments.len();
            if !(old || (large && !is_last)) || end == segment.base {
                break;
            }
            surplus = surplus.saturating_sub(segment.bytes());
            from = end;
        }
        Ok(from.max(start))
    }

    fn surplus_bytes(&self) -> u64 {
        match u64::try_from(self.config.retention_bytes) {
            Ok(bytes_max) => self.reader.size_bytes().saturating_sub(bytes_max),
            Err(_) => 0,
        }
    }

    /// Removes segments that lie wholly before the log's start, whose record is durable.
    /// Gives the files that are to be unlinked later.
    pub(crate) fn drop_before_start(&mut self) -> Result<Vec<PathBuf>, Error> {
        let start = self.reader.log_start_offset();
        self.reader.with_epochs(|epochs| epochs.truncate_start(start));
        if start == self.next_offset {
            // The end must outlive the records: the next segment's name carries it.
            self.roll()?;
            self.settle(true, |_| {});
        }
        let mut segments = self.reader.segments();
        let gone = segments.partition_point(|segment| segment.base <= start).saturating_sub(1);
        if gone == 0 {
            return Ok(Vec::new());
        }
        let old: Vec<Arc<Segment>> = segments.drain(..gone).collect();
        self.reader.set_segments(segments);
        self.epochs_changed = true;
        self.store_epochs()?;
        let disk = &*self.env.disk;
        let mut doomed = Vec::with_capacity(old.len());
        for segment in old {
            for kind in [SNAPSHOT, OFFSET_INDEX, TIME_INDEX, TXN_INDEX] {
                remove(disk, &format::file(&self.dir, segment.base, kind))?;
            }
            let away = format::with_suffix(&segment.path, DELETED);
            disk.rename(&segment.path, &away).map_err(Error::io("rename", &segment.path))?;
            doomed.push(away);
        }
        Ok(doomed)
    }

    /// Puts what the cleaner has made in the place of what it was made from.
    pub(crate) fn put_cleaned(&mut self, groups: Vec<Group>, to: i64) -> Result<(), Error> {
        let mut is_torn = false;
        let mut is_put = false;
        // A run that got nowhere would not get further the next time.
        self.is_uncleanable |= to <= self.cleaned_to;
        for group in groups {
            let fit = Fit::of(&group, &self.reader.segments());
            // Without what lies before it, a group could bring deleted keys back to life.
            is_torn |= fit == Fit::Torn;
            match fit {
                Fit::Whole(first) if !is_torn => {
                    self.put_group(group, first)?;
                    is_put = true;
                }
                Fit::Whole(_) | Fit::Gone | Fit::Torn => {
                    swap::discard(&*self.env.disk, &self.dir, group.base);
                }
            }
        }
        if is_put && !is_torn {
            self.cleaned_to = self.cleaned_to.max(to);
        }
        self.store_aborted_digests()
    }

    fn put_group(&self, group: Group, first: usize) -> Result<(), Error> {
        let disk = Arc::clone(&self.env.disk);
        swap::begin(&*disk, &self.dir, group.base)?;
        swap::finish(&*disk, &self.dir, group.base)?;
        let interval_bytes = group.olds[0].interval_bytes();
        let parts = Parts { tables: Tables::cold(), aborted: group.aborted, interval_bytes };
        let segment = Segment::open(&disk, &self.dir, group.base, parts)?;
        segment.tables.replace(group.lookup);
        segment.set_max_timestamp(group.max_timestamp);
        segment.store_warm()?;
        let mut segments = self.reader.segments();
        segments.splice(first..first + group.olds.len(), [Arc::new(segment)]);
        self.reader.set_segments(segments);
        Ok(())
    }

    /// Closes a segment that took its first batch too long ago.
    pub(crate) fn roll_by_time(&mut self) -> Result<(), Error> {
        let Some(active) = &self.active else { return Ok(()) };
        let now_ms = self.env.clock.unix_ms();
        let is_old = now_ms.saturating_sub(active.created_ms) > self.config.segment_ms_max();
        let lag_ms = now_ms.saturating_sub(active.waits_from_ms);
        let is_overdue =
            self.config.cleanup.compacts() && lag_ms > self.config.max_compaction_lag_ms;
        if active.segment.bytes() > 0 && (is_old || is_overdue) {
            self.roll()?;
            // Readers must not be sent to the end of a segment that may now be cleaned.
            self.settle(true, |_| {});
        }
        Ok(())
    }

    /// Forgets silent producers and frees tables that nobody reads.
    pub(crate) fn shed_memory(&self) {
        let now_ms = self.env.clock.unix_ms();
        self.reader.producers().expire(now_ms, self.config.producer_id_expiration_ms);
        for segment in self.reader.segments() {
            segment.tables.cool();
        }
    }
}

/// Whether the segments that a group was made from are still those of the log, which went on
/// without the cleaner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// They are, from this one on.
    Whole(usize),
    /// None of them is left.
    Gone,
    /// Some are left.
    Torn,
}

impl Fit {
    fn of(group: &Group, segments: &[Arc<Segment>]) -> Self {
        let is_old =
            |segment: &&Arc<Segment>| group.olds.iter().any(|old| Arc::ptr_eq(old, segment));
        let Some(first) = segments.iter().position(|segment| is_old(&segment)) else {
            return Self::Gone;
        };
        let left = segments[first..].iter().filter(is_old).count();
        if left == group.olds.len() { Self::Whole(first) } else { Self::Torn }
    }
}
