//! The sender of a producer: executes what the machine plans.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::cast;
use bytes::{Bytes, BytesMut};
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use protocol::record::{ProducerIdentity, RecordError, rewrite_producer};
use protocol::wire::Records;
use runtime::timer;

use super::delivery::Token;
use super::machine::{Body, Failure, Outcome, Plan, Shipment, Slot};
use super::{NO_IDENTITY, Shared};
use crate::connection::decode;
use crate::error::ClientError;
use crate::options::Acks;
use crate::retry::backoff_ms;

/// Topics are told by name up to this version; the ids of later ones save nothing here.
const PRODUCE_VERSION_MAX: i16 = 12;

/// Longest sleep when nothing is planned, which only bounds the harm of a missed wake.
const IDLE: Duration = Duration::from_secs(60);

/// Runs until the producer is dropped, or closed and empty.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut failures = 0;
    while !shared.is_closed.load(Ordering::Acquire) {
        let plan = {
            let now = shared.client.clock().steady_ms();
            shared.machine().drain(now)
        };
        let failed = match execute(&shared, &plan).await {
            Ok(()) => false,
            Err(error) => {
                tracing::debug!(%error, "producer cannot go on yet");
                true
            }
        };
        failures = if failed { failures + 1 } else { 0 };
        let is_idle = plan.shipments.is_empty() && !plan.wants_identity;
        let wake_at_ms = plan.wake_at_ms;
        ship(&shared, plan).await;
        if failed {
            let pause = backoff_ms(shared.client.options(), failures);
            timer::sleep(Duration::from_millis(pause)).await;
        } else if is_idle {
            rest(&shared, wake_at_ms).await;
        }
    }
}

/// Sleeps until there is something new or something old.
async fn rest(shared: &Shared, wake_at_ms: Option<u64>) {
    let now = shared.client.clock().steady_ms();
    let pause = wake_at_ms.map_or(IDLE, |at| Duration::from_millis(at.saturating_sub(now)));
    runtime::select! {
        () = shared.wake.notified() => {}
        () = timer::sleep(pause) => {}
    }
}

/// Looks leaders up and gets an identity, as far as the plan wants.
async fn execute(shared: &Arc<Shared>, plan: &Plan<Token>) -> Result<(), ClientError> {
    for topic in &plan.refresh {
        let name = Arc::clone(shared.machine().topic_name(*topic));
        shared.client.refresh(&[&name]).await?;
        shared.learn(&name).await?;
    }
    if !plan.wants_identity {
        return Ok(());
    }
    match init_identity(shared).await {
        Ok(identity) => shared.machine().set_identity(identity),
        Err(error) if error.is_retriable() => return Err(error),
        Err(error) => {
            let code = error.code().unwrap_or(NO_IDENTITY);
            let finished = shared.machine().fail_queued(Failure::Refused(code));
            shared.finish(finished);
        }
    }
    Ok(())
}

async fn init_identity(shared: &Shared) -> Result<ProducerIdentity, ClientError> {
    let known = shared.machine().identity().unwrap_or(ProducerIdentity::NONE);
    let connection = shared.client.any().await?;
    let version = connection.versions.of(ApiKey::InitProducerId)?;
    let mut request = InitProducerIdRequest {
        // The protocol's default is an empty id, which is none that a producer may have.
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id: ProducerIdentity::NONE.id,
        producer_epoch: ProducerIdentity::NONE.epoch,
        ..Default::default()
    };
    if version >= 3 {
        (request.producer_id, request.producer_epoch) = (known.id, known.epoch);
    }
    let response = connection.call(&request).await?;
    let refused = |code| ClientError::refused(ApiKey::InitProducerId, "producer", code);
    ErrorCode(response.error_code).ok().map_err(refused)?;
    Ok(ProducerIdentity { id: response.producer_id, epoch: response.producer_epoch })
}

async fn ship(shared: &Arc<Shared>, plan: Plan<Token>) {
    if !plan.finished.is_empty() {
        shared.finish(plan.finished);
    }
    for shipment in plan.shipments {
        send(shared, shipment).await;
    }
}

/// A batch on its way: what the answer needs to be matched, and the bytes for a repetition.
type Sent = Vec<(Slot, u64, Bytes)>;

async fn send(shared: &Arc<Shared>, shipment: Shipment) {
    let Shipment { request: number, node, parcels } = shipment;
    let mut sent: Sent = Vec::with_capacity(parcels.len());
    for parcel in parcels {
        match build(parcel.body, parcel.producer, parcel.sequence) {
            Ok(bytes) => sent.push((parcel.slot, parcel.id, bytes)),
            Err(error) => {
                // Compression fails only when memory does; the batch then counts as lost.
                tracing::warn!(%error, "batch cannot be built");
                sent.push((parcel.slot, parcel.id, Bytes::new()));
            }
        }
    }
    let request = request(shared, &sent);
    let connected = shared.client.node(node, shared.lane).await.and_then(|connection| {
        let version = connection.versions.up_to(ApiKey::Produce, PRODUCE_VERSION_MAX)?;
        Ok((connection, version))
    });
    let (connection, version) = match connected {
        Ok(connected) => connected,
        Err(error) => return answered(shared, number, sent, Err(error)),
    };
    if shared.options.acks == Acks::None {
        let told = connection.tell(&request, version).await;
        return answered(shared, number, sent, told.map(|()| ProduceResponse::default()));
    }
    let owner = Arc::clone(shared);
    let on_answer = Box::new(move |answer: Result<Bytes, ClientError>| {
        let response = answer.and_then(|frame| decode::<ProduceRequest>(&frame, version));
        answered(&owner, number, sent, response);
    });
    connection.send(&request, version, Duration::ZERO, on_answer).await;
}

fn build(body: Body, producer: ProducerIdentity, sequence: i32) -> Result<Bytes, RecordError> {
    match body {
        Body::Builder(mut builder) => {
            builder.set_producer(producer, sequence);
            builder.build()
        }
        Body::Built(bytes) => Ok(bytes),
        Body::Renumber(bytes) => {
            let mut copy = BytesMut::from(bytes.as_ref());
            rewrite_producer(&mut copy, producer, sequence, false);
            Ok(copy.freeze())
        }
        Body::Away => Err(RecordError::Truncated),
    }
}

fn request(shared: &Shared, sent: &Sent) -> ProduceRequest {
    let mut topics: BTreeMap<usize, Vec<PartitionProduceData>> = BTreeMap::new();
    for (slot, _, bytes) in sent {
        let index = cast::i32_of(slot.partition);
        let records = Some(Records::from(bytes.clone()));
        topics.entry(slot.topic).or_default().push(PartitionProduceData { index, records });
    }
    let machine = shared.machine();
    let topic = |(topic, partition_data)| TopicProduceData {
        name: machine.topic_name(topic).to_string(),
        partition_data,
        ..Default::default()
    };
    let timeout_ms = shared.client.options().request_timeout.as_millis();
    ProduceRequest {
        transactional_id: None,
        acks: shared.options.acks.code(),
        timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
        topic_data: topics.into_iter().map(topic).collect(),
    }
}

/// Takes an answer; runs on the task that reads the connection.
fn answered(
    shared: &Arc<Shared>,
    number: u64,
    sent: Sent,
    response: Result<ProduceResponse, ClientError>,
) {
    let now = shared.client.clock().steady_ms();
    let mut machine = shared.machine();
    let mut codes: BTreeMap<(&str, i32), Outcome> = BTreeMap::new();
    let default = match &response {
        // Without acknowledgements nothing is known, and nothing is asked again.
        Ok(_) if shared.options.acks == Acks::None => Outcome::Written { base_offset: -1 },
        Err(ClientError::Unsupported { .. } | ClientError::Encode { .. }) => {
            Outcome::Refused(ErrorCode::UNSUPPORTED_VERSION)
        }
        _ => Outcome::Lost,
    };
    for topic in response.iter().flat_map(|response| &response.responses) {
        for partition in &topic.partition_responses {
            let outcome = match ErrorCode(partition.error_code) {
                ErrorCode::NONE => Outcome::Written { base_offset: partition.base_offset },
                code => Outcome::Refused(code),
            };
            codes.insert((&topic.name, partition.index), outcome);
        }
    }
    let outcomes = sent.into_iter().map(|(slot, id, bytes)| {
        let key = (machine.topic_name(slot.topic).as_ref(), cast::i32_of(slot.partition));
        (slot, id, codes.get(&key).copied().unwrap_or(default), bytes)
    });
    let outcomes = outcomes.collect();
    let finished = machine.complete(now, number, outcomes);
    drop(machine);
    shared.finish(finished);
    shared.wake.notify_one();
}
