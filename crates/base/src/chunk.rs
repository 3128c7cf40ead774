//! What an answer is made of: bytes in memory, and ranges of files that need not enter it.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::cast;
use crate::disk::DiskFile;

/// A range of a file that a plaintext socket can send without copying it into the process.
#[derive(Clone)]
pub struct FileRange {
    /// The open file; it stays readable after the name is gone.
    pub file: Arc<dyn DiskFile>,
    /// First byte.
    pub from: u64,
    /// Length in bytes.
    pub len: usize,
}

impl FileRange {
    /// Reads the range into memory.
    ///
    /// # Errors
    /// The file's error, or `UnexpectedEof` when the file ends early.
    pub fn read(&self) -> io::Result<Bytes> {
        let mut buffer = BytesMut::zeroed(self.len);
        self.file.read_exact_at(&mut buffer, self.from)?;
        Ok(buffer.freeze())
    }

    /// The part that starts `skip` bytes later and is at most `len` bytes long.
    #[must_use]
    pub fn slice(&self, skip: usize, len: usize) -> Self {
        let left = self.len.saturating_sub(skip);
        Self {
            file: Arc::clone(&self.file),
            from: self.from + cast::u64_of(skip.min(self.len)),
            len: left.min(len),
        }
    }
}

impl fmt::Debug for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRange({}+{})", self.from, self.len)
    }
}

/// One piece of an answer.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes that still lie in a file.
    File(FileRange),
}

impl Chunk {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(range) => range.len,
        }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, read from the file where they lie in one.
    ///
    /// # Errors
    /// As [`FileRange::read`].
    pub fn read(&self) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::File(range) => range.read(),
        }
    }
}
