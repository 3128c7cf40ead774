//! What the members of consumer groups are to their coordinator.

pub(crate) mod membership;
