//! The sink itself: one connection, one transaction per batch.

use std::collections::BTreeMap;
use std::time::Duration;

use pipeline::sink::document::KEY_COLUMN;
use pipeline::sink::{
    Cell, Change, Claim, Opened, Position, Row, Sink, SinkError, SinkRecord, TablePreview, Written,
};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::limits::{
    BUSY_TIMEOUT_MS, STATEMENTS_CACHED_MAX, TABLE_COLUMNS_MAX, WAL_SWITCH_ATTEMPTS_MAX,
};
use crate::sqlite::layout::Layout;
use crate::sqlite::offsets::Offsets;
use crate::sqlite::{SqliteOptions, failure, preview, statement};

/// A sink into one table of a database file.
#[derive(Debug)]
pub struct SqliteSink {
    options: SqliteOptions,
    name: String,
    holding: Option<Holding>,
}

/// What an opened sink has at hand.
#[derive(Debug)]
struct Holding {
    connection: Connection,
    offsets: Offsets,
    schema: Schema,
}

/// The table's columns as of a version of the database's schema.
#[derive(Debug, Default)]
struct Schema {
    version: Option<i64>,
    layout: Option<Layout>,
}

impl SqliteSink {
    /// A sink that has not touched its file yet.
    ///
    /// # Errors
    /// [`SinkError::Table`] when the table's name or the key cannot be used.
    pub fn new(options: SqliteOptions) -> Result<Self, SinkError> {
        options.check()?;
        let name = options.file.display().to_string();
        Ok(Self { options, name, holding: None })
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.options.file)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
        // A quoted name that is no column must be an error, never a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        // What is acknowledged survives a power cut, in every journal mode that the file allows.
        connection.pragma_update(None, "synchronous", "FULL")?;
        use_write_ahead_log(connection)
    }
}

impl Sink for SqliteSink {
    fn open(&mut self, claim: &Claim) -> Result<Opened, SinkError> {
        self.holding = None;
        let failed = |error| failure::database(&self.name, "opening the database", error);
        let mut connection = self.connect().map_err(failed)?;
        let transaction = begin(&mut connection).map_err(failed)?;
        let mut schema = Schema::default();
        schema.refresh(&transaction, &self.options).map_err(failed)?;
        if schema.layout.is_none() && !self.options.create_table {
            let reason = "it does not exist, and `create_table` is off".to_owned();
            return Err(SinkError::Table { table: self.options.table.clone(), reason });
        }
        schema.check_key(&transaction, &self.options)?;
        let keep = schema.layout.is_some();
        let (offsets, positions) = Offsets::take_over(&transaction, claim, keep).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        let epoch = offsets.epoch;
        // The offsets table may just have been made: the next write looks again.
        self.holding = Some(Holding { connection, offsets, schema: Schema::default() });
        Ok(Opened { epoch, positions })
    }

    fn write(
        &mut self,
        batch: &[SinkRecord],
        positions: &[Position],
    ) -> Result<Written, SinkError> {
        let Some(holding) = &mut self.holding else {
            let Some((topic, partition)) = first_place(batch, positions) else {
                return Ok(Written::default());
            };
            return Err(SinkError::Unclaimed { topic: topic.clone(), partition });
        };
        let Holding { connection, offsets, schema } = holding;
        let failed = |error| failure::database(&self.name, "writing a batch", error);
        let transaction = begin(connection).map_err(failed)?;
        let (options, name, transaction_ref) = (&self.options, self.name.as_str(), &transaction);
        let written = BatchWriter { options, name, transaction: transaction_ref, schema, offsets }
            .write(batch, positions);
        match written {
            Ok(written) => transaction.commit().map_err(failed).map(|()| written),
            Err(error) => {
                // The rollback takes new columns back.
                *schema = Schema::default();
                transaction.rollback().map_err(failed)?;
                Err(error)
            }
        }
    }

    fn preview(&mut self, rows_max: usize) -> Result<Vec<TablePreview>, SinkError> {
        if self.holding.is_none() && !self.options.file.exists() {
            return Ok(Vec::new());
        }
        let failed = |error| failure::database(&self.name, "reading the newest rows", error);
        let tables = match &self.holding {
            Some(held) => preview::table(&held.connection, &self.options.table, rows_max),
            None => preview::open(&self.options.file)
                .and_then(|connection| preview::table(&connection, &self.options.table, rows_max)),
        };
        Ok(tables.map_err(failed)?.into_iter().collect())
    }
}

/// One batch inside its transaction.
struct BatchWriter<'a> {
    options: &'a SqliteOptions,
    name: &'a str,
    transaction: &'a Transaction<'a>,
    schema: &'a mut Schema,
    offsets: &'a Offsets,
}

impl BatchWriter<'_> {
    fn write(
        &mut self,
        batch: &[SinkRecord],
        positions: &[Position],
    ) -> Result<Written, SinkError> {
        self.schema.refresh(self.transaction, self.options).map_err(|error| self.failed(error))?;
        let mut next = self.check_holder(batch, positions)?;
        let mut written = Written::default();
        for record in batch {
            let held = next.get(&record.partition).copied().unwrap_or_default();
            if record.offset < held {
                written.skipped += 1;
                continue;
            }
            match record.change()? {
                Change::Upsert(row) => {
                    self.upsert(record, &row)?;
                    written.upserted += 1;
                }
                Change::Delete { key } => written.deleted += self.delete(record, &key)?,
            }
        }
        for position in positions {
            let held = next.entry(position.partition).or_default();
            if position.next_offset > *held {
                *held = position.next_offset;
                self.offsets
                    .advance(self.transaction, position.partition, position.next_offset)
                    .map_err(|error| self.failed(error))?;
            }
        }
        Ok(written)
    }

    fn failed(&self, error: rusqlite::Error) -> SinkError {
        failure::database(self.name, "writing a batch", error)
    }

    /// The positions in the database, of every partition that the batch touches.
    fn check_holder(
        &self,
        batch: &[SinkRecord],
        positions: &[Position],
    ) -> Result<BTreeMap<i32, i64>, SinkError> {
        let mut next = BTreeMap::new();
        let of_records = batch.iter().map(|record| (&record.topic, record.partition));
        let of_positions = positions.iter().map(|position| (&position.topic, position.partition));
        for (topic, partition) in of_records.chain(of_positions) {
            self.offsets.check_claimed(topic, partition)?;
            if next.contains_key(&partition) {
                continue;
            }
            let held = self
                .offsets
                .held(self.transaction, partition)
                .map_err(|error| self.failed(error))?;
            self.offsets.check_epoch(partition, held)?;
            next.insert(partition, held.next_offset);
        }
        Ok(next)
    }

    fn upsert(&mut self, record: &SinkRecord, row: &Row) -> Result<(), SinkError> {
        for column in &self.options.key {
            if row.cell(column).is_none_or(|cell| *cell == Cell::Null) {
                let reason = format!("the key column `{column}` has no value");
                return Err(record.rejected(&reason));
            }
        }
        self.fit_table(record, row)?;
        let layout = self.schema.layout.as_mut().expect("fit_table() leaves a table");
        let cells = layout.arrange(row).expect("fit_table() leaves a column for every field");
        let result = (|| {
            let mut upsert = self.transaction.prepare_cached(&layout.upsert)?;
            for (at, cell) in cells.into_iter().enumerate() {
                match cell {
                    Cell::Null => upsert.raw_bind_parameter(at + 1, rusqlite::types::Null)?,
                    Cell::Integer(value) => upsert.raw_bind_parameter(at + 1, value)?,
                    Cell::Real(value) => upsert.raw_bind_parameter(at + 1, value)?,
                    Cell::Text(value) => upsert.raw_bind_parameter(at + 1, value)?,
                }
            }
            upsert.raw_execute()
        })();
        result.map_err(|error| failure::row(self.name, "writing a row", record, error))?;
        Ok(())
    }

    fn delete(&self, record: &SinkRecord, key: &str) -> Result<u64, SinkError> {
        let Some(layout) = &self.schema.layout else { return Ok(0) };
        if !layout.has(KEY_COLUMN) {
            let reason = "a null value deletes by the record's key, but the table has no `key`";
            return Err(record.rejected(reason));
        }
        let sql = statement::delete(&self.options.table, KEY_COLUMN);
        let deleted = self.transaction.prepare_cached(&sql).and_then(|mut it| it.execute([key]));
        let failed = |error| failure::row(self.name, "deleting a row", record, error);
        Ok(base::cast::u64_of(deleted.map_err(failed)?))
    }

    /// Leaves a table that has a column for every field of the row.
    fn fit_table(&mut self, record: &SinkRecord, row: &Row) -> Result<(), SinkError> {
        let table = &self.options.table;
        let Some(layout) = &mut self.schema.layout else {
            let columns = first_columns(row, &self.options.key);
            let sql = statement::create_table(table, &columns, &self.options.key);
            self.alter(record, &[sql])?;
            return Ok(());
        };
        let Err(missing) = layout.arrange(row) else { return Ok(()) };
        if layout.columns_count + missing.len() > TABLE_COLUMNS_MAX {
            let reason = format!("its fields need more than {TABLE_COLUMNS_MAX} columns");
            return Err(record.rejected(&reason));
        }
        if !self.options.create_table {
            let name = &row.cells[missing[0]].0;
            let reason = format!(
                "the table has no column `{name}` to write; add it or set `create_table: true`"
            );
            return Err(record.rejected(&reason));
        }
        let add = |at: &usize| {
            let (name, cell) = &row.cells[*at];
            statement::add_column(table, name, statement::column_type(cell, false))
        };
        let statements: Vec<String> = missing.iter().map(add).collect();
        self.alter(record, &statements)
    }

    fn alter(&mut self, record: &SinkRecord, statements: &[String]) -> Result<(), SinkError> {
        let failed = |error| failure::row(self.name, "changing the table", record, error);
        for sql in statements {
            self.transaction.execute_batch(sql).map_err(failed)?;
        }
        self.schema.refresh(self.transaction, self.options).map_err(failed)
    }
}

impl Schema {
    /// Reads the table again when anybody has changed the schema.
    fn refresh(
        &mut self,
        connection: &Connection,
        options: &SqliteOptions,
    ) -> rusqlite::Result<()> {
        let mut select =
            connection.prepare_cached("SELECT schema_version FROM pragma_schema_version")?;
        let version = select.query_row([], |row| row.get(0))?;
        if self.version == Some(version) {
            return Ok(());
        }
        self.layout = Layout::read(connection, options)?;
        self.version = Some(version);
        Ok(())
    }

    /// Refuses a table whose rows could not be replaced, before anything is claimed.
    fn check_key(&self, connection: &Connection, options: &SqliteOptions) -> Result<(), SinkError> {
        let Some(layout) = &self.layout else { return Ok(()) };
        let Err(error) = connection.prepare(&layout.upsert) else { return Ok(()) };
        let reason =
            format!("rows cannot be replaced by key ({}): {error}", options.key.join(", "));
        Err(SinkError::Table { table: options.table.clone(), reason })
    }
}

/// The columns of a new table: the record's key and every field that has a value.
fn first_columns<'a>(row: &'a Row, key: &[String]) -> Vec<(&'a str, &'static str)> {
    let in_key = |name: &str| key.iter().any(|part| part.eq_ignore_ascii_case(name));
    let wanted = |(name, cell): &&(String, Cell)| *cell != Cell::Null || name == KEY_COLUMN;
    let column = |(name, cell): &'a (String, Cell)| {
        (name.as_str(), statement::column_type(cell, in_key(name)))
    };
    row.cells.iter().filter(wanted).map(column).collect()
}

/// Switches a new file's journal; a file that has it already is left as it is.
///
/// `SQLite` answers "busy" at once when two processes switch at the same moment. A transaction
/// does wait for the other one, so an empty one stands between two attempts.
fn use_write_ahead_log(mut connection: Connection) -> rusqlite::Result<Connection> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let switched = connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
        match switched {
            Ok(()) => return Ok(connection),
            Err(error) if !failure::is_busy(&error) || attempts == WAL_SWITCH_ATTEMPTS_MAX => {
                return Err(error);
            }
            Err(_) => begin(&mut connection)?.commit()?,
        }
    }
}

/// A transaction that writes: it waits for other writers before it reads anything.
fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn first_place<'a>(
    batch: &'a [SinkRecord],
    positions: &'a [Position],
) -> Option<(&'a std::sync::Arc<str>, i32)> {
    let of_records = batch.first().map(|record| (&record.topic, record.partition));
    of_records.or_else(|| positions.first().map(|at| (&at.topic, at.partition)))
}
