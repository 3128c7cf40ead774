//! Starting the executor.

use std::future::Future;
use std::io;

/// The executor of a process; dropping it stops every task.
#[derive(Debug)]
pub struct Executor {
    inner: tokio::runtime::Runtime,
}

impl Executor {
    /// Starts `threads` worker threads.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn new(threads: usize) -> io::Result<Self> {
        let inner = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("worker")
            .enable_all()
            .build()?;
        Ok(Self { inner })
    }

    /// Starts an executor that runs everything on the calling thread while it waits.
    ///
    /// # Errors
    /// When the operating system refuses its polling descriptor.
    pub fn local() -> io::Result<Self> {
        let inner = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { inner })
    }

    /// Runs a future to its end on the calling thread.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.inner.block_on(future)
    }
}
