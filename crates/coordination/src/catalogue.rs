//! What the cluster has agreed on: who leads, which jobs there are, who runs what.
//!
//! It is the content of `__ms.cluster`, which only the leader writes, in transactions. Records
//! carry numbers that only rise, so that a record that is read late changes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format of the records of the cluster's topics.
pub const FORMAT: u32 = 1;

/// A task of a job: a stage over one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// Number of the stage.
    pub stage: u32,
    /// The partition.
    pub partition: i32,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leadership {
    /// Format of this record.
    pub format: u32,
    /// The protocol between nodes that the leader speaks.
    pub protocol: u32,
    /// The version of its program.
    pub version: String,
    /// The node.
    pub node: String,
    /// Its start.
    pub nonce: u64,
    /// Rises with each leader.
    pub epoch: u64,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
}

/// What is wanted of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// It runs.
    Running,
    /// It rests for a while; positions and state stay.
    Paused,
    /// It has been ended; positions and state stay.
    Stopped,
    /// It cannot go on; the job's note says why.
    Failed,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Format of this record.
    pub format: u32,
    /// Its name.
    pub name: String,
    /// Rises with everything that is done to it.
    pub revision: u64,
    /// Rises when its slots must begin anew: with each file, and with each start after an end.
    pub run: u64,
    /// What is wanted.
    pub goal: Goal,
    /// By this number those who run it elsewhere know that it is run here; new with each run.
    pub claim: u64,
    /// When it was last applied, in milliseconds since 1970.
    pub applied_ms: i64,
    /// Its files, by name.
    pub files: Vec<(String, String)>,
    /// The variables that the files name.
    pub variables: BTreeMap<String, String>,
    /// Count of the tasks of each stage.
    pub stages: Vec<i32>,
    /// Count of the partitions of each of its topics, as of the last apply.
    pub topics: BTreeMap<String, i32>,
    /// Slots that it wants.
    pub slots: u32,
    /// Whether its slots write in transactions.
    pub is_transactional: bool,
    /// Why it failed.
    pub note: Option<String>,
    /// How many copies are wanted of the state of each stage's tasks; empty without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standby: Vec<u32>,
}

impl Job {
    /// All its tasks.
    pub fn tasks(&self) -> impl Iterator<Item = TaskId> {
        let stages = (0_u32..).zip(&self.stages);
        stages.flat_map(|(stage, count)| (0..*count).map(move |it| TaskId { stage, partition: it }))
    }

    /// Its tasks whose state is wanted in copies, and in how many.
    pub fn copied(&self) -> impl Iterator<Item = (TaskId, u32)> {
        let copies = |task: &TaskId| self.standby.get(base::cast::usize_of_u32(task.stage));
        self.tasks().filter_map(move |task| Some((task, *copies(&task)?))).filter(|(_, it)| *it > 0)
    }
}

/// Who runs what of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// Format of this record.
    pub format: u32,
    /// The job.
    pub job: String,
    /// The run of the job that it belongs to.
    pub run: u64,
    /// Rises with each assignment of the job.
    pub epoch: u64,
    /// The leader's.
    pub leader_epoch: u64,
    /// The slots.
    pub grants: Vec<Grant>,
    /// Who keeps copies of the state of tasks that others run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standby: Vec<Standby>,
}

/// Tasks whose state a task manager copies from their changelogs, so that it can go on with them
/// at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// The task manager, whichever its start: a copy is nobody's right to write.
    pub worker: String,
    /// The tasks.
    pub tasks: Vec<TaskId>,
}

/// What a slot may do, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The task manager.
    pub worker: String,
    /// Its start: another one must not use this grant.
    pub nonce: u64,
    /// The slot's number there.
    pub slot: u32,
    /// The epoch of the assignment that granted it; a slot that ended waits for a higher one.
    pub since: u64,
    /// The epoch of the assignment that last changed its tasks; the slot goes on meanwhile.
    #[serde(default)]
    pub turn: u64,
    /// The identity that was issued with it; none without transactions.
    pub identity: Option<Identity>,
    /// The tasks.
    pub tasks: Vec<TaskId>,
    /// Tasks that it may still hold until it says that it has followed this turn.
    #[serde(default)]
    pub leaving: Vec<TaskId>,
}

/// A producer's identity as the leader got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The producer's id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
}

/// The transactional id of a job's slot.
#[must_use]
pub fn transactional_id(job: &str, worker: &str, slot: u32) -> String {
    format!("ms.{job}.{worker}.{slot}")
}

/// A record of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Under the key `leader`.
    Leadership(Leadership),
    /// Under the key `job/<name>`.
    Job(Job),
    /// Under the key `assignment/<name>`.
    Assignment(Assignment),
}

impl Entry {
    /// Key and value.
    #[must_use]
    pub fn encode(&self) -> (String, Vec<u8>) {
        let (key, value) = match self {
            Self::Leadership(leader) => ("leader".to_owned(), serde_json::to_vec(leader)),
            Self::Job(job) => (format!("job/{}", job.name), serde_json::to_vec(job)),
            Self::Assignment(it) => (format!("assignment/{}", it.job), serde_json::to_vec(it)),
        };
        (key, value.expect("a record of the catalogue is plain data"))
    }

    /// Reads a record; nothing for a key that is not known.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn decode(key: &str, value: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        if key == "leader" {
            return serde_json::from_slice(value).map(|it| Some(Self::Leadership(it)));
        }
        match key.split_once('/') {
            Some(("job", _)) => serde_json::from_slice(value).map(|it| Some(Self::Job(it))),
            Some(("assignment", _)) => {
                serde_json::from_slice(value).map(|it| Some(Self::Assignment(it)))
            }
            _ => Ok(None),
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Who leads.
    pub leader: Option<Leadership>,
    /// The jobs by name.
    pub jobs: BTreeMap<String, Job>,
    /// The newest assignment of each job.
    pub assignments: BTreeMap<String, Assignment>,
}

impl Catalogue {
    /// Takes a record, unless a newer one is known.
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Leadership(leader) => {
                if self.leader.as_ref().is_none_or(|known| known.epoch < leader.epoch) {
                    self.leader = Some(leader);
                }
            }
            Entry::Job(job) => {
                let known = self.jobs.get(&job.name);
                if known.is_none_or(|known| known.revision < job.revision) {
                    self.jobs.insert(job.name.clone(), job);
                }
            }
            Entry::Assignment(it) => {
                let known = self.assignments.get(&it.job);
                if known.is_none_or(|known| known.epoch < it.epoch) {
                    self.assignments.insert(it.job.clone(), it);
                }
            }
        }
    }

    /// The grants of one start of a task manager, with their jobs.
    pub fn grants_of(&self, worker: &str, nonce: u64) -> impl Iterator<Item = (&Job, &Grant)> {
        let all = self.assigned().flat_map(|(job, it)| it.grants.iter().map(move |it| (job, it)));
        all.filter(move |(_, grant)| grant.worker == worker && grant.nonce == nonce)
    }

    /// The jobs that run, each with its assignment.
    pub fn assigned(&self) -> impl Iterator<Item = (&Job, &Assignment)> {
        self.assignments.values().filter_map(|assignment| {
            let job = self.jobs.get(&assignment.job)?;
            (job.run == assignment.run && job.goal == Goal::Running).then_some((job, assignment))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(epoch: u64) -> Assignment {
        let identity = Some(Identity { id: 7, epoch: 2 });
        let tasks = vec![TaskId { stage: 0, partition: 3 }];
        let worker = "tm-1".to_owned();
        let (slot, leaving) = (1, Vec::new());
        let (since, turn) = (epoch, epoch);
        let grant = Grant { worker, nonce: 9, slot, since, turn, identity, tasks, leaving };
        let grants = vec![grant];
        let (job, standby) = ("p".to_owned(), Vec::new());
        Assignment { format: 1, job, run: 4, epoch, leader_epoch: 2, grants, standby }
    }

    #[test]
    fn records_are_pinned_and_come_back() {
        let entry = Entry::Assignment(assignment(5));
        let (key, value) = entry.encode();
        assert_eq!(key, "assignment/p");
        assert_eq!(
            String::from_utf8_lossy(&value),
            "{\"format\":1,\"job\":\"p\",\"run\":4,\"epoch\":5,\"leader_epoch\":2,\"grants\":\
             [{\"worker\":\"tm-1\",\"nonce\":9,\"slot\":1,\"since\":5,\"turn\":5,\
             \"identity\":{\"id\":7,\"epoch\":2},\
             \"tasks\":[{\"stage\":0,\"partition\":3}],\"leaving\":[]}]}"
        );
        assert_eq!(Entry::decode(&key, &value).unwrap(), Some(entry));
        assert!(Entry::decode("leader", b"{}").is_err());
        assert_eq!(Entry::decode("later/x", b"?").unwrap(), None);
    }

    #[test]
    fn an_older_record_changes_nothing() {
        let mut catalogue = Catalogue::default();
        for epoch in [5, 6, 5] {
            catalogue.apply(Entry::Assignment(assignment(epoch)));
        }
        assert_eq!(catalogue.assignments["p"].epoch, 6);
        assert_eq!(catalogue.grants_of("tm-1", 9).count(), 0, "the job itself is not known");
    }
}
