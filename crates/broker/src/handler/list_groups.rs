//! ListGroups, key 16, versions 0 to 5: all groups, from version 4 on by state, from 5 on by type.

use protocol::error_code::ErrorCode;
use protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};

/// The type of every group that this coordinator keeps.
const CLASSIC: &str = "classic";

pub(crate) async fn handle(broker: &Broker, request: ListGroupsRequest) -> ListGroupsResponse {
    let Some(Reply::Listed(listed)) = broker.groups.ask(Event::List).await else {
        return ListGroupsResponse {
            error_code: ErrorCode::COORDINATOR_NOT_AVAILABLE.0,
            ..ListGroupsResponse::default()
        };
    };
    let wanted = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|it| it.eq_ignore_ascii_case(value))
    };
    let groups = listed
        .into_iter()
        .filter(|it| wanted(&request.states_filter, it.state))
        .filter(|_| wanted(&request.types_filter, CLASSIC))
        .map(|it| ListedGroup {
            group_id: it.id,
            protocol_type: it.protocol_type,
            group_state: it.state.to_owned(),
            group_type: CLASSIC.to_owned(),
        });
    ListGroupsResponse { groups: groups.collect(), ..ListGroupsResponse::default() }
}
