//! The shell around the transaction machine: its mailbox, its timer, its writes and the markers.

use std::sync::Arc;
use std::time::Duration;

use base::clock::Clock;
use bytes::Bytes;
use commitlog::Origin;
use protocol::error_code::ErrorCode;
use protocol::record::{ControlType, ProducerIdentity, control_batch};
use runtime::channel::{self, Receiver, Reply as ReplyTo, Sender};
use runtime::shutdown::Shutdown;
use runtime::timer;
use tracing::{error, warn};

use super::init::Init;
use super::machine::{Add, Effect, End, Event, Machine, Reply, Settings};
use super::record::understand;
use super::txn::Place;
use crate::coordinator::awaited::{Awaited, WriteId};
use crate::coordinator::{self, Completions};
use crate::group::service::Groups;
use crate::limits::{COORDINATOR_MAILBOX_MAX, MARKER_RETRY_MS};
use crate::metadata::{Metadata, OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::partition::Partitions;

/// The epoch of this coordinator in the markers: one node, which never hands its role over.
const COORDINATOR_EPOCH: i32 = 0;

/// A request to the coordinator.
#[derive(Debug)]
enum Request {
    Init(Init),
    Add(Add),
    End(End),
}

#[derive(Debug)]
struct Message {
    request: Request,
    reply: ReplyTo<Reply>,
}

/// The way to the coordinator; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Transactions {
    sender: Sender<Message>,
}

impl Transactions {
    /// Gives a producer its id and epoch.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) async fn init(&self, init: Init) -> Result<ProducerIdentity, ErrorCode> {
        match self.ask(Request::Init(init)).await {
            Some(Reply::Init(result)) => result,
            Some(Reply::Done(error)) => Err(error),
            None => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        }
    }

    /// Adds partitions to a transaction, or checks that they are in it.
    pub(crate) async fn add(&self, add: Add) -> ErrorCode {
        self.done(Request::Add(add)).await
    }

    /// Ends a transaction.
    pub(crate) async fn end(&self, end: End) -> ErrorCode {
        self.done(Request::End(end)).await
    }

    async fn done(&self, request: Request) -> ErrorCode {
        match self.ask(request).await {
            Some(Reply::Done(error)) => error,
            Some(Reply::Init(result)) => result.err().unwrap_or(ErrorCode::NONE),
            None => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        }
    }

    async fn ask(&self, request: Request) -> Option<Reply> {
        let (reply, answer) = channel::reply();
        self.sender.send(Message { request, reply }).await.ok()?;
        answer.await.ok()
    }
}

/// What has been finished outside the machine.
#[derive(Debug)]
enum Tag {
    Write(WriteId),
    Marker { round: u64, place: Place },
}

type Done = (Tag, Result<(), ErrorCode>);

/// The markers of one transaction that are under way.
#[derive(Debug)]
struct Round {
    transactional_id: String,
    producer: ProducerIdentity,
    commit: bool,
    batch: Bytes,
    left: usize,
}

/// What the service works with.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) metadata: Metadata,
    pub(crate) groups: Groups,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The task that owns the machine.
#[derive(Debug)]
pub(crate) struct Service {
    machine: Machine,
    around: Surroundings,
    receiver: Receiver<Message>,
    waiting: Awaited<ReplyTo<Reply>>,
    completions: Arc<Completions<Done>>,
    rounds: Awaited<Round>,
    /// Markers that found no room, to be tried again.
    retries: Vec<(u64, Place)>,
}

impl Service {
    /// A coordinator, and the way to it.
    pub(crate) fn new(settings: Settings, around: Surroundings) -> (Transactions, Self) {
        let (sender, receiver) = channel::mailbox(COORDINATOR_MAILBOX_MAX);
        let service = Self {
            machine: Machine::new(settings),
            around,
            receiver,
            waiting: Awaited::default(),
            completions: Arc::default(),
            rounds: Awaited::default(),
            retries: Vec::new(),
        };
        (Transactions { sender }, service)
    }

    /// Takes over what `__transaction_state` holds and goes on with what was interrupted; to be
    /// called before [`Service::run`].
    pub(crate) fn load(&mut self) {
        let partitions = Arc::clone(&self.around.partitions);
        self.count_partitions();
        for partition in 0..partitions.partition_count(TRANSACTIONS_TOPIC).unwrap_or(0) {
            let Ok(reader) = partitions.reader(TRANSACTIONS_TOPIC, partition) else {
                continue;
            };
            let machine = &mut self.machine;
            let replayed = coordinator::replay(&reader, |batch| {
                coordinator::each_record(batch, |key, value| {
                    match understand(&key, value.as_ref()) {
                        Ok((id, stored)) => machine.load(partition, id, stored),
                        Err(cause) => warn!(partition, %cause, "transaction record is unreadable"),
                    }
                });
            });
            if let Err(error) = replayed {
                warn!(partition, %error, "transaction state could not be read to its end");
            }
        }
        let mut effects = Vec::new();
        self.machine.loaded(&mut effects);
        self.execute(effects);
    }

    /// Serves until the end.
    pub(crate) async fn run(mut self, mut end: Shutdown) {
        loop {
            let pause = self.pause_ms();
            let completions = Arc::clone(&self.completions);
            runtime::select! {
                message = self.receiver.recv() => match message {
                    Some(message) => self.accept(message).await,
                    None => return,
                },
                done = completions.take() => self.finish(done).await,
                () = timer::sleep(Duration::from_millis(pause)) => self.tick(),
                () = end.requested() => return,
            }
        }
    }

    /// Who made the topic has said how many partitions it has, which need not be this broker's
    /// option; requests that wait for the topic to be made come after it.
    fn count_partitions(&mut self) {
        if let Some(count) = self.around.partitions.partition_count(TRANSACTIONS_TOPIC) {
            self.machine.set_partitions(count);
        }
    }

    fn pause_ms(&self) -> u64 {
        let now_ms = self.around.clock.unix_ms();
        let pause = coordinator::wall_pause_ms(self.machine.next_deadline_ms(), now_ms);
        if self.retries.is_empty() { pause } else { pause.min(MARKER_RETRY_MS) }
    }

    async fn accept(&mut self, message: Message) {
        if matches!(message.request, Request::Init(_)) && self.machine.needs_ids() {
            match self.around.metadata.next_producer_id_block().await {
                Ok(ids) => self.step(Event::Ids(ids)),
                Err(code) => {
                    // The client comes again; an answer to one that has gone is not missed.
                    drop(message.reply.send(Reply::Init(Err(code))));
                    return;
                }
            }
        }
        let token = self.waiting.add(message.reply);
        self.step(match message.request {
            Request::Init(init) => Event::Init(token, init),
            Request::Add(add) => Event::Add(token, add),
            Request::End(end) => Event::End(token, end),
        });
    }

    fn tick(&mut self) {
        for (round, place) in std::mem::take(&mut self.retries) {
            self.write_marker(round, place);
        }
        self.step(Event::Tick);
    }

    fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.count_partitions();
        self.machine.step(self.around.clock.unix_ms(), event, &mut effects);
        self.execute(effects);
    }

    fn execute(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(token, reply) => {
                    if let Some(waiting) = self.waiting.take(token) {
                        // A client that has gone does not wait for its answer.
                        drop(waiting.send(reply));
                    }
                }
                Effect::Append { partition, write, record } => {
                    let now_ms = self.around.clock.unix_ms();
                    let batch = coordinator::batch(now_ms, None, &[(record.key, record.value)]);
                    let place = (TRANSACTIONS_TOPIC, partition);
                    let done = &self.completions;
                    let tag = Tag::Write(write);
                    coordinator::submit(&self.around.partitions, place, batch, done, tag);
                }
                Effect::Markers { transactional_id, producer, commit, places } => {
                    self.start_round(transactional_id, producer, commit, places);
                }
            }
        }
    }

    fn start_round(
        &mut self,
        transactional_id: String,
        producer: ProducerIdentity,
        commit: bool,
        places: Vec<Place>,
    ) {
        if places.is_empty() {
            self.step(Event::MarkersWritten(transactional_id));
            return;
        }
        let sign = if commit { ControlType::Commit } else { ControlType::Abort };
        let now_ms = self.around.clock.unix_ms();
        let batch = control_batch(producer, sign, COORDINATOR_EPOCH, now_ms);
        let left = places.len();
        let round = self.rounds.add(Round { transactional_id, producer, commit, batch, left });
        for place in places {
            self.write_marker(round, place);
        }
    }

    fn write_marker(&mut self, round: u64, place: Place) {
        let Some(markers) = self.rounds.get(round) else {
            return;
        };
        let done = Arc::clone(&self.completions);
        let tag = Tag::Marker { round, place: place.clone() };
        self.around.partitions.submit(
            &place.0,
            place.1,
            markers.batch.clone(),
            Origin::Coordinator,
            Box::new(move |result| done.push((tag, result.map(|_| ())))),
        );
    }

    async fn finish(&mut self, done: Vec<Done>) {
        for (tag, result) in done {
            match tag {
                Tag::Write(write) => self.step(Event::Appended(write, result)),
                Tag::Marker { round, place } => {
                    // The groups hear of it before the transaction counts as complete: offsets of
                    // the producer's next transaction must come to them later than this.
                    self.tell_groups(round, &place, result).await;
                    self.marker_done(round, place, result);
                }
            }
        }
    }

    async fn tell_groups(&self, round: u64, place: &Place, result: Result<(), ErrorCode>) {
        let Some(markers) = self.rounds.get(round) else {
            return;
        };
        if place.0 == OFFSETS_TOPIC && result.is_ok() {
            let producer_id = markers.producer.id;
            self.around.groups.marker(place.1, producer_id, markers.commit).await;
        }
    }

    fn marker_done(&mut self, round: u64, place: Place, result: Result<(), ErrorCode>) {
        let Some(markers) = self.rounds.change(round) else {
            return;
        };
        match result {
            // A topic that is gone needs no marker; an old epoch means that it is there already.
            Ok(())
            | Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::INVALID_PRODUCER_EPOCH) => {}
            Err(code) => {
                error!(topic = %place.0, partition = place.1, %code, "marker is tried again");
                self.retries.push((round, place));
                return;
            }
        }
        markers.left -= 1;
        if markers.left == 0 {
            let id = markers.transactional_id.clone();
            self.rounds.take(round);
            self.step(Event::MarkersWritten(id));
        }
    }
}
