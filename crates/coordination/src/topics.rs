//! The cluster's topics, made where they are missing.

use std::collections::BTreeMap;

use client::admin::TopicSpec;
use client::{Client, ClientError};

use crate::error::CoordinationError;

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

/// Partitions of each of them.
const PARTITIONS: i32 = 1;

/// Makes what is missing.
///
/// # Errors
/// The log's; [`CoordinationError::Partitions`] for a topic that somebody made with more than one.
pub async fn prepare(client: &Client) -> Result<(), CoordinationError> {
    let listed = client.admin().topics().await?;
    let there: BTreeMap<&str, i32> =
        listed.iter().map(|topic| (&*topic.name, topic.partition_count())).collect();
    for spec in specs() {
        let topic = spec.name.clone();
        let found = match there.get(topic.as_str()) {
            Some(found) => *found,
            None => create(client, spec).await?,
        };
        // Everybody reads the first partition alone, so that all read the same in the same order.
        if found != PARTITIONS {
            return Err(CoordinationError::Partitions { topic, found });
        }
    }
    Ok(())
}

/// Makes the topic of a task manager, if it is missing.
///
/// # Errors
/// The log's.
pub async fn prepare_task_manager(client: &Client, id: &str) -> Result<(), ClientError> {
    create(client, compacted(&of_task_manager(id))).await.map(|_| ())
}

/// Makes a topic; tells how many partitions it has.
async fn create(client: &Client, spec: TopicSpec) -> Result<i32, ClientError> {
    let name = spec.name.clone();
    match client.admin().create_topics(&[spec]).await {
        Ok(_) => Ok(PARTITIONS),
        // Somebody else was faster, and may have wanted another number of partitions.
        Err(ClientError::TopicExists { .. }) => {
            Ok(client.topic_that_exists(&name).await?.partition_count())
        }
        Err(error) => Err(error),
    }
}

fn compacted(name: &str) -> TopicSpec {
    TopicSpec::new(name, PARTITIONS).with("cleanup.policy", "compact").with("segment.ms", "600000")
}

fn specs() -> [TopicSpec; 6] {
    let short = |name, retention_ms| {
        TopicSpec::new(name, PARTITIONS)
            .with("retention.ms", retention_ms)
            .with("segment.ms", "60000")
    };
    // The log's own time stands on the beats, so that every node is measured by one clock.
    let beats = short(BEATS, "600000").with("message.timestamp.type", "LogAppendTime");
    // Beats and calls are read from the end; requests are answered at once, or after a failover.
    [
        compacted(CLUSTER),
        beats,
        short(REQUESTS, "3600000"),
        short(ANSWERS, "3600000"),
        short(SOS, "3600000"),
        short(SOS_ANSWERS, "3600000"),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::clock::SystemClock;
    use base::rng::SystemRandom;
    use client::ClientOptions;
    use runtime::boot::Executor;
    use testkit::broker::TestBroker;

    use super::*;

    #[test]
    fn a_topic_with_more_partitions_than_anybody_reads_is_refused() {
        Executor::new(2).unwrap().block_on(async {
            let mut broker = TestBroker::start_with(|_| {}).await;
            let options = ClientOptions::memory(broker.connector());
            let clock = Arc::new(SystemClock::new());
            let client = Client::connect(options, clock, Arc::new(SystemRandom)).await.unwrap();
            client.admin().create_topics(&[TopicSpec::new(REQUESTS, 3)]).await.unwrap();
            let refused = prepare(&client).await.unwrap_err();
            assert!(
                matches!(&refused, CoordinationError::Partitions { topic, found: 3 }
                    if topic == REQUESTS),
                "{refused}"
            );
            // The same when it comes to be between the look and the making.
            assert_eq!(create(&client, TopicSpec::new(REQUESTS, PARTITIONS)).await.unwrap(), 3);
            assert_eq!(create(&client, TopicSpec::new(ANSWERS, PARTITIONS)).await.unwrap(), 1);
            drop(client);
            broker.halt().await;
        });
    }
}
