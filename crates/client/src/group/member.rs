//! The task of a member: joins, keeps alive, commits what its owner has taken, joins again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use protocol::api::{ApiKey, Request};
use protocol::error_code::ErrorCode;
use protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition,
};
use protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use protocol::messages::heartbeat::HeartbeatRequest;
use protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use protocol::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use protocol::wire::{Message as _, Reader, Writer};
use runtime::channel::WatchSender;
use runtime::timer::{self, Instant};

use super::assign::{Partitions, range};
use super::machine::{Machine, Next};
use super::membership::Membership;
use crate::admin::commit;
use crate::client::{Client, CoordinatorKind};
use crate::error::ClientError;
use crate::limits::GROUP_MEMBERS_MAX;
use crate::options::GroupOptions;
use crate::pool::Lane;
use crate::retry::backoff_ms;

/// What members agree on; others in the group must offer it too.
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";

/// Version of the subscription that we send, which every client of the last years reads.
const SUBSCRIPTION_VERSION: i16 = 1;

/// Newest version of a subscription that we read.
const SUBSCRIPTION_VERSION_MAX: i16 = 3;

/// Where a member stands, as its owner sees it.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// It has no partitions: it has just come, or the group is being rebalanced.
    Joining,
    /// It reads these partitions.
    Reading { membership: Membership, partitions: Partitions },
    /// It has given up.
    Failed(ClientError),
}

/// What the owner has taken and dealt with.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// The generation in which it was taken: partitions of another may be somebody else's.
    pub(super) generation: i32,
    /// The next offsets, by topic and partition.
    pub(super) next_offsets: BTreeMap<(String, i32), i64>,
}

/// The positions, as owner and member share them.
pub(super) type Taken = Arc<Mutex<Positions>>;

/// A member at work.
pub(super) struct Member {
    pub(super) client: Client,
    pub(super) options: GroupOptions,
    pub(super) lane: Lane,
    pub(super) standing: WatchSender<Standing>,
    pub(super) taken: Taken,
    pub(super) machine: Machine,
    pub(super) failures: u32,
}

impl Member {
    /// Runs until the owner is gone or the coordinator refuses for good.
    pub(super) async fn run(mut self) {
        let mut next = Next::Join;
        let mut leader_of = None;
        while !self.standing.is_closed() {
            next = match next {
                Next::Join => {
                    self.standing.send_replace(Standing::Joining);
                    let (then, answer) = self.join().await;
                    leader_of = answer;
                    then
                }
                Next::Sync => self.sync(leader_of.take()).await,
                Next::Read => self.read().await,
                Next::Find | Next::Pause => {
                    if next == Next::Find {
                        self.forget_coordinator();
                    }
                    self.failures += 1;
                    let pause = backoff_ms(self.client.options(), self.failures);
                    timer::sleep(Duration::from_millis(pause)).await;
                    Next::Join
                }
                Next::Fail(code) => {
                    let group = &self.options.group;
                    let error = ClientError::refused(ApiKey::JoinGroup, group, code);
                    self.standing.send_replace(Standing::Failed(error));
                    return;
                }
            };
        }
    }

    fn forget_coordinator(&self) {
        self.client.forget_coordinator(CoordinatorKind::Group, &self.options.group);
    }

    async fn ask<R: Request>(
        &self,
        request: &R,
        lane: Lane,
        extra: Duration,
    ) -> Result<R::Response, ClientError> {
        let node = self.client.coordinator(CoordinatorKind::Group, &self.options.group).await?;
        let connection = self.client.node(node, lane).await?;
        let version = connection.versions.of(R::KEY)?;
        connection.ask(request, version, extra).await.wait().await
    }

    /// The code that stands for an error without one.
    fn trouble(&self, error: &ClientError) -> ErrorCode {
        tracing::debug!(%error, group = %self.options.group, "coordinator cannot be asked");
        if error.is_retriable() {
            return error.code().unwrap_or(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        error.code().unwrap_or(ErrorCode::UNSUPPORTED_VERSION)
    }

    async fn join(&mut self) -> (Next, Option<JoinGroupResponse>) {
        let ms = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        let request = JoinGroupRequest {
            group_id: self.options.group.clone(),
            session_timeout_ms: ms(self.options.session_timeout),
            rebalance_timeout_ms: ms(self.options.rebalance_timeout),
            member_id: self.machine.membership.member.clone(),
            group_instance_id: None,
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: PROTOCOL.to_owned(),
                metadata: subscription(&self.options.topics),
            }],
            reason: None,
        };
        // The coordinator answers when everybody has come, so this may take long.
        match self.ask(&request, self.lane, self.options.rebalance_timeout).await {
            Ok(answer) => {
                let code = ErrorCode(answer.error_code);
                let next = self.machine.joined(code, answer.generation_id, &answer.member_id);
                (next, Some(answer))
            }
            Err(error) => {
                let code = self.trouble(&error);
                (self.machine.joined(code, -1, ""), None)
            }
        }
    }

    async fn sync(&mut self, joined: Option<JoinGroupResponse>) -> Next {
        let mut assignments = Vec::new();
        if let Some(joined) = joined.filter(|it| it.leader == it.member_id && !it.skip_assignment) {
            match self.assign(&joined).await {
                Ok(made) => assignments = made,
                Err(error) => {
                    let code = self.trouble(&error);
                    return self.machine.synced(code);
                }
            }
        }
        let request = SyncGroupRequest {
            group_id: self.options.group.clone(),
            generation_id: self.machine.membership.generation,
            member_id: self.machine.membership.member.clone(),
            group_instance_id: None,
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(PROTOCOL.to_owned()),
            assignments,
        };
        let asked = self.ask(&request, self.lane, self.options.rebalance_timeout).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                let code = self.trouble(&error);
                return self.machine.synced(code);
            }
        };
        let next = self.machine.synced(ErrorCode(answer.error_code));
        if next == Next::Read {
            self.failures = 0;
            let Some(partitions) = assignment(&answer.assignment) else {
                return Next::Fail(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
            };
            let mut taken = self.taken.lock().expect("no holder of the positions panics");
            let membership = self.machine.membership.clone();
            *taken = Positions { generation: membership.generation, next_offsets: BTreeMap::new() };
            drop(taken);
            self.standing.send_replace(Standing::Reading { membership, partitions });
        }
        next
    }

    /// What the leader of a generation decides for all.
    async fn assign(
        &self,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let mut wanted = BTreeMap::new();
        for member in joined.members.iter().take(GROUP_MEMBERS_MAX) {
            let topics = subscribed(&member.metadata).unwrap_or_default();
            wanted.insert(member.member_id.clone(), topics);
        }
        let topics: BTreeSet<&String> = wanted.values().flatten().collect();
        let mut counts = BTreeMap::new();
        for topic in topics {
            // A topic that does not exist yet has no partitions to give away.
            match self.client.topic(topic).await {
                Ok(view) => drop(counts.insert(topic.clone(), view.partition_count())),
                Err(ClientError::UnknownTopic { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let assigned = range(&wanted, &counts).into_iter();
        Ok(assigned
            .map(|(member_id, partitions)| SyncGroupRequestAssignment {
                member_id,
                assignment: encode_assignment(partitions),
            })
            .collect())
    }

    /// Stays a member until the coordinator says otherwise.
    async fn read(&mut self) -> Next {
        let mut commit_at = self.next_commit();
        loop {
            let beat_at = timer::now() + self.options.heartbeat_every;
            while let Some(at) = commit_at.filter(|at| *at < beat_at) {
                timer::sleep_until(at).await;
                self.commit_taken().await;
                commit_at = self.next_commit();
            }
            timer::sleep_until(beat_at).await;
            if self.standing.is_closed() {
                return Next::Read;
            }
            let request = HeartbeatRequest {
                group_id: self.options.group.clone(),
                generation_id: self.machine.membership.generation,
                member_id: self.machine.membership.member.clone(),
                group_instance_id: None,
            };
            let code = match self.ask(&request, Lane::Shared, Duration::ZERO).await {
                Ok(answer) => ErrorCode(answer.error_code),
                Err(error) => self.trouble(&error),
            };
            match self.machine.heard(code) {
                Next::Read => self.failures = 0,
                // A coordinator that moved still knows us by our name and generation.
                Next::Find => self.forget_coordinator(),
                Next::Pause => {}
                next => {
                    if code == ErrorCode::REBALANCE_IN_PROGRESS {
                        self.commit_taken().await;
                    }
                    return next;
                }
            }
        }
    }

    fn next_commit(&self) -> Option<Instant> {
        self.options.auto_commit_every.map(|every| timer::now() + every)
    }

    async fn commit_taken(&self) {
        if self.options.auto_commit_every.is_none() {
            return;
        }
        let membership = &self.machine.membership;
        let committed =
            commit_taken(&self.client, &self.options.group, membership, &self.taken).await;
        if let Err(error) = committed {
            // The heartbeat finds out what is wrong; at worst records are read twice.
            tracing::warn!(%error, group = %self.options.group, "offsets were not committed");
        }
    }
}

/// Commits what the owner has taken since the last commit.
pub(super) async fn commit_taken(
    client: &Client,
    group: &str,
    membership: &Membership,
    taken: &Taken,
) -> Result<(), ClientError> {
    let positions = {
        let mut taken = taken.lock().expect("no holder of the positions panics");
        if taken.generation != membership.generation {
            return Ok(());
        }
        std::mem::take(&mut taken.next_offsets)
    };
    if positions.is_empty() {
        return Ok(());
    }
    let offsets: Vec<(&str, i32, i64)> = positions
        .iter()
        .map(|((topic, partition), offset)| (topic.as_str(), *partition, *offset))
        .collect();
    let committed = commit(&client.admin(), group, membership, (&offsets, "")).await;
    if committed.is_err() {
        // What was taken meanwhile is newer and stays.
        let mut taken = taken.lock().expect("no holder of the positions panics");
        for (key, offset) in positions {
            if taken.generation == membership.generation {
                taken.next_offsets.entry(key).or_insert(offset);
            }
        }
    }
    committed
}

fn subscription(topics: &[String]) -> Bytes {
    let message = ConsumerProtocolSubscription { topics: topics.to_vec(), ..Default::default() };
    let mut writer = Writer::new();
    writer.int16(SUBSCRIPTION_VERSION);
    let encoded = message.encode(&mut writer, SUBSCRIPTION_VERSION);
    assert!(encoded.is_ok(), "a list of topic names fits every version: {encoded:?}");
    writer.into_bytes()
}

/// The topics of another member's subscription.
fn subscribed(metadata: &Bytes) -> Option<Vec<String>> {
    let mut reader = Reader::new(metadata);
    let version = reader.int16().ok()?.clamp(0, SUBSCRIPTION_VERSION_MAX);
    Some(ConsumerProtocolSubscription::decode(&mut reader, version).ok()?.topics)
}

fn encode_assignment(partitions: Partitions) -> Bytes {
    let topic = |(topic, partitions)| TopicPartition { topic, partitions };
    let message = ConsumerProtocolAssignment {
        assigned_partitions: partitions.into_iter().map(topic).collect(),
        user_data: None,
    };
    let mut writer = Writer::new();
    writer.int16(0);
    let encoded = message.encode(&mut writer, 0);
    assert!(encoded.is_ok(), "lists of partitions fit every version: {encoded:?}");
    writer.into_bytes()
}

/// The partitions of an assignment; an empty one is none, as Kafka sends to spare members.
fn assignment(bytes: &Bytes) -> Option<Partitions> {
    if bytes.is_empty() {
        return Some(Partitions::new());
    }
    let mut reader = Reader::new(bytes);
    let version = reader.int16().ok()?.clamp(0, SUBSCRIPTION_VERSION_MAX);
    let message = ConsumerProtocolAssignment::decode(&mut reader, version).ok()?;
    let mut partitions = Partitions::new();
    for topic in message.assigned_partitions {
        partitions.entry(topic.topic).or_default().extend(topic.partitions);
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_and_assignments_survive_the_wire() {
        let topics = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(subscribed(&subscription(&topics)), Some(topics));
        let partitions = Partitions::from([("a".to_owned(), vec![0, 2])]);
        assert_eq!(assignment(&encode_assignment(partitions.clone())), Some(partitions));
        assert_eq!(assignment(&Bytes::new()), Some(Partitions::new()));
    }

    #[test]
    fn garbage_from_another_member_is_no_subscription() {
        assert_eq!(subscribed(&Bytes::from_static(&[0, 1, 0xff, 0xff])), None);
        assert_eq!(assignment(&Bytes::from_static(&[0])), None);
    }
}
