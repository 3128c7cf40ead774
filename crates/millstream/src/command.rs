//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod consume;
pub(crate) mod dlq;
pub(crate) mod explain;
pub(crate) mod group;
pub(crate) mod pipeline;
pub(crate) mod produce;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod sink;
pub(crate) mod state;
pub(crate) mod topic;
pub(crate) mod up;
pub(crate) mod version;
