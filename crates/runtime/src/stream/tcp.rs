//! Frames over sockets.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use base::cast;
use base::chunk::{Chunk, FileRange};
use bytes::{Buf as _, Bytes, BytesMut};
use rustix::net::sockopt;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::{Connection, FrameError, FrameReader, FrameWriter, ReaderKind, WriterKind};
use crate::limits::{
    FRAME_FIRST_RESERVE_BYTES_MAX, KEEPALIVE_AFTER, KEEPALIVE_COUNT_MAX, KEEPALIVE_EVERY,
    READ_BUFFER_BYTES, SENDFILE_BYTES_MAX, SENDFILE_BYTES_MIN,
};

const LENGTH_BYTES: usize = 4;

/// The listening side.
#[derive(Debug)]
pub struct TcpAcceptor {
    listener: TcpListener,
    address: SocketAddr,
}

impl TcpAcceptor {
    pub(super) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn accept(&self) -> io::Result<Connection> {
        let (stream, peer) = self.listener.accept().await?;
        connection(stream, peer.to_string())
    }
}

pub(super) async fn connect(host: &str, port: u16) -> io::Result<Connection> {
    let stream = TcpStream::connect((host, port)).await?;
    connection(stream, format!("{host}:{port}"))
}

fn connection(stream: TcpStream, peer: String) -> io::Result<Connection> {
    // Frames are written whole; waiting for more to send would only add delay.
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_COUNT_MAX)?;
    let (read, write) = stream.into_split();
    let buffer = BytesMut::new();
    Ok(Connection {
        peer,
        reader: FrameReader { kind: ReaderKind::Tcp(TcpFrameReader { read, buffer }) },
        writer: FrameWriter { kind: WriterKind::Tcp(TcpFrameWriter { write }) },
    })
}

#[derive(Debug)]
pub(super) struct TcpFrameReader {
    read: OwnedReadHalf,
    buffer: BytesMut,
}

impl TcpFrameReader {
    pub(super) async fn announced(
        &mut self,
        bytes_max: usize,
    ) -> Result<Option<usize>, FrameError> {
        loop {
            if let Some(len) = frame_len(&self.buffer, bytes_max)? {
                return Ok(Some(len));
            }
            self.buffer.reserve(READ_BUFFER_BYTES);
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return self.ended();
            }
        }
    }

    pub(super) async fn read(&mut self, bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(len) = self.announced(bytes_max).await? else {
            return Ok(None);
        };
        let whole = LENGTH_BYTES + len;
        while self.buffer.len() < whole {
            // Memory follows the bytes that are there, not the length that was announced:
            // at most double what has arrived, beyond a first piece.
            let missing = whole - self.buffer.len();
            self.buffer.reserve(missing.min(FRAME_FIRST_RESERVE_BYTES_MAX.max(self.buffer.len())));
            if self.read.read_buf(&mut self.buffer).await? == 0 {
                return self.ended();
            }
        }
        self.buffer.advance(LENGTH_BYTES);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    /// What the peer's end means here: nothing between two frames, an error inside one.
    fn ended<T>(&self) -> Result<Option<T>, FrameError> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }
}

/// The announced length, once its four bytes are there.
fn frame_len(buffer: &[u8], bytes_max: usize) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = buffer.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Ok(len) if len <= bytes_max => Ok(Some(len)),
        _ => Err(FrameError::Length(length)),
    }
}

#[derive(Debug)]
pub(super) struct TcpFrameWriter {
    write: OwnedWriteHalf,
}

impl TcpFrameWriter {
    pub(super) async fn write<F: AsRef<[Chunk]>>(&mut self, frames: &[F]) -> io::Result<()> {
        let mut pending = Vec::new();
        for frame in frames {
            let chunks = frame.as_ref();
            let len: usize = chunks.iter().map(Chunk::len).sum();
            let len = i32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
            pending.push(Bytes::copy_from_slice(&len.to_be_bytes()));
            for chunk in chunks {
                match chunk {
                    Chunk::Bytes(bytes) => pending.push(bytes.clone()),
                    // A packet of its own costs more than the copy, on both sides.
                    Chunk::File(range) if range.len <= SENDFILE_BYTES_MIN => {
                        pending.push(range.read()?);
                    }
                    Chunk::File(range) => {
                        self.write_bytes(&pending).await?;
                        pending.clear();
                        self.write_file(range).await?;
                    }
                }
            }
        }
        self.write_bytes(&pending).await
    }

    async fn write_bytes(&mut self, parts: &[Bytes]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let written = self.write.write_vectored(left).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }

    async fn write_file(&mut self, range: &FileRange) -> io::Result<()> {
        let Some(descriptor) = range.file.descriptor() else {
            let bytes = range.read()?;
            return self.write.write_all(&bytes).await;
        };
        let mut from = range.from;
        let end = range.from + cast::u64_of(range.len);
        let socket: &TcpStream = self.write.as_ref();
        while from < end {
            let count = cast::usize_of(end - from).min(SENDFILE_BYTES_MAX);
            let sent = socket
                .async_io(Interest::WRITABLE, || {
                    let mut offset = from;
                    Ok(rustix::fs::sendfile(socket, descriptor, Some(&mut offset), count)?)
                })
                .await?;
            if sent == 0 {
                // The file is shorter than the log said: somebody cut it behind our back.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            from += cast::u64_of(sent);
        }
        Ok(())
    }
}
