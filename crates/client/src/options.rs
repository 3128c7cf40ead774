//! Options of the client and of what it makes.

use std::time::Duration;

use protocol::record::Compression;
use runtime::stream::MemoryConnector;

/// Where the cluster is found.
#[derive(Debug, Clone)]
pub enum Bootstrap {
    /// Addresses that are tried in order until one answers.
    Tcp(Vec<(String, u16)>),
    /// A broker in this process; every broker that it names is reached the same way.
    Memory(MemoryConnector),
}

/// Options of a [`crate::Client`].
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Where the cluster is found.
    pub bootstrap: Bootstrap,
    /// What the client calls itself in every request.
    pub client_id: String,
    /// How long an answer may take before its connection is given up.
    pub request_timeout: Duration,
    /// How long connecting and the handshake may take.
    pub connect_timeout: Duration,
    /// How old the picture of the cluster may grow before it is taken anew.
    pub metadata_max_age: Duration,
    /// First pause before another try; it doubles up to `retry_backoff_max`, with jitter.
    pub retry_backoff: Duration,
    /// Longest pause before another try.
    pub retry_backoff_max: Duration,
    /// How long an operation is tried in all before its last error is final.
    pub retry_total: Duration,
    /// Whether asking for an unknown topic may create it, where the broker does so.
    pub topics_auto_create: bool,
}

impl ClientOptions {
    /// The usual options for this cluster.
    #[must_use]
    pub fn new(bootstrap: Bootstrap) -> Self {
        Self {
            bootstrap,
            client_id: "millstream".to_owned(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            metadata_max_age: Duration::from_secs(300),
            retry_backoff: Duration::from_millis(20),
            retry_backoff_max: Duration::from_secs(1),
            retry_total: Duration::from_secs(60),
            topics_auto_create: false,
        }
    }

    /// The usual options for one address.
    #[must_use]
    pub fn tcp(host: &str, port: u16) -> Self {
        Self::new(Bootstrap::Tcp(vec![(host.to_owned(), port)]))
    }

    /// The usual options for a broker in this process.
    #[must_use]
    pub fn memory(connector: MemoryConnector) -> Self {
        Self::new(Bootstrap::Memory(connector))
    }
}

/// Which replicas must have a batch before the broker acknowledges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// The broker does not answer at all; nothing is known of what was sent.
    None,
    /// The leader.
    Leader,
    /// All in-sync replicas.
    All,
}

impl Acks {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Options of a [`crate::Producer`].
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// Which replicas must have a batch. Anything but `All` switches idempotence off.
    pub acks: Acks,
    /// Whether repetitions are recognised by the broker.
    pub idempotent: bool,
    /// Compression of the batches.
    pub compression: Compression,
    /// Size at which a batch is closed, in bytes before compression.
    pub batch_bytes_max: usize,
    /// How long a batch waits for company.
    pub linger: Duration,
    /// Bytes of unacknowledged batches; whoever appends waits when they are reached.
    pub buffer_bytes_max: usize,
    /// Produce requests in flight per broker, 1 to 5.
    pub in_flight_max: usize,
    /// How long a batch may take from its first record to its acknowledgement.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            batch_bytes_max: 256 << 10,
            linger: Duration::from_millis(5),
            buffer_bytes_max: 32 << 20,
            in_flight_max: crate::limits::PRODUCE_IN_FLIGHT_MAX,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// Options of a [`crate::TransactionalProducer`].
#[derive(Debug, Clone)]
pub struct TransactionalOptions {
    /// Names the producer over its restarts; whoever initialises it later fences the earlier one.
    pub transactional_id: String,
    /// How long a transaction may stay open before the broker aborts it.
    pub transaction_timeout: Duration,
    /// Compression of the batches.
    pub compression: Compression,
    /// Size at which a batch is closed, in bytes before compression.
    pub batch_bytes_max: usize,
    /// Bytes sent and not yet acknowledged beyond which draining waits.
    pub in_flight_bytes_max: usize,
    /// What is kept beside each committed offset, for those who look at the group.
    pub offset_metadata: String,
}

impl TransactionalOptions {
    /// The usual options for this id.
    #[must_use]
    pub fn new(transactional_id: &str) -> Self {
        Self {
            transactional_id: transactional_id.to_owned(),
            transaction_timeout: Duration::from_secs(10),
            compression: Compression::None,
            batch_bytes_max: 256 << 10,
            in_flight_bytes_max: 16 << 20,
            offset_metadata: String::new(),
        }
    }
}

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// All records up to the high watermark.
    ReadUncommitted,
    /// Records up to the last stable offset, without those of aborted transactions.
    ReadCommitted,
}

impl Isolation {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// Options of a [`crate::Consumer`].
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// Which records are seen.
    pub isolation: Isolation,
    /// Bytes that the broker collects before it answers.
    pub fetch_bytes_min: usize,
    /// Bytes of one answer, beyond which it holds at most one more batch.
    pub fetch_bytes_max: usize,
    /// Bytes of one partition in one answer.
    pub partition_bytes_max: usize,
    /// How long the broker waits for `fetch_bytes_min`.
    pub fetch_wait_max: Duration,
    /// How long it waits at most once nothing comes: each fetch that gives nothing may wait twice
    /// as long as the one before it. A change of what is fetched ends a wait that has grown.
    pub fetch_wait_quiet_max: Duration,
    /// Bytes that may lie fetched and not yet taken; no fetch is sent beyond them.
    pub buffer_bytes_max: usize,
    /// Whether the checksum of every batch is verified.
    pub verify_crc: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            isolation: Isolation::ReadCommitted,
            fetch_bytes_min: 1,
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            fetch_wait_max: Duration::from_millis(500),
            fetch_wait_quiet_max: Duration::from_millis(500),
            buffer_bytes_max: 50 << 20,
            verify_crc: true,
        }
    }
}

/// Where a group starts on a partition for which it has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the first record that the log still holds.
    Earliest,
    /// Behind the last record.
    Latest,
}

/// Options of a [`crate::GroupConsumer`].
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// Name of the group.
    pub group: String,
    /// Topics to read.
    pub topics: Vec<String>,
    /// How long the broker waits for a heartbeat.
    pub session_timeout: Duration,
    /// How long the broker waits for members to join again.
    pub rebalance_timeout: Duration,
    /// How often a heartbeat is sent.
    pub heartbeat_every: Duration,
    /// How often what was dealt with is committed; never by itself when absent.
    pub auto_commit_every: Option<Duration>,
    /// Where to start without a committed offset.
    pub start_at: StartAt,
    /// How records are fetched.
    pub consumer: ConsumerOptions,
}

impl GroupOptions {
    /// The usual options for this group.
    #[must_use]
    pub fn new(group: &str, topics: &[&str]) -> Self {
        Self {
            group: group.to_owned(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(60),
            heartbeat_every: Duration::from_secs(3),
            auto_commit_every: Some(Duration::from_secs(5)),
            start_at: StartAt::Latest,
            consumer: ConsumerOptions::default(),
        }
    }
}
