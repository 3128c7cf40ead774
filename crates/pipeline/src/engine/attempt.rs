//! One attempt to run a plan, from the claim to the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::ClientError;
use client::admin::OffsetAt;
use client::options::{Isolation, TransactionalOptions};
use protocol::api::ApiKey;
use runtime::channel::{self, Sender, WatchReceiver, WatchSender};
use runtime::task::{self, Task as RunningTask};
use runtime::timer;
use topology::plan::InputKind;
use topology::spec::Delivery;
use tracing::info;

use super::error::EngineError;
use super::guard::{self, Known};
use super::host::Host;
use super::ledger::{self, Ledger, transactional_id};
use super::runner::{Mode, Shared};
use super::slot::{Order, SlotEnd};
use super::table::{self, FeederParts, Goal};
use super::task::Task;
use super::topics::{self, Counts};
use super::writer::Writer;
use crate::limits::{CLAIM_LOOK_MS, DRAIN_LOOK_MS, DRAIN_MS_MAX, FENCED_CLAIM_LOOK_MS};

type Places = BTreeMap<(String, i32), i64>;

/// A running attempt.
pub(crate) struct Attempt<'a> {
    shared: &'a Shared,
    counts: Counts,
    orders: Vec<Sender<Order>>,
    slots: Vec<RunningTask<SlotEnd>>,
    feeders: Vec<Feeder>,
}

/// A table's task, and what it is told.
type Feeder = (RunningTask<Result<(), EngineError>>, WatchSender<Goal>);

impl<'a> Attempt<'a> {
    /// Runs until the end; an error that may pass is worth another attempt.
    pub(crate) async fn run(
        shared: &'a Shared,
        stopped: WatchReceiver<bool>,
        is_first: bool,
    ) -> Result<(), EngineError> {
        shared.enter("starting");
        // Also without transactions: the claim is written by an idempotent producer.
        shared.client.require(ApiKey::InitProducerId).await?;
        if !is_first && let Some(gone) = shared.known().gone(&shared.client).await? {
            return Err(gone);
        }
        let counts = topics::prepare(&shared.client, &shared.plan).await?;
        claim(shared, is_first).await?;
        let mut attempt =
            Attempt { shared, counts, orders: Vec::new(), slots: Vec::new(), feeders: Vec::new() };
        let result = attempt.work(stopped).await;
        if let Err(EngineError::TopicGone { .. }) = &result {
            attempt.abandon();
        }
        attempt.close().await;
        match result {
            Err(EngineError::Fenced { by: None }) => Err(fenced(shared).await),
            // Whoever took the pipeline over may have deleted what was just being read.
            Err(
                error @ (EngineError::Client(_)
                | EngineError::OutOfRange(_)
                | EngineError::TopicGone { .. }),
            ) if !error.may_pass() => Err(told(shared, error).await),
            result => result,
        }
    }

    async fn work(&mut self, mut stopped: WatchReceiver<bool>) -> Result<(), EngineError> {
        self.start_slots().await?;
        self.start_feeders();
        self.note_topics();
        self.shared.enter("running");
        info!(pipeline = %self.shared.plan.pipeline, slots = self.slots.len(), "pipeline runs");
        let (deadline_ms, close_windows) = match self.shared.mode {
            Mode::UntilEnd { close_windows } => (None, close_windows),
            Mode::Forever => {
                let mut looked_ms = self.shared.clock.steady_ms();
                loop {
                    runtime::select! {
                        _ = stopped.wait_for(|stop| *stop) => break,
                        () = timer::sleep(Duration::from_millis(DRAIN_LOOK_MS * 4)) => {}
                    }
                    self.check().await?;
                    self.look_at_claim(&mut looked_ms).await?;
                }
                (Some(self.shared.clock.steady_ms() + DRAIN_MS_MAX), false)
            }
        };
        self.shared.enter("draining");
        self.drain(&stopped, deadline_ms, close_windows).await
    }

    /// Starts the slots with all tasks, each task's slot chosen by its partition.
    async fn start_slots(&mut self) -> Result<(), EngineError> {
        let shared = self.shared;
        let plan = &shared.plan;
        let slots = plan.slots.max(1);
        let mut writers = Vec::new();
        for slot in 0..slots {
            writers.push(writer(shared, slot).await?);
        }
        check_claim(shared).await?;
        let host = Host {
            client: &shared.client,
            clock: &shared.clock,
            plan: &shared.plan,
            counts: &self.counts,
            state: shared.state.as_ref(),
            room: &shared.room,
            progress: &shared.restore,
        };
        let mut begun = host.tasks(|_, _| true).await?;
        if let Some(writer) = writers.first_mut() {
            begun.keep(writer).await?;
        }
        shared.enter("restoring");
        let tasks = host.restore(begun.tasks).await?;
        let restored = shared.restore.records();
        if restored > 0 {
            info!(pipeline = %shared.plan.pipeline, records = restored, "state restored");
        }
        let mut by_slot: BTreeMap<u32, Vec<Task>> = BTreeMap::new();
        for task in tasks {
            let slot = u32::try_from(task.partition).unwrap_or(0) % slots;
            by_slot.entry(slot).or_default().push(task);
        }
        let mut views = Vec::new();
        for (slot, writer) in (0..slots).zip(writers) {
            let tasks = by_slot.remove(&slot).unwrap_or_default();
            let claim = (plan.delivery == Delivery::AtLeastOnce)
                .then(|| (plan.plan_topic.clone(), shared.claimant.nonce));
            let opened = host.open(tasks, writer, claim).await?;
            views.push(opened.view);
            self.orders.push(opened.orders);
            self.slots.push(task::spawn("slot", opened.slot.run()));
        }
        *shared.slots.lock().expect("no holder of the slots panics") = views;
        Ok(())
    }

    fn start_feeders(&mut self) {
        let shared = self.shared;
        for (table, sink) in &shared.sinks {
            let (goal, watched) = channel::watch(Goal::default());
            let parts = FeederParts {
                client: shared.client.clone(),
                pipeline: shared.plan.pipeline.clone(),
                table: table.clone(),
                partitions: self.counts.get(&table.topic).copied().unwrap_or(0),
                sink: Arc::clone(sink),
                view: Arc::clone(&shared.tables),
                goal: watched,
            };
            self.feeders.push((task::spawn("table", table::run(parts)), goal));
        }
    }

    /// Notes what the topics are: later attempts and looks compare with it.
    fn note_topics(&self) {
        let mut known = self.shared.known.lock().expect("no holder of the known topics panics");
        if known.is_empty() {
            *known = Known::of(&self.shared.client, &self.shared.plan);
        }
    }

    /// Whether everything still runs; the end of what does not.
    async fn check(&mut self) -> Result<(), EngineError> {
        let is_in_doubt = {
            let known = self.shared.known.lock();
            known.expect("no holder of the known topics panics").is_in_doubt(&self.shared.client)
        };
        if is_in_doubt && let Some(gone) = self.shared.known().gone(&self.shared.client).await? {
            return Err(gone);
        }
        if let Some(at) = self.slots.iter().position(RunningTask::is_finished) {
            let slot = self.slots.remove(at);
            self.orders.remove(at);
            return end_of(slot.join().await);
        }
        if let Some(at) = self.feeders.iter().position(|(feeder, _)| feeder.is_finished()) {
            let (feeder, _) = self.feeders.remove(at);
            return feeder.join().await.unwrap_or(Ok(()));
        }
        Ok(())
    }

    /// Without transactions nobody is fenced, so the plan topic must be asked from time to time.
    /// With them a commit tells, but nobody commits to whom nothing comes; there a log that does
    /// not answer is no reason to begin anew.
    async fn look_at_claim(&self, looked_ms: &mut u64) -> Result<(), EngineError> {
        let now_ms = self.shared.clock.steady_ms();
        let is_plain = self.shared.plan.delivery == Delivery::AtLeastOnce;
        let every_ms = if is_plain { CLAIM_LOOK_MS } else { FENCED_CLAIM_LOOK_MS };
        if now_ms.saturating_sub(*looked_ms) < every_ms {
            return Ok(());
        }
        *looked_ms = now_ms;
        if is_plain {
            return check_claim(self.shared).await;
        }
        let patience = Duration::from_millis(CLAIM_LOOK_MS);
        match timer::timeout(patience, check_claim(self.shared)).await {
            Ok(Err(fenced @ EngineError::Fenced { .. })) => Err(fenced),
            _ => Ok(()),
        }
    }

    /// Finishes what lies in the log now: sources, then edge by edge, then the tables.
    async fn drain(
        &mut self,
        stopped: &WatchReceiver<bool>,
        deadline_ms: Option<u64>,
        close_windows: bool,
    ) -> Result<(), EngineError> {
        let is_stop = deadline_ms.is_some();
        let sources = self.ends(|kind| matches!(kind, InputKind::Source(_)), None).await?;
        for orders in &self.orders {
            // A slot that has ended is found by the next check.
            drop(orders.send(Order::Limit(sources.clone())).await);
        }
        for stage in 0..self.shared.plan.stages.len() {
            let edges = self.ends(|kind| matches!(kind, InputKind::Edge { .. }), Some(stage));
            let mut goal = edges.await?;
            goal.extend(sources.clone());
            loop {
                self.check().await?;
                if self.has_reached(stage, &goal) {
                    break;
                }
                let now_ms = self.shared.clock.steady_ms();
                let is_late = deadline_ms.is_some_and(|deadline| now_ms >= deadline);
                if is_late || (!is_stop && *stopped.borrow()) {
                    return Ok(());
                }
                timer::sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
            }
            if close_windows {
                self.close_windows(stage).await;
            }
        }
        self.drain_tables(deadline_ms).await
    }

    /// Ends of the input topics of a kind, of one stage or of all.
    async fn ends(
        &self,
        is_wanted: impl Fn(&InputKind) -> bool,
        stage: Option<usize>,
    ) -> Result<Places, ClientError> {
        let stages = self.shared.plan.stages.iter().enumerate();
        let chosen = stages.filter(|(index, _)| stage.is_none_or(|only| only == *index));
        let inputs = chosen.flat_map(|(_, it)| &it.inputs).filter(|it| is_wanted(&it.kind));
        let mut places: Vec<(&str, i32)> = inputs
            .flat_map(|input| {
                let count = self.counts.get(&input.topic).copied().unwrap_or(0);
                (0..count).map(|partition| (input.topic.as_str(), partition))
            })
            .collect();
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return Ok(Places::new());
        }
        // Of a source what others have committed counts; of an edge everything, because the
        // markers of what was just committed may still be on their way.
        let isolation =
            if stage.is_some() { Isolation::ReadUncommitted } else { Isolation::ReadCommitted };
        let admin = self.shared.client.admin();
        let ends = admin.list_offsets(&places, OffsetAt::Latest, isolation).await?;
        Ok(ends.into_iter().map(|(place, found)| (place, found.offset)).collect())
    }

    fn has_reached(&self, stage: usize, goal: &Places) -> bool {
        let slots = self.shared.slots.lock().expect("no holder of the slots panics");
        slots.iter().all(|slot| {
            let view = slot.lock().expect("no holder of a slot's view panics");
            let mut inputs = view.inputs.iter().filter(|((of, _), _)| *of == stage);
            !view.busy.contains(&stage)
                && inputs.all(|((_, place), input)| {
                    goal.get(place).is_none_or(|end| input.committed >= *end)
                })
        })
    }

    async fn close_windows(&self, stage: usize) {
        for orders in &self.orders {
            let (reply, answer) = channel::reply();
            if orders.send(Order::CloseWindows { stage, reply }).await.is_ok() {
                // A slot that ends instead of answering is found by the next check.
                drop(answer.await);
            }
        }
    }

    async fn drain_tables(&mut self, deadline_ms: Option<u64>) -> Result<(), EngineError> {
        let admin = self.shared.client.admin();
        for ((table, _), (_, goal)) in self.shared.sinks.iter().zip(&self.feeders) {
            let count = self.counts.get(&table.topic).copied().unwrap_or(0);
            let places: Vec<(&str, i32)> =
                (0..count).map(|partition| (table.topic.as_str(), partition)).collect();
            // The markers of what was just committed may still be on their way.
            let isolation = Isolation::ReadUncommitted;
            let ends = admin.list_offsets(&places, OffsetAt::Latest, isolation).await?;
            let ends = ends.into_iter().map(|((_, partition), it)| (partition, it.offset));
            goal.send_replace(Goal { ends: ends.collect(), is_over: false });
        }
        for (feeder, goal) in std::mem::take(&mut self.feeders) {
            let left_ms = deadline_ms.map_or(u64::MAX, |deadline| {
                deadline.saturating_sub(self.shared.clock.steady_ms())
            });
            while !feeder.is_finished() {
                let now_ms = self.shared.clock.steady_ms();
                if left_ms == 0 || deadline_ms.is_some_and(|deadline| now_ms >= deadline) {
                    goal.send_replace(Goal { ends: BTreeMap::new(), is_over: true });
                    break;
                }
                timer::sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
            }
            feeder.join().await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// Ends the slots where they stand: a commit into a topic that is gone would be tried for long.
    fn abandon(&self) {
        self.slots.iter().for_each(RunningTask::abort);
    }

    /// Ends whatever still runs.
    async fn close(&mut self) {
        for orders in self.orders.drain(..) {
            // A slot that has ended takes no orders any more.
            drop(orders.send(Order::Stop).await);
        }
        for slot in self.slots.drain(..) {
            slot.join().await;
        }
        for (feeder, goal) in self.feeders.drain(..) {
            goal.send_replace(Goal { ends: BTreeMap::new(), is_over: true });
            // Its result no longer matters: what it wrote, it wrote with its positions.
            drop(feeder.join().await);
        }
    }
}

/// What a slot writes with; with transactions, whoever had its id is fenced now.
async fn writer(shared: &Shared, slot: u32) -> Result<Writer, ClientError> {
    if shared.plan.delivery == Delivery::AtLeastOnce {
        return Ok(Writer::at_least_once(&shared.client, guard::owner(&shared.plan.pipeline)));
    }
    let id = transactional_id(&shared.plan.pipeline, &shared.claimant.worker, slot);
    let offset_metadata = guard::owner(&shared.plan.pipeline);
    let options = TransactionalOptions { offset_metadata, ..TransactionalOptions::new(&id) };
    let mut producer = shared.client.transactional(options);
    producer.init().await?;
    Ok(Writer::ExactlyOnce(Box::new(producer)))
}

fn end_of(end: Option<SlotEnd>) -> Result<(), EngineError> {
    match end {
        Some(SlotEnd::Stopped) | None => Ok(()),
        Some(SlotEnd::Failed(failure)) => Err(EngineError::Record(failure)),
        Some(SlotEnd::Fenced) => Err(EngineError::Fenced { by: None }),
        Some(SlotEnd::Lost(error)) => Err(EngineError::Client(error)),
        Some(SlotEnd::OutOfRange(error)) => Err(EngineError::OutOfRange(error)),
        Some(SlotEnd::TooLarge(reason)) => Err(EngineError::TooLarge(reason)),
        Some(SlotEnd::State(trouble)) => Err(trouble.into()),
    }
}

/// Writes this process's claim and fences everybody who ever ran the pipeline.
///
/// The ledger is read again behind the claim: whoever claimed meanwhile either stands in it, and
/// is fenced here, or will read this claim. [`check_claim`] settles which of two is the later.
async fn claim(shared: &Shared, is_first: bool) -> Result<(), EngineError> {
    let plan = &shared.plan;
    let ledger = Ledger::read(&shared.client, &plan.plan_topic).await?;
    if !is_first && !is_newest(shared, &ledger) {
        return Err(EngineError::Fenced { by: ledger.newest.map(Box::new) });
    }
    ledger.check(plan)?;
    let claim = shared.claimant.claim(plan, &ledger);
    let now_ms = shared.clock.unix_ms();
    ledger::write(&shared.client, &plan.plan_topic, &claim, now_ms).await?;
    let ledger = Ledger::read(&shared.client, &plan.plan_topic).await?;
    let admin = shared.client.admin();
    for id in ledger.transactional_ids(&plan.pipeline) {
        admin.fence(&id).await?;
    }
    Ok(())
}

/// After the own ids are taken: nobody may have claimed the pipeline in between.
async fn check_claim(shared: &Shared) -> Result<(), EngineError> {
    let ledger = Ledger::read(&shared.client, &shared.plan.plan_topic).await?;
    if is_newest(shared, &ledger) {
        return Ok(());
    }
    Err(EngineError::Fenced { by: ledger.newest.map(Box::new) })
}

fn is_newest(shared: &Shared, ledger: &Ledger) -> bool {
    ledger.newest.as_ref().is_some_and(|claim| claim.nonce == shared.claimant.nonce)
}

/// What is behind an error of the log that does not pass: somebody who took the pipeline over, or
/// a topic that is gone.
async fn told(shared: &Shared, error: EngineError) -> EngineError {
    match fenced(shared).await {
        found @ EngineError::Fenced { by: Some(_) } => found,
        _ => match shared.known().gone(&shared.client).await {
            Ok(Some(gone)) => gone,
            Ok(None) | Err(_) => error,
        },
    }
}

/// Tells by whom this process was fenced.
async fn fenced(shared: &Shared) -> EngineError {
    let ledger = Ledger::read(&shared.client, &shared.plan.plan_topic).await;
    let newest = ledger.ok().and_then(|ledger| ledger.newest);
    let by = newest.filter(|claim| claim.nonce != shared.claimant.nonce);
    EngineError::Fenced { by: by.map(Box::new) }
}
