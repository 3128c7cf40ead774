//! The newest rows, for people who have no `sqlite3` program at hand.

use std::path::Path;

use pipeline::sink::{Cell, SinkError, TablePreview};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::limits::{PREVIEW_ROWS_MAX, PREVIEW_TABLES_MAX};
use crate::sqlite::offsets::OFFSETS_TABLE;
use crate::sqlite::{failure, statement};

/// Names of the row number that a table's own columns may hide.
const ROW_NUMBER_NAMES: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// Bytes of a text cell that are shown.
const BLOB_BYTES_SHOWN_MAX: usize = 32;

/// The newest rows of every table in a database file, the positions included.
///
/// # Errors
/// When there is no such file or it is no database.
pub fn preview_file(file: &Path, rows_max: usize) -> Result<Vec<TablePreview>, SinkError> {
    let name = file.display().to_string();
    let failed = |error| failure::database(&name, "reading the newest rows", error);
    let connection = open(file).map_err(failed)?;
    let mut previews = Vec::new();
    for table_name in table_names(&connection).map_err(failed)? {
        previews.extend(table(&connection, &table_name, rows_max).map_err(failed)?);
    }
    Ok(previews)
}

/// A connection that cannot write.
pub(super) fn open(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags)
}

fn table_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' \
         ESCAPE '\\' ORDER BY name = ?1, name LIMIT ?2";
    let mut select = connection.prepare(sql)?;
    let limit = base::cast::i64_of(PREVIEW_TABLES_MAX);
    let names = select.query_map(rusqlite::params![OFFSETS_TABLE, limit], |row| row.get(0))?;
    names.collect()
}

/// The newest rows of one table; nothing when it does not exist.
pub(super) fn table(
    connection: &Connection,
    table: &str,
    rows_max: usize,
) -> rusqlite::Result<Option<TablePreview>> {
    let mut select = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = select.query_map([table], |row| row.get(0))?;
    let columns = names.collect::<rusqlite::Result<Vec<String>>>()?;
    if columns.is_empty() {
        return Ok(None);
    }
    let quoted = statement::quoted(table);
    let rows_count: i64 =
        connection.query_row(&format!("SELECT count(*) FROM {quoted}"), [], |row| row.get(0))?;
    let limit = base::cast::i64_of(rows_max.min(PREVIEW_ROWS_MAX));
    let newest = newest_first(connection, &quoted, &columns);
    let mut select = connection.prepare(&format!("SELECT * FROM {quoted} {newest} LIMIT ?1"))?;
    let width = columns.len();
    let rows = select.query_map([limit], |row| {
        (0..width).map(|at| Ok(cell_of(row.get_ref(at)?))).collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let rows_count = u64::try_from(rows_count).unwrap_or(0);
    Ok(Some(TablePreview { table: table.to_owned(), columns, rows, rows_count }))
}

/// The order of insertion where the table has one: not all tables number their rows.
fn newest_first(connection: &Connection, quoted_table: &str, columns: &[String]) -> String {
    let hidden = |name: &&str| !columns.iter().any(|column| column.eq_ignore_ascii_case(name));
    let Some(number) = ROW_NUMBER_NAMES.into_iter().find(hidden) else { return String::new() };
    let order = format!("ORDER BY {number} DESC");
    let probe = connection.prepare(&format!("SELECT 1 FROM {quoted_table} {order}"));
    probe.map_or_else(|_| String::new(), |_| order)
}

fn cell_of(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => {
            let shown = bytes.iter().take(BLOB_BYTES_SHOWN_MAX);
            Cell::Text(format!(
                "x'{}'",
                shown.map(|byte| format!("{byte:02x}")).collect::<String>()
            ))
        }
    }
}
