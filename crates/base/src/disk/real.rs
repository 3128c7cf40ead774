//! The machine's own file system.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::{DirEntry, Disk, DiskFile, OpenMode};
use crate::cast;
use crate::limits::WRITE_BUFFERS_MAX;

/// The machine's files, below the paths that are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        options.create(matches!(mode, OpenMode::Create | OpenMode::Truncate));
        options.truncate(mode == OpenMode::Truncate);
        Ok(Arc::new(RealFile { file: options.open(path)? }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        missing_is_fine(std::fs::remove_dir_all(path))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        missing_is_fine(std::fs::remove_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is no UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], from: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, from) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_at(&self, bytes: &[u8], from: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, from)
    }

    fn write_vectored_at(&self, buffers: &[Bytes], from: u64) -> io::Result<()> {
        let mut at = from;
        for group in buffers.chunks(WRITE_BUFFERS_MAX) {
            at = write_group(&self.file, group, at)?;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn reserve(&self, from: u64, end: u64) -> io::Result<()> {
        let Some(len) = end.checked_sub(from).filter(|len| *len > 0) else { return Ok(()) };
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn release(&self) -> io::Result<()> {
        // Cutting a file at its end takes away what lies behind it.
        self.file.set_len(self.len()?)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}

/// Writes the buffers in as few calls as the kernel allows; returns the place behind them.
fn write_group(file: &File, group: &[Bytes], from: u64) -> io::Result<u64> {
    let mut slices: Vec<IoSlice<'_>> = group.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    let mut at = from;
    while !left.is_empty() {
        match rustix::io::pwritev(file, left, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                at += cast::u64_of(written);
                IoSlice::advance_slices(&mut left, written);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::disk::conformance;
    use crate::rng::{Random, SystemRandom};

    #[test]
    fn the_real_disk_keeps_the_contract() {
        let root = std::env::temp_dir().join(format!("disk-{:x}", SystemRandom.next_u64()));
        conformance::check(&RealDisk, &root);
        RealDisk.remove_dir_all(&root).unwrap();
    }

    #[test]
    fn room_that_was_set_aside_is_given_back() {
        let path = std::env::temp_dir().join(format!("room-{:x}", SystemRandom.next_u64()));
        let file = RealDisk.open(&path, OpenMode::Create).unwrap();
        file.write_at(&[7; 10_000], 0).unwrap();
        file.sync_data().unwrap();
        let blocks = || std::fs::metadata(&path).unwrap().blocks();
        let before = blocks();
        file.reserve(10_000, 10_000).unwrap();
        file.reserve(10_000, 4 << 20).unwrap();
        file.write_at(&[8; 10_000], 10_000).unwrap();
        assert_eq!(file.len().unwrap(), 20_000);
        file.release().unwrap();
        file.sync_data().unwrap();
        // Of 512 bytes each; ten thousand more bytes, and what the file system keeps for itself.
        assert!(blocks() <= before + 64, "{before} blocks before, {} now", blocks());
        RealDisk.remove_file(&path).unwrap();
    }
}
