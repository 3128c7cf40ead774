//! The old words between job and task managers: a call, its answers, and what is handed out.
//!
//! They are for people and programs that know the cluster by them. Who is there follows from the
//! beats, and who runs what from the catalogue; these records say the same, and are written by
//! whoever decides it.

use serde::{Deserialize, Serialize};

use crate::catalogue::FORMAT;

/// What a job manager says at its start, under its id; the whole value of the record.
pub const CALL: &str = "sos";

/// What a task manager answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreeThreads {
    /// Format of this record.
    pub format: u32,
    /// The task manager's id.
    pub id: String,
    /// Slots that run nothing: a slot is a thread of its own.
    pub free_threads: u32,
}

impl FreeThreads {
    /// The answer of a task manager.
    #[must_use]
    pub fn of(id: &str, free_threads: u32) -> Self {
        Self { format: FORMAT, id: id.to_owned(), free_threads }
    }
}

/// What a task manager has to run of a pipeline from now on; it takes the place of what it was
/// handed of that pipeline before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOut {
    /// Format of this record.
    pub format: u32,
    /// The task manager's id.
    pub task_manager: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its processors there; empty when it has none any more.
    pub processors: Vec<Instance>,
}

/// An instance of a processor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instance {
    /// The processor's id in the file.
    pub id: String,
    /// Which instance of it: the partition that it reads, from 0.
    pub instance: i32,
    /// The thread that it runs on, from 0; instances with one thread take turns on it.
    pub thread: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_are_pinned() {
        let answer = serde_json::to_string(&FreeThreads::of("tm-1", 4)).unwrap();
        assert_eq!(answer, "{\"format\":1,\"id\":\"tm-1\",\"free_threads\":4}");
        let instance = Instance { id: "node_1".to_owned(), instance: 1, thread: 2 };
        let handed = HandOut {
            format: FORMAT,
            task_manager: "tm-1".to_owned(),
            pipeline: "p".to_owned(),
            processors: vec![instance],
        };
        assert_eq!(
            serde_json::to_string(&handed).unwrap(),
            "{\"format\":1,\"task_manager\":\"tm-1\",\"pipeline\":\"p\",\"processors\":[{\"id\":\
             \"node_1\",\"instance\":1,\"thread\":2}]}"
        );
    }
}
