//! Whether the results of a pipeline are those that its records ask for: each once, and in the
//! order of its key.

use serde::Deserialize;

use super::super::report::Faults;
use super::super::seen::{NUMBERS_MAX, Seen};
use super::Task;
use super::readings::{FILTER_ABOVE, KEYS, record_of, sensor_of, value_of};

/// What `sum` adds.
pub(crate) const ADDED: f64 = 1.5;

/// How far a sum may be off: what is added and what it is added to have four decimals.
const ROUNDING_MAX: f64 = 1e-6;

/// A result; only what is looked at.
#[derive(Debug, Deserialize)]
struct Document {
    number: Option<u64>,
    value: Option<f64>,
    count: Option<u64>,
}

/// A key's results so far.
#[derive(Debug, Clone, Copy, Default)]
struct Sensor {
    /// The next record that may come without disorder, in turns of all keys.
    next_turn: u64,
    /// The end of the window that counts now, in milliseconds.
    window_ms: Option<i64>,
    /// The turn of that window's first record.
    window_turn: u64,
}

/// The results so far.
#[derive(Debug)]
pub(crate) struct Results {
    task: Task,
    sensors: Vec<Sensor>,
    seen: Seen,
    duplicates: u64,
    out_of_order: u64,
}

impl Results {
    /// None yet.
    pub(crate) fn new(task: Task) -> Self {
        let sensors = vec![Sensor::default(); base::cast::usize_of(KEYS)];
        Self { task, sensors, seen: Seen::default(), duplicates: 0, out_of_order: 0 }
    }

    /// Takes a result; the number of the record that it came of, when it is the first of it.
    pub(crate) fn take(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        time_ms: i64,
    ) -> Option<u64> {
        let found = self.record(key, value, time_ms);
        let Some((sensor, turn)) = found.filter(|(_, turn)| *turn < NUMBERS_MAX / KEYS) else {
            // Nobody has asked for it; the result that should be in its place is lost.
            self.duplicates += 1;
            return None;
        };
        let number = turn * KEYS + sensor;
        if !self.seen.mark(number) {
            self.duplicates += 1;
            return None;
        }
        let sensor = &mut self.sensors[base::cast::usize_of(sensor)];
        if turn < sensor.next_turn {
            self.out_of_order += 1;
        } else {
            sensor.next_turn = turn + 1;
        }
        Some(number)
    }

    /// Sensor and turn of the record that a result came of; `None` for one that is wrong.
    fn record(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        time_ms: i64,
    ) -> Option<(u64, u64)> {
        let sensor = sensor_of(key?)?;
        let document: Document = serde_json::from_slice(value?).ok()?;
        let turn = match self.task {
            Task::Count => document.count?.checked_sub(1)?,
            Task::Average => {
                let place = &mut self.sensors[base::cast::usize_of(sensor)];
                if place.window_ms.is_none_or(|window| window < time_ms) {
                    place.window_ms = Some(time_ms);
                    place.window_turn = place.next_turn;
                }
                // A window that came before is over: whatever it gives is too much.
                let is_now = place.window_ms == Some(time_ms);
                let turn = place.window_turn.checked_add(document.count?.checked_sub(1)?)?;
                is_now.then_some(turn)?
            }
            Task::Forward | Task::Filter | Task::Sum => {
                let number = record_of(document.number?)?;
                let added = if self.task == Task::Sum { ADDED } else { 0.0 };
                let is_right = (document.value? - value_of(number) - added).abs() < ROUNDING_MAX;
                let is_wanted = number % KEYS == sensor && is_expected(self.task, number);
                (is_right && is_wanted).then_some(number / KEYS)?
            }
        };
        Some((sensor, turn))
    }

    /// What is wrong once all results of so many records have been taken.
    pub(crate) fn faults(&self, records: u64) -> Faults {
        let expected = (0..records).filter(|number| is_expected(self.task, *number));
        let (mut lost, mut found) = (0, 0);
        for number in expected {
            if self.seen.has(number) {
                found += 1;
            } else {
                lost += 1;
            }
        }
        // A key that was counted further than it came was counted twice somewhere.
        let beyond = self.seen.count() - found;
        let duplicates = self.duplicates + beyond;
        Faults { lost, duplicates, out_of_order: Some(self.out_of_order) }
    }
}

/// Whether a record has a result.
fn is_expected(task: Task, number: u64) -> bool {
    task != Task::Filter || value_of(number) > FILTER_ABOVE
}

#[cfg(test)]
mod tests {
    use super::super::readings;
    use super::*;

    const TURNS: u64 = 3;

    /// Results of the first two keys, each of which has had so many records; of all others none
    /// is looked at.
    fn check(task: Task, results: &[(&str, String, i64)]) -> (u64, u64, u64) {
        let mut taken = Results::new(task);
        for (key, value, time_ms) in results {
            taken.take(Some(key.as_bytes()), Some(value.as_bytes()), *time_ms);
        }
        let Faults { lost, duplicates, out_of_order } = taken.faults(TURNS * KEYS);
        let others = (0..TURNS * KEYS)
            .filter(|number| number % KEYS > 1 && is_expected(task, *number))
            .count();
        (lost - base::cast::u64_of(others), duplicates, out_of_order.unwrap_or(0))
    }

    fn counts(of: &[(&'static str, u64)]) -> Vec<(&'static str, String, i64)> {
        of.iter().map(|(key, count)| (*key, format!("{{\"count\":{count}}}"), 0)).collect()
    }

    const WHOLE: [(&str, u64); 6] =
        [("k00000", 1), ("k00001", 1), ("k00000", 2), ("k00000", 3), ("k00001", 2), ("k00001", 3)];

    #[test]
    fn counts_from_one_on_are_sound() {
        assert_eq!(check(Task::Count, &counts(&WHOLE)), (0, 0, 0));
    }

    #[test]
    fn a_count_that_is_missing_repeated_late_or_too_high_is_told() {
        assert_eq!(check(Task::Count, &counts(&WHOLE[..5])), (1, 0, 0));
        let with = |more| [&WHOLE[..], &[("k00001", more)]].concat();
        assert_eq!(check(Task::Count, &counts(&with(3))), (0, 1, 0));
        assert_eq!(check(Task::Count, &counts(&with(4))), (0, 1, 0));
        assert_eq!(check(Task::Count, &counts(&with(0))), (0, 1, 0));
        let mut late = WHOLE;
        late.swap(4, 5);
        assert_eq!(check(Task::Count, &counts(&late)), (0, 0, 1));
    }

    #[test]
    fn counts_of_windows_begin_anew_and_end_where_the_records_do() {
        let counts = |of: &[(u64, i64)]| {
            let one = of.iter().map(|(count, time_ms)| ("k00000", *count, *time_ms));
            let both = one.chain((1..=TURNS).map(|count| ("k00001", count, 9)));
            let results = both.map(|(key, count, time_ms)| {
                (key, format!("{{\"average\":1.5,\"count\":{count}}}"), time_ms)
            });
            check(Task::Average, &results.collect::<Vec<_>>())
        };
        assert_eq!(counts(&[(1, 9), (2, 9), (1, 19)]), (0, 0, 0));
        assert_eq!(counts(&[(1, 9), (1, 19)]), (1, 0, 0));
        assert_eq!(counts(&[(1, 9), (2, 9), (2, 9), (1, 19)]), (0, 1, 0));
        assert_eq!(counts(&[(1, 9), (2, 9), (1, 19), (3, 9)]), (0, 1, 0));
    }

    fn documents(task: Task, change: impl Fn(String) -> String) -> (u64, u64, u64) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let mut results = Vec::new();
        for turn in 0..TURNS {
            for sensor in 0..2 {
                readings::write(turn * KEYS + sensor, &mut key, &mut value);
                let key = if sensor == 0 { "k00000" } else { "k00001" };
                let value = change(String::from_utf8(value.clone()).unwrap());
                if task != Task::Filter || value_of(turn * KEYS + sensor) > FILTER_ABOVE {
                    results.push((key, value, 0));
                }
            }
        }
        check(task, &results)
    }

    #[test]
    fn documents_must_be_what_the_task_makes_of_them() {
        assert_eq!(documents(Task::Forward, |value| value), (0, 0, 0));
        assert_eq!(documents(Task::Filter, |value| value), (0, 0, 0));
        assert_eq!(documents(Task::Sum, |value| value), (6, 6, 0), "nothing was added");
        assert_eq!(documents(Task::Forward, |value| value.replace("watt", "volt")), (0, 0, 0));
        let (lost, ..) = documents(Task::Forward, |_| "{".to_owned());
        assert_eq!(lost, 6);
    }

    #[test]
    fn what_a_filter_must_hold_back_is_too_much() {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let held = (0..).find(|number| !is_expected(Task::Filter, *number)).unwrap();
        readings::write(held, &mut key, &mut value);
        let mut results = Results::new(Task::Filter);
        assert_eq!(results.take(Some(&key), Some(&value), 0), None);
        assert_eq!(results.faults(0).duplicates, 1);
    }
}
