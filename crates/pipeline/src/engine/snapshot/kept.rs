//! Of which changelogs state lies in a folder, so that tasks are given where theirs is.
//!
//! A snapshot is a file of its own. State on disk (`spill: disk`) lies in files of its store, so an
//! empty file beside the snapshots tells of it. What is told is a hint: whoever begins looks
//! whether the state fits.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use base::disk::Disk;

const SNAPSHOT: &str = ".snapshot";
const SHELF: &str = ".shelf";

/// Changelog partitions whose state lies in a folder; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    places: Arc<Mutex<BTreeSet<(String, i32)>>>,
}

/// The file of a snapshot.
pub(super) fn snapshot_name(changelog: &str, partition: i32) -> String {
    format!("{changelog}-{partition}{SNAPSHOT}")
}

impl Kept {
    /// State of this changelog's partition lies there.
    pub(crate) fn add(&self, changelog: &str, partition: i32) {
        self.places().insert((changelog.to_owned(), partition));
    }

    /// The same of state on disk, for those who come after this process as well.
    pub(crate) fn add_shelf(
        &self,
        (disk, dir): (&dyn Disk, &Path),
        (changelog, partition): (&str, i32),
    ) -> io::Result<()> {
        let path = dir.join(format!("{changelog}-{partition}{SHELF}"));
        if !disk.exists(&path) {
            disk.create_dir_all(dir)?;
            disk.replace(&path, b"")?;
        }
        self.add(changelog, partition);
        Ok(())
    }

    /// Looks into the folder.
    pub(crate) fn look(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        if !disk.exists(dir) {
            return Ok(());
        }
        let found = disk.list(dir)?;
        self.places().extend(found.iter().filter_map(|entry| place_of(&entry.name)));
        Ok(())
    }

    /// Whether state of this changelog's partition lies there.
    pub(crate) fn has(&self, changelog: &str, partition: i32) -> bool {
        self.places().contains(&(changelog.to_owned(), partition))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.places().len()
    }

    fn places(&self) -> MutexGuard<'_, BTreeSet<(String, i32)>> {
        self.places.lock().expect("no holder of what is kept panics")
    }
}

/// The changelog and partition that a file's name tells.
fn place_of(name: &str) -> Option<(String, i32)> {
    let place = name.strip_suffix(SNAPSHOT).or_else(|| name.strip_suffix(SHELF))?;
    let (changelog, partition) = place.rsplit_once('-')?;
    Some((changelog.to_owned(), partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use base::disk::MemoryDisk;

    use super::*;

    #[test]
    fn what_lies_in_a_folder_is_found_again_and_other_files_are_nothing() {
        let disk = MemoryDisk::new();
        let dir = Path::new("/state");
        let kept = Kept::default();
        kept.add_shelf((&disk, dir), ("p.seen-changelog", 3)).unwrap();
        disk.replace(&dir.join(snapshot_name("p.seen-changelog", 12)), b"x").unwrap();
        disk.replace(&dir.join("notes.txt"), b"x").unwrap();
        let again = Kept::default();
        again.look(&disk, dir).unwrap();
        assert!(again.has("p.seen-changelog", 3) && again.has("p.seen-changelog", 12));
        assert_eq!((kept.count(), again.count()), (1, 2));
    }
}
