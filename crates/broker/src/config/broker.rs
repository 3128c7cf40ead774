//! The configs of the broker: Kafka's list, so that tools find what they look for.
//!
//! Those with a topic's config behind them are its defaults and may be changed while the broker
//! runs; some are facts of this broker; all others are shown with Kafka's default and do nothing.

use std::collections::BTreeMap;

use super::Kind::{Boolean, Class, Double, Int, List, Long, Password, Short, Text};
use super::{Definition, Kind, Rule, topic};
use crate::options::BrokerOptions;

const NO_EFFECT: &str = "Listed for tools that look for it; has no effect here.";
const FACT: &str = "A fact of this broker, given when it was started.";
const CLEANER_RATE: &str = "log.cleaner.io.max.bytes.per.second";
const CLEANER_RATE_DOC: &str = "What the cleaner reads and writes at most in a second.";
const DEFAULT_OF_TOPICS: &str = "The default of the topics' config that it belongs to.";

/// The config of this name.
pub(crate) fn find(name: &str) -> Option<Definition> {
    ROWS.iter().find(|row| row.0 == name).map(definition)
}

/// All configs, sorted by name.
pub(crate) fn all() -> impl Iterator<Item = Definition> {
    ROWS.iter().map(definition)
}

fn definition(row: &(&'static str, Kind, Option<&'static str>)) -> Definition {
    let (name, kind, default) = *row;
    let (rule, doc) = match behind(name) {
        Some(topic) => (topic.rule, DEFAULT_OF_TOPICS),
        None if FACTS.contains(&name) => (Rule::Any, FACT),
        None if name == CLEANER_RATE => (Rule::AtLeast(1), CLEANER_RATE_DOC),
        None => (Rule::Any, NO_EFFECT),
    };
    Definition { name, kind, default, rule, synonym: None, doc }
}

/// The topics' config whose default this is.
fn behind(name: &str) -> Option<&'static Definition> {
    topic::DEFINITIONS.iter().find(|definition| definition.synonym == Some(name))
}

/// Whether it may be changed while the broker runs.
pub(crate) fn is_dynamic(name: &str) -> bool {
    behind(name).is_some() || name == CLEANER_RATE
}

/// What the cleaner may read and write in a second.
pub(crate) fn cleaner_bytes_per_second(set: &BTreeMap<String, String>) -> f64 {
    let value = set.get(CLEANER_RATE);
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(f64::MAX)
}

const FACTS: &[&str] = &[
    "advertised.listeners",
    "auto.create.topics.enable",
    "broker.id",
    "group.initial.rebalance.delay.ms",
    "listeners",
    "log.dirs",
    "node.id",
    "num.partitions",
    "offsets.topic.num.partitions",
    "offsets.topic.replication.factor",
    "process.roles",
    "transaction.max.timeout.ms",
    "transaction.state.log.min.isr",
    "transaction.state.log.num.partitions",
    "transaction.state.log.replication.factor",
];

/// The values that were given when the broker was started.
pub(crate) fn facts(
    options: &BrokerOptions,
    advertised: &(String, u16),
) -> BTreeMap<&'static str, String> {
    let (host, port) = advertised;
    let listen = options.listen.map_or_else(|| "memory".to_owned(), |address| address.to_string());
    let dirs = options.data_dir.join("log").display().to_string();
    [
        ("advertised.listeners", format!("PLAINTEXT://{host}:{port}")),
        ("auto.create.topics.enable", options.auto_create_topics.to_string()),
        ("broker.id", options.node_id.to_string()),
        ("group.initial.rebalance.delay.ms", options.group_initial_rebalance_delay_ms.to_string()),
        ("listeners", format!("PLAINTEXT://{listen}")),
        ("log.dirs", dirs),
        ("node.id", options.node_id.to_string()),
        ("num.partitions", options.partitions_default.to_string()),
        ("offsets.topic.num.partitions", options.offsets_topic_partitions.to_string()),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("process.roles", "broker,controller".to_owned()),
        ("transaction.max.timeout.ms", options.transaction_timeout_ms_max.to_string()),
        ("transaction.state.log.min.isr", "1".to_owned()),
        ("transaction.state.log.num.partitions", options.transaction_topic_partitions.to_string()),
        ("transaction.state.log.replication.factor", "1".to_owned()),
    ]
    .into()
}

const ROWS: &[(&str, Kind, Option<&str>)] = &[
    ("add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100")),
    ("add.partitions.to.txn.retry.backoff.ms", Int, Some("20")),
    ("advertised.listeners", List, None),
    ("alter.config.policy.class.name", Class, None),
    ("alter.log.dirs.replication.quota.window.num", Int, Some("11")),
    ("alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1")),
    ("authorizer.class.name", Text, Some("")),
    ("auto.create.topics.enable", Boolean, Some("true")),
    ("auto.leader.rebalance.enable", Boolean, Some("true")),
    ("background.threads", Int, Some("10")),
    ("broker.heartbeat.interval.ms", Int, Some("2000")),
    ("broker.id", Int, Some("-1")),
    ("broker.rack", Text, None),
    ("broker.session.timeout.ms", Int, Some("9000")),
    ("client.quota.callback.class", Class, None),
    ("compression.gzip.level", Int, Some("-1")),
    ("compression.lz4.level", Int, Some("9")),
    ("compression.type", Text, Some("producer")),
    ("compression.zstd.level", Int, Some("3")),
    ("config.providers", List, Some("")),
    ("connection.failed.authentication.delay.ms", Int, Some("100")),
    ("connections.max.idle.ms", Long, Some("600000")),
    ("connections.max.reauth.ms", Long, Some("0")),
    ("controlled.shutdown.enable", Boolean, Some("true")),
    ("controller.listener.names", List, None),
    ("controller.quorum.append.linger.ms", Int, Some("25")),
    ("controller.quorum.auto.join.enable", Boolean, Some("false")),
    ("controller.quorum.bootstrap.servers", List, Some("")),
    ("controller.quorum.election.backoff.max.ms", Int, Some("1000")),
    ("controller.quorum.election.timeout.ms", Int, Some("1000")),
    ("controller.quorum.fetch.max.bytes", Int, Some("1048576")),
    ("controller.quorum.fetch.snapshot.max.bytes", Int, Some("1048576")),
    ("controller.quorum.fetch.timeout.ms", Int, Some("2000")),
    ("controller.quorum.request.timeout.ms", Int, Some("2000")),
    ("controller.quorum.retry.backoff.ms", Int, Some("20")),
    ("controller.quorum.voters", List, Some("")),
    ("controller.quota.window.num", Int, Some("11")),
    ("controller.quota.window.size.seconds", Int, Some("1")),
    ("controller.socket.timeout.ms", Int, Some("30000")),
    ("cordoned.log.dirs", List, Some("")),
    ("create.topic.policy.class.name", Class, None),
    ("default.replication.factor", Int, Some("1")),
    ("delegation.token.expiry.check.interval.ms", Long, Some("3600000")),
    ("delegation.token.expiry.time.ms", Long, Some("86400000")),
    ("delegation.token.max.lifetime.ms", Long, Some("604800000")),
    ("delegation.token.secret.key", Password, None),
    ("delete.records.purgatory.purge.interval.requests", Int, Some("1")),
    ("delete.topic.enable", Boolean, Some("true")),
    ("early.start.listeners", List, None),
    ("fetch.max.bytes", Int, Some("57671680")),
    ("fetch.purgatory.purge.interval.requests", Int, Some("1000")),
    ("follower.fetch.last.tiered.offset.enable", Boolean, Some("false")),
    ("group.consumer.assignment.interval.ms", Int, Some("1000")),
    ("group.consumer.assignors", List, Some("uniform,range")),
    ("group.consumer.heartbeat.interval.ms", Int, Some("5000")),
    ("group.consumer.max.assignment.interval.ms", Int, Some("15000")),
    ("group.consumer.max.heartbeat.interval.ms", Int, Some("15000")),
    ("group.consumer.max.session.timeout.ms", Int, Some("60000")),
    ("group.consumer.max.size", Int, Some("2147483647")),
    ("group.consumer.migration.policy", Text, Some("bidirectional")),
    ("group.consumer.min.assignment.interval.ms", Int, Some("0")),
    ("group.consumer.min.heartbeat.interval.ms", Int, Some("5000")),
    ("group.consumer.min.session.timeout.ms", Int, Some("45000")),
    ("group.consumer.session.timeout.ms", Int, Some("45000")),
    ("group.coordinator.append.linger.ms", Int, Some("-1")),
    ("group.coordinator.background.threads", Int, Some("2")),
    ("group.coordinator.cached.buffer.max.bytes", Int, Some("1048588")),
    ("group.coordinator.rebalance.protocols", List, Some("classic,consumer,streams")),
    ("group.coordinator.threads", Int, Some("4")),
    ("group.initial.rebalance.delay.ms", Int, Some("3000")),
    ("group.max.session.timeout.ms", Int, Some("1800000")),
    ("group.max.size", Int, Some("2147483647")),
    ("group.min.session.timeout.ms", Int, Some("6000")),
    ("group.share.assignment.interval.ms", Int, Some("1000")),
    ("group.share.assignors", List, Some("simple")),
    ("group.share.delivery.count.limit", Int, Some("5")),
    ("group.share.heartbeat.interval.ms", Int, Some("5000")),
    ("group.share.max.assignment.interval.ms", Int, Some("15000")),
    ("group.share.max.delivery.count.limit", Int, Some("10")),
    ("group.share.max.heartbeat.interval.ms", Int, Some("15000")),
    ("group.share.max.partition.max.record.locks", Int, Some("4000")),
    ("group.share.max.record.lock.duration.ms", Int, Some("60000")),
    ("group.share.max.session.timeout.ms", Int, Some("60000")),
    ("group.share.max.share.sessions", Int, Some("2000")),
    ("group.share.max.size", Int, Some("200")),
    ("group.share.min.assignment.interval.ms", Int, Some("0")),
    ("group.share.min.delivery.count.limit", Int, Some("2")),
    ("group.share.min.heartbeat.interval.ms", Int, Some("5000")),
    ("group.share.min.partition.max.record.locks", Int, Some("100")),
    ("group.share.min.record.lock.duration.ms", Int, Some("15000")),
    ("group.share.min.session.timeout.ms", Int, Some("45000")),
    ("group.share.partition.max.record.locks", Int, Some("2000")),
    ("group.share.record.lock.duration.ms", Int, Some("30000")),
    ("group.share.session.timeout.ms", Int, Some("45000")),
    ("group.streams.assignment.interval.ms", Int, Some("1000")),
    ("group.streams.heartbeat.interval.ms", Int, Some("5000")),
    ("group.streams.initial.rebalance.delay.ms", Int, Some("3000")),
    ("group.streams.max.assignment.interval.ms", Int, Some("15000")),
    ("group.streams.max.heartbeat.interval.ms", Int, Some("15000")),
    ("group.streams.max.session.timeout.ms", Int, Some("60000")),
    ("group.streams.max.size", Int, Some("2147483647")),
    ("group.streams.max.standby.replicas", Int, Some("2")),
    ("group.streams.min.assignment.interval.ms", Int, Some("0")),
    ("group.streams.min.heartbeat.interval.ms", Int, Some("5000")),
    ("group.streams.min.session.timeout.ms", Int, Some("45000")),
    ("group.streams.num.standby.replicas", Int, Some("0")),
    ("group.streams.session.timeout.ms", Int, Some("45000")),
    ("initial.broker.registration.timeout.ms", Int, Some("60000")),
    ("inter.broker.listener.name", Text, None),
    ("kafka.metrics.polling.interval.secs", Int, Some("10")),
    ("kafka.metrics.reporters", List, Some("")),
    ("leader.imbalance.check.interval.seconds", Long, Some("300")),
    (
        "listener.security.protocol.map",
        Text,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
    ),
    ("listeners", List, Some("PLAINTEXT://:9092")),
    ("log.cleaner.backoff.ms", Long, Some("15000")),
    ("log.cleaner.dedupe.buffer.size", Long, Some("134217728")),
    ("log.cleaner.delete.retention.ms", Long, Some("86400000")),
    ("log.cleaner.enable", Boolean, Some("true")),
    ("log.cleaner.io.buffer.load.factor", Double, Some("0.9")),
    ("log.cleaner.io.buffer.size", Int, Some("524288")),
    ("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308")),
    ("log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807")),
    ("log.cleaner.min.cleanable.ratio", Double, Some("0.5")),
    ("log.cleaner.min.compaction.lag.ms", Long, Some("0")),
    ("log.cleaner.threads", Int, Some("1")),
    ("log.cleanup.policy", List, Some("delete")),
    ("log.dir", List, Some("/tmp/kafka-logs")),
    ("log.dir.failure.timeout.ms", Long, Some("30000")),
    ("log.dirs", List, None),
    ("log.flush.interval.messages", Long, Some("9223372036854775807")),
    ("log.flush.interval.ms", Long, None),
    ("log.flush.offset.checkpoint.interval.ms", Int, Some("60000")),
    ("log.flush.scheduler.interval.ms", Long, Some("9223372036854775807")),
    ("log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000")),
    ("log.index.interval.bytes", Int, Some("4096")),
    ("log.index.size.max.bytes", Int, Some("10485760")),
    ("log.local.retention.bytes", Long, Some("-2")),
    ("log.local.retention.ms", Long, Some("-2")),
    ("log.message.timestamp.after.max.ms", Long, Some("3600000")),
    ("log.message.timestamp.before.max.ms", Long, Some("9223372036854775807")),
    ("log.message.timestamp.type", Text, Some("CreateTime")),
    ("log.preallocate", Boolean, Some("false")),
    ("log.retention.bytes", Long, Some("-1")),
    ("log.retention.check.interval.ms", Long, Some("300000")),
    ("log.retention.hours", Int, Some("168")),
    ("log.retention.minutes", Int, None),
    ("log.retention.ms", Long, None),
    ("log.roll.hours", Int, Some("168")),
    ("log.roll.jitter.hours", Int, Some("0")),
    ("log.roll.jitter.ms", Long, None),
    ("log.roll.ms", Long, None),
    ("log.segment.bytes", Int, Some("1073741824")),
    ("log.segment.delete.delay.ms", Long, Some("60000")),
    ("max.connection.creation.rate", Int, Some("2147483647")),
    ("max.connections", Int, Some("2147483647")),
    ("max.connections.per.ip", Int, Some("2147483647")),
    ("max.connections.per.ip.overrides", Text, Some("")),
    ("max.incremental.fetch.session.cache.slots", Int, Some("1000")),
    ("max.request.partition.size.limit", Int, Some("2000")),
    ("message.max.bytes", Int, Some("1048588")),
    ("metadata.log.dir", Text, None),
    ("metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520")),
    ("metadata.log.max.snapshot.interval.ms", Long, Some("3600000")),
    ("metadata.log.segment.bytes", Int, Some("1073741824")),
    ("metadata.log.segment.ms", Long, Some("604800000")),
    ("metadata.max.idle.interval.ms", Int, Some("500")),
    ("metadata.max.retention.bytes", Long, Some("104857600")),
    ("metadata.max.retention.ms", Long, Some("604800000")),
    ("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter")),
    ("metrics.num.samples", Int, Some("2")),
    ("metrics.recording.level", Text, Some("INFO")),
    ("metrics.sample.window.ms", Long, Some("30000")),
    ("min.insync.replicas", Int, Some("1")),
    ("node.id", Int, None),
    ("num.io.threads", Int, Some("8")),
    ("num.network.threads", Int, Some("3")),
    ("num.partitions", Int, Some("1")),
    ("num.recovery.threads.per.data.dir", Int, Some("2")),
    ("num.replica.alter.log.dirs.threads", Int, None),
    ("num.replica.fetchers", Int, Some("1")),
    ("offset.metadata.max.bytes", Int, Some("4096")),
    ("offsets.commit.timeout.ms", Int, Some("5000")),
    ("offsets.load.buffer.size", Int, Some("5242880")),
    ("offsets.retention.check.interval.ms", Long, Some("600000")),
    ("offsets.retention.minutes", Int, Some("10080")),
    ("offsets.topic.compression.codec", Int, Some("0")),
    ("offsets.topic.num.partitions", Int, Some("50")),
    ("offsets.topic.replication.factor", Short, Some("3")),
    ("offsets.topic.segment.bytes", Int, Some("104857600")),
    (
        "principal.builder.class",
        Class,
        Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"),
    ),
    ("process.roles", List, None),
    ("producer.id.expiration.ms", Int, Some("86400000")),
    ("producer.purgatory.purge.interval.requests", Int, Some("1000")),
    ("queued.max.request.bytes", Long, Some("-1")),
    ("queued.max.requests", Int, Some("500")),
    ("quota.window.num", Int, Some("11")),
    ("quota.window.size.seconds", Int, Some("1")),
    ("remote.fetch.max.wait.ms", Int, Some("500")),
    ("remote.list.offsets.request.timeout.ms", Long, Some("30000")),
    ("remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824")),
    ("remote.log.manager.copier.thread.pool.size", Int, Some("10")),
    ("remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807")),
    ("remote.log.manager.copy.quota.window.num", Int, Some("11")),
    ("remote.log.manager.copy.quota.window.size.seconds", Int, Some("1")),
    ("remote.log.manager.expiration.thread.pool.size", Int, Some("10")),
    ("remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807")),
    ("remote.log.manager.fetch.quota.window.num", Int, Some("11")),
    ("remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1")),
    ("remote.log.manager.follower.thread.pool.size", Int, Some("2")),
    ("remote.log.manager.task.interval.ms", Long, Some("30000")),
    ("remote.log.manager.thread.pool.size", Int, Some("2")),
    ("remote.log.metadata.custom.metadata.max.bytes", Int, Some("128")),
    (
        "remote.log.metadata.manager.class.name",
        Text,
        Some(
            "org.apache.kafka.server.log.remote.metadata.storage.\
             TopicBasedRemoteLogMetadataManager",
        ),
    ),
    ("remote.log.metadata.manager.class.path", Text, None),
    ("remote.log.metadata.manager.impl.prefix", Text, Some("rlmm.config.")),
    ("remote.log.metadata.manager.listener.name", Text, None),
    ("remote.log.reader.max.pending.tasks", Int, Some("100")),
    ("remote.log.reader.threads", Int, Some("10")),
    ("remote.log.storage.manager.class.name", Text, None),
    ("remote.log.storage.manager.class.path", Text, None),
    ("remote.log.storage.manager.impl.prefix", Text, Some("rsm.config.")),
    ("remote.log.storage.system.enable", Boolean, Some("false")),
    ("replica.fetch.backoff.ms", Int, Some("1000")),
    ("replica.fetch.max.bytes", Int, Some("1048576")),
    ("replica.fetch.min.bytes", Int, Some("1")),
    ("replica.fetch.response.max.bytes", Int, Some("10485760")),
    ("replica.fetch.wait.max.ms", Int, Some("500")),
    ("replica.high.watermark.checkpoint.interval.ms", Long, Some("5000")),
    ("replica.lag.time.max.ms", Long, Some("30000")),
    ("replica.selector.class", Text, None),
    ("replica.socket.receive.buffer.bytes", Int, Some("65536")),
    ("replica.socket.timeout.ms", Int, Some("30000")),
    ("replication.quota.window.num", Int, Some("11")),
    ("replication.quota.window.size.seconds", Int, Some("1")),
    ("request.timeout.ms", Int, Some("30000")),
    ("sasl.client.callback.handler.class", Class, None),
    ("sasl.enabled.mechanisms", List, Some("GSSAPI")),
    ("sasl.jaas.config", Password, None),
    ("sasl.kerberos.kinit.cmd", Text, Some("/usr/bin/kinit")),
    ("sasl.kerberos.min.time.before.relogin", Long, Some("60000")),
    ("sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT")),
    ("sasl.kerberos.service.name", Text, None),
    ("sasl.kerberos.ticket.renew.jitter", Double, Some("0.05")),
    ("sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8")),
    ("sasl.login.callback.handler.class", Class, None),
    ("sasl.login.class", Class, None),
    ("sasl.login.connect.timeout.ms", Int, None),
    ("sasl.login.read.timeout.ms", Int, None),
    ("sasl.login.refresh.buffer.seconds", Short, Some("300")),
    ("sasl.login.refresh.min.period.seconds", Short, Some("60")),
    ("sasl.login.refresh.window.factor", Double, Some("0.8")),
    ("sasl.login.refresh.window.jitter", Double, Some("0.05")),
    ("sasl.login.retry.backoff.max.ms", Long, Some("10000")),
    ("sasl.login.retry.backoff.ms", Long, Some("100")),
    ("sasl.mechanism.controller.protocol", Text, Some("GSSAPI")),
    ("sasl.mechanism.inter.broker.protocol", Text, Some("GSSAPI")),
    ("sasl.oauthbearer.assertion.algorithm", Text, Some("RS256")),
    ("sasl.oauthbearer.assertion.claim.aud", Text, None),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", Int, Some("300")),
    ("sasl.oauthbearer.assertion.claim.iss", Text, None),
    ("sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false")),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Some("60")),
    ("sasl.oauthbearer.assertion.claim.sub", Text, None),
    ("sasl.oauthbearer.assertion.file", Text, None),
    ("sasl.oauthbearer.assertion.private.key.file", Text, None),
    ("sasl.oauthbearer.assertion.private.key.passphrase", Password, None),
    ("sasl.oauthbearer.assertion.template.file", Text, None),
    ("sasl.oauthbearer.client.credentials.client.id", Text, None),
    ("sasl.oauthbearer.client.credentials.client.secret", Password, None),
    ("sasl.oauthbearer.clock.skew.seconds", Int, Some("30")),
    ("sasl.oauthbearer.expected.audience", List, Some("")),
    ("sasl.oauthbearer.expected.issuer", Text, None),
    ("sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000")),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Some("10000")),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100")),
    ("sasl.oauthbearer.jwks.endpoint.url", Text, None),
    (
        "sasl.oauthbearer.jwt.retriever.class",
        Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
    ),
    (
        "sasl.oauthbearer.jwt.validator.class",
        Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
    ),
    ("sasl.oauthbearer.scope", Text, None),
    ("sasl.oauthbearer.scope.claim.name", Text, Some("scope")),
    ("sasl.oauthbearer.sub.claim.name", Text, Some("sub")),
    ("sasl.oauthbearer.token.endpoint.url", Text, None),
    ("sasl.server.callback.handler.class", Class, None),
    ("sasl.server.max.receive.size", Int, Some("524288")),
    ("security.inter.broker.protocol", Text, Some("PLAINTEXT")),
    ("security.providers", Text, None),
    ("share.coordinator.append.linger.ms", Int, Some("-1")),
    ("share.coordinator.cached.buffer.max.bytes", Int, Some("1048588")),
    ("share.coordinator.load.buffer.size", Int, Some("5242880")),
    ("share.coordinator.snapshot.update.records.per.snapshot", Int, Some("500")),
    ("share.coordinator.state.topic.compression.codec", Int, Some("0")),
    ("share.coordinator.state.topic.min.isr", Short, Some("2")),
    ("share.coordinator.state.topic.num.partitions", Int, Some("50")),
    ("share.coordinator.state.topic.replication.factor", Short, Some("3")),
    ("share.coordinator.state.topic.segment.bytes", Int, Some("104857600")),
    ("share.coordinator.threads", Int, Some("1")),
    ("share.coordinator.write.timeout.ms", Int, Some("5000")),
    ("share.fetch.purgatory.purge.interval.requests", Int, Some("1000")),
    ("socket.connection.setup.timeout.max.ms", Long, Some("30000")),
    ("socket.connection.setup.timeout.ms", Long, Some("10000")),
    ("socket.listen.backlog.size", Int, Some("50")),
    ("socket.receive.buffer.bytes", Int, Some("102400")),
    ("socket.request.max.bytes", Int, Some("104857600")),
    ("socket.send.buffer.bytes", Int, Some("102400")),
    ("ssl.allow.dn.changes", Boolean, Some("false")),
    ("ssl.allow.san.changes", Boolean, Some("false")),
    ("ssl.cipher.suites", List, Some("")),
    ("ssl.client.auth", Text, Some("none")),
    ("ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3")),
    ("ssl.endpoint.identification.algorithm", Text, Some("https")),
    ("ssl.engine.factory.class", Class, None),
    ("ssl.key.password", Password, None),
    ("ssl.keymanager.algorithm", Text, Some("SunX509")),
    ("ssl.keystore.certificate.chain", Password, None),
    ("ssl.keystore.key", Password, None),
    ("ssl.keystore.location", Text, None),
    ("ssl.keystore.password", Password, None),
    ("ssl.keystore.type", Text, Some("JKS")),
    ("ssl.principal.mapping.rules", Text, Some("DEFAULT")),
    ("ssl.protocol", Text, Some("TLSv1.3")),
    ("ssl.provider", Text, None),
    ("ssl.secure.random.implementation", Text, None),
    ("ssl.trustmanager.algorithm", Text, Some("PKIX")),
    ("ssl.truststore.certificates", Password, None),
    ("ssl.truststore.location", Text, None),
    ("ssl.truststore.password", Password, None),
    ("ssl.truststore.type", Text, Some("JKS")),
    ("telemetry.max.bytes", Int, Some("1048576")),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000")),
    ("transaction.max.timeout.ms", Int, Some("900000")),
    ("transaction.partition.verification.enable", Boolean, Some("true")),
    ("transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000")),
    ("transaction.state.log.load.buffer.size", Int, Some("5242880")),
    ("transaction.state.log.min.isr", Int, Some("2")),
    ("transaction.state.log.num.partitions", Int, Some("50")),
    ("transaction.state.log.replication.factor", Short, Some("3")),
    ("transaction.state.log.segment.bytes", Int, Some("104857600")),
    ("transaction.two.phase.commit.enable", Boolean, Some("false")),
    ("transactional.id.expiration.ms", Int, Some("604800000")),
    ("unclean.leader.election.enable", Boolean, Some("false")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_knows_every_default_of_a_topic() {
        assert!(ROWS.is_sorted_by_key(|row| row.0));
        for definition in topic::DEFINITIONS {
            let Some(synonym) = definition.synonym else { continue };
            let found = find(synonym).expect(synonym);
            assert_eq!(found.kind, definition.kind, "{synonym}");
            assert!(is_dynamic(synonym), "{synonym}");
        }
    }

    #[test]
    fn every_fact_is_in_the_list() {
        for name in FACTS {
            assert!(find(name).is_some(), "{name}");
        }
        let options = BrokerOptions::new("data".into());
        let facts = facts(&options, &("localhost".to_owned(), 9092));
        assert!(facts.keys().eq(FACTS.iter()));
    }

    #[test]
    fn the_cleaners_rate_may_be_changed_and_is_without_a_limit_at_first() {
        assert!(is_dynamic(CLEANER_RATE));
        let definition = find(CLEANER_RATE).unwrap();
        let default: f64 = definition.default.unwrap().parse().unwrap();
        assert_eq!(cleaner_bytes_per_second(&BTreeMap::new()).to_bits(), default.to_bits());
        let set = BTreeMap::from([(CLEANER_RATE.to_owned(), "1048576".to_owned())]);
        assert_eq!(cleaner_bytes_per_second(&set).to_bits(), 1_048_576_f64.to_bits());
        assert_eq!(definition.check("1048576"), Ok(()));
        assert!(definition.check("0").is_err());
    }
}
