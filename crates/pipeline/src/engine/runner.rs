//! Running a plan: claim, fence, positions, state, slots, tables; and the orderly end.
//!
//! One start is an attempt: topics are made, the claim is written, every transactional id that
//! the pipeline ever used is fenced, and only then positions are read (with stable offsets) and
//! state is restored, in this order. When the log is lost for a while, another attempt begins
//! from the last commit, unless a newer claim stands in the plan topic: then this process is the
//! older one, and ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::Clock;
use client::Client;
use runtime::channel::{self, WatchReceiver, WatchSender};
use runtime::task::{self, Task};
use runtime::timer;
use topology::plan::{Plan, Table};
use tracing::{info, warn};

use super::attempt::Attempt;
use super::error::EngineError;
use super::guard::Known;
use super::ledger::Claimant;
use super::restore::Progress;
use super::room::Room;
use super::snapshot::keeper::StateFolder;
use super::table::SharedSink;
use super::tap::Tap;
use super::view::{PipelineView, SlotView, TableView};
use crate::limits::{RESTART_WAIT_MS, RESTART_WAIT_MS_MAX};
use crate::sink::Sink;

/// How long a pipeline runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until it is stopped.
    Forever,
    /// Up to the ends of the sources as they are at the start.
    UntilEnd {
        /// Whether windows that are open then are closed.
        close_windows: bool,
    },
}

/// A table of the plan with the sink that writes it.
#[derive(Debug)]
pub struct BoundSink {
    /// The table.
    pub table: Table,
    /// Its sink.
    pub sink: Box<dyn Sink>,
}

/// What to run.
#[derive(Debug)]
pub struct EngineOptions {
    /// The plan.
    pub plan: Plan,
    /// Who runs it.
    pub claimant: Claimant,
    /// A sink for each table of the plan.
    pub sinks: Vec<BoundSink>,
    /// How long.
    pub mode: Mode,
    /// Where snapshots of the state are kept, so that restarts are quick; `None` keeps none.
    pub state: Option<StateFolder>,
}

/// What an attempt shares with those who look on.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) plan: Plan,
    pub(crate) claimant: Claimant,
    pub(crate) mode: Mode,
    pub(crate) sinks: Vec<(Table, SharedSink)>,
    pub(crate) slots: Mutex<Vec<Arc<Mutex<SlotView>>>>,
    pub(crate) tables: Arc<Mutex<BTreeMap<String, TableView>>>,
    pub(crate) state: Option<StateFolder>,
    /// What the state takes, from one start to the next.
    pub(crate) room: Room,
    /// How far the last start has come with rebuilding its state.
    pub(crate) restore: Arc<Progress>,
    /// The topics as they were when the pipeline first ran.
    pub(crate) known: Mutex<Known>,
    phase: Mutex<(&'static str, u64)>,
}

impl Shared {
    /// The topics as they were when the pipeline first ran.
    pub(crate) fn known(&self) -> Known {
        self.known.lock().expect("no holder of the known topics panics").clone()
    }

    pub(crate) fn enter(&self, phase: &'static str) {
        self.phase.lock().expect("no holder of the phase panics").0 = phase;
    }

    /// The pipeline at this moment.
    pub(crate) fn view(&self) -> PipelineView {
        let (phase, restarts) = *self.phase.lock().expect("no holder of the phase panics");
        let stages: Vec<String> = self.plan.stages.iter().map(|stage| stage.id.clone()).collect();
        let mut view = PipelineView {
            pipeline: self.plan.pipeline.clone(),
            phase,
            restarts,
            restored: self.restore.records(),
            restoring: self.restore.offsets(),
            tables: self.tables.lock().expect("no holder of the tables' view panics").clone(),
            ..PipelineView::default()
        };
        for slot in self.slots.lock().expect("no holder of the slots panics").iter() {
            view.add_slot(&slot.lock().expect("no holder of a slot's view panics"), &stages);
        }
        view
    }
}

/// A pipeline that runs.
pub struct Engine {
    shared: Arc<Shared>,
    stop: Arc<WatchSender<bool>>,
    task: Task<Result<(), EngineError>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.shared.plan.pipeline)
    }
}

/// Looks at a pipeline and stops it; cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
    stop: Arc<WatchSender<bool>>,
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineHandle({})", self.shared.plan.pipeline)
    }
}

impl EngineHandle {
    /// The pipeline at this moment.
    #[must_use]
    pub fn view(&self) -> PipelineView {
        self.shared.view()
    }

    /// The pipeline's name.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.shared.plan.pipeline
    }

    /// Lets the slots know of a tap; how many there are.
    #[must_use]
    pub fn tap(&self, tap: &Arc<Tap>) -> usize {
        let slots = self.shared.slots.lock().expect("no holder of the slots panics");
        let view = |slot: &Arc<Mutex<SlotView>>| {
            slot.lock().expect("no holder of a slot's view panics").tap(tap)
        };
        slots.iter().filter(|slot| view(slot)).count()
    }

    /// Asks for the end: what lies in the log now is finished, then the pipeline closes.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Engine {
    /// Starts a pipeline on the executor of the caller.
    #[must_use]
    pub fn start(client: Client, clock: Arc<dyn Clock>, options: EngineOptions) -> Self {
        let sinks = options.sinks.into_iter();
        let room = Room::new(&options.plan, options.state.as_ref());
        let shared = Arc::new(Shared {
            client,
            clock,
            plan: options.plan,
            claimant: options.claimant,
            mode: options.mode,
            sinks: sinks.map(|it| (it.table, Arc::new(Mutex::new(it.sink)))).collect(),
            slots: Mutex::new(Vec::new()),
            tables: Arc::default(),
            state: options.state,
            room,
            restore: Arc::default(),
            known: Mutex::default(),
            phase: Mutex::new(("starting", 0)),
        });
        let (stop, stopped) = channel::watch(false);
        let task = task::spawn("pipeline", run(Arc::clone(&shared), stopped));
        Self { shared, stop: Arc::new(stop), task }
    }

    /// For looking on and stopping.
    #[must_use]
    pub fn handle(&self) -> EngineHandle {
        EngineHandle { shared: Arc::clone(&self.shared), stop: Arc::clone(&self.stop) }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why the pipeline could not go on.
    pub async fn finished(self) -> Result<PipelineView, EngineError> {
        let result = self.task.join().await;
        self.shared.enter("stopped");
        match result {
            Some(result) => result.map(|()| self.shared.view()),
            None => Ok(self.shared.view()),
        }
    }
}

async fn run(shared: Arc<Shared>, stopped: WatchReceiver<bool>) -> Result<(), EngineError> {
    let mut wait_ms = RESTART_WAIT_MS;
    let mut is_first = true;
    loop {
        let began_ms = shared.clock.steady_ms();
        let error = match Attempt::run(&shared, stopped.clone(), is_first).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !error.may_pass() || *stopped.borrow() {
            return Err(error);
        }
        is_first = false;
        if shared.clock.steady_ms().saturating_sub(began_ms) > RESTART_WAIT_MS_MAX {
            wait_ms = RESTART_WAIT_MS;
        }
        warn!(%error, pipeline = %shared.plan.pipeline, wait_ms, "pipeline begins again");
        shared.phase.lock().expect("no holder of the phase panics").1 += 1;
        shared.enter("waiting");
        let mut woken = stopped.clone();
        runtime::select! {
            () = timer::sleep(Duration::from_millis(wait_ms)) => {}
            _ = woken.wait_for(|stop| *stop) => return Err(error),
        }
        wait_ms = (wait_ms * 2).min(RESTART_WAIT_MS_MAX);
        info!(pipeline = %shared.plan.pipeline, "trying again");
    }
}
