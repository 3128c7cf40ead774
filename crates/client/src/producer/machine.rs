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

mod facts;
mod lane;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use protocol::partitioner::partition_for_key;
use protocol::record::{ProducerIdentity, record_bytes_max, sequence_add};

use lane::{Batch, Lane};
use verdict::{Verdict, judge};

pub(crate) use facts::{
    Appended, Body, Failure, Finished, Outcome, Parcel, Parts, Plan, Rules, Shipment, Slot, Whole,
};

/// The machine; `T` is told to nobody, it only comes back with its batch.
#[derive(Debug)]
pub(crate) struct Machine<T> {
    rules: Rules,
    topics: Vec<Topic<T>>,
    by_name: BTreeMap<Arc<str>, usize>,
    active: BTreeSet<Slot>,
    unregistered: BTreeSet<Slot>,
    registered: BTreeSet<Slot>,
    served: Option<Slot>,
    outstanding: BTreeSet<u64>,
    requests: BTreeMap<u64, Request>,
    buffered_bytes: usize,
    next_id: u64,
    next_request: u64,
    identity: Option<ProducerIdentity>,
    is_renewing: bool,
    has_gap: bool,
    refresh: BTreeSet<usize>,
}

/// A request that has been planned and has not come back.
#[derive(Debug, Clone, Copy)]
struct Request {
    node: i32,
    /// The connection that carries it, once it has been handed over.
    connection: Option<u64>,
}

#[derive(Debug)]
struct Topic<T> {
    name: Arc<str>,
    leaders: Vec<i32>,
    lanes: Vec<Lane<T>>,
    sticky: usize,
}

impl<T> Machine<T> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            topics: Vec::new(),
            by_name: BTreeMap::new(),
            active: BTreeSet::new(),
            unregistered: BTreeSet::new(),
            registered: BTreeSet::new(),
            served: None,
            outstanding: BTreeSet::new(),
            requests: BTreeMap::new(),
            buffered_bytes: 0,
            next_id: 0,
            next_request: 0,
            identity: None,
            is_renewing: false,
            has_gap: false,
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
            let (leaders, lanes) = (Vec::new(), Vec::new());
            self.topics.push(Topic { name: Arc::clone(name), leaders, lanes, sticky });
            self.by_name.insert(Arc::clone(name), at);
        }
        // Partitions never go away while a topic lives; a shorter answer is an old one.
        let topic = &mut self.topics[at];
        if leaders.len() >= topic.leaders.len() {
            topic.lanes.resize_with(leaders.len(), Lane::default);
            topic.leaders = leaders;
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

    /// Appends a record; `opening` gives the time in milliseconds and a token for a new batch, out
    /// of its topic's name.
    pub(crate) fn append(
        &mut self,
        slot: Slot,
        parts: &Parts<'_>,
        opening: impl FnOnce(&Arc<str>) -> (u64, T),
    ) -> Appended<'_, T> {
        if self.buffered_bytes >= self.rules.buffer_bytes_max {
            return Appended::Full;
        }
        let topic = &mut self.topics[slot.topic];
        let lane = &mut topic.lanes[slot.partition];
        let mut wakes = false;
        let size = record_bytes_max(parts.key, parts.value, parts.headers);
        let is_full = |open: &Batch<T>| open.bytes + size > self.rules.batch_bytes_max;
        if lane.open.as_ref().is_some_and(is_full) {
            lane.close_open();
            wakes = true;
            if parts.key.is_none() {
                // Move on to another partition: small steps in a fixed order spread evenly.
                topic.sticky += 1;
            }
        }
        if lane.open.is_none() {
            let (born_ms, token) = opening(&topic.name);
            let hint = lane.last_bytes;
            lane.open = Some(Batch::open(&self.rules, self.next_id, hint, (born_ms, token)));
            if !lane.is_registered {
                self.unregistered.insert(slot);
            }
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

    /// Queues a whole batch of somebody else; it gets our identity and sequence when it is sent.
    pub(crate) fn append_whole(&mut self, slot: Slot, whole: &Whole, token: T) -> bool {
        if self.buffered_bytes >= self.rules.buffer_bytes_max {
            return false;
        }
        let lane = &mut self.topics[slot.topic].lanes[slot.partition];
        lane.close_open();
        if !lane.is_registered {
            self.unregistered.insert(slot);
        }
        lane.queue.push_back(Batch {
            id: self.next_id,
            body: Body::Renumber(whole.bytes.clone()),
            bytes: whole.bytes.len(),
            record_count: whole.record_count,
            born_ms: whole.born_ms,
            attempts: 0,
            number: None,
            token,
        });
        self.buffered_bytes += whole.bytes.len();
        self.outstanding.insert(self.next_id);
        self.next_id += 1;
        self.active.insert(slot);
        true
    }

    /// A partition will get batches in this transaction: its coordinator may know already.
    pub(crate) fn announce(&mut self, slot: Slot) {
        if !self.topics[slot.topic].lanes[slot.partition].is_registered {
            self.unregistered.insert(slot);
        }
    }

    /// Partitions with batches that the transaction coordinator does not know of yet.
    pub(crate) fn unregistered(&self) -> &BTreeSet<Slot> {
        &self.unregistered
    }

    /// The coordinator knows of these partitions now.
    pub(crate) fn set_registered(&mut self, slots: &BTreeSet<Slot>) {
        for slot in slots {
            self.topics[slot.topic].lanes[slot.partition].is_registered = true;
            self.unregistered.remove(slot);
            self.registered.insert(*slot);
        }
    }

    /// A transaction has ended: the coordinator has forgotten its partitions.
    pub(crate) fn forget_registered(&mut self) {
        for slot in std::mem::take(&mut self.registered) {
            self.topics[slot.topic].lanes[slot.partition].is_registered = false;
        }
        self.unregistered.clear();
    }

    /// Whether a batch is closed and waits to be sent.
    pub(crate) fn has_closed(&self) -> bool {
        let is_queued =
            |slot: &Slot| !self.topics[slot.topic].lanes[slot.partition].queue.is_empty();
        self.active.iter().any(is_queued)
    }

    /// Whether a batch that had a sequence came to nothing since the last call, so that the
    /// sequences of its partition have a gap.
    pub(crate) fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.has_gap)
    }

    /// Whether requests are on their way.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Whether nothing is held that has not come to its end.
    pub(crate) fn is_empty(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Bytes that are held: open, queued or in flight.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// Closes all open batches; what was appended until now is delivered when `is_flushed` says
    /// so for the number returned.
    pub(crate) fn flush(&mut self) -> u64 {
        for slot in &self.active {
            self.topics[slot.topic].lanes[slot.partition].close_open();
        }
        self.next_id
    }

    pub(crate) fn is_flushed(&self, until: u64) -> bool {
        self.outstanding.first().is_none_or(|oldest| *oldest >= until)
    }

    /// The offset behind the last batch of a partition that the broker has written; `None` while
    /// it has told of none.
    pub(crate) fn written_end(&self, slot: Slot) -> Option<i64> {
        let lane = self.topics.get(slot.topic)?.lanes.get(slot.partition)?;
        Some(lane.written_end).filter(|end| *end > 0)
    }

    /// Everything starts again under this identity.
    pub(crate) fn set_identity(&mut self, identity: ProducerIdentity) {
        self.identity = Some(identity);
        self.is_renewing = false;
        self.has_gap = false;
        for lane in self.topics.iter_mut().flat_map(|topic| &mut topic.lanes) {
            lane.next_sequence = 0;
            lane.is_broken = false;
            lane.is_established = false;
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
            let lane = &mut self.topics[slot.topic].lanes[slot.partition];
            lane.close_open();
            for batch in lane.queue.drain(..) {
                self.has_gap |= batch.number.is_some();
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
        let is_ours = self.rules.is_idempotent && !self.rules.is_transactional;
        if !is_ours || self.active.is_empty() {
            return false;
        }
        if self.identity.is_none() {
            return true;
        }
        let is_settled = |slot: &Slot| {
            let lane = &self.topics[slot.topic].lanes[slot.partition];
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
                plan.wake_at(now_ms + self.rules.retry_ms);
                continue;
            };
            let used = self.requests.values().filter(|other| other.node == node).count();
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
                self.requests.insert(request, Request { node, connection: None });
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
        let lane = &mut self.topics[slot.topic].lanes[slot.partition];
        let serial = !self.rules.is_idempotent && !lane.in_flight.is_empty();
        let is_unknown = self.rules.is_transactional && !lane.is_registered;
        if lane.is_held || lane.is_broken || serial || is_unknown {
            return None;
        }
        if lane.retry_at_ms > now_ms {
            plan.wake_at(lane.retry_at_ms);
            return None;
        }
        if let Some(open) = &lane.open
            && lane.queue.is_empty()
        {
            let due_ms = open.born_ms.saturating_add(self.rules.linger_ms);
            if due_ms > now_ms {
                plan.wake_at(due_ms);
                return None;
            }
            lane.close_open();
        }
        let is_new = lane.queue.front()?.number.is_none();
        // A leader that knows nothing of a producer takes any first sequence. So the first batch
        // goes alone, or a later one might be taken while the first was refused; and what is sent
        // again goes alone, for nobody knows what the leader has.
        let is_alone = !is_new || (self.rules.is_idempotent && !lane.is_established);
        if (self.is_renewing && is_new) || (is_alone && !lane.in_flight.is_empty()) {
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
            let lane = &mut self.topics[slot.topic].lanes[slot.partition];
            let is_old = |batch: &Batch<T>| batch.born_ms + timeout <= now_ms;
            if lane.queue.is_empty() && lane.open.as_ref().is_some_and(is_old) {
                lane.close_open();
            }
            while let Some(batch) = lane.queue.pop_front_if(|batch| is_old(batch)) {
                // It may have been written: its number must not be given to another batch.
                let was_sent = batch.number.is_some();
                self.has_gap |= was_sent;
                self.is_renewing |= was_sent && self.rules.is_idempotent;
                lane.is_broken |= was_sent && self.rules.is_idempotent;
                self.outstanding.remove(&batch.id);
                self.buffered_bytes -= batch.bytes;
                let result = Err(Failure::TimedOut);
                plan.finished.push(Finished { token: batch.token, result });
            }
            match lane.queue.front().or(lane.open.as_ref()) {
                Some(oldest) => plan.wake_at(oldest.born_ms + timeout),
                None => idle.push(*slot),
            }
        }
        for slot in idle {
            self.active.remove(&slot);
        }
    }

    /// Whether a request may go over this connection, asked right before it does. If not, its
    /// batches must be given back as lost: one connection keeps requests in order, two do not,
    /// and behind a batch that has come back nothing may be sent.
    pub(crate) fn may_send(&mut self, shipment: &Shipment, connection: u64) -> bool {
        let is_held =
            |parcel: &Parcel| self.topics[parcel.slot.topic].lanes[parcel.slot.partition].is_held;
        let is_elsewhere = |other: &Request| {
            other.node == shipment.node && other.connection.is_some_and(|it| it != connection)
        };
        if shipment.parcels.iter().any(is_held) || self.requests.values().any(is_elsewhere) {
            return false;
        }
        let connection = Some(connection);
        let request = Request { node: shipment.node, connection };
        self.requests.insert(shipment.request, request).is_some()
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
            let lane = &mut self.topics[slot.topic].lanes[slot.partition];
            let Some(at) = lane.in_flight.iter().position(|batch| batch.id == id) else {
                continue;
            };
            let is_first = at == 0 && lane.queue.front().is_none_or(|other| other.id > id);
            let mut batch = lane.in_flight.remove(at).expect("the position was just found");
            let mut verdict = judge(outcome, is_first, self.rules.is_idempotent);
            if let (Outcome::Refused(code), true) = (outcome, self.rules.is_transactional)
                && verdict.renews
            {
                // A transaction does not outlive its identity; its owner aborts it.
                verdict = Verdict {
                    end: Some(Err(Failure::Refused(code))),
                    refreshes: false,
                    renews: false,
                };
            }
            if verdict.refreshes {
                self.refresh.insert(slot.topic);
            }
            if verdict.renews {
                self.is_renewing = true;
                lane.is_broken = true;
            }
            match verdict.end {
                Some(result) => {
                    lane.is_established |= result.is_ok();
                    // A broker that recognises an old batch may not tell its offset: -1.
                    if let Ok(base_offset @ 0..) = result {
                        let end = base_offset + i64::from(batch.record_count);
                        lane.written_end = lane.written_end.max(end);
                    }
                    self.has_gap |= result.is_err();
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

#[cfg(test)]
mod machine_test;
