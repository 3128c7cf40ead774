//! Compaction: of the records of a key only the last stays.
//!
//! The flusher plans a job over closed segments in which no transaction is open any more; the job
//! reads and writes files only, so that it may run on any thread; the flusher then puts the
//! result in place (`swap.rs`). Offsets stay, so batches become sparse.
//!
//! What goes: records with a newer one of the same key; records of aborted transactions; after
//! `delete.retention.ms` records that delete their key, and markers of transactions that have no
//! records left. What stays: the last batch of every producer and of every file, emptied where
//! need be, because sequences and offsets hang on them.

mod keys;
mod transactions;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::cast;
use base::disk::{Disk, DiskFile, OpenMode};
use bytes::Bytes;
use protocol::record::{Batch, Record, RecordError, Retained, empty_batch, retain_records};

use self::keys::Keys;
use self::transactions::Transactions;
use crate::command::{Command, LogId};
use crate::error::Error;
use crate::format::{self, CLEANED, LOG, TXN_INDEX};
use crate::index::{self, AbortedEntry, Lookup};
use crate::limits::{DECOMPRESS_BYTES_MAX, WALK_WINDOW_BYTES};
use crate::log::Log;
use crate::queue::Shared;
use crate::segment::{Growth, Segment};

/// A piece of compaction that may be run on any thread.
#[derive(Debug)]
pub struct CleanJob {
    id: LogId,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Neighbours that become one segment each, from the log's start on.
    groups: Vec<Vec<Arc<Segment>>>,
    cleaned_to: i64,
    aborted: Vec<AbortedEntry>,
    last_of_producers: BTreeSet<i64>,
    /// Deletions and markers older than this may go.
    forget_before_ms: i64,
    queue: Arc<Shared>,
}

/// What a job has made, for the flusher to put in place.
#[derive(Debug)]
pub struct Cleaned {
    pub(crate) id: LogId,
    pub(crate) groups: Result<Vec<Group>, Error>,
    pub(crate) cleaned_to: i64,
}

/// A cleaned segment, whole and flushed under its `.cleaned` name.
#[derive(Debug)]
pub(crate) struct Group {
    pub base: i64,
    pub olds: Vec<Arc<Segment>>,
    pub lookup: Lookup,
    pub aborted: Vec<AbortedEntry>,
    pub max_timestamp: i64,
}

/// The dirtiest part of a log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dirt {
    pub ratio: f64,
    /// Closed segments that may be cleaned, from the first on.
    pub segments: usize,
}

impl Log {
    /// How much cleaning would bring, if the log's rules ask for it.
    pub(crate) fn dirt(&self) -> Option<Dirt> {
        let active = self.active.as_ref()?;
        if !self.config.cleanup.compacts() || self.is_failed() {
            return None;
        }
        let stable = self.reader.last_stable_offset();
        let segments = self.reader.segments();
        let end = self.flushed_end.min(stable).min(active.segment.base);
        // A segment's end is the next one's base.
        let count = segments.partition_point(|segment| segment.base <= end).saturating_sub(1);
        let bytes = |segments: &[Arc<Segment>]| -> u64 {
            segments.iter().map(|segment| segment.bytes()).sum()
        };
        let clean = segments[..count].partition_point(|segment| segment.base < self.cleaned_to);
        let (total, dirty) = (bytes(&segments[..count]), bytes(&segments[clean..count]));
        if dirty == 0 {
            return None;
        }
        let ratio = cast::f64_of(dirty) / cast::f64_of(total);
        (ratio >= self.config.min_cleanable_dirty_ratio).then_some(Dirt { ratio, segments: count })
    }

    pub(crate) fn clean_job(&self, dirt: Dirt, queue: Arc<Shared>) -> CleanJob {
        let segments = self.reader.segments();
        let aborted = segments
            .iter()
            .flat_map(|segment| segment.with_aborted(<[AbortedEntry]>::to_vec))
            .collect();
        let producers = self.reader.producers();
        let last_of_producers =
            producers.iter().filter_map(|(_, p)| p.last()).map(|last| last.last_offset).collect();
        CleanJob {
            id: self.id,
            disk: Arc::clone(&self.env.disk),
            dir: self.dir.clone(),
            groups: group(&segments[..dirt.segments], self.config.segment_bytes),
            cleaned_to: self.cleaned_to,
            aborted,
            last_of_producers,
            forget_before_ms: self
                .env
                .clock
                .unix_ms()
                .saturating_sub(self.config.delete_retention_ms),
            queue,
        }
    }
}

/// Puts neighbours together that fit one segment.
fn group(segments: &[Arc<Segment>], bytes_max: u64) -> Vec<Vec<Arc<Segment>>> {
    let mut groups: Vec<Vec<Arc<Segment>>> = Vec::new();
    let mut size = 0;
    for (at, segment) in segments.iter().enumerate() {
        let end = segments.get(at + 1).map_or(segment.base, |next| next.base);
        match groups.last_mut() {
            Some(group)
                if size + segment.bytes() <= bytes_max
                    && end - group[0].base < i64::from(i32::MAX) =>
            {
                size += segment.bytes();
                group.push(Arc::clone(segment));
            }
            _ => {
                size = segment.bytes();
                groups.push(vec![Arc::clone(segment)]);
            }
        }
    }
    groups
}

/// What one run knows while it rewrites.
struct Run<'a> {
    job: &'a CleanJob,
    keys: Keys,
    transactions: Transactions,
}

impl CleanJob {
    /// Does the work and hands the result to the flusher.
    pub fn run(self) {
        let mut keys = Keys::default();
        let groups = self.clean(&mut keys);
        let (id, cleaned_to) = (self.id, keys.end());
        let cleaned = Cleaned { id, groups, cleaned_to };
        self.queue.submit_internal(Command::Cleaned(cleaned));
    }

    fn clean(&self, keys: &mut Keys) -> Result<Vec<Group>, Error> {
        let transactions = Transactions::new(&self.aborted);
        self.map_keys(keys, &transactions)?;
        let mut run = Run { job: self, keys: std::mem::take(keys), transactions };
        let mut groups = Vec::new();
        for olds in &self.groups {
            // Behind what was mapped nothing can be said of any key.
            if olds[0].base >= run.keys.end() {
                break;
            }
            groups.push(run.rewrite(olds)?);
        }
        *keys = run.keys;
        Ok(groups)
    }

    /// Notes the last offset of every key that was written since the last run.
    fn map_keys(&self, keys: &mut Keys, transactions: &Transactions) -> Result<(), Error> {
        let segments: Vec<&Arc<Segment>> = self.groups.iter().flatten().collect();
        for (at, segment) in segments.iter().enumerate() {
            if let Some(next) = segments.get(at + 1).filter(|next| next.base <= self.cleaned_to) {
                keys.advance(next.base);
                continue;
            }
            let mut walk = segment.walk_all();
            loop {
                let at = walk.position();
                let batch = match walk.next_batch() {
                    Ok(Some((_, batch))) => batch,
                    Ok(None) => break,
                    Err(stop) => return Err(stop.into_error(&segment.path, at)),
                };
                let header = *batch.header();
                let skip = header.last_offset() < self.cleaned_to
                    || header.is_control()
                    || transactions.is_aborted(&header);
                if !skip {
                    let noted = note_keys(keys, &batch).map_err(damaged(&segment.path, at))?;
                    if !noted {
                        return Ok(());
                    }
                }
                keys.advance(header.next_offset());
            }
        }
        Ok(())
    }
}

/// Notes a batch's keys; false when there is no room for more.
fn note_keys(keys: &mut Keys, batch: &Batch) -> Result<bool, RecordError> {
    batch.verify_crc()?;
    for record in &batch.decode(DECOMPRESS_BYTES_MAX)? {
        let record = record?;
        if let Some(key) = record.key
            && !keys.note(key, record.offset)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn damaged(path: &Path, position: u64) -> impl Fn(RecordError) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Record { path: path.clone(), position, source }
}

impl Run<'_> {
    /// Writes one group's records that stay.
    fn rewrite(&mut self, olds: &[Arc<Segment>]) -> Result<Group, Error> {
        let base = olds[0].base;
        let last_offset = last_offset(olds)?;
        let mut output = Output::create(self.job, base, olds[0].interval_bytes())?;
        let mut aborted = Vec::new();
        for old in olds {
            let mut walk = old.walk_all();
            loop {
                let at = walk.position();
                let batch = match walk.next_batch() {
                    Ok(Some((_, batch))) => batch,
                    Ok(None) => break,
                    Err(stop) => return Err(stop.into_error(&old.path, at)),
                };
                let is_last = batch.header().last_offset() == last_offset;
                let kept = self.keep(&batch, is_last).map_err(damaged(&old.path, at))?;
                if let Some(bytes) = kept {
                    aborted.extend(self.transactions.marked_at(batch.header()));
                    output.push(bytes)?;
                }
            }
        }
        output.finish(&aborted)?;
        let max_timestamp = output.growth.max_timestamp();
        Ok(Group { base, olds: olds.to_vec(), lookup: output.lookup, aborted, max_timestamp })
    }

    /// What is left of a batch, if anything is.
    fn keep(&mut self, batch: &Batch, is_last: bool) -> Result<Option<Bytes>, RecordError> {
        let header = batch.header();
        batch.verify_crc()?;
        if header.is_control() {
            let old = header.max_timestamp < self.job.forget_before_ms;
            let needed = self.transactions.end(header);
            return Ok((needed || !old || is_last).then(|| batch.bytes().clone()));
        }
        // A deletion may go once nothing that it deletes can be left before it.
        let mapped = header.last_offset() < self.keys.end();
        let forget = mapped && header.max_timestamp < self.job.forget_before_ms;
        let gone = self.transactions.is_aborted(header);
        let keys = &self.keys;
        let wanted = |record: &Record<'_>| {
            let Some(key) = record.key else { return false };
            let newest = keys.last(key).is_none_or(|last| last <= record.offset);
            newest && !gone && !(forget && record.value.is_none())
        };
        let kept = match retain_records(batch, DECOMPRESS_BYTES_MAX, wanted)? {
            Retained::All if header.record_count > 0 => Some(batch.bytes().clone()),
            Retained::Some(bytes) => Some(bytes),
            Retained::All | Retained::None => None,
        };
        if kept.is_some() {
            self.transactions.note_records(header);
            return Ok(kept);
        }
        let last_of_producer =
            header.has_producer() && self.job.last_of_producers.contains(&header.last_offset());
        if !(last_of_producer || is_last) {
            return Ok(None);
        }
        // Even empty it belongs to its transaction, whose marker must not go before it.
        self.transactions.note_records(header);
        Ok(Some(empty_batch(header)))
    }
}

/// The last offset of the last batch of a group; -1 when it holds none.
fn last_offset(olds: &[Arc<Segment>]) -> Result<i64, Error> {
    for old in olds.iter().rev() {
        let mut walk = old.walk_all();
        let mut last = -1;
        loop {
            match walk.next_header() {
                Ok(Some((_, header))) => last = header.last_offset(),
                Ok(None) => break,
                Err(stop) => return Err(stop.into_error(&old.path, walk.position())),
            }
        }
        if last >= 0 {
            return Ok(last);
        }
    }
    Ok(-1)
}

/// The file that a group goes to.
struct Output {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    txn_path: PathBuf,
    file: Arc<dyn DiskFile>,
    buffers: Vec<Bytes>,
    buffered_bytes: usize,
    position: u64,
    growth: Growth,
    lookup: Lookup,
}

impl Output {
    fn create(job: &CleanJob, base: i64, interval_bytes: u64) -> Result<Self, Error> {
        let path = format::with_suffix(&format::file(&job.dir, base, LOG), CLEANED);
        let txn_path = format::with_suffix(&format::file(&job.dir, base, TXN_INDEX), CLEANED);
        let file = job.disk.open(&path, OpenMode::Truncate).map_err(Error::io("open", &path))?;
        Ok(Self {
            disk: Arc::clone(&job.disk),
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

    fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        let batch = Batch::parse(&bytes).map_err(damaged(&self.path, self.position))?;
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

    fn finish(&mut self, aborted: &[AbortedEntry]) -> Result<(), Error> {
        self.write()?;
        self.growth.finish(&mut self.lookup);
        self.file.sync_data().map_err(Error::io("flush", &self.path))?;
        index::store(&*self.disk, &self.txn_path, aborted)
    }
}
