//! Moving a pipeline to another place of its sources: what it remembers goes, where it reads is
//! set.
//!
//! State belongs to positions: a count that has seen a record would count it twice. So all that a
//! whole [`Reset`] forgets is forgotten, as Apache Kafka's reset tool of Streams applications
//! does, and then the groups of the stages that read sources are given their offsets.

use std::collections::BTreeMap;

use client::Client;
use client::admin::OffsetAt;
use client::options::Isolation;
use topology::plan::{InputKind, Plan};

use super::error::EngineError;
use super::ledger::Claimant;
use super::reset::Reset;
use super::topics;

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The first records that are left.
    Earliest,
    /// Behind the last records that are there now.
    Latest,
    /// This offset in every partition.
    Offset(i64),
    /// The first record that is not older than this, in milliseconds since 1970; behind the last
    /// one where all are older.
    Time(i64),
}

/// A partition of a source, for the stage that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The stage's group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The next offset until now; none when nothing was committed.
    pub from: Option<i64>,
    /// The next offset from now on.
    pub to: i64,
    /// Whether the offset that was asked for is not in the log, and the nearest one was taken.
    pub is_nearest: bool,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewind {
    /// What goes.
    pub reset: Reset,
    /// What moves.
    pub moves: Vec<Move>,
}

impl Rewind {
    /// Looks at what would be done; changes nothing.
    ///
    /// # Errors
    /// The log's; [`EngineError::NoSource`] for a source whose topic is not there.
    pub async fn look(client: &Client, plan: &Plan, to: To) -> Result<Self, EngineError> {
        let reset = Reset::look(client, plan, None).await?;
        let counts = topics::existing(client, plan).await?;
        let mut moves = Vec::new();
        for stage in &plan.stages {
            let sources = stage.inputs.iter();
            let sources = sources.filter(|input| matches!(input.kind, InputKind::Source(_)));
            let places: Vec<(&str, i32)> = sources
                .flat_map(|input| {
                    let count = counts.get(&input.topic).copied().unwrap_or(0);
                    (0..count).map(|partition| (input.topic.as_str(), partition))
                })
                .collect();
            moves.extend(moves_of(client, &stage.group, &places, to).await?);
        }
        Ok(Self { reset, moves })
    }

    /// Does it. When it is cut short, it is done again: until the last step the pipeline would
    /// begin where its sources say.
    ///
    /// # Errors
    /// As [`Reset::perform`].
    pub async fn perform(
        &self,
        client: &Client,
        plan: &Plan,
        claimant: &Claimant,
    ) -> Result<(), EngineError> {
        self.reset.perform(client, plan, claimant).await?;
        // A job of a cluster that is resumed finds its topics as its apply has made them.
        topics::prepare(client, plan).await?;
        let mut groups: BTreeMap<&str, Vec<(&str, i32, i64)>> = BTreeMap::new();
        for moved in &self.moves {
            let offsets = groups.entry(&moved.group).or_default();
            offsets.push((&moved.topic, moved.partition, moved.to));
        }
        for (group, offsets) in groups {
            client.admin().commit_offsets(group, &offsets).await?;
        }
        Ok(())
    }
}

async fn moves_of(
    client: &Client,
    group: &str,
    places: &[(&str, i32)],
    to: To,
) -> Result<Vec<Move>, EngineError> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let admin = client.admin();
    let isolation = Isolation::ReadUncommitted;
    let committed = admin.committed_offsets(group, Some(places), true).await?;
    let starts = admin.list_offsets(places, OffsetAt::Earliest, isolation).await?;
    let ends = admin.list_offsets(places, OffsetAt::Latest, isolation).await?;
    let since = match to {
        To::Time(time_ms) => {
            admin.list_offsets(places, OffsetAt::Timestamp(time_ms), isolation).await?
        }
        To::Earliest | To::Latest | To::Offset(_) => BTreeMap::new(),
    };
    let moves = places.iter().map(|(topic, partition)| {
        let key = ((*topic).to_owned(), *partition);
        let bounds = (
            starts.get(&key).map_or(0, |found| found.offset),
            ends.get(&key).map_or(0, |found| found.offset),
        );
        let since = since.get(&key).map(|found| found.offset);
        let (to, is_nearest) = place(to, bounds, since);
        let from = committed.get(&key).map(|found| found.offset).filter(|offset| *offset >= 0);
        let (topic, partition) = key;
        Move { group: group.to_owned(), topic, partition, from, to, is_nearest }
    });
    Ok(moves.collect())
}

/// The offset that is meant within a log, and whether it is only the nearest one. `since` is the
/// first offset of a time: -1 when there is none.
fn place(to: To, (start, end): (i64, i64), since: Option<i64>) -> (i64, bool) {
    match to {
        To::Earliest => (start, false),
        To::Latest => (end, false),
        To::Offset(wanted) => (wanted.clamp(start, end), !(start..=end).contains(&wanted)),
        To::Time(_) => (since.filter(|offset| *offset >= 0).unwrap_or(end), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_within_the_log() {
        let bounds = (5, 9);
        assert_eq!(place(To::Earliest, bounds, None), (5, false));
        assert_eq!(place(To::Latest, bounds, None), (9, false));
        assert_eq!(place(To::Offset(7), bounds, None), (7, false));
        assert_eq!(place(To::Offset(9), bounds, None), (9, false));
        assert_eq!(place(To::Offset(2), bounds, None), (5, true));
        assert_eq!(place(To::Offset(10), bounds, None), (9, true));
        assert_eq!(place(To::Time(1), bounds, Some(6)), (6, false));
        assert_eq!(place(To::Time(1), bounds, Some(-1)), (9, false));
    }
}
