//! The file that the cleaner writes what stays of a group to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::cast;
use base::disk::{Disk, DiskFile, OpenMode};
use bytes::Bytes;
use protocol::record::Batch;

use crate::error::Error;
use crate::format::{self, CLEANED, LOG, TXN_INDEX};
use crate::index::{self, AbortedEntry, Lookup};
use crate::limits::WALK_WINDOW_BYTES;
use crate::segment::Growth;

/// A segment under its `.cleaned` name, and what is known of it.
pub(super) struct Output {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    txn_path: PathBuf,
    file: Arc<dyn DiskFile>,
    buffers: Vec<Bytes>,
    buffered_bytes: usize,
    position: u64,
    pub(super) growth: Growth,
    pub(super) lookup: Lookup,
}

impl Output {
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        base: i64,
        interval_bytes: u64,
    ) -> Result<Self, Error> {
        let path = format::with_suffix(&format::file(dir, base, LOG), CLEANED);
        let txn_path = format::with_suffix(&format::file(dir, base, TXN_INDEX), CLEANED);
        let file = disk.open(&path, OpenMode::Truncate).map_err(Error::io("open", &path))?;
        Ok(Self {
            disk: Arc::clone(disk),
            path,
            txn_path,
            file,
            buffers: Vec::new(),
            buffered_bytes: 0,
            position: 0,
            growth: Growth::new(base, interval_bytes),
            lookup: Lookup::default(),
        })
    }

    pub(super) fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        let batch = Batch::parse(&bytes).map_err(super::damaged(&self.path, self.position))?;
        let position = self.position + cast::u64_of(self.buffered_bytes);
        self.growth.note(&mut self.lookup, position, batch.header());
        self.buffered_bytes += bytes.len();
        self.buffers.push(bytes);
        if self.buffered_bytes >= WALK_WINDOW_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Error> {
        let buffers = std::mem::take(&mut self.buffers);
        self.file
            .write_vectored_at(&buffers, self.position)
            .map_err(Error::io("write", &self.path))?;
        self.position += cast::u64_of(std::mem::take(&mut self.buffered_bytes));
        Ok(())
    }

    pub(super) fn finish(&mut self, aborted: &[AbortedEntry]) -> Result<(), Error> {
        self.write()?;
        self.growth.finish(&mut self.lookup);
        self.file.sync_data().map_err(Error::io("flush", &self.path))?;
        index::store(&*self.disk, &self.txn_path, aborted)
    }
}
