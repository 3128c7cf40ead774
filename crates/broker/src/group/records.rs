//! The records of `__consumer_offsets`, byte for byte Kafka's.

use bytes::Bytes;
use protocol::messages::group_metadata_key::GroupMetadataKey;
use protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use protocol::messages::offset_commit_key::OffsetCommitKey;
use protocol::messages::offset_commit_value::OffsetCommitValue;
use protocol::wire::{DecodeError, Message, Reader, Writer};

use super::classic::{Group, Member};
use super::offsets::Committable;

/// Kinds of keys; version 0 of the offset's key is the kind of long ago with the same fields.
const OLD_OFFSET_KIND: i16 = 0;
const OFFSET_KIND: i16 = 1;
const GROUP_KIND: i16 = 2;

/// Versions of values as Kafka 4 writes them.
const OFFSET_VALUE_VERSION: i16 = 3;
const GROUP_VALUE_VERSION: i16 = 3;

/// All keys have one version; their kind stands where values have their version.
const KEY_VERSION: i16 = 0;

/// A record to be written; without a value it is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRecord {
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// A committed offset, or that there is none any more.
    Offset { group: String, topic: String, partition: i32, value: Option<Committable> },
    /// A group's members, or that it is gone.
    Group { group: String, value: Option<GroupMetadataValue> },
    /// A kind of record that this coordinator does not keep, such as those of newer protocols.
    Other,
}

impl Said {
    /// The group that it is about, if this coordinator keeps it.
    pub(crate) fn group(&self) -> Option<&str> {
        match self {
            Self::Offset { group, .. } | Self::Group { group, .. } => Some(group),
            Self::Other => None,
        }
    }
}

fn write(prefix: i16, version: i16, message: &impl Message) -> Bytes {
    let mut writer = Writer::new();
    writer.int16(prefix);
    message.encode(&mut writer, version).expect("own records fit their version");
    writer.into_bytes()
}

fn key(kind: i16, message: &impl Message) -> Bytes {
    write(kind, KEY_VERSION, message)
}

fn value(version: i16, message: &impl Message) -> Bytes {
    write(version, version, message)
}

fn read_key<T: Message>(bytes: &Bytes) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.int16()?;
    T::decode(&mut reader, KEY_VERSION)
}

fn read_value<T: Message>(bytes: &Bytes) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.int16()?;
    T::decode(&mut reader, version)
}

/// The record of a committed offset.
pub(crate) fn offset_commit(
    group: &str,
    topic: &str,
    partition: i32,
    committed: Option<&Committable>,
) -> GroupRecord {
    let place = OffsetCommitKey { group: group.to_owned(), topic: topic.to_owned(), partition };
    let committed = committed.map(|it| OffsetCommitValue {
        offset: it.offset,
        leader_epoch: it.leader_epoch,
        metadata: it.metadata.clone(),
        commit_timestamp: it.commit_timestamp_ms,
        ..OffsetCommitValue::default()
    });
    GroupRecord {
        key: key(OFFSET_KIND, &place),
        value: committed.map(|it| value(OFFSET_VALUE_VERSION, &it)),
    }
}

/// The record of a group's present generation.
pub(crate) fn group_metadata(group: &Group, assignment: impl Fn(&Member) -> Bytes) -> GroupRecord {
    let protocol = group.protocol.clone();
    let members = group.members.values().map(|member| MemberMetadata {
        member_id: member.id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.metadata(protocol.as_deref().unwrap_or_default()),
        assignment: assignment(member),
    });
    let metadata = GroupMetadataValue {
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        generation: group.generation,
        protocol: protocol.clone(),
        leader: group.leader.clone(),
        current_state_timestamp: group.state_since_ms,
        members: members.collect(),
    };
    GroupRecord { key: group_key(&group.id), value: Some(value(GROUP_VALUE_VERSION, &metadata)) }
}

fn group_key(group: &str) -> Bytes {
    key(GROUP_KIND, &GroupMetadataKey { group: group.to_owned() })
}

/// The record that a group is gone.
pub(crate) fn group_tombstone(group: &str) -> GroupRecord {
    GroupRecord { key: group_key(group), value: None }
}

/// Understands a record that was read back.
///
/// # Errors
/// [`DecodeError`] when it is none of Kafka's.
pub(crate) fn understand(key: &Bytes, value: Option<&Bytes>) -> Result<Said, DecodeError> {
    match Reader::new(key).int16()? {
        OLD_OFFSET_KIND | OFFSET_KIND => {
            let OffsetCommitKey { group, topic, partition } = read_key(key)?;
            let value = value.map(read_value::<OffsetCommitValue>).transpose()?;
            let value = value.map(|value| Committable {
                offset: value.offset,
                leader_epoch: value.leader_epoch,
                metadata: value.metadata,
                commit_timestamp_ms: value.commit_timestamp,
            });
            Ok(Said::Offset { group, topic, partition, value })
        }
        GROUP_KIND => {
            let key: GroupMetadataKey = read_key(key)?;
            let value = value.map(read_value::<GroupMetadataValue>).transpose()?;
            Ok(Said::Group { group: key.group, value })
        }
        _ => Ok(Said::Other),
    }
}
