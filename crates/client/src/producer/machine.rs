//! Which batch goes where and when, in which order and under which sequence: pure.
//!
//! Records are collected per partition in an open batch; a full or old one is closed and queued;
//! `drain` takes queued batches into requests. Order is kept like this: a batch that comes back
//! is queued again by its age, and its partition sends nothing more until all that was in flight
//! has come back too.
//!
//! Sequences belong to the partition and are given when a batch is first sent; a repetition keeps
//! its number, so the broker recognises it. What the broker can no longer place (a gap, a producer
//! it forgot) asks for a fresh identity: first everything else in flight is settled under the old
//! one, then all partitions start again at 0 (KIP-360).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use protocol::error_code::ErrorCode;
use protocol::partitioner::partition_for_key;
use protocol::record::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchOptions, Compression, HeaderRef, ProducerIdentity,
    record_bytes_max, sequence_add,
};

/// Number of a topic, and of a partition in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) topic: usize,
    pub(crate) partition: usize,
}

/// What the machine must know of the options.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) compression: Compression,
    pub(crate) batch_bytes_max: usize,
    pub(crate) batch_bytes_first: usize,
    pub(crate) request_bytes_max: usize,
    pub(crate) buffer_bytes_max: usize,
    pub(crate) linger_ms: u64,
    pub(crate) delivery_timeout_ms: u64,
    pub(crate) retry_ms: u64,
    pub(crate) retry_ms_max: u64,
    pub(crate) in_flight_max: usize,
    pub(crate) is_idempotent: bool,
    pub(crate) seed: u64,
}

/// The parts of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [HeaderRef<'a>],
}

/// What became of a record that was to be appended.
#[derive(Debug)]
pub(crate) enum Appended<'a, T> {
    /// It is the `index`-th record of a batch. `wakes`: there is something new to drain for.
    Taken { token: &'a T, index: i64, wakes: bool },
    /// The buffer is full.
    Full,
}

/// What goes on the wire for a batch.
#[derive(Debug)]
pub(crate) enum Body {
    /// Records that have not been made a batch yet.
    Builder(Box<BatchBuilder>),
    /// A batch under this identity and sequence.
    Built(Bytes),
    /// A batch that must be written anew under its new identity and sequence.
    Renumber(Bytes),
    /// It is on its way.
    Away,
}

/// A batch to be sent.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) slot: Slot,
    pub(crate) id: u64,
    pub(crate) body: Body,
    pub(crate) producer: ProducerIdentity,
    pub(crate) sequence: i32,
}

/// A request to be sent.
#[derive(Debug)]
pub(crate) struct Shipment {
    pub(crate) request: u64,
    pub(crate) node: i32,
    pub(crate) parcels: Vec<Parcel>,
}

/// What the broker, or the way to it, did with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Written at this offset; -1 when the broker does not tell.
    Written { base_offset: i64 },
    /// Refused.
    Refused(ErrorCode),
    /// Nobody knows.
    Lost,
}

/// Why a batch failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Refused(ErrorCode),
    TimedOut,
}

/// A batch that has come to its end.
#[derive(Debug)]
pub(crate) struct Finished<T> {
    pub(crate) token: T,
    pub(crate) result: Result<i64, Failure>,
}

/// What is to be done now.
#[derive(Debug)]
pub(crate) struct Plan<T> {
    pub(crate) shipments: Vec<Shipment>,
    pub(crate) finished: Vec<Finished<T>>,
    /// Topics whose leaders must be looked up.
    pub(crate) refresh: BTreeSet<usize>,
    /// An identity is needed before anything can be sent.
    pub(crate) wants_identity: bool,
    /// When to look again, if nothing happens before; in milliseconds.
    pub(crate) wake_at_ms: Option<u64>,
}

/// The machine; `T` is told to nobody, it only comes back with its batch.
#[derive(Debug)]
pub(crate) struct Machine<T> {
    rules: Rules,
    topics: Vec<Topic>,
    by_name: BTreeMap<Arc<str>, usize>,
    lanes: BTreeMap<Slot, Lane<T>>,
    active: BTreeSet<Slot>,
    served: Option<Slot>,
    outstanding: BTreeSet<u64>,
    requests: BTreeMap<u64, i32>,
    buffered_bytes: usize,
    next_id: u64,
    next_request: u64,
    identity: Option<ProducerIdentity>,
    is_renewing: bool,
    refresh: BTreeSet<usize>,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    leaders: Vec<i32>,
    sticky: usize,
}

/// The batches of one partition.
#[derive(Debug)]
struct Lane<T> {
    open: Option<Batch<T>>,
    queue: VecDeque<Batch<T>>,
    in_flight: VecDeque<Batch<T>>,
    next_sequence: i32,
    retry_at_ms: u64,
    /// Something came back: wait for the rest before anything is sent again.
    is_held: bool,
    /// The broker cannot place our sequences any more.
    is_broken: bool,
}

#[derive(Debug)]
struct Batch<T> {
    id: u64,
    body: Body,
    bytes: usize,
    record_count: i32,
    born_ms: u64,
    attempts: u32,
    number: Option<(ProducerIdentity, i32)>,
    token: T,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            open: None,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            next_sequence: 0,
            retry_at_ms: 0,
            is_held: false,
            is_broken: false,
        }
    }
}

impl<T> Lane<T> {
    fn is_idle(&self) -> bool {
        self.open.is_none() && self.queue.is_empty()
    }

    fn close_open(&mut self) {
        if let Some(open) = self.open.take() {
            self.queue.push_back(open);
        }
    }

    /// Puts a batch back where its age belongs.
    fn requeue(&mut self, batch: Batch<T>) {
        let at = self.queue.iter().position(|other| other.id > batch.id);
        self.queue.insert(at.unwrap_or(self.queue.len()), batch);
    }
}

impl<T> Machine<T> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            topics: Vec::new(),
            by_name: BTreeMap::new(),
            lanes: BTreeMap::new(),
            active: BTreeSet::new(),
            served: None,
            outstanding: BTreeSet::new(),
            requests: BTreeMap::new(),
            buffered_bytes: 0,
            next_id: 0,
            next_request: 0,
            identity: None,
            is_renewing: false,
            refresh: BTreeSet::new(),
        }
    }

    /// Number of a topic, if its leaders are known.
    pub(crate) fn topic(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn topic_name(&self, topic: usize) -> &Arc<str> {
        &self.topics[topic].name
    }

    pub(crate) fn partition_count(&self, topic: usize) -> usize {
        self.topics[topic].leaders.len()
    }

    /// Learns who leads the partitions of a topic; -1 stands for nobody.
    pub(crate) fn set_leaders(&mut self, name: &Arc<str>, leaders: Vec<i32>) -> usize {
        let at = self.by_name.get(name).copied().unwrap_or(self.topics.len());
        if at == self.topics.len() {
            let sticky = usize::try_from(self.rules.seed % 1024).unwrap_or(0);
            self.topics.push(Topic { name: Arc::clone(name), leaders: Vec::new(), sticky });
            self.by_name.insert(Arc::clone(name), at);
        }
        // Partitions never go away while a topic lives; a shorter answer is an old one.
        if leaders.len() >= self.topics[at].leaders.len() {
            self.topics[at].leaders = leaders;
        }
        self.refresh.remove(&at);
        at
    }

    /// The partition for a key; without one, the partition whose batch is being filled.
    pub(crate) fn choose(&self, topic: usize, key: Option<&[u8]>) -> usize {
        let topic = &self.topics[topic];
        let count = topic.leaders.len().max(1);
        match key {
            Some(key) => {
                let count = i32::try_from(count).unwrap_or(i32::MAX);
                usize::try_from(partition_for_key(key, count)).unwrap_or(0)
            }
            None => topic.sticky % count,
        }
    }

    /// Appends a record; `opening` gives the time in milliseconds and a token for a new batch.
    pub(crate) fn append(
        &mut self,
        slot: Slot,
        parts: &Parts<'_>,
        opening: impl FnOnce() -> (u64, T),
    ) -> Appended<'_, T> {
        if self.buffered_bytes >= self.rules.buffer_bytes_max {
            return Appended::Full;
        }
        let lane = self.lanes.entry(slot).or_default();
        let mut wakes = false;
        let size = record_bytes_max(parts.key, parts.value, parts.headers);
        let is_full = |open: &Batch<T>| open.bytes + size > self.rules.batch_bytes_max;
        if lane.open.as_ref().is_some_and(is_full) {
            lane.close_open();
            wakes = true;
            if parts.key.is_none() {
                // Move on to another partition: small steps in a fixed order spread evenly.
                self.topics[slot.topic].sticky += 1;
            }
        }
        if lane.open.is_none() {
            let (born_ms, token) = opening();
            lane.open = Some(Batch::open(&self.rules, self.next_id, born_ms, token));
            self.outstanding.insert(self.next_id);
            self.next_id += 1;
            self.active.insert(slot);
            wakes = true;
        }
        let batch = lane.open.as_mut().expect("the open batch was made above");
        let grown = batch.append(parts);
        self.buffered_bytes += grown;
        Appended::Taken { token: &batch.token, index: i64::from(batch.record_count) - 1, wakes }
    }

    /// Closes all open batches; what was appended until now is delivered when `is_flushed` says
    /// so for the number returned.
    pub(crate) fn flush(&mut self) -> u64 {
        for slot in &self.active {
            if let Some(lane) = self.lanes.get_mut(slot) {
                lane.close_open();
            }
        }
        self.next_id
    }

    pub(crate) fn is_flushed(&self, until: u64) -> bool {
        self.outstanding.first().is_none_or(|oldest| *oldest >= until)
    }

    /// Everything starts again under this identity.
    pub(crate) fn set_identity(&mut self, identity: ProducerIdentity) {
        self.identity = Some(identity);
        self.is_renewing = false;
        for lane in self.lanes.values_mut() {
            lane.next_sequence = 0;
            lane.is_broken = false;
            for batch in &mut lane.queue {
                batch.number = None;
                if let Body::Built(bytes) = &batch.body {
                    batch.body = Body::Renumber(bytes.clone());
                }
            }
        }
    }

    /// The identity that an attempt to renew starts from.
    pub(crate) fn identity(&self) -> Option<ProducerIdentity> {
        self.identity
    }

    /// Gives up everything that is queued.
    pub(crate) fn fail_queued(&mut self, failure: Failure) -> Vec<Finished<T>> {
        let mut finished = Vec::new();
        for slot in std::mem::take(&mut self.active) {
            let lane = self.lanes.get_mut(&slot).expect("an active slot has a lane");
            lane.close_open();
            for batch in lane.queue.drain(..) {
                self.outstanding.remove(&batch.id);
                self.buffered_bytes -= batch.bytes;
                finished.push(Finished { token: batch.token, result: Err(failure) });
            }
        }
        finished
    }

    /// What can be sent now.
    pub(crate) fn drain(&mut self, now_ms: u64) -> Plan<T> {
        let mut plan = Plan {
            shipments: Vec::new(),
            finished: Vec::new(),
            refresh: std::mem::take(&mut self.refresh),
            wants_identity: false,
            wake_at_ms: None,
        };
        self.expire(now_ms, &mut plan);
        plan.wants_identity = self.wants_identity();
        if plan.wants_identity || (self.rules.is_idempotent && self.identity.is_none()) {
            return plan;
        }
        // Each round takes at most one batch of each partition into one request per broker.
        while self.drain_round(now_ms, &mut plan) {}
        plan
    }

    fn wants_identity(&self) -> bool {
        if !self.rules.is_idempotent || self.active.is_empty() {
            return false;
        }
        if self.identity.is_none() {
            return true;
        }
        let is_settled = |slot: &Slot| {
            let lane = &self.lanes[slot];
            lane.is_broken || lane.queue.iter().all(|batch| batch.number.is_none())
        };
        self.is_renewing && self.requests.is_empty() && self.active.iter().all(is_settled)
    }

    fn drain_round(&mut self, now_ms: u64, plan: &mut Plan<T>) -> bool {
        let mut requests: BTreeMap<i32, (usize, Vec<Parcel>)> = BTreeMap::new();
        let after = self.served;
        let slots: Vec<Slot> = self.active.iter().copied().collect();
        let split = slots.partition_point(|slot| Some(*slot) <= after);
        for slot in slots[split..].iter().chain(&slots[..split]) {
            let leader = self.leader(*slot);
            let Some(node) = leader else {
                plan.refresh.insert(slot.topic);
                continue;
            };
            let used = self.requests.values().filter(|other| **other == node).count();
            let (bytes, parcels) = requests.entry(node).or_default();
            let has_room = *bytes < self.rules.request_bytes_max;
            if used >= self.rules.in_flight_max || !has_room {
                continue;
            }
            if let Some((size, parcel)) = self.take(*slot, now_ms, plan) {
                *bytes += size;
                parcels.push(parcel);
                self.served = Some(*slot);
            }
        }
        let before = plan.shipments.len();
        for (node, (_, parcels)) in requests {
            if !parcels.is_empty() {
                let request = self.next_request;
                self.next_request += 1;
                self.requests.insert(request, node);
                plan.shipments.push(Shipment { request, node, parcels });
            }
        }
        plan.shipments.len() > before
    }

    fn leader(&self, slot: Slot) -> Option<i32> {
        let leaders = &self.topics[slot.topic].leaders;
        leaders.get(slot.partition).copied().filter(|leader| *leader >= 0)
    }

    /// Takes the next batch of a partition, if one is due.
    fn take(&mut self, slot: Slot, now_ms: u64, plan: &mut Plan<T>) -> Option<(usize, Parcel)> {
        let lane = self.lanes.get_mut(&slot).expect("an active slot has a lane");
        let serial = !self.rules.is_idempotent && !lane.in_flight.is_empty();
        if lane.is_held || lane.is_broken || serial {
            return None;
        }
        if lane.retry_at_ms > now_ms {
            wake_at(plan, lane.retry_at_ms);
            return None;
        }
        if let Some(open) = &lane.open
            && lane.queue.is_empty()
        {
            let due_ms = open.born_ms + self.rules.linger_ms;
            if due_ms > now_ms {
                wake_at(plan, due_ms);
                return None;
            }
            lane.close_open();
        }
        if self.is_renewing && lane.queue.front()?.number.is_none() {
            return None;
        }
        let mut batch = lane.queue.pop_front()?;
        let (producer, sequence) = match (batch.number, self.identity) {
            (Some(number), _) => number,
            (None, Some(identity)) if self.rules.is_idempotent => {
                let sequence = lane.next_sequence;
                lane.next_sequence = sequence_add(sequence, batch.record_count);
                (identity, sequence)
            }
            (None, _) => (ProducerIdentity::NONE, -1),
        };
        batch.number = Some((producer, sequence));
        let body = std::mem::replace(&mut batch.body, Body::Away);
        let parcel = Parcel { slot, id: batch.id, body, producer, sequence };
        let bytes = batch.bytes;
        lane.in_flight.push_back(batch);
        if lane.is_idle() {
            self.active.remove(&slot);
        }
        Some((bytes, parcel))
    }

    /// Gives up what has waited for too long.
    fn expire(&mut self, now_ms: u64, plan: &mut Plan<T>) {
        let timeout = self.rules.delivery_timeout_ms;
        let mut idle = Vec::new();
        for slot in &self.active {
            let lane = self.lanes.get_mut(slot).expect("an active slot has a lane");
            let is_old = |batch: &Batch<T>| batch.born_ms + timeout <= now_ms;
            if lane.queue.is_empty() && lane.open.as_ref().is_some_and(is_old) {
                lane.close_open();
            }
            while let Some(batch) = lane.queue.pop_front_if(|batch| is_old(batch)) {
                // It may have been written: its number must not be given to another batch.
                let was_sent = batch.number.is_some();
                self.is_renewing |= was_sent && self.rules.is_idempotent;
                lane.is_broken |= was_sent && self.rules.is_idempotent;
                self.outstanding.remove(&batch.id);
                self.buffered_bytes -= batch.bytes;
                let result = Err(Failure::TimedOut);
                plan.finished.push(Finished { token: batch.token, result });
            }
            match lane.queue.front().or(lane.open.as_ref()) {
                Some(oldest) => wake_at(plan, oldest.born_ms + timeout),
                None => idle.push(*slot),
            }
        }
        for slot in idle {
            self.active.remove(&slot);
        }
    }

    /// The answer to a request: what became of its batches. Bodies come back for repetitions.
    pub(crate) fn complete(
        &mut self,
        now_ms: u64,
        request: u64,
        outcomes: Vec<(Slot, u64, Outcome, Bytes)>,
    ) -> Vec<Finished<T>> {
        let mut finished = Vec::new();
        if self.requests.remove(&request).is_none() {
            return finished;
        }
        for (slot, id, outcome, bytes) in outcomes {
            let lane = self.lanes.get_mut(&slot).expect("a batch in flight has a lane");
            let Some(at) = lane.in_flight.iter().position(|batch| batch.id == id) else {
                continue;
            };
            let is_first = at == 0 && lane.queue.front().is_none_or(|other| other.id > id);
            let mut batch = lane.in_flight.remove(at).expect("the position was just found");
            let verdict = judge(outcome, is_first, self.rules.is_idempotent);
            if verdict.refreshes {
                self.refresh.insert(slot.topic);
            }
            if verdict.renews {
                self.is_renewing = true;
                lane.is_broken = true;
            }
            match verdict.end {
                Some(result) => {
                    self.outstanding.remove(&batch.id);
                    self.buffered_bytes -= batch.bytes;
                    finished.push(Finished { token: batch.token, result });
                }
                None => {
                    let pause = self.rules.retry_ms << batch.attempts.min(10);
                    lane.retry_at_ms = now_ms + pause.min(self.rules.retry_ms_max);
                    batch.attempts += 1;
                    batch.body = Body::Built(bytes);
                    lane.is_held = true;
                    lane.requeue(batch);
                    self.active.insert(slot);
                }
            }
            lane.is_held &= !lane.in_flight.is_empty();
        }
        finished
    }
}

fn wake_at<T>(plan: &mut Plan<T>, at_ms: u64) {
    plan.wake_at_ms = Some(plan.wake_at_ms.map_or(at_ms, |other| other.min(at_ms)));
}

impl<T> Batch<T> {
    fn open(rules: &Rules, id: u64, born_ms: u64, token: T) -> Self {
        let builder = BatchBuilder::new(BatchOptions {
            compression: rules.compression,
            producer: ProducerIdentity::NONE,
            base_sequence: -1,
            transactional: false,
            capacity: rules.batch_bytes_first,
        });
        Self {
            id,
            body: Body::Builder(Box::new(builder)),
            bytes: BATCH_HEADER_BYTES,
            record_count: 0,
            born_ms,
            attempts: 0,
            number: None,
            token,
        }
    }

    /// Appends a record; tells how many bytes the buffer grew by.
    fn append(&mut self, parts: &Parts<'_>) -> usize {
        let Body::Builder(builder) = &mut self.body else {
            unreachable!("an open batch has not been built");
        };
        builder.append(parts.timestamp, parts.key, parts.value, parts.headers);
        // The header of a batch is counted with its first record.
        let before = if self.record_count == 0 { 0 } else { self.bytes };
        self.bytes = builder.bytes_len();
        self.record_count += 1;
        self.bytes - before
    }
}

struct Verdict {
    /// The batch has come to its end; otherwise it is sent again.
    end: Option<Result<i64, Failure>>,
    refreshes: bool,
    renews: bool,
}

fn judge(outcome: Outcome, is_first: bool, is_idempotent: bool) -> Verdict {
    let again = Verdict { end: None, refreshes: false, renews: false };
    let code = match outcome {
        Outcome::Written { base_offset } => {
            return Verdict { end: Some(Ok(base_offset)), ..again };
        }
        Outcome::Lost => return Verdict { refreshes: true, ..again },
        Outcome::Refused(code) => code,
    };
    match code {
        // It was written long ago; only where is no longer known.
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Verdict { end: Some(Ok(-1)), ..again },
        // An earlier batch did not arrive; it will be sent again, and then this one.
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER if is_idempotent && !is_first => again,
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER
        | ErrorCode::UNKNOWN_PRODUCER_ID
        | ErrorCode::INVALID_PRODUCER_EPOCH
            if is_idempotent =>
        {
            Verdict { renews: true, ..again }
        }
        code if code.is_retriable() && code != ErrorCode::CORRUPT_MESSAGE => {
            Verdict { refreshes: is_moved(code), ..again }
        }
        // The number of the failed batch leaves a gap that the broker would not accept.
        code => {
            let end = Some(Err(Failure::Refused(code)));
            Verdict { end, refreshes: false, renews: is_idempotent }
        }
    }
}

/// Whether the code says that the partition is led by somebody else now.
fn is_moved(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::KAFKA_STORAGE_ERROR
            | ErrorCode::REPLICA_NOT_AVAILABLE
    )
}

#[cfg(test)]
#[path = "machine_test.rs"]
mod tests;
