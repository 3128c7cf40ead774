//! Fetch, key 1, versions 4 to 18.
//!
//! Whole batches from each partition, the first of them the one that holds the offset asked for.
//! Answers at once when enough bytes are there, when anything is wrong or when nobody wants to
//! wait; otherwise waits on the partitions' watch lists until there is enough or time is up. The
//! first partition with bytes gives at least one batch, however large, so that nobody gets stuck.
//!
//! There are no fetch sessions yet (KIP-227): every answer has session 0, which tells the client to
//! go on sending full requests, and a request in a session is told that the session is unknown.
//! Topics by id from version 13 on; diverging epochs (KIP-595) from 12 on.

use std::sync::Arc;
use std::time::Duration;

use commitlog::{Bound, LogReader, ReadError, ReadRange};
use protocol::error_code::ErrorCode;
use protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchTopic,
    FetchableTopicResponse, PartitionData,
};
use protocol::wire::Records;
use runtime::timer;
use tracing::error;

use crate::broker::Broker;
use crate::handler::{Call, bound, check_leader_epoch};
use crate::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX};
use crate::partition::{LEADER_EPOCH, Partition, TopicLogs};
use crate::watch::{Registration, Waiter};

/// First version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 13;

/// A partition as it was asked for: open, or what is wrong.
type Place = Result<Arc<Partition>, ErrorCode>;

/// Limits of one answer.
#[derive(Debug, Clone, Copy)]
struct Want {
    bytes_min: u64,
    bytes_max: usize,
    wait: Duration,
    until: Bound,
}

pub(crate) async fn handle(broker: &Broker, call: &Call, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 || request.session_epoch > 0 {
        return FetchResponse {
            error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0,
            ..FetchResponse::default()
        };
    }
    let want = Want {
        bytes_min: u64::try_from(request.min_bytes).unwrap_or(0),
        bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(FETCH_BYTES_MAX),
        wait: Duration::from_millis(
            u64::try_from(request.max_wait_ms).unwrap_or(0).min(FETCH_WAIT_MS_MAX),
        ),
        until: bound(request.isolation_level),
    };
    let places: Vec<Vec<Place>> = request
        .topics
        .iter()
        .map(|topic| {
            let logs = find(broker, call, topic);
            topic.partitions.iter().map(|wanted| place(&logs, wanted)).collect()
        })
        .collect();
    let wanted: Vec<(&Place, &FetchPartition)> = places
        .iter()
        .flatten()
        .zip(request.topics.iter().flat_map(|topic| &topic.partitions))
        .collect();
    if !is_enough(&wanted, want) && !want.wait.is_zero() {
        wait(&wanted, want).await;
    }
    read_all(&request.topics, &places, want)
}

fn find(broker: &Broker, call: &Call, topic: &FetchTopic) -> Result<Arc<TopicLogs>, ErrorCode> {
    if call.version >= TOPIC_IDS_SINCE {
        return broker.partitions.topic_by_id(topic.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID);
    }
    broker.partitions.topic(&topic.topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn place(logs: &Result<Arc<TopicLogs>, ErrorCode>, wanted: &FetchPartition) -> Place {
    let logs = logs.as_ref().map_err(|code| *code)?;
    let partition = logs.partition(wanted.partition)?;
    check_leader_epoch(wanted.current_leader_epoch)?;
    Ok(Arc::clone(partition))
}

/// Whether the answer can be given now: there are bytes enough, or something is to be told.
fn is_enough(wanted: &[(&Place, &FetchPartition)], want: Want) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let mut bytes: u64 = 0;
    for (place, partition) in wanted {
        let Ok(place) = place else { return true };
        if diverging(place, partition).is_some() || place.watch.is_closed() {
            return true;
        }
        match readable(&place.reader, partition, want) {
            Some(readable) => bytes = bytes.saturating_add(readable),
            None => return true,
        }
        if bytes >= want.bytes_min {
            return true;
        }
    }
    bytes >= want.bytes_min
}

/// Bytes that a partition could give now; `None` when reading it fails.
fn readable(reader: &LogReader, wanted: &FetchPartition, want: Want) -> Option<u64> {
    let from = wanted.fetch_offset;
    let end = reader.bound(want.until);
    if want.bytes_min <= 1 && (reader.log_start_offset()..end).contains(&from) {
        // Whoever wants anything at all need not have the place looked up twice.
        return Some(1);
    }
    if from == end {
        return Some(0);
    }
    let readable = reader.readable_bytes(from, want.until).ok()?;
    Some(readable.min(u64::try_from(wanted.partition_max_bytes).unwrap_or(0)))
}

/// Waits until there is enough or time is up. Registers before it looks, so no growth is missed.
async fn wait(wanted: &[(&Place, &FetchPartition)], want: Want) {
    let waiter = Arc::new(Waiter::default());
    let _registrations: Vec<Registration> = wanted
        .iter()
        .filter_map(|(place, _)| place.as_ref().ok())
        .map(|place| place.watch.register(&waiter))
        .collect();
    let grown = async {
        while !is_enough(wanted, want) {
            waiter.woken().await;
        }
    };
    // Time that is up is no error: the answer has what there is.
    let _ = timer::timeout(want.wait, grown).await;
}

fn read_all(topics: &[FetchTopic], places: &[Vec<Place>], want: Want) -> FetchResponse {
    let mut left = want.bytes_max;
    let mut is_first = true;
    let mut response = FetchResponse::default();
    response.responses.reserve(topics.len());
    for (topic, places) in topics.iter().zip(places) {
        let read = |(wanted, place): (&FetchPartition, &Place)| {
            let outcome = place.as_ref().map_err(|code| *code).and_then(|place| {
                let part = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
                read(place, wanted, Share { part, is_first, until: want.until })
            });
            let data = outcome.unwrap_or_else(|code| failed(wanted, code));
            let bytes = data.records.as_ref().map_or(0, Records::len);
            left = left.saturating_sub(bytes);
            is_first &= bytes == 0;
            data
        };
        let partitions = topic.partitions.iter().zip(places).map(read).collect();
        response.responses.push(FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions,
        });
    }
    response
}

/// What one partition may give.
#[derive(Debug, Clone, Copy)]
struct Share {
    part: usize,
    is_first: bool,
    until: Bound,
}

fn read(
    place: &Partition,
    wanted: &FetchPartition,
    share: Share,
) -> Result<PartitionData, ErrorCode> {
    let reader = &place.reader;
    if place.watch.is_closed() {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    let mut data = PartitionData {
        partition_index: wanted.partition,
        high_watermark: reader.high_watermark(),
        last_stable_offset: reader.last_stable_offset(),
        log_start_offset: reader.log_start_offset(),
        // Null unless asked for: a reader of everything wants no list of what was aborted.
        aborted_transactions: None,
        records: Some(Records::default()),
        ..PartitionData::default()
    };
    if let Some(diverging) = diverging(place, wanted) {
        if diverging.epoch < 0 {
            // The client's epoch is none of this log's, so there is no place to go back to.
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        data.diverging_epoch = diverging;
        return Ok(data);
    }
    let slice = reader
        .read(ReadRange {
            from: wanted.fetch_offset,
            bytes_max: share.part,
            at_least_one: share.is_first,
            until: share.until,
        })
        .map_err(|cause| code_of(&cause, reader.name()))?;
    if share.until == Bound::LastStable {
        // Of what is not in this answer, later answers tell.
        let aborted = reader.aborted_transactions(wanted.fetch_offset, slice.end_offset);
        let aborted = aborted.into_iter().map(|one| AbortedTransaction {
            producer_id: one.producer_id,
            first_offset: one.first_offset,
        });
        data.aborted_transactions = Some(aborted.collect());
    }
    data.records = Some(Records::from_chunks(slice.chunks));
    Ok(data)
}

/// Where the client's history leaves the log's, when it has read what was cut off since.
fn diverging(place: &Partition, wanted: &FetchPartition) -> Option<EpochEndOffset> {
    if wanted.last_fetched_epoch < 0 {
        return None;
    }
    let (epoch, end_offset) = if wanted.last_fetched_epoch == LEADER_EPOCH {
        (LEADER_EPOCH, place.reader.log_end_offset())
    } else {
        place.reader.end_offset_for_epoch(wanted.last_fetched_epoch)
    };
    let diverges = epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset;
    diverges.then_some(EpochEndOffset { epoch, end_offset })
}

fn code_of(cause: &ReadError, log: &str) -> ErrorCode {
    match cause {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        ReadError::Store(cause) => {
            error!(log, error = %cause, "log cannot be read");
            ErrorCode::KAFKA_STORAGE_ERROR
        }
    }
}

fn failed(wanted: &FetchPartition, code: ErrorCode) -> PartitionData {
    // Kafka has an empty list where it found no partition to read, and null where it did.
    let is_missing =
        code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION || code == ErrorCode::UNKNOWN_TOPIC_ID;
    PartitionData {
        partition_index: wanted.partition,
        aborted_transactions: is_missing.then(Vec::new),
        error_code: code.0,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        records: Some(Records::default()),
        ..PartitionData::default()
    }
}
