//! Threads that stand by for work that blocks and comes in pieces, such as flushing many files.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::thread::{self, Thread};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads. A panic in their work ends one of them, and is told when the crew
/// is dropped, which waits for all that was handed over.
#[derive(Debug)]
pub struct Crew {
    shared: Arc<Shared>,
    threads: Vec<Thread<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    board: Mutex<Board>,
    bell: Condvar,
}

#[derive(Default)]
struct Board {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Board({} jobs)", self.jobs.len())
    }
}

impl Crew {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system refuses one.
    pub fn new(name: &str, count: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let start = |_| {
            let shared = Arc::clone(&shared);
            thread::spawn(name, move || shared.work())
        };
        let threads = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { shared, threads })
    }

    /// Hands over work; one of the threads does it as soon as it is free.
    pub fn put(&self, work: impl FnOnce() + Send + 'static) {
        self.shared.board().jobs.push_back(Box::new(work));
        self.shared.bell.notify_one();
    }

    /// Does on the calling thread what no other has begun.
    pub fn help(&self) {
        while let Some(work) = self.shared.take() {
            work();
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.board().is_closed = true;
        self.shared.bell.notify_all();
        for thread in self.threads.drain(..) {
            thread.join();
        }
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().expect("no holder of the board panics")
    }

    fn take(&self) -> Option<Job> {
        self.board().jobs.pop_front()
    }

    fn work(&self) {
        let mut board = self.board();
        loop {
            if let Some(job) = board.jobs.pop_front() {
                drop(board);
                job();
                board = self.board();
            } else if board.is_closed {
                return;
            } else {
                board = self.bell.wait(board).expect("no holder of the board panics");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn work_is_done_at_the_same_time() {
        // Each piece waits for the other: one thread alone would never come to an end.
        let crew = Crew::new("crew", 2).unwrap();
        let barrier = Arc::new(Barrier::new(2));
        for _ in 0..2 {
            let barrier = Arc::clone(&barrier);
            crew.put(move || {
                barrier.wait();
            });
        }
        drop(crew);
    }

    #[test]
    fn whoever_waits_can_help() {
        let crew = Crew::new("crew", 0).unwrap();
        let (sender, receiver) = std::sync::mpsc::sync_channel(3);
        for at in 0..3 {
            let sender = sender.clone();
            crew.put(move || sender.send(at).unwrap());
        }
        crew.help();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn all_that_was_handed_over_is_done_before_the_end() {
        let crew = Crew::new("crew", 3).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let done = Arc::clone(&done);
            crew.put(move || {
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        drop(crew);
        assert_eq!(done.load(Ordering::SeqCst), 50);
    }
}
