//! Heartbeat, key 12, versions 0 to 4: a member is alive, and hears of a rebalance.

use protocol::error_code::ErrorCode;
use protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};
use crate::group::sync::Heartbeat;

pub(crate) async fn handle(broker: &Broker, request: HeartbeatRequest) -> HeartbeatResponse {
    let beat = Heartbeat {
        group: request.group_id,
        generation: request.generation_id,
        member: request.member_id,
        instance: request.group_instance_id,
    };
    let error = match broker.groups.ask(move |token| Event::Heartbeat(token, beat)).await {
        Some(Reply::Heartbeat(error)) => error,
        _ => ErrorCode::COORDINATOR_NOT_AVAILABLE,
    };
    HeartbeatResponse { error_code: error.0, ..HeartbeatResponse::default() }
}
