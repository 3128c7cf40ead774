//! Which logs want cleaning, and up to where: Kafka's rules (`LogCleanerManager`).

use std::cmp::Ordering;
use std::sync::Arc;

use base::cast;

use crate::error::Error;
use crate::log::Log;
use crate::segment::Segment;

/// The part of a log that cleaning would look at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dirt {
    pub ratio: f64,
    /// Whether a record waits longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
    /// Closed segments that may be cleaned, from the first on.
    pub segments: usize,
}

impl Dirt {
    /// Which of two logs is cleaned first: what is overdue, then what is dirtiest.
    pub(crate) fn urgency(&self, other: &Self) -> Ordering {
        let overdue = self.is_overdue.cmp(&other.is_overdue);
        overdue.then(self.ratio.total_cmp(&other.ratio))
    }
}

impl Log {
    /// How much cleaning would bring, if the log's rules ask for it.
    pub(crate) fn dirt(&self) -> Option<Dirt> {
        if !self.config.cleanup.compacts() || self.is_failed() || self.is_uncleanable {
            return None;
        }
        // A segment that cannot be asked for its times cannot be cleaned either.
        self.find_dirt().ok().flatten()
    }

    fn find_dirt(&self) -> Result<Option<Dirt>, Error> {
        if self.active.is_none() {
            return Ok(None);
        }
        let stable = self.reader.last_stable_offset();
        let segments = self.reader.segments();
        // The segment that is written is never cleaned, nor the one that readers end in.
        let end = self.flushed_end.min(stable).min(self.reader.published_base());
        // A segment's end is the next one's base.
        let closed = segments.partition_point(|segment| segment.base <= end).saturating_sub(1);
        // The segment in which the last run ran out of room is dirty as a whole.
        let first = segments[..closed].partition_point(|segment| segment.base <= self.cleaned_to);
        let first = first.saturating_sub(1);
        let now_ms = self.env.clock.unix_ms();
        let count = first + self.old_enough(&segments[first..closed], now_ms)?;
        if segments[count].base <= self.cleaned_to.max(segments[first].base) {
            return Ok(None);
        }
        let dirty = &segments[first..count];
        let (total, unclean) = (bytes(&segments[..count]), bytes(dirty));
        if unclean == 0 {
            return Ok(None);
        }
        let ratio = cast::f64_of(unclean) / cast::f64_of(total);
        let is_overdue = self.is_overdue(dirty, now_ms)?;
        let wanted = is_overdue || ratio > self.config.min_cleanable_dirty_ratio;
        Ok(wanted.then_some(Dirt { ratio, is_overdue, segments: count }))
    }

    /// How many of these segments lie before the first record that is younger than
    /// `min.compaction.lag.ms`.
    fn old_enough(&self, dirty: &[Arc<Segment>], now_ms: i64) -> Result<usize, Error> {
        let lag_ms = self.config.min_compaction_lag_ms;
        if lag_ms <= 0 {
            return Ok(dirty.len());
        }
        let young_from_ms = now_ms.saturating_sub(lag_ms);
        for (at, segment) in dirty.iter().enumerate() {
            if segment.max_timestamp()? > young_from_ms {
                return Ok(at);
            }
        }
        Ok(dirty.len())
    }

    /// Whether a segment begins with a record older than `max.compaction.lag.ms`.
    fn is_overdue(&self, dirty: &[Arc<Segment>], now_ms: i64) -> Result<bool, Error> {
        let lag_ms = self.config.max_compaction_lag_ms;
        if lag_ms == i64::MAX {
            return Ok(false);
        }
        let overdue_before_ms = now_ms.saturating_sub(lag_ms);
        for segment in dirty {
            // Records without a time are no reason to hurry.
            if (1..overdue_before_ms).contains(&segment.first_timestamp()?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn bytes(segments: &[Arc<Segment>]) -> u64 {
    segments.iter().map(|segment| segment.bytes()).sum()
}
