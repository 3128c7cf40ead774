//! The way into the flusher: bounded by commands and by bytes, and never blocking.
//!
//! Waking the flusher's thread for a small append, and being woken by it, can cost more than the
//! append. So whoever puts in something small may offer to work the queue off itself: then the
//! bell stays silent, and [`Queue::lend`] must follow.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use crate::command::Command;
use crate::error::QueueRefusal;
use crate::flush::Landed;
use crate::flusher::{Flusher, Turn};
use crate::limits::{LEND_BYTES_MAX, LEND_COMMANDS_MAX, QUEUE_BYTES_MAX, QUEUE_COMMANDS_MAX};

/// Hands commands to the flusher; clones share one queue. The flusher ends when all are gone.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    /// Rung for whoever waits for a flush to end.
    landing: Condvar,
    handles: AtomicUsize,
    /// Whoever holds it is the one writer of all logs; `None` before the start and after the end.
    flusher: Mutex<Option<Flusher>>,
}

/// What is to be done after something was put into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// Nothing: the flusher takes it.
    Rung,
    /// [`Queue::lend`] must be called soon, from any thread that may block for a moment.
    Silent,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: VecDeque<Command>,
    bytes: usize,
    /// Flushes that have ended, for the flusher to answer.
    landed: Vec<Landed>,
    is_landing_awaited: bool,
    closed: bool,
    // Ringing the bell is a system call, so it is rung only for a sleeper.
    asleep: bool,
    // Whether threads are borrowed at present.
    may_lend: bool,
}

impl Waiting {
    fn has_only_appends(&self) -> bool {
        self.commands.iter().all(|command| matches!(command, Command::Append { .. }))
    }
}

/// What the flusher finds when it looks.
#[derive(Debug)]
pub(crate) enum Look {
    /// These commands, oldest first, and these flushes that have ended; perhaps none yet.
    Work { commands: VecDeque<Command>, landed: Vec<Landed> },
    /// All handles are gone and nothing is left.
    Abandoned,
}

impl Queue {
    pub(crate) fn new() -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting::default()),
            bell: Condvar::new(),
            landing: Condvar::new(),
            handles: AtomicUsize::new(1),
            flusher: Mutex::new(None),
        });
        (Self { shared: Arc::clone(&shared) }, shared)
    }

    /// Hands a command over.
    ///
    /// # Errors
    /// The command is dropped, with the answer it carries, when too much is waiting or the
    /// flusher has ended.
    pub fn try_submit(&self, command: Command) -> Result<(), QueueRefusal> {
        let (waiting, bytes) = self.room_for(&command)?;
        self.shared.push(waiting, command, bytes);
        Ok(())
    }

    /// Hands a command over, offering a thread to work it off.
    ///
    /// # Errors
    /// As [`Self::try_submit`].
    pub fn try_submit_lending(&self, command: Command) -> Result<Submitted, QueueRefusal> {
        let (mut waiting, bytes) = self.room_for(&command)?;
        let is_small =
            waiting.bytes + bytes <= LEND_BYTES_MAX && waiting.commands.len() < LEND_COMMANDS_MAX;
        if waiting.asleep && waiting.may_lend && is_small {
            waiting.bytes += bytes;
            waiting.commands.push_back(command);
            return Ok(Submitted::Silent);
        }
        self.shared.push(waiting, command, bytes);
        Ok(Submitted::Rung)
    }

    /// Works off what is queued on this thread, or wakes the flusher where that would not do.
    pub fn lend(&self) {
        self.shared.lend();
    }

    /// The queue and the command's size, if there is room for it.
    fn room_for(
        &self,
        command: &Command,
    ) -> Result<(MutexGuard<'_, Waiting>, usize), QueueRefusal> {
        let bytes = command.bytes();
        let waiting = self.shared.lock();
        if waiting.closed {
            return Err(QueueRefusal::Closed);
        }
        // An empty queue takes anything, or a large append could never pass.
        let full = waiting.commands.len() >= QUEUE_COMMANDS_MAX
            || (waiting.bytes > 0 && waiting.bytes + bytes > QUEUE_BYTES_MAX);
        if full {
            return Err(QueueRefusal::Full);
        }
        Ok((waiting, bytes))
    }

    /// Bytes of batches that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.lock().bytes
    }
}

impl Clone for Queue {
    fn clone(&self) -> Self {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            let waiting = self.shared.lock();
            drop(waiting);
            self.shared.bell.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no holder of the queue panics")
    }

    fn push(&self, mut waiting: MutexGuard<'_, Waiting>, command: Command, bytes: usize) {
        waiting.bytes += bytes;
        waiting.commands.push_back(command);
        let rings = std::mem::take(&mut waiting.asleep);
        // The lock goes first: whoever is woken would only wait for it again.
        drop(waiting);
        if rings {
            self.bell.notify_one();
        }
    }

    /// Hands over a command of the crate itself, which no limit holds up.
    pub(crate) fn submit_internal(&self, command: Command) {
        let waiting = self.lock();
        if !waiting.closed {
            self.push(waiting, command, 0);
        }
    }

    /// Tells the flusher that a flush has come to its end.
    pub(crate) fn land(&self, landed: Landed) {
        let mut waiting = self.lock();
        waiting.landed.push(landed);
        let rings = std::mem::take(&mut waiting.asleep);
        let is_awaited = std::mem::take(&mut waiting.is_landing_awaited);
        drop(waiting);
        if rings {
            self.bell.notify_one();
        }
        if is_awaited {
            self.landing.notify_one();
        }
    }

    /// The flushes that have ended since the last look.
    pub(crate) fn landed(&self) -> Vec<Landed> {
        std::mem::take(&mut self.lock().landed)
    }

    /// Waits until a flush has ended, of which at least one must be under way.
    pub(crate) fn await_landing(&self) -> Vec<Landed> {
        let mut waiting = self.lock();
        while waiting.landed.is_empty() {
            waiting.is_landing_awaited = true;
            waiting = self.landing.wait(waiting).expect("no holder of the queue panics");
        }
        std::mem::take(&mut waiting.landed)
    }

    /// Whether the store has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Works for the store on this thread until it is closed.
    pub(crate) fn work(&self, flusher: Flusher) {
        *self.flusher() = Some(flusher);
        self.set_may_lend(true);
        let mut turn = Turn::Idle;
        while turn != Turn::Closed {
            let wait = self.flusher().as_ref().map_or(Duration::ZERO, Flusher::wait);
            self.sleep(wait);
            turn = self.turn(Flusher::turn);
        }
    }

    /// A round on the calling thread; the end of the store when there is no flusher any more.
    fn turn(&self, round: impl FnOnce(&mut Flusher) -> Turn) -> Turn {
        let mut place = self.flusher();
        let turn = place.as_mut().map_or(Turn::Closed, round);
        if turn == Turn::Closed {
            // It holds this queue, which would otherwise keep itself alive.
            *place = None;
        }
        turn
    }

    /// A round on a borrowed thread, unless somebody else is at work: that round may have begun
    /// before the last command came, so the flusher looks again.
    fn lend(&self) {
        if !self.lock().has_only_appends() {
            // Opening, cutting and removing logs takes longer than anybody may be held up.
            return self.ring();
        }
        let at_work = match self.flusher.try_lock() {
            Ok(mut place) => {
                let Some(flusher) = place.as_mut() else { return };
                let turn = flusher.lent_turn();
                // What waits for a later flush, and the end, are the thread's business.
                turn != Turn::Closed && !flusher.has_lingering()
            }
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => panic!("no holder of the flusher panics"),
        };
        if !at_work {
            self.ring();
        }
    }

    fn ring(&self) {
        let rings = std::mem::take(&mut self.lock().asleep);
        if rings {
            self.bell.notify_one();
        }
    }

    /// Whether threads are borrowed from now on.
    pub(crate) fn set_may_lend(&self, may_lend: bool) {
        self.lock().may_lend = may_lend;
    }

    fn flusher(&self) -> MutexGuard<'_, Option<Flusher>> {
        self.flusher.lock().expect("no holder of the flusher panics")
    }

    /// Sleeps up to `wait` while there is nothing to do.
    fn sleep(&self, wait: Duration) {
        let mut waiting = self.lock();
        let is_idle = waiting.commands.is_empty() && waiting.landed.is_empty();
        if is_idle && !wait.is_zero() && !self.is_abandoned() {
            waiting.asleep = true;
            let woken = self.bell.wait_timeout(waiting, wait);
            waiting = woken.expect("no holder of the queue panics").0;
            waiting.asleep = false;
        }
        drop(waiting);
    }

    /// Takes all that waits.
    pub(crate) fn take(&self) -> Look {
        let mut waiting = self.lock();
        if waiting.commands.is_empty() && self.is_abandoned() {
            return Look::Abandoned;
        }
        waiting.bytes = 0;
        let commands = std::mem::take(&mut waiting.commands);
        Look::Work { commands, landed: std::mem::take(&mut waiting.landed) }
    }

    /// Refuses everything from now on and gives back what waited.
    pub(crate) fn close(&self) -> VecDeque<Command> {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.bytes = 0;
        std::mem::take(&mut waiting.commands)
    }

    fn is_abandoned(&self) -> bool {
        self.handles.load(Ordering::Acquire) == 0
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::command::{Append, LogId, Origin};

    fn append(bytes: usize) -> Command {
        let batches = Bytes::from(vec![0; bytes]);
        let append = Append { batches, origin: Origin::Client, leader_epoch: 0, durable: true };
        Command::Append { id: LogId(0), append, then: Box::new(|_| {}) }
    }

    #[test]
    fn a_full_queue_refuses_by_bytes_and_by_commands() {
        let (queue, shared) = Queue::new();
        assert_eq!(queue.try_submit(append(QUEUE_BYTES_MAX + 1)), Ok(()));
        assert_eq!(queue.try_submit(append(1)), Err(QueueRefusal::Full));
        assert!(matches!(shared.take(), Look::Work { commands, .. } if commands.len() == 1));
        for _ in 0..QUEUE_COMMANDS_MAX {
            assert_eq!(queue.try_submit(Command::Maintain), Ok(()));
        }
        assert_eq!(queue.try_submit(Command::Maintain), Err(QueueRefusal::Full));
        assert_eq!(queue.queued_bytes(), 0);
    }

    #[test]
    fn a_closed_queue_refuses_and_the_last_handle_ends_it() {
        let (queue, shared) = Queue::new();
        let other = queue.clone();
        drop(queue);
        assert!(matches!(shared.take(), Look::Work { .. }));
        shared.close();
        assert_eq!(other.try_submit(Command::Maintain), Err(QueueRefusal::Closed));
        drop(other);
        assert!(matches!(shared.take(), Look::Abandoned));
    }
}
