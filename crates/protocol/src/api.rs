//! The APIs: their keys, versions and the pairing of requests with responses.

pub use crate::messages::ApiKey;
use crate::wire::Message;

/// A request, with the answer that belongs to it.
pub trait Request: Message {
    /// The key that announces it.
    const KEY: ApiKey;
    /// Its answer.
    type Response: Message;
}

impl ApiKey {
    /// Whether this version uses compact lengths and tagged fields.
    #[must_use]
    pub fn is_flexible(self, version: i16) -> bool {
        self.flexible_from().is_some_and(|from| version >= from)
    }

    /// Whether the codec speaks this version.
    #[must_use]
    pub fn speaks(self, version: i16) -> bool {
        (self.version_min()..=self.version_max()).contains(&version)
    }

    /// Version of the request header.
    #[must_use]
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the response header; always 0 for ApiVersions, which is read before the
    /// versions are agreed on (KIP-511).
    #[must_use]
    pub fn response_header_version(self, version: i16) -> i16 {
        if self != Self::ApiVersions && self.is_flexible(version) { 1 } else { 0 }
    }
}
