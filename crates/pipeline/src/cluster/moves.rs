//! How a slot that runs follows its grant: what leaves is let go first, then what comes is taken
//! on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::catalogue::{Grant, Job, TaskId};
use runtime::channel::{self, Reply, Sender, WatchReceiver};
use runtime::timer;
use topology::plan::Plan;

use super::slot_host::{Place, Shown, host, lock, tell_restored};
use crate::engine::EngineError;
use crate::engine::host::Begun;
use crate::engine::restore::Progress;
use crate::engine::room::Room;
use crate::engine::slot::Order;
use crate::engine::standby::Own;
use crate::limits::DRAIN_LOOK_MS;

/// The tasks of a grant.
pub(super) fn own(grant: &Grant) -> BTreeSet<Own> {
    grant.tasks.iter().map(own_of).collect()
}

/// A task of the catalogue, as the engine names it.
pub(super) fn own_of(task: &TaskId) -> Own {
    (base::cast::usize_of_u32(task.stage), task.partition)
}

/// A task of the engine, as the catalogue names it.
pub(super) fn task_id((stage, partition): Own) -> TaskId {
    TaskId { stage: u32::try_from(stage).unwrap_or(u32::MAX), partition }
}

/// A slot's changes of tasks.
pub(super) struct Moves<'a> {
    pub(super) place: &'a Place,
    pub(super) job: &'a Job,
    pub(super) plan: &'a Plan,
    pub(super) room: &'a Room,
    pub(super) orders: Sender<Order>,
    pub(super) shared: &'a Mutex<Shown>,
    /// The grant as it is now.
    pub(super) wanted: WatchReceiver<Grant>,
}

impl Moves<'_> {
    /// Follows the grant for as long as the slot runs; gives what went wrong.
    ///
    /// What a slot lets go it answers for when it is committed; an answer that does not come means
    /// that its transaction was undone, and it is asked again.
    pub(super) async fn follow(mut self, mut held: BTreeSet<Own>) -> EngineError {
        loop {
            let grant = self.wanted.borrow_and_update().clone();
            let own = own(&grant);
            let leaving: BTreeSet<Own> = held.difference(&own).copied().collect();
            if !leaving.is_empty() {
                let tasks = leaving.clone();
                if !self.order(|reply| Order::LetGo { tasks, reply }).await {
                    continue;
                }
                held.retain(|task| own.contains(task));
                tracing::info!(job = self.job.name, slot = grant.slot, ?leaving, "tasks let go");
            }
            self.show(&held, grant.turn);
            let coming: BTreeSet<Own> = own.difference(&held).copied().collect();
            if !coming.is_empty() {
                let begun = match self.begin(&grant, &coming).await {
                    Ok(begun) => begun,
                    Err(error) => return error,
                };
                if !self.order(|reply| Order::TakeOn { begun, reply }).await {
                    continue;
                }
                tracing::info!(job = self.job.name, slot = grant.slot, ?coming, "tasks taken on");
                held.extend(coming);
                self.show(&held, grant.turn);
            }
            if self.wanted.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Gives an order; tells whether it was carried out.
    async fn order(&self, make: impl FnOnce(Reply<()>) -> Order) -> bool {
        let (reply, answer) = channel::reply();
        let is_sent = self.orders.send(make(reply)).await.is_ok();
        let is_done = is_sent && answer.await.is_ok();
        if !is_done {
            // A slot that has ended is seen to have by whoever runs it.
            timer::sleep(Duration::from_millis(DRAIN_LOOK_MS)).await;
        }
        is_done
    }

    /// Tasks at their positions, with their state; whoever had them has let them go or was fenced.
    async fn begin(&self, grant: &Grant, coming: &BTreeSet<Own>) -> Result<Begun, EngineError> {
        let progress = Arc::new(Progress::default());
        let host = host(self.place, (self.job, self.plan), self.room, &progress);
        let is_coming = |stage, partition| coming.contains(&(stage, partition));
        let mut begun = host.tasks(is_coming).await?;
        begun.tasks = host.restore(std::mem::take(&mut begun.tasks)).await?;
        tell_restored(self.job, grant, &progress);
        Ok(begun)
    }

    fn show(&self, held: &BTreeSet<Own>, turn: u64) {
        let mut shown = lock(self.shared);
        shown.turn = turn;
        shown.tasks = held.iter().copied().map(task_id).collect();
        shown.changed();
    }
}
