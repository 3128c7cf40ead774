//! Channels between tasks, all bounded.

pub use tokio::sync::mpsc::error::{SendError, TryRecvError, TrySendError};
pub use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The sending end of a mailbox.
pub type Sender<T> = tokio::sync::mpsc::Sender<T>;

/// The receiving end of a mailbox.
pub type Receiver<T> = tokio::sync::mpsc::Receiver<T>;

/// The sending end of a single answer.
pub type Reply<T> = tokio::sync::oneshot::Sender<T>;

/// The receiving end of a single answer.
pub type Answer<T> = tokio::sync::oneshot::Receiver<T>;

/// The writing end of a value that others watch.
pub type WatchSender<T> = tokio::sync::watch::Sender<T>;

/// The reading end of a watched value.
pub type WatchReceiver<T> = tokio::sync::watch::Receiver<T>;

/// A mailbox that holds at most `capacity` messages; senders wait when it is full.
#[must_use]
pub fn mailbox<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    tokio::sync::mpsc::channel(capacity)
}

/// A channel for one answer.
#[must_use]
pub fn reply<T>() -> (Reply<T>, Answer<T>) {
    tokio::sync::oneshot::channel()
}

/// A value that others watch.
#[must_use]
pub fn watch<T>(value: T) -> (WatchSender<T>, WatchReceiver<T>) {
    tokio::sync::watch::channel(value)
}
