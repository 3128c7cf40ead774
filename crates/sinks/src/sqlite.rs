//! `SQLite`, the database in a file: no server, and safe against power loss.
//!
//! Write-ahead log with `synchronous = FULL`: a commit that was acknowledged is on the disk.
//! Several sinks, and other programs, may use one file; they wait for each other.

mod failure;
mod layout;
mod offsets;
pub mod options;
mod preview;
mod statement;
mod writer;

pub use crate::sqlite::options::SqliteOptions;
pub use crate::sqlite::preview::preview_file;
pub use crate::sqlite::writer::SqliteSink;
