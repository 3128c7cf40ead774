//! Scenarios of the administrative requests.

use client::ClientError;
use client::admin::{ConfigResource, OffsetAt, TopicSpec};
use client::options::{Isolation, ProducerOptions};
use client::producer::Record;
use protocol::error_code::ErrorCode;
use runtime::timer;

use super::{Cluster, PATIENCE, fresh, fresh_topic, recent};

pub(super) async fn topics_are_created_described_altered_and_deleted(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let admin = client.admin();
    assert!(!admin.describe_cluster().await?.brokers.is_empty());
    let name = fresh("admin");
    let spec = TopicSpec::new(&name, 3).with("retention.ms", "1234567");
    let ids = admin.create_topics(&[spec]).await?;
    let described = admin.describe_topics(&[&name]).await?;
    assert_eq!(described[0].partition_count(), 3);
    assert_eq!(described[0].id, ids[0]);
    assert!(admin.topics().await?.iter().any(|topic| topic.name.as_ref() == name));
    let resource = ConfigResource::Topic(name.clone());
    let configs = admin.describe_configs(&resource).await?;
    assert_eq!(configs["retention.ms"].value.as_deref(), Some("1234567"));
    assert!(!configs["retention.ms"].is_default && configs["cleanup.policy"].is_default);
    let changes = [("retention.ms", None), ("cleanup.policy", Some("compact"))];
    admin.alter_configs(&resource, &changes).await?;
    // Brokers of a cluster learn of the change one after the other.
    let deadline = timer::now() + PATIENCE;
    loop {
        let configs = admin.describe_configs(&resource).await?;
        let policy = configs["cleanup.policy"].value.as_deref();
        if configs["retention.ms"].is_default && policy == Some("compact") {
            break;
        }
        assert!(timer::now() < deadline, "the configuration did not change: {configs:?}");
    }
    admin.create_partitions(&name, 5).await?;
    assert_eq!(client.topic(&name).await?.partition_count(), 5);
    admin.delete_topics(&[&name]).await?;
    let error = admin.describe_topics(&[&name]).await.expect_err("the topic is gone");
    assert!(matches!(error, ClientError::UnknownTopic { .. }), "{error}");
    Ok(())
}

pub(super) async fn a_topic_that_exists_is_told_apart(cluster: Cluster) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let again = client.admin().create_topics(&[TopicSpec::new(&topic, 1)]).await;
    let error = again.expect_err("the topic exists");
    assert!(matches!(&error, ClientError::TopicExists { topic: named } if *named == topic));
    let invalid = client.admin().create_topics(&[TopicSpec::new("no spaces", 1)]).await;
    let code = invalid.expect_err("the name is invalid").code();
    assert_eq!(code, Some(ErrorCode::INVALID_TOPIC_EXCEPTION));
    let error = client.topic("does-not-exist-anywhere").await.expect_err("there is no such topic");
    assert!(matches!(error, ClientError::UnknownTopic { .. }), "{error}");
    Ok(())
}

pub(super) async fn offsets_are_found_by_time_and_at_both_ends(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 2).await?;
    let producer = client.producer(ProducerOptions::default());
    let start = recent();
    for number in 0..100 {
        let record = Record {
            topic: &topic,
            partition: Some(0),
            timestamp: Some(start + number * 10),
            ..Default::default()
        };
        producer.append(record).await?;
        if number % 10 == 0 {
            producer.flush().await?;
        }
    }
    producer.close().await?;
    let admin = client.admin();
    let both = [(topic.as_str(), 0), (topic.as_str(), 1)];
    let cases = [
        (OffsetAt::Earliest, 0, 0),
        (OffsetAt::Latest, 100, 0),
        (OffsetAt::Timestamp(start + 335), 34, -1),
        (OffsetAt::Timestamp(start + 340), 34, -1),
        (OffsetAt::Timestamp(start + 1_000_000), -1, -1),
        (OffsetAt::MaxTimestamp, 99, -1),
    ];
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        for (at, first, second) in cases {
            let found = admin.list_offsets(&both, at, isolation).await?;
            assert_eq!(found[&(topic.clone(), 0)].offset, first, "{at:?}");
            assert_eq!(found[&(topic.clone(), 1)].offset, second, "{at:?}");
        }
    }
    Ok(())
}

pub(super) async fn records_can_be_deleted_up_to_an_offset(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let producer = client.producer(ProducerOptions::default());
    for _ in 0..10 {
        producer.append(Record { topic: &topic, ..Default::default() }).await?;
    }
    producer.close().await?;
    let admin = client.admin();
    let starts = admin.delete_records(&[(&topic, 0, 7)]).await?;
    assert_eq!(starts[&(topic.clone(), 0)], 7);
    let partition = [(topic.as_str(), 0)];
    let found =
        admin.list_offsets(&partition, OffsetAt::Earliest, Isolation::ReadUncommitted).await?;
    assert_eq!(found[&(topic.clone(), 0)].offset, 7);
    Ok(())
}

pub(super) async fn committed_offsets_come_back_and_a_group_can_be_deleted(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 3).await?;
    let group = fresh("group");
    let admin = client.admin();
    let partitions = [(topic.as_str(), 0), (topic.as_str(), 1), (topic.as_str(), 2)];
    let none = admin.committed_offsets(&group, Some(&partitions), true).await?;
    assert!(none.is_empty());
    admin.commit_offsets(&group, &[(&topic, 0, 5), (&topic, 2, 9)]).await?;
    let some = admin.committed_offsets(&group, Some(&partitions), true).await?;
    assert_eq!(some.len(), 2);
    assert_eq!(some[&(topic.clone(), 2)].offset, 9);
    assert_eq!(admin.committed_offsets(&group, None, false).await?, some);
    assert!(admin.list_groups().await?.iter().any(|listing| listing.group == group));
    let view = admin.describe_group(&group).await?;
    assert_eq!((view.state.as_str(), view.members.len()), ("Empty", 0));
    admin.delete_group(&group).await?;
    assert!(!admin.list_groups().await?.iter().any(|listing| listing.group == group));
    Ok(())
}
