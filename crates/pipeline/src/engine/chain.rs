//! The tasks of one stage, fused: a record runs through all of them by plain calls.
//!
//! A [`Chain`] is the code and never changes; [`ChainState`] is what the stateful tasks remember
//! for one partition; [`Desk`] is what a run needs at hand. A task that makes a new value writes
//! it into a scratch buffer and passes it on borrowed, so that a record costs no allocation.

mod failing;

use base::cast;
use protocol::record::{HeaderRef, Headers};
use topology::expression::{Expression, NoHeaders, RecordFacts, rebuild};
use topology::json::{self, Number, Path};
use topology::spec::{Emit, Form, OnError, TaskKind, Window};

use super::flow::{Flow, Halt, Out, Outlet, shown};
use super::parking::Parking;
use super::render;
use super::tap::Placed;
use super::window::{Windows, ends_of};
use state::store::{Layout, StateStore as _, Store, split_key};
use state::value::NO_TIME;
use state::value::{Aged, Mean};

/// Where a task's records go.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// To another task of the stage.
    Node(usize),
    /// To a topic.
    Output(usize),
    /// To a topic under a new key.
    Rekeyed(Box<Rekeyed>),
}

/// A topic that is written under a new key; a record whose key cannot be made fails as the task
/// that reads it says, and in its name.
#[derive(Debug, Clone)]
pub(crate) struct Rekeyed {
    pub(crate) output: usize,
    pub(crate) key: Expression,
    pub(crate) on_error: OnError,
    pub(crate) reader: String,
}

/// One task of a stage.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) kind: TaskKind,
    /// The time of a record, where it is not the record's own.
    pub(crate) event_time: Option<Expression>,
    pub(crate) on_error: OnError,
    /// How long it remembers a key after its last record, in milliseconds of event time.
    pub(crate) ttl_ms: Option<i64>,
    pub(crate) to: Vec<Target>,
}

/// The tasks of a stage; a task comes after all those that lead into it.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) pipeline: String,
    pub(crate) nodes: Vec<Node>,
    /// The form of the file: what the values of results are.
    pub(crate) form: Form,
    /// The output for records that fail, when any task parks them.
    pub(crate) dead_letter: Option<usize>,
    /// Whether later records of a key wait behind one that was parked.
    pub(crate) is_sequenced: bool,
}

/// What a stateful task remembers.
#[derive(Debug)]
pub(crate) enum NodeState {
    None,
    Count(Store<u64>),
    AgedCount(Store<Aged>),
    WindowCount(Windows<u64>),
    Average(Windows<Mean>),
}

/// What the tasks of a stage remember for one partition.
#[derive(Debug)]
pub(crate) struct ChainState {
    pub(crate) nodes: Vec<NodeState>,
    /// The time up to which each task has closed its windows.
    pub(crate) closed_ms: Vec<i64>,
    /// The time up to which windows are to close, while some of them may still be open.
    pub(crate) closing_ms: Option<i64>,
    /// The keys that are parked.
    pub(crate) parking: Parking,
    /// Who looks at what passes between the tasks; mostly nobody.
    pub(crate) taps: Vec<Placed>,
}

impl ChainState {
    /// Nothing remembered.
    pub(crate) fn new(chain: &Chain) -> Self {
        let state = |node: &Node| match node.kind {
            TaskKind::Count { window: None } if node.ttl_ms.is_some() => {
                NodeState::AgedCount(Store::memory(Layout::Keyed))
            }
            TaskKind::Count { window: None } => NodeState::Count(Store::memory(Layout::Keyed)),
            TaskKind::Count { window: Some(_) } => NodeState::WindowCount(Windows::default()),
            TaskKind::Average { .. } => NodeState::Average(Windows::default()),
            TaskKind::Forward
            | TaskKind::Sum { .. }
            | TaskKind::Filter { .. }
            | TaskKind::Map { .. } => NodeState::None,
        };
        let nodes: Vec<_> = chain.nodes.iter().map(state).collect();
        let closed_ms = vec![NO_TIME; nodes.len()];
        Self { nodes, closed_ms, closing_ms: None, parking: Parking::default(), taps: Vec::new() }
    }

    /// Bytes that the changes of the transaction take in the changelogs, roughly.
    pub(crate) fn change_bytes(&self) -> usize {
        let nodes: usize = self.nodes.iter().map(NodeState::change_bytes).sum();
        nodes + self.parking.change_bytes()
    }
}

/// What has happened at a task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) records_in: u64,
    pub(crate) records_out: u64,
    pub(crate) late: u64,
    pub(crate) skipped: u64,
    pub(crate) parked: u64,
}

/// What a run through a chain needs at hand.
pub(crate) struct Desk<'d> {
    pub(crate) outlet: &'d mut dyn Outlet,
    pub(crate) counters: &'d mut [Counters],
    pub(crate) scratch: &'d mut Vec<Vec<u8>>,
}

/// A failure before it is known what becomes of it.
pub(crate) type Reason = String;

impl Chain {
    /// Runs a record through a task and all that follow it.
    pub(crate) fn run(
        &self,
        at: usize,
        flow: Flow<'_>,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        desk.counters[at].records_in += 1;
        let spot = self.spot(at);
        if state.parking.holds(spot.place, flow.facts.key) {
            return self.wait_behind(spot, &flow, state, desk);
        }
        let mut scratch = desk.scratch.pop().unwrap_or_default();
        scratch.clear();
        let done = self.work(at, flow, &mut scratch, state, desk);
        desk.scratch.push(scratch);
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => self.failed(spot, &flow, reason, state, desk),
            Err(halt) => Err(halt),
        }
    }

    fn work(
        &self,
        at: usize,
        flow: Flow<'_>,
        scratch: &mut Vec<u8>,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<Result<(), Reason>, Halt> {
        let node = &self.nodes[at];
        let mut flow = flow;
        if let Some(event_time) = &node.event_time {
            match time_of(event_time, &flow.facts) {
                Ok(time_ms) => flow.facts.timestamp_ms = time_ms,
                Err(reason) => return Ok(Err(reason)),
            }
        }
        let changed = match &node.kind {
            TaskKind::Forward => Ok(Pass::Same),
            TaskKind::Sum { field, add } => sum(field.as_ref(), *add, &flow, scratch),
            TaskKind::Filter { condition } => match condition.holds(&flow.facts) {
                Ok(true) => Ok(Pass::Same),
                Ok(false) => Ok(Pass::Dropped),
                Err(error) => Err(error.to_string()),
            },
            TaskKind::Map { set, unset } => map(set, unset, &flow, scratch),
            TaskKind::Count { window: None } => self.count(at, &flow, scratch, state),
            TaskKind::Count { window: Some(window) } => {
                return self.window(at, (window, None), flow, state, desk);
            }
            TaskKind::Average { value, window } => {
                let number = match number_of(value.as_ref(), &flow) {
                    Ok(number) => number,
                    Err(reason) => return Ok(Err(reason)),
                };
                return self.window(at, (window, Some(number)), flow, state, desk);
            }
        };
        match changed {
            Err(reason) => return Ok(Err(reason)),
            Ok(Pass::Dropped) => return Ok(Ok(())),
            Ok(Pass::Same) => {}
            Ok(Pass::Changed) => flow.facts.value = Some(scratch),
        }
        self.pass_on(at, flow, state, desk)
    }

    /// Hands a record to everything that follows a task.
    fn pass_on(
        &self,
        at: usize,
        flow: Flow<'_>,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<Result<(), Reason>, Halt> {
        let Some(node) = self.nodes.get(at) else {
            return Ok(Ok(()));
        };
        for target in &node.to {
            desk.counters[at].records_out += 1;
            match target {
                Target::Node(next) => {
                    state.taps.iter().for_each(|tap| tap.pass(at, *next, &flow));
                    self.run(*next, flow, state, desk)?;
                }
                Target::Output(output) => emit(*output, &flow, flow.facts.key, desk)?,
                Target::Rekeyed(rekeyed) => self.emit_rekeyed(at, rekeyed, &flow, state, desk)?,
            }
        }
        Ok(Ok(()))
    }

    /// Sends a record into a topic under a new key.
    fn emit_rekeyed(
        &self,
        at: usize,
        to: &Rekeyed,
        flow: &Flow<'_>,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        let spot = self.way_out(at, to);
        // The new key of a record that has none is not known, so its old one keeps the order.
        if state.parking.holds(spot.place, flow.facts.key) {
            return self.wait_behind(spot, flow, state, desk);
        }
        match self.rekey(to, flow, desk)? {
            Ok(()) => Ok(()),
            Err(reason) => self.failed(spot, flow, reason, state, desk),
        }
    }

    /// The same, if the new key can be made.
    fn rekey(
        &self,
        to: &Rekeyed,
        flow: &Flow<'_>,
        desk: &mut Desk<'_>,
    ) -> Result<Result<(), Reason>, Halt> {
        let mut key = desk.scratch.pop().unwrap_or_default();
        key.clear();
        let made = match to.key.evaluate(&flow.facts) {
            Ok(value) if value.write_key(&mut key) => Ok(()),
            Ok(_) => Err(format!("the key `{}` is null", to.key.text())),
            Err(error) => Err(error.to_string()),
        };
        let done = match made {
            Ok(()) => emit(to.output, flow, Some(&key), desk).map(Ok),
            Err(reason) => Ok(Err(reason)),
        };
        desk.scratch.push(key);
        done
    }

    fn count(
        &self,
        at: usize,
        flow: &Flow<'_>,
        scratch: &mut Vec<u8>,
        state: &mut ChainState,
    ) -> Result<Pass, Reason> {
        let key = key_of(flow)?;
        let count = match (state.nodes.get_mut(at), self.nodes[at].ttl_ms) {
            (Some(NodeState::Count(store)), None) => {
                let count = store.change(key).value;
                *count += 1;
                *count
            }
            (Some(NodeState::AgedCount(store)), Some(ttl_ms)) => {
                store.change(key).value.add(flow.facts.timestamp_ms, ttl_ms)
            }
            _ => return Err("the task has no state".to_owned()),
        };
        render::count(scratch, self.form, count);
        Ok(Pass::Changed)
    }

    /// Takes a record into its windows; with `emit: update` each gives its result at once.
    fn window(
        &self,
        at: usize,
        (window, number): (&Window, Option<f64>),
        flow: Flow<'_>,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<Result<(), Reason>, Halt> {
        let key = match key_of(&flow) {
            Ok(key) => key,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut scratch = desk.scratch.pop().unwrap_or_default();
        let mut has_place = false;
        let mut done = Ok(Ok(()));
        for end_ms in ends_of(window, flow.facts.timestamp_ms) {
            if is_closed(window, end_ms, state.closed_ms[at]) {
                continue;
            }
            has_place = true;
            let span = Span { end_ms, size_ms: window.size_ms };
            scratch.clear();
            match (state.nodes.get_mut(at), number) {
                (Some(NodeState::WindowCount(windows)), _) => {
                    let count = windows.change(end_ms, key);
                    *count += 1;
                    let count = *count;
                    if window.emit == Emit::Update {
                        let bounds = windows.bounds(span);
                        render::window_count(&mut scratch, self.form, count, bounds);
                    }
                }
                (Some(NodeState::Average(windows)), Some(number)) => {
                    let mean = windows.change(end_ms, key);
                    mean.add(number);
                    let mean = *mean;
                    if window.emit == Emit::Update {
                        let bounds = windows.bounds(span);
                        render::average(&mut scratch, self.form, &mean, bounds);
                    }
                }
                _ => {
                    done = Ok(Err("the task has no state".to_owned()));
                    break;
                }
            }
            if window.emit == Emit::Update {
                let mut result = flow;
                result.facts.value = Some(&scratch);
                result.facts.timestamp_ms = end_ms - 1;
                done = self.pass_on(at, result, state, desk);
                if !matches!(done, Ok(Ok(()))) {
                    break;
                }
            }
        }
        if !has_place {
            desk.counters[at].late += 1;
        }
        desk.scratch.push(scratch);
        done
    }

    /// Whether it closes windows as time passes.
    pub(crate) fn has_windows(&self) -> bool {
        self.nodes.iter().any(|node| node.kind.window().is_some())
    }

    /// Closes every window that the time has passed, task by task, so that what a task gives
    /// still finds the windows of the next one open.
    ///
    /// Where the outlet fills it leaves the rest open: `closing_ms` tells, and no record may be
    /// taken before the same call has closed that too. What is late does not depend on it.
    pub(crate) fn close(
        &self,
        time_ms: i64,
        partition: i32,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        state.closing_ms = Some(time_ms);
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(window) = node.kind.window().copied() else {
                continue;
            };
            state.closed_ms[at] = state.closed_ms[at].max(time_ms);
            let grace_ms = i64::try_from(window.grace_ms).unwrap_or(i64::MAX);
            let until_ms = time_ms.saturating_sub(grace_ms);
            loop {
                if desk.outlet.is_full(state.change_bytes()) {
                    return Ok(());
                }
                let Some((end_ms, slots)) = take_due(state, at, until_ms) else { break };
                for slot in slots {
                    let closing = Closing { window, end_ms, slot, partition };
                    self.close_slot(at, closing, state, desk)?;
                }
            }
        }
        state.closing_ms = None;
        Ok(())
    }

    fn close_slot(
        &self,
        at: usize,
        closing: Closing,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        let Closing { window, end_ms, slot, partition } = closing;
        let mut key = desk.scratch.pop().unwrap_or_default();
        let mut value = desk.scratch.pop().unwrap_or_default();
        key.clear();
        value.clear();
        let span = Span { end_ms, size_ms: window.size_ms };
        let found = match state.nodes.get_mut(at) {
            Some(NodeState::WindowCount(windows)) => {
                let count = windows.store.at(slot).map(|(stored, count)| {
                    key.extend_from_slice(split_key(stored).map_or(stored, |(_, key)| key));
                    *count
                });
                if let Some(count) = count {
                    render::window_count(&mut value, self.form, count, windows.bounds(span));
                }
                windows.store.remove(slot);
                count.is_some()
            }
            Some(NodeState::Average(windows)) => {
                let mean = windows.store.at(slot).map(|(stored, mean)| {
                    key.extend_from_slice(split_key(stored).map_or(stored, |(_, key)| key));
                    *mean
                });
                if let Some(mean) = mean {
                    render::average(&mut value, self.form, &mean, windows.bounds(span));
                }
                windows.store.remove(slot);
                mean.is_some()
            }
            _ => false,
        };
        let mut result = Ok(Ok(()));
        if found && window.emit == Emit::Final {
            let facts = RecordFacts {
                key: Some(&key),
                value: Some(&value),
                timestamp_ms: end_ms - 1,
                topic: &self.pipeline,
                partition,
                offset: -1,
                headers: &NoHeaders,
            };
            let flow = Flow { facts, headers: Headers::NONE };
            result = self.pass_on(at, flow, state, desk);
            if let Ok(Err(reason)) = &result {
                let reason = reason.clone();
                result = self.failed(self.spot(at), &flow, reason, state, desk).map(Ok);
            }
        }
        desk.scratch.push(key);
        desk.scratch.push(value);
        result.map(|_| ())
    }
}

/// A window, for rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) end_ms: i64,
    pub(crate) size_ms: u64,
}

impl Span {
    pub(crate) fn start_ms(self) -> i64 {
        self.end_ms.saturating_sub(i64::try_from(self.size_ms).unwrap_or(i64::MAX))
    }
}

/// A window of a key that is to be closed.
#[derive(Debug, Clone, Copy)]
struct Closing {
    window: Window,
    end_ms: i64,
    slot: u32,
    /// The partition of the task.
    partition: i32,
}

/// What becomes of a record.
enum Pass {
    Same,
    /// The new value stands in the scratch buffer.
    Changed,
    Dropped,
}

fn is_closed(window: &Window, end_ms: i64, closed_ms: i64) -> bool {
    let grace_ms = i64::try_from(window.grace_ms).unwrap_or(i64::MAX);
    closed_ms != NO_TIME && end_ms.saturating_add(grace_ms) <= closed_ms
}

fn take_due(state: &mut ChainState, at: usize, until_ms: i64) -> Option<(i64, Vec<u32>)> {
    match state.nodes.get_mut(at) {
        Some(NodeState::WindowCount(windows)) => windows.store.take_due(until_ms),
        Some(NodeState::Average(windows)) => windows.store.take_due(until_ms),
        _ => None,
    }
}

fn key_of<'a>(flow: &Flow<'a>) -> Result<&'a [u8], Reason> {
    flow.facts.key.ok_or_else(|| "the record has no key".to_owned())
}

fn emit(
    output: usize,
    flow: &Flow<'_>,
    key: Option<&[u8]>,
    desk: &mut Desk<'_>,
) -> Result<(), Halt> {
    let headers: Vec<HeaderRef<'_>>;
    let headers = if flow.headers.is_empty() {
        &[][..]
    } else {
        headers = flow.headers.iter().collect();
        &headers
    };
    let out = Out {
        key,
        value: flow.facts.value,
        timestamp_ms: flow.facts.timestamp_ms,
        headers,
        from_partition: flow.facts.partition,
    };
    Ok(desk.outlet.emit(output, out)?)
}

/// The time that an expression gives: a number of milliseconds, or a text in RFC 3339.
pub(crate) fn time_of(expression: &Expression, facts: &RecordFacts<'_>) -> Result<i64, Reason> {
    let value = expression.evaluate(facts).map_err(|error| error.to_string())?;
    let time_ms = match (value.number(), &value) {
        (Some(Number::Int(int)), _) => Some(int),
        (Some(Number::Float(float)), _) => Some(cast::i64_of_f64(float)),
        (None, topology::expression::Value::Text(text)) => topology::spec::timestamp_ms(text),
        _ => None,
    };
    time_ms.ok_or_else(|| {
        format!("the event time `{}` is {}, no time", expression.text(), value.kind_word())
    })
}

/// The number that a task works with: an expression's, or the bare value.
fn number_of(value: Option<&Expression>, flow: &Flow<'_>) -> Result<f64, Reason> {
    let number = match value {
        Some(expression) => {
            let value = expression.evaluate(&flow.facts).map_err(|error| error.to_string())?;
            let number = value.number();
            number.ok_or_else(|| {
                format!("`{}` is {}, no number", expression.text(), value.kind_word())
            })?
        }
        None => bare_number(flow)?,
    };
    Ok(number.as_f64())
}

/// A value that is nothing but a number.
fn bare_number(flow: &Flow<'_>) -> Result<Number, Reason> {
    let value = flow.facts.value.ok_or_else(|| "the record has no value".to_owned())?;
    let found = json::root(value).map_err(|_| no_number(value))?;
    Number::parse(found.bytes).ok_or_else(|| no_number(value))
}

/// Bytes of a value that an error message shows.
const SHOWN_BYTES_MAX: usize = 60;

fn no_number(value: &[u8]) -> Reason {
    let text = shown(value.get(..SHOWN_BYTES_MAX).unwrap_or(value));
    format!("the value `{text}` is no number")
}

fn sum(
    field: Option<&Path>,
    add: Number,
    flow: &Flow<'_>,
    scratch: &mut Vec<u8>,
) -> Result<Pass, Reason> {
    let value = flow.facts.value.ok_or_else(|| "the record has no value".to_owned())?;
    json::add(value, field, add, scratch).map_err(|error| match field {
        Some(path) => format!("`{path}`: {error}"),
        None => error.to_string(),
    })?;
    Ok(Pass::Changed)
}

fn map(
    set: &[(Path, Expression)],
    unset: &[Path],
    flow: &Flow<'_>,
    scratch: &mut Vec<u8>,
) -> Result<Pass, Reason> {
    let changed = rebuild(set, unset, &flow.facts).map_err(|error| error.to_string())?;
    scratch.extend_from_slice(&changed);
    Ok(Pass::Changed)
}
