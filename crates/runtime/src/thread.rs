//! Threads for work that blocks for as long as the process lives: disk writers, pipeline slots.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::boot::Executor;

/// A running thread.
#[derive(Debug)]
pub struct Thread<T> {
    handle: std::thread::JoinHandle<T>,
}

/// Starts a thread.
///
/// # Errors
/// When the operating system refuses it.
pub fn spawn<F, T>(name: &str, work: F) -> io::Result<Thread<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let handle = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(Thread { handle })
}

/// Starts a thread with an executor of its own and runs there what `make` gives.
///
/// # Errors
/// When the operating system refuses the thread.
pub fn spawn_executor<M, F>(name: &str, make: M) -> io::Result<Thread<io::Result<F::Output>>>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
{
    spawn(name, move || {
        let executor = Executor::local()?;
        Ok(executor.block_on(make()))
    })
}

impl<T> Thread<T> {
    /// Waits for the thread's end; blocks the caller.
    ///
    /// # Panics
    /// When the thread panicked: its panic goes on here.
    pub fn join(self) -> T {
        match self.handle.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

/// Lets the calling thread rest, which must not be one that tasks run on.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Processors that this process may use.
#[must_use]
pub fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
