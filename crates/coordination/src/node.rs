//! Who a node is: an id that it keeps over its restarts, and a number that tells them apart.

use std::path::Path;

use base::clock::Clock;
use base::disk::Disk;
use base::rng::Random;

use crate::error::CoordinationError;

/// The file of the id, in the data folder.
const FILE: &str = "node.id";

/// The file of the cluster's id, beside it.
const CLUSTER_FILE: &str = "cluster.id";

const ID_BYTES_MAX: usize = 64;

/// One start of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Stable over restarts; part of the transactional ids of its slots.
    pub id: String,
    /// Drawn at each start.
    pub nonce: u64,
    /// When it started, in milliseconds since 1970; of two with one id the later one stays.
    pub started_ms: i64,
    /// The machine, for people and for spreading work.
    pub host: String,
    /// The process.
    pub pid: u32,
}

impl Node {
    /// This start of the node whose id is given or kept in the folder; a new id is kept there.
    ///
    /// # Errors
    /// [`CoordinationError::BadId`]; [`CoordinationError::Folder`] when the id cannot be kept.
    pub fn start(
        id: Option<&str>,
        (disk, dir): (&dyn Disk, &Path),
        (clock, rng): (&dyn Clock, &dyn Random),
        (host, pid): (&str, u32),
    ) -> Result<Self, CoordinationError> {
        let id = match id {
            Some(id) => id.to_owned(),
            None => kept(disk, dir, rng)?,
        };
        if !is_id(&id) {
            return Err(CoordinationError::BadId { id });
        }
        let (nonce, started_ms) = (rng.next_u64(), clock.unix_ms());
        Ok(Self { id, nonce, started_ms, host: host.to_owned(), pid })
    }
}

/// Sees that the folder of a node belongs to this cluster of brokers, and notes it at the first
/// time.
///
/// # Errors
/// [`CoordinationError::OtherCluster`]; [`CoordinationError::Folder`] when the note cannot be read
/// or kept.
pub fn check_cluster(
    (disk, dir): (&dyn Disk, &Path),
    cluster_id: &str,
) -> Result<(), CoordinationError> {
    let path = dir.join(CLUSTER_FILE);
    let failed = |cause| CoordinationError::Folder { path: path.clone(), cause };
    if !disk.exists(&path) {
        disk.create_dir_all(dir).map_err(failed)?;
        return disk.replace(&path, format!("{cluster_id}\n").as_bytes()).map_err(failed);
    }
    let bytes = disk.read(&path).map_err(failed)?;
    let kept = String::from_utf8_lossy(&bytes).trim().to_owned();
    if kept == cluster_id {
        return Ok(());
    }
    let found = cluster_id.to_owned();
    Err(CoordinationError::OtherCluster { path: path.clone(), kept, found })
}

/// Ids are parts of transactional ids, which are separated by dots.
fn is_id(id: &str) -> bool {
    let is_fine = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.chars().all(is_fine)
}

fn kept(disk: &dyn Disk, dir: &Path, rng: &dyn Random) -> Result<String, CoordinationError> {
    let path = dir.join(FILE);
    let failed = |cause| CoordinationError::Folder { path: path.clone(), cause };
    if disk.exists(&path) {
        let bytes = disk.read(&path).map_err(failed)?;
        return Ok(String::from_utf8_lossy(&bytes).trim().to_owned());
    }
    let id = format!("n-{:08x}", rng.next_u64() >> 32);
    disk.create_dir_all(dir).map_err(failed)?;
    disk.replace(&path, format!("{id}\n").as_bytes()).map_err(failed)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;
    use base::disk::MemoryDisk;
    use base::rng::SeededRandom;

    use super::*;

    #[test]
    fn a_folder_belongs_to_the_cluster_that_it_met_first() {
        let (disk, dir) = (MemoryDisk::new(), Path::new("/data"));
        for cluster in ["one", "one"] {
            check_cluster((&disk, dir), cluster).unwrap();
        }
        let Err(CoordinationError::OtherCluster { kept, found, .. }) =
            check_cluster((&disk, dir), "two")
        else {
            panic!("it is another one");
        };
        assert_eq!((kept.as_str(), found.as_str()), ("one", "two"));
        check_cluster((&disk, dir), "one").unwrap();
    }

    #[test]
    fn an_id_stays_over_restarts_and_the_nonce_does_not() {
        let (disk, clock, rng) = (MemoryDisk::new(), ManualClock::at(7), SeededRandom::new(1));
        let dir = Path::new("/data");
        let start = |id| Node::start(id, (&disk, dir), (&clock, &rng), ("here", 1));
        let (first, second) = (start(None).unwrap(), start(None).unwrap());
        assert_eq!(first.id, second.id);
        assert_ne!(first.nonce, second.nonce);
        assert_eq!(start(Some("tm-1")).unwrap().id, "tm-1");
        for bad in ["", "a.b", "a b", &"x".repeat(65)] {
            assert!(matches!(start(Some(bad)), Err(CoordinationError::BadId { .. })), "{bad}");
        }
    }
}
