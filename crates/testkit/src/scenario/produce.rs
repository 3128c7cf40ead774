//! Scenarios of the producer without transactions.

use std::time::Duration;

use bytes::Bytes;
use client::ClientError;
use client::options::{Acks, ConsumerOptions, ProducerOptions};
use client::producer::Record;
use protocol::partitioner::partition_for_key;
use protocol::record::Compression;

use super::{Cluster, fresh_topic, read, reader, recent};

pub(super) async fn records_of_every_codec_come_back_in_order(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    let start = recent();
    for compression in codecs {
        let topic = fresh_topic(&client, 1).await?;
        let options =
            ProducerOptions { compression, batch_bytes_max: 4 << 10, ..Default::default() };
        let producer = client.producer(options);
        let count = 2000;
        for number in 0..count {
            let value = format!("value {number} {}", "x".repeat(number % 50));
            let key = number.to_string();
            let headers: [(&[u8], Option<&[u8]>); 3] =
                [(b"h", Some(b"1")), (b"h", None), (b"", Some(b""))];
            let record = Record {
                topic: &topic,
                timestamp: Some(start + i64::try_from(number).unwrap_or(0)),
                key: (number % 3 > 0).then_some(key.as_bytes()),
                value: (number % 7 > 0).then_some(value.as_bytes()),
                headers: if number % 5 == 0 { &headers } else { &[] },
                ..Default::default()
            };
            producer.append(record).await?;
        }
        producer.close().await?;
        let mut consumer = reader(&client, &topic, ConsumerOptions::default()).await?;
        let records = read(&mut consumer, count).await?;
        assert_eq!(records.len(), count, "{compression}");
        for (number, record) in records.iter().enumerate() {
            let value = format!("value {number} {}", "x".repeat(number % 50));
            assert_eq!(record.offset, i64::try_from(number).unwrap_or(-1));
            assert_eq!(record.timestamp, start + record.offset);
            assert_eq!(record.key, (number % 3 > 0).then(|| Bytes::from(number.to_string())));
            assert_eq!(record.value, (number % 7 > 0).then(|| Bytes::from(value)));
            assert_eq!(record.headers.len(), if number % 5 == 0 { 3 } else { 0 });
        }
    }
    Ok(())
}

pub(super) async fn keys_go_where_java_puts_them(cluster: Cluster) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 7).await?;
    let producer = client.producer(ProducerOptions::default());
    for number in 0..500 {
        let key = format!("key {number}");
        let record = Record { topic: &topic, key: Some(key.as_bytes()), ..Default::default() };
        producer.append(record).await?;
    }
    producer.close().await?;
    let mut consumer = reader(&client, &topic, ConsumerOptions::default()).await?;
    let records = read(&mut consumer, 500).await?;
    assert_eq!(records.len(), 500);
    for record in records {
        let key = record.key.unwrap_or_default();
        assert_eq!(record.partition, partition_for_key(&key, 7));
    }
    Ok(())
}

pub(super) async fn deliveries_tell_offsets_without_a_gap(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let options = ProducerOptions { linger: Duration::ZERO, ..Default::default() };
    let producer = client.producer(options);
    let mut deliveries = Vec::new();
    for number in 0..1000 {
        let value = number.to_string();
        let record = Record { topic: &topic, value: Some(value.as_bytes()), ..Default::default() };
        deliveries.push(producer.send(record).await?);
    }
    for (number, delivery) in (0..).zip(deliveries) {
        let delivered = delivery.wait().await?;
        assert_eq!((delivered.partition, delivered.offset), (0, number));
    }
    Ok(())
}

pub(super) async fn large_records_and_many_partitions_arrive(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 60).await?;
    let producer = client.producer(ProducerOptions::default());
    let large = vec![b'x'; 900 << 10];
    for partition in 0..60 {
        for _ in 0..20 {
            let record = Record {
                topic: &topic,
                partition: Some(partition),
                value: Some(b"small"),
                ..Default::default()
            };
            producer.append(record).await?;
        }
        if partition % 10 == 0 {
            let record = Record {
                topic: &topic,
                partition: Some(partition),
                value: Some(&large),
                ..Default::default()
            };
            producer.append(record).await?;
        }
    }
    producer.close().await?;
    let mut consumer = reader(&client, &topic, ConsumerOptions::default()).await?;
    let records = read(&mut consumer, 60 * 20 + 6).await?;
    assert_eq!(records.len(), 60 * 20 + 6);
    let is_large =
        |record: &&super::Read| record.value.as_ref().is_some_and(|value| value.len() > 900_000);
    assert_eq!(records.iter().filter(is_large).count(), 6);
    Ok(())
}

pub(super) async fn acknowledgements_can_be_waived(cluster: Cluster) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    for acks in [Acks::None, Acks::Leader] {
        let producer = client.producer(ProducerOptions { acks, ..Default::default() });
        for _ in 0..100 {
            let record = Record { topic: &topic, value: Some(b"v"), ..Default::default() };
            producer.append(record).await?;
        }
        producer.flush().await?;
        let mut consumer = reader(&client, &topic, ConsumerOptions::default()).await?;
        let count = if acks == Acks::None { 100 } else { 200 };
        assert_eq!(read(&mut consumer, count).await?.len(), count, "{acks:?}");
        producer.close().await?;
    }
    Ok(())
}
