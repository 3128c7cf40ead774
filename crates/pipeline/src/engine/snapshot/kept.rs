//! Of which changelogs state lies in a folder, so that tasks are given where theirs is.
//!
//! A snapshot is a file of its own. State on disk (`spill: disk`) lies in files of its store, so an
//! empty file beside the snapshots tells of it. What is told is a hint: whoever begins looks
//! whether the state fits.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use base::disk::{Disk, OpenMode};
use tracing::info;

use super::{HEAD_BYTES, written_ms};
use crate::limits::LEFT_STATE_AGE_MS_MAX;

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

    /// Looks into the folder, and removes snapshots that are so old that nobody will begin with
    /// them.
    pub(crate) fn look(&self, disk: &dyn Disk, dir: &Path, now_ms: i64) -> io::Result<()> {
        if !disk.exists(dir) {
            return Ok(());
        }
        for entry in disk.list(dir)? {
            let Some(place) = place_of(&entry.name) else { continue };
            let path = dir.join(&entry.name);
            if entry.name.ends_with(SNAPSHOT) && is_outdated(disk, &path, now_ms) {
                disk.remove_file(&path)?;
            } else {
                self.places().insert(place);
            }
        }
        Ok(())
    }

    /// Removes state on disk that is as old, and what tells of it; before it is looked what lies
    /// there, and before anybody works with it.
    pub(crate) fn prune(
        (disk, dir): (&dyn Disk, &Path),
        spill_dir: &Path,
        now_ms: i64,
    ) -> io::Result<()> {
        for entry in disk.list(spill_dir)?.into_iter().filter(|entry| entry.is_dir) {
            let before_ms = now_ms.saturating_sub(LEFT_STATE_AGE_MS_MAX);
            let removed = match state::store::prune(disk, &spill_dir.join(&entry.name), before_ms) {
                Ok(removed) => removed,
                Err(error) => {
                    info!(%error, "state on disk is not looked through");
                    continue;
                }
            };
            for name in removed {
                info!(name, "state on disk that nobody has gone on with is removed");
                disk.remove_file(&dir.join(name + SHELF))?;
            }
        }
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

fn is_outdated(disk: &dyn Disk, path: &Path, now_ms: i64) -> bool {
    let read = || -> io::Result<[u8; HEAD_BYTES]> {
        let mut head = [0; HEAD_BYTES];
        disk.open(path, OpenMode::Read)?.read_exact_at(&mut head, 0)?;
        Ok(head)
    };
    // What cannot be read is looked at by whoever would begin with it.
    let written = read().ok().and_then(|head| written_ms(&head));
    written.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) > LEFT_STATE_AGE_MS_MAX)
}

/// The changelog and partition that a file's name tells.
fn place_of(name: &str) -> Option<(String, i32)> {
    let place = name.strip_suffix(SNAPSHOT).or_else(|| name.strip_suffix(SHELF))?;
    let (changelog, partition) = place.rsplit_once('-')?;
    Some((changelog.to_owned(), partition.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use base::disk::{MemoryDisk, RealDisk};
    use base::rng::SystemRandom;
    use base::uuid::Uuid;
    use state::store::{Layout, Owner, Shares, Shelves};

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
        again.look(&disk, dir, 0).unwrap();
        assert!(again.has("p.seen-changelog", 3) && again.has("p.seen-changelog", 12));
        assert_eq!((kept.count(), again.count()), (1, 2));
    }

    #[test]
    fn a_snapshot_that_nobody_will_begin_with_is_removed() {
        let disk = MemoryDisk::new();
        let dir = Path::new("/state");
        disk.create_dir_all(dir).unwrap();
        let path = dir.join(snapshot_name("p.seen-changelog", 0));
        let head = |written_ms: i64| {
            let mut head = [0; HEAD_BYTES];
            head[..8].copy_from_slice(b"MSSTATE\0");
            head[HEAD_BYTES - 8..].copy_from_slice(&written_ms.to_be_bytes());
            head
        };
        for (age_ms, count) in [(LEFT_STATE_AGE_MS_MAX, 1), (LEFT_STATE_AGE_MS_MAX + 1, 0)] {
            disk.replace(&path, &head(1_000)).unwrap();
            let kept = Kept::default();
            kept.look(&disk, dir, 1_000 + age_ms).unwrap();
            assert_eq!((kept.count(), disk.exists(&path)), (count, count == 1));
        }
    }

    #[test]
    fn what_tells_of_state_on_disk_goes_with_it() {
        let name = format!("millstream-kept-{}", Uuid::random(&SystemRandom));
        let home = std::env::temp_dir().join(name);
        let (dir, spill_dir) = (home.join("state"), home.join("spill"));
        let shares = Shares { files_bytes: 4 << 20, tables_bytes: 1 << 20, stores: 1 };
        let shelves = Shelves::open(&RealDisk, &spill_dir.join("p"), shares).unwrap();
        let owner = Owner { topic: Uuid([7; 16]), signature: 9 };
        // Nothing was ever put on it.
        drop(shelves.shelf("p.seen-changelog-3", Layout::Keyed, owner).unwrap());
        drop(shelves);
        let place = ("p.seen-changelog", 3);
        Kept::default().add_shelf((&RealDisk, &dir), place).unwrap();
        Kept::prune((&RealDisk, &dir), &spill_dir, 0).unwrap();
        let kept = Kept::default();
        kept.look(&RealDisk, &dir, 0).unwrap();
        assert_eq!(kept.count(), 0);
        assert!(!spill_dir.join("p").exists());
        std::fs::remove_dir_all(home).unwrap();
    }
}
