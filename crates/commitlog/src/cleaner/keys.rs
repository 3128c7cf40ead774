//! The last offset of every key that a run has met.

use std::collections::BTreeMap;

use crate::limits::{CLEANER_KEY_BYTES_MAX, CLEANER_KEYS_MAX};

#[derive(Debug, Default)]
pub(super) struct Keys {
    last: BTreeMap<Box<[u8]>, i64>,
    bytes: usize,
    end: i64,
}

impl Keys {
    /// Notes that a key was written here; false when there is no room for another key.
    pub(super) fn note(&mut self, key: &[u8], offset: i64) -> bool {
        if let Some(last) = self.last.get_mut(key) {
            *last = offset;
            return true;
        }
        let full = self.last.len() >= CLEANER_KEYS_MAX
            || self.bytes.saturating_add(key.len()) > CLEANER_KEY_BYTES_MAX;
        if full {
            return false;
        }
        self.bytes += key.len();
        self.last.insert(key.into(), offset);
        true
    }

    /// The last offset of a key, if it was met.
    pub(super) fn last(&self, key: &[u8]) -> Option<i64> {
        self.last.get(key).copied()
    }

    /// Notes that everything before this offset was looked at.
    pub(super) fn advance(&mut self, end: i64) {
        self.end = end;
    }

    /// The offset before which everything was looked at.
    pub(super) fn end(&self) -> i64 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_map_still_follows_the_keys_it_has() {
        let mut keys = Keys::default();
        let long = vec![0; CLEANER_KEY_BYTES_MAX - 1];
        assert!(keys.note(&long, 1) && keys.note(b"a", 2));
        assert!(!keys.note(b"b", 3));
        assert!(keys.note(b"a", 4));
        assert_eq!((keys.last(b"a"), keys.last(b"b")), (Some(4), None));
        assert!(keys.last.len() < CLEANER_KEYS_MAX);
    }
}
