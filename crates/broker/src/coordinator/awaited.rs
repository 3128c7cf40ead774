//! Things that are waited for: requests without an answer yet, writes that are not on disk yet.

use std::collections::BTreeMap;

/// Names a request until it is answered.
pub(crate) type Token = u64;

/// Names a write until it is reported done.
pub(crate) type WriteId = u64;

/// What is waited for, each under a number that is never used again.
#[derive(Debug)]
pub(crate) struct Awaited<T> {
    last: u64,
    things: BTreeMap<u64, T>,
}

impl<T> Default for Awaited<T> {
    fn default() -> Self {
        Self { last: 0, things: BTreeMap::new() }
    }
}

impl<T> Awaited<T> {
    /// Begins to wait; the number to ask under.
    pub(crate) fn add(&mut self, thing: T) -> u64 {
        self.last += 1;
        self.things.insert(self.last, thing);
        self.last
    }

    /// Looks at what is waited for.
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        self.things.get(&number)
    }

    /// Changes what is waited for.
    pub(crate) fn change(&mut self, number: u64) -> Option<&mut T> {
        self.things.get_mut(&number)
    }

    /// Ends the waiting; `None` when it has ended before.
    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        self.things.remove(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_once_and_taken_once() {
        let mut awaited = Awaited::default();
        let (first, second) = (awaited.add("first"), awaited.add("second"));
        assert_eq!((awaited.take(second), awaited.take(second)), (Some("second"), None));
        assert!(![first, second].contains(&awaited.add("third")));
        assert_eq!(awaited.take(first), Some("first"));
    }
}
