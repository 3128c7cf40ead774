//! What the own log says of its topics and groups, through the client.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::Clock;
use client::admin::OffsetAt;
use client::options::Isolation;
use client::{Client, ClientError};
use runtime::channel::Semaphore;
use runtime::timer;

use crate::limits::{FIGURES_AGE_MS_MAX, GATHER_MS_MAX, GROUPS_MAX, PARTITIONS_MAX};

/// A partition of a topic.
type Place = (String, i32);

/// A log at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogFigures {
    /// Brokers that are there; 0 when none answers.
    pub(crate) brokers: usize,
    /// Partitions of each topic.
    pub(crate) topics: BTreeMap<String, usize>,
    /// The first offset of each partition.
    pub(crate) starts: BTreeMap<Place, i64>,
    /// The offset behind the last record of each partition.
    pub(crate) ends: BTreeMap<Place, i64>,
    /// What each group has committed.
    pub(crate) groups: BTreeMap<String, BTreeMap<Place, i64>>,
    /// Partitions and groups for which there was no room.
    pub(crate) left_out: usize,
}

impl LogFigures {
    /// Records that a group has not read of a partition.
    pub(crate) fn lag(&self, place: &Place, committed: i64) -> Option<i64> {
        self.ends.get(place).map(|end| (end - committed).max(0))
    }
}

/// Asks a log, once for all who want to know at the same time.
#[derive(Debug)]
pub(crate) struct LogSource {
    client: Client,
    clock: Arc<dyn Clock>,
    turn: Semaphore,
    known: Mutex<Option<(u64, Arc<LogFigures>)>>,
}

impl LogSource {
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock, turn: Semaphore::new(1), known: Mutex::new(None) }
    }

    /// The figures, at most a second old; empty ones when the log does not answer in time.
    pub(crate) async fn figures(&self) -> Arc<LogFigures> {
        let turn = self.turn.acquire().await.expect("the turn is never closed");
        if let Some(figures) = self.known() {
            return figures;
        }
        let patience = Duration::from_millis(GATHER_MS_MAX);
        let gathered = timer::timeout(patience, gather(&self.client)).await;
        let figures = match gathered {
            Ok(Ok(figures)) => figures,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the log tells no figures");
                LogFigures::default()
            }
            Err(timer::TimedOut) => LogFigures::default(),
        };
        let figures = Arc::new(figures);
        let now_ms = self.clock.steady_ms();
        *self.known.lock().expect("no holder of the figures panics") =
            Some((now_ms, Arc::clone(&figures)));
        drop(turn);
        figures
    }

    fn known(&self) -> Option<Arc<LogFigures>> {
        let known = self.known.lock().expect("no holder of the figures panics");
        let (then_ms, figures) = known.as_ref()?;
        let age_ms = self.clock.steady_ms().saturating_sub(*then_ms);
        (age_ms < FIGURES_AGE_MS_MAX).then(|| Arc::clone(figures))
    }

    /// Whether the log answers in this time; why not.
    pub(crate) async fn answers(&self, patience: Duration) -> Result<(), String> {
        match timer::timeout(patience, self.client.admin().describe_cluster()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("the log does not answer: {error}")),
            Err(timer::TimedOut) => {
                Err(format!("the log has not answered for {} s", patience.as_secs()))
            }
        }
    }
}

async fn gather(client: &Client) -> Result<LogFigures, ClientError> {
    let admin = client.admin();
    let brokers = admin.describe_cluster().await?.brokers.len();
    let mut figures = LogFigures { brokers, ..LogFigures::default() };
    let mut places: Vec<Place> = Vec::new();
    for topic in admin.topics().await? {
        let count = topic.partition_count();
        if topic.is_internal {
            continue;
        }
        if places.len() + topic.partitions.len() > PARTITIONS_MAX {
            figures.left_out += topic.partitions.len();
            continue;
        }
        figures.topics.insert(topic.name.to_string(), topic.partitions.len());
        places.extend((0..count).map(|partition| (topic.name.to_string(), partition)));
    }
    let asked: Vec<(&str, i32)> = places.iter().map(|(topic, it)| (topic.as_str(), *it)).collect();
    if !asked.is_empty() {
        let isolation = Isolation::ReadUncommitted;
        let starts = admin.list_offsets(&asked, OffsetAt::Earliest, isolation).await?;
        let ends = admin.list_offsets(&asked, OffsetAt::Latest, isolation).await?;
        figures.starts = starts.into_iter().map(|(place, it)| (place, it.offset)).collect();
        figures.ends = ends.into_iter().map(|(place, it)| (place, it.offset)).collect();
    }
    let groups = admin.list_groups().await?;
    figures.left_out += groups.len().saturating_sub(GROUPS_MAX);
    for group in groups.into_iter().take(GROUPS_MAX) {
        let committed = admin.committed_offsets(&group.group, None, false).await?;
        let committed = committed.into_iter().map(|(place, it)| (place, it.offset));
        figures.groups.insert(group.group, committed.filter(|(_, it)| *it >= 0).collect());
    }
    Ok(figures)
}
