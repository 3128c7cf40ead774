//! Who has run a pipeline, and what changed from one to the next, as far as the plan topic still
//! tells.
//!
//! Every start writes a claim before it does anything. The topic is compacted: of a worker the
//! newest claim stays for good, and earlier ones until the cleaner comes by.

use client::Client;
use client::options::Isolation;
use topology::plan::{Outline, compare, plan_topic_of};

use super::error::EngineError;
use super::ledger::Claim;
use super::parking::open::each_record;

/// A start of a pipeline, or what was done to it while it did not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who claimed it first: a process, or the leader of a cluster.
    pub by: Claim,
    /// The workers that run it, each with its slots.
    pub workers: Vec<(String, u32)>,
    /// What is not as it was at the one before; empty for the first one.
    pub changes: Vec<String>,
}

/// The deployments that can still be read, the oldest first; none when the log has nothing of this
/// name.
///
/// # Errors
/// The log's; [`EngineError::PlanFormat`] when what lies there was written by another version.
pub async fn read(client: &Client, pipeline: &str) -> Result<Option<Vec<Deployment>>, EngineError> {
    let topic = plan_topic_of(pipeline);
    let listed = client.admin().topics().await?;
    if !listed.iter().any(|it| *it.name == *topic) {
        return Ok(None);
    }
    let mut claims = Vec::new();
    each_record(client, &[(topic, 0)], Isolation::ReadCommitted, |_, record| {
        let Some(value) = record.value else {
            return Ok(());
        };
        let claim: Claim = serde_json::from_slice(value)
            .map_err(|cause| EngineError::PlanFormat { reason: format!("plan topic: {cause}") })?;
        claims.push((record.timestamp, claim));
        Ok(())
    })
    .await?;
    deployments(claims).map(Some)
}

/// Claims of one start belong together; a start that changes the outline again, as a reset does at
/// its end, counts as one.
fn deployments(claims: Vec<(i64, Claim)>) -> Result<Vec<Deployment>, EngineError> {
    let mut deployments: Vec<Deployment> = Vec::new();
    let mut before: Option<Outline> = None;
    for (at_ms, claim) in claims {
        let outline = Outline::parse(&claim.outline)
            .map_err(|error| EngineError::PlanFormat { reason: error.to_string() })?;
        let changes = before.as_ref().map(|before| compare(before, &outline)).unwrap_or_default();
        let changes = changes.iter().map(ToString::to_string);
        let worker = (claim.worker.clone(), claim.slots);
        match deployments.last_mut().filter(|last| last.by.nonce == claim.nonce) {
            Some(last) => {
                last.changes.extend(changes);
                last.workers.retain(|(known, _)| *known != worker.0);
                last.workers.push(worker);
            }
            None => {
                let (workers, changes) = (vec![worker], changes.collect());
                deployments.push(Deployment { at_ms, by: claim, workers, changes });
            }
        }
        before = Some(outline);
    }
    Ok(deployments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(worker: &str, nonce: u64, stores: &str) -> (i64, Claim) {
        let claim = Claim {
            format: 1,
            worker: worker.to_owned(),
            slots: 2,
            numbers: None,
            host: "h".to_owned(),
            pid: 1,
            started_ms: 0,
            nonce,
            outline: outline(stores),
        };
        (i64::try_from(nonce).unwrap(), claim)
    }

    fn outline(store: &str) -> String {
        let mut outline = Outline::default();
        outline.stages.insert("ms.p.a".to_owned(), vec!["in".to_owned()]);
        if !store.is_empty() {
            let changelog = format!("__ms.p.{store}-changelog");
            let stored = topology::plan::StoreOutline { changelog, signature: 7 };
            outline.stores.insert(store.to_owned(), stored);
        }
        outline.to_text()
    }

    #[test]
    fn claims_of_one_start_are_one_deployment_and_differences_are_told() {
        let claims = vec![claim("tm-1", 1, ""), claim("tm-2", 1, ""), claim("main", 2, "seen")];
        let all = deployments(claims).unwrap();
        let [first, second] = &all[..] else { panic!("{all:?}") };
        let workers = [("tm-1".to_owned(), 2), ("tm-2".to_owned(), 2)];
        assert_eq!((&first.workers[..], first.changes.len()), (&workers[..], 0));
        assert_eq!((second.at_ms, &second.by.worker[..]), (2, "main"));
        assert_eq!(second.changes, ["task `seen` begins with empty state"]);
    }

    #[test]
    fn what_another_version_wrote_is_refused() {
        let (at_ms, mut other) = claim("main", 1, "");
        other.outline = "millstream plan 9\n".to_owned();
        let refused = deployments(vec![(at_ms, other)]);
        assert!(matches!(refused, Err(EngineError::PlanFormat { .. })));
    }
}
