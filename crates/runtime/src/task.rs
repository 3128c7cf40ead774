//! Tasks: named, owned, joined.

use std::fmt;
use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument as _;

/// A running task; dropping the handle lets it run on.
pub struct Task<T> {
    name: &'static str,
    handle: JoinHandle<T>,
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.name)
    }
}

/// Starts a task on the executor of the caller.
///
/// # Panics
/// When called outside an executor.
pub fn spawn<F>(name: &'static str, future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let span = tracing::trace_span!("task", name);
    Task { name, handle: tokio::spawn(future.instrument(span)) }
}

/// The executor of a task, for starting tasks there from anywhere.
#[derive(Debug, Clone)]
pub struct Home {
    handle: tokio::runtime::Handle,
}

impl Home {
    /// The caller's.
    ///
    /// # Panics
    /// When called outside an executor.
    #[must_use]
    pub fn current() -> Self {
        Self { handle: tokio::runtime::Handle::current() }
    }

    /// Starts a task there; what it opens and starts belongs there too.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let span = tracing::trace_span!("task", name);
        Task { name, handle: self.handle.spawn(future.instrument(span)) }
    }
}

/// Runs blocking work on a thread made for it.
///
/// # Panics
/// When the work panics.
pub async fn blocking<F, T>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl<T> Task<T> {
    /// Waits for the task; `None` when it was aborted.
    ///
    /// # Panics
    /// When the task panicked: its panic goes on here.
    pub async fn join(self) -> Option<T> {
        match self.handle.await {
            Ok(value) => Some(value),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => None,
        }
    }

    /// Stops the task at its next wait.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

/// Lets other tasks of this thread run.
pub async fn yield_now() {
    tokio::task::yield_now().await;
}
