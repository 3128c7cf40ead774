//! Walking over the batches of a segment file, with or without their records.

use std::path::Path;
use std::sync::Arc;

use base::cast;
use base::disk::DiskFile;
use bytes::{Bytes, BytesMut};
use protocol::record::{BATCH_HEADER_BYTES, Batch, BatchHeader, RecordError};

use crate::error::Error;

/// Walks forward from a batch's start to a place in the file.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    file: &'a Arc<dyn DiskFile>,
    path: &'a Path,
    at: u64,
    end: u64,
    window: Bytes,
    window_from: u64,
    window_bytes: usize,
}

/// A step that could not be made.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The bytes from here on are no whole batch.
    Bad(RecordError),
    /// The disk refused.
    Failed(Error),
}

/// Where and how far to walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// Byte where a batch starts.
    pub from: u64,
    /// Byte to stop at.
    pub end: u64,
    /// Bytes to fetch at once.
    pub window_bytes: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(file: &'a Arc<dyn DiskFile>, path: &'a Path, stretch: Stretch) -> Self {
        let Stretch { from, end, window_bytes } = stretch;
        Self { file, path, at: from, end, window: Bytes::new(), window_from: from, window_bytes }
    }

    /// The byte that the next step starts at.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// The next batch's place and header, without its records.
    pub(crate) fn next_header(&mut self) -> Result<Option<(u64, BatchHeader)>, Stop> {
        let at = self.at;
        let Some(header) = self.header()? else { return Ok(None) };
        self.at += cast::u64_of(header.total_bytes());
        Ok(Some((at, header)))
    }

    /// The next batch's place and bytes; the checksum is not checked.
    pub(crate) fn next_batch(&mut self) -> Result<Option<(u64, Batch)>, Stop> {
        let at = self.at;
        let Some(header) = self.header()? else { return Ok(None) };
        let bytes = self.bytes(header.total_bytes())?;
        let batch = Batch::parse(&bytes).map_err(Stop::Bad)?;
        self.at += cast::u64_of(header.total_bytes());
        Ok(Some((at, batch)))
    }

    /// The batch that the last header belongs to, for those who look into few of them.
    pub(crate) fn batch_at(&mut self, at: u64, header: &BatchHeader) -> Result<Batch, Stop> {
        let behind = std::mem::replace(&mut self.at, at);
        let bytes = self.bytes(header.total_bytes());
        self.at = behind;
        Batch::parse(&bytes?).map_err(Stop::Bad)
    }

    fn header(&mut self) -> Result<Option<BatchHeader>, Stop> {
        if self.at >= self.end {
            return Ok(None);
        }
        let left = self.end - self.at;
        let bytes = self.bytes(BATCH_HEADER_BYTES.min(cast::usize_of(left)))?;
        let header = BatchHeader::parse(&bytes).map_err(Stop::Bad)?;
        // The length is foreign until the file is known to be that long.
        if cast::u64_of(header.total_bytes()) > left {
            return Err(Stop::Bad(RecordError::Truncated));
        }
        Ok(Some(header))
    }

    /// `len` bytes from where the walk stands; the caller has checked that the file has them.
    fn bytes(&mut self, len: usize) -> Result<Bytes, Stop> {
        if self.at < self.window_from
            || self.at + cast::u64_of(len) > self.window_from + cast::u64_of(self.window.len())
        {
            self.fetch(len)?;
        }
        let skip = cast::usize_of(self.at - self.window_from);
        Ok(self.window.slice(skip..skip + len))
    }

    fn fetch(&mut self, len: usize) -> Result<(), Stop> {
        let left = cast::usize_of(self.end.saturating_sub(self.at));
        let size = self.window_bytes.max(len).min(left);
        let mut buffer = BytesMut::zeroed(size);
        self.file
            .read_exact_at(&mut buffer, self.at)
            .map_err(|source| Stop::Failed(Error::io("read", self.path)(source)))?;
        self.window = buffer.freeze();
        self.window_from = self.at;
        Ok(())
    }
}

impl Stop {
    /// As an error, for places where a bad batch is a surprise.
    pub(crate) fn into_error(self, path: &Path, position: u64) -> Error {
        match self {
            Self::Bad(source) => Error::Record { path: path.to_path_buf(), position, source },
            Self::Failed(error) => error,
        }
    }
}
