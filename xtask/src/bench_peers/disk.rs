//! What the disk writes, and the most that it gives.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

/// The unit of /proc/diskstats, whatever the disk's own is.
const SECTOR_BYTES: f64 = 512.0;
/// As many as the partitions of the rows that produce.
const FILES: u32 = 4;
/// Bytes between two flushes of a file: what four partitions have waiting when large batches come.
const PIECE_BYTES: u32 = 4 << 20;
/// Rounds that a measurement takes: 512 MiB.
pub(super) const CEILING_ROUNDS: u32 = 32;

/// Bytes that the disk below a folder has written since the machine began, whoever asked for it;
/// none where the machine does not tell. What a process is said to write is no use here: the kernel
/// counts the whole of a large page as soon as a byte of it changes.
pub(super) fn written_bytes(folder: &Path) -> Option<f64> {
    let device = fs::metadata(folder).ok()?.dev();
    let major = (device >> 8 & 0xfff) | (device >> 32 & !0xfff);
    let minor = (device & 0xff) | (device >> 12 & !0xff);
    written(&fs::read_to_string("/proc/diskstats").ok()?, (major, minor))
}

fn written(stats: &str, (major, minor): (u64, u64)) -> Option<f64> {
    let lines = stats.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let number = |field: Option<&&str>| field.and_then(|field| field.parse::<u64>().ok());
    let is_it = |line: &Vec<&str>| {
        number(line.first()) == Some(major) && number(line.get(1)) == Some(minor)
    };
    let sectors: f64 = lines.into_iter().find(is_it)?.get(9)?.parse().ok()?;
    Some(sectors * SECTOR_BYTES)
}

/// Megabytes per second of a loop that does nothing else than append to a few files of a folder
/// and flush them.
///
/// # Errors
/// A disk that refuses.
pub(super) fn ceiling_mb_per_s(folder: &Path, rounds: u32) -> Result<f64, String> {
    let folder = folder.join("ceiling");
    let measured = fs::create_dir_all(&folder).and_then(|()| {
        let mut files = (0..FILES)
            .map(|number| File::create(folder.join(number.to_string())))
            .collect::<Result<Vec<_>, _>>()?;
        let piece = [7; 4_096].repeat(usize::try_from(PIECE_BYTES / 4_096).unwrap_or(1));
        let begin = Instant::now();
        for _ in 0..rounds {
            for file in &mut files {
                file.write_all(&piece)?;
            }
            for file in &files {
                file.sync_data()?;
            }
        }
        let bytes = f64::from(rounds) * f64::from(FILES) * f64::from(PIECE_BYTES);
        Ok(bytes / begin.elapsed().as_secs_f64() / 1e6)
    });
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::remove_dir_all(&folder).map_err(told)?;
    measured.map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_the_disk_wrote_are_found() {
        let stats = "   7       0 loop0 1 0 8 0 0 0 0 0\n \
                     254       1 vda1 10 0 80 5 20 3 4096 7 0 9 12\n";
        assert_eq!(written(stats, (254, 1)), Some(4_096.0 * 512.0));
        assert_eq!(written(stats, (254, 0)), None);
        assert_eq!(written(stats, (7, 0)), Some(0.0));
    }

    #[test]
    fn a_loop_gives_some_megabytes_and_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("bench-ceiling-{}", std::process::id()));
        assert!(ceiling_mb_per_s(&folder, 1).unwrap() > 0.1);
        fs::remove_dir(&folder).unwrap();
    }
}
