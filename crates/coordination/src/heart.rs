//! Beating: what the node says of itself goes out again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::cast;
use base::clock::Clock;
use client::options::ProducerOptions;
use client::producer::Record;
use client::{Client, ClientError};
use runtime::task::{self, Task};
use runtime::timer;
use tracing::debug;

use crate::beat::{Beat, Kept, Run};
use crate::limits::{LEADER_STALL_MS_MAX, MANAGER_BEAT_MS, RUN_TOLD_MS, WORKER_BEAT_MS};
use crate::roll::Census;
use crate::topics::BEATS;

/// What the parts of a node have to say; cheap to clone.
#[derive(Clone)]
pub struct Voice {
    shared: Arc<Mutex<Said>>,
    clock: Arc<dyn Clock>,
}

struct Said {
    /// All but what the slots do.
    beat: Beat,
    /// What they do, by job and slot.
    runs: BTreeMap<(String, u32), Run>,
    /// Those of which no beat has told yet.
    untold: BTreeSet<(String, u32)>,
    /// When a beat told all of them, in steady milliseconds; none when the next one must.
    whole_ms: Option<u64>,
    /// When the leader last said that it leads, in steady milliseconds.
    led_ms: u64,
    /// When the loop of each role last turned, in steady milliseconds.
    turned_ms: BTreeMap<&'static str, u64>,
    /// When a beat of a leader was last read, in steady milliseconds.
    leader_ms: Option<u64>,
    census: Option<Census>,
}

/// A node as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// What its next beat says.
    pub beat: Beat,
    /// The role whose loop has not turned for the longest time, and for how many milliseconds.
    pub slowest: Option<(&'static str, u64)>,
    /// Milliseconds since a beat of a leader was read; none before the first.
    pub leader_age_ms: Option<u64>,
    /// The task managers, as a job manager sees them.
    pub census: Option<Census>,
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Voice({})", self.said().beat.node)
    }
}

impl Said {
    /// Lets the next beat say this of tasks, if it is news.
    fn tell_of(&mut self, tasks: Vec<Kept>, place: impl Fn(&mut Beat) -> &mut Vec<Kept>) {
        let known = place(&mut self.beat);
        if *known != tasks {
            *known = tasks;
            self.whole_ms = None;
        }
    }
}

impl Voice {
    /// Begins with this.
    #[must_use]
    pub fn new(beat: Beat, clock: Arc<dyn Clock>) -> Self {
        let said = Said {
            beat,
            runs: BTreeMap::new(),
            untold: BTreeSet::new(),
            whole_ms: None,
            led_ms: 0,
            turned_ms: BTreeMap::new(),
            leader_ms: None,
            census: None,
        };
        Self { shared: Arc::new(Mutex::new(said)), clock }
    }

    /// Says in which epoch the node leads, or that it does not. A leader says it again and again:
    /// one whose loop stands still is a leader no more.
    pub fn lead(&self, epoch: Option<u64>) {
        let now_ms = self.clock.steady_ms();
        let mut said = self.said();
        said.beat.leads = epoch;
        said.led_ms = now_ms;
    }

    /// Says what the slots do, all of them.
    pub fn runs(&self, runs: Vec<Run>) {
        let mut said = self.said();
        let before = std::mem::take(&mut said.runs);
        let count = before.len();
        let mut kept = 0;
        for run in runs {
            let key = (run.job.clone(), run.slot);
            let known = before.get(&key);
            kept += usize::from(known.is_some());
            if known != Some(&run) {
                said.untold.insert(key.clone());
            }
            said.runs.insert(key, run);
        }
        // Only a beat that tells all of them says that one is gone.
        if kept < count {
            said.whole_ms = None;
        }
    }

    /// Says what one of the slots does.
    pub fn runs_anew(&self, run: Run) {
        let key = (run.job.clone(), run.slot);
        let mut said = self.said();
        said.untold.insert(key.clone());
        said.runs.insert(key, run);
    }

    /// Lets the next beat tell of all slots: somebody listens who has not heard of them.
    pub fn tell_all(&self) {
        self.said().whole_ms = None;
    }

    /// Says of which tasks the state lies here; beats that tell of all slots say so.
    pub fn keeps(&self, kept: Vec<Kept>) {
        self.said().tell_of(kept, |beat| &mut beat.kept);
    }

    /// Says of which tasks a copy of the state is up to date here, as [`Voice::keeps`] does.
    pub fn copies(&self, copies: Vec<Kept>) {
        self.said().tell_of(copies, |beat| &mut beat.copies);
    }

    /// The slots that the node offers.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.said().beat.slots
    }

    /// Says where the node answers over HTTP.
    pub fn answers_at(&self, http: Option<String>) {
        self.said().beat.http = http;
    }

    /// Says that the loop of a role has turned: it lives.
    pub fn turns(&self, role: &'static str) {
        let now_ms = self.clock.steady_ms();
        self.said().turned_ms.insert(role, now_ms);
    }

    /// Says that the loop of a role has come to its end.
    pub fn ends(&self, role: &'static str) {
        self.said().turned_ms.remove(role);
    }

    /// Says that somebody was heard who leads.
    pub fn hears_leader(&self) {
        let now_ms = self.clock.steady_ms();
        self.said().leader_ms = Some(now_ms);
    }

    /// Says how the task managers stand.
    pub fn counts(&self, census: Census) {
        self.said().census = Some(census);
    }

    /// The node at this moment.
    #[must_use]
    pub fn view(&self) -> NodeView {
        let now_ms = self.clock.steady_ms();
        let mut beat = self.now();
        let said = self.said();
        beat.runs = said.runs.values().cloned().collect();
        let age_ms = |then_ms: u64| now_ms.saturating_sub(then_ms);
        let turned = said.turned_ms.iter().map(|(role, then_ms)| (*role, age_ms(*then_ms)));
        NodeView {
            beat,
            slowest: turned.max_by_key(|(_, age_ms)| *age_ms),
            leader_age_ms: said.leader_ms.map(age_ms),
            census: said.census,
        }
    }

    /// Says that the node offers nothing any more, so that nobody waits for its silence.
    pub fn leave(&self) {
        let mut said = self.said();
        said.beat.slots = 0;
        said.beat.is_candidate = false;
        said.beat.leads = None;
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.shared.lock().expect("no holder of what is said panics")
    }

    fn now(&self) -> Beat {
        let now_ms = self.clock.steady_ms();
        let said = self.said();
        let mut beat = said.beat.clone();
        if now_ms.saturating_sub(said.led_ms) > LEADER_STALL_MS_MAX {
            beat.leads = None;
        }
        beat
    }

    /// The next beat, which tells of all slots, or of those that have news.
    fn next(&self) -> Beat {
        let mut beat = self.now();
        let now_ms = self.clock.steady_ms();
        let mut said = self.said();
        let said = &mut *said;
        let every_ms = RUN_TOLD_MS * cast::u64_of(said.runs.len());
        beat.is_partial = said.whole_ms.is_some_and(|then_ms| now_ms < then_ms + every_ms);
        let untold = std::mem::take(&mut said.untold);
        if beat.is_partial {
            beat.kept.clear();
            beat.copies.clear();
            let news = untold.iter().filter_map(|key| said.runs.get(key));
            beat.runs = news.cloned().collect();
        } else {
            said.whole_ms = Some(now_ms);
            beat.runs = said.runs.values().cloned().collect();
        }
        beat
    }
}

/// Beats until the task is aborted.
#[must_use]
pub fn start(client: &Client, voice: &Voice) -> Task<()> {
    let is_candidate = voice.said().beat.is_candidate;
    let every_ms = if is_candidate { MANAGER_BEAT_MS } else { WORKER_BEAT_MS };
    task::spawn("heart", run(client.clone(), voice.clone(), Duration::from_millis(every_ms)))
}

async fn run(client: Client, voice: Voice, every: Duration) {
    let producer = client.producer(ProducerOptions {
        linger: Duration::ZERO,
        delivery_timeout: Duration::from_secs(10),
        ..ProducerOptions::default()
    });
    loop {
        let next = timer::now() + every;
        let beat = Beat { sent_ms: voice.clock.unix_ms(), ..voice.next() };
        let value = serde_json::to_vec(&beat).expect("a beat is plain data");
        let sent = async {
            let record = Record {
                topic: BEATS,
                partition: Some(0),
                key: Some(beat.node.as_bytes()),
                value: Some(&value),
                timestamp: Some(beat.sent_ms),
                headers: &[],
            };
            // One at a time: while the log stands still, so do the beats.
            producer.send(record).await?.wait().await.map(drop)
        };
        let sent: Result<(), ClientError> = sent.await;
        if let Err(error) = sent {
            debug!(%error, "a beat was not heard");
            voice.tell_all();
        }
        timer::sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;

    use super::*;
    use crate::beat::Phase;
    use crate::node::Node;

    fn run(slot: u32, records_in: u64) -> Run {
        Run {
            job: "mill".to_owned(),
            slot,
            since: 1,
            turn: 1,
            phase: Phase::Running,
            tasks: Vec::new(),
            records_in,
            lag: 0,
            seen: None,
        }
    }

    fn told(voice: &Voice) -> (bool, Vec<u32>) {
        let beat = voice.next();
        (!beat.is_partial, beat.runs.iter().map(|run| run.slot).collect())
    }

    #[test]
    fn a_beat_tells_what_is_new_and_all_of_it_when_it_must() {
        let clock = Arc::new(ManualClock::at(0));
        let id = "tm".to_owned();
        let node = Node { id, nonce: 1, started_ms: 0, host: "h".to_owned(), pid: 1 };
        let voice = Voice::new(Beat::of(&node, "1"), Arc::clone(&clock) as Arc<dyn Clock>);
        let runs = |count: u32| (0..count).map(|slot| run(slot, 0)).collect::<Vec<Run>>();
        voice.runs(runs(100));
        assert_eq!(told(&voice), (true, (0..100).collect()), "the first one");
        assert_eq!(told(&voice), (false, vec![]));
        voice.runs_anew(run(7, 5));
        assert_eq!(told(&voice), (false, vec![7]));
        voice.runs(runs(101));
        assert_eq!(told(&voice), (false, vec![7, 100]), "what differs from before");
        assert_eq!(voice.view().beat.runs.len(), 101);
        voice.runs(runs(100));
        assert_eq!(told(&voice), (true, (0..100).collect()), "one is gone");
        clock.advance_ms(100 * RUN_TOLD_MS - 1);
        assert_eq!(told(&voice), (false, vec![]));
        clock.advance_ms(1);
        assert_eq!(told(&voice), (true, (0..100).collect()), "it is time");
        voice.tell_all();
        assert_eq!(told(&voice), (true, (0..100).collect()), "somebody new listens");
    }
}
