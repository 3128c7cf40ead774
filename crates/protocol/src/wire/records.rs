//! The `records` type: batches that are passed on without being looked at.

use std::io;

use base::chunk::Chunk;
use bytes::{Bytes, BytesMut};

/// Record batches, in memory or still in files.
#[derive(Debug, Clone, Default)]
pub struct Records {
    chunks: Vec<Chunk>,
}

impl Records {
    /// Batches that lie in these chunks, one behind the other.
    #[must_use]
    pub fn from_chunks(chunks: Vec<Chunk>) -> Self {
        Self { chunks }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Chunk::len).sum()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The pieces.
    #[must_use]
    pub fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// All bytes in one buffer; free when they are one piece in memory, as all that was decoded.
    ///
    /// # Errors
    /// That of a file that a piece lies in.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        match self.chunks.as_slice() {
            [] => Ok(Bytes::new()),
            [one] => one.read(),
            many => {
                let mut whole = BytesMut::with_capacity(self.len());
                for chunk in many {
                    whole.extend_from_slice(&chunk.read()?);
                }
                Ok(whole.freeze())
            }
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self { chunks: vec![Chunk::Bytes(bytes)] }
    }
}

/// Two are equal when their bytes are; unreadable files equal nothing.
impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        match (self.to_bytes(), other.to_bytes()) {
            (Ok(mine), Ok(others)) => mine == others,
            _ => false,
        }
    }
}
