//! What a pipeline reads: JSON documents of 10,000 sensors in turn, all of one size.

use std::io::Write as _;

/// Sensors, each with a key of its own.
pub(crate) const KEYS: u64 = 10_000;

/// Bytes of every document.
pub(crate) const READING_BYTES: usize = 105;

/// Records that a run may have: their numbers have ten digits.
pub(crate) const RECORDS_MAX: u64 = 5_000_000_000;

/// What is added to a number, so that all have ten digits.
const NUMBER_BASE: u64 = 1_000_000_000;

/// The reading that a filter leaves at this and lets pass above it.
pub(crate) const FILTER_ABOVE: f64 = 500.0;

/// Writes key and value of the record with this number.
pub(crate) fn write(number: u64, key: &mut Vec<u8>, value: &mut Vec<u8>) {
    key.clear();
    value.clear();
    let sensor = number % KEYS;
    let (whole, fraction) = (steps_of(number) / STEPS, steps_of(number) % STEPS);
    let number = NUMBER_BASE + number;
    write!(key, "k{sensor:05}")
        .and_then(|()| {
            write!(
                value,
                "{{\"sensor\":\"k{sensor:05}\",\"value\":{whole}.{fraction:04},\"unit\":\"watt\",\
                 \"valid\":true,\"number\":{number},\"room\":\"north-east-2\"}}"
            )
        })
        .expect("writing into memory cannot fail");
}

/// The sensor of a key.
pub(crate) fn sensor_of(key: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(key.strip_prefix(b"k")?).ok()?;
    digits.parse().ok().filter(|sensor| *sensor < KEYS)
}

/// The record of a document's number.
pub(crate) fn record_of(number: u64) -> Option<u64> {
    number.checked_sub(NUMBER_BASE)
}

/// The reading of a record: from 100 to below 1,000.
pub(crate) fn value_of(number: u64) -> f64 {
    base::cast::f64_of(steps_of(number)) / base::cast::f64_of(STEPS)
}

/// Steps in one.
const STEPS: u64 = 10_000;

/// Any number gives another one, and the same in every run.
fn steps_of(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    100 * STEPS + (mixed >> 20) % (900 * STEPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_has_its_size_and_tells_its_record() {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for number in [0, 1, 10_000, 123_456_789, RECORDS_MAX] {
            write(number, &mut key, &mut value);
            assert_eq!(value.len(), READING_BYTES);
            assert_eq!(sensor_of(&key), Some(number % KEYS));
            let document: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(record_of(document["number"].as_u64().unwrap()), Some(number));
            let read = document["value"].as_f64().unwrap();
            assert!((read - value_of(number)).abs() < 1e-9 && (100.0..1000.0).contains(&read));
        }
    }

    #[test]
    fn foreign_keys_are_no_sensors() {
        assert_eq!(sensor_of(b"k10000"), None);
        assert_eq!(sensor_of(b"x00001"), None);
        assert_eq!(record_of(5), None);
    }
}
