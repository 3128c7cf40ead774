//! How long records take, as counts in buckets whose width grows with the time.

use base::cast;

/// Buckets for each doubling of the time: percentiles are right within 6 %.
const STEPS: u64 = 16;

/// Doublings that are told apart; the last bucket holds everything from 9 hours on.
const DOUBLINGS: u64 = 22;

/// Counts of times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: vec![0; cast::usize_of(STEPS * DOUBLINGS)], total: 0 }
    }
}

impl Latency {
    /// Counts a time `weight` times; what is negative counts as none at all.
    pub fn record(&mut self, time_ms: i64, weight: u64) {
        let time = u64::try_from(time_ms).unwrap_or(0);
        let bucket = cast::usize_of(bucket_of(time));
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += weight;
            self.total += weight;
        }
    }

    /// Times that were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The time below which `share` (0 to 1) of the counts lie, in milliseconds; `None` without
    /// any.
    #[must_use]
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        if self.total == 0 {
            return None;
        }
        let wanted = cast::u64_of_f64((cast::f64_of(self.total) * share).ceil()).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(middle_of(cast::u64_of(bucket)));
            }
        }
        None
    }

    /// The times that were counted, in milliseconds and in order, with how often each was.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (middle_of(cast::u64_of(bucket)), *count))
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }
}

/// Below `STEPS` each millisecond has a bucket; above, each doubling has `STEPS` of them.
fn bucket_of(time: u64) -> u64 {
    if time < STEPS {
        return time;
    }
    let doubling = u64::from(time.ilog2() - STEPS.ilog2());
    let step = (time >> doubling) - STEPS;
    ((doubling + 1) * STEPS + step).min(STEPS * DOUBLINGS - 1)
}

fn middle_of(bucket: u64) -> f64 {
    if bucket < STEPS {
        return cast::f64_of(bucket);
    }
    let doubling = bucket / STEPS - 1;
    let low = (STEPS + bucket % STEPS) << doubling;
    cast::f64_of(low) + cast::f64_of(1 << doubling) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_six_percent() {
        let mut latency = Latency::default();
        for time in 1..=10_000 {
            latency.record(time, 1);
        }
        for (share, expected) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.001, 10.0)] {
            let found = latency.quantile_ms(share).unwrap();
            assert!((found - expected).abs() <= expected * 0.06, "{share}: {found}");
        }
    }

    #[test]
    fn extremes_have_a_place_and_nothing_gives_nothing() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile_ms(0.5), None);
        latency.record(-5, 1);
        assert_eq!(latency.quantile_ms(1.0), Some(0.0));
        latency.record(i64::MAX, 3);
        assert_eq!(latency.total(), 4);
        let buckets: Vec<(f64, u64)> = latency.buckets().collect();
        assert_eq!((buckets.len(), buckets[0], buckets[1].1), (2, (0.0, 1), 3));
        let mut other = Latency::default();
        other.merge(&latency);
        assert_eq!(other, latency);
    }
}
