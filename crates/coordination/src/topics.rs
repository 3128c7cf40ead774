//! The cluster's topics, made where they are missing.

use std::collections::BTreeSet;

use client::admin::TopicSpec;
use client::{Client, ClientError};

/// What the cluster has agreed on; compacted, written by the leader alone.
pub const CLUSTER: &str = "__ms.cluster";

/// The beats of all nodes.
pub const BEATS: &str = "__ms.beats";

/// What commands ask of the leader.
pub const REQUESTS: &str = "__ms.requests";

/// What the leader answers.
pub const ANSWERS: &str = "__ms.answers";

/// What job managers say at their start.
pub const SOS: &str = "__ms.sos";

/// What task managers answer.
pub const SOS_ANSWERS: &str = "__ms.sos-answers";

/// The topic by which a task manager is handed its processors.
#[must_use]
pub fn of_task_manager(id: &str) -> String {
    format!("__ms.taskmanager.{id}")
}

/// The transactional id of the leader, and the group of its positions in the requests.
pub const LEADER: &str = "__ms.leader";

/// Makes what is missing.
///
/// # Errors
/// The log's.
pub async fn prepare(client: &Client) -> Result<(), ClientError> {
    let listed = client.admin().topics().await?;
    let there: BTreeSet<&str> = listed.iter().map(|topic| &*topic.name).collect();
    for spec in specs().into_iter().filter(|spec| !there.contains(spec.name.as_str())) {
        create(client, spec).await?;
    }
    Ok(())
}

/// Makes the topic of a task manager, if it is missing.
///
/// # Errors
/// The log's.
pub async fn prepare_task_manager(client: &Client, id: &str) -> Result<(), ClientError> {
    create(client, compacted(&of_task_manager(id))).await
}

async fn create(client: &Client, spec: TopicSpec) -> Result<(), ClientError> {
    match client.admin().create_topics(&[spec]).await {
        // Somebody else was faster.
        Ok(_) | Err(ClientError::TopicExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn compacted(name: &str) -> TopicSpec {
    TopicSpec::new(name, 1).with("cleanup.policy", "compact").with("segment.ms", "600000")
}

fn specs() -> [TopicSpec; 6] {
    let short = |name, retention_ms| {
        TopicSpec::new(name, 1).with("retention.ms", retention_ms).with("segment.ms", "60000")
    };
    // Beats and calls are read from the end; requests are answered at once, or after a failover.
    [
        compacted(CLUSTER),
        short(BEATS, "600000"),
        short(REQUESTS, "3600000"),
        short(ANSWERS, "3600000"),
        short(SOS, "3600000"),
        short(SOS_ANSWERS, "3600000"),
    ]
}
