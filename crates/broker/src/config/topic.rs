//! The configs of a topic: Kafka's list, and what they mean to its logs.

use std::collections::BTreeMap;

use commitlog::{Cleanup, Durability, LogConfig};

use super::Kind::{Boolean, Double, Int, List, Long, Text};
use super::Rule::{Any, AtLeast, Between, OneOf};
use super::{Definition, Kind, Rule, candidates};

/// A config that decides something here.
const fn topic(
    (name, synonym): (&'static str, &'static str),
    kind: Kind,
    default: &'static str,
    rule: Rule,
    doc: &'static str,
) -> Definition {
    Definition { name, kind, default: Some(default), rule, synonym: Some(synonym), doc }
}

/// A config that the broker has no word for.
const fn own(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    rule: Rule,
    doc: &'static str,
) -> Definition {
    Definition { name, kind, default, rule, synonym: None, doc }
}

const FOREVER: &str = "9223372036854775807";

/// Every config of a topic, sorted by name.
pub(crate) const DEFINITIONS: &[Definition] = &[
    topic(
        ("cleanup.policy", "log.cleanup.policy"),
        List,
        "delete",
        OneOf(&["compact", "delete"]),
        "What happens to old records: delete drops old segments, compact keeps the newest record \
         of each key.",
    ),
    topic(
        ("compression.gzip.level", "compression.gzip.level"),
        Int,
        "-1",
        Between(-1, 9),
        "Accepted; batches are kept as their producers compressed them.",
    ),
    topic(
        ("compression.lz4.level", "compression.lz4.level"),
        Int,
        "9",
        Between(1, 17),
        "Accepted; batches are kept as their producers compressed them.",
    ),
    topic(
        ("compression.type", "compression.type"),
        Text,
        "producer",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "Accepted; batches are kept as their producers compressed them.",
    ),
    topic(
        ("compression.zstd.level", "compression.zstd.level"),
        Int,
        "3",
        Between(-131_072, 22),
        "Accepted; batches are kept as their producers compressed them.",
    ),
    topic(
        ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
        Long,
        "86400000",
        AtLeast(0),
        "How long a record without a value stays readable in a compacted topic.",
    ),
    topic(
        ("file.delete.delay.ms", "log.segment.delete.delay.ms"),
        Long,
        "60000",
        AtLeast(0),
        "How long a removed file stays on disk.",
    ),
    topic(
        ("flush.messages", "log.flush.interval.messages"),
        Long,
        FOREVER,
        AtLeast(1),
        "Records after which the log is flushed; 1 flushes before every acknowledgement.",
    ),
    topic(
        ("flush.ms", "log.flush.interval.ms"),
        Long,
        FOREVER,
        AtLeast(0),
        "Longest time that a record waits for a flush.",
    ),
    own(
        "follower.replication.throttled.replicas",
        List,
        Some(""),
        Any,
        "Accepted; there are no followers to throttle.",
    ),
    topic(
        ("index.interval.bytes", "log.index.interval.bytes"),
        Int,
        "4096",
        AtLeast(0),
        "Bytes of the log between two entries of its index.",
    ),
    own(
        "leader.replication.throttled.replicas",
        List,
        Some(""),
        Any,
        "Accepted; there are no followers to throttle.",
    ),
    topic(
        ("local.retention.bytes", "log.local.retention.bytes"),
        Long,
        "-2",
        AtLeast(-2),
        "Accepted; all segments are local.",
    ),
    topic(
        ("local.retention.ms", "log.local.retention.ms"),
        Long,
        "-2",
        AtLeast(-2),
        "Accepted; all segments are local.",
    ),
    topic(
        ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
        Long,
        FOREVER,
        AtLeast(1),
        "Longest time that a record of a compacted topic may wait for the cleaner.",
    ),
    topic(
        ("max.message.bytes", "message.max.bytes"),
        Int,
        "1048588",
        AtLeast(0),
        "Largest batch that is taken, as it is compressed.",
    ),
    topic(
        ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
        Long,
        "3600000",
        AtLeast(0),
        "How far a record's timestamp may lie in the future.",
    ),
    topic(
        ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
        Long,
        FOREVER,
        AtLeast(0),
        "How far a record's timestamp may lie in the past.",
    ),
    topic(
        ("message.timestamp.type", "log.message.timestamp.type"),
        Text,
        "CreateTime",
        OneOf(&["CreateTime", "LogAppendTime"]),
        "Whose time a record bears: its producer's or that of the append.",
    ),
    topic(
        ("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
        Double,
        "0.5",
        Between(0, 1),
        "Share of uncleaned bytes that starts the cleaner.",
    ),
    topic(
        ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
        Long,
        "0",
        AtLeast(0),
        "How long a record of a compacted topic stays uncleaned at least.",
    ),
    topic(
        ("min.insync.replicas", "min.insync.replicas"),
        Int,
        "1",
        AtLeast(1),
        "Accepted; there is one replica.",
    ),
    topic(
        ("preallocate", "log.preallocate"),
        Boolean,
        "false",
        Any,
        "Accepted; files grow as they are written.",
    ),
    own("remote.log.copy.disable", Boolean, Some("false"), Any, "Accepted; nothing is remote."),
    own(
        "remote.log.delete.on.disable",
        Boolean,
        Some("false"),
        Any,
        "Accepted; nothing is remote.",
    ),
    own("remote.storage.enable", Boolean, Some("false"), Any, "Accepted; nothing is remote."),
    topic(
        ("retention.bytes", "log.retention.bytes"),
        Long,
        "-1",
        AtLeast(-1),
        "Size of a partition beyond which old segments are dropped; -1 keeps them.",
    ),
    topic(
        ("retention.ms", "log.retention.ms"),
        Long,
        "604800000",
        AtLeast(-1),
        "Age beyond which old segments are dropped; -1 keeps them.",
    ),
    topic(
        ("segment.bytes", "log.segment.bytes"),
        Int,
        "1073741824",
        AtLeast(1_048_576),
        "Size at which a new segment is begun.",
    ),
    topic(
        ("segment.index.bytes", "log.index.size.max.bytes"),
        Int,
        "10485760",
        AtLeast(4),
        "Accepted; an index takes the room that its segment needs.",
    ),
    topic(
        ("segment.jitter.ms", "log.roll.jitter.ms"),
        Long,
        "0",
        AtLeast(0),
        "Accepted; segments roll at their own times.",
    ),
    topic(
        ("segment.ms", "log.roll.ms"),
        Long,
        "604800000",
        AtLeast(1),
        "Age at which a new segment is begun.",
    ),
    topic(
        ("unclean.leader.election.enable", "unclean.leader.election.enable"),
        Boolean,
        "false",
        Any,
        "Accepted; there is one replica.",
    ),
];

/// Not listed, but accepted as Kafka does: a segment size below the least that people may set.
const SEGMENT_BYTES_INTERNAL: Definition = own(
    "internal.segment.bytes",
    Int,
    None,
    AtLeast(1),
    "Size at which a new segment is begun, for tests.",
);

/// The config of this name.
pub(crate) fn find(name: &str) -> Option<&'static Definition> {
    if name == SEGMENT_BYTES_INTERNAL.name {
        return Some(&SEGMENT_BYTES_INTERNAL);
    }
    DEFINITIONS.iter().find(|definition| definition.name == name)
}

/// What a topic's configs mean to those who write into it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// The logs' own.
    pub(crate) log: LogConfig,
    /// How far a timestamp may lie in the future.
    pub(crate) timestamp_after_ms_max: i64,
    /// How far a timestamp may lie in the past.
    pub(crate) timestamp_before_ms_max: i64,
}

impl Settings {
    /// From a topic's own configs and the broker's, which are its defaults.
    pub(crate) fn new(own: &BTreeMap<String, String>, broker: &BTreeMap<String, String>) -> Self {
        let values = Values { own, broker };
        let cleanup = values.text("cleanup.policy");
        let cleanup = match (cleanup.contains("compact"), cleanup.contains("delete")) {
            (true, true) => Cleanup::CompactDelete,
            (true, false) => Cleanup::Compact,
            (false, _) => Cleanup::Delete,
        };
        let flush_messages = values.count("flush.messages");
        let log = LogConfig {
            segment_bytes: own
                .get(SEGMENT_BYTES_INTERNAL.name)
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or_else(|| values.count("segment.bytes")),
            segment_ms: values.number("segment.ms"),
            retention_ms: values.number("retention.ms"),
            retention_bytes: values.number("retention.bytes"),
            index_interval_bytes: values.count("index.interval.bytes"),
            cleanup,
            max_message_bytes: base::cast::usize_of(values.count("max.message.bytes")),
            flush_messages,
            flush_ms: values.count("flush.ms"),
            durability: (flush_messages == 1).then_some(Durability::Flush),
            timestamp_type_append: values.text("message.timestamp.type") == "LogAppendTime",
            file_delete_delay_ms: values.count("file.delete.delay.ms"),
            min_cleanable_dirty_ratio: values.ratio("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: values.number("min.compaction.lag.ms"),
            max_compaction_lag_ms: values.number("max.compaction.lag.ms"),
            delete_retention_ms: values.number("delete.retention.ms"),
            cleaner_bytes_per_second: super::broker::cleaner_bytes_per_second(broker),
            ..LogConfig::default()
        };
        Self {
            log,
            timestamp_after_ms_max: values.number("message.timestamp.after.max.ms"),
            timestamp_before_ms_max: values.number("message.timestamp.before.max.ms"),
        }
    }
}

/// Looks values up; those that were set have been checked, and defaults are sound.
struct Values<'a> {
    own: &'a BTreeMap<String, String>,
    broker: &'a BTreeMap<String, String>,
}

impl Values<'_> {
    fn text(&self, name: &str) -> String {
        let definition = find(name).expect("the settings name configs of the list");
        let first = candidates(definition, self.own, self.broker).into_iter().next();
        first.and_then(|sourced| sourced.value).unwrap_or_default()
    }

    fn number(&self, name: &str) -> i64 {
        self.text(name).trim().parse().unwrap_or(-1)
    }

    fn count(&self, name: &str) -> u64 {
        u64::try_from(self.number(name)).unwrap_or(0)
    }

    fn ratio(&self, name: &str) -> f64 {
        self.text(name).trim().parse().unwrap_or(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_default_is_a_value_that_its_own_rule_takes() {
        for definition in DEFINITIONS {
            let default = definition.default.unwrap();
            assert_eq!(definition.check(default), Ok(()), "{}", definition.name);
        }
        assert!(DEFINITIONS.is_sorted_by_key(|definition| definition.name));
    }

    #[test]
    fn without_configs_a_log_is_as_kafka_would_have_it() {
        let settings = Settings::new(&configs(&[]), &configs(&[]));
        let flush_never = u64::try_from(i64::MAX).unwrap();
        let expected = LogConfig {
            flush_messages: flush_never,
            flush_ms: flush_never,
            ..LogConfig::default()
        };
        assert_eq!(settings.log, expected);
        assert_eq!(settings.timestamp_after_ms_max, 3_600_000);
    }

    #[test]
    fn a_topics_config_wins_over_the_brokers_which_wins_over_the_default() {
        let broker = configs(&[("log.retention.ms", "7"), ("message.max.bytes", "9")]);
        let settings = Settings::new(&configs(&[("retention.ms", "5")]), &broker);
        assert_eq!((settings.log.retention_ms, settings.log.max_message_bytes), (5, 9));
    }

    #[test]
    fn what_the_cleaner_goes_by_reaches_the_logs() {
        let broker = configs(&[
            ("log.cleaner.max.compaction.lag.ms", "9"),
            ("log.cleaner.io.max.bytes.per.second", "1024.5"),
        ]);
        let own = configs(&[("min.compaction.lag.ms", "5"), ("cleanup.policy", "compact,delete")]);
        let log = Settings::new(&own, &broker).log;
        assert_eq!((log.min_compaction_lag_ms, log.max_compaction_lag_ms), (5, 9));
        assert_eq!(log.cleaner_bytes_per_second.to_bits(), 1_024.5_f64.to_bits());
        assert_eq!(log.cleanup, Cleanup::CompactDelete);
    }

    #[test]
    fn wrong_values_are_refused_in_kafkas_words() {
        for (name, value, message) in [
            (
                "retention.ms",
                "x",
                "Invalid value x for configuration retention.ms: Not a number of type LONG",
            ),
            (
                "segment.bytes",
                "1",
                "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576",
            ),
            (
                "cleanup.policy",
                "compact,drop",
                "Invalid value compact,drop for configuration cleanup.policy: String must be one \
                 of: compact, delete",
            ),
            (
                "preallocate",
                "1",
                "Invalid value 1 for configuration preallocate: Expected value to be either true \
                 or false",
            ),
            (
                "min.cleanable.dirty.ratio",
                "1.5",
                "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no \
                 more than 1",
            ),
        ] {
            assert_eq!(find(name).unwrap().check(value), Err(message.to_owned()));
        }
    }
}
