//! AddOffsetsToTxn, key 25, versions 0 to 4: the transaction will commit offsets of a group.
//!
//! A group without a name is not refused here, as in Kafka, but when its offsets come.

use protocol::error_code::ErrorCode;
use protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use protocol::partitioner::partition_for_name;
use protocol::record::ProducerIdentity;

use super::init_producer_id::fenced_as;
use crate::broker::Broker;
use crate::handler::Call;
use crate::metadata::OFFSETS_TOPIC;
use crate::transaction::machine::Add;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let error = match add(broker, request).await {
        Ok(error) | Err(error) => fenced_as(call.version >= 2, error),
    };
    AddOffsetsToTxnResponse { error_code: error.0, ..AddOffsetsToTxnResponse::default() }
}

async fn add(broker: &Broker, request: AddOffsetsToTxnRequest) -> Result<ErrorCode, ErrorCode> {
    let partitions = broker.metadata.ensure_internal(OFFSETS_TOPIC).await?;
    let place = (OFFSETS_TOPIC.to_owned(), partition_for_name(&request.group_id, partitions));
    let add = Add {
        transactional_id: request.transactional_id,
        producer: ProducerIdentity { id: request.producer_id, epoch: request.producer_epoch },
        places: vec![place],
        verify_only: false,
    };
    Ok(broker.transactions.add(add).await)
}
