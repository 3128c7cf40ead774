//! What must hold afterwards: the input is the oracle of every output, key by key.

use std::collections::BTreeMap;
use std::fmt;

use base::cast;

use super::limits::WINDOW_MS;
use super::load::{Acknowledged, key_name, value};
use super::read::{ByKey, Seen};

/// Something that was promised and does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The topic or table.
    pub place: String,
    /// The key.
    pub key: String,
    /// Partition and offset, where it is about one record.
    pub at: Option<(i32, i64)>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An acknowledged record is not there.
    Lost {
        /// Its number within the key.
        number: u64,
    },
    /// An acknowledged record stands elsewhere than where it was acknowledged.
    Moved {
        /// Where it was acknowledged.
        acknowledged: (i32, i64),
    },
    /// The record is not the one that must stand there.
    Other {
        /// Which one in the order of its key, from 1.
        position: usize,
        /// What must stand there; nothing when no further record is due.
        expected: Option<String>,
        /// What stands there; nothing when there are too few.
        found: Option<String>,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.key)?;
        if let Some((partition, offset)) = self.at {
            write!(f, " (partition {partition}, offset {offset})")?;
        }
        match &self.fault {
            Fault::Lost { number } => write!(f, ": record {number} was acknowledged and is lost"),
            Fault::Moved { acknowledged: (partition, offset) } => {
                write!(f, ": was acknowledged in partition {partition} at offset {offset}")
            }
            Fault::Other { position, expected, found } => {
                let text = |value: &Option<String>| {
                    value.clone().unwrap_or_else(|| "nothing more".to_owned())
                };
                let (expected, found) = (text(expected), text(found));
                write!(f, ": record {position} is {found}, must be {expected}")
            }
        }
    }
}

/// The input: numbers rise by one per key, and everything acknowledged is there, where it was
/// acknowledged. `unknown` tells whether the fate of some records is not known: gaps are no
/// violation then.
pub(super) fn input(
    place: &str,
    found: &ByKey,
    acknowledged: &[Acknowledged],
    unknown: bool,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut by_number: BTreeMap<&str, BTreeMap<u64, &Seen>> = BTreeMap::new();
    for (key, records) in found {
        let mut last = 0;
        for (index, seen) in records.iter().enumerate() {
            let number = number_of(&seen.value).unwrap_or(0);
            let is_right = if unknown { number > last } else { number == last + 1 };
            if !is_right {
                let expected = Some(value(key, last + 1));
                violations.push(other(place, key, index, expected, Some(seen)));
            }
            last = last.max(number);
            by_number.entry(key).or_default().insert(number, seen);
        }
    }
    for record in acknowledged {
        let key = key_name(record.key);
        let seen = by_number.get(key.as_str()).and_then(|numbers| numbers.get(&record.number));
        let Some(seen) = seen else {
            let fault = Fault::Lost { number: record.number };
            violations.push(Violation { place: place.to_owned(), key, at: None, fault });
            continue;
        };
        let is_there = (seen.partition, seen.offset) == (record.partition, record.offset);
        if !is_there && record.offset >= 0 {
            let fault = Fault::Moved { acknowledged: (record.partition, record.offset) };
            let at = Some((seen.partition, seen.offset));
            violations.push(Violation { place: place.to_owned(), key, at, fault });
        }
    }
    violations
}

/// The counts: 1 to n, each once and in order.
pub(super) fn counts(place: &str, input: &ByKey, found: &ByKey) -> Vec<Violation> {
    compare(place, input, found, |records| {
        (1..=records.len()).map(|count| format!("{{\"count\":{count}}}")).collect()
    })
}

/// The sums: every record of the input with one added to its number.
pub(super) fn sums(place: &str, input: &ByKey, found: &ByKey) -> Vec<Violation> {
    compare(place, input, found, |records| {
        let plus = |seen: &Seen| {
            let (number, rest) = number_and_rest(&seen.value)?;
            Some(format!("{{\"n\":{}{rest}", number + 1))
        };
        records.iter().filter_map(plus).collect()
    })
}

/// What passed the strict task: every record but those that are bad, in order, also those that
/// waited behind a bad one.
pub(super) fn strict(place: &str, input: &ByKey, found: &ByKey) -> Vec<Violation> {
    compare(place, input, found, |records| {
        let good = records.iter().filter(|seen| !is_bad(&seen.value));
        good.map(|seen| seen.value.clone()).collect()
    })
}

/// The dead letters: each bad record is one, and those of a key are in order, none of them twice.
pub(super) fn letters(place: &str, input: &ByKey, found: &ByKey) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (key, records) in input {
        let letters = found.get(key).map_or(&[][..], Vec::as_slice);
        let mut last = 0;
        for (index, letter) in letters.iter().enumerate() {
            let number = number_of(&letter.value).unwrap_or(0);
            if number <= last {
                let expected = Some(format!("a number beyond {last}"));
                violations.push(other(place, key, index, expected, Some(letter)));
            }
            last = last.max(number);
        }
        for record in records.iter().filter(|seen| is_bad(&seen.value)) {
            if !letters.iter().any(|letter| letter.value == record.value) {
                let (place, key) = (place.to_owned(), key.clone());
                let fault = Fault::Lost { number: number_of(&record.value).unwrap_or(0) };
                violations.push(Violation { place, key, at: None, fault });
            }
        }
    }
    violations
}

fn is_bad(text: &str) -> bool {
    text.contains("\"bad\"")
}

/// The means: one per key and window, in the order of the windows.
pub(super) fn means(place: &str, input: &ByKey, found: &ByKey) -> Vec<Violation> {
    // Compared by what does not depend on how a floating point number is written.
    let mut short = ByKey::new();
    for (key, records) in found {
        let digest = |seen: &Seen| Seen { value: mean_of(seen), ..seen.clone() };
        short.insert(key.clone(), records.iter().map(digest).collect());
    }
    compare(place, input, &short, |records| {
        let mut windows: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
        for seen in records {
            let start = seen.timestamp.div_euclid(WINDOW_MS) * WINDOW_MS;
            let window = windows.entry(start).or_default();
            window.0 += number_of(&seen.value).unwrap_or(0);
            window.1 += 1;
        }
        let mean = |(start, (sum, count)): (i64, (u64, u64))| {
            mean_text(start, cast::f64_of(sum) / cast::f64_of(count), count)
        };
        windows.into_iter().map(mean).collect()
    })
}

/// The table: one row per key, with the last count.
pub(super) fn table(place: &str, input: &ByKey, rows: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let keys = input.keys().chain(rows.keys().filter(|key| !input.contains_key(*key)));
    for key in keys {
        let expected = input.get(key).map(|records| records.len().to_string());
        let found = rows.get(key).cloned();
        if expected != found {
            let fault = Fault::Other { position: 1, expected, found };
            violations.push(Violation {
                place: place.to_owned(),
                key: key.clone(),
                at: None,
                fault,
            });
        }
    }
    violations
}

/// Compares the records of each key with what the input makes due.
fn compare(
    place: &str,
    input: &ByKey,
    found: &ByKey,
    due: impl Fn(&[Seen]) -> Vec<String>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let keys = input.keys().chain(found.keys().filter(|key| !input.contains_key(*key)));
    for key in keys {
        let due = due(input.get(key).map_or(&[], Vec::as_slice));
        let found = found.get(key).map_or(&[][..], Vec::as_slice);
        // The first difference of a key is told; what follows it follows from it.
        let differs = |index: &usize| due.get(*index) != found.get(*index).map(|seen| &seen.value);
        if let Some(index) = (0..due.len().max(found.len())).find(differs) {
            violations.push(other(place, key, index, due.get(index).cloned(), found.get(index)));
        }
    }
    violations
}

fn other(
    place: &str,
    key: &str,
    index: usize,
    expected: Option<String>,
    found: Option<&Seen>,
) -> Violation {
    Violation {
        place: place.to_owned(),
        key: key.to_owned(),
        at: found.map(|seen| (seen.partition, seen.offset)),
        fault: Fault::Other {
            position: index + 1,
            expected,
            found: found.map(|seen| seen.value.clone()),
        },
    }
}

/// The number in `{"n":17}` or `{"n":17,"bad":"x"}`.
fn number_of(text: &str) -> Option<u64> {
    number_and_rest(text).map(|(number, _)| number)
}

/// The number, and what stands behind it.
fn number_and_rest(text: &str) -> Option<(u64, &str)> {
    let text = text.strip_prefix("{\"n\":")?;
    let (number, rest) = text.split_at(text.find([',', '}'])?);
    Some((number.parse().ok()?, rest))
}

/// The start of the window, the mean and the count, from a record of the means.
fn mean_of(seen: &Seen) -> String {
    let read = || {
        let mean: f64 = field(&seen.value, "average")?.parse().ok()?;
        let count: u64 = field(&seen.value, "count")?.parse().ok()?;
        // The record bears the last moment of its window.
        Some(mean_text(seen.timestamp + 1 - WINDOW_MS, mean, count))
    };
    read().unwrap_or_else(|| seen.value.clone())
}

fn mean_text(start: i64, mean: f64, count: u64) -> String {
    format!("window {start}: mean {mean:.6} of {count}")
}

/// The text of a number in a flat JSON object.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
    rest.split([',', '}']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(key: &str, values: &[&str]) -> ByKey {
        let seen = |(offset, text): (usize, &&str)| Seen {
            partition: 0,
            offset: cast::i64_of(offset),
            timestamp: 10_000 + cast::i64_of(offset) * 400,
            value: (*text).to_owned(),
        };
        ByKey::from([(key.to_owned(), values.iter().enumerate().map(seen).collect())])
    }

    fn three() -> ByKey {
        topic("k0", &["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"])
    }

    #[test]
    fn counts_without_gap_repeat_or_disorder_pass() {
        let good = ["{\"count\":1}", "{\"count\":2}", "{\"count\":3}"];
        assert_eq!(counts("counts", &three(), &topic("k0", &good)), []);
        for bad in [
            vec![good[0], good[2]],
            vec![good[0], good[1], good[1], good[2]],
            vec![good[0], good[2], good[1]],
            vec![good[0], good[1], good[2], "{\"count\":4}"],
            vec![good[0], good[1]],
        ] {
            let violations = counts("counts", &three(), &topic("k0", &bad));
            assert_eq!(violations.len(), 1, "{bad:?}: {violations:?}");
        }
        assert_eq!(counts("counts", &three(), &topic("k1", &good)).len(), 2);
    }

    #[test]
    fn sums_follow_the_input() {
        let good = ["{\"n\":2}", "{\"n\":3}", "{\"n\":4}"];
        assert_eq!(sums("sums", &three(), &topic("k0", &good)), []);
        let bad = ["{\"n\":2}", "{\"n\":4}", "{\"n\":4}"];
        let violations = sums("sums", &three(), &topic("k0", &bad));
        let says = "sums k0 (partition 0, offset 1): record 2 is {\"n\":4}, must be {\"n\":3}";
        assert_eq!(violations[0].to_string(), says);
    }

    #[test]
    fn a_bad_record_is_a_letter_and_what_waited_behind_it_comes_in_order() {
        let bad = "{\"n\":2,\"bad\":\"x\"}";
        let input = topic("k0", &["{\"n\":1}", bad, "{\"n\":3}"]);
        assert_eq!(strict("strict", &input, &topic("k0", &["{\"n\":1}", "{\"n\":3}"])), []);
        for found in [&["{\"n\":1}"][..], &["{\"n\":3}", "{\"n\":1}"], &["{\"n\":1}", bad]] {
            assert_eq!(strict("strict", &input, &topic("k0", found)).len(), 1, "{found:?}");
        }
        assert_eq!(letters("dlq", &input, &topic("k0", &[bad, "{\"n\":3}"])), []);
        for found in [&["{\"n\":3}"][..], &["{\"n\":3}", bad], &[bad, bad]] {
            assert_eq!(letters("dlq", &input, &topic("k0", found)).len(), 1, "{found:?}");
        }
        assert_eq!(sums("sums", &topic("k0", &[bad]), &topic("k0", &[bad])).len(), 1);
        let plus = "{\"n\":3,\"bad\":\"x\"}";
        assert_eq!(sums("sums", &topic("k0", &[bad]), &topic("k0", &[plus])), []);
    }

    #[test]
    fn means_are_one_per_window() {
        let mut found = topic("k0", &["{\"average\":2.0,\"count\":3}"]);
        found.get_mut("k0").expect("the key is there")[0].timestamp = 10_999;
        assert_eq!(means("means", &three(), &found), []);
        found.get_mut("k0").expect("the key is there")[0].value =
            "{\"average\":1.5,\"count\":2}".to_owned();
        assert_eq!(means("means", &three(), &found).len(), 1);
    }

    #[test]
    fn an_acknowledged_record_that_is_lost_repeated_or_moved_is_found() {
        let ack = |number: u64, offset| Acknowledged { key: 0, number, partition: 0, offset };
        let all = [ack(1, 0), ack(2, 1), ack(3, 2)];
        assert_eq!(input("in", &three(), &all, false), []);
        assert_eq!(input("in", &three(), &[all[0], all[1], ack(4, 3)], false).len(), 1);
        assert_eq!(input("in", &three(), &[ack(2, 7)], false).len(), 1);
        let twice = topic("k0", &["{\"n\":1}", "{\"n\":1}", "{\"n\":2}"]);
        assert_eq!(input("in", &twice, &[ack(1, -1)], true).len(), 1);
        let gap = topic("k0", &["{\"n\":1}", "{\"n\":3}"]);
        assert_eq!(input("in", &gap, &[], false).len(), 1);
        assert_eq!(input("in", &gap, &[], true), []);
    }

    #[test]
    fn a_row_must_hold_the_last_count() {
        let rows = |count: &str| BTreeMap::from([("k0".to_owned(), count.to_owned())]);
        assert_eq!(table("counts", &three(), &rows("3")), []);
        assert_eq!(table("counts", &three(), &rows("2")).len(), 1);
        assert_eq!(table("counts", &three(), &BTreeMap::new()).len(), 1);
    }
}
