//! Consumer groups: who is in them, and what they have committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::api::{ApiKey, Request};
use protocol::error_code::ErrorCode;
use protocol::messages::delete_groups::DeleteGroupsRequest;
use protocol::messages::describe_groups::DescribeGroupsRequest;
use protocol::messages::list_groups::ListGroupsRequest;
use protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};

use super::Admin;
use crate::client::CoordinatorKind;
use crate::error::ClientError;
use crate::group::membership::Membership;
use crate::pool::Lane;

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group: String,
    /// What its members agreed on, `consumer` for consumers.
    pub protocol_type: String,
    /// Its state, where the broker tells.
    pub state: String,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Its name.
    pub group: String,
    /// Its state.
    pub state: String,
    /// What its members agreed on, `consumer` for consumers.
    pub protocol_type: String,
    /// How partitions are assigned.
    pub protocol: String,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// The name that the coordinator gave it.
    pub member: String,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it connects from.
    pub client_host: String,
    /// What it is assigned, in the form of the group's protocol.
    pub assignment: Bytes,
}

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The leader's epoch, -1 when not known.
    pub leader_epoch: i32,
    /// Words of whoever committed.
    pub metadata: String,
}

type TopicPartition = (String, i32);

const GROUP: CoordinatorKind = CoordinatorKind::Group;

impl Admin {
    /// All groups of all brokers.
    ///
    /// # Errors
    /// Why a broker cannot be asked.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>, ClientError> {
        self.client.refresh(&[]).await?;
        let mut listings = Vec::new();
        for node in self.client.cluster().brokers.keys() {
            let connection = self.client.node(*node, Lane::Shared).await?;
            let response = connection.call(&ListGroupsRequest::default()).await?;
            self.check(ApiKey::ListGroups, "groups", response.error_code, &None)?;
            listings.extend(response.groups.into_iter().map(|group| GroupListing {
                group: group.group_id,
                protocol_type: group.protocol_type,
                state: group.group_state,
            }));
        }
        listings.sort_by(|one, other| one.group.cmp(&other.group));
        Ok(listings)
    }

    /// A group with its members; brokers say `Dead` of one that does not exist.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn describe_group(&self, group: &str) -> Result<GroupView, ClientError> {
        let request =
            DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
        let code_of = |response: &protocol::messages::describe_groups::DescribeGroupsResponse| {
            response.groups.first().map_or(ErrorCode::NONE, |group| ErrorCode(group.error_code))
        };
        let response = self.coordinator(group, &request, code_of).await?;
        let api = ApiKey::DescribeGroups;
        let found = response.groups.into_iter().next();
        let found = found.ok_or(ClientError::Incomplete { api })?;
        // Version 6 says GROUP_ID_NOT_FOUND where earlier ones say Dead.
        if ErrorCode(found.error_code) != ErrorCode::GROUP_ID_NOT_FOUND {
            self.check(api, group, found.error_code, &found.error_message)?;
        }
        let members = found.members.into_iter().map(|member| GroupMember {
            member: member.member_id,
            client_id: member.client_id,
            client_host: member.client_host,
            assignment: member.member_assignment,
        });
        Ok(GroupView {
            group: found.group_id,
            state: found.group_state,
            protocol_type: found.protocol_type,
            protocol: found.protocol_data,
            members: members.collect(),
        })
    }

    /// Deletes a group without members, with all it has committed.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
        let code_of = |response: &protocol::messages::delete_groups::DeleteGroupsResponse| {
            response.results.first().map_or(ErrorCode::NONE, |group| ErrorCode(group.error_code))
        };
        let response = self.coordinator(group, &request, code_of).await?;
        let code = code_of(&response);
        self.check(ApiKey::DeleteGroups, group, code.0, &None)
    }

    /// What a group has committed; all partitions it knows when none are named. With
    /// `require_stable`, waits until no transaction is about to change them.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn committed_offsets(
        &self,
        group: &str,
        partitions: Option<&[(&str, i32)]>,
        require_stable: bool,
    ) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
        let mut retry = self.client.retry();
        loop {
            let asked = self.committed_once(group, partitions, require_stable).await;
            match asked {
                Ok(committed) => return Ok(committed),
                Err(error) => {
                    if error.is_disconnect()
                        || error.code().is_some_and(crate::client::is_moved_coordinator)
                    {
                        self.client.forget_coordinator(GROUP, group);
                    }
                    retry.pause(error).await?;
                }
            }
        }
    }

    async fn committed_once(
        &self,
        group: &str,
        partitions: Option<&[(&str, i32)]>,
        require_stable: bool,
    ) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
        let node = self.client.coordinator(GROUP, group).await?;
        let connection = self.client.node(node, Lane::Shared).await?;
        // Version 10 names topics by id, which says nothing of deleted topics.
        let version = connection.versions.up_to(ApiKey::OffsetFetch, 9)?;
        let request = offset_fetch(group, partitions, require_stable, version);
        let zero = std::time::Duration::ZERO;
        let response = connection.ask(&request, version, zero).await.wait().await?;
        read_committed_offsets(group, response, version)
    }

    /// Commits offsets for a group without members.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(&str, i32, i64)],
    ) -> Result<(), ClientError> {
        commit(self, group, &Membership::none(), (offsets, "")).await
    }

    /// As [`Admin::commit_offsets`], with what is kept beside each of them.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn commit_offsets_with(
        &self,
        group: &str,
        offsets: &[(&str, i32, i64)],
        metadata: &str,
    ) -> Result<(), ClientError> {
        commit(self, group, &Membership::none(), (offsets, metadata)).await
    }

    /// Number of the broker that coordinates a group.
    ///
    /// # Errors
    /// Why nobody can say.
    pub async fn group_coordinator(&self, group: &str) -> Result<i32, ClientError> {
        self.client.coordinator(GROUP, group).await
    }

    pub(super) async fn coordinator<R: Request>(
        &self,
        group: &str,
        request: &R,
        code_of: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, ClientError> {
        let mut retry = self.client.retry();
        loop {
            match self.client.ask_coordinator(GROUP, group, request, &code_of).await {
                Ok(response) => return Ok(response),
                Err(error) => retry.pause(error).await?,
            }
        }
    }
}

/// Commits offsets as this member.
pub(crate) async fn commit(
    admin: &Admin,
    group: &str,
    membership: &Membership,
    (offsets, metadata): (&[(&str, i32, i64)], &str),
) -> Result<(), ClientError> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (topic, partition, offset) in offsets {
        topics.entry(topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: *offset,
            committed_leader_epoch: -1,
            committed_metadata: Some(metadata.to_owned()),
        });
    }
    let topic = |(name, partitions): (&str, _)| OffsetCommitRequestTopic {
        name: name.to_owned(),
        partitions,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: membership.generation,
        member_id: membership.member.clone(),
        retention_time_ms: -1,
        topics: topics.into_iter().map(topic).collect(),
        ..Default::default()
    };
    let api = ApiKey::OffsetCommit;
    let mut retry = admin.client.retry();
    loop {
        let asked = async {
            let node = admin.client.coordinator(GROUP, group).await?;
            let connection = admin.client.node(node, Lane::Shared).await?;
            let version = connection.versions.up_to(api, 9)?;
            connection.ask(&request, version, std::time::Duration::ZERO).await.wait().await
        };
        let answered = asked.await.and_then(|response| {
            for topic in &response.topics {
                for part in &topic.partitions {
                    let refused = |code| ClientError::refused(api, &topic.name, code);
                    ErrorCode(part.error_code).ok().map_err(refused)?;
                }
            }
            Ok(())
        });
        let Err(error) = answered else { return Ok(()) };
        if error.is_disconnect() || error.code().is_some_and(crate::client::is_moved_coordinator) {
            admin.client.forget_coordinator(GROUP, group);
        }
        retry.pause(error).await?;
    }
}

fn offset_fetch(
    group: &str,
    partitions: Option<&[(&str, i32)]>,
    require_stable: bool,
    version: i16,
) -> OffsetFetchRequest {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions.into_iter().flatten() {
        topics.entry(topic).or_default().push(*partition);
    }
    // Null, which means everything, exists since version 2.
    let named = partitions.is_some() || version < 2;
    // Waiting for transactions exists since version 7; before, offsets are always stable enough.
    let require_stable = require_stable && version >= 7;
    if version >= 8 {
        let topic = |(name, indexes): (&str, Vec<i32>)| OffsetFetchRequestTopics {
            name: name.to_owned(),
            partition_indexes: indexes,
            ..Default::default()
        };
        let topics = named.then(|| topics.into_iter().map(topic).collect());
        let groups = vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics,
            member_epoch: -1,
            ..Default::default()
        }];
        return OffsetFetchRequest { groups, require_stable, ..Default::default() };
    }
    let topic = |(name, indexes): (&str, Vec<i32>)| OffsetFetchRequestTopic {
        name: name.to_owned(),
        partition_indexes: indexes,
    };
    OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: named.then(|| topics.into_iter().map(topic).collect()),
        require_stable,
        ..Default::default()
    }
}

fn read_committed_offsets(
    group: &str,
    response: OffsetFetchResponse,
    version: i16,
) -> Result<BTreeMap<TopicPartition, Committed>, ClientError> {
    let api = ApiKey::OffsetFetch;
    let refused = |code| ClientError::refused(api, group, code);
    let mut rows: Vec<(String, i32, i16, i64, i32, Option<String>)> = Vec::new();
    if version >= 8 {
        let found = response.groups.into_iter().find(|found| found.group_id == group);
        let found = found.ok_or(ClientError::Incomplete { api })?;
        ErrorCode(found.error_code).ok().map_err(refused)?;
        for topic in found.topics {
            rows.extend(topic.partitions.into_iter().map(|part| {
                let (offset, epoch) = (part.committed_offset, part.committed_leader_epoch);
                let name = topic.name.clone();
                (name, part.partition_index, part.error_code, offset, epoch, part.metadata)
            }));
        }
    } else {
        ErrorCode(response.error_code).ok().map_err(refused)?;
        for topic in response.topics {
            rows.extend(topic.partitions.into_iter().map(|part| {
                let (offset, epoch) = (part.committed_offset, part.committed_leader_epoch);
                let name = topic.name.clone();
                (name, part.partition_index, part.error_code, offset, epoch, part.metadata)
            }));
        }
    }
    let mut committed = BTreeMap::new();
    for (topic, partition, code, offset, leader_epoch, metadata) in rows {
        ErrorCode(code).ok().map_err(refused)?;
        if offset >= 0 {
            let metadata = metadata.unwrap_or_default();
            committed.insert((topic, partition), Committed { offset, leader_epoch, metadata });
        }
    }
    Ok(committed)
}
