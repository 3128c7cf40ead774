//! What must still be as it was: whose a group's positions are, and which topics state and
//! positions belong to.
//!
//! Positions without the state or the records that belong to them lose results in silence, so a
//! pipeline that finds its positions and misses the rest stops and says what is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base::uuid::Uuid;
use client::admin::Committed;
use client::cluster::ClusterView;
use client::{Client, ClientError};
use topology::plan::{Outline, Output, Plan, Stage};

use super::error::EngineError;
use super::ledger::Ledger;
use super::topics::Counts;

/// What stands before a pipeline's name beside the offsets that it commits.
const OWNER: &str = "millstream ";

/// What a pipeline keeps beside each offset that it commits.
pub(crate) fn owner(pipeline: &str) -> String {
    format!("{OWNER}{pipeline}")
}

/// Refuses positions that another pipeline has committed. Offsets that nobody has marked, such as
/// those that people have set, belong to whoever reads them.
pub(crate) fn check_owner<'c>(
    pipeline: &str,
    group: &str,
    committed: impl IntoIterator<Item = &'c Committed>,
) -> Result<(), EngineError> {
    let mut owners = committed.into_iter().filter_map(|it| it.metadata.strip_prefix(OWNER));
    match owners.find(|owner| *owner != pipeline) {
        None => Ok(()),
        Some(owner) => {
            let (group, owner) = (group.to_owned(), owner.to_owned());
            Err(EngineError::GroupShared { group, owner })
        }
    }
}

/// A topic of the pipeline that is missing although it must be there.
struct Missing<'p> {
    topic: &'p str,
    holds: String,
    /// The stage whose positions say that something was in it.
    stage: &'p Stage,
}

/// Refuses to begin where topics are gone whose content the committed positions take for granted:
/// the state of a task, or records between two stages. `there` are the topics that exist, before
/// anything is made.
///
/// # Errors
/// [`EngineError::TopicLost`]; the log's.
pub(crate) async fn check_lost(
    client: &Client,
    plan: &Plan,
    there: &Counts,
) -> Result<(), EngineError> {
    if !there.contains_key(&plan.plan_topic) {
        return Ok(());
    }
    let is_missing = |topic: &str| !there.contains_key(topic);
    if !plan.topics.keys().any(|topic| is_missing(topic)) {
        return Ok(());
    }
    let ledger = Ledger::read(client, &plan.plan_topic).await?;
    let Some(newest) = &ledger.newest else { return Ok(()) };
    let before = Outline::parse(&newest.outline)
        .map_err(|error| EngineError::PlanFormat { reason: error.to_string() })?;
    for missing in missing(plan, &before, is_missing) {
        let inputs = missing.stage.inputs.iter().filter(|it| there.contains_key(&it.topic));
        let places: Vec<(&str, i32)> = inputs
            .flat_map(|it| (0..there[&it.topic]).map(|partition| (it.topic.as_str(), partition)))
            .collect();
        if places.is_empty() {
            continue;
        }
        let group = &missing.stage.group;
        let committed = client.admin().committed_offsets(group, Some(&places), true).await?;
        if committed.values().any(|it| it.offset > 0) {
            let (topic, group) = (missing.topic.to_owned(), group.clone());
            return Err(EngineError::TopicLost { topic, holds: missing.holds, group });
        }
    }
    Ok(())
}

/// What the plan before had and this one still wants: what neither knew was never there.
fn missing<'p>(
    plan: &'p Plan,
    before: &Outline,
    is_missing: impl Fn(&str) -> bool,
) -> Vec<Missing<'p>> {
    let read_before: BTreeSet<&String> = before.stages.values().flatten().collect();
    let mut found = Vec::new();
    for stage in &plan.stages {
        for store in &stage.stores {
            let known = before.stores.get(&store.task);
            let is_known = known.is_some_and(|known| known.changelog == store.changelog);
            if is_known && is_missing(&store.changelog) {
                let holds = format!("the state of task `{}`", store.task);
                found.push(Missing { topic: &store.changelog, holds, stage });
            }
        }
        for output in stage.operators.iter().flat_map(|operator| &operator.outputs) {
            let Output::Edge { topic, to, .. } = output else { continue };
            if read_before.contains(topic) && is_missing(topic) {
                let holds = format!("what task `{to}` had still to read");
                found.push(Missing { topic, holds, stage });
            }
        }
    }
    found
}

/// The topics of a plan as they were at the start, by their ids: a topic that was deleted and made
/// again is another one, and positions in the old one mean nothing in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    ids: BTreeMap<String, Uuid>,
    /// The cluster as it was at the last look, which need not be looked through again.
    seen: Option<Arc<ClusterView>>,
}

impl Known {
    /// The topics as the client sees them now. Brokers that give topics no ids are believed.
    pub(crate) fn of(client: &Client, plan: &Plan) -> Self {
        let cluster = client.cluster();
        let ours = plan.topics.keys().filter_map(|name| cluster.topics.get(name.as_str()));
        let ids = ours.filter(|it| !it.id.is_zero()).map(|it| (it.name.to_string(), it.id));
        Self { ids: ids.collect(), seen: None }
    }

    /// Whether nothing was noted yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a topic may be gone or another one, as far as the client has noticed; asks nobody.
    pub(crate) fn is_in_doubt(&mut self, client: &Client) -> bool {
        let cluster = client.cluster();
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &cluster)) {
            return false;
        }
        let is_there = |(name, id): (&String, &Uuid)| {
            cluster.topics.get(name.as_str()).is_some_and(|found| found.id == *id)
        };
        let is_whole = self.ids.iter().all(is_there);
        self.seen = Some(cluster);
        !is_whole
    }

    /// A topic that is gone or another one; asks the broker.
    ///
    /// # Errors
    /// The log's.
    pub(crate) async fn gone(&self, client: &Client) -> Result<Option<EngineError>, ClientError> {
        let listed = client.admin().topics().await?;
        let there: BTreeMap<&str, Uuid> = listed.iter().map(|it| (&*it.name, it.id)).collect();
        let is_gone = |(name, id): &(&String, &Uuid)| there.get(name.as_str()) != Some(*id);
        let found = self.ids.iter().find(is_gone);
        Ok(found.map(|(topic, _)| EngineError::TopicGone { topic: topic.clone() }))
    }
}
