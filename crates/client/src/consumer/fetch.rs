//! Fetch requests and their answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::uuid::Uuid;
use bytes::Bytes;
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use runtime::channel::Notify;

use super::{Consumer, Key, Watermarks};
use crate::connection::decode;
use crate::error::ClientError;

/// From this version on, topics are named by their ids.
const IDS_SINCE: i16 = 13;

/// What a partition answered.
#[derive(Debug)]
pub(super) struct PartitionAnswer {
    pub(super) code: ErrorCode,
    pub(super) watermarks: Watermarks,
    /// Producer and first offset of the aborted transactions, by offset.
    pub(super) aborted: Vec<(i64, i64)>,
    pub(super) records: Bytes,
}

/// What a broker answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) node: i32,
    pub(super) asked: Vec<(Key, u64)>,
    pub(super) result: Result<Vec<(Key, u64, PartitionAnswer)>, ClientError>,
}

/// Answers that wait to be taken; at most one per broker.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    answers: Mutex<VecDeque<Arrived>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Arrived {
    node: i32,
    version: i16,
    asked: Vec<(Key, u64)>,
    ids: BTreeMap<Uuid, Arc<str>>,
    frame: Result<Bytes, ClientError>,
}

impl Inbox {
    pub(super) async fn arrival(&self) {
        self.arrived.notified().await;
    }

    fn put(&self, arrived: Arrived) {
        self.answers.lock().expect("no holder of the answers panics").push_back(arrived);
        self.arrived.notify_one();
    }

    pub(super) fn take(&self) -> Vec<Answer> {
        let arrived: Vec<Arrived> = {
            let mut answers = self.answers.lock().expect("no holder of the answers panics");
            answers.drain(..).collect()
        };
        arrived.into_iter().map(Arrived::open).collect()
    }
}

/// Puts an answer into the inbox whatever happens, so that no broker is waited for in vain.
struct Ticket {
    inbox: Arc<Inbox>,
    arrived: Option<Arrived>,
}

impl Ticket {
    fn redeem(mut self, frame: Result<Bytes, ClientError>) {
        if let Some(arrived) = &mut self.arrived {
            arrived.frame = frame;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(arrived) = self.arrived.take() {
            self.inbox.put(arrived);
        }
    }
}

/// Fetches from a broker; gives the partitions back when it cannot be reached.
pub(super) async fn send(
    consumer: &mut Consumer,
    node: i32,
    asked: Vec<(Key, u64)>,
) -> Result<(), (ClientError, Vec<(Key, u64)>)> {
    let connected = consumer.client.node(node, consumer.lane).await.and_then(|connection| {
        let version = connection.versions.of(ApiKey::Fetch)?;
        Ok((connection, version))
    });
    let (connection, newest) = match connected {
        Ok(connected) => connected,
        Err(error) => return Err((error, asked)),
    };
    let wait = consumer.fetch_wait(node);
    let (request, ids) = request(consumer, wait, &asked);
    let has_ids = ids.keys().all(|id| !id.is_zero());
    let version = if has_ids { newest } else { newest.min(IDS_SINCE - 1) };
    let frame = Err(ClientError::Disconnected { peer: String::new() });
    let arrived = Some(Arrived { node, version, asked, ids, frame });
    let ticket = Ticket { inbox: Arc::clone(&consumer.inbox), arrived };
    consumer.in_flight.insert(node, wait);
    consumer.fetches += 1;
    connection.send(&request, version, wait, Box::new(move |frame| ticket.redeem(frame))).await;
    Ok(())
}

fn request(
    consumer: &Consumer,
    wait: Duration,
    asked: &[(Key, u64)],
) -> (FetchRequest, BTreeMap<Uuid, Arc<str>>) {
    let options = &consumer.options;
    let cluster = consumer.client.cluster();
    let bytes = |bytes: usize| i32::try_from(bytes).unwrap_or(i32::MAX);
    let mut ids = BTreeMap::new();
    let mut topics: Vec<FetchTopic> = Vec::new();
    for ((name, partition), _) in asked {
        let view = cluster.topics.get(name);
        let epoch = view.and_then(|view| view.partition(*partition).ok());
        let part = FetchPartition {
            partition: *partition,
            current_leader_epoch: epoch.map_or(-1, |partition| partition.leader_epoch),
            fetch_offset: consumer.partitions[&(Arc::clone(name), *partition)].position,
            partition_max_bytes: bytes(options.partition_bytes_max),
            ..Default::default()
        };
        match topics.last_mut().filter(|topic| topic.topic == name.as_ref()) {
            Some(topic) => topic.partitions.push(part),
            None => {
                let topic_id = view.map_or(Uuid::ZERO, |view| view.id);
                ids.insert(topic_id, Arc::clone(name));
                let topic = name.to_string();
                topics.push(FetchTopic { topic, topic_id, partitions: vec![part] });
            }
        }
    }
    let wait_ms = wait.as_millis();
    let request = FetchRequest {
        max_wait_ms: i32::try_from(wait_ms).unwrap_or(i32::MAX),
        min_bytes: bytes(options.fetch_bytes_min),
        max_bytes: bytes(options.fetch_bytes_max.min(options.buffer_bytes_max)),
        isolation_level: options.isolation.code(),
        session_id: 0,
        session_epoch: -1,
        topics,
        ..Default::default()
    };
    (request, ids)
}

impl Arrived {
    fn open(self) -> Answer {
        let Self { node, version, asked, ids, frame } = self;
        let response = frame.and_then(|frame| decode::<FetchRequest>(&frame, version));
        let result = response.and_then(|response| partitions(response, &asked, &ids));
        Answer { node, asked, result }
    }
}

fn partitions(
    response: FetchResponse,
    asked: &[(Key, u64)],
    ids: &BTreeMap<Uuid, Arc<str>>,
) -> Result<Vec<(Key, u64, PartitionAnswer)>, ClientError> {
    let refused = |code| ClientError::refused(ApiKey::Fetch, "broker", code);
    ErrorCode(response.error_code).ok().map_err(refused)?;
    let seeks: BTreeMap<(&str, i32), (&Key, u64)> =
        asked.iter().map(|(key, seek)| ((key.0.as_ref(), key.1), (key, *seek))).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for topic in response.responses {
        let name = match ids.get(&topic.topic_id) {
            Some(name) if !topic.topic_id.is_zero() => name.as_ref(),
            _ => topic.topic.as_str(),
        };
        for part in topic.partitions {
            let Some((key, seek)) = seeks.get(&(name, part.partition_index)) else {
                continue;
            };
            let mut aborted: Vec<(i64, i64)> = part
                .aborted_transactions
                .unwrap_or_default()
                .iter()
                .map(|aborted| (aborted.first_offset, aborted.producer_id))
                .collect();
            aborted.sort_unstable();
            // What was decoded lies in one piece of memory, so this neither copies nor fails.
            let records = part.records.and_then(|records| records.to_bytes().ok());
            let answer = PartitionAnswer {
                code: ErrorCode(part.error_code),
                watermarks: Watermarks {
                    high_watermark: part.high_watermark,
                    last_stable_offset: part.last_stable_offset,
                    log_start: part.log_start_offset,
                },
                aborted,
                records: records.unwrap_or_default(),
            };
            answers.push(((*key).clone(), *seek, answer));
        }
    }
    Ok(answers)
}
