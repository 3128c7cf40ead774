//! Of which jobs a task manager copies state, by the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use coordination::beat::Kept as KeptTasks;
use coordination::catalogue::{Assignment, Catalogue, Job, TaskId};
use coordination::limits::BEAT_KEPT_MAX;
use runtime::channel::{self, WatchReceiver, WatchSender};
use runtime::task::{self, Task};
use runtime::timer;
use topology::plan::Plan;
use tracing::warn;

use super::moves;
use super::prepare;
use super::slot_host::{Place, host};
use crate::engine::error::EngineError;
use crate::engine::restore::Progress;
use crate::engine::restore::follow::Wanted;
use crate::engine::room::Room;
use crate::limits::{STANDBY_PAUSE_MS, STANDBY_PAUSE_MS_MAX};

/// The copies of a job's state.
#[derive(Debug)]
struct Following {
    run: u64,
    room: Arc<Room>,
    wanted: WatchSender<Wanted>,
    running: Task<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// What a task manager copies.
#[derive(Debug, Default)]
pub(super) struct Followers {
    by_job: BTreeMap<String, Following>,
    /// The changes of all copies when they were told last, by job.
    told: BTreeMap<String, u64>,
}

impl Followers {
    /// Makes what is copied what the catalogue says.
    pub(super) fn follow(&mut self, place: &Place, catalogue: &Catalogue, worker: &str) {
        let mut by_job = BTreeMap::new();
        for (job, assignment) in catalogue.assigned() {
            let known = self.by_job.remove(&job.name);
            if assignment.standby.is_empty() && known.is_none() {
                continue;
            }
            let wanted = wanted(assignment, worker);
            let has_copies = known.as_ref().is_some_and(|it| !it.room.standbys().is_empty());
            if wanted.copied.is_empty() && !has_copies {
                continue;
            }
            let following = match known {
                Some(known) if known.run == job.run => known,
                // What was copied goes on, if it means the same.
                known => {
                    let Some(next) = start(place, job) else { continue };
                    drop(known);
                    next
                }
            };
            following.wanted.send_if_modified(|before| {
                let is_new = *before != wanted;
                *before = wanted;
                is_new
            });
            by_job.insert(job.name.clone(), following);
        }
        self.by_job = by_job;
    }

    /// Ends all of them.
    pub(super) fn end(&mut self) {
        self.by_job.clear();
    }

    /// The tasks of which a copy is up to date, when that has changed since the last call.
    pub(super) fn news(&mut self) -> Option<Vec<KeptTasks>> {
        let known = self.by_job.iter();
        let now: BTreeMap<String, u64> =
            known.map(|(job, it)| (job.clone(), it.room.standbys().changes())).collect();
        if now == self.told {
            return None;
        }
        self.told = now;
        let mut left = BEAT_KEPT_MAX;
        let ready = |(job, following): (&String, &Following)| {
            let ready = following.room.standbys().ready().into_iter().take(left);
            let tasks: Vec<TaskId> = ready.map(moves::task_id).collect();
            left -= tasks.len();
            (!tasks.is_empty()).then(|| KeptTasks { job: job.clone(), tasks })
        };
        Some(self.by_job.iter().filter_map(ready).collect())
    }
}

/// What an assignment wants of a task manager.
fn wanted(assignment: &Assignment, worker: &str) -> Wanted {
    let copies = assignment.standby.iter().filter(|copy| copy.worker == worker);
    let grants = assignment.grants.iter().filter(|grant| grant.worker == worker);
    Wanted {
        copied: copies.flat_map(|copy| &copy.tasks).map(moves::own_of).collect(),
        granted: grants.flat_map(moves::own).collect(),
    }
}

/// Begins to copy for a job; nothing where its file cannot be read, which its slots tell.
fn start(place: &Place, job: &Job) -> Option<Following> {
    let plan = prepare::read(&job.files, &job.variables).ok()?;
    let room = place.rooms.of(&plan);
    let (wanted, following) = channel::watch(Wanted::default());
    let work = work(place.clone(), (job.clone(), plan), Arc::clone(&room), following);
    let running = task::spawn("standby", work);
    Some(Following { run: job.run, room, wanted, running })
}

async fn work(
    place: Place,
    (job, plan): (Job, Plan),
    room: Arc<Room>,
    wanted: WatchReceiver<Wanted>,
) {
    let progress = Arc::new(Progress::default());
    let mut pause_ms = STANDBY_PAUSE_MS;
    loop {
        let host = host(&place, (&job, &plan), &room, &progress);
        let began_ms = place.clock.steady_ms();
        let Err(error) = host.follow(wanted.clone()).await;
        if place.clock.steady_ms().saturating_sub(began_ms) > STANDBY_PAUSE_MS_MAX {
            pause_ms = STANDBY_PAUSE_MS;
        }
        // What was read so far stays right when only the log cannot be reached.
        if !matches!(&error, EngineError::Client(error) if error.is_retriable()) {
            room.standbys().clear();
        }
        warn!(job = job.name, %error, "state of other task managers is not copied at present");
        timer::sleep(Duration::from_millis(pause_ms)).await;
        pause_ms = (pause_ms * 2).min(STANDBY_PAUSE_MS_MAX);
    }
}
