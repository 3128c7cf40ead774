//! LeaveGroup, key 13, versions 0 to 5: one member goes, or from version 3 on several.

use protocol::error_code::ErrorCode;
use protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};

use crate::broker::Broker;
use crate::group::leave::{Leave, Leaver, Left};
use crate::group::machine::{Event, Reply};
use crate::handler::Call;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let members = if call.version < 3 {
        vec![Leaver { member: request.member_id, instance: None }]
    } else {
        let members = request.members.into_iter();
        members.map(|it| Leaver { member: it.member_id, instance: it.group_instance_id }).collect()
    };
    let leave = Leave { group: request.group_id, members };
    let left = match broker.groups.ask(move |token| Event::Leave(token, leave)).await {
        Some(Reply::Left(left)) => left,
        _ => Left { error: ErrorCode::COORDINATOR_NOT_AVAILABLE, members: Vec::new() },
    };
    response(call, left)
}

fn response(call: &Call, left: Left) -> LeaveGroupResponse {
    if call.version < 3 {
        // One member, so its error is that of the request.
        let error = left.members.first().map_or(left.error, |(_, error)| *error);
        return LeaveGroupResponse { error_code: error.0, ..LeaveGroupResponse::default() };
    }
    let members = left.members.into_iter().map(|(leaver, error)| MemberResponse {
        member_id: leaver.member,
        group_instance_id: leaver.instance,
        error_code: error.0,
    });
    LeaveGroupResponse {
        error_code: left.error.0,
        members: members.collect(),
        ..LeaveGroupResponse::default()
    }
}
