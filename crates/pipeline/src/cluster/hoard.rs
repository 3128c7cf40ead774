//! Of which tasks the state lies at this node, told as tasks and not as topics.

use std::collections::BTreeMap;

use coordination::beat::Kept as KeptTasks;
use coordination::catalogue::{Catalogue, Job, TaskId};
use coordination::limits::BEAT_KEPT_MAX;

use super::prepare;
use crate::engine::snapshot::kept::Kept;

/// What was made of the catalogue, so that it is not made at each turn.
#[derive(Debug, Default)]
pub(super) struct Hoard {
    /// The changelogs of each stage, by job; of this revision.
    changelogs: BTreeMap<String, (u64, Vec<Vec<String>>)>,
    /// How much of the catalogue was read, and how many places there were, when it was told last.
    told: Option<(u64, usize)>,
}

impl Hoard {
    /// The tasks whose state lies here, when something has changed since it was told last.
    pub(super) fn told(
        &mut self,
        (catalogue, learnt): (&Catalogue, u64),
        kept: &Kept,
    ) -> Option<Vec<KeptTasks>> {
        let now = Some((learnt, kept.count()));
        if std::mem::replace(&mut self.told, now) == now {
            return None;
        }
        self.changelogs.retain(|name, _| catalogue.jobs.contains_key(name));
        for job in catalogue.jobs.values() {
            let known = self.changelogs.get(&job.name);
            if known.is_none_or(|(revision, _)| *revision != job.revision) {
                self.changelogs.insert(job.name.clone(), (job.revision, changelogs(job)));
            }
        }
        let mut left = BEAT_KEPT_MAX;
        let of = |job: &Job| {
            let (_, stages) = self.changelogs.get(&job.name)?;
            let is_here = |task: &TaskId| {
                let of_stage = stages.get(base::cast::usize_of_u32(task.stage));
                let here = |changelogs: &Vec<String>| {
                    let mut all = changelogs.iter();
                    !changelogs.is_empty() && all.all(|it| kept.has(it, task.partition))
                };
                of_stage.is_some_and(here)
            };
            let tasks: Vec<TaskId> = job.tasks().filter(is_here).take(left).collect();
            left -= tasks.len();
            (!tasks.is_empty()).then(|| KeptTasks { job: job.name.clone(), tasks })
        };
        Some(catalogue.jobs.values().filter_map(of).collect())
    }
}

/// The changelogs of each stage of a job; none where its files cannot be read here.
fn changelogs(job: &Job) -> Vec<Vec<String>> {
    let Ok(plan) = prepare::read(&job.files, &job.variables) else { return Vec::new() };
    let of = |stage: &topology::plan::Stage| {
        stage.stores.iter().map(|store| store.changelog.clone()).collect()
    };
    plan.stages.iter().map(of).collect()
}
