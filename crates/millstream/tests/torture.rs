//! The kill test of the whole program: `cargo xtask torture` runs it for longer.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base::rng::{Random as _, SystemRandom};
use pipeline::sink::Cell;
use runtime::boot::Executor;
use sinks::sqlite::preview_file;
use testkit::torture::cluster::{self, ClusterTorture};
use testkit::torture::{Failure, Report, Subject, Torture};

const ROUNDS_VARIABLE: &str = "MILLSTREAM_TORTURE_ROUNDS";
const SEED_VARIABLE: &str = "MILLSTREAM_TORTURE_SEED";
/// Names an Apache Kafka that is already running, as `address:port`.
const KAFKA_VARIABLE: &str = "MILLSTREAM_TEST_KAFKA";

/// More rows than there are keys.
const ROWS_MAX: usize = 10_000;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// What a run is given: the program, its folder, the rounds and the seed.
type Given = (PathBuf, PathBuf, u32, u64);

/// Runs a kill test; the folder is kept when it fails.
fn run<F>(name: &str, rounds: u32, test: impl FnOnce(Given) -> F) -> Report
where
    F: Future<Output = Result<Report, Failure>>,
{
    let seed = number(SEED_VARIABLE).unwrap_or_else(|| SystemRandom.next_u64() >> 32);
    let rounds = number(ROUNDS_VARIABLE).map_or(rounds, |rounds| rounds.try_into().unwrap());
    let dir = std::env::temp_dir().join(format!("millstream-torture-{name}-{seed}"));
    fs::remove_dir_all(&dir).ok();
    fs::create_dir_all(&dir).unwrap();
    println!("{name}: {rounds} rounds, seed {seed}, in {}", dir.display());
    // A copy, so that whoever builds meanwhile does not exchange the program in the middle.
    let binary = dir.join("millstream");
    fs::copy(env!("CARGO_BIN_EXE_millstream"), &binary).unwrap();
    let result = Executor::new(2)
        .unwrap()
        .block_on(async { test((binary, dir.clone(), rounds, seed)).await });
    let report = result.unwrap_or_else(|failure| {
        panic!("{name}, seed {seed}, see {}: {failure}", dir.display());
    });
    println!("{name}: {report:?}");
    fs::remove_dir_all(&dir).unwrap();
    report
}

fn torture(name: &str, subject: Subject, rounds: u32) -> Report {
    run(name, rounds, |(binary, dir, rounds, seed)| {
        testkit::torture::run(Torture { binary, dir, subject, rounds, seed })
    })
}

fn torture_cluster(name: &str, brokers: Option<SocketAddr>, rounds: u32) -> Report {
    run(name, rounds, |(binary, dir, rounds, seed)| {
        cluster::run(ClusterTorture { binary, dir, brokers, rounds, seed })
    })
}

/// The rows of a table with the columns `key` and `count`.
fn counts(file: &Path, table: &str) -> Result<BTreeMap<String, String>, String> {
    let previews = preview_file(file, ROWS_MAX).map_err(|error| error.to_string())?;
    let preview = previews.iter().find(|preview| preview.table == table);
    let preview = preview.ok_or_else(|| format!("there is no table {table}"))?;
    let column = |name: &str| preview.columns.iter().position(|column| column == name);
    let columns = (column("key"), column("count"));
    let (Some(key), Some(count)) = columns else { return Err(format!("{preview:?}")) };
    let row = |row: &Vec<Cell>| (row[key].to_string(), row[count].to_string());
    Ok(preview.rows.iter().map(row).collect())
}

#[test]
fn what_the_broker_acknowledged_outlives_kills_once_and_in_order() {
    let report = torture("broker", Subject::Broker, 10);
    assert!(report.acknowledged > 0);
}

#[test]
fn every_result_is_there_once_and_in_order_though_broker_and_pipeline_are_killed() {
    let report = torture("both", Subject::BrokerAndPipeline(counts), 20);
    assert!(report.counted_live > 0, "the pipeline never came to work between the kills");
}

#[test]
fn every_result_is_there_once_and_in_order_on_apache_kafka_too() {
    let Ok(address) = std::env::var(KAFKA_VARIABLE) else {
        println!("skipped: {KAFKA_VARIABLE} names no Apache Kafka");
        return;
    };
    let report = torture("kafka", Subject::Pipeline(address.parse().unwrap(), counts), 10);
    assert!(report.counted_live > 0, "the pipeline never came to work between the kills");
}

#[test]
fn every_result_is_there_once_and_in_order_though_nodes_of_a_cluster_are_killed_and_stopped() {
    let report = torture_cluster("cluster", None, 30);
    assert!(report.counted_live > 0, "the cluster never came to work between the kills");
}

#[test]
fn nodes_of_a_cluster_that_are_killed_and_stopped_do_not_show_over_apache_kafka_either() {
    let Ok(address) = std::env::var(KAFKA_VARIABLE) else {
        println!("skipped: {KAFKA_VARIABLE} names no Apache Kafka");
        return;
    };
    let report = torture_cluster("cluster-kafka", Some(address.parse().unwrap()), 10);
    assert!(report.counted_live > 0, "the cluster never came to work between the kills");
}
