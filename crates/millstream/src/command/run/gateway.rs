//! The gateways of a run: sensors into topics, until the end is asked for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::gateway::host::{HostOptions, service::HostService};
use ::gateway::outlet::{Outlet, OutletRecord};
use client::options::ProducerOptions;
use client::producer::Record;
use client::{Client, ClientError, Producer};
use runtime::channel::{self, Receiver};
use runtime::shutdown::Shutdown;
use runtime::task::{self, Task};
use runtime::timer;
use topology::plan::{Gateway, Plan};

use super::Handle;
use crate::cluster::World;
use crate::message::{Failure, failed};

/// Failures that wait to be told: one ends the run.
const FAILURES_MAX: usize = 1;

/// The gateways that run.
pub(super) struct Gateways {
    tasks: Vec<Task<()>>,
    /// Taken by whoever waits for a failure.
    failures: Mutex<Option<Receiver<Failure>>>,
}

impl Gateways {
    /// None at all.
    pub(super) fn none() -> Self {
        Self { tasks: Vec::new(), failures: Mutex::new(None) }
    }

    /// Starts the gateways of a plan; each waits until the pipeline has made its topics.
    pub(super) fn start(
        plan: &Plan,
        client: &Client,
        handle: &Handle,
        world: &World,
        end: &Shutdown,
    ) -> Self {
        let (sender, failures) = channel::mailbox(FAILURES_MAX);
        let start = |gateway: &Gateway| {
            let gateway = gateway.clone();
            let (client, handle) = (client.clone(), handle.clone());
            let (clock, end, sender) = (Arc::clone(&world.clock), end.clone(), sender.clone());
            task::spawn("gateway", async move {
                if !is_running(&handle, end.clone()).await {
                    return;
                }
                let producer = client.producer(ProducerOptions {
                    // A sample is one batch: waiting for more would only add delay.
                    linger: Duration::ZERO,
                    ..ProducerOptions::default()
                });
                let outlet = TopicOutlet { producer, topic: gateway.topic };
                let options = HostOptions { every_ms: gateway.every_ms, host: None };
                let run = async { HostService::new(&options, outlet, clock)?.run(end).await };
                if let Err(error) = run.await {
                    // One failure is enough to end the run.
                    drop(sender.try_send(failed::machine(&error)));
                }
            })
        };
        let tasks = plan.gateways.iter().map(start).collect();
        Self { tasks, failures: Mutex::new(Some(failures)) }
    }

    /// Waits for a gateway that fails; for ever where none does.
    pub(super) async fn failed(&self) -> Failure {
        let receiver = self.failures.lock().expect("no holder of the failures panics").take();
        let failure = match receiver {
            Some(mut receiver) => receiver.recv().await,
            None => None,
        };
        match failure {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended.
    pub(super) async fn ended(self) {
        for task in self.tasks {
            task.join().await;
        }
    }
}

/// Waits until the pipeline runs; false when the end comes first.
async fn is_running(handle: &Handle, mut end: Shutdown) -> bool {
    while handle.view().phase != "running" {
        runtime::select! {
            () = timer::sleep(Duration::from_millis(5)) => {}
            () = end.requested() => return false,
        }
    }
    true
}

/// A topic as the outlet of a gateway.
struct TopicOutlet {
    producer: Producer,
    topic: String,
}

impl Outlet for TopicOutlet {
    type Error = ClientError;

    async fn send(&mut self, records: Vec<OutletRecord>) -> Result<(), ClientError> {
        for record in &records {
            let record = Record {
                topic: &self.topic,
                key: Some(&record.key),
                value: Some(&record.value),
                timestamp: Some(record.timestamp_ms),
                ..Record::default()
            };
            self.producer.append(record).await?;
        }
        self.producer.flush().await
    }
}
