//! Starting a broker, and ending it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::clock::Clock;
use base::disk::Disk;
use base::rng::Random;
use commitlog::Command;
use runtime::crew::Crew;
use runtime::shutdown::{Shutdown, Trigger};
use runtime::stream::{Listener, MemoryConnector};
use runtime::task::{self, Task};
use runtime::{shutdown, timer};
use tracing::{info, warn};

use crate::broker::Broker;
use crate::connection;
use crate::error::Error;
use crate::folder::{self, Folder, World};
use crate::group::service::Groups;
use crate::limits::{
    CLOSE_WAIT_MS_MAX, FLUSH_THREADS, GROUP_MEMBERS_MAX, GROUP_SESSION_TIMEOUT_MS_MAX,
    GROUP_SESSION_TIMEOUT_MS_MIN, OFFSET_METADATA_BYTES_MAX, OFFSETS_RETENTION_MS,
    TRANSACTIONAL_ID_EXPIRATION_MS,
};
use crate::metadata::Metadata;
use crate::metadata::service::{self, Parts};
use crate::options::BrokerOptions;
use crate::partition::Partitions;
use crate::store::Store;
use crate::traffic::Traffic;
use crate::transaction::service::{Surroundings, Transactions};
use crate::view::BrokerView;
use crate::watch::Watches;
use crate::{group, relocation, transaction};

/// A broker that runs. Dropping it without [`Running::stop`] leaves it running until its executor
/// ends, and then means the same as kill -9.
#[derive(Debug)]
pub struct Running {
    broker: Arc<Broker>,
    folder: Folder,
    connector: MemoryConnector,
    address: Option<SocketAddr>,
    trigger: Trigger,
    doors: Vec<Task<()>>,
    upkeep: [Task<()>; 2],
    coordinators: [Task<()>; 3],
}

impl Running {
    /// Starts a broker on the executor of the caller.
    ///
    /// # Errors
    /// [`Error`]: the folder is in use or unusable, or the address is taken.
    pub async fn start(
        options: BrokerOptions,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        rng: Arc<dyn Random>,
    ) -> Result<Self, Error> {
        let world = World { clock, disk, rng };
        // The address first: whoever is told that it is taken has not touched the folder.
        let (connector, memory) = Listener::memory();
        let socket = listen(options.listen).await?;
        let address = socket.as_ref().and_then(Listener::address);
        let crew = Crew::new("flush", FLUSH_THREADS).map_err(Error::Thread)?;
        let watches = Arc::new(Watches::new(crew));
        let (folder, queue, report) = folder::open(&options, &world, &watches).await?;
        let (trigger, end) = shutdown::pair();
        let store = Store::new(queue);
        let lender = task::spawn("store lender", store.clone().help(end.clone()));
        let partitions = Arc::new(Partitions::new(store, watches));
        let parts = Parts {
            partitions: Arc::clone(&partitions),
            clock: Arc::clone(&world.clock),
            rng: Arc::clone(&world.rng),
        };
        let metadata = service::start(&options, parts, &report.logs).await?;
        relocation::run(&partitions, world.clock.as_ref(), report.raise_from).await?;
        let (groups, transactions, coordinators) =
            start_coordinators(&options, &metadata, &partitions, &world.clock, &end);
        let upkeep = upkeep(Arc::clone(&partitions), options.maintenance_interval_ms, end.clone());
        let upkeep = task::spawn("upkeep", upkeep);
        let broker = Arc::new(Broker {
            cluster_id: report.identity.cluster_id.to_string(),
            advertised: advertised(&options, address),
            options,
            metadata,
            partitions,
            groups,
            transactions,
            clock: world.clock,
            rng: world.rng,
            traffic: Traffic::new(),
        });
        let doors = std::iter::once(memory)
            .chain(socket)
            .map(|listener| {
                task::spawn("accept", accept(Arc::clone(&broker), listener, end.clone()))
            })
            .collect();
        let upkeep = [upkeep, lender];
        Ok(Self { broker, folder, connector, address, trigger, doors, upkeep, coordinators })
    }

    /// Makes connections inside this process.
    #[must_use]
    pub fn connector(&self) -> MemoryConnector {
        self.connector.clone()
    }

    /// The address listened on, where there is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The broker at this moment.
    #[must_use]
    pub fn view(&self) -> BrokerView {
        self.broker.view()
    }

    /// Ends the broker: connections close, the log is flushed and marked clean.
    ///
    /// # Errors
    /// [`Error::Log`] when the end could not be made a clean one; the next start then recovers.
    pub async fn stop(self) -> Result<(), Error> {
        self.trigger.fire();
        for door in self.doors {
            door.join().await;
        }
        for task in self.upkeep {
            task.join().await;
        }
        let wait = Duration::from_millis(CLOSE_WAIT_MS_MAX);
        if timer::timeout(wait, self.broker.traffic.drained()).await.is_err() {
            warn!(connections = self.broker.traffic.open(), "connections did not end in time");
        }
        for coordinator in self.coordinators {
            coordinator.join().await;
        }
        let closed = self.broker.partitions.store().close().await;
        let Folder { lock, flusher } = self.folder;
        task::blocking(move || flusher.join()).await;
        drop(lock);
        info!("broker stopped");
        closed.map_err(|error| error.map_or(Error::Ended, Error::Log))
    }
}

/// Loads the coordinators and starts them, and the task that tells groups of deleted topics.
fn start_coordinators(
    options: &BrokerOptions,
    metadata: &Metadata,
    partitions: &Arc<Partitions>,
    clock: &Arc<dyn Clock>,
    end: &Shutdown,
) -> (Groups, Transactions, [Task<()>; 3]) {
    let settings = group::machine::Settings {
        partitions: options.offsets_topic_partitions,
        session_timeout_ms_min: GROUP_SESSION_TIMEOUT_MS_MIN,
        session_timeout_ms_max: GROUP_SESSION_TIMEOUT_MS_MAX,
        initial_rebalance_delay_ms: options.group_initial_rebalance_delay_ms,
        members_max: GROUP_MEMBERS_MAX,
        metadata_bytes_max: OFFSET_METADATA_BYTES_MAX,
        offsets_retention_ms: OFFSETS_RETENTION_MS,
    };
    let parts = (Arc::clone(partitions), Arc::clone(clock));
    let (groups, mut group_service) = group::service::Service::new(settings, parts.0, parts.1);
    group_service.load();
    let settings = transaction::machine::Settings {
        partitions: options.transaction_topic_partitions,
        timeout_ms_max: options.transaction_timeout_ms_max,
        id_expiration_ms: TRANSACTIONAL_ID_EXPIRATION_MS,
    };
    let around = Surroundings {
        partitions: Arc::clone(partitions),
        metadata: metadata.clone(),
        groups: groups.clone(),
        clock: Arc::clone(clock),
    };
    let (transactions, mut transaction_service) =
        transaction::service::Service::new(settings, around);
    transaction_service.load();
    let tasks = [
        task::spawn("groups", group_service.run(end.clone())),
        task::spawn("transactions", transaction_service.run(end.clone())),
        task::spawn("topic deletions", forget_topics(groups.clone(), metadata, end.clone())),
    ];
    (groups, transactions, tasks)
}

/// Tells the groups of every topic that is deleted.
fn forget_topics(
    groups: Groups,
    metadata: &Metadata,
    mut end: Shutdown,
) -> impl Future<Output = ()> + use<> {
    let mut deletions = metadata.deletions();
    async move {
        loop {
            runtime::select! {
                topic = deletions.recv() => match topic {
                    Some(topic) => groups.topic_deleted(topic.name.clone()).await,
                    None => return,
                },
                () = end.requested() => return,
            }
        }
    }
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<Listener>, Error> {
    let Some(address) = address else {
        return Ok(None);
    };
    let listener = Listener::tcp(address).await;
    listener.map(Some).map_err(|cause| Error::Listen { address, cause })
}

/// Retention, cleaning and checkpoints, in turn with everything else that the flusher does.
async fn upkeep(partitions: Arc<Partitions>, interval_ms: u64, mut end: Shutdown) {
    let interval = Duration::from_millis(interval_ms.max(1));
    loop {
        runtime::select! {
            () = timer::sleep(interval) => {}
            () = end.requested() => return,
        }
        if !partitions.store().tell(|| Command::Maintain).await {
            return;
        }
    }
}

/// Host and port that clients are told.
fn advertised(options: &BrokerOptions, address: Option<SocketAddr>) -> (String, u16) {
    match (&options.advertise, address) {
        (Some(advertise), _) => advertise.clone(),
        (None, Some(address)) if address.ip().is_unspecified() => {
            ("localhost".to_owned(), address.port())
        }
        (None, Some(address)) => (address.ip().to_string(), address.port()),
        // Nobody connects to it: clients of the memory connector keep to their connector.
        (None, None) => ("localhost".to_owned(), 9092),
    }
}

/// Lets connections in until the end.
async fn accept(broker: Arc<Broker>, mut listener: Listener, mut end: Shutdown) {
    let signal = end.clone();
    loop {
        let accepted = runtime::select! {
            accepted = listener.accept() => accepted,
            () = end.requested() => return,
        };
        let connection = match accepted {
            Ok(Some(connection)) => connection,
            Ok(None) => return,
            Err(error) => {
                warn!(%error, "a connection was not accepted");
                // Descriptors that are used up come back when a connection ends; asking again at
                // once would only burn the processor.
                timer::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = broker.traffic.admit() else {
            if broker.may_complain() {
                warn!(peer = %connection.peer, "connection refused: too many are open");
            }
            continue;
        };
        let serve = connection::serve(Arc::clone(&broker), connection, signal.clone());
        task::spawn("connection", async move {
            serve.await;
            drop(place);
        });
    }
}
