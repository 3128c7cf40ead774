//! Produce, key 0, versions 3 to 13 (offered from 0, because old clients look for that).
//!
//! Two halves: `begin` checks every batch on the connection's task and puts them into the log's
//! queue in the order of the requests; `finish` waits for the group commit that holds them. So
//! requests of one connection are pipelined into one flush.
//!
//! Acks 0 gets no answer, and an error then ends the connection, which is the only way to tell;
//! acks 1 and all are the same on one node. Topics by id from version 13 on.

use std::sync::Arc;

use base::clock::Clock;
use bytes::{Bytes, BytesMut};
use commitlog::{AppendError, Origin};
use protocol::error_code::ErrorCode;
use protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use protocol::record::{
    Batch, BatchHeader, Batches, Compression, NO_TIMESTAMP, ProducerIdentity, RecordError,
    RecordFacts, stamp_max_timestamp, validate_records,
};
use runtime::channel::Answer;

use super::init_producer_id::abortable_as;
use crate::broker::Broker;
use crate::config::topic::Settings;
use crate::handler::Call;
use crate::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use crate::metadata::is_internal;
use crate::partition::{TopicLogs, code_of};
use crate::store::AppendResult;
use crate::transaction::machine::Add;

/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 13;

/// First version whose partitions join the transaction by themselves (KIP-890).
const TRANSACTIONS_JOINED_SINCE: i16 = 12;

/// First version whose clients know errors that end the transaction and nothing else (KIP-890).
const ABORTABLE_SINCE: i16 = 11;

/// First version that may carry zstd (KIP-110).
const ZSTD_SINCE: i16 = 7;

/// What a partition is told when its batch is refused.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    code: ErrorCode,
    message: Option<String>,
    /// Which records are to blame, from 0, with the reason.
    records: Vec<(i32, String)>,
}

impl Refused {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: Some(message.into()), records: Vec::new() }
    }
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new() }
    }
}

impl From<RecordError> for Refused {
    fn from(cause: RecordError) -> Self {
        if let RecordError::KeyMissing { index } = cause {
            let reason = "Compacted topic cannot accept message without key in topic partition.";
            return Self {
                code: ErrorCode::INVALID_RECORD,
                message: Some("One or more records have been rejected".to_owned()),
                records: vec![(index, reason.to_owned())],
            };
        }
        let code = match cause {
            // Nobody can tell a format of the future from damage.
            RecordError::UnsupportedMagic(_) => ErrorCode::CORRUPT_MESSAGE,
            other => other.error_code(),
        };
        Self::new(code, cause.to_string())
    }
}

/// A request whose batches are in the log's queue.
pub(crate) struct InProgress {
    acks: i16,
    topics: Vec<(TopicProduceResponse, Vec<Submitted>)>,
}

/// One partition's part.
enum Submitted {
    Queued(i32, Answer<AppendResult>),
    Refused(i32, Refused),
}

/// Checks the batches and hands them to the log, waiting only for room in its queue.
pub(crate) async fn begin(broker: &Broker, call: &Call, request: ProduceRequest) -> InProgress {
    let acks = request.acks;
    let transactional_id = request.transactional_id;
    let is_known_acks = (-1..=1).contains(&acks);
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let logs = find(broker, call, &topic).and_then(|logs| {
            if is_known_acks { Ok(logs) } else { Err(ErrorCode::INVALID_REQUIRED_ACKS.into()) }
        });
        let mut submitted = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            let index = data.index;
            let queued = match &logs {
                Ok(logs) => submit(broker, call, logs, (data, transactional_id.as_deref())).await,
                Err(refused) => Err(Refused {
                    code: refused.code,
                    message: refused.message.clone(),
                    records: Vec::new(),
                }),
            };
            submitted.push(match queued {
                Ok(answer) => Submitted::Queued(index, answer),
                Err(refused) => Submitted::Refused(index, refused),
            });
        }
        let response = TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: Vec::with_capacity(submitted.len()),
        };
        topics.push((response, submitted));
    }
    InProgress { acks, topics }
}

fn find(broker: &Broker, call: &Call, topic: &TopicProduceData) -> Result<Arc<TopicLogs>, Refused> {
    let logs = if call.version >= TOPIC_IDS_SINCE {
        broker.partitions.topic_by_id(topic.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?
    } else {
        broker.partitions.topic(&topic.name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?
    };
    if is_internal(&logs.name) {
        let message = format!("Cannot append to internal topic {}", logs.name);
        return Err(Refused::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
    }
    Ok(logs)
}

async fn submit(
    broker: &Broker,
    call: &Call,
    logs: &TopicLogs,
    (data, transactional_id): (PartitionProduceData, Option<&str>),
) -> Result<Answer<AppendResult>, Refused> {
    let partition = logs.partition(data.index)?;
    let log = partition.log;
    let records = data.records.unwrap_or_default();
    let bytes = records.to_bytes().map_err(|_| ErrorCode::CORRUPT_MESSAGE)?;
    let checked = check(call.version, bytes, &logs.settings, broker.clock.as_ref())?;
    let header = BatchHeader::parse(&checked)?;
    if header.is_transactional() && !partition.reader.has_open_transaction(header.producer()) {
        let place = (logs.name.clone(), data.index);
        enlist(broker, call, transactional_id, header.producer(), place).await?;
    }
    broker
        .partitions
        .begin_append(log, checked, Origin::Client)
        .await
        .map_err(|error| code_of(&error).into())
}

/// The first batch of a transaction in a partition: the coordinator must know of the partition,
/// or it would never get a marker. Newer clients leave telling it to the broker (KIP-890).
async fn enlist(
    broker: &Broker,
    call: &Call,
    transactional_id: Option<&str>,
    producer: ProducerIdentity,
    place: (String, i32),
) -> Result<(), Refused> {
    let Some(transactional_id) = transactional_id.map(str::to_owned) else {
        return Err(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED.into());
    };
    let verify_only = call.version < TRANSACTIONS_JOINED_SINCE;
    let add = Add { transactional_id, producer, places: vec![place], verify_only };
    match broker.transactions.add(add).await {
        ErrorCode::NONE => Ok(()),
        ErrorCode::PRODUCER_FENCED => Err(ErrorCode::INVALID_PRODUCER_EPOCH.into()),
        error => Err(abortable_as(call.version >= ABORTABLE_SINCE, error).into()),
    }
}

/// Checks one partition's records as Kafka does; gives the bytes to append.
fn check(
    version: i16,
    bytes: Bytes,
    settings: &Settings,
    clock: &dyn Clock,
) -> Result<Bytes, Refused> {
    let invalid = |message: String| Refused::new(ErrorCode::INVALID_RECORD, message);
    let mut batches = Batches::new(bytes.clone());
    let Some(first) = batches.next() else {
        return Err(invalid(format!(
            "Produce requests with version {version} must have at least one record batch per \
             partition"
        )));
    };
    let batch = match first {
        Ok(batch) => batch,
        Err(RecordError::LegacyMagic(_)) => {
            return Err(invalid(format!(
                "Produce requests with version {version} are only allowed to contain record \
                 batches with magic version 2"
            )));
        }
        Err(cause) => return Err(cause.into()),
    };
    if batch.bytes().len() != bytes.len() {
        return Err(invalid(format!(
            "Produce requests with version {version} are only allowed to contain exactly one \
             record batch per partition"
        )));
    }
    check_header(version, &batch, settings)?;
    let keys_required = settings.log.cleanup.compacts();
    let facts = validate_records(&batch, keys_required, DECOMPRESSED_BATCH_BYTES_MAX)?;
    check_times(&facts, settings, clock.unix_ms())?;
    if facts.max_timestamp == batch.header().max_timestamp {
        return Ok(bytes);
    }
    // Look-ups by time trust the header, so it must say what the records say.
    let mut corrected = BytesMut::from(&bytes[..]);
    stamp_max_timestamp(&mut corrected, facts.max_timestamp);
    Ok(corrected.freeze())
}

fn check_header(version: i16, batch: &Batch, settings: &Settings) -> Result<(), Refused> {
    let header = batch.header();
    if header.compression()? == Compression::Zstd && version < ZSTD_SINCE {
        let message = format!(
            "Produce requests with version {version} are not allowed to use ZStandard compression"
        );
        return Err(Refused::new(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE, message));
    }
    if header.is_control() {
        let message = "Clients are not allowed to write control records";
        return Err(Refused::new(ErrorCode::INVALID_RECORD, message));
    }
    if header.has_producer() && header.base_sequence < 0 {
        let message = format!(
            "Invalid sequence number {} in record batch with producerId {}",
            header.base_sequence, header.producer_id
        );
        return Err(Refused::new(ErrorCode::INVALID_RECORD, message));
    }
    let (bytes, bytes_max) = (header.total_bytes(), settings.log.max_message_bytes);
    if bytes > bytes_max {
        let message = format!(
            "The record batch size is {bytes} bytes which exceeds the maximum configured value of \
             {bytes_max}."
        );
        return Err(Refused::new(ErrorCode::MESSAGE_TOO_LARGE, message));
    }
    Ok(())
}

/// Refuses timestamps too far from now, unless the log puts its own in their place.
fn check_times(facts: &RecordFacts, settings: &Settings, now_ms: i64) -> Result<(), Refused> {
    if settings.log.timestamp_type_append {
        return Ok(());
    }
    let earliest = now_ms.saturating_sub(settings.timestamp_before_ms_max);
    let latest = now_ms.saturating_add(settings.timestamp_after_ms_max);
    let (index, timestamp) = if facts.max_timestamp > latest {
        (facts.max_timestamp_offset_delta, facts.max_timestamp)
    } else if facts.min_timestamp != NO_TIMESTAMP && facts.min_timestamp < earliest {
        (facts.min_timestamp_offset_delta, facts.min_timestamp)
    } else {
        return Ok(());
    };
    let reason = format!(
        "Timestamp {timestamp} of message with offset {index} is out of range. The timestamp \
         should be within [{earliest}, {latest}]"
    );
    Err(Refused {
        code: ErrorCode::INVALID_TIMESTAMP,
        message: Some("One or more records have been rejected due to invalid timestamp".into()),
        records: vec![(index, reason)],
    })
}

impl InProgress {
    /// Whether the client waits for an answer.
    pub(crate) fn wants_answer(&self) -> bool {
        self.acks != 0
    }

    /// Waits until everything is stored; the answer, and the first error in it.
    pub(crate) async fn finish(self) -> (ProduceResponse, Option<ErrorCode>) {
        let mut response = ProduceResponse::default();
        let mut failed = None;
        for (mut topic, submitted) in self.topics {
            for part in submitted {
                let answer = match part {
                    Submitted::Queued(index, answer) => {
                        stored(index, answer.await.unwrap_or(Err(AppendError::Closed)))
                    }
                    Submitted::Refused(index, refused) => refuse(index, refused),
                };
                if answer.error_code != 0 {
                    failed.get_or_insert(ErrorCode(answer.error_code));
                }
                topic.partition_responses.push(answer);
            }
            response.responses.push(topic);
        }
        (response, failed)
    }
}

fn stored(index: i32, result: AppendResult) -> PartitionProduceResponse {
    match result {
        Ok(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start_offset,
            ..PartitionProduceResponse::default()
        },
        Err(error) => refuse(index, Refused::new(code_of(&error), error.to_string())),
    }
}

fn refuse(index: i32, refused: Refused) -> PartitionProduceResponse {
    let blame = |(batch_index, reason)| BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: Some(reason),
    };
    PartitionProduceResponse {
        index,
        error_code: refused.code.0,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        record_errors: refused.records.into_iter().map(blame).collect(),
        error_message: refused.message,
        ..PartitionProduceResponse::default()
    }
}
