//! `cargo xtask torture`: the kill test for as many rounds as one likes.
//!
//! The test itself belongs to the program that is killed (`crates/millstream/tests/torture.rs`);
//! this starts it with other numbers, and Apache Kafka beside it where that is wanted.

use crate::{kafka, workspace};

const ROUNDS_VARIABLE: &str = "MILLSTREAM_TORTURE_ROUNDS";
const SEED_VARIABLE: &str = "MILLSTREAM_TORTURE_SEED";
const KAFKA_VARIABLE: &str = "MILLSTREAM_TEST_KAFKA";

const USAGE: &str = "torture [pipeline] [--rounds N] [--seed S] [--broker | --kafka] [--release]";

/// Part of the name of the test that kills broker and pipeline.
const BOTH: &str = "though_broker_and_pipeline_are_killed";
/// Part of the name of the test that kills the broker under a producer.
const BROKER: &str = "what_the_broker_acknowledged";
/// Part of the name of the test that kills a pipeline over Apache Kafka.
const KAFKA: &str = "on_apache_kafka_too";
/// Part of the name of the test that kills and stops nodes of a cluster.
const CLUSTER: &str = "though_nodes_of_a_cluster_are_killed";
/// Part of the name of the test that does so over Apache Kafka.
const CLUSTER_KAFKA: &str = "do_not_show_over_apache_kafka_either";

/// What the words ask for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    rounds: Option<u64>,
    seed: Option<u64>,
    test: &'static str,
    is_release: bool,
}

/// Runs the command.
///
/// # Errors
/// How it is used, that Kafka cannot be started, or that the test failed.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let wanted = parse(words)?;
    if ![KAFKA, CLUSTER_KAFKA].contains(&wanted.test) {
        return torture(&wanted, None);
    }
    if let Some(missing) = kafka::missing() {
        println!("skipped the kill test on Apache Kafka: {missing}");
        return Ok(());
    }
    let node = kafka::start_fresh(&workspace::target().join("kafka/torture"))?;
    let result = torture(&wanted, Some(&node.bootstrap()));
    node.stop().and(result)
}

fn torture(wanted: &Wanted, kafka: Option<&str>) -> Result<(), String> {
    let mut test = workspace::cargo();
    test.args(["test", "-q", "-p", "millstream", "--test", "torture"]);
    if wanted.is_release {
        test.arg("--release");
    }
    test.args([wanted.test, "--", "--nocapture"]).env_remove(KAFKA_VARIABLE);
    for (variable, number) in [(ROUNDS_VARIABLE, wanted.rounds), (SEED_VARIABLE, wanted.seed)] {
        if let Some(number) = number {
            test.env(variable, number.to_string());
        }
    }
    if let Some(bootstrap) = kafka {
        test.env(KAFKA_VARIABLE, bootstrap);
    }
    workspace::run(&mut test)
}

fn parse(words: &[&str]) -> Result<Wanted, String> {
    let mut wanted = Wanted { rounds: None, seed: None, test: BOTH, is_release: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            text.parse().map(Some).map_err(|_| format!("{word} {text}: no number"))
        };
        match *word {
            "--rounds" => wanted.rounds = number()?,
            "--seed" => wanted.seed = number()?,
            "--broker" => wanted.test = BROKER,
            "pipeline" => wanted.test = CLUSTER,
            "--kafka" if wanted.test == CLUSTER => wanted.test = CLUSTER_KAFKA,
            "--kafka" => wanted.test = KAFKA,
            "--release" => wanted.is_release = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_choose_the_test_and_its_numbers() {
        let usual = Wanted { rounds: None, seed: None, test: BOTH, is_release: false };
        assert_eq!(parse(&[]), Ok(usual));
        let wanted = parse(&["--rounds", "200", "--kafka", "--seed", "7"]);
        let expected = Wanted { rounds: Some(200), seed: Some(7), test: KAFKA, is_release: false };
        assert_eq!(wanted, Ok(expected));
        let cluster = parse(&["pipeline", "--kafka"]).map(|wanted| wanted.test);
        assert_eq!(cluster, Ok(CLUSTER_KAFKA));
        assert_eq!(parse(&["--rounds", "many"]), Err("--rounds many: no number".to_owned()));
        assert_eq!(parse(&["--rounds"]), Err("--rounds needs a number".to_owned()));
        assert_eq!(parse(&["often"]), Err(USAGE.to_owned()));
    }
}
