//! The records of `__transaction_state`, byte for byte Kafka's.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::messages::transaction_log_key::TransactionLogKey;
use protocol::messages::transaction_log_value::{PartitionsSchema, TransactionLogValue};
use protocol::record::ProducerIdentity;
use protocol::wire::{DecodeError, Message as _, Reader, Writer};

use super::txn::{State, Stored};

const KEY_VERSION: i16 = 0;

/// The version that brokers write whose transactions are of the first kind; every tool reads it.
const VALUE_VERSION: i16 = 0;

/// A record to be written; without a value it is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TransactionRecord {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

impl TransactionRecord {
    /// The record of a transactional id's state; `None` makes a later start forget it.
    pub(crate) fn new(transactional_id: &str, stored: Option<&Stored>) -> Self {
        let mut key = Writer::new();
        key.int16(KEY_VERSION);
        let name = TransactionLogKey { transactional_id: transactional_id.to_owned() };
        name.encode(&mut key, KEY_VERSION).expect("own records fit their version");
        Self { key: key.into_bytes(), value: stored.map(value) }
    }
}

fn value(stored: &Stored) -> Bytes {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &stored.places {
        topics.entry(topic).or_default().push(*partition);
    }
    let partitions = topics
        .into_iter()
        .map(|(topic, ids)| PartitionsSchema { topic: topic.to_owned(), partition_ids: ids });
    let value = TransactionLogValue {
        producer_id: stored.producer.id,
        producer_epoch: stored.producer.epoch,
        transaction_timeout_ms: stored.timeout_ms,
        transaction_status: stored.state.code(),
        // Kafka stores null, not an empty list, where no transaction is under way.
        transaction_partitions: (stored.state != State::Empty).then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: stored.updated_ms,
        transaction_start_timestamp_ms: stored.started_ms,
        ..TransactionLogValue::default()
    };
    let mut writer = Writer::new();
    writer.int16(VALUE_VERSION);
    value.encode(&mut writer, VALUE_VERSION).expect("own records fit their version");
    writer.into_bytes()
}

/// Understands a record that was read back: the id, and its state unless it is a tombstone.
///
/// # Errors
/// [`DecodeError`] when it is none of Kafka's, or in a state that is not stored.
pub(crate) fn understand(
    key: &Bytes,
    value: Option<&Bytes>,
) -> Result<(String, Option<Stored>), DecodeError> {
    let mut reader = Reader::new(key);
    let version = reader.int16()?;
    let key = TransactionLogKey::decode(&mut reader, version)?;
    let stored = value.map(read_value).transpose()?;
    Ok((key.transactional_id, stored))
}

fn read_value(bytes: &Bytes) -> Result<Stored, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.int16()?;
    let value = TransactionLogValue::decode(&mut reader, version)?;
    let partitions = value.transaction_partitions.unwrap_or_default().into_iter();
    let places = partitions.flat_map(|it| {
        let topic = it.topic;
        it.partition_ids.into_iter().map(move |id| (topic.clone(), id))
    });
    Ok(Stored {
        producer: ProducerIdentity { id: value.producer_id, epoch: value.producer_epoch },
        last_epoch: -1,
        previous_id: value.previous_producer_id,
        timeout_ms: value.transaction_timeout_ms,
        state: State::from_code(value.transaction_status).ok_or(DecodeError::Version)?,
        places: places.collect(),
        started_ms: value.transaction_start_timestamp_ms,
        updated_ms: value.transaction_last_update_timestamp_ms,
    })
}
