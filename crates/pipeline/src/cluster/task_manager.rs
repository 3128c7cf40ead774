//! A task manager: follows the catalogue, and runs what it is granted.
//!
//! It decides nothing. A slot whose grant is gone ends; one whose tasks have changed lets go and
//! takes on while it runs; one that ended by itself waits for a grant of a higher epoch, which the
//! leader gives when it hears of the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::cast;
use base::clock::Clock;
use client::Client;
use client::options::ProducerOptions;
use client::producer::{Producer, Record};
use coordination::CoordinationError;
use coordination::beat::{Beat, PROTOCOL};
use coordination::catalogue::Catalogue;
use coordination::heart::Voice;
use coordination::limits::{BEAT_TASKS_MAX, MANAGER_BEAT_MS, READ_WAIT_MS_MAX, RUN_TOLD_MS};
use coordination::node::Node;
use coordination::reader::{From, Reader, Word};
use coordination::sos::FreeThreads;
use coordination::topics::{BEATS, CLUSTER, SOS, SOS_ANSWERS};
use runtime::channel::WatchReceiver;
use runtime::shutdown::Shutdown;
use runtime::{task as run, timer};
use tracing::{info, warn};

use super::hoard::Hoard;
use super::rooms::Rooms;
use super::slot_host::{Held, Place};
use super::standby::Followers;
use super::views::Views;
use crate::engine::StateFolder;
use crate::engine::view::Bell;
use crate::limits::{DRAIN_LOOK_MS, DRAIN_MS_MAX};

/// What its loop is called where its turns are watched.
const ROLE: &str = "task manager";

/// A task manager.
#[derive(Debug)]
pub struct Worker {
    node: Node,
    voice: Voice,
    place: Place,
    catalogue: Catalogue,
    /// Records of the catalogue that were read.
    learnt: u64,
    held: BTreeMap<(String, u32), Held>,
    /// Slots that were told to end and have not.
    ending: Vec<Held>,
    /// Whether the catalogue has changed since it was followed.
    is_stale: bool,
    /// When the figures of all slots were told, in steady milliseconds.
    told_ms: u64,
    /// When it was last looked whether there is news of them, in steady milliseconds.
    looked_ms: u64,
    /// How often their bell had been rung when all of them were looked at.
    rung: u64,
    /// The epoch of the leader that was heard last.
    leader: Option<u64>,
    /// The newest assignment that was followed, by job.
    followed: BTreeMap<String, u64>,
    /// How often each slot has begun, by job.
    begun: BTreeMap<(String, u32), u64>,
    views: Views,
    hoard: Hoard,
    followers: Followers,
}

impl Worker {
    /// A task manager that runs nothing yet; `state` is where it keeps the state of tasks, so that
    /// they begin sooner there.
    #[must_use]
    pub fn new(
        (client, clock): (Client, Arc<dyn Clock>),
        (node, voice): (Node, Voice),
        state: Option<StateFolder>,
    ) -> Self {
        Self {
            node,
            voice,
            place: Place {
                client,
                clock,
                rooms: Rooms::new(state.clone()),
                state,
                bell: Bell::default(),
            },
            rung: 0,
            hoard: Hoard::default(),
            followers: Followers::default(),
            catalogue: Catalogue::default(),
            learnt: 0,
            held: BTreeMap::new(),
            ending: Vec::new(),
            is_stale: false,
            told_ms: 0,
            looked_ms: 0,
            leader: None,
            followed: BTreeMap::new(),
            begun: BTreeMap::new(),
            views: Views::default(),
        }
    }

    /// For looking at its slots.
    #[must_use]
    pub fn views(&self) -> Views {
        self.views.clone()
    }

    /// Runs what it is granted until the end is asked for; then ends its slots in good order.
    ///
    /// # Errors
    /// The log's, when it cannot be read any more.
    pub async fn run(mut self, mut shutdown: Shutdown) -> Result<(), CoordinationError> {
        let topics = [(CLUSTER, From::Start), (BEATS, From::End), (SOS, From::End)];
        let answers = self.place.client.producer(ProducerOptions::default());
        let mut reader = Reader::open(&self.place.client, &topics).await?;
        self.look_at_state().await;
        let wait = Duration::from_millis(READ_WAIT_MS_MAX);
        loop {
            self.voice.turns(ROLE);
            let words = runtime::select! {
                words = reader.poll(wait) => words,
                () = shutdown.requested() => break,
            };
            match words.and_then(|words| self.take(words)) {
                Ok(false) => {}
                Ok(true) => self.answer(&answers).await,
                Err(CoordinationError::Client(error)) if error.is_retriable() => {
                    warn!(%error, "the catalogue cannot be read at present");
                    timer::sleep(wait).await;
                }
                Err(error) => {
                    self.end().await;
                    return Err(error);
                }
            }
            if std::mem::take(&mut self.is_stale) || !self.ending.is_empty() {
                self.follow();
            }
            self.tell_runs();
        }
        self.end().await;
        Ok(())
    }

    /// Takes what came; whether somebody called.
    fn take(&mut self, words: Vec<Word>) -> Result<bool, CoordinationError> {
        let mut is_called = false;
        for word in words {
            match word {
                Word::Entry(entry) => {
                    self.catalogue.apply(entry);
                    self.learnt += 1;
                    self.is_stale = true;
                }
                Word::Beat(beat) => {
                    if beat.leads.is_some() {
                        self.voice.hears_leader();
                        self.hear_leader(beat.leads);
                    }
                    let (born, ours) =
                        ((beat.started_ms, beat.nonce), (self.node.started_ms, self.node.nonce));
                    if beat.node == self.node.id && born > ours {
                        let Beat { node, host, pid, .. } = beat;
                        return Err(CoordinationError::TakenOver { node, host, pid });
                    }
                }
                Word::Foreign(foreign) if foreign.leads.is_some() => {
                    let (version, theirs) = (foreign.version, foreign.protocol);
                    return Err(CoordinationError::Protocol { version, theirs, ours: PROTOCOL });
                }
                Word::Sos => is_called = true,
                Word::Foreign(_) | Word::Request(..) | Word::Answer(_) | Word::Free(_) => {}
            }
        }
        Ok(is_called)
    }

    /// One that leads since now may have come too late to hear what the slots do.
    fn hear_leader(&mut self, epoch: Option<u64>) {
        if self.leader != epoch {
            self.leader = epoch;
            self.voice.tell_all();
        }
    }

    /// Tells who called how many threads are free. It is not waited for: who calls calls again.
    async fn answer(&self, answers: &Producer) {
        let busy = u32::try_from(self.held.len() + self.ending.len()).unwrap_or(u32::MAX);
        let answer = FreeThreads::of(&self.node.id, self.voice.slots().saturating_sub(busy));
        let value = serde_json::to_vec(&answer).expect("an answer is plain data");
        let record = Record {
            topic: SOS_ANSWERS,
            partition: Some(0),
            key: Some(self.node.id.as_bytes()),
            value: Some(&value),
            timestamp: Some(self.place.clock.unix_ms()),
            headers: &[],
        };
        if let Err(error) = answers.append(record).await {
            warn!(%error, "the call of a job manager is not answered");
        }
    }

    /// Makes what runs what is granted.
    fn follow(&mut self) {
        let (id, nonce) = (self.node.id.as_str(), self.node.nonce);
        let mut granted = BTreeMap::new();
        for (job, grant) in self.catalogue.grants_of(id, nonce) {
            granted.insert((job.name.clone(), grant.slot), (job, grant));
        }
        let is_granted = |key: &(String, u32), held: &Held| {
            granted.get(key).is_some_and(|(_, grant)| grant.since == held.grant.since)
        };
        let over: Vec<_> = self.held.iter().filter(|(key, held)| !is_granted(key, held)).collect();
        let over: Vec<(String, u32)> = over.into_iter().map(|(key, _)| key.clone()).collect();
        for key in over {
            if let Some(held) = self.held.remove(&key) {
                info!(job = held.job, slot = held.grant.slot, "slot is no longer granted");
                held.stop();
                self.ending.push(held);
            }
        }
        for (key, (_, grant)) in &granted {
            if let Some(held) = self.held.get_mut(key) {
                held.follow(grant);
            }
        }
        self.ending.retain(|held| !held.is_over());
        let before = |name: &str| -> Vec<WatchReceiver<()>> {
            self.ending.iter().filter(|held| held.job == name).map(Held::ended).collect()
        };
        self.begun.retain(|(job, _), _| self.catalogue.jobs.contains_key(job));
        for (key, (job, grant)) in granted {
            if self.held.contains_key(&key) {
                continue;
            }
            info!(job = job.name, slot = grant.slot, since = grant.since, "slot is granted");
            let begun = self.begun.entry(key.clone()).or_default();
            let held = Held::start(&self.place, (job, grant), (before(&job.name), *begun));
            self.held.insert(key, held);
            *begun += 1;
        }
        self.followers.follow(&self.place, &self.catalogue, &self.node.id);
        self.tell_time();
        // Others are there than before.
        self.tell_all();
        self.show();
    }

    /// Learns what an earlier start has left.
    async fn look_at_state(&self) {
        let Some(folder) = self.place.state.clone() else { return };
        let now_ms = self.place.clock.unix_ms();
        let look = move || folder.look(now_ms);
        let looked = run::blocking(look);
        if let Err(error) = looked.await {
            warn!(%error, "the folder of states cannot be read");
        }
    }

    /// Says of which tasks the state lies here, when that has changed.
    fn tell_kept(&mut self) {
        if let Some(folder) = &self.place.state
            && let Some(kept) = self.hoard.told((&self.catalogue, self.learnt), &folder.kept)
        {
            self.voice.keeps(kept);
        }
        if let Some(copies) = self.followers.news() {
            self.voice.copies(copies);
        }
    }

    /// Says what is new of the slots, and of all of them now and then: what they spend their time
    /// on changes by itself.
    fn tell_runs(&mut self) {
        let now_ms = self.place.clock.steady_ms();
        // No node beats more often.
        if now_ms.saturating_sub(self.looked_ms) < MANAGER_BEAT_MS {
            return;
        }
        self.looked_ms = now_ms;
        self.tell_kept();
        let every_ms = RUN_TOLD_MS * cast::u64_of(self.held.len());
        if now_ms.saturating_sub(self.told_ms) >= every_ms {
            self.tell_all();
        }
        let rung = self.place.bell.rung();
        if std::mem::replace(&mut self.rung, rung) == rung {
            return;
        }
        let mut tasks_left = BEAT_TASKS_MAX;
        let mut has_changed = false;
        for held in self.held.values_mut() {
            let news = held.news();
            has_changed |= news.has_changed;
            if news.has_changed || news.has_committed {
                self.voice.runs_anew(held.run(&mut tasks_left));
            }
        }
        if has_changed {
            self.show();
        }
    }

    fn tell_all(&mut self) {
        let mut tasks_left = BEAT_TASKS_MAX;
        self.voice.runs(self.held.values().map(|held| held.run(&mut tasks_left)).collect());
        self.told_ms = self.place.clock.steady_ms();
    }

    /// Shows the slots to those who look on.
    fn show(&self) {
        self.views.show(self.held.values().map(Held::looked).collect());
    }

    /// Slots that stay tell their time again when others of their job have begun anew: those
    /// cannot know what was said before.
    fn tell_time(&mut self) {
        for (job, assignment) in &self.catalogue.assignments {
            if self.followed.get(job) == Some(&assignment.epoch) {
                continue;
            }
            let stays = |held: &&Held| held.job == *job && held.grant.since < assignment.epoch;
            self.held.values().filter(stays).for_each(Held::tell_time);
            self.followed.insert(job.clone(), assignment.epoch);
        }
    }

    /// Ends all slots; what is not committed in time is done again elsewhere.
    async fn end(&mut self) {
        let mut ending: Vec<Held> = std::mem::take(&mut self.held).into_values().collect();
        ending.iter().for_each(Held::stop);
        ending.append(&mut self.ending);
        self.followers.end();
        let deadline = timer::now() + Duration::from_millis(DRAIN_MS_MAX);
        while ending.iter().any(|held| !held.is_over()) && timer::now() < deadline {
            timer::sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
        }
        ending.iter().for_each(Held::abort);
        self.voice.runs(Vec::new());
        self.views.show(Vec::new());
        self.voice.ends(ROLE);
        self.voice.leave();
    }
}
