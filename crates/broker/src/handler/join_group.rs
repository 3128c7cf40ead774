//! JoinGroup, key 11, versions 0 to 9: becoming a member, waiting for the others.
//!
//! Version 1 adds the rebalance timeout (before, the session's served for both); from 4 on a new
//! dynamic member must come back with its id (KIP-394); 5 adds static members; 9 lets a static
//! leader keep the assignment.

use protocol::error_code::ErrorCode;
use protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};

use crate::broker::Broker;
use crate::group::join::{Join, Joined};
use crate::group::machine::{Event, Reply};
use crate::handler::Call;
use crate::metadata::OFFSETS_TOPIC;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    if let Err(error) = broker.metadata.ensure_internal(OFFSETS_TOPIC).await {
        return refused(call, &request, error);
    }
    let member = request.member_id.clone();
    let join = join_of(broker, call, request);
    match broker.groups.ask(move |token| Event::Join(token, join)).await {
        Some(Reply::Joined(joined)) => response(call, joined),
        _ => {
            let request = JoinGroupRequest { member_id: member, ..JoinGroupRequest::default() };
            refused(call, &request, ErrorCode::COORDINATOR_NOT_AVAILABLE)
        }
    }
}

fn join_of(broker: &Broker, call: &Call, request: JoinGroupRequest) -> Join {
    let client_id = call.client_id.clone().unwrap_or_default();
    let prefix = request.group_instance_id.as_deref().unwrap_or(&client_id);
    let fresh_id = format!("{prefix}-{}", dashed(broker));
    let rebalance_timeout_ms = if call.version == 0 || request.rebalance_timeout_ms < 0 {
        request.session_timeout_ms
    } else {
        request.rebalance_timeout_ms
    };
    Join {
        group: request.group_id,
        member: request.member_id,
        instance: request.group_instance_id,
        client_id,
        client_host: call.host(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type,
        protocols: request.protocols.into_iter().map(|it| (it.name, it.metadata)).collect(),
        id_required: call.version >= 4,
        can_skip_assignment: call.version >= 9,
        fresh_id,
    }
}

/// A random id in the form that tools expect of a member id: 8-4-4-4-12 hexadecimal digits.
fn dashed(broker: &Broker) -> String {
    let (high, low) = (broker.rng.next_u64(), broker.rng.next_u64());
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0x0fff | 0x4000);
    let (d, e) = (low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

fn response(call: &Call, joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| JoinGroupResponseMember {
        member_id: member.id,
        group_instance_id: member.instance,
        metadata: member.metadata,
    });
    JoinGroupResponse {
        error_code: joined.error.0,
        generation_id: joined.generation,
        protocol_type: joined.protocol_type,
        protocol_name: protocol_name(call, joined.protocol),
        leader: joined.leader,
        skip_assignment: call.version >= 9 && joined.skip_assignment,
        member_id: joined.member,
        members: members.collect(),
        ..JoinGroupResponse::default()
    }
}

/// Before version 7 there is no null.
fn protocol_name(call: &Call, name: Option<String>) -> Option<String> {
    if call.version < 7 { Some(name.unwrap_or_default()) } else { name }
}

fn refused(call: &Call, request: &JoinGroupRequest, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.0,
        member_id: request.member_id.clone(),
        protocol_name: protocol_name(call, None),
        ..JoinGroupResponse::default()
    }
}
