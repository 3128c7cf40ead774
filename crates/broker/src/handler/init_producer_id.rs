//! InitProducerId, key 22, versions 0 to 5: an id and an epoch to write with.
//!
//! With a transactional id it fences whoever used it before. From version 3 on a producer may
//! name what it had, to be given a higher epoch after an error (KIP-360).

use protocol::error_code::ErrorCode;
use protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use protocol::record::ProducerIdentity;

use crate::broker::Broker;
use crate::handler::Call;
use crate::metadata::TRANSACTIONS_TOPIC;
use crate::transaction::init::Init;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    match granted(broker, request).await {
        Ok(producer) => InitProducerIdResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..InitProducerIdResponse::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: fenced_as(call.version >= 4, error).0,
            producer_epoch: -1,
            ..InitProducerIdResponse::default()
        },
    }
}

async fn granted(
    broker: &Broker,
    request: InitProducerIdRequest,
) -> Result<ProducerIdentity, ErrorCode> {
    if request.transactional_id.is_some() {
        broker.metadata.ensure_internal(TRANSACTIONS_TOPIC).await?;
    }
    let named = ProducerIdentity { id: request.producer_id, epoch: request.producer_epoch };
    let expected = (named.id >= 0 && named.epoch >= 0).then_some(named);
    let init = Init {
        transactional_id: request.transactional_id,
        timeout_ms: request.transaction_timeout_ms,
        expected,
    };
    broker.transactions.init(init).await
}

/// Newer clients are told that a transaction may be aborted and begun again where older ones
/// must take it that the producer has lost its way (KIP-890).
pub(super) fn abortable_as(knows_abortable: bool, error: ErrorCode) -> ErrorCode {
    if error == ErrorCode::INVALID_TXN_STATE && knows_abortable {
        return ErrorCode::TRANSACTION_ABORTABLE;
    }
    error
}

/// Clients of old know a fenced producer under another name (KIP-588).
pub(super) fn fenced_as(knows_fenced: bool, error: ErrorCode) -> ErrorCode {
    if error == ErrorCode::PRODUCER_FENCED && !knows_fenced {
        return ErrorCode::INVALID_PRODUCER_EPOCH;
    }
    error
}
