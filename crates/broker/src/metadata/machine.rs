//! Decides about changes of the metadata, and holds what its records add up to. Pure.
//!
//! An event gives effects in the order in which they are to be carried out: the records are on
//! disk before anything follows from them, the logs of a partition are open before anybody sees
//! it, and nobody sees it any more when they go.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use base::uuid::Uuid;
use protocol::error_code::ErrorCode;

use super::Topic;
use super::record::MetadataRecord;
use crate::limits::{PARTITIONS_MAX, PRODUCER_ID_BLOCK, TOPIC_NAME_BYTES_MAX};

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The error for the client.
    pub(crate) code: ErrorCode,
    /// The words for the person behind it.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) enum MetadataEvent {
    /// Make a topic; configs have been validated.
    CreateTopic {
        /// Its name.
        name: String,
        /// A fresh id.
        id: Uuid,
        /// Number of partitions.
        partitions: i32,
        /// What is set for it alone.
        configs: BTreeMap<String, String>,
    },
    /// Remove a topic.
    DeleteTopic {
        /// Its id.
        id: Uuid,
    },
    /// Add partitions to a topic.
    AddPartitions {
        /// Its name.
        name: String,
        /// The number wanted in all.
        count: i32,
    },
    /// Set configs of a topic, or give them back to their defaults; values have been validated.
    AlterTopic {
        /// Its name.
        name: String,
        /// Name and value.
        changes: BTreeMap<String, Option<String>>,
    },
    /// Set configs of the broker, or give them back to their defaults.
    AlterBroker {
        /// Name and value.
        changes: BTreeMap<String, Option<String>>,
    },
    /// Give out a block of producer ids.
    ReserveProducerIds,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetadataEffect {
    /// Nothing is done; the reason.
    Refuse(Refusal),
    /// Write these records and wait until they are on disk.
    Append(Vec<MetadataRecord>),
    /// Open the logs of these partitions.
    Open {
        /// The topic as it will be.
        topic: Arc<Topic>,
        /// The partitions that are new.
        partitions: Range<i32>,
    },
    /// Apply the records that were written: from here on everybody sees them.
    Apply,
    /// Give the topic's configs to its logs.
    Configure(Arc<Topic>),
    /// Give the broker's configs, which are every topic's defaults, to all logs.
    ConfigureAll,
    /// Remove the topic's logs and tell those who keep something about it.
    Close(Arc<Topic>),
    /// Hand out these producer ids.
    Grant(Range<i64>),
}

/// What the records add up to.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    topics: BTreeMap<String, Arc<Topic>>,
    names: BTreeMap<Uuid, String>,
    broker_configs: BTreeMap<String, String>,
    next_producer_id: i64,
    partitions: usize,
}

impl Machine {
    /// All topics by name.
    pub(crate) fn topics(&self) -> &BTreeMap<String, Arc<Topic>> {
        &self.topics
    }

    /// A topic.
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// A topic by its id.
    pub(crate) fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.names.get(&id).and_then(|name| self.topics.get(name))
    }

    /// What was set for the broker while it ran.
    pub(crate) fn broker_configs(&self) -> &BTreeMap<String, String> {
        &self.broker_configs
    }

    /// Decides about an event; changes nothing before the records come back through `apply`.
    pub(crate) fn step(&self, event: MetadataEvent, effects: &mut Vec<MetadataEffect>) {
        let decided = match event {
            MetadataEvent::CreateTopic { name, id, partitions, configs } => {
                self.create(Topic { name, id, partitions, configs }, effects)
            }
            MetadataEvent::DeleteTopic { id } => self.delete(id, effects),
            MetadataEvent::AddPartitions { name, count } => self.grow(&name, count, effects),
            MetadataEvent::AlterTopic { name, changes } => self.alter(&name, changes, effects),
            MetadataEvent::AlterBroker { changes } => {
                let records = changes
                    .into_iter()
                    .map(|(name, value)| MetadataRecord::BrokerConfig { name, value })
                    .collect();
                effects.extend([
                    MetadataEffect::Append(records),
                    MetadataEffect::Apply,
                    MetadataEffect::ConfigureAll,
                ]);
                Ok(())
            }
            MetadataEvent::ReserveProducerIds => self.reserve(effects),
        };
        if let Err(refusal) = decided {
            effects.push(MetadataEffect::Refuse(refusal));
        }
    }

    /// What `create` would say, without making anything.
    pub(crate) fn may_create(&self, name: &str, partitions: i32) -> Result<(), Refusal> {
        check_name(name)?;
        if self.topics.contains_key(name) {
            let message = format!("Topic '{name}' already exists.");
            return Err(Refusal::new(ErrorCode::TOPIC_ALREADY_EXISTS, message));
        }
        if let Some(other) = self.collision(name) {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            return Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
        }
        if partitions <= 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        self.has_room_for(partitions)
    }

    /// What `grow` would say, without adding anything.
    pub(crate) fn may_grow(&self, name: &str, count: i32) -> Result<(), Refusal> {
        let topic = self.known(name)?;
        if topic.is_internal() {
            // Groups and transactional ids would be looked for elsewhere than they are kept.
            let message = format!("The number of partitions of {name} cannot change.");
            return Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
        }
        if count == topic.partitions {
            let message = format!("Topic already has {count} partition(s).");
            return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        if count < topic.partitions {
            let message = format!(
                "The topic {name} currently has {} partition(s); {count} would not be an increase.",
                topic.partitions
            );
            return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        self.has_room_for(count - topic.partitions)
    }

    fn create(&self, topic: Topic, effects: &mut Vec<MetadataEffect>) -> Result<(), Refusal> {
        self.may_create(&topic.name, topic.partitions)?;
        let id = topic.id;
        let mut records = vec![
            MetadataRecord::Topic { name: topic.name.clone(), id },
            MetadataRecord::Partitions { topic_id: id, count: topic.partitions },
        ];
        records.extend(topic.configs.iter().map(|(name, value)| MetadataRecord::TopicConfig {
            topic_id: id,
            name: name.clone(),
            value: Some(value.clone()),
        }));
        let partitions = 0..topic.partitions;
        effects.extend([
            MetadataEffect::Append(records),
            MetadataEffect::Open { topic: Arc::new(topic), partitions },
            MetadataEffect::Apply,
        ]);
        Ok(())
    }

    fn delete(&self, id: Uuid, effects: &mut Vec<MetadataEffect>) -> Result<(), Refusal> {
        let topic = self.topic_by_id(id).ok_or_else(|| {
            let message = "This server does not host this topic ID.";
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_ID, message)
        })?;
        effects.extend([
            MetadataEffect::Append(vec![MetadataRecord::RemoveTopic { id }]),
            MetadataEffect::Apply,
            MetadataEffect::Close(Arc::clone(topic)),
        ]);
        Ok(())
    }

    fn grow(
        &self,
        name: &str,
        count: i32,
        effects: &mut Vec<MetadataEffect>,
    ) -> Result<(), Refusal> {
        self.may_grow(name, count)?;
        let topic = self.known(name)?;
        let grown = Arc::new(Topic { partitions: count, ..Topic::clone(topic) });
        effects.extend([
            MetadataEffect::Append(vec![MetadataRecord::Partitions { topic_id: topic.id, count }]),
            MetadataEffect::Open { topic: grown, partitions: topic.partitions..count },
            MetadataEffect::Apply,
        ]);
        Ok(())
    }

    fn alter(
        &self,
        name: &str,
        changes: BTreeMap<String, Option<String>>,
        effects: &mut Vec<MetadataEffect>,
    ) -> Result<(), Refusal> {
        let topic = self.known(name)?;
        let mut altered = Topic::clone(topic);
        let mut records = Vec::with_capacity(changes.len());
        for (name, value) in changes {
            match &value {
                Some(value) => altered.configs.insert(name.clone(), value.clone()),
                None => altered.configs.remove(&name),
            };
            records.push(MetadataRecord::TopicConfig { topic_id: topic.id, name, value });
        }
        effects.extend([
            MetadataEffect::Append(records),
            MetadataEffect::Apply,
            MetadataEffect::Configure(Arc::new(altered)),
        ]);
        Ok(())
    }

    fn reserve(&self, effects: &mut Vec<MetadataEffect>) -> Result<(), Refusal> {
        let first = self.next_producer_id;
        let next = first.checked_add(PRODUCER_ID_BLOCK).ok_or_else(|| {
            Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR, "All producer ids are used up.")
        })?;
        effects.extend([
            MetadataEffect::Append(vec![MetadataRecord::ProducerIds { next }]),
            MetadataEffect::Apply,
            MetadataEffect::Grant(first..next),
        ]);
        Ok(())
    }

    fn known(&self, name: &str) -> Result<&Arc<Topic>, Refusal> {
        self.topics.get(name).ok_or_else(|| {
            let message = "This server does not host this topic-partition.";
            Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        })
    }

    /// A topic whose name differs from this one only in dots and underscores.
    fn collision(&self, name: &str) -> Option<&str> {
        if !name.contains(['.', '_']) {
            return None;
        }
        let unified = name.replace('.', "_");
        self.topics.keys().map(String::as_str).find(|other| {
            other.len() == name.len() && *other != name && other.replace('.', "_") == unified
        })
    }

    fn has_room_for(&self, partitions: i32) -> Result<(), Refusal> {
        let more = usize::try_from(partitions).unwrap_or(usize::MAX);
        if self.partitions.saturating_add(more) > PARTITIONS_MAX {
            let message = format!("This broker holds at most {PARTITIONS_MAX} partitions.");
            return Err(Refusal::new(ErrorCode::POLICY_VIOLATION, message));
        }
        Ok(())
    }

    /// Takes over a record that is on disk. Records about topics that are gone change nothing.
    pub(crate) fn apply(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::Topic { name, id } => {
                self.names.insert(*id, name.clone());
                let configs = BTreeMap::new();
                let topic = Topic { name: name.clone(), id: *id, partitions: 0, configs };
                self.topics.insert(name.clone(), Arc::new(topic));
            }
            MetadataRecord::Partitions { topic_id, count } => {
                let before = self
                    .change(*topic_id, |topic| std::mem::replace(&mut topic.partitions, *count));
                let added = before.and_then(|before| usize::try_from(*count - before).ok());
                self.partitions += added.unwrap_or(0);
            }
            MetadataRecord::TopicConfig { topic_id, name, value } => {
                self.change(*topic_id, |topic| set(&mut topic.configs, name, value.as_ref()));
            }
            MetadataRecord::BrokerConfig { name, value } => {
                set(&mut self.broker_configs, name, value.as_ref());
            }
            MetadataRecord::RemoveTopic { id } => {
                let gone = self.names.remove(id).and_then(|name| self.topics.remove(&name));
                let held = gone.and_then(|topic| usize::try_from(topic.partitions).ok());
                self.partitions -= held.unwrap_or(0);
            }
            MetadataRecord::ProducerIds { next } => {
                self.next_producer_id = self.next_producer_id.max(*next);
            }
        }
    }

    fn change<T>(&mut self, id: Uuid, change: impl FnOnce(&mut Topic) -> T) -> Option<T> {
        let topic = self.topics.get_mut(self.names.get(&id)?)?;
        Some(change(Arc::make_mut(topic)))
    }
}

fn set(configs: &mut BTreeMap<String, String>, name: &str, value: Option<&String>) {
    match value {
        Some(value) => configs.insert(name.to_owned(), value.clone()),
        None => configs.remove(name),
    };
}

/// Kafka's rules for names, with its words.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let sound =
        |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || byte == b'-';
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.len() > TOPIC_NAME_BYTES_MAX {
        format!(
            "the length of '{name}' is longer than the max allowed length {TOPIC_NAME_BYTES_MAX}"
        )
    } else if !name.bytes().all(sound) {
        format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' \
             and '-'"
        )
    } else {
        return Ok(());
    };
    let message = format!("Topic name is invalid: {reason}");
    Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps and applies, as the service does; gives the code of a refusal.
    fn run(machine: &mut Machine, event: MetadataEvent) -> Result<Vec<MetadataEffect>, ErrorCode> {
        let mut effects = Vec::new();
        machine.step(event, &mut effects);
        for effect in &effects {
            match effect {
                MetadataEffect::Refuse(refusal) => return Err(refusal.code),
                MetadataEffect::Append(records) => {
                    records.iter().for_each(|record| machine.apply(record));
                }
                MetadataEffect::Open { .. }
                | MetadataEffect::Apply
                | MetadataEffect::Configure(_)
                | MetadataEffect::ConfigureAll
                | MetadataEffect::Close(_)
                | MetadataEffect::Grant(_) => {}
            }
        }
        Ok(effects)
    }

    fn create(name: &str, seed: u8, partitions: i32) -> MetadataEvent {
        MetadataEvent::CreateTopic {
            name: name.to_owned(),
            id: Uuid([seed; 16]),
            partitions,
            configs: BTreeMap::new(),
        }
    }

    #[test]
    fn a_topic_lives_from_its_creation_to_its_removal() {
        let mut machine = Machine::default();
        run(&mut machine, create("a.b", 1, 3)).unwrap();
        assert_eq!(machine.topic("a.b").unwrap().partitions, 3);
        assert_eq!(machine.topic_by_id(Uuid([1; 16])).unwrap().name, "a.b");
        let effects = run(&mut machine, MetadataEvent::DeleteTopic { id: Uuid([1; 16]) }).unwrap();
        assert!(
            matches!(effects.last(), Some(MetadataEffect::Close(topic)) if topic.name == "a.b")
        );
        assert!(machine.topic("a.b").is_none());
        let again = run(&mut machine, MetadataEvent::DeleteTopic { id: Uuid([1; 16]) });
        assert_eq!(again.unwrap_err(), ErrorCode::UNKNOWN_TOPIC_ID);
        assert_eq!(machine.partitions, 0);
    }

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        let mut machine = Machine::default();
        let long = "x".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "\u{e9}", long.as_str()] {
            let refused = run(&mut machine, create(name, 1, 1)).unwrap_err();
            assert_eq!(refused, ErrorCode::INVALID_TOPIC_EXCEPTION, "{name}");
        }
        run(&mut machine, create(&long[..249], 1, 1)).unwrap();
    }

    #[test]
    fn names_that_differ_in_dots_and_underscores_collide() {
        let mut machine = Machine::default();
        run(&mut machine, create("a.b_c", 1, 1)).unwrap();
        for (name, code) in [
            ("a_b_c", ErrorCode::INVALID_TOPIC_EXCEPTION),
            ("a.b.c", ErrorCode::INVALID_TOPIC_EXCEPTION),
            ("a.b_c", ErrorCode::TOPIC_ALREADY_EXISTS),
        ] {
            assert_eq!(run(&mut machine, create(name, 2, 1)).unwrap_err(), code);
        }
        run(&mut machine, create("a-b_c", 2, 1)).unwrap();
    }

    #[test]
    fn partitions_grow_and_never_shrink() {
        let mut machine = Machine::default();
        assert_eq!(
            run(&mut machine, create("t", 1, 0)).unwrap_err(),
            ErrorCode::INVALID_PARTITIONS
        );
        run(&mut machine, create("t", 1, 2)).unwrap();
        let grow = |count| MetadataEvent::AddPartitions { name: "t".to_owned(), count };
        for count in [1, 2] {
            assert_eq!(run(&mut machine, grow(count)).unwrap_err(), ErrorCode::INVALID_PARTITIONS);
        }
        let effects = run(&mut machine, grow(5)).unwrap();
        assert!(
            matches!(&effects[1], MetadataEffect::Open { partitions, .. } if *partitions == (2..5))
        );
        assert_eq!(machine.partitions, 5);
    }

    #[test]
    fn topics_that_keep_names_by_their_hash_do_not_grow() {
        let mut machine = Machine::default();
        for (id, name) in [(1, "__consumer_offsets"), (2, "__transaction_state")] {
            run(&mut machine, create(name, id, 2)).unwrap();
            let grow = MetadataEvent::AddPartitions { name: name.to_owned(), count: 3 };
            let refused = run(&mut machine, grow).unwrap_err();
            assert_eq!(refused, ErrorCode::INVALID_TOPIC_EXCEPTION, "{name}");
        }
    }

    #[test]
    fn the_partition_beyond_the_limit_is_refused() {
        let mut machine = Machine::default();
        let all = i32::try_from(PARTITIONS_MAX).unwrap();
        run(&mut machine, create("t", 1, all)).unwrap();
        assert_eq!(run(&mut machine, create("u", 2, 1)).unwrap_err(), ErrorCode::POLICY_VIOLATION);
    }

    #[test]
    fn producer_ids_are_given_out_once() {
        let mut machine = Machine::default();
        for first in [0, PRODUCER_ID_BLOCK] {
            let effects = run(&mut machine, MetadataEvent::ReserveProducerIds).unwrap();
            let block = first..first + PRODUCER_ID_BLOCK;
            assert_eq!(effects.last(), Some(&MetadataEffect::Grant(block)));
        }
    }

    #[test]
    fn configs_are_set_and_given_back() {
        let mut machine = Machine::default();
        run(&mut machine, create("t", 1, 1)).unwrap();
        let alter = |value: Option<&str>| MetadataEvent::AlterTopic {
            name: "t".to_owned(),
            changes: [("retention.ms".to_owned(), value.map(str::to_owned))].into(),
        };
        run(&mut machine, alter(Some("5"))).unwrap();
        assert_eq!(machine.topic("t").unwrap().configs["retention.ms"], "5");
        run(&mut machine, alter(None)).unwrap();
        assert!(machine.topic("t").unwrap().configs.is_empty());
    }
}
