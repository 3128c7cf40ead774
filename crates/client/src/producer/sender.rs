//! The sender of a producer: executes what the machine plans.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::produce::{ProduceRequest, ProduceResponse};
use protocol::record::ProducerIdentity;
use runtime::timer;

use super::delivery::Token;
use super::machine::{Failure, Plan, Shipment};
use super::wire::{Sent, build_all, outcomes, request};
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

async fn send(shared: &Arc<Shared>, shipment: Shipment) {
    let (number, node) = (shipment.request, shipment.node);
    let connected = shared.client.node(node, shared.lane).await.and_then(|connection| {
        let version = connection.versions.up_to(ApiKey::Produce, PRODUCE_VERSION_MAX)?;
        if !shared.machine().may_send(&shipment, connection.id) {
            return Err(ClientError::Disconnected { peer: String::new() });
        }
        Ok((connection, version))
    });
    let sent = build_all(shipment.parcels, false);
    let (connection, version) = match connected {
        Ok(connected) => connected,
        Err(error) => return answered(shared, number, sent, &Err(error)),
    };
    let request = {
        let machine = shared.machine();
        request(&sent, &shared.terms, |topic| machine.topic_name(topic))
    };
    if shared.options.acks == Acks::None {
        let told = connection.tell(&request, version).await;
        return answered(shared, number, sent, &told.map(|()| ProduceResponse::default()));
    }
    let owner = Arc::clone(shared);
    let on_answer = Box::new(move |answer: Result<Bytes, ClientError>| {
        let response = answer.and_then(|frame| decode::<ProduceRequest>(&frame, version));
        answered(&owner, number, sent, &response);
    });
    connection.send(&request, version, Duration::ZERO, on_answer).await;
}

/// Takes an answer; runs on the task that reads the connection.
fn answered(
    shared: &Arc<Shared>,
    number: u64,
    sent: Sent,
    response: &Result<ProduceResponse, ClientError>,
) {
    let now = shared.client.clock().steady_ms();
    let mut machine = shared.machine();
    let acks = shared.options.acks;
    let outcomes = outcomes(sent, acks, response, |topic| machine.topic_name(topic));
    let finished = machine.complete(now, number, outcomes);
    drop(machine);
    shared.finish(finished);
    shared.wake.notify_one();
}
