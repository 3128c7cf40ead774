//! Event time: how far it has certainly come.
//!
//! Each input (a partition of a source, or a task that writes into an edge topic) has a watermark;
//! the task's is the lowest of those that are not idle, and never goes back.

use std::collections::BTreeMap;

use state::value::NO_TIME;

/// Where time comes from: a source partition (`producer` -1) or an upstream task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Input {
    /// Index of the topic among the task's inputs.
    pub(crate) topic: usize,
    /// The upstream task that reported, or -1 for the records themselves.
    pub(crate) producer: i32,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    time_ms: i64,
    is_idle: bool,
}

/// The watermark of a task.
#[derive(Debug, Clone)]
pub(crate) struct Watermark {
    inputs: BTreeMap<Input, Progress>,
    /// Reports expected per topic: the number of upstream tasks; 1 for a source.
    expected: Vec<usize>,
    time_ms: i64,
}

impl Watermark {
    /// Nothing seen yet; `expected` reporters for each topic.
    pub(crate) fn new(expected: Vec<usize>) -> Self {
        Self { inputs: BTreeMap::new(), expected, time_ms: NO_TIME }
    }

    /// An input has come this far; tells whether that is news. Its own time never goes back.
    pub(crate) fn advance(&mut self, input: Input, time_ms: i64) -> bool {
        let unheard = Progress { time_ms: NO_TIME, is_idle: true };
        let progress = self.inputs.entry(input).or_insert(unheard);
        let is_news = progress.is_idle || time_ms > progress.time_ms;
        progress.time_ms = progress.time_ms.max(time_ms);
        progress.is_idle = false;
        is_news
    }

    /// An input is caught up and silent: it no longer holds the others back.
    pub(crate) fn set_idle(&mut self, input: Input) {
        let fresh = Progress { time_ms: NO_TIME, is_idle: true };
        self.inputs.entry(input).or_insert(fresh).is_idle = true;
    }

    /// Whether an input was heard of and holds nobody back.
    pub(crate) fn is_left_out(&self, input: Input) -> bool {
        self.inputs.get(&input).is_some_and(|progress| progress.is_idle)
    }

    /// How many tasks report for a topic, which a marker may correct.
    pub(crate) fn expect(&mut self, topic: usize, reporters: usize) {
        if let Some(expected) = self.expected.get_mut(topic) {
            *expected = reporters;
        }
    }

    /// Takes over the time that was stored.
    pub(crate) fn restore(&mut self, time_ms: i64) {
        self.time_ms = self.time_ms.max(time_ms);
    }

    /// The task's time, as far as is certain.
    pub(crate) fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// Whether every input is idle.
    pub(crate) fn is_idle(&self) -> bool {
        self.has_all() && self.inputs.values().all(|progress| progress.is_idle)
    }

    /// Works the time out anew; tells whether it has moved.
    pub(crate) fn update(&mut self) -> bool {
        if !self.has_all() {
            return false;
        }
        let live = self.inputs.values().filter(|progress| !progress.is_idle);
        let Some(lowest) = live.map(|progress| progress.time_ms).min() else {
            return false;
        };
        let has_moved = lowest > self.time_ms;
        self.time_ms = self.time_ms.max(lowest);
        has_moved
    }

    /// Whether every reporter has been heard of.
    fn has_all(&self) -> bool {
        let heard = |topic| self.inputs.keys().filter(|input| input.topic == topic).count();
        self.expected.iter().enumerate().all(|(topic, expected)| heard(topic) >= *expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Input = Input { topic: 0, producer: -1 };
    const B: Input = Input { topic: 1, producer: -1 };

    #[test]
    fn time_is_that_of_the_slowest_input() {
        let mut watermark = Watermark::new(vec![1, 1]);
        watermark.advance(A, 10);
        assert!(!watermark.update(), "the other input has not been heard of");
        watermark.advance(B, 5);
        assert!(watermark.update());
        assert_eq!(watermark.time_ms(), 5);
        watermark.advance(B, 20);
        watermark.advance(B, 1);
        assert!(watermark.update());
        assert_eq!(watermark.time_ms(), 10);
    }

    #[test]
    fn an_idle_input_holds_nobody_back_and_time_does_not_go_back_when_it_wakes() {
        let mut watermark = Watermark::new(vec![1, 1]);
        watermark.advance(A, 10);
        watermark.set_idle(B);
        assert!(watermark.update());
        assert_eq!(watermark.time_ms(), 10);
        watermark.advance(B, 3);
        assert!(!watermark.update());
        assert_eq!(watermark.time_ms(), 10);
        watermark.set_idle(A);
        watermark.set_idle(B);
        assert!(watermark.is_idle() && !watermark.update());
    }

    #[test]
    fn every_upstream_task_must_have_reported() {
        let mut watermark = Watermark::new(vec![2]);
        watermark.advance(Input { topic: 0, producer: 0 }, 9);
        assert!(!watermark.update());
        watermark.advance(Input { topic: 0, producer: 1 }, 7);
        assert!(watermark.update());
        assert_eq!(watermark.time_ms(), 7);
        watermark.expect(0, 3);
        watermark.advance(Input { topic: 0, producer: 0 }, 12);
        watermark.advance(Input { topic: 0, producer: 1 }, 12);
        assert!(!watermark.update());
    }

    #[test]
    fn a_restored_time_is_a_lower_bound() {
        let mut watermark = Watermark::new(vec![1]);
        watermark.restore(50);
        watermark.advance(A, 10);
        assert!(!watermark.update());
        assert_eq!(watermark.time_ms(), 50);
    }
}
