//! The lots of a task, decided purely: what is read from the log comes in as arguments.

use std::collections::BTreeMap;

use super::{Place, bytes};
use crate::limits::{PARKED_BYTES_MAX, PARKED_KEYS_MAX, PARKED_REASON_BYTES_MAX};

/// The letters of a key that wait at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lot {
    /// The sequence of the first letter that waits.
    pub(crate) first: u64,
    /// The sequence that the next letter gets.
    pub(crate) next: u64,
    /// The partition of the dead letters that they are in.
    pub(crate) partition: i32,
    /// None of them lies before this offset.
    pub(crate) from: i64,
    /// Whether they are on their way out.
    pub(crate) is_leaving: bool,
    /// Why the first one cannot be worked on.
    pub(crate) reason: String,
}

/// The place of a letter in the dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) partition: i32,
    pub(crate) sequence: u64,
}

/// No more keys can be parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// What people say becomes of a lot: nothing, unless its first letter is still the one that they
/// have seen; else it leaves, without the letters before `next`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) first: u64,
    pub(crate) next: u64,
}

/// Whether a letter is the one to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It waits, or has left already.
    No,
    /// It is; this many letters before it are gone from the topic.
    Now { lost: u64 },
}

/// How far the orders have been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OrderPosition {
    pub(crate) next: i64,
    pub(crate) committed: i64,
    /// Where they ended when the task began.
    pub(crate) goal: i64,
}

/// The lots of a task, whose uncommitted changes can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    /// By place and key, as the changelog names them.
    lots: BTreeMap<Box<[u8]>, Lot>,
    /// What was there before the transaction.
    before: BTreeMap<Box<[u8]>, Option<Lot>>,
    /// Bytes that the transaction's changes take in the changelog, roughly.
    change_bytes: usize,
    bytes: usize,
    /// Where the partitions of the dead letters ended when the task began.
    floors: Vec<i64>,
    /// Above every sequence that was given.
    high: u64,
    pub(crate) orders: OrderPosition,
    probe: Vec<u8>,
}

/// Bytes that a lot costs beside its key and its reason.
const LOT_OVERHEAD_BYTES: usize = 160;

fn cost(key: &[u8], lot: &Lot) -> usize {
    key.len() + lot.reason.len() + LOT_OVERHEAD_BYTES
}

impl Parking {
    /// Before anything is parked: where the dead letters end, by partition.
    pub(crate) fn begin(&mut self, floors: Vec<i64>, orders: OrderPosition) {
        self.floors = floors;
        self.orders = orders;
    }

    /// Whether records of a key wait at a place.
    pub(crate) fn holds(&mut self, place: Place<'_>, key: Option<&[u8]>) -> bool {
        let Some(key) = key.filter(|_| !self.lots.is_empty()) else {
            return false;
        };
        bytes::write_key(&mut self.probe, place, key);
        self.lots.contains_key(self.probe.as_slice())
    }

    /// Parks a record: behind those of its key, or as the first one, which fails for this reason.
    pub(crate) fn park(
        &mut self,
        place: Place<'_>,
        key: &[u8],
        task_partition: i32,
        reason: &str,
    ) -> Result<Ticket, Full> {
        bytes::write_key(&mut self.probe, place, key);
        let name: Box<[u8]> = self.probe.as_slice().into();
        let known = self.lots.get(&name).cloned();
        self.remember(&name, known.as_ref());
        let mut lot = match known {
            Some(lot) => lot,
            None => {
                let count = i32::try_from(self.floors.len()).unwrap_or(i32::MAX).max(1);
                let partition = task_partition.rem_euclid(count);
                let floor = usize::try_from(partition).ok().and_then(|at| self.floors.get(at));
                let lot = Lot {
                    first: self.high,
                    next: self.high,
                    partition,
                    from: floor.copied().unwrap_or(0),
                    is_leaving: false,
                    reason: shortened(reason).to_owned(),
                };
                let bytes = self.bytes + cost(&name, &lot);
                if self.lots.len() >= PARKED_KEYS_MAX || bytes > PARKED_BYTES_MAX {
                    return Err(Full);
                }
                self.bytes = bytes;
                lot
            }
        };
        let ticket = Ticket { partition: lot.partition, sequence: lot.next };
        lot.next += 1;
        self.high = self.high.max(lot.next);
        self.lots.insert(name, lot);
        Ok(ticket)
    }

    /// Does what people have said; tells whether a lot begins to leave.
    pub(crate) fn obey(&mut self, name: &[u8], order: Order) -> bool {
        let Some(lot) = self.lots.get(name) else {
            return false;
        };
        let is_meant = lot.first == order.first && !lot.is_leaving;
        if !is_meant || order.next < lot.first || order.next > lot.next {
            return false;
        }
        let leaving = Lot { first: order.next, is_leaving: true, ..lot.clone() };
        self.put(name, Some(leaving))
    }

    /// Whether a letter that was read is the next one of a lot that leaves.
    pub(crate) fn turn(&self, name: &[u8], sequence: u64) -> Turn {
        match self.lots.get(name) {
            Some(lot) if lot.is_leaving && (lot.first..lot.next).contains(&sequence) => {
                Turn::Now { lost: sequence - lot.first }
            }
            _ => Turn::No,
        }
    }

    /// A letter was worked on: the lot goes on behind it, or is empty and gone.
    pub(crate) fn leave(&mut self, name: &[u8], (sequence, offset): (u64, i64)) {
        if let Some(lot) = self.lots.get(name) {
            let left = Lot { first: sequence + 1, from: offset + 1, ..lot.clone() };
            self.put(name, Some(left));
        }
    }

    /// A letter cannot be worked on: the lot waits again.
    pub(crate) fn stay(&mut self, name: &[u8], (sequence, offset): (u64, i64), reason: &str) {
        if let Some(lot) = self.lots.get(name) {
            let reason = shortened(reason).to_owned();
            let is_leaving = false;
            let stays =
                Lot { first: sequence, from: offset, is_leaving, reason, next: lot.next, ..*lot };
            self.put(name, Some(stays));
        }
    }

    /// Gives up lots that leave through a partition in which no letter of theirs is left; tells
    /// how many letters those were.
    pub(crate) fn give_up(&mut self, partition: i32) -> u64 {
        let gone = self.lots.iter().filter(|(_, lot)| lot.is_leaving && lot.partition == partition);
        let gone: Vec<_> = gone.map(|(name, lot)| (name.clone(), lot.next - lot.first)).collect();
        for (name, _) in &gone {
            self.put(name, None);
        }
        gone.into_iter().map(|(_, letters)| letters).sum()
    }

    /// Remembers what a lot was before the transaction.
    fn remember(&mut self, name: &[u8], known: Option<&Lot>) {
        if !self.before.contains_key(name) {
            self.before.insert(name.into(), known.cloned());
            self.change_bytes += name.len() + PARKED_REASON_BYTES_MAX;
        }
    }

    /// Puts a lot in the place of the one that is known; an empty one goes. Tells whether one
    /// stays.
    fn put(&mut self, name: &[u8], lot: Option<Lot>) -> bool {
        let known = self.lots.remove(name);
        self.bytes -= known.as_ref().map_or(0, |known| cost(name, known));
        self.remember(name, known.as_ref());
        let Some(lot) = lot.filter(|lot| lot.first < lot.next) else {
            return false;
        };
        self.bytes += cost(name, &lot);
        self.lots.insert(name.into(), lot);
        true
    }

    /// The partitions of the dead letters through which lots leave, each with an offset that lies
    /// before all of their letters.
    pub(crate) fn leaving(&self) -> BTreeMap<i32, i64> {
        let mut leaving = BTreeMap::new();
        for lot in self.lots.values().filter(|lot| lot.is_leaving) {
            let from = leaving.entry(lot.partition).or_insert(lot.from);
            *from = lot.from.min(*from);
        }
        leaving
    }

    /// Whether lots leave, or orders wait that were there when the task began.
    pub(crate) fn is_busy(&self) -> bool {
        self.orders.committed < self.orders.goal || self.lots.values().any(|lot| lot.is_leaving)
    }

    /// Memory in use, roughly, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every lot that the transaction has changed, with what it is now.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&[u8], Option<&Lot>)> {
        self.before.keys().map(|name| (&**name, self.lots.get(name)))
    }

    /// Bytes that the changes take in the changelog, roughly.
    pub(crate) fn change_bytes(&self) -> usize {
        self.change_bytes
    }

    /// Takes over a lot that was restored; outside any transaction.
    pub(crate) fn restore(&mut self, name: &[u8], lot: Option<Lot>) {
        self.high = self.high.max(lot.as_ref().map_or(0, |lot| lot.next));
        self.put(name, lot);
        self.forget();
    }

    fn forget(&mut self) {
        self.before.clear();
        self.change_bytes = 0;
    }

    /// The transaction is committed.
    pub(crate) fn settle(&mut self) {
        self.forget();
        self.orders.committed = self.orders.next;
    }

    /// The transaction is aborted: everything is as it was before. Sequences are not given twice.
    pub(crate) fn roll_back(&mut self) {
        for (name, lot) in std::mem::take(&mut self.before) {
            self.put(&name, lot);
        }
        self.forget();
        self.orders.next = self.orders.committed;
    }
}

/// As much of a reason as is kept in memory.
fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(PARKED_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUS: Place<'_> = Place { from: None, task: "plus" };

    fn name(place: Place<'_>, key: &[u8]) -> Vec<u8> {
        let mut name = Vec::new();
        bytes::write_key(&mut name, place, key);
        name
    }

    fn sequences(parking: &mut Parking, count: usize) -> Vec<u64> {
        let park = |_| parking.park(PLUS, b"a", 5, "bad").unwrap().sequence;
        (0..count).map(park).collect()
    }

    fn order(first: u64, next: u64) -> Order {
        Order { first, next }
    }

    #[test]
    fn a_key_is_parked_at_one_place_only_until_its_last_letter_has_left() {
        let mut parking = Parking::default();
        parking.begin(vec![10, 20], OrderPosition::default());
        assert!(!parking.holds(PLUS, Some(b"a")));
        assert_eq!(sequences(&mut parking, 3), [0, 1, 2]);
        assert!(parking.holds(PLUS, Some(b"a")));
        assert!(!parking.holds(PLUS, Some(b"b")) && !parking.holds(PLUS, None));
        assert!(!parking.holds(Place::way("x", "plus"), Some(b"a")));
        let a = name(PLUS, b"a");
        // Nothing leaves before somebody says so, and what he has seen must still be true.
        assert_eq!(parking.turn(&a, 0), Turn::No);
        assert!(!parking.obey(&a, order(1, 2)) && !parking.obey(&a, order(0, 4)));
        assert!(parking.obey(&a, order(0, 1)));
        assert!(!parking.obey(&a, order(0, 1)), "the same order again does nothing");
        assert_eq!(parking.leaving(), BTreeMap::from([(1, 20)]));
        assert_eq!((parking.turn(&a, 0), parking.turn(&a, 1)), (Turn::No, Turn::Now { lost: 0 }));
        // What comes meanwhile waits behind.
        assert_eq!(sequences(&mut parking, 1), [3]);
        parking.leave(&a, (1, 31));
        parking.stay(&a, (2, 32), "worse");
        assert_eq!((parking.turn(&a, 2), parking.leaving()), (Turn::No, BTreeMap::new()));
        assert!(parking.obey(&a, order(2, 2)));
        assert_eq!(parking.leaving(), BTreeMap::from([(1, 32)]));
        parking.leave(&a, (2, 32));
        assert_eq!(parking.turn(&a, 3), Turn::Now { lost: 0 });
        parking.leave(&a, (3, 33));
        assert!(!parking.holds(PLUS, Some(b"a")));
        // Sequences are never given twice, so that old letters are not taken for new ones.
        assert_eq!(sequences(&mut parking, 1), [4]);
        assert!(!parking.obey(&a, order(4, 5)), "an order for all letters leaves none");
        assert!(!parking.holds(PLUS, Some(b"a")));
    }

    #[test]
    fn letters_that_are_gone_are_counted_and_hold_nobody_up() {
        let mut parking = Parking::default();
        assert_eq!(sequences(&mut parking, 4), [0, 1, 2, 3]);
        let a = name(PLUS, b"a");
        assert!(parking.obey(&a, order(0, 0)));
        assert_eq!(parking.turn(&a, 2), Turn::Now { lost: 2 });
        parking.leave(&a, (2, 7));
        assert_eq!((parking.give_up(1), parking.give_up(0)), (0, 1));
        assert!(!parking.holds(PLUS, Some(b"a")));
    }

    #[test]
    fn an_abort_takes_everything_back_but_sequences() {
        let mut parking = Parking::default();
        sequences(&mut parking, 2);
        parking.settle();
        let (a, bytes) = (name(PLUS, b"a"), parking.bytes);
        parking.orders.next = 3;
        sequences(&mut parking, 1);
        parking.park(PLUS, b"b", 0, "bad").unwrap();
        assert!(parking.obey(&a, order(0, 1)));
        parking.leave(&a, (1, 5));
        parking.roll_back();
        assert_eq!((parking.orders.next, parking.bytes, parking.lots.len()), (0, bytes, 1));
        let lot = &parking.lots[a.as_slice()];
        assert_eq!((lot.first, lot.next, lot.is_leaving, lot.from), (0, 2, false, 0));
        assert_eq!(parking.changes().count(), 0);
        assert_eq!(parking.park(PLUS, b"b", 0, "bad").unwrap().sequence, 4);
    }

    #[test]
    fn memory_is_bounded_by_keys_and_by_bytes() {
        let mut parking = Parking::default();
        let long = "r".repeat(PARKED_REASON_BYTES_MAX * 2);
        let mut parked = 0;
        let full = loop {
            let key = format!("{parked:01000}");
            match parking.park(PLUS, key.as_bytes(), 0, &long) {
                Ok(_) => parked += 1,
                Err(full) => break full,
            }
        };
        assert_eq!(full, Full);
        assert!(parking.bytes <= PARKED_BYTES_MAX && parked > 1_000);
        // Who is parked already may wait, however many there are.
        assert!(parking.park(PLUS, format!("{:01000}", 0).as_bytes(), 0, &long).is_ok());
        let mut small = Parking::default();
        let fits = (0..=PARKED_KEYS_MAX)
            .take_while(|key| small.park(PLUS, &key.to_be_bytes(), 0, "").is_ok());
        assert_eq!(fits.count(), PARKED_KEYS_MAX);
    }
}
