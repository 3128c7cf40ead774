//! SaslAuthenticate, key 36, versions 0 to 2.
//!
//! This broker has no SASL: ILLEGAL_SASL_STATE with Kafka's words.

use protocol::error_code::ErrorCode;
use protocol::messages::sasl_authenticate::SaslAuthenticateResponse;

pub(crate) fn handle() -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: ErrorCode::ILLEGAL_SASL_STATE.0,
        error_message: Some(
            "SaslAuthenticate request received after successful authentication".to_owned(),
        ),
        ..SaslAuthenticateResponse::default()
    }
}
