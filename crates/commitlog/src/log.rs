//! One log, as its only writer sees it: stage, write, flush, publish, answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::cast;
use base::clock::Clock;
use base::disk::Disk;
use base::uuid::Uuid;
use bytes::Bytes;
use protocol::record::{BatchHeader, NO_TIMESTAMP};

use crate::active::Active;
use crate::checkpoint;
use crate::command::{Appended, LogId, Then};
use crate::error::{AppendError, Error, is_full};
use crate::flush::Flush;
use crate::format;
use crate::index::Tables;
use crate::journal::Entry;
use crate::limits::JOURNAL_LOG_BYTES_MAX;
use crate::load::{Cut, LoadOptions, Loaded};
use crate::meta;
use crate::options::{Durability, LogConfig};
use crate::producers::Overlay;
use crate::reader::{LogReader, Mark, Published};
use crate::segment::{Growth, Parts, Place, Segment};
use crate::snapshot;

/// Someone who waits for an append.
pub(crate) type AppendThen = Then<Result<Appended, AppendError>>;

/// What all logs of a store share.
#[derive(Debug, Clone)]
pub(crate) struct Env {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub root: PathBuf,
    pub durability: Durability,
}

pub(crate) struct Log {
    pub id: LogId,
    pub name: String,
    pub dir: PathBuf,
    pub topic_id: Uuid,
    pub config: LogConfig,
    pub reader: Arc<LogReader>,
    pub(crate) env: Env,
    pub(crate) active: Option<Active>,
    /// The offset of the next batch to be staged.
    pub(crate) next_offset: i64,
    pub(crate) staged: Staged,
    /// Written, and in no flush yet.
    written: Vec<Answer>,
    unflushed: Unflushed,
    /// The flush under way; what is written meanwhile waits for the next.
    flight: Option<Flight>,
    tail: Tail,
    /// Bytes that are in the journal and in no flush of the log's own file yet.
    journaled_bytes: u64,
    /// Everything before it is flushed.
    pub(crate) flushed_end: i64,
    pub(crate) failure: Option<Error>,
    pub(crate) is_failure_told: bool,
    pub(crate) epochs_changed: bool,
    /// Everything before it was looked at by the cleaner.
    pub(crate) cleaned_to: i64,
    /// Whether a run found it damaged, or could not get on; a start tries again.
    pub(crate) is_uncleanable: bool,
    /// Whether the files are as a clean end leaves them.
    is_stored: bool,
}

/// Checked, stamped, and not written yet.
#[derive(Default)]
pub(crate) struct Staged {
    pub buffers: Vec<Bytes>,
    pub bytes: u64,
    pub headers: Vec<BatchHeader>,
    pub overlay: Overlay,
    pub answers: Vec<Answer>,
}

pub(crate) struct Answer {
    pub then: AppendThen,
    pub appended: Appended,
    pub durable: bool,
}

/// How a round was kept without a flush of its log's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Its batches are in the journal; the log's own file is flushed some time later.
    Journaled,
    /// Nothing was done for it.
    Not,
}

/// What a flush under way will have made durable.
struct Flight {
    answers: Vec<Answer>,
    /// What readers may see then.
    seen: Published,
    /// Whether all of it is durable already, in the journal.
    is_behind: bool,
}

/// What is written and neither flushed nor in the journal.
#[derive(Debug, Default)]
struct Tail {
    buffers: Vec<Bytes>,
    bytes: usize,
    /// Whether buffers are missing from it, so that only a flush will do.
    is_torn: bool,
}

impl Tail {
    fn push(&mut self, buffers: Vec<Bytes>, bytes: usize) {
        self.bytes += bytes;
        self.is_torn |= self.bytes > JOURNAL_LOG_BYTES_MAX;
        if self.is_torn {
            self.buffers = Vec::new();
        } else {
            self.buffers.extend(buffers);
        }
    }
}

/// What a flush has to do.
#[derive(Debug, Default)]
struct Unflushed {
    segments: Vec<Arc<Segment>>,
    names: bool,
    messages: u64,
    since_us: Option<u64>,
}

impl Log {
    /// A log that has no folder yet.
    pub(crate) fn new(
        env: Env,
        id: LogId,
        name: String,
        topic_id: Uuid,
        config: LogConfig,
    ) -> Self {
        Self {
            id,
            dir: env.root.join(&name),
            reader: Arc::new(LogReader::new(name.clone())),
            name,
            topic_id,
            config,
            env,
            active: None,
            next_offset: 0,
            staged: Staged::default(),
            written: Vec::new(),
            unflushed: Unflushed::default(),
            flight: None,
            tail: Tail::default(),
            journaled_bytes: 0,
            flushed_end: 0,
            failure: None,
            is_failure_told: false,
            epochs_changed: false,
            cleaned_to: 0,
            is_uncleanable: false,
            is_stored: false,
        }
    }

    /// Takes what was found in the folder.
    pub(crate) fn adopt(&mut self, loaded: Loaded) {
        let Loaded { segments, growth, producers, epochs, next_offset, log_start, .. } = loaded;
        let segment = Arc::clone(segments.last().expect("a loaded log has a segment"));
        let created_ms = self.env.clock.unix_ms();
        let first_ms = growth.first_timestamp().filter(|first| *first > 0);
        let waits_from_ms = first_ms.map_or(created_ms, |first| first.min(created_ms));
        self.reader.set_segments(segments);
        *self.reader.producers() = producers;
        self.reader.with_epochs(|own| *own = epochs);
        let mut active = Active::new(segment, growth, created_ms);
        active.waits_from_ms = waits_from_ms;
        self.active = Some(active);
        self.next_offset = next_offset;
        self.flushed_end = next_offset;
        self.is_stored = loaded.is_stored;
        // Loading has flushed what it did not find flushed.
        self.unflushed = Unflushed::default();
        self.tail = Tail::default();
        self.reader.set_end(next_offset);
        self.reader.set_log_start(log_start);
        self.publish();
    }

    pub(crate) fn load_options(&self, start: &LoadStart) -> LoadOptions {
        LoadOptions {
            disk: Arc::clone(&self.env.disk),
            dir: self.dir.clone(),
            clean: start.clean,
            recovery_point: start.recovery_point,
            trusts_gaps: start.trusts_gaps,
            log_start: start.log_start,
            tail: start.tail.clone(),
            interval_bytes: self.config.index_interval_bytes,
            now_ms: self.env.clock.unix_ms(),
        }
    }

    /// Opens the folder, cutting what is bad; gives what was cut.
    pub(crate) fn load(&mut self, start: &LoadStart) -> Result<Vec<Cut>, Error> {
        let Some(mut loaded) = crate::load::load(&self.load_options(start))? else {
            return Ok(Vec::new());
        };
        let cuts = std::mem::take(&mut loaded.cuts);
        self.adopt(loaded);
        if let (false, Some(active)) = (start.clean, &self.active) {
            active.release_all();
        }
        Ok(cuts)
    }

    pub(crate) fn durability(&self) -> Durability {
        self.config.durability.unwrap_or(self.env.durability)
    }

    fn disk(&self) -> &dyn Disk {
        &*self.env.disk
    }

    /// Makes the folder and the first segment, if they are missing.
    pub(crate) fn ensure_active(&mut self) -> Result<(), Error> {
        if self.active.is_some() {
            return Ok(());
        }
        self.disk().create_dir_all(&self.dir).map_err(Error::io("make", &self.dir))?;
        meta::store_topic_id(self.disk(), &self.dir, self.topic_id)?;
        // What is staged has its offsets already; the file begins with what is written first.
        self.open_segment(self.reader.log_end_offset())?;
        let root = self.env.root.clone();
        self.disk().sync_dir(&root).map_err(Error::io("flush", &root))
    }

    pub(crate) fn open_segment(&mut self, base: i64) -> Result<(), Error> {
        self.is_stored = false;
        let interval_bytes = self.config.index_interval_bytes;
        let tables = Tables::growing(crate::index::Lookup::default());
        let parts = Parts { tables, aborted: Vec::new(), interval_bytes };
        let segment = Arc::new(Segment::open(&self.env.disk, &self.dir, base, parts)?);
        if segment.bytes() > 0 {
            // A leftover of this name can only be of a roll that failed half-way.
            segment.file.set_len(0).map_err(Error::io("cut", &segment.path))?;
            segment.set_bytes(0);
        }
        segment.set_max_timestamp(NO_TIMESTAMP);
        self.reader.add_segment(Arc::clone(&segment));
        let growth = Growth::new(base, interval_bytes);
        self.active = Some(Active::new(segment, growth, self.env.clock.unix_ms()));
        self.unflushed.names = true;
        Ok(())
    }

    /// Closes the active segment and begins the next one at the current end.
    /// Nothing may be staged.
    pub(crate) fn roll(&mut self) -> Result<(), Error> {
        assert!(
            self.staged.buffers.is_empty(),
            "a roll would tear staged batches from their place"
        );
        let Some(active) = &mut self.active else { return Ok(()) };
        if active.segment.base == self.next_offset {
            return Ok(());
        }
        active.release();
        let segment = Arc::clone(&active.segment);
        segment.tables.grow(|lookup| active.growth.finish(lookup));
        let rolled = self.seal_and_open(&segment);
        if rolled.is_err() {
            segment.tables.reopen();
        }
        rolled
    }

    fn seal_and_open(&mut self, segment: &Segment) -> Result<(), Error> {
        match segment.seal() {
            // The tables stay in memory, and the next start makes them anew.
            Err(error) if error.is_storage_full() => {}
            other => other?,
        }
        self.store_aborted_digests()?;
        self.store_snapshot()?;
        self.store_epochs()?;
        self.open_segment(self.next_offset)
    }

    /// Writes what is known of producers at the current end.
    pub(crate) fn store_snapshot(&self) -> Result<(), Error> {
        let path = format::file(&self.dir, self.next_offset, format::SNAPSHOT);
        match snapshot::store(self.disk(), &path, &self.reader.producers()) {
            Err(error) if error.is_storage_full() => Ok(()),
            other => other,
        }
    }

    /// Writes what is staged. A refusal is answered here and leaves no trace in the log.
    pub(crate) fn write(&mut self) {
        if self.staged.buffers.is_empty() {
            let answers = std::mem::take(&mut self.staged.answers);
            self.written.extend(answers);
            return;
        }
        let staged = std::mem::take(&mut self.staged);
        match self.write_staged(&staged) {
            Ok(()) => self.note_written(staged),
            Err(error) => self.refuse_written(staged, error),
        }
    }

    fn write_staged(&mut self, staged: &Staged) -> Result<(), Error> {
        self.ensure_active()?;
        let active = self.active.as_ref().expect("the active segment was just made");
        let segment = &active.segment;
        let file = &segment.file;
        file.write_vectored_at(&staged.buffers, segment.bytes())
            .map_err(Error::io("write", &segment.path))
    }

    fn refuse_written(&mut self, staged: Staged, error: Error) {
        self.next_offset = self.reader.log_end_offset();
        let full = matches!(&error, Error::Io { source, .. } if is_full(source));
        let cut = self.active.as_ref().map_or(Ok(()), |active| {
            let segment = &active.segment;
            segment.file.set_len(segment.bytes()).map_err(Error::io("cut", &segment.path))
        });
        let refusal = match (full, cut) {
            (true, Ok(())) => AppendError::StorageFull,
            (_, Err(error)) => self.fail(error),
            (false, Ok(())) => self.fail(error),
        };
        for answer in staged.answers {
            (answer.then)(Err(refusal.clone()));
        }
    }

    fn fail(&mut self, error: Error) -> AppendError {
        self.failure.get_or_insert(error);
        AppendError::LogFailed
    }

    fn note_written(&mut self, staged: Staged) {
        let Staged { buffers, bytes, headers, overlay, answers } = staged;
        self.is_stored = false;
        let active = self.active.as_mut().expect("batches were written to it");
        let segment = Arc::clone(&active.segment);
        let growth = &mut active.growth;
        let mut position = segment.bytes();
        let mut recent = segment.recent();
        segment.tables.grow(|lookup| {
            for header in &headers {
                growth.note(lookup, position, header);
                recent.push(Place { position, header: *header });
                position += cast::u64_of(header.total_bytes());
            }
        });
        assert!(position == segment.bytes() + bytes, "headers and buffers are of the same batches");
        drop(recent);
        segment.set_max_timestamp(growth.max_timestamp());
        segment.set_bytes(position);
        for entry in self.reader.producers().apply(overlay) {
            segment.push_aborted(entry);
        }
        self.epochs_changed |= self.reader.with_epochs(|epochs| {
            let note = |h: &BatchHeader| epochs.note(h.partition_leader_epoch, h.base_offset);
            headers.iter().map(note).fold(false, |any, new| any | new)
        });
        self.reader.grow(self.next_offset, bytes);
        self.written.extend(answers);
        self.unflushed.messages += cast::u64_of(headers.len());
        let now_us = self.env.clock.steady_us();
        active.written_ms = now_us / 1000;
        self.unflushed.since_us.get_or_insert(now_us);
        if !self.unflushed.segments.iter().any(|dirty| Arc::ptr_eq(dirty, &segment)) {
            self.unflushed.segments.push(segment);
        }
        match self.durability() {
            Durability::Flush => self.tail.push(buffers, cast::usize_of(bytes)),
            Durability::Os => self.tail.is_torn = true,
        }
    }

    /// What the journal would have to hold for this log to be durable; none when the journal
    /// cannot make it so.
    pub(crate) fn journal_entry(&self) -> Option<Entry<'_>> {
        let fits = !self.tail.is_torn && !self.unflushed.names && !self.is_held();
        (fits && self.durability() == Durability::Flush).then(|| Entry {
            name: &self.name,
            topic_id: self.topic_id,
            buffers: &self.tail.buffers,
        })
    }

    /// Ends a round of this log alone.
    pub(crate) fn settle(&mut self, force: bool, tell: impl FnOnce(&Self)) {
        if self.wants_flush(force) {
            let outcome = self.begin_flush().run();
            self.end_flush(outcome, tell);
        } else {
            self.end_round(Kept::Not, tell);
        }
    }

    /// Whether a round must not be answered before a flush.
    pub(crate) fn wants_flush(&self, force: bool) -> bool {
        let wanted = match self.durability() {
            Durability::Flush => force || self.written.iter().any(|answer| answer.durable),
            Durability::Os => force || self.is_flush_due(),
        };
        wanted && !self.is_failed()
    }

    /// Ends a round that wants no flush of the log's own file: publishes, tells, answers.
    pub(crate) fn end_round(&mut self, kept: Kept, tell: impl FnOnce(&Self)) {
        if kept == Kept::Journaled {
            self.note_journaled();
        }
        let is_seen = kept == Kept::Journaled || self.durability() == Durability::Os;
        let answers = std::mem::take(&mut self.written);
        let seen = is_seen.then(|| self.written_view());
        self.answer(answers, seen, tell);
    }

    /// Begins the flush of all that is written, which may be run on any thread. What is written
    /// from now on is not in it.
    pub(crate) fn begin_flush(&mut self) -> Flush {
        assert!(self.flight.is_none(), "one flush of a log is under way at a time");
        let Unflushed { segments, names, .. } = std::mem::take(&mut self.unflushed);
        let tail = std::mem::take(&mut self.tail);
        self.journaled_bytes = 0;
        let answers = std::mem::take(&mut self.written);
        let is_behind = answers.is_empty() && tail.bytes == 0 && !names;
        self.flight = Some(Flight { answers, seen: self.written_view(), is_behind });
        let folder = names.then(|| (Arc::clone(&self.env.disk), self.dir.clone()));
        Flush { id: self.id, segments, folder }
    }

    /// Bytes that are durable in the journal alone, but for a flush that is under way.
    pub(crate) fn journaled_bytes(&self) -> u64 {
        self.journaled_bytes
    }

    /// Whether what is written has to wait until a flush has ended.
    pub(crate) fn is_held(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| !flight.is_behind)
    }

    /// Whether no flush is under way, and the log has not failed: after a flush that failed, the
    /// next may succeed without what the disk has lost, and nothing may count as flushed by it.
    pub(crate) fn may_begin_flush(&self) -> bool {
        self.flight.is_none() && !self.is_failed()
    }

    /// Sets room aside for a log of which so much is to be flushed that it grows fast.
    pub(crate) fn reserve(&mut self) {
        let bytes = cast::u64_of(self.tail.bytes) + self.journaled_bytes;
        let segment_bytes_max = self.segment_bytes_max();
        if let Some(active) = &mut self.active
            && bytes > cast::u64_of(JOURNAL_LOG_BYTES_MAX)
        {
            active.reserve(segment_bytes_max);
        }
    }

    /// The flush has come to its end: publishes, tells, answers.
    pub(crate) fn end_flush(&mut self, outcome: Result<(), Error>, tell: impl FnOnce(&Self)) {
        let Flight { answers, seen, is_behind } = self.flight.take().expect("a flush was begun");
        match outcome {
            Ok(()) => self.flushed_end = seen.high,
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
        self.answer(answers, Some(seen).filter(|_| !is_behind), tell);
    }

    fn answer(&mut self, answers: Vec<Answer>, seen: Option<Published>, tell: impl FnOnce(&Self)) {
        if self.is_failed() {
            let rest = std::mem::take(&mut self.written);
            for answer in answers.into_iter().chain(rest) {
                (answer.then)(Err(AppendError::LogFailed));
            }
            return;
        }
        let before = (self.reader.high_watermark(), self.reader.last_stable_offset());
        if let Some(seen) = seen {
            self.reader.publish(seen);
        }
        if before != (self.reader.high_watermark(), self.reader.last_stable_offset()) {
            tell(self);
        }
        let log_start_offset = self.reader.log_start_offset();
        for Answer { then, appended, .. } in answers {
            then(Ok(Appended { log_start_offset, ..appended }));
        }
    }

    /// With `Durability::Os`: whether the topic's own rules ask for a flush.
    pub(crate) fn is_flush_due(&self) -> bool {
        let age_us = match self.unflushed.since_us {
            Some(since) => self.env.clock.steady_us().saturating_sub(since),
            None => return false,
        };
        let flush_us = self.config.flush_ms.saturating_mul(1000);
        self.unflushed.messages >= self.config.flush_messages || age_us >= flush_us
    }

    pub(crate) fn unflushed_since_ms(&self) -> Option<u64> {
        self.unflushed.since_us.map(|us| us / 1000)
    }

    /// Flushes closed segments, which take nothing more, so that the recovery point can move on.
    pub(crate) fn flush_sealed(&mut self) -> Result<(), Error> {
        let Some(active) = &self.active else { return Ok(()) };
        let base = active.segment.base;
        let sealed = |segment: &Arc<Segment>| segment.base < base;
        if !self.unflushed.segments.iter().any(sealed) {
            return Ok(());
        }
        for segment in self.unflushed.segments.iter().filter(|segment| sealed(segment)) {
            segment.file.sync_data().map_err(Error::io("flush", &segment.path))?;
        }
        self.env.disk.sync_dir(&self.dir).map_err(Error::io("flush", &self.dir))?;
        self.unflushed.segments.retain(|segment| !sealed(segment));
        self.flushed_end = self.flushed_end.max(base);
        Ok(())
    }

    pub(crate) fn has_unflushed(&self) -> bool {
        self.unflushed.names || !self.unflushed.segments.is_empty()
    }

    /// Whether a power cut could take something that was written.
    pub(crate) fn is_at_risk(&self) -> bool {
        self.tail.bytes > 0 || self.tail.is_torn || self.unflushed.names
    }

    fn note_journaled(&mut self) {
        self.journaled_bytes += cast::u64_of(self.tail.bytes);
        self.tail = Tail::default();
        (self.unflushed.messages, self.unflushed.since_us) = (0, None);
    }

    /// Lets readers see what is written.
    pub(crate) fn publish(&self) {
        self.reader.publish(self.written_view());
    }

    /// What readers may see once all that is written is durable.
    fn written_view(&self) -> Published {
        let high = self.reader.log_end_offset();
        let first_open = self.reader.producers().first_open();
        let high_mark = self.active.as_ref().map_or_else(Mark::default, |active| Mark {
            segment_base: active.segment.base,
            position: active.segment.bytes(),
        });
        let stable = first_open.map_or(high, |first| first.min(high));
        Published { high, stable, high_mark }
    }

    pub(crate) fn is_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Writes the files that a clean end leaves. Everything is flushed before.
    pub(crate) fn close(&mut self) -> Result<(), Error> {
        self.write();
        self.settle(true, |_| {});
        if self.is_failed() {
            return Err(Error::Failed { name: self.name.clone() });
        }
        let Some(active) = self.active.as_mut().filter(|_| !self.is_stored) else {
            return Ok(());
        };
        active.release();
        active.segment.store_tables(&active.growth)?;
        self.store_aborted_digests()?;
        let path = format::file(&self.dir, self.next_offset, format::SNAPSHOT);
        snapshot::store(self.disk(), &path, &self.reader.producers())?;
        self.store_epochs()?;
        self.disk().sync_dir(&self.dir).map_err(Error::io("flush", &self.dir))
    }

    /// Writes down what the transaction indexes hold, if any holds something.
    pub(crate) fn store_aborted_digests(&self) -> Result<(), Error> {
        let line = |segment: &Arc<Segment>| {
            segment.with_aborted(|aborted| {
                let digest = crate::index::digest(aborted);
                (!aborted.is_empty()).then(|| format!("{} {digest}", segment.base))
            })
        };
        let lines: Vec<String> = self.reader.segments().iter().filter_map(line).collect();
        let path = self.dir.join(format::ABORTED_FILE);
        if lines.is_empty() && !self.disk().exists(&path) {
            return Ok(());
        }
        match checkpoint::store_lines(self.disk(), &path, lines.into_iter()) {
            // The next start then walks the segments that it cannot vouch for.
            Err(error) if error.is_storage_full() => Ok(()),
            other => other,
        }
    }

    pub(crate) fn store_epochs(&mut self) -> Result<(), Error> {
        if !std::mem::take(&mut self.epochs_changed) || self.active.is_none() {
            return Ok(());
        }
        let path = self.dir.join(format::EPOCH_FILE);
        let epochs = self.reader.with_epochs(|epochs| epochs.clone());
        epochs.store(self.disk(), &path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }
}

/// What the store knows of a log before its folder is opened.
#[derive(Debug, Clone)]
pub(crate) struct LoadStart {
    pub clean: bool,
    pub recovery_point: i64,
    /// Whether a gap between segments is taken for the cleaner's work.
    pub trusts_gaps: bool,
    pub log_start: Option<i64>,
    /// Batches that the journal holds, in their order.
    pub tail: Vec<Bytes>,
}
