//! ApiVersions, key 18, versions 0 to 4.
//!
//! Lists every key of this broker with its range, and no finalized feature: transactions run in
//! their first version (KIP-890's second needs `transaction.version` 2). An unknown version of this
//! request alone is answered, in version 0 with UNSUPPORTED_VERSION and the range that is spoken
//! (KIP-511), so that a client of the future can fall back.
//!
//! Version 3 adds the client's software name, which must look like a name, and tagged features;
//! version 4 changes nothing for a broker without features.

use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};

use crate::handler::Call;

/// Kafka offers InitProducerId 6, which belongs to two-phase commit, only behind a feature.
const INIT_PRODUCER_ID_VERSION_MAX: i16 = 5;

/// Highest version of a key that clients are offered.
pub(crate) fn version_max(key: ApiKey) -> i16 {
    match key {
        ApiKey::InitProducerId => INIT_PRODUCER_ID_VERSION_MAX,
        other => other.version_max(),
    }
}

/// Lowest version of a key that clients are offered. Librdkafka before 2.11.1 takes gzip and snappy
/// for unsupported unless Produce begins at 0, although nobody sends that any more (KAFKA-18659).
fn version_min(key: ApiKey) -> i16 {
    match key {
        ApiKey::Produce => 0,
        other => other.version_min(),
    }
}

fn range(key: ApiKey) -> ApiVersion {
    ApiVersion { api_key: key.code(), min_version: version_min(key), max_version: version_max(key) }
}

pub(crate) fn handle(call: &Call, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    if call.version >= 3 && !names_software(request) {
        return ApiVersionsResponse {
            error_code: ErrorCode::INVALID_REQUEST.0,
            ..ApiVersionsResponse::default()
        };
    }
    ApiVersionsResponse {
        api_keys: ApiKey::ALL.into_iter().map(range).collect(),
        ..ApiVersionsResponse::default()
    }
}

/// The answer, in version 0, to a version that is not spoken.
pub(crate) fn unsupported() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION.0,
        api_keys: vec![range(ApiKey::ApiVersions)],
        ..ApiVersionsResponse::default()
    }
}

fn names_software(request: &ApiVersionsRequest) -> bool {
    is_name(&request.client_software_name) && is_name(&request.client_software_version)
}

/// Kafka's pattern: letters, digits, dots and dashes, with a letter or digit at both ends.
fn is_name(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn ask(version: i16, name: &str) -> ApiVersionsResponse {
        let call = Call { version, client_id: None, peer: Arc::from("memory") };
        let request = ApiVersionsRequest {
            client_software_name: name.to_owned(),
            client_software_version: "1.0-rc1".to_owned(),
        };
        handle(&call, &request)
    }

    #[test]
    fn all_keys_are_listed_with_what_old_clients_look_for() {
        let answer = ask(4, "librdkafka");
        assert_eq!(answer.api_keys.len(), 31);
        let find = |key: ApiKey| {
            let entry = answer.api_keys.iter().find(|entry| entry.api_key == key.code()).unwrap();
            (entry.min_version, entry.max_version)
        };
        assert_eq!(find(ApiKey::Produce), (0, 13));
        assert_eq!(find(ApiKey::JoinGroup).0, 0);
        assert_eq!(find(ApiKey::InitProducerId), (0, 5));
        assert_eq!(find(ApiKey::ApiVersions), (0, 4));
        assert_eq!(answer.finalized_features_epoch, -1);
    }

    #[test]
    fn a_software_name_that_is_none_is_an_invalid_request_from_version_3_on() {
        assert_eq!(ask(3, "").error_code, ErrorCode::INVALID_REQUEST.0);
        assert_eq!(ask(3, "-java").error_code, ErrorCode::INVALID_REQUEST.0);
        assert_eq!(ask(2, "").error_code, 0);
    }
}
