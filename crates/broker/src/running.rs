//! Starting a broker, and ending it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::clock::Clock;
use base::disk::Disk;
use base::rng::Random;
use base::uuid::Uuid;
use runtime::shutdown::{Shutdown, Trigger};
use runtime::stream::{Listener, MemoryConnector};
use runtime::task::{self, Task};
use runtime::{shutdown, timer};
use tracing::{info, warn};

use crate::broker::Broker;
use crate::connection;
use crate::error::Error;
use crate::limits::CLOSE_WAIT_MS_MAX;
use crate::options::BrokerOptions;
use crate::traffic::Traffic;
use crate::view::BrokerView;

/// A broker that runs. Dropping it without [`Running::stop`] leaves it running until its executor
/// ends, and then means the same as kill -9.
#[derive(Debug)]
pub struct Running {
    broker: Arc<Broker>,
    connector: MemoryConnector,
    address: Option<SocketAddr>,
    trigger: Trigger,
    doors: Vec<Task<()>>,
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
        disk.create_dir_all(&options.data_dir)
            .map_err(|cause| Error::Folder { path: options.data_dir.clone(), cause })?;
        let (connector, memory) = Listener::memory();
        let socket = match options.listen {
            Some(address) => Some(
                Listener::tcp(address).await.map_err(|cause| Error::Listen { address, cause })?,
            ),
            None => None,
        };
        let address = socket.as_ref().and_then(Listener::address);
        let (trigger, end) = shutdown::pair();
        let broker = Arc::new(Broker {
            cluster_id: Uuid::random(rng.as_ref()).to_string(),
            advertised: advertised(&options, address),
            options,
            clock,
            rng,
            traffic: Traffic::new(),
        });
        let doors = std::iter::once(memory)
            .chain(socket)
            .map(|listener| {
                task::spawn("accept", accept(Arc::clone(&broker), listener, end.clone()))
            })
            .collect();
        Ok(Self { broker, connector, address, trigger, doors })
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
    pub async fn stop(self) {
        self.trigger.fire();
        for door in self.doors {
            door.join().await;
        }
        let wait = Duration::from_millis(CLOSE_WAIT_MS_MAX);
        if timer::timeout(wait, self.broker.traffic.drained()).await.is_err() {
            warn!(connections = self.broker.traffic.open(), "connections did not end in time");
        }
        info!("broker stopped");
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
