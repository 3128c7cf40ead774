//! Scenarios of the transactional producer.

use std::time::Duration;

use client::admin::OffsetAt;
use client::options::{ConsumerOptions, Isolation, TransactionalOptions};
use client::transaction::TxnRecord;
use client::{Client, ClientError, TransactionalProducer};
use protocol::record::Compression;
use runtime::timer;

use super::{Cluster, fresh, fresh_topic, read, read_once, reader, recent};

async fn producer(client: &Client, id: &str) -> Result<TransactionalProducer, ClientError> {
    let mut producer = client.transactional(TransactionalOptions::new(id));
    producer.init().await?;
    Ok(producer)
}

fn record(value: &str) -> TxnRecord<'_> {
    TxnRecord { timestamp: recent(), value: Some(value.as_bytes()), ..Default::default() }
}

fn uncommitted() -> ConsumerOptions {
    ConsumerOptions { isolation: Isolation::ReadUncommitted, ..Default::default() }
}

async fn values(
    client: &Client,
    topic: &str,
    options: ConsumerOptions,
    count: usize,
) -> Result<Vec<String>, ClientError> {
    let mut consumer = reader(client, topic, options).await?;
    let mut records = read(&mut consumer, count).await?;
    // One more look, so that what should not be there would be seen.
    read_once(&mut consumer, Duration::from_millis(50), &mut records).await?;
    let text = |record: &super::Read| {
        String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
    };
    Ok(records.iter().map(text).collect())
}

pub(super) async fn committed_records_are_seen_and_aborted_ones_are_not(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let mut producer = producer(&client, &fresh("txn")).await?;
    let handle = producer.topic(&topic).await?;
    for (value, commits) in [("a", true), ("b", false), ("c", true), ("d", false), ("e", true)] {
        producer.begin()?;
        producer.append(handle, 0, &record(value))?;
        // What is aborted must have reached the log to be worth hiding.
        producer.append(handle, 0, &record(&value.repeat(300_000)))?;
        producer.append(handle, 0, &record(value))?;
        producer.drain().await?;
        if commits {
            producer.commit().await?;
        } else {
            producer.abort().await?;
        }
    }
    let committed = values(&client, &topic, ConsumerOptions::default(), 9).await?;
    let first: String = committed.iter().filter_map(|value| value.chars().next()).collect();
    assert_eq!(first, "aaaccceee");
    let all = values(&client, &topic, uncommitted(), 13).await?;
    assert!(all.iter().any(|value| value.starts_with('b')), "{}", all.len());
    Ok(())
}

pub(super) async fn offsets_count_with_the_transaction_and_stable_reads_wait(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 2).await?;
    let group = fresh("group");
    let admin = client.admin();
    let partitions = [(topic.as_str(), 0), (topic.as_str(), 1)];
    let mut producer = producer(&client, &fresh("txn")).await?;
    let handle = producer.topic(&topic).await?;
    for round in 1..=3 {
        producer.begin()?;
        producer.append(handle, 0, &record("x"))?;
        producer.send_offsets(&group, &[(&topic, 0, round * 10), (&topic, 1, round)])?;
        producer.commit().await?;
        let found = admin.committed_offsets(&group, Some(&partitions), true).await?;
        assert_eq!(found[&(topic.clone(), 0)].offset, round * 10);
        assert_eq!(found[&(topic.clone(), 1)].offset, round);
        producer.begin()?;
        producer.send_offsets(&group, &[(&topic, 0, 777)])?;
        producer.append(handle, 0, &record("y"))?;
        producer.abort().await?;
        let found = admin.committed_offsets(&group, Some(&partitions), true).await?;
        assert_eq!(found[&(topic.clone(), 0)].offset, round * 10);
    }
    // Offsets alone are a transaction too.
    producer.begin()?;
    producer.send_offsets(&group, &[(&topic, 1, 99)])?;
    producer.commit().await?;
    let found = admin.committed_offsets(&group, Some(&partitions), true).await?;
    assert_eq!(found[&(topic.clone(), 1)].offset, 99);
    Ok(())
}

pub(super) async fn a_newer_producer_fences_the_older_one(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let id = fresh("txn");
    let mut older = producer(&client, &id).await?;
    let handle = older.topic(&topic).await?;
    older.begin()?;
    older.append(handle, 0, &record("before"))?;
    older.commit().await?;
    let mut newer = producer(&client, &id).await?;
    assert_eq!(newer.identity().id, older.identity().id);
    assert!(newer.identity().epoch > older.identity().epoch);
    older.begin()?;
    older.append(handle, 0, &record("zombie"))?;
    let error = older.commit().await.expect_err("the older producer is fenced");
    assert!(matches!(error, ClientError::Fenced { .. }), "{error}");
    // It never comes back by itself.
    for error in [older.begin(), older.abort().await, older.init().await.map(drop)] {
        assert!(matches!(error, Err(ClientError::Fenced { .. })), "{error:?}");
    }
    let handle = newer.topic(&topic).await?;
    newer.begin()?;
    newer.append(handle, 0, &record("after"))?;
    newer.commit().await?;
    let seen = values(&client, &topic, ConsumerOptions::default(), 2).await?;
    assert_eq!(seen, ["before", "after"]);
    Ok(())
}

pub(super) async fn an_empty_transaction_costs_nothing(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let mut producer = producer(&client, &fresh("txn")).await?;
    assert!(matches!(producer.commit().await, Err(ClientError::NoTransaction { .. })));
    for _ in 0..3 {
        producer.begin()?;
        assert!(matches!(producer.begin(), Err(ClientError::NoTransaction { .. })));
        producer.commit().await?;
        producer.begin()?;
        producer.abort().await?;
    }
    Ok(())
}

pub(super) async fn many_small_transactions_keep_their_order(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 3).await?;
    let mut producer = producer(&client, &fresh("txn")).await?;
    let handle = producer.topic(&topic).await?;
    for round in 0..50 {
        producer.begin()?;
        for number in 0..20 {
            let value = (round * 20 + number).to_string();
            producer.append(handle, number % 3, &record(&value))?;
        }
        producer.commit().await?;
    }
    let mut consumer = reader(&client, &topic, ConsumerOptions::default()).await?;
    let records = read(&mut consumer, 1000).await?;
    assert_eq!(records.len(), 1000);
    let mut last = [-1; 3];
    for record in records {
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
        let number: i32 = value.parse().expect("the value is a number");
        let last = &mut last[usize::try_from(record.partition).expect("partitions count from 0")];
        assert!(*last < number, "{number} comes after {last}");
        *last = number;
    }
    Ok(())
}

pub(super) async fn whole_batches_are_passed_on(cluster: Cluster) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let source = fresh_topic(&client, 1).await?;
    let target = fresh_topic(&client, 1).await?;
    let options = TransactionalOptions {
        compression: Compression::Zstd,
        ..TransactionalOptions::new(&fresh("txn"))
    };
    let mut producer = client.transactional(options);
    producer.init().await?;
    let (from, to) = (producer.topic(&source).await?, producer.topic(&target).await?);
    for round in 0..5 {
        producer.begin()?;
        for number in 0..100 {
            producer.append(from, 0, &record(&format!("{round} {number}")))?;
        }
        producer.commit().await?;
    }
    let mut consumer = reader(&client, &source, ConsumerOptions::default()).await?;
    let mut passed = 0;
    while passed < 5 {
        producer.begin()?;
        for fetched in consumer.poll(Duration::from_millis(200)).await? {
            for batch in &fetched.batches {
                producer.append_batch(to, 0, batch)?;
                passed += 1;
            }
        }
        producer.commit().await?;
    }
    let expected = values(&client, &source, ConsumerOptions::default(), 500).await?;
    let seen = values(&client, &target, ConsumerOptions::default(), 500).await?;
    assert_eq!((seen.len(), &seen), (500, &expected));
    Ok(())
}

pub(super) async fn a_fence_aborts_what_was_open(cluster: Cluster) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let id = fresh("txn");
    let mut zombie = producer(&client, &id).await?;
    let handle = zombie.topic(&topic).await?;
    zombie.begin()?;
    zombie.append(handle, 0, &record(&"z".repeat(300_000)))?;
    zombie.append(handle, 0, &record("z"))?;
    zombie.drain().await?;
    let admin = client.admin();
    let partition = [(topic.as_str(), 0)];
    let fenced = admin.fence(&id).await?;
    assert_eq!(fenced.id, zombie.identity().id);
    // After the fence, nothing hangs: the last stable offset is the end of the log.
    let deadline = timer::now() + super::PATIENCE;
    loop {
        let ends = |isolation| admin.list_offsets(&partition, OffsetAt::Latest, isolation);
        let stable = ends(Isolation::ReadCommitted).await?;
        if stable == ends(Isolation::ReadUncommitted).await? {
            break;
        }
        assert!(timer::now() < deadline, "the fenced transaction hangs");
    }
    let error = zombie.commit().await.expect_err("the zombie is fenced");
    assert!(matches!(error, ClientError::Fenced { .. }), "{error}");
    let seen = values(&client, &topic, ConsumerOptions::default(), 0).await?;
    assert!(seen.is_empty());
    Ok(())
}

pub(super) async fn a_transaction_that_is_too_slow_is_given_up(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let options = TransactionalOptions {
        transaction_timeout: Duration::from_secs(1),
        ..TransactionalOptions::new(&fresh("txn"))
    };
    let mut producer = client.transactional(options);
    producer.init().await?;
    let handle = producer.topic(&topic).await?;
    producer.begin()?;
    producer.append(handle, 0, &record(&"z".repeat(300_000)))?;
    producer.append(handle, 0, &record("z"))?;
    producer.drain().await?;
    // Brokers look for such transactions every ten seconds.
    let admin = client.admin();
    let partition = [(topic.as_str(), 0)];
    let deadline = timer::now() + super::PATIENCE;
    let mut reader = client.consumer(ConsumerOptions::default());
    reader.assign([(topic.as_str(), 0, 0)]);
    loop {
        // A long poll is a wait that ends early when something happens.
        reader.poll(Duration::from_millis(500)).await?;
        let end = admin.list_offsets(&partition, OffsetAt::Latest, Isolation::ReadCommitted);
        if end.await?[&(topic.clone(), 0)].offset > 0 {
            break;
        }
        assert!(timer::now() < deadline, "the slow transaction hangs");
    }
    let error = producer.commit().await.expect_err("the broker has given the transaction up");
    let is_told = matches!(error, ClientError::Abortable { .. } | ClientError::Fenced { .. });
    assert!(is_told, "{error}");
    Ok(())
}

pub(super) async fn an_issued_identity_writes_until_the_next_one_is_issued(
    cluster: Cluster,
) -> Result<(), ClientError> {
    let client = cluster.client().await?;
    let topic = fresh_topic(&client, 1).await?;
    let id = fresh("txn");
    let mut producers = Vec::new();
    for value in ["first", "second"] {
        let identity = client.admin().issue(&id, Duration::from_secs(10)).await?;
        let mut producer = client.transactional(TransactionalOptions::new(&id));
        producer.adopt(identity)?;
        let misused = producer.adopt(identity);
        assert!(matches!(misused, Err(ClientError::NoTransaction { .. })), "{misused:?}");
        let handle = producer.topic(&topic).await?;
        producer.begin()?;
        producer.append(handle, 0, &record(value))?;
        producer.commit().await?;
        producers.push(producer);
    }
    // The first one must not come back, not even by way of its own epoch.
    let mut older = producers.swap_remove(0);
    let handle = older.topic(&topic).await?;
    older.begin()?;
    older.append(handle, 0, &record("late"))?;
    let fenced = older.commit().await;
    assert!(matches!(fenced, Err(ClientError::Fenced { .. })), "{fenced:?}");
    let found = values(&client, &topic, ConsumerOptions::default(), 2).await?;
    assert_eq!(found, ["first", "second"]);
    Ok(())
}
