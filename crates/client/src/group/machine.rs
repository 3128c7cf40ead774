//! What a member of a group does next after an answer of its coordinator: pure.

use protocol::error_code::ErrorCode;

use super::membership::Membership;

/// What a member does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Asks to join, under the name that it has.
    Join,
    /// Hands in the assignment, or asks for its own.
    Sync,
    /// Reads, and sends heartbeats.
    Read,
    /// Tries the same again after a pause.
    Pause,
    /// Finds out first who coordinates.
    Find,
    /// Gives up.
    Fail(ErrorCode),
}

/// A member.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) membership: Membership,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self { membership: Membership::none() }
    }

    /// The answer to a request to join.
    pub(crate) fn joined(&mut self, code: ErrorCode, generation: i32, member: &str) -> Next {
        match code {
            ErrorCode::NONE => {
                self.membership = Membership { generation, member: member.to_owned() };
                Next::Sync
            }
            // The coordinator gives a name first, so that a lost answer leaves no ghost (KIP-394).
            ErrorCode::MEMBER_ID_REQUIRED => {
                member.clone_into(&mut self.membership.member);
                Next::Join
            }
            code => self.other(code),
        }
    }

    /// The answer to a request for the assignment.
    pub(crate) fn synced(&mut self, code: ErrorCode) -> Next {
        if code.is_none() { Next::Read } else { self.other(code) }
    }

    /// The answer to a heartbeat, or to a commit.
    pub(crate) fn heard(&mut self, code: ErrorCode) -> Next {
        if code.is_none() { Next::Read } else { self.other(code) }
    }

    fn other(&mut self, code: ErrorCode) -> Next {
        match code {
            ErrorCode::REBALANCE_IN_PROGRESS => Next::Join,
            ErrorCode::ILLEGAL_GENERATION => {
                self.membership.generation = -1;
                Next::Join
            }
            // The coordinator has forgotten us: come as somebody new.
            ErrorCode::UNKNOWN_MEMBER_ID => {
                self.membership = Membership::none();
                Next::Join
            }
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => Next::Find,
            code if code.is_retriable() => Next::Pause,
            code => Next::Fail(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_is_named_first_and_joins_then() {
        let mut machine = Machine::new();
        assert_eq!(machine.joined(ErrorCode::MEMBER_ID_REQUIRED, -1, "m"), Next::Join);
        assert_eq!(machine.membership.member, "m");
        assert_eq!(machine.joined(ErrorCode::NONE, 3, "m"), Next::Sync);
        assert_eq!(machine.membership.generation, 3);
        assert_eq!(machine.synced(ErrorCode::NONE), Next::Read);
    }

    #[test]
    fn a_rebalance_keeps_the_name_and_being_forgotten_does_not() {
        let mut machine = Machine::new();
        machine.joined(ErrorCode::NONE, 3, "m");
        assert_eq!(machine.heard(ErrorCode::REBALANCE_IN_PROGRESS), Next::Join);
        assert_eq!(machine.membership.member, "m");
        assert_eq!(machine.heard(ErrorCode::UNKNOWN_MEMBER_ID), Next::Join);
        assert_eq!(machine.membership, Membership::none());
    }

    #[test]
    fn trouble_with_the_coordinator_passes_and_a_refusal_does_not() {
        let mut machine = Machine::new();
        assert_eq!(machine.heard(ErrorCode::NOT_COORDINATOR), Next::Find);
        let loading = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
        assert_eq!(machine.joined(loading, -1, ""), Next::Pause);
        let refused = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        assert_eq!(machine.synced(refused), Next::Fail(refused));
    }
}
