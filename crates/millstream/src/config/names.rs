//! The names of all settings.

/// Every setting: Kafka's name where Kafka has one.
pub(super) const NAMES: &[&str] = &[
    "acks",
    "advertise",
    "auto.create.topics.enable",
    "auto.offset.reset",
    "batch.size",
    "brokers",
    "client.id",
    "color",
    "compression.type",
    "data",
    "delivery.timeout.ms",
    "durability",
    "enable.idempotence",
    "fetch.max.bytes",
    "fetch.max.wait.ms",
    "fetch.min.bytes",
    "group.id",
    "group.initial.rebalance.delay.ms",
    "heartbeat.interval.ms",
    "http",
    "isolation.level",
    "linger.ms",
    "listen",
    "log",
    "log-format",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "node.id",
    "num.partitions",
    "offsets.topic.num.partitions",
    "request.timeout.ms",
    "session.timeout.ms",
    "timeout",
    "transaction.max.timeout.ms",
    "transaction.state.log.num.partitions",
];

/// Other names under which settings are known.
const ALIASES: &[(&str, &str)] = &[
    ("advertised.listeners", "advertise"),
    ("bootstrap.servers", "brokers"),
    ("broker.id", "node.id"),
    ("compression.codec", "compression.type"),
    ("listeners", "listen"),
    ("log.dir", "data"),
    ("log.dirs", "data"),
    ("metadata.broker.list", "brokers"),
    ("queue.buffering.max.ms", "linger.ms"),
];

/// The broker's own properties, which `KAFKA_*` variables may set.
const BROKER: &[&str] = &[
    "advertise",
    "auto.create.topics.enable",
    "data",
    "group.initial.rebalance.delay.ms",
    "listen",
    "node.id",
    "num.partitions",
    "offsets.topic.num.partitions",
    "transaction.max.timeout.ms",
    "transaction.state.log.num.partitions",
];

/// The setting that a name means.
pub(crate) fn canonical(name: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, canonical)| canonical);
    NAMES.iter().find(|known| **known == name).copied()
}

/// All names that may be written, for suggestions.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    NAMES.iter().copied().chain(ALIASES.iter().map(|(alias, _)| *alias))
}

/// The variable of our own for a name: `MILLSTREAM_LINGER_MS`.
pub(super) fn own_variable(name: &str) -> String {
    let letter = |letter: char| match letter {
        '.' | '-' => '_',
        other => other.to_ascii_uppercase(),
    };
    format!("MILLSTREAM_{}", name.chars().map(letter).collect::<String>())
}

/// The broker's property behind one of Kafka's image variables: `KAFKA_NUM_PARTITIONS`. One
/// underscore is a dot, two are an underscore, three are a dash.
pub(super) fn kafka_property(variable: &str) -> Option<&'static str> {
    let rest = variable.strip_prefix("KAFKA_")?.to_ascii_lowercase();
    let name = rest.replace("___", "-").replace("__", "\u{0}").replace('_', ".");
    canonical(&name.replace('\u{0}', "_")).filter(|name| BROKER.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_aliases_lead_somewhere() {
        assert!(NAMES.is_sorted());
        assert!(ALIASES.iter().all(|(alias, name)| {
            NAMES.contains(name) && !NAMES.contains(alias) && canonical(alias) == Some(name)
        }));
        assert!(BROKER.iter().all(|name| NAMES.contains(name)));
    }

    #[test]
    fn variables_follow_kafkas_rule() {
        assert_eq!(kafka_property("KAFKA_NUM_PARTITIONS"), Some("num.partitions"));
        assert_eq!(kafka_property("KAFKA_ADVERTISED_LISTENERS"), Some("advertise"));
        assert_eq!(kafka_property("KAFKA_LINGER_MS"), None);
        assert_eq!(kafka_property("KAFKA_HEAP_OPTS"), None);
        assert_eq!(own_variable("log-format"), "MILLSTREAM_LOG_FORMAT");
    }
}
