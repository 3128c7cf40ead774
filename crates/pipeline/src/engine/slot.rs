//! A slot: a worker with one writer and the tasks that were given to it.
//!
//! It fetches, runs every record through its task's chain, and commits outputs, state changes and
//! positions in one transaction. It commits when enough has gathered, when the transaction has
//! grown old, or when no input waits and a short pause has passed: little delay at low load, few
//! transactions at high load. A pause is never shorter than the last commit was, so that commits
//! take at most half of the time.
//!
//! A slot that is fenced ends and never initialises itself again.

mod handover;
mod pace;
pub(crate) mod parked;
mod shown;
#[cfg(test)]
mod slot_test;
mod tapped;
mod time;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use base::clock::Clock;
use client::consumer::Fetched;
use client::transaction::TxnRecord;
use client::{ClientError, Consumer};
use protocol::record::HeaderRef;
use runtime::channel::{Receiver, Reply};

use super::flow::{Halt, Outlet, OutletError, RecordFailure};
use super::host::Begun;
use super::latency::Latency;
use super::load::{Activity, Load};
use super::marker;
use super::purge::Purge;
use super::snapshot::keeper::Keeper;
use super::tap::Followed;
use super::task::{Routes, Task};
use super::view::SlotView;
use super::writer::{Handles, SlotOutlet, Writer};
use pace::{Open, Pace};
use parked::Parked;
use state::limits::DUE_KEYS_MAX;
use state::memory::MemoryShare;
pub(crate) use trouble::StateTrouble;

use crate::limits::{DECODED_BATCH_BYTES_MAX, WRITER_BYTES_MAX, WRITER_FULL_BYTES};

/// What a slot is told while it runs.
#[derive(Debug)]
pub(crate) enum Order {
    /// Leave records from these offsets on alone.
    Limit(BTreeMap<(String, i32), i64>),
    /// Close all windows of a stage's tasks, and commit.
    CloseWindows { stage: usize, reply: Reply<()> },
    /// Tell all edges of the tasks' time, also those that have heard it.
    TellTime,
    /// Commit, and hold these tasks (by stage and partition) no more.
    LetGo { tasks: BTreeSet<(usize, i32)>, reply: Reply<()> },
    /// Run these tasks as well.
    TakeOn { begun: Begun, reply: Reply<()> },
    /// Commit, and end.
    Stop,
}

/// How a slot ends.
#[derive(Debug)]
pub(crate) enum SlotEnd {
    /// It was told to.
    Stopped,
    /// A record failed; everything before it is committed.
    Failed(RecordFailure),
    /// Another process has taken its transactional id over.
    Fenced,
    /// The log cannot be worked with at present; a restart begins from the last commit.
    Lost(ClientError),
    /// A position is not in the log any more: only a person can say where to go on.
    OutOfRange(ClientError),
    /// An output is larger than the log takes.
    TooLarge(String),
    /// The state cannot be gone on with; everything before it is committed.
    State(StateTrouble),
}

/// What a slot works with.
pub(crate) struct SlotParts {
    pub(crate) tasks: Vec<Task>,
    /// How many stages the pipeline has: tasks of any of them may come.
    pub(crate) stages: usize,
    pub(crate) writer: Writer,
    pub(crate) consumer: Consumer,
    pub(crate) orders: Receiver<Order>,
    pub(crate) view: Arc<Mutex<SlotView>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) commit_interval_ms: u64,
    pub(crate) keeper: Option<Keeper>,
    pub(crate) purge: Purge,
    pub(crate) memory: MemoryShare,
    pub(crate) parked: Parked,
}

/// A worker with its tasks.
pub(crate) struct Slot {
    tasks: Vec<Task>,
    routes: Routes,
    /// Handles of the topics that each task writes: outputs by index, then changelogs by node.
    handles: Vec<Handles>,
    writer: Writer,
    consumer: Consumer,
    orders: Receiver<Order>,
    view: Arc<Mutex<SlotView>>,
    clock: Arc<dyn Clock>,
    scratch: Vec<Vec<u8>>,
    pace: Pace,
    open: Option<Open>,
    /// The end that waits until everything before it is committed.
    failure: Option<RecordFailure>,
    latency: Latency,
    load: Arc<Load>,
    stage_of: Arc<BTreeMap<String, usize>>,
    taps: Followed,
    keeper: Option<Keeper>,
    purge: Purge,
    memory: MemoryShare,
    parked: Parked,
    is_stopping: bool,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({} tasks)", self.tasks.len())
    }
}

impl Slot {
    /// Takes the tasks over; the producer must have been initialised.
    ///
    /// # Errors
    /// When a topic that is written cannot be found.
    pub(crate) async fn new(parts: SlotParts) -> Result<Self, ClientError> {
        let mut writer = parts.writer;
        let mut handles = Vec::new();
        for task in &parts.tasks {
            handles.push(Handles::of(task, &mut writer).await?);
        }
        let mut slot = Self {
            routes: handover::routes(&parts.tasks),
            load: Load::new(Arc::clone(&parts.clock), parts.stages),
            stage_of: shown::stages_of(&parts.tasks),
            taps: Followed::default(),
            tasks: parts.tasks,
            handles,
            writer,
            consumer: parts.consumer,
            orders: parts.orders,
            view: parts.view,
            clock: parts.clock,
            scratch: Vec::new(),
            pace: Pace::new(parts.commit_interval_ms),
            open: None,
            failure: None,
            latency: Latency::default(),
            keeper: parts.keeper,
            purge: parts.purge,
            memory: parts.memory,
            parked: parts.parked,
            is_stopping: false,
        };
        let now_ms = slot.clock.steady_ms();
        slot.tasks.iter_mut().for_each(|task| task.listen(now_ms));
        slot.assign();
        slot.publish();
        Ok(slot)
    }

    fn assign(&mut self) {
        let positions = self.routes.iter().filter_map(|((topic, partition), (task, input))| {
            let position = self.tasks.get(*task)?.positions.get(*input).copied().flatten()?;
            Some((topic.as_str(), *partition, position.next))
        });
        self.consumer.assign(positions);
        self.assign_orders();
    }

    /// Works until the end.
    pub(crate) async fn run(mut self) -> SlotEnd {
        loop {
            match self.turn().await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(Trouble::Halt(halt)) => {
                    if let Some(end) = self.halted(halt).await {
                        return end;
                    }
                }
                Err(Trouble::State(trouble)) => {
                    let given_up = self.give_up().await;
                    return given_up.map_or_else(end_of, |()| SlotEnd::State(trouble));
                }
                Err(Trouble::Client(error)) => {
                    if let Some(end) = self.recover(error).await {
                        return end;
                    }
                }
            }
        }
    }

    /// One round: fetch, run, close windows, perhaps commit.
    async fn turn(&mut self) -> Result<Option<SlotEnd>, Trouble> {
        for index in 0..self.tasks.len() {
            self.go_on_closing(index).await?;
        }
        let wait = self.wait();
        self.load.enter(Activity::Idle);
        let fetched = runtime::select! {
            biased;
            order = self.orders.recv() => {
                self.obey(order).await?;
                Vec::new()
            }
            fetched = self.consumer.poll(wait) => fetched?,
        };
        self.load.enter(Activity::Busy);
        self.follow_taps();
        let is_quiet = fetched.is_empty();
        for part in fetched {
            if !self.take_parked(&part).await? {
                self.take(&part).await?;
            }
        }
        self.follow_letters().await?;
        if is_quiet {
            self.look_at_ends();
        }
        self.advance_time().await?;
        if self.is_due(is_quiet) || self.parked.holds_input() {
            self.commit().await?;
        } else {
            self.prepare().await?;
        }
        if let Some(failure) = self.settled_failure() {
            return Ok(Some(SlotEnd::Failed(failure)));
        }
        if self.is_stopping {
            self.commit().await?;
            self.tasks.iter_mut().for_each(Task::write_state);
            if let Some(keeper) = &mut self.keeper {
                keeper.at_end(&self.tasks).await;
            }
            self.purge.at_end(&self.tasks).await;
            return Ok(Some(SlotEnd::Stopped));
        }
        Ok(None)
    }

    /// Learns how far the partitions reach, also those that have nothing new.
    fn look_at_ends(&mut self) {
        for ((topic, partition), (task, input)) in &self.routes {
            let Some(marks) = self.consumer.watermarks(topic, *partition) else {
                continue;
            };
            if let Some(position) = self.tasks[*task].positions[*input].as_mut() {
                if marks.last_stable_offset >= 0 {
                    position.end = position.end.max(Some(marks.last_stable_offset));
                }
                // Markers and aborted records move the position without giving anything.
                let reached = self.consumer.position(topic, *partition).unwrap_or(position.next);
                let limit = position.limit.unwrap_or(i64::MAX);
                position.next = position.next.max(reached.min(limit));
            }
        }
    }

    /// Tells the coordinator ahead of the commit what the transaction writes.
    async fn prepare(&mut self) -> Result<(), Trouble> {
        let now_us = self.clock.steady_us();
        let is_due = |open| self.pace.is_preparing_due(open, now_us);
        if !self.open.as_ref().is_some_and(is_due) || !self.has_work() {
            return Ok(());
        }
        let mut places = Vec::new();
        let mut groups = Vec::new();
        for (task, handles) in self.tasks.iter().zip(&self.handles) {
            if task.has_moved() {
                groups.push(task.code.stage.group.as_str());
            }
            let changed = handles
                .changelogs
                .iter()
                .filter(|(node, _)| task.state.nodes[**node].change_bytes() > 0);
            places.extend(changed.map(|(_, place)| (*place, task.partition)));
        }
        self.load.enter(Activity::Blocked);
        self.writer.prepare(&places, &groups).await?;
        if let Some(open) = &mut self.open {
            open.is_prepared = true;
        }
        Ok(())
    }

    fn is_due(&self, is_quiet: bool) -> bool {
        let now_us = self.clock.steady_us();
        self.open.as_ref().is_some_and(|open| self.pace.is_due(open, now_us, is_quiet))
    }

    async fn obey(&mut self, order: Option<Order>) -> Result<(), Trouble> {
        match order {
            Some(Order::Limit(limits)) => self.limit(&limits),
            Some(Order::CloseWindows { stage, reply }) => {
                self.close_windows(stage).await?;
                // Whoever asked may have given up.
                let _ = reply.send(());
            }
            Some(Order::TellTime) => self.tasks.iter_mut().for_each(Task::tell_again),
            Some(Order::LetGo { tasks, reply }) => {
                self.let_go(&tasks).await?;
                // Whoever asked may be gone.
                let _ = reply.send(());
            }
            Some(Order::TakeOn { begun, reply }) => {
                self.take_on(begun).await?;
                // Whoever asked may be gone.
                let _ = reply.send(());
            }
            Some(Order::Stop) | None => self.is_stopping = true,
        }
        Ok(())
    }

    fn limit(&mut self, limits: &BTreeMap<(String, i32), i64>) {
        for (place, limit) in limits {
            if let Some((task, input)) = self.routes.get(place)
                && let Some(position) = self.tasks[*task].positions[*input].as_mut()
            {
                // A limit is never raised: what was fetched beyond it is not fetched again, and
                // behind a record that failed nothing may be taken, whoever asks for more.
                position.limit = Some(position.limit.map_or(*limit, |known| known.min(*limit)));
            }
        }
    }

    fn begin(&mut self) -> Result<(), Trouble> {
        if self.open.is_none() {
            self.writer.begin()?;
            self.open = Some(Open::new(self.clock.steady_us()));
        }
        Ok(())
    }

    /// Runs what was fetched of one partition, committing in between where it is much.
    async fn take(&mut self, part: &Fetched) -> Result<(), Trouble> {
        let place = (part.topic.to_string(), part.partition);
        let Some((index, input)) = self.routes.get(&place).copied() else {
            return Ok(());
        };
        let now_ms = self.clock.steady_ms();
        let Some(position) = self.tasks[index].positions[input].as_mut() else {
            return Ok(());
        };
        position.end = Some(part.last_stable_offset.max(part.next_offset));
        if position.next != part.from {
            // Fetched before a rollback; the seek that followed has asked for it again.
            return Ok(());
        }
        position.heard_ms = if part.batches.is_empty() { position.heard_ms } else { now_ms };
        let limit = position.limit.unwrap_or(i64::MAX);
        if part.from >= limit {
            self.consumer.pause(&part.topic, part.partition)?;
            return Ok(());
        }
        self.begin()?;
        for batch in &part.batches {
            let mut from = part.from;
            while let Some(next) = self.take_batch(index, input, (from, limit), batch)? {
                self.commit().await?;
                self.begin()?;
                self.go_on_closing(index).await?;
                from = next;
            }
            self.go_on_closing(index).await?;
            self.check_state()?;
            self.load.enter(Activity::Blocked);
            self.writer.drain().await?;
            if self.is_due(false) {
                self.commit().await?;
                self.begin()?;
            }
        }
        if let Some(position) = self.tasks[index].positions[input].as_mut() {
            position.next = position.next.max(part.next_offset.min(limit));
        }
        Ok(())
    }

    /// Runs a batch from an offset on. When its results have filled the writer, the offset at
    /// which to go on after a commit: what one batch gives has no bound, what waits has.
    fn take_batch(
        &mut self,
        index: usize,
        input: usize,
        (from, limit): (i64, i64),
        batch: &protocol::record::Batch,
    ) -> Result<Option<i64>, Trouble> {
        let decoded = batch.decode(DECODED_BATCH_BYTES_MAX).map_err(|cause| {
            let at = format!("offset {}", batch.header().base_offset);
            Trouble::Halt(Halt::Record(self.damaged(index, input, batch, format!("{at}: {cause}"))))
        })?;
        self.load.enter(Activity::Stage(self.tasks[index].stage));
        let mut count = 0;
        let mut full_at = None;
        for record in decoded.iter() {
            let record = record.map_err(|cause| {
                Trouble::Halt(Halt::Record(self.damaged(index, input, batch, cause.to_string())))
            })?;
            if record.offset < from {
                continue;
            }
            if record.offset >= limit {
                break;
            }
            let task = &mut self.tasks[index];
            let mut outlet =
                SlotOutlet { writer: &mut self.writer, places: &self.handles[index].outputs };
            // Only between records: a position stands behind a record that has done everything.
            if task.is_closing() || outlet.is_full(task.change_bytes()) {
                full_at = Some(record.offset);
                break;
            }
            task.take(input, &record, &mut outlet, &mut self.scratch)?;
            if let Some(position) = task.positions[input].as_mut() {
                position.next = record.offset + 1;
            }
            count += 1;
        }
        if let Some(position) = self.tasks[index].positions[input].as_mut() {
            position.time_ms = Some(batch.header().max_timestamp);
        }
        if let Some(open) = &mut self.open {
            open.records += count;
            open.bytes += batch.bytes().len();
            open.times.push((batch.header().max_timestamp, count));
        }
        Ok(full_at)
    }

    fn damaged(
        &self,
        index: usize,
        input: usize,
        batch: &protocol::record::Batch,
        reason: String,
    ) -> RecordFailure {
        let task = &self.tasks[index];
        let topic = task.code.stage.inputs.get(input).map(|it| it.topic.clone());
        RecordFailure {
            task: task.code.stage.id.clone(),
            reason: format!("the batch is damaged: {reason}"),
            topic: topic.unwrap_or_default(),
            partition: task.partition,
            offset: batch.header().base_offset,
            key: None,
        }
    }

    fn with_task(
        &mut self,
        index: usize,
        work: impl FnOnce(&mut Task, &mut dyn Outlet, &mut Vec<Vec<u8>>) -> Result<(), Halt>,
    ) -> Result<(), Trouble> {
        self.load.enter(Activity::Stage(self.tasks[index].stage));
        let mut outlet =
            SlotOutlet { writer: &mut self.writer, places: &self.handles[index].outputs };
        Ok(work(&mut self.tasks[index], &mut outlet, &mut self.scratch)?)
    }

    /// Whether the open transaction holds anything.
    fn has_work(&self) -> bool {
        let records = self.open.as_ref().is_some_and(|open| open.records > 0);
        records
            || self.writer.has_records()
            || self.tasks.iter().any(|it| it.has_moved() || it.has_news() || it.change_bytes() > 0)
    }

    /// Commits outputs, state and positions at once.
    async fn commit(&mut self) -> Result<(), Trouble> {
        if self.open.is_none() || !self.has_work() {
            return Ok(());
        }
        let (began_us, began_ms) = (self.clock.steady_us(), self.clock.unix_ms());
        self.load.enter(Activity::Busy);
        self.tasks.iter_mut().for_each(Task::expire);
        self.check_state()?;
        self.write_markers()?;
        self.write_changes()?;
        self.send_offsets()?;
        self.load.enter(Activity::Blocked);
        self.writer.commit().await?;
        self.load.enter(Activity::Busy);
        let now_ms = self.clock.unix_ms();
        if let Some(open) = self.open.take() {
            for (time_ms, count) in open.times {
                self.latency.record(now_ms.saturating_sub(time_ms), count);
            }
        }
        self.settle_state(began_ms);
        // Before others see how far it has come: they may take that for a good end.
        self.hold_state()?;
        let took_us = self.clock.steady_us().saturating_sub(began_us);
        self.pace.note(took_us);
        self.load.committed(took_us);
        self.publish();
        if let Some(keeper) = &mut self.keeper {
            keeper.after_commit(&self.tasks).await;
        }
        self.purge.after_commit(&self.tasks);
        Ok(())
    }

    /// Tells the edges how far time has come.
    fn write_markers(&mut self) -> Result<(), Trouble> {
        let now_ms = self.clock.unix_ms();
        for (task, handles) in self.tasks.iter_mut().zip(&self.handles) {
            let Some(told) = task.marker() else {
                continue;
            };
            let bytes = told.encode();
            let headers: [HeaderRef<'_>; 1] = [(marker::HEADER.as_bytes(), Some(&bytes))];
            let record = TxnRecord { timestamp: now_ms, key: None, value: None, headers: &headers };
            for edge in &task.code.edges {
                let handle = handles.outputs[*edge];
                for partition in 0..self.writer.partition_count(handle) {
                    self.writer.append(handle, partition, &record)?;
                }
            }
        }
        Ok(())
    }

    fn send_offsets(&mut self) -> Result<(), Trouble> {
        for task in &self.tasks {
            let inputs = task.code.stage.inputs.iter().zip(&task.positions);
            let moved = inputs.filter_map(|(input, position)| {
                let position = position.filter(|it| it.next != it.committed)?;
                Some((input.topic.as_str(), task.partition, position.next))
            });
            let offsets: Vec<_> = moved.chain(parked::orders_of(task)).collect();
            self.writer.send_offsets(&task.code.stage.group, &offsets)?;
        }
        Ok(())
    }

    /// A record or an output stops the chain.
    async fn halted(&mut self, halt: Halt) -> Option<SlotEnd> {
        match halt {
            Halt::Outlet(OutletError::Client(error)) => self.recover(error).await,
            Halt::Outlet(error @ OutletError::TooLarge(_)) => {
                Some(self.too_large(error.to_string()).await)
            }
            Halt::Record(failure) => {
                // What the record has done already is undone; then everything before it is
                // done again and committed.
                if let Err(error) = self.give_up().await {
                    return Some(end_of(error));
                }
                let place = (failure.topic.clone(), failure.partition);
                if failure.offset < 0 || !self.routes.contains_key(&place) {
                    return Some(SlotEnd::Failed(failure));
                }
                self.limit(&BTreeMap::from([(place, failure.offset)]));
                self.failure = Some(failure);
                None
            }
        }
    }

    /// The failure, once everything before it is committed.
    fn settled_failure(&mut self) -> Option<RecordFailure> {
        let failure = self.failure.as_ref()?;
        let place = (failure.topic.clone(), failure.partition);
        let (task, input) = self.routes.get(&place)?;
        let position = self.tasks[*task].positions[*input]?;
        let is_settled = position.committed >= failure.offset;
        if is_settled { self.failure.take() } else { None }
    }

    /// Undoes the transaction after an error of the log, if the slot can go on at all.
    async fn recover(&mut self, error: ClientError) -> Option<SlotEnd> {
        match error {
            ClientError::Abortable { .. } => self.give_up().await.err().map(end_of),
            // There was room before the record, so the writer would only be full again.
            ClientError::BufferFull => {
                let room = WRITER_BYTES_MAX - WRITER_FULL_BYTES;
                let reason = format!(
                    "what one record gives, or {DUE_KEYS_MAX} windows, exceeds {room} bytes"
                );
                Some(self.too_large(reason).await)
            }
            other => Some(end_of(other)),
        }
    }

    /// Ends with what is committed, because something does not fit into the log.
    async fn too_large(&mut self, reason: String) -> SlotEnd {
        self.give_up().await.map_or_else(end_of, |()| SlotEnd::TooLarge(reason))
    }

    /// Aborts the transaction and goes back to the last commit.
    async fn give_up(&mut self) -> Result<(), ClientError> {
        if self.open.take().is_some() {
            self.load.aborted();
            self.load.enter(Activity::Blocked);
            self.writer.abort().await?;
        }
        for task in &mut self.tasks {
            task.roll_back();
        }
        self.assign();
        Ok(())
    }
}

/// How a slot ends with an error of the log that it cannot go on after.
fn end_of(error: ClientError) -> SlotEnd {
    match error {
        ClientError::Fenced { .. } => SlotEnd::Fenced,
        error @ ClientError::OffsetOutOfRange { .. } => SlotEnd::OutOfRange(error),
        error @ ClientError::TooLarge { .. } => SlotEnd::TooLarge(error.to_string()),
        error => SlotEnd::Lost(error),
    }
}

/// What interrupts a round.
enum Trouble {
    Halt(Halt),
    State(StateTrouble),
    Client(ClientError),
}

impl From<Halt> for Trouble {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
