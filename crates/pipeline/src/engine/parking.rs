//! Which keys of a task are parked: later records of such a key wait behind its dead letter.
//!
//! ```text
//! record fails at a place --park--> lot of (place, key): letters first..next in the dead letters
//! later record of the key --park--> the lot's next letter, unread by the task
//! order (release, replay, drop) --obey--> the lot leaves: its letters run, one after the other
//! ```
//!
//! Only the lots are in memory, never their letters. A lot is state of its task: it changes within
//! the transaction that writes the letters, lies in a changelog of its own, and goes back with an
//! abort. Letters of a task have rising sequences; those of a lot have no gap. [`machine`] decides,
//! [`open`] reads where a task begins, and the slot reads orders and letters.

pub(crate) mod bytes;
pub(crate) mod letter;
mod machine;
pub(crate) mod open;

use std::fmt;

pub(crate) use machine::{Lot, Order, OrderPosition, Parking, Ticket, Turn};

/// Where in a chain records fail and wait: a task, or the way into it, whose sender is then named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) from: Option<&'a str>,
    pub(crate) task: &'a str,
}

/// What stands between a sender and a task in the name of a place; no name has it.
const ARROW: &str = "->";

impl<'a> Place<'a> {
    /// A task.
    pub(crate) fn task(task: &'a str) -> Self {
        Self { from: None, task }
    }

    /// The way from a sender into a task.
    pub(crate) fn way(from: &'a str, task: &'a str) -> Self {
        Self { from: Some(from), task }
    }

    /// The place of this name.
    pub(crate) fn parse(name: &'a str) -> Self {
        match name.split_once(ARROW) {
            Some((from, task)) => Self::way(from, task),
            None => Self::task(name),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(from) = self.from {
            write!(f, "{from}{ARROW}")?;
        }
        f.write_str(self.task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_names_that_are_read_back() {
        for place in [Place::task("plus"), Place::way("a", "b")] {
            assert_eq!(Place::parse(&place.to_string()), place);
        }
        assert_eq!(Place::way("a", "b").to_string(), "a->b");
    }
}
