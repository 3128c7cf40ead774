//! A slot of a task manager, from its grant to its end.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::Clock;
use client::options::TransactionalOptions;
use client::{Client, ClientError};
use coordination::beat::{Phase, Run};
use coordination::catalogue::{Grant, Job, transactional_id};
use protocol::record::ProducerIdentity;
use runtime::channel::{Sender, TrySendError};
use runtime::task::{self, Task};
use runtime::timer;
use topology::plan::Plan;

use super::prepare;
use crate::engine::EngineError;
use crate::engine::guard::{self, Known};
use crate::engine::host::Host;
use crate::engine::slot::{Order, SlotEnd};
use crate::engine::view::SlotView;
use crate::engine::writer::Writer;
use crate::limits::SLOT_WAIT_MS_MAX;

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
    shared: Arc<Mutex<Shown>>,
    running: Task<()>,
}

/// What is seen of a slot from outside.
#[derive(Debug)]
struct Shown {
    phase: Phase,
    orders: Option<Sender<Order>>,
    view: Option<Arc<Mutex<SlotView>>>,
    is_stopping: bool,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({} slot {} since {})", self.job, self.grant.slot, self.grant.since)
    }
}

impl Held {
    /// Begins to run a grant.
    pub(crate) fn start(place: &Place, job: &Job, grant: &Grant) -> Self {
        let shown = Shown { phase: Phase::Starting, orders: None, view: None, is_stopping: false };
        let shared = Arc::new(Mutex::new(shown));
        let (place, job_of, granted) = (place.clone(), job.clone(), grant.clone());
        let told = Arc::clone(&shared);
        let running = task::spawn("granted slot", async move {
            let end = work(&place, &job_of, &granted, &told).await;
            lock(&told).phase = end;
        });
        Self { job: job.name.clone(), grant: grant.clone(), shared, running }
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

    /// What the beats say of it.
    pub(crate) fn run(&self) -> Run {
        let shown = lock(&self.shared);
        let view = shown.view.as_ref().map(|view| {
            let view = view.lock().expect("no holder of a slot's view panics");
            let lag: i64 = view.inputs.values().map(|it| (it.end - it.committed).max(0)).sum();
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
    }
    tracing::info!(job = job.name, slot = grant.slot, since = grant.since, "slot runs");
    let known = Known::of(&place.client, &plan);
    let end = runtime::select! {
        end = opened.slot.run() => end,
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
    }
}

/// Returns when a topic of the job is gone or another one than it was.
async fn gone(mut known: Known, client: &Client) -> EngineError {
    loop {
        if known.is_in_doubt(client)
            && let Ok(Some(gone)) = known.gone(client).await
        {
            return gone;
        }
        timer::sleep(Duration::from_millis(SLOT_WAIT_MS_MAX)).await;
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
