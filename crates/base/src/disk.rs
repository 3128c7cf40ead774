//! Files and folders behind one small trait, so that a crash at any write can be rehearsed.
//!
//! The contract is POSIX's, no more: written bytes survive a crash after `sync_data` of the file;
//! a new, renamed or removed name survives after `sync_dir` of its folder. Every implementation
//! runs [`conformance`].

pub mod conformance;
pub mod lock;
pub mod memory;
pub mod real;

use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

pub use memory::MemoryDisk;
pub use real::RealDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing; the file must exist.
    Write,
    /// For reading and writing; made when missing, kept as it is when there.
    Create,
    /// For reading and writing; made when missing, emptied when there.
    Truncate,
}

/// A folder tree.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` when it must exist and does not; else the world's.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a folder and those above it; no error when it exists.
    ///
    /// # Errors
    /// The world's.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all that is in it; no error when it is missing.
    ///
    /// # Errors
    /// The world's.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Removes a file; no error when it is missing.
    ///
    /// # Errors
    /// The world's.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Renames a file or a folder, replacing a file that bears the new name.
    ///
    /// # Errors
    /// The world's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The names in a folder, sorted; empty when the folder is missing.
    ///
    /// # Errors
    /// The world's.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Whether a file or folder bears this name.
    fn exists(&self, path: &Path) -> bool;

    /// Makes names in this folder durable.
    ///
    /// # Errors
    /// The world's.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Bytes that can still be written below this folder.
    ///
    /// # Errors
    /// The world's.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// The whole content of a file.
    ///
    /// # Errors
    /// As [`Disk::open`], and the world's while reading.
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = self.open(path, OpenMode::Read)?;
        let len = crate::cast::usize_of(file.len()?);
        let mut buffer = vec![0; len];
        file.read_exact_at(&mut buffer, 0)?;
        Ok(Bytes::from(buffer))
    }

    /// Replaces a file's content so that a crash leaves the old or the new, whole and durable:
    /// write beside it, sync, rename, sync the folder.
    ///
    /// # Errors
    /// The world's; the old content is then still there.
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let mut beside = PathBuf::from(path).into_os_string();
        beside.push(".tmp");
        let beside = PathBuf::from(beside);
        let file = self.open(&beside, OpenMode::Truncate)?;
        file.write_at(content, 0)?;
        file.sync_data()?;
        self.rename(&beside, path)?;
        self.sync_dir(parent)
    }
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The last component of the path.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// An open file; it stays usable after its name is gone.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait DiskFile: Debug + Send + Sync {
    /// Reads at most as many bytes as the buffer holds; 0 means the end of the file.
    ///
    /// # Errors
    /// The world's.
    fn read_at(&self, buffer: &mut [u8], from: u64) -> io::Result<usize>;

    /// Writes all bytes at this place, growing the file when needed.
    ///
    /// # Errors
    /// `StorageFull` when there is no room; some of the bytes may be in the file then.
    fn write_at(&self, bytes: &[u8], from: u64) -> io::Result<()>;

    /// Writes all buffers one behind the other at this place.
    ///
    /// # Errors
    /// As [`DiskFile::write_at`].
    fn write_vectored_at(&self, buffers: &[Bytes], from: u64) -> io::Result<()> {
        let mut at = from;
        for buffer in buffers {
            self.write_at(buffer, at)?;
            at += crate::cast::u64_of(buffer.len());
        }
        Ok(())
    }

    /// Makes content and length durable.
    ///
    /// # Errors
    /// The world's; what was written before may then be lost, and the file must not be trusted.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// The world's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Sets room aside for what will be written from here up to `end`, so that it need not be
    /// looked for piece by piece. The length stays. A file system that cannot do it does nothing.
    ///
    /// # Errors
    /// `StorageFull` when there is not so much room, and the world's.
    fn reserve(&self, from: u64, end: u64) -> io::Result<()> {
        let _ = (from, end); // It knows no room.
        Ok(())
    }

    /// Gives back the room that is set aside behind the end.
    ///
    /// # Errors
    /// The world's.
    fn release(&self) -> io::Result<()> {
        Ok(())
    }

    /// Length in bytes.
    ///
    /// # Errors
    /// The world's.
    fn len(&self) -> io::Result<u64>;

    /// The descriptor to send from without copying, where there is one.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Fills the buffer.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], from: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let got = self.read_at(&mut buffer[done..], from + crate::cast::u64_of(done))?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            done += got;
        }
        Ok(())
    }
}
