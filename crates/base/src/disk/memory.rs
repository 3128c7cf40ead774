//! A disk in memory that remembers what a power cut could take away.
//!
//! It keeps apart what is written and what is durable: bytes of a file become durable by
//! `sync_data`, names by `sync_dir` of their folder, and not a moment earlier. Operations that
//! change something are counted; one of them can be made to fail, the power can be cut at one of
//! them, and the space can be limited. [`MemoryDisk::crash_image`] then gives a disk as it may be
//! found after the cut: writes that were not flushed are kept, lost, or torn at sectors, names
//! that were not flushed are kept or lost, as a seed decides.

mod content;
mod names;

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use self::content::Content;
use self::names::{Node, Tree};
use super::{DirEntry, Disk, DiskFile, OpenMode};
use crate::cast;
use crate::rng::{Random, SeededRandom};

/// What an operation did, for those who choose where to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Bytes were written.
    Write,
    /// A file was flushed.
    Sync,
    /// A folder was flushed.
    SyncDir,
    /// A file's length was set.
    SetLen,
    /// A file or folder was made.
    Create,
    /// A file or folder was renamed.
    Rename,
    /// A file or folder was removed.
    Remove,
}

/// A folder tree in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    files: Vec<Content>,
    tree: Tree,
    /// What was done so far, in order.
    operations: Vec<Operation>,
    /// The operation at which the power goes.
    cut_at: Option<usize>,
    /// The operation that fails, once.
    fail_at: Option<(usize, ErrorKind)>,
    capacity_bytes: Option<u64>,
}

/// What becomes of an operation.
enum Verdict {
    Done,
    /// It may or may not have happened, and nobody will be told.
    Cut,
}

impl MemoryDisk {
    /// An empty disk without limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was done so far, in order.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.lock().operations.clone()
    }

    /// How many operations were done so far.
    #[must_use]
    pub fn operation_count(&self) -> usize {
        self.lock().operations.len()
    }

    /// Cuts the power at the operation of this number, counted from 0 since the disk was made.
    /// It and everything after it fail.
    pub fn cut_power_at(&self, operation: usize) {
        self.lock().cut_at = Some(operation);
    }

    /// Lets the operation of this number fail without a trace; what comes after it works.
    pub fn fail_at(&self, operation: usize, kind: ErrorKind) {
        self.lock().fail_at = Some((operation, kind));
    }

    /// Limits the bytes of all files; none lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity_bytes = bytes;
    }

    /// The disk as it may be found after a power cut at this moment.
    #[must_use]
    pub fn crash_image(&self, seed: u64) -> Self {
        let world = self.lock();
        let rng = SeededRandom::new(seed);
        // The extremes are the likeliest to show a mistake, so they come with fixed seeds.
        let keep = |what: &dyn Random| match seed {
            0 => false,
            1 => true,
            _ => what.below(2) == 0,
        };
        let files = world.files.iter().map(|file| file.after_crash(seed, &rng)).collect();
        // Journals keep names in order; the contract does not promise it, so both are tried.
        let ordered = seed.is_multiple_of(2);
        let tree = world.tree.after_crash(ordered, &mut || keep(&rng));
        let world = World { files, tree, ..World::default() };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// Flips bits of a file in place, as a decaying medium does.
    ///
    /// # Errors
    /// `NotFound` when there is no such file or it is not that long.
    pub fn flip_bits(&self, path: &Path, at: u64, bits: u8) -> io::Result<()> {
        let mut world = self.lock();
        let id = world.file(path)?;
        world.files[id].flip(at, bits)
    }

    /// Bytes of room that is set aside behind the end of a file.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn reserved_bytes(&self, path: &Path) -> io::Result<u64> {
        let world = self.lock();
        let id = world.file(path)?;
        Ok(cast::u64_of(world.files[id].reserved()))
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no holder of the memory disk panics")
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.lock();
        write!(f, "MemoryDisk({} files, {} ops)", world.files.len(), world.operations.len())
    }
}

fn power_is_gone() -> io::Error {
    io::Error::other("the power is gone")
}

impl World {
    /// Counts an operation and decides what becomes of it.
    fn operate(&mut self, operation: Operation) -> io::Result<Verdict> {
        let number = self.operations.len();
        match self.cut_at {
            Some(cut) if number > cut => return Err(power_is_gone()),
            _ => self.operations.push(operation),
        }
        match self.fail_at {
            Some((at, kind)) if at == number => Err(kind.into()),
            _ if self.cut_at == Some(number) => Ok(Verdict::Cut),
            _ => Ok(Verdict::Done),
        }
    }

    fn check_power(&self) -> io::Result<()> {
        match self.cut_at {
            Some(cut) if self.operations.len() > cut => Err(power_is_gone()),
            _ => Ok(()),
        }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.tree.node(path) {
            Some(Node::File(id)) => Ok(id),
            Some(Node::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Bytes that still fit.
    fn room(&self) -> u64 {
        let Some(capacity) = self.capacity_bytes else { return u64::MAX / 2 };
        let named = self.tree.files().map(|id| cast::u64_of(self.files[id].bytes().len()));
        capacity.saturating_sub(named.sum())
    }
}

fn answer(verdict: &Verdict) -> io::Result<()> {
    match verdict {
        Verdict::Done => Ok(()),
        Verdict::Cut => Err(power_is_gone()),
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.lock();
        world.check_power()?;
        let id = match (world.file(path), mode) {
            (Ok(id), OpenMode::Truncate) => {
                let verdict = world.operate(Operation::SetLen)?;
                world.files[id].set_len(0);
                answer(&verdict)?;
                id
            }
            (Ok(id), _) => id,
            (Err(error), OpenMode::Create | OpenMode::Truncate)
                if error.kind() == ErrorKind::NotFound =>
            {
                world.tree.check_parent(path)?;
                let verdict = world.operate(Operation::Create)?;
                let id = world.files.len();
                world.files.push(Content::default());
                world.tree.create(path, Node::File(id));
                answer(&verdict)?;
                id
            }
            (Err(error), _) => return Err(error),
        };
        Ok(Arc::new(MemoryFile { world: Arc::clone(&self.world), id }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut world = self.lock();
        world.check_power()?;
        let missing: Vec<PathBuf> = world.tree.missing_folders(path)?;
        for folder in missing {
            let verdict = world.operate(Operation::Create)?;
            world.tree.create(&folder, Node::Folder);
            answer(&verdict)?;
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut world = self.lock();
        world.check_power()?;
        // The innermost names first, as on a real disk, where each is an operation of its own.
        for name in world.tree.below(path).into_iter().rev() {
            let verdict = world.operate(Operation::Remove)?;
            world.tree.remove(&name);
            answer(&verdict)?;
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut world = self.lock();
        world.check_power()?;
        match world.file(path) {
            Ok(_) => {
                let verdict = world.operate(Operation::Remove)?;
                world.tree.remove(path);
                answer(&verdict)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.lock();
        world.check_power()?;
        if world.tree.node(from).is_none() {
            return Err(ErrorKind::NotFound.into());
        }
        world.tree.check_parent(to)?;
        let verdict = world.operate(Operation::Rename)?;
        world.tree.rename(from, to);
        answer(&verdict)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let world = self.lock();
        world.check_power()?;
        Ok(world.tree.list(path))
    }

    fn exists(&self, path: &Path) -> bool {
        self.lock().tree.node(path).is_some()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.lock();
        world.check_power()?;
        if world.tree.node(path) != Some(Node::Folder) {
            return Err(ErrorKind::NotFound.into());
        }
        let verdict = world.operate(Operation::SyncDir)?;
        answer(&verdict)?;
        world.tree.sync(path);
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let world = self.lock();
        world.check_power()?;
        Ok(world.room())
    }
}

/// A file of a memory disk.
struct MemoryFile {
    world: Arc<Mutex<World>>,
    id: usize,
}

impl MemoryFile {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no holder of the memory disk panics")
    }
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryFile({})", self.id)
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], from: u64) -> io::Result<usize> {
        let world = self.lock();
        world.check_power()?;
        let bytes = world.files[self.id].bytes();
        let rest = bytes.get(cast::usize_of(from)..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], from: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut world = self.lock();
        let verdict = world.operate(Operation::Write)?;
        let old = cast::u64_of(world.files[self.id].bytes().len());
        let end = from + cast::u64_of(bytes.len());
        let lacking = end.saturating_sub(old.max(from)).saturating_sub(world.room());
        let fits = bytes.len() - cast::usize_of(lacking);
        world.files[self.id].write(&bytes[..fits], from);
        answer(&verdict)?;
        if lacking > 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.lock();
        let verdict = world.operate(Operation::Sync)?;
        answer(&verdict)?;
        world.files[self.id].sync();
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.lock();
        let verdict = world.operate(Operation::SetLen)?;
        world.files[self.id].set_len(cast::usize_of(len));
        answer(&verdict)
    }

    fn reserve(&self, from: u64, end: u64) -> io::Result<()> {
        let mut world = self.lock();
        world.check_power()?;
        if from < end {
            world.files[self.id].reserve(cast::usize_of(end));
        }
        Ok(())
    }

    fn release(&self) -> io::Result<()> {
        let mut world = self.lock();
        world.check_power()?;
        world.files[self.id].release();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let world = self.lock();
        world.check_power()?;
        Ok(cast::u64_of(world.files[self.id].bytes().len()))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::conformance;

    fn read(disk: &MemoryDisk, path: &str) -> Option<String> {
        let bytes = disk.read(Path::new(path)).ok()?;
        Some(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn the_memory_disk_keeps_the_contract() {
        conformance::check(&MemoryDisk::new(), Path::new("root"));
    }

    #[test]
    fn only_what_was_flushed_is_sure_to_survive() {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new("a")).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        let file = disk.open(Path::new("a/x"), OpenMode::Create).unwrap();
        file.write_at(b"one", 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(read(&disk.crash_image(0), "a/x"), None, "the name was not flushed");
        disk.sync_dir(Path::new("a")).unwrap();
        file.write_at(b"two", 3).unwrap();
        assert_eq!(read(&disk.crash_image(0), "a/x").unwrap(), "one");
        assert_eq!(read(&disk.crash_image(1), "a/x").unwrap(), "onetwo");
        file.sync_data().unwrap();
        assert_eq!(read(&disk.crash_image(0), "a/x").unwrap(), "onetwo");
    }

    #[test]
    fn a_torn_write_keeps_some_sectors() {
        let disk = MemoryDisk::new();
        let file = disk.open(Path::new("x"), OpenMode::Create).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        file.write_at(&[7; 4096], 0).unwrap();
        let lengths: std::collections::BTreeSet<usize> = (2..40)
            .map(|seed| read_bytes(&disk.crash_image(seed)).iter().filter(|b| **b == 7).count())
            .collect();
        assert!(lengths.len() > 3, "{lengths:?}");
        assert!(lengths.iter().all(|len| len % 512 == 0), "{lengths:?}");
    }

    fn read_bytes(disk: &MemoryDisk) -> Vec<u8> {
        disk.read(Path::new("x")).unwrap().to_vec()
    }

    #[test]
    fn names_come_and_go_with_the_folder_they_are_in() {
        let disk = MemoryDisk::new();
        disk.replace(Path::new("x"), b"old").unwrap();
        disk.open(Path::new("y"), OpenMode::Create).unwrap().write_at(b"new", 0).unwrap();
        disk.rename(Path::new("y"), Path::new("x")).unwrap();
        assert_eq!(read(&disk.crash_image(0), "x").unwrap(), "old");
        assert_eq!(read(&disk.crash_image(1), "x").unwrap(), "new");
        disk.remove_file(Path::new("x")).unwrap();
        assert_eq!(read(&disk.crash_image(0), "x").unwrap(), "old");
        assert_eq!(read(&disk.crash_image(1), "x"), None);
    }

    #[test]
    fn the_power_goes_at_one_operation_and_stays_away() {
        let disk = MemoryDisk::new();
        let file = disk.open(Path::new("x"), OpenMode::Create).unwrap();
        disk.cut_power_at(2);
        file.write_at(b"one", 0).unwrap();
        assert!(file.write_at(b"two", 3).is_err());
        assert!(file.sync_data().is_err());
        assert!(disk.open(Path::new("y"), OpenMode::Create).is_err());
        assert_eq!(disk.operation_count(), 3);
        let after = disk.crash_image(1);
        assert_eq!(read(&after, "x").unwrap(), "onetwo", "the last write may have come through");
    }

    #[test]
    fn a_full_disk_takes_a_part_and_says_so() {
        let disk = MemoryDisk::new();
        disk.set_capacity(Some(4));
        let file = disk.open(Path::new("x"), OpenMode::Create).unwrap();
        let error = file.write_at(b"hello", 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(file.len().unwrap(), 4);
        assert_eq!(disk.free_bytes(Path::new("")).unwrap(), 0);
        file.write_at(b"over", 0).unwrap();
    }
}
