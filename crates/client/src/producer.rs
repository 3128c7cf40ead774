//! The producer without transactions: collects records into batches and delivers them in order.
//!
//! `append` and `send` put a record into the open batch of its partition; one task per producer
//! closes batches and sends them, all decisions lie in `machine`. Batches are compressed and
//! checksummed on that task, not on the appender's.

mod delivery;
pub(crate) mod machine;
mod sender;
pub(crate) mod wire;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::record::HeaderRef;
use runtime::channel::Notify;
use runtime::task::{self, Task};

use crate::client::Client;
use crate::error::ClientError;
use crate::limits::{BATCH_FIRST_BYTES, PRODUCE_IN_FLIGHT_MAX, PRODUCE_REQUEST_BYTES_MAX};
use crate::options::{Acks, ProducerOptions};
use crate::pool::Lane;

pub use delivery::{Delivered, Delivery};

use delivery::Token;
use machine::{Appended, Failure, Finished, Machine, Parts, Rules, Slot};
use wire::Terms;

/// A record to be delivered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a> {
    /// Name of the topic.
    pub topic: &'a str,
    /// The partition; by the key when absent, and any one when there is no key either.
    pub partition: Option<i32>,
    /// Milliseconds since 1970; now when absent.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none deletes the key from a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; a name may occur more than once.
    pub headers: &'a [HeaderRef<'a>],
}

/// A producer; clones share its buffer. Dropping the last one gives up what is not delivered.
#[derive(Clone)]
pub struct Producer {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    sender: Task<()>,
}

/// What the producer and its sender share.
struct Shared {
    client: Client,
    options: ProducerOptions,
    terms: Terms,
    lane: Lane,
    machine: Mutex<Machine<Token>>,
    wake: Notify,
    progress: Notify,
    failed: Mutex<Option<ClientError>>,
    is_closed: AtomicBool,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Producer({:?})", self.handle.shared.lane)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sender.abort();
        self.shared.client.close_lane(self.shared.lane);
    }
}

impl Producer {
    pub(crate) fn new(client: Client, options: ProducerOptions) -> Self {
        let rules = rules(&client, &options);
        let terms = Terms {
            acks: options.acks,
            timeout: client.options().request_timeout,
            transactional_id: None,
        };
        let shared = Arc::new(Shared {
            terms,
            lane: client.own_lane(),
            client,
            options,
            machine: Mutex::new(Machine::new(rules)),
            wake: Notify::new(),
            progress: Notify::new(),
            failed: Mutex::new(None),
            is_closed: AtomicBool::new(false),
        });
        let sender = task::spawn("producer-sender", sender::run(Arc::clone(&shared)));
        Self { handle: Arc::new(Handle { shared, sender }) }
    }

    /// Appends a record; waits while the buffer is full. What fails later is told by `flush`.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], [`ClientError::UnknownPartition`], [`ClientError::Closed`].
    pub async fn append(&self, record: Record<'_>) -> Result<(), ClientError> {
        self.put(&record, |_, _| ()).await
    }

    /// Appends a record; the result tells when and where it was written.
    ///
    /// # Errors
    /// As [`Producer::append`].
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery, ClientError> {
        self.put(&record, Token::delivery).await
    }

    /// Waits until everything appended before is delivered or has failed.
    ///
    /// # Errors
    /// The first failure since the last flush.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let shared = &self.handle.shared;
        let until = shared.machine().flush();
        shared.wake.notify_one();
        loop {
            let progress = shared.progress.notified();
            if shared.machine().is_flushed(until) {
                break;
            }
            progress.await;
        }
        let failed = shared.failed.lock().expect("no holder of the failure panics").take();
        failed.map_or(Ok(()), Err)
    }

    /// Delivers what was appended and ends the producer, for all its clones.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub async fn close(self) -> Result<(), ClientError> {
        let flushed = self.flush().await;
        self.handle.shared.is_closed.store(true, Ordering::Release);
        flushed
    }

    /// Partitions of a topic.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or why the cluster cannot be asked.
    pub async fn partition_count(&self, topic: &str) -> Result<i32, ClientError> {
        Ok(self.handle.shared.client.topic(topic).await?.partition_count())
    }

    async fn put<R>(
        &self,
        record: &Record<'_>,
        make: impl Fn(&Token, i64) -> R,
    ) -> Result<R, ClientError> {
        let shared = &self.handle.shared;
        loop {
            let space = match shared.try_put(record, &make)? {
                Put::Done(result) => return Ok(result),
                Put::UnknownTopic => {
                    shared.learn(record.topic).await?;
                    continue;
                }
                Put::UnknownPartition => {
                    shared.learn_partition(record).await?;
                    continue;
                }
                Put::Full => shared.progress.notified(),
            };
            // The sender may have made room between the refusal and the registration.
            shared.wake.notify_one();
            if let Put::Done(result) = shared.try_put(record, &make)? {
                return Ok(result);
            }
            space.await;
        }
    }
}

enum Put<R> {
    Done(R),
    UnknownTopic,
    UnknownPartition,
    Full,
}

impl Shared {
    fn machine(&self) -> MutexGuard<'_, Machine<Token>> {
        self.machine.lock().expect("no holder of the batches panics")
    }

    /// The hot path: one lock, no allocation unless a batch begins.
    fn try_put<R>(
        &self,
        record: &Record<'_>,
        make: impl Fn(&Token, i64) -> R,
    ) -> Result<Put<R>, ClientError> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(ClientError::Closed);
        }
        let timestamp = record.timestamp.unwrap_or_else(|| self.client.clock().unix_ms());
        let mut machine = self.machine();
        let Some(topic) = machine.topic(record.topic) else {
            return Ok(Put::UnknownTopic);
        };
        let partition = match record.partition {
            Some(partition) => usize::try_from(partition).unwrap_or(usize::MAX),
            None => machine.choose(topic, record.key),
        };
        if partition >= machine.partition_count(topic) {
            return Ok(Put::UnknownPartition);
        }
        let parts =
            Parts { timestamp, key: record.key, value: record.value, headers: record.headers };
        let opening = |name: &Arc<str>| {
            (self.client.clock().steady_ms(), Token::new(Arc::clone(name), partition))
        };
        match machine.append(Slot { topic, partition }, &parts, opening) {
            Appended::Taken { token, index, wakes } => {
                let result = make(token, index);
                drop(machine);
                if wakes {
                    self.wake.notify_one();
                }
                Ok(Put::Done(result))
            }
            Appended::Full => Ok(Put::Full),
        }
    }

    async fn learn(&self, topic: &str) -> Result<(), ClientError> {
        let view = self.client.topic(topic).await?;
        let leaders = view.partitions.iter().map(|partition| partition.leader).collect();
        self.machine().set_leaders(&view.name, leaders);
        Ok(())
    }

    /// A partition that we do not know may have been added since the last look.
    async fn learn_partition(&self, record: &Record<'_>) -> Result<(), ClientError> {
        self.client.refresh(&[record.topic]).await?;
        let view = self.client.topic(record.topic).await?;
        view.partition(record.partition.unwrap_or(0))?;
        self.learn(record.topic).await
    }

    /// Tells the records of these batches what became of them.
    fn finish(&self, finished: Vec<Finished<Token>>) {
        for Finished { token, result } in finished {
            let result = result.map_err(|failure| token.error(failure));
            if let Err(error) = &result {
                let mut failed = self.failed.lock().expect("no holder of the failure panics");
                failed.get_or_insert_with(|| error.clone());
            }
            token.finish(result);
        }
        self.progress.notify_waiters();
    }
}

impl Token {
    fn error(&self, failure: Failure) -> ClientError {
        match failure {
            Failure::TimedOut => ClientError::DeliveryTimedOut {
                topic: self.topic().to_owned(),
                partition: self.partition(),
            },
            Failure::Refused(code) => ClientError::refused(ApiKey::Produce, self.topic(), code),
        }
    }
}

fn rules(client: &Client, options: &ProducerOptions) -> Rules {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(0);
    Rules {
        compression: options.compression,
        batch_bytes_max: options.batch_bytes_max,
        batch_bytes_first: BATCH_FIRST_BYTES.min(options.batch_bytes_max),
        request_bytes_max: PRODUCE_REQUEST_BYTES_MAX.max(options.batch_bytes_max),
        buffer_bytes_max: options.buffer_bytes_max,
        linger_ms: ms(options.linger),
        delivery_timeout_ms: ms(options.delivery_timeout),
        retry_ms: ms(client.options().retry_backoff),
        retry_ms_max: ms(client.options().retry_backoff_max),
        in_flight_max: options.in_flight_max.clamp(1, PRODUCE_IN_FLIGHT_MAX),
        is_idempotent: options.idempotent && options.acks == Acks::All,
        is_transactional: false,
        seed: client.rng().next_u64(),
    }
}

/// The code that stands for "this producer cannot get an identity".
const NO_IDENTITY: ErrorCode = ErrorCode::UNKNOWN_PRODUCER_ID;
