//! Compaction (placeholder until the next commit).

use crate::command::LogId;

/// A cleaned group of segments, ready to be put in place.
#[derive(Debug)]
pub struct Cleaned {
    pub(crate) id: LogId,
}
