//! Forgetting what a pipeline has done: all of it, or the state of one task.
//!
//! What will go is told first, as data. Then the claim of whoever resets is written and every
//! transactional id is fenced, so that a pipeline that still runs ends and says why; only then
//! topics and groups are deleted, and last the plan record says what is left. A reset that is cut
//! short is done again: until the last step the plan record tells of the state that was there.

use std::collections::{BTreeMap, BTreeSet};

use client::{Client, ClientError};
use protocol::error_code::ErrorCode;
use topology::plan::{Outline, Plan, TopicRole};

use super::error::EngineError;
use super::ledger::{self, Claim, Claimant, Ledger};

/// What a reset does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The task whose state goes; `None` for everything.
    pub task: Option<String>,
    /// Topics that are deleted: changelogs, and the edges between stages when everything goes.
    pub topics: Vec<String>,
    /// Groups whose positions are deleted, so that their sources are read from the start again.
    pub groups: Vec<String>,
    /// Topics that stay and get results a second time. Tables that are written from them keep
    /// their positions: what comes again is a change of a row.
    pub repeated: Vec<String>,
    /// Who ran the pipeline last; if it still runs, it is fenced and ends.
    pub last: Option<Claim>,
    /// Whether the plan record knows of state that it is not to know of afterwards, also where
    /// its topic is gone already.
    pub is_known: bool,
    /// What the plan record says afterwards.
    outline: Outline,
}

impl Reset {
    /// Whether there is nothing to be forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.groups.is_empty() && !self.is_known
    }

    /// Looks at what a reset of the pipeline, or of one task, would do; changes nothing.
    ///
    /// # Errors
    /// The log's; [`EngineError::NoState`] for a task that has none.
    pub async fn look(
        client: &Client,
        plan: &Plan,
        task: Option<&str>,
    ) -> Result<Self, EngineError> {
        let admin = client.admin();
        let listed = admin.topics().await?;
        let there: BTreeSet<String> = listed.iter().map(|topic| topic.name.to_string()).collect();
        let ledger = if there.contains(&plan.plan_topic) {
            Ledger::read(client, &plan.plan_topic).await?
        } else {
            Ledger::default()
        };
        let now = Outline::of(plan);
        let before = outline_of(ledger.newest.as_ref(), &now)?;
        let mut reset = match task {
            Some(task) => of_task(&before, &now, task)?,
            None => of_all(&before, now, plan),
        };
        reset.topics.retain(|topic| there.contains(topic));
        if !reset.groups.is_empty() {
            let groups = admin.list_groups().await?;
            let known: BTreeSet<String> = groups.into_iter().map(|it| it.group).collect();
            reset.groups.retain(|group| known.contains(group));
        }
        reset.is_known = ledger.newest.is_some()
            && before.stores.keys().any(|task| !reset.outline.stores.contains_key(task));
        reset.last = ledger.newest;
        Ok(reset)
    }

    /// Does it.
    ///
    /// # Errors
    /// The log's; [`EngineError::Fenced`] when the pipeline was started meanwhile: then nothing
    /// says that it may be gone on with, and the reset must be done again.
    pub async fn perform(
        &self,
        client: &Client,
        plan: &Plan,
        claimant: &Claimant,
    ) -> Result<(), EngineError> {
        let admin = client.admin();
        let mut claim = None;
        if self.last.is_some() {
            let ledger = Ledger::read(client, &plan.plan_topic).await?;
            let mut ours = claimant.claim(plan, &ledger);
            if let Some(newest) = &ledger.newest {
                ours.outline.clone_from(&newest.outline);
            }
            ledger::write(client, &plan.plan_topic, &ours, claimant.started_ms).await?;
            for id in ledger.transactional_ids(&plan.pipeline) {
                admin.fence(&id).await?;
            }
            claim = Some(ours);
        }
        for group in &self.groups {
            match admin.delete_group(group).await {
                Err(error) if error.code() != Some(ErrorCode::GROUP_ID_NOT_FOUND) => {
                    return Err(error.into());
                }
                Ok(()) | Err(_) => {}
            }
        }
        for topic in &self.topics {
            match admin.delete_topics(&[topic]).await {
                Ok(()) | Err(ClientError::UnknownTopic { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(mut claim) = claim else {
            return Ok(());
        };
        let newest = Ledger::read(client, &plan.plan_topic).await?.newest;
        if newest.as_ref().is_some_and(|newest| newest.nonce != claim.nonce) {
            return Err(EngineError::Fenced { by: newest.map(Box::new) });
        }
        claim.outline = self.outline.to_text();
        Ok(ledger::write(client, &plan.plan_topic, &claim, claimant.started_ms).await?)
    }
}

/// What the plan record tells, or the plan's own outline when nothing has run yet.
fn outline_of(newest: Option<&Claim>, now: &Outline) -> Result<Outline, EngineError> {
    match newest {
        Some(claim) => Outline::parse(&claim.outline)
            .map_err(|error| EngineError::PlanFormat { reason: error.to_string() }),
        None => Ok(now.clone()),
    }
}

/// The state of one task; positions stay, because other tasks share them.
fn of_task(before: &Outline, now: &Outline, task: &str) -> Result<Reset, EngineError> {
    let stores = [before.stores.get(task), now.stores.get(task)];
    let topics: BTreeSet<String> =
        stores.into_iter().flatten().map(|store| store.changelog.clone()).collect();
    if topics.is_empty() {
        return Err(EngineError::NoState { task: task.to_owned() });
    }
    let mut outline = before.clone();
    outline.stores.remove(task);
    Ok(Reset {
        task: Some(task.to_owned()),
        topics: topics.into_iter().collect(),
        groups: Vec::new(),
        repeated: Vec::new(),
        last: None,
        is_known: false,
        outline,
    })
}

/// State, positions and edges, of the plan and of what ran before.
fn of_all(before: &Outline, now: Outline, plan: &Plan) -> Reset {
    let with_role = |role: TopicRole| {
        let topics = plan.topics.iter().filter(move |(_, topic)| topic.role == role);
        topics.map(|(name, _)| name.clone())
    };
    let stores = before.stores.values().chain(now.stores.values());
    let mut topics: BTreeSet<String> = stores.map(|store| store.changelog.clone()).collect();
    // What lies in an edge would be read a second time, beside what is written there anew.
    topics.extend(with_role(TopicRole::Edge));
    // The letters stay, and nobody waits behind them any more.
    topics.extend(with_role(TopicRole::Parked));
    topics.extend(with_role(TopicRole::Orders));
    let stages: BTreeMap<_, _> = before.stages.iter().chain(&now.stages).collect();
    Reset {
        task: None,
        topics: topics.into_iter().collect(),
        groups: stages.into_keys().cloned().collect(),
        repeated: with_role(TopicRole::Sink).collect(),
        last: None,
        is_known: false,
        outline: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::plan;

    const TEXT: &str = "
version: 1
name: counts
source: { topic: in }
edges: topics
tasks:
  - { id: pass, type: forward, to: seen }
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

    #[test]
    fn everything_is_state_positions_and_edges_but_neither_sources_nor_sinks() {
        let plan = plan(TEXT);
        let outline = Outline::of(&plan);
        let reset = of_all(&outline, outline.clone(), &plan);
        assert_eq!(reset.topics, ["__ms.counts.seen.seen-changelog", "counts.pass_seen"]);
        assert_eq!(reset.groups, ["ms.counts.pass", "ms.counts.seen"]);
        assert_eq!(reset.repeated, ["out"]);
        assert_eq!(reset.outline, outline);
    }

    #[test]
    fn one_task_is_its_state_where_it_is_and_where_it_would_be() {
        let now = Outline::of(&plan(TEXT));
        let fused = TEXT.replace("edges: topics", "");
        let before = Outline::of(&plan(&fused));
        let reset = of_task(&before, &now, "seen").unwrap();
        let expected = ["__ms.counts.pass.seen-changelog", "__ms.counts.seen.seen-changelog"];
        assert_eq!(reset.topics, expected);
        assert!(reset.groups.is_empty() && reset.outline.stores.is_empty());
        assert!(matches!(of_task(&before, &now, "pass"), Err(EngineError::NoState { .. })));
    }
}
