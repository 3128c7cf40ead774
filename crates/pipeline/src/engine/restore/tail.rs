//! One worker of a restore: reads the changelogs of some tasks up to their ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use client::Consumer;
use client::options::{ConsumerOptions, Isolation};
use protocol::record::Batch;
use runtime::timer;

use super::{Aids, Goals};
use crate::engine::chain::ChainState;
use crate::engine::changelog;
use crate::engine::error::EngineError;
use crate::engine::task::Task;
use crate::limits::{DECODED_BATCH_BYTES_MAX, RESTORE_WAIT_MS, RESTORE_WAIT_MS_MAX};
use state::memory::MemoryShare;

/// What a worker reads.
pub(super) struct Tail {
    pub(super) aids: Aids,
    pub(super) tasks: Vec<Task>,
    pub(super) goals: Goals,
    /// When the ends were asked for, in milliseconds since 1970.
    pub(super) began_ms: i64,
    pub(super) share: MemoryShare,
}

impl Tail {
    /// Reads to the ends; gives the tasks back with their state.
    pub(super) async fn read(mut self) -> Result<Vec<Task>, EngineError> {
        let mut consumer = self.aids.client.consumer(ConsumerOptions {
            isolation: Isolation::ReadCommitted,
            ..ConsumerOptions::default()
        });
        let places = self.goals.iter();
        let places = places.map(|((topic, at), goal)| (topic.as_str(), *at, goal.next));
        consumer.assign(places);
        let mut deadline = timer::now() + self.aids.silence;
        let mut wait_ms = RESTORE_WAIT_MS;
        while !self.goals.is_empty() {
            let has_moved = self.turn(&mut consumer, wait_ms).await?;
            if has_moved {
                deadline = timer::now() + self.aids.silence;
                wait_ms = RESTORE_WAIT_MS;
                continue;
            }
            if timer::now() >= deadline {
                let (topic, partition) = self.goals.keys().next().cloned().unwrap_or_default();
                return Err(EngineError::RestoreStuck { topic, partition });
            }
            wait_ms = (wait_ms * 2).min(RESTORE_WAIT_MS_MAX);
        }
        for task in &mut self.tasks {
            task.write_state();
            failed(task)?;
        }
        Ok(self.tasks)
    }

    /// Takes what comes within a wait; tells whether any changelog has come nearer to its end.
    async fn turn(&mut self, consumer: &mut Consumer, wait_ms: u64) -> Result<bool, EngineError> {
        for part in consumer.poll(Duration::from_millis(wait_ms)).await? {
            let place = (part.topic.to_string(), part.partition);
            let Some(goal) = self.goals.get(&place).copied() else {
                continue;
            };
            for batch in &part.batches {
                let state = &mut self.tasks[goal.task].state;
                let count = apply(batch, part.from, (state, goal.node), &place)?;
                self.aids.progress.records.fetch_add(count, Ordering::Relaxed);
            }
        }
        // Markers and aborted records move the position without giving anything.
        let mut has_moved = false;
        for ((topic, partition), goal) in &mut self.goals {
            let reached = consumer.position(topic, *partition).unwrap_or(goal.next).min(goal.end);
            if reached > goal.next {
                let passed = u64::try_from(reached - goal.next).unwrap_or(0);
                self.aids.progress.done.fetch_add(passed, Ordering::Relaxed);
                goal.next = reached;
                has_moved = true;
                goal.reached(&mut self.tasks, reached, self.began_ms);
            }
        }
        self.goals.retain(|_, goal| goal.next < goal.end);
        if has_moved {
            self.tasks.iter().try_for_each(failed)?;
            let bytes = self.tasks.iter().map(Task::state_bytes).sum();
            self.share.hold(bytes).map_err(EngineError::StateLimit)?;
        }
        Ok(has_moved)
    }
}

fn failed(task: &Task) -> Result<(), EngineError> {
    task.state_failure().map_or(Ok(()), |error| Err(EngineError::from(error)))
}

/// Takes a batch of a node's changelog over, from an offset on; gives how many records it took.
pub(crate) fn apply(
    batch: &Batch,
    from: i64,
    (state, node): (&mut ChainState, usize),
    (topic, partition): &(String, i32),
) -> Result<u64, EngineError> {
    let damaged = |offset: i64| EngineError::ChangelogUnreadable {
        topic: topic.clone(),
        partition: *partition,
        offset,
    };
    let base = batch.header().base_offset;
    let decoded = batch.decode(DECODED_BATCH_BYTES_MAX).map_err(|_| damaged(base))?;
    let mut count = 0;
    for record in decoded.iter() {
        let record = record.map_err(|_| damaged(base))?;
        if record.offset < from {
            continue;
        }
        let key = record.key.unwrap_or_default();
        changelog::apply(state, node, key, record.value).map_err(|_| damaged(record.offset))?;
        count += 1;
    }
    Ok(count)
}
