//! SyncGroup, key 14, versions 0 to 5: the leader hands the assignment in, everybody gets theirs.

use protocol::error_code::ErrorCode;
use protocol::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};
use crate::group::sync::Sync;
use crate::handler::Call;

/// From this version on a member must say which protocol it means (KIP-559).
const PROTOCOL_NAMED_SINCE: i16 = 5;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let is_named = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version >= PROTOCOL_NAMED_SINCE && !is_named {
        return refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
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
        _ => refused(ErrorCode::COORDINATOR_NOT_AVAILABLE),
    }
}

fn refused(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse { error_code: error.0, ..SyncGroupResponse::default() }
}
