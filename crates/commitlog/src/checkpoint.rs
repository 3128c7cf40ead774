//! Kafka's small text files: a version, a count, and that many lines.

use std::collections::BTreeMap;
use std::path::Path;

use base::disk::Disk;

use crate::error::Error;

const VERSION: &str = "0";

/// The lines of a checkpoint file; none when it is missing or damaged.
pub(crate) fn load_lines(disk: &dyn Disk, path: &Path) -> Option<Vec<String>> {
    let bytes = disk.read(path).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let mut lines = text.lines();
    if lines.next()? != VERSION {
        return None;
    }
    let count: usize = lines.next()?.parse().ok()?;
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    (lines.len() == count).then_some(lines)
}

/// Replaces a checkpoint file, whole and durable.
pub(crate) fn store_lines(
    disk: &dyn Disk,
    path: &Path,
    lines: impl Iterator<Item = String>,
) -> Result<(), Error> {
    let lines: Vec<String> = lines.collect();
    let mut text = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    disk.replace(path, text.as_bytes()).map_err(Error::io("replace", path))
}

/// Offsets by log name.
pub(crate) type Offsets = BTreeMap<String, i64>;

/// Reads `topic partition offset` lines; none when the file is missing or damaged.
pub(crate) fn load_offsets(disk: &dyn Disk, path: &Path) -> Option<Offsets> {
    let mut offsets = Offsets::new();
    for line in load_lines(disk, path)? {
        let mut words = line.split(' ');
        let (topic, partition) = (words.next()?, words.next()?);
        let offset: i64 = words.next()?.parse().ok()?;
        if words.next().is_some() || offset < 0 {
            return None;
        }
        offsets.insert(format!("{topic}-{partition}"), offset);
    }
    Some(offsets)
}

/// Replaces a file of `topic partition offset` lines.
pub(crate) fn store_offsets(disk: &dyn Disk, path: &Path, offsets: &Offsets) -> Result<(), Error> {
    let lines = offsets.iter().filter_map(|(name, offset)| {
        let (topic, partition) = name.rsplit_once('-')?;
        Some(format!("{topic} {partition} {offset}"))
    });
    store_lines(disk, path, lines)
}
