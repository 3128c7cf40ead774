//! Record batches, format v2: the bytes that clients send, brokers keep and consumers read.
//!
//! ```text
//!  0 base_offset i64 | 8 batch_length i32 | 12 leader_epoch i32 | 16 magic i8 = 2 | 17 crc u32
//! 21 attributes i16 | 23 last_offset_delta i32 | 27 base_timestamp i64 | 35 max_timestamp i64
//! 43 producer_id i64 | 51 producer_epoch i16 | 53 base_sequence i32 | 57 record_count i32
//! 61 records (compressed as one piece when the attributes say so)
//! ```
//!
//! The checksum starts behind itself, so what a broker stamps (base offset, leader epoch) costs
//! no new checksum: the bytes on the wire are the bytes on disk.
//!
//! Way in: `Batch::parse` borrows one batch, `validate_records` is what a broker checks at the
//! door, `Batch::decode` and `RecordIter` walk the records lazily and without copies.
//! Way out: `BatchBuilder`, `control_batch`, and the `stamp` family for batches that pass through.
//!
//! Everything here takes foreign bytes: nothing panics on them, and nothing allocates by a length
//! that they state. What breaks without it: every byte in the house.

mod batch;
mod builder;
mod compression;
mod control;
mod error;
mod header;
mod iter;
pub mod limits;
mod retain;
mod stamp;
mod validate;
mod varint;

pub use batch::{Batch, Batches, DecodedBatch, checksum};
pub use builder::{BatchBuilder, BatchOptions, record_bytes_max};
pub use compression::{Compression, UnknownCompression};
pub use control::{ControlType, control_batch, control_type};
pub use error::RecordError;
pub use header::{
    BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES, BatchHeader, ProducerIdentity, sequence_add,
};
pub use iter::{HeaderIter, HeaderRef, Headers, Record, RecordIter};
pub use retain::{Retained, empty_batch, retain_records, set_delete_horizon};
pub use stamp::{rewrite_producer, stamp, stamp_append_time, stamp_max_timestamp};
pub use validate::{NO_TIMESTAMP, RecordFacts, validate_records};
