//! Where a figure was taken: without it a figure says nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use base::clock::Clock;
use base::rng::{Random as _, SystemRandom};

/// Flushes whose median is told.
const FLUSHES: usize = 50;

/// Bytes written before each flush.
const FLUSH_BYTES: usize = 4 << 10;

/// The machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Environment {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// File system of the folder that was flushed in.
    pub(crate) file_system: String,
    pub(crate) folder: PathBuf,
    /// Median time of a flush of 4 KiB, in milliseconds; absent where it cannot be taken.
    pub(crate) flush_ms: Option<f64>,
    pub(crate) version: &'static str,
}

impl Environment {
    /// Looks at the machine; flushes in the data folder, or where there is none in the
    /// system's temporary folder.
    pub(crate) fn look(data_dir: &Path, clock: &dyn Clock) -> Self {
        let folder = if data_dir.is_dir() { data_dir.to_path_buf() } else { std::env::temp_dir() };
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            processor: processor(&text("/proc/cpuinfo")),
            cores: runtime::thread::parallelism(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&text("/proc/mounts"), &folder),
            flush_ms: flush_ms(&folder, clock).ok(),
            folder,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn processor(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name.and_then(|rest| rest.split_once(':')).map(|(_, name)| name.trim());
    name.unwrap_or("unknown").to_owned()
}

/// The type of the mount with the longest path above the folder.
fn file_system(mounts: &str, folder: &Path) -> String {
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let mount = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let (path, kind) = (words.next()?.to_owned(), words.next()?.to_owned());
        folder.starts_with(&path).then_some((path.len(), kind))
    };
    let found = mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length);
    found.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}

/// The file is appended to, as a log is.
fn flush_ms(folder: &Path, clock: &dyn Clock) -> io::Result<f64> {
    let path = folder.join(format!("millstream-flush-{:016x}", SystemRandom.next_u64()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let median = median_ms(file, clock);
    fs::remove_file(&path)?;
    median
}

fn median_ms(mut file: File, clock: &dyn Clock) -> io::Result<f64> {
    let page = [0x5a_u8; FLUSH_BYTES];
    let mut times_us = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        file.write_all(&page)?;
        let from = clock.steady_us();
        file.sync_data()?;
        times_us.push(clock.steady_us() - from);
    }
    times_us.sort_unstable();
    Ok(base::cast::f64_of(times_us[FLUSHES / 2]) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use base::clock::SystemClock;

    use super::*;

    #[test]
    fn the_nearest_mount_counts() {
        let mounts = "overlay / overlay rw 0 0\ntmpfs /dev tmpfs rw 0 0\next4 /dev/x ext4 rw 0 0";
        assert_eq!(file_system(mounts, Path::new("/dev/nothing/here")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/nowhere")), "overlay");
        assert_eq!(file_system("", Path::new("/nowhere")), "unknown");
    }

    #[test]
    fn a_flush_can_be_taken() {
        let environment = Environment::look(&std::env::temp_dir(), &SystemClock::new());
        assert!(environment.flush_ms.is_some() && environment.cores > 0);
        assert_eq!(processor("x\nmodel name\t: Fast One\n"), "Fast One");
    }
}
