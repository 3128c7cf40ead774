//! Following the changelogs of tasks that others run, so that copies of their state are there.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use client::Consumer;
use client::admin::OffsetAt;
use client::consumer::Fetched;
use client::options::{ConsumerOptions, Isolation};
use runtime::channel::WatchReceiver;
use topology::plan::Plan;
use tracing::{info, warn};

use super::{Aids, goals_of, local};
use crate::engine::code::StageCode;
use crate::engine::error::EngineError;
use crate::engine::standby::{Own, StandbyTask, Standbys};
use crate::engine::task::Task;
use crate::engine::topics::{Counts, tasks_of};
use crate::limits::{FETCH_WAIT_QUIET_MS_MAX, STANDBY_LOOK_MS, STANDBY_REST_MS, STANDBY_WAIT_MS};
use state::memory::MemoryShare;

/// Of which tasks there shall be copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Those of others.
    pub(crate) copied: BTreeSet<Own>,
    /// Those that slots of this process have or begin with: a copy stays until it is taken over.
    pub(crate) granted: BTreeSet<Own>,
}

/// Whoever keeps the copies of a pipeline up to date.
pub(crate) struct Follower {
    aids: Aids,
    standbys: Standbys,
    codes: Vec<Arc<StageCode>>,
    /// How many tasks each stage has.
    siblings: Vec<i32>,
    consumer: Consumer,
    /// What is read: whose changelog, and of which node.
    read: BTreeMap<(String, i32), (Own, usize)>,
    /// Tasks whose state does not fit here.
    given_up: BTreeSet<Own>,
    /// When the ends are asked for again, in steady milliseconds.
    due_ms: u64,
    has_moved: bool,
    /// Whether a copy is gone that is still read for.
    is_stale: bool,
}

impl Follower {
    /// One that follows nothing yet; `aids` name the memory that copies may take.
    pub(crate) fn new(aids: Aids, (plan, counts): (&Plan, &Counts), standbys: &Standbys) -> Self {
        let consumer = aids.client.consumer(ConsumerOptions {
            isolation: Isolation::ReadCommitted,
            fetch_wait_quiet_max: Duration::from_millis(FETCH_WAIT_QUIET_MS_MAX),
            ..ConsumerOptions::default()
        });
        Self {
            aids,
            standbys: standbys.clone(),
            codes: StageCode::all(plan).into_iter().map(Arc::new).collect(),
            siblings: (0..plan.stages.len()).map(|at| tasks_of(plan, at, counts)).collect(),
            consumer,
            read: BTreeMap::new(),
            given_up: BTreeSet::new(),
            due_ms: 0,
            has_moved: false,
            is_stale: false,
        }
    }

    /// Follows until something goes wrong.
    pub(crate) async fn run(
        mut self,
        mut wanted: WatchReceiver<Wanted>,
    ) -> Result<Infallible, EngineError> {
        loop {
            let now = wanted.borrow_and_update().clone();
            self.adapt(&now).await?;
            while !wanted.has_changed().unwrap_or(false) {
                if self.read.is_empty() {
                    drop(wanted.changed().await);
                    break;
                }
                self.turn().await?;
            }
        }
    }

    /// Begins with what is wanted and not there, and ends what is not wanted any more.
    async fn adapt(&mut self, wanted: &Wanted) -> Result<(), EngineError> {
        let is_wanted = |own: &Own| wanted.copied.contains(own) || wanted.granted.contains(own);
        self.standbys.retain(self.aids.fingerprint, is_wanted);
        self.given_up.retain(|own| wanted.copied.contains(own));
        // Before others begin at the same places.
        self.read_copies();
        let there = self.standbys.tasks();
        let is_missing = |own: &&Own| !there.contains(own) && !self.given_up.contains(own);
        let missing: Vec<Own> = wanted.copied.iter().filter(is_missing).copied().collect();
        if !missing.is_empty() {
            self.begin(&missing).await?;
            self.read_copies();
        }
        self.due_ms = 0;
        Ok(())
    }

    /// Reads what the copies need, from where they are.
    fn read_copies(&mut self) {
        let places = self.standbys.places();
        let gone = self.read.keys().filter(|place| !places.contains_key(*place));
        for (topic, partition) in gone.cloned().collect::<Vec<_>>() {
            self.consumer.remove(&topic, partition);
            self.read.remove(&(topic, partition));
        }
        for ((topic, partition), (own, node, offset)) in places {
            if !self.read.contains_key(&(topic.clone(), partition)) {
                self.consumer.add(&topic, partition, offset);
                self.read.insert((topic, partition), (own, node));
            }
        }
    }

    /// Copies of these tasks, from what lies here of their state.
    async fn begin(&self, missing: &[Own]) -> Result<(), EngineError> {
        let mut tasks: Vec<Task> = missing.iter().filter_map(|own| self.task(*own)).collect();
        let began_ms = self.aids.clock.unix_ms();
        let mut goals = goals_of(&self.aids.client, &tasks, began_ms).await?;
        let mut ids: BTreeMap<usize, BTreeMap<usize, _>> = BTreeMap::new();
        for ((changelog, _), goal) in &goals {
            let id = self.aids.client.topic(changelog).await?.id;
            ids.entry(goal.task).or_default().insert(goal.node, id);
        }
        local::load(&self.aids, &mut goals, &mut tasks).await?;
        for goal in goals.values() {
            goal.reached(&mut tasks, goal.next, began_ms);
        }
        for (at, task) in tasks.into_iter().enumerate() {
            let share = MemoryShare::new(&self.aids.memory);
            let ids = ids.remove(&at).unwrap_or_default();
            self.standbys.add(StandbyTask::new(task, self.aids.fingerprint, ids, share));
        }
        info!(pipeline = %self.aids.pipeline, tasks = ?missing, "state is being copied");
        Ok(())
    }

    /// A task without positions; none where it has no state.
    fn task(&self, (stage, partition): Own) -> Option<Task> {
        let code = self.codes.get(stage).filter(|code| !code.stage.stores.is_empty())?;
        let siblings = *self.siblings.get(stage)?;
        let positions = vec![None; code.stage.inputs.len()];
        let reporters = vec![1; code.stage.inputs.len()];
        Some(Task::new(Arc::clone(code), (stage, partition, siblings), positions, reporters))
    }

    /// Takes what comes within a wait.
    async fn turn(&mut self) -> Result<(), EngineError> {
        let parts = self.consumer.poll(Duration::from_millis(STANDBY_WAIT_MS)).await?;
        for part in &parts {
            self.follow(part)?;
        }
        // Markers and aborted records move the position without giving anything.
        for ((topic, partition), (own, node)) in &self.read {
            if let Some(offset) = self.consumer.position(topic, *partition) {
                let is_there = self.standbys.change(*own, |copy| copy.reached(*node, offset));
                self.is_stale |= is_there.is_none();
            }
        }
        if !parts.is_empty() {
            self.hold();
        }
        if std::mem::take(&mut self.is_stale) {
            self.read_copies();
        }
        if self.aids.clock.steady_ms() >= self.due_ms {
            self.look().await?;
        }
        Ok(())
    }

    fn follow(&mut self, part: &Fetched) -> Result<(), EngineError> {
        let place = (part.topic.to_string(), part.partition);
        let Some((own, node)) = self.read.get(&place).copied() else { return Ok(()) };
        self.has_moved |= !part.batches.is_empty();
        for batch in &part.batches {
            // One at a time: whoever wants the copy need not wait for more.
            let followed =
                self.standbys.change(own, |copy| copy.follow(batch, part.from, node, &place));
            match followed {
                Some(followed) => followed?,
                None => {
                    self.is_stale = true;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Counts the memory, and gives copies up that do not fit.
    fn hold(&mut self) {
        for own in self.standbys.tasks() {
            if let Some(Err(over)) = self.standbys.change(own, StandbyTask::hold) {
                let (pipeline, (stage, partition)) = (&self.aids.pipeline, own);
                warn!(%pipeline, stage, partition, %over, "no copy of this task's state here");
                self.standbys.forget(own);
                self.given_up.insert(own);
                self.is_stale = true;
            }
        }
    }

    /// Asks how far there is to go, and sees to what lies on disk.
    async fn look(&mut self) -> Result<(), EngineError> {
        let now_ms = self.aids.clock.steady_ms();
        let pause_ms = if self.has_moved { STANDBY_LOOK_MS } else { STANDBY_REST_MS };
        (self.has_moved, self.due_ms) = (false, now_ms + pause_ms);
        let places: Vec<(&str, i32)> =
            self.read.keys().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
        if places.is_empty() {
            return Ok(());
        }
        let at_ms = self.aids.clock.unix_ms();
        let admin = self.aids.client.admin();
        let ends = admin.list_offsets(&places, OffsetAt::Latest, Isolation::ReadCommitted).await?;
        let mut is_behind = false;
        for (place, (own, node)) in &self.read {
            if let Some(end) = ends.get(place).map(|end| end.offset) {
                self.standbys.change(*own, |copy| copy.saw_end(*node, end, at_ms));
                let position = self.consumer.position(&place.0, place.1);
                is_behind |= position.is_none_or(|position| position < end);
            }
        }
        // Nobody learns that a copy is ready before the next look.
        if is_behind {
            self.due_ms = now_ms + STANDBY_LOOK_MS;
        }
        for own in self.standbys.tasks() {
            self.standbys.change(own, StandbyTask::write).transpose()?;
        }
        Ok(())
    }
}
