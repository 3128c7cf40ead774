//! Frames through queues inside one process.

use std::io;

use base::chunk::Chunk;
use bytes::{Bytes, BytesMut};

use super::{Connection, FrameError, FrameReader, FrameWriter, ReaderKind, WriterKind};
use crate::channel::{Receiver, Sender, mailbox};
use crate::limits::{MEMORY_BACKLOG_MAX, MEMORY_FRAMES_MAX};

/// Makes connections to the listener it came with.
#[derive(Debug, Clone)]
pub struct MemoryConnector {
    sender: Sender<Connection>,
}

/// The listening side.
#[derive(Debug)]
pub struct MemoryAcceptor {
    receiver: Receiver<Connection>,
}

pub(super) fn pair() -> (MemoryConnector, MemoryAcceptor) {
    let (sender, receiver) = mailbox(MEMORY_BACKLOG_MAX);
    (MemoryConnector { sender }, MemoryAcceptor { receiver })
}

impl MemoryConnector {
    /// A new connection.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody listens any more.
    pub async fn connect(&self) -> io::Result<Connection> {
        let (to_server, from_client) = mailbox(MEMORY_FRAMES_MAX);
        let (to_client, from_server) = mailbox(MEMORY_FRAMES_MAX);
        let server = connection(from_client, to_client);
        self.sender.send(server).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(connection(from_server, to_server))
    }
}

fn connection(receiver: Receiver<Bytes>, sender: Sender<Bytes>) -> Connection {
    Connection {
        peer: "memory".to_owned(),
        reader: FrameReader {
            kind: ReaderKind::Memory(MemoryFrameReader { receiver, next: None }),
        },
        writer: FrameWriter { kind: WriterKind::Memory(MemoryFrameWriter { sender }) },
    }
}

impl MemoryAcceptor {
    pub(super) async fn accept(&mut self) -> Option<Connection> {
        self.receiver.recv().await
    }
}

#[derive(Debug)]
pub(super) struct MemoryFrameReader {
    receiver: Receiver<Bytes>,
    /// A frame whose length was asked for before it was read.
    next: Option<Bytes>,
}

impl MemoryFrameReader {
    pub(super) async fn announced(
        &mut self,
        bytes_max: usize,
    ) -> Result<Option<usize>, FrameError> {
        if self.next.is_none() {
            self.next = self.receiver.recv().await;
        }
        match &self.next {
            Some(frame) if frame.len() > bytes_max => {
                Err(FrameError::Length(i32::try_from(frame.len()).unwrap_or(i32::MAX)))
            }
            Some(frame) => Ok(Some(frame.len())),
            None => Ok(None),
        }
    }

    pub(super) async fn read(&mut self, bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
        self.announced(bytes_max).await?;
        Ok(self.next.take())
    }
}

#[derive(Debug)]
pub(super) struct MemoryFrameWriter {
    sender: Sender<Bytes>,
}

impl MemoryFrameWriter {
    pub(super) async fn write(&mut self, chunks: &[Chunk]) -> io::Result<()> {
        let frame = gather(chunks)?;
        self.sender.send(frame).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// One buffer with all chunks; a single chunk of bytes is passed on as it is.
fn gather(chunks: &[Chunk]) -> io::Result<Bytes> {
    if let [Chunk::Bytes(bytes)] = chunks {
        return Ok(bytes.clone());
    }
    let mut frame = BytesMut::zeroed(chunks.iter().map(Chunk::len).sum());
    let mut at = 0;
    for chunk in chunks {
        let place = &mut frame[at..at + chunk.len()];
        match chunk {
            Chunk::Bytes(bytes) => place.copy_from_slice(bytes),
            Chunk::File(range) => range.file.read_exact_at(place, range.from)?,
        }
        at += chunk.len();
    }
    Ok(frame.freeze())
}
