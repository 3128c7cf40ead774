//! A job manager: a candidate that follows, or the leader that assigns.
//!
//! The decisions are those of `Election` and `Leader`; here they meet the log. A leader whose seat
//! is lost, for whatever reason, becomes a follower again: the log has settled what counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base::clock::Clock;
use base::rng::Random;
use client::{Client, ClientError};
use coordination::CoordinationError;
use coordination::beat::{Beat, PROTOCOL};
use coordination::catalogue::{Catalogue, Entry, FORMAT, Identity, Job};
use coordination::election::Election;
use coordination::heart::Voice;
use coordination::leader::{Action, Leader, Outcome, Refusal, Verb};
use coordination::limits::{READ_WAIT_MS_MAX, SLOT_TRANSACTION_MS};
use coordination::node::Node;
use coordination::reader::{From, Reader, Word};
use coordination::request::{Answer, Ask, Kind, Reply, Request};
use coordination::roll::Roll;
use coordination::seat::{Seat, Sitting, next_request};
use coordination::sos::HandOut;
use coordination::topics::{BEATS, CLUSTER, REQUESTS};
use protocol::error_code::ErrorCode;
use runtime::shutdown::Shutdown;
use runtime::timer;
use topology::plan::{Plan, TopicRole};
use topology::spec::Form;
use tracing::{info, warn};

use super::hand_out;
use super::prepare::{self, PrepareError, Prepared};
use super::register::{self, Found};
use crate::engine::{Claimant, EngineError};

/// What its loop is called where its turns are watched.
const ROLE: &str = "job manager";

/// A job manager, which follows or leads.
pub struct Candidate {
    node: Node,
    version: &'static str,
    voice: Voice,
    client: Client,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Random>,
    roll: Roll,
    election: Election,
    catalogue: Catalogue,
    /// Requests in the order of the log, each with the offset behind it.
    requests: VecDeque<(Request, i64)>,
    /// Plans of jobs, by the run of the job.
    plans: BTreeMap<String, (u64, Arc<Plan>)>,
    /// Starts of nodes, by id, whose clock is apart and was told of.
    apart: BTreeMap<String, u64>,
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Candidate({})", self.node.id)
    }
}

impl Candidate {
    /// A candidate; `version` is the program's.
    #[must_use]
    pub fn new(
        (client, clock, rng): (Client, Arc<dyn Clock>, Arc<dyn Random>),
        (node, version): (Node, &'static str),
        voice: Voice,
    ) -> Self {
        Self {
            roll: Roll::new(&node.id, node.nonce),
            node,
            version,
            voice,
            client,
            clock,
            rng,
            election: Election::new(),
            catalogue: Catalogue::default(),
            requests: VecDeque::new(),
            plans: BTreeMap::new(),
            apart: BTreeMap::new(),
        }
    }

    /// Follows, and leads when its turn has come, until the end is asked for.
    ///
    /// # Errors
    /// [`CoordinationError::TakenOver`], [`CoordinationError::Protocol`], or the log's when it
    /// cannot be read any more.
    pub async fn run(mut self, mut shutdown: Shutdown) -> Result<(), CoordinationError> {
        let topics = [(CLUSTER, From::Start), (BEATS, From::End)];
        let mut reader = Reader::open(&self.client, &topics).await?;
        loop {
            runtime::select! {
                read = self.read(&mut reader) => read?,
                () = shutdown.requested() => break,
            }
            if !self.election.is_due(&self.node.id, &self.roll) {
                continue;
            }
            let (node, epoch) = ((&self.node, self.version), self.election.epoch());
            match Seat::claim(&self.client, node, epoch, &*self.clock).await {
                Ok(Some((seat, catalogue))) => {
                    runtime::select! {
                        led = self.lead(seat, catalogue, &mut reader) => led?,
                        () = shutdown.requested() => break,
                    }
                    self.voice.lead(None);
                    self.requests.clear();
                    reader.remove(REQUESTS);
                }
                Ok(None) => {}
                Err(error) if is_final(&error) => {
                    self.voice.leave();
                    return Err(error);
                }
                Err(error) => {
                    warn!(%error, "the seat was not won");
                    timer::sleep(Duration::from_millis(READ_WAIT_MS_MAX)).await;
                }
            }
        }
        self.voice.ends(ROLE);
        self.voice.leave();
        Ok(())
    }

    /// Reads what has come.
    async fn read(&mut self, reader: &mut Reader) -> Result<(), CoordinationError> {
        self.voice.turns(ROLE);
        let wait = Duration::from_millis(READ_WAIT_MS_MAX);
        let words = match reader.poll(wait).await {
            Err(CoordinationError::Client(error)) if error.is_retriable() => {
                warn!(%error, "the cluster's topics cannot be read at present");
                timer::sleep(wait).await;
                return Ok(());
            }
            words => words?,
        };
        for word in words {
            match word {
                Word::Entry(entry) => {
                    if let Entry::Leadership(leader) = &entry {
                        self.election.learn(leader);
                    }
                    self.catalogue.apply(entry);
                }
                Word::Beat(beat) => {
                    self.compare_clocks(&beat);
                    if beat.leads.is_some() {
                        self.voice.hears_leader();
                    }
                    let is_own = self.roll.take(beat.clone());
                    self.election.hear(&beat, is_own);
                }
                Word::Foreign(foreign) if foreign.leads.is_some() => {
                    let (version, theirs) = (foreign.version, foreign.protocol);
                    return Err(CoordinationError::Protocol { version, theirs, ours: PROTOCOL });
                }
                Word::Foreign(foreign) => {
                    let (version, protocol) = (foreign.version, foreign.protocol);
                    warn!(version, protocol, "a node of another protocol is left alone");
                }
                Word::Request(request, next) => self.requests.push_back((request, next)),
                Word::Answer(_) | Word::Sos | Word::Free(_) => {}
            }
        }
        self.voice.counts(self.roll.census());
        if let Some(beat) = self.roll.successor() {
            let (node, host, pid) = (beat.node.clone(), beat.host.clone(), beat.pid);
            return Err(CoordinationError::TakenOver { node, host, pid });
        }
        Ok(())
    }

    /// Tells once of each start of a node that its clock is apart. One beat alone may have waited.
    fn compare_clocks(&mut self, beat: &Beat) {
        let Some(apart_ms) = beat.apart_ms() else { return };
        let before = self.roll.node(&beat.node).map(|heard| &heard.beat);
        let was_apart = before.is_some_and(|it| it.nonce == beat.nonce && it.apart_ms().is_some());
        if was_apart && self.apart.insert(beat.node.clone(), beat.nonce) != Some(beat.nonce) {
            warn!(node = beat.node, host = beat.host, apart_ms, "the node's clock is apart");
        }
    }

    /// Leads until the seat is lost.
    async fn lead(
        &mut self,
        mut seat: Seat,
        catalogue: Catalogue,
        reader: &mut Reader,
    ) -> Result<(), CoordinationError> {
        info!(node = self.node.id, epoch = seat.epoch(), "leads");
        if let Some(leader) = &catalogue.leader {
            self.election.learn(leader);
        }
        self.voice.lead(Some(seat.epoch()));
        let mut leader = Leader::new(seat.epoch(), catalogue, &self.roll);
        let from = next_request(&self.client).await?;
        reader.add(&self.client, REQUESTS, from.map_or(From::Start, From::At)).await?;
        while self.election.epoch() == seat.epoch() {
            self.read(reader).await?;
            self.voice.lead(Some(seat.epoch()));
            let turned = self.turn(&mut leader, &mut seat).await;
            if let Err(error) = turned {
                warn!(%error, epoch = seat.epoch(), "leads no more");
                return Ok(());
            }
        }
        info!(epoch = self.election.epoch(), "another one leads");
        Ok(())
    }

    /// One request, and one step.
    async fn turn(&mut self, leader: &mut Leader, seat: &mut Seat) -> Result<(), EngineError> {
        if let Some((request, next)) = self.requests.pop_front() {
            self.answer(request, next, (leader, seat)).await?;
        }
        while let Some(action) = leader.next(&self.roll) {
            let outcome = self.perform(action, (leader, seat)).await?;
            leader.done(outcome);
            if leader.is_idle() {
                break;
            }
        }
        Ok(())
    }

    async fn perform(
        &mut self,
        action: Action,
        (leader, seat): (&Leader, &mut Seat),
    ) -> Result<Outcome, EngineError> {
        let admin = self.client.admin();
        Ok(match action {
            Action::Fence { id } => {
                admin.fence(&id).await?;
                Outcome::Done
            }
            Action::Issue { id } => {
                let timeout = Duration::from_millis(SLOT_TRANSACTION_MS);
                let issued = admin.issue(&id, timeout).await?;
                Outcome::Issued(Identity { id: issued.id, epoch: issued.epoch })
            }
            Action::Commit { entries } => {
                for entry in &entries {
                    tell(entry);
                }
                let hand_outs = self.hand_outs(&entries, leader);
                let sitting = Sitting { entries, answer: None, hand_outs };
                seat.commit(sitting, self.clock.unix_ms()).await?;
                Outcome::Done
            }
            Action::Register { job, workers, .. } => {
                let job = leader.catalogue().jobs.get(&job).cloned();
                let job = job.expect("a step is about a job that is known");
                let plan = match self.plan(&job) {
                    Ok(plan) => plan,
                    Err(error) => return Ok(Outcome::Lost(error.to_string())),
                };
                let claimant = self.claimant();
                let found =
                    register::register(&self.client, (&job, &plan), &workers, &claimant).await;
                outcome_of(found, Outcome::Ids)?
            }
            Action::Confirm { job, claim } => {
                let plan = self.plans.get(&job).map(|(_, plan)| Arc::clone(plan));
                let plan = plan.expect("the claim was written with the plan");
                let found = register::confirm(&self.client, &plan, claim).await;
                outcome_of(found, |_| Outcome::Done)?
            }
        })
    }

    /// The plan of a job's run.
    fn plan(&mut self, job: &Job) -> Result<Arc<Plan>, PrepareError> {
        if let Some((_, plan)) = self.plans.get(&job.name).filter(|(run, _)| *run == job.run) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(prepare::read(&job.files, &job.variables)?);
        self.plans.insert(job.name.clone(), (job.run, Arc::clone(&plan)));
        Ok(plan)
    }

    /// What task managers are told of entries, where their pipelines are of the legacy form.
    fn hand_outs(&mut self, entries: &[Entry], leader: &Leader) -> Vec<HandOut> {
        let known = leader.catalogue();
        let mut told = Vec::new();
        for entry in entries {
            let job = match entry {
                Entry::Job(job) => Some(job),
                Entry::Assignment(it) => known.jobs.get(&it.job),
                Entry::Leadership(_) => None,
            };
            // A job whose files cannot be read ends with that, and runs nowhere.
            if let Some(Ok(plan)) = job.map(|job| self.plan(job))
                && plan.form == Form::Legacy
            {
                told.extend(hand_out::of(entry, known, &plan));
            }
        }
        told
    }

    /// Another job that has a topic between tasks in common with a plan.
    fn shared(&mut self, plan: &Plan, leader: &Leader) -> Option<(String, String)> {
        let is_edge = |of: &Plan, name: &String| {
            of.topics.get(name).is_some_and(|it| it.role == TopicRole::Edge)
        };
        // In the full form the names of these topics begin with the pipeline's.
        if plan.form == Form::Full {
            return None;
        }
        let others = leader.catalogue().jobs.values().filter(|job| job.name != plan.pipeline);
        for job in others {
            let Ok(other) = self.plan(job) else { continue };
            let both = plan.topics.keys().find(|it| is_edge(plan, it) && is_edge(&other, it));
            if let Some(topic) = both {
                return Some((topic.clone(), job.name.clone()));
            }
        }
        None
    }

    /// Who claims a job, to those who run it elsewhere.
    fn claimant(&self) -> Claimant {
        Claimant {
            worker: self.node.id.clone(),
            host: self.node.host.clone(),
            pid: self.node.pid,
            started_ms: self.clock.unix_ms(),
            nonce: self.node.nonce,
        }
    }

    /// Carries a request out; what it changes and its answer count together.
    async fn answer(
        &mut self,
        request: Request,
        next: i64,
        (leader, seat): (&mut Leader, &mut Seat),
    ) -> Result<(), EngineError> {
        let (job, reply) = match request.ask {
            Ask::Apply { files, variables, is_dry } => {
                self.apply((files, variables), is_dry, leader).await?
            }
            Ask::Pause { job } => self.change(&job, Verb::Pause, leader),
            Ask::Resume { job } => self.change(&job, Verb::Resume, leader),
            Ask::Stop { job } => self.change(&job, Verb::Stop, leader),
            Ask::Restart { job } => self.change(&job, Verb::Restart, leader),
            Ask::Scale { job, slots } => self.change(&job, Verb::Scale(slots.max(1)), leader),
        };
        let entries: Vec<Entry> = job.into_iter().map(Entry::Job).collect();
        let answer = Answer { format: FORMAT, id: request.id, reply };
        let hand_outs = self.hand_outs(&entries, leader);
        let answer = Some((answer, next));
        let sitting = Sitting { entries: entries.clone(), answer, hand_outs };
        seat.commit(sitting, self.clock.unix_ms()).await?;
        for entry in entries {
            tell(&entry);
            leader.committed(entry);
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        (files, variables): (Vec<(String, String)>, BTreeMap<String, String>),
        is_dry: bool,
        leader: &Leader,
    ) -> Result<(Option<Job>, Reply), EngineError> {
        let plan = match prepare::read(&files, &variables) {
            Ok(plan) => plan,
            Err(error) => return Ok((None, refused(&error))),
        };
        if let Some((topic, other)) = self.shared(&plan, leader) {
            let reason = format!("the topic `{topic}` is an arc of the pipeline `{other}`");
            return Ok((None, Reply::Refused { kind: Kind::Shared, reason, facts: Vec::new() }));
        }
        let marks = (self.rng.next_u64(), self.clock.unix_ms());
        let admitted = prepare::admit(&self.client, &plan, marks, is_dry).await;
        let prepared = match admitted {
            Ok(prepared) => prepared,
            // Whoever leads next gets the request again.
            Err(PrepareError::Engine(error)) if error.may_pass() => return Err(error),
            Err(error) => return Ok((None, refused(&error))),
        };
        let job = Job { files, variables, ..prepared.job };
        let prepared = Prepared { job, ..prepared };
        let (name, when) = (&prepared.job.name, if is_dry { "would:" } else { "applied:" });
        let notes = match leader.catalogue().jobs.get(name) {
            Some(before) => {
                let mut notes = vec![format!("{when} replaces the file of {name}")];
                notes.extend(prepare::difference(before, &prepared));
                notes
            }
            None => {
                let mut notes = vec![format!("{when} is a new pipeline: {name}")];
                notes.extend(prepared.changes.iter().map(ToString::to_string));
                notes
            }
        };
        let job = prepared.job;
        if is_dry {
            return Ok((None, Reply::Done { notes }));
        }
        Ok(match leader.applied(job) {
            Ok(job) => (Some(job), Reply::Done { notes }),
            Err(refusal) => (None, unchanged(refusal, "")),
        })
    }

    fn change(&self, name: &str, verb: Verb, leader: &Leader) -> (Option<Job>, Reply) {
        match leader.changed(name, verb, self.rng.next_u64()) {
            Ok(job) => (Some(job), Reply::Done { notes: Vec::new() }),
            Err(refusal) => (None, unchanged(refusal, name)),
        }
    }
}

/// Whether the broker will never give the seat to anybody like us.
fn is_final(error: &CoordinationError) -> bool {
    match error {
        CoordinationError::Client(ClientError::Unsupported { .. }) => true,
        CoordinationError::Client(error) => {
            error.code() == Some(ErrorCode::INVALID_TRANSACTION_TIMEOUT)
        }
        _ => false,
    }
}

/// What a look at the plan topic means for a step; only a log that may come back ends a reign.
fn outcome_of(
    found: Result<Found, EngineError>,
    ours: impl FnOnce(Vec<String>) -> Outcome,
) -> Result<Outcome, EngineError> {
    match found {
        Ok(Found::Ours(ids)) => Ok(ours(ids)),
        Ok(Found::Other(claim)) => Ok(Outcome::Lost(format!("taken over by {claim}"))),
        Err(error) if error.may_pass() => Err(error),
        Err(error) => Ok(Outcome::Lost(error.to_string())),
    }
}

fn tell(entry: &Entry) {
    match entry {
        Entry::Job(job) => info!(job = job.name, goal = ?job.goal, note = ?job.note, "job"),
        Entry::Assignment(it) => {
            let slots: Vec<String> =
                it.grants.iter().map(|grant| format!("{}.{}", grant.worker, grant.slot)).collect();
            info!(job = it.job, epoch = it.epoch, slots = ?slots, "assigned");
        }
        Entry::Leadership(_) => {}
    }
}

fn refused(error: &PrepareError) -> Reply {
    let mut facts = Vec::new();
    let kind = match error {
        PrepareError::File { .. } => Kind::File,
        PrepareError::Unsupported { .. } => Kind::Unsupported,
        PrepareError::Engine(EngineError::PlanChanged(changes)) => {
            facts.extend(changes.iter().filter(|it| it.is_refused()).map(ToString::to_string));
            Kind::PlanChanged
        }
        PrepareError::Engine(EngineError::Partitions { .. } | EngineError::NoSource { .. }) => {
            Kind::TopicUnfit
        }
        PrepareError::Engine(EngineError::TopicLost { .. }) => Kind::TopicLost,
        PrepareError::Engine(_) => Kind::Log,
    };
    let reason = match kind {
        Kind::PlanChanged => {
            "the file has changed in ways that stored state cannot follow".to_owned()
        }
        _ => error.to_string(),
    };
    Reply::Refused { kind, reason, facts }
}

fn unchanged(refusal: Refusal, name: &str) -> Reply {
    let (kind, reason) = match refusal {
        Refusal::NoJob => (Kind::NoJob, format!("there is no pipeline `{name}`")),
        Refusal::TooMany => {
            (Kind::TooMany, "the cluster has as many pipelines as it may".to_owned())
        }
        Refusal::Already(goal) => {
            let word = format!("{goal:?}").to_lowercase();
            (Kind::Already, format!("`{name}` is {word} already"))
        }
        Refusal::SlotsAlready(slots) => {
            (Kind::Already, format!("`{name}` wants {slots} slots already"))
        }
    };
    Reply::Refused { kind, reason, facts: Vec::new() }
}
