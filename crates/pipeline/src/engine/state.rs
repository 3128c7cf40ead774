//! The values that stores keep: a count, a mean, and their bytes.

use base::cast;

/// A value that a store keeps and a changelog carries.
pub(crate) trait StateValue: Clone + Default {
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

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let fixed = <[u8; 8]>::try_from(rest).ok()?;
        (*version == COUNT_VERSION).then(|| Self::from_be_bytes(fixed))
    }
}

const COUNT_VERSION: u8 = 1;
const MEAN_VERSION: u8 = 1;
const MEAN_BYTES: usize = 25;

/// A sum with its rounding error (Neumaier 1974) and the number of addends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Mean {
    sum: f64,
    lost: f64,
    pub(crate) count: u64,
}

impl Mean {
    /// Takes one more number in.
    pub(crate) fn add(&mut self, value: f64) {
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
    pub(crate) fn mean(&self) -> f64 {
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
