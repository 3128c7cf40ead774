//! The leader's seat: the one writer of the catalogue, as long as the log says so.

use std::collections::BTreeMap;
use std::fmt;

use base::clock::Clock;
use client::options::TransactionalOptions;
use client::transaction::{TopicHandle, TxnRecord};
use client::{Client, ClientError, TransactionalProducer};

use crate::beat::PROTOCOL;
use crate::catalogue::{Catalogue, Entry, FORMAT, Leadership};
use crate::error::CoordinationError;
use crate::node::Node;
use crate::reader::catalogue;
use crate::request::Answer;
use crate::sos::HandOut;
use crate::topics::{self, ANSWERS, CLUSTER, LEADER, REQUESTS};

/// A seat that was won.
pub struct Seat {
    client: Client,
    producer: TransactionalProducer,
    cluster: TopicHandle,
    answers: TopicHandle,
    /// The topics of task managers, by id.
    task_managers: BTreeMap<String, TopicHandle>,
    epoch: u64,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat(epoch {})", self.epoch)
    }
}

/// What goes into the log together.
#[derive(Debug, Default)]
pub struct Sitting {
    /// Records of the catalogue.
    pub entries: Vec<Entry>,
    /// An answer, with the offset behind its request.
    pub answer: Option<(Answer, i64)>,
    /// What task managers are told of it on topics of their own.
    pub hand_outs: Vec<HandOut>,
}

impl Seat {
    /// Claims the seat, if the leader is still that of `epoch`: whoever had it is fenced. Gives
    /// the catalogue too, or nothing when somebody else was faster.
    ///
    /// # Errors
    /// The log's, which a later claim fences too.
    pub async fn claim(
        client: &Client,
        (node, version): (&Node, &str),
        epoch: u64,
        clock: &dyn Clock,
    ) -> Result<Option<(Self, Catalogue)>, CoordinationError> {
        let epoch_of = |it: &Catalogue| it.leader.as_ref().map_or(0, |leader| leader.epoch);
        if epoch_of(&catalogue(client).await?) > epoch {
            return Ok(None);
        }
        let mut producer = client.transactional(TransactionalOptions::new(LEADER));
        producer.init().await?;
        // What a predecessor has left open is aborted by now, so this is all there is.
        let mut known = catalogue(client).await?;
        let leader = Leadership {
            format: FORMAT,
            protocol: PROTOCOL,
            version: version.to_owned(),
            node: node.id.clone(),
            nonce: node.nonce,
            epoch: epoch_of(&known) + 1,
            host: node.host.clone(),
            pid: node.pid,
        };
        let cluster = producer.topic(CLUSTER).await?;
        let answers = producer.topic(ANSWERS).await?;
        let (client, task_managers) = (client.clone(), BTreeMap::new());
        let epoch = leader.epoch;
        let mut seat = Self { client, producer, cluster, answers, task_managers, epoch };
        let entries = vec![Entry::Leadership(leader.clone())];
        seat.commit(Sitting { entries, ..Sitting::default() }, clock.unix_ms()).await?;
        known.apply(Entry::Leadership(leader));
        Ok(Some((seat, known)))
    }

    /// The epoch of the leadership.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Writes all of it or nothing; it counts when this returns. After an error the seat is lost.
    ///
    /// # Errors
    /// [`ClientError::Fenced`] when somebody else has the seat, and what else the log says.
    pub async fn commit(&mut self, sitting: Sitting, now_ms: i64) -> Result<(), ClientError> {
        for handed in &sitting.hand_outs {
            self.learn(&handed.task_manager).await?;
        }
        let producer = &mut self.producer;
        producer.begin()?;
        for entry in &sitting.entries {
            let (key, value) = entry.encode();
            let record = record(&key, &value, now_ms);
            producer.append(self.cluster, 0, &record)?;
        }
        if let Some((answer, next)) = &sitting.answer {
            let value = serde_json::to_vec(answer).expect("an answer is plain data");
            let key = answer.id.to_string();
            producer.append(self.answers, 0, &record(&key, &value, now_ms))?;
            producer.send_offsets(LEADER, &[(REQUESTS, 0, *next)])?;
        }
        for handed in &sitting.hand_outs {
            let value = serde_json::to_vec(handed).expect("what is handed out is plain data");
            if let Some(topic) = self.task_managers.get(&handed.task_manager) {
                producer.append(*topic, 0, &record(&handed.pipeline, &value, now_ms))?;
            }
        }
        producer.commit().await
    }

    /// Makes the topic of a task manager, the first time that it is needed.
    async fn learn(&mut self, id: &str) -> Result<(), ClientError> {
        if !self.task_managers.contains_key(id) {
            topics::prepare_task_manager(&self.client, id).await?;
            let topic = self.producer.topic(&topics::of_task_manager(id)).await?;
            self.task_managers.insert(id.to_owned(), topic);
        }
        Ok(())
    }
}

fn record<'a>(key: &'a str, value: &'a [u8], timestamp: i64) -> TxnRecord<'a> {
    TxnRecord { timestamp, key: Some(key.as_bytes()), value: Some(value), headers: &[] }
}

/// Where the leader goes on with the requests.
///
/// # Errors
/// The log's.
pub async fn next_request(client: &Client) -> Result<Option<i64>, ClientError> {
    let committed = client.admin().committed_offsets(LEADER, Some(&[(REQUESTS, 0)]), true).await?;
    let found = committed.get(&(REQUESTS.to_owned(), 0));
    Ok(found.map(|found| found.offset).filter(|offset| *offset >= 0))
}
