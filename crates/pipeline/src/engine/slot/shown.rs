//! What a slot shows of itself: plain data, taken at commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Slot;
use crate::engine::task::Task;
use crate::engine::view::{InputView, SlotView};

/// The stage of each task id of a slot.
pub(super) fn stages_of(tasks: &[Task]) -> Arc<BTreeMap<String, usize>> {
    let nodes = tasks.iter().flat_map(|task| {
        let nodes = task.code.chain.nodes.iter();
        nodes.map(|node| (node.id.clone(), task.stage))
    });
    Arc::new(nodes.collect())
}

impl Slot {
    /// Shows others how things stand.
    pub(super) fn publish(&self) {
        let mut view = SlotView {
            committed_ms: Some(self.clock.unix_ms()),
            latency: self.latency.clone(),
            load: Some(Arc::clone(&self.load)),
            stage_of: Arc::clone(&self.stage_of),
            taps: Some(Arc::clone(&self.taps.taps)),
            ..SlotView::default()
        };
        for task in &self.tasks {
            view.open_windows += task.open_windows();
            view.state_bytes += task.state_bytes();
            if task.state.parking.is_busy() {
                view.busy.insert(task.stage);
            }
            for (node, counters) in task.code.chain.nodes.iter().zip(&task.totals) {
                let shown = view.tasks.entry(node.id.clone()).or_default();
                shown.add(counters);
            }
            for (input, position) in task.code.stage.inputs.iter().zip(&task.positions) {
                if let Some(position) = position {
                    let place = (input.topic.clone(), task.partition);
                    let (committed, time_ms) = (position.committed, position.time_ms);
                    let end = position.end.unwrap_or(committed);
                    view.inputs.insert((task.stage, place), InputView { committed, end, time_ms });
                }
            }
        }
        let mut shown = self.view.lock().expect("no holder of a slot's view panics");
        let bell = shown.bell.clone();
        *shown = SlotView { shown: shown.shown + 1, bell, ..view };
        shown.bell.ring();
    }
}
