//! FindCoordinator, key 10, versions 0 to 6: which node keeps a group or a transactional id.
//!
//! There is one node, so the answer is always this one; asking makes the coordinator's topic.
//! From version 4 on several keys are asked for at once. Type 2 is share groups, which are
//! answered as Kafka answers a type that it does not know.

use protocol::error_code::ErrorCode;
use protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use crate::broker::Broker;
use crate::handler::Call;
use crate::metadata::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let error = match ready(broker, request.key_type).await {
        Ok(()) => ErrorCode::NONE,
        Err(error) => error,
    };
    if call.version < 4 {
        let found = coordinator(broker, request.key, error);
        return FindCoordinatorResponse {
            error_code: found.error_code,
            error_message: found.error_message,
            node_id: found.node_id,
            host: found.host,
            port: found.port,
            ..FindCoordinatorResponse::default()
        };
    }
    let keys = request.coordinator_keys.into_iter();
    FindCoordinatorResponse {
        coordinators: keys.map(|key| coordinator(broker, key, error)).collect(),
        ..FindCoordinatorResponse::default()
    }
}

async fn ready(broker: &Broker, key_type: i8) -> Result<(), ErrorCode> {
    match key_type {
        GROUP => broker.metadata.ensure_internal(OFFSETS_TOPIC).await.map(drop),
        TRANSACTION => broker.metadata.ensure_internal(TRANSACTIONS_TOPIC).await.map(drop),
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

fn coordinator(broker: &Broker, key: String, error: ErrorCode) -> Coordinator {
    let (node_id, host, port) = if error.is_none() {
        let (host, port) = broker.advertised.clone();
        (broker.options.node_id, host, i32::from(port))
    } else {
        (-1, String::new(), -1)
    };
    let error_message = (!error.is_none()).then(|| error.name().to_owned());
    Coordinator { key, node_id, host, port, error_code: error.0, error_message }
}
