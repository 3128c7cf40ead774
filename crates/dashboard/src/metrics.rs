//! The page of metrics: Prometheus' text format, under names that people have dashboards for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base::cast;
use pipeline::engine::load::COMMIT_BOUNDS_US;
use pipeline::engine::view::{PipelineView, TaskView};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::log::LogFigures;
use crate::subject::NodeFigures;

pub(crate) use prometheus_text::CONTENT_TYPE;

type Labels = Vec<(&'static str, String)>;

/// All that a page shows.
#[derive(Debug)]
pub(crate) struct Moment {
    pub(crate) version: &'static str,
    pub(crate) now_ms: i64,
    pub(crate) pipelines: Vec<PipelineView>,
    pub(crate) node: Option<NodeFigures>,
    pub(crate) log: Option<Arc<LogFigures>>,
}

/// The page.
pub(crate) fn page(moment: Moment) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(moment));
    let mut text = String::new();
    let written = prometheus_text::encode(&mut text, &registry);
    written.expect("writing into a text does not fail");
    text
}

impl Collector for Moment {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet { encoder };
        let build = [(vec![("version", self.version.to_owned())], 1.0)];
        sheet.gauge("millstream_build_info", "The program", build)?;
        if let Some(log) = &self.log {
            of_log(log, &mut sheet)?;
            of_groups(log, &mut sheet)?;
        }
        if let Some(node) = &self.node {
            of_node(node, &mut sheet)?;
        }
        of_tasks(&self.pipelines, &mut sheet)?;
        of_pipelines(self, &mut sheet)?;
        of_commits(&self.pipelines, &mut sheet)?;
        of_tables(&self.pipelines, &mut sheet)
    }
}

/// Families of metrics, written one behind the other; empty ones are left away.
struct Sheet<'e> {
    encoder: DescriptorEncoder<'e>,
}

impl Sheet<'_> {
    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)?;
        }
        Ok(())
    }
}

fn of_offset(offset: i64) -> f64 {
    cast::f64_of_i64(offset)
}

fn of_count(count: usize) -> f64 {
    cast::f64_of(cast::u64_of(count))
}

fn of_log(log: &LogFigures, sheet: &mut Sheet<'_>) -> fmt::Result {
    let place = |(topic, partition): &(String, i32)| {
        vec![("topic", topic.clone()), ("partition", partition.to_string())]
    };
    sheet.gauge("kafka_brokers", "Brokers that answer", [(vec![], of_count(log.brokers))])?;
    let topics = log.topics.iter();
    sheet.gauge(
        "kafka_topic_partitions",
        "Partitions of the topic",
        topics.map(|(topic, count)| (vec![("topic", topic.clone())], of_count(*count))),
    )?;
    sheet.gauge(
        "kafka_topic_partition_current_offset",
        "The offset behind the last record",
        log.ends.iter().map(|(at, offset)| (place(at), of_offset(*offset))),
    )?;
    sheet.gauge(
        "kafka_topic_partition_oldest_offset",
        "The first offset that is left",
        log.starts.iter().map(|(at, offset)| (place(at), of_offset(*offset))),
    )?;
    sheet.gauge(
        "millstream_metrics_left_out",
        "Partitions and groups for which the page has no room",
        [(vec![], of_count(log.left_out))],
    )
}

fn of_groups(log: &LogFigures, sheet: &mut Sheet<'_>) -> fmt::Result {
    let rows = || {
        log.groups.iter().flat_map(|(group, committed)| {
            committed.iter().map(move |(place, offset)| {
                let labels = vec![
                    ("consumergroup", group.clone()),
                    ("topic", place.0.clone()),
                    ("partition", place.1.to_string()),
                ];
                (labels, place, *offset)
            })
        })
    };
    sheet.gauge(
        "kafka_consumergroup_current_offset",
        "The next offset that the group reads",
        rows().map(|(labels, _, offset)| (labels, of_offset(offset))),
    )?;
    sheet.gauge(
        "kafka_consumergroup_lag",
        "Records that the group has not read",
        rows().filter_map(|(labels, place, offset)| {
            Some((labels, of_offset(log.lag(place, offset)?)))
        }),
    )?;
    let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for (group, committed) in &log.groups {
        for (place, offset) in committed {
            if let Some(lag) = log.lag(place, *offset) {
                *sums.entry((group, &place.0)).or_default() += lag;
            }
        }
    }
    sheet.gauge(
        "kafka_consumergroup_lag_sum",
        "Records of the topic that the group has not read",
        sums.into_iter().map(|((group, topic), lag)| {
            let labels = vec![("consumergroup", group.to_owned()), ("topic", topic.to_owned())];
            (labels, of_offset(lag))
        }),
    )
}

fn of_node(node: &NodeFigures, sheet: &mut Sheet<'_>) -> fmt::Result {
    let leads = node.is_leader.map(|leads| (vec![], if leads { 1.0 } else { 0.0 }));
    sheet.gauge("millstream_master_is_leader", "Whether this job manager leads", leads)?;
    let workers = node.workers.into_iter().flat_map(|counts| {
        let states = ["alive", "suspect", "gone"].into_iter().zip(counts);
        states.map(|(state, count)| (vec![("state", state.to_owned())], of_count(count)))
    });
    sheet.gauge("millstream_workers", "Task managers, as this job manager sees them", workers)?;
    let (offered, running) = node.slots;
    let slots = [("offered", f64::from(offered)), ("running", of_count(running))];
    let slots = slots.map(|(state, count)| (vec![("state", state.to_owned())], count));
    sheet.gauge("millstream_slots", "Slots of this task manager", slots)
}

fn task_labels(pipeline: &PipelineView, task: &str) -> Labels {
    vec![("pipeline", pipeline.pipeline.clone()), ("task", task.to_owned())]
}

fn of_tasks(pipelines: &[PipelineView], sheet: &mut Sheet<'_>) -> fmt::Result {
    let tasks = || {
        let of_one = |it: &'_ PipelineView| {
            let rows = it.tasks.iter().map(|(id, task)| (task_labels(it, id), *task));
            rows.collect::<Vec<_>>()
        };
        pipelines.iter().flat_map(of_one)
    };
    let counted = |of: fn(&TaskView) -> u64| tasks().map(move |(labels, task)| (labels, of(&task)));
    sheet.counter(
        "millstream_task_records_in",
        "Records that came in, as of the last commit",
        counted(|task| task.records_in),
    )?;
    sheet.counter(
        "millstream_task_records_out",
        "Records that went out, once for each target, as of the last commit",
        counted(|task| task.records_out),
    )?;
    sheet.counter(
        "millstream_task_records_late",
        "Records that came after their windows had closed",
        counted(|task| task.late),
    )?;
    let errors = tasks().flat_map(|(labels, task)| {
        [("skipped", task.skipped), ("dead_letter", task.parked)].map(|(reason, count)| {
            let mut labels = labels.clone();
            labels.push(("reason", reason.to_owned()));
            (labels, count)
        })
    });
    sheet.counter(
        "millstream_task_errors",
        "Records that failed, by what became of them",
        errors,
    )?;
    let loads = || {
        pipelines
            .iter()
            .flat_map(|it| it.loads.iter().map(move |(task, load)| (task_labels(it, task), *load)))
    };
    sheet.gauge(
        "millstream_task_busy_ratio",
        "Share of time in which the slots of the task worked for its stage",
        loads().map(|(labels, load)| (labels, load.busy)),
    )?;
    sheet.gauge(
        "millstream_task_backpressured_ratio",
        "Share of time in which the slots of the task waited for the log to take results",
        loads().map(|(labels, load)| (labels, load.backpressured)),
    )?;
    sheet.gauge(
        "millstream_task_idle_ratio",
        "Share of time in which the slots of the task waited for input or did other work",
        loads().map(|(labels, load)| (labels, load.idle)),
    )
}

fn of_pipelines(moment: &Moment, sheet: &mut Sheet<'_>) -> fmt::Result {
    let labels = |it: &PipelineView| vec![("pipeline", it.pipeline.clone())];
    let gauge = |of: &dyn Fn(&PipelineView) -> f64| {
        let rows = moment.pipelines.iter().map(|it| (labels(it), of(it)));
        rows.collect::<Vec<_>>()
    };
    sheet.gauge(
        "millstream_pipeline_running",
        "1 while it runs, 0 while it starts, waits or ends",
        gauge(&|it| if it.phase == "running" { 1.0 } else { 0.0 }),
    )?;
    sheet.gauge(
        "millstream_pipeline_lag_seconds",
        "How far behind the newest record the pipeline is, by the records' own times",
        gauge(&|it| cast::f64_of_i64(it.lag_ms(moment.now_ms)) / 1_000.0),
    )?;
    let lags = moment.pipelines.iter().flat_map(|it| {
        it.lags.iter().map(move |(stage, lag)| {
            let mut labels = labels(it);
            labels.push(("stage", stage.clone()));
            (labels, cast::f64_of_i64(*lag))
        })
    });
    sheet.gauge("millstream_pipeline_lag_records", "Records that wait for the stage", lags)?;
    let ages = moment.pipelines.iter().filter_map(|it| {
        let age_ms = moment.now_ms.saturating_sub(it.committed_ms?).max(0);
        Some((labels(it), cast::f64_of_i64(age_ms) / 1_000.0))
    });
    sheet.gauge("millstream_checkpoint_age_seconds", "Time since the last commit", ages)?;
    sheet.gauge(
        "millstream_pipeline_open_windows",
        "Windows that are open, each with its keys counted",
        gauge(&|it| of_count(it.open_windows)),
    )?;
    sheet.gauge(
        "millstream_pipeline_state_bytes",
        "Memory of the state, roughly",
        gauge(&|it| of_count(it.state_bytes)),
    )?;
    sheet.counter(
        "millstream_pipeline_restarts",
        "How often slots had to begin again",
        moment.pipelines.iter().map(|it| (labels(it), it.restarts)),
    )
}

fn of_commits(pipelines: &[PipelineView], sheet: &mut Sheet<'_>) -> fmt::Result {
    let counts = pipelines.iter().flat_map(|it| {
        let counts = [("completed", it.commits.completed()), ("aborted", it.commits.aborted)];
        counts.map(|(result, count)| {
            let labels = vec![("pipeline", it.pipeline.clone()), ("result", result.to_owned())];
            (labels, count)
        })
    });
    sheet.counter("millstream_checkpoints", "Transactions of the slots, by their end", counts)?;
    let committing = pipelines.iter().filter(|it| !it.commits.buckets.is_empty());
    let mut committing = committing.peekable();
    if committing.peek().is_none() {
        return Ok(());
    }
    let (name, help) = ("millstream_checkpoint_duration_seconds", "What commits took");
    let mut family = sheet.encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for it in committing {
        let bounds = COMMIT_BOUNDS_US.iter().map(|us| seconds(*us)).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(it.commits.buckets.iter().copied()).collect();
        let labels = vec![("pipeline", it.pipeline.clone())];
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            seconds(it.commits.sum_us),
            it.commits.completed(),
            &buckets,
            None,
        )?;
    }
    Ok(())
}

fn seconds(us: u64) -> f64 {
    cast::f64_of(us) / 1_000_000.0
}

fn of_tables(pipelines: &[PipelineView], sheet: &mut Sheet<'_>) -> fmt::Result {
    let tables = || {
        pipelines.iter().flat_map(|it| {
            it.tables.iter().map(move |(sink, table)| {
                let labels = vec![("pipeline", it.pipeline.clone()), ("sink", sink.clone())];
                (labels, table)
            })
        })
    };
    let rows = tables().flat_map(|(labels, table)| {
        [("upserted", table.rows_upserted), ("deleted", table.rows_deleted)].map(
            |(result, count)| {
                let mut labels = labels.clone();
                labels.push(("result", result.to_owned()));
                (labels, count)
            },
        )
    });
    sheet.counter("millstream_sink_rows", "Rows of the table that were changed", rows)?;
    sheet.gauge(
        "millstream_sink_lag_records",
        "Records of the topic that are not in the table yet",
        tables().map(|(labels, table)| (labels, cast::f64_of_i64(table.lag))),
    )
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
