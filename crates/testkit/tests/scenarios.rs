//! Runs every scenario on every kind of cluster.

use client::ClientOptions;
use runtime::boot::Executor;
use testkit::scenario::{Cluster, all};

/// Names an Apache Kafka that is already running, as `host:port`.
const KAFKA: &str = "MILLSTREAM_TEST_KAFKA";

fn run_all(cluster: &Cluster) {
    let executor = Executor::new(2).expect("threads can be started");
    let mut failed = Vec::new();
    for scenario in all() {
        let run = || executor.block_on((scenario.run)(cluster.clone()));
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(Ok(())) => println!("{} passed", scenario.name),
            Ok(Err(error)) => {
                println!("{} failed: {error}", scenario.name);
                failed.push(scenario.name);
            }
            Err(_) => failed.push(scenario.name),
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn every_scenario_passes_on_apache_kafka() {
    let Ok(address) = std::env::var(KAFKA) else {
        println!("skipped: {KAFKA} names no Apache Kafka");
        return;
    };
    let (host, port) = address.rsplit_once(':').unwrap();
    run_all(&Cluster { options: ClientOptions::tcp(host, port.parse().unwrap()) });
}
