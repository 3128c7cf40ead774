//! `bench` measures, loses nothing, and says where.

use crate::program::Log;

fn figures(log: &Log, args: &[&str]) -> serde_json::Value {
    let pid = log.pid().to_string();
    let all = [&["bench"], args, &["--json", "--broker-pid", &pid]].concat();
    let figures: serde_json::Value = serde_json::from_str(&log.ok(&all)).unwrap();
    assert_eq!((&figures["lost"], &figures["duplicates"]), (&0.into(), &0.into()));
    assert!(figures["records_per_s"].as_f64().unwrap() > 0.0);
    assert!(figures["broker_cpu_s"].is_number() && figures["client_cpu_s"].is_number());
    assert!(figures["environment"]["flush_ms"].is_number());
    figures
}

#[test]
fn produce_counts_and_times_what_was_acknowledged() {
    let log = Log::start();
    let args = ["produce", "--records", "20000", "--warmup", "1000", "-z", "lz4"];
    let measured = figures(&log, &args);
    assert_eq!(measured["records"], 20_000);
    assert!(measured["p99_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(measured["compression"], "lz4");
    assert_eq!(log.ok(&["topic", "list", "--json"]), "[]\n", "its topic is deleted");
}

#[test]
fn consume_reads_every_record_of_a_topic_that_it_fills() {
    let log = Log::start();
    let measured = figures(&log, &["consume", "--records", "20000", "--keep", "-t", "kept"]);
    assert_eq!(measured["records"], 20_000);
    assert_eq!(measured["out_of_order"], 0);
    assert!(log.ok(&["topic", "list"]).contains("kept"));
}

#[test]
fn end_to_end_times_from_when_a_record_was_to_be_sent() {
    let log = Log::start();
    let args =
        ["e2e", "--rate", "2000", "--records", "1000", "--warmup", "100", "--linger-ms", "0"];
    let measured = figures(&log, &args);
    assert_eq!((&measured["records"], &measured["out_of_order"]), (&1000.into(), &0.into()));
    assert!(measured["p50_ms"].as_f64().unwrap() > 0.0);
    assert!(measured["seconds"].as_f64().unwrap() > 0.4);
}

#[test]
fn a_pipeline_gives_every_result_once_and_in_order_whatever_its_task() {
    let log = Log::start();
    for task in ["forward", "filter", "sum", "count", "average"] {
        let args = ["pipeline", "--task", task, "--records", "25000", "--warmup", "1000"];
        let measured = figures(&log, &[&args[..], &["--slots", "2"]].concat());
        assert_eq!((&measured["records"], &measured["out_of_order"]), (&25_000.into(), &0.into()));
        assert_eq!((&measured["bench"], &measured["task"]), (&"pipeline".into(), &task.into()));
        assert_eq!((&measured["slots"], &measured["size"]), (&2.into(), &105.into()));
        assert_eq!(measured["delivery"], "exactly_once");
        assert!(measured["p99_ms"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(log.ok(&["topic", "list", "--json"]), "[]\n", "its topics are deleted");
    assert_eq!(log.ok(&["group", "list", "--json"]), "[]\n", "and so are its positions");
}

#[test]
fn a_pipeline_at_a_rate_is_timed_from_when_a_record_was_to_be_sent() {
    let log = Log::start();
    let args = [
        "pipeline",
        "--task",
        "average",
        "--rate",
        "2000",
        "--records",
        "1000",
        "--warmup",
        "100",
        "--linger-ms",
        "0",
        "--delivery",
        "at_least_once",
        "--keep",
    ];
    let measured = figures(&log, &args);
    assert_eq!((&measured["records"], &measured["out_of_order"]), (&1000.into(), &0.into()));
    assert_eq!(measured["delivery"], "at_least_once");
    let (median, last) = (measured["p50_ms"].as_f64(), measured["max_ms"].as_f64());
    assert!(median.unwrap() > 0.0 && median <= last, "{measured}");
    assert!(measured["seconds"].as_f64().unwrap() > 0.4);
    assert!(log.ok(&["topic", "list"]).contains("-out"), "its topics are left");
}
