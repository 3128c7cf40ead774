//! A task: one stage over one partition, with its state, its time and its positions.

#[cfg(test)]
mod task_test;

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::record::Record;
use topology::expression::RecordFacts;
use topology::plan::{InputKind, Store};

use super::chain::{ChainState, Counters, Desk, NodeState};
use super::code::StageCode;
use super::flow::{Flow, Halt, Outlet};
use super::marker::Marker;
use super::parking::letter::Letter;
use super::parking::{Turn, bytes};
use super::watermark::{Input, Watermark};
use crate::limits::EXPIRE_ROUNDS;
use state::store::{Applied, ShelfError};
use state::value::NO_TIME;

/// How far a task has come on one of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The next offset to be read.
    pub(crate) next: i64,
    /// The next offset as of the last commit.
    pub(crate) committed: i64,
    /// Records from here on are left alone.
    pub(crate) limit: Option<i64>,
    /// When the last record came, in steady milliseconds.
    pub(crate) heard_ms: u64,
    /// The end of the partition when it was last fetched; unknown before.
    pub(crate) end: Option<i64>,
    /// The newest time in the last batch that was read; unknown before.
    pub(crate) time_ms: Option<i64>,
}

impl Position {
    /// Begins at an offset; silence counts once the task listens.
    pub(crate) fn at(offset: i64) -> Self {
        let (next, committed) = (offset, offset);
        Self { next, committed, limit: None, heard_ms: 0, end: None, time_ms: None }
    }

    /// Whether nothing is left to be read, as far as the last fetch told.
    pub(crate) fn is_caught_up(&self) -> bool {
        let end = self.end.map(|end| end.min(self.limit.unwrap_or(i64::MAX)));
        end.is_some_and(|end| self.next >= end)
    }
}

/// One stage over one partition.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) code: Arc<StageCode>,
    pub(crate) stage: usize,
    pub(crate) partition: i32,
    /// How many tasks the stage has.
    pub(crate) siblings: i32,
    pub(crate) state: ChainState,
    pub(crate) watermark: Watermark,
    /// The positions by input; `None` where the topic has no such partition.
    pub(crate) positions: Vec<Option<Position>>,
    /// What has happened since the last commit.
    pub(crate) counters: Vec<Counters>,
    /// What has happened up to the last commit.
    pub(crate) totals: Vec<Counters>,
    /// The watermark that the edges were last told of.
    told: (i64, bool),
    /// As of the last commit.
    committed: Committed,
    /// By node.
    expiries: Vec<Expiry>,
}

#[derive(Debug, Clone)]
struct Committed {
    watermark: Watermark,
    closed_ms: Vec<i64>,
    told: (i64, bool),
}

impl Task {
    /// A task without state, at these positions; `reporters` is the number of tasks that tell the
    /// time of each input.
    pub(crate) fn new(
        code: Arc<StageCode>,
        (stage, partition, siblings): (usize, i32, i32),
        positions: Vec<Option<Position>>,
        reporters: Vec<usize>,
    ) -> Self {
        let state = ChainState::new(&code.chain);
        let watermark = Watermark::new(reporters);
        let counters = vec![Counters::default(); code.chain.nodes.len()];
        let told = (NO_TIME, false);
        let committed =
            Committed { watermark: watermark.clone(), closed_ms: state.closed_ms.clone(), told };
        let totals = counters.clone();
        let expiries = vec![Expiry { began_ms: NO_TIME, is_under_way: false }; counters.len()];
        Self {
            code,
            stage,
            partition,
            siblings,
            state,
            watermark,
            positions,
            counters,
            totals,
            told,
            committed,
            expiries,
        }
    }

    /// After its state was restored.
    pub(crate) fn restored(&mut self) {
        let windows = self.code.stage.operators.iter().zip(&self.state.closed_ms);
        let closed = windows.filter(|(it, _)| it.kind.window().is_some()).map(|(_, time)| *time);
        if let Some(time_ms) = closed.min() {
            self.watermark.restore(time_ms);
        }
        self.committed.watermark = self.watermark.clone();
        self.committed.closed_ms = self.state.closed_ms.clone();
        self.close_again();
    }

    /// Begins to listen: silence counts from now on, and not from before its state was restored.
    pub(crate) fn listen(&mut self, now_ms: u64) {
        self.positions.iter_mut().flatten().for_each(|position| position.heard_ms = now_ms);
    }

    /// Runs one record of an input through the stage.
    pub(crate) fn take(
        &mut self,
        input: usize,
        record: &Record<'_>,
        outlet: &mut dyn Outlet,
        scratch: &mut Vec<Vec<u8>>,
    ) -> Result<(), Halt> {
        let code = Arc::clone(&self.code);
        let Some(reading) = code.stage.inputs.get(input) else {
            return Ok(());
        };
        let mut time_ms = record.timestamp;
        let mut out_of_order_ms = None;
        match &reading.kind {
            InputKind::Edge { .. } => {
                if let Some(marker) = Marker::of(record) {
                    self.take_marker(input, marker);
                    return self.close_passed(outlet, scratch);
                }
            }
            InputKind::Source(source) => {
                out_of_order_ms = Some(source.max_out_of_order_ms);
                if let Some(expression) = &source.event_time {
                    let facts = facts(record, &reading.topic, self.partition);
                    let flow = Flow { facts, headers: record.headers };
                    let mut desk = Desk { outlet, counters: &mut self.counters, scratch };
                    // The first task that would get it decides what becomes of it.
                    let first = reading.operators.first().copied().unwrap_or(0);
                    let (way, state) = ((source.name.as_str(), first), &mut self.state);
                    if code.chain.waits_outside(way, &flow, state, &mut desk)? {
                        return Ok(());
                    }
                    match super::chain::time_of(expression, &facts) {
                        Ok(found) => time_ms = found,
                        Err(reason) => {
                            return code.chain.reject(way, &flow, reason, state, &mut desk);
                        }
                    }
                }
            }
        }
        let mut facts = facts(record, &reading.topic, self.partition);
        facts.timestamp_ms = time_ms;
        let flow = Flow { facts, headers: record.headers };
        let mut desk = Desk { outlet, counters: &mut self.counters, scratch };
        for operator in &reading.operators {
            code.chain.run(*operator, flow, &mut self.state, &mut desk)?;
        }
        if let Some(late_ms) = out_of_order_ms {
            let late_ms = i64::try_from(late_ms).unwrap_or(i64::MAX);
            let from = Input { topic: input, producer: -1 };
            if self.watermark.advance(from, time_ms.saturating_sub(late_ms)) {
                return self.close_passed(outlet, scratch);
            }
        }
        Ok(())
    }

    /// Closes what time has passed, with each record and not with each batch: whether a record is
    /// late must follow from the log alone, or a second run would give other results.
    fn close_passed(
        &mut self,
        outlet: &mut dyn Outlet,
        scratch: &mut Vec<Vec<u8>>,
    ) -> Result<(), Halt> {
        if self.code.chain.has_windows() && self.watermark.update() {
            self.close(self.watermark.time_ms(), outlet, scratch)?;
        }
        Ok(())
    }

    /// Lets a letter of a key go on from where it waits, when it is its turn. Tells how many before
    /// it are gone from the topic.
    pub(crate) fn let_go(
        &mut self,
        letter: &Letter<'_>,
        outlet: &mut dyn Outlet,
        scratch: &mut Vec<Vec<u8>>,
    ) -> Result<u64, Halt> {
        let (Some((place, sequence)), Some(key)) = (letter.numbered, letter.key) else {
            return Ok(0);
        };
        let mut name = Vec::new();
        bytes::write_key(&mut name, place, key);
        let Turn::Now { lost } = self.state.parking.turn(&name, sequence) else {
            return Ok(0);
        };
        let code = Arc::clone(&self.code);
        let input = code.stage.inputs.iter().find_map(|input| match &input.kind {
            InputKind::Source(source) if Some(source.name.as_str()) == place.from => {
                Some((source.event_time.as_ref(), input.operators.as_slice()))
            }
            _ => None,
        });
        let way_in = input.unwrap_or_default();
        let mut desk = Desk { outlet, counters: &mut self.counters, scratch };
        let done = code.chain.resume(place, letter.flow(), way_in, &mut self.state, &mut desk)?;
        let at = (sequence, letter.at);
        match done {
            Ok(()) => self.state.parking.leave(&name, at),
            Err(reason) => self.state.parking.stay(&name, at, &reason),
        }
        Ok(lost)
    }

    /// Takes over what an upstream task says of its time.
    pub(crate) fn take_marker(&mut self, input: usize, marker: Marker) {
        self.watermark.expect(input, usize::try_from(marker.tasks).unwrap_or(0));
        let from = Input { topic: input, producer: marker.task };
        self.watermark.advance(from, marker.time_ms);
        if marker.is_idle {
            self.watermark.set_idle(from);
        }
    }

    /// Takes a time as certain in every source that it reads, though no record has come.
    pub(crate) fn pass_time(&mut self, time_ms: i64) {
        for (index, input) in self.code.stage.inputs.iter().enumerate() {
            let is_read = self.positions.get(index).is_some_and(Option::is_some);
            if is_read && matches!(input.kind, InputKind::Source(_)) {
                self.watermark.advance(Input { topic: index, producer: -1 }, time_ms);
            }
        }
    }

    /// Leaves inputs out that are caught up and silent, works time out anew and closes what it
    /// has passed.
    pub(crate) fn advance_time(
        &mut self,
        now_ms: u64,
        outlet: &mut dyn Outlet,
        scratch: &mut Vec<Vec<u8>>,
    ) -> Result<(), Halt> {
        for (index, input) in self.code.stage.inputs.iter().enumerate() {
            let InputKind::Source(source) = &input.kind else {
                continue;
            };
            let is_idle = match self.positions.get(index).copied().flatten() {
                Some(position) => {
                    position.is_caught_up()
                        && now_ms.saturating_sub(position.heard_ms) >= source.idle_ms
                }
                None => true,
            };
            if is_idle {
                self.watermark.set_idle(Input { topic: index, producer: -1 });
            }
        }
        if self.watermark.update() {
            self.close(self.watermark.time_ms(), outlet, scratch)?;
        }
        Ok(())
    }

    /// Whether time alone changes nothing any more: nothing depends on it, or every source that
    /// is read is silent and was left out already.
    pub(crate) fn is_at_rest(&self) -> bool {
        if !self.code.needs_time() && self.code.edges.is_empty() {
            return true;
        }
        let inputs = self.code.stage.inputs.iter().enumerate();
        let mut sources = inputs.filter(|(_, input)| matches!(input.kind, InputKind::Source(_)));
        sources.all(|(topic, _)| self.watermark.is_left_out(Input { topic, producer: -1 }))
    }

    /// Closes every window that ends by a time.
    pub(crate) fn close(
        &mut self,
        time_ms: i64,
        outlet: &mut dyn Outlet,
        scratch: &mut Vec<Vec<u8>>,
    ) -> Result<(), Halt> {
        let code = Arc::clone(&self.code);
        let mut desk = Desk { outlet, counters: &mut self.counters, scratch };
        code.chain.close(time_ms, self.partition, &mut self.state, &mut desk)
    }

    /// Whether windows that time has passed are still open, because the outlet was full.
    pub(crate) fn is_closing(&self) -> bool {
        self.state.closing_ms.is_some()
    }

    /// Goes on with those.
    pub(crate) fn go_on_closing(
        &mut self,
        outlet: &mut dyn Outlet,
        scratch: &mut Vec<Vec<u8>>,
    ) -> Result<(), Halt> {
        match self.state.closing_ms {
            Some(time_ms) => self.close(time_ms, outlet, scratch),
            None => Ok(()),
        }
    }

    /// Windows that were to close by the last commit may still be open.
    fn close_again(&mut self) {
        let windows = self.code.chain.nodes.iter().zip(&self.state.closed_ms);
        let closed = windows.filter(|(node, _)| node.kind.window().is_some());
        let closed_ms = closed.map(|(_, closed_ms)| *closed_ms).max();
        self.state.closing_ms = closed_ms.filter(|closed_ms| *closed_ms != NO_TIME);
    }

    /// What the edges have to be told of this task's time, if it is news.
    pub(crate) fn marker(&mut self) -> Option<Marker> {
        if !self.has_news() {
            return None;
        }
        let now = (self.watermark.time_ms(), self.watermark.is_idle());
        self.told = now;
        Some(Marker { task: self.partition, tasks: self.siblings, time_ms: now.0, is_idle: now.1 })
    }

    /// Tells the edges of this task's time once more: whoever reads them has begun anew.
    pub(crate) fn tell_again(&mut self) {
        self.told = (NO_TIME, false);
        self.committed.told = self.told;
    }

    /// Whether the edges have to be told something.
    pub(crate) fn has_news(&self) -> bool {
        let now = (self.watermark.time_ms(), self.watermark.is_idle());
        // Results of windows that are still to close would be late behind that time.
        !self.code.edges.is_empty() && !self.is_closing() && now != self.told
    }

    /// Whether a task's windows have been closed up to another time since the last commit.
    pub(crate) fn time_has_moved(&self, at: usize) -> bool {
        self.state.closed_ms.get(at) != self.committed.closed_ms.get(at)
    }

    /// Whether the position of an input has moved since the last commit, or what was read of the
    /// orders about parked keys.
    pub(crate) fn has_moved(&self) -> bool {
        let orders = &self.state.parking.orders;
        self.positions.iter().flatten().any(|position| position.next != position.committed)
            || orders.next != orders.committed
    }

    /// The transaction is committed; `applied` says of each node how much of its changelog is in
    /// its state now, where that is known.
    pub(crate) fn settle(&mut self, applied: impl Fn(usize) -> Option<Applied>) {
        for (at, node) in self.state.nodes.iter_mut().enumerate() {
            node.settle(applied(at));
        }
        self.state.parking.settle();
        for position in self.positions.iter_mut().flatten() {
            position.committed = position.next;
        }
        for (total, counters) in self.totals.iter_mut().zip(&mut self.counters) {
            total.records_in += counters.records_in;
            total.records_out += counters.records_out;
            total.late += counters.late;
            total.skipped += counters.skipped;
            total.parked += counters.parked;
            *counters = Counters::default();
        }
        self.committed.watermark = self.watermark.clone();
        self.committed.closed_ms.clone_from(&self.state.closed_ms);
        self.committed.told = self.told;
    }

    /// The transaction is aborted: everything is as it was at the last commit.
    pub(crate) fn roll_back(&mut self) {
        for node in &mut self.state.nodes {
            node.roll_back();
        }
        self.state.parking.roll_back();
        self.state.closed_ms.clone_from(&self.committed.closed_ms);
        self.watermark = self.committed.watermark.clone();
        self.told = self.committed.told;
        self.close_again();
        for position in self.positions.iter_mut().flatten() {
            position.next = position.committed;
        }
        self.counters.fill(Counters::default());
    }

    /// The time up to which a node has closed its windows, as of the last commit.
    pub(crate) fn committed_closed_ms(&self, node: usize) -> i64 {
        self.committed.closed_ms.get(node).copied().unwrap_or(NO_TIME)
    }

    /// The nodes with state, each with its store.
    pub(crate) fn stores(&self) -> impl Iterator<Item = (usize, &Store)> {
        let stage = &self.code.stage;
        stage
            .operators
            .iter()
            .enumerate()
            .filter_map(|(node, operator)| Some((node, stage.stores.get(operator.store?)?)))
    }

    /// The nodes with state, each with its changelog.
    pub(crate) fn changelogs(&self) -> impl Iterator<Item = (usize, &str)> {
        self.stores().map(|(node, store)| (node, store.changelog.as_str()))
    }

    /// Leaves a node without state, before anything was run.
    pub(crate) fn forget(&mut self, node: usize) {
        let mut fresh = ChainState::new(&self.code.chain);
        if let Some(state) = self.state.nodes.get_mut(node) {
            *state = fresh.nodes.swap_remove(node);
            self.state.closed_ms[node] = NO_TIME;
        }
    }

    /// Windows that are open, each with its keys counted.
    pub(crate) fn open_windows(&self) -> usize {
        self.state.nodes.iter().map(NodeState::open_windows).sum()
    }

    /// What its changelogs will get for what has changed since the last commit, roughly, in bytes.
    pub(crate) fn change_bytes(&self) -> usize {
        self.state.change_bytes()
    }

    /// Memory of its state and of its parked keys, roughly, in bytes.
    pub(crate) fn state_bytes(&self) -> usize {
        let nodes: usize = self.state.nodes.iter().map(NodeState::bytes).sum();
        nodes + self.state.parking.bytes()
    }

    /// Why its state is not to be trusted any more.
    pub(crate) fn state_failure(&self) -> Option<ShelfError> {
        self.state.nodes.iter().find_map(NodeState::failure)
    }

    /// Writes what of its state is newer than the disk, where it lies there; between transactions.
    pub(crate) fn write_state(&mut self) {
        self.state.nodes.iter_mut().for_each(NodeState::write);
    }

    /// Forgets keys that had no record for longer than their task says; a part of them at a time,
    /// within the transaction.
    pub(crate) fn expire(&mut self) {
        let now_ms = self.watermark.time_ms();
        if now_ms == NO_TIME {
            return;
        }
        let nodes = self.code.chain.nodes.iter().zip(&mut self.state.nodes);
        for ((node, state), expiry) in nodes.zip(&mut self.expiries) {
            if let Some(ttl_ms) = node.ttl_ms
                && expiry.is_due(now_ms, ttl_ms)
            {
                expiry.is_under_way = !state.expire(now_ms, ttl_ms);
            }
        }
    }
}

/// How far a task has come in forgetting keys.
#[derive(Debug, Clone, Copy)]
struct Expiry {
    /// The event time at which the last round through all keys began.
    began_ms: i64,
    is_under_way: bool,
}

impl Expiry {
    /// Whether keys are to be looked at: a round is under way, or the next is due and begins.
    fn is_due(&mut self, now_ms: i64, ttl_ms: i64) -> bool {
        let every_ms = (ttl_ms / EXPIRE_ROUNDS).max(1);
        if !self.is_under_way && now_ms.saturating_sub(self.began_ms) < every_ms {
            return false;
        }
        if !self.is_under_way {
            self.began_ms = now_ms;
        }
        true
    }
}

fn facts<'a>(record: &'a Record<'a>, topic: &'a str, partition: i32) -> RecordFacts<'a> {
    RecordFacts {
        key: record.key,
        value: record.value,
        timestamp_ms: record.timestamp,
        topic,
        partition,
        offset: record.offset,
        headers: &record.headers,
    }
}

/// Inputs of a task by topic, for finding the task of a fetched partition.
pub(crate) type Routes = BTreeMap<(String, i32), (usize, usize)>;
