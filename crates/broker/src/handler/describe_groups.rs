//! DescribeGroups, key 15, versions 0 to 6: state and members of groups.
//!
//! A group that does not exist is `Dead`; from version 6 on that is also an error.

use protocol::error_code::ErrorCode;
use protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};
use crate::group::view;
use crate::handler::Call;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let mut groups = Vec::new();
    for id in request.groups {
        let asked = id.clone();
        let reply = broker.groups.ask(move |token| Event::Describe(token, asked)).await;
        groups.push(match reply {
            Some(Reply::Described(described)) => group_of(call, described),
            _ => DescribedGroup {
                group_id: id,
                error_code: ErrorCode::COORDINATOR_NOT_AVAILABLE.0,
                ..DescribedGroup::default()
            },
        });
    }
    DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() }
}

fn group_of(call: &Call, described: view::DescribedGroup) -> DescribedGroup {
    let is_missing = call.version >= 6 && described.state == view::DEAD;
    let error = if is_missing { ErrorCode::GROUP_ID_NOT_FOUND } else { ErrorCode::NONE };
    let error_message = is_missing.then(|| format!("Group {} not found.", described.id));
    let members = described.members.into_iter().map(|member| DescribedGroupMember {
        member_id: member.id,
        group_instance_id: member.instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    });
    DescribedGroup {
        error_code: error.0,
        error_message,
        group_id: described.id,
        group_state: described.state.to_owned(),
        protocol_type: described.protocol_type,
        protocol_data: described.protocol,
        members: members.collect(),
        ..DescribedGroup::default()
    }
}
