//! A sink into memory: the smallest one that keeps the contract, for tests of what stands above.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::document::KEY_COLUMN;
use super::{
    Cell, Change, Claim, Opened, Position, Row, Sink, SinkError, SinkRecord, TablePreview, Written,
};

/// A table and its positions; clones share them, as connections share a database.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    inner: Arc<Mutex<Tables>>,
}

#[derive(Debug, Clone, Default)]
struct Tables {
    /// Columns in the order of their first appearance.
    columns: Vec<String>,
    /// Rows by the text of their key columns, with the order of their insertion.
    rows: BTreeMap<Vec<String>, (u64, Row)>,
    inserted_count: u64,
    offsets: BTreeMap<Slot, Held>,
}

type Slot = (String, String, Arc<str>, i32);

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    epoch: i64,
    next_offset: i64,
}

/// A holder of a [`MemoryStore`].
#[derive(Debug)]
pub struct MemorySink {
    store: MemoryStore,
    key: Vec<String>,
    claim: Option<(Claim, i64)>,
}

impl MemoryStore {
    /// Another holder, whose rows are one per value of the `key` columns.
    #[must_use]
    pub fn sink(&self, key: &[&str]) -> MemorySink {
        let key = key.iter().map(|column| (*column).to_owned()).collect();
        MemorySink { store: self.clone(), key, claim: None }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemorySink {
    fn open(&mut self, claim: &Claim) -> Result<Opened, SinkError> {
        let mut tables = self.store.tables();
        let slots: Vec<Slot> = claim.partitions.iter().map(|at| slot(claim, *at)).collect();
        let held = |slot: &Slot| tables.offsets.get(slot).copied().unwrap_or_default();
        let epoch = slots.iter().map(|slot| held(slot).epoch).max().unwrap_or(0) + 1;
        let is_new = tables.columns.is_empty();
        let mut positions = Vec::new();
        for slot in slots {
            let (topic, partition) = (slot.2.clone(), slot.3);
            let held = tables.offsets.entry(slot).or_default();
            held.epoch = epoch;
            if is_new {
                held.next_offset = 0;
            }
            if held.next_offset > 0 {
                positions.push(Position { topic, partition, next_offset: held.next_offset });
            }
        }
        self.claim = Some((claim.clone(), epoch));
        Ok(Opened { epoch, positions })
    }

    fn write(
        &mut self,
        batch: &[SinkRecord],
        positions: &[Position],
    ) -> Result<Written, SinkError> {
        // Everything happens on a copy, which stands for the transaction.
        let mut tables = self.store.tables().clone();
        let mut written = Written::default();
        for record in batch {
            let held = self.held(&tables, &record.topic, record.partition)?;
            if record.offset < held.next_offset {
                written.skipped += 1;
                continue;
            }
            match record.change()? {
                Change::Upsert(row) => {
                    let key = self.key_of(record, &row)?;
                    tables.upsert(key, row);
                    written.upserted += 1;
                }
                Change::Delete { key } => written.deleted += tables.delete(&key),
            }
        }
        for position in positions {
            let mut held = self.held(&tables, &position.topic, position.partition)?;
            held.next_offset = held.next_offset.max(position.next_offset);
            let (claim, _) = self.claim.as_ref().expect("held() refuses a sink without a claim");
            tables.offsets.insert(slot(claim, position.partition), held);
        }
        *self.store.tables() = tables;
        Ok(written)
    }

    fn preview(&mut self, rows_max: usize) -> Result<Vec<TablePreview>, SinkError> {
        let tables = self.store.tables();
        let mut newest: Vec<&(u64, Row)> = tables.rows.values().collect();
        newest.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        let cells = |row: &Row| {
            let cell = |column: &String| row.cell(column).cloned().unwrap_or(Cell::Null);
            tables.columns.iter().map(cell).collect()
        };
        let rows = newest.iter().take(rows_max).map(|(_, row)| cells(row)).collect();
        Ok(vec![TablePreview {
            table: "memory".to_owned(),
            columns: tables.columns.clone(),
            rows,
            rows_count: base::cast::u64_of(tables.rows.len()),
        }])
    }
}

impl MemorySink {
    fn held(&self, tables: &Tables, topic: &Arc<str>, partition: i32) -> Result<Held, SinkError> {
        let unclaimed = || SinkError::Unclaimed { topic: topic.clone(), partition };
        let (claim, epoch) = self.claim.as_ref().ok_or_else(unclaimed)?;
        if claim.topic != *topic || !claim.partitions.contains(&partition) {
            return Err(unclaimed());
        }
        let found = tables.offsets.get(&slot(claim, partition)).copied().unwrap_or_default();
        if found.epoch == *epoch {
            return Ok(found);
        }
        let (topic, held, found) = (topic.clone(), *epoch, found.epoch);
        Err(SinkError::Fenced { topic, partition, held, found })
    }

    fn key_of(&self, record: &SinkRecord, row: &Row) -> Result<Vec<String>, SinkError> {
        let part = |column: &String| match row.cell(column) {
            None | Some(Cell::Null) => {
                Err(record.rejected(&format!("the key column `{column}` has no value")))
            }
            Some(cell) => Ok(cell.to_string()),
        };
        self.key.iter().map(part).collect()
    }
}

impl Tables {
    fn upsert(&mut self, key: Vec<String>, row: Row) {
        for (name, cell) in &row.cells {
            let known = self.columns.iter().any(|column| column.eq_ignore_ascii_case(name));
            if !known && (*cell != Cell::Null || name == KEY_COLUMN) {
                self.columns.push(name.clone());
            }
        }
        self.inserted_count += 1;
        let number = self.rows.get(&key).map_or(self.inserted_count, |(number, _)| *number);
        self.rows.insert(key, (number, row));
    }

    fn delete(&mut self, key: &str) -> u64 {
        let before = self.rows.len();
        let wanted = Cell::Text(key.to_owned());
        self.rows.retain(|_, (_, row)| row.cell(KEY_COLUMN) != Some(&wanted));
        base::cast::u64_of(before - self.rows.len())
    }
}

fn slot(claim: &Claim, partition: i32) -> Slot {
    (claim.pipeline.clone(), claim.sink.clone(), claim.topic.clone(), partition)
}

#[cfg(test)]
mod tests {
    use crate::sink::conformance;

    use super::*;

    #[test]
    fn the_memory_sink_keeps_the_contract() {
        conformance::check(&|key| {
            let store = MemoryStore::default();
            let key: Vec<String> = key.iter().map(|column| (*column).to_owned()).collect();
            Box::new(move || {
                let key: Vec<&str> = key.iter().map(String::as_str).collect();
                Box::new(store.sink(&key))
            })
        });
    }
}
