//! The topics of a plan, made where they are missing.

use std::collections::BTreeMap;

use client::admin::TopicSpec;
use client::{Client, ClientError};
use topology::plan::{Partitions, Plan, TopicPlan};

use super::error::EngineError;
use super::guard;

/// Count of partitions by topic.
pub(crate) type Counts = BTreeMap<String, i32>;

/// Makes what is missing and tells how many partitions each topic has.
///
/// # Errors
/// The log's; a topic that has too few partitions for what depends on it, or is gone although
/// something was in it.
pub(crate) async fn prepare(client: &Client, plan: &Plan) -> Result<Counts, EngineError> {
    let mut counts = existing(client, plan).await?;
    guard::check_lost(client, plan, &counts).await?;
    // Topics that take their number from others come after those.
    let (fixed, following): (Vec<_>, Vec<_>) =
        plan.topics.iter().partition(|(_, topic)| matches!(topic.partitions, Partitions::Count(_)));
    for (name, topic) in fixed.into_iter().chain(in_order(following)) {
        if let Some(found) = counts.get(name).copied() {
            check_state(name, found, topic, &counts)?;
            continue;
        }
        let wanted = as_before(name, plan, &counts).unwrap_or_else(|| wanted(topic, &counts));
        let count = create(client, name, topic, wanted).await?;
        check_state(name, count, topic, &counts)?;
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

/// What is kept by key has as many partitions as what the keys come from: with more or fewer, a
/// key would look for its state in another one.
fn check_state(
    name: &str,
    found: i32,
    topic: &TopicPlan,
    counts: &Counts,
) -> Result<(), EngineError> {
    let Partitions::AsMostOf(others) = &topic.partitions else { return Ok(()) };
    let wanted = wanted(topic, counts);
    if found < wanted {
        let topic = name.to_owned();
        return Err(EngineError::Partitions { topic, found, expected: wanted });
    }
    let widest = others.iter().find(|other| counts.get(*other) == Some(&wanted));
    match widest {
        Some(widest) if found > wanted => {
            let topic = widest.clone();
            Err(EngineError::Partitions { topic, found: wanted, expected: found })
        }
        _ => Ok(()),
    }
}

/// The number of partitions of a topic that is missing and had state kept by its keys.
fn as_before(name: &str, plan: &Plan, counts: &Counts) -> Option<i32> {
    let kept = plan.topics.iter().filter(|(_, topic)| match &topic.partitions {
        Partitions::AsMostOf(others) => others.iter().any(|other| other == name),
        Partitions::Count(_) => false,
    });
    kept.filter_map(|(kept, _)| counts.get(kept)).max().copied()
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
        Err(ClientError::TopicExists { .. }) => {
            Ok(client.topic_that_exists(name).await?.partition_count())
        }
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
            let counts = BTreeMap::from([("in".to_owned(), 8)]);
            assert!(check_state("t", found, &eight, &counts).is_ok());
            let follows = of(Partitions::AsMostOf(vec!["in".to_owned()]));
            let unfit = check_state("t", found, &follows, &counts);
            assert!(matches!(unfit, Err(EngineError::Partitions { found: 3, expected: 8, .. })));
            drop(client);
            broker.halt().await;
        });
    }
}
