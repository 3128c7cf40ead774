//! Limits of the client, each with its reason.

use std::time::Duration;

/// Largest answer that is read: a fetch of 50 MiB may overshoot by one batch of any size that a
/// topic allows, and brokers allow a frame of 100 MiB by default.
pub const FRAME_BYTES_MAX: usize = 160 << 20;

/// Requests that wait for their answer on one connection; more wait before they are written.
pub const CONNECTION_IN_FLIGHT_MAX: usize = 256;

/// A connection looks this many times per request timeout for requests whose time is over, so a
/// timeout is late by at most a quarter and an idle connection hardly ever wakes.
pub const TIMEOUT_CHECKS: u32 = 4;

/// Shortest pause between two such looks.
pub const TIMEOUT_CHECK_EVERY_MIN: Duration = Duration::from_millis(50);

/// Produce requests in flight per broker and producer: brokers remember five batches per producer
/// and partition, so a sixth could no longer be recognised as a repetition.
pub const PRODUCE_IN_FLIGHT_MAX: usize = 5;

/// Bytes of batches in one produce request: well below the broker's 100 MiB frame, and large
/// enough that the header of the request does not count.
pub const PRODUCE_REQUEST_BYTES_MAX: usize = 8 << 20;

/// Room that a fresh batch starts with; it grows up to the batch size when records come.
pub const BATCH_FIRST_BYTES: usize = 4 << 10;

/// Bytes of batches that a transactional producer holds before `append` refuses more. An owner
/// who drains after each input batch stays far below it.
pub const TXN_UNSENT_BYTES_MAX: usize = 128 << 20;

/// Times that a request which asks a broker for a decision is tried before its error is final.
pub const ATTEMPTS_MAX: u32 = 60;

/// Topics named in one metadata request, so that a client of very many topics stays below the
/// broker's frame limit.
pub const METADATA_TOPICS_MAX: usize = 10_000;

/// A control batch, which brokers write themselves, uncompressed and with one record.
pub const CONTROL_BATCH_BYTES_MAX: usize = 64 << 10;

/// Members that the leader of a group spreads partitions over; brokers bound groups themselves,
/// so this only keeps a hostile answer from becoming work.
pub const GROUP_MEMBERS_MAX: usize = 10_000;
