//! EndTxn, key 26, versions 0 to 5: commits or aborts.
//!
//! The answer leaves when the decision is on disk; markers follow. Version 5 tells the identity
//! of the next transaction, which is that of this one as long as epochs are not raised with each.

use protocol::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use protocol::record::ProducerIdentity;

use super::init_producer_id::fenced_as;
use crate::broker::Broker;
use crate::handler::Call;
use crate::transaction::machine::End;

pub(crate) async fn handle(broker: &Broker, call: &Call, request: EndTxnRequest) -> EndTxnResponse {
    let producer = ProducerIdentity { id: request.producer_id, epoch: request.producer_epoch };
    let end =
        End { transactional_id: request.transactional_id, producer, commit: request.committed };
    let error = fenced_as(call.version >= 2, broker.transactions.end(end).await);
    let mut response = EndTxnResponse { error_code: error.0, ..EndTxnResponse::default() };
    if call.version >= 5 && error.is_none() {
        response.producer_id = producer.id;
        response.producer_epoch = producer.epoch;
    }
    response
}
