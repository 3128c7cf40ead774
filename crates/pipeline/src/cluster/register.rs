//! The plan topic, for a job of a cluster: who runs it stands there before anybody does.
//!
//! The claims of a job bear its number, one for each task manager that ever had a slot of it. So
//! `millstream run` of the same file fences all of them, and the leader notices it.

use std::collections::{BTreeMap, BTreeSet};

use client::Client;
use coordination::catalogue::Job;
use topology::plan::Plan;

use crate::engine::ledger::{self, Claimant, Ledger};
use crate::engine::{Claim, EngineError};

/// What a look at the plan topic comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The job is ours; every id that it ever used.
    Ours(Vec<String>),
    /// Somebody else runs it since.
    Other(Box<Claim>),
}

/// Writes the claims that are missing; the ids may be used when this returns.
///
/// # Errors
/// The log's.
pub(crate) async fn register(
    client: &Client,
    (job, plan): (&Job, &Plan),
    workers: &BTreeMap<String, BTreeSet<u32>>,
    leader: &Claimant,
) -> Result<Found, EngineError> {
    let ledger = Ledger::read(client, &plan.plan_topic).await?;
    let is_ours = |claim: &Claim| claim.nonce == job.claim;
    if let Some(newest) = &ledger.newest
        && !is_ours(newest)
        && ledger.by_worker.values().any(is_ours)
    {
        return Ok(Found::Other(Box::new(newest.clone())));
    }
    for (worker, slots) in workers {
        let known = ledger.by_worker.get(worker);
        let mut numbers = known.map(Claim::slot_numbers).unwrap_or_default();
        if known.is_some_and(is_ours) && numbers.is_superset(slots) {
            continue;
        }
        numbers.extend(slots);
        let claimant = Claimant { worker: worker.clone(), nonce: job.claim, ..leader.clone() };
        let mut claim = claimant.claim(plan, &ledger);
        claim.slots = numbers.last().map_or(0, |last| last + 1);
        claim.numbers = Some(numbers);
        ledger::write(client, &plan.plan_topic, &claim, leader.started_ms).await?;
    }
    let ledger = Ledger::read(client, &plan.plan_topic).await?;
    Ok(Found::Ours(ledger.transactional_ids(&plan.pipeline)))
}

/// Whether the newest claim is still the job's.
///
/// # Errors
/// The log's.
pub(crate) async fn confirm(
    client: &Client,
    plan: &Plan,
    claim: u64,
) -> Result<Found, EngineError> {
    let ledger = Ledger::read(client, &plan.plan_topic).await?;
    let ids = ledger.transactional_ids(&plan.pipeline);
    Ok(match ledger.newest {
        Some(newest) if newest.nonce != claim => Found::Other(Box::new(newest)),
        Some(_) | None => Found::Ours(ids),
    })
}
