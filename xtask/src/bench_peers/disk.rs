//! What a process asks of the disk, and the most that the disk gives.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

/// As many as the partitions of the rows that produce.
const FILES: u32 = 4;
/// Bytes between two flushes of a file: what four partitions have waiting when large batches come.
const PIECE_BYTES: u32 = 4 << 20;
/// Rounds that a measurement takes: 512 MiB.
pub(super) const CEILING_ROUNDS: u32 = 32;

/// Bytes that a process has handed on for the disk since it began.
///
/// # Errors
/// A process that is gone or another user's.
pub(super) fn written_bytes(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/io");
    let told = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    written(&told).ok_or_else(|| format!("{path} has no write_bytes"))
}

fn written(told: &str) -> Option<f64> {
    let line = told.lines().find_map(|line| line.strip_prefix("write_bytes:"))?;
    line.trim().parse().ok()
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
    fn bytes_for_the_disk_are_found() {
        assert_eq!(
            written("rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n"),
            Some(4096.0)
        );
        assert_eq!(written("rchar: 1\n"), None);
        assert!(written_bytes(std::process::id()).is_ok());
    }

    #[test]
    fn a_loop_gives_some_megabytes_and_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("bench-ceiling-{}", std::process::id()));
        assert!(ceiling_mb_per_s(&folder, 1).unwrap() > 0.1);
        fs::remove_dir(&folder).unwrap();
    }
}
