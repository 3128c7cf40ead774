//! Kafka's bytes to types and back; sans-io; never panics on any input.
//!
//! A frame comes in as [`bytes::Bytes`]; [`header`] and [`messages`] decode it without copying
//! record data; [`record`] reads and builds the batches inside. What goes out is a list of chunks
//! ([`wire::Writer`]), so that a fetched batch never has to enter memory.
//!
//! Invariants: the bytes on the wire are the bytes on disk; nothing is allocated by a length
//! before the bytes are there; decoding charges a budget in proportion to the frame.
//!
//! Non-obvious: the answer to ApiVersions carries response header 0 even where its body is
//! flexible, because a client must read it before it knows what the broker speaks.
//!
//! What breaks without it: nothing here could speak with a Kafka client, or read a batch on disk.
//!
//! `messages` is generated from `schema/` by `cargo xtask codegen`.

pub mod api;
pub mod error_code;
pub mod header;
pub mod limits;
pub mod messages;
pub mod partitioner;
pub mod record;
pub mod wire;
