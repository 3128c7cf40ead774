//! A slot of a task manager, from its grant to its end.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use base::clock::Clock;
use client::options::TransactionalOptions;
use client::{Client, ClientError};
use coordination::beat::{Phase, Run};
use coordination::catalogue::{Grant, Job, transactional_id};
use protocol::record::ProducerIdentity;
use runtime::channel::{Sender, TrySendError};
use runtime::task::{self, Task};
use topology::plan::Plan;

use super::prepare;
use super::views::{Looked, seen};
use crate::engine::EngineError;
use crate::engine::host::Host;
use crate::engine::slot::{Order, SlotEnd};
use crate::engine::view::{InputView, SlotView};
use crate::engine::writer::Writer;

/// What a slot works with.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A slot that was granted.
pub(crate) struct Held {
    pub(crate) job: String,
    pub(crate) grant: Grant,
    restarts: u64,
    shared: Arc<Mutex<Shown>>,
    running: Task<()>,
}

/// What is seen of a slot from outside.
#[derive(Debug)]
struct Shown {
    phase: Phase,
    orders: Option<Sender<Order>>,
    view: Option<Arc<Mutex<SlotView>>>,
    stages: Arc<Vec<String>>,
    is_stopping: bool,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({} slot {} since {})", self.job, self.grant.slot, self.grant.since)
    }
}

impl Held {
    /// Begins to run a grant; `restarts` tells how often the slot ran for the job before.
    pub(crate) fn start(place: &Place, (job, grant): (&Job, &Grant), restarts: u64) -> Self {
        let shown = Shown {
            phase: Phase::Starting,
            orders: None,
            view: None,
            stages: Arc::default(),
            is_stopping: false,
        };
        let shared = Arc::new(Mutex::new(shown));
        let (place, job_of, granted) = (place.clone(), job.clone(), grant.clone());
        let told = Arc::clone(&shared);
        let running = task::spawn("granted slot", async move {
            let end = work(&place, &job_of, &granted, &told).await;
            lock(&told).phase = end;
        });
        Self { job: job.name.clone(), grant: grant.clone(), restarts, shared, running }
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
            phase: shown.phase.clone(),
            tasks: self.grant.tasks.clone(),
            records_in,
            lag,
            seen,
        }
    }
}

fn lock(shared: &Mutex<Shown>) -> std::sync::MutexGuard<'_, Shown> {
    shared.lock().expect("no holder of what a slot shows panics")
}

/// Runs a grant to its end.
async fn work(place: &Place, job: &Job, grant: &Grant, shared: &Mutex<Shown>) -> Phase {
    let plan = match prepare::read(&job.files, &job.variables) {
        Ok(plan) => plan,
        Err(error) => return Phase::Failed { reason: error.to_string() },
    };
    let opened = match open(place, (job, &plan), grant).await {
        Ok(opened) => opened,
        Err(error) => return phase_of(&error),
    };
    {
        let mut shown = lock(shared);
        if shown.is_stopping {
            return Phase::Ended { reason: "stopped".to_owned() };
        }
        shown.phase = Phase::Running;
        shown.orders = Some(opened.orders);
        shown.view = Some(opened.view);
        shown.stages = Arc::new(plan.stages.iter().map(|stage| stage.id.clone()).collect());
    }
    tracing::info!(job = job.name, slot = grant.slot, since = grant.since, "slot runs");
    match opened.slot.run().await {
        SlotEnd::Stopped => Phase::Ended { reason: "stopped".to_owned() },
        SlotEnd::Failed(failure) => Phase::Failed { reason: failure.to_string() },
        SlotEnd::Fenced => Phase::Ended { reason: "fenced".to_owned() },
        SlotEnd::Lost(error) => Phase::Ended { reason: error.to_string() },
        SlotEnd::OutOfRange(error) => Phase::Failed { reason: error.to_string() },
        SlotEnd::TooLarge(reason) => Phase::Failed { reason },
    }
}

async fn open(
    place: &Place,
    (job, plan): (&Job, &Plan),
    grant: &Grant,
) -> Result<crate::engine::host::Opened, EngineError> {
    let host =
        Host { client: &place.client, clock: &place.clock, plan, counts: &job.topics, state: None };
    let mut writer = writer(place, job, grant)?;
    let own: BTreeSet<(usize, i32)> = grant
        .tasks
        .iter()
        .map(|task| (base::cast::usize_of_u32(task.stage), task.partition))
        .collect();
    let mut begun = host.tasks(|stage, partition| own.contains(&(stage, partition))).await?;
    begun.keep(&mut writer).await?;
    let restored = host.restore(&mut begun.tasks).await?;
    if restored > 0 {
        tracing::info!(job = job.name, slot = grant.slot, records = restored, "state restored");
    }
    Ok(host.open(begun.tasks, writer, None).await?)
}

/// A writer with the identity of the grant: nobody is fenced by it.
fn writer(place: &Place, job: &Job, grant: &Grant) -> Result<Writer, ClientError> {
    let Some(identity) = grant.identity else {
        return Ok(Writer::at_least_once(&place.client));
    };
    let id = transactional_id(&job.name, &grant.worker, grant.slot);
    let mut producer = place.client.transactional(TransactionalOptions::new(&id));
    producer.adopt(ProducerIdentity { id: identity.id, epoch: identity.epoch })?;
    Ok(Writer::ExactlyOnce(Box::new(producer)))
}

/// Whether another grant may help.
fn phase_of(error: &EngineError) -> Phase {
    let reason = error.to_string();
    let is_fenced = matches!(error, EngineError::Client(ClientError::Fenced { .. }));
    if is_fenced || error.may_pass() { Phase::Ended { reason } } else { Phase::Failed { reason } }
}
