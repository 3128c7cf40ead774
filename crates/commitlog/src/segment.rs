//! One segment: a file of batches and the tables that find offsets and times in it.
//!
//! Shared by the flusher, which alone writes, and any number of readers. What lies below
//! `bytes()` never changes.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use base::cast;
use base::disk::{Disk, DiskFile, OpenMode};
use protocol::record::{BatchHeader, NO_TIMESTAMP};

use crate::error::Error;
use crate::format;
use crate::index::{self, AbortedEntry, Lookup, OffsetEntry, TablePaths, Tables, TimeEntry};
use crate::limits::{HEADER_WINDOW_BYTES, RECENT_PLACES_MAX, WALK_WINDOW_BYTES};
use crate::walk::{Stop, Stretch, Walk};

/// Not looked up yet.
const UNKNOWN: i64 = i64::MIN;

#[derive(Debug)]
pub(crate) struct Segment {
    pub base: i64,
    pub path: PathBuf,
    pub file: Arc<dyn DiskFile>,
    disk: Arc<dyn Disk>,
    table_paths: TablePaths,
    bytes: AtomicU64,
    max_timestamp: AtomicI64,
    first_timestamp: AtomicI64,
    interval_bytes: u64,
    pub tables: Tables,
    aborted: RwLock<Vec<AbortedEntry>>,
    /// The batches that were written last, without a gap: who reads along finds its place here.
    recent: Mutex<Recent>,
}

/// A batch in a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub position: u64,
    pub header: BatchHeader,
}

/// Some batches in a row, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<Place>);

impl Recent {
    /// Adds the batch that follows the last one.
    pub(crate) fn push(&mut self, place: Place) {
        if self.0.len() == RECENT_PLACES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(place);
    }

    /// The first batch below `end` whose last offset is at least `offset`, if it is among these.
    fn place_of(&self, offset: i64, end: u64) -> Option<Place> {
        if self.0.front()?.header.base_offset > offset {
            return None;
        }
        let at = self.0.partition_point(|place| place.header.last_offset() < offset);
        self.0.get(at).copied().filter(|place| place.position < end)
    }
}

/// Where one batch ends and the next one begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boundary {
    pub position: u64,
    /// Greater than every offset before the place, and not greater than any behind it.
    pub next_offset: i64,
}

impl Boundary {
    /// Where a batch ends.
    pub(crate) fn behind(place: &Place) -> Self {
        let position = place.position + cast::u64_of(place.header.total_bytes());
        Self { position, next_offset: place.header.next_offset() }
    }
}

/// What a segment is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub tables: Tables,
    pub aborted: Vec<AbortedEntry>,
    pub interval_bytes: u64,
}

impl Segment {
    /// Opens the segment of a folder; the file is made when it is missing.
    pub(crate) fn open(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        base: i64,
        parts: Parts,
    ) -> Result<Self, Error> {
        let path = format::file(dir, base, format::LOG);
        let file = disk.open(&path, OpenMode::Create).map_err(Error::io("open", &path))?;
        let bytes = file.len().map_err(Error::io("measure", &path))?;
        let table_paths = TablePaths {
            offsets: format::file(dir, base, format::OFFSET_INDEX),
            times: format::file(dir, base, format::TIME_INDEX),
        };
        Ok(Self {
            base,
            path,
            file,
            disk: Arc::clone(disk),
            table_paths,
            bytes: AtomicU64::new(bytes),
            max_timestamp: AtomicI64::new(UNKNOWN),
            first_timestamp: AtomicI64::new(UNKNOWN),
            interval_bytes: parts.interval_bytes,
            tables: parts.tables,
            aborted: RwLock::new(parts.aborted),
            recent: Mutex::default(),
        })
    }

    /// Bytes of whole batches that are written.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    pub(crate) fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Release);
    }

    pub(crate) fn interval_bytes(&self) -> u64 {
        self.interval_bytes
    }

    pub(crate) fn walk(&self, stretch: Stretch) -> Walk<'_> {
        Walk::new(&self.file, &self.path, stretch)
    }

    pub(crate) fn walk_all(&self) -> Walk<'_> {
        self.walk(Stretch { from: 0, end: self.bytes(), window_bytes: WALK_WINDOW_BYTES })
    }

    /// The newest timestamp in the segment; -1 when no batch has one.
    pub(crate) fn max_timestamp(&self) -> Result<i64, Error> {
        let known = self.max_timestamp.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return Ok(known);
        }
        let last = self.look(|lookup| lookup.times.last().map(|entry| entry.timestamp))?;
        let found = last.unwrap_or(NO_TIMESTAMP);
        // A growing segment has not written its last entry, so it must be told.
        self.max_timestamp.store(found, Ordering::Relaxed);
        Ok(found)
    }

    pub(crate) fn set_max_timestamp(&self, timestamp: i64) {
        self.max_timestamp.store(timestamp, Ordering::Relaxed);
    }

    /// The newest timestamp of the first batch of a closed segment; -1 when it has none.
    pub(crate) fn first_timestamp(&self) -> Result<i64, Error> {
        let known = self.first_timestamp.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return Ok(known);
        }
        let first = self.find(0, self.bytes(), |_| true)?;
        let found = first.map_or(NO_TIMESTAMP, |place| place.header.max_timestamp);
        self.first_timestamp.store(found, Ordering::Relaxed);
        Ok(found)
    }

    pub(crate) fn push_aborted(&self, entry: AbortedEntry) {
        self.aborted.write().expect("no holder of the aborted list panics").push(entry);
    }

    pub(crate) fn set_aborted(&self, entries: Vec<AbortedEntry>) {
        *self.aborted.write().expect("no holder of the aborted list panics") = entries;
    }

    pub(crate) fn with_aborted<T>(&self, look: impl FnOnce(&[AbortedEntry]) -> T) -> T {
        look(&self.aborted.read().expect("no holder of the aborted list panics"))
    }

    /// Ends the writing: the tables go to their files and leave the memory when nobody asks.
    pub(crate) fn seal(&self) -> Result<(), Error> {
        if let Some(lookup) = self.tables.seal() {
            self.table_paths.store(&*self.disk, &lookup)?;
        }
        self.store_aborted()
    }

    /// Writes the tables of a segment that goes on growing, for a clean end.
    pub(crate) fn store_tables(&self, growth: &Growth) -> Result<(), Error> {
        if let Some(mut lookup) = self.tables.grown() {
            growth.finish(&mut lookup);
            self.table_paths.store(&*self.disk, &lookup)?;
        }
        self.store_aborted()
    }

    /// Writes the tables of a segment that was made whole.
    pub(crate) fn store_warm(&self) -> Result<(), Error> {
        match self.look(|lookup| self.table_paths.store(&*self.disk, lookup))? {
            // They are in memory, and the next start makes them anew.
            Err(error) if error.is_storage_full() => Ok(()),
            other => other,
        }
    }

    fn store_aborted(&self) -> Result<(), Error> {
        let path = self.path.with_extension(format::TXN_INDEX);
        self.with_aborted(|aborted| index::store(&*self.disk, &path, aborted))
    }

    fn look<T>(&self, look: impl FnOnce(&Lookup) -> T) -> Result<T, Error> {
        self.tables.with(|| self.load_lookup(), look)
    }

    fn load_lookup(&self) -> Result<Lookup, Error> {
        match self.table_paths.load(&*self.disk) {
            Some(lookup) if self.is_plausible(&lookup) => Ok(lookup),
            _ => self.scan_lookup(),
        }
    }

    fn is_plausible(&self, lookup: &Lookup) -> bool {
        let end = self.bytes();
        let inside = lookup.offsets.last().is_none_or(|last| u64::from(last.position) < end);
        // Every segment with batches has a time entry, unless none of its batches has a time.
        inside && (end == 0 || !lookup.times.is_empty())
    }

    /// Whether a batch's offsets can belong to this segment.
    pub(crate) fn spans(&self, header: &BatchHeader) -> bool {
        header.base_offset >= self.base && header.last_offset() - self.base <= i64::from(i32::MAX)
    }

    /// The state to go on writing with, from stored tables; none when these are of no use.
    pub(crate) fn resume(&self) -> Result<Option<(Growth, Lookup)>, Error> {
        let Some(mut lookup) = self.table_paths.load(&*self.disk) else { return Ok(None) };
        let last = lookup.offsets.last().copied();
        let from = last.map_or(0, |entry| u64::from(entry.position));
        let trusted = last.is_none_or(|e| self.holds(from, self.base + i64::from(e.relative)));
        if !self.is_plausible(&lookup) || !trusted {
            return Ok(None);
        }
        let first = self.find(0, self.bytes(), |_| true)?;
        let first_timestamp = first.map(|place| place.header.max_timestamp);
        let mut growth = Growth::resumed(self, &lookup, first_timestamp);
        let stretch = Stretch { from, end: self.bytes(), window_bytes: HEADER_WINDOW_BYTES };
        let mut walk = self.walk(stretch);
        loop {
            match walk.next_header() {
                // The batch of the last entry has its entry already.
                Ok(Some((at, header))) if at == from && last.is_some() => growth.skip(&header),
                Ok(Some((at, header))) => growth.note(&mut lookup, at, &header),
                Ok(None) => return Ok(Some((growth, lookup))),
                Err(Stop::Bad(_)) => return Ok(None),
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
    }

    /// Makes the tables anew from the batches.
    pub(crate) fn scan_lookup(&self) -> Result<Lookup, Error> {
        let mut growth = Growth::new(self.base, self.interval_bytes);
        let mut lookup = Lookup::default();
        let mut walk = self.walk_all();
        loop {
            match walk.next_header() {
                Ok(Some((position, header))) => growth.note(&mut lookup, position, &header),
                Ok(None) => break,
                Err(stop) => return Err(stop.into_error(&self.path, walk.position())),
            }
        }
        growth.finish(&mut lookup);
        Ok(lookup)
    }

    /// Where the batches went that were written last.
    pub(crate) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().expect("no holder of the recent places panics")
    }

    /// The first batch below `end` whose last offset is at least `offset`.
    pub(crate) fn place_of(&self, offset: i64, end: u64) -> Result<Option<Place>, Error> {
        if let Some(place) = self.recent().place_of(offset, end) {
            return Ok(Some(place));
        }
        let hint = self.look(|lookup| floor_offset(&lookup.offsets, offset - self.base))?;
        let Some(entry) = hint else { return self.find(0, end, |h| h.last_offset() >= offset) };
        let from = u64::from(entry.position);
        let expected = self.base + i64::from(entry.relative);
        if from < end && !self.holds(from, expected) {
            self.tables.replace(self.scan_lookup()?);
            return self.find(0, end, |h| h.last_offset() >= offset);
        }
        self.find(from, end, |h| h.last_offset() >= offset)
    }

    /// Whether the batch at this place ends with this offset, as an index entry claims.
    fn holds(&self, position: u64, last_offset: i64) -> bool {
        let end = self.bytes();
        let window_bytes = protocol::record::BATCH_HEADER_BYTES;
        let mut walk = self.walk(Stretch { from: position, end, window_bytes });
        matches!(walk.next_header(), Ok(Some((_, header))) if header.last_offset() == last_offset)
    }

    /// The first batch from a batch's start on that the question is true for.
    pub(crate) fn find(
        &self,
        from: u64,
        end: u64,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<Place>, Error> {
        let mut walk = self.walk(Stretch { from, end, window_bytes: HEADER_WINDOW_BYTES });
        loop {
            match walk.next_header() {
                Ok(Some((position, header))) if wanted(&header) => {
                    return Ok(Some(Place { position, header }));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(stop) => return Err(stop.into_error(&self.path, walk.position())),
            }
        }
    }

    /// The last place at or before `max` where a batch ends, walking from a batch's start.
    pub(crate) fn boundary_before(&self, from: u64, max: u64) -> Result<Boundary, Error> {
        let hint = self.look(|lookup| floor_position(&lookup.offsets, max))?;
        let mut start = from;
        if let Some(entry) = hint {
            let position = u64::from(entry.position);
            if position > from && self.holds(position, self.base + i64::from(entry.relative)) {
                start = position;
            }
        }
        let end = self.bytes();
        let mut walk = self.walk(Stretch { from: start, end, window_bytes: HEADER_WINDOW_BYTES });
        let mut boundary = Boundary { position: start, next_offset: self.base };
        loop {
            match walk.next_header() {
                Ok(Some((position, header))) if walk.position() <= max => {
                    boundary = Boundary::behind(&Place { position, header });
                }
                // The batch that ends at the start was not looked at: the next one bounds it.
                Ok(Some((position, header))) if position == start => {
                    return Ok(Boundary { position, next_offset: header.base_offset });
                }
                Ok(_) => return Ok(boundary),
                Err(stop) => return Err(stop.into_error(&self.path, walk.position())),
            }
        }
    }

    /// The newest timestamp among the batches of a stretch.
    pub(crate) fn newest_in(&self, from: u64, end: u64) -> Result<i64, Error> {
        let mut newest = NO_TIMESTAMP;
        let mut walk = self.walk(Stretch { from, end, window_bytes: WALK_WINDOW_BYTES });
        loop {
            match walk.next_header() {
                Ok(Some((_, header))) => newest = newest.max(header.max_timestamp),
                Ok(None) => return Ok(newest),
                Err(stop) => return Err(stop.into_error(&self.path, walk.position())),
            }
        }
    }

    /// The newest timestamp among the batches behind the last index entry.
    pub(crate) fn newest_at_end(&self) -> Result<i64, Error> {
        let last = self.look(|lookup| lookup.offsets.last().copied())?;
        let position = last.map_or(0, |entry| u64::from(entry.position));
        let sound = last.is_some_and(|e| self.holds(position, self.base + i64::from(e.relative)));
        self.newest_in(if sound { position } else { 0 }, self.bytes())
    }

    /// A batch's start from which the first record of at least this time cannot be missed.
    pub(crate) fn position_for_time(&self, timestamp: i64, end: u64) -> Result<u64, Error> {
        let relative = self.look(|lookup| floor_time(&lookup.times, timestamp))?;
        let Some(relative) = relative else { return Ok(0) };
        let place = self.place_of(self.base + i64::from(relative), end)?;
        Ok(place.map_or(0, |place| place.position))
    }

    /// One batch with its records, verified.
    pub(crate) fn batch(&self, place: &Place) -> Result<protocol::record::Batch, Error> {
        let end = self.bytes();
        let window_bytes = place.header.total_bytes();
        let mut walk = self.walk(Stretch { from: place.position, end, window_bytes });
        let found = match walk.next_batch() {
            Ok(Some((_, batch))) => batch.verify_crc().map(|()| batch).map_err(Stop::Bad),
            Ok(None) => Err(Stop::Bad(protocol::record::RecordError::Truncated)),
            Err(stop) => Err(stop),
        };
        found.map_err(|stop| stop.into_error(&self.path, place.position))
    }
}

fn floor_offset(entries: &[OffsetEntry], relative: i64) -> Option<OffsetEntry> {
    let count = entries.partition_point(|entry| i64::from(entry.relative) <= relative);
    count.checked_sub(1).map(|at| entries[at])
}

fn floor_position(entries: &[OffsetEntry], position: u64) -> Option<OffsetEntry> {
    let count = entries.partition_point(|entry| u64::from(entry.position) <= position);
    count.checked_sub(1).map(|at| entries[at])
}

fn floor_time(entries: &[TimeEntry], timestamp: i64) -> Option<u32> {
    let count = entries.partition_point(|entry| entry.timestamp <= timestamp);
    count.checked_sub(1).map(|at| entries[at].relative)
}

/// How a segment's tables grow with its batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    base: i64,
    interval_bytes: u64,
    since_entry_bytes: u64,
    max_timestamp: i64,
    max_timestamp_offset: i64,
    first_timestamp: Option<i64>,
    last_offset: i64,
}

impl Growth {
    pub(crate) fn new(base: i64, interval_bytes: u64) -> Self {
        Self {
            base,
            interval_bytes,
            since_entry_bytes: 0,
            max_timestamp: NO_TIMESTAMP,
            max_timestamp_offset: base,
            first_timestamp: None,
            last_offset: base - 1,
        }
    }

    fn resumed(segment: &Segment, lookup: &Lookup, first_timestamp: Option<i64>) -> Self {
        let mut growth = Self::new(segment.base, segment.interval_bytes);
        growth.first_timestamp = first_timestamp;
        if let Some(last) = lookup.times.last() {
            growth.max_timestamp = last.timestamp;
            growth.max_timestamp_offset = segment.base + i64::from(last.relative);
        }
        growth
    }

    /// Passes over the batch that the last entry points to.
    fn skip(&mut self, header: &BatchHeader) {
        self.last_offset = header.last_offset();
        self.since_entry_bytes = cast::u64_of(header.total_bytes());
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// The newest timestamp of the first batch.
    pub(crate) fn first_timestamp(&self) -> Option<i64> {
        self.first_timestamp
    }

    /// The offset behind the last batch; the base offset when there is none.
    pub(crate) fn next_offset(&self) -> i64 {
        self.last_offset + 1
    }

    /// Takes a batch that was written at this place into account.
    pub(crate) fn note(&mut self, lookup: &mut Lookup, position: u64, header: &BatchHeader) {
        self.last_offset = header.last_offset();
        self.first_timestamp.get_or_insert(header.max_timestamp);
        if header.max_timestamp > self.max_timestamp {
            self.max_timestamp = header.max_timestamp;
            self.max_timestamp_offset = self.last_offset;
        }
        if self.since_entry_bytes > self.interval_bytes {
            self.note_offset(lookup, position);
            self.note_time(lookup);
            self.since_entry_bytes = 0;
        }
        self.since_entry_bytes += cast::u64_of(header.total_bytes());
    }

    /// Adds the newest timestamp, which closes the time table.
    pub(crate) fn finish(&self, lookup: &mut Lookup) {
        if self.first_timestamp.is_some() {
            self.note_time(lookup);
        }
    }

    fn note_offset(&self, lookup: &mut Lookup, position: u64) {
        let relative = u32::try_from(self.last_offset - self.base);
        // What does not fit is found by walking; a segment of ours never gets there.
        if let (Ok(relative), Ok(position)) = (relative, u32::try_from(position)) {
            lookup.offsets.push(OffsetEntry { relative, position });
        }
    }

    fn note_time(&self, lookup: &mut Lookup) {
        let newer = lookup.times.last().is_none_or(|last| last.timestamp < self.max_timestamp);
        let relative = u32::try_from(self.max_timestamp_offset - self.base);
        if let (true, Ok(relative)) = (newer, relative) {
            lookup.times.push(TimeEntry { timestamp: self.max_timestamp, relative });
        }
    }
}
