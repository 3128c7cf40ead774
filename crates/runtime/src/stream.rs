//! Frames over TCP, and the same frames over a pair of queues inside one process.
//!
//! A frame is Kafka's: four bytes of length, then that many bytes. In memory the length is the
//! buffer's own and whole frames change hands without a copy. What is sent may lie in files:
//! plaintext TCP sends such ranges with `sendfile`, the memory pair reads them.

mod memory;
pub mod plain;
mod tcp;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use base::chunk::Chunk;
use bytes::Bytes;

pub use memory::MemoryConnector;

/// Accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// On a socket.
    Tcp(tcp::TcpAcceptor),
    /// Inside the process.
    Memory(memory::MemoryAcceptor),
}

/// What reading a frame can end with.
#[derive(Debug)]
pub enum FrameError {
    /// The connection broke, or the peer closed it inside a frame.
    Io(io::Error),
    /// The peer announced a frame of this length, which is negative or over the limit.
    Length(i32),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Length(length) => write!(f, "a frame of {length} bytes is out of bounds"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One connection; [`Connection::split`] gives its two directions.
#[derive(Debug)]
pub struct Connection {
    /// Who is at the other end: an address, or `memory`.
    pub peer: String,
    reader: FrameReader,
    writer: FrameWriter,
}

impl Connection {
    /// The two directions, which may live in different tasks.
    #[must_use]
    pub fn split(self) -> (FrameReader, FrameWriter) {
        (self.reader, self.writer)
    }
}

/// The receiving direction.
#[derive(Debug)]
pub struct FrameReader {
    kind: ReaderKind,
}

#[derive(Debug)]
enum ReaderKind {
    Tcp(tcp::TcpFrameReader),
    Memory(memory::MemoryFrameReader),
}

impl FrameReader {
    /// Waits until the length of the next frame is known, without reading the frame: a reader
    /// that must first find room for it can do so in between. `None` as for [`Self::read`].
    ///
    /// Dropping the future between two polls loses nothing.
    ///
    /// # Errors
    /// [`FrameError`]; the connection is of no use afterwards.
    pub async fn announced(&mut self, frame_bytes_max: usize) -> Result<Option<usize>, FrameError> {
        match &mut self.kind {
            ReaderKind::Tcp(reader) => reader.announced(frame_bytes_max).await,
            ReaderKind::Memory(reader) => reader.announced(frame_bytes_max).await,
        }
    }

    /// The next frame, without its length; `None` when the peer has closed between two frames.
    ///
    /// Dropping the future between two polls loses nothing: what has arrived stays buffered.
    ///
    /// # Errors
    /// [`FrameError`]; the connection is of no use afterwards.
    pub async fn read(&mut self, frame_bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
        match &mut self.kind {
            ReaderKind::Tcp(reader) => reader.read(frame_bytes_max).await,
            ReaderKind::Memory(reader) => reader.read(frame_bytes_max).await,
        }
    }
}

/// The sending direction.
#[derive(Debug)]
pub struct FrameWriter {
    kind: WriterKind,
}

#[derive(Debug)]
enum WriterKind {
    Tcp(tcp::TcpFrameWriter),
    Memory(memory::MemoryFrameWriter),
}

impl FrameWriter {
    /// Sends one frame made of these chunks; the length is put before it.
    ///
    /// # Errors
    /// The connection's, or that of a file that a chunk lies in.
    pub async fn write(&mut self, chunks: &[Chunk]) -> io::Result<()> {
        self.write_all(&[chunks]).await
    }

    /// Sends frames one behind the other, in as few packets as that takes.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_all<F: AsRef<[Chunk]>>(&mut self, frames: &[F]) -> io::Result<()> {
        match &mut self.kind {
            WriterKind::Tcp(writer) => writer.write(frames).await,
            WriterKind::Memory(writer) => {
                for frame in frames {
                    writer.write(frame.as_ref()).await?;
                }
                Ok(())
            }
        }
    }
}

impl Listener {
    /// Listens on a TCP address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp(tcp::TcpAcceptor::bind(address).await?))
    }

    /// Listens inside the process; the connector makes connections to it.
    #[must_use]
    pub fn memory() -> (MemoryConnector, Self) {
        let (connector, acceptor) = memory::pair();
        (connector, Self::Memory(acceptor))
    }

    /// The address, where there is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(acceptor) => Some(acceptor.address()),
            Self::Memory(_) => None,
        }
    }

    /// The next connection; `None` when nobody can connect any more.
    ///
    /// # Errors
    /// When the operating system has no room for one; the listener stays usable.
    pub async fn accept(&mut self) -> io::Result<Option<Connection>> {
        match self {
            Self::Tcp(acceptor) => acceptor.accept().await.map(Some),
            Self::Memory(acceptor) => Ok(acceptor.accept().await),
        }
    }
}

/// Connects to a TCP address, given as `host:port`.
///
/// # Errors
/// When the name is unknown or nobody listens there.
pub async fn connect_tcp(host: &str, port: u16) -> io::Result<Connection> {
    tcp::connect(host, port).await
}
