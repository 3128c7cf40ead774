//! Reading a log: shared by any number of threads, never waiting for a flush.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use base::cast;
use base::chunk::{Chunk, FileRange};
use protocol::record::{NO_TIMESTAMP, ProducerIdentity};

use crate::epochs::Epochs;
use crate::error::{Error, ReadError};
use crate::limits::{ABORTED_MAX, DECOMPRESS_BYTES_MAX};
use crate::producers::Producers;
use crate::segment::{Boundary, Place, Segment};

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Everything that is as durable as the log promises.
    HighWatermark,
    /// Only what no open transaction can still undo.
    LastStable,
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct ReadRange {
    /// The offset to start at; the batch that holds it comes first, whole.
    pub from: i64,
    /// Bytes wanted at most.
    pub bytes_max: usize,
    /// Gives the first batch even when it is larger than `bytes_max`.
    pub at_least_one: bool,
    /// How far to look.
    pub until: Bound,
}

/// Whole batches, perhaps none.
#[derive(Debug, Clone)]
pub struct ReadSlice {
    /// Offset of the first batch's first record; what was asked for when there is none.
    pub base_offset: i64,
    /// No batch that was left out begins before it, and all that are given end there or earlier;
    /// what was asked for when there is none.
    pub end_offset: i64,
    /// The batches.
    pub chunks: Vec<Chunk>,
    /// Their size.
    pub bytes: usize,
}

/// A transaction whose records are to be skipped by readers of committed records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Who wrote it.
    pub producer_id: i64,
    /// Its first offset.
    pub first_offset: i64,
}

/// A producer that the log remembers (DescribeProducers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub producer_id: i64,
    /// Its newest epoch.
    pub epoch: i16,
    /// The last sequence that was stored; -1 for none.
    pub last_sequence: i32,
    /// When it was last heard of, in ms since 1970.
    pub last_timestamp_ms: i64,
    /// The newest coordinator that ended a transaction of it; -1 for none.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub txn_first_offset: Option<i64>,
}

/// A place between two batches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    pub segment_base: i64,
    pub position: u64,
}

#[derive(Debug, Default)]
struct View {
    segments: Vec<Arc<Segment>>,
    high: i64,
    stable: i64,
    high_mark: Mark,
}

/// The readable side of a log.
pub struct LogReader {
    name: String,
    view: RwLock<View>,
    log_start: AtomicI64,
    high: AtomicI64,
    stable: AtomicI64,
    end: AtomicI64,
    size_bytes: AtomicU64,
    producers: Mutex<Producers>,
    epochs: RwLock<Epochs>,
}

/// What becomes visible together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub high: i64,
    pub stable: i64,
    pub high_mark: Mark,
}

impl fmt::Debug for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogReader({} {}..{})", self.name, self.log_start_offset(), self.high_watermark())
    }
}

impl LogReader {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            view: RwLock::new(View::default()),
            log_start: AtomicI64::new(0),
            high: AtomicI64::new(0),
            stable: AtomicI64::new(0),
            end: AtomicI64::new(0),
            size_bytes: AtomicU64::new(0),
            producers: Mutex::new(Producers::default()),
            epochs: RwLock::new(Epochs::default()),
        }
    }

    /// `<topic>-<partition>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start_offset(&self) -> i64 {
        self.log_start.load(Ordering::Acquire)
    }

    /// The offset behind the last record that can be read.
    #[must_use]
    pub fn high_watermark(&self) -> i64 {
        self.high.load(Ordering::Acquire)
    }

    /// The offset of the first record that an open transaction can still undo, or the high
    /// watermark.
    #[must_use]
    pub fn last_stable_offset(&self) -> i64 {
        // Deletion may have taken the first records of an open transaction.
        self.stable.load(Ordering::Acquire).max(self.log_start_offset())
    }

    /// The offset that the next record will get.
    #[must_use]
    pub fn log_end_offset(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    /// The offset that a reader of this kind cannot go beyond.
    #[must_use]
    pub fn bound(&self, until: Bound) -> i64 {
        match until {
            Bound::HighWatermark => self.high_watermark(),
            Bound::LastStable => self.last_stable_offset(),
        }
    }

    /// Reads whole batches of one segment, starting with the one that holds `from`.
    ///
    /// # Errors
    /// `OffsetOutOfRange` before the log's start or behind its end; what the disk refuses.
    pub fn read(&self, range: ReadRange) -> Result<ReadSlice, ReadError> {
        let from = range.from;
        self.check_range(from)?;
        let nothing =
            ReadSlice { base_offset: from, end_offset: from, chunks: Vec::new(), bytes: 0 };
        let mut skip = 0;
        while let Some((segment, end)) = self.nth_from(from, range.until, skip)? {
            skip += 1;
            let Some(place) = segment.place_of(from, end.position)? else { continue };
            let upto = slice_end(&segment, &place, end, &range)?;
            if upto.position == place.position {
                return Ok(nothing);
            }
            let len = cast::usize_of(upto.position - place.position);
            let file = Arc::clone(&segment.file);
            let chunk = Chunk::File(FileRange { file, from: place.position, len });
            let base_offset = place.header.base_offset;
            let end_offset = upto.next_offset;
            return Ok(ReadSlice { base_offset, end_offset, chunks: vec![chunk], bytes: len });
        }
        Ok(nothing)
    }

    /// Bytes that a read could give in the end, by the distance of places in the files.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub fn readable_bytes(&self, from: i64, until: Bound) -> Result<u64, ReadError> {
        self.check_range(from)?;
        if from >= self.bound(until) {
            return Ok(0);
        }
        let mut sum = 0;
        let mut found = false;
        for (segment, end) in &self.window(from, until)? {
            if found {
                sum += end;
            } else if let Some(place) = segment.place_of(from, *end)? {
                found = true;
                sum += end - place.position;
            }
        }
        Ok(sum)
    }

    /// Aborted transactions that reach into `from..to`, oldest marker first; none for no offsets.
    #[must_use]
    pub fn aborted_transactions(&self, from: i64, to: i64) -> Vec<AbortedTransaction> {
        if from >= to {
            return Vec::new();
        }
        let segments = self.segments_from(from);
        let mut found = Vec::new();
        for segment in segments {
            segment.with_aborted(|aborted| {
                let skip = aborted.partition_point(|entry| entry.last_offset < from);
                let overlapping = aborted[skip..].iter().filter(|entry| entry.first_offset < to);
                let room = ABORTED_MAX - found.len();
                found.extend(overlapping.take(room).map(|entry| AbortedTransaction {
                    producer_id: entry.producer_id,
                    first_offset: entry.first_offset,
                }));
            });
        }
        found
    }

    /// The first readable record of at least this time, as offset and time.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<(i64, i64)>, Error> {
        let start = self.log_start_offset();
        for (segment, end) in &self.window(start, Bound::HighWatermark)? {
            if segment.max_timestamp()? < timestamp {
                continue;
            }
            let mut from = segment.position_for_time(timestamp, *end)?;
            while let Some(place) =
                segment.find(from, *end, |header| header.max_timestamp >= timestamp)?
            {
                let wanted = |offset: i64, time: i64| offset >= start && time >= timestamp;
                if let Some(found) = record_where(segment, &place, wanted)? {
                    return Ok(Some(found));
                }
                from = place.position + cast::u64_of(place.header.total_bytes());
            }
        }
        Ok(None)
    }

    /// The readable record with the newest time, as offset and time.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn max_timestamp(&self) -> Result<Option<(i64, i64)>, Error> {
        let start = self.log_start_offset();
        let mut best: Option<Newest<'_>> = None;
        let window = self.window(start, Bound::HighWatermark)?;
        for (segment, end) in &window {
            let from = match segment.place_of(start, *end)? {
                Some(place) => place.position,
                None => continue,
            };
            // Where the log starts within a segment, its table knows of records that are gone.
            let (timestamp, from) = if from > 0 {
                (segment.newest_in(from, *end)?, from)
            } else {
                let timestamp = segment.max_timestamp()?;
                (timestamp, segment.position_for_time(timestamp, *end)?)
            };
            if timestamp > best.as_ref().map_or(NO_TIMESTAMP, |best| best.timestamp) {
                best = Some(Newest { timestamp, segment, from, end: *end });
            }
        }
        let Some(Newest { timestamp, segment, from, end }) = best else { return Ok(None) };
        let newest = segment.find(from, end, |header| header.max_timestamp >= timestamp)?;
        let Some(place) = newest else { return Ok(None) };
        record_where(segment, &place, |offset, time| offset >= start && time >= timestamp)
    }

    /// The largest leader epoch up to this one and the offset behind its last record;
    /// (-1, -1) when nothing is known of it.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        let epochs = self.epochs.read().expect("no holder of the epochs panics");
        epochs.end_of(epoch, self.log_end_offset())
    }

    /// The newest leader epoch that wrote; -1 for none.
    #[must_use]
    pub fn latest_epoch(&self) -> i32 {
        self.epochs.read().expect("no holder of the epochs panics").latest()
    }

    /// The producers that are remembered, by id.
    #[must_use]
    pub fn active_producers(&self) -> Vec<ActiveProducer> {
        let producers = self.producers();
        let active = producers.iter().map(|(producer_id, producer)| ActiveProducer {
            producer_id,
            epoch: producer.epoch,
            last_sequence: producer.last_sequence(),
            last_timestamp_ms: producer.seen_ms,
            coordinator_epoch: producer.coordinator_epoch,
            txn_first_offset: producer.txn_first_offset,
        });
        active.collect()
    }

    /// Whether this producer, in this epoch, has a transaction open here.
    #[must_use]
    pub fn has_open_transaction(&self, producer: ProducerIdentity) -> bool {
        let producers = self.producers();
        let known = producers.find(producer.id);
        known.is_some_and(|it| it.epoch == producer.epoch && it.txn_first_offset.is_some())
    }

    fn check_range(&self, from: i64) -> Result<(), ReadError> {
        let (log_start, log_end) = (self.log_start_offset(), self.log_end_offset());
        if from < log_start || from > log_end {
            return Err(ReadError::OffsetOutOfRange { from, log_start, log_end });
        }
        Ok(())
    }

    /// The segments from the one that holds `from` on, each with the place to stop at.
    fn window(&self, from: i64, until: Bound) -> Result<Vec<(Arc<Segment>, u64)>, Error> {
        let (mut window, stable) = {
            let view = self.view.read().expect("no holder of the view panics");
            let first = first_segment(&view.segments, from);
            let mark = view.high_mark;
            let mut window = Vec::new();
            for segment in &view.segments[first..] {
                if segment.base < mark.segment_base {
                    window.push((Arc::clone(segment), segment.bytes()));
                } else if segment.base == mark.segment_base {
                    window.push((Arc::clone(segment), mark.position));
                }
            }
            let open = until == Bound::LastStable && view.stable < view.high;
            (window, open.then_some(view.stable))
        };
        let Some(stable) = stable else { return Ok(window) };
        if from >= stable {
            return Ok(Vec::new());
        }
        window.retain(|(segment, _)| segment.base < stable);
        if let Some((segment, end)) = window.last_mut()
            && let Some(place) = segment.place_of(stable, *end)?
        {
            *end = place.position;
        }
        Ok(window)
    }

    /// One segment of what [`LogReader::window`] gives, counted from the first.
    fn nth_from(
        &self,
        from: i64,
        until: Bound,
        skip: usize,
    ) -> Result<Option<(Arc<Segment>, Boundary)>, Error> {
        let (segment, mut end, stable) = {
            let view = self.view.read().expect("no holder of the view panics");
            let at = first_segment(&view.segments, from) + skip;
            let Some(segment) = view.segments.get(at) else { return Ok(None) };
            let mark = view.high_mark;
            let position = match segment.base.cmp(&mark.segment_base) {
                std::cmp::Ordering::Less => segment.bytes(),
                std::cmp::Ordering::Equal => mark.position,
                std::cmp::Ordering::Greater => return Ok(None),
            };
            let next_base = view.segments.get(at + 1).map_or(view.high, |next| next.base);
            let end = Boundary { position, next_offset: next_base.min(view.high) };
            let open = until == Bound::LastStable && view.stable < view.high;
            let ends_here = view.segments.get(at + 1).is_none_or(|next| next.base > view.stable);
            if open && (from >= view.stable || segment.base >= view.stable) {
                return Ok(None);
            }
            (Arc::clone(segment), end, (open && ends_here).then_some(view.stable))
        };
        if let Some(stable) = stable {
            end.next_offset = stable;
            if let Some(place) = segment.place_of(stable, end.position)? {
                end.position = place.position;
            }
        }
        Ok(Some((segment, end)))
    }

    fn segments_from(&self, from: i64) -> Vec<Arc<Segment>> {
        let view = self.view.read().expect("no holder of the view panics");
        view.segments[first_segment(&view.segments, from)..].to_vec()
    }

    /// The segment in which readers end; those before it are read whole.
    pub(crate) fn published_base(&self) -> i64 {
        self.view.read().expect("no holder of the view panics").high_mark.segment_base
    }

    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.view.read().expect("no holder of the view panics").segments.clone()
    }

    pub(crate) fn producers(&self) -> MutexGuard<'_, Producers> {
        self.producers.lock().expect("no holder of the producers panics")
    }

    pub(crate) fn with_epochs<T>(&self, change: impl FnOnce(&mut Epochs) -> T) -> T {
        change(&mut self.epochs.write().expect("no holder of the epochs panics"))
    }

    pub(crate) fn set_segments(&self, segments: Vec<Arc<Segment>>) {
        let size = segments.iter().map(|segment| segment.bytes()).sum();
        self.view.write().expect("no holder of the view panics").segments = segments;
        self.size_bytes.store(size, Ordering::Relaxed);
    }

    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        self.view.write().expect("no holder of the view panics").segments.push(segment);
    }

    pub(crate) fn grow(&self, end: i64, bytes: u64) {
        self.end.store(end, Ordering::Release);
        self.size_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_end(&self, end: i64) {
        self.end.store(end, Ordering::Release);
    }

    pub(crate) fn set_log_start(&self, start: i64) {
        self.log_start.store(start, Ordering::Release);
    }

    pub(crate) fn publish(&self, published: Published) {
        let mut view = self.view.write().expect("no holder of the view panics");
        view.high = published.high;
        view.stable = published.stable;
        view.high_mark = published.high_mark;
        self.stable.store(published.stable, Ordering::Release);
        self.high.store(published.high, Ordering::Release);
    }
}

/// Where the newest time of a log was found.
struct Newest<'a> {
    timestamp: i64,
    segment: &'a Arc<Segment>,
    from: u64,
    end: u64,
}

fn first_segment(segments: &[Arc<Segment>], offset: i64) -> usize {
    segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
}

/// Where a read that starts at a batch ends: behind the last batch that fits.
fn slice_end(
    segment: &Segment,
    place: &Place,
    end: Boundary,
    range: &ReadRange,
) -> Result<Boundary, Error> {
    let room = cast::u64_of(range.bytes_max);
    if end.position - place.position <= room {
        return Ok(end);
    }
    let first = Boundary::behind(place);
    let max = place.position + room;
    if first.position <= max {
        return segment.boundary_before(place.position, max);
    }
    let nothing = Boundary { position: place.position, next_offset: place.header.base_offset };
    Ok(if range.at_least_one { first } else { nothing })
}

/// The first record of a batch that the question is true for.
fn record_where(
    segment: &Segment,
    place: &Place,
    wanted: impl Fn(i64, i64) -> bool,
) -> Result<Option<(i64, i64)>, Error> {
    let batch = segment.batch(place)?;
    let damaged = |source| {
        let path = segment.path.clone();
        Error::Record { path, position: place.position, source }
    };
    let decoded = batch.decode(DECOMPRESS_BYTES_MAX).map_err(damaged)?;
    for record in decoded.iter() {
        let record = record.map_err(damaged)?;
        if wanted(record.offset, record.timestamp) {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}
