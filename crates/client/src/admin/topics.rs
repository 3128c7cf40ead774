//! Topics and configurations.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::uuid::Uuid;
use protocol::api::ApiKey;
use protocol::error_code::ErrorCode;
use protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::{Admin, OPERATION_TIMEOUT_MS};
use crate::cluster::{TopicView, topic_error};
use crate::error::ClientError;

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Count of its partitions; the broker's default when absent.
    pub partitions: Option<i32>,
    /// Count of the replicas; the broker's default when absent.
    pub replicas: Option<i16>,
    /// What differs from the broker's defaults.
    pub configs: Vec<(String, String)>,
}

impl TopicSpec {
    /// A topic of so many partitions.
    #[must_use]
    pub fn new(name: &str, partitions: i32) -> Self {
        Self {
            name: name.to_owned(),
            partitions: Some(partitions),
            replicas: None,
            configs: Vec::new(),
        }
    }

    /// With one more configuration.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.configs.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What a configuration belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A broker, by number.
    Broker(i32),
}

impl ConfigResource {
    fn code(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) => 4,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.clone(),
            Self::Broker(node) => node.to_string(),
        }
    }
}

/// One configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; none for what is secret.
    pub value: Option<String>,
    /// Whether nobody set it.
    pub is_default: bool,
    /// Whether it cannot be set while the broker runs.
    pub is_read_only: bool,
}

/// Kafka's number for "nobody set it".
const SOURCE_DEFAULT: i8 = 5;

impl Admin {
    /// All topics.
    ///
    /// # Errors
    /// Why the cluster cannot be asked.
    pub async fn topics(&self) -> Result<Vec<Arc<TopicView>>, ClientError> {
        Ok(self.client.refresh_all().await?.topics.values().map(Arc::clone).collect())
    }

    /// These topics, freshly looked at.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`] for the first that does not exist.
    pub async fn describe_topics(
        &self,
        topics: &[&str],
    ) -> Result<Vec<Arc<TopicView>>, ClientError> {
        let refused = self.client.refresh(topics).await?;
        if let Some((topic, code)) = refused.first_key_value() {
            return Err(topic_error(topic, *code));
        }
        let cluster = self.client.cluster();
        let view = |topic: &&str| {
            let found = cluster.topics.get(*topic).map(Arc::clone);
            found.ok_or_else(|| ClientError::UnknownTopic { topic: (*topic).to_owned() })
        };
        topics.iter().map(view).collect()
    }

    /// Makes topics and waits until each has leaders.
    ///
    /// # Errors
    /// [`ClientError::TopicExists`] for the first that existed, after the others were made; else
    /// the broker's refusal.
    pub async fn create_topics(&self, specs: &[TopicSpec]) -> Result<Vec<Uuid>, ClientError> {
        let config = |(name, value): &(String, String)| CreatableTopicConfig {
            name: name.clone(),
            value: Some(value.clone()),
        };
        let topic = |spec: &TopicSpec| CreatableTopic {
            name: spec.name.clone(),
            num_partitions: spec.partitions.unwrap_or(-1),
            replication_factor: spec.replicas.unwrap_or(-1),
            configs: spec.configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: specs.iter().map(topic).collect(),
            timeout_ms: OPERATION_TIMEOUT_MS,
            validate_only: false,
        };
        let first_code = |response: &protocol::messages::create_topics::CreateTopicsResponse| {
            response.topics.first().map_or(ErrorCode::NONE, |topic| ErrorCode(topic.error_code))
        };
        let response = self.controller(&request, first_code).await?;
        let mut ids = Vec::with_capacity(specs.len());
        let mut failed = None;
        for topic in response.topics {
            if ErrorCode(topic.error_code) == ErrorCode::TOPIC_ALREADY_EXISTS {
                failed.get_or_insert(ClientError::TopicExists { topic: topic.name });
                continue;
            }
            let api = ApiKey::CreateTopics;
            match self.check(api, &topic.name, topic.error_code, &topic.error_message) {
                Ok(()) => {
                    self.wait_for_leaders(&topic.name, 1).await?;
                    ids.push(topic.topic_id);
                }
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(ids), Err)
    }

    /// Brokers answer before all of them know the new topic, or its new partitions.
    async fn wait_for_leaders(&self, topic: &str, count: i32) -> Result<(), ClientError> {
        let mut retry = self.client.retry();
        loop {
            let refused = self.client.refresh(&[topic]).await?;
            let cluster = self.client.cluster();
            let has_leaders = |view: &Arc<TopicView>| {
                view.partition_count() >= count
                    && view.partitions.iter().all(|partition| partition.leader >= 0)
            };
            if cluster.topics.get(topic).is_some_and(has_leaders) {
                return Ok(());
            }
            let code = refused.get(topic).copied().unwrap_or(ErrorCode::LEADER_NOT_AVAILABLE);
            retry.pause_for(topic_error(topic, code)).await?;
        }
    }

    /// Deletes topics.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`] or the broker's refusal, for the first that was refused,
    /// after the others were deleted.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<(), ClientError> {
        let names: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let by_name =
            |name: &String| DeleteTopicState { name: Some(name.clone()), ..Default::default() };
        // Version 6 lists names and ids together; earlier ones have a list of names.
        let version = self.client.any().await?.versions.of(ApiKey::DeleteTopics)?;
        let request = DeleteTopicsRequest {
            topics: if version >= 6 { names.iter().map(by_name).collect() } else { Vec::new() },
            topic_names: if version >= 6 { Vec::new() } else { names },
            timeout_ms: OPERATION_TIMEOUT_MS,
        };
        let first_code = |response: &protocol::messages::delete_topics::DeleteTopicsResponse| {
            response.responses.first().map_or(ErrorCode::NONE, |one| ErrorCode(one.error_code))
        };
        let response = self.controller(&request, first_code).await?;
        let mut failed = None;
        for topic in response.responses {
            let name = topic.name.unwrap_or_default();
            if ErrorCode(topic.error_code) == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
                failed.get_or_insert(ClientError::UnknownTopic { topic: name });
                continue;
            }
            let api = ApiKey::DeleteTopics;
            if let Err(error) = self.check(api, &name, topic.error_code, &topic.error_message) {
                failed.get_or_insert(error);
            }
        }
        // The picture must not keep what is gone; asking by name could make it anew.
        self.client.refresh_all().await?;
        failed.map_or(Ok(()), Err)
    }

    /// Raises the count of a topic's partitions.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<(), ClientError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: topic.to_owned(),
                count,
                assignments: None,
            }],
            timeout_ms: OPERATION_TIMEOUT_MS,
            validate_only: false,
        };
        let first_code =
            |response: &protocol::messages::create_partitions::CreatePartitionsResponse| {
                response.results.first().map_or(ErrorCode::NONE, |one| ErrorCode(one.error_code))
            };
        let response = self.controller(&request, first_code).await?;
        for result in response.results {
            let api = ApiKey::CreatePartitions;
            self.check(api, &result.name, result.error_code, &result.error_message)?;
        }
        self.wait_for_leaders(topic, count).await
    }

    /// The configuration of a topic or broker.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
    ) -> Result<BTreeMap<String, ConfigEntry>, ClientError> {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.code(),
                resource_name: resource.name(),
                configuration_keys: None,
            }],
            ..Default::default()
        };
        let response = match resource {
            ConfigResource::Topic(_) => self.any(&request).await?,
            ConfigResource::Broker(node) => {
                let lane = crate::pool::Lane::Shared;
                self.client.node(*node, lane).await?.call(&request).await?
            }
        };
        let mut entries = BTreeMap::new();
        for result in response.results {
            let api = ApiKey::DescribeConfigs;
            self.check(api, &result.resource_name, result.error_code, &result.error_message)?;
            for config in result.configs {
                let entry = ConfigEntry {
                    name: config.name.clone(),
                    value: config.value,
                    is_default: config.config_source == SOURCE_DEFAULT,
                    is_read_only: config.read_only,
                };
                entries.insert(config.name, entry);
            }
        }
        Ok(entries)
    }

    /// Sets configurations, or puts them back to their default where the value is absent.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        configs: &[(&str, Option<&str>)],
    ) -> Result<(), ClientError> {
        let config = |(name, value): &(&str, Option<&str>)| AlterableConfig {
            name: (*name).to_owned(),
            // 0 sets, 1 deletes.
            config_operation: i8::from(value.is_none()),
            value: value.map(str::to_owned),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.code(),
                resource_name: resource.name(),
                configs: configs.iter().map(config).collect(),
            }],
            validate_only: false,
        };
        let response = self.any(&request).await?;
        for result in response.responses {
            let api = ApiKey::IncrementalAlterConfigs;
            self.check(api, &result.resource_name, result.error_code, &result.error_message)?;
        }
        Ok(())
    }
}
