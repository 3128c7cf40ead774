//! What makes a round durable with one flush, whatever it touches.
//!
//! The batches of a round go into their logs' files as ever, and a copy of them goes here; only
//! the copy is flushed. The logs are flushed behind it, and all of them before the journal begins
//! anew at its front. A start after a crash puts back what the logs' own files lost.
//!
//! The file's room is written with zeros before it is used, because a flush that need not store a
//! new length waits once less.

mod record;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base::cast;
use base::disk::{Disk, DiskFile, OpenMode};
use base::uuid::Uuid;
use bytes::Bytes;

use crate::error::Error;
use crate::format;
use crate::limits::{JOURNAL_BEHIND_PARTS, JOURNAL_STEP_BYTES};
use crate::options::StoreOptions;

pub(crate) use record::Entry;

/// What the journal knows of a log: the topic's id, and its batches in their order.
pub(crate) type Tails = BTreeMap<String, (Uuid, Vec<Bytes>)>;

/// The file, and where its next record goes.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    dir: PathBuf,
    /// Made with the first record.
    file: Option<Arc<dyn DiskFile>>,
    bytes_max: u64,
    /// Tells the records of this file from what a stranger may have put into a batch.
    mark: u64,
    sequence: u64,
    at: u64,
    /// How much of the file is written, with records or zeros.
    room: u64,
}

impl Journal {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        let now_us = options.clock.steady_us();
        let now_ms = options.clock.unix_ms().unsigned_abs();
        Self {
            disk: Arc::clone(&options.disk),
            path: options.dir.join(format::JOURNAL_FILE),
            dir: options.dir.clone(),
            file: None,
            bytes_max: options.journal_bytes,
            mark: secret(options.directory_id) ^ now_ms.rotate_left(20) ^ now_us,
            sequence: 0,
            at: 0,
            room: 0,
        }
    }

    /// The batches in the file that an earlier run left; none when there is no file.
    pub(crate) fn read(&self) -> Result<Tails, Error> {
        let mut tails = Tails::new();
        if !self.disk.exists(&self.path) {
            return Ok(tails);
        }
        let bytes = self.disk.read(&self.path).map_err(Error::io("read", &self.path))?;
        for entry in record::read_all(&bytes) {
            let found = tails.entry(entry.name).or_insert((entry.topic_id, Vec::new()));
            if found.0 != entry.topic_id {
                // The topic was removed and made anew.
                *found = (entry.topic_id, Vec::new());
            }
            found.1.push(entry.batches);
        }
        Ok(tails)
    }

    /// Removes the file. What it holds must be durable elsewhere, or of no use any more.
    pub(crate) fn remove(&mut self) -> Result<(), Error> {
        self.file = None;
        (self.at, self.room) = (0, 0);
        self.disk.remove_file(&self.path).map_err(Error::io("remove", &self.path))
    }

    /// Takes no record any more, and keeps those that it has.
    pub(crate) fn retire(&mut self) {
        self.bytes_max = 0;
    }

    /// Whether these entries fit into a journal at all, and whether they do behind the last record.
    pub(crate) fn fit(&self, entries: &[Entry<'_>]) -> Fit {
        let bytes = record::bytes_of(entries);
        match () {
            () if bytes > self.bytes_max => Fit::Never,
            () if self.at + bytes > self.bytes_max => Fit::AtFront,
            () => Fit::Now,
        }
    }

    /// The part of the journal that the batches of one log may take before its file is flushed.
    pub(crate) fn part_bytes(&self) -> u64 {
        self.bytes_max / JOURNAL_BEHIND_PARTS
    }

    /// Goes on at the front, if it still takes records. Every log whose batches are in the file
    /// must be flushed.
    pub(crate) fn rewind(&mut self) -> bool {
        let goes_on = self.bytes_max > 0;
        if goes_on {
            self.at = 0;
        }
        goes_on
    }

    /// Makes what is in the file void. Every log whose batches are in it must be flushed.
    ///
    /// # Errors
    /// The disk's; [`Error::Failed`] when the file must stay as it is until the next start.
    pub(crate) fn forget(&mut self) -> Result<(), Error> {
        if self.file.is_none() {
            return Ok(());
        }
        if !self.rewind() {
            return Err(Error::Failed { name: format::JOURNAL_FILE.to_owned() });
        }
        // Whatever lies behind a newer record is of an earlier turn.
        self.store(&[])
    }

    /// Writes a record and flushes it. After an error its batches are as durable as before.
    pub(crate) fn store(&mut self, entries: &[Entry<'_>]) -> Result<(), Error> {
        let record = record::encode(self.mark, self.sequence + 1, entries);
        let file = self.open()?;
        let end = self.at + cast::u64_of(record.len());
        if end > self.room {
            let room = end.next_multiple_of(JOURNAL_STEP_BYTES).min(self.bytes_max.max(end));
            let zeros = vec![0; cast::usize_of(room - self.room)];
            file.write_at(&zeros, self.room).map_err(Error::io("write", &self.path))?;
            self.room = room;
        }
        file.write_at(&record, self.at).map_err(Error::io("write", &self.path))?;
        file.sync_data().map_err(Error::io("flush", &self.path))?;
        self.sequence += 1;
        self.at = end;
        Ok(())
    }

    fn open(&mut self) -> Result<Arc<dyn DiskFile>, Error> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let opened = self.disk.open(&self.path, OpenMode::Truncate);
        let file = opened.map_err(Error::io("open", &self.path))?;
        self.disk.sync_dir(&self.dir).map_err(Error::io("flush", &self.dir))?;
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }
}

/// A number that whoever does not see the folder cannot know.
fn secret(id: Uuid) -> u64 {
    let half =
        |at: usize| u64::from_be_bytes(*id.0[at..].first_chunk().expect("an id has 16 bytes"));
    half(0) ^ half(8).rotate_left(32)
}

/// Where a record may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Behind the last one.
    Now,
    /// At the front, once the logs are flushed.
    AtFront,
    /// It is larger than the journal.
    Never,
}
