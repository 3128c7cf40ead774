//! Runs every scenario on every kind of cluster.

use client::ClientOptions;
use runtime::boot::Executor;
use testkit::broker::TestBroker;
use testkit::scenario::{Cluster, all};

/// Names an Apache Kafka that is already running, as `host:port`.
const KAFKA: &str = "MILLSTREAM_TEST_KAFKA";

fn run_all(executor: &Executor, cluster: &Cluster) {
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

fn executor() -> Executor {
    Executor::new(2).expect("threads can be started")
}

#[test]
fn every_scenario_passes_on_our_broker_in_memory() {
    let executor = executor();
    let broker = executor.block_on(TestBroker::start());
    run_all(&executor, &Cluster { options: ClientOptions::memory(broker.connector()) });
    executor.block_on(broker.stop());
}

#[test]
fn every_scenario_passes_on_our_broker_over_tcp() {
    let executor = executor();
    let broker = executor.block_on(TestBroker::start());
    let address = broker.address();
    let options = ClientOptions::tcp(&address.ip().to_string(), address.port());
    run_all(&executor, &Cluster { options });
    executor.block_on(broker.stop());
}

#[test]
fn every_scenario_passes_on_apache_kafka() {
    let Ok(address) = std::env::var(KAFKA) else {
        println!("skipped: {KAFKA} names no Apache Kafka");
        return;
    };
    let (host, port) = address.rsplit_once(':').unwrap();
    run_all(&executor(), &Cluster { options: ClientOptions::tcp(host, port.parse().unwrap()) });
}
