//! Batches to produce requests, and answers to outcomes.

use std::collections::BTreeMap;
use std::time::Duration;

use base::cast;
use bytes::{Bytes, BytesMut};
use protocol::error_code::ErrorCode;
use protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use protocol::record::{ProducerIdentity, RecordError, rewrite_producer, stamp};
use protocol::wire::Records;

use super::machine::{Body, Outcome, Parcel, Slot};
use crate::error::ClientError;
use crate::options::Acks;

/// A batch on its way: what the answer needs to be matched, and the bytes for a repetition.
pub(crate) type Sent = Vec<(Slot, u64, Bytes)>;

/// What a produce request says beside its batches.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) acks: Acks,
    pub(crate) timeout: Duration,
    pub(crate) transactional_id: Option<String>,
}

/// Makes the batches ready to be sent; one that cannot be built is sent empty, and refused.
pub(crate) fn build_all(parcels: Vec<Parcel>, is_transactional: bool) -> Sent {
    let build = |parcel: Parcel| {
        let built = build(parcel.body, parcel.producer, parcel.sequence, is_transactional);
        let bytes = built.unwrap_or_else(|error| {
            // Only a batch beyond 2 GiB cannot be built, and none grows that far.
            tracing::warn!(%error, "batch cannot be built");
            Bytes::new()
        });
        (parcel.slot, parcel.id, bytes)
    };
    parcels.into_iter().map(build).collect()
}

fn build(
    body: Body,
    producer: ProducerIdentity,
    sequence: i32,
    is_transactional: bool,
) -> Result<Bytes, RecordError> {
    match body {
        Body::Builder(mut builder) => {
            builder.set_producer(producer, sequence);
            builder.build()
        }
        Body::Built(bytes) => Ok(bytes),
        Body::Renumber(bytes) => {
            let mut copy = BytesMut::from(bytes.as_ref());
            // A broker takes only batches that count from 0; it has seen none of another log.
            stamp(&mut copy, 0, -1);
            rewrite_producer(&mut copy, producer, sequence, is_transactional);
            Ok(copy.freeze())
        }
        Body::Away => Err(RecordError::Truncated),
    }
}

/// The request for these batches.
pub(crate) fn request<'a>(
    sent: &Sent,
    terms: &Terms,
    name_of: impl Fn(usize) -> &'a str,
) -> ProduceRequest {
    let mut topics: BTreeMap<usize, Vec<PartitionProduceData>> = BTreeMap::new();
    for (slot, _, bytes) in sent {
        let index = cast::i32_of(slot.partition);
        let records = Some(Records::from(bytes.clone()));
        topics.entry(slot.topic).or_default().push(PartitionProduceData { index, records });
    }
    let topic = |(topic, partition_data)| TopicProduceData {
        name: name_of(topic).to_owned(),
        partition_data,
        ..Default::default()
    };
    ProduceRequest {
        transactional_id: terms.transactional_id.clone(),
        acks: terms.acks.code(),
        timeout_ms: i32::try_from(terms.timeout.as_millis()).unwrap_or(i32::MAX),
        topic_data: topics.into_iter().map(topic).collect(),
    }
}

/// What the answer, or its absence, means for each batch.
pub(crate) fn outcomes<'a>(
    sent: Sent,
    acks: Acks,
    response: &Result<ProduceResponse, ClientError>,
    name_of: impl Fn(usize) -> &'a str,
) -> Vec<(Slot, u64, Outcome, Bytes)> {
    let default = match &response {
        // Without acknowledgements nothing is known, and nothing is asked again.
        Ok(_) if acks == Acks::None => Outcome::Written { base_offset: -1 },
        Err(ClientError::Unsupported { .. } | ClientError::Encode { .. }) => {
            Outcome::Refused(ErrorCode::UNSUPPORTED_VERSION)
        }
        _ => Outcome::Lost,
    };
    let mut codes: BTreeMap<(&str, i32), Outcome> = BTreeMap::new();
    for topic in response.iter().flat_map(|response| &response.responses) {
        for partition in &topic.partition_responses {
            let outcome = match ErrorCode(partition.error_code) {
                ErrorCode::NONE => Outcome::Written { base_offset: partition.base_offset },
                code => Outcome::Refused(code),
            };
            codes.insert((&topic.name, partition.index), outcome);
        }
    }
    let outcome = |(slot, id, bytes): (Slot, u64, Bytes)| {
        let key = (name_of(slot.topic), cast::i32_of(slot.partition));
        (slot, id, codes.get(&key).copied().unwrap_or(default), bytes)
    };
    sent.into_iter().map(outcome).collect()
}
