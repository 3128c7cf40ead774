//! OffsetForLeaderEpoch, key 23, versions 2 to 4.
//!
//! The end of the largest epoch that is not above the one asked for (KIP-101, KIP-279): a client
//! that has read beyond it has read what was cut off.

use protocol::error_code::ErrorCode;
use protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};

use crate::broker::Broker;
use crate::handler::check_leader_epoch;
use crate::partition::LEADER_EPOCH;

pub(crate) fn handle(
    broker: &Broker,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut response = OffsetForLeaderEpochResponse::default();
    for topic in request.topics {
        let answer = |wanted: &OffsetForLeaderPartition| {
            let (code, (leader_epoch, end_offset)) = match end(broker, &topic.topic, wanted) {
                Ok(found) => (ErrorCode::NONE, found),
                Err(code) => (code, (-1, -1)),
            };
            EpochEndOffset {
                error_code: code.0,
                partition: wanted.partition,
                leader_epoch,
                end_offset,
            }
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        response.topics.push(OffsetForLeaderTopicResult { topic: topic.topic, partitions });
    }
    response
}

fn end(
    broker: &Broker,
    topic: &str,
    wanted: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let reader = broker.partitions.reader(topic, wanted.partition)?;
    check_leader_epoch(wanted.current_leader_epoch)?;
    if wanted.leader_epoch == LEADER_EPOCH {
        return Ok((LEADER_EPOCH, reader.high_watermark()));
    }
    if wanted.leader_epoch > LEADER_EPOCH {
        return Ok((-1, -1));
    }
    Ok(reader.end_offset_for_epoch(wanted.leader_epoch))
}
