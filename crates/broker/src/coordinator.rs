//! What the two coordinators share: their writes, what waits for them and for time, and
//! reading their topic back at a start.

pub(crate) mod awaited;
pub(crate) mod timetable;

use std::sync::{Arc, Mutex};

use base::cast;
use bytes::Bytes;
use commitlog::{Bound, LogReader, Origin, ReadRange};
use protocol::error_code::ErrorCode;
use protocol::record::{Batch, BatchBuilder, BatchOptions, Batches, ProducerIdentity};
use runtime::channel::Notify;
use tracing::warn;

use crate::limits::{COORDINATOR_BATCH_BYTES_MAX, COORDINATOR_LOAD_BYTES_MAX};
use crate::partition::Partitions;

/// Writes that are done, waiting to be told to the machine. There are never more than writes
/// that were asked for, and each of those holds a request or is bounded by the machine.
#[derive(Debug)]
pub(crate) struct Completions<T> {
    done: Mutex<Vec<T>>,
    notify: Notify,
}

impl<T> Default for Completions<T> {
    fn default() -> Self {
        Self { done: Mutex::new(Vec::new()), notify: Notify::new() }
    }
}

impl<T> Completions<T> {
    /// Adds one; called on the flusher's thread, so it must not wait.
    pub(crate) fn push(&self, item: T) {
        self.done.lock().expect("no holder of the completions panics").push(item);
        self.notify.notify_one();
    }

    /// Waits until there are some, and takes all.
    pub(crate) async fn take(&self) -> Vec<T> {
        loop {
            let done = std::mem::take(
                &mut *self.done.lock().expect("no holder of the completions panics"),
            );
            if !done.is_empty() {
                return done;
            }
            self.notify.notified().await;
        }
    }
}

/// A record for a coordinator's topic: key, and value unless it is a tombstone.
pub(crate) type KeyValue = (Bytes, Option<Bytes>);

/// One batch of a coordinator's records.
pub(crate) fn batch(
    now_ms: i64,
    producer: Option<ProducerIdentity>,
    records: &[KeyValue],
) -> Result<Bytes, ErrorCode> {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer: producer.unwrap_or(ProducerIdentity::NONE),
        transactional: producer.is_some(),
        ..BatchOptions::default()
    });
    for (key, value) in records {
        builder.append(now_ms, Some(key), value.as_deref(), &[]);
    }
    builder.build().map_err(|_| ErrorCode::MESSAGE_TOO_LARGE)
}

/// Writes a batch to a coordinator's topic and reports the end of it under `tag`.
pub(crate) fn submit<T: Send + 'static>(
    partitions: &Partitions,
    place: (&str, i32),
    batch: Result<Bytes, ErrorCode>,
    completions: &Arc<Completions<(T, Result<(), ErrorCode>)>>,
    tag: T,
) {
    let done = Arc::clone(completions);
    match batch {
        Ok(batch) => partitions.submit(
            place.0,
            place.1,
            batch,
            Origin::Coordinator,
            Box::new(move |result| done.push((tag, result.map(|_| ())))),
        ),
        Err(error) => done.push((tag, Err(error))),
    }
}

/// Reads a partition of a coordinator's topic from its start, batch by batch.
///
/// # Errors
/// The disk's, in words, or a batch that is damaged.
pub(crate) fn replay(reader: &LogReader, mut each: impl FnMut(&Batch)) -> Result<(), String> {
    let end = reader.high_watermark();
    let mut from = reader.log_start_offset();
    while from < end {
        let range = ReadRange {
            from,
            bytes_max: COORDINATOR_LOAD_BYTES_MAX,
            at_least_one: true,
            until: Bound::HighWatermark,
        };
        let slice = reader.read(range).map_err(|error| error.to_string())?;
        let mut next = from;
        for chunk in &slice.chunks {
            let bytes = chunk.read().map_err(|error| error.to_string())?;
            for batch in Batches::new(bytes) {
                let batch = batch.map_err(|error| error.to_string())?;
                next = next.max(batch.header().next_offset());
                each(&batch);
            }
        }
        if next == from {
            // The tail of the log holds nothing more: compaction has taken it.
            return Ok(());
        }
        from = next;
    }
    Ok(())
}

/// Calls `each` with the key and value of every record of a data batch.
pub(crate) fn each_record(batch: &Batch, mut each: impl FnMut(Bytes, Option<Bytes>)) {
    let decoded = match batch.decode(COORDINATOR_BATCH_BYTES_MAX) {
        Ok(decoded) => decoded,
        Err(error) => {
            warn!(%error, offset = batch.header().base_offset, "coordinator batch is unreadable");
            return;
        }
    };
    for record in decoded.iter() {
        match record {
            Ok(record) => {
                let key = record.key.map(|key| decoded.slice_ref(key));
                let value = record.value.map(|value| decoded.slice_ref(value));
                each(key.unwrap_or_default(), value);
            }
            Err(error) => {
                warn!(%error, offset = batch.header().base_offset, "coordinator record is damaged");
                return;
            }
        }
    }
}

/// Milliseconds until a deadline, at most a minute, so that no timer oversleeps a clock's jump.
pub(crate) fn pause_ms(deadline_ms: u64, now_ms: u64) -> u64 {
    deadline_ms.saturating_sub(now_ms).min(60_000)
}

/// The sign of a marker in a control batch: whether it commits.
pub(crate) fn marker_of(batch: &Batch) -> Option<bool> {
    let decoded = batch.decode(COORDINATOR_BATCH_BYTES_MAX).ok()?;
    let record = decoded.iter().next()?.ok()?;
    match protocol::record::control_type(&record).ok()? {
        protocol::record::ControlType::Commit => Some(true),
        protocol::record::ControlType::Abort => Some(false),
    }
}

/// A wall-clock deadline as steady milliseconds from now.
pub(crate) fn wall_pause_ms(deadline_ms: i64, now_ms: i64) -> u64 {
    if deadline_ms <= now_ms {
        return 0;
    }
    pause_ms(cast::u64_of_i64(deadline_ms.saturating_sub(now_ms)), 0)
}
