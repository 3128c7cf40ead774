//! The client: the picture of the cluster, the way to leaders and coordinators, the shared pool.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::clock::Clock;
use base::rng::Random;
use protocol::api::{ApiKey, Request};
use protocol::error_code::ErrorCode;
use protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use runtime::channel::{self, Semaphore, WatchReceiver, WatchSender};

use crate::admin::Admin;
use crate::cluster::{ClusterView, TopicView, topic_error};
use crate::connection::Connection;
use crate::consumer::Consumer;
use crate::error::ClientError;
use crate::group::GroupConsumer;
use crate::options::{
    Bootstrap, ClientOptions, ConsumerOptions, GroupOptions, ProducerOptions, TransactionalOptions,
};
use crate::pool::{Address, Lane, Pool};
use crate::producer::Producer;
use crate::retry::Retry;
use crate::transaction::TransactionalProducer;

/// A client of one cluster; clones share everything.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    options: ClientOptions,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Random>,
    pool: Pool,
    view: Mutex<View>,
    refreshed: WatchSender<()>,
    refresh: Semaphore,
    coordinators: Mutex<BTreeMap<(CoordinatorKind, String), i32>>,
}

#[derive(Default)]
struct View {
    cluster: Arc<ClusterView>,
    // The last look at each topic.
    seen: BTreeMap<Arc<str>, Seen>,
    // Counts the refreshes, so that who waited for one knows that it was his.
    refreshes: u64,
}

#[derive(Clone, Copy)]
struct Seen {
    steady_ms: u64,
    refresh: u64,
}

/// What a coordinator coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CoordinatorKind {
    Group,
    Transaction,
}

impl CoordinatorKind {
    fn code(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Transaction => 1,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.inner.options.client_id)
    }
}

impl Client {
    /// Connects to the cluster and looks at its brokers.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::ClosedAtOnce`], [`ClientError::NotKafka`],
    /// [`ClientError::AdvertisedUnreachable`] tell what is wrong with the address.
    pub async fn connect(
        options: ClientOptions,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Random>,
    ) -> Result<Self, ClientError> {
        let inner = Inner {
            pool: Pool::new(options.clone()),
            options,
            clock,
            rng,
            view: Mutex::default(),
            refreshed: channel::watch(()).0,
            refresh: Semaphore::new(1),
            coordinators: Mutex::default(),
        };
        let client = Self { inner: Arc::new(inner) };
        let connection = client.inner.pool.bootstrap().await?;
        client.refresh_over(&connection, Some(Vec::new())).await?;
        // An advertised address that does not work is found now, not at the first record.
        if let Bootstrap::Tcp(_) = client.inner.options.bootstrap {
            client.any_advertised().await?;
        }
        Ok(client)
    }

    /// Administrative requests.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// A producer without transactions.
    #[must_use]
    pub fn producer(&self, options: ProducerOptions) -> Producer {
        Producer::new(self.clone(), options)
    }

    /// A producer with transactions; `init` comes first.
    #[must_use]
    pub fn transactional(&self, options: TransactionalOptions) -> TransactionalProducer {
        TransactionalProducer::new(self.clone(), options)
    }

    /// A consumer of partitions that are assigned to it by hand.
    #[must_use]
    pub fn consumer(&self, options: ConsumerOptions) -> Consumer {
        Consumer::new(self.clone(), options)
    }

    /// A member of a consumer group.
    #[must_use]
    pub fn group_consumer(&self, options: GroupOptions) -> GroupConsumer {
        GroupConsumer::new(self.clone(), options)
    }

    /// The cluster as it was last seen.
    #[must_use]
    pub fn cluster(&self) -> Arc<ClusterView> {
        Arc::clone(&self.lock_view().cluster)
    }

    /// Tells whenever the cluster was looked at again, for whatever reason.
    #[must_use]
    pub fn refreshed(&self) -> WatchReceiver<()> {
        self.inner.refreshed.subscribe()
    }

    /// Sees that the brokers speak an API, before anything depends on it.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`], or why the cluster cannot be asked.
    pub async fn require(&self, api: ApiKey) -> Result<(), ClientError> {
        let mut retry = self.retry();
        loop {
            match self.any().await {
                Ok(connection) => return connection.versions.of(api).map(drop),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// A topic; asks the broker when it is unknown or was not looked at for long.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], or why the cluster cannot be asked.
    pub async fn topic(&self, topic: &str) -> Result<Arc<TopicView>, ClientError> {
        self.find(topic, self.inner.options.topics_auto_create).await
    }

    /// A topic that is known to exist, because somebody has just made it: a broker that has not
    /// heard of it yet is asked again.
    ///
    /// # Errors
    /// As [`Self::topic`], when it does not come to be seen.
    pub async fn topic_that_exists(&self, topic: &str) -> Result<Arc<TopicView>, ClientError> {
        self.find(topic, true).await
    }

    async fn find(&self, topic: &str, is_expected: bool) -> Result<Arc<TopicView>, ClientError> {
        if let Some(found) = self.fresh_topic(topic) {
            return Ok(found);
        }
        let mut retry = self.retry();
        loop {
            let refused = self.refresh(&[topic]).await?;
            if let Some(found) = self.lock_view().cluster.topics.get(topic) {
                return Ok(Arc::clone(found));
            }
            let code = refused.get(topic).copied();
            let code = code.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let error = topic_error(topic, code);
            // A topic that is being created has no leader for a moment.
            match error {
                ClientError::UnknownTopic { .. } if is_expected => retry.pause_for(error).await?,
                error => retry.pause(error).await?,
            }
        }
    }

    /// Looks at these topics again; says what the broker has against which.
    ///
    /// # Errors
    /// Why the cluster cannot be asked.
    pub async fn refresh(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, ErrorCode>, ClientError> {
        let names = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.refresh_any(Some(names)).await
    }

    /// Looks at all topics.
    ///
    /// # Errors
    /// Why the cluster cannot be asked.
    pub async fn refresh_all(&self) -> Result<Arc<ClusterView>, ClientError> {
        self.refresh_any(None).await?;
        Ok(self.cluster())
    }

    async fn refresh_any(
        &self,
        topics: Option<Vec<String>>,
    ) -> Result<BTreeMap<String, ErrorCode>, ClientError> {
        let mut retry = self.retry();
        loop {
            let asked = async {
                let connection = self.any().await?;
                self.refresh_over(&connection, topics.clone()).await
            };
            match asked.await {
                Ok(refused) => return Ok(refused),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    async fn refresh_over(
        &self,
        connection: &Connection,
        topics: Option<Vec<String>>,
    ) -> Result<BTreeMap<String, ErrorCode>, ClientError> {
        let before = self.lock_view().refreshes;
        let turn = self.inner.refresh.acquire().await;
        let _turn = turn.expect("the semaphore of the client is never closed");
        // Many callers notice a moved leader at once; one question answers them all.
        let known = topics.as_ref().is_some_and(|topics| self.saw_since(before, topics));
        if known {
            return Ok(BTreeMap::new());
        }
        let is_complete = topics.is_none();
        let by_name = |name| MetadataRequestTopic { name: Some(name), ..Default::default() };
        let request = MetadataRequest {
            topics: topics.map(|names| names.into_iter().map(by_name).collect()),
            allow_auto_topic_creation: self.inner.options.topics_auto_create,
            ..Default::default()
        };
        let response = connection.call(&request).await?;
        let mut refused = BTreeMap::new();
        let mut view = self.lock_view();
        let names: Vec<Arc<str>> = response
            .topics
            .iter()
            .filter_map(|topic| topic.name.as_deref().map(Arc::from))
            .collect();
        let cluster = view.cluster.updated(response, is_complete, &mut refused);
        let now = self.inner.clock.steady_ms();
        view.refreshes += 1;
        let seen = Seen { steady_ms: now, refresh: view.refreshes };
        view.seen.extend(names.into_iter().map(|name| (name, seen)));
        view.seen.retain(|name, _| cluster.topics.contains_key(name));
        let nodes: Vec<i32> = cluster.brokers.keys().copied().collect();
        view.cluster = Arc::new(cluster);
        drop(view);
        self.inner.refreshed.send_replace(());
        self.inner.pool.keep_nodes(|node| nodes.contains(&node));
        Ok(refused)
    }

    /// Whether somebody refreshed these very topics after refresh number `before`.
    fn saw_since(&self, before: u64, topics: &[String]) -> bool {
        let view = self.lock_view();
        let is_newer = |topic: &String| {
            view.seen.get(topic.as_str()).is_some_and(|seen| seen.refresh > before)
        };
        !topics.is_empty() && topics.iter().all(is_newer)
    }

    fn fresh_topic(&self, topic: &str) -> Option<Arc<TopicView>> {
        let view = self.lock_view();
        let seen = *view.seen.get(topic)?;
        let age = self.inner.clock.steady_ms().saturating_sub(seen.steady_ms);
        if Duration::from_millis(age) > self.inner.options.metadata_max_age {
            return None;
        }
        view.cluster.topics.get(topic).map(Arc::clone)
    }

    fn lock_view(&self) -> std::sync::MutexGuard<'_, View> {
        self.inner.view.lock().expect("no holder of the view panics")
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.inner.clock.as_ref()
    }

    pub(crate) fn rng(&self) -> &dyn Random {
        self.inner.rng.as_ref()
    }

    pub(crate) fn retry(&self) -> Retry<'_> {
        Retry::new(&self.inner.options, self.rng())
    }

    pub(crate) fn own_lane(&self) -> Lane {
        self.inner.pool.own_lane()
    }

    pub(crate) fn close_lane(&self, lane: Lane) {
        self.inner.pool.close_lane(lane);
    }

    /// A connection to whichever broker answers.
    pub(crate) async fn any(&self) -> Result<Arc<Connection>, ClientError> {
        if let Some(connection) = self.inner.pool.any_open() {
            return Ok(connection);
        }
        match self.inner.pool.bootstrap().await {
            Ok(connection) => Ok(connection),
            // The bootstrap list may be out of date while the cluster lives elsewhere.
            Err(error) => self.any_advertised().await.map_err(|_| error),
        }
    }

    async fn any_advertised(&self) -> Result<Arc<Connection>, ClientError> {
        let cluster = self.cluster();
        let mut last = ClientError::Incomplete { api: ApiKey::Metadata };
        for node in cluster.brokers.keys() {
            match self.node(*node, Lane::Shared).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A connection to this broker.
    pub(crate) async fn node(&self, node: i32, lane: Lane) -> Result<Arc<Connection>, ClientError> {
        let address = self.cluster().address(node);
        let address = address.ok_or_else(|| {
            ClientError::refused(ApiKey::Metadata, "broker", ErrorCode::LEADER_NOT_AVAILABLE)
        })?;
        self.inner.pool.get(&address, lane).await
    }

    /// The broker that leads a partition.
    pub(crate) async fn leader(&self, topic: &str, partition: i32) -> Result<i32, ClientError> {
        let view = self.topic(topic).await?;
        match view.partition(partition) {
            Ok(found) if found.leader >= 0 => Ok(found.leader),
            Ok(_) => {
                self.refresh(&[topic]).await?;
                let code = ErrorCode::LEADER_NOT_AVAILABLE;
                Err(ClientError::refused(ApiKey::Metadata, topic, code))
            }
            Err(_) => {
                // Somebody may have added partitions since the last look.
                self.refresh(&[topic]).await?;
                self.topic(topic).await?.partition(partition).map(|found| found.leader)
            }
        }
    }

    /// The broker that takes administrative requests.
    pub(crate) async fn controller(&self) -> Result<Arc<Connection>, ClientError> {
        let controller = self.cluster().controller;
        if controller < 0 {
            return self.any().await;
        }
        self.node(controller, Lane::Shared).await
    }

    /// The broker that coordinates a group or a transactional id.
    pub(crate) async fn coordinator(
        &self,
        kind: CoordinatorKind,
        key: &str,
    ) -> Result<i32, ClientError> {
        let entry = (kind, key.to_owned());
        let known = self.lock_coordinators().get(&entry).copied();
        if let Some(node) = known {
            return Ok(node);
        }
        let connection = self.any().await?;
        let version = connection.versions.of(ApiKey::FindCoordinator)?;
        // Version 4 asks for many keys at once and drops the single one.
        let is_batched = version >= 4;
        let request = FindCoordinatorRequest {
            key: if is_batched { String::new() } else { key.to_owned() },
            key_type: kind.code(),
            coordinator_keys: if is_batched { vec![key.to_owned()] } else { Vec::new() },
        };
        let response = connection.call(&request).await?;
        let found = coordinator_address(response, is_batched, key)?;
        self.learn_broker(&found).await?;
        self.lock_coordinators().insert(entry, found.node);
        Ok(found.node)
    }

    /// Forgets where a coordinator was, after it said that it is elsewhere or hung up.
    pub(crate) fn forget_coordinator(&self, kind: CoordinatorKind, key: &str) {
        self.lock_coordinators().remove(&(kind, key.to_owned()));
    }

    fn lock_coordinators(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<(CoordinatorKind, String), i32>> {
        self.inner.coordinators.lock().expect("no holder of the coordinators panics")
    }

    /// A coordinator may be a broker that joined after the last look at the cluster.
    async fn learn_broker(&self, address: &Address) -> Result<(), ClientError> {
        if self.cluster().address(address.node).is_none() {
            self.refresh_any(Some(Vec::new())).await?;
        }
        Ok(())
    }

    /// Asks a coordinator once in a version up to `cap`; forgets it when it cannot be reached.
    pub(crate) async fn ask_coordinator_up_to<R: Request>(
        &self,
        (kind, key): (CoordinatorKind, &str),
        request: &R,
        cap: i16,
    ) -> Result<R::Response, ClientError> {
        let asked = async {
            let node = self.coordinator(kind, key).await?;
            let connection = self.node(node, Lane::Shared).await?;
            let version = connection.versions.up_to(R::KEY, cap)?;
            connection.ask(request, version, Duration::ZERO).await.wait().await
        };
        let answered = asked.await;
        if answered.as_ref().is_err_and(ClientError::is_disconnect) {
            self.forget_coordinator(kind, key);
        }
        answered
    }

    /// Asks a coordinator once, over the shared lane; forgets it when it is not the right one.
    pub(crate) async fn ask_coordinator<R: Request>(
        &self,
        kind: CoordinatorKind,
        key: &str,
        request: &R,
        code_of: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, ClientError> {
        let asked = async {
            let node = self.coordinator(kind, key).await?;
            self.node(node, Lane::Shared).await?.call(request).await
        };
        let answered = asked.await.and_then(|response| match code_of(&response) {
            code if is_moved_coordinator(code) => Err(ClientError::refused(R::KEY, key, code)),
            _ => Ok(response),
        });
        if let Err(error) = &answered
            && (error.is_disconnect() || error.code().is_some_and(is_moved_coordinator))
        {
            self.forget_coordinator(kind, key);
        }
        answered
    }
}

/// Whether the code says that the coordinator is somewhere else, or not ready.
pub(crate) fn is_moved_coordinator(code: ErrorCode) -> bool {
    code == ErrorCode::NOT_COORDINATOR
        || code == ErrorCode::COORDINATOR_NOT_AVAILABLE
        || code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
}

fn coordinator_address(
    response: FindCoordinatorResponse,
    is_batched: bool,
    key: &str,
) -> Result<Address, ClientError> {
    let api = ApiKey::FindCoordinator;
    let (code, node, host, port) = if is_batched {
        let mut found = response.coordinators.into_iter();
        let found = found.find(|coordinator| coordinator.key == key);
        let found = found.ok_or(ClientError::Incomplete { api })?;
        (found.error_code, found.node_id, found.host, found.port)
    } else {
        (response.error_code, response.node_id, response.host, response.port)
    };
    ErrorCode(code).ok().map_err(|code| ClientError::refused(api, key, code))?;
    let port = u16::try_from(port).map_err(|_| ClientError::Incomplete { api })?;
    Ok(Address { node, host, port })
}
