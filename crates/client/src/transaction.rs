//! The transactional producer: records, batches and offsets that count together or not at all.
//!
//! One owner drives it: `init` once, then `begin`, any number of `append` and `send_offsets`,
//! `commit` or `abort`. `append` only buffers and never waits; `drain` between input batches keeps
//! the buffer small and the network busy.
//!
//! It speaks the first protocol of transactions, which every broker has: partitions are added
//! before they are written to. What depends on each other is asked one after the other, all else
//! at once: partitions and groups together, then batches and offsets together, then the end.
//!
//! Errors: after [`ClientError::Abortable`] call `abort`, after which the next transaction may
//! begin; [`ClientError::Fenced`] and [`ClientError::Fatal`] end the producer. A fenced producer
//! never initialises itself again: whoever owns the id now would be the victim.

mod coordination;
mod inbox;
mod machine;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::record::{Batch, HeaderRef, ProducerIdentity};
use runtime::timer;

use crate::admin::init_producer_id;
use crate::client::Client;
use crate::error::ClientError;
use crate::limits::{
    BATCH_FIRST_BYTES, PRODUCE_IN_FLIGHT_MAX, PRODUCE_REQUEST_BYTES_MAX, TXN_UNSENT_BYTES_MAX,
};
use crate::options::{Acks, TransactionalOptions};
use crate::pool::Lane;
use crate::producer::machine::{
    Appended, Failure, Finished, Machine, Parts, Rules, Shipment, Slot, Whole,
};
use crate::producer::wire::{Terms, build_all, outcomes, request};

use inbox::{Answer, Inbox, Ticket};
use machine::{Phase, Verdict, judge_batch};

/// The newest Produce that does not add partitions to the transaction by itself.
const PRODUCE_VERSION_MAX: i16 = 11;

/// A topic of one transactional producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicHandle {
    index: usize,
}

/// The parts of a record, for [`TransactionalProducer::append`].
#[derive(Debug, Clone, Copy, Default)]
pub struct TxnRecord<'a> {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: &'a [HeaderRef<'a>],
}

/// A producer with transactions.
pub struct TransactionalProducer {
    client: Client,
    options: TransactionalOptions,
    id: String,
    lane: Lane,
    terms: Terms,
    machine: Machine<()>,
    inbox: Arc<Inbox>,
    identity: ProducerIdentity,
    phase: Phase,
    // The coordinator may know of the transaction, so it must be told of the end.
    is_begun: bool,
    offsets: BTreeMap<String, GroupOffsets>,
}

/// Offsets of one group that wait for the commit.
#[derive(Debug, Default)]
struct GroupOffsets {
    is_added: bool,
    next_offsets: BTreeMap<(String, i32), i64>,
}

impl fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionalProducer({}, {:?}, {:?})", self.id, self.identity, self.phase)
    }
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        self.client.close_lane(self.lane);
    }
}

impl TransactionalProducer {
    pub(crate) fn new(client: Client, options: TransactionalOptions) -> Self {
        let terms = Terms {
            acks: Acks::All,
            timeout: client.options().request_timeout,
            transactional_id: Some(options.transactional_id.clone()),
        };
        Self {
            machine: Machine::new(rules(&client, &options)),
            lane: client.own_lane(),
            client,
            id: options.transactional_id.clone(),
            options,
            terms,
            inbox: Arc::default(),
            identity: ProducerIdentity::NONE,
            phase: Phase::New,
            is_begun: false,
            offsets: BTreeMap::new(),
        }
    }

    /// Takes the transactional id over: whoever had it is fenced, and what he left open is
    /// aborted before this returns.
    ///
    /// # Errors
    /// Why the coordinator refused; [`ClientError::Fenced`] when this producer was fenced before.
    pub async fn init(&mut self) -> Result<ProducerIdentity, ClientError> {
        if self.phase == Phase::Fenced {
            return Err(ClientError::Fenced { transactional_id: self.id.clone() });
        }
        self.discard().await;
        let request = self.init_request(ProducerIdentity::NONE);
        let identity = init_producer_id(&self.client, &request).await?;
        self.take_identity(identity);
        self.phase = Phase::Ready;
        Ok(identity)
    }

    /// Takes an identity that was issued for this id elsewhere ([`crate::Admin::issue`]), in the
    /// place of `init`. Nobody is fenced by it, and once the id is fenced this producer is at its
    /// end: so whoever issues identities decides who may write.
    ///
    /// # Errors
    /// [`ClientError::NoTransaction`] when the producer has an identity already.
    pub fn adopt(&mut self, identity: ProducerIdentity) -> Result<(), ClientError> {
        if self.phase != Phase::New {
            return Err(self.misuse("adopt"));
        }
        self.take_identity(identity);
        self.phase = Phase::Ready;
        Ok(())
    }

    /// The identity that `init` got, or that was adopted.
    #[must_use]
    pub fn identity(&self) -> ProducerIdentity {
        self.identity
    }

    /// Learns of a topic to append to.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or why the cluster cannot be asked.
    pub async fn topic(&mut self, topic: &str) -> Result<TopicHandle, ClientError> {
        let view = self.client.topic(topic).await?;
        let leaders = view.partitions.iter().map(|partition| partition.leader).collect();
        Ok(TopicHandle { index: self.machine.set_leaders(&view.name, leaders) })
    }

    /// Count of a topic's partitions, as they were known when the handle was made.
    #[must_use]
    pub fn partition_count(&self, topic: TopicHandle) -> i32 {
        base::cast::i32_of(self.machine.partition_count(topic.index))
    }

    /// The partition for a key, as Java's producer chooses it; any one without a key.
    #[must_use]
    pub fn partition_for(&self, topic: TopicHandle, key: Option<&[u8]>) -> i32 {
        base::cast::i32_of(self.machine.choose(topic.index, key))
    }

    /// The offset behind the last record that this producer has written to a partition and the
    /// broker has acknowledged, whatever became of its transaction; `None` while there is none.
    #[must_use]
    pub fn written_end(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        let partition = usize::try_from(partition).ok()?;
        self.machine.written_end(Slot { topic: topic.index, partition })
    }

    /// Begins a transaction; the broker hears of it with the first batch.
    ///
    /// # Errors
    /// [`ClientError::NoTransaction`] before `init` or inside a transaction; the producer's end.
    pub fn begin(&mut self) -> Result<(), ClientError> {
        match self.phase {
            Phase::Ready => {
                self.phase = Phase::Open;
                Ok(())
            }
            _ => Err(self.misuse("begin")),
        }
    }

    /// Buffers a record.
    ///
    /// # Errors
    /// [`ClientError::BufferFull`] until `drain`; [`ClientError::UnknownPartition`];
    /// [`ClientError::NoTransaction`]; [`ClientError::Abortable`].
    pub fn append(
        &mut self,
        topic: TopicHandle,
        partition: i32,
        record: &TxnRecord<'_>,
    ) -> Result<(), ClientError> {
        let slot = self.slot(topic, partition, "append")?;
        let parts = Parts {
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let clock = self.client.clock();
        match self.machine.append(slot, &parts, |_| (clock.steady_ms(), ())) {
            Appended::Taken { .. } => Ok(()),
            Appended::Full => Err(ClientError::BufferFull),
        }
    }

    /// Buffers a whole batch as it is, compressed or not; only its header is written anew.
    ///
    /// # Errors
    /// As [`TransactionalProducer::append`].
    pub fn append_batch(
        &mut self,
        topic: TopicHandle,
        partition: i32,
        batch: &Batch,
    ) -> Result<(), ClientError> {
        let slot = self.slot(topic, partition, "append_batch")?;
        let whole = Whole {
            bytes: batch.bytes().clone(),
            record_count: batch.header().last_offset_delta.saturating_add(1),
            born_ms: self.client.clock().steady_ms(),
        };
        if self.machine.append_whole(slot, &whole, ()) {
            return Ok(());
        }
        Err(ClientError::BufferFull)
    }

    /// Adds positions to the transaction: they count when it is committed. Waits for nothing.
    ///
    /// # Errors
    /// [`ClientError::NoTransaction`], [`ClientError::Abortable`].
    pub fn send_offsets(
        &mut self,
        group: &str,
        next_offsets: &[(&str, i32, i64)],
    ) -> Result<(), ClientError> {
        self.require_open("send_offsets")?;
        if next_offsets.is_empty() {
            return Ok(());
        }
        let offsets = self.offsets.entry(group.to_owned()).or_default();
        for (topic, partition, next_offset) in next_offsets {
            offsets.next_offsets.insert(((*topic).to_owned(), *partition), *next_offset);
        }
        Ok(())
    }

    /// Tells the coordinator what the transaction writes, as far as it is known: everything that
    /// was appended to, these partitions, and the positions of these groups. The commit does what
    /// is left of it; whoever has a moment before it saves the time there.
    ///
    /// # Errors
    /// [`ClientError::NoTransaction`], [`ClientError::UnknownPartition`],
    /// [`ClientError::Abortable`], [`ClientError::Fenced`], [`ClientError::Fatal`].
    pub async fn prepare(
        &mut self,
        partitions: &[(TopicHandle, i32)],
        groups: &[&str],
    ) -> Result<(), ClientError> {
        for (topic, partition) in partitions {
            let slot = self.slot(*topic, *partition, "prepare")?;
            self.machine.announce(slot);
        }
        for group in groups {
            self.offsets.entry((*group).to_owned()).or_default();
        }
        self.register().await
    }

    /// Bytes that are buffered or on their way.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.machine.buffered_bytes()
    }

    /// Sends the batches that are full, and waits while too much is on its way. Call it between
    /// input batches; it costs nothing when there is nothing to send.
    ///
    /// # Errors
    /// [`ClientError::Abortable`], [`ClientError::Fenced`], [`ClientError::Fatal`].
    pub async fn drain(&mut self) -> Result<(), ClientError> {
        self.require_open("drain")?;
        self.take_answers().await?;
        if !self.machine.has_closed() && !self.is_over() {
            return Ok(());
        }
        self.register().await?;
        self.ship().await?;
        while self.is_over() {
            if !self.machine.is_waiting() {
                self.machine.flush();
                self.register().await?;
            }
            let wake_at_ms = self.ship().await?;
            self.wait(wake_at_ms).await;
            self.take_answers().await?;
        }
        Ok(())
    }

    /// Sends what is buffered, waits for all acknowledgements, and commits. A transaction
    /// without records and offsets costs nothing.
    ///
    /// # Errors
    /// [`ClientError::Abortable`]: nothing counts, call `abort`. [`ClientError::Fenced`] and
    /// [`ClientError::Fatal`] end the producer; after `Fatal` with `REQUEST_TIMED_OUT` nobody
    /// knows whether the transaction counts: `init` settles it, committed offsets tell.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.require_open("commit")?;
        self.machine.flush();
        self.register().await?;
        // The batches are on their way while the groups' coordinators take the offsets.
        self.ship().await?;
        self.commit_offsets().await?;
        self.settle().await?;
        if self.is_begun {
            self.end(true).await?;
        }
        self.close();
        Ok(())
    }

    /// Gives up the transaction; the producer is ready for the next one.
    ///
    /// # Errors
    /// [`ClientError::Fenced`], [`ClientError::Fatal`].
    pub async fn abort(&mut self) -> Result<(), ClientError> {
        match self.phase {
            Phase::Open | Phase::Doomed(_) => {}
            _ => return Err(self.misuse("abort")),
        }
        self.discard().await;
        if self.is_begun {
            match self.end(false).await {
                // The broker had given the transaction up before; that is what was wanted.
                Err(ClientError::Abortable { .. }) if !self.is_begun => {}
                other => other?,
            }
        }
        // After a batch whose fate is unknown, sequences cannot go on where they were.
        if self.machine.take_gap() {
            self.renew().await?;
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        self.machine.forget_registered();
        self.offsets.clear();
        self.is_begun = false;
        self.phase = Phase::Ready;
    }

    /// Drops what is buffered and waits for what is on its way.
    async fn discard(&mut self) {
        self.offsets.clear();
        loop {
            self.machine.fail_queued(Failure::TimedOut);
            if !self.machine.is_waiting() {
                break;
            }
            self.wait(None).await;
            while let Some(answer) = self.inbox.take() {
                self.complete(answer);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.machine.buffered_bytes() > self.options.in_flight_bytes_max
    }

    fn require_open(&self, call: &'static str) -> Result<(), ClientError> {
        if self.phase == Phase::Open { Ok(()) } else { Err(self.misuse(call)) }
    }

    #[cold]
    fn misuse(&self, call: &'static str) -> ClientError {
        let transactional_id = self.id.clone();
        match self.phase {
            Phase::Doomed(code) => ClientError::Abortable { transactional_id, code },
            Phase::Fenced => ClientError::Fenced { transactional_id },
            Phase::Dead(code) => ClientError::Fatal { transactional_id, code },
            Phase::New | Phase::Ready | Phase::Open => ClientError::NoTransaction { call },
        }
    }

    fn slot(
        &self,
        topic: TopicHandle,
        partition: i32,
        call: &'static str,
    ) -> Result<Slot, ClientError> {
        self.require_open(call)?;
        let count = self.machine.partition_count(topic.index);
        match usize::try_from(partition) {
            Ok(partition) if partition < count => Ok(Slot { topic: topic.index, partition }),
            _ => Err(ClientError::UnknownPartition {
                topic: self.machine.topic_name(topic.index).to_string(),
                partition,
            }),
        }
    }

    /// Waits until every batch is acknowledged.
    async fn settle(&mut self) -> Result<(), ClientError> {
        loop {
            self.take_answers().await?;
            if self.machine.is_empty() {
                return Ok(());
            }
            let wake_at_ms = self.ship().await?;
            self.wait(wake_at_ms).await;
        }
    }

    async fn wait(&self, wake_at_ms: Option<u64>) {
        let now = self.client.clock().steady_ms();
        let pause = wake_at_ms.map(|at| Duration::from_millis(at.saturating_sub(now)));
        match pause {
            Some(pause) => timer::timeout(pause, self.inbox.arrival()).await.unwrap_or(()),
            None => self.inbox.arrival().await,
        }
    }

    async fn take_answers(&mut self) -> Result<(), ClientError> {
        while let Some(answer) = self.inbox.take() {
            let finished = self.complete(answer);
            self.check(finished).await?;
        }
        Ok(())
    }

    fn complete(&mut self, answer: Answer) -> Vec<Finished<()>> {
        let (number, sent, response) = answer.open();
        let machine = &self.machine;
        let outcomes = outcomes(sent, Acks::All, &response, |topic| machine.topic_name(topic));
        self.machine.complete(self.client.clock().steady_ms(), number, outcomes)
    }

    /// The first batch that failed decides what becomes of the transaction.
    async fn check(&mut self, finished: Vec<Finished<()>>) -> Result<(), ClientError> {
        let Some(failure) = finished.into_iter().find_map(|finished| finished.result.err()) else {
            return Ok(());
        };
        let code = match failure {
            Failure::Refused(code) => code,
            Failure::TimedOut => ErrorCode::REQUEST_TIMED_OUT,
        };
        match judge_batch(code) {
            Verdict::Suspect => Err(self.probe(code).await),
            Verdict::Die => Err(self.die(&ClientError::refused(ApiKey::Produce, &self.id, code))),
            _ => Err(self.doom_code(code)),
        }
    }

    /// Sends what can be sent now; tells when to look again.
    async fn ship(&mut self) -> Result<Option<u64>, ClientError> {
        let mut plan = self.machine.drain(self.client.clock().steady_ms());
        for topic in std::mem::take(&mut plan.refresh) {
            let name = self.machine.topic_name(topic).to_string();
            let refreshed = async {
                self.client.refresh(&[&name]).await?;
                self.topic(&name).await
            };
            if let Err(error) = refreshed.await {
                tracing::debug!(%error, topic = name, "leaders cannot be looked up");
            }
        }
        for shipment in plan.shipments {
            // What has come back meanwhile holds its partition, so it must be known by now.
            while let Some(answer) = self.inbox.take() {
                plan.finished.extend(self.complete(answer));
            }
            self.send(shipment).await;
        }
        self.check(plan.finished).await?;
        Ok(plan.wake_at_ms)
    }

    async fn send(&mut self, shipment: Shipment) {
        let (number, node) = (shipment.request, shipment.node);
        let connected = self.client.node(node, self.lane).await.and_then(|connection| {
            let version = connection.versions.up_to(ApiKey::Produce, PRODUCE_VERSION_MAX)?;
            if !self.machine.may_send(&shipment, connection.id) {
                return Err(ClientError::Disconnected { peer: String::new() });
            }
            Ok((connection, version))
        });
        let sent = build_all(shipment.parcels, true);
        let message = request(&sent, &self.terms, |topic| self.machine.topic_name(topic));
        let ticket = Ticket::new(&self.inbox, Answer::new(number, sent));
        match connected {
            Ok((connection, version)) => {
                let on_answer =
                    Box::new(move |frame: Result<Bytes, _>| ticket.redeem(frame, version));
                connection.send(&message, version, Duration::ZERO, on_answer).await;
            }
            Err(error) => ticket.redeem(Err(error), 0),
        }
    }
}

fn rules(client: &Client, options: &TransactionalOptions) -> Rules {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Rules {
        compression: options.compression,
        batch_bytes_max: options.batch_bytes_max,
        batch_bytes_first: BATCH_FIRST_BYTES.min(options.batch_bytes_max),
        request_bytes_max: PRODUCE_REQUEST_BYTES_MAX.max(options.batch_bytes_max),
        buffer_bytes_max: TXN_UNSENT_BYTES_MAX,
        // Batches are closed by the owner's drain and commit, never by their age.
        linger_ms: u64::MAX,
        // Later the broker has given the transaction up anyway.
        delivery_timeout_ms: ms(options.transaction_timeout),
        retry_ms: ms(client.options().retry_backoff),
        retry_ms_max: ms(client.options().retry_backoff_max),
        in_flight_max: PRODUCE_IN_FLIGHT_MAX,
        is_idempotent: true,
        is_transactional: true,
        seed: client.rng().next_u64(),
    }
}
