//! The world of the simulation: the log, the nodes, and what must hold.

use std::collections::{BTreeMap, BTreeSet};

use base::rng::{Random, SeededRandom};
use coordination::beat::{Beat, PROTOCOL, Phase, Run};
use coordination::catalogue::{
    Catalogue, Entry, FORMAT, Goal, Grant, Identity, Job, Leadership, TaskId, transactional_id,
};
use coordination::election::Election;
use coordination::leader::{Action, Leader, Outcome, Verb};
use coordination::node::Node;
use coordination::roll::Roll;

const JOB: &str = "mill";
const LEADER: &str = "__ms.leader";

/// Time between two beats.
const BEAT_EVERY: u64 = 200;

/// Words of the log that a node may read at once.
const READ_MAX: u64 = 40;

/// How large the world is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) managers: usize,
    pub(crate) workers: usize,
    pub(crate) slots: u32,
    pub(crate) tasks: [i32; 2],
}

/// What the log knows.
#[derive(Debug, Default)]
struct Log {
    beats: Vec<Beat>,
    entries: Vec<Entry>,
    /// The epoch of each transactional id.
    epochs: BTreeMap<String, i16>,
    /// The claims of the job: slots by task manager.
    claims: BTreeMap<String, BTreeSet<u32>>,
    /// How far each task has come.
    positions: BTreeMap<TaskId, u64>,
}

impl Log {
    fn issue(&mut self, id: &str) -> i16 {
        let epoch = self.epochs.entry(id.to_owned()).or_default();
        *epoch += 1;
        *epoch
    }

    fn holds(&self, id: &str, epoch: i16) -> bool {
        self.epochs.get(id) == Some(&epoch)
    }
}

/// A slot of a task manager, as the node knows it.
#[derive(Debug)]
struct Slot {
    grant: Grant,
    phase: Phase,
    /// The turn that it has followed.
    turn: u64,
    /// Where each task goes on, once its position was read.
    positions: BTreeMap<TaskId, u64>,
}

/// A leader with what it is doing.
#[derive(Debug)]
struct Reign {
    machine: Leader,
    identity: i16,
}

#[derive(Debug)]
struct Actor {
    node: Node,
    is_manager: bool,
    slots: u32,
    roll: Roll,
    election: Election,
    catalogue: Catalogue,
    read: (usize, usize),
    beaten: u64,
    reign: Option<Reign>,
    /// A claim that has fenced, and not yet written.
    claim: Option<i16>,
    held: BTreeMap<u32, Slot>,
    sleeps_until: u64,
    is_dead: bool,
}

/// The world.
pub(crate) struct World {
    seed: u64,
    rng: SeededRandom,
    now: u64,
    log: Log,
    actors: Vec<Actor>,
    /// Whether leaders fence as they must.
    pub(crate) is_fencing: bool,
    /// Whether slots let tasks go before they say so.
    pub(crate) is_honest: bool,
    /// Tasks that slots let go while they ran.
    pub(crate) let_go: u64,
    pub(crate) leaders: u64,
    pub(crate) moves: u64,
    pub(crate) requests: u64,
    is_peace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, shape: Shape) -> Self {
        let rng = SeededRandom::new(seed);
        let mut actors = Vec::new();
        for at in 0..shape.managers {
            actors.push(actor(&format!("jm-{at}"), 1 + rng.next_u64() % 1_000, 0, 0));
        }
        for at in 0..shape.workers {
            actors.push(actor(&format!("tm-{at}"), 1 + rng.next_u64() % 1_000, shape.slots, 0));
        }
        let mut log = Log::default();
        let job = job(shape);
        log.positions = job.tasks().map(|task| (task, 0)).collect();
        log.entries.push(Entry::Job(job));
        Self {
            seed,
            rng,
            now: 0,
            log,
            actors,
            is_fencing: true,
            is_honest: true,
            let_go: 0,
            leaders: 0,
            moves: 0,
            requests: 0,
            is_peace: false,
        }
    }

    /// Sometimes somebody is killed, stopped or started again.
    pub(crate) fn trouble(&mut self) {
        if self.rng.below(120) != 0 {
            return;
        }
        let at = self.any();
        let (now, dice) = (self.now, self.rng.below(10));
        let sleep = self.rng.below(8_000);
        let nonce = self.rng.next_u64();
        let victim = &mut self.actors[at];
        match dice {
            0..4 => victim.is_dead = true,
            4..8 => victim.sleeps_until = now + sleep,
            _ => {}
        }
        for at in 0..self.actors.len() {
            if self.actors[at].is_dead && self.rng.below(3) == 0 {
                let old = &self.actors[at];
                let (id, slots) = (old.node.id.clone(), old.slots);
                self.actors[at] = actor(&id, nonce, slots, self.now);
                self.actors[at].read.0 = self.log.beats.len();
            }
        }
    }

    /// Everybody is started and wakes.
    pub(crate) fn make_peace(&mut self) {
        self.is_peace = true;
        for at in 0..self.actors.len() {
            self.actors[at].sleeps_until = 0;
            if self.actors[at].is_dead {
                let old = &self.actors[at];
                let (id, slots) = (old.node.id.clone(), old.slots);
                self.actors[at] = actor(&id, self.rng.next_u64(), slots, self.now);
                self.actors[at].read.0 = self.log.beats.len();
            }
        }
    }

    /// Somebody does one thing.
    pub(crate) fn step(&mut self) {
        self.now += 5;
        let at = self.any();
        if self.actors[at].is_dead || self.actors[at].sleeps_until > self.now {
            return;
        }
        match self.rng.below(4) {
            0 => self.beat(at),
            1 => self.read(at),
            2 if self.actors[at].is_manager => self.manage(at),
            _ => self.work(at),
        }
    }

    fn any(&self) -> usize {
        base::cast::usize_of(self.rng.below(base::cast::u64_of(self.actors.len())))
    }

    /// How far each task has come.
    pub(crate) fn progress(&self) -> BTreeMap<TaskId, u64> {
        self.log.positions.clone()
    }

    /// Whether every task is run by somebody who may.
    pub(crate) fn is_settled(&self) -> bool {
        let mut run = BTreeSet::new();
        for actor in self.actors.iter().filter(|it| !it.is_dead) {
            for slot in actor.held.values().filter(|it| it.phase == Phase::Running) {
                let id = transactional_id(JOB, &slot.grant.worker, slot.grant.slot);
                if self.log.holds(&id, slot.grant.identity.map_or(0, |it| it.epoch)) {
                    run.extend(slot.positions.keys().copied());
                }
            }
        }
        run.len() == self.log.positions.len()
    }

    /// `copies_there`: of each task that is run and whose state is wanted twice, somebody else has
    /// a copy.
    pub(crate) fn check_copies(&self) {
        let known = all(&self.log.entries);
        let wanted: BTreeSet<TaskId> = known.jobs[JOB].copied().map(|(task, _)| task).collect();
        let assignment = &known.assignments[JOB];
        let copied: BTreeSet<&TaskId> =
            assignment.standby.iter().flat_map(|copy| &copy.tasks).collect();
        let run = assignment.grants.iter().flat_map(|grant| &grant.tasks);
        for task in run.filter(|task| wanted.contains(task)) {
            assert!(copied.contains(task), "seed {}: copies_there {task:?}", self.seed);
        }
    }

    fn beat(&mut self, at: usize) {
        let actor = &mut self.actors[at];
        if self.now < actor.beaten + BEAT_EVERY {
            return;
        }
        actor.beaten = self.now;
        let beat = actor.says();
        // One in twenty is lost on its way, and one stands there twice.
        let copies = match self.rng.below(20) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        self.log.beats.extend((0..copies).map(|_| beat.clone()));
    }

    fn read(&mut self, at: usize) {
        let many = base::cast::usize_of(1 + self.rng.below(READ_MAX));
        let actor = &mut self.actors[at];
        let beats = actor.read.0..self.log.beats.len().min(actor.read.0 + many);
        actor.read.0 = beats.end;
        for beat in &self.log.beats[beats] {
            let is_own = actor.roll.take(beat.clone());
            actor.election.hear(beat, is_own);
        }
        let entries = actor.read.1..self.log.entries.len().min(actor.read.1 + many);
        actor.read.1 = entries.end;
        for entry in &self.log.entries[entries] {
            if let Entry::Leadership(leader) = entry {
                actor.election.learn(leader);
            }
            actor.catalogue.apply(entry.clone());
        }
    }

    fn manage(&mut self, at: usize) {
        if let Some(identity) = self.actors[at].claim.take() {
            return self.take_seat(at, identity);
        }
        if self.actors[at].reign.is_some() {
            return self.reign(at);
        }
        let actor = &mut self.actors[at];
        if actor.election.is_due(&actor.node.id, &actor.roll) {
            let newest = all(&self.log.entries).leader.map_or(0, |leader| leader.epoch);
            if newest <= actor.election.epoch() {
                actor.claim = Some(self.log.issue(LEADER));
            }
        }
    }

    /// The second half of a claim: it may have been fenced since.
    fn take_seat(&mut self, at: usize, identity: i16) {
        if !self.log.holds(LEADER, identity) {
            return;
        }
        let known = all(&self.log.entries);
        let epoch = known.leader.as_ref().map_or(0, |leader| leader.epoch) + 1;
        let actor = &mut self.actors[at];
        let leader = leadership(&actor.node, epoch);
        actor.election.learn(&leader);
        let mut catalogue = known;
        catalogue.apply(Entry::Leadership(leader.clone()));
        let machine = Leader::new(epoch, catalogue, &actor.roll);
        actor.reign = Some(Reign { machine, identity });
        self.write(Entry::Leadership(leader));
        self.leaders += 1;
    }

    /// Sometimes somebody asks the leader to change the job; what rests goes on in peace.
    fn request(&mut self, at: usize) {
        let Some(reign) = &mut self.actors[at].reign else { return };
        let rests = reign.machine.catalogue().jobs[JOB].goal == Goal::Paused;
        let verb = match self.rng.below(60) {
            _ if rests && (self.is_peace || self.rng.below(20) == 0) => Verb::Resume,
            0 if !self.is_peace => Verb::Pause,
            1 if !self.is_peace && !rests => Verb::Restart,
            2..8 if !rests => Verb::Scale(1 + self.rng.below(8).try_into().unwrap_or(0)),
            _ => return,
        };
        let Ok(job) = reign.machine.changed(JOB, verb, self.now) else { return };
        if !self.log.holds(LEADER, reign.identity) {
            self.actors[at].reign = None;
            return;
        }
        reign.machine.committed(Entry::Job(job.clone()));
        self.write(Entry::Job(job));
        self.requests += 1;
    }

    /// One action of the leader, as the shell does it.
    fn reign(&mut self, at: usize) {
        if self.actors[at].reign.as_ref().is_some_and(|reign| reign.machine.is_idle()) {
            self.request(at);
        }
        let actor = &mut self.actors[at];
        let Some(reign) = &mut actor.reign else { return };
        let Some(action) = reign.machine.next(&actor.roll) else { return };
        let outcome = match action {
            Action::Register { workers, .. } => {
                for (worker, slots) in workers {
                    self.log.claims.entry(worker).or_default().extend(slots);
                }
                let ids = self.log.claims.iter().flat_map(|(worker, slots)| {
                    slots.iter().map(move |slot| transactional_id(JOB, worker, *slot))
                });
                Outcome::Ids(ids.collect())
            }
            Action::Confirm { .. } => Outcome::Done,
            Action::Fence { id } => {
                if self.is_fencing {
                    self.log.issue(&id);
                }
                Outcome::Done
            }
            Action::Issue { id } => {
                let epoch = if self.is_fencing || !self.log.epochs.contains_key(&id) {
                    self.log.issue(&id)
                } else {
                    self.log.epochs[&id]
                };
                Outcome::Issued(Identity { id: 1, epoch })
            }
            Action::Commit { entries } => {
                if !self.log.holds(LEADER, reign.identity) {
                    // Deposed: whoever was faster goes on.
                    actor.reign = None;
                    return;
                }
                let leads = reign.machine.catalogue().leader.as_ref().unwrap().epoch;
                reign.machine.done(Outcome::Done);
                for entry in entries {
                    self.check_entry(&entry, leads);
                    self.write(entry);
                }
                return;
            }
        };
        reign.machine.done(outcome);
    }

    /// `one_leader_writes`, `fence_before_reassign`, `one_slot_per_task`, `copies_elsewhere`. That
    /// a slot has let go what leaves it shows in `each_step_once`.
    fn check_entry(&mut self, entry: &Entry, leads: u64) {
        let (seed, known) = (self.seed, all(&self.log.entries));
        let newest = known.leader.as_ref().map(|leader| leader.epoch);
        assert_eq!(newest, Some(leads), "seed {seed}: one_leader_writes");
        let Entry::Assignment(next) = entry else { return };
        let mut given = BTreeSet::new();
        let named = |grant: &Grant| grant.tasks.clone().into_iter().chain(grant.leaving.clone());
        for task in next.grants.iter().flat_map(|grant| &grant.tasks) {
            assert!(given.insert(*task), "seed {seed}: one_slot_per_task {task:?}");
        }
        for copy in &next.standby {
            let mut own = next.grants.iter().filter(|grant| grant.worker == copy.worker);
            let runs = own.find(|grant| copy.tasks.iter().any(|task| grant.tasks.contains(task)));
            assert!(runs.is_none(), "seed {seed}: copies_elsewhere {copy:?}");
        }
        let Some(before) = known.assignments.get(&next.job) else { return };
        assert!(before.epoch < next.epoch, "seed {seed}: epochs_rise");
        for grant in &before.grants {
            let mut kept = next.grants.iter();
            let is_same = |it: &&Grant| {
                (&it.worker, it.slot, it.since) == (&grant.worker, grant.slot, grant.since)
            };
            if let Some(kept) = kept.find(is_same) {
                let has_left = |task: &TaskId| !named(kept).any(|it| it == *task);
                self.moves += base::cast::u64_of(named(grant).filter(has_left).count());
                continue;
            }
            self.moves += base::cast::u64_of(grant.tasks.len());
            let id = transactional_id(JOB, &grant.worker, grant.slot);
            let epoch = grant.identity.unwrap().epoch;
            let is_fenced = self.log.epochs[&id] > epoch;
            assert!(is_fenced || !self.is_fencing, "seed {seed}: fence_before_reassign {id}");
        }
    }

    fn write(&mut self, entry: Entry) {
        self.log.entries.push(entry);
    }

    /// A task manager starts, ends or works one of its slots.
    fn work(&mut self, at: usize) {
        let actor = &mut self.actors[at];
        let (id, nonce) = (actor.node.id.clone(), actor.node.nonce);
        let grants: BTreeMap<u32, Grant> =
            actor.catalogue.grants_of(&id, nonce).map(|(_, it)| (it.slot, it.clone())).collect();
        actor.held.retain(|slot, held| {
            grants.get(slot).is_some_and(|grant| grant.since == held.grant.since)
        });
        for (slot, grant) in grants {
            let turn = grant.turn;
            let fresh = || Slot {
                grant: grant.clone(),
                phase: Phase::Starting,
                turn,
                positions: BTreeMap::new(),
            };
            actor.held.entry(slot).or_insert_with(fresh).grant = grant.clone();
        }
        let dice = base::cast::usize_of(self.rng.below(16));
        let (is_following, is_early) = (self.rng.below(3) == 0, self.rng.below(2) == 0);
        let count = actor.held.len().max(1);
        let Some(slot) = actor.held.values_mut().nth(dice % count) else { return };
        let mut unread = slot.grant.tasks.iter().filter(|it| !slot.positions.contains_key(it));
        let unread = unread.next().copied();
        match (&slot.phase, unread) {
            (Phase::Starting, None) => slot.phase = Phase::Running,
            (Phase::Running, _) if slot.turn != slot.grant.turn && is_following => {
                let held = slot.positions.len();
                if self.is_honest || !is_early {
                    slot.positions.retain(|task, _| slot.grant.tasks.contains(task));
                }
                self.let_go += base::cast::u64_of(held - slot.positions.len());
                slot.turn = slot.grant.turn;
            }
            (Phase::Starting, Some(task)) => {
                slot.positions.insert(task, self.log.positions[&task]);
            }
            // It takes more on while it works.
            (Phase::Running, Some(task)) if slot.turn == slot.grant.turn && is_following => {
                slot.positions.insert(task, self.log.positions[&task]);
            }
            (Phase::Running, _) => commit(&mut self.log, slot, self.seed),
            (Phase::Ended { .. } | Phase::Failed { .. }, _) => {}
        }
    }
}

/// `each_step_once`: a slot that may write goes on exactly where its tasks stand.
fn commit(log: &mut Log, slot: &mut Slot, seed: u64) {
    let id = transactional_id(JOB, &slot.grant.worker, slot.grant.slot);
    if !log.holds(&id, slot.grant.identity.unwrap().epoch) {
        slot.phase = Phase::Ended { reason: "fenced".to_owned() };
        return;
    }
    for (task, position) in &mut slot.positions {
        let committed = log.positions.get_mut(task).unwrap();
        assert_eq!(*committed, *position, "seed {seed}: each_step_once {task:?} by {id}");
        *committed += 1;
        *position += 1;
    }
}

fn all(entries: &[Entry]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    entries.iter().for_each(|entry| catalogue.apply(entry.clone()));
    catalogue
}

fn actor(id: &str, nonce: u64, slots: u32, now: u64) -> Actor {
    let started_ms = i64::try_from(now).unwrap();
    let node = Node { id: id.to_owned(), nonce, started_ms, host: id.to_owned(), pid: 1 };
    Actor {
        roll: Roll::new(id, nonce),
        node,
        is_manager: slots == 0,
        slots,
        election: Election::new(),
        catalogue: Catalogue::default(),
        read: (0, 0),
        beaten: 0,
        reign: None,
        claim: None,
        held: BTreeMap::new(),
        sleeps_until: 0,
        is_dead: false,
    }
}

impl Actor {
    fn says(&self) -> Beat {
        let run = |(slot, held): (&u32, &Slot)| Run {
            job: JOB.to_owned(),
            slot: *slot,
            since: held.grant.since,
            turn: held.turn,
            phase: held.phase.clone(),
            tasks: held.positions.keys().copied().collect(),
            records_in: 0,
            lag: 0,
            seen: None,
        };
        Beat {
            is_candidate: self.is_manager,
            leads: self.reign.as_ref().map(|_| self.election.epoch()),
            slots: self.slots,
            runs: self.held.iter().map(run).collect(),
            ..Beat::of(&self.node, "1")
        }
    }
}

fn leadership(node: &Node, epoch: u64) -> Leadership {
    Leadership {
        format: FORMAT,
        protocol: PROTOCOL,
        version: "1".to_owned(),
        node: node.id.clone(),
        nonce: node.nonce,
        epoch,
        host: node.host.clone(),
        pid: node.pid,
    }
}

fn job(shape: Shape) -> Job {
    Job {
        format: FORMAT,
        name: JOB.to_owned(),
        revision: 1,
        run: 1,
        goal: Goal::Running,
        claim: 1,
        applied_ms: 0,
        files: Vec::new(),
        variables: BTreeMap::new(),
        stages: shape.tasks.to_vec(),
        topics: BTreeMap::new(),
        slots: 6,
        is_transactional: true,
        note: None,
        standby: vec![1, 0],
    }
}
