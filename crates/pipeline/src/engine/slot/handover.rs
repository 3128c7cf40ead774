//! Tasks that leave a slot and come to it while it runs.
//!
//! What leaves is committed first, and nothing of it is left here when the answer goes out: from
//! then on another slot may read its positions and its state. What comes has been restored
//! beforehand, while the slot went on with its other tasks.

use std::collections::BTreeSet;

use super::{Slot, Trouble, shown};
use crate::engine::host::Begun;
use crate::engine::task::{Routes, Task};
use crate::engine::writer::Handles;

/// Where the records of each input partition go.
pub(super) fn routes(tasks: &[Task]) -> Routes {
    let mut routes = Routes::new();
    for (index, task) in tasks.iter().enumerate() {
        for (input, reading) in task.code.stage.inputs.iter().enumerate() {
            if task.positions.get(input).copied().flatten().is_some() {
                routes.insert((reading.topic.clone(), task.partition), (index, input));
            }
        }
    }
    routes
}

impl Slot {
    /// Commits, and lets these tasks go.
    pub(super) async fn let_go(&mut self, leaving: &BTreeSet<(usize, i32)>) -> Result<(), Trouble> {
        self.commit().await?;
        let tasks = std::mem::take(&mut self.tasks);
        let handles = std::mem::take(&mut self.handles);
        for (mut task, handles) in tasks.into_iter().zip(handles) {
            if leaving.contains(&(task.stage, task.partition)) {
                self.stop_reading(&task);
                task.write_state();
            } else {
                self.tasks.push(task);
                self.handles.push(handles);
            }
        }
        self.routes = routes(&self.tasks);
        self.stage_of = shown::stages_of(&self.tasks);
        // Whoever has the task next meets the record that failed.
        let routes = &self.routes;
        self.failure.take_if(|it| !routes.contains_key(&(it.topic.clone(), it.partition)));
        self.publish();
        self.hold_state()
    }

    fn stop_reading(&mut self, task: &Task) {
        for input in &task.code.stage.inputs {
            self.consumer.remove(&input.topic, task.partition);
        }
        if let Some(parking) = &task.code.stage.parking {
            self.consumer.remove(&parking.orders, task.partition);
        }
    }

    /// Runs these tasks from now on too.
    pub(super) async fn take_on(&mut self, mut begun: Begun) -> Result<(), Trouble> {
        if begun.has_chosen() {
            self.commit().await?;
            self.begin()?;
            begun.send_chosen(&mut self.writer)?;
            self.writer.commit().await?;
            self.open = None;
        }
        let mut handles = Vec::new();
        for task in &begun.tasks {
            handles.push(Handles::of(task, &mut self.writer).await?);
        }
        let now_ms = self.clock.steady_ms();
        for task in &mut begun.tasks {
            task.listen(now_ms);
            self.start_reading(task)?;
        }
        self.tasks.append(&mut begun.tasks);
        self.handles.append(&mut handles);
        self.routes = routes(&self.tasks);
        self.stage_of = shown::stages_of(&self.tasks);
        self.taps.look_again();
        // Letters that wait for the newcomers may lie before those that are being read.
        self.parked.reread();
        self.publish();
        self.hold_state()
    }

    fn start_reading(&mut self, task: &Task) -> Result<(), Trouble> {
        for (input, position) in task.code.stage.inputs.iter().zip(&task.positions) {
            if let Some(position) = position {
                self.consumer.add(&input.topic, task.partition, position.next);
                if self.parked.holds_input() {
                    self.consumer.pause(&input.topic, task.partition)?;
                }
            }
        }
        if let Some(parking) = &task.code.stage.parking {
            self.consumer.add(&parking.orders, task.partition, task.state.parking.orders.next);
        }
        Ok(())
    }
}
