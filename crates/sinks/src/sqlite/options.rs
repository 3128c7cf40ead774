//! What a pipeline file says about a sink into `SQLite`.

use std::path::PathBuf;

use pipeline::sink::SinkError;
use pipeline::sink::document::KEY_COLUMN;

use crate::sqlite::offsets::OFFSETS_TABLE;

/// Where rows go and what makes a row the same row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The database file; it is made when it does not exist, its folder is not.
    pub file: PathBuf,
    /// The table.
    pub table: String,
    /// The columns that make a row the same row; `key` is the record's key.
    pub key: Vec<String>,
    /// Whether the sink makes the table and adds columns for new fields. When not, the table
    /// must exist, and a document with an unknown field is refused.
    pub create_table: bool,
}

impl SqliteOptions {
    /// A table that the sink makes, with one row per record key.
    #[must_use]
    pub fn new(file: impl Into<PathBuf>, table: impl Into<String>) -> Self {
        let key = vec![KEY_COLUMN.to_owned()];
        Self { file: file.into(), table: table.into(), key, create_table: true }
    }

    /// Checks what does not need the database.
    pub(crate) fn check(&self) -> Result<(), SinkError> {
        let refused = |reason: &str| {
            Err(SinkError::Table { table: self.table.clone(), reason: reason.to_owned() })
        };
        let lower = self.table.to_ascii_lowercase();
        if self.table.is_empty() || self.table.contains('\0') {
            return refused("a table needs a name without zero characters");
        }
        if lower.starts_with("sqlite_") || lower == OFFSETS_TABLE {
            return refused("this name is taken by the database itself; choose another");
        }
        if self.key.is_empty() {
            return refused("`key` names no column; without one, no row could be replaced");
        }
        let mut seen = std::collections::BTreeSet::new();
        for column in &self.key {
            if column.is_empty() || column.contains('\0') {
                return refused("`key` names a column without a name");
            }
            if !seen.insert(column.to_ascii_lowercase()) {
                return refused("`key` names a column twice");
            }
        }
        Ok(())
    }
}
