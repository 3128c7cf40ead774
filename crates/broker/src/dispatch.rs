//! From a frame to its handler and back: the one place that knows which key goes where.

use std::fmt;
use std::sync::Arc;

use base::chunk::Chunk;
use bytes::Bytes;
use protocol::api::{ApiKey, Request};
use protocol::error_code::ErrorCode;
use protocol::header::{RequestHeader, ResponseHeader};
use protocol::wire::{DecodeError, EncodeError, Message as _, Reader, Writer};

use crate::broker::Broker;
use crate::connection::Answer;
use crate::handler::{
    Call, add_offsets_to_txn, add_partitions_to_txn, api_versions, create_partitions,
    create_topics, delete_groups, delete_records, delete_topics, describe_cluster,
    describe_configs, describe_groups, end_txn, fetch, find_coordinator, heartbeat,
    incremental_alter_configs, init_producer_id, join_group, leave_group, list_groups,
    list_offsets, metadata, offset_commit, offset_delete, offset_fetch, offset_for_leader_epoch,
    produce, sasl_authenticate, sasl_handshake, sync_group, txn_offset_commit,
};

/// Why a request ends its connection instead of getting an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The key is not one of this broker's.
    Key { api_key: i16 },
    /// The version is not spoken.
    Version { key: ApiKey, version: i16 },
    /// The bytes are no such request.
    Decode { key: Option<ApiKey>, cause: DecodeError },
    /// A request that wants no answer failed, and ending the connection is the only way to tell.
    Unanswered { key: ApiKey, cause: ErrorCode },
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
            Self::Unanswered { key, cause } => {
                write!(f, "{key:?} without acknowledgement failed: {cause}")
            }
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
    let body = reader.rest();
    if key == ApiKey::Produce {
        return begin_produce(broker, exchange, &body).await;
    }
    let broker = Arc::clone(broker);
    Ok(Box::pin(async move { route(&broker, &exchange, &body).await }))
}

/// Puts a Produce into the log's queue; the answer waits for the group commit.
async fn begin_produce(
    broker: &Broker,
    exchange: Exchange,
    body: &Bytes,
) -> Result<Answer, Refusal> {
    let in_progress = produce::begin(broker, &exchange.call, exchange.decode(body)?).await;
    Ok(Box::pin(async move {
        let wants_answer = in_progress.wants_answer();
        match in_progress.finish().await {
            (response, _) if wants_answer => exchange.encode(&response),
            (_, None) => Ok(None),
            (_, Some(cause)) => Err(Refusal::Unanswered { key: ApiKey::Produce, cause }),
        }
    }))
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
        ApiKey::Fetch => {
            exchange.encode(&fetch::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::ListOffsets => {
            exchange.encode(&list_offsets::handle(broker, call, exchange.decode(body)?))
        }
        ApiKey::Metadata => {
            exchange.encode(&metadata::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::CreateTopics => {
            exchange.encode(&create_topics::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::DeleteTopics => {
            exchange.encode(&delete_topics::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::DeleteRecords => {
            exchange.encode(&delete_records::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::OffsetForLeaderEpoch => {
            exchange.encode(&offset_for_leader_epoch::handle(broker, exchange.decode(body)?))
        }
        ApiKey::DescribeConfigs => {
            exchange.encode(&describe_configs::handle(broker, exchange.decode(body)?))
        }
        ApiKey::CreatePartitions => {
            exchange.encode(&create_partitions::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::IncrementalAlterConfigs => exchange
            .encode(&incremental_alter_configs::handle(broker, call, exchange.decode(body)?).await),
        ApiKey::DescribeCluster => {
            exchange.encode(&describe_cluster::handle(broker, call, &exchange.decode(body)?))
        }
        key => route_coordinators(broker, exchange, key, body).await,
    }
}

/// The requests that the two coordinators answer.
async fn route_coordinators(
    broker: &Broker,
    exchange: &Exchange,
    key: ApiKey,
    body: &Bytes,
) -> Result<Option<Vec<Chunk>>, Refusal> {
    let call = &exchange.call;
    match key {
        ApiKey::FindCoordinator => {
            exchange.encode(&find_coordinator::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::JoinGroup => {
            exchange.encode(&join_group::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::SyncGroup => {
            exchange.encode(&sync_group::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::Heartbeat => {
            exchange.encode(&heartbeat::handle(broker, exchange.decode(body)?).await)
        }
        ApiKey::LeaveGroup => {
            exchange.encode(&leave_group::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::OffsetCommit => {
            exchange.encode(&offset_commit::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::OffsetFetch => {
            exchange.encode(&offset_fetch::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::DescribeGroups => {
            exchange.encode(&describe_groups::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::ListGroups => {
            exchange.encode(&list_groups::handle(broker, exchange.decode(body)?).await)
        }
        ApiKey::DeleteGroups => {
            exchange.encode(&delete_groups::handle(broker, exchange.decode(body)?).await)
        }
        ApiKey::OffsetDelete => {
            exchange.encode(&offset_delete::handle(broker, exchange.decode(body)?).await)
        }
        ApiKey::InitProducerId => {
            exchange.encode(&init_producer_id::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::AddPartitionsToTxn => exchange
            .encode(&add_partitions_to_txn::handle(broker, call, exchange.decode(body)?).await),
        ApiKey::AddOffsetsToTxn => {
            exchange.encode(&add_offsets_to_txn::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::EndTxn => {
            exchange.encode(&end_txn::handle(broker, call, exchange.decode(body)?).await)
        }
        ApiKey::TxnOffsetCommit => {
            exchange.encode(&txn_offset_commit::handle(broker, call, exchange.decode(body)?).await)
        }
        // Produce is handled by `begin_produce` before it comes here, the others by `route`.
        key => Err(Refusal::Key { api_key: key.code() }),
    }
}

impl Exchange {
    fn decode<R: Request>(&self, body: &Bytes) -> Result<R, Refusal> {
        debug_assert_eq!(R::KEY, self.key, "the handler belongs to another key");
        // Bytes behind the request are ignored, as Kafka does: librdkafka's Metadata has some.
        let mut reader = Reader::new(body);
        R::decode(&mut reader, self.call.version)
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
