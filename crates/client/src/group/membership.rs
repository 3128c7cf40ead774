//! As whom a member speaks to its coordinator.

/// A member of one generation of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    /// Counts the rebalances; -1 outside a group.
    pub(crate) generation: i32,
    /// The name that the coordinator gave; empty outside a group.
    pub(crate) member: String,
}

impl Membership {
    /// Nobody: what tools commit as, while a group has no members.
    pub(crate) fn none() -> Self {
        Self { generation: -1, member: String::new() }
    }
}
