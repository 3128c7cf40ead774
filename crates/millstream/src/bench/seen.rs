//! Which numbers have arrived: a bit for each.

/// Numbers that a run may have.
pub(crate) const NUMBERS_MAX: u64 = 1 << 36;

/// The numbers that have arrived.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    words: Vec<u64>,
}

impl Seen {
    /// Marks a number below [`NUMBERS_MAX`]; false when it was marked already.
    pub(crate) fn mark(&mut self, number: u64) -> bool {
        assert!(number < NUMBERS_MAX, "{number} is none of a run's numbers");
        let (at, bit) = place(number);
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let is_new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        is_new
    }

    /// Whether a number is marked.
    pub(crate) fn has(&self, number: u64) -> bool {
        let (at, bit) = place(number);
        self.words.get(at).is_some_and(|word| word & bit != 0)
    }

    /// How many are marked.
    pub(crate) fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

fn place(number: u64) -> (usize, u64) {
    (base::cast::usize_of(number / 64), 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once() {
        let mut seen = Seen::default();
        assert!(seen.mark(0) && seen.mark(64) && !seen.mark(64));
        assert!(seen.has(0) && seen.has(64) && !seen.has(1) && !seen.has(1 << 30));
        assert_eq!(seen.count(), 2);
    }
}
