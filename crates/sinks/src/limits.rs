//! Limits of the sinks.

/// Columns of a table that a sink adds to: half of what `SQLite` allows, so that people can still
/// add their own.
pub const TABLE_COLUMNS_MAX: usize = 1_000;

/// Prepared statements kept by one connection; a sink uses about eight, and a few more while a
/// table grows columns.
pub const STATEMENTS_CACHED_MAX: usize = 32;

/// How long a writer waits for another one in the same file: long enough for a checkpoint of a
/// large journal on a slow disk, short enough for somebody who waits at a terminal.
pub const BUSY_TIMEOUT_MS: u64 = 10_000;

/// Rows that a preview reads of one table; more is work for a query.
pub const PREVIEW_ROWS_MAX: usize = 10_000;

/// Tables that a preview of a whole file shows.
pub const PREVIEW_TABLES_MAX: usize = 100;

/// Attempts to switch a new file to the write-ahead log while others do the same; each waits for
/// a transaction of the others first, so a few are enough for any number of sinks.
pub const WAL_SWITCH_ATTEMPTS_MAX: usize = 100;
