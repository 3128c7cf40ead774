//! Moves groups and transactional ids of a folder of format 2 to where Kafka looks for them.
//!
//! [`plan`] says what is to be written. This reads what there is, writes the copies, then the
//! tombstones, and then notes that it is over; each is durable before the next begins, whatever
//! the broker's durability. A start that was cut off begins anew at the next one, and programs
//! that follow the older rule have refused the folder since before the first write.

mod plan;

use base::clock::Clock;
use bytes::Bytes;
use commitlog::{Append, AppendError, Durability, Origin};
use protocol::error_code::ErrorCode;
use protocol::record::Batch;
use tracing::info;

use self::plan::{Offsets, Transactions, Write};
use crate::coordinator::{self, KeyValue};
use crate::error::Error;
use crate::limits::RELOCATION_BATCH_BYTES_MAX;
use crate::metadata::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::partition::{LEADER_EPOCH, Partitions};

/// Brings the coordinators' records to the present format, if they have an older one; to be called
/// before the coordinators load.
///
/// # Errors
/// [`Error`] when something cannot be read or written: what was there is still there, and the next
/// start tries again.
pub(crate) async fn run(
    partitions: &Partitions,
    clock: &dyn Clock,
    from: Option<u32>,
) -> Result<(), Error> {
    let Some(from) = from else {
        return Ok(());
    };
    let plan = plan::plan(&read_offsets(partitions)?, &read_transactions(partitions)?);
    info!(
        from,
        copies = plan.copies.len(),
        tombstones = plan.tombstones.len(),
        "coordinators' logs are brought to the present format"
    );
    // A tombstone must never be safer on disk than the copy of what it deletes.
    let logs: Vec<_> =
        [OFFSETS_TOPIC, TRANSACTIONS_TOPIC].iter().filter_map(|it| partitions.topic(it)).collect();
    for logs in &logs {
        let mut settings = logs.settings;
        settings.log.durability = Some(Durability::Flush);
        partitions.configure(logs.id, settings).await;
    }
    for write in plan.copies.into_iter().chain(plan.tombstones) {
        store(partitions, clock, write).await?;
    }
    let raised = partitions.store().raised().await;
    raised.map_err(|error| error.map_or(Error::Ended, Error::Log))?;
    for logs in &logs {
        partitions.configure(logs.id, logs.settings).await;
    }
    Ok(())
}

fn log_of(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// Reads each partition of a topic from its start.
fn read(
    partitions: &Partitions,
    topic: &str,
    mut each: impl FnMut(i32, &Batch),
) -> Result<(), Error> {
    for partition in 0..partitions.partition_count(topic).unwrap_or(0) {
        let unread = |reason| Error::RelocationRead { log: log_of(topic, partition), reason };
        let reader = partitions.reader(topic, partition);
        let reader = reader.map_err(|code: ErrorCode| unread(code.to_string()))?;
        coordinator::replay(&reader, |batch| each(partition, batch)).map_err(unread)?;
    }
    Ok(())
}

fn read_offsets(partitions: &Partitions) -> Result<Offsets, Error> {
    let count = partitions.partition_count(OFFSETS_TOPIC).unwrap_or(1);
    let mut offsets = Offsets::new(count);
    read(partitions, OFFSETS_TOPIC, |at, batch| {
        let header = batch.header();
        if header.is_control() {
            if let Some(committed) = coordinator::marker_of(batch) {
                offsets.marker(at, header.producer_id, committed);
            }
            return;
        }
        let producer_id = header.is_transactional().then_some(header.producer_id);
        coordinator::each_record(batch, |key, value| offsets.record(at, producer_id, key, value));
    })?;
    Ok(offsets)
}

fn read_transactions(partitions: &Partitions) -> Result<Transactions, Error> {
    let count = partitions.partition_count(TRANSACTIONS_TOPIC).unwrap_or(1);
    let mut transactions = Transactions::new(count);
    read(partitions, TRANSACTIONS_TOPIC, |at, batch| {
        coordinator::each_record(batch, |key, value| {
            transactions.record(at, &key, value.as_ref());
        });
    })?;
    Ok(transactions)
}

/// Writes records, in batches of a bounded size.
async fn store(partitions: &Partitions, clock: &dyn Clock, write: Write) -> Result<(), Error> {
    let Write { topic, partition, producer, records } = write;
    let unwritten = |cause| Error::RelocationWrite { log: log_of(topic, partition), cause };
    let found = partitions.find(topic, partition);
    let log = found.map_err(|_| unwritten(AppendError::UnknownLog))?.log;
    for records in chunks(&records) {
        let too_large = |_| {
            let bytes = records.iter().map(bytes_of).sum();
            unwritten(AppendError::MessageTooLarge { bytes, bytes_max: RELOCATION_BATCH_BYTES_MAX })
        };
        let batches = coordinator::batch(clock.unix_ms(), producer, records).map_err(too_large)?;
        let append = Append {
            batches,
            origin: Origin::Coordinator,
            leader_epoch: LEADER_EPOCH,
            durable: true,
        };
        partitions.store().append(log, append).await.map_err(unwritten)?;
    }
    Ok(())
}

/// Records in portions of a bounded size; one that is larger is alone.
fn chunks(records: &[KeyValue]) -> Vec<&[KeyValue]> {
    let mut chunks = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, record) in records.iter().enumerate() {
        let more = bytes_of(record);
        if at > start && bytes + more > RELOCATION_BATCH_BYTES_MAX {
            chunks.push(&records[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += more;
    }
    chunks.push(&records[start..]);
    chunks
}

fn bytes_of((key, value): &KeyValue) -> usize {
    key.len() + value.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_hold_all_records_in_order_and_stay_below_the_limit() {
        let record = |byte: u8, len: usize| {
            let value = (len > 1).then(|| Bytes::from(vec![byte; len - 1]));
            (Bytes::from(vec![byte]), value)
        };
        let max = RELOCATION_BATCH_BYTES_MAX;
        let records: Vec<_> = [max, 1, max - 1, 1, 2 * max, 7]
            .into_iter()
            .zip(0u8..)
            .map(|(len, byte)| record(byte, len))
            .collect();
        let chunks = chunks(&records);
        assert_eq!(chunks.concat(), records);
        let counts: Vec<usize> = chunks.iter().map(|chunk| chunk.len()).collect();
        assert_eq!(counts, [1, 2, 1, 1, 1]);
    }
}
