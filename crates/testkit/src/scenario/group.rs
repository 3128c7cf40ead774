//! Scenarios of consumer groups.

use std::collections::BTreeSet;
use std::time::Duration;

use client::options::{GroupOptions, ProducerOptions, StartAt};
use client::producer::Record;
use client::{Client, ClientError, GroupConsumer};
use runtime::timer;

use super::{Cluster, DECOMPRESSED_BYTES_MAX, PATIENCE, fresh, fresh_topic};

const POLL: Duration = Duration::from_millis(100);

async fn fill(client: &Client, topic: &str, from: usize, count: usize) -> Result<(), ClientError> {
    let producer = client.producer(ProducerOptions::default());
    for number in from..from + count {
        let value = number.to_string();
        let record = Record {
            topic,
            key: Some(value.as_bytes()),
            value: Some(value.as_bytes()),
            ..Default::default()
        };
        producer.append(record).await?;
    }
    producer.close().await
}

async fn poll(
    member: &mut GroupConsumer,
    seen: &mut BTreeSet<String>,
) -> Result<usize, ClientError> {
    let mut count = 0;
    for fetched in member.poll(POLL).await? {
        for batch in &fetched.batches {
            let decoded = batch.decode(DECOMPRESSED_BYTES_MAX).expect("the batch is sound");
            for record in &decoded {
                let record = record.expect("the record is sound");
                if record.offset >= fetched.from {
                    let value = record.value.unwrap_or_default();
                    seen.insert(String::from_utf8_lossy(value).into_owned());
                    count += 1;
                }
            }
        }
    }
    Ok(count)
}

fn options(group: &str, topic: &str) -> GroupOptions {
    GroupOptions {
        start_at: StartAt::Earliest,
        session_timeout: Duration::from_secs(10),
        heartbeat_every: Duration::from_millis(200),
        ..GroupOptions::new(group, &[topic])
    }
}

pub(super) async fn members_share_the_partitions_and_take_over_from_who_leaves(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 4).await?;
    let group = fresh("group");
    fill(&client, &topic, 0, 200).await?;
    let mut one = client.group_consumer(options(&group, &topic));
    let mut seen = BTreeSet::new();
    let deadline = timer::now() + PATIENCE;
    while seen.len() < 200 {
        poll(&mut one, &mut seen).await?;
        assert!(timer::now() < deadline, "one member has seen {} records", seen.len());
    }
    assert_eq!(one.assignment().count(), 4);
    let mut two = client.group_consumer(options(&group, &topic));
    while (one.assignment().count(), two.assignment().count()) != (2, 2) {
        poll(&mut one, &mut seen).await?;
        poll(&mut two, &mut seen).await?;
        assert!(timer::now() < deadline, "the members do not share: {one:?} {two:?}");
    }
    fill(&client, &topic, 200, 200).await?;
    let (mut by_one, mut by_two) = (0, 0);
    while seen.len() < 400 {
        by_one += poll(&mut one, &mut seen).await?;
        by_two += poll(&mut two, &mut seen).await?;
        assert!(timer::now() < deadline, "two members have seen {} records", seen.len());
    }
    assert!(by_one > 0 && by_two > 0, "{by_one} and {by_two}");
    let view = client.admin().describe_group(&group).await?;
    assert_eq!((view.state.as_str(), view.members.len()), ("Stable", 2));
    two.close().await?;
    while one.assignment().count() != 4 {
        poll(&mut one, &mut seen).await?;
        assert!(timer::now() < deadline, "nobody takes over: {one:?}");
    }
    fill(&client, &topic, 400, 100).await?;
    while seen.len() < 500 {
        poll(&mut one, &mut seen).await?;
        assert!(timer::now() < deadline, "the last member has seen {} records", seen.len());
    }
    one.close().await
}

pub(super) async fn a_group_goes_on_where_it_stopped(cluster: Cluster) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 2).await?;
    let group = fresh("group");
    let deadline = timer::now() + PATIENCE;
    for round in 0..3 {
        fill(&client, &topic, round * 50, 50).await?;
        let mut member = client.group_consumer(options(&group, &topic));
        let (mut seen, mut count) = (BTreeSet::new(), 0);
        while seen.len() < 50 {
            count += poll(&mut member, &mut seen).await?;
            assert!(timer::now() < deadline, "round {round} has seen {} records", seen.len());
        }
        let expected: BTreeSet<String> =
            (round * 50..round * 50 + 50).map(|number| number.to_string()).collect();
        assert_eq!((count, &seen), (50, &expected), "round {round}");
        member.close().await?;
    }
    let partitions = [(topic.as_str(), 0), (topic.as_str(), 1)];
    let committed = client.admin().committed_offsets(&group, Some(&partitions), true).await?;
    assert_eq!(committed.values().map(|it| it.offset).sum::<i64>(), 150);
    Ok(())
}
