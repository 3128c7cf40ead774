//! What a transactional producer asks of coordinators.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::cast;
use protocol::api::{ApiKey, Request};
use protocol::error_code::ErrorCode;
use protocol::messages::add_offsets_to_txn::AddOffsetsToTxnRequest;
use protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
};
use protocol::messages::end_txn::EndTxnRequest;
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use protocol::record::ProducerIdentity;

use super::machine::{Phase, Verdict, judge};
use super::{GroupOffsets, TransactionalProducer};
use crate::admin::init_producer_id;
use crate::client::CoordinatorKind;
use crate::connection::{Connection, Pending};
use crate::error::ClientError;
use crate::pool::Lane;
use crate::producer::machine::Slot;

/// The versions of the first protocol of transactions: later ones change what is implied.
const ADD_PARTITIONS_VERSION_MAX: i16 = 3;
const TXN_OFFSET_COMMIT_VERSION_MAX: i16 = 4;
const END_TXN_VERSION_MAX: i16 = 4;

impl TransactionalProducer {
    /// Tells the coordinator of new partitions and groups: one request for all partitions, and
    /// the groups right behind it without waiting.
    pub(super) async fn register(&mut self) -> Result<(), ClientError> {
        let client = self.client.clone();
        let mut retry = client.retry().brisk();
        loop {
            let slots = self.machine.unregistered().clone();
            let groups: Vec<String> = self
                .offsets
                .iter()
                .filter(|(_, offsets)| !offsets.is_added)
                .map(|(group, _)| group.clone())
                .collect();
            if slots.is_empty() && groups.is_empty() {
                return Ok(());
            }
            self.is_begun = true;
            let (code, error) = match self.register_once(&slots, &groups).await {
                Ok(code) if code.is_none() => continue,
                Ok(code) => {
                    (code, ClientError::refused(ApiKey::AddPartitionsToTxn, &self.id, code))
                }
                Err(error) => (ErrorCode::COORDINATOR_NOT_AVAILABLE, error),
            };
            self.act(code, &error).await?;
            if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
                self.look_again(&slots).await;
            }
            retry.pause(error).await.map_err(|error| self.doom(error))?;
        }
    }

    /// Looks at topics again that the coordinator does not know: whoever watches the client's
    /// picture of the cluster sees what has become of them.
    async fn look_again(&self, slots: &BTreeSet<Slot>) {
        let topics: BTreeSet<usize> = slots.iter().map(|slot| slot.topic).collect();
        let names = topics.into_iter().map(|topic| self.machine.topic_name(topic));
        let names: Vec<&str> = names.map(AsRef::as_ref).collect();
        if let Err(error) = self.client.refresh(&names).await {
            tracing::debug!(%error, "the cluster cannot be asked");
        }
    }

    /// The first code that is none, over all answers.
    async fn register_once(
        &mut self,
        slots: &BTreeSet<Slot>,
        groups: &[String],
    ) -> Result<ErrorCode, ClientError> {
        let connection = self.coordinator().await?;
        let zero = Duration::ZERO;
        let mut partitions = None;
        if !slots.is_empty() {
            let key = ApiKey::AddPartitionsToTxn;
            let version = connection.versions.up_to(key, ADD_PARTITIONS_VERSION_MAX)?;
            let request = self.add_partitions(slots);
            partitions = Some(connection.ask(&request, version, zero).await);
        }
        let mut offsets: Vec<(&String, Pending<AddOffsetsToTxnRequest>)> = Vec::new();
        for group in groups {
            let version = connection.versions.of(ApiKey::AddOffsetsToTxn)?;
            let request = AddOffsetsToTxnRequest {
                transactional_id: self.id.clone(),
                producer_id: self.identity.id,
                producer_epoch: self.identity.epoch,
                group_id: group.clone(),
            };
            offsets.push((group, connection.ask(&request, version, zero).await));
        }
        let mut first = ErrorCode::NONE;
        if let Some(pending) = partitions {
            first = worst(&pending.wait().await?);
            if first.is_none() {
                self.machine.set_registered(slots);
            }
        }
        for (group, pending) in offsets {
            let code = ErrorCode(pending.wait().await?.error_code);
            if code.is_none() {
                self.offsets.entry(group.clone()).or_default().is_added = true;
            } else if first.is_none() {
                first = code;
            }
        }
        Ok(first)
    }

    fn add_partitions(&self, slots: &BTreeSet<Slot>) -> AddPartitionsToTxnRequest {
        let mut topics: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        for slot in slots {
            topics.entry(slot.topic).or_default().push(cast::i32_of(slot.partition));
        }
        let topic = |(topic, partitions): (usize, Vec<i32>)| AddPartitionsToTxnTopic {
            name: self.machine.topic_name(topic).to_string(),
            partitions,
        };
        AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.id.clone(),
            v3_and_below_producer_id: self.identity.id,
            v3_and_below_producer_epoch: self.identity.epoch,
            v3_and_below_topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        }
    }

    /// Hands the offsets to their groups' coordinators; they count when the transaction does.
    pub(super) async fn commit_offsets(&mut self) -> Result<(), ClientError> {
        let client = self.client.clone();
        for (group, offsets) in std::mem::take(&mut self.offsets) {
            if offsets.next_offsets.is_empty() {
                // It was announced, and then nothing came.
                continue;
            }
            let mut retry = client.retry().brisk();
            let request = self.offset_commit(&group, &offsets);
            loop {
                let asked = client
                    .ask_coordinator_up_to(
                        (CoordinatorKind::Group, &group),
                        &request,
                        TXN_OFFSET_COMMIT_VERSION_MAX,
                    )
                    .await;
                let (code, error) = match asked {
                    Ok(response) => {
                        let parts = response.topics.iter().flat_map(|topic| &topic.partitions);
                        let code = parts
                            .map(|part| ErrorCode(part.error_code))
                            .find(|code| !code.is_none())
                            .unwrap_or(ErrorCode::NONE);
                        if code.is_none() {
                            break;
                        }
                        let api = ApiKey::TxnOffsetCommit;
                        (code, ClientError::refused(api, &group, code))
                    }
                    Err(error) => (ErrorCode::COORDINATOR_NOT_AVAILABLE, error),
                };
                if judge(code) == Verdict::Elsewhere {
                    client.forget_coordinator(CoordinatorKind::Group, &group);
                } else {
                    self.act(code, &error).await?;
                }
                retry.pause(error).await.map_err(|error| self.doom(error))?;
            }
        }
        Ok(())
    }

    fn offset_commit(&self, group: &str, offsets: &GroupOffsets) -> TxnOffsetCommitRequest {
        let mut topics: BTreeMap<&str, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
        for ((topic, partition), offset) in &offsets.next_offsets {
            topics.entry(topic).or_default().push(TxnOffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: *offset,
                committed_leader_epoch: -1,
                committed_metadata: Some(self.options.offset_metadata.clone()),
            });
        }
        let topic = |(name, partitions): (&str, _)| TxnOffsetCommitRequestTopic {
            name: name.to_owned(),
            partitions,
        };
        TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id: group.to_owned(),
            producer_id: self.identity.id,
            producer_epoch: self.identity.epoch,
            generation_id: -1,
            member_id: String::new(),
            group_instance_id: None,
            topics: topics.into_iter().map(topic).collect(),
        }
    }

    /// Ends the transaction. When no answer comes for long, nobody knows how it ended.
    pub(super) async fn end(&mut self, committed: bool) -> Result<(), ClientError> {
        let client = self.client.clone();
        let mut retry = client.retry().brisk();
        let request = EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: self.identity.id,
            producer_epoch: self.identity.epoch,
            committed,
        };
        loop {
            let (code, error) = match self.ask_end(&request).await {
                Ok(ErrorCode::NONE) => return Ok(()),
                Ok(code) => (code, ClientError::refused(ApiKey::EndTxn, &self.id, code)),
                Err(error) => (ErrorCode::COORDINATOR_NOT_AVAILABLE, error),
            };
            self.act(code, &error).await?;
            retry.pause(error).await.map_err(|error| self.die(&error))?;
        }
    }

    async fn ask_end(&self, request: &EndTxnRequest) -> Result<ErrorCode, ClientError> {
        let connection = self.coordinator().await?;
        let version = connection.versions.up_to(EndTxnRequest::KEY, END_TXN_VERSION_MAX)?;
        let pending = connection.ask(request, version, Duration::ZERO).await;
        Ok(ErrorCode(pending.wait().await?.error_code))
    }

    async fn coordinator(&self) -> Result<Arc<Connection>, ClientError> {
        let node = self.client.coordinator(CoordinatorKind::Transaction, &self.id).await?;
        self.client.node(node, Lane::Shared).await
    }

    /// Does what a code asks for; returns when the request is to be tried again.
    async fn act(&mut self, code: ErrorCode, error: &ClientError) -> Result<(), ClientError> {
        let kind = CoordinatorKind::Transaction;
        match judge(code) {
            Verdict::Fine | Verdict::Soon | Verdict::Again => Ok(()),
            Verdict::Elsewhere if error.is_retriable() => {
                self.client.forget_coordinator(kind, &self.id);
                Ok(())
            }
            Verdict::Abort => Err(self.doom_code(code)),
            Verdict::Suspect => Err(self.probe(code).await),
            Verdict::Elsewhere | Verdict::Die => Err(self.die(error)),
        }
    }

    /// Finds out whether somebody took the id over, or the broker merely gave the transaction up
    /// (KIP-588): only in the second case does it accept our present identity. Asking does not
    /// fence anybody, for a newer owner's identity is not the one we name.
    pub(super) async fn probe(&mut self, code: ErrorCode) -> ClientError {
        match self.renew().await {
            Ok(()) => {
                self.is_begun = false;
                self.doom_code(code)
            }
            Err(error) => error,
        }
    }

    /// A fresh epoch for the identity that we have; sequences start again at 0.
    pub(super) async fn renew(&mut self) -> Result<(), ClientError> {
        let request = self.init_request(self.identity);
        match init_producer_id(&self.client, &request).await {
            Ok(identity) => {
                self.take_identity(identity);
                Ok(())
            }
            Err(error) => Err(match error.code() {
                Some(ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH) => {
                    self.phase = Phase::Fenced;
                    ClientError::Fenced { transactional_id: self.id.clone() }
                }
                Some(_) => self.die(&error),
                None => error,
            }),
        }
    }

    pub(super) fn init_request(&self, identity: ProducerIdentity) -> InitProducerIdRequest {
        let timeout_ms = self.options.transaction_timeout.as_millis();
        InitProducerIdRequest {
            transactional_id: Some(self.id.clone()),
            transaction_timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
            producer_id: identity.id,
            producer_epoch: identity.epoch,
            ..Default::default()
        }
    }

    pub(super) fn take_identity(&mut self, identity: ProducerIdentity) {
        self.identity = identity;
        self.machine.set_identity(identity);
    }

    /// The transaction can only be aborted from here on.
    pub(super) fn doom_code(&mut self, code: ErrorCode) -> ClientError {
        self.phase = Phase::Doomed(code);
        ClientError::Abortable { transactional_id: self.id.clone(), code }
    }

    /// As [`Self::doom_code`], because no try was left.
    fn doom(&mut self, error: ClientError) -> ClientError {
        self.doom_code(error.code().unwrap_or(ErrorCode::REQUEST_TIMED_OUT))
    }

    /// The producer is at its end.
    pub(super) fn die(&mut self, error: &ClientError) -> ClientError {
        let code = error.code().unwrap_or(ErrorCode::REQUEST_TIMED_OUT);
        self.phase = Phase::Dead(code);
        ClientError::Fatal { transactional_id: self.id.clone(), code }
    }
}

/// The first code that says something: when one partition fails, the others are not attempted.
fn worst(response: &AddPartitionsToTxnResponse) -> ErrorCode {
    let parts = response.results_by_topic_v3_and_below.iter();
    let codes = parts
        .flat_map(|topic| &topic.results_by_partition)
        .map(|part| ErrorCode(part.partition_error_code))
        .filter(|code| !code.is_none());
    let mut last = ErrorCode::NONE;
    for code in codes {
        if code != ErrorCode::OPERATION_NOT_ATTEMPTED {
            return code;
        }
        last = code;
    }
    last
}
