//! A slot of a task manager, from its grant to its end.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::Clock;
use client::options::TransactionalOptions;
use client::{Client, ClientError};
use coordination::beat::{Phase, Run};
use coordination::catalogue::{Grant, Job, TaskId, transactional_id};
use protocol::record::ProducerIdentity;
use runtime::channel::{self, Sender, TrySendError, WatchReceiver, WatchSender};
use runtime::task::{self, Task};
use runtime::timer;
use topology::plan::Plan;

use super::moves::{self, Moves};
use super::prepare;
use super::rooms::Rooms;
use super::views::{Looked, seen};
use crate::engine::guard::{self, Known};
use crate::engine::host::{Host, Opened};
use crate::engine::restore::Progress;
use crate::engine::room::Room;
use crate::engine::slot::{Order, SlotEnd};
use crate::engine::view::{Bell, InputView, SlotView};
use crate::engine::writer::Writer;
use crate::engine::{EngineError, StateFolder};
use crate::limits::{DRAIN_MS_MAX, SLOT_WAIT_MS_MAX};

/// What a slot works with.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rooms: Rooms,
    /// Where the state of tasks is kept, when it is.
    pub(crate) state: Option<StateFolder>,
    /// Rung when there is news of a slot.
    pub(crate) bell: Bell,
}

/// A slot that was granted.
pub(crate) struct Held {
    pub(crate) job: String,
    pub(crate) grant: Grant,
    restarts: u64,
    /// What was told: changes, and looks at the slot that were shown.
    told: (u64, u64),
    shared: Arc<Mutex<Shown>>,
    /// The grant as it is now: its tasks may change while the slot runs.
    wanted: WatchSender<Grant>,
    /// Has an end that writes as long as the slot holds anything.
    ended: WatchReceiver<()>,
    running: Task<()>,
}

/// What is new of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct News {
    /// Its phase, its turn or its tasks.
    pub(crate) has_changed: bool,
    /// Its figures.
    pub(crate) has_committed: bool,
}

/// What is seen of a slot from outside.
#[derive(Debug)]
pub(super) struct Shown {
    /// Rises with each change of what follows.
    changes: u64,
    phase: Phase,
    /// The turn of the grant that has been followed.
    pub(super) turn: u64,
    /// What it holds.
    pub(super) tasks: Vec<TaskId>,
    orders: Option<Sender<Order>>,
    view: Option<Arc<Mutex<SlotView>>>,
    stages: Arc<Vec<String>>,
    is_stopping: bool,
    bell: Bell,
}

impl Shown {
    /// Something else is to be seen.
    pub(super) fn changed(&mut self) {
        self.changes += 1;
        self.bell.ring();
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({} slot {} since {})", self.job, self.grant.slot, self.grant.since)
    }
}

impl Held {
    /// Begins to run a grant, once those that are to end before it have; `restarts` tells how often
    /// the slot ran for the job before.
    pub(crate) fn start(
        place: &Place,
        (job, grant): (&Job, &Grant),
        (before, restarts): (Vec<WatchReceiver<()>>, u64),
    ) -> Self {
        let shown = Shown {
            changes: 1,
            phase: Phase::Starting,
            turn: grant.turn,
            tasks: grant.tasks.clone(),
            orders: None,
            view: None,
            stages: Arc::default(),
            is_stopping: false,
            bell: place.bell.clone(),
        };
        place.bell.ring();
        let shared = Arc::new(Mutex::new(shown));
        let (place, job_of, granted) = (place.clone(), job.clone(), grant.clone());
        let told = Arc::clone(&shared);
        let (holding, ended) = channel::watch(());
        let (wanted, following) = channel::watch(grant.clone());
        let running = task::spawn("granted slot", async move {
            let _holding = holding;
            wait_for(before, &granted).await;
            let end = Box::pin(work(&place, &job_of, (&granted, following), &told)).await;
            tracing::info!(job = job_of.name, slot = granted.slot, ?end, "slot ended");
            let mut shown = lock(&told);
            shown.phase = end;
            shown.changed();
        });
        let (job, grant) = (job.name.clone(), grant.clone());
        Self { job, grant, restarts, told: (0, 0), shared, wanted, ended, running }
    }

    /// Follows the grant, whose tasks may have changed, without beginning anew.
    pub(crate) fn follow(&mut self, grant: &Grant) {
        if self.grant.turn != grant.turn {
            self.grant = grant.clone();
            self.wanted.send_replace(grant.clone());
        }
    }

    /// Asks for the end: what is under way is committed first.
    pub(crate) fn stop(&self) {
        let mut shown = lock(&self.shared);
        shown.is_stopping = true;
        match shown.orders.as_ref().map(|orders| orders.try_send(Order::Stop)) {
            Some(Ok(()) | Err(TrySendError::Closed(_))) => {}
            // Nothing has been done yet, or it is asked too much to be asked.
            None | Some(Err(TrySendError::Full(_))) => self.running.abort(),
        }
    }

    /// Ends it where it stands.
    pub(crate) fn abort(&self) {
        self.running.abort();
    }

    /// Lets it tell its edges of the time again.
    pub(crate) fn tell_time(&self) {
        let shown = lock(&self.shared);
        if let Some(orders) = &shown.orders
            && orders.try_send(Order::TellTime).is_err()
        {
            tracing::debug!(job = self.job, slot = self.grant.slot, "the slot is not told");
        }
    }

    /// Closes when it has ended.
    pub(crate) fn ended(&self) -> WatchReceiver<()> {
        self.ended.clone()
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.running.is_finished()
    }

    /// The slot, to be looked at.
    pub(crate) fn looked(&self) -> Looked {
        let shown = lock(&self.shared);
        Looked {
            job: self.job.clone(),
            stages: Arc::clone(&shown.stages),
            view: shown.view.clone(),
            restarts: self.restarts,
        }
    }

    /// What is new since the last call.
    pub(crate) fn news(&mut self) -> News {
        let shown = lock(&self.shared);
        let view = shown.view.as_ref();
        let view = view.map(|it| it.lock().expect("no holder of a slot's view panics").shown);
        let (now, told) = ((shown.changes, view.unwrap_or(0)), self.told);
        self.told = now;
        News { has_changed: now.0 != told.0, has_committed: now.1 != told.1 }
    }

    /// What the beats say of it; figures of its tasks only when there is room for them.
    pub(crate) fn run(&self, tasks_left: &mut usize) -> Run {
        let seen = seen(&self.looked()).filter(|seen| seen.tasks.len() <= *tasks_left);
        *tasks_left -= seen.as_ref().map_or(0, |seen| seen.tasks.len());
        let shown = lock(&self.shared);
        let view = shown.view.as_ref().map(|view| {
            let view = view.lock().expect("no holder of a slot's view panics");
            let lag: i64 = view.inputs.values().map(InputView::lag).sum();
            (view.tasks.values().map(|task| task.records_in).sum(), lag)
        });
        let (records_in, lag) = view.unwrap_or_default();
        Run {
            job: self.job.clone(),
            slot: self.grant.slot,
            since: self.grant.since,
            turn: shown.turn,
            phase: shown.phase.clone(),
            tasks: shown.tasks.clone(),
            records_in,
            lag,
            seen,
        }
    }
}

pub(super) fn lock(shared: &Mutex<Shown>) -> std::sync::MutexGuard<'_, Shown> {
    shared.lock().expect("no holder of what a slot shows panics")
}

/// Waits until others have ended: what the tasks remember would lie in memory twice meanwhile, and
/// might exceed the limit. For those who take long it does not, as if they ran elsewhere.
async fn wait_for(before: Vec<WatchReceiver<()>>, grant: &Grant) {
    let all = async {
        for mut one in before {
            while one.changed().await.is_ok() {}
        }
    };
    if timer::timeout(Duration::from_millis(DRAIN_MS_MAX), all).await.is_err() {
        tracing::warn!(slot = grant.slot, since = grant.since, "earlier slots have not ended yet");
    }
}

/// Runs a grant to its end.
async fn work(
    place: &Place,
    job: &Job,
    (grant, wanted): (&Grant, WatchReceiver<Grant>),
    shared: &Mutex<Shown>,
) -> Phase {
    let plan = match prepare::read(&job.files, &job.variables) {
        Ok(plan) => plan,
        Err(error) => return Phase::Failed { reason: error.to_string() },
    };
    let room = place.rooms.of(&plan);
    let opened = match open(place, (job, &plan), (grant, &room)).await {
        Ok(opened) => opened,
        Err(error) => return phase_of(&error),
    };
    let orders = opened.orders.clone();
    let moves = Moves { place, job, plan: &plan, room: &room, orders, shared, wanted };
    {
        let mut shown = lock(shared);
        if shown.is_stopping {
            return Phase::Ended { reason: "stopped".to_owned() };
        }
        opened.view.lock().expect("no holder of a slot's view panics").bell = place.bell.clone();
        shown.changed();
        shown.phase = Phase::Running;
        shown.orders = Some(opened.orders);
        shown.view = Some(opened.view);
        shown.stages = Arc::new(plan.stages.iter().map(|stage| stage.id.clone()).collect());
    }
    tracing::info!(job = job.name, slot = grant.slot, since = grant.since, "slot runs");
    let known = Known::of(&place.client, &plan);
    let end = runtime::select! {
        end = opened.slot.run() => end,
        error = moves.follow(moves::own(grant)) => return phase_of(&error),
        gone = gone(known.clone(), &place.client) => return phase_of(&gone),
    };
    if let SlotEnd::Lost(_) | SlotEnd::OutOfRange(_) = &end
        && let Ok(Some(gone)) = known.gone(&place.client).await
    {
        return phase_of(&gone);
    }
    match end {
        SlotEnd::Stopped => Phase::Ended { reason: "stopped".to_owned() },
        SlotEnd::Failed(failure) => Phase::Failed { reason: failure.to_string() },
        SlotEnd::Fenced => Phase::Ended { reason: "fenced".to_owned() },
        SlotEnd::Lost(error) => Phase::Ended { reason: error.to_string() },
        SlotEnd::OutOfRange(error) => Phase::Failed { reason: error.to_string() },
        SlotEnd::TooLarge(reason) => Phase::Failed { reason },
        SlotEnd::State(trouble) => Phase::Failed { reason: EngineError::from(trouble).to_string() },
    }
}

/// Returns when a topic of the job is gone or another one than it was.
async fn gone(mut known: Known, client: &Client) -> EngineError {
    let mut refreshed = client.refreshed();
    loop {
        if known.is_in_doubt(client)
            && let Ok(Some(gone)) = known.gone(client).await
        {
            return gone;
        }
        // While a client lives, so does what tells of it.
        drop(refreshed.changed().await);
        // Looks at the cluster come in bursts, and one answer to all of them is enough.
        timer::sleep(Duration::from_millis(SLOT_WAIT_MS_MAX)).await;
    }
}

async fn open(
    place: &Place,
    (job, plan): (&Job, &Plan),
    (grant, room): (&Grant, &Room),
) -> Result<Opened, EngineError> {
    let progress = Arc::new(Progress::default());
    let host = host(place, (job, plan), room, &progress);
    let mut writer = writer(place, job, grant)?;
    let own = moves::own(grant);
    let mut begun = host.tasks(|stage, partition| own.contains(&(stage, partition))).await?;
    begun.keep(&mut writer).await?;
    let tasks = host.restore(begun.tasks).await?;
    tell_restored(job, grant, &progress);
    host.open(tasks, writer, None).await
}

/// Where a job's slots are hosted here.
pub(super) fn host<'a>(
    place: &'a Place,
    (job, plan): (&'a Job, &'a Plan),
    room: &'a Room,
    progress: &'a Arc<Progress>,
) -> Host<'a> {
    let (client, clock, counts) = (&place.client, &place.clock, &job.topics);
    let state = place.state.as_ref();
    Host { client, clock, plan, counts, state, room, progress }
}

pub(super) fn tell_restored(job: &Job, grant: &Grant, progress: &Progress) {
    let restored = progress.records();
    if restored > 0 {
        tracing::info!(job = job.name, slot = grant.slot, records = restored, "state restored");
    }
}

/// A writer with the identity of the grant: nobody is fenced by it.
fn writer(place: &Place, job: &Job, grant: &Grant) -> Result<Writer, ClientError> {
    let Some(identity) = grant.identity else {
        return Ok(Writer::at_least_once(&place.client, guard::owner(&job.name)));
    };
    let id = transactional_id(&job.name, &grant.worker, grant.slot);
    let offset_metadata = guard::owner(&job.name);
    let options = TransactionalOptions { offset_metadata, ..TransactionalOptions::new(&id) };
    let mut producer = place.client.transactional(options);
    producer.adopt(ProducerIdentity { id: identity.id, epoch: identity.epoch })?;
    Ok(Writer::ExactlyOnce(Box::new(producer)))
}

/// Whether another grant may help.
fn phase_of(error: &EngineError) -> Phase {
    let reason = error.to_string();
    let is_fenced = matches!(error, EngineError::Client(ClientError::Fenced { .. }));
    if is_fenced || error.may_pass() { Phase::Ended { reason } } else { Phase::Failed { reason } }
}
