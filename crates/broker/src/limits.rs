//! Limits of the broker, each with its reason.

/// Largest request; Kafka's `socket.request.max.bytes`.
pub const REQUEST_BYTES_MAX: usize = 100 << 20;

/// Connections at a time: each costs a few kilobytes, and a client that leaks them must not take
/// all descriptors from the log.
pub const CONNECTIONS_MAX: usize = 4096;

/// Requests of one connection that are in progress; a client that sends more waits in its socket.
/// Librdkafka keeps up to a million in flight when it is told so, Java five.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 64;

/// Bytes of requests in progress over all connections; beyond it reading stops. Room for one of
/// the largest beside the usual ones, within the memory that a broker may take.
pub const REQUEST_BYTES_IN_FLIGHT_MAX: usize = 128 << 20;

/// Bytes of answers that are gathered into one write: many small ones go together, and a large one
/// does not wait for those behind it.
pub const ANSWER_BYTES_TOGETHER_MAX: usize = 64 << 10;

/// Requests up to this size do not count as bytes in flight: the limit on their number does.
pub const SMALL_REQUEST_BYTES_MAX: usize = 16 << 10;

/// Unit of the count of bytes in flight.
pub const BUDGET_UNIT_BYTES: usize = 4 << 10;

/// A connection without a request for this long is closed; Kafka's `connections.max.idle.ms`.
pub const CONNECTION_IDLE_MS_MAX: u64 = 10 * 60 * 1000;

/// Lines about broken connections in one second; a port scanner must not fill the log.
pub const COMPLAINTS_PER_SECOND_MAX: u32 = 5;

/// How long a connection that ends may take to send what is answered, in milliseconds.
pub const CLOSE_WAIT_MS_MAX: u64 = 2_000;

/// Longest topic name; Kafka's, which leaves room for the partition's number in a folder's name.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Partitions of all topics together: each holds an open file and some kilobytes.
pub const PARTITIONS_MAX: usize = 20_000;

/// Producer ids that one record of the metadata log reserves; Kafka's block.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// Changes of the metadata that wait for their turn.
pub const METADATA_CHANGES_MAX: usize = 64;

/// Deleted topics that a listener has not looked at yet, before deleting waits for it.
pub const DELETIONS_WAITING_MAX: usize = 64;

/// Bytes of the metadata log that are read at once when the broker starts.
pub const METADATA_READ_BYTES: usize = 1 << 20;

/// Largest batch of the metadata log: a topic with all its configs stays far below.
pub const METADATA_BATCH_BYTES_MAX: usize = 16 << 20;

/// Bytes that one batch may hold once it is decompressed: what a producer sends in good faith
/// stays below, and a bomb ends here.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = 128 << 20;

/// Bytes of batches in one answer; Kafka's `fetch.max.bytes` of a broker.
pub const FETCH_BYTES_MAX: usize = 55 << 20;

/// Longest that a Fetch may wait, in milliseconds: an idle connection would be closed then.
pub const FETCH_WAIT_MS_MAX: u64 = CONNECTION_IDLE_MS_MAX / 2;

/// Requests that wait for a coordinator; more wait in their connections.
pub const COORDINATOR_MAILBOX_MAX: usize = 1024;

/// Bytes of a coordinator's topic that are read at once when the broker starts.
pub const COORDINATOR_LOAD_BYTES_MAX: usize = 4 << 20;

/// Bytes that a batch of a coordinator's topic may hold once it is decompressed.
pub const COORDINATOR_BATCH_BYTES_MAX: usize = 64 << 20;

/// Bytes of records in a batch by which a start moves what the coordinators keep elsewhere: small
/// beside the log's largest batch, large beside what a record costs.
pub const RELOCATION_BATCH_BYTES_MAX: usize = 1 << 20;

/// Pause before a transaction marker that could not be written is tried again, in milliseconds.
pub const MARKER_RETRY_MS: u64 = 100;

/// Shortest session timeout of a group's member; Kafka's `group.min.session.timeout.ms`.
pub const GROUP_SESSION_TIMEOUT_MS_MIN: i32 = 6_000;

/// Longest session timeout of a group's member; Kafka's `group.max.session.timeout.ms`.
pub const GROUP_SESSION_TIMEOUT_MS_MAX: i32 = 1_800_000;

/// Members of a group: each rebalance sends the leader all of them.
pub const GROUP_MEMBERS_MAX: usize = 10_000;

/// Bytes of the text beside a committed offset; Kafka's `offset.metadata.max.bytes`.
pub const OFFSET_METADATA_BYTES_MAX: usize = 4096;

/// How long the offsets of a group without members are kept; Kafka's `offsets.retention.minutes`.
pub const OFFSETS_RETENTION_MS: i64 = 7 * 24 * 3600 * 1000;

/// How long an unused transactional id is kept; Kafka's `transactional.id.expiration.ms`.
pub const TRANSACTIONAL_ID_EXPIRATION_MS: i64 = 7 * 24 * 3600 * 1000;

/// Logs that wait for compaction; one beyond them is compacted by whoever brings it.
pub const CLEAN_JOBS_MAX: usize = 128;

/// Threads that flush files for the flusher: a disk takes several flushes at a time, and a
/// transaction's end touches each of its partitions.
pub const FLUSH_THREADS: usize = commitlog::limits::FLUSHES_MAX;
