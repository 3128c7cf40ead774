//! From a frame to its handler and back: the one place that knows which key goes where.

use std::fmt;
use std::sync::Arc;

use base::chunk::Chunk;
use bytes::Bytes;
use protocol::api::{ApiKey, Request};
use protocol::header::{RequestHeader, ResponseHeader};
use protocol::wire::{DecodeError, EncodeError, Message as _, Reader, Writer};

use crate::broker::Broker;
use crate::connection::Answer;
use crate::handler::{Call, api_versions, sasl_authenticate, sasl_handshake};

/// Why a request ends its connection instead of getting an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The key is not one of this broker's.
    Key { api_key: i16 },
    /// The version is not spoken.
    Version { key: ApiKey, version: i16 },
    /// The bytes are no such request.
    Decode { key: Option<ApiKey>, cause: DecodeError },
    /// The answer cannot be written in this version, which is a fault of this broker.
    Encode { key: ApiKey, version: i16, cause: EncodeError },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { api_key } => write!(f, "api key {api_key} is unknown"),
            Self::Version { key, version } => write!(f, "{key:?} has no version {version}"),
            Self::Decode { key: Some(key), cause } => write!(f, "no {key:?} request: {cause}"),
            Self::Decode { key: None, cause } => write!(f, "no request header: {cause}"),
            Self::Encode { key, version, cause } => {
                write!(f, "the answer to {key:?} does not fit version {version}: {cause}")
            }
        }
    }
}

/// What [`Exchange`] needs to give an answer its frame.
struct Exchange {
    key: ApiKey,
    correlation_id: i32,
    call: Call,
}

/// Starts a request. A Produce is in the log's queue when this returns; any other request does
/// its work when the answer is awaited.
pub(crate) async fn begin(
    broker: &Arc<Broker>,
    peer: &Arc<str>,
    frame: Bytes,
) -> Result<Answer, Refusal> {
    let mut reader = Reader::new(&frame);
    let header =
        RequestHeader::decode(&mut reader).map_err(|cause| Refusal::Decode { key: None, cause })?;
    let key = ApiKey::from_i16(header.api_key).ok_or(Refusal::Key { api_key: header.api_key })?;
    let version = header.api_version;
    let correlation_id = header.correlation_id;
    if !(key.version_min()..=api_versions::version_max(key)).contains(&version) {
        return refuse_version(key, version, correlation_id);
    }
    let call = Call { version, client_id: header.client_id, peer: Arc::clone(peer) };
    let exchange = Exchange { key, correlation_id, call };
    let broker = Arc::clone(broker);
    let body = reader.rest();
    Ok(Box::pin(async move { route(&broker, &exchange, &body).await }))
}

/// An unknown version ends the connection, but for the request that asks for the versions.
fn refuse_version(key: ApiKey, version: i16, correlation_id: i32) -> Result<Answer, Refusal> {
    if key != ApiKey::ApiVersions {
        return Err(Refusal::Version { key, version });
    }
    let mut writer = Writer::new();
    ResponseHeader { correlation_id }
        .encode(&mut writer, 0)
        .and_then(|()| api_versions::unsupported().encode(&mut writer, 0))
        .map_err(|cause| Refusal::Encode { key, version: 0, cause })?;
    let chunks = writer.finish();
    Ok(Box::pin(std::future::ready(Ok(Some(chunks)))))
}

/// Decodes, handles and encodes one request whose version is spoken.
async fn route(
    broker: &Broker,
    exchange: &Exchange,
    body: &Bytes,
) -> Result<Option<Vec<Chunk>>, Refusal> {
    let call = &exchange.call;
    match exchange.key {
        ApiKey::ApiVersions => {
            exchange.encode(&api_versions::handle(call, &exchange.decode(body)?))
        }
        ApiKey::SaslHandshake => exchange.encode(&sasl_handshake::handle()),
        ApiKey::SaslAuthenticate => exchange.encode(&sasl_authenticate::handle()),
        key => {
            let _ = broker;
            Err(Refusal::Key { api_key: key.code() })
        }
    }
}

impl Exchange {
    fn decode<R: Request>(&self, body: &Bytes) -> Result<R, Refusal> {
        debug_assert_eq!(R::KEY, self.key, "the handler belongs to another key");
        let mut reader = Reader::new(body);
        R::decode(&mut reader, self.call.version)
            .and_then(|request| reader.finish().map(|()| request))
            .map_err(|cause| Refusal::Decode { key: Some(self.key), cause })
    }

    fn encode<M: protocol::wire::Message>(
        &self,
        response: &M,
    ) -> Result<Option<Vec<Chunk>>, Refusal> {
        let version = self.call.version;
        let mut writer = Writer::new();
        ResponseHeader { correlation_id: self.correlation_id }
            .encode(&mut writer, self.key.response_header_version(version))
            .and_then(|()| response.encode(&mut writer, version))
            .map_err(|cause| Refusal::Encode { key: self.key, version, cause })?;
        Ok(Some(writer.finish()))
    }
}
