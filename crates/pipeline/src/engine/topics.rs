//! The topics of a plan, made where they are missing.

use std::collections::BTreeMap;

use client::admin::TopicSpec;
use client::{Client, ClientError};
use topology::plan::{Partitions, Plan, TopicPlan};

use super::error::EngineError;

/// Count of partitions by topic.
pub(crate) type Counts = BTreeMap<String, i32>;

/// Makes what is missing and tells how many partitions each topic has.
///
/// # Errors
/// The log's; a topic that has too few partitions for what depends on it.
pub(crate) async fn prepare(client: &Client, plan: &Plan) -> Result<Counts, EngineError> {
    let mut counts = existing(client, plan).await?;
    // Topics that take their number from others come after those.
    let (fixed, following): (Vec<_>, Vec<_>) =
        plan.topics.iter().partition(|(_, topic)| matches!(topic.partitions, Partitions::Count(_)));
    for (name, topic) in fixed.into_iter().chain(in_order(following)) {
        let wanted = wanted(topic, &counts);
        if let Some(found) = counts.get(name).copied() {
            fits(name, topic, found, wanted)?;
            continue;
        }
        let count = create(client, name, topic, wanted).await?;
        fits(name, topic, count, wanted)?;
        counts.insert(name.clone(), count);
    }
    check_copartitions(plan, &counts)?;
    Ok(counts)
}

pub(crate) async fn existing(client: &Client, plan: &Plan) -> Result<Counts, ClientError> {
    let listed = client.admin().topics().await?;
    let ours = listed.iter().filter(|topic| plan.topics.contains_key(&*topic.name));
    Ok(ours.map(|topic| (topic.name.to_string(), topic.partition_count())).collect())
}

/// Those first that others take their number from; a ring of them would be a fault of the plan,
/// and ends in their given order.
fn in_order<'p>(topics: Vec<(&'p String, &'p TopicPlan)>) -> Vec<(&'p String, &'p TopicPlan)> {
    let mut left = topics;
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let names: Vec<&String> = left.iter().map(|(name, _)| *name).collect();
        let is_ready = |topic: &TopicPlan| match &topic.partitions {
            Partitions::Count(_) => true,
            Partitions::AsMostOf(others) => others.iter().all(|other| !names.contains(&other)),
        };
        let (ready, waiting): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, topic)| is_ready(topic));
        if ready.is_empty() {
            ordered.extend(waiting);
            return ordered;
        }
        ordered.extend(ready);
        left = waiting;
    }
    ordered
}

fn wanted(topic: &TopicPlan, counts: &Counts) -> i32 {
    match &topic.partitions {
        Partitions::Count(count) => i32::try_from(*count).unwrap_or(i32::MAX),
        Partitions::AsMostOf(others) => {
            others.iter().filter_map(|other| counts.get(other)).max().copied().unwrap_or(1)
        }
    }
}

/// A topic that follows others has a partition for each of theirs.
fn fits(name: &str, topic: &TopicPlan, found: i32, expected: i32) -> Result<(), EngineError> {
    if matches!(topic.partitions, Partitions::AsMostOf(_)) && found < expected {
        return Err(EngineError::Partitions { topic: name.to_owned(), found, expected });
    }
    Ok(())
}

/// Makes a topic; tells how many partitions it has.
async fn create(
    client: &Client,
    name: &str,
    topic: &TopicPlan,
    partitions: i32,
) -> Result<i32, ClientError> {
    let mut spec = TopicSpec::new(name, partitions);
    for (config, value) in &topic.config {
        spec = spec.with(config, value);
    }
    match client.admin().create_topics(&[spec]).await {
        Ok(_) => Ok(partitions),
        // Somebody else was faster, and may have wanted another number of partitions.
        Err(ClientError::TopicExists { .. }) => Ok(client.topic(name).await?.partition_count()),
        Err(error) => Err(error),
    }
}

/// State is kept by key, and a key must meet itself in one task.
fn check_copartitions(plan: &Plan, counts: &Counts) -> Result<(), EngineError> {
    for stage in plan.stages.iter().filter(|stage| stage.is_copartitioned()) {
        let count = |topic: &str| counts.get(topic).copied().unwrap_or(0);
        let expected = stage.inputs.first().map_or(0, |input| count(&input.topic));
        for input in &stage.inputs {
            let found = count(&input.topic);
            if found != expected {
                let topic = input.topic.clone();
                return Err(EngineError::Partitions { topic, found, expected });
            }
        }
    }
    Ok(())
}

/// How many tasks a stage has: one for each partition of its widest input.
pub(crate) fn tasks_of(plan: &Plan, stage: usize, counts: &Counts) -> i32 {
    let inputs = plan.stages.get(stage).map(|stage| stage.inputs.as_slice()).unwrap_or_default();
    inputs.iter().filter_map(|input| counts.get(&input.topic)).max().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::clock::SystemClock;
    use base::rng::SystemRandom;
    use client::ClientOptions;
    use runtime::boot::Executor;
    use testkit::broker::TestBroker;
    use topology::plan::TopicRole;

    use super::*;

    #[test]
    fn a_topic_that_somebody_else_has_just_made_counts_as_it_is() {
        Executor::new(2).unwrap().block_on(async {
            let mut broker = TestBroker::start_with(|_| {}).await;
            let options = ClientOptions::memory(broker.connector());
            let clock = Arc::new(SystemClock::new());
            let client = Client::connect(options, clock, Arc::new(SystemRandom)).await.unwrap();
            let of = |partitions| {
                let config = BTreeMap::new();
                TopicPlan { role: TopicRole::Edge, partitions, config }
            };
            let (three, eight) = (of(Partitions::Count(3)), of(Partitions::Count(8)));
            assert_eq!(create(&client, "t", &three, 3).await.unwrap(), 3);
            let found = create(&client, "t", &eight, 8).await.unwrap();
            assert_eq!(found, 3);
            assert!(fits("t", &eight, found, 8).is_ok());
            let follows = of(Partitions::AsMostOf(Vec::new()));
            let unfit = fits("t", &follows, found, 8);
            assert!(matches!(unfit, Err(EngineError::Partitions { found: 3, expected: 8, .. })));
            drop(client);
            broker.halt().await;
        });
    }
}
