//! The page as scrapers read it.

use pipeline::engine::load::{CommitsView, LoadView};
use pipeline::engine::view::TableView;

use super::*;

fn pipeline() -> PipelineView {
    let task = TaskView { records_in: 7, records_out: 5, late: 1, skipped: 2, parked: 3 };
    let load = LoadView { busy: 0.5, backpressured: 0.25, idle: 0.25, slots: 2 };
    let mut buckets = vec![0; COMMIT_BOUNDS_US.len() + 1];
    (buckets[0], buckets[2]) = (3, 1);
    PipelineView {
        pipeline: "p".to_owned(),
        phase: "running",
        tasks: BTreeMap::from([("a".to_owned(), task)]),
        lags: BTreeMap::from([("a".to_owned(), 9)]),
        behind_ms: Some(98_000),
        loads: BTreeMap::from([("a".to_owned(), load)]),
        commits: CommitsView { aborted: 1, sum_us: 8_000, buckets },
        tables: BTreeMap::from([(
            "t".to_owned(),
            TableView { rows_upserted: 4, rows_deleted: 1, lag: 2 },
        )]),
        committed_ms: Some(99_500),
        ..PipelineView::default()
    }
}

fn moment() -> Moment {
    let place = |partition| ("in".to_owned(), partition);
    let committed = BTreeMap::from([(place(0), 4), (place(1), 8)]);
    let log = LogFigures {
        brokers: 1,
        topics: BTreeMap::from([("in".to_owned(), 2)]),
        starts: BTreeMap::from([(place(0), 1), (place(1), 0)]),
        ends: BTreeMap::from([(place(0), 10), (place(1), 8)]),
        groups: BTreeMap::from([("a \"b\"".to_owned(), committed)]),
        left_out: 0,
    };
    let node = NodeFigures { is_leader: Some(true), workers: Some([2, 1, 0]), slots: (4, 3) };
    Moment {
        version: "1.2.3",
        now_ms: 100_000,
        pipelines: vec![pipeline()],
        node: Some(node),
        log: Some(Arc::new(log)),
    }
}

#[test]
fn every_name_stands_in_the_page_with_its_value() {
    let text = page(moment());
    for line in [
        "millstream_build_info{version=\"1.2.3\"} 1.0",
        "kafka_brokers 1.0",
        "kafka_topic_partitions{topic=\"in\"} 2.0",
        "kafka_topic_partition_current_offset{topic=\"in\",partition=\"0\"} 10.0",
        "kafka_topic_partition_oldest_offset{topic=\"in\",partition=\"0\"} 1.0",
        "kafka_consumergroup_current_offset{consumergroup=\"a \\\"b\\\"\",topic=\"in\",\
         partition=\"0\"} 4.0",
        "kafka_consumergroup_lag{consumergroup=\"a \\\"b\\\"\",topic=\"in\",partition=\"0\"} 6.0",
        "kafka_consumergroup_lag_sum{consumergroup=\"a \\\"b\\\"\",topic=\"in\"} 6.0",
        "millstream_master_is_leader 1.0",
        "millstream_workers{state=\"suspect\"} 1.0",
        "millstream_slots{state=\"running\"} 3.0",
        "millstream_task_records_in_total{pipeline=\"p\",task=\"a\"} 7",
        "millstream_task_records_out_total{pipeline=\"p\",task=\"a\"} 5",
        "millstream_task_records_late_total{pipeline=\"p\",task=\"a\"} 1",
        "millstream_task_errors_total{pipeline=\"p\",task=\"a\",reason=\"skipped\"} 2",
        "millstream_task_errors_total{pipeline=\"p\",task=\"a\",reason=\"dead_letter\"} 3",
        "millstream_task_busy_ratio{pipeline=\"p\",task=\"a\"} 0.5",
        "millstream_task_backpressured_ratio{pipeline=\"p\",task=\"a\"} 0.25",
        "millstream_task_idle_ratio{pipeline=\"p\",task=\"a\"} 0.25",
        "millstream_pipeline_running{pipeline=\"p\"} 1.0",
        "millstream_pipeline_lag_seconds{pipeline=\"p\"} 2.0",
        "millstream_pipeline_lag_records{pipeline=\"p\",stage=\"a\"} 9.0",
        "millstream_checkpoint_age_seconds{pipeline=\"p\"} 0.5",
        "millstream_checkpoints_total{pipeline=\"p\",result=\"completed\"} 4",
        "millstream_checkpoints_total{pipeline=\"p\",result=\"aborted\"} 1",
        "millstream_checkpoint_duration_seconds_bucket{pipeline=\"p\",le=\"0.005\"} 4",
        "millstream_checkpoint_duration_seconds_bucket{pipeline=\"p\",le=\"+Inf\"} 4",
        "millstream_checkpoint_duration_seconds_sum{pipeline=\"p\"} 0.008",
        "millstream_sink_rows_total{pipeline=\"p\",sink=\"t\",result=\"upserted\"} 4",
        "millstream_sink_lag_records{pipeline=\"p\",sink=\"t\"} 2.0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn a_process_with_nothing_to_show_shows_its_build_alone() {
    let text = page(Moment { pipelines: vec![], node: None, log: None, ..moment() });
    let values: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(values, ["millstream_build_info{version=\"1.2.3\"} 1.0"]);
}
