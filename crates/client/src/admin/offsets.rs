//! Offsets of logs: by time, and what is cut off at the start.

use std::collections::BTreeMap;

use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};

use super::{Admin, OPERATION_TIMEOUT_MS};
use crate::error::ClientError;
use crate::options::Isolation;
use crate::pool::Lane;

/// Which offset is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first that the log holds.
    Earliest,
    /// The one behind the last that a reader sees.
    Latest,
    /// The first whose record is not older than this, in milliseconds since 1970.
    Timestamp(i64),
    /// That of the record with the highest timestamp.
    MaxTimestamp,
}

impl OffsetAt {
    fn code(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::Timestamp(timestamp) => timestamp.max(0),
        }
    }
}

/// An offset that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; -1 when no record is that young.
    pub offset: i64,
    /// Timestamp of its record; -1 for the ends of the log.
    pub timestamp: i64,
    /// The leader's epoch at that offset; -1 when not known.
    pub leader_epoch: i32,
}

type TopicPartition = (String, i32);

impl Admin {
    /// Offsets of partitions; asks each leader once, and again those that have moved.
    ///
    /// # Errors
    /// The first refusal that does not pass.
    pub async fn list_offsets(
        &self,
        partitions: &[(&str, i32)],
        at: OffsetAt,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, ListedOffset>, ClientError> {
        let mut found = BTreeMap::new();
        let mut left: Vec<(&str, i32)> = partitions.to_vec();
        let mut retry = self.client.retry();
        loop {
            let mut trouble = None;
            let leaders = match self.by_leader(&left).await {
                Ok(leaders) => leaders,
                Err(error) => {
                    retry.pause(error).await?;
                    continue;
                }
            };
            for (node, partitions) in leaders {
                match self.list_offsets_of(node, &partitions, at, isolation).await {
                    Ok(response) => collect(response, &mut found, &mut trouble)?,
                    Err(error) => trouble = Some(error),
                }
            }
            left.retain(|(topic, partition)| {
                !found.contains_key(&((*topic).to_owned(), *partition))
            });
            let Some(error) = trouble else {
                return if left.is_empty() {
                    Ok(found)
                } else {
                    Err(ClientError::Incomplete { api: ApiKey::ListOffsets })
                };
            };
            retry.pause(error).await?;
            let mut topics: Vec<&str> = left.iter().map(|(topic, _)| *topic).collect();
            topics.dedup();
            self.client.refresh(&topics).await?;
        }
    }

    async fn by_leader<'a>(
        &self,
        partitions: &[(&'a str, i32)],
    ) -> Result<BTreeMap<i32, Vec<(&'a str, i32)>>, ClientError> {
        let mut leaders: BTreeMap<i32, Vec<(&str, i32)>> = BTreeMap::new();
        for (topic, partition) in partitions {
            let leader = self.client.leader(topic, *partition).await?;
            leaders.entry(leader).or_default().push((topic, *partition));
        }
        Ok(leaders)
    }

    async fn list_offsets_of(
        &self,
        node: i32,
        partitions: &[(&str, i32)],
        at: OffsetAt,
        isolation: Isolation,
    ) -> Result<ListOffsetsResponse, ClientError> {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (topic, partition) in partitions {
            topics.entry(topic).or_default().push(ListOffsetsPartition {
                partition_index: *partition,
                current_leader_epoch: -1,
                timestamp: at.code(),
            });
        }
        let topic =
            |(name, partitions): (&str, _)| ListOffsetsTopic { name: name.to_owned(), partitions };
        let connection = self.client.node(node, Lane::Shared).await?;
        let version = connection.versions.of(ApiKey::ListOffsets)?;
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation.code(),
            topics: topics.into_iter().map(topic).collect(),
            timeout_ms: if version >= 10 { OPERATION_TIMEOUT_MS } else { 0 },
        };
        connection.call(&request).await
    }

    /// Deletes the records before these offsets; tells where each log starts now. -1 stands for
    /// the high watermark.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn delete_records(
        &self,
        before: &[(&str, i32, i64)],
    ) -> Result<BTreeMap<TopicPartition, i64>, ClientError> {
        let mut starts = BTreeMap::new();
        for (topic, partition, offset) in before {
            let node = self.client.leader(topic, *partition).await?;
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: (*topic).to_owned(),
                    partitions: vec![DeleteRecordsPartition {
                        partition_index: *partition,
                        offset: *offset,
                    }],
                }],
                timeout_ms: OPERATION_TIMEOUT_MS,
            };
            let connection = self.client.node(node, Lane::Shared).await?;
            let response = connection.call(&request).await?;
            for result in response.topics {
                for part in result.partitions {
                    self.check(ApiKey::DeleteRecords, &result.name, part.error_code, &None)?;
                    let key = (result.name.clone(), part.partition_index);
                    starts.insert(key, part.low_watermark);
                }
            }
        }
        Ok(starts)
    }
}

/// Takes the offsets over; a refusal that passes becomes `trouble`.
fn collect(
    response: ListOffsetsResponse,
    found: &mut BTreeMap<TopicPartition, ListedOffset>,
    trouble: &mut Option<ClientError>,
) -> Result<(), ClientError> {
    for topic in response.topics {
        for part in topic.partitions {
            let code = ErrorCode(part.error_code);
            if code.is_none() {
                let listed = ListedOffset {
                    offset: part.offset,
                    timestamp: part.timestamp,
                    leader_epoch: part.leader_epoch,
                };
                found.insert((topic.name.clone(), part.partition_index), listed);
                continue;
            }
            let error = ClientError::refused(ApiKey::ListOffsets, &topic.name, code);
            if !code.is_retriable() {
                return Err(error);
            }
            *trouble = Some(error);
        }
    }
    Ok(())
}
