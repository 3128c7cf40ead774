//! What a slot spends its time on, for those who look on.
//!
//! The slot says when it turns to something else, once per batch and never per record; readers
//! add up at their own time and hold nobody up. Shares are those of the last five to ten seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use base::cast;
use base::clock::Clock;

/// Microseconds after which the shares forget what was before the last such span.
const SPAN_US: u64 = 5_000_000;

/// Upper bounds of the buckets of commits, in microseconds; the last bucket has none.
pub const COMMIT_BOUNDS_US: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// What a slot does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It waits for input.
    Idle,
    /// It waits for the log to take what it writes.
    Blocked,
    /// It works for all of its tasks.
    Busy,
    /// It works for the tasks of this stage.
    Stage(usize),
}

impl Activity {
    fn index(self) -> usize {
        match self {
            Self::Idle => 0,
            Self::Blocked => 1,
            Self::Busy => 2,
            Self::Stage(stage) => 3 + stage,
        }
    }
}

/// Time spent on one activity, in microseconds: in all, and up to the two last turns of the span.
#[derive(Debug, Default)]
struct Meter {
    total: AtomicU64,
    middle: AtomicU64,
    old: AtomicU64,
}

/// What the slot writes and everybody reads.
#[derive(Debug)]
pub(crate) struct Load {
    clock: Arc<dyn Clock>,
    activity: AtomicUsize,
    since_us: AtomicU64,
    meters: Vec<Meter>,
    middle_us: AtomicU64,
    old_us: AtomicU64,
    commits: Commits,
}

#[derive(Debug, Default)]
struct Commits {
    aborted: AtomicU64,
    sum_us: AtomicU64,
    buckets: [AtomicU64; COMMIT_BOUNDS_US.len() + 1],
}

impl Load {
    /// Of a slot that runs tasks of stages below this number, and begins idle.
    pub(crate) fn new(clock: Arc<dyn Clock>, stages: usize) -> Arc<Self> {
        let now_us = clock.steady_us();
        let meters = (0..Activity::Stage(stages).index()).map(|_| Meter::default()).collect();
        Arc::new(Self {
            clock,
            activity: AtomicUsize::new(Activity::Idle.index()),
            since_us: AtomicU64::new(now_us),
            meters,
            middle_us: AtomicU64::new(now_us),
            old_us: AtomicU64::new(now_us),
            commits: Commits::default(),
        })
    }

    /// The slot turns to something; only the slot itself says so.
    pub(crate) fn enter(&self, activity: Activity) {
        let now_us = self.clock.steady_us();
        let since_us = self.since_us.swap(now_us, Ordering::Relaxed);
        let before = self.activity.swap(activity.index(), Ordering::Relaxed);
        if let Some(meter) = self.meters.get(before) {
            meter.total.fetch_add(now_us.saturating_sub(since_us), Ordering::Relaxed);
        }
        if now_us.saturating_sub(self.middle_us.load(Ordering::Relaxed)) < SPAN_US {
            return;
        }
        for meter in &self.meters {
            let middle = meter.middle.load(Ordering::Relaxed);
            meter.old.store(middle, Ordering::Relaxed);
            meter.middle.store(meter.total.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.old_us.store(self.middle_us.load(Ordering::Relaxed), Ordering::Relaxed);
        self.middle_us.store(now_us, Ordering::Relaxed);
    }

    /// A transaction was committed, which took this long.
    pub(crate) fn committed(&self, took_us: u64) {
        let at = COMMIT_BOUNDS_US.iter().position(|bound| took_us <= *bound);
        let bucket = &self.commits.buckets[at.unwrap_or(COMMIT_BOUNDS_US.len())];
        bucket.fetch_add(1, Ordering::Relaxed);
        self.commits.sum_us.fetch_add(took_us, Ordering::Relaxed);
    }

    /// A transaction was given up.
    pub(crate) fn aborted(&self) {
        self.commits.aborted.fetch_add(1, Ordering::Relaxed);
    }

    /// The shares at this moment.
    pub(crate) fn shares(&self) -> Shares {
        let now_us = self.clock.steady_us();
        let span_us = now_us.saturating_sub(self.old_us.load(Ordering::Relaxed));
        let running = self.activity.load(Ordering::Relaxed);
        let running_us = now_us.saturating_sub(self.since_us.load(Ordering::Relaxed));
        // A slot that has long been at one thing has not turned its meters meanwhile.
        let is_long = running_us >= 2 * SPAN_US;
        let share = |(at, meter): (usize, &Meter)| {
            if is_long {
                return if at == running { 1.0 } else { 0.0 };
            }
            let total = meter.total.load(Ordering::Relaxed);
            let extra = if at == running { running_us } else { 0 };
            let spent = (total + extra).saturating_sub(meter.old.load(Ordering::Relaxed));
            // Readers may see the parts of a turn one by one.
            cast::f64_of(spent.min(span_us)) / cast::f64_of(span_us.max(1))
        };
        let all: Vec<f64> = self.meters.iter().enumerate().map(share).collect();
        let stages = all.get(Activity::Stage(0).index()..).unwrap_or_default().to_vec();
        Shares { blocked: all[Activity::Blocked.index()], stages }
    }

    /// What has been committed since the slot began.
    pub(crate) fn commits(&self) -> CommitsView {
        let buckets = self.commits.buckets.iter();
        let buckets = buckets.map(|count| count.load(Ordering::Relaxed)).collect();
        let aborted = self.commits.aborted.load(Ordering::Relaxed);
        CommitsView { aborted, sum_us: self.commits.sum_us.load(Ordering::Relaxed), buckets }
    }
}

/// Shares of a slot's time, each between 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shares {
    /// Waiting for the log to take what is written.
    pub(crate) blocked: f64,
    /// Work for each stage.
    pub(crate) stages: Vec<f64>,
}

/// How a task's slots have spent the last five to ten seconds: shares between 0 and 1, the mean
/// of the slots that run it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LoadView {
    /// Working on records of the task's stage; tasks of one stage run in one call and share it.
    pub busy: f64,
    /// Waiting for the log to take what was written: this task is held up by the log.
    pub backpressured: f64,
    /// Neither: waiting for input, or for other stages of the slot.
    pub idle: f64,
    /// Slots that run it.
    pub slots: u32,
}

impl LoadView {
    /// Adds a slot with these shares.
    pub(crate) fn add(&mut self, busy: f64, backpressured: f64) {
        let before = f64::from(self.slots);
        self.slots += 1;
        let mean = |old: f64, new: f64| (old * before + new) / f64::from(self.slots);
        self.busy = mean(self.busy, busy);
        self.backpressured = mean(self.backpressured, backpressured);
        self.idle = (1.0 - self.busy - self.backpressured).max(0.0);
    }
}

/// Commits of a pipeline's slots since they began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitsView {
    /// Transactions that were given up.
    pub aborted: u64,
    /// What all commits took together, in microseconds.
    pub sum_us: u64,
    /// Commits by what they took: one bucket for each of [`COMMIT_BOUNDS_US`] and one for longer
    /// ones.
    pub buckets: Vec<u64>,
}

impl CommitsView {
    /// Commits.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.aborted += other.aborted;
        self.sum_us += other.sum_us;
        self.buckets.resize(self.buckets.len().max(other.buckets.len()), 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, more)| *own += more);
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;

    use super::*;

    fn load() -> (Arc<ManualClock>, Arc<Load>) {
        let clock = Arc::new(ManualClock::at(0));
        let load = Load::new(Arc::clone(&clock) as Arc<dyn Clock>, 2);
        (clock, load)
    }

    fn spend(clock: &ManualClock, load: &Load, activity: Activity, ms: u64) {
        load.enter(activity);
        clock.advance_ms(ms);
    }

    #[test]
    fn shares_are_those_of_what_was_done() {
        let (clock, load) = load();
        for (activity, ms) in
            [(Activity::Stage(1), 250), (Activity::Blocked, 250), (Activity::Idle, 500)]
        {
            spend(&clock, &load, activity, ms);
        }
        // What goes on counts, though nothing was said since.
        assert_eq!(load.shares(), Shares { blocked: 0.25, stages: vec![0.0, 0.25] });
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let (clock, load) = load();
        spend(&clock, &load, Activity::Stage(0), 10_000);
        for _ in 0..200 {
            spend(&clock, &load, Activity::Idle, 100);
        }
        assert_eq!(load.shares(), Shares { blocked: 0.0, stages: vec![0.0, 0.0] });
    }

    #[test]
    fn slots_are_averaged_and_the_rest_is_idle() {
        let mut view = LoadView::default();
        view.add(0.5, 0.25);
        view.add(0.0, 0.25);
        assert_eq!(view, LoadView { busy: 0.25, backpressured: 0.25, idle: 0.5, slots: 2 });
    }

    #[test]
    fn commits_fall_into_their_buckets() {
        let (_, load) = load();
        for took_us in [1, 1_000, 1_001, 60_000_000] {
            load.committed(took_us);
        }
        load.aborted();
        let mut view = CommitsView::default();
        view.merge(&load.commits());
        view.merge(&load.commits());
        assert_eq!((view.completed(), view.aborted), (8, 2));
        assert_eq!((view.buckets[0], view.buckets[1], view.buckets[13]), (4, 2, 2));
    }
}
