//! Leaving a group, told or by silence.

use protocol::error_code::ErrorCode;

use super::classic::State;
use super::join::Joined;
use super::machine::{Effect, Machine, Now, Reply};
use super::sync::Synced;

/// A request to take members out.
#[derive(Debug, Clone)]
pub(crate) struct Leave {
    pub(crate) group: String,
    pub(crate) members: Vec<Leaver>,
}

/// Who is to go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaver {
    /// Empty when only the instance is known.
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
}

/// The answer: one error for all, and one for each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Left {
    pub(crate) error: ErrorCode,
    pub(crate) members: Vec<(Leaver, ErrorCode)>,
}

impl Machine {
    pub(super) fn leave(&mut self, now: Now, leave: Leave, effects: &mut Vec<Effect>) -> Left {
        if leave.group.is_empty() {
            return Left { error: ErrorCode::INVALID_GROUP_ID, members: Vec::new() };
        }
        let mut members = Vec::new();
        for leaver in leave.members {
            let error = self.leave_one(now, &leave.group, &leaver, effects);
            members.push((leaver, error.err().unwrap_or(ErrorCode::NONE)));
        }
        Left { error: ErrorCode::NONE, members }
    }

    fn leave_one(
        &mut self,
        now: Now,
        id: &str,
        leaver: &Leaver,
        effects: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        let group = self.groups.change(id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let member = match &leaver.instance {
            Some(instance) => {
                let holder = group.statics.get(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
                if !leaver.member.is_empty() && *holder != leaver.member {
                    return Err(ErrorCode::FENCED_INSTANCE_ID);
                }
                holder.clone()
            }
            None => leaver.member.clone(),
        };
        if group.pending_members.remove(&member).is_some() {
            self.try_complete_join(now, id, effects);
            return Ok(());
        }
        if !group.members.contains(&member) {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.remove_member(now, id, &member, effects);
        Ok(())
    }

    /// Takes a member out and lets the others share its work.
    pub(super) fn remove_member(
        &mut self,
        now: Now,
        id: &str,
        member: &str,
        effects: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.change(id) else {
            return;
        };
        let Some(gone) = group.remove(member) else {
            return;
        };
        let error = ErrorCode::UNKNOWN_MEMBER_ID;
        if let Some(token) = gone.joining {
            let joined = Joined::refused(member, error);
            effects.push(Effect::Reply(token, Reply::Joined(joined)));
        }
        if let Some(token) = gone.syncing {
            effects.push(Effect::Reply(token, Reply::Synced(Synced::refused(error))));
        }
        match group.state {
            State::Stable | State::CompletingRebalance => {
                self.prepare_rebalance(now, id, effects);
            }
            State::PreparingRebalance => self.try_complete_join(now, id, effects),
            State::Empty => {}
        }
    }
}
