//! Rebuilding the groups from `__consumer_offsets` at a start.

use bytes::Bytes;
use protocol::messages::group_metadata_value::GroupMetadataValue;

use super::classic::{Group, Member, State};
use super::machine::{Machine, Now};
use super::records::{Said, understand};

impl Machine {
    /// Takes over one record of a batch, in the order of the log. Within a transaction
    /// (`producer_id`) an offset waits for its marker.
    ///
    /// Records that cannot be read are passed over: they were not written by this coordinator. So
    /// are those of groups that belong to another partition of the topic than `at`, where they
    /// came from: a start has moved them from there, and they wait for the cleaner.
    pub(crate) fn load(
        &mut self,
        now: Now,
        (at, producer_id): (i32, Option<i64>),
        key: &Bytes,
        value: Option<&Bytes>,
    ) {
        let said = understand(key, value);
        let group = said.as_ref().ok().and_then(Said::group);
        if group.is_some_and(|group| self.partition_of(group) != at) {
            return;
        }
        match said {
            Ok(Said::Offset { group, topic, partition, value }) => {
                let place = (topic, partition);
                let offsets = &mut self.loaded_group(now, &group).offsets;
                match (producer_id, value) {
                    (Some(id), Some(value)) => {
                        offsets.hold(id, place, value);
                        self.holders.insert((id, group));
                    }
                    (_, value) => offsets.apply(place, value),
                }
            }
            Ok(Said::Group { group, value: Some(value) }) => {
                load_members(self.loaded_group(now, &group), now, value);
            }
            Ok(Said::Group { group, value: None }) => {
                // Offsets have tombstones of their own.
                let group = self.loaded_group(now, &group);
                load_members(group, now, GroupMetadataValue::default());
                group.generation = 0;
            }
            Ok(Said::Other) | Err(_) => {}
        }
    }

    /// Takes over the end of a transaction.
    pub(crate) fn load_marker(&mut self, partition: i32, producer_id: i64, committed: bool) {
        self.marker(partition, producer_id, committed);
    }

    /// Forgets groups of which only tombstones were found.
    pub(crate) fn loaded(&mut self) {
        let groups = self.groups.values();
        let gone = groups.filter(|group| group.is_forgettable() && group.generation == 0);
        for id in gone.map(|group| group.id.clone()).collect::<Vec<_>>() {
            self.groups.remove(&id);
        }
        self.groups.settle();
    }

    fn loaded_group(&mut self, now: Now, id: &str) -> &mut Group {
        self.groups.change_or_make(id, || Group::new(id, now.unix_ms))
    }
}

/// Members that were there before get a session's time to be heard of.
fn load_members(group: &mut Group, now: Now, value: GroupMetadataValue) {
    group.members.clear();
    group.statics.clear();
    group.generation = value.generation;
    group.protocol_type = Some(value.protocol_type).filter(|it| !it.is_empty());
    group.protocol = value.protocol;
    group.leader = value.leader;
    group.state_since_ms = value.current_state_timestamp;
    for member in value.members {
        let protocol = group.protocol.clone().unwrap_or_default();
        if let Some(instance) = &member.group_instance_id {
            group.statics.insert(instance.clone(), member.member_id.clone());
        }
        let mut loaded = Member {
            id: member.member_id.clone(),
            instance_id: member.group_instance_id,
            client_id: member.client_id,
            client_host: member.client_host,
            rebalance_timeout_ms: member.rebalance_timeout,
            session_timeout_ms: member.session_timeout,
            protocols: vec![(protocol, member.subscription)],
            assignment: member.assignment,
            joining: None,
            syncing: None,
            has_synced: true,
            deadline_ms: 0,
        };
        loaded.touch(now.steady_ms);
        group.members.insert(member.member_id, loaded);
    }
    group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
}
