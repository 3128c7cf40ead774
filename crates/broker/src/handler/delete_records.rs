//! DeleteRecords, key 21, versions 0 to 2.
//!
//! Moves the start of a partition forward, -1 up to the high watermark. Records before it are no
//! longer readable when the answer comes; their files go when a whole segment lies before it.

use protocol::error_code::ErrorCode;
use protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};

use crate::broker::Broker;
use crate::handler::Call;
use crate::metadata::is_internal;

/// Asks for the high watermark.
const UP_TO_HIGH_WATERMARK: i64 = -1;

pub(crate) async fn handle(
    broker: &Broker,
    _call: &Call,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut response = DeleteRecordsResponse::default();
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in topic.partitions {
            let moved = advance(broker, &topic.name, wanted.partition_index, wanted.offset).await;
            let (low_watermark, code) = match moved {
                Ok(low_watermark) => (low_watermark, ErrorCode::NONE),
                Err(code) => (-1, code),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: wanted.partition_index,
                low_watermark,
                error_code: code.0,
            });
        }
        response.topics.push(DeleteRecordsTopicResult { name: topic.name, partitions });
    }
    response
}

async fn advance(
    broker: &Broker,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<i64, ErrorCode> {
    if is_internal(topic) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let logs = broker.partitions.topic(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let found = logs.partition(partition)?;
    if !logs.settings.log.cleanup.deletes() {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let end = found.reader.high_watermark();
    let to = if offset == UP_TO_HIGH_WATERMARK { end } else { offset };
    if !(0..=end).contains(&to) {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    broker.partitions.advance_log_start(found.log, to).await?;
    Ok(found.reader.log_start_offset().max(to))
}
