//! Compaction: of the records of a key only the last stays.
//!
//! The flusher plans a job over closed segments in which no transaction is open any more; the job
//! reads and writes files only, so that it may run on any thread; the flusher then puts the
//! result in place (`swap.rs`). Offsets stay, so batches become sparse.
//!
//! What goes: records with a newer one of the same key, and records of aborted transactions.
//! Records that delete their key, and markers of transactions of which nothing is left, get a
//! delete horizon from the first run that could do without them, and go with the first run after
//! it. What stays: the last batch of every producer and of every file, emptied where need be,
//! because sequences and offsets hang on them.
//!
//! A run notes the keys that were written since the last one (`keys.rs`), then rewrites the log
//! from its start up to where it got (`rewrite.rs`). Which log is next says `dirt.rs`.

mod dirt;
mod keys;
mod output;
mod pace;
mod rewrite;
mod transactions;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base::cast;
use base::clock::Clock;
use base::disk::Disk;
use protocol::record::{Batch, RecordError};

pub(crate) use self::dirt::Dirt;
use self::keys::Keys;
use self::pace::Pace;
use self::rewrite::Run;
use self::transactions::Transactions;
use crate::command::{Command, LogId};
use crate::error::Error;
use crate::index::{AbortedEntry, Lookup};
use crate::limits::{CLEANER_METER_BYTES, CLEANER_WAIT_MAX, DECOMPRESS_BYTES_MAX};
use crate::log::Log;
use crate::queue::Shared;
use crate::segment::Segment;
use crate::swap;

/// A piece of compaction that may be run on any thread.
#[derive(Debug)]
pub struct CleanJob {
    id: LogId,
    name: String,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    dir: PathBuf,
    /// Neighbours that become one segment each, from the log's start on.
    groups: Vec<Vec<Arc<Segment>>>,
    /// The first offset that no run has looked at.
    cleaned_to: i64,
    /// Where the segments end.
    end: i64,
    aborted: Vec<AbortedEntry>,
    last_of_producers: BTreeSet<i64>,
    /// Producers, with their epochs, of which the log has nothing but markers.
    only_marked: BTreeSet<(i64, i16)>,
    /// The time that delete horizons are held against, and what they are set from.
    now_ms: i64,
    delete_retention_ms: i64,
    bytes_per_second: f64,
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

impl Log {
    pub(crate) fn clean_job(&self, dirt: Dirt, queue: Arc<Shared>) -> CleanJob {
        let segments = self.reader.segments();
        let aborted = segments
            .iter()
            .flat_map(|segment| segment.with_aborted(<[AbortedEntry]>::to_vec))
            .collect();
        let producers = self.reader.producers();
        let last_of_producers =
            producers.iter().filter_map(|(_, p)| p.last()).map(|last| last.last_offset).collect();
        let silent = producers.iter().filter(|(_, p)| p.last().is_none());
        let only_marked = silent.map(|(id, p)| (id, p.epoch)).collect();
        CleanJob {
            id: self.id,
            name: self.name.clone(),
            disk: Arc::clone(&self.env.disk),
            clock: Arc::clone(&self.env.clock),
            dir: self.dir.clone(),
            groups: group(&segments[..dirt.segments], self.config.segment_bytes),
            cleaned_to: self.cleaned_to,
            end: segments[dirt.segments].base,
            aborted,
            last_of_producers,
            only_marked,
            now_ms: self.env.clock.unix_ms(),
            delete_retention_ms: self.config.delete_retention_ms,
            bytes_per_second: self.config.cleaner_bytes_per_second,
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

/// Holds a run to its pace, and ends it when the store is closed.
struct Meter<'a> {
    job: &'a CleanJob,
    pace: Pace,
    wait: &'a mut dyn FnMut(Duration),
    bytes: usize,
}

impl Meter<'_> {
    /// Notes bytes that were read or are written; waits when that was too fast.
    fn note(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        if self.bytes < CLEANER_METER_BYTES {
            return Ok(());
        }
        let bytes = cast::u64_of(std::mem::take(&mut self.bytes));
        let mut left = self.pace.note(self.job.clock.steady_us(), bytes);
        loop {
            // Whoever opens the folder next must not find this run at work in it.
            if self.job.queue.is_closed() {
                return Err(Error::Failed { name: self.job.name.clone() });
            }
            if left.is_zero() {
                return Ok(());
            }
            let wait = left.min(CLEANER_WAIT_MAX);
            (self.wait)(wait);
            left -= wait;
        }
    }
}

impl CleanJob {
    /// Does the work as fast as it can and hands the result to the flusher.
    pub fn run(mut self) {
        self.bytes_per_second = f64::MAX;
        self.run_paced(&mut |_| {});
    }

    /// Does the work and hands the result to the flusher; waits by `wait` where the log's
    /// `cleaner_bytes_per_second` asks for it, a fraction of a second at a time.
    pub fn run_paced(self, wait: &mut dyn FnMut(Duration)) {
        let mut keys = Keys::default();
        let groups = self.clean(&mut keys, wait);
        if groups.is_err() && !self.queue.is_closed() {
            self.groups.iter().for_each(|olds| swap::discard(&*self.disk, &self.dir, olds[0].base));
        }
        let (id, cleaned_to) = (self.id, keys.end());
        let cleaned = Cleaned { id, groups, cleaned_to };
        self.queue.submit_internal(Command::Cleaned(cleaned));
    }

    fn clean(&self, keys: &mut Keys, wait: &mut dyn FnMut(Duration)) -> Result<Vec<Group>, Error> {
        let transactions = Transactions::new(&self.aborted);
        let mut meter = Meter { job: self, pace: Pace::new(self.bytes_per_second), wait, bytes: 0 };
        self.map_keys(keys, &transactions, &mut meter)?;
        let mut run = Run { job: self, keys: std::mem::take(keys), transactions, meter };
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
    fn map_keys(
        &self,
        keys: &mut Keys,
        transactions: &Transactions,
        meter: &mut Meter<'_>,
    ) -> Result<(), Error> {
        let segments: Vec<&Arc<Segment>> = self.groups.iter().flatten().collect();
        for (at, segment) in segments.iter().enumerate() {
            let end = segments.get(at + 1).map_or(self.end, |next| next.base);
            if end > self.cleaned_to && !self.map_segment(segment, keys, transactions, meter)? {
                return Ok(());
            }
            keys.advance(end);
        }
        Ok(())
    }

    /// Notes the keys of one segment; false when there is no room for more.
    fn map_segment(
        &self,
        segment: &Segment,
        keys: &mut Keys,
        transactions: &Transactions,
        meter: &mut Meter<'_>,
    ) -> Result<bool, Error> {
        let mut walk = segment.walk_all();
        loop {
            let at = walk.position();
            let batch = match walk.next_batch() {
                Ok(Some((_, batch))) => batch,
                Ok(None) => return Ok(true),
                Err(stop) => return Err(stop.into_error(&segment.path, at)),
            };
            meter.note(batch.bytes().len())?;
            let header = *batch.header();
            let skip = header.last_offset() < self.cleaned_to
                || header.is_control()
                || transactions.is_aborted(&header);
            if !skip && !note_keys(keys, &batch).map_err(damaged(&segment.path, at))? {
                return Ok(false);
            }
            keys.advance(header.next_offset());
        }
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
