//! From a folder to a log: what a crash left is cut, flushed, and only then served.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::cast;
use base::disk::{Disk, OpenMode};
use bytes::Bytes;
use protocol::record::{Batch, BatchHeader, Batches, ControlType, RecordError, control_type};

use crate::checkpoint;
use crate::epochs::Epochs;
use crate::error::Error;
use crate::format::{
    self, CLEANED, DELETED, LOG, OFFSET_INDEX, SNAPSHOT, SWAP, TIME_INDEX, TXN_INDEX,
};
use crate::index::{self, AbortedEntry, Lookup, Tables};
use crate::limits::{DECOMPRESS_BYTES_MAX, HEADER_WINDOW_BYTES, HISTORY_BYTES_MAX};
use crate::producers::{Marker, Producers};
use crate::segment::{Growth, Parts, Segment};
use crate::snapshot;
use crate::walk::{Stop, Stretch, Walk};

/// Bytes that recovery took away, because they were no whole batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: PathBuf,
    /// The offset that the log now ends at.
    pub from_offset: i64,
    /// The place in the file.
    pub position: u64,
    /// Bytes taken away, here and in later segments.
    pub bytes: u64,
    /// Whether bytes went that had been flushed once: not a crash's torn tail but damage.
    pub was_flushed: bool,
    /// What was wrong with the first of them.
    pub reason: String,
}

/// How a folder is to be opened.
#[derive(Debug, Clone)]
pub(crate) struct LoadOptions {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    /// Whether the last end was a clean one, after which nothing needs to be walked.
    pub clean: bool,
    /// Everything before it was flushed once.
    pub recovery_point: i64,
    /// Whether a gap between segments is taken for the cleaner's work, because it is not known
    /// what was flushed.
    pub trusts_gaps: bool,
    /// The first offset that may be read, if it was recorded.
    pub log_start: Option<i64>,
    /// Batches that the journal holds, in their order: what the files lack of them is put back.
    pub tail: Vec<Bytes>,
    pub interval_bytes: u64,
    pub now_ms: i64,
}

/// A log as it lies on disk.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub segments: Vec<Arc<Segment>>,
    /// Of the last segment.
    pub growth: Growth,
    pub producers: Producers,
    pub epochs: Epochs,
    pub next_offset: i64,
    pub log_start: i64,
    pub cuts: Vec<Cut>,
    /// Whether the files are as a clean end left them.
    pub is_stored: bool,
}

/// Opens a log's folder; none when it holds no segment yet.
pub(crate) fn load(options: &LoadOptions) -> Result<Option<Loaded>, Error> {
    match load_once(options) {
        // What a clean end left was damaged since: nothing is taken on trust.
        Err(Error::Record { .. } | Error::Damaged { .. }) if options.clean => {
            let recovery_point = 0;
            let again = LoadOptions { clean: false, recovery_point, ..options.clone() };
            load_once(&LoadOptions { trusts_gaps: true, ..again })
        }
        other => other,
    }
}

fn load_once(options: &LoadOptions) -> Result<Option<Loaded>, Error> {
    let (disk, dir) = (&*options.disk, options.dir.as_path());
    finish_swaps(disk, dir)?;
    let mut names = Names::list(disk, dir)?;
    names.drop_deleted(options)?;
    let Some(first) = names.logs.first().copied() else { return Ok(None) };
    let mut load = Load { options, segments: Vec::new(), cuts: Vec::new(), growth: None };
    let mut dirty_from = load.first_dirty(&names);
    let mut next_offset = load.open_all(&mut names, dirty_from)?;
    if next_offset < options.recovery_point && dirty_from > 0 {
        // More is missing than a crash can take, so nothing is taken on trust.
        load.segments.clear();
        dirty_from = 0;
        next_offset = load.open_all(&mut names, 0)?;
    }
    if load.put_back(next_offset)? {
        load.segments.clear();
        next_offset = load.open_all(&mut names, dirty_from)?;
        // What was torn is whole again.
        load.cuts.retain(|cut| cut.was_flushed || cut.from_offset >= next_offset);
    }
    if let Some(start) = options.log_start.filter(|start| *start > next_offset) {
        // Everything that may be read is gone, yet its offsets must not come again.
        load.restart_at(&mut names, start)?;
        (dirty_from, next_offset) = (0, start);
    }
    load.drop_stray_snapshots(&names, next_offset)?;
    let dirty_base = load.segments.get(dirty_from).map(|segment| segment.base);
    let (producers, replayed) = load.replay_producers(&names, dirty_base, next_offset)?;
    let mut epochs = match Epochs::load(disk, &dir.join(format::EPOCH_FILE)) {
        Some(epochs) => epochs,
        None => load.walk_epochs()?,
    };
    epochs.truncate_end(next_offset);
    for (epoch, start) in replayed.epochs {
        epochs.note(epoch, start);
    }
    let log_start = options.log_start.unwrap_or(first).max(first).min(next_offset);
    let growth = load.growth.take().expect("a log with segments has a last one");
    let Load { segments, cuts, .. } = load;
    let is_stored = options.clean && dirty_base.is_none() && cuts.is_empty();
    Ok(Some(Loaded {
        segments,
        growth,
        producers,
        epochs,
        next_offset,
        log_start,
        cuts,
        is_stored,
    }))
}

/// The files of a folder that matter, by offset.
#[derive(Debug, Default)]
struct Names {
    logs: Vec<i64>,
    snapshots: Vec<i64>,
}

impl Names {
    fn list(disk: &dyn Disk, dir: &Path) -> Result<Self, Error> {
        let mut names = Self::default();
        for entry in format::list(disk, dir)? {
            let name = entry.name.as_str();
            let kinds = [(LOG, &mut names.logs), (SNAPSHOT, &mut names.snapshots)];
            for (kind, offsets) in kinds {
                offsets.extend(format::offset_of(name, kind));
            }
        }
        Ok(names)
    }

    /// Removes segments that lie before the log's start. A crash may have kept some of them and
    /// taken others, and such a hole must not look like lost batches.
    fn drop_deleted(&mut self, options: &LoadOptions) -> Result<(), Error> {
        let Some(log_start) = options.log_start else { return Ok(()) };
        let gone = self.logs.partition_point(|base| *base <= log_start).saturating_sub(1);
        for base in self.logs.drain(..gone) {
            for kind in [SNAPSHOT, OFFSET_INDEX, TIME_INDEX, TXN_INDEX, LOG] {
                remove(&*options.disk, &format::file(&options.dir, base, kind))?;
            }
            self.snapshots.retain(|offset| *offset != base);
        }
        Ok(())
    }
}

/// Ends what a cleaner began (see `swap.rs`) and removes what was on its way out.
fn finish_swaps(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let mut swaps = Vec::new();
    let entries = format::list(disk, dir)?;
    for entry in &entries {
        let name = entry.name.as_str();
        swaps.extend(format::offset_of(name, &format!("{LOG}.{SWAP}")));
        let leftover = [DELETED, CLEANED, "tmp"].iter().any(|end| ends_with(name, end));
        if leftover {
            remove(disk, &dir.join(name))?;
        }
    }
    for base in &swaps {
        crate::swap::finish(disk, dir, *base)?;
    }
    for entry in &entries {
        // Without its log a swapped transaction index belongs to a swap that never counted.
        let orphan = format::offset_of(&entry.name, &format!("{TXN_INDEX}.{SWAP}"));
        if orphan.is_some_and(|base| !swaps.contains(&base)) {
            remove(disk, &dir.join(&entry.name))?;
        }
    }
    Ok(())
}

fn ends_with(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))
}

pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    disk.remove_file(path).map_err(Error::io("remove", path))
}

struct Load<'a> {
    options: &'a LoadOptions,
    segments: Vec<Arc<Segment>>,
    cuts: Vec<Cut>,
    growth: Option<Growth>,
}

/// What reading batches back brought to light besides producers.
#[derive(Debug, Default)]
struct Replayed {
    epochs: Vec<(i32, i64)>,
}

impl Load<'_> {
    /// The first segment that must be walked; behind the last one when none must.
    fn first_dirty(&self, names: &Names) -> usize {
        let count = names.logs.len();
        let unflushed = if self.options.clean {
            count
        } else {
            // A segment that ends at or before the recovery point was flushed whole.
            let behind = names.logs.partition_point(|base| *base <= self.options.recovery_point);
            behind.saturating_sub(1)
        };
        let digests = self.aborted_digests();
        let intact = |base: &i64| {
            let path = format::file(&self.options.dir, *base, TXN_INDEX);
            let found = index::load::<AbortedEntry>(&*self.options.disk, &path);
            let digest = digests.as_ref().map(|digests| digests.get(base).copied());
            match (found, digest) {
                (Some(found), Some(None)) => found.is_empty(),
                (Some(found), Some(Some(digest))) => index::digest(&found) == digest,
                (None, _) | (_, None) => false,
            }
        };
        // The list of aborted transactions is the one index that a reader cannot do without.
        let damaged = names.logs[..unflushed.min(count)].iter().position(|base| !intact(base));
        damaged.unwrap_or(unflushed)
    }

    /// What the transaction indexes must hold, by segment; none when that is not known.
    fn aborted_digests(&self) -> Option<BTreeMap<i64, u32>> {
        let path = self.options.dir.join(format::ABORTED_FILE);
        if !self.options.disk.exists(&path) {
            return Some(BTreeMap::new());
        }
        let lines = checkpoint::load_lines(&*self.options.disk, &path)?;
        let parse = |line: &String| {
            let (base, digest) = line.split_once(' ')?;
            Some((base.parse().ok()?, digest.parse().ok()?))
        };
        lines.iter().map(parse).collect()
    }

    /// Opens the segments, walks the dirty ones, cuts what is bad; gives the next offset.
    fn open_all(&mut self, names: &mut Names, dirty_from: usize) -> Result<i64, Error> {
        let mut expected = names.logs[0];
        for at in 0..names.logs.len() {
            let base = names.logs[at];
            // Only the cleaner leaves gaps, and only in what was flushed before.
            let flushed = base <= self.options.recovery_point || self.options.trusts_gaps;
            let torn = at >= dirty_from && base != expected && !flushed;
            if torn {
                self.drop_from(names, at, "batches before this segment are missing")?;
                if let Some(last) = self.segments.last() {
                    last.tables.reopen();
                }
                break;
            }
            let is_last = at + 1 == names.logs.len();
            let segment = Arc::new(self.open_segment(base, at >= dirty_from)?);
            self.segments.push(Arc::clone(&segment));
            if at >= dirty_from {
                let whole = self.walk(&segment, expected.max(base))?;
                expected = self.growth.as_ref().map_or(base, Growth::next_offset);
                if !whole {
                    self.drop_from(names, at + 1, "it follows a batch that was cut")?;
                    break;
                }
                if !is_last {
                    self.seal_walked(&segment)?;
                }
            } else if is_last {
                expected = self.resume(&segment)?;
            } else {
                expected = names.logs[at + 1];
            }
        }
        if dirty_from < self.segments.len() || !self.cuts.is_empty() {
            self.flush(dirty_from)?;
        }
        Ok(expected)
    }

    fn open_segment(&self, base: i64, dirty: bool) -> Result<Segment, Error> {
        let disk = &self.options.disk;
        let path = format::file(&self.options.dir, base, TXN_INDEX);
        let aborted =
            if dirty { Vec::new() } else { index::load(&**disk, &path).unwrap_or_default() };
        let tables = if dirty { Tables::growing(Lookup::default()) } else { Tables::cold() };
        let parts = Parts { tables, aborted, interval_bytes: self.options.interval_bytes };
        Segment::open(disk, &self.options.dir, base, parts)
    }

    /// Walks a whole segment with checksums; false when something was cut.
    fn walk(&mut self, segment: &Segment, expected: i64) -> Result<bool, Error> {
        let mut growth = Growth::new(segment.base, segment.interval_bytes());
        let mut lookup = Lookup::default();
        let mut walk = segment.walk_all();
        let mut next = expected;
        let bad = loop {
            let position = walk.position();
            match next_sound(&mut walk, next) {
                Ok(None) => break None,
                Ok(Some(header)) if !segment.spans(&header) => {
                    break Some((position, RecordError::OffsetOverflow));
                }
                Ok(Some(header)) => {
                    growth.note(&mut lookup, position, &header);
                    next = header.next_offset();
                }
                Err(Stop::Bad(reason)) => break Some((position, reason)),
                Err(Stop::Failed(error)) => return Err(error),
            }
        };
        segment.set_max_timestamp(growth.max_timestamp());
        segment.tables.replace(lookup);
        self.growth = Some(growth);
        let Some((position, reason)) = bad else { return Ok(true) };
        let bytes = segment.bytes() - position;
        segment.file.set_len(position).map_err(Error::io("cut", &segment.path))?;
        segment.set_bytes(position);
        self.cuts.push(Cut {
            file: segment.path.clone(),
            from_offset: next,
            position,
            bytes,
            was_flushed: next < self.options.recovery_point,
            reason: reason.to_string(),
        });
        Ok(false)
    }

    /// Writes the tables of a walked segment that takes no more batches.
    fn seal_walked(&self, segment: &Segment) -> Result<(), Error> {
        if let Some(growth) = &self.growth {
            segment.tables.grow(|lookup| growth.finish(lookup));
        }
        match segment.seal() {
            // A full disk must not stand in the way: the tables are in memory.
            Err(error) if error.is_storage_full() => Ok(()),
            other => other,
        }
    }

    /// Finds the end of a segment whose tables were stored by a clean end.
    fn resume(&mut self, segment: &Segment) -> Result<i64, Error> {
        let Some((growth, lookup)) = segment.resume()? else {
            self.walk(segment, segment.base)?;
            return Ok(self.growth.as_ref().map_or(segment.base, Growth::next_offset));
        };
        segment.set_max_timestamp(growth.max_timestamp());
        segment.tables.regrow(lookup);
        let next = growth.next_offset();
        self.growth = Some(growth);
        Ok(next)
    }

    /// Writes batches of the journal behind the log's end; whether there were any.
    fn put_back(&mut self, end: i64) -> Result<bool, Error> {
        let Some(segment) = self.segments.last() else { return Ok(false) };
        let mut next = end;
        let mut position = segment.bytes();
        for batch in self.options.tail.iter().flat_map(|batches| Batches::new(batches.clone())) {
            let failed = |source| Error::Record { path: segment.path.clone(), position, source };
            let batch = batch.map_err(failed)?;
            batch.verify_crc().map_err(failed)?;
            let header = batch.header();
            if header.next_offset() <= next {
                continue;
            }
            if header.base_offset != next {
                self.cuts.push(Cut {
                    file: segment.path.clone(),
                    from_offset: next,
                    position,
                    bytes: cast::u64_of(header.total_bytes()),
                    was_flushed: true,
                    reason: "the journal holds batches behind a hole".to_owned(),
                });
                break;
            }
            let write = segment.file.write_at(batch.bytes(), position);
            write.map_err(Error::io("write", &segment.path))?;
            position += cast::u64_of(header.total_bytes());
            next = header.next_offset();
        }
        Ok(next > end)
    }

    /// Removes the segments from this one on.
    fn drop_from(&mut self, names: &mut Names, at: usize, reason: &str) -> Result<(), Error> {
        let disk = &*self.options.disk;
        // From the end, so that a crash in between leaves a log without holes.
        for base in names.logs.split_off(at).into_iter().rev() {
            let path = format::file(&self.options.dir, base, LOG);
            let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path))?;
            let bytes = file.len().map_err(Error::io("measure", &path))?;
            for kind in [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX] {
                remove(disk, &format::file(&self.options.dir, base, kind))?;
            }
            disk.sync_dir(&self.options.dir).map_err(Error::io("flush", &self.options.dir))?;
            if bytes > 0 {
                self.cuts.push(Cut {
                    file: path,
                    from_offset: base,
                    position: 0,
                    bytes,
                    was_flushed: base < self.options.recovery_point,
                    reason: reason.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Begins anew at the log's start, when the log ends before it.
    fn restart_at(&mut self, names: &mut Names, start: i64) -> Result<(), Error> {
        // The new segment first: its name carries the next offset through a crash.
        let segment = Arc::new(self.open_segment(start, true)?);
        self.walk(&segment, start)?;
        self.segments.clear();
        let told = self.cuts.len();
        self.drop_from(names, 0, "it lies before the log's start")?;
        self.cuts.truncate(told);
        self.segments.push(segment);
        self.flush(0)
    }

    /// What was walked may so far be only in the system's memory.
    fn flush(&self, dirty_from: usize) -> Result<(), Error> {
        for segment in self.segments.iter().skip(dirty_from) {
            segment.file.sync_data().map_err(Error::io("flush", &segment.path))?;
        }
        let dir = &self.options.dir;
        self.options.disk.sync_dir(dir).map_err(Error::io("flush", dir))
    }

    /// Removes snapshots behind the end, which speak of batches that were lost, and those of
    /// earlier clean ends, which the segments' own make superfluous.
    fn drop_stray_snapshots(&self, names: &Names, end: i64) -> Result<(), Error> {
        let newest = names.snapshots.iter().copied().filter(|offset| *offset <= end).max();
        let is_base = |offset: i64| self.segments.iter().any(|segment| segment.base == offset);
        for offset in &names.snapshots {
            if *offset > end || (Some(*offset) != newest && !is_base(*offset)) {
                remove(&*self.options.disk, &format::file(&self.options.dir, *offset, SNAPSHOT))?;
            }
        }
        Ok(())
    }

    /// Reads producers from the newest usable snapshot and from the batches behind it, and the
    /// aborted transactions of the segments from `dirty_base` on.
    fn replay_producers(
        &self,
        names: &Names,
        dirty_base: Option<i64>,
        next_offset: i64,
    ) -> Result<(Producers, Replayed), Error> {
        let upto = dirty_base.unwrap_or(next_offset).min(next_offset);
        let (mut producers, from) = self.newest_snapshot(names, upto);
        let mut replayed = Replayed::default();
        let first = self.segments.partition_point(|segment| segment.base <= from);
        for segment in &self.segments[first.saturating_sub(1)..] {
            let mut aborted = Vec::new();
            let mut step = |walk: &mut Walk<'_>, at, header: &BatchHeader| {
                replayed.epochs.push((header.partition_leader_epoch, header.base_offset));
                let marker = if header.is_control() { marker_at(walk, at, header)? } else { None };
                aborted.extend(producers.replay(header, marker, self.options.now_ms));
                Ok(())
            };
            walk_from(segment, from, &mut step)?;
            replayed.epochs.dedup_by_key(|(epoch, _)| *epoch);
            if dirty_base.is_some_and(|base| segment.base >= base) {
                segment.set_aborted(aborted);
            }
        }
        Ok((producers, replayed))
    }

    /// Reads the leader epochs from the batches, when their file is missing or damaged.
    fn walk_epochs(&self) -> Result<Epochs, Error> {
        let mut epochs = Epochs::default();
        for segment in &self.segments {
            walk_from(segment, segment.base, &mut |_, _, header| {
                epochs.note(header.partition_leader_epoch, header.base_offset);
                Ok(())
            })?;
        }
        Ok(epochs)
    }

    fn newest_snapshot(&self, names: &Names, upto: i64) -> (Producers, i64) {
        for offset in names.snapshots.iter().rev().filter(|offset| **offset <= upto) {
            let path = format::file(&self.options.dir, *offset, SNAPSHOT);
            if let Some(found) = snapshot::load(&*self.options.disk, &path, self.options.now_ms) {
                return (found, *offset);
            }
        }
        (Producers::default(), 0)
    }
}

/// The next batch's header, if the batch is sound and follows.
fn next_sound(walk: &mut Walk<'_>, expected: i64) -> Result<Option<BatchHeader>, Stop> {
    let Some((_, batch)) = walk.next_batch()? else { return Ok(None) };
    batch.verify_crc().map_err(Stop::Bad)?;
    let header = *batch.header();
    // The checksum does not cover the offset.
    if header.base_offset < expected {
        return Err(Stop::Bad(RecordError::OffsetOverflow));
    }
    Ok(Some(header))
}

type Step<'s> = dyn FnMut(&mut Walk<'_>, u64, &BatchHeader) -> Result<(), Stop> + 's;

/// Walks the headers of a segment from the batch that holds this offset on.
fn walk_from(segment: &Segment, offset: i64, step: &mut Step<'_>) -> Result<(), Error> {
    let end = segment.bytes();
    let from = if offset <= segment.base {
        0
    } else {
        segment.place_of(offset, end)?.map_or(end, |place| place.position)
    };
    let mut walk = segment.walk(Stretch { from, end, window_bytes: HEADER_WINDOW_BYTES * 8 });
    let stopped = loop {
        match walk.next_header() {
            Ok(Some((at, header))) => {
                if let Err(stop) = step(&mut walk, at, &header) {
                    break stop;
                }
            }
            Ok(None) => return Ok(()),
            Err(stop) => break stop,
        }
    };
    Err(stopped.into_error(&segment.path, walk.position()))
}

fn marker_at(walk: &mut Walk<'_>, at: u64, header: &BatchHeader) -> Result<Option<Marker>, Stop> {
    let batch = walk.batch_at(at, header)?;
    marker_of(&batch).map_err(Stop::Bad)
}

/// What a control batch says; none when the cleaner emptied it or it ends no transaction.
pub(crate) fn marker_of(batch: &Batch) -> Result<Option<Marker>, RecordError> {
    let decoded = batch.decode(DECOMPRESS_BYTES_MAX)?;
    let Some(record) = decoded.iter().next() else { return Ok(None) };
    let record = record?;
    let kind = match control_type(&record) {
        Ok(kind) => kind,
        Err(RecordError::ControlType(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let value = record.value.unwrap_or_default();
    let epoch = value.get(2..).and_then(|rest| rest.first_chunk());
    let epoch = epoch.ok_or(RecordError::ControlRecord)?;
    let coordinator_epoch = i32::from_be_bytes(*epoch);
    Ok(Some(Marker { aborted: kind == ControlType::Abort, coordinator_epoch }))
}

/// Completes what is remembered of producers from the log's tail.
pub(crate) fn complete_history(
    segments: &[Arc<Segment>],
    producers: &mut Producers,
) -> Result<(), Error> {
    producers.history_missing = false;
    let mut left = HISTORY_BYTES_MAX;
    for segment in segments.iter().rev() {
        let end = segment.bytes();
        let from = segment.boundary_before(0, end.saturating_sub(left))?.position;
        let mut headers = Vec::new();
        let stretch = Stretch { from, end, window_bytes: HEADER_WINDOW_BYTES * 8 };
        let mut walk = segment.walk(stretch);
        loop {
            match walk.next_header() {
                Ok(Some((_, header))) if header.has_producer() => headers.push(header),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(stop) => return Err(stop.into_error(&segment.path, walk.position())),
            }
        }
        for header in headers.iter().rev() {
            producers.remember(header);
        }
        left = left.saturating_sub(end - from);
        if left == 0 {
            break;
        }
    }
    Ok(())
}
