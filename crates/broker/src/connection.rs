//! One connection: frames in, answers out in the same order. Knows nothing about any API.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use base::chunk::Chunk;
use bytes::Bytes;
use runtime::shutdown::Shutdown;
use runtime::stream::{Connection, FrameError, FrameReader, FrameWriter};
use runtime::timer;
use tracing::{debug, warn};

use crate::broker::Broker;
use crate::dispatch::{self, Refusal};
use crate::limits::{
    ANSWER_BYTES_TOGETHER_MAX, CONNECTION_IDLE_MS_MAX, REQUEST_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX,
};
use crate::traffic::Budget;

/// An answer in the making; `None` where the request gets none (Produce with acks 0).
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Option<Vec<Chunk>>, Refusal>> + Send>>;

struct Pending {
    answer: Answer,
    /// Held until the answer is there: the request's memory is in use until then.
    _budget: Budget,
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    Closed,
    Idle,
    Shutdown,
    Frame(FrameError),
    Refused(Refusal),
    Write(std::io::Error),
}

/// Serves the connection until either side ends it.
pub(crate) async fn serve(broker: Arc<Broker>, connection: Connection, shutdown: Shutdown) {
    let peer: Arc<str> = Arc::from(connection.peer.as_str());
    let end = run(&broker, &peer, connection, shutdown).await;
    report(&broker, &peer, &end);
}

fn report(broker: &Broker, peer: &str, end: &End) {
    match end {
        End::Closed | End::Shutdown => debug!(%peer, "connection closed"),
        End::Idle => debug!(%peer, "idle connection closed"),
        End::Write(error) | End::Frame(FrameError::Io(error)) => {
            debug!(%peer, %error, "connection lost");
        }
        End::Frame(error) if broker.may_complain() => {
            warn!(%peer, %error, "connection closed: this is no kafka request");
        }
        End::Refused(refusal) if broker.may_complain() => {
            warn!(%peer, %refusal, "connection closed: request refused");
        }
        End::Frame(_) | End::Refused(_) => {}
    }
}

async fn run(
    broker: &Arc<Broker>,
    peer: &Arc<str>,
    connection: Connection,
    mut shutdown: Shutdown,
) -> End {
    let (mut reader, mut writer) = connection.split();
    let mut pending: VecDeque<Pending> = VecDeque::new();
    let mut stop = pin!(shutdown.requested());
    let idle = Duration::from_millis(CONNECTION_IDLE_MS_MAX);
    let mut active = timer::now();
    // One timer for the life of the connection, pushed on only when it fires: a timer per request
    // would cost more than the request's other bookkeeping.
    let mut alarm = pin!(timer::sleep_until(active + idle));
    loop {
        let room = pending.len() < REQUESTS_IN_FLIGHT_MAX;
        runtime::select! {
            biased;
            answer = front(&mut pending), if !pending.is_empty() => {
                pending.pop_front();
                let sent = send_with_followers(&mut writer, answer, &mut pending);
                match sent.await {
                    Ok(count) => broker.traffic.count_requests(count),
                    Err(end) => return end,
                }
            }
            read = next(broker, &mut reader), if room => {
                let (frame, budget) = match read {
                    Ok(Some(read)) => read,
                    Ok(None) => return End::Closed,
                    Err(error) => return End::Frame(error),
                };
                active = timer::now();
                match dispatch::begin(broker, peer, frame).await {
                    Ok(answer) => pending.push_back(Pending { answer, _budget: budget }),
                    Err(refusal) => return refuse(&mut pending, &mut writer, refusal).await,
                }
            }
            () = &mut stop => return End::Shutdown,
            () = &mut alarm => {
                if pending.is_empty() && timer::now() >= active + idle {
                    return End::Idle;
                }
                alarm.set(timer::sleep_until(timer::now().max(active) + idle));
            }
        }
    }
}

/// The next request, once there is room for it among the bytes in flight.
async fn next(
    broker: &Broker,
    reader: &mut FrameReader,
) -> Result<Option<(Bytes, Budget)>, FrameError> {
    let Some(len) = reader.announced(REQUEST_BYTES_MAX).await? else {
        return Ok(None);
    };
    let budget = broker.traffic.room_for(len).await;
    Ok(reader.read(REQUEST_BYTES_MAX).await?.map(|frame| (frame, budget)))
}

async fn front(pending: &mut VecDeque<Pending>) -> Result<Option<Vec<Chunk>>, Refusal> {
    match pending.front_mut() {
        Some(first) => first.answer.as_mut().await,
        None => std::future::pending().await,
    }
}

/// The next answer, if it is there already.
async fn front_if_ready(
    pending: &mut VecDeque<Pending>,
) -> Option<Result<Option<Vec<Chunk>>, Refusal>> {
    let ready = poll_fn(|context| match pending.front_mut() {
        Some(first) => match first.answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        },
        None => Poll::Ready(None),
    });
    let answer = ready.await?;
    pending.pop_front();
    Some(answer)
}

/// Sends an answer, and with it those behind it that are ready as well: a group commit answers
/// many requests at once, and a packet for each would cost both sides more than the rest. Tells
/// how many there were.
async fn send_with_followers(
    writer: &mut FrameWriter,
    answer: Result<Option<Vec<Chunk>>, Refusal>,
    pending: &mut VecDeque<Pending>,
) -> Result<u64, End> {
    let mut frames: Vec<Vec<Chunk>> = Vec::new();
    let mut count = 0;
    let mut bytes = 0;
    let mut next = Some(answer);
    let mut refusal = None;
    while let Some(answer) = next.take() {
        count += 1;
        match answer {
            Ok(frame) => {
                let frame = frame.into_iter().inspect(|chunks| bytes += size(chunks));
                frames.extend(frame);
                if bytes < ANSWER_BYTES_TOGETHER_MAX {
                    next = front_if_ready(pending).await;
                }
            }
            Err(cause) => refusal = Some(cause),
        }
    }
    writer.write_all(&frames).await.map_err(End::Write)?;
    refusal.map_or(Ok(count), |cause| Err(End::Refused(cause)))
}

fn size(chunks: &[Chunk]) -> usize {
    chunks.iter().map(Chunk::len).sum()
}

/// Ends the connection because of a request that cannot be answered; those before it still are.
async fn refuse(
    pending: &mut VecDeque<Pending>,
    writer: &mut FrameWriter,
    refusal: Refusal,
) -> End {
    let deadline = Duration::from_millis(crate::limits::CLOSE_WAIT_MS_MAX);
    let drain = async {
        while !pending.is_empty() {
            let answer = front(pending).await;
            pending.pop_front();
            send_with_followers(writer, answer, pending).await?;
        }
        Ok::<(), End>(())
    };
    match timer::timeout(deadline, drain).await {
        Ok(Err(end)) => end,
        Ok(Ok(())) | Err(_) => End::Refused(refusal),
    }
}
