//! Databases that pipelines fill: rows and positions in one transaction of the database.
//!
//! The contract is `pipeline::sink::Sink`; each database is a folder here with its options, its
//! SQL, its writer and its preview, and passes the shared conformance suite.
//!
//! A record's way: pipeline -> `Sink::write` -> one transaction {rows, `millstream_offsets`}.
//!
//! Invariants: every identifier is quoted and every value is bound, so no name or text of a
//! record is ever read as SQL. A write commits rows and positions together or not at all.
//! Nothing here reads topics or decides what happens after an error.
//!
//! What breaks without it: exactly once would end at the topics.

pub mod limits;
pub mod sqlite;
