//! Scenarios of the consumer by assignment.

use std::time::Duration;

use client::ClientError;
use client::options::{ConsumerOptions, ProducerOptions};
use client::producer::Record;
use runtime::timer;

use super::{Cluster, fresh_topic, read, read_once, reader};

async fn fill(client: &client::Client, topic: &str, count: usize) -> Result<(), ClientError> {
    let producer = client.producer(ProducerOptions::default());
    for number in 0..count {
        let value = number.to_string();
        let record = Record { topic, value: Some(value.as_bytes()), ..Default::default() };
        producer.append(record).await?;
    }
    producer.close().await
}

pub(super) async fn a_position_outside_the_log_is_an_error_and_a_seek_helps(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    fill(&client, &topic, 10).await?;
    let mut consumer = client.consumer(ConsumerOptions::default());
    consumer.assign([(topic.as_str(), 0, 1000)]);
    let error = read(&mut consumer, 1).await.expect_err("the offset does not exist");
    let is_expected = matches!(
        &error,
        ClientError::OffsetOutOfRange { partition: 0, offset: 1000, topic: named, .. }
            if *named == topic
    );
    assert!(is_expected, "{error}");
    assert_eq!(consumer.position(&topic, 0), Some(1000));
    consumer.seek(&topic, 0, 4)?;
    let records = read(&mut consumer, 6).await?;
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [4, 5, 6, 7, 8, 9]);
    assert_eq!(consumer.position(&topic, 0), Some(10));
    Ok(())
}

pub(super) async fn a_paused_partition_rests_and_goes_on(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    fill(&client, &topic, 10).await?;
    let mut consumer = reader(&client, &topic, ConsumerOptions::default()).await?;
    consumer.pause(&topic, 0)?;
    let mut records = Vec::new();
    read_once(&mut consumer, Duration::from_millis(300), &mut records).await?;
    assert!(records.is_empty());
    consumer.resume(&topic, 0)?;
    assert_eq!(read(&mut consumer, 10).await?.len(), 10);
    Ok(())
}

pub(super) async fn an_empty_poll_returns_in_time(cluster: Cluster) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let mut consumer = reader(&client, &topic, ConsumerOptions::default()).await?;
    let start = timer::now();
    assert!(consumer.poll(Duration::from_millis(200)).await?.is_empty());
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "{took:?}");
    fill(&client, &topic, 1).await?;
    assert_eq!(read(&mut consumer, 1).await?.len(), 1);
    Ok(())
}

pub(super) async fn a_long_wait_at_the_broker_ends_with_a_record_and_with_a_change_of_mind(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let (topic, other) = (fresh_topic(&client, 1).await?, fresh_topic(&client, 1).await?);
    fill(&client, &other, 3).await?;
    let options = ConsumerOptions {
        fetch_wait_max: Duration::from_millis(20),
        fetch_wait_quiet_max: Duration::from_secs(600),
        ..ConsumerOptions::default()
    };
    let mut consumer = reader(&client, &topic, options).await?;
    let in_time = |start: timer::Instant| start.elapsed() < Duration::from_secs(20);
    // After 20 + 40 + .. + 640 ms the next fetch waits for longer than all of them together.
    assert!(consumer.poll(Duration::from_millis(1_500)).await?.is_empty());
    let start = timer::now();
    fill(&client, &topic, 1).await?;
    assert_eq!(read(&mut consumer, 1).await?.len(), 1);
    assert!(in_time(start), "{:?}", start.elapsed());
    for round in 0..2 {
        assert!(consumer.poll(Duration::from_millis(1_500)).await?.is_empty());
        let start = timer::now();
        match round {
            0 => consumer.add(&other, 0, 0),
            _ => consumer.seek(&other, 0, 0)?,
        }
        assert_eq!(read(&mut consumer, 3).await?.len(), 3);
        assert!(in_time(start), "{:?}", start.elapsed());
    }
    fill(&client, &topic, 1).await?;
    assert_eq!(read(&mut consumer, 1).await?.len(), 1);
    Ok(())
}
