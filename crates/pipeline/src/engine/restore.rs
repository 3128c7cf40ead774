//! Rebuilding the state of tasks from their changelogs.
//!
//! ```text
//! ends, ids, retention --> local state that fits --> tails, side by side --> tasks
//! ```
//!
//! The end is the high watermark, asked for after every former owner was fenced: up to there
//! everything is either committed or aborted, so that reading committed records reaches it. The
//! last stable offset would not do: a foreign transaction that hangs would hide what lies behind
//! it (PIPELINES: silent under-restore). No progress for too long is an error, not a shrug.

pub(crate) mod follow;
mod local;
mod tail;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::clock::Clock;
use client::admin::OffsetAt;
use client::options::Isolation;
use client::{Client, ClientError};
use runtime::channel::{self, WatchReceiver};
use runtime::task::{self as run, Task as RunningTask};
use runtime::timer;
use tracing::info;

use super::error::EngineError;
use super::snapshot::keeper::StateFolder;
use super::standby::Standbys;
use super::task::Task;
use crate::limits::{RESTORE_TOLD_MS, RESTORE_WORKERS_MAX};
use state::memory::{Memory, MemoryShare};
use state::store::{Applied, Shelves};
use tail::Tail;
pub(crate) use tail::apply;

/// A changelog partition and what it restores.
#[derive(Debug, Clone, Copy)]
struct Goal {
    /// The task, by its place among those of its worker.
    task: usize,
    node: usize,
    /// Where the changelog begins and ends.
    start: i64,
    end: i64,
    next: i64,
    /// The time from which on tombstones behind `next` are remembered for as long as the changelog
    /// remembers any, in milliseconds since 1970.
    since_ms: i64,
}

impl Goal {
    /// The same time for state that has come up to an offset. Short of the end it is as old as what
    /// the restore began with: deletions which that has not seen may be forgotten as early as
    /// before. At the end it has seen all that there were when the end was asked for.
    fn since_ms(&self, reached: i64, began_ms: i64) -> i64 {
        if reached < self.end { self.since_ms } else { began_ms }
    }

    /// The state has come up to an offset.
    fn reached(&self, tasks: &mut [Task], offset: i64, began_ms: i64) {
        let state = &mut tasks[self.task].state;
        let closed_ms = state.closed_ms[self.node];
        let at_ms = self.since_ms(offset, began_ms);
        state.nodes[self.node].settle(Some(Applied { offset, at_ms, closed_ms }));
    }
}

type Goals = BTreeMap<(String, i32), Goal>;

/// How far a restore has come; others look on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Offsets that have been passed, and all that are to be.
    done: AtomicU64,
    total: AtomicU64,
    /// Records that were read.
    records: AtomicU64,
}

impl Progress {
    /// Records that the last restore has read.
    pub(crate) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Offsets of changelogs that have been passed, and all that are to be.
    pub(crate) fn offsets(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.records.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }
}

/// What a restore may make use of.
#[derive(Clone)]
pub(crate) struct Aids {
    pub(crate) client: Client,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pipeline: String,
    /// Where snapshots lie, when there are any.
    pub(crate) folder: Option<StateFolder>,
    /// Where state lies that is kept on disk, when it is.
    pub(crate) shelves: Option<Shelves>,
    /// The plan's.
    pub(crate) fingerprint: u64,
    pub(crate) memory: Arc<Memory>,
    /// Copies of the state that others have gone on with until now.
    pub(crate) standbys: Standbys,
    pub(crate) progress: Arc<Progress>,
    /// How long there may be no progress.
    pub(crate) silence: Duration,
}

/// Rebuilds the state of these tasks.
///
/// # Errors
/// The log's, no progress for too long, more state than memory may hold, or a disk that refuses.
pub(crate) async fn restore(aids: &Aids, mut tasks: Vec<Task>) -> Result<Vec<Task>, EngineError> {
    let began_ms = aids.clock.unix_ms();
    let mut goals = goals_of(&aids.client, &tasks, began_ms).await?;
    local::load(aids, &mut goals, &mut tasks).await?;
    for goal in goals.values().filter(|goal| left(goal) == 0) {
        goal.reached(&mut tasks, goal.end, began_ms);
    }
    aids.progress.begin(goals.values().map(left).sum());
    let mut loads = loads(tasks, goals);
    // Whoever restores may be ended in the middle, and the workers end with it.
    let (_here, gone) = channel::watch(());
    run::spawn("restore progress", until(gone.clone(), tell(aids.clone())));
    let workers = loads.iter_mut().filter(|load| !load.goals.is_empty());
    let workers: Vec<(&mut Load, RunningTask<_>)> = workers
        .map(|load| {
            let tail = Tail {
                aids: aids.clone(),
                tasks: std::mem::take(&mut load.tasks),
                goals: std::mem::take(&mut load.goals),
                began_ms,
                share: MemoryShare::new(&aids.memory),
            };
            (load, run::spawn("restore", until(gone.clone(), tail.read())))
        })
        .collect();
    let mut failure = None;
    for (load, worker) in workers {
        if failure.is_some() {
            worker.abort();
        }
        match worker.join().await {
            Some(Some(Ok(tasks))) => load.tasks = tasks,
            Some(Some(Err(error))) => failure = failure.or(Some(error)),
            Some(None) | None => {}
        }
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let mut restored: Vec<(usize, Task)> =
        loads.into_iter().flat_map(|load| load.places.into_iter().zip(load.tasks)).collect();
    restored.sort_by_key(|(place, _)| *place);
    let mut tasks: Vec<Task> = restored.into_iter().map(|(_, task)| task).collect();
    tasks.iter_mut().for_each(Task::restored);
    Ok(tasks)
}

/// Works until the other end of the channel is dropped.
async fn until<T>(mut gone: WatchReceiver<()>, work: impl Future<Output = T>) -> Option<T> {
    runtime::select! {
        done = work => Some(done),
        _ = gone.changed() => None,
    }
}

/// The tasks of one worker.
#[derive(Default)]
struct Load {
    tasks: Vec<Task>,
    /// The places of the tasks among all.
    places: Vec<usize>,
    goals: Goals,
    offsets: u64,
}

/// Deals the tasks out: the one with most to read goes to the worker that has least.
fn loads(tasks: Vec<Task>, goals: Goals) -> Vec<Load> {
    let mut of_task: BTreeMap<usize, Goals> = BTreeMap::new();
    for (place, goal) in goals.into_iter().filter(|(_, goal)| left(goal) > 0) {
        of_task.entry(goal.task).or_default().insert(place, goal);
    }
    let offsets = |goals: &Goals| goals.values().map(left).sum::<u64>();
    let count = of_task.len().clamp(1, RESTORE_WORKERS_MAX);
    let mut loads: Vec<Load> = (0..count).map(|_| Load::default()).collect();
    let mut all: Vec<(usize, Task, Goals)> = tasks
        .into_iter()
        .enumerate()
        .map(|(place, task)| (place, task, of_task.remove(&place).unwrap_or_default()))
        .collect();
    all.sort_by_key(|(_, _, goals)| std::cmp::Reverse(offsets(goals)));
    for (place, task, goals) in all {
        let load = loads.iter_mut().min_by_key(|load| load.offsets);
        let load = load.expect("there is at least one worker");
        let at = load.tasks.len();
        load.offsets += offsets(&goals);
        load.goals.extend(goals.into_iter().map(|(key, goal)| (key, Goal { task: at, ..goal })));
        load.tasks.push(task);
        load.places.push(place);
    }
    loads
}

/// Offsets that are left to be passed.
fn left(goal: &Goal) -> u64 {
    u64::try_from(goal.end - goal.next).unwrap_or(0)
}

/// Tells from time to time how far it has come.
async fn tell(aids: Aids) {
    loop {
        timer::sleep(Duration::from_millis(RESTORE_TOLD_MS)).await;
        let (done, total) = aids.progress.offsets();
        info!(pipeline = %aids.pipeline, done, total, "state is being restored");
    }
}

async fn goals_of(client: &Client, tasks: &[Task], since_ms: i64) -> Result<Goals, ClientError> {
    let mut goals = Goals::new();
    for (index, task) in tasks.iter().enumerate() {
        for (node, store) in task.stores() {
            let goal = Goal { task: index, node, start: 0, end: 0, next: 0, since_ms };
            goals.insert((store.changelog.clone(), task.partition), goal);
        }
    }
    let places: Vec<(&str, i32)> =
        goals.keys().map(|(topic, partition)| (topic.as_str(), *partition)).collect();
    if places.is_empty() {
        return Ok(goals);
    }
    let admin = client.admin();
    let isolation = Isolation::ReadUncommitted;
    let starts = admin.list_offsets(&places, OffsetAt::Earliest, isolation).await?;
    let ends = admin.list_offsets(&places, OffsetAt::Latest, isolation).await?;
    for (place, goal) in &mut goals {
        goal.start = starts.get(place).map_or(0, |found| found.offset);
        goal.end = ends.get(place).map_or(0, |found| found.offset);
        goal.next = goal.start;
    }
    Ok(goals)
}

#[cfg(test)]
mod tests {
    use runtime::boot::Executor;

    use super::*;

    #[test]
    fn state_is_as_old_as_what_a_restore_began_with_until_it_has_come_to_the_end() {
        let goal = Goal { task: 0, node: 0, start: 0, end: 10, next: 4, since_ms: 100 };
        assert_eq!([9, 10].map(|reached| goal.since_ms(reached, 700)), [100, 700]);
    }

    #[test]
    fn workers_end_with_whoever_restores() {
        Executor::new(1).unwrap().block_on(async {
            let (here, gone) = channel::watch(());
            let worker = run::spawn("worker", until(gone, std::future::pending::<()>()));
            drop(here);
            assert_eq!(worker.join().await, Some(None));
        });
    }
}
