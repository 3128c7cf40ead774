//! What others see of the slots that a task manager runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base::cast;
use coordination::seen::{Seen, TaskSeen};

use crate::engine::tap::Tap;
use crate::engine::view::{PipelineView, SlotView};

/// A slot as it is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Looked {
    pub(crate) job: String,
    /// The ids of the first tasks of the job's stages.
    pub(crate) stages: Arc<Vec<String>>,
    /// None before the slot runs.
    pub(crate) view: Option<Arc<Mutex<SlotView>>>,
    pub(crate) restarts: u64,
}

/// The pipelines of a task manager, for those who look on; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Views {
    slots: Arc<Mutex<Vec<Looked>>>,
}

impl Views {
    /// Shows these slots from now on.
    pub(crate) fn show(&self, slots: Vec<Looked>) {
        *self.lock() = slots;
    }

    /// The pipelines at this moment, each with the slots that run here.
    #[must_use]
    pub fn pipelines(&self) -> Vec<PipelineView> {
        let mut pipelines: BTreeMap<String, PipelineView> = BTreeMap::new();
        for slot in self.lock().iter() {
            let fresh = || PipelineView {
                pipeline: slot.job.clone(),
                phase: "running",
                ..PipelineView::default()
            };
            let pipeline = pipelines.entry(slot.job.clone()).or_insert_with(fresh);
            pipeline.restarts += slot.restarts;
            match &slot.view {
                Some(view) => add(pipeline, view, &slot.stages),
                None => pipeline.phase = "starting",
            }
        }
        pipelines.into_values().collect()
    }

    /// Lets the slots of a pipeline know of a tap; how many run here.
    #[must_use]
    pub fn tap(&self, pipeline: &str, tap: &Arc<Tap>) -> usize {
        let slots = self.lock();
        let views =
            slots.iter().filter(|slot| slot.job == pipeline).filter_map(|it| it.view.as_ref());
        let view = |slot: &Mutex<SlotView>| {
            slot.lock().expect("no holder of a slot's view panics").tap(tap)
        };
        views.filter(|slot| view(slot)).count()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Looked>> {
        self.slots.lock().expect("no holder of the slots panics")
    }
}

fn add(pipeline: &mut PipelineView, view: &Mutex<SlotView>, stages: &[String]) {
    pipeline.add_slot(&view.lock().expect("no holder of a slot's view panics"), stages);
}

/// What the beats say of a slot beside its phase.
pub(crate) fn seen(looked: &Looked) -> Option<Seen> {
    let mut pipeline = PipelineView::default();
    let slot = looked.view.as_ref()?.lock().expect("no holder of a slot's view panics");
    pipeline.add_figures(&slot, &looked.stages);
    drop(slot);
    let tasks = pipeline.tasks.iter().map(|(id, task)| {
        let load = pipeline.loads.get(id).copied().unwrap_or_default();
        TaskSeen {
            task: id.clone(),
            stage: pipeline.stage_of.get(id).cloned().unwrap_or_default(),
            records_in: task.records_in,
            records_out: task.records_out,
            late: task.late,
            skipped: task.skipped,
            parked: task.parked,
            busy_permille: permille(load.busy),
            backpressured_permille: permille(load.backpressured),
        }
    });
    Some(Seen {
        tasks: tasks.collect(),
        lags: pipeline.lags.into_iter().collect(),
        committed_ms: pipeline.committed_ms,
        behind_ms: pipeline.behind_ms,
        commits: pipeline.commits.completed(),
        aborted: pipeline.commits.aborted,
        commits_us: pipeline.commits.sum_us,
        restarts: looked.restarts,
    })
}

/// A share between 0 and 1 in thousandths.
fn permille(share: f64) -> u16 {
    u16::try_from(cast::u64_of_f64(share * 1_000.0)).unwrap_or(1_000).min(1_000)
}
