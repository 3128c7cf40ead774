//! A broker that goes away and comes back: what is under way goes on.

use std::time::Duration;

use base::clock::{Clock, SystemClock};
use base::rng::{Random, SystemRandom};
use client::admin::TopicSpec;
use client::options::{ConsumerOptions, ProducerOptions, TransactionalOptions};
use client::producer::Record;
use client::transaction::TxnRecord;
use client::{Bootstrap, ClientError, ClientOptions, Consumer};
use runtime::boot::Executor;
use testkit::broker::TestBroker;
use testkit::scenario::Cluster;
use testkit::scenario::faulty::Network;

fn network(broker: &TestBroker) -> Network {
    let options = ClientOptions::memory(broker.connector());
    Network::new(&Cluster { options }, SystemRandom.next_u64())
}

async fn restart(broker: &mut TestBroker, network: &Network) {
    broker.restart().await;
    network.redirect(Bootstrap::Memory(broker.connector()));
}

async fn count(consumer: &mut Consumer, wanted: i32) -> Result<i32, ClientError> {
    let mut count = 0;
    for _ in 0..100 {
        for fetched in consumer.poll(Duration::from_millis(100)).await? {
            count += fetched.batches.iter().map(|it| it.header().record_count).sum::<i32>();
        }
        if count >= wanted {
            break;
        }
    }
    Ok(count)
}

#[test]
fn producers_and_consumers_go_on_after_a_restart() {
    Executor::new(2).unwrap().block_on(async {
        let mut broker = TestBroker::start().await;
        let network = network(&broker);
        let client = network.client().await.unwrap();
        client.admin().create_topics(&[TopicSpec::new("t", 1)]).await.unwrap();
        let producer = client.producer(ProducerOptions::default());
        let mut consumer = client.consumer(ConsumerOptions::default());
        consumer.assign([("t", 0, 0)]);
        for round in 1..=3 {
            for _ in 0..100 {
                let record = Record { topic: "t", value: Some(b"v"), ..Default::default() };
                producer.append(record).await.unwrap();
            }
            if round < 3 {
                restart(&mut broker, &network).await;
            }
            producer.flush().await.unwrap();
            assert_eq!(count(&mut consumer, 100).await.unwrap(), 100, "round {round}");
        }
        assert_eq!(consumer.position("t", 0), Some(300));
        drop((producer, consumer));
        broker.stop().await;
    });
}

#[test]
fn a_transaction_survives_a_restart_of_its_coordinator() {
    Executor::new(2).unwrap().block_on(async {
        let mut broker = TestBroker::start().await;
        let network = network(&broker);
        let client = network.client().await.unwrap();
        client.admin().create_topics(&[TopicSpec::new("t", 1)]).await.unwrap();
        let mut producer = client.transactional(TransactionalOptions::new("id"));
        producer.init().await.unwrap();
        let topic = producer.topic("t").await.unwrap();
        let large = vec![b'x'; 300_000];
        // An old timestamp would invite retention.
        let timestamp = SystemClock::new().unix_ms();
        let record = TxnRecord { timestamp, value: Some(&large), ..Default::default() };
        for _ in 0..2 {
            producer.begin().unwrap();
            // The first batch is full and on its way before the broker goes.
            producer.append(topic, 0, &record).unwrap();
            producer.append(topic, 0, &record).unwrap();
            producer.drain().await.unwrap();
            restart(&mut broker, &network).await;
            producer.append(topic, 0, &record).unwrap();
            producer.send_offsets("g", &[("t", 0, 7)]).unwrap();
            producer.commit().await.unwrap();
        }
        let mut consumer = client.consumer(ConsumerOptions::default());
        consumer.assign([("t", 0, 0)]);
        assert_eq!(count(&mut consumer, 6).await.unwrap(), 6);
        let found = client.admin().committed_offsets("g", None, true).await.unwrap();
        assert_eq!(found.values().map(|it| it.offset).collect::<Vec<_>>(), [7]);
        drop((producer, consumer));
        broker.stop().await;
    });
}
