//! The columns of the sink's table, and how a document's fields find theirs.

use std::collections::BTreeMap;

use pipeline::sink::document::KEY_COLUMN;
use pipeline::sink::{Cell, Row};
use rusqlite::Connection;

use crate::sqlite::{SqliteOptions, statement};

/// The table as the sink writes it.
#[derive(Debug)]
pub(super) struct Layout {
    /// The columns that the sink writes: all but generated ones and those with a default,
    /// which belong to whoever declared them.
    columns: Vec<String>,
    by_name: BTreeMap<String, usize>,
    /// Columns altogether, the others included.
    pub(super) columns_count: usize,
    pub(super) upsert: String,
    /// Whether the record's key has no column and needs none: the table is somebody else's.
    drops_key: bool,
    shape: Shape,
}

/// Where the fields of the last document went: most documents of a topic look alike.
#[derive(Debug, Default)]
struct Shape {
    names: Vec<String>,
    places: Vec<Option<usize>>,
}

impl Layout {
    /// Reads the table; nothing when it does not exist.
    pub(super) fn read(
        connection: &Connection,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Option<Self>> {
        let SqliteOptions { table, key, create_table, .. } = options;
        let sql = "SELECT name, dflt_value IS NULL AND hidden = 0 FROM pragma_table_xinfo(?1)";
        let mut select = connection.prepare_cached(sql)?;
        let pairs = select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let all = pairs.collect::<rusqlite::Result<Vec<(String, bool)>>>()?;
        if all.is_empty() {
            return Ok(None);
        }
        let columns_count = all.len();
        let ours = |(name, plain): (String, bool)| {
            let in_key = key.iter().any(|part| part.eq_ignore_ascii_case(&name));
            (plain || in_key).then_some(name)
        };
        let columns: Vec<String> = all.into_iter().filter_map(ours).collect();
        let place = |(at, name): (usize, &String)| (name.to_ascii_lowercase(), at);
        let by_name: BTreeMap<String, usize> = columns.iter().enumerate().map(place).collect();
        let upsert = statement::upsert(table, &columns, key);
        let drops_key = !create_table && !by_name.contains_key(KEY_COLUMN);
        let shape = Shape::default();
        Ok(Some(Self { columns, by_name, columns_count, upsert, drops_key, shape }))
    }

    /// Whether the table has this column and the sink writes it.
    pub(super) fn has(&self, column: &str) -> bool {
        self.by_name.contains_key(&column.to_ascii_lowercase())
    }

    /// The row's cells in the order of the columns, or the fields that have no column yet.
    ///
    /// Fields without a value need no column.
    pub(super) fn arrange<'a>(&mut self, row: &'a Row) -> Result<Vec<&'a Cell>, Vec<usize>> {
        self.remember_shape(row);
        let mut cells = vec![&Cell::Null; self.columns.len()];
        let mut missing = Vec::new();
        for (at, ((name, cell), place)) in row.cells.iter().zip(&self.shape.places).enumerate() {
            match place {
                Some(place) => cells[*place] = cell,
                None if *cell == Cell::Null || (self.drops_key && name == KEY_COLUMN) => {}
                None => missing.push(at),
            }
        }
        if missing.is_empty() { Ok(cells) } else { Err(missing) }
    }

    fn remember_shape(&mut self, row: &Row) {
        let names = row.cells.iter().map(|(name, _)| name);
        if names.clone().eq(self.shape.names.iter()) {
            return;
        }
        let place = |name: &String| self.by_name.get(&name.to_ascii_lowercase()).copied();
        self.shape.places = names.clone().map(place).collect();
        self.shape.names = names.cloned().collect();
    }
}
