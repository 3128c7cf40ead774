//! Which versions a broker speaks, and which of them we use.

use std::collections::BTreeMap;

use protocol::api::ApiKey;
use protocol::messages::api_versions::ApiVersionsResponse;

use crate::error::ClientError;

/// What a broker says of itself in the handshake.
#[derive(Debug, Clone, Default)]
pub(crate) struct Versions {
    ranges: BTreeMap<i16, (i16, i16)>,
}

impl Versions {
    pub(crate) fn new(response: &ApiVersionsResponse) -> Self {
        let entry = |key: &protocol::messages::api_versions::ApiVersion| {
            (key.api_key, (key.min_version, key.max_version))
        };
        Self { ranges: response.api_keys.iter().map(entry).collect() }
    }

    /// The highest version that both sides speak.
    pub(crate) fn of(&self, key: ApiKey) -> Result<i16, ClientError> {
        self.up_to(key, key.version_max())
    }

    /// The highest version that both sides speak and that is not above `cap`.
    pub(crate) fn up_to(&self, key: ApiKey, cap: i16) -> Result<i16, ClientError> {
        let unsupported = ClientError::Unsupported { api: key };
        let Some((theirs_min, theirs_max)) = self.ranges.get(&key.code()).copied() else {
            return Err(unsupported);
        };
        let version = theirs_max.min(key.version_max()).min(cap);
        if version < theirs_min.max(key.version_min()) {
            return Err(unsupported);
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use protocol::messages::api_versions::ApiVersion;

    use super::*;

    fn broker(min_version: i16, max_version: i16) -> Versions {
        let api_key = ApiKey::Produce.code();
        let api_keys = vec![ApiVersion { api_key, min_version, max_version }];
        Versions::new(&ApiVersionsResponse { api_keys, ..Default::default() })
    }

    #[test]
    fn the_lower_of_both_highest_versions_is_used() {
        assert_eq!(broker(0, 9).of(ApiKey::Produce).unwrap(), 9);
        assert_eq!(broker(0, 99).of(ApiKey::Produce).unwrap(), 13);
        assert_eq!(broker(0, 99).up_to(ApiKey::Produce, 11).unwrap(), 11);
    }

    #[test]
    fn a_broker_that_is_too_old_or_too_new_is_refused() {
        assert!(broker(0, 2).of(ApiKey::Produce).is_err());
        assert!(broker(20, 30).of(ApiKey::Produce).is_err());
        assert!(broker(0, 9).of(ApiKey::Fetch).is_err());
    }
}
