//! What a start writes so that groups and transactional ids lie where Kafka looks for them.
//!
//! The older rule took a name's hash without its sign bit, Kafka takes it without its minus sign,
//! so names with negative hashes lie in another partition. What lives there is copied to the right
//! one first, and gets tombstones where it was when the copies are durable. Both may be done any
//! number of times: until the whole is over, nobody but this changes what lies elsewhere.
//!
//! Offsets inside a transaction are copied into the same transaction, which then gets its marker
//! in the right partition as well as in the old one. A transaction may have announced a group's
//! offsets and not sent them yet; so every one that is open gets the right partition for each old
//! one that it names, whichever its group is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::partitioner::partition_for_name;
use protocol::record::ProducerIdentity;

use crate::coordinator::KeyValue;
use crate::group;
use crate::metadata::{OFFSETS_TOPIC, TRANSACTIONS_TOPIC};
use crate::transaction::record::{TransactionRecord, understand};
use crate::transaction::txn::{State, Stored};

/// Records for one partition.
#[derive(Debug, PartialEq)]
pub(crate) struct Write {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    /// The transaction that they belong to.
    pub(crate) producer: Option<ProducerIdentity>,
    pub(crate) records: Vec<KeyValue>,
}

/// What is to be written, the first part durably before the second.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    /// What lives elsewhere, for where it belongs.
    pub(crate) copies: Vec<Write>,
    /// The same keys without values, for where they were.
    pub(crate) tombstones: Vec<Write>,
}

/// Where a key belongs, with what lives under it elsewhere.
#[derive(Debug)]
struct Stray {
    belongs: i32,
    value: Bytes,
}

/// What lives elsewhere in one partition of `__consumer_offsets`.
#[derive(Debug, Default)]
struct Found {
    strays: BTreeMap<Bytes, Stray>,
    /// What waits for the marker of its transaction, by producer id; tombstones with it.
    open: BTreeMap<i64, BTreeMap<Bytes, Option<Stray>>>,
}

/// What has been read of `__consumer_offsets`, as far as it lies elsewhere.
#[derive(Debug)]
pub(crate) struct Offsets {
    partitions: i32,
    found: BTreeMap<i32, Found>,
}

impl Offsets {
    /// Nothing read yet of a topic with this many partitions.
    pub(crate) fn new(partitions: i32) -> Self {
        Self { partitions, found: BTreeMap::new() }
    }

    /// Takes note of a record of the partition `at`, in the order of its log; within a transaction
    /// it bears the producer's id. Records that no coordinator keeps are left where they are.
    pub(crate) fn record(
        &mut self,
        at: i32,
        producer_id: Option<i64>,
        key: Bytes,
        value: Option<Bytes>,
    ) {
        let Ok(said) = group::records::understand(&key, None) else {
            return;
        };
        let Some(belongs) = said.group().map(|group| partition_for_name(group, self.partitions))
        else {
            return;
        };
        if belongs == at {
            return;
        }
        let found = self.found.entry(at).or_default();
        let stray = value.map(|value| Stray { belongs, value });
        match producer_id {
            Some(id) => drop(found.open.entry(id).or_default().insert(key, stray)),
            None => found.apply(key, stray),
        }
    }

    /// Takes note of the end of a transaction in the partition `at`.
    pub(crate) fn marker(&mut self, at: i32, producer_id: i64, committed: bool) {
        let Some(found) = self.found.get_mut(&at) else {
            return;
        };
        let held = found.open.remove(&producer_id).unwrap_or_default();
        if committed {
            held.into_iter().for_each(|(key, stray)| found.apply(key, stray));
        }
    }

    /// The partition that the older rule took for names that Kafka puts into this one, if their
    /// hashes are negative, and the other way round.
    fn counterpart(&self, partition: i32) -> i32 {
        let partitions = i64::from(self.partitions);
        let other = ((1_i64 << 31) - i64::from(partition)).rem_euclid(partitions);
        i32::try_from(other).expect("a partition is below their number")
    }
}

impl Found {
    fn apply(&mut self, key: Bytes, stray: Option<Stray>) {
        match stray {
            Some(stray) => drop(self.strays.insert(key, stray)),
            None => drop(self.strays.remove(&key)),
        }
    }
}

/// What has been read of `__transaction_state`.
#[derive(Debug)]
pub(crate) struct Transactions {
    partitions: i32,
    /// Those that lie where they belong.
    settled: BTreeMap<String, Stored>,
    /// Those that lie elsewhere, with the partition.
    strays: BTreeMap<String, (i32, Stored)>,
}

impl Transactions {
    /// Nothing read yet of a topic with this many partitions.
    pub(crate) fn new(partitions: i32) -> Self {
        Self { partitions, settled: BTreeMap::new(), strays: BTreeMap::new() }
    }

    /// Takes note of a record of the partition `at`, in the order of its log. What cannot be
    /// understood is left where it is.
    pub(crate) fn record(&mut self, at: i32, key: &Bytes, value: Option<&Bytes>) {
        let Ok((id, stored)) = understand(key, value) else {
            return;
        };
        let is_settled = partition_for_name(&id, self.partitions) == at;
        match stored {
            Some(stored) if is_settled => drop(self.settled.insert(id, stored)),
            Some(stored) => drop(self.strays.insert(id, (at, stored))),
            None if is_settled => drop(self.settled.remove(&id)),
            None => drop(self.strays.remove(&id)),
        }
    }
}

/// What is to be written.
pub(crate) fn plan(offsets: &Offsets, transactions: &Transactions) -> Plan {
    let mut plan = Plan::default();
    for (at, found) in &offsets.found {
        plan.relocate(*at, None, found.strays.iter());
    }
    for (id, stored) in &transactions.settled {
        if !transactions.strays.contains_key(id) {
            plan.transaction(offsets, transactions, (id, stored), None);
        }
    }
    for (id, (at, stored)) in &transactions.strays {
        plan.transaction(offsets, transactions, (id, stored), Some(*at));
    }
    plan
}

impl Plan {
    /// Records of `__consumer_offsets` from the partition `at` to where they belong.
    fn relocate<'a>(
        &mut self,
        at: i32,
        producer: Option<ProducerIdentity>,
        strays: impl Iterator<Item = (&'a Bytes, &'a Stray)>,
    ) {
        let topic = OFFSETS_TOPIC;
        let mut copies: BTreeMap<i32, Vec<KeyValue>> = BTreeMap::new();
        let mut tombstones = Vec::new();
        for (key, stray) in strays {
            let there = copies.entry(stray.belongs).or_default();
            there.push((key.clone(), Some(stray.value.clone())));
            tombstones.push((key.clone(), None));
        }
        let copies = copies.into_iter();
        self.copies.extend(copies.map(|(partition, records)| Write {
            topic,
            partition,
            producer,
            records,
        }));
        if !tombstones.is_empty() {
            self.tombstones.push(Write { topic, partition: at, producer, records: tombstones });
        }
    }

    /// A transactional id that lies elsewhere, in the partition `at`, or whose transaction is open
    /// where offsets lie elsewhere.
    fn transaction(
        &mut self,
        offsets: &Offsets,
        transactions: &Transactions,
        (id, stored): (&str, &Stored),
        at: Option<i32>,
    ) {
        let mut next = stored.clone();
        if stored.state == State::Ongoing || stored.state.is_prepared() {
            next.places.extend(counterparts(offsets, &stored.places));
        }
        // What will be aborted need not be moved for that.
        if matches!(stored.state, State::Ongoing | State::PrepareCommit) {
            for (at, found) in &offsets.found {
                let held = found.open.get(&stored.producer.id).into_iter().flatten();
                let strays: Vec<_> =
                    held.filter_map(|(key, stray)| Some((key, stray.as_ref()?))).collect();
                let there = strays.iter().map(|(_, stray)| stray.belongs);
                next.places.extend(there.map(|partition| (OFFSETS_TOPIC.to_owned(), partition)));
                self.relocate(*at, Some(stored.producer), strays.into_iter());
            }
        }
        if at.is_none() && next == *stored {
            return;
        }
        let topic = TRANSACTIONS_TOPIC;
        let of = |stored| {
            let record = TransactionRecord::new(id, stored);
            vec![(record.key, record.value)]
        };
        let partition = partition_for_name(id, transactions.partitions);
        let records = of(Some(&next));
        self.copies.push(Write { topic, partition, producer: None, records });
        if let Some(partition) = at {
            let records = of(None);
            self.tombstones.push(Write { topic, partition, producer: None, records });
        }
    }
}

/// Where offsets of a transaction may go from now on.
fn counterparts(offsets: &Offsets, places: &BTreeSet<(String, i32)>) -> Vec<(String, i32)> {
    let ours = places.iter().filter(|(topic, _)| topic == OFFSETS_TOPIC);
    ours.map(|(topic, partition)| (topic.clone(), offsets.counterpart(*partition))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Java's hash of a name, and where format 2 kept it.
    fn older(name: &str, partitions: i32) -> (i32, i32) {
        let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
        let hash = name.encode_utf16().fold(0, step);
        (hash, (hash & i32::MAX) % partitions)
    }

    #[test]
    fn the_older_place_of_a_negative_hash_tells_kafkas_and_the_other_way_round() {
        let mut negative = 0;
        for partitions in [1, 2, 3, 7, 50, 97] {
            let offsets = Offsets::new(partitions);
            for name in (0..500).map(|number| format!("readers-of-{number}")) {
                let (hash, older) = older(&name, partitions);
                let place = partition_for_name(&name, partitions);
                if hash < 0 {
                    negative += 1;
                    let told = (offsets.counterpart(older), offsets.counterpart(place));
                    assert_eq!(told, (place, older), "{name} of {partitions}");
                } else {
                    assert_eq!(place, older, "{name} of {partitions}");
                }
            }
        }
        assert!(negative > 1_000, "{negative}");
    }
}
