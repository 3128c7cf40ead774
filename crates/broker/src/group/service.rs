//! The shell around the group machine: its mailbox, its timer, its writes.

use std::sync::Arc;
use std::time::Duration;

use base::clock::Clock;
use protocol::error_code::ErrorCode;
use protocol::record::Batch;
use runtime::channel::{self, Receiver, Reply as ReplyTo, Sender};
use runtime::shutdown::Shutdown;
use runtime::timer;
use tracing::warn;

use super::machine::{Effect, Event, Machine, Now, Reply, Settings};
use crate::coordinator::awaited::{Awaited, Token, WriteId};
use crate::coordinator::{self, Completions};
use crate::limits::COORDINATOR_MAILBOX_MAX;
use crate::metadata::OFFSETS_TOPIC;
use crate::partition::Partitions;

/// A message to the service.
#[derive(Debug)]
enum Message {
    /// A request; the event is made once its token is known.
    Call(Call, ReplyTo<Reply>),
    /// Something to be taken note of.
    Tell(Event),
}

/// A request without its token.
struct Call(Box<dyn FnOnce(Token) -> Event + Send>);

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Call")
    }
}

/// The way to the coordinator; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    sender: Sender<Message>,
}

impl Groups {
    /// Asks and waits for the answer; `None` when the broker is closing.
    pub(crate) async fn ask(
        &self,
        event: impl FnOnce(Token) -> Event + Send + 'static,
    ) -> Option<Reply> {
        let (reply, answer) = channel::reply();
        self.sender.send(Message::Call(Call(Box::new(event)), reply)).await.ok()?;
        answer.await.ok()
    }

    /// Tells of a topic that is gone.
    pub(crate) async fn topic_deleted(&self, topic: String) {
        // A closing broker keeps no groups any more.
        drop(self.sender.send(Message::Tell(Event::TopicDeleted(topic))).await);
    }

    /// Tells that a transaction's marker has reached a partition of the offsets topic.
    pub(crate) async fn marker(&self, partition: i32, producer_id: i64, committed: bool) {
        let event = Event::Marker { partition, producer_id, committed };
        // A closing broker reads the marker from the log at its next start.
        drop(self.sender.send(Message::Tell(event)).await);
    }
}

type Done = (WriteId, Result<(), ErrorCode>);

/// The task that owns the machine.
#[derive(Debug)]
pub(crate) struct Service {
    machine: Machine,
    receiver: Receiver<Message>,
    waiting: Awaited<ReplyTo<Reply>>,
    completions: Arc<Completions<Done>>,
    partitions: Arc<Partitions>,
    clock: Arc<dyn Clock>,
}

impl Service {
    /// A coordinator, and the way to it.
    pub(crate) fn new(
        settings: Settings,
        partitions: Arc<Partitions>,
        clock: Arc<dyn Clock>,
    ) -> (Groups, Self) {
        let (sender, receiver) = channel::mailbox(COORDINATOR_MAILBOX_MAX);
        let service = Self {
            machine: Machine::new(settings),
            receiver,
            waiting: Awaited::default(),
            completions: Arc::default(),
            partitions,
            clock,
        };
        (Groups { sender }, service)
    }

    /// Takes over what `__consumer_offsets` holds; to be called before [`Service::run`].
    pub(crate) fn load(&mut self) {
        let count = self.partitions.partition_count(OFFSETS_TOPIC).unwrap_or(0);
        self.count_partitions();
        let now = now(self.clock.as_ref());
        for partition in 0..count {
            let Ok(reader) = self.partitions.reader(OFFSETS_TOPIC, partition) else {
                continue;
            };
            let machine = &mut self.machine;
            let replayed =
                coordinator::replay(&reader, |batch| load_batch(machine, now, partition, batch));
            if let Err(error) = replayed {
                warn!(partition, %error, "group state could not be read to its end");
            }
        }
        self.machine.loaded();
    }

    /// Serves until the end.
    pub(crate) async fn run(mut self, mut end: Shutdown) {
        loop {
            let now_ms = self.clock.steady_ms();
            let pause = coordinator::pause_ms(self.machine.next_deadline_ms(), now_ms);
            let completions = Arc::clone(&self.completions);
            runtime::select! {
                message = self.receiver.recv() => match message {
                    Some(message) => self.accept(message),
                    None => return,
                },
                done = completions.take() => {
                    for (write, result) in done {
                        self.step(Event::Appended(write, result));
                    }
                }
                () = timer::sleep(Duration::from_millis(pause)) => self.step(Event::Tick),
                () = end.requested() => return,
            }
        }
    }

    /// Who made the topic has said how many partitions it has, which need not be this broker's
    /// option; requests that wait for the topic to be made come after it.
    fn count_partitions(&mut self) {
        if let Some(count) = self.partitions.partition_count(OFFSETS_TOPIC) {
            self.machine.set_partitions(count);
        }
    }

    fn accept(&mut self, message: Message) {
        match message {
            Message::Call(Call(event), reply) => {
                let token = self.waiting.add(reply);
                self.step(event(token));
            }
            Message::Tell(event) => self.step(event),
        }
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        let now = now(self.clock.as_ref());
        self.count_partitions();
        self.machine.step(now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Reply(token, reply) => {
                    if let Some(waiting) = self.waiting.take(token) {
                        // A client that has gone does not wait for its answer.
                        drop(waiting.send(reply));
                    }
                }
                Effect::Append { partition, write, records, producer } => {
                    let records: Vec<_> =
                        records.into_iter().map(|record| (record.key, record.value)).collect();
                    let batch = coordinator::batch(now.unix_ms, producer, &records);
                    let place = (OFFSETS_TOPIC, partition);
                    let done = &self.completions;
                    coordinator::submit(&self.partitions, place, batch, done, write);
                }
            }
        }
    }
}

fn now(clock: &dyn Clock) -> Now {
    Now { steady_ms: clock.steady_ms(), unix_ms: clock.unix_ms() }
}

fn load_batch(machine: &mut Machine, now: Now, partition: i32, batch: &Batch) {
    let header = batch.header();
    if header.is_control() {
        if let Some(committed) = coordinator::marker_of(batch) {
            machine.load_marker(partition, header.producer_id, committed);
        }
        return;
    }
    let producer_id = header.is_transactional().then_some(header.producer_id);
    coordinator::each_record(batch, |key, value| {
        machine.load(now, (partition, producer_id), &key, value.as_ref());
    });
}
