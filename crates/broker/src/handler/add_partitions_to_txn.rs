//! AddPartitionsToTxn, key 24, versions 0 to 5: partitions that a transaction will write to.
//!
//! From version 4 on brokers ask for several transactions at once, and may only check.

use protocol::error_code::ErrorCode;
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
};
use protocol::record::ProducerIdentity;

use super::init_producer_id::fenced_as;
use crate::broker::Broker;
use crate::handler::Call;
use crate::transaction::machine::Add;

pub(crate) async fn handle(
    broker: &Broker,
    call: &Call,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    if call.version < 4 {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            verify_only: false,
            topics: request.v3_and_below_topics,
        };
        let results = add(broker, call, &transaction).await;
        return AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: results,
            ..AddPartitionsToTxnResponse::default()
        };
    }
    let mut results = Vec::new();
    for transaction in request.transactions {
        results.push(AddPartitionsToTxnResult {
            topic_results: add(broker, call, &transaction).await,
            transactional_id: transaction.transactional_id,
        });
    }
    AddPartitionsToTxnResponse {
        results_by_transaction: results,
        ..AddPartitionsToTxnResponse::default()
    }
}

async fn add(
    broker: &Broker,
    call: &Call,
    transaction: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let all = transaction.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (topic.name.clone(), *partition))
    });
    let places: Vec<_> = all.collect();
    let is_missing = |topic: &str, partition| broker.partitions.find(topic, partition).is_err();
    let any_missing = places.iter().any(|(topic, partition)| is_missing(topic, *partition));
    let error = if any_missing {
        // All or nothing: what exists is told that it was not tried.
        ErrorCode::OPERATION_NOT_ATTEMPTED
    } else {
        let producer =
            ProducerIdentity { id: transaction.producer_id, epoch: transaction.producer_epoch };
        let transactional_id = transaction.transactional_id.clone();
        let verify_only = transaction.verify_only;
        let add = Add { transactional_id, producer, places, verify_only };
        fenced_as(call.version >= 2, broker.transactions.add(add).await)
    };
    let result = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .map(|partition| {
                let missing = is_missing(&topic.name, *partition);
                let error = if missing { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION } else { error };
                AddPartitionsToTxnPartitionResult {
                    partition_index: *partition,
                    partition_error_code: error.0,
                }
            })
            .collect(),
    };
    transaction.topics.iter().map(result).collect()
}
