//! The values that stores keep: a count, a mean, and their bytes.

use base::cast;

use crate::store::Fate;

/// No event time: before every other.
pub const NO_TIME: i64 = i64::MIN;

/// A value that a store keeps and a changelog carries.
pub trait StateValue: Clone + Default {
    /// Appends the value's bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the value back; `None` when the bytes are not of this kind.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// How often a key came.
impl StateValue for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(COUNT_VERSION);
        out.extend_from_slice(&self.to_be_bytes());
    }

    /// Reads one that was aged as well: its task had a `ttl` then.
    fn decode(bytes: &[u8]) -> Option<Self> {
        Aged::decode(bytes).map(|aged| aged.count)
    }
}

/// How often a key came, and when it came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aged {
    count: u64,
    /// The latest event time; [`NO_TIME`] where the count was stored without it.
    seen_ms: i64,
}

impl Default for Aged {
    fn default() -> Self {
        Self { count: 0, seen_ms: NO_TIME }
    }
}

impl Aged {
    /// Counts a record; a key that had none for longer than `ttl_ms` starts anew. Tells the count.
    #[inline]
    pub fn add(&mut self, time_ms: i64, ttl_ms: i64) -> u64 {
        if self.seen_ms != NO_TIME && time_ms.saturating_sub(self.seen_ms) > ttl_ms {
            self.count = 0;
        }
        self.count += 1;
        self.seen_ms = self.seen_ms.max(time_ms);
        self.count
    }

    /// What becomes of it when event time has come this far. One without a time is as old as the
    /// first round that meets it.
    pub fn fate(&self, now_ms: i64, ttl_ms: i64) -> Fate<Self> {
        if self.seen_ms == NO_TIME {
            return Fate::Renew(Self { seen_ms: now_ms, ..*self });
        }
        if now_ms.saturating_sub(self.seen_ms) > ttl_ms { Fate::Drop } else { Fate::Keep }
    }

    /// How often the key came.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl StateValue for Aged {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(AGED_VERSION);
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.seen_ms.to_be_bytes());
    }

    /// Reads a count without a time as well: its task had no `ttl` then.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let count = u64::from_be_bytes(*count);
        match (*version, rest.is_empty()) {
            (COUNT_VERSION, true) => Some(Self { count, seen_ms: NO_TIME }),
            (AGED_VERSION, false) => {
                let seen_ms = i64::from_be_bytes(<[u8; 8]>::try_from(rest).ok()?);
                Some(Self { count, seen_ms })
            }
            _ => None,
        }
    }
}

const COUNT_VERSION: u8 = 1;
const AGED_VERSION: u8 = 2;
const MEAN_VERSION: u8 = 1;
const MEAN_BYTES: usize = 25;

/// A sum with its rounding error (Neumaier 1974) and the number of addends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Mean {
    sum: f64,
    lost: f64,
    pub count: u64,
}

impl Mean {
    /// Takes one more number in.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
        self.count += 1;
    }

    /// The mean of the numbers so far; 0 for none.
    #[inline]
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.sum + self.lost) / cast::f64_of(self.count) }
    }
}

impl StateValue for Mean {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(MEAN_VERSION);
        out.extend_from_slice(&self.sum.to_bits().to_be_bytes());
        out.extend_from_slice(&self.lost.to_bits().to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let fixed = <[u8; MEAN_BYTES]>::try_from(bytes).ok()?;
        let number =
            |from: usize| fixed[from..].first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        (fixed[0] == MEAN_VERSION).then_some(Self {
            sum: f64::from_bits(number(1)?),
            lost: f64::from_bits(number(9)?),
            count: number(17)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_their_bytes_and_foreign_bytes_are_refused() {
        let mut mean = Mean::default();
        mean.add(0.1);
        mean.add(1e17);
        let mut bytes = Vec::new();
        mean.encode(&mut bytes);
        assert_eq!(Mean::decode(&bytes), Some(mean));
        assert_eq!(Mean::decode(&bytes[1..]), None);
        assert_eq!(u64::decode(&bytes), None);
        assert_eq!(u64::decode(&[2, 0, 0, 0, 0, 0, 0, 0, 1]), None);
        assert_eq!(u64::decode(&[1, 0, 0, 0, 0, 0, 0, 0, 1, 0]), None);
    }

    #[test]
    fn a_count_gains_and_loses_its_time_without_losing_itself() {
        let mut aged = Aged::default();
        assert_eq!((aged.add(7, 10), aged.add(5, 10)), (1, 2));
        let mut bytes = Vec::new();
        aged.encode(&mut bytes);
        assert_eq!(bytes, b"\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x07");
        assert_eq!(Aged::decode(&bytes), Some(aged));
        assert_eq!(u64::decode(&bytes), Some(2));
        bytes.clear();
        2_u64.encode(&mut bytes);
        let timeless = Aged::decode(&bytes).unwrap();
        assert_eq!(timeless.count(), 2);
        let Fate::Renew(renewed) = timeless.fate(7, 10) else { panic!("{timeless:?} has no time") };
        assert_eq!(renewed, aged);
    }

    #[test]
    fn a_key_without_records_for_longer_than_its_ttl_starts_anew() {
        let mut aged = Aged::default();
        assert_eq!((aged.add(0, 10), aged.add(10, 10)), (1, 2));
        assert_eq!((aged.fate(20, 10), aged.fate(21, 10)), (Fate::Keep, Fate::Drop));
        assert_eq!(aged.add(21, 10), 1);
        // What comes late does not make it older.
        assert_eq!((aged.add(15, 10), aged.fate(31, 10)), (2, Fate::Keep));
    }

    #[test]
    fn a_mean_keeps_what_plain_addition_would_lose() {
        let mut mean = Mean::default();
        for value in [1e16, 1.0, -1e16, 1.0] {
            mean.add(value);
        }
        assert!((mean.mean() - 0.5).abs() < 1e-12);
    }
}
