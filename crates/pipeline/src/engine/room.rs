//! The room that the state of a pipeline has in a process: memory, and a place on disk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base::cast;
use base::disk::Disk;
use runtime::task;
use topology::plan::Plan;
use topology::spec::Spill;

use super::snapshot::keeper::StateFolder;
use super::standby::Standbys;
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
    /// `None` where state is kept in memory.
    ///
    /// # Errors
    /// The disk refuses.
    pub(crate) async fn shelves(&self, stores: usize) -> Result<Option<Shelves>, ShelfError> {
        let Some((disk, dir)) = self.place.clone() else {
            return Ok(None);
        };
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
        Ok(Some(shelves.await?))
    }
}
