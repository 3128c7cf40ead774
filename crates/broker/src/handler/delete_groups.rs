//! DeleteGroups, key 42, versions 0 to 2: forgets groups without members, with their offsets.

use protocol::error_code::ErrorCode;
use protocol::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};

use crate::broker::Broker;
use crate::group::machine::{Event, Reply};

pub(crate) async fn handle(broker: &Broker, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut results = Vec::new();
    for group in request.groups_names {
        let asked = group.clone();
        let error = match broker.groups.ask(move |token| Event::Delete(token, asked)).await {
            Some(Reply::Deleted(error)) => error,
            _ => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        };
        results.push(DeletableGroupResult { group_id: group, error_code: error.0 });
    }
    DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() }
}
