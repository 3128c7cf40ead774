//! A broker for one test: over a temporary folder, reached through memory or a free port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use base::clock::{Clock, SystemClock};
use base::disk::{Disk, RealDisk};
use base::rng::{Random, SystemRandom};
use base::uuid::Uuid;
use broker::{BrokerOptions, Running};
use runtime::stream::{Connection, MemoryConnector, connect_tcp};

/// A running broker whose folder goes with it.
#[derive(Debug)]
pub struct TestBroker {
    options: BrokerOptions,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    running: Option<Running>,
    owned_dir: Option<PathBuf>,
}

impl TestBroker {
    /// Starts a broker on a free port of the loopback address (and in memory).
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// As [`Self::start`], with other options.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(change: impl FnOnce(&mut BrokerOptions)) -> Self {
        let id = Uuid::random(&SystemRandom);
        let dir = std::env::temp_dir().join(format!("millstream-test-{id}"));
        let mut options = BrokerOptions::new(dir.clone());
        options.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        options.free_bytes_min = 0;
        change(&mut options);
        let mut broker = Self::start_on(options, Arc::new(RealDisk), Arc::new(SystemClock::new()));
        broker.owned_dir = Some(dir);
        broker.run().await;
        broker
    }

    /// A broker over a disk and a clock of the test's own; [`Self::run`] starts it.
    #[must_use]
    pub fn start_on(options: BrokerOptions, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Self {
        Self { options, disk, clock, running: None, owned_dir: None }
    }

    /// Starts it unless it runs.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(&mut self) {
        if self.running.is_none() {
            self.running = Some(self.try_run().await.expect("the test's broker starts"));
        }
    }

    /// Starts a further broker over the same folder.
    ///
    /// # Errors
    /// The broker's.
    pub async fn try_run(&self) -> Result<Running, broker::Error> {
        let rng: Arc<dyn Random> = Arc::new(SystemRandom);
        let (clock, disk) = (Arc::clone(&self.clock), Arc::clone(&self.disk));
        Running::start(self.options.clone(), clock, disk, rng).await
    }

    /// Ends it in good order; its folder stays.
    ///
    /// # Panics
    /// When it does not end in good order.
    pub async fn halt(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await.expect("the test's broker ends in good order");
        }
    }

    /// Ends it and starts it again over the same folder.
    ///
    /// # Panics
    /// As [`Self::halt`] and [`Self::run`].
    pub async fn restart(&mut self) {
        self.halt().await;
        self.run().await;
    }

    /// Ends it and removes its folder.
    ///
    /// # Panics
    /// As [`Self::halt`], and when the folder cannot be removed.
    pub async fn stop(mut self) {
        self.halt().await;
        if let Some(dir) = &self.owned_dir {
            self.disk.remove_dir_all(dir).expect("the test's folder can be removed");
        }
    }

    /// The data folder.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.options.data_dir.clone()
    }

    /// The way in through memory.
    ///
    /// # Panics
    /// When the broker does not run.
    #[must_use]
    pub fn connector(&self) -> MemoryConnector {
        self.running().connector()
    }

    /// The address that it listens on.
    ///
    /// # Panics
    /// When the broker does not run or does not listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running().address().expect("the test's broker listens")
    }

    /// The running broker.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("the test's broker runs")
    }

    /// A connection over TCP.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect(&self) -> Connection {
        let address = self.address();
        connect_tcp(&address.ip().to_string(), address.port())
            .await
            .expect("the test's broker accepts connections")
    }

    /// A connection through memory.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn connect_memory(&self) -> Connection {
        self.connector().connect().await.expect("the test's broker accepts connections")
    }
}
