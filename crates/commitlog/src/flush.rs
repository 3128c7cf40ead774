//! The flush of one log's files, which may be run on any thread.

use std::path::PathBuf;
use std::sync::Arc;

use base::disk::Disk;

use crate::command::LogId;
use crate::error::Error;
use crate::queue::Shared;
use crate::segment::Segment;

/// What has to be flushed.
#[derive(Debug)]
pub(crate) struct Flush {
    pub id: LogId,
    pub segments: Vec<Arc<Segment>>,
    /// The log's folder, when names in it are new.
    pub folder: Option<(Arc<dyn Disk>, PathBuf)>,
}

impl Flush {
    /// Blocks for as long as the disk takes.
    pub(crate) fn run(&self) -> Result<(), Error> {
        for segment in &self.segments {
            segment.file.sync_data().map_err(Error::io("flush", &segment.path))?;
        }
        match &self.folder {
            Some((disk, dir)) => disk.sync_dir(dir).map_err(Error::io("flush", dir)),
            None => Ok(()),
        }
    }
}

/// A flush that was begun. The flusher is told of its end when this is dropped; one that was not
/// run, or panicked, has failed.
#[derive(Debug)]
pub struct FlushJob {
    flush: Flush,
    outcome: Option<Result<(), Error>>,
    queue: Arc<Shared>,
}

/// A flush that has come to its end.
#[derive(Debug)]
pub(crate) struct Landed {
    pub id: LogId,
    /// None when it was not run to its end.
    pub outcome: Option<Result<(), Error>>,
}

impl FlushJob {
    pub(crate) fn new(flush: Flush, queue: Arc<Shared>) -> Self {
        Self { flush, outcome: None, queue }
    }

    /// Flushes what was written before this job was made; blocks for as long as the disk takes.
    pub fn run(&mut self) {
        self.outcome = Some(self.flush.run());
    }
}

impl Drop for FlushJob {
    fn drop(&mut self) {
        self.queue.land(Landed { id: self.flush.id, outcome: self.outcome.take() });
    }
}
