//! The thread that compacts logs, beside the flusher, one job after the other.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use commitlog::CleanJob;
use runtime::thread as landlord;
use tracing::warn;

use crate::limits::CLEAN_JOBS_MAX;

/// Takes jobs; the thread starts with the first and ends with this.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    jobs: Mutex<Option<SyncSender<CleanJob>>>,
}

impl Sweeper {
    /// Has a job done. Where no thread can take it, the caller does it: a log that is never
    /// compacted is worse than one that makes others wait.
    pub(crate) fn take(&self, job: CleanJob) {
        let mut jobs = self.jobs.lock().expect("no holder of the sweeper's jobs panics");
        if jobs.is_none() {
            *jobs = start();
        }
        let Some(sender) = jobs.clone() else {
            return job.run();
        };
        drop(jobs);
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) = sender.try_send(job)
        {
            job.run();
        }
    }
}

fn start() -> Option<SyncSender<CleanJob>> {
    let (sender, receiver) = sync_channel(CLEAN_JOBS_MAX);
    match landlord::spawn("cleaner", move || work(&receiver)) {
        Ok(_) => Some(sender),
        Err(error) => {
            warn!(%error, "no thread for compaction");
            None
        }
    }
}

fn work(jobs: &Receiver<CleanJob>) {
    while let Ok(job) = jobs.recv() {
        job.run_paced(&mut landlord::pause);
    }
}
