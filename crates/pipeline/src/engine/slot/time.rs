//! How time passes in a slot's tasks, and what closes with it.

use super::{Slot, Trouble};

impl Slot {
    /// Lets time pass in every task.
    pub(super) async fn advance_time(&mut self) -> Result<(), Trouble> {
        let now_ms = self.clock.steady_ms();
        for index in 0..self.tasks.len() {
            let task = &self.tasks[index];
            if !task.code.needs_time() && task.code.edges.is_empty() {
                continue;
            }
            // What closing gives must find a transaction open.
            self.begin()?;
            self.with_task(index, |task, outlet, scratch| {
                task.advance_time(now_ms, outlet, scratch)
            })?;
            self.go_on_closing(index).await?;
        }
        if !self.has_work() {
            self.open_is_idle();
        }
        Ok(())
    }

    /// A transaction that holds nothing starts to count its age when it does.
    fn open_is_idle(&mut self) {
        let now_us = self.clock.steady_us();
        if let Some(open) = &mut self.open {
            open.since_us = now_us;
        }
    }

    /// Closes all windows of a stage's tasks, and commits.
    pub(super) async fn close_windows(&mut self, stage: usize) -> Result<(), Trouble> {
        self.begin()?;
        for index in 0..self.tasks.len() {
            if self.tasks[index].stage == stage {
                self.with_task(index, |task, outlet, scratch| {
                    task.close(i64::MAX, outlet, scratch)
                })?;
                self.go_on_closing(index).await?;
            }
        }
        self.commit().await
    }

    /// Closes what a task still has to close. What windows give that close at once has no bound,
    /// what waits has: so it is committed in between, and a start after that goes on here too.
    pub(super) async fn go_on_closing(&mut self, index: usize) -> Result<(), Trouble> {
        while self.tasks[index].is_closing() {
            self.begin()?;
            self.with_task(index, |task, outlet, scratch| task.go_on_closing(outlet, scratch))?;
            if self.tasks[index].is_closing() {
                self.commit().await?;
            }
        }
        Ok(())
    }
}
