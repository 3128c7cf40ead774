//! Which leader epoch started at which offset, as in Kafka's `leader-epoch-checkpoint`.

use std::path::Path;

use base::disk::Disk;

use crate::checkpoint;
use crate::error::Error;

/// Epochs with their first offsets, both strictly rising.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    starts: Vec<(i32, i64)>,
}

/// The answer for an epoch that is not known.
const UNDEFINED: (i32, i64) = (-1, -1);

impl Epochs {
    /// Reads the file; none when it is missing or damaged.
    pub(crate) fn load(disk: &dyn Disk, path: &Path) -> Option<Self> {
        let lines = checkpoint::load_lines(disk, path)?;
        let mut epochs = Self::default();
        for line in lines {
            let (epoch, start) = line.split_once(' ')?;
            let (epoch, start) = (epoch.parse().ok()?, start.parse().ok()?);
            if !epochs.note(epoch, start) {
                return None;
            }
        }
        Some(epochs)
    }

    pub(crate) fn store(&self, disk: &dyn Disk, path: &Path) -> Result<(), Error> {
        let lines = self.starts.iter().map(|(epoch, start)| format!("{epoch} {start}"));
        checkpoint::store_lines(disk, path, lines)
    }

    /// Takes note that a batch of this epoch starts here; true when that was new.
    pub(crate) fn note(&mut self, epoch: i32, start: i64) -> bool {
        let newer = self.starts.last().is_none_or(|last| last.0 < epoch && last.1 <= start);
        if epoch < 0 || !newer {
            return false;
        }
        // An epoch in which nothing was written gives way to the one that starts there too.
        if self.starts.last().is_some_and(|last| last.1 == start) {
            self.starts.pop();
        }
        self.starts.push((epoch, start));
        true
    }

    pub(crate) fn latest(&self) -> i32 {
        self.starts.last().map_or(-1, |last| last.0)
    }

    /// Forgets what starts at or behind this offset.
    pub(crate) fn truncate_end(&mut self, end: i64) {
        self.starts.retain(|(_, start)| *start < end);
    }

    /// Forgets epochs that ended before this offset; the one it lies in starts there.
    pub(crate) fn truncate_start(&mut self, start: i64) {
        let gone = self.starts.partition_point(|(_, first)| *first <= start);
        if gone > 0 {
            self.starts.drain(..gone - 1);
            self.starts[0].1 = self.starts[0].1.max(start);
        }
    }

    /// The largest epoch up to this one and the offset behind its last record (KIP-279).
    pub(crate) fn end_of(&self, epoch: i32, log_end: i64) -> (i32, i64) {
        if epoch < 0 {
            return UNDEFINED;
        }
        let behind = self.starts.partition_point(|(known, _)| *known <= epoch);
        match (behind.checked_sub(1), self.starts.get(behind)) {
            // An epoch before everything known: nothing of it is left here.
            (None, Some((_, start))) => (epoch, *start),
            (None, None) => UNDEFINED,
            (Some(at), Some((_, start))) => (self.starts[at].0, *start),
            (Some(at), None) if self.starts[at].0 == epoch => (epoch, log_end),
            // An epoch newer than the newest known one.
            (Some(_), None) => UNDEFINED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> Epochs {
        let mut epochs = Epochs::default();
        for (epoch, start) in [(1, 0), (3, 10), (5, 20)] {
            assert!(epochs.note(epoch, start));
        }
        epochs
    }

    #[test]
    fn the_end_of_an_epoch_is_the_start_of_the_next() {
        let epochs = epochs();
        let cases = [(0, (0, 0)), (1, (1, 10)), (2, (1, 10)), (4, (3, 20)), (5, (5, 25))];
        for (asked, answer) in cases {
            assert_eq!(epochs.end_of(asked, 25), answer, "epoch {asked}");
        }
        assert_eq!(epochs.end_of(6, 25), UNDEFINED);
        assert_eq!(epochs.end_of(-1, 25), UNDEFINED);
        assert_eq!(Epochs::default().end_of(0, 0), UNDEFINED);
    }

    #[test]
    fn truncation_keeps_the_epoch_that_an_offset_lies_in() {
        let mut epochs = epochs();
        epochs.truncate_end(20);
        assert_eq!(epochs.latest(), 3);
        epochs.truncate_start(12);
        assert_eq!(epochs.starts, [(3, 12)]);
        epochs.truncate_end(12);
        assert_eq!(epochs.latest(), -1);
    }

    #[test]
    fn an_epoch_never_goes_back() {
        let mut epochs = epochs();
        assert!(!epochs.note(5, 30));
        assert!(!epochs.note(4, 30));
        assert!(epochs.note(6, 20));
        assert_eq!(epochs.starts, [(1, 0), (3, 10), (6, 20)]);
    }
}
