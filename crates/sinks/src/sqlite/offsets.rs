//! The positions beside the rows, and the epoch that fences older holders.

use std::sync::Arc;

use pipeline::sink::{Claim, Position, SinkError};
use rusqlite::{Connection, OptionalExtension as _, params};

/// The table of positions, part of what Millstream promises to other programs.
pub(crate) const OFFSETS_TABLE: &str = "millstream_offsets";

const CREATE: &str = "CREATE TABLE IF NOT EXISTS millstream_offsets (\
     pipeline TEXT NOT NULL, sink TEXT NOT NULL, topic TEXT NOT NULL, \
     partition INTEGER NOT NULL, next_offset INTEGER NOT NULL, epoch INTEGER NOT NULL, \
     PRIMARY KEY (pipeline, sink, topic, partition)) WITHOUT ROWID";

const SELECT: &str = "SELECT next_offset, epoch FROM millstream_offsets \
     WHERE pipeline = ?1 AND sink = ?2 AND topic = ?3 AND partition = ?4";

const RAISE: &str = "INSERT INTO millstream_offsets VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
     ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, epoch = excluded.epoch";

const ADVANCE: &str = "UPDATE millstream_offsets SET next_offset = ?5 \
     WHERE pipeline = ?1 AND sink = ?2 AND topic = ?3 AND partition = ?4";

/// What the database holds for one partition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) next_offset: i64,
    pub(super) epoch: i64,
}

/// The positions of one claim.
#[derive(Debug)]
pub(super) struct Offsets {
    pub(super) claim: Claim,
    pub(super) epoch: i64,
}

impl Offsets {
    /// Takes the claim's partitions over, inside the caller's transaction.
    ///
    /// Positions describe the rows of a table: without the table (`keep` is false) they start
    /// again, so that a dropped table is filled anew.
    pub(super) fn take_over(
        connection: &Connection,
        claim: &Claim,
        keep: bool,
    ) -> rusqlite::Result<(Self, Vec<Position>)> {
        connection.execute_batch(CREATE)?;
        let mut offsets = Self { claim: claim.clone(), epoch: 0 };
        let mut found = Vec::new();
        for partition in &claim.partitions {
            let held = offsets.held(connection, *partition)?;
            offsets.epoch = offsets.epoch.max(held.epoch);
            found.push((*partition, if keep { held.next_offset } else { 0 }));
        }
        offsets.epoch += 1;
        let mut raise = connection.prepare_cached(RAISE)?;
        let mut positions = Vec::new();
        for (partition, next_offset) in found {
            let Claim { pipeline, sink, topic, .. } = claim;
            raise.execute(params![pipeline, sink, topic, partition, next_offset, offsets.epoch])?;
            if next_offset > 0 {
                positions.push(Position { topic: claim.topic.clone(), partition, next_offset });
            }
        }
        Ok((offsets, positions))
    }

    /// What the database holds; zeros for a partition that nobody claimed yet.
    pub(super) fn held(&self, connection: &Connection, partition: i32) -> rusqlite::Result<Held> {
        let Claim { pipeline, sink, topic, .. } = &self.claim;
        let mut select = connection.prepare_cached(SELECT)?;
        let row = select.query_row(params![pipeline, sink, topic, partition], |row| {
            Ok(Held { next_offset: row.get(0)?, epoch: row.get(1)? })
        });
        Ok(row.optional()?.unwrap_or_default())
    }

    /// Moves a position on, inside the caller's transaction.
    pub(super) fn advance(
        &self,
        connection: &Connection,
        partition: i32,
        next_offset: i64,
    ) -> rusqlite::Result<()> {
        let Claim { pipeline, sink, topic, .. } = &self.claim;
        let mut advance = connection.prepare_cached(ADVANCE)?;
        advance.execute(params![pipeline, sink, topic, partition, next_offset])?;
        Ok(())
    }

    /// Refuses what the claim does not cover.
    pub(super) fn check_claimed(&self, topic: &Arc<str>, partition: i32) -> Result<(), SinkError> {
        if self.claim.topic == *topic && self.claim.partitions.contains(&partition) {
            return Ok(());
        }
        Err(SinkError::Unclaimed { topic: topic.clone(), partition })
    }

    /// Refuses a holder that a later one has replaced.
    pub(super) fn check_epoch(&self, partition: i32, held: Held) -> Result<(), SinkError> {
        if held.epoch == self.epoch {
            return Ok(());
        }
        let (topic, found) = (self.claim.topic.clone(), held.epoch);
        Err(SinkError::Fenced { topic, partition, held: self.epoch, found })
    }
}
