//! What `SQLite` complains about, in the sinks' words.

use pipeline::sink::{SinkError, SinkRecord};
use rusqlite::ErrorCode;

/// An error of the database, or of somebody who holds it.
pub(super) fn database(name: &str, doing: &'static str, error: rusqlite::Error) -> SinkError {
    let database = name.to_owned();
    if is_busy(&error) {
        return SinkError::Busy { database };
    }
    SinkError::Database { database, doing, source: Box::new(error) }
}

/// Whether somebody else holds the database.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// An error while a row was written: the row's fault where the database says so.
pub(super) fn row(
    name: &str,
    doing: &'static str,
    record: &SinkRecord,
    error: rusqlite::Error,
) -> SinkError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig) => {
            record.rejected(&format!("the table refuses the row: {error}"))
        }
        _ => database(name, doing, error),
    }
}
