//! Asking the operating system.

use std::fmt;
use std::sync::Arc;

use base::clock::Clock;
use sysinfo::{
    Components, DiskRefreshKind, Disks, MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind, Networks,
    System,
};

use crate::error::GatewayError;
use crate::host::options::HostOptions;
use crate::host::reading::{Reading, readings};
use crate::host::sample::{Sample, Space, Traffic};
use crate::limits::{CPUS_MAX, DISKS_MAX, NETWORKS_MAX, SLOW_EVERY_MS, TEMPERATURES_MAX};
use crate::outlet::OutletRecord;

/// The machine as a source of readings.
pub struct HostSource {
    clock: Arc<dyn Clock>,
    host: String,
    system: System,
    disks: Disks,
    networks: Networks,
    components: Components,
    before: Option<Sample>,
    cpus_measured_us: Option<u64>,
    slow_measured_us: Option<u64>,
}

impl fmt::Debug for HostSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSource").field("host", &self.host).finish_non_exhaustive()
    }
}

impl HostSource {
    /// Finds out what the machine has; measures nothing yet.
    ///
    /// # Errors
    /// [`GatewayError::Unsupported`] where the system cannot be asked.
    pub fn new(options: &HostOptions, clock: Arc<dyn Clock>) -> Result<Self, GatewayError> {
        let unsupported = |what| {
            move |error: sysinfo::Error| GatewayError::Unsupported { what, source: error.into() }
        };
        let own_name = || System::host_name().unwrap_or_else(|_| "localhost".to_owned());
        Ok(Self {
            clock,
            host: options.host.clone().unwrap_or_else(own_name),
            system: System::new().map_err(unsupported("processors and memory"))?,
            disks: Disks::new().map_err(unsupported("disks"))?,
            networks: Networks::new().map_err(unsupported("network interfaces"))?,
            components: Components::new().map_err(unsupported("temperatures"))?,
            before: None,
            cpus_measured_us: None,
            slow_measured_us: None,
        })
    }

    /// The machine's name in the documents.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Measures, and gives the readings; blocks for as long as the system takes, normally well
    /// below two milliseconds.
    ///
    /// Processors are left out when the last look at them was too short ago to compare, and what
    /// changes slowly is measured less often than asked.
    pub fn sample(&mut self) -> Vec<Reading> {
        let sample = self.measure();
        let readings = readings(self.before.as_ref(), &sample);
        self.before = Some(sample);
        readings
    }

    /// The same as records.
    pub fn records(&mut self) -> Vec<OutletRecord> {
        let readings = self.sample();
        readings.into_iter().map(|reading| reading.into_record(&self.host)).collect()
    }

    fn measure(&mut self) -> Sample {
        let steady_us = self.clock.steady_us();
        let slow = is_due(self.slow_measured_us, steady_us, SLOW_EVERY_MS.unsigned_abs() * 1_000);
        if slow {
            self.slow_measured_us = Some(steady_us);
        }
        self.system.refresh_memory_specifics(MemoryRefreshKind::everything());
        Sample {
            taken_at_ms: self.clock.unix_ms(),
            steady_us,
            cpus: self.cpus(steady_us),
            memory: space(self.system.total_memory(), self.system.available_memory()),
            swap: space(self.system.total_swap(), self.system.free_swap()),
            load: load(),
            disks: self.disk_traffic(slow),
            file_systems: slow.then(|| self.file_systems()),
            networks: self.network_traffic(),
            temperatures: slow.then(|| self.temperatures()),
        }
    }

    fn cpus(&mut self, steady_us: u64) -> Option<Vec<Option<f64>>> {
        let shortest_us =
            u64::try_from(MINIMUM_CPU_UPDATE_INTERVAL.as_micros()).unwrap_or(u64::MAX);
        if !is_due(self.cpus_measured_us, steady_us, shortest_us) {
            return None;
        }
        // The first look only starts the count: its zeros are no measurement.
        let compares = self.cpus_measured_us.is_some();
        self.cpus_measured_us = Some(steady_us);
        self.system.refresh_cpu_usage();
        let cpus = self.system.cpus().iter().take(CPUS_MAX);
        Some(cpus.map(|cpu| compares.then(|| f64::from(cpu.usage()))).collect())
    }

    fn disk_traffic(&mut self, slow: bool) -> Vec<(String, Traffic)> {
        let kind = DiskRefreshKind::nothing().with_io_usage();
        let kind = if slow { kind.with_storage() } else { kind };
        self.disks.refresh_specifics(true, kind);
        let mut list: Vec<(String, Traffic)> = Vec::new();
        for disk in &self.disks {
            let usage = disk.usage();
            let traffic =
                Traffic { in_bytes: usage.total_read_bytes, out_bytes: usage.total_written_bytes };
            let name = disk.name().to_string_lossy();
            let name = name.trim_start_matches("/dev/");
            // Network and memory file systems have no counters: they are absent, not idle.
            let counted = traffic.in_bytes > 0 || traffic.out_bytes > 0;
            if counted && list.len() < DISKS_MAX && list.iter().all(|(other, _)| other != name) {
                list.push((name.to_owned(), traffic));
            }
        }
        list
    }

    /// One mount point per device: the shortest, which is where people look for it.
    fn file_systems(&self) -> Vec<(String, Space)> {
        let mut disks: Vec<&sysinfo::Disk> = self.disks.iter().collect();
        disks.sort_by_key(|disk| disk.mount_point().as_os_str().len());
        let mut devices = std::collections::BTreeSet::new();
        let mut list = Vec::new();
        for disk in disks {
            let Some(space) = space(disk.total_space(), disk.available_space()) else { continue };
            if list.len() < DISKS_MAX && devices.insert(disk.name().to_owned()) {
                list.push((disk.mount_point().to_string_lossy().into_owned(), space));
            }
        }
        list
    }

    fn network_traffic(&mut self) -> Vec<(String, Traffic)> {
        self.networks.refresh(true);
        let traffic = |data: &sysinfo::NetworkData| Traffic {
            in_bytes: data.total_received(),
            out_bytes: data.total_transmitted(),
        };
        // An interface that never carried a byte is one that nobody has plugged in.
        let mut list: Vec<(String, Traffic)> = self
            .networks
            .iter()
            .map(|(name, data)| (name.to_string_lossy().into_owned(), traffic(data)))
            .filter(|(_, traffic)| traffic.in_bytes > 0 || traffic.out_bytes > 0)
            .collect();
        list.sort_by(|one, other| one.0.cmp(&other.0));
        list.truncate(NETWORKS_MAX);
        list
    }

    fn temperatures(&mut self) -> Vec<(String, Option<f64>)> {
        self.components.refresh(true);
        let mut list: Vec<(String, Option<f64>)> = self
            .components
            .iter()
            .map(|part| (part.label().trim().to_owned(), part.temperature().map(f64::from)))
            .collect();
        list.sort_by(|one, other| one.0.cmp(&other.0));
        list.truncate(TEMPERATURES_MAX);
        list
    }
}

fn is_due(last_us: Option<u64>, now_us: u64, every_us: u64) -> bool {
    last_us.is_none_or(|last_us| now_us.saturating_sub(last_us) >= every_us)
}

fn space(total_bytes: u64, available_bytes: u64) -> Option<Space> {
    (total_bytes > 0).then_some(Space { total_bytes, available_bytes })
}

fn load() -> Option<[f64; 3]> {
    let load = System::load_average().ok()?;
    Some([load.one, load.five, load.fifteen])
}

#[cfg(test)]
mod tests {
    use base::cast::f64_of_i64;
    use base::clock::{ManualClock, SystemClock};

    use super::*;

    fn source(clock: Arc<dyn Clock>) -> HostSource {
        let options = HostOptions { every_ms: 250, host: Some("mill".to_owned()) };
        HostSource::new(&options, clock).unwrap()
    }

    fn value(readings: &[Reading], sensor: &str) -> Option<Option<f64>> {
        readings.iter().find(|reading| reading.sensor == sensor).map(|reading| reading.value)
    }

    #[test]
    fn this_machine_has_processors_memory_and_load() {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let mut source = source(clock.clone());
        let first = source.sample();
        assert_eq!(value(&first, "cpu.0"), Some(None), "the first look has nothing to compare");
        let used = value(&first, "memory.used").flatten().expect("memory is always known");
        assert!((0.0..=100.0).contains(&used), "{used}");
        assert!(value(&first, "load.1m").flatten().is_some());
        assert!(first.iter().all(|reading| reading.timestamp_ms == 1_700_000_000_000));
        clock.advance_ms(100);
        let second = source.sample();
        assert_eq!(value(&second, "cpu.0"), None, "too soon to compare");
        assert!(!second.iter().any(|reading| reading.sensor.starts_with("disk.space.")));
        clock.advance_ms(2_000);
        let third = source.sample();
        let busy = value(&third, "cpu.0").expect("processors are due again");
        assert!(busy.is_none_or(|busy| (0.0..=100.0).contains(&busy)), "{busy:?}");
        let spaces = |readings: &[Reading]| {
            readings.iter().filter(|reading| reading.sensor.starts_with("disk.space.")).count()
        };
        assert_eq!(spaces(&third), spaces(&first), "free space is due again");
    }

    #[test]
    fn names_are_unique_and_values_are_numbers() {
        let mut source = source(Arc::new(SystemClock::new()));
        let readings = source.sample();
        let names: std::collections::BTreeSet<&str> =
            readings.iter().map(|reading| reading.sensor.as_str()).collect();
        assert_eq!(names.len(), readings.len());
        let limit = f64_of_i64(i64::MAX);
        let plausible = |value: f64| value >= 0.0 && value < limit;
        assert!(readings.iter().all(|reading| reading.value.is_none_or(plausible)));
    }
}
