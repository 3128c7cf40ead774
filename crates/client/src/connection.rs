//! One connection to one broker: requests out in order, answers back to whoever asked.
//!
//! Requests are written by the caller itself, one at a time, so a request costs no task hop on its
//! way out; one task reads the answers. A request whose time is over ends the connection, because
//! nobody can tell what of the later answers is still in order (Kafka's own client does the same).
//!
//! Non-obvious: a caller who is dropped in the middle of a write takes the writer with him. The
//! connection is closed then, for half a frame cannot be taken back.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base::chunk::Chunk;
use bytes::Bytes;
use protocol::api::{ApiKey, Request};
use protocol::header::{RequestHeader, ResponseHeader};
use protocol::wire::{Message as _, Reader, Writer};
use runtime::channel::{Answer, OwnedSemaphorePermit, Semaphore, reply};
use runtime::stream::{FrameError, FrameReader, FrameWriter};
use runtime::task::{self, Task};
use runtime::timer::{self, Instant};

use crate::error::ClientError;
use crate::limits::{
    CONNECTION_IN_FLIGHT_MAX, FRAME_BYTES_MAX, TIMEOUT_CHECK_EVERY_MIN, TIMEOUT_CHECKS,
};
use crate::versions::Versions;

/// Called with the answer's frame, or with the reason why there is none. It runs on the task that
/// reads the connection and must not wait.
pub(crate) type OnAnswer = Box<dyn FnOnce(Result<Bytes, ClientError>) + Send>;

/// One connection.
pub(crate) struct Connection {
    /// Tells connections of a client apart.
    pub(crate) id: u64,
    shared: Arc<Shared>,
    reader: Task<()>,
    pub(crate) versions: Versions,
    client_id: String,
    request_timeout: Duration,
    next_correlation: AtomicI32,
    room: Arc<Semaphore>,
    turn: Semaphore,
    writer: Mutex<Option<FrameWriter>>,
}

struct Shared {
    peer: String,
    in_flight: Mutex<InFlight>,
}

#[derive(Default)]
struct InFlight {
    is_closed: bool,
    // The peer sent what no broker sends.
    is_strange: bool,
    waiting: BTreeMap<i32, Waiting>,
}

struct Waiting {
    api: ApiKey,
    deadline: Instant,
    timeout: Duration,
    on_answer: OnAnswer,
    // Gives the place back when the answer has come.
    _room: OwnedSemaphorePermit,
}

/// A request on its way.
pub(crate) struct Pending<R> {
    answer: Answer<Result<Bytes, ClientError>>,
    version: i16,
    peer: Arc<Shared>,
    request: PhantomData<fn() -> R>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.shared.peer)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
        self.shared.close();
    }
}

impl Connection {
    /// Takes over a fresh connection; it speaks ApiVersions only until `versions` are set.
    pub(crate) fn start(
        connection: runtime::stream::Connection,
        id: u64,
        client_id: &str,
        request_timeout: Duration,
    ) -> Self {
        let peer = connection.peer.clone();
        let (reader, writer) = connection.split();
        let shared = Arc::new(Shared { peer, in_flight: Mutex::default() });
        let look_every = (request_timeout / TIMEOUT_CHECKS).max(TIMEOUT_CHECK_EVERY_MIN);
        let reading = read_answers(reader, Arc::clone(&shared), look_every);
        Self {
            id,
            shared,
            reader: task::spawn("client-reader", reading),
            versions: Versions::default(),
            client_id: client_id.to_owned(),
            request_timeout,
            next_correlation: AtomicI32::new(0),
            room: Arc::new(Semaphore::new(CONNECTION_IN_FLIGHT_MAX)),
            turn: Semaphore::new(1),
            writer: Mutex::new(Some(writer)),
        }
    }

    /// Whether requests can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.shared.lock().is_closed
    }

    /// Asks and waits for the answer.
    pub(crate) async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let version = self.versions.of(R::KEY)?;
        self.ask(request, version, Duration::ZERO).await.wait().await
    }

    /// Whether the peer sent what no broker sends.
    pub(crate) fn is_strange(&self) -> bool {
        self.shared.lock().is_strange
    }

    /// Sends a request; the answer is taken later. `extra` is time that the broker may take
    /// beyond the usual, as for long polls.
    pub(crate) async fn ask<R: Request>(
        &self,
        request: &R,
        version: i16,
        extra: Duration,
    ) -> Pending<R> {
        let (reply, answer) = reply();
        let on_answer: OnAnswer = Box::new(move |result| {
            // Whoever asked may have gone; then nobody misses the answer.
            drop(reply.send(result));
        });
        self.send(request, version, extra, on_answer).await;
        Pending { answer, version, peer: Arc::clone(&self.shared), request: PhantomData }
    }

    /// Sends a request; `on_answer` is called once, with the answer or with what went wrong.
    pub(crate) async fn send<R: Request>(
        &self,
        request: &R,
        version: i16,
        extra: Duration,
        on_answer: OnAnswer,
    ) {
        let (correlation_id, chunks) = match self.encode(request, version) {
            Ok(encoded) => encoded,
            Err(error) => return on_answer(Err(error)),
        };
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.expect("the semaphore of a connection is never closed");
        let timeout = self.request_timeout + extra;
        let deadline = timer::now() + timeout;
        let waiting = Waiting { api: R::KEY, deadline, timeout, on_answer, _room: room };
        // What fails here closes the connection, which tells `on_answer`.
        drop(self.write(&chunks, Some((correlation_id, waiting))).await);
    }

    /// Sends a request to which there is no answer (Produce with acks 0).
    pub(crate) async fn tell<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<(), ClientError> {
        let (_, chunks) = self.encode(request, version)?;
        self.write(&chunks, None).await
    }

    fn encode<R: Request>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<(i32, Vec<Chunk>), ClientError> {
        let correlation_id = self.next_correlation.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let header = RequestHeader {
            api_key: R::KEY.code(),
            api_version: version,
            correlation_id,
            client_id: Some(self.client_id.clone()),
        };
        let mut writer = Writer::new();
        let encoded =
            header.encode(R::KEY, &mut writer).and_then(|()| request.encode(&mut writer, version));
        encoded.map_err(|cause| ClientError::Encode { api: R::KEY, cause })?;
        Ok((correlation_id, writer.finish()))
    }

    async fn write(
        &self,
        chunks: &[Chunk],
        waiting: Option<(i32, Waiting)>,
    ) -> Result<(), ClientError> {
        let turn = self.turn.acquire().await;
        let _turn = turn.expect("the semaphore of a connection is never closed");
        let closing = CloseUnlessWritten { shared: &self.shared, is_written: false };
        if let Some((correlation, waiting)) = waiting {
            self.shared.insert(correlation, waiting)?;
        }
        let writer = self.writer.lock().expect("no holder of the writer panics").take();
        let mut writer = writer.ok_or_else(|| self.shared.disconnected())?;
        writer.write(chunks).await.map_err(|_| self.shared.disconnected())?;
        *self.writer.lock().expect("no holder of the writer panics") = Some(writer);
        closing.written();
        Ok(())
    }
}

/// Closes the connection when a write fails, or is dropped with half a frame on its way.
struct CloseUnlessWritten<'a> {
    shared: &'a Shared,
    is_written: bool,
}

impl CloseUnlessWritten<'_> {
    fn written(mut self) {
        self.is_written = true;
    }
}

impl Drop for CloseUnlessWritten<'_> {
    fn drop(&mut self) {
        if !self.is_written {
            self.shared.close();
        }
    }
}

impl<R: Request> Pending<R> {
    /// Waits for the answer.
    pub(crate) async fn wait(self) -> Result<R::Response, ClientError> {
        match self.answer.await {
            Ok(frame) => decode::<R>(&frame?, self.version),
            Err(_) => Err(self.peer.disconnected()),
        }
    }
}

/// Reads an answer: header, body, nothing behind it.
pub(crate) fn decode<R: Request>(frame: &Bytes, version: i16) -> Result<R::Response, ClientError> {
    let mut reader = Reader::new(frame);
    let read = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))
        .and_then(|_| R::Response::decode(&mut reader, version))
        .and_then(|response| reader.finish().map(|()| response));
    read.map_err(|cause| ClientError::Malformed { api: R::KEY, cause })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().expect("no holder of the requests in flight panics")
    }

    fn disconnected(&self) -> ClientError {
        ClientError::Disconnected { peer: self.peer.clone() }
    }

    fn note_strange(&self) {
        self.lock().is_strange = true;
    }

    fn insert(&self, correlation: i32, waiting: Waiting) -> Result<(), ClientError> {
        let mut in_flight = self.lock();
        if !in_flight.is_closed {
            in_flight.waiting.insert(correlation, waiting);
            return Ok(());
        }
        drop(in_flight);
        (waiting.on_answer)(Err(self.disconnected()));
        Err(self.disconnected())
    }

    fn remove(&self, correlation: i32) -> Option<Waiting> {
        self.lock().waiting.remove(&correlation)
    }

    fn close(&self) {
        let waiting = {
            let mut in_flight = self.lock();
            in_flight.is_closed = true;
            std::mem::take(&mut in_flight.waiting)
        };
        for waiting in waiting.into_values() {
            (waiting.on_answer)(Err(self.disconnected()));
        }
    }

    /// Hands a frame to whoever waits for it; false when nobody does.
    fn deliver(&self, frame: Bytes) -> bool {
        let Some(prefix) = frame.first_chunk::<4>() else {
            return false;
        };
        match self.remove(i32::from_be_bytes(*prefix)) {
            Some(waiting) => {
                (waiting.on_answer)(Ok(frame));
                true
            }
            None => false,
        }
    }

    /// How long nothing can be overdue by more than one pause between looks: a request that is
    /// sent meanwhile has the whole timeout before it.
    fn next_look(&self, every: Duration) -> Duration {
        let now = timer::now();
        let first = self.lock().waiting.values().map(|waiting| waiting.deadline).min();
        let longest = every * TIMEOUT_CHECKS;
        first.map_or(longest, |at| at.saturating_duration_since(now)).clamp(every, longest)
    }

    /// Takes out a request whose time is over.
    fn overdue(&self) -> Option<Waiting> {
        let now = timer::now();
        let mut in_flight = self.lock();
        let late = in_flight.waiting.iter().find(|(_, waiting)| waiting.deadline <= now);
        let late = late.map(|(correlation, _)| *correlation)?;
        in_flight.waiting.remove(&late)
    }
}

/// Whoever waits is told when the reader ends, even by the end of its executor.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn read_answers(mut reader: FrameReader, shared: Arc<Shared>, look_every: Duration) {
    let _closing = CloseOnDrop(Arc::clone(&shared));
    let mut look = pin!(timer::sleep(look_every));
    loop {
        let frame = runtime::select! {
            frame = reader.read(FRAME_BYTES_MAX) => frame,
            () = &mut look => {
                let Some(late) = shared.overdue() else {
                    look.set(timer::sleep(shared.next_look(look_every)));
                    continue;
                };
                let (what, after) = (late.api.name(), late.timeout);
                tracing::warn!(peer = %shared.peer, api = what, "request timed out");
                (late.on_answer)(Err(ClientError::TimedOut { what, after }));
                break;
            }
        };
        match frame {
            Ok(Some(frame)) => {
                if !shared.deliver(frame) {
                    tracing::warn!(peer = %shared.peer, "answer to no request, closing");
                    shared.note_strange();
                    break;
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(peer = %shared.peer, %error, "connection broke");
                if let FrameError::Length(_) = error {
                    shared.note_strange();
                }
                break;
            }
        }
    }
}
