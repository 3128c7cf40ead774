//! The connections of a client: made when they are first needed, shared, replaced when they break.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use protocol::error_code::ErrorCode;
use protocol::messages::api_versions::ApiVersionsRequest;
use runtime::channel::Semaphore;
use runtime::stream;
use runtime::task::Home;
use runtime::timer;

use crate::connection::Connection;
use crate::error::ClientError;
use crate::options::{Bootstrap, ClientOptions};
use crate::versions::Versions;

/// Stands for "whichever address of the bootstrap list answers".
const BOOTSTRAP_NODE: i32 = -1;

/// ApiVersions is asked in this version first; every broker since 2.4 speaks it.
const HANDSHAKE_VERSION: i16 = 3;

/// Which of several connections to one broker is meant.
///
/// Brokers answer the requests of a connection one after the other, so what may wait long (fetches,
/// joining a group) and what must be durable first (produce) gets a lane of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// For everything that is answered soon.
    Shared,
    /// For one producer or consumer.
    Own(u64),
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) node: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
}

#[derive(Debug)]
pub(crate) struct Pool {
    options: ClientOptions,
    // Shared connections live here, whoever asks for them first: the thread of a pipeline slot
    // ends earlier, and is busy with other things.
    home: Home,
    slots: Mutex<BTreeMap<(i32, Lane), Arc<Slot>>>,
    next_id: AtomicU64,
}

#[derive(Debug)]
struct Slot {
    // One caller connects, the others wait for him and find what he made.
    turn: Semaphore,
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Slot {
    fn new() -> Self {
        Self { turn: Semaphore::new(1), connection: Mutex::new(None) }
    }

    fn open(&self) -> Option<Arc<Connection>> {
        let connection = self.connection.lock().expect("no holder of a slot panics");
        connection.as_ref().filter(|connection| connection.is_open()).map(Arc::clone)
    }

    fn put(&self, connection: Arc<Connection>) {
        *self.connection.lock().expect("no holder of a slot panics") = Some(connection);
    }
}

impl Pool {
    pub(crate) fn new(options: ClientOptions) -> Self {
        let home = Home::current();
        Self { options, home, slots: Mutex::default(), next_id: AtomicU64::new(0) }
    }

    /// A lane that nobody else uses.
    pub(crate) fn own_lane(&self) -> Lane {
        Lane::Own(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Closes the connections of a lane.
    pub(crate) fn close_lane(&self, lane: Lane) {
        let mut slots = self.slots.lock().expect("no holder of the slots panics");
        slots.retain(|(_, of), _| *of != lane);
    }

    /// Forgets brokers that the cluster no longer names.
    pub(crate) fn keep_nodes(&self, is_known: impl Fn(i32) -> bool) {
        let mut slots = self.slots.lock().expect("no holder of the slots panics");
        slots.retain(|(node, _), _| *node == BOOTSTRAP_NODE || is_known(*node));
    }

    /// Any open connection that is shared.
    pub(crate) fn any_open(&self) -> Option<Arc<Connection>> {
        let slots = self.slots.lock().expect("no holder of the slots panics");
        let shared = slots.iter().rev().filter(|((_, lane), _)| *lane == Lane::Shared);
        shared.filter_map(|(_, slot)| slot.open()).next()
    }

    /// A connection to one of the bootstrap addresses.
    pub(crate) async fn bootstrap(&self) -> Result<Arc<Connection>, ClientError> {
        let slot = self.slot(BOOTSTRAP_NODE, Lane::Shared);
        let turn = slot.turn.acquire().await;
        let _turn = turn.expect("the semaphore of a slot is never closed");
        if let Some(connection) = slot.open() {
            return Ok(connection);
        }
        let addresses = match &self.options.bootstrap {
            Bootstrap::Tcp(addresses) => addresses.clone(),
            Bootstrap::Memory(_) => vec![("memory".to_owned(), 0)],
        };
        let mut last = ClientError::Closed;
        for (host, port) in addresses {
            let address = Address { node: BOOTSTRAP_NODE, host, port };
            match self.connect(&address, Lane::Shared).await {
                Ok(connection) => {
                    slot.put(Arc::clone(&connection));
                    return Ok(connection);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The connection of a lane to a broker.
    pub(crate) async fn get(
        &self,
        address: &Address,
        lane: Lane,
    ) -> Result<Arc<Connection>, ClientError> {
        let slot = self.slot(address.node, lane);
        if let Some(connection) = slot.open() {
            return Ok(connection);
        }
        let turn = slot.turn.acquire().await;
        let _turn = turn.expect("the semaphore of a slot is never closed");
        if let Some(connection) = slot.open() {
            return Ok(connection);
        }
        let connection = self.connect(address, lane).await?;
        slot.put(Arc::clone(&connection));
        Ok(connection)
    }

    fn slot(&self, node: i32, lane: Lane) -> Arc<Slot> {
        let mut slots = self.slots.lock().expect("no holder of the slots panics");
        Arc::clone(slots.entry((node, lane)).or_insert_with(|| Arc::new(Slot::new())))
    }

    async fn connect(&self, address: &Address, lane: Lane) -> Result<Arc<Connection>, ClientError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let connecting = connect(self.options.clone(), address.clone(), id);
        match lane {
            Lane::Own(_) => connecting.await,
            Lane::Shared => {
                let connected = self.home.spawn("client-connect", connecting).join().await;
                connected.unwrap_or(Err(ClientError::Closed))
            }
        }
    }
}

async fn connect(
    options: ClientOptions,
    address: Address,
    id: u64,
) -> Result<Arc<Connection>, ClientError> {
    let timeout = options.connect_timeout;
    let connecting = async {
        match &options.bootstrap {
            Bootstrap::Tcp(_) => stream::connect_tcp(&address.host, address.port).await,
            Bootstrap::Memory(connector) => connector.connect().await,
        }
    };
    let connected = timer::timeout(timeout, connecting).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = connected.map_err(|error| unreachable(&address, error))?;
    let connection = Connection::start(stream, id, &options.client_id, options.request_timeout);
    match timer::timeout(timeout, handshake(connection, &address)).await {
        Ok(connection) => connection.map(Arc::new),
        Err(_) => Err(ClientError::TimedOut { what: "ApiVersions", after: timeout }),
    }
}

fn unreachable(address: &Address, error: io::Error) -> ClientError {
    let (host, port, cause) = (address.host.clone(), address.port, Arc::new(error));
    if address.node == BOOTSTRAP_NODE {
        return ClientError::Unreachable { host, port, cause };
    }
    ClientError::AdvertisedUnreachable { node: address.node, host, port, cause }
}

/// Learns what the broker speaks. A peer that hangs up now most likely expected TLS.
async fn handshake(
    mut connection: Connection,
    address: &Address,
) -> Result<Connection, ClientError> {
    let request = ApiVersionsRequest {
        client_software_name: "millstream".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let zero = std::time::Duration::ZERO;
    let first = connection.ask(&request, HANDSHAKE_VERSION, zero).await;
    let mut response = match first.wait().await {
        // An older broker answers in version 0 (KIP-511), which does not fill the newer body.
        Err(ClientError::Malformed { .. }) => Default::default(),
        Err(error) => return Err(explain(error, address, connection.is_strange())),
        Ok(response) => response,
    };
    let old = ErrorCode(response.error_code) == ErrorCode::UNSUPPORTED_VERSION;
    if old || response.api_keys.is_empty() {
        let second = connection.ask(&request, 0, zero).await;
        let second = second.wait().await;
        response = second.map_err(|error| explain(error, address, connection.is_strange()))?;
    }
    if response.error_code != 0 || response.api_keys.is_empty() {
        return Err(ClientError::NotKafka { host: address.host.clone(), port: address.port });
    }
    connection.versions = Versions::new(&response);
    Ok(connection)
}

fn explain(error: ClientError, address: &Address, is_strange: bool) -> ClientError {
    let (host, port) = (address.host.clone(), address.port);
    match error {
        ClientError::Disconnected { .. } if is_strange => ClientError::NotKafka { host, port },
        ClientError::Disconnected { .. } => ClientError::ClosedAtOnce { host, port },
        ClientError::Malformed { .. } => ClientError::NotKafka { host, port },
        other => other,
    }
}
