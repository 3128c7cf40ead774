//! SaslHandshake, key 17, versions 0 and 1.
//!
//! This broker has no SASL: the handshake is refused with ILLEGAL_SASL_STATE, as Kafka refuses it
//! on a listener without SASL.

use protocol::error_code::ErrorCode;
use protocol::messages::sasl_handshake::SaslHandshakeResponse;

pub(crate) fn handle() -> SaslHandshakeResponse {
    SaslHandshakeResponse { error_code: ErrorCode::ILLEGAL_SASL_STATE.0, mechanisms: Vec::new() }
}
