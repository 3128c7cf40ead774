//! The way to the flusher: commands go into its queue, answers come back as futures.
//!
//! The queue refuses what it has no room for; here that turns into waiting, so that a connection
//! which sends faster than the disk writes is held up where it is read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base::uuid::Uuid;
use bytes::Bytes;
use commitlog::{
    Append, AppendError, Appended, Command, LogConfig, LogId, Opened, Origin, Queue, QueueRefusal,
    Submitted,
};
use runtime::channel::{self, Answer, Notify};
use runtime::shutdown::Shutdown;
use runtime::task;

/// What an append ends with.
pub(crate) type AppendResult = Result<Appended, AppendError>;

/// The queue to the flusher; cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    queue: Queue,
    room: Arc<Room>,
    lender: Arc<Lender>,
}

/// A task that works the queue off itself while it is short, instead of waking the flusher's
/// thread and being woken by it: that halves what a small request costs.
#[derive(Debug, Default)]
struct Lender {
    is_there: AtomicBool,
    wanted: Notify,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

/// Where those wait who found the queue full.
#[derive(Debug, Default)]
struct Room {
    waiting: AtomicUsize,
    notify: Notify,
}

impl Room {
    /// Told after every answer: what was taken from the queue has left room in it.
    fn freed(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.notify.notify_waiters();
        }
    }
}

/// Calls back once: with the outcome, or with `Closed` when the queue dropped the command.
struct OnDone {
    then: Option<Box<dyn FnOnce(AppendResult) + Send>>,
    room: Arc<Room>,
}

impl OnDone {
    fn call(mut self, result: AppendResult) {
        if let Some(then) = self.then.take() {
            then(result);
        }
    }
}

impl Drop for OnDone {
    fn drop(&mut self) {
        if let Some(then) = self.then.take() {
            then(Err(AppendError::Closed));
        }
        self.room.freed();
    }
}

impl Store {
    pub(crate) fn new(queue: Queue) -> Self {
        Self { queue, room: Arc::default(), lender: Arc::default() }
    }

    /// Lends the executor's threads to the flusher while the queue is short.
    pub(crate) async fn help(self, mut end: Shutdown) {
        self.lender.is_there.store(true, Ordering::SeqCst);
        loop {
            runtime::select! {
                () = self.lender.wanted.notified() => {}
                () = end.requested() => break,
            }
            // Whoever else is ready puts his requests into the queue first, and those whose bytes
            // have just come: one flush then serves all of them.
            task::yield_now().await;
            self.queue.lend();
        }
        self.lender.is_there.store(false, Ordering::SeqCst);
        self.queue.lend();
    }

    fn try_submit(&self, command: Command) -> Result<(), QueueRefusal> {
        let is_append = matches!(command, Command::Append { .. });
        if !is_append || !self.lender.is_there.load(Ordering::SeqCst) {
            return self.queue.try_submit(command);
        }
        if self.queue.try_submit_lending(command)? == Submitted::Silent {
            self.lender.wanted.notify_one();
        }
        Ok(())
    }

    /// Puts a command into the queue, waiting for room; `make` makes it anew for each attempt.
    async fn put<T>(&self, mut make: impl FnMut() -> (Command, T)) -> Result<T, QueueRefusal> {
        let (command, answer) = make();
        match self.try_submit(command) {
            Ok(()) => return Ok(answer),
            Err(QueueRefusal::Full) => {}
            Err(QueueRefusal::Closed) => return Err(QueueRefusal::Closed),
        }
        let _waiting = Waiting::new(&self.room.waiting);
        loop {
            // Being listed for a notification before looking again is what makes this safe.
            let freed = self.room.notify.notified();
            let (command, answer) = make();
            match self.try_submit(command) {
                Ok(()) => return Ok(answer),
                Err(QueueRefusal::Full) => freed.await,
                Err(QueueRefusal::Closed) => return Err(QueueRefusal::Closed),
            }
        }
    }

    /// Hands batches over, waiting for room in the queue; the answer comes when they are stored.
    ///
    /// # Errors
    /// [`AppendError::Closed`].
    pub(crate) async fn begin_append(
        &self,
        id: LogId,
        append: Append,
    ) -> Result<Answer<AppendResult>, AppendError> {
        let make = || {
            let (reply, answer) = channel::reply();
            let then = Box::new(move |result| drop(reply.send(result)));
            let done = OnDone { then: Some(then), room: Arc::clone(&self.room) };
            let append = append.clone();
            (Command::Append { id, append, then: Box::new(move |r| done.call(r)) }, answer)
        };
        self.put(make).await.map_err(|_| AppendError::Closed)
    }

    /// Stores batches.
    ///
    /// # Errors
    /// [`AppendError`].
    pub(crate) async fn append(&self, id: LogId, append: Append) -> AppendResult {
        let answer = self.begin_append(id, append).await?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Hands batches over without waiting; a full queue is told as [`AppendError::Closed`], which
    /// a coordinator treats like any other append that may be tried again.
    pub(crate) fn submit(
        &self,
        id: LogId,
        append: Append,
        then: Box<dyn FnOnce(AppendResult) + Send>,
    ) {
        let done = OnDone { then: Some(then), room: Arc::clone(&self.room) };
        let then = Box::new(move |result| done.call(result));
        // A refused command is dropped, and with it the callback, which then reports.
        let _ = self.try_submit(Command::Append { id, append, then });
    }

    /// Opens a log.
    ///
    /// # Errors
    /// The log's own; `None` when the flusher has ended.
    pub(crate) async fn open(
        &self,
        name: &str,
        topic_id: Uuid,
        config: LogConfig,
        lazy: bool,
    ) -> Result<Opened, Option<commitlog::Error>> {
        let make = || {
            let (reply, answer) = channel::reply();
            let command = Command::Open {
                name: name.to_owned(),
                topic_id,
                config,
                lazy,
                then: Box::new(move |result| drop(reply.send(result))),
            };
            (command, answer)
        };
        let answer = self.put(make).await.map_err(|_| None)?;
        answer.await.map_err(|_| None)?.map_err(Some)
    }

    /// Hands over a command that has no answer; false when the flusher has ended.
    pub(crate) async fn tell(&self, mut make: impl FnMut() -> Command) -> bool {
        self.put(|| (make(), ())).await.is_ok()
    }

    /// Waits until the commands before this one have been carried out; false when the flusher has
    /// ended.
    pub(crate) async fn settled(&self) -> bool {
        // Commands are carried out in order, and an append to a log that nobody opened is answered
        // when its turn comes.
        let nobody = LogId(u32::MAX);
        let append = Append {
            batches: Bytes::new(),
            origin: Origin::Coordinator,
            leader_epoch: 0,
            durable: true,
        };
        self.append(nobody, append).await != Err(AppendError::Closed)
    }

    /// Notes that the folder's records have the present format.
    ///
    /// # Errors
    /// The disk's; `None` when the flusher has ended.
    pub(crate) async fn raised(&self) -> Result<(), Option<commitlog::Error>> {
        let make = || {
            let (reply, answer) = channel::reply();
            let then = Box::new(move |result| drop(reply.send(result)));
            (Command::Raised { then }, answer)
        };
        let answer = self.put(make).await.map_err(|_| None)?;
        answer.await.map_err(|_| None)?.map_err(Some)
    }

    /// Flushes everything and ends the flusher.
    ///
    /// # Errors
    /// The flusher's; `None` when it had ended before.
    pub(crate) async fn close(&self) -> Result<(), Option<commitlog::Error>> {
        let make = || {
            let (reply, answer) = channel::reply();
            let then = Box::new(move |result| drop(reply.send(result)));
            (Command::Close { then }, answer)
        };
        let answer = self.put(make).await.map_err(|_| None)?;
        answer.await.map_err(|_| None)?.map_err(Some)
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
