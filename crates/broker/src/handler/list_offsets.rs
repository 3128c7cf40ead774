//! ListOffsets, key 2, versions 1 to 11.
//!
//! One offset per partition: the end (-1; the last stable offset for read_committed), the start
//! (-2), the record with the largest timestamp (-3, from version 7 on), the first local one (-4,
//! from 8 on: the start, as nothing is remote), the last remote one (-5 and -6, from 9 and 11 on:
//! none), or the first record that is at least as new as a timestamp. -1 where there is none.

use commitlog::{Bound, LogReader};
use protocol::error_code::ErrorCode;
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use tracing::error;

use crate::broker::Broker;
use crate::handler::{Call, bound, check_leader_epoch};
use crate::partition::LEADER_EPOCH;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// First version that tells the epoch of an offset.
const EPOCHS_SINCE: i16 = 4;

/// An offset with the timestamp that belongs to it.
type Found = (i64, i64);

pub(crate) fn handle(
    broker: &Broker,
    call: &Call,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let until = bound(request.isolation_level);
    let mut response = ListOffsetsResponse::default();
    for topic in request.topics {
        let answer = |wanted: &ListOffsetsPartition| {
            let looked = broker
                .partitions
                .reader(&topic.name, wanted.partition_index)
                .and_then(|reader| look_up(&reader, wanted, until, call.version));
            answer(wanted.partition_index, looked, call.version)
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        response.topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
    }
    response
}

fn answer(
    partition_index: i32,
    looked: Result<Option<Found>, ErrorCode>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let (code, found) = match looked {
        Ok(found) => (ErrorCode::NONE, found),
        Err(code) => (code, None),
    };
    let (offset, timestamp) = found.unwrap_or((-1, -1));
    ListOffsetsPartitionResponse {
        partition_index,
        error_code: code.0,
        timestamp,
        offset,
        leader_epoch: if found.is_some() && version >= EPOCHS_SINCE { LEADER_EPOCH } else { -1 },
    }
}

fn look_up(
    reader: &LogReader,
    wanted: &ListOffsetsPartition,
    until: Bound,
    version: i16,
) -> Result<Option<Found>, ErrorCode> {
    check_leader_epoch(wanted.current_leader_epoch)?;
    let since = match wanted.timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        unknown if unknown < EARLIEST_PENDING_UPLOAD => i16::MAX,
        _ => 0,
    };
    if version < since {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    let end = reader.bound(until);
    let damaged = |cause: commitlog::Error| {
        error!(log = reader.name(), error = %cause, "offsets cannot be looked up");
        ErrorCode::KAFKA_STORAGE_ERROR
    };
    match wanted.timestamp {
        LATEST => Ok(Some((end, -1))),
        EARLIEST | EARLIEST_LOCAL => Ok(Some((reader.log_start_offset(), -1))),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(None),
        MAX_TIMESTAMP => reader.max_timestamp().map_err(damaged),
        timestamp => reader.offset_for_timestamp(timestamp).map_err(damaged),
    }
    .map(|found| found.filter(|(offset, _)| wanted.timestamp < 0 || *offset < end))
}
