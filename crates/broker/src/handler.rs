//! One file per API key: versions and behaviour in its header, one `handle`, tests with bytes.

pub(crate) mod api_versions;
pub(crate) mod sasl_authenticate;
pub(crate) mod sasl_handshake;

use std::sync::Arc;

/// What a handler may know about the request beside its body.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Version of the request, and so of the answer.
    pub(crate) version: i16,
    /// What the client calls itself.
    pub(crate) client_id: Option<String>,
    /// The other end's address and port.
    pub(crate) peer: Arc<str>,
}

impl Call {
    /// The client's host in the form that Kafka shows, `/127.0.0.1`.
    pub(crate) fn host(&self) -> String {
        let host = self.peer.rsplit_once(':').map_or(&*self.peer, |(host, _)| host);
        format!("/{}", host.trim_matches(['[', ']']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_shown_as_kafka_shows_it() {
        let call = |peer: &str| Call { version: 0, client_id: None, peer: Arc::from(peer) };
        assert_eq!(call("127.0.0.1:5555").host(), "/127.0.0.1");
        assert_eq!(call("[::1]:5555").host(), "/::1");
        assert_eq!(call("memory").host(), "/memory");
    }
}
