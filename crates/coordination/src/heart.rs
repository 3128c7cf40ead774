//! Beating: what the node says of itself goes out again and again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::clock::Clock;
use client::options::ProducerOptions;
use client::producer::Record;
use client::{Client, ClientError};
use runtime::task::{self, Task};
use runtime::timer;
use tracing::debug;

use crate::beat::{Beat, Kept, Run};
use crate::limits::{LEADER_STALL_MS_MAX, MANAGER_BEAT_MS, WORKER_BEAT_MS};
use crate::roll::Census;
use crate::topics::BEATS;

/// What the parts of a node have to say; cheap to clone.
#[derive(Clone)]
pub struct Voice {
    shared: Arc<Mutex<Said>>,
    clock: Arc<dyn Clock>,
}

struct Said {
    beat: Beat,
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

impl Voice {
    /// Begins with this.
    #[must_use]
    pub fn new(beat: Beat, clock: Arc<dyn Clock>) -> Self {
        let said =
            Said { beat, led_ms: 0, turned_ms: BTreeMap::new(), leader_ms: None, census: None };
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

    /// Says what the slots do.
    pub fn runs(&self, runs: Vec<Run>) {
        self.said().beat.runs = runs;
    }

    /// Says of which tasks the state lies here.
    pub fn keeps(&self, kept: Vec<Kept>) {
        self.said().beat.kept = kept;
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
        let beat = self.now();
        let said = self.said();
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
        let beat = Beat { sent_ms: voice.clock.unix_ms(), ..voice.now() };
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
        }
        timer::sleep_until(next).await;
    }
}
