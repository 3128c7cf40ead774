//! What becomes of records that fail: stop, leave out, put aside; and what waits behind the last.

use topology::spec::OnError;

use super::{Chain, ChainState, Desk, Reason, Rekeyed, Target, time_of};
use crate::engine::flow::{Failed, Flow, Halt, Out, RecordFailure, shown};
use crate::engine::parking::letter::Notice;
use crate::engine::parking::{Place, Ticket};
use crate::limits::PARKED_KEYS_MAX;

/// Where a record fails, and what is said there of such records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot<'a> {
    /// The task that counts it.
    pub(super) at: usize,
    pub(super) place: Place<'a>,
    pub(super) on_error: OnError,
}

impl Chain {
    /// A task.
    pub(super) fn spot(&self, at: usize) -> Spot<'_> {
        let node = &self.nodes[at];
        Spot { at, place: Place::task(&node.id), on_error: node.on_error }
    }

    /// The way out of a task under a new key, which fails in the name of the task that reads it.
    pub(super) fn way_out<'a>(&'a self, at: usize, to: &'a Rekeyed) -> Spot<'a> {
        let place = Place::way(&self.nodes[at].id, &to.reader);
        Spot { at, place, on_error: to.on_error }
    }

    /// The way from a source into the first task that gets its records.
    fn way_in<'a>(&'a self, source: &'a str, first: usize) -> Spot<'a> {
        let node = &self.nodes[first];
        Spot { at: first, place: Place::way(source, &node.id), on_error: node.on_error }
    }

    /// Does with a record that cannot even enter a task what the task says.
    pub(crate) fn reject(
        &self,
        (source, first): (&str, usize),
        flow: &Flow<'_>,
        reason: Reason,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        desk.counters[first].records_in += 1;
        self.failed(self.way_in(source, first), flow, reason, state, desk)
    }

    /// Whether a record waits before it enters the first task of its source; then it is put there.
    pub(crate) fn waits_outside(
        &self,
        (source, first): (&str, usize),
        flow: &Flow<'_>,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<bool, Halt> {
        let spot = self.way_in(source, first);
        if !state.parking.holds(spot.place, flow.facts.key) {
            return Ok(false);
        }
        desk.counters[first].records_in += 1;
        self.wait_behind(spot, flow, state, desk)?;
        Ok(true)
    }

    /// Puts a record behind the dead letter of its key.
    pub(super) fn wait_behind(
        &self,
        spot: Spot<'_>,
        flow: &Flow<'_>,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        let reason = "it waits behind an earlier record of its key".to_owned();
        self.park(spot, flow, reason, state, desk)
    }

    /// Does with a failed record what its task says.
    pub(super) fn failed(
        &self,
        spot: Spot<'_>,
        flow: &Flow<'_>,
        reason: Reason,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        let (key, value) = (flow.facts.key, flow.facts.value);
        let (task, on_error) = (spot.place.task, spot.on_error);
        desk.outlet.failed(&Failed { task, reason: &reason, key, value, on_error });
        match on_error {
            OnError::Skip => {
                desk.counters[spot.at].skipped += 1;
                Ok(())
            }
            OnError::DeadLetter => self.park(spot, flow, reason, state, desk),
            OnError::Fail => Err(stop(spot, flow, reason)),
        }
    }

    /// Writes a record to the dead-letter topic, with what is needed to find out why.
    fn park(
        &self,
        spot: Spot<'_>,
        flow: &Flow<'_>,
        reason: Reason,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<(), Halt> {
        let Some(output) = self.dead_letter else {
            return Err(stop(spot, flow, reason));
        };
        let facts = &flow.facts;
        let mut ticket: Option<Ticket> = None;
        // Records without a key have no order that could be kept.
        if let Some(key) = facts.key.filter(|_| self.is_sequenced) {
            let parked = state.parking.park(spot.place, key, facts.partition, &reason);
            let Ok(parked) = parked else {
                let full = format!(
                    "{reason}; it cannot be parked, because {PARKED_KEYS_MAX} keys of the \
                     partition are, or what is kept of them fills its memory"
                );
                return Err(stop(spot, flow, full));
            };
            ticket = Some(parked);
        }
        desk.counters[spot.at].parked += 1;
        let notice =
            Notice { pipeline: &self.pipeline, place: spot.place, reason: &reason, ticket };
        let outlet = &mut *desk.outlet;
        notice.with_headers(flow, |headers| {
            let out = Out {
                key: facts.key,
                value: facts.value,
                timestamp_ms: facts.timestamp_ms,
                headers,
                from_partition: facts.partition,
            };
            match ticket {
                Some(ticket) => outlet.emit_to(output, ticket.partition, out),
                None => outlet.emit(output, out),
            }
        })?;
        Ok(())
    }

    /// Runs a letter from the place where it waits; why it cannot be worked on, if it cannot.
    pub(crate) fn resume(
        &self,
        place: Place<'_>,
        flow: Flow<'_>,
        (source_time, operators): (Option<&topology::expression::Expression>, &[usize]),
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<Result<(), Reason>, Halt> {
        let at = |id: &str| self.nodes.iter().position(|node| node.id == id);
        let Some(from) = place.from else {
            return match at(place.task) {
                Some(at) => self.work_again(at, flow, state, desk),
                None => Ok(Err("the task is not in the file any more".to_owned())),
            };
        };
        let way_out = at(from).and_then(|at| {
            self.nodes[at].to.iter().find_map(|target| match target {
                Target::Rekeyed(to) if to.reader == place.task => Some(to),
                _ => None,
            })
        });
        if let Some(to) = way_out {
            return self.rekey(to, &flow, desk);
        }
        if operators.is_empty() {
            return Ok(Err("the way into the task is not in the file any more".to_owned()));
        }
        let mut flow = flow;
        if let Some(expression) = source_time {
            match time_of(expression, &flow.facts) {
                Ok(time_ms) => flow.facts.timestamp_ms = time_ms,
                Err(reason) => return Ok(Err(reason)),
            }
        }
        for operator in operators {
            self.run(*operator, flow, state, desk)?;
        }
        Ok(Ok(()))
    }

    /// Runs a record through a task, past those of its key that wait there.
    fn work_again(
        &self,
        at: usize,
        flow: Flow<'_>,
        state: &mut ChainState,
        desk: &mut Desk<'_>,
    ) -> Result<Result<(), Reason>, Halt> {
        let mut scratch = desk.scratch.pop().unwrap_or_default();
        scratch.clear();
        let done = self.work(at, flow, &mut scratch, state, desk);
        desk.scratch.push(scratch);
        done
    }
}

/// The end of the pipeline with a record.
fn stop(spot: Spot<'_>, flow: &Flow<'_>, reason: Reason) -> Halt {
    Halt::Record(RecordFailure {
        task: spot.place.task.to_owned(),
        reason,
        topic: flow.facts.topic.to_owned(),
        partition: flow.facts.partition,
        offset: flow.facts.offset,
        key: flow.facts.key.map(shown),
    })
}
