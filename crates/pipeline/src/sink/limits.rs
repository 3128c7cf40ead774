//! Limits of what a sink takes.

/// Columns of a table: SQLite allows 2,000, `PostgreSQL` 1,600; a document with more fields is
/// more likely a map that should have been nested.
pub const COLUMNS_MAX: usize = 1_000;

/// Bytes of a field's name: what the narrowest of the common databases keeps whole.
pub const COLUMN_NAME_BYTES_MAX: usize = 255;
