//! The room that the state of a pipeline has in a process: memory, and a place on disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::cast;
use base::disk::Disk;
use runtime::{task, timer};
use topology::plan::Plan;
use topology::spec::Spill;

use super::snapshot::keeper::StateFolder;
use super::standby::Standbys;
use crate::limits::{SHELVES_LOOK_MS, SHELVES_WAIT_MS_MAX};
use state::limits::SPILL_FILES_PART;
use state::memory::{Memory, MemoryShare};
use state::store::{Shares, ShelfError, Shelves};

/// What all slots of a pipeline in this process share, from one start to the next.
#[derive(Debug)]
pub(crate) struct Room {
    memory: Arc<Memory>,
    /// The same for copies of the state of others' tasks, which take nothing from those that run.
    copies_memory: Arc<Memory>,
    standbys: Standbys,
    /// What the plan allows, in bytes.
    limit_bytes: u64,
    /// Where state lies that is kept on disk, when it is.
    place: Option<(Arc<dyn Disk>, PathBuf)>,
    /// State on disk, once it has been opened; it stays open.
    shelves: Arc<Mutex<Option<Shelves>>>,
}

impl Room {
    /// The room that a plan allows; on disk, if it says so and there is a place.
    pub(crate) fn new(plan: &Plan, folder: Option<&StateFolder>) -> Self {
        let limit_bytes = plan.state.memory_limit_bytes;
        let folder = folder.filter(|_| plan.state.spill == Spill::Disk);
        let place = folder.and_then(|folder| {
            let dir = folder.spill_dir.as_ref()?.join(&plan.pipeline);
            Some((Arc::clone(&folder.disk), dir))
        });
        let memory_bytes = match place {
            // What lies on disk makes room for itself.
            Some(_) => usize::MAX,
            None => usize::try_from(limit_bytes).unwrap_or(usize::MAX),
        };
        Self {
            memory: Memory::new(memory_bytes),
            copies_memory: Memory::new(memory_bytes),
            standbys: Standbys::default(),
            limit_bytes,
            place,
            shelves: Arc::default(),
        }
    }

    /// The memory that all of them share.
    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The memory that copies share.
    pub(crate) fn copies_memory(&self) -> &Arc<Memory> {
        &self.copies_memory
    }

    /// Copies of the state of tasks that others run.
    pub(crate) fn standbys(&self) -> &Standbys {
        &self.standbys
    }

    /// A holder of state that holds nothing yet.
    pub(crate) fn share(&self) -> MemoryShare {
        MemoryShare::new(&self.memory)
    }

    /// Where state lies on disk, opened at the first start for as many stores as the pipeline has;
    /// `None` where state is kept in memory. Files that an earlier room of this process, or an
    /// older process, has not closed yet are waited for.
    ///
    /// # Errors
    /// The disk refuses, or the files are still in use after [`SHELVES_WAIT_MS_MAX`].
    pub(crate) async fn shelves(&self, stores: usize) -> Result<Option<Shelves>, ShelfError> {
        let Some((disk, dir)) = self.place.clone() else {
            return Ok(None);
        };
        let deadline = timer::now() + Duration::from_millis(SHELVES_WAIT_MS_MAX);
        loop {
            match self.open(Arc::clone(&disk), dir.clone(), stores).await {
                Err(error) if error.is_busy && timer::now() < deadline => {
                    timer::sleep(Duration::from_millis(SHELVES_LOOK_MS)).await;
                }
                opened => return opened.map(Some),
            }
        }
    }

    async fn open(
        &self,
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        stores: usize,
    ) -> Result<Shelves, ShelfError> {
        let files_bytes = self.limit_bytes / SPILL_FILES_PART;
        let tables_bytes = usize::try_from(self.limit_bytes - files_bytes).unwrap_or(usize::MAX);
        let opened = Arc::clone(&self.shelves);
        let shelves = task::blocking(move || {
            // Slots that begin together wait here for the first of them.
            let mut opened = opened.lock().expect("no holder of the shelves panics");
            if let Some(shelves) = &*opened {
                return Ok(shelves.clone());
            }
            let shares = Shares { files_bytes, tables_bytes, stores: cast::u64_of(stores) };
            let shelves = Shelves::open(&*disk, &dir, shares)?;
            *opened = Some(shelves.clone());
            Ok(shelves)
        });
        shelves.await
    }
}

#[cfg(test)]
mod tests {
    use base::disk::RealDisk;
    use base::rng::SystemRandom;
    use base::uuid::Uuid;
    use runtime::boot::Executor;

    use super::*;
    use crate::sample;

    const TEXT: &str = "
version: 1
name: p
runtime: { state: { spill: disk } }
source: { topic: in }
tasks:
  - { id: seen, type: count, to: sink }
sink: { kafka: { topic: out } }
";

    #[test]
    fn files_that_an_earlier_room_still_holds_are_waited_for() {
        let plan = sample::plan(TEXT);
        let name = format!("millstream-room-{}", Uuid::random(&SystemRandom));
        let dir = std::env::temp_dir().join(name);
        let folder = StateFolder::new(Arc::new(RealDisk), dir.clone());
        let folder = folder.spilling(dir.join("spill"));
        Executor::new(2).unwrap().block_on(async {
            let earlier = Room::new(&plan, Some(&folder));
            let held = earlier.shelves(1).await.unwrap().unwrap();
            let later = Room::new(&plan, Some(&folder));
            let wait = Duration::from_millis(SHELVES_LOOK_MS * 3);
            assert!(timer::timeout(wait, later.shelves(1)).await.is_err(), "it does not wait");
            drop((earlier, held));
            assert!(later.shelves(1).await.unwrap().is_some());
        });
        std::fs::remove_dir_all(dir).unwrap();
    }
}
