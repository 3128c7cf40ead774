//! Records between tasks that run in one call, while somebody looks.
//!
//! Nobody pays for it otherwise: a slot asks once per round whether somebody wants to look, and
//! its tasks know of taps only while there are any. A tap copies so many records a second into a
//! ring; the others are counted. It never waits: what finds the ring in use is counted as well.
//!
//! Records are seen as they pass, which is before their commit: after an aborted transaction they
//! pass again.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use base::clock::Clock;

use super::flow::Flow;
use crate::limits::{TAP_BYTES_MAX, TAP_RECORDS_MAX, TAP_WANTED_MS};

const SECOND_US: u64 = 1_000_000;

/// A record that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    /// Its number among those that passed, counted from 1 by each tap.
    pub sequence: u64,
    /// The partition of the task.
    pub partition: i32,
    /// Its time in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// A look at what passes from one task to the next.
pub struct Tap {
    from: String,
    to: String,
    /// Records that are copied in a second.
    rate: u32,
    clock: Arc<dyn Clock>,
    wanted_us: AtomicU64,
    passed: AtomicU64,
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    records: VecDeque<Tapped>,
    bytes: usize,
    since_us: u64,
    copied: u32,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tap({}->{})", self.from, self.to)
    }
}

impl Tap {
    /// A look that is wanted from now on, for some seconds.
    #[must_use]
    pub fn new((from, to): (&str, &str), rate: u32, clock: Arc<dyn Clock>) -> Arc<Self> {
        let tap = Self {
            from: from.to_owned(),
            to: to.to_owned(),
            rate,
            clock,
            wanted_us: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            ring: Mutex::default(),
        };
        tap.want();
        Arc::new(tap)
    }

    /// Somebody still looks.
    pub fn want(&self) {
        let until_us = self.clock.steady_us() + TAP_WANTED_MS * 1_000;
        self.wanted_us.store(until_us, Ordering::Relaxed);
    }

    /// Whether somebody has looked within the last seconds.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.clock.steady_us() < self.wanted_us.load(Ordering::Relaxed)
    }

    /// Records that have passed.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// The records behind this number that are still in the ring.
    #[must_use]
    pub fn since(&self, sequence: u64) -> Vec<Tapped> {
        let ring = self.ring();
        ring.records.iter().filter(|record| record.sequence > sequence).cloned().collect()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("no holder of a ring panics")
    }

    /// A record passes.
    fn pass(
        &self,
        partition: i32,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        timestamp_ms: i64,
    ) {
        let sequence = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(mut ring) = self.ring.try_lock() else {
            return;
        };
        let now_us = self.clock.steady_us();
        if now_us.saturating_sub(ring.since_us) >= SECOND_US {
            (ring.since_us, ring.copied) = (now_us, 0);
        }
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if ring.copied >= self.rate || bytes > TAP_BYTES_MAX {
            return;
        }
        ring.copied += 1;
        ring.bytes += bytes;
        ring.records.push_back(Tapped {
            sequence,
            partition,
            timestamp_ms,
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
        });
        while ring.records.len() > TAP_RECORDS_MAX || ring.bytes > TAP_BYTES_MAX {
            let Some(old) = ring.records.pop_front() else {
                return;
            };
            let freed = |part: Option<Vec<u8>>| part.map_or(0, |part| part.len());
            ring.bytes -= freed(old.key) + freed(old.value);
        }
    }
}

/// The taps of a slot: others add, the slot takes note.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    generation: AtomicU64,
    list: Mutex<Vec<Arc<Tap>>>,
}

impl Taps {
    /// Lets the slot know of a tap, once.
    pub(crate) fn ensure(&self, tap: &Arc<Tap>) {
        let mut list = self.list.lock().expect("no holder of the taps panics");
        if !list.iter().any(|known| Arc::ptr_eq(known, tap)) {
            list.push(Arc::clone(tap));
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    fn wanted(&self) -> Vec<Arc<Tap>> {
        let mut list = self.list.lock().expect("no holder of the taps panics");
        list.retain(|tap| tap.is_wanted());
        list.clone()
    }
}

/// What a slot knows of its taps.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    pub(crate) taps: Arc<Taps>,
    generation: u64,
    active: Vec<Arc<Tap>>,
    /// Whether tasks have come that know of no tap.
    is_stale: bool,
}

impl Followed {
    /// Gives the taps again at the next call, also when they are the same.
    pub(crate) fn look_again(&mut self) {
        self.is_stale = true;
    }

    /// The taps that are wanted, when they are not those of the last call.
    pub(crate) fn changed(&mut self) -> Option<&[Arc<Tap>]> {
        let generation = self.taps.generation.load(Ordering::Acquire);
        let is_over = self.active.iter().any(|tap| !tap.is_wanted());
        let is_stale = std::mem::take(&mut self.is_stale);
        if generation == self.generation && !is_over && !is_stale {
            return None;
        }
        self.generation = generation;
        self.active = self.taps.wanted();
        Some(&self.active)
    }
}

/// A tap at its place in a task.
#[derive(Debug)]
pub(crate) struct Placed {
    at: usize,
    next: usize,
    partition: i32,
    tap: Arc<Tap>,
}

impl Placed {
    /// The taps that lie between tasks of a chain, `arcs` giving each arc with its two ids.
    pub(crate) fn of<'c>(
        taps: &[Arc<Tap>],
        partition: i32,
        arcs: impl Iterator<Item = ((usize, &'c str), (usize, &'c str))> + Clone,
    ) -> Vec<Self> {
        let place = |tap: &Arc<Tap>| {
            let mut arcs = arcs.clone();
            let is_it = |((_, from), (_, to)): &((usize, &str), (usize, &str))| {
                *from == tap.from && *to == tap.to
            };
            let ((at, _), (next, _)) = arcs.find(is_it)?;
            Some(Self { at, next, partition, tap: Arc::clone(tap) })
        };
        taps.iter().filter_map(place).collect()
    }

    /// A record goes from one node to another.
    pub(crate) fn pass(&self, at: usize, next: usize, flow: &Flow<'_>) {
        if (self.at, self.next) == (at, next) {
            let facts = &flow.facts;
            self.tap.pass(self.partition, (facts.key, facts.value), facts.timestamp_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use base::clock::ManualClock;

    use super::*;

    fn tap(rate: u32) -> (Arc<ManualClock>, Arc<Tap>) {
        let clock = Arc::new(ManualClock::at(0));
        clock.advance_ms(10_000);
        let tap = Tap::new(("a", "b"), rate, Arc::clone(&clock) as Arc<dyn Clock>);
        (clock, tap)
    }

    fn numbers(tap: &Tap, after: u64) -> Vec<u64> {
        tap.since(after).iter().map(|record| record.sequence).collect()
    }

    #[test]
    fn so_many_a_second_are_copied_and_all_are_counted() {
        let (clock, tap) = tap(2);
        for _ in 0..3 {
            tap.pass(0, (Some(b"k"), None), 7);
        }
        clock.advance_ms(1_000);
        tap.pass(1, (None, Some(b"v")), 8);
        assert_eq!((numbers(&tap, 0), tap.passed()), (vec![1, 2, 4], 4));
        assert_eq!(numbers(&tap, 2), [4]);
        let last = tap.since(3).remove(0);
        assert_eq!((last.partition, last.timestamp_ms), (1, 8));
        assert_eq!((last.key, last.value.as_deref()), (None, Some(&b"v"[..])));
    }

    #[test]
    fn the_ring_is_bounded_by_records_and_by_bytes() {
        let (_, tap) = tap(u32::MAX);
        for _ in 0..=TAP_RECORDS_MAX {
            tap.pass(0, (None, None), 0);
        }
        assert_eq!(tap.since(0).len(), TAP_RECORDS_MAX);
        let half = vec![0; TAP_BYTES_MAX / 2];
        for _ in 0..3 {
            tap.pass(0, (None, Some(&half)), 0);
        }
        let large = tap.since(0).into_iter().filter(|record| record.value.is_some()).count();
        assert_eq!(large, 2);
        let before = tap.since(0).len();
        tap.pass(0, (None, Some(&vec![0; TAP_BYTES_MAX + 1])), 0);
        assert_eq!(tap.since(0).len(), before, "what fits nowhere is counted alone");
    }

    #[test]
    fn a_tap_that_nobody_asks_for_is_taken_away_and_comes_back() {
        let (clock, tap) = tap(1);
        let mut followed = Followed::default();
        assert!(followed.changed().is_none());
        followed.taps.ensure(&tap);
        followed.taps.ensure(&tap);
        assert_eq!(followed.changed().map(<[_]>::len), Some(1));
        assert!(followed.changed().is_none());
        clock.advance_ms(TAP_WANTED_MS);
        assert_eq!(followed.changed().map(<[_]>::len), Some(0));
        tap.want();
        followed.taps.ensure(&tap);
        assert_eq!(followed.changed().map(<[_]>::len), Some(1));
    }

    #[test]
    fn a_tap_lies_where_its_arc_is() {
        let (_, tap) = tap(1);
        let arcs = [((0, "x"), (1, "a")), ((1, "a"), (2, "b"))];
        let placed = Placed::of(&[Arc::clone(&tap)], 3, arcs.into_iter());
        assert_eq!(
            placed.iter().map(|it| (it.at, it.next, it.partition)).collect::<Vec<_>>(),
            [(1, 2, 3)]
        );
        assert!(Placed::of(&[tap], 3, arcs.into_iter().take(1)).is_empty());
    }
}
