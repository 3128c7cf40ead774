//! Windows that close in pieces.

use std::collections::BTreeMap;

use super::*;
use crate::engine::changelog;
use crate::engine::flow::{Out, OutletError};
use crate::sample;

const TEXT: &str = "
version: 1
name: p
edges: topics
source: { topic: in }
tasks:
  - { id: seen, type: count, window: 10ms, to: next }
  - { id: next, type: forward, to: sink }
sink: { kafka: { topic: out } }
";

const KEYS: usize = 3_000;
const END_MS: i64 = 10;
const TIME_MS: i64 = 20;

/// Has room for so many results.
struct Narrow {
    room: usize,
    results: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Outlet for Narrow {
    fn emit(&mut self, _: usize, record: Out<'_>) -> Result<(), OutletError> {
        let (key, value) = (record.key.unwrap(), record.value.unwrap());
        assert_eq!(self.results.insert(key.to_vec(), value.to_vec()), None, "a key closes once");
        Ok(())
    }

    fn emit_to(&mut self, output: usize, _: i32, record: Out<'_>) -> Result<(), OutletError> {
        self.emit(output, record)
    }

    fn is_full(&self, _: usize) -> bool {
        self.results.len() >= self.room
    }
}

fn task() -> Task {
    sample::first_task(&sample::plan(TEXT))
}

/// A task whose watermark has passed a window with many keys.
fn filled() -> Task {
    let mut task = task();
    let NodeState::WindowCount(windows) = &mut task.state.nodes[0] else {
        panic!("a count over windows")
    };
    for key in 0..KEYS {
        *windows.change(END_MS, key.to_string().as_bytes()) = 1;
    }
    task.watermark.advance(Input { topic: 0, producer: -1 }, TIME_MS);
    assert!(task.watermark.update());
    task.settle(|_| None);
    task
}

fn closed(task: &mut Task, room: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut outlet = Narrow { room, results: BTreeMap::new() };
    let time_ms = task.state.closing_ms.unwrap_or(TIME_MS);
    assert!(task.close(time_ms, &mut outlet, &mut Vec::new()).is_ok());
    outlet.results
}

#[test]
fn time_is_told_once_all_that_it_has_passed_is_closed() {
    let mut task = filled();
    let first = closed(&mut task, 1);
    assert!(!first.is_empty() && first.len() < KEYS);
    assert_eq!(task.state.closed_ms[0], TIME_MS, "what is late has been settled");
    assert!(task.is_closing() && task.marker().is_none());
    let mut rest = Narrow { room: usize::MAX, results: BTreeMap::new() };
    assert!(task.go_on_closing(&mut rest, &mut Vec::new()).is_ok());
    assert_eq!(first.len() + rest.results.len(), KEYS);
    assert!(rest.results.keys().all(|key| !first.contains_key(key)));
    assert!(!task.is_closing());
    assert_eq!(task.marker().map(|told| told.time_ms), Some(TIME_MS));
}

#[test]
fn closing_goes_on_behind_the_last_commit_after_a_rollback() {
    let mut task = filled();
    let first = closed(&mut task, 1);
    task.settle(|_| None);
    let second = closed(&mut task, 1);
    assert!(!second.is_empty());
    task.roll_back();
    assert!(task.is_closing());
    let rest = closed(&mut task, usize::MAX);
    assert_eq!(first.len() + rest.len(), KEYS);
    assert!(second.keys().all(|key| rest.contains_key(key)));
}

#[test]
fn closing_goes_on_behind_the_last_commit_after_a_restart() {
    let mut before = filled();
    let first = closed(&mut before, 1);
    before.settle(|_| None);
    let mut after = task();
    let closed_ms = before.committed_closed_ms(0);
    changelog::each_live(&before.state, 0, closed_ms, |record| {
        changelog::apply(&mut after.state, 0, record.key, record.value)
    })
    .unwrap();
    after.restored();
    assert!(after.is_closing() && after.marker().is_none());
    let rest = closed(&mut after, usize::MAX);
    assert_eq!(first.len() + rest.len(), KEYS);
    assert!(rest.keys().all(|key| !first.contains_key(key)));
    assert_eq!(after.marker().map(|told| told.time_ms), Some(TIME_MS));
}
