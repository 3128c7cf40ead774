//! Administrative requests: topics, their configuration, the cluster; groups and offsets in the
//! files below.

mod groups;
mod offsets;
mod topics;

use std::time::Duration;

use protocol::api::{ApiKey, Request};
use protocol::error_code::ErrorCode;
use protocol::messages::describe_cluster::DescribeClusterRequest;
use protocol::messages::init_producer_id::InitProducerIdRequest;
use protocol::record::ProducerIdentity;

use crate::client::{Client, CoordinatorKind};
use crate::cluster::BrokerView;
use crate::error::ClientError;

pub(crate) use groups::commit;
pub use groups::{Committed, GroupListing, GroupMember, GroupView};
pub use offsets::{ListedOffset, OffsetAt};
pub use topics::{ConfigEntry, ConfigResource, TopicSpec};

/// How long the broker may take to carry an administrative request out.
const OPERATION_TIMEOUT_MS: i32 = 30_000;

/// Administrative requests to one cluster.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

/// What the cluster says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// Number of the controller.
    pub controller: i32,
    /// The brokers.
    pub brokers: Vec<BrokerView>,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The cluster's id, controller and brokers.
    ///
    /// # Errors
    /// Why the cluster cannot be asked.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        let request = DescribeClusterRequest { endpoint_type: 1, ..Default::default() };
        let response = self.any(&request).await?;
        self.check(ApiKey::DescribeCluster, "cluster", response.error_code, &None)?;
        let broker =
            |broker: protocol::messages::describe_cluster::DescribeClusterBroker| BrokerView {
                node: broker.broker_id,
                host: broker.host,
                port: u16::try_from(broker.port).unwrap_or(0),
                rack: broker.rack,
            };
        Ok(ClusterDescription {
            cluster_id: response.cluster_id,
            controller: response.controller_id,
            brokers: response.brokers.into_iter().map(broker).collect(),
        })
    }

    /// Fences whoever uses this transactional id: its open transaction is aborted before this
    /// returns, and nothing it sends later is accepted.
    ///
    /// # Errors
    /// Why the coordinator refused or cannot be asked.
    pub async fn fence(&self, transactional_id: &str) -> Result<ProducerIdentity, ClientError> {
        // The lowest that brokers take: nobody is going to use this incarnation.
        self.issue(transactional_id, Duration::from_secs(1)).await
    }

    /// As [`Admin::fence`], for an identity that a producer elsewhere is going to use
    /// ([`crate::TransactionalProducer::adopt`]): it is good until the id is fenced again.
    /// `transaction_timeout` is how long a transaction of that producer may stay open.
    ///
    /// # Errors
    /// Why the coordinator refused or cannot be asked.
    pub async fn issue(
        &self,
        transactional_id: &str,
        transaction_timeout: Duration,
    ) -> Result<ProducerIdentity, ClientError> {
        let timeout_ms = transaction_timeout.as_millis();
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional_id.to_owned()),
            transaction_timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
            producer_id: ProducerIdentity::NONE.id,
            producer_epoch: ProducerIdentity::NONE.epoch,
            ..Default::default()
        };
        init_producer_id(&self.client, &request).await
    }

    /// Asks any broker, again when that may help.
    async fn any<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        let mut retry = self.client.retry();
        loop {
            let asked = async { self.client.any().await?.call(request).await };
            match asked.await {
                Ok(response) => return Ok(response),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// Asks the controller, again when it has moved. What changes the cluster is not repeated
    /// after a broken connection: nobody knows whether it was done.
    async fn controller<R: Request>(
        &self,
        request: &R,
        code_of: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, ClientError> {
        let mut retry = self.client.retry();
        loop {
            let connection = match self.client.controller().await {
                Ok(connection) => connection,
                Err(error) => {
                    retry.pause(error).await?;
                    continue;
                }
            };
            let response = connection.call(request).await?;
            if code_of(&response) != ErrorCode::NOT_CONTROLLER {
                return Ok(response);
            }
            let error = ClientError::refused(R::KEY, "controller", ErrorCode::NOT_CONTROLLER);
            retry.pause(error).await?;
            self.client.refresh(&[]).await?;
        }
    }

    fn check(
        &self,
        api: ApiKey,
        subject: &str,
        code: i16,
        message: &Option<String>,
    ) -> Result<(), ClientError> {
        ErrorCode(code).ok().map_err(|code| ClientError::Refused {
            api,
            subject: subject.to_owned(),
            code,
            message: message.clone(),
        })
    }
}

/// Asks the coordinator for an identity, and waits while an earlier transaction is being ended.
pub(crate) async fn init_producer_id(
    client: &Client,
    request: &InitProducerIdRequest,
) -> Result<ProducerIdentity, ClientError> {
    let id = request.transactional_id.clone().unwrap_or_default();
    let kind = CoordinatorKind::Transaction;
    let mut retry = client.retry();
    loop {
        let asked = client
            .ask_coordinator(kind, &id, request, |response| ErrorCode(response.error_code))
            .await;
        let error = match asked {
            Ok(response) => match ErrorCode(response.error_code) {
                ErrorCode::NONE => {
                    let (id, epoch) = (response.producer_id, response.producer_epoch);
                    return Ok(ProducerIdentity { id, epoch });
                }
                code => ClientError::refused(ApiKey::InitProducerId, &id, code),
            },
            Err(error) => error,
        };
        retry.pause(error).await?;
    }
}
