//! The kinds of resource that configs belong to.

use protocol::error_code::ErrorCode;

use crate::broker::Broker;
use crate::metadata::machine::Refusal;

/// A topic.
pub(crate) const TOPIC: i8 = 2;
/// A broker.
pub(crate) const BROKER: i8 = 4;
/// The log levels of a broker.
pub(crate) const BROKER_LOGGER: i8 = 8;
/// Subscriptions to clients' metrics.
pub(crate) const CLIENT_METRICS: i8 = 16;
/// A consumer group.
pub(crate) const GROUP: i8 = 32;

/// Checks that the name is this broker's id.
pub(crate) fn check_broker(broker: &Broker, name: &str) -> Result<(), Refusal> {
    let node = broker.options.node_id;
    if name.parse() == Ok(node) {
        return Ok(());
    }
    if name.parse::<i32>().is_err() {
        let message = format!("Broker id must be an integer, but it is: {name}");
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    let message =
        format!("Unexpected broker id, expected {node} or empty string, but received {name}");
    Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
}
