//! What the state of each pipeline may take in this process, however many of its slots run here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use topology::plan::Plan;
use topology::spec::Spill;

use crate::engine::StateFolder;
use crate::engine::room::Room;

/// By pipeline, limit, and whether state lies on disk: a file that was replaced may say otherwise.
type Known = BTreeMap<(String, u64, bool), Weak<Room>>;

/// The rooms of the pipelines that have slots here; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    known: Arc<Mutex<Known>>,
    /// Where state lies that is kept on disk.
    state: Option<StateFolder>,
}

impl Rooms {
    /// No rooms yet.
    pub(crate) fn new(state: Option<StateFolder>) -> Self {
        Self { known: Arc::default(), state }
    }

    /// The room of a plan, which is there as long as somebody holds it.
    pub(crate) fn of(&self, plan: &Plan) -> Arc<Room> {
        let mut known = self.known.lock().expect("no holder of the rooms panics");
        known.retain(|_, room| room.strong_count() > 0);
        let state = &plan.state;
        let is_on_disk = state.spill == Spill::Disk;
        let key = (plan.pipeline.clone(), state.memory_limit_bytes, is_on_disk);
        if let Some(room) = known.get(&key).and_then(Weak::upgrade) {
            return room;
        }
        let room = Arc::new(Room::new(plan, self.state.as_ref()));
        known.insert(key, Arc::downgrade(&room));
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn plan(name: &str) -> Plan {
        let text = format!(
            "
version: 1
name: {name}
source: {{ topic: in }}
tasks:
  - {{ id: seen, type: count, to: sink }}
sink: {{ kafka: {{ topic: out }} }}
"
        );
        sample::plan(&text)
    }

    #[test]
    fn slots_of_one_pipeline_share_one_limit_while_any_of_them_runs() {
        let (rooms, plan) = (Rooms::new(None), self::plan("p"));
        let limit = usize::try_from(plan.state.memory_limit_bytes).unwrap();
        let (one, other) = (rooms.of(&plan), rooms.of(&plan));
        let (mut first, mut second) = (one.share(), other.share());
        assert!(first.hold(limit).is_ok());
        assert!(second.hold(1).is_err());
        assert!(rooms.of(&self::plan("q")).share().hold(limit).is_ok());
        let mut on_disk = plan.clone();
        on_disk.state.spill = Spill::Disk;
        assert!(!Arc::ptr_eq(&rooms.of(&on_disk), &one));
        drop((one, other, first, second));
        assert!(rooms.of(&plan).share().hold(limit).is_ok());
    }
}
