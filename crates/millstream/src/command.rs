//! The commands, one file each.

pub(crate) mod explain;
pub(crate) mod up;
pub(crate) mod version;
