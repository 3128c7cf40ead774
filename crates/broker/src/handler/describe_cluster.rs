//! DescribeCluster, key 60, versions 0 to 2.
//!
//! The one broker. Version 1 lets clients ask for controllers instead, which a broker refuses with
//! MISMATCHED_ENDPOINT_TYPE as Kafka's does; version 2 adds fenced brokers, and there are none.

use protocol::error_code::ErrorCode;
use protocol::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use crate::broker::Broker;
use crate::handler::{CLUSTER_OPERATIONS, Call, NO_OPERATIONS};

const ENDPOINT_BROKERS: i8 = 1;
const ENDPOINT_CONTROLLERS: i8 = 2;
const UNSUPPORTED_ENDPOINT_TYPE: ErrorCode = ErrorCode(115);
const MISMATCHED_ENDPOINT_TYPE: ErrorCode = ErrorCode(114);

pub(crate) fn handle(
    broker: &Broker,
    call: &Call,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let (code, message) = match request.endpoint_type {
        _ if call.version < 1 => (ErrorCode::NONE, None),
        ENDPOINT_BROKERS => (ErrorCode::NONE, None),
        ENDPOINT_CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an \
                           endpoint of type CONTROLLER";
            (MISMATCHED_ENDPOINT_TYPE, Some(message.to_owned()))
        }
        other => (UNSUPPORTED_ENDPOINT_TYPE, Some(format!("Unsupported endpoint type {other}"))),
    };
    if !code.is_none() {
        return DescribeClusterResponse {
            error_code: code.0,
            error_message: message,
            endpoint_type: ENDPOINT_BROKERS,
            ..DescribeClusterResponse::default()
        };
    }
    let (host, port) = &broker.advertised;
    let wanted = request.include_cluster_authorized_operations;
    DescribeClusterResponse {
        endpoint_type: ENDPOINT_BROKERS,
        cluster_id: broker.cluster_id.clone(),
        controller_id: broker.options.node_id,
        brokers: vec![DescribeClusterBroker {
            broker_id: broker.options.node_id,
            host: host.clone(),
            port: i32::from(*port),
            rack: None,
            is_fenced: false,
        }],
        cluster_authorized_operations: if wanted { CLUSTER_OPERATIONS } else { NO_OPERATIONS },
        ..DescribeClusterResponse::default()
    }
}
