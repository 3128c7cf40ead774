//! Threads that stand by for work that blocks and comes in pieces, such as flushing many files.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::thread::{self, Thread};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads; whoever brings work takes part in it.
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

/// Counts the pieces of one call that have not come back.
#[derive(Debug, Default)]
struct Latch {
    left: Mutex<usize>,
    bell: Condvar,
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

    /// Does `work` to each piece, several at the same time, and gives them back in their order.
    /// The calling thread takes part, and blocks until all are done.
    ///
    /// # Panics
    /// When `work` panicked on this thread; a panic on another ends that thread and is told when
    /// the crew is dropped.
    pub fn each<T: Send + 'static>(&self, pieces: Vec<T>, work: fn(&mut T)) -> Vec<T> {
        let count = pieces.len();
        let done: Arc<Mutex<Vec<Option<T>>>> =
            Arc::new(Mutex::new(std::iter::repeat_with(|| None).take(count).collect()));
        let latch = Arc::new(Latch { left: Mutex::new(count), bell: Condvar::new() });
        let jobs = pieces.into_iter().enumerate().map(|(at, mut piece)| {
            let (done, latch) = (Arc::clone(&done), Arc::clone(&latch));
            let job: Job = Box::new(move || {
                let _counted = Counted(&latch);
                work(&mut piece);
                done.lock().expect("no holder of the results panics")[at] = Some(piece);
            });
            job
        });
        self.shared.put(jobs.collect(), self.threads.len());
        while let Some(job) = self.shared.take() {
            job();
        }
        latch.wait();
        let mut done = done.lock().expect("no holder of the results panics");
        let all = std::mem::take(&mut *done).into_iter();
        all.map(|piece| piece.expect("the work on another thread did not panic")).collect()
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

    fn put(&self, jobs: VecDeque<Job>, threads: usize) {
        // The caller takes one itself.
        let wakes = jobs.len().saturating_sub(1).min(threads);
        self.board().jobs.extend(jobs);
        for _ in 0..wakes {
            self.bell.notify_one();
        }
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

impl Latch {
    fn wait(&self) {
        let left = self.left.lock().expect("no holder of the count panics");
        let none_left = self.bell.wait_while(left, |left| *left > 0);
        drop(none_left.expect("no holder of the count panics"));
    }
}

/// Counts a piece as done, also when its work panics.
struct Counted<'l>(&'l Latch);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let mut left = self.0.left.lock().expect("no holder of the count panics");
        *left -= 1;
        if *left == 0 {
            self.0.bell.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_in_their_order() {
        let crew = Crew::new("crew", 3).unwrap();
        for count in [0, 1, 2, 50] {
            let pieces: Vec<u64> = (0..count).collect();
            let doubled = crew.each(pieces, |piece| *piece *= 2);
            assert_eq!(doubled, (0..count).map(|piece| piece * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn work_is_done_at_the_same_time() {
        // Each piece waits for the other: one thread alone would never come to an end.
        let crew = Crew::new("crew", 1).unwrap();
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let pieces = vec![Arc::clone(&barrier), barrier];
        assert_eq!(
            crew.each(pieces, |barrier| {
                barrier.wait();
            })
            .len(),
            2
        );
    }

    #[test]
    fn a_crew_of_nobody_leaves_the_work_to_the_caller() {
        let crew = Crew::new("crew", 0).unwrap();
        assert_eq!(crew.each(vec![1, 2], |piece| *piece += 1), [2, 3]);
    }
}
