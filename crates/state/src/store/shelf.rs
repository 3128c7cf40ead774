//! State in files of the data folder; the only place that knows fjall.
//!
//! ```text
//! label  0                                              -> u8 format = 1 | 16 changelog topic id
//!                                                          | u64 signature | i64 offset | i64 ms
//!                                                          | i64 windows are closed up to, ms
//! value  1 | u16 virtual shard | record's key           -> as in the changelog
//!        1 | u64 end | u16 virtual shard | record's key       of a windowed store
//! end    2 | u64 end                                    -> u64 keys of that window
//! ```
//!
//! Big-endian; the end of a window has its sign turned, so that bytes are in the order of time.
//! Whatever is written together, the label with it, is there together or not at all, whenever the
//! process dies. Nothing is flushed: what a power cut takes is in the changelog.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::disk::Disk;
use base::uuid::Uuid;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, Slice};
use tracing::warn;

use super::{Applied, Layout, VIRTUAL_SHARDS, shard_of};
use crate::limits::{
    SPILL_JOURNAL_BYTES, SPILL_MEMTABLE_BYTES_MAX, SPILL_MEMTABLE_BYTES_MIN, SPILL_THREADS,
};

const FORMAT: u8 = 1;
const LABEL_BYTES: usize = 49;
const LABEL: [u8; 1] = [0];
const VALUE: u8 = 1;
const END: u8 = 2;
const SIGN: u64 = 1 << 63;

/// Why files cannot be worked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShelfError {
    /// Where they lie.
    pub dir: PathBuf,
    /// What happened to them.
    pub reason: String,
    /// Whether somebody in this process uses them, who will let them go.
    pub is_busy: bool,
}

impl fmt::Display for ShelfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.dir.display(), self.reason)
    }
}

impl std::error::Error for ShelfError {}

/// The files of a pipeline in one process.
#[derive(Clone)]
pub struct Shelves {
    database: Database,
    dir: PathBuf,
    memtable_bytes: u64,
    held: Arc<HeldShelves>,
}

/// The memory that state on disk may take.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// Of the files' caches and buffers, in bytes.
    pub files_bytes: u64,
    /// Of all tables before them together, in bytes.
    pub tables_bytes: usize,
    /// Stores among which the buffers are divided: as many as may be open.
    pub stores: u64,
}

/// The shelves that somebody holds at present.
#[derive(Debug)]
struct HeldShelves {
    tables_bytes: usize,
    names: Mutex<BTreeSet<String>>,
}

/// One of them; given back when it is dropped.
#[derive(Debug)]
struct Hold {
    name: String,
    held: Arc<HeldShelves>,
}

impl HeldShelves {
    fn names(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().expect("no holder of a shelf's name panics")
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.names().remove(&self.name);
    }
}

impl fmt::Debug for Shelves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shelves({})", self.dir.display())
    }
}

impl Shelves {
    /// Opens a folder for a number of stores that share some memory; files that cannot be read
    /// are removed first, because all that is in them can be had from the changelogs.
    ///
    /// # Errors
    /// The folder is in use by another process, or the disk refuses.
    pub fn open(disk: &dyn Disk, dir: &Path, shares: Shares) -> Result<Self, ShelfError> {
        let failed = |reason: String| failed(dir, &reason);
        let open = || {
            disk.create_dir_all(dir).map_err(fjall::Error::Io)?;
            Database::builder(dir)
                .cache_size(shares.files_bytes / 2)
                .max_journaling_size(SPILL_JOURNAL_BYTES)
                .worker_threads(SPILL_THREADS)
                .open()
        };
        let database = match open() {
            Ok(database) => database,
            // An earlier start whose last work is not over, or an older process of the pipeline,
            // which has been fenced: both let go.
            Err(fjall::Error::Locked) => {
                let error = failed("another process uses it".to_owned());
                return Err(ShelfError { is_busy: true, ..error });
            }
            Err(error) => {
                warn!(dir = %dir.display(), %error, "state on disk cannot be read, it is rebuilt");
                disk.remove_dir_all(dir).map_err(|error| failed(error.to_string()))?;
                open().map_err(|error| failed(error.to_string()))?
            }
        };
        let share = shares.files_bytes / 2 / shares.stores.max(1);
        let memtable_bytes = share.clamp(SPILL_MEMTABLE_BYTES_MIN, SPILL_MEMTABLE_BYTES_MAX);
        let tables_bytes = shares.tables_bytes;
        let held = Arc::new(HeldShelves { tables_bytes, names: Mutex::default() });
        Ok(Self { database, dir: dir.to_owned(), memtable_bytes, held })
    }

    /// The shelf of this name; an empty one when there was none.
    ///
    /// # Errors
    /// The disk refuses, or somebody in this process still holds the shelf: two who write one
    /// would mix what they know.
    pub fn shelf(&self, name: &str, layout: Layout, owner: Owner) -> Result<Shelf, ShelfError> {
        if !self.held.names().insert(name.to_owned()) {
            let reason = format!("{name} is still in use here");
            return Err(ShelfError { dir: self.dir.clone(), reason, is_busy: true });
        }
        let hold = Hold { name: name.to_owned(), held: Arc::clone(&self.held) };
        let options = || KeyspaceCreateOptions::default().max_memtable_size(self.memtable_bytes);
        let keyspace = self.database.keyspace(name, options);
        let keyspace = keyspace.map_err(|error| failed(&self.dir, &error))?;
        Ok(Shelf {
            database: self.database.clone(),
            keyspace,
            dir: self.dir.clone(),
            layout,
            owner,
            hold,
        })
    }
}

/// Removes from the files in a folder the shelves on which nothing was put since a time, and the
/// folder when none is left; gives their names.
///
/// # Errors
/// Somebody uses the files, or they cannot be read: whoever opens them to work with them decides
/// then.
pub fn prune(disk: &dyn Disk, dir: &Path, before_ms: i64) -> Result<Vec<String>, ShelfError> {
    let failed = |error: fjall::Error| failed(dir, &error);
    let database = Database::builder(dir).worker_threads(1).open().map_err(failed)?;
    let (mut removed, mut left) = (Vec::new(), 0);
    for name in database.list_keyspace_names() {
        let keyspace = database.keyspace(&name, KeyspaceCreateOptions::default).map_err(failed)?;
        let label = keyspace.get(LABEL).map_err(failed)?;
        let at_ms = label.as_deref().and_then(read_label).map(|(_, applied)| applied.at_ms);
        if at_ms.is_some_and(|at_ms| at_ms >= before_ms) {
            left += 1;
        } else {
            database.delete_keyspace(keyspace).map_err(failed)?;
            removed.push(name.to_string());
        }
    }
    drop(database);
    if left == 0 {
        disk.remove_dir_all(dir).map_err(|error| failed(fjall::Error::Io(error)))?;
    }
    Ok(removed)
}

/// Whose state a shelf holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The changelog.
    pub topic: Uuid,
    /// What the content means.
    pub signature: u64,
}

/// The state of one store in files.
pub struct Shelf {
    database: Database,
    keyspace: Keyspace,
    dir: PathBuf,
    layout: Layout,
    owner: Owner,
    hold: Hold,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shelf({}, {})", self.dir.display(), self.keyspace.name())
    }
}

impl Shelf {
    /// Memory that its table may take, in bytes: an equal share for each that is held now.
    pub(super) fn bytes_max(&self) -> usize {
        self.hold.held.tables_bytes / self.hold.held.names().len().max(1)
    }

    /// What its keys are.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// What it holds of its owner's changelog; `None` for an empty one or another owner's.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn applied(&self) -> Result<Option<Applied>, ShelfError> {
        let found = self.keyspace.get(LABEL).map_err(|error| self.failed(&error))?;
        let label = found.as_deref().and_then(read_label);
        Ok(label.filter(|(owner, _)| *owner == self.owner_bytes()).map(|(_, applied)| applied))
    }

    fn owner_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.owner.topic.0);
        bytes.extend_from_slice(&self.owner.signature.to_be_bytes());
        bytes
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn clear(&self) -> Result<(), ShelfError> {
        self.keyspace.clear().map_err(|error| self.failed(&error))
    }

    /// The bytes of a key's value.
    pub(super) fn value(&self, stored: &[u8]) -> Result<Option<Slice>, ShelfError> {
        self.keyspace.get(self.key(stored)).map_err(|error| self.failed(&error))
    }

    /// Windows that are open, each with the number of its keys.
    pub(super) fn ends(&self) -> Result<BTreeMap<i64, u64>, ShelfError> {
        let mut ends = BTreeMap::new();
        for guard in self.keyspace.prefix([END]) {
            let (key, count) = guard.into_inner().map_err(|error| self.failed(&error))?;
            let end = key.get(1..).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            let count = <[u8; 8]>::try_from(&*count).ok();
            let (Some(end), Some(count)) = (end, count) else {
                return Err(self.damaged());
            };
            ends.insert(turned(u64::from_be_bytes(end)), u64::from_be_bytes(count));
        }
        Ok(ends)
    }

    /// Keys and values in their order: those of a window, or of all shards where there are no
    /// windows; behind a key, and at most so many.
    pub(super) fn page(
        &self,
        end_ms: Option<i64>,
        after: Option<&[u8]>,
        keys_max: usize,
    ) -> Result<Vec<(Vec<u8>, Slice)>, ShelfError> {
        let mut page = Vec::new();
        let from = after.map_or_else(
            || Bound::Included(self.floor(end_ms, 0)),
            |after| Bound::Excluded(self.key(after)),
        );
        let range = (from, Bound::Excluded(self.floor(end_ms, VIRTUAL_SHARDS)));
        for guard in self.keyspace.range(range).take(keys_max) {
            let (key, value) = guard.into_inner().map_err(|error| self.failed(&error))?;
            page.push((self.stored(&key)?, value));
        }
        Ok(page)
    }

    /// Calls `each` with every key and value in a range of shards: those of a window, or all
    /// where there are none. The inner result is that of `each`.
    pub(super) fn each<E>(
        &self,
        end_ms: Option<i64>,
        shards: &Range<u16>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, ShelfError> {
        let range = self.floor(end_ms, shards.start)..self.floor(end_ms, shards.end);
        for guard in self.keyspace.range(range) {
            let (key, value) = guard.into_inner().map_err(|error| self.failed(&error))?;
            if let Err(error) = each(&self.stored(&key)?, &value) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// Begins to write what is to be there together.
    pub(super) fn batch(&self, capacity: usize) -> Batch<'_> {
        let batch = OwnedWriteBatch::with_capacity(self.database.clone(), capacity);
        // The system has it when the write returns: it outlives the process.
        Batch { shelf: self, batch: batch.durability(Some(PersistMode::Buffer)) }
    }

    fn key(&self, stored: &[u8]) -> Vec<u8> {
        let record_key = self.layout.record_key(stored);
        let mut key = self.floor(self.layout.end_ms(stored), shard_of(record_key));
        key.extend_from_slice(record_key);
        key
    }

    /// The least key of a shard.
    fn floor(&self, end_ms: Option<i64>, shard: u16) -> Vec<u8> {
        let mut key = vec![VALUE];
        if let (Layout::Windowed, Some(end_ms)) = (self.layout, end_ms) {
            key.extend_from_slice(&turn(end_ms).to_be_bytes());
        }
        key.extend_from_slice(&shard.to_be_bytes());
        key
    }

    /// The store's key behind a key of the shelf.
    fn stored(&self, key: &[u8]) -> Result<Vec<u8>, ShelfError> {
        let rest = key.get(1..).unwrap_or_default();
        let mut stored = Vec::with_capacity(rest.len());
        let rest = match self.layout {
            Layout::Keyed => rest,
            Layout::Windowed => {
                let (end, rest) = rest.split_first_chunk::<8>().ok_or_else(|| self.damaged())?;
                stored.extend_from_slice(&turned(u64::from_be_bytes(*end)).to_be_bytes());
                rest
            }
        };
        stored.extend_from_slice(rest.get(2..).ok_or_else(|| self.damaged())?);
        Ok(stored)
    }

    fn failed(&self, error: &fjall::Error) -> ShelfError {
        failed(&self.dir, error)
    }

    /// What is said of bytes that this shelf has not written.
    pub(super) fn damaged(&self) -> ShelfError {
        let reason = format!("{} holds bytes that are not its own", self.keyspace.name());
        failed(&self.dir, &reason)
    }
}

fn failed(dir: &Path, error: &dyn fmt::Display) -> ShelfError {
    ShelfError { dir: dir.to_owned(), reason: error.to_string(), is_busy: false }
}

/// Whose state a label tells of, and how much of the changelog that is.
fn read_label(bytes: &[u8]) -> Option<(&[u8], Applied)> {
    let (owner, closed_ms) =
        bytes.split_last_chunk::<8>().filter(|_| bytes.len() == LABEL_BYTES)?;
    let (owner, at_ms) = owner.split_last_chunk::<8>()?;
    let (owner, offset) = owner.split_last_chunk::<8>()?;
    let [offset, at_ms, closed_ms] = [offset, at_ms, closed_ms].map(|it| i64::from_be_bytes(*it));
    Some((owner, Applied { offset, at_ms, closed_ms }))
}

fn turn(end_ms: i64) -> u64 {
    base::cast::bits_u64(end_ms) ^ SIGN
}

fn turned(bits: u64) -> i64 {
    base::cast::bits_i64(bits ^ SIGN)
}

/// What is written together.
pub(super) struct Batch<'s> {
    shelf: &'s Shelf,
    batch: OwnedWriteBatch,
}

impl Batch<'_> {
    /// A key gets a value; `None` removes it.
    pub(super) fn set(&mut self, stored: &[u8], value: Option<&[u8]>) {
        let key = self.shelf.key(stored);
        match value {
            Some(value) => self.batch.insert(&self.shelf.keyspace, key, value),
            None => self.batch.remove(&self.shelf.keyspace, key),
        }
    }

    /// A window has so many keys; with none it is closed.
    pub(super) fn set_end(&mut self, end_ms: i64, count: u64) {
        let mut key = vec![END];
        key.extend_from_slice(&turn(end_ms).to_be_bytes());
        if count == 0 {
            self.batch.remove(&self.shelf.keyspace, key);
        } else {
            self.batch.insert(&self.shelf.keyspace, key, count.to_be_bytes());
        }
    }

    /// The shelf holds this much of its changelog.
    pub(super) fn set_applied(&mut self, applied: Applied) {
        let mut label = self.shelf.owner_bytes();
        label.extend_from_slice(&applied.offset.to_be_bytes());
        label.extend_from_slice(&applied.at_ms.to_be_bytes());
        label.extend_from_slice(&applied.closed_ms.to_be_bytes());
        self.batch.insert(&self.shelf.keyspace, LABEL, label);
    }

    /// Writes all of it.
    pub(super) fn commit(self) -> Result<(), ShelfError> {
        let shelf = self.shelf;
        self.batch.commit().map_err(|error| shelf.failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use base::disk::RealDisk;
    use base::rng::SystemRandom;

    use super::*;

    const OWNER: Owner = Owner { topic: Uuid([7; 16]), signature: 9 };
    const SHARES: Shares = Shares { files_bytes: 4 << 20, tables_bytes: 1 << 20, stores: 2 };

    fn put(shelves: &Shelves, name: &str, at_ms: i64) {
        let shelf = shelves.shelf(name, Layout::Keyed, OWNER).unwrap();
        let mut batch = shelf.batch(2);
        batch.set(b"\x00\x01key", Some(b"value"));
        batch.set_applied(Applied { offset: 1, at_ms, closed_ms: 0 });
        batch.commit().unwrap();
    }

    #[test]
    fn what_nobody_has_gone_on_with_is_removed_and_at_last_the_folder() {
        let name = format!("millstream-shelf-{}", Uuid::random(&SystemRandom));
        let dir = std::env::temp_dir().join(name);
        let shelves = Shelves::open(&RealDisk, &dir, SHARES).unwrap();
        put(&shelves, "old", 1_000);
        put(&shelves, "new", 2_000);
        drop(shelves.shelf("empty", Layout::Keyed, OWNER).unwrap());
        assert!(prune(&RealDisk, &dir, 2_000).is_err(), "somebody uses it");
        drop(shelves);
        let mut removed = prune(&RealDisk, &dir, 2_000).unwrap();
        removed.sort_unstable();
        assert_eq!(removed, ["empty", "old"]);
        let shelves = Shelves::open(&RealDisk, &dir, SHARES).unwrap();
        let applied = |name| shelves.shelf(name, Layout::Keyed, OWNER).unwrap().applied().unwrap();
        assert_eq!(applied("new").map(|applied| applied.at_ms), Some(2_000));
        assert_eq!(applied("old"), None);
        drop(shelves);
        let mut removed = prune(&RealDisk, &dir, 2_001).unwrap();
        removed.sort_unstable();
        assert_eq!(removed, ["new", "old"]);
        assert!(!dir.exists());
    }
}
