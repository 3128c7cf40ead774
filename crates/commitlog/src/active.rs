//! The segment that is written, and the room set aside in front of it.
//!
//! A file that grows by a piece with every flush is scattered over the disk, and each flush has to
//! store where its piece lies. So a segment that grows fast has room set aside, as much as it has
//! already, which is given back when nobody writes any more.

use std::sync::Arc;

use crate::limits::{RESERVE_BYTES_MAX, RESERVE_FROM_BYTES, RESERVE_IDLE_MS};
use crate::segment::{Growth, Segment};

/// The segment that is written.
#[derive(Debug)]
pub(crate) struct Active {
    pub segment: Arc<Segment>,
    pub growth: Growth,
    pub created_ms: i64,
    /// From when on its records wait to be cleaned: their own time, when the segment was found at
    /// a start, or an idle log would wait anew after each.
    pub waits_from_ms: i64,
    /// Up to where room is set aside, if any is.
    reserved: u64,
    /// When it was written last, in steady milliseconds.
    pub written_ms: u64,
}

impl Active {
    pub(crate) fn new(segment: Arc<Segment>, growth: Growth, created_ms: i64) -> Self {
        Self { segment, growth, created_ms, waits_from_ms: created_ms, reserved: 0, written_ms: 0 }
    }

    /// Sets room aside for what comes next, up to `segment_bytes_max`, if it has grown so far that
    /// more is likely, and little room is left.
    pub(crate) fn reserve(&mut self, segment_bytes_max: u64) {
        let bytes = self.segment.bytes();
        let end = (bytes + bytes.min(RESERVE_BYTES_MAX)).min(segment_bytes_max);
        let is_short = bytes + RESERVE_FROM_BYTES > self.reserved;
        if bytes >= RESERVE_FROM_BYTES && is_short && end > self.reserved {
            // Without it everything works as well, and a disk without room says so when written.
            let _ = self.segment.file.reserve(bytes.max(self.reserved), end);
            self.reserved = end;
        }
    }

    /// Gives back room that nobody needs.
    pub(crate) fn release(&mut self) {
        if std::mem::take(&mut self.reserved) > self.segment.bytes() {
            self.release_all();
        }
    }

    /// Gives back what an earlier run may have set aside.
    pub(crate) fn release_all(&self) {
        // What could not be given back goes with the segment.
        let _ = self.segment.file.release();
    }

    /// Gives its room back when it was not written for a while.
    pub(crate) fn release_if_idle(&mut self, now_ms: u64) {
        if self.reserved > 0 && now_ms.saturating_sub(self.written_ms) >= RESERVE_IDLE_MS {
            self.release();
        }
    }
}
