//! Bytes over TCP without frames, for protocols that have their own: HTTP.
//!
//! A listener lends out a limited number of connections; who comes when all are lent waits in the
//! system's backlog. A connection on which nothing moves for a while ends, so that peers which
//! went silent do not keep places for ever.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tracing::debug;

use crate::limits::PLAIN_ACCEPT_PAUSE_MS;
use crate::timer;

/// How many connections are lent out at once, and how long one may be silent.
#[derive(Debug, Clone, Copy)]
pub struct PlainLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Time in which at least one byte must move in either direction.
    pub silence_max: Duration,
}

/// Listens for connections of bytes.
#[derive(Debug)]
pub struct PlainListener {
    listener: TcpListener,
    address: SocketAddr,
    places: Arc<Semaphore>,
    limits: PlainLimits,
}

impl PlainListener {
    /// Listens on a TCP address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub async fn bind(address: SocketAddr, limits: PlainLimits) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let places = Arc::new(Semaphore::new(limits.connections_max));
        Ok(Self { listener, address, places, limits })
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, as soon as there is a place for it.
    pub async fn accept(&mut self) -> (PlainStream, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.expect("the places are never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    return (PlainStream::new(stream, Some(place), self.limits), peer);
                }
                Err(error) => {
                    // Out of descriptors: others must end first, and asking again at once helps
                    // nobody.
                    debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(PLAIN_ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }
}

/// A connection of bytes.
pub struct PlainStream {
    stream: TcpStream,
    silence: Pin<Box<Sleep>>,
    silence_max: Duration,
    _place: Option<OwnedSemaphorePermit>,
}

impl fmt::Debug for PlainStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainStream({:?})", self.stream.peer_addr().ok())
    }
}

impl PlainStream {
    fn new(stream: TcpStream, place: Option<OwnedSemaphorePermit>, limits: PlainLimits) -> Self {
        let silence = Box::pin(tokio::time::sleep(limits.silence_max));
        Self { stream, silence, silence_max: limits.silence_max, _place: place }
    }

    /// Connects to `host:port`.
    ///
    /// # Errors
    /// When the name is unknown or nobody listens there.
    pub async fn connect(host: &str, port: u16, silence_max: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        let limits = PlainLimits { connections_max: 1, silence_max };
        Ok(Self::new(stream, None, limits))
    }

    /// Sends all of these bytes.
    ///
    /// # Errors
    /// When the connection broke, or nothing moved for too long.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await
    }

    /// Reads what has come behind the end of a buffer; 0 when the peer has closed.
    ///
    /// # Errors
    /// As [`PlainStream::send`].
    pub async fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.read_buf(buffer).await
    }

    /// Something moved.
    fn heard<T>(&mut self, moved: T) -> Poll<T> {
        let deadline = timer::now() + self.silence_max;
        self.silence.as_mut().reset(deadline);
        Poll::Ready(moved)
    }

    /// Nothing moved: an end, when that has lasted for too long.
    fn waits<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.silence.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(moved) => this.heard(moved),
            Poll::Pending => this.waits(context),
        }
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.stream).poll_write(context, bytes) {
            Poll::Ready(moved) => this.heard(moved),
            Poll::Pending => this.waits(context),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::Executor;

    fn limits(connections_max: usize, silence_ms: u64) -> PlainLimits {
        PlainLimits { connections_max, silence_max: Duration::from_millis(silence_ms) }
    }

    async fn pair(limits: PlainLimits) -> (PlainListener, PlainStream, PlainStream) {
        let mut listener =
            PlainListener::bind("127.0.0.1:0".parse().unwrap(), limits).await.unwrap();
        let port = listener.address().port();
        let long = Duration::from_secs(30);
        let near = PlainStream::connect("127.0.0.1", port, long).await.unwrap();
        let (far, _) = listener.accept().await;
        (listener, near, far)
    }

    #[test]
    fn bytes_go_both_ways_and_a_silent_connection_ends() {
        Executor::local().unwrap().block_on(async {
            let (_listener, mut near, mut far) = pair(limits(1, 50)).await;
            near.send(b"ping").await.unwrap();
            let mut buffer = Vec::new();
            while buffer.len() < 4 {
                far.receive(&mut buffer).await.unwrap();
            }
            far.send(&buffer).await.unwrap();
            let mut back = Vec::new();
            near.receive(&mut back).await.unwrap();
            assert_eq!(back, b"ping");
            let error = far.receive(&mut buffer).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn one_more_than_there_are_places_waits_until_one_ends() {
        Executor::local().unwrap().block_on(async {
            let (mut listener, _near, far) = pair(limits(1, 30_000)).await;
            let port = listener.address().port();
            let long = Duration::from_secs(30);
            let _second = PlainStream::connect("127.0.0.1", port, long).await.unwrap();
            let early = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
            assert!(early.is_err(), "all places are lent");
            drop(far);
            let (_, peer) = listener.accept().await;
            assert!(peer.ip().is_loopback());
        });
    }
}
