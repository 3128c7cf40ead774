//! SyncGroup, key 14, versions 0 to 5: the leader hands the assignment in, everybody gets theirs.

use protocol::error_code::ErrorCode;
use protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};
use crate::group::sync::Sync;

pub(crate) async fn handle(broker: &Broker, request: SyncGroupRequest) -> SyncGroupResponse {
    let assignments = request.assignments.into_iter();
    let sync = Sync {
        group: request.group_id,
        generation: request.generation_id,
        member: request.member_id,
        instance: request.group_instance_id,
        protocol_type: request.protocol_type,
        protocol: request.protocol_name,
        assignments: assignments.map(|it| (it.member_id, it.assignment)).collect(),
    };
    match broker.groups.ask(move |token| Event::Sync(token, sync)).await {
        Some(Reply::Synced(synced)) => SyncGroupResponse {
            error_code: synced.error.0,
            protocol_type: synced.protocol_type,
            protocol_name: synced.protocol,
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        _ => SyncGroupResponse {
            error_code: ErrorCode::COORDINATOR_NOT_AVAILABLE.0,
            ..SyncGroupResponse::default()
        },
    }
}
