//! What stays of each batch: Kafka's rules (`Cleaner`, `RecordFilter`).

use std::sync::Arc;

use bytes::Bytes;
use protocol::record::{
    Batch, BatchHeader, Record, RecordError, Retained, empty_batch, retain_records,
    set_delete_horizon,
};

use super::keys::Keys;
use super::output::Output;
use super::transactions::Transactions;
use super::{CleanJob, Group, Meter, damaged};
use crate::error::Error;
use crate::limits::DECOMPRESS_BYTES_MAX;
use crate::segment::Segment;

/// What one run knows while it rewrites.
pub(super) struct Run<'a> {
    pub job: &'a CleanJob,
    pub keys: Keys,
    pub transactions: Transactions,
    pub meter: Meter<'a>,
}

impl Run<'_> {
    /// Writes one group's records that stay.
    pub(super) fn rewrite(&mut self, olds: &[Arc<Segment>]) -> Result<Group, Error> {
        let base = olds[0].base;
        let last_offset = last_offset(olds)?;
        let interval_bytes = olds[0].interval_bytes();
        let mut output = Output::create(&self.job.disk, &self.job.dir, base, interval_bytes)?;
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
                self.meter.note(batch.bytes().len())?;
                let is_last = batch.header().last_offset() == last_offset;
                let kept = self.keep(&batch, is_last).map_err(damaged(&old.path, at))?;
                if let Some(bytes) = kept {
                    self.meter.note(bytes.len())?;
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
        batch.verify_crc()?;
        if batch.header().is_control() {
            return self.keep_marker(batch, is_last);
        }
        self.keep_records(batch, is_last)
    }

    /// A marker stays while batches of its transaction are met. The first run that meets none
    /// gives it a horizon, and it goes with the first run after that.
    fn keep_marker(&mut self, batch: &Batch, is_last: bool) -> Result<Option<Bytes>, RecordError> {
        let header = batch.header();
        let producer = (header.producer_id, header.producer_epoch);
        let has_batches = self.transactions.end(header);
        let is_needed = has_batches || is_last || self.job.only_marked.contains(&producer);
        match header.delete_horizon() {
            Some(horizon) if !is_needed && horizon <= self.job.now_ms => Ok(None),
            // Kafka empties markers that it keeps for their producer's epoch alone.
            None if header.record_count == 0 && !is_needed => Ok(None),
            None if !has_batches && header.record_count > 0 => self.with_horizon(batch).map(Some),
            _ => Ok(Some(batch.bytes().clone())),
        }
    }

    fn keep_records(&mut self, batch: &Batch, is_last: bool) -> Result<Option<Bytes>, RecordError> {
        let header = *batch.header();
        let gone = self.transactions.pass(&header);
        // A deletion may go once nothing that it deletes can be left before it.
        let mapped = header.last_offset() < self.keys.end();
        let horizon = header.delete_horizon();
        let forget = mapped && horizon.is_some_and(|horizon| horizon <= self.job.now_ms);
        let keys = &self.keys;
        let mut deletes = false;
        let wanted = |record: &Record<'_>| {
            let Some(key) = record.key else { return false };
            let newest = keys.last(key).is_none_or(|last| last <= record.offset);
            let stays = newest && !gone && !(forget && record.value.is_none());
            deletes |= stays && record.value.is_none();
            stays
        };
        let kept = match retain_records(batch, DECOMPRESS_BYTES_MAX, wanted)? {
            Retained::All if header.record_count > 0 => Some(batch.bytes().clone()),
            Retained::Some(bytes) => Some(bytes),
            Retained::All | Retained::None => None,
        };
        match kept {
            // Readers that are behind have until the horizon to see what was deleted.
            Some(bytes) if mapped && deletes && horizon.is_none() => {
                self.with_horizon(&Batch::parse(&bytes)?).map(Some)
            }
            Some(bytes) => Ok(Some(bytes)),
            None => Ok(self.keep_empty(&header, is_last)),
        }
    }

    /// A batch without records where sequences or offsets hang on it.
    fn keep_empty(&self, header: &BatchHeader, is_last: bool) -> Option<Bytes> {
        let last_of_producer =
            header.has_producer() && self.job.last_of_producers.contains(&header.last_offset());
        (last_of_producer || is_last).then(|| empty_batch(header))
    }

    fn with_horizon(&self, batch: &Batch) -> Result<Bytes, RecordError> {
        let horizon_ms = self.job.now_ms.saturating_add(self.job.delete_retention_ms);
        set_delete_horizon(batch, DECOMPRESS_BYTES_MAX, horizon_ms)
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
