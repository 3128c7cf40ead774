//! The tests that have a name of their own in the proofs, over Apache Kafka.

use std::time::Duration;

use client::admin::TopicSpec;
use client::{Client, ClientOptions};
use runtime::boot::Executor;
use runtime::timer;

use crate::guard::{self, Far};
use crate::harness::connect_with;
use crate::{letters, restore};

/// Names an Apache Kafka that is already running, as `host:port`.
const KAFKA: &str = "MILLSTREAM_TEST_KAFKA";

const PATIENCE: Duration = Duration::from_secs(60);

/// The topics that an earlier test has left.
async fn left(client: &Client) -> Vec<String> {
    let all = client.admin().topics().await.unwrap();
    let names = all.iter().map(|topic| topic.name.to_string());
    let is_ours = |name: &String| {
        ["in", "out", "sums.dlq"].contains(&name.as_str()) || name.starts_with("__ms.")
    };
    names.filter(is_ours).collect()
}

/// Deletes them, and makes the ends of the next: its records are of 1970, and nobody may come and
/// clean them up.
async fn begin_anew(client: &Client) {
    let admin = client.admin();
    let deadline = timer::now() + PATIENCE;
    let mut names = left(client).await;
    while !names.is_empty() {
        assert!(timer::now() < deadline, "{names:?} are still there");
        let old: Vec<&str> = names.iter().map(String::as_str).collect();
        // One that is being deleted already is gone at the next look.
        let _ = admin.delete_topics(&old).await;
        timer::sleep(Duration::from_millis(100)).await;
        names = left(client).await;
    }
    let end = |name: &str| TopicSpec::new(name, 1).with("retention.ms", "-1");
    admin.create_topics(&[end("in"), end("out")]).await.unwrap();
}

#[test]
fn the_named_tests_hold_on_apache_kafka_too() {
    let Ok(address) = std::env::var(KAFKA) else {
        println!("skipped: {KAFKA} names no Apache Kafka");
        return;
    };
    let (host, port) = address.rsplit_once(':').unwrap();
    let port = port.parse().unwrap();
    Executor::new(2).unwrap().block_on(async {
        let client = connect_with(ClientOptions::tcp(host, port), false).await;
        begin_anew(&client).await;
        letters::poisoned_beside_healthy(&client).await;
        begin_anew(&client).await;
        restore::wait_for_a_foreign_transaction(&client).await;
        begin_anew(&client).await;
        guard::late_zombie(Far::Tcp(host.to_owned(), port), &client).await;
    });
}
