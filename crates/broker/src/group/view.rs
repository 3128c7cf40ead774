//! What others see of a group.

use bytes::Bytes;

use super::classic::{Group, Member, State};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedGroup {
    pub(crate) id: String,
    pub(crate) protocol_type: String,
    pub(crate) state: &'static str,
}

impl ListedGroup {
    pub(super) fn of(group: &Group) -> Self {
        Self {
            id: group.id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state.name(),
        }
    }
}

/// A group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedGroup {
    pub(crate) id: String,
    /// `Dead` for a group that does not exist.
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member of a described group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

/// Kafka's name of the state of a group that does not exist.
pub(crate) const DEAD: &str = "Dead";

impl DescribedGroup {
    pub(super) fn dead(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            state: DEAD,
            protocol_type: String::new(),
            protocol: String::new(),
            members: Vec::new(),
        }
    }

    pub(super) fn of(group: &Group) -> Self {
        // Before everybody has an assignment the protocol may still change, so it is not told.
        let is_stable = group.state == State::Stable;
        let protocol = group.protocol.clone().filter(|_| is_stable).unwrap_or_default();
        let member = |member: &Member| DescribedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if is_stable { member.metadata(&protocol) } else { Bytes::new() },
            assignment: member.assignment.clone(),
        };
        Self {
            id: group.id.clone(),
            state: group.state.name(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            members: group.members.values().map(member).collect(),
            protocol,
        }
    }
}
