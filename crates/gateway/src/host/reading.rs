//! From samples to readings: pure, so that every odd machine can be a test.

use std::collections::BTreeSet;

use base::cast;
use bytes::Bytes;

use crate::host::json;
use crate::host::sample::{Sample, Space, Traffic};
use crate::limits::SENSOR_NAME_BYTES_MAX;
use crate::outlet::OutletRecord;

/// Decimal places of a value: more would be noise that costs bytes.
const VALUE_SCALE: f64 = 1_000.0;

const MICROSECONDS_PER_SECOND: f64 = 1e6;

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The sensor, unique on its machine.
    pub sensor: String,
    /// The value; absent when it could not be taken, as a rate the first time.
    pub value: Option<f64>,
    /// The value's unit.
    pub unit: &'static str,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: i64,
}

impl Reading {
    /// The reading as a JSON document, keyed by its sensor.
    #[must_use]
    pub fn into_record(self, host: &str) -> OutletRecord {
        let Self { sensor, value, unit, timestamp_ms } = self;
        let value = json::document(&json::ReadingDocument { sensor: &sensor, value, unit, host });
        OutletRecord { key: Bytes::from(sensor), value, timestamp_ms }
    }
}

/// The readings of a sample; rates are what happened since `before`.
#[must_use]
pub fn readings(before: Option<&Sample>, sample: &Sample) -> Vec<Reading> {
    let mut list = List { timestamp_ms: sample.taken_at_ms, readings: Vec::new() };
    for (number, busy) in sample.cpus.iter().flatten().enumerate() {
        list.push(format!("cpu.{number}"), *busy, "percent");
    }
    if let Some(memory) = sample.memory {
        list.space("memory", memory);
    }
    if let Some(swap) = sample.swap {
        list.space("swap", swap);
    }
    for (minutes, load) in ["1m", "5m", "15m"].iter().zip(sample.load.iter().flatten()) {
        list.push(format!("load.{minutes}"), Some(*load), "processes");
    }
    for (mount, space) in sample.file_systems.iter().flatten() {
        list.space(&format!("disk.space.{mount}"), *space);
    }
    let seconds = before.and_then(|before| seconds_between(before, sample));
    let disks = before.map(|before| before.disks.as_slice()).unwrap_or_default();
    for (device, now) in &sample.disks {
        let rate = rate(find(disks, device), *now, seconds);
        list.push(format!("disk.read.{device}"), rate.map(|rate| rate.0), "bytes_per_s");
        list.push(format!("disk.written.{device}"), rate.map(|rate| rate.1), "bytes_per_s");
    }
    let networks = before.map(|before| before.networks.as_slice()).unwrap_or_default();
    for (interface, now) in &sample.networks {
        let rate = rate(find(networks, interface), *now, seconds);
        list.push(format!("net.received.{interface}"), rate.map(|rate| rate.0), "bytes_per_s");
        list.push(format!("net.sent.{interface}"), rate.map(|rate| rate.1), "bytes_per_s");
    }
    for (label, celsius) in sample.temperatures.iter().flatten() {
        list.push(format!("temperature.{label}"), *celsius, "celsius");
    }
    list.with_unique_names()
}

struct List {
    timestamp_ms: i64,
    readings: Vec<Reading>,
}

impl List {
    fn push(&mut self, sensor: String, value: Option<f64>, unit: &'static str) {
        let sensor = cut(sensor);
        // A number that is none cannot be written as JSON: it is no value.
        let value = value.filter(|value| value.is_finite());
        let value = value.map(|value| (value * VALUE_SCALE).round() / VALUE_SCALE);
        self.readings.push(Reading { sensor, value, unit, timestamp_ms: self.timestamp_ms });
    }

    fn space(&mut self, name: &str, space: Space) {
        let (total, free) = (cast::f64_of(space.total_bytes), cast::f64_of(space.available_bytes));
        let used = (total - free).max(0.0);
        self.push(format!("{name}.used"), Some(100.0 * used / total), "percent");
        self.push(format!("{name}.available"), Some(free), "bytes");
    }

    /// Two sensors may carry the same label; the second one gets a number.
    fn with_unique_names(self) -> Vec<Reading> {
        let mut names = BTreeSet::new();
        let mut readings = self.readings;
        for reading in &mut readings {
            let plain = reading.sensor.clone();
            let mut number = 1;
            while !names.insert(reading.sensor.clone()) {
                number += 1;
                reading.sensor = format!("{plain}#{number}");
            }
        }
        readings
    }
}

fn cut(mut name: String) -> String {
    if name.len() > SENSOR_NAME_BYTES_MAX {
        name.truncate(name.floor_char_boundary(SENSOR_NAME_BYTES_MAX));
    }
    name
}

fn find(list: &[(String, Traffic)], name: &str) -> Option<Traffic> {
    list.iter().find(|(found, _)| found == name).map(|(_, traffic)| *traffic)
}

fn seconds_between(before: &Sample, now: &Sample) -> Option<f64> {
    let elapsed_us = now.steady_us.checked_sub(before.steady_us).filter(|elapsed| *elapsed > 0)?;
    Some(cast::f64_of(elapsed_us) / MICROSECONDS_PER_SECOND)
}

/// Bytes per second in both directions; nothing when a counter started anew.
fn rate(before: Option<Traffic>, now: Traffic, seconds: Option<f64>) -> Option<(f64, f64)> {
    let (before, seconds) = (before?, seconds?);
    let into = now.in_bytes.checked_sub(before.in_bytes)?;
    let out = now.out_bytes.checked_sub(before.out_bytes)?;
    Some((cast::f64_of(into) / seconds, cast::f64_of(out) / seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(steady_us: u64, traffic: &[(&str, u64, u64)]) -> Sample {
        let named = |(name, in_bytes, out_bytes): &(&str, u64, u64)| {
            ((*name).to_owned(), Traffic { in_bytes: *in_bytes, out_bytes: *out_bytes })
        };
        let networks = traffic.iter().map(named).collect();
        Sample { taken_at_ms: 1_700_000_000_000, steady_us, networks, ..Sample::default() }
    }

    fn pairs(readings: &[Reading]) -> Vec<(&str, Option<f64>)> {
        readings.iter().map(|reading| (reading.sensor.as_str(), reading.value)).collect()
    }

    #[test]
    fn an_empty_machine_has_no_readings() {
        assert_eq!(readings(None, &Sample::default()), []);
    }

    #[test]
    fn a_rate_needs_two_samples() {
        let first = sample(0, &[("eth0", 1_000, 50)]);
        let absent = [("net.received.eth0", None), ("net.sent.eth0", None)];
        assert_eq!(pairs(&readings(None, &first)), absent);
        let second = sample(500_000, &[("eth0", 2_000, 50), ("wlan0", 9, 9)]);
        let expected = [
            ("net.received.eth0", Some(2_000.0)),
            ("net.sent.eth0", Some(0.0)),
            ("net.received.wlan0", None),
            ("net.sent.wlan0", None),
        ];
        assert_eq!(pairs(&readings(Some(&first), &second)), expected);
    }

    #[test]
    fn a_counter_that_starts_anew_gives_no_rate() {
        let first = sample(0, &[("eth0", 1_000, 1_000)]);
        let second = sample(1_000, &[("eth0", 10, 2_000)]);
        assert_eq!(readings(Some(&first), &second)[0].value, None);
        let same_moment = sample(0, &[("eth0", 2_000, 2_000)]);
        assert_eq!(readings(Some(&first), &same_moment)[0].value, None);
    }

    #[test]
    fn every_part_becomes_sensors_with_units() {
        let space = Space { total_bytes: 4_000, available_bytes: 1_000 };
        let whole = Sample {
            taken_at_ms: 7,
            cpus: Some(vec![Some(12.345_678), None]),
            memory: Some(space),
            load: Some([0.5, 0.25, 0.125]),
            file_systems: Some(vec![("/".to_owned(), space)]),
            temperatures: Some(vec![
                ("core".to_owned(), Some(41.5)),
                ("core".to_owned(), None),
                ("odd".to_owned(), Some(f64::NAN)),
            ]),
            ..Sample::default()
        };
        let readings = readings(None, &whole);
        let expected = [
            ("cpu.0", Some(12.346)),
            ("cpu.1", None),
            ("memory.used", Some(75.0)),
            ("memory.available", Some(1_000.0)),
            ("load.1m", Some(0.5)),
            ("load.5m", Some(0.25)),
            ("load.15m", Some(0.125)),
            ("disk.space./.used", Some(75.0)),
            ("disk.space./.available", Some(1_000.0)),
            ("temperature.core", Some(41.5)),
            ("temperature.core#2", None),
            ("temperature.odd", None),
        ];
        assert_eq!(pairs(&readings), expected);
        assert!(readings.iter().all(|reading| reading.timestamp_ms == 7));
        assert_eq!(readings[0].unit, "percent");
    }

    #[test]
    fn a_reading_is_a_document_keyed_by_its_sensor() {
        let reading =
            |value| Reading { sensor: "cpu.0".to_owned(), value, unit: "percent", timestamp_ms: 5 };
        let text = |value| {
            let record: OutletRecord = reading(value).into_record("mill");
            assert_eq!((&record.key[..], record.timestamp_ms), (&b"cpu.0"[..], 5));
            let value: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
            value
        };
        let document = text(Some(12.5));
        assert_eq!((&document["sensor"], &document["host"]), (&"cpu.0".into(), &"mill".into()));
        assert_eq!(document["value"], 12.5);
        assert_eq!(text(None)["value"], serde_json::Value::Null);
    }

    #[test]
    fn a_long_name_is_cut_between_two_letters() {
        let name = format!("a{}", "\u{fc}".repeat(SENSOR_NAME_BYTES_MAX));
        let cut = cut(name);
        assert_eq!(cut.len(), SENSOR_NAME_BYTES_MAX - 1);
    }
}
