//! The consumer of partitions that are assigned by hand: fetches whole batches, ahead of its owner.
//!
//! One fetch per broker is in flight; the next one leaves before `poll` hands the last one over,
//! so the broker works while the owner does. All state lives in the consumer, so a `poll` that is
//! dropped loses nothing.

mod fetch;
mod visible;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::record::Batch;
use runtime::timer::{self, Instant};

use crate::client::Client;
use crate::error::ClientError;
use crate::options::ConsumerOptions;
use crate::pool::Lane;
use crate::retry::backoff_ms;

use fetch::{Answer, Inbox, PartitionAnswer};
use visible::visible;

/// What was fetched of one partition.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Batches of records, without control batches and, when reading committed records, without
    /// those of aborted transactions. The first may begin before `from`.
    pub batches: Vec<Batch>,
    /// The position that was fetched from; records before it are to be skipped.
    pub from: i64,
    /// The position after it, which may lie behind the last batch.
    pub next_offset: i64,
    /// Everything below is replicated.
    pub high_watermark: i64,
    /// Everything below belongs to no open transaction.
    pub last_stable_offset: i64,
    /// Where the log starts.
    pub log_start: i64,
}

/// How far a partition reaches, as of the last fetch; -1 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Everything below is replicated.
    pub high_watermark: i64,
    /// Everything below belongs to no open transaction.
    pub last_stable_offset: i64,
    /// Where the log starts.
    pub log_start: i64,
}

type Key = (Arc<str>, i32);

/// A consumer of partitions that are assigned by hand.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    options: ConsumerOptions,
    lane: Lane,
    partitions: BTreeMap<Key, Tracked>,
    inbox: Arc<Inbox>,
    /// How long the fetch at each broker may wait there.
    in_flight: BTreeMap<i32, Duration>,
    /// Fetches in a row of each broker that gave nothing.
    quiet: BTreeMap<i32, u32>,
    ready: Vec<Fetched>,
    failed: VecDeque<ClientError>,
    stale: BTreeSet<Arc<str>>,
    failures: u32,
    fetches: usize,
    seeks: u64,
}

#[derive(Debug)]
struct Tracked {
    position: i64,
    // Changes with every seek, so that answers to older questions are recognised.
    seek: u64,
    is_paused: bool,
    // Its error was handed to the owner, who must seek or assign it anew.
    is_stopped: bool,
    retry_at: Option<Instant>,
    watermarks: Watermarks,
}

const NOTHING_KNOWN: Watermarks =
    Watermarks { high_watermark: -1, last_stable_offset: -1, log_start: -1 };

impl Drop for Consumer {
    fn drop(&mut self) {
        self.client.close_lane(self.lane);
    }
}

impl Consumer {
    pub(crate) fn new(client: Client, options: ConsumerOptions) -> Self {
        Self {
            lane: client.own_lane(),
            client,
            options,
            partitions: BTreeMap::new(),
            inbox: Arc::default(),
            in_flight: BTreeMap::new(),
            quiet: BTreeMap::new(),
            ready: Vec::new(),
            failed: VecDeque::new(),
            stale: BTreeSet::new(),
            failures: 0,
            fetches: 0,
            seeks: 0,
        }
    }

    /// Reads exactly these partitions from now on, each from its offset.
    pub fn assign<'a>(&mut self, partitions: impl IntoIterator<Item = (&'a str, i32, i64)>) {
        self.give_up_long_fetches();
        self.partitions.clear();
        self.ready.clear();
        self.failed.clear();
        for (topic, partition, offset) in partitions {
            self.add(topic, partition, offset);
        }
    }

    /// Reads this partition too, or from another offset.
    pub fn add(&mut self, topic: &str, partition: i32, offset: i64) {
        self.give_up_long_fetches();
        let key = (Arc::from(topic), partition);
        self.forget_ready(&key);
        self.seeks += 1;
        let tracked = Tracked {
            position: offset,
            seek: self.seeks,
            is_paused: false,
            is_stopped: false,
            retry_at: None,
            watermarks: NOTHING_KNOWN,
        };
        self.partitions.insert(key, tracked);
    }

    /// Reads this partition no more.
    pub fn remove(&mut self, topic: &str, partition: i32) {
        let key = (Arc::from(topic), partition);
        self.forget_ready(&key);
        self.partitions.remove(&key);
    }

    /// Reads a partition that is assigned from another offset on.
    ///
    /// # Errors
    /// [`ClientError::UnknownPartition`] when it is not assigned.
    pub fn seek(&mut self, topic: &str, partition: i32, offset: i64) -> Result<(), ClientError> {
        self.give_up_long_fetches();
        let key = (Arc::from(topic), partition);
        self.forget_ready(&key);
        self.seeks += 1;
        let seek = self.seeks;
        let tracked = self.tracked_mut(&key)?;
        tracked.position = offset;
        tracked.seek = seek;
        tracked.is_stopped = false;
        tracked.retry_at = None;
        Ok(())
    }

    /// Fetches no more of this partition until it is resumed; its position stays.
    ///
    /// # Errors
    /// [`ClientError::UnknownPartition`] when it is not assigned.
    pub fn pause(&mut self, topic: &str, partition: i32) -> Result<(), ClientError> {
        self.tracked_mut(&(Arc::from(topic), partition)).map(|tracked| tracked.is_paused = true)
    }

    /// Fetches of a paused partition again.
    ///
    /// # Errors
    /// [`ClientError::UnknownPartition`] when it is not assigned.
    pub fn resume(&mut self, topic: &str, partition: i32) -> Result<(), ClientError> {
        self.give_up_long_fetches();
        self.tracked_mut(&(Arc::from(topic), partition)).map(|tracked| tracked.is_paused = false)
    }

    /// The offset behind the last that `poll` has handed out.
    #[must_use]
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let key = (Arc::from(topic), partition);
        let waiting = self.ready.iter().find(|it| (&it.topic, it.partition) == (&key.0, key.1));
        match waiting {
            Some(fetched) => Some(fetched.from),
            None => self.partitions.get(&key).map(|tracked| tracked.position),
        }
    }

    /// How far a partition reaches, as of its last fetch.
    #[must_use]
    pub fn watermarks(&self, topic: &str, partition: i32) -> Option<Watermarks> {
        let key = (Arc::from(topic), partition);
        self.partitions.get(&key).map(|tracked| tracked.watermarks)
    }

    /// The partitions that are assigned.
    pub fn assignment(&self) -> impl Iterator<Item = (&str, i32)> {
        self.partitions.keys().map(|(topic, partition)| (topic.as_ref(), *partition))
    }

    /// What has been fetched; waits for at most this long, and gives nothing then.
    ///
    /// # Errors
    /// [`ClientError::OffsetOutOfRange`] and what else concerns one partition: that partition
    /// stands still until a seek, the others go on. Errors that pass are not told.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<Fetched>, ClientError> {
        let deadline = timer::now() + wait;
        loop {
            let inbox = Arc::clone(&self.inbox);
            let arrival = inbox.arrival();
            self.take_answers();
            self.send_fetches().await;
            if let Some(error) = self.failed.pop_front() {
                return Err(error);
            }
            if !self.ready.is_empty() {
                return Ok(std::mem::take(&mut self.ready));
            }
            if timer::now() >= deadline {
                return Ok(Vec::new());
            }
            let until = self.next_retry().map_or(deadline, |retry| retry.min(deadline));
            // Either way the loop looks again.
            timer::timeout_at(until, arrival).await.unwrap_or(());
        }
    }

    fn tracked_mut(&mut self, key: &Key) -> Result<&mut Tracked, ClientError> {
        let unknown =
            || ClientError::UnknownPartition { topic: key.0.to_string(), partition: key.1 };
        self.partitions.get_mut(key).ok_or_else(unknown)
    }

    fn forget_ready(&mut self, key: &Key) {
        self.ready.retain(|fetched| (&fetched.topic, fetched.partition) != (&key.0, key.1));
    }

    /// Brokers answer a connection in order, so a fetch that may wait long would hold up the one
    /// that is wanted instead. It ends with its connection, and its answer is nobody's.
    fn give_up_long_fetches(&mut self) {
        let is_long = |wait: &Duration| *wait > self.options.fetch_wait_max;
        if self.in_flight.values().any(is_long) {
            self.client.close_lane(self.lane);
            self.inbox = Arc::default();
            self.in_flight.clear();
            self.quiet.clear();
        }
    }

    /// How long the next fetch may wait at a broker.
    fn fetch_wait(&self, node: i32) -> Duration {
        let usual = self.options.fetch_wait_max;
        // A partition that is tried again soon must find no long fetch in its way.
        if self.next_retry().is_some() {
            return usual;
        }
        let quiet = self.quiet.get(&node).copied().unwrap_or(0);
        let grown = usual.saturating_mul(1_u32.checked_shl(quiet).unwrap_or(u32::MAX));
        grown.min(self.options.fetch_wait_quiet_max.max(usual))
    }

    fn next_retry(&self) -> Option<Instant> {
        self.partitions.values().filter_map(|tracked| tracked.retry_at).min()
    }

    fn take_answers(&mut self) {
        for answer in self.inbox.take() {
            self.in_flight.remove(&answer.node);
            let (node, ready) = (answer.node, self.ready.len());
            self.take_answer(answer);
            let is_quiet = self.ready.len() == ready && self.failures == 0;
            let quiet = self.quiet.entry(node).or_default();
            *quiet = if is_quiet { quiet.saturating_add(1) } else { 0 };
        }
    }

    fn take_answer(&mut self, answer: Answer) {
        match answer.result {
            Ok(partitions) => {
                self.failures = 0;
                for (key, seek, partition) in partitions {
                    self.take_partition(key, seek, partition);
                }
            }
            Err(error) => {
                tracing::debug!(%error, node = answer.node, "fetch failed");
                self.failures += 1;
                for (key, seek) in &answer.asked {
                    self.put_off(key, *seek);
                }
                if !error.is_retriable() {
                    self.failed.push_back(error);
                }
            }
        }
    }

    /// Tries a partition again after a pause, with a fresh look at who leads it.
    fn put_off(&mut self, key: &Key, seek: u64) {
        let pause = backoff_ms(self.client.options(), self.failures);
        let at = timer::now() + Duration::from_millis(pause);
        if let Some(tracked) = self.partitions.get_mut(key)
            && tracked.seek == seek
        {
            tracked.retry_at = Some(at);
            self.stale.insert(Arc::clone(&key.0));
        }
    }

    fn take_partition(&mut self, key: Key, seek: u64, answer: PartitionAnswer) {
        let Some(tracked) = self.partitions.get_mut(&key).filter(|it| it.seek == seek) else {
            return;
        };
        let code = answer.code;
        if code.is_none() {
            tracked.watermarks = answer.watermarks;
            let from = tracked.position;
            match visible(&answer, from, &self.options) {
                Ok((batches, next_offset)) if next_offset > from => {
                    tracked.position = next_offset;
                    self.ready.push(Fetched {
                        topic: key.0,
                        partition: key.1,
                        batches,
                        from,
                        next_offset,
                        high_watermark: answer.watermarks.high_watermark,
                        last_stable_offset: answer.watermarks.last_stable_offset,
                        log_start: answer.watermarks.log_start,
                    });
                }
                Ok(_) => {}
                Err(cause) => {
                    tracked.is_stopped = true;
                    let (topic, partition) = (key.0.to_string(), key.1);
                    self.failed.push_back(ClientError::Record { topic, partition, cause });
                }
            }
            return;
        }
        if code != ErrorCode::OFFSET_OUT_OF_RANGE && code.is_retriable() {
            self.failures += 1;
            self.put_off(&key, seek);
            return;
        }
        tracked.is_stopped = true;
        let error = match code {
            ErrorCode::OFFSET_OUT_OF_RANGE => ClientError::OffsetOutOfRange {
                topic: key.0.to_string(),
                partition: key.1,
                offset: tracked.position,
                log_start: answer.watermarks.log_start,
                high_watermark: answer.watermarks.high_watermark,
            },
            code => ClientError::refused(ApiKey::Fetch, &key.0, code),
        };
        self.failed.push_back(error);
    }

    /// Sends a fetch to each broker that has none to answer.
    async fn send_fetches(&mut self) {
        self.refresh_stale().await;
        for (node, asked) in self.due_by_leader().await {
            let answered = fetch::send(self, node, asked).await;
            if let Err((error, asked)) = answered {
                tracing::debug!(%error, node, "broker cannot be reached");
                self.failures += 1;
                for (key, seek) in &asked {
                    self.put_off(key, *seek);
                }
            }
        }
    }

    async fn refresh_stale(&mut self) {
        if self.stale.is_empty() {
            return;
        }
        let now = timer::now();
        let is_due = |tracked: &Tracked| tracked.retry_at.is_some_and(|at| at <= now);
        if !self.partitions.values().any(is_due) {
            return;
        }
        let topics: Vec<Arc<str>> = self.stale.iter().map(Arc::clone).collect();
        let names: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
        match self.client.refresh(&names).await {
            Ok(_) => self.stale.clear(),
            Err(error) => tracing::debug!(%error, "cluster cannot be asked"),
        }
    }

    /// The partitions that may be fetched now, by their leader, from another start each time.
    async fn due_by_leader(&mut self) -> BTreeMap<i32, Vec<(Key, u64)>> {
        let now = timer::now();
        let mut due: Vec<(Key, u64)> = Vec::new();
        for (key, tracked) in &mut self.partitions {
            if tracked.retry_at.is_some_and(|at| at <= now) {
                tracked.retry_at = None;
            }
            let rests = tracked.is_paused || tracked.is_stopped || tracked.retry_at.is_some();
            if !rests {
                due.push((key.clone(), tracked.seek));
            }
        }
        let mut by_leader: BTreeMap<i32, Vec<(Key, u64)>> = BTreeMap::new();
        let mut refused: BTreeSet<Arc<str>> = BTreeSet::new();
        if !due.is_empty() {
            let start = self.fetches % due.len();
            due.rotate_left(start);
        }
        for (key, seek) in due {
            if refused.contains(&key.0) {
                self.put_off(&key, seek);
                continue;
            }
            match self.leader(&key).await {
                Ok(leader) if self.in_flight.contains_key(&leader) => {}
                Ok(leader) => by_leader.entry(leader).or_default().push((key, seek)),
                Err(error) if error.is_retriable() => {
                    self.failures += 1;
                    refused.insert(Arc::clone(&key.0));
                    self.put_off(&key, seek);
                }
                Err(error) => {
                    self.failed.push_back(error);
                    if let Some(tracked) = self.partitions.get_mut(&key) {
                        tracked.is_stopped = true;
                    }
                }
            }
        }
        by_leader
    }

    async fn leader(&self, key: &Key) -> Result<i32, ClientError> {
        let cluster = self.client.cluster();
        let known = cluster.topics.get(&key.0).and_then(|view| view.partition(key.1).ok());
        match known {
            Some(partition) if partition.leader >= 0 => Ok(partition.leader),
            _ => self.client.leader(&key.0, key.1).await,
        }
    }
}
