//! What hosts slots: tasks at their positions, their state, and slots that run them.
//!
//! Whoever calls has made certain that no other slot may write for these tasks any more: only then
//! positions and state are what the tasks go on from.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::Clock;
use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation};
use client::{Client, ClientError};
use runtime::channel::{self, Sender, WatchReceiver};
use topology::plan::{InputKind, Plan};
use topology::spec::Start;

use super::code::StageCode;
use super::error::EngineError;
use super::guard;
use super::parking;
use super::purge::Purge;
use super::restore::follow::{Follower, Wanted};
use super::restore::{Aids, Progress, restore};
use super::room::Room;
use super::slot::parked::Parked;
use super::slot::{Order, Slot, SlotParts};
use super::snapshot::keeper::{Keeper, KeeperParts, StateFolder};
use super::standby::Standbys;
use super::task::{Position, Task};
use super::topics::{Counts, tasks_of};
use super::view::SlotView;
use super::writer::Writer;
use crate::limits::{FETCH_WAIT_QUIET_MS_MAX, RESTORE_SILENCE_MS_MAX, SLOT_ORDERS_MAX};

type Places = BTreeMap<(String, i32), i64>;

/// Where slots are hosted.
#[derive(Clone, Copy)]
pub(crate) struct Host<'a> {
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) plan: &'a Plan,
    pub(crate) counts: &'a Counts,
    /// Where snapshots lie, when there are any.
    pub(crate) state: Option<&'a StateFolder>,
    /// What the state of the pipeline may take here.
    pub(crate) room: &'a Room,
    /// How far a restore has come; others look on.
    pub(crate) progress: &'a Arc<Progress>,
}

/// Tasks that are about to run.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) tasks: Vec<Task>,
    /// Positions by group that were chosen just now and must be kept.
    chosen: BTreeMap<String, Places>,
}

impl Begun {
    /// Keeps the positions that were chosen, as the slot's own first word: what comes while
    /// nobody runs is to be read too. Somebody who was fenced keeps nothing.
    pub(crate) async fn keep(&mut self, writer: &mut Writer) -> Result<(), ClientError> {
        if !self.has_chosen() {
            return Ok(());
        }
        writer.begin()?;
        self.send_chosen(writer)?;
        writer.commit().await
    }

    /// Whether there are positions to be kept.
    pub(crate) fn has_chosen(&self) -> bool {
        !self.chosen.is_empty()
    }

    /// Puts the positions to be kept into the transaction that is open.
    pub(crate) fn send_chosen(&mut self, writer: &mut Writer) -> Result<(), ClientError> {
        for (group, places) in std::mem::take(&mut self.chosen) {
            let offsets: Vec<(&str, i32, i64)> = places
                .iter()
                .map(|((topic, partition), offset)| (topic.as_str(), *partition, *offset))
                .collect();
            writer.send_offsets(&group, &offsets)?;
        }
        Ok(())
    }
}

/// A slot that is ready to run.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) slot: Slot,
    pub(crate) orders: Sender<Order>,
    pub(crate) view: Arc<Mutex<SlotView>>,
}

impl fmt::Debug for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", self.plan.pipeline)
    }
}

impl Host<'_> {
    /// Rebuilds the state of tasks, and then which of their keys are parked.
    pub(crate) async fn restore(&self, tasks: Vec<Task>) -> Result<Vec<Task>, EngineError> {
        let aids = self.aids().await?;
        let mut tasks = restore(&aids, tasks).await?;
        parking::open::open(self.client, self.plan, &mut tasks).await?;
        Ok(tasks)
    }

    /// Keeps copies of the state of others' tasks up to date until something goes wrong.
    pub(crate) async fn follow(
        &self,
        wanted: WatchReceiver<Wanted>,
    ) -> Result<Infallible, EngineError> {
        let memory = Arc::clone(self.room.copies_memory());
        // What it copies it does not take over.
        let aids = Aids { memory, standbys: Standbys::default(), ..self.aids().await? };
        Follower::new(aids, (self.plan, self.counts), self.room.standbys()).run(wanted).await
    }

    /// What a restore may make use of.
    async fn aids(&self) -> Result<Aids, EngineError> {
        // All of the pipeline's: any of them may come here.
        let stages = self.plan.stages.iter().enumerate();
        let stores = stages.map(|(index, stage)| {
            let tasks = tasks_of(self.plan, index, self.counts);
            stage.stores.len() * usize::try_from(tasks).unwrap_or(0)
        });
        let silence_ms = self.state.map(|folder| folder.silence_ms_max);
        Ok(Aids {
            client: self.client.clone(),
            clock: Arc::clone(self.clock),
            pipeline: self.plan.pipeline.clone(),
            folder: self.state.cloned(),
            shelves: self.room.shelves(stores.sum()).await?,
            fingerprint: self.plan.fingerprint(),
            memory: Arc::clone(self.room.memory()),
            standbys: self.room.standbys().clone(),
            progress: Arc::clone(self.progress),
            silence: Duration::from_millis(silence_ms.unwrap_or(RESTORE_SILENCE_MS_MAX)),
        })
    }

    /// A slot with these tasks, whose state it holds from now on; `claim` is what names this start
    /// in the plan topic where nobody is fenced.
    ///
    /// # Errors
    /// The log's, or more state than the memory may hold.
    pub(crate) async fn open(
        &self,
        tasks: Vec<Task>,
        writer: Writer,
        claim: Option<(String, u64)>,
    ) -> Result<Opened, EngineError> {
        let mut memory = self.room.share();
        let bytes = tasks.iter().map(Task::state_bytes).sum();
        memory.hold(bytes).map_err(EngineError::StateLimit)?;
        let (sender, orders) = channel::mailbox(SLOT_ORDERS_MAX);
        let view: Arc<Mutex<SlotView>> = Arc::default();
        let parts = SlotParts {
            tasks,
            stages: self.plan.stages.len(),
            writer,
            consumer: self.client.consumer(ConsumerOptions {
                isolation: Isolation::ReadCommitted,
                fetch_wait_quiet_max: Duration::from_millis(FETCH_WAIT_QUIET_MS_MAX),
                ..ConsumerOptions::default()
            }),
            orders,
            view: Arc::clone(&view),
            clock: Arc::clone(self.clock),
            commit_interval_ms: self.plan.commit_interval_ms,
            keeper: self.state.map(|folder| self.keeper(folder, claim)),
            purge: Purge::new(self.client.clone(), Arc::clone(self.clock)),
            memory,
            parked: Parked::new(self.client.clone(), self.plan.dead_letter.clone()),
        };
        Ok(Opened { slot: Slot::new(parts).await?, orders: sender, view })
    }

    fn keeper(&self, folder: &StateFolder, claim: Option<(String, u64)>) -> Keeper {
        Keeper::new(KeeperParts {
            folder: folder.clone(),
            client: self.client.clone(),
            clock: Arc::clone(self.clock),
            fingerprint: self.plan.fingerprint(),
            every_ms: self.plan.state.snapshot_interval_ms,
            claim,
        })
    }

    /// The tasks that are wanted, by stage and partition, at their positions and without state.
    pub(crate) async fn tasks(
        &self,
        is_wanted: impl Fn(usize, i32) -> bool,
    ) -> Result<Begun, EngineError> {
        let mut tasks = Vec::new();
        let mut chosen = BTreeMap::new();
        for (index, code) in StageCode::all(self.plan).into_iter().enumerate() {
            let code = Arc::new(code);
            let siblings = tasks_of(self.plan, index, self.counts);
            let wanted: Vec<i32> = (0..siblings).filter(|it| is_wanted(index, *it)).collect();
            if wanted.is_empty() {
                continue;
            }
            let (positions, new) = self.positions(&code, &wanted).await?;
            if !new.is_empty() {
                chosen.insert(code.stage.group.clone(), new);
            }
            let reporters: Vec<usize> = self.reporters(&code);
            for partition in wanted {
                let inputs = code.stage.inputs.iter();
                let at = inputs.map(|input| {
                    let place = (input.topic.clone(), partition);
                    positions.get(&place).map(|offset| Position::at(*offset))
                });
                let place = (index, partition, siblings);
                tasks.push(Task::new(Arc::clone(&code), place, at.collect(), reporters.clone()));
            }
        }
        Ok(Begun { tasks, chosen })
    }

    /// How many tasks tell the time of each input.
    fn reporters(&self, code: &StageCode) -> Vec<usize> {
        let inputs = code.stage.inputs.iter();
        let reporters = inputs.map(|input| match &input.kind {
            InputKind::Source(_) => 1,
            InputKind::Edge { from, .. } => {
                let stages = &self.plan.stages;
                let writer = stages.iter().position(|stage| {
                    stage.operators.iter().any(|operator| operator.task == *from)
                });
                let tasks = writer.map_or(1, |at| tasks_of(self.plan, at, self.counts));
                usize::try_from(tasks).unwrap_or(1)
            }
        });
        reporters.collect()
    }

    /// Where tasks of a stage go on: at their committed offsets, or where its sources say; and
    /// those of the latter that must be kept.
    async fn positions(
        &self,
        code: &StageCode,
        wanted: &[i32],
    ) -> Result<(Places, Places), EngineError> {
        let admin = self.client.admin();
        let places_of = |topic: &str| {
            let count = self.counts.get(topic).copied().unwrap_or(0);
            wanted.iter().copied().filter(move |partition| *partition < count)
        };
        let inputs = || code.stage.inputs.iter();
        let places: Vec<(&str, i32)> = inputs()
            .flat_map(|it| places_of(&it.topic).map(|partition| (it.topic.as_str(), partition)))
            .collect();
        let committed = admin.committed_offsets(&code.stage.group, Some(&places), true).await?;
        guard::check_owner(&self.plan.pipeline, &code.stage.group, committed.values())?;
        // A group that the file names may be named by another file too: whose it is stands there
        // from the start.
        let own = format!("ms.{}.", self.plan.pipeline);
        let is_named = !code.stage.group.starts_with(&own);
        let mut positions = Places::new();
        let mut chosen = Places::new();
        for (place, found) in committed {
            if found.offset >= 0 {
                positions.insert(place, found.offset);
            }
        }
        for input in inputs() {
            let at = match &input.kind {
                InputKind::Source(source) if source.start == Start::Latest => OffsetAt::Latest,
                InputKind::Source(_) | InputKind::Edge { .. } => OffsetAt::Earliest,
            };
            let is_new =
                |partition: &i32| !positions.contains_key(&(input.topic.clone(), *partition));
            let new: Vec<(&str, i32)> = places_of(&input.topic)
                .filter(is_new)
                .map(|partition| (input.topic.as_str(), partition))
                .collect();
            if new.is_empty() {
                continue;
            }
            let found = admin.list_offsets(&new, at, Isolation::ReadUncommitted).await?;
            let found = found.into_iter().map(|(place, it)| (place, it.offset));
            let found: Places = found.collect();
            if at == OffsetAt::Latest || is_named {
                chosen.extend(found.clone());
            }
            positions.extend(found);
        }
        Ok((positions, chosen))
    }
}
