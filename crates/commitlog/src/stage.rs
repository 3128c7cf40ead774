//! Checking an append and giving it its offsets, before anything is written.

use base::cast;
use bytes::{Bytes, BytesMut};
use protocol::record::{BatchHeader, Batches, RecordError, stamp, stamp_append_time};

use crate::command::{Append, Appended, Origin};
use crate::error::AppendError;
use crate::limits::COPY_BYTES_MAX;
use crate::load::{complete_history, marker_of};
use crate::log::{Answer, AppendThen, Log};
use crate::producers::{Marker, Written};

/// The bytes of a header that differ between what came and what is stored.
const STAMPED_BYTES: usize = 16;

/// An append that passed every check.
struct Checked {
    headers: Vec<BatchHeader>,
    log_append_time_ms: i64,
}

impl Log {
    /// Checks an append and puts it behind those staged; refusals are answered at once.
    pub(crate) fn stage(&mut self, append: &Append, then: AppendThen) {
        match self.try_stage(append) {
            Ok(appended) => {
                // The first attempt may be in this very round, so a repeat waits for the flush.
                let durable = append.durable;
                self.staged.answers.push(Answer { then, appended, durable });
            }
            Err(error) => then(Err(error)),
        }
    }

    fn try_stage(&mut self, append: &Append) -> Result<Appended, AppendError> {
        if self.is_failed() {
            return Err(AppendError::LogFailed);
        }
        let headers = self.parse(append)?;
        if let Some(appended) = self.find_duplicate(append, &headers) {
            return Ok(appended);
        }
        self.make_room(cast::u64_of(append.batches.len()), &headers)?;
        let checked = self.check(append, headers)?;
        let first = checked.headers.first().map_or(0, |header| header.base_offset);
        let next = checked.headers.last().map_or(first, BatchHeader::next_offset);
        self.stamp(append, &checked);
        self.staged.bytes += cast::u64_of(append.batches.len());
        self.staged.headers.extend(&checked.headers);
        self.next_offset = next;
        Ok(Appended {
            base_offset: first,
            last_offset: next - 1,
            log_append_time_ms: checked.log_append_time_ms,
            log_start_offset: self.reader.log_start_offset(),
            duplicate: false,
        })
    }

    fn parse(&self, append: &Append) -> Result<Vec<BatchHeader>, AppendError> {
        let mut headers = Vec::with_capacity(1);
        let mut batches = Batches::new(append.batches.clone());
        for batch in &mut batches {
            let header = *batch.map_err(|source| AppendError::InvalidRecord { source })?.header();
            self.check_header(append, &header)?;
            headers.push(header);
        }
        if batches.remainder() > 0 {
            return Err(AppendError::InvalidRecord { source: RecordError::Truncated });
        }
        if headers.is_empty() {
            return Err(AppendError::NotAllowed);
        }
        Ok(headers)
    }

    fn check_header(&self, append: &Append, header: &BatchHeader) -> Result<(), AppendError> {
        let bytes = header.total_bytes();
        let client_max = self.config.max_message_bytes;
        let segment_max = cast::usize_of(self.config.segment_bytes);
        let bytes_max = match append.origin {
            Origin::Client => client_max.min(segment_max),
            Origin::Coordinator => segment_max,
        };
        if bytes > bytes_max {
            return Err(AppendError::MessageTooLarge { bytes, bytes_max });
        }
        if header.is_control() && append.origin == Origin::Client {
            return Err(AppendError::NotAllowed);
        }
        Ok(())
    }

    /// The place of the earlier attempt, when a client's batch repeats one.
    fn find_duplicate(&mut self, append: &Append, headers: &[BatchHeader]) -> Option<Appended> {
        let idempotent = headers.iter().any(BatchHeader::has_producer);
        if append.origin != Origin::Client || !idempotent {
            return None;
        }
        let mut found = self.remembered(headers);
        if found.is_none() && self.lacks_history(headers) {
            self.write();
            let mut producers = self.reader.producers();
            // A snapshot holds one batch per producer; the log's tail has the others.
            complete_history(&self.reader.segments(), &mut producers).ok()?;
            drop(producers);
            found = self.remembered(headers);
        }
        let batch = found?;
        Some(Appended {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset,
            log_append_time_ms: -1,
            log_start_offset: self.reader.log_start_offset(),
            duplicate: true,
        })
    }

    fn remembered(&self, headers: &[BatchHeader]) -> Option<Written> {
        let producers = self.reader.producers();
        let mut with_producer = headers.iter().filter(|header| header.has_producer());
        with_producer.find_map(|header| producers.duplicate(&self.staged.overlay, header))
    }

    /// Whether a batch is out of order as far as is known, and not all is known.
    fn lacks_history(&self, headers: &[BatchHeader]) -> bool {
        let producers = self.reader.producers();
        let mut scratch = self.staged.overlay.clone();
        producers.history_missing
            && headers.iter().any(|header| {
                header.has_producer() && producers.check_client(&mut scratch, header, 0).is_err()
            })
    }

    /// Begins a new segment when the active one is full, old, or spans too many offsets.
    fn make_room(&mut self, bytes: u64, headers: &[BatchHeader]) -> Result<(), AppendError> {
        let Some(active) = &self.active else { return Ok(()) };
        let size = active.segment.bytes() + self.staged.bytes;
        let spans = |header: &BatchHeader| i64::from(header.last_offset_delta) + 1;
        let end = self.next_offset + headers.iter().map(spans).sum::<i64>();
        let newest = headers.iter().map(|header| header.max_timestamp).max().unwrap_or(-1);
        let first = active.growth.first_timestamp().filter(|first| *first >= 0);
        let age = first.map_or(0, |first| newest.saturating_sub(first));
        let full = size > 0 && size + bytes > self.segment_bytes_max();
        let wide = end - active.segment.base > i64::from(i32::MAX);
        if !(full || wide || (size > 0 && age > self.config.segment_ms_max())) {
            return Ok(());
        }
        self.write();
        if self.is_failed() {
            return Err(AppendError::LogFailed);
        }
        match self.roll() {
            Ok(()) => Ok(()),
            Err(error) if error.is_storage_full() => Err(AppendError::StorageFull),
            Err(error) => {
                self.failure.get_or_insert(error);
                Err(AppendError::LogFailed)
            }
        }
    }

    pub(crate) fn segment_bytes_max(&self) -> u64 {
        // Index entries hold places in 32 bits, as in Kafka.
        self.config.segment_bytes.min(u64::from(u32::MAX) / 2)
    }

    fn check(
        &mut self,
        append: &Append,
        mut headers: Vec<BatchHeader>,
    ) -> Result<Checked, AppendError> {
        let now_ms = self.env.clock.unix_ms();
        // The changes of several batches are kept only when every one of them is accepted.
        let before = (headers.len() > 1).then(|| self.staged.overlay.clone());
        let mut next = self.next_offset;
        for (at, header) in headers.iter_mut().enumerate() {
            header.base_offset = next;
            header.partition_leader_epoch = append.leader_epoch;
            if self.config.timestamp_type_append && !header.is_control() {
                header.max_timestamp = now_ms;
            }
            next = header.next_offset();
            if let Err(error) = self.check_producer(append, header, (at, now_ms)) {
                if let Some(before) = before {
                    self.staged.overlay = before;
                }
                return Err(error);
            }
        }
        let log_append_time_ms = if self.config.timestamp_type_append { now_ms } else { -1 };
        Ok(Checked { headers, log_append_time_ms })
    }

    fn check_producer(
        &mut self,
        append: &Append,
        header: &BatchHeader,
        (at, now_ms): (usize, i64),
    ) -> Result<(), AppendError> {
        if header.next_offset() == i64::MAX {
            return Err(AppendError::InvalidRecord { source: RecordError::OffsetOverflow });
        }
        if !header.has_producer() {
            return Ok(());
        }
        let overlay = &mut self.staged.overlay;
        let producers = self.reader.producers();
        if header.is_control() {
            match nth_marker(&append.batches, at)? {
                Some(marker) => producers.check_marker(overlay, header, marker, now_ms),
                None => Ok(()),
            }
        } else if append.origin == Origin::Client {
            producers.check_client(overlay, header, now_ms)
        } else {
            producers.check_coordinator(overlay, header, now_ms)
        }
    }

    /// Puts the offsets into the bytes, copying as little as pays.
    fn stamp(&mut self, append: &Append, checked: &Checked) {
        let restamps = checked.log_append_time_ms >= 0;
        if restamps || append.batches.len() <= COPY_BYTES_MAX {
            let mut copy = BytesMut::from(&append.batches[..]);
            let mut at = 0;
            for header in &checked.headers {
                let end = at + header.total_bytes();
                let batch = &mut copy[at..end];
                stamp(batch, header.base_offset, header.partition_leader_epoch);
                if restamps && !header.is_control() {
                    stamp_append_time(batch, checked.log_append_time_ms);
                }
                at = end;
            }
            self.staged.buffers.push(copy.freeze());
            return;
        }
        let mut at = 0;
        for header in &checked.headers {
            let end = at + header.total_bytes();
            let front = Bytes::copy_from_slice(&header.encode()[..STAMPED_BYTES]);
            self.staged.buffers.push(front);
            self.staged.buffers.push(append.batches.slice(at + STAMPED_BYTES..end));
            at = end;
        }
    }
}

fn nth_marker(batches: &Bytes, at: usize) -> Result<Option<Marker>, AppendError> {
    let invalid = |source| AppendError::InvalidRecord { source };
    match Batches::new(batches.clone()).nth(at) {
        Some(batch) => marker_of(&batch.map_err(invalid)?).map_err(invalid),
        None => Ok(None),
    }
}
