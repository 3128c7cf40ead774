//! What task managers are told on topics of their own: the processors that they run from now on.
//!
//! It is for pipelines of the legacy form, whose users know the cluster by it. The leader writes it
//! in the transaction of the assignment, so that one is true when the other is.

use std::collections::{BTreeMap, BTreeSet};

use coordination::catalogue::{Catalogue, Entry, FORMAT, Goal, Grant};
use coordination::sos::{HandOut, Instance};
use topology::plan::Plan;

/// What an entry changes for the task managers of a job, against what has been agreed on before.
/// Within a run whoever goes on with what he has is told nothing; a new run begins everywhere anew.
pub(crate) fn of(entry: &Entry, before: &Catalogue, plan: &Plan) -> Vec<HandOut> {
    let known = before.assignments.get(&plan.pipeline);
    let (next, goes_on): (&[Grant], bool) = match entry {
        Entry::Assignment(it) => (&it.grants, known.is_some_and(|known| known.run == it.run)),
        // The slots go on until they are granted anew, or the job rests.
        Entry::Job(job) if job.goal != Goal::Running => (&[], false),
        Entry::Job(_) | Entry::Leadership(_) => return Vec::new(),
    };
    let had = known.map(|it| by_worker(&it.grants, plan)).unwrap_or_default();
    let has = by_worker(next, plan);
    let concerned: BTreeSet<&String> = had.keys().chain(has.keys()).collect();
    let told = concerned.into_iter().filter(|it| !goes_on || had.get(*it) != has.get(*it));
    let handed = told.map(|worker| HandOut {
        format: FORMAT,
        task_manager: worker.clone(),
        pipeline: plan.pipeline.clone(),
        processors: has.get(worker).cloned().unwrap_or_default(),
    });
    handed.collect()
}

fn by_worker(grants: &[Grant], plan: &Plan) -> BTreeMap<String, Vec<Instance>> {
    let mut all: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
    for grant in grants {
        let of = all.entry(grant.worker.clone()).or_default();
        for task in &grant.tasks {
            let stage = plan.stages.get(base::cast::usize_of_u32(task.stage));
            let operators = stage.into_iter().flat_map(|stage| &stage.operators);
            of.extend(operators.map(|operator| Instance {
                id: operator.task.clone(),
                instance: task.partition,
                thread: grant.slot,
            }));
        }
        of.sort_unstable();
    }
    all
}

#[cfg(test)]
mod tests {
    use coordination::catalogue::{Assignment, Job, TaskId};
    use topology::diagnose::Sources;
    use topology::spec::parse;

    use super::*;

    fn plan() -> Plan {
        let text = "name: p\nparallelism: 2\npipeline:\n  - { id: a, type: forward, to: b }\n  \
                    - { id: b, type: count }\n";
        Plan::of(&parse(&Sources::single("p.yaml", text), &|_| None).spec.unwrap())
    }

    fn job(run: u64, goal: Goal) -> Entry {
        Entry::Job(Job {
            format: FORMAT,
            name: "p".to_owned(),
            revision: run * 10 + u64::from(goal != Goal::Running),
            run,
            goal,
            claim: run,
            applied_ms: 0,
            files: Vec::new(),
            variables: BTreeMap::new(),
            stages: vec![2, 2],
            topics: BTreeMap::new(),
            slots: 4,
            is_transactional: true,
            note: None,
            standby: Vec::new(),
        })
    }

    /// Worker, slot, and tasks as stage and partition.
    type Slot<'a> = (&'a str, u32, &'a [(u32, i32)]);

    fn assignment(run: u64, epoch: u64, slots: &[Slot<'_>]) -> Entry {
        let task =
            |(stage, partition): &(u32, i32)| TaskId { stage: *stage, partition: *partition };
        let grant = |(worker, slot, tasks): &Slot<'_>| Grant {
            worker: (*worker).to_owned(),
            nonce: 1,
            slot: *slot,
            since: epoch,
            turn: epoch,
            identity: None,
            tasks: tasks.iter().map(task).collect(),
            leaving: Vec::new(),
        };
        let grants = slots.iter().map(grant).collect();
        let (job, standby) = ("p".to_owned(), Vec::new());
        let (format, leader_epoch) = (FORMAT, 1);
        Entry::Assignment(Assignment { format, job, run, epoch, leader_epoch, grants, standby })
    }

    fn told(catalogue: &mut Catalogue, entry: Entry) -> Vec<String> {
        let told = of(&entry, catalogue, &plan());
        catalogue.apply(entry);
        let one = |it: &Instance| format!("{}.{}@{}", it.id, it.instance, it.thread);
        let line = |it: &HandOut| {
            let processors: Vec<String> = it.processors.iter().map(one).collect();
            format!("{}: {}", it.task_manager, processors.join(" "))
        };
        told.iter().map(line).collect()
    }

    #[test]
    fn whoever_gets_other_processors_is_told_and_nobody_else() {
        let mut known = Catalogue::default();
        assert!(told(&mut known, job(1, Goal::Running)).is_empty());
        let both: &[Slot<'_>] =
            &[("x", 0, &[(0, 0)]), ("x", 1, &[(1, 0)]), ("y", 0, &[(0, 1)]), ("z", 0, &[(1, 1)])];
        let first = told(&mut known, assignment(1, 1, both));
        assert_eq!(first, ["x: a.0@0 b.0@1", "y: a.1@0", "z: b.1@0"]);
        // One is lost: the thread that takes over has two of them, in turns.
        let left: &[Slot<'_>] =
            &[("x", 0, &[(0, 0)]), ("x", 1, &[(1, 0)]), ("y", 0, &[(0, 1), (1, 1)])];
        let second = told(&mut known, assignment(1, 2, left));
        assert_eq!(second, ["y: a.1@0 b.1@0", "z: "]);
        assert_eq!(told(&mut known, job(1, Goal::Paused)), ["x: ", "y: "]);
        assert!(told(&mut known, job(2, Goal::Running)).is_empty());
        let again = told(&mut known, assignment(2, 3, &left[..1]));
        assert_eq!(again, ["x: a.0@0", "y: "]);
        // A new run begins everywhere anew; who has no part in it any more is told so too.
        told(&mut known, job(3, Goal::Running));
        let third = told(&mut known, assignment(3, 4, &[("y", 0, &[(0, 0)])]));
        assert_eq!(third, ["x: ", "y: a.0@0"]);
    }
}
