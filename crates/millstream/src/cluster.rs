//! Reaching the cluster: which addresses, how patient, and what a failure means.

use std::sync::Arc;
use std::time::Duration;

use base::clock::{Clock, SystemClock};
use base::rng::SystemRandom;
use clap::Args;
use client::{Bootstrap, Client, ClientOptions};
use runtime::boot::Executor;

use crate::config::{Settings, bad_value, duration, host_port};
use crate::message::{Failure, failed};

const BROKERS_DEFAULT: &str = "127.0.0.1:9092";

/// Options of every command that speaks to a cluster.
#[derive(Debug, Default, Args)]
pub(crate) struct ClusterArgs {
    /// Addresses of the cluster, with commas between them [default: 127.0.0.1:9092].
    #[arg(long, short, value_name = "HOST:PORT", aliases = ["bootstrap-server", "broker-list"])]
    brokers: Option<String>,
    /// How long an answer may take [default: 30s].
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
}

impl ClusterArgs {
    /// Puts the flags over the other settings.
    pub(crate) fn settle(&self, settings: &mut Settings) {
        settings.flag("brokers", "--brokers", self.brokers.clone());
        settings.flag("timeout", "--timeout", self.timeout.clone());
    }
}

/// The world of a command: one clock for all that it does.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
}

impl World {
    /// The machine's own.
    pub(crate) fn new() -> Self {
        Self { clock: Arc::new(SystemClock::new()) }
    }

    /// Connects to the cluster of the settings.
    ///
    /// # Errors
    /// What is wrong with the address, as MS-20xx.
    pub(crate) async fn connect(
        &self,
        settings: &Settings,
        topics_auto_create: bool,
    ) -> Result<Client, Failure> {
        let options = ClientOptions { topics_auto_create, ..client_options(settings)? };
        let connected =
            Client::connect(options, Arc::clone(&self.clock), Arc::new(SystemRandom)).await;
        connected.map_err(|error| failed::client(&error, settings))
    }
}

/// An executor for a command that waits more than it works.
///
/// # Errors
/// When the system refuses it.
pub(crate) fn executor() -> Result<Executor, Failure> {
    Executor::local().map_err(|error| failed::machine(&error))
}

/// The addresses of the cluster.
///
/// # Errors
/// An address that is none.
pub(crate) fn brokers(settings: &Settings) -> Result<Vec<(String, u16)>, Failure> {
    let text = settings.text("brokers").unwrap_or(BROKERS_DEFAULT);
    let read: Option<Vec<_>> = text.split(',').map(|one| host_port(one.trim())).collect();
    match (read, settings.found("brokers")) {
        (Some(addresses), _) => Ok(addresses),
        (None, Some(found)) => Err(bad_value("brokers", "host:port[,host:port]", found)),
        (None, None) => unreachable!("the default address is a valid one"),
    }
}

fn client_options(settings: &Settings) -> Result<ClientOptions, Failure> {
    let mut options = ClientOptions::new(Bootstrap::Tcp(brokers(settings)?));
    if let Some(name) = settings.text("client.id") {
        options.client_id = name.to_owned();
    }
    options.retry_total = Duration::from_secs(30);
    if let Some(patience) = settings.duration("request.timeout.ms")? {
        options.request_timeout = patience;
    }
    if let Some(patience) = settings.read("timeout", "a duration such as 5s", duration)? {
        options.request_timeout = patience;
        options.connect_timeout = patience;
        options.retry_total = patience;
    }
    Ok(options)
}
