//! State that lies in this machine: what fits is taken over, so that only the tail of its
//! changelog is left to be read.

use std::collections::BTreeMap;

use base::uuid::Uuid;
use client::admin::ConfigResource;
use client::{Client, ClientError};
use runtime::task as run;
use tracing::{info, warn};

use super::{Aids, Goal, Goals};
use crate::engine::error::EngineError;
use crate::engine::snapshot::keeper::{self, Wanted};
use crate::engine::standby::StandbyTask;
use crate::engine::task::Task;
use crate::limits::{LOCAL_STATE_AGE_MS_MAX, LOCAL_STATE_MARGIN_MS_MAX};
use state::store::{Applied, Owner, ShelfError, Shelves};

/// What a changelog topic says of itself.
#[derive(Debug, Clone, Copy)]
struct Facts {
    id: Uuid,
    /// Age at which local state is no longer used, in milliseconds.
    age_ms_max: i64,
}

/// Takes local state over, and moves the goals behind it.
///
/// # Errors
/// The log's, or a disk that refuses. State that does not fit is no error.
pub(super) async fn load(
    aids: &Aids,
    goals: &mut Goals,
    tasks: &mut [Task],
) -> Result<(), EngineError> {
    let take = |task: &Task| aids.standbys.take((task.stage, task.partition), aids.fingerprint);
    let mut copies: Vec<Option<StandbyTask>> = tasks.iter().map(take).collect();
    let has_copies = copies.iter().any(Option::is_some);
    if aids.folder.is_none() && aids.shelves.is_none() && !has_copies {
        return Ok(());
    }
    let mut known = BTreeMap::new();
    for ((changelog, partition), goal) in goals {
        let facts = match known.get(changelog) {
            Some(facts) => *facts,
            None => {
                let facts = facts(&aids.client, changelog).await?;
                known.insert(changelog.clone(), facts);
                facts
            }
        };
        let task = &mut tasks[goal.task];
        let place = (changelog.as_str(), *partition);
        let copy = copies[goal.task].as_mut();
        let copied = copy.and_then(|copy| take_copy((aids, copy), place, facts, task, goal));
        let found = match (copied, &aids.shelves) {
            (Some(copied), _) => Some(copied),
            (None, None) => load_snapshot(aids, place, facts, task, goal).await,
            (None, Some(shelves)) => open_shelf((aids, shelves), place, facts, task, goal).await?,
        };
        if let Some(applied) = found {
            goal.next = applied.offset;
            goal.since_ms = applied.at_ms;
        }
    }
    Ok(())
}

async fn facts(client: &Client, changelog: &str) -> Result<Facts, ClientError> {
    let id = client.topic(changelog).await?.id;
    let resource = ConfigResource::Topic(changelog.to_owned());
    let retention_ms = match client.admin().describe_configs(&resource).await {
        Ok(configs) => configs
            .get("delete.retention.ms")
            .and_then(|config| config.value.as_ref()?.parse().ok()),
        Err(error) => {
            warn!(%error, topic = changelog, "the topic's configs cannot be read");
            None
        }
    };
    let retention_ms: i64 = retention_ms.unwrap_or(LOCAL_STATE_AGE_MS_MAX);
    Ok(Facts { id, age_ms_max: age_ms_max(retention_ms) })
}

/// The age that state may have where deletions are forgotten after this time.
fn age_ms_max(retention_ms: i64) -> i64 {
    retention_ms - (retention_ms / 10).min(LOCAL_STATE_MARGIN_MS_MAX)
}

/// Takes over what was copied while another one ran the task.
fn take_copy(
    (aids, copy): (&Aids, &mut StandbyTask),
    (changelog, partition): (&str, i32),
    facts: Facts,
    task: &mut Task,
    goal: &Goal,
) -> Option<Applied> {
    let (state, applied) = copy.give(goal.node, facts.id)?;
    let ages = (aids.clock.unix_ms(), facts.age_ms_max);
    if let Some(reason) = unfit(applied, (goal.start, goal.end), ages) {
        info!(changelog, partition, reason, "copied state left alone, it is rebuilt");
        return None;
    }
    let left = goal.end - applied.offset;
    info!(changelog, partition, left, "copied state taken over");
    task.state.nodes[goal.node] = state;
    task.state.closed_ms[goal.node] = applied.closed_ms;
    Some(applied)
}

async fn load_snapshot(
    aids: &Aids,
    (changelog, partition): (&str, i32),
    facts: Facts,
    task: &mut Task,
    goal: &Goal,
) -> Option<Applied> {
    let wanted = Wanted {
        changelog,
        partition,
        topic: facts.id,
        fingerprint: aids.fingerprint,
        range: (goal.start, goal.end),
        now_ms: aids.clock.unix_ms(),
        age_ms_max: facts.age_ms_max,
    };
    keeper::load(aids.folder.as_ref()?, &wanted, task, goal.node).await
}

/// Puts a task's node on its shelf, and empties that first when it holds what does not fit; tells
/// how much of the changelog lies there.
async fn open_shelf(
    (aids, shelves): (&Aids, &Shelves),
    (changelog, partition): (&str, i32),
    facts: Facts,
    task: &mut Task,
    goal: &Goal,
) -> Result<Option<Applied>, ShelfError> {
    let node = &mut task.state.nodes[goal.node];
    let stores = task.code.stage.operators.get(goal.node).and_then(|operator| operator.store);
    let store = stores.and_then(|store| task.code.stage.stores.get(store));
    let (Some(layout), Some(store)) = (node.layout(), store) else {
        return Ok(None);
    };
    let owner = Owner { topic: facts.id, signature: store.signature };
    let name = format!("{changelog}-{partition}");
    let range = (goal.start, goal.end);
    let now_ms = aids.clock.unix_ms();
    let (shelves, folder) = (shelves.clone(), aids.folder.clone());
    let place = (changelog.to_owned(), partition);
    let shelf = run::blocking(move || {
        let shelf = shelves.shelf(&name, layout, owner)?;
        if let Some(folder) = folder
            && let Err(error) =
                folder.kept.add_shelf((&*folder.disk, &folder.dir), (&place.0, partition))
        {
            info!(%error, "nobody will be told that state lies here");
        }
        let reject = match shelf.applied()? {
            Some(applied) => unfit(applied, range, (now_ms, facts.age_ms_max)),
            None => Some("it is empty or belongs to something else"),
        };
        if let Some(reason) = reject {
            info!(store = name, reason, "state on disk left alone, it is rebuilt");
            shelf.clear()?;
        }
        Ok(shelf)
    });
    let Some(applied) = node.spill(shelf.await?)? else {
        return Ok(None);
    };
    task.state.closed_ms[goal.node] = applied.closed_ms;
    Ok(Some(applied))
}

/// Why state on disk is of no use, if it is not.
fn unfit(
    applied: Applied,
    (start, end): (i64, i64),
    (now_ms, age_ms_max): (i64, i64),
) -> Option<&'static str> {
    if applied.offset < start || applied.offset > end {
        return Some("the changelog does not hold its offset");
    }
    if now_ms.saturating_sub(applied.at_ms) >= age_ms_max {
        return Some("it is older than what the changelog remembers of deleted keys");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_state_goes_before_its_changelog_forgets_deletions() {
        assert_eq!(age_ms_max(86_400_000), 86_400_000 - 3_600_000);
        assert_eq!(age_ms_max(1_000), 900);
        assert_eq!(age_ms_max(0), 0);
        let applied = Applied { offset: 10, at_ms: 1_000, closed_ms: 0 };
        assert_eq!(unfit(applied, (0, 10), (1_899, 900)), None);
        assert_eq!(unfit(applied, (10, 20), (1_000, 900)), None);
        assert!(unfit(applied, (0, 10), (1_900, 900)).unwrap().contains("older"));
        assert!(unfit(applied, (11, 20), (1_000, 900)).unwrap().contains("offset"));
        assert!(unfit(applied, (0, 9), (1_000, 900)).unwrap().contains("offset"));
    }
}
