//! Sparse indexes beside a segment: offset to place, time to offset, and aborted transactions.
//!
//! The entries are Kafka's, big-endian and relative to the segment's base offset. An index is a
//! hint: whoever follows an entry checks the batch it points to, and a missing or damaged index
//! is made anew from the batches.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use base::disk::{Disk, OpenMode};
use protocol::record::checksum;

use crate::error::Error;

/// A fixed-size entry.
pub(crate) trait Entry: Copy + Send + Sync {
    /// Bytes on disk.
    const BYTES: usize;
    /// Appends the bytes.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads `BYTES` bytes; none when they make no sense.
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// Whether `next` may follow this entry.
    fn precedes(&self, next: &Self) -> bool;
}

/// The batch whose last offset is `base + relative` starts at byte `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub relative: u32,
    pub position: u32,
}

/// No record up to `base + relative` is newer than `timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub timestamp: i64,
    pub relative: u32,
}

/// A transaction whose records must not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedEntry {
    pub producer_id: i64,
    pub first_offset: i64,
    pub last_offset: i64,
    pub last_stable_offset: i64,
}

const TXN_INDEX_VERSION: i16 = 0;
const _: () = assert!(OffsetEntry::BYTES == 8 && TimeEntry::BYTES == 12);
const _: () = assert!(AbortedEntry::BYTES == 34);

impl Entry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self { relative: u32_at(bytes, 0)?, position: u32_at(bytes, 4)? })
    }

    fn precedes(&self, next: &Self) -> bool {
        self.relative < next.relative && self.position < next.position
    }
}

impl Entry for TimeEntry {
    const BYTES: usize = 12;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self { timestamp: i64_at(bytes, 0)?, relative: u32_at(bytes, 8)? })
    }

    fn precedes(&self, next: &Self) -> bool {
        self.timestamp < next.timestamp && self.relative <= next.relative
    }
}

impl Entry for AbortedEntry {
    const BYTES: usize = 34;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&TXN_INDEX_VERSION.to_be_bytes());
        for field in
            [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset]
        {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let version = i16::from_be_bytes(*bytes.first_chunk()?);
        let entry = Self {
            producer_id: i64_at(bytes, 2)?,
            first_offset: i64_at(bytes, 10)?,
            last_offset: i64_at(bytes, 18)?,
            last_stable_offset: i64_at(bytes, 26)?,
        };
        let sane = version == TXN_INDEX_VERSION
            && entry.producer_id >= 0
            && entry.first_offset >= 0
            && entry.first_offset <= entry.last_offset
            && entry.last_stable_offset >= 0;
        sane.then_some(entry)
    }

    fn precedes(&self, next: &Self) -> bool {
        self.last_offset < next.last_offset
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// All entries of a file; none when the file is missing or holds nonsense.
pub(crate) fn load<E: Entry>(disk: &dyn Disk, path: &Path) -> Option<Vec<E>> {
    let bytes = disk.read(path).ok()?;
    if bytes.len() % E::BYTES != 0 {
        return None;
    }
    let mut entries: Vec<E> = Vec::with_capacity(bytes.len() / E::BYTES);
    for chunk in bytes.chunks_exact(E::BYTES) {
        let entry = E::decode(chunk)?;
        if entries.last().is_some_and(|last| !last.precedes(&entry)) {
            return None;
        }
        entries.push(entry);
    }
    Some(entries)
}

/// Writes all entries and makes them durable; the name needs a flush of its folder.
pub(crate) fn store<E: Entry>(disk: &dyn Disk, path: &Path, entries: &[E]) -> Result<(), Error> {
    let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
    for entry in entries {
        entry.encode(&mut bytes);
    }
    let file = disk.open(path, OpenMode::Truncate).map_err(Error::io("open", path))?;
    file.write_at(&bytes, 0).map_err(Error::io("write", path))?;
    file.sync_data().map_err(Error::io("flush", path))
}

/// What identifies these entries, for a list of what files must hold.
pub(crate) fn digest<E: Entry>(entries: &[E]) -> u32 {
    let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
    entries.iter().for_each(|entry| entry.encode(&mut bytes));
    checksum(&bytes)
}

/// The two indexes that can be made anew from a segment's batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lookup {
    pub offsets: Vec<OffsetEntry>,
    pub times: Vec<TimeEntry>,
}

/// A segment's look-up tables: growing in memory while it is written, read on demand after.
#[derive(Debug)]
pub(crate) struct Tables {
    state: RwLock<State>,
    used: AtomicBool,
}

#[derive(Debug)]
enum State {
    Growing(Lookup),
    Cold,
    Warm(Arc<Lookup>),
}

/// The files of a segment's tables.
#[derive(Debug, Clone)]
pub(crate) struct TablePaths {
    pub offsets: PathBuf,
    pub times: PathBuf,
}

impl TablePaths {
    pub(crate) fn store(&self, disk: &dyn Disk, lookup: &Lookup) -> Result<(), Error> {
        store(disk, &self.offsets, &lookup.offsets)?;
        store(disk, &self.times, &lookup.times)
    }

    pub(crate) fn load(&self, disk: &dyn Disk) -> Option<Lookup> {
        Some(Lookup { offsets: load(disk, &self.offsets)?, times: load(disk, &self.times)? })
    }
}

impl Tables {
    pub(crate) fn growing(lookup: Lookup) -> Self {
        Self { state: RwLock::new(State::Growing(lookup)), used: AtomicBool::new(false) }
    }

    pub(crate) fn cold() -> Self {
        Self { state: RwLock::new(State::Cold), used: AtomicBool::new(false) }
    }

    /// Changes the tables of a segment that is being written.
    pub(crate) fn grow(&self, change: impl FnOnce(&mut Lookup)) {
        let mut state = self.state.write().expect("no holder of the tables panics");
        if let State::Growing(lookup) = &mut *state {
            change(lookup);
        }
    }

    /// Looks something up; `make` brings the tables when they are not in memory.
    pub(crate) fn with<T>(
        &self,
        make: impl FnOnce() -> Result<Lookup, Error>,
        look: impl FnOnce(&Lookup) -> T,
    ) -> Result<T, Error> {
        self.used.store(true, Ordering::Relaxed);
        let warm = {
            let state = self.state.read().expect("no holder of the tables panics");
            match &*state {
                State::Growing(lookup) => return Ok(look(lookup)),
                State::Warm(lookup) => Some(Arc::clone(lookup)),
                State::Cold => None,
            }
        };
        if let Some(lookup) = warm {
            return Ok(look(&lookup));
        }
        // Two readers may both make it; the second copy is dropped, which beats waiting.
        let lookup = Arc::new(make()?);
        let mut state = self.state.write().expect("no holder of the tables panics");
        if matches!(&*state, State::Cold) {
            *state = State::Warm(Arc::clone(&lookup));
        }
        drop(state);
        Ok(look(&lookup))
    }

    /// Takes these tables instead of what is in memory; they turn out to be wrong.
    pub(crate) fn replace(&self, lookup: Lookup) {
        let mut state = self.state.write().expect("no holder of the tables panics");
        *state = match &*state {
            State::Growing(_) => State::Growing(lookup),
            State::Cold | State::Warm(_) => State::Warm(Arc::new(lookup)),
        };
    }

    /// Goes on growing from here.
    pub(crate) fn regrow(&self, lookup: Lookup) {
        *self.state.write().expect("no holder of the tables panics") = State::Growing(lookup);
    }

    /// Goes on growing after an end that came too early.
    pub(crate) fn reopen(&self) {
        let mut state = self.state.write().expect("no holder of the tables panics");
        if let State::Warm(lookup) = &*state {
            *state = State::Growing(Lookup::clone(lookup));
        }
    }

    /// Ends the growth and gives what has grown, to be written to the files.
    pub(crate) fn seal(&self) -> Option<Arc<Lookup>> {
        let mut state = self.state.write().expect("no holder of the tables panics");
        let State::Growing(lookup) = &mut *state else { return None };
        let lookup = Arc::new(std::mem::take(lookup));
        *state = State::Warm(Arc::clone(&lookup));
        Some(lookup)
    }

    /// A copy of what has grown so far.
    pub(crate) fn grown(&self) -> Option<Lookup> {
        match &*self.state.read().expect("no holder of the tables panics") {
            State::Growing(lookup) => Some(lookup.clone()),
            State::Cold | State::Warm(_) => None,
        }
    }

    /// Frees the memory of tables that nobody used since the last call.
    pub(crate) fn cool(&self) {
        if self.used.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.write().expect("no holder of the tables panics");
        if matches!(&*state, State::Warm(_)) {
            *state = State::Cold;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(entry: impl Entry) -> Vec<u8> {
        let mut out = Vec::new();
        entry.encode(&mut out);
        out
    }

    #[test]
    fn entries_have_kafkas_bytes() {
        let offset = OffsetEntry { relative: 1, position: 258 };
        assert_eq!(bytes(offset), [0, 0, 0, 1, 0, 0, 1, 2]);
        assert_eq!(OffsetEntry::decode(&bytes(offset)), Some(offset));
        let time = TimeEntry { timestamp: 3, relative: 4 };
        assert_eq!(bytes(time), [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4]);
        assert_eq!(TimeEntry::decode(&bytes(time)), Some(time));
        let aborted =
            AbortedEntry { producer_id: 1, first_offset: 2, last_offset: 3, last_stable_offset: 4 };
        assert_eq!(bytes(aborted).len(), 34);
        assert_eq!(bytes(aborted)[..10], [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(AbortedEntry::decode(&bytes(aborted)), Some(aborted));
    }

    #[test]
    fn tables_are_read_when_needed_and_freed_when_not() {
        let tables = Tables::cold();
        let made = || {
            Ok(Lookup { times: vec![TimeEntry { timestamp: 1, relative: 1 }], ..Lookup::default() })
        };
        assert_eq!(tables.with(made, |lookup| lookup.times.len()).unwrap(), 1);
        let never = || -> Result<Lookup, Error> { panic!("it is warm") };
        assert_eq!(tables.with(never, |lookup| lookup.times.len()).unwrap(), 1);
        tables.cool();
        tables.cool();
        assert_eq!(tables.with(|| Ok(Lookup::default()), |lookup| lookup.times.len()).unwrap(), 0);
    }
}
