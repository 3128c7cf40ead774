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
        match client.admin().create_topics(&[spec]).await {
            // Somebody else was faster.
            Ok(_) | Err(ClientError::TopicExists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn specs() -> [TopicSpec; 4] {
    let short = |name, retention_ms| {
        TopicSpec::new(name, 1).with("retention.ms", retention_ms).with("segment.ms", "60000")
    };
    let cluster =
        TopicSpec::new(CLUSTER, 1).with("cleanup.policy", "compact").with("segment.ms", "600000");
    // The log's own time stands on the beats, so that every node is measured by one clock.
    let beats = short(BEATS, "600000").with("message.timestamp.type", "LogAppendTime");
    // Beats are read from the end; requests are answered at once, or after a failover.
    [cluster, beats, short(REQUESTS, "3600000"), short(ANSWERS, "3600000")]
}
