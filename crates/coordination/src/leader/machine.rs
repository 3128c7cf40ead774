//! The leader's decisions: from jobs, assignments and beats to one step after the other.
//!
//! A step changes the assignment of one job, in an order that must not be broken: the claims of
//! the job are written, every transactional id that may still write for a task that moves is
//! fenced, identities are issued for the new slots, the claim is looked at once more, and only
//! then the assignment is committed. A leader that is overtaken in between leaves ids fenced that
//! need not have been, and nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::moves::{self, Standing};
use crate::assignment::{Offer, Places, SlotKey, Wish, standby, target};
use crate::beat::{Beat, Kept, PROTOCOL, Phase};
use crate::catalogue::{
    Assignment, Catalogue, Entry, FORMAT, Goal, Grant, Identity, Job, TaskId, transactional_id,
};
use crate::limits::{
    JOBS_MAX, LEADER_SETTLE_BEATS, RESTART_FORGET_BEATS, RESTART_HOLD_BEATS_MAX,
    WORKER_SILENT_BEATS_MAX,
};
use crate::roll::{Heard, Roll};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write down that these task managers run the job, with these slots each, before their ids
    /// are used; tell every id that the job ever used.
    Register {
        /// The job.
        job: String,
        /// Its claim.
        claim: u64,
        /// The numbers of the slots by task manager.
        workers: BTreeMap<String, BTreeSet<u32>>,
    },
    /// Fence an id.
    Fence {
        /// The transactional id.
        id: String,
    },
    /// Fence an id, and keep the identity for whoever gets the slot.
    Issue {
        /// The transactional id.
        id: String,
    },
    /// See whether the job is still claimed by us.
    Confirm {
        /// The job.
        job: String,
        /// Its claim.
        claim: u64,
    },
    /// Write into the catalogue, in one transaction.
    Commit {
        /// What.
        entries: Vec<Entry>,
    },
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done: `Fence`, `Confirm`, `Commit`.
    Done,
    /// It is done, and these ids were ever used: `Register`.
    Ids(Vec<String>),
    /// The identity: `Issue`.
    Issued(Identity),
    /// The job cannot go on, and why: `Register`, `Confirm`.
    Lost(String),
}

/// What can be done to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Let it rest.
    Pause,
    /// Let it go on.
    Resume,
    /// End it.
    Stop,
    /// Let its slots begin anew.
    Restart,
    /// Let it run on so many slots from now on.
    Scale(u32),
}

/// Why something is not done to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such job.
    NoJob,
    /// There are too many jobs.
    TooMany,
    /// It is what it should become already.
    Already(Goal),
    /// It has as many slots already.
    SlotsAlready(u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Todo {
    Register,
    Fence(String),
    Issue(usize),
    Confirm,
    Commit,
}

/// A change of one job's assignment, or of the job itself.
#[derive(Debug, Clone)]
struct Step {
    job: Job,
    draft: Option<Assignment>,
    is_fresh: bool,
    todo: VecDeque<Todo>,
}

/// How often a job's slots have ended of late.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    ends: u32,
    at: u32,
}

/// The leader of a cluster.
#[derive(Debug, Clone)]
pub struct Leader {
    epoch: u64,
    catalogue: Catalogue,
    /// Own beats at the time when it began to lead.
    began: u32,
    troubles: BTreeMap<String, Trouble>,
    step: Option<Step>,
    /// The roll's count of changes when every job was found to be as it should be; none when that
    /// may be different by now. A look at a thousand jobs is not worth a beat that changes nothing.
    settled: Option<u64>,
}

/// Who is there, by id.
type Live<'r> = BTreeMap<&'r str, &'r Heard>;

/// What a look at all jobs goes by.
struct Scene<'r> {
    roll: &'r Roll,
    live: Live<'r>,
    /// What the task managers have left, for all jobs.
    offers: Vec<Offer>,
    /// Own beats since it leads.
    led: u32,
}

impl Leader {
    /// Begins to lead, from what was agreed on before.
    #[must_use]
    pub fn new(epoch: u64, catalogue: Catalogue, roll: &Roll) -> Self {
        let (troubles, began) = (BTreeMap::new(), roll.own_beats());
        Self { epoch, catalogue, began, troubles, step: None, settled: None }
    }

    /// What has been agreed on.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Whether no step is under way: only then the jobs may be changed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.step.is_none()
    }

    /// Takes over what was committed outside of a step.
    pub fn committed(&mut self, entry: Entry) {
        self.settled = None;
        self.catalogue.apply(entry);
    }

    /// The job as it becomes when it is applied. The caller commits it.
    ///
    /// # Errors
    /// [`Refusal::TooMany`].
    pub fn applied(&self, job: Job) -> Result<Job, Refusal> {
        let known = self.catalogue.jobs.get(&job.name);
        if known.is_none() && self.catalogue.jobs.len() >= JOBS_MAX {
            return Err(Refusal::TooMany);
        }
        let (revision, run) = known.map_or((0, 0), |known| (known.revision, known.run));
        Ok(Job { revision: revision + 1, run: run + 1, goal: Goal::Running, note: None, ..job })
    }

    /// The job as a verb makes it; `claim` is its number if it begins anew. The caller commits it.
    ///
    /// # Errors
    /// [`Refusal::NoJob`], [`Refusal::Already`].
    pub fn changed(&self, name: &str, verb: Verb, claim: u64) -> Result<Job, Refusal> {
        let job = self.catalogue.jobs.get(name).ok_or(Refusal::NoJob)?.clone();
        let goal = match verb {
            Verb::Pause => Goal::Paused,
            Verb::Stop => Goal::Stopped,
            Verb::Resume | Verb::Restart => Goal::Running,
            Verb::Scale(slots) if slots == job.slots => return Err(Refusal::SlotsAlready(slots)),
            // Its run stays the same, and so does what runs.
            Verb::Scale(slots) => return Ok(Job { revision: job.revision + 1, slots, ..job }),
        };
        if verb != Verb::Restart && job.goal == goal {
            return Err(Refusal::Already(goal));
        }
        let revision = job.revision + 1;
        if goal != Goal::Running {
            return Ok(Job { revision, goal, note: None, ..job });
        }
        Ok(Job { revision, run: job.run + 1, goal, claim, note: None, ..job })
    }

    /// What is to be done next; the same until [`Leader::done`] tells what came of it.
    pub fn next(&mut self, roll: &Roll) -> Option<Action> {
        if self.step.is_none() {
            self.step = self.begin(roll);
        }
        let step = self.step.as_ref()?;
        let job = step.job.name.clone();
        let claim = step.job.claim;
        Some(match step.todo.front()? {
            Todo::Register => Action::Register { job, claim, workers: step.workers() },
            Todo::Fence(id) => Action::Fence { id: id.clone() },
            Todo::Issue(at) => Action::Issue { id: step.id_of(*at) },
            Todo::Confirm => Action::Confirm { job, claim },
            Todo::Commit => Action::Commit { entries: step.entries() },
        })
    }

    /// Tells what came of the action that [`Leader::next`] gave last.
    ///
    /// # Panics
    /// When the outcome does not belong to the action, or none was given.
    pub fn done(&mut self, outcome: Outcome) {
        self.settled = None;
        let mut step = self.step.take().expect("an outcome belongs to a step that is under way");
        let todo = step.todo.pop_front().expect("a step that is under way has something to do");
        match (todo, outcome) {
            (Todo::Register, Outcome::Ids(ids)) => {
                if step.is_fresh && step.job.is_transactional {
                    ids.into_iter().rev().for_each(|id| step.todo.push_front(Todo::Fence(id)));
                }
            }
            (Todo::Issue(at), Outcome::Issued(identity)) => {
                if let Some(grant) = step.draft.as_mut().and_then(|it| it.grants.get_mut(at)) {
                    grant.identity = Some(identity);
                }
            }
            (Todo::Register | Todo::Confirm, Outcome::Lost(reason)) => {
                step = failed(&step.job, reason);
            }
            (Todo::Commit, Outcome::Done) => {
                step.entries().into_iter().for_each(|entry| self.catalogue.apply(entry));
                return;
            }
            (Todo::Fence(_) | Todo::Confirm, Outcome::Done) => {}
            (todo, outcome) => panic!("{outcome:?} is no outcome of {todo:?}"),
        }
        self.step = Some(step);
    }

    /// The first job that is not as it should be.
    fn begin(&mut self, roll: &Roll) -> Option<Step> {
        let led = roll.own_beats().saturating_sub(self.began);
        if led < LEADER_SETTLE_BEATS || self.settled == Some(roll.changes()) {
            return None;
        }
        let heard = roll.workers().filter(|heard| heard.beat.protocol == PROTOCOL);
        let live: Live<'_> = heard.map(|heard| (heard.beat.node.as_str(), heard)).collect();
        let offers = self.offers(&live);
        let mut scene = Scene { roll, live, offers, led };
        let names: Vec<String> = self.catalogue.jobs.keys().cloned().collect();
        let mut is_waiting = led < WORKER_SILENT_BEATS_MAX;
        for name in &names {
            match self.step_of(name, &mut scene) {
                Look::Step(step) => return Some(*step),
                Look::Waits => is_waiting = true,
                Look::Settled => {}
            }
        }
        self.settled = (!is_waiting).then(|| roll.changes());
        None
    }

    fn step_of(&mut self, name: &str, scene: &mut Scene<'_>) -> Look {
        let job = self.catalogue.jobs.get(name).filter(|job| job.goal == Goal::Running);
        let Some(job) = job else { return Look::Settled };
        let known = self.catalogue.assignments.get(name);
        let epoch = known.map_or(0, |known| known.epoch) + 1;
        let before = known.filter(|known| known.run == job.run);
        let grants = before.map(|it| it.grants.as_slice()).unwrap_or_default();
        if let Some(reason) = grants.iter().find_map(|grant| failure(name, grant, scene.roll)) {
            return Look::Step(Box::new(failed(job, reason)));
        }
        let is_unheard = |grant: &Grant| {
            let heard = scene.roll.node(&grant.worker);
            !heard.is_some_and(|heard| heard.runs.is_whole())
        };
        if scene.led < WORKER_SILENT_BEATS_MAX && grants.iter().any(is_unheard) {
            return Look::Waits;
        }
        scene.leave(grants);
        let draft = self.draft(job, grants, scene, epoch);
        scene.take(grants);
        let Some(draft) = draft else { return Look::Settled };
        let states = || grants.iter().map(|grant| standing(name, grant, &scene.live));
        let has_ended = states().any(|it| it == Standing::Ended);
        let is_held = has_ended && !states().any(|it| it == Standing::Gone);
        let step = Step::new(job.clone(), (draft, grants), before.is_none());
        if is_held && self.hold(name, scene.roll.own_beats()).is_none() {
            return Look::Waits;
        }
        Look::Step(Box::new(step))
    }

    /// The assignment that is wanted, unless it is there already.
    fn draft(
        &self,
        job: &Job,
        grants: &[Grant],
        scene: &Scene<'_>,
        epoch: u64,
    ) -> Option<Assignment> {
        let live = &scene.live;
        let current: BTreeMap<SlotKey, _> =
            grants.iter().map(|it| ((it.worker.clone(), it.slot), it.tasks.clone())).collect();
        let kept = places(&job.name, live, |beat| &beat.kept);
        let copied = places(&job.name, live, |beat| &beat.copies);
        let wish = Wish { tasks: job.tasks().collect(), slots: job.slots, copied, kept };
        let wanted = target(&wish, &scene.offers, &current);
        let known: Vec<(Grant, Standing)> =
            grants.iter().map(|it| (it.clone(), standing(&job.name, it, live))).collect();
        let nonce = |worker: &str| live.get(worker).map_or(0, |heard| heard.beat.nonce);
        let next = moves::next(&known, &wanted, epoch, nonce);
        let copying = self.catalogue.assignments.get(&job.name).map(|it| it.standby.as_slice());
        let copying = copying.unwrap_or_default();
        let copies: Vec<(TaskId, u32)> = job.copied().collect();
        let standby = standby(&copies, &scene.offers, &next, (&wish.kept, copying));
        // Without a slot nothing can run; what is fenced then would only be fenced twice.
        if next.is_empty() || next == grants && standby == copying {
            return None;
        }
        Some(Assignment {
            format: FORMAT,
            job: job.name.clone(),
            run: job.run,
            epoch,
            leader_epoch: self.epoch,
            grants: next,
            standby,
        })
    }

    /// What the task managers have left beside all that is granted.
    fn offers(&self, live: &Live<'_>) -> Vec<Offer> {
        let taken = |beat: &Beat| {
            let held = self.catalogue.grants_of(&beat.node, beat.nonce);
            held.map(|(_, grant)| grant.slot).collect()
        };
        let offer = |heard: &&Heard| Offer {
            worker: heard.beat.node.clone(),
            host: heard.beat.host.clone(),
            slots: heard.beat.slots,
            taken: taken(&heard.beat),
        };
        live.values().map(offer).collect()
    }

    /// Nothing while a slot that keeps ending has to wait; else notes this end.
    fn hold(&mut self, name: &str, now: u32) -> Option<()> {
        let trouble = self.troubles.get(name).copied();
        let trouble = trouble.filter(|it| now.saturating_sub(it.at) < RESTART_FORGET_BEATS);
        let ends = trouble.map_or(0, |trouble| trouble.ends);
        if let Some(Trouble { at, .. }) = trouble {
            let hold = 1_u32.checked_shl(ends - 1).unwrap_or(u32::MAX);
            if now.saturating_sub(at) < hold.min(RESTART_HOLD_BEATS_MAX) {
                return None;
            }
        }
        self.troubles.insert(name.to_owned(), Trouble { ends: ends + 1, at: now });
        Some(())
    }
}

/// Where the state of a job's tasks lies, as the beats tell.
fn places(job: &str, live: &Live<'_>, of: impl Fn(&Beat) -> &Vec<Kept>) -> Places {
    let mut places = Places::new();
    for (node, heard) in live {
        // Beats name the jobs in their order.
        let of = of(&heard.beat);
        let here =
            of.binary_search_by(|it| it.job.as_str().cmp(job)).ok().and_then(|at| of.get(at));
        for task in here.into_iter().flat_map(|here| &here.tasks) {
            places.entry(*task).or_default().insert((*node).to_owned());
        }
    }
    places
}

/// What a look at a job comes to.
enum Look {
    /// It has to be changed.
    Step(Box<Step>),
    /// It has to wait for time to pass.
    Waits,
    /// It is as it should be, as far as can be.
    Settled,
}

impl Scene<'_> {
    /// A job looks at the offers: its own slots are not taken by others.
    fn leave(&mut self, grants: &[Grant]) {
        self.each(grants, |taken, slot| taken.remove(&slot));
    }

    /// The job has looked.
    fn take(&mut self, grants: &[Grant]) {
        self.each(grants, BTreeSet::insert);
    }

    fn each(&mut self, grants: &[Grant], change: impl Fn(&mut BTreeSet<u32>, u32) -> bool) {
        for grant in grants {
            let beat = self.live.get(grant.worker.as_str()).map(|heard| &heard.beat);
            if beat.is_some_and(|beat| beat.nonce == grant.nonce)
                && let Some(offer) = self.offers.iter_mut().find(|it| it.worker == grant.worker)
            {
                change(&mut offer.taken, grant.slot);
            }
        }
    }
}

impl Step {
    fn new(job: Job, (draft, before): (Assignment, &[Grant]), is_fresh: bool) -> Self {
        let mut todo = VecDeque::from([Todo::Register]);
        if job.is_transactional {
            let id = |grant: &Grant| transactional_id(&job.name, &grant.worker, grant.slot);
            // Who gets the same slot anew is fenced by the identity that is issued for it.
            let has_slot = |grant: &&Grant| {
                let mut next = draft.grants.iter();
                next.any(|it| (&it.worker, it.slot) == (&grant.worker, grant.slot))
            };
            let lost = before.iter().filter(|grant| !has_slot(grant));
            todo.extend(lost.map(|grant| Todo::Fence(id(grant))));
            let is_new = |(_, grant): &(usize, &Grant)| grant.since == draft.epoch;
            let new = draft.grants.iter().enumerate().filter(is_new);
            todo.extend(new.map(|(at, _)| Todo::Issue(at)));
        }
        todo.extend([Todo::Confirm, Todo::Commit]);
        Self { job, draft: Some(draft), is_fresh, todo }
    }

    /// Task managers with grants, each with the slots that it uses for the job.
    fn workers(&self) -> BTreeMap<String, BTreeSet<u32>> {
        let mut workers: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for grant in self.draft.iter().flat_map(|draft| &draft.grants) {
            workers.entry(grant.worker.clone()).or_default().insert(grant.slot);
        }
        workers
    }

    fn id_of(&self, at: usize) -> String {
        let grant = self.draft.as_ref().and_then(|draft| draft.grants.get(at));
        grant.map(|it| transactional_id(&self.job.name, &it.worker, it.slot)).unwrap_or_default()
    }

    fn entries(&self) -> Vec<Entry> {
        match &self.draft {
            Some(draft) => vec![Entry::Assignment(draft.clone())],
            None => vec![Entry::Job(self.job.clone())],
        }
    }
}

fn standing(job: &str, grant: &Grant, live: &Live<'_>) -> Standing {
    let heard = live.get(grant.worker.as_str()).filter(|it| it.beat.nonce == grant.nonce);
    let Some(heard) = heard else {
        return Standing::Gone;
    };
    let run = heard.runs.run(job, grant.slot, grant.since);
    match run.map(|run| (&run.phase, run.turn)) {
        Some((Phase::Ended { .. } | Phase::Failed { .. }, _)) => Standing::Ended,
        Some((Phase::Running, turn)) => Standing::Working { turn },
        Some((Phase::Starting, _)) | None => Standing::Young,
    }
}

/// Why a grant's slot cannot go on anywhere.
fn failure(job: &str, grant: &Grant, roll: &Roll) -> Option<String> {
    let heard = roll.node(&grant.worker).filter(|it| it.beat.nonce == grant.nonce)?;
    match &heard.runs.run(job, grant.slot, grant.since)?.phase {
        Phase::Failed { reason } => Some(reason.clone()),
        Phase::Starting | Phase::Running | Phase::Ended { .. } => None,
    }
}

/// The step that ends a job.
fn failed(job: &Job, reason: String) -> Step {
    let revision = job.revision + 1;
    let job = Job { revision, goal: Goal::Failed, note: Some(reason), ..job.clone() };
    Step { job, draft: None, is_fresh: false, todo: VecDeque::from([Todo::Commit]) }
}
