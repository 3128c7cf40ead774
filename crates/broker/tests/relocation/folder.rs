//! A folder as format 2 left it, and what lies where in any folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base::clock::SystemClock;
use base::disk::{Disk, MemoryDisk};
use base::uuid::Uuid;
use broker::Durability;
use bytes::Bytes;
use commitlog::{
    Append, Bound, Command, Flusher, LogConfig, LogEvents, LogId, Opened, Origin, Queue, ReadRange,
    StoreOptions, Turn,
};
use protocol::messages::group_metadata_key::GroupMetadataKey;
use protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use protocol::messages::offset_commit_key::OffsetCommitKey;
use protocol::messages::offset_commit_value::OffsetCommitValue;
use protocol::messages::transaction_log_key::TransactionLogKey;
use protocol::messages::transaction_log_value::{PartitionsSchema, TransactionLogValue};
use protocol::partitioner::partition_for_name;
use protocol::record::{Batch, BatchBuilder, BatchOptions, Batches, ProducerIdentity};
use protocol::wire::{Message, Reader, Writer};

use crate::ask;

/// Partitions of both coordinators' topics.
pub(crate) const PARTITIONS: i32 = 7;
/// The topic whose offsets are committed.
pub(crate) const TOPIC: &str = "moves";
/// The member of the group "billing".
pub(crate) const MEMBER: &str = "member-1";
/// The offset of "orders" that waits in the open transaction.
pub(crate) const HELD: i64 = 9;
/// The offset of "machine-health" in the transaction that is decided.
pub(crate) const PREPARED: i64 = 8;

type Identity = (&'static str, ProducerIdentity);

/// A transaction that is open, with an offset.
pub(crate) const OPEN: Identity = ("counts", ProducerIdentity { id: 5_000, epoch: 3 });
/// One that has announced the group "billing", and sent nothing yet.
pub(crate) const ANNOUNCED: Identity = ("a", ProducerIdentity { id: 5_001, epoch: 0 });
/// One whose commit is decided, without its markers.
pub(crate) const DECIDED: Identity = ("billing", ProducerIdentity { id: 5_002, epoch: 1 });
/// One whose abort is decided, without its markers.
pub(crate) const ABORTED: Identity = ("orders", ProducerIdentity { id: 5_003, epoch: 1 });
/// One that is over.
pub(crate) const COMPLETE: Identity = ("pipeline-0", ProducerIdentity { id: 5_004, epoch: 7 });
/// One that was forgotten.
pub(crate) const FORGOTTEN: Identity = ("machine-health", ProducerIdentity { id: 5_005, epoch: 2 });

const OFFSETS: &str = "__consumer_offsets";
const TRANSACTIONS: &str = "__transaction_state";

type Record = (Bytes, Option<Bytes>);

/// Where format 2 kept a name: the hash without its sign bit.
fn older_place(name: &str) -> i32 {
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    (name.encode_utf16().fold(0, step) & i32::MAX) % PARTITIONS
}

#[derive(Debug)]
struct Silent;

impl LogEvents for Silent {
    fn advanced(&self, _: LogId, _: i64, _: i64) {}
}

/// The logs of a folder, without a broker.
struct Logs {
    flusher: Flusher,
    queue: Queue,
    ids: BTreeMap<String, Uuid>,
    open: BTreeMap<String, Opened>,
}

impl Logs {
    fn open(disk: &MemoryDisk) -> Self {
        let options = StoreOptions {
            dir: PathBuf::from("/data/log"),
            disk: Arc::new(disk.clone()),
            clock: Arc::new(SystemClock::new()),
            durability: commitlog::Durability::Flush,
            free_bytes_min: 0,
            cluster_id: Uuid([1; 16]),
            directory_id: Uuid([2; 16]),
            node_id: 1,
            journal_bytes: commitlog::limits::JOURNAL_BYTES_MAX,
        };
        let (flusher, queue, report) = Flusher::open(options, Arc::new(Silent)).unwrap();
        let ids = report.logs.into_iter().map(|log| (log.name, log.topic_id)).collect();
        Self { flusher, queue, ids, open: BTreeMap::new() }
    }

    fn ask<T: Send + 'static>(
        &mut self,
        make: impl FnOnce(Box<dyn FnOnce(T) + Send>) -> Command,
    ) -> T {
        let answer = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&answer);
        let then = Box::new(move |outcome| *slot.lock().unwrap() = Some(outcome));
        self.queue.try_submit(make(then)).unwrap();
        self.flusher.turn();
        let answer = answer.lock().unwrap().take();
        answer.expect("the log answers")
    }

    fn log(&mut self, name: &str) -> &Opened {
        if !self.open.contains_key(name) {
            let (topic_id, config) = (self.ids[name], LogConfig::default());
            let open = name.to_owned();
            let opened =
                self.ask(|then| Command::Open { name: open, topic_id, config, lazy: true, then });
            self.open.insert(name.to_owned(), opened.unwrap());
        }
        &self.open[name]
    }

    fn append(
        &mut self,
        topic: &str,
        partition: i32,
        producer: Option<ProducerIdentity>,
        records: &[Record],
    ) {
        let id = self.log(&format!("{topic}-{partition}")).id;
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: producer.unwrap_or(ProducerIdentity::NONE),
            transactional: producer.is_some(),
            ..BatchOptions::default()
        });
        for (key, value) in records {
            builder.append(1_700_000_000_000, Some(key), value.as_deref(), &[]);
        }
        let batches = builder.build().unwrap();
        let origin = Origin::Coordinator;
        let append = Append { batches, origin, leader_epoch: 0, durable: true };
        self.ask(|then| Command::Append { id, append, then }).unwrap();
    }

    fn close(mut self) {
        self.queue.try_submit(Command::Close { then: Box::new(|done| done.unwrap()) }).unwrap();
        assert_eq!(self.flusher.turn(), Turn::Closed);
    }
}

fn message(prefix: i16, version: i16, message: &impl Message) -> Bytes {
    let mut writer = Writer::new();
    writer.int16(prefix);
    message.encode(&mut writer, version).unwrap();
    writer.into_bytes()
}

fn now_ms() -> i64 {
    base::clock::Clock::unix_ms(&SystemClock::new())
}

fn offset(group: &str, partition: i32, committed: Option<(i64, &str)>) -> Record {
    let key = OffsetCommitKey { group: group.to_owned(), topic: TOPIC.to_owned(), partition };
    let value = committed.map(|(offset, metadata)| OffsetCommitValue {
        offset,
        leader_epoch: -1,
        metadata: metadata.to_owned(),
        commit_timestamp: now_ms(),
        ..OffsetCommitValue::default()
    });
    (message(1, 0, &key), value.map(|value| message(3, 3, &value)))
}

fn members(group: &str, members: &[&str]) -> Record {
    let one = |member: &&str| MemberMetadata {
        member_id: (*member).to_owned(),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout: 60_000,
        session_timeout: 60_000,
        assignment: Bytes::from_static(b"all of it"),
        ..MemberMetadata::default()
    };
    let value = GroupMetadataValue {
        protocol_type: "consumer".to_owned(),
        generation: 4,
        protocol: Some("range".to_owned()),
        leader: members.first().map(|member| (*member).to_owned()),
        current_state_timestamp: now_ms(),
        members: members.iter().map(one).collect(),
    };
    let key = GroupMetadataKey { group: group.to_owned() };
    (message(2, 0, &key), Some(message(3, 3, &value)))
}

fn gone(record: Record) -> Record {
    (record.0, None)
}

/// A transactional id in the state of this number, with offsets of these groups.
fn transaction((id, producer): Identity, status: i8, groups: &[&str]) -> Record {
    let places = PartitionsSchema {
        topic: OFFSETS.to_owned(),
        partition_ids: groups.iter().map(|group| older_place(group)).collect(),
    };
    let value = TransactionLogValue {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        transaction_timeout_ms: 900_000,
        transaction_status: status,
        transaction_partitions: Some(vec![places].into_iter().filter(|_| status < 4).collect()),
        transaction_last_update_timestamp_ms: now_ms(),
        transaction_start_timestamp_ms: now_ms(),
        ..TransactionLogValue::default()
    };
    let key = TransactionLogKey { transactional_id: id.to_owned() };
    (message(0, 0, &key), Some(message(0, 0, &value)))
}

/// A folder as a broker of format 2 left it when it ended.
pub(crate) async fn older() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let running = crate::start(&disk, Durability::Flush).await.unwrap();
    let mut wire = ask::wire(&running).await;
    ask::make_topics(&mut wire).await;
    let topics = [
        (OFFSETS, ask::topic_id(&mut wire, OFFSETS).await),
        (TRANSACTIONS, ask::topic_id(&mut wire, TRANSACTIONS).await),
    ];
    running.stop().await.unwrap();
    let mut logs = Logs::open(&disk);
    for (topic, id) in topics {
        let names = (0..PARTITIONS).map(|partition| format!("{topic}-{partition}"));
        logs.ids.extend(names.map(|name| (name, id)));
    }
    write_groups(&mut logs);
    write_transactions(&mut logs);
    logs.close();
    let meta = Path::new("/data/log/meta.properties");
    let text = String::from_utf8(disk.read(meta).unwrap().to_vec()).unwrap();
    let older = text.replace("millstream.format=3\n", "millstream.format=2\n");
    assert_ne!(older, text);
    disk.replace(meta, older.as_bytes()).unwrap();
    disk
}

fn write_groups(logs: &mut Logs) {
    let mut write = |group: &str, producer: Option<Identity>, records: &[Record]| {
        let producer = producer.map(|(_, producer)| producer);
        logs.append(OFFSETS, older_place(group), producer, records);
    };
    write("billing", None, &[offset("billing", 0, Some((4, "old"))), members("billing", &[])]);
    write(
        "billing",
        None,
        &[members("billing", &[MEMBER]), offset("billing", 0, Some((5, "noted")))],
    );
    write(
        "billing",
        None,
        &[offset("billing", 1, Some((8, ""))), offset("billing", 2, Some((3, "")))],
    );
    write("billing", None, &[offset("billing", 2, None)]);
    write("orders", None, &[offset("orders", 0, Some((3, "")))]);
    write("orders", Some(OPEN), &[offset("orders", 0, Some((HELD, "")))]);
    write("machine-health", None, &[offset("machine-health", 0, Some((4, "")))]);
    write("machine-health", Some(DECIDED), &[offset("machine-health", 0, Some((PREPARED, "")))]);
    write("pipeline-0", None, &[offset("pipeline-0", 0, Some((2, "")))]);
    write("pipeline-0", Some(ABORTED), &[offset("pipeline-0", 0, Some((7, "")))]);
    write("counts", None, &[offset("counts", 0, Some((1, ""))), members("counts", &[])]);
    write("counts", None, &[offset("counts", 0, None), gone(members("counts", &[]))]);
    write("a", None, &[offset("a", 0, Some((1, "")))]);
    write("my-group", None, &[offset("my-group", 0, Some((11, "")))]);
}

fn write_transactions(logs: &mut Logs) {
    let mut write = |record: Record, (id, _): Identity| {
        logs.append(TRANSACTIONS, older_place(id), None, &[record]);
    };
    let (empty, ongoing, commit, abort, committed) = (0, 1, 2, 3, 4);
    write(transaction(OPEN, empty, &[]), OPEN);
    write(transaction(OPEN, ongoing, &["orders"]), OPEN);
    write(transaction(ANNOUNCED, ongoing, &["billing"]), ANNOUNCED);
    write(transaction(DECIDED, commit, &["machine-health"]), DECIDED);
    write(transaction(ABORTED, abort, &["pipeline-0"]), ABORTED);
    write(transaction(COMPLETE, committed, &[]), COMPLETE);
    write(transaction(FORGOTTEN, committed, &[]), FORGOTTEN);
    write(gone(transaction(FORGOTTEN, committed, &[])), FORGOTTEN);
}

fn name_of(topic: &str, key: &Bytes) -> String {
    let mut reader = Reader::new(key);
    match (topic, reader.int16().unwrap()) {
        (OFFSETS, 2) => GroupMetadataKey::decode(&mut reader, 0).unwrap().group,
        (OFFSETS, _) => OffsetCommitKey::decode(&mut reader, 0).unwrap().group,
        _ => TransactionLogKey::decode(&mut reader, 0).unwrap().transactional_id,
    }
}

/// The logs of both coordinators in a folder that was ended cleanly, as (topic, partition).
fn look<T>(disk: &MemoryDisk, mut each: impl FnMut((&'static str, i32), &Opened) -> T) -> Vec<T> {
    // What looks must not change what is looked at.
    let mut logs = Logs::open(&disk.crash_image(1));
    let mut seen = Vec::new();
    for (topic, partition) in [OFFSETS, TRANSACTIONS]
        .into_iter()
        .flat_map(|topic| (0..PARTITIONS).map(move |partition| (topic, partition)))
    {
        let name = format!("{topic}-{partition}");
        if logs.ids.contains_key(&name) {
            seen.push(each((topic, partition), logs.log(&name)));
        }
    }
    seen
}

/// How many keys have a value where Kafka does not look for them.
pub(crate) fn strays(disk: &MemoryDisk) -> usize {
    let counts = look(disk, |(topic, partition), log| {
        let mut live: BTreeMap<Bytes, bool> = BTreeMap::new();
        for batch in batches(log).iter().filter(|batch| !batch.header().is_control()) {
            let decoded = batch.decode(1 << 20).unwrap();
            for record in decoded.iter().map(Result::unwrap) {
                let key = decoded.slice_ref(record.key.unwrap());
                if partition_for_name(&name_of(topic, &key), PARTITIONS) != partition {
                    live.insert(key, record.value.is_some());
                }
            }
        }
        live.values().filter(|is_live| **is_live).count()
    });
    counts.into_iter().sum()
}

fn batches(log: &Opened) -> Vec<Batch> {
    let mut found: Vec<Batch> = Vec::new();
    let mut from = log.reader.log_start_offset();
    // A read ends with its segment.
    while from < log.reader.high_watermark() {
        let (bytes_max, until) = (1 << 20, Bound::HighWatermark);
        let range = ReadRange { from, bytes_max, at_least_one: true, until };
        let slice = log.reader.read(range).unwrap();
        let chunks = slice.chunks.iter().map(|chunk| chunk.read().unwrap());
        found.extend(chunks.flat_map(|bytes| Batches::new(bytes).map(Result::unwrap)));
        from = found.last().expect("there is a batch").header().next_offset();
    }
    found
}

/// Partitions in which a transaction is open.
pub(crate) fn hanging(disk: &MemoryDisk) -> Vec<(&'static str, i32)> {
    let open = look(disk, |place, log| {
        (log.reader.last_stable_offset() < log.reader.high_watermark()).then_some(place)
    });
    open.into_iter().flatten().collect()
}

/// The ends of all logs.
pub(crate) fn ends(disk: &MemoryDisk) -> Vec<((&'static str, i32), i64)> {
    look(disk, |place, log| (place, log.reader.high_watermark()))
}
