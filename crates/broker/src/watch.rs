//! Long polls: who waits for a partition to grow, and who tells them.
//!
//! A reader registers first and looks second; the flusher publishes first and tells second. So
//! whatever the order, either the reader sees the new end or it is told: no wake-up is missed and
//! nobody polls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use commitlog::{CleanJob, FlushJob, LogEvents, LogId};
use runtime::channel::Notify;
use runtime::crew::Crew;
use tracing::error;

use crate::sweeper::Sweeper;

/// One waiting request; remembers a wake-up that comes before it waits.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    notify: Notify,
}

impl Waiter {
    /// Waits for the next wake-up.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

/// Those who wait for one partition.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    waiters: Mutex<Vec<Arc<Waiter>>>,
    is_closed: AtomicBool,
}

impl Watch {
    /// Whether the partition has been removed.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Registers a waiter until the registration is dropped.
    pub(crate) fn register(self: &Arc<Self>, waiter: &Arc<Waiter>) -> Registration {
        self.list().push(Arc::clone(waiter));
        Registration { watch: Arc::clone(self), waiter: Arc::clone(waiter) }
    }

    /// Wakes all who wait.
    pub(crate) fn wake(&self) {
        for waiter in self.list().iter() {
            waiter.notify.notify_one();
        }
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Waiter>>> {
        self.waiters.lock().expect("no holder of the watch list panics")
    }
}

/// A waiter's place in a watch list.
#[derive(Debug)]
pub(crate) struct Registration {
    watch: Arc<Watch>,
    waiter: Arc<Waiter>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut list = self.watch.list();
        if let Some(at) = list.iter().position(|waiter| Arc::ptr_eq(waiter, &self.waiter)) {
            list.swap_remove(at);
        }
    }
}

/// The watch lists of all logs, told by the flusher, and the threads that work for it.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    by_log: RwLock<Vec<Option<Arc<Watch>>>>,
    sweeper: Sweeper,
    crew: Option<Crew>,
}

impl Watches {
    /// No lists yet; files are flushed by this crew.
    pub(crate) fn new(crew: Crew) -> Self {
        Self { crew: Some(crew), ..Self::default() }
    }

    /// The watch list of a log; made when first asked for.
    pub(crate) fn of(&self, id: LogId) -> Arc<Watch> {
        let at = base::cast::usize_of_u32(id.0);
        let mut all = self.by_log.write().expect("no holder of the watch lists panics");
        if all.len() <= at {
            all.resize(at + 1, None);
        }
        Arc::clone(all[at].get_or_insert_default())
    }

    /// Forgets a log that is gone; those who wait for it are woken once more.
    pub(crate) fn forget(&self, id: LogId) {
        let at = base::cast::usize_of_u32(id.0);
        let mut all = self.by_log.write().expect("no holder of the watch lists panics");
        let gone = all.get_mut(at).and_then(Option::take);
        drop(all);
        if let Some(watch) = gone {
            watch.is_closed.store(true, Ordering::SeqCst);
            watch.wake();
        }
    }
}

impl LogEvents for Watches {
    fn failed(&self, name: &str, error: &commitlog::Error) {
        error!(log = name, %error, "log failed");
    }

    fn flush(&self, jobs: Vec<FlushJob>) {
        for mut job in jobs {
            match &self.crew {
                Some(crew) => crew.put(move || job.run()),
                None => job.run(),
            }
        }
    }

    fn help_flush(&self) {
        if let Some(crew) = &self.crew {
            crew.help();
        }
    }

    fn clean(&self, job: CleanJob) {
        self.sweeper.take(job);
    }

    fn advanced(&self, id: LogId, _high_watermark: i64, _last_stable_offset: i64) {
        let all = self.by_log.read().expect("no holder of the watch lists panics");
        if let Some(Some(watch)) = all.get(base::cast::usize_of_u32(id.0)) {
            watch.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        runtime::boot::Executor::local().unwrap().block_on(future)
    }

    #[test]
    fn a_wake_up_before_the_wait_is_not_missed() {
        let watches = Watches::default();
        let waiter = Arc::new(Waiter::default());
        let _registration = watches.of(LogId(3)).register(&waiter);
        watches.advanced(LogId(3), 1, 1);
        block_on(waiter.woken());
    }

    #[test]
    fn a_dropped_registration_leaves_nothing_behind() {
        let watch = Arc::new(Watch::default());
        let waiters: Vec<_> = (0..3).map(|_| Arc::new(Waiter::default())).collect();
        let registrations: Vec<_> = waiters.iter().map(|one| watch.register(one)).collect();
        assert_eq!(watch.list().len(), 3);
        drop(registrations);
        assert_eq!(watch.list().len(), 0);
    }

    #[test]
    fn removing_a_log_wakes_those_who_wait_for_it() {
        let watches = Watches::default();
        let waiter = Arc::new(Waiter::default());
        let _registration = watches.of(LogId(0)).register(&waiter);
        watches.forget(LogId(0));
        block_on(waiter.woken());
        watches.advanced(LogId(0), 1, 1);
    }
}
