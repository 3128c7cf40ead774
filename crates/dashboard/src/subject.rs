//! Whom a page is about: what the program lets be seen of itself.

use std::sync::Arc;

use pipeline::engine::tap::Tap;
use pipeline::engine::view::PipelineView;

/// A process that is looked at. The methods are called at each request, must not block, and
/// answer with the present moment.
pub trait Subject: Send + Sync {
    /// Why the process should be started anew; empty while it lives.
    fn ailments(&self) -> Vec<String>;

    /// Why it cannot do its work at present; empty when it can.
    fn obstacles(&self) -> Vec<String>;

    /// The pipelines that it runs, as far as it runs them.
    fn pipelines(&self) -> Vec<PipelineView>;

    /// What it is in a cluster, if it is in one.
    fn node(&self) -> Option<NodeFigures>;

    /// Lets the slots of a pipeline know of a tap; how many of them run here.
    fn tap(&self, pipeline: &str, tap: &Arc<Tap>) -> usize;
}

/// A node of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeFigures {
    /// Whether it leads; none when it never does.
    pub is_leader: Option<bool>,
    /// Task managers that beat, are suspect and are gone; none when it does not count them.
    pub workers: Option<[usize; 3]>,
    /// Slots that it offers, and those that run.
    pub slots: (u32, usize),
}
