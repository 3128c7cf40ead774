//! What was measured, for people and for programs.

use std::fmt::Write as _;

use client::options::Acks;

use super::environment::Environment;
use super::load::Delays;
use super::pipeline::Mill;
use super::processor::Processor;
use super::{Bench, Spent, Way};
use crate::render::numbers;

/// A measurement, and all that it depends on.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) way: Way,
    pub(crate) brokers: String,
    pub(crate) environment: Environment,
    pub(crate) bench: Bench,
    pub(crate) measured: Measured,
}

/// The figures.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) records: u64,
    /// Bytes of their values.
    pub(crate) bytes: u64,
    pub(crate) took_us: u64,
    /// Absent where nothing was timed.
    pub(crate) delays: Option<Delays>,
    pub(crate) faults: Faults,
    pub(crate) spent: Spent,
}

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    /// Absent where nobody reads.
    pub(crate) out_of_order: Option<u64>,
}

impl Report {
    /// Whether every record arrived once and in order.
    pub(crate) fn is_sound(&self) -> bool {
        let Faults { lost, duplicates, out_of_order } = self.measured.faults;
        lost == 0 && duplicates == 0 && out_of_order.unwrap_or(0) == 0
    }

    fn records_per_s(&self) -> f64 {
        base::cast::f64_of(self.measured.records) / self.seconds().max(1e-9)
    }

    fn seconds(&self) -> f64 {
        base::cast::f64_of(self.measured.took_us) / 1e6
    }

    fn acks(&self) -> &'static str {
        match self.bench.producing.acks {
            Acks::All => "all",
            Acks::Leader => "1",
            Acks::None => "0",
        }
    }

    fn compression(&self) -> String {
        format!("{:?}", self.bench.producing.compression).to_lowercase()
    }

    /// Millions of bytes of values.
    fn mb_per_s(&self) -> f64 {
        base::cast::f64_of(self.measured.bytes) / self.seconds().max(1e-9) / 1e6
    }

    fn delay_ms(&self, quantile: f64) -> Option<f64> {
        let delays = self.measured.delays.as_ref().filter(|delays| !delays.is_empty())?;
        Some(base::cast::f64_of(delays.value_at_quantile(quantile)) / 1_000.0)
    }

    /// One JSON document.
    pub(crate) fn json(&self) -> String {
        let (environment, measured) = (&self.environment, &self.measured);
        let Bench { plan, topic, .. } = &self.bench;
        let Spent { client, broker } = measured.spent;
        let rounded = |number: f64| (number * 1_000.0).round() / 1_000.0;
        let mut document = serde_json::json!({
            "bench": self.way.name(),
            "topic": topic.name,
            "partitions": topic.partitions,
            "acks": self.acks(),
            "compression": self.compression(),
            "brokers": self.brokers,
            "size": plan.size,
            "rate": plan.rate,
            "warmup_records": plan.warmup,
            "records": self.measured.records,
            "seconds": rounded(self.seconds()),
            "records_per_s": rounded(self.records_per_s()),
            "mb_per_s": rounded(self.mb_per_s()),
            "p50_ms": self.delay_ms(0.5),
            "p99_ms": self.delay_ms(0.99),
            "p999_ms": self.delay_ms(0.999),
            "max_ms": self.delay_ms(1.0),
            "lost": measured.faults.lost,
            "duplicates": measured.faults.duplicates,
            "out_of_order": measured.faults.out_of_order,
            "client_cpu_s": rounded(client.total_s()),
            "client_user_s": rounded(client.user_s),
            "broker_cpu_s": broker.map(|broker| rounded(broker.total_s())),
            "broker_user_s": broker.map(|broker| rounded(broker.user_s)),
            "environment": {
                "cpu": environment.processor,
                "cores": environment.cores,
                "kernel": environment.kernel,
                "fs": environment.file_system,
                "flush_ms": environment.flush_ms,
                "flush_dir": environment.folder.display().to_string(),
                "version": environment.version,
            },
        });
        if let Way::Pipeline(mill) = self.way {
            document["task"] = mill.task.word().into();
            document["slots"] = mill.slots.into();
            document["delivery"] = mill.delivery.word().into();
        }
        document.to_string()
    }

    /// A few lines.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing into a text cannot fail");
        text.trim_end().to_owned()
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Bench { plan, topic, .. } = &self.bench;
        let rate = plan.rate.map_or_else(
            || "as fast as they go".to_owned(),
            |rate| format!("{}/s", numbers::count(u64::from(rate))),
        );
        let mill = match self.way {
            Way::Pipeline(Mill { task, slots, delivery }) => {
                format!("  task={} slots={slots} delivery={}", task.word(), delivery.word())
            }
            Way::Produce | Way::Consume | Way::E2e => String::new(),
        };
        writeln!(
            text,
            "{}{mill}  topic={} partitions={} acks={} compression={} size={} B rate={rate} \
             brokers={}",
            self.way.name(),
            topic.name,
            topic.partitions,
            self.acks(),
            self.compression(),
            plan.size,
            self.brokers
        )?;
        writeln!(
            text,
            "records      {} in {:.2} s   (after {} to warm up, which are not counted)",
            numbers::count(self.measured.records),
            self.seconds(),
            numbers::count(plan.warmup)
        )?;
        let per_s = base::cast::u64_of_f64(self.records_per_s());
        let mb_per_s = self.mb_per_s();
        writeln!(text, "throughput   {} records/s   {mb_per_s:.1} MB/s", numbers::count(per_s))?;
        self.write_delays(text)?;
        let Faults { lost, duplicates, out_of_order } = self.measured.faults;
        let out_of_order = out_of_order.map_or_else(|| "-".to_owned(), |count| count.to_string());
        writeln!(
            text,
            "faults       lost {lost}   dup {duplicates}   out-of-order {out_of_order}"
        )?;
        self.write_processor(text, "client", Some(self.measured.spent.client))?;
        self.write_processor(text, "broker", self.measured.spent.broker)?;
        self.write_environment(text)
    }

    fn write_delays(&self, text: &mut String) -> std::fmt::Result {
        let Some(median) = self.delay_ms(0.5) else { return Ok(()) };
        let at = |quantile| self.delay_ms(quantile).unwrap_or(median);
        let from = match (self.bench.plan.rate, self.way) {
            (Some(_), _) => "from when each record was to be sent",
            (None, Way::Pipeline(_)) => {
                "of records that waited for the pipeline; --rate measures from when each record \
                 was to be sent"
            }
            (None, Way::Produce | Way::Consume | Way::E2e) => {
                "of a full client; --rate measures from when each record was to be sent"
            }
        };
        writeln!(
            text,
            "delay ms     p50 {median:.3}   p99 {:.3}   p99.9 {:.3}   max {:.3}   {from}",
            at(0.99),
            at(0.999),
            at(1.0)
        )
    }

    fn write_processor(
        &self,
        text: &mut String,
        whose: &str,
        processor: Option<Processor>,
    ) -> std::fmt::Result {
        let Some(processor) = processor else { return Ok(()) };
        let millions = base::cast::f64_of(self.measured.records.max(1)) / 1e6;
        writeln!(
            text,
            "{whose} cpu   {:.2} s   user {:.2}   system {:.2}   {:.3} s per million records",
            processor.total_s(),
            processor.user_s,
            processor.system_s,
            processor.total_s() / millions
        )
    }

    fn write_environment(&self, text: &mut String) -> std::fmt::Result {
        let Environment { processor, cores, kernel, file_system, flush_ms, version, folder } =
            &self.environment;
        let flush = flush_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.3} ms"));
        writeln!(
            text,
            "environment  {processor}, {cores} cores, Linux {kernel}, {file_system}, flush of \
             4 KiB {flush} (median of 50 in {}), millstream {version}",
            folder.display()
        )
    }
}
