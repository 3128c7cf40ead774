// The Java client: producer, consumer, groups, transactions, admin.
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.*;

public class Clients {
    static final Duration POLL = Duration.ofMillis(100);
    /** A minute ago: older records could fall to the topic's retention. */
    static final long RECENT = System.currentTimeMillis() - 60_000;

    static List<Suite.Case> cases() {
        List<Suite.Case> all = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
            all.add(new Suite.Case("java: produce " + codec, () -> roundTrip(Map.of("compression.type", codec))));
        all.add(new Suite.Case("java: produce without idempotence", () -> roundTrip(Map.of("enable.idempotence", false, "acks", "1"))));
        all.add(new Suite.Case("java: keys, headers and timestamps", Clients::facts));
        all.add(new Suite.Case("java: too large a record is refused", Clients::tooLarge));
        all.add(new Suite.Case("java: assign", Clients::assign));
        all.add(new Suite.Case("java: offsets for times", Clients::times));
        all.add(new Suite.Case("java: group", Clients::group));
        all.add(new Suite.Case("java: group rebalances", () -> rebalance("org.apache.kafka.clients.consumer.RangeAssignor")));
        all.add(new Suite.Case("java: group cooperative-sticky", () -> rebalance("org.apache.kafka.clients.consumer.CooperativeStickyAssignor")));
        all.add(new Suite.Case("java: static members", Clients::staticMember));
        all.add(new Suite.Case("java: transactions", Clients::transactions));
        all.add(new Suite.Case("java: transactions fence the older producer", Clients::fencing));
        all.add(new Suite.Case("java: transactions with offsets", Clients::consumeProcessProduce));
        all.add(new Suite.Case("java: admin topics", Clients::adminTopics));
        all.add(new Suite.Case("java: admin configs", Clients::adminConfigs));
        all.add(new Suite.Case("java: admin delete records", Clients::adminDeleteRecords));
        all.add(new Suite.Case("java: admin groups", Clients::adminGroups));
        all.add(new Suite.Case("java: admin cluster", Clients::adminCluster));
        return all;
    }

    // ---- the pieces ----
    static Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", Suite.bootstrap));
    }

    static String topic(int partitions) throws Exception {
        return topic(partitions, Map.of());
    }

    static String topic(int partitions, Map<String, String> configs) throws Exception {
        String name = Suite.unique("java");
        try (Admin admin = admin()) {
            admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all().get();
        }
        return name;
    }

    static KafkaProducer<String, String> producer(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", Suite.bootstrap, "linger.ms", 5));
        config.putAll(more);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group, Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", Suite.bootstrap, "enable.auto.commit", false, "auto.offset.reset", "earliest"));
        if (group != null) config.put("group.id", group);
        config.putAll(more);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static void produce(String topic, List<String> values, Map<String, Object> config) throws Exception {
        try (var producer = producer(config)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String value : values) sent.add(producer.send(new ProducerRecord<>(topic, 0, "k", value)));
            producer.flush();
            for (int i = 0; i < sent.size(); i++) Suite.equal(sent.get(i).get().offset(), (long) i, "offset");
        }
    }

    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> taken = new ArrayList<>();
        long end = System.nanoTime() + 20_000_000_000L;
        while (taken.size() < count) {
            consumer.poll(POLL).forEach(taken::add);
            if (System.nanoTime() > end) throw new AssertionError(taken.size() + " of " + count + " records within 20 s");
        }
        return taken;
    }

    static List<ConsumerRecord<String, String>> read(String topic, int count, long offset, Map<String, Object> config) {
        try (var consumer = consumer(null, config)) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seek(partition, offset);
            return take(consumer, count);
        }
    }

    /** How many committed records the topic's partitions hold, waiting for as many as are wanted. */
    static int committedCount(String topic, int partitions, int wanted) {
        try (var consumer = consumer(null, Map.of("isolation.level", "read_committed"))) {
            List<TopicPartition> all = IntStream.range(0, partitions).mapToObj(i -> new TopicPartition(topic, i)).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            return take(consumer, wanted).size();
        }
    }

    static List<String> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).toList();
    }

    static List<String> numbered(int count) {
        return IntStream.range(0, count).mapToObj(i -> i + ".".repeat(100)).toList();
    }

    // ---- the cases ----
    static void roundTrip(Map<String, Object> config) throws Exception {
        String topic = topic(1);
        produce(topic, numbered(2000), config);
        Suite.equal(values(read(topic, 2000, 0, Map.of())), numbered(2000), "values");
    }

    static void facts() throws Exception {
        String topic = topic(1);
        try (var producer = producer(Map.of())) {
            List<Header> headers = List.of(new RecordHeader("a", "1".getBytes(StandardCharsets.UTF_8)),
                new RecordHeader("b", (byte[]) null), new RecordHeader("a", new byte[0]));
            producer.send(new ProducerRecord<>(topic, 0, RECENT + 123, "k", "v", headers)).get();
            producer.send(new ProducerRecord<>(topic, 0, "k", null)).get();
        }
        var found = read(topic, 2, 0, Map.of());
        StringBuilder headers = new StringBuilder();
        found.get(0).headers().forEach(h -> headers.append(h.key()).append('=').append(h.value() == null ? "null" : new String(h.value())).append(';'));
        Suite.equal(headers.toString(), "a=1;b=null;a=;", "headers");
        Suite.equal(found.get(0).timestamp(), RECENT + 123, "timestamp");
        Suite.equal(found.get(1).value(), null, "tombstone");
    }

    static void tooLarge() throws Exception {
        String topic = topic(1, Map.of("max.message.bytes", "1000"));
        try (var producer = producer(Map.of())) {
            producer.send(new ProducerRecord<>(topic, "x".repeat(5000))).get();
            throw new AssertionError("the record was taken");
        } catch (ExecutionException error) {
            Suite.equal(error.getCause().getClass(), RecordTooLargeException.class, "error");
        }
    }

    static void assign() throws Exception {
        String topic = topic(1);
        produce(topic, numbered(500), Map.of());
        Suite.equal(values(read(topic, 100, 400, Map.of())), numbered(500).subList(400, 500), "from the middle");
        try (var consumer = consumer(null, Map.of())) {
            TopicPartition partition = new TopicPartition(topic, 0);
            Suite.equal(consumer.beginningOffsets(List.of(partition)).get(partition), 0L, "beginning");
            Suite.equal(consumer.endOffsets(List.of(partition)).get(partition), 500L, "end");
        }
    }

    static void times() throws Exception {
        String topic = topic(1);
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(topic, 0, RECENT + i * 1000, "k", "v")).get();
        }
        try (var consumer = consumer(null, Map.of())) {
            TopicPartition partition = new TopicPartition(topic, 0);
            var found = consumer.offsetsForTimes(Map.of(partition, RECENT + 3_500)).get(partition);
            Suite.equal(found.offset(), 4L, "offset");
            Suite.equal(found.timestamp(), RECENT + 4_000, "timestamp");
        }
    }

    static void group() throws Exception {
        String topic = topic(3), group = Suite.unique("group");
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 300; i++) producer.send(new ProducerRecord<>(topic, i % 3, null, Integer.toString(i)));
        }
        try (var first = consumer(group, Map.of())) {
            first.subscribe(List.of(topic));
            List<Integer> found = values(take(first, 300)).stream().map(Integer::valueOf).sorted().toList();
            Suite.equal(found, IntStream.range(0, 300).boxed().toList(), "values");
            Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
            for (TopicPartition partition : first.assignment()) positions.put(partition, new OffsetAndMetadata(first.position(partition), "a note"));
            first.commitSync(positions);
        }
        try (var producer = producer(Map.of())) {
            for (int i = 0; i < 3; i++) producer.send(new ProducerRecord<>(topic, i, null, "later"));
        }
        try (var second = consumer(group, Map.of())) {
            second.subscribe(List.of(topic));
            Suite.equal(values(take(second, 3)), List.of("later", "later", "later"), "values after the commit");
            var committed = second.committed(second.assignment());
            for (OffsetAndMetadata one : committed.values()) Suite.equal(one.metadata(), "a note", "metadata");
        }
    }

    static void rebalance(String assignor) throws Exception {
        String topic = topic(4), group = Suite.unique("group");
        Map<String, Object> config = Map.of("partition.assignment.strategy", assignor, "heartbeat.interval.ms", 300);
        List<KafkaConsumer<String, String>> members = new ArrayList<>(List.of(consumer(group, config), consumer(group, config)));
        for (var member : members) member.subscribe(List.of(topic));
        Suite.waitFor("each of two members has two partitions", () -> shares(members).equals(List.of(2, 2)));
        members.remove(1).close();
        Suite.waitFor("the one that stays has all four", () -> shares(members).equals(List.of(4)));
        members.remove(0).close();
    }

    static List<Integer> shares(List<KafkaConsumer<String, String>> members) {
        for (var member : members) member.poll(Duration.ofMillis(20));
        return members.stream().map(member -> member.assignment().size()).toList();
    }

    static void staticMember() throws Exception {
        String topic = topic(2), group = Suite.unique("group");
        produce(topic, List.of("a"), Map.of());
        for (int i = 0; i < 2; i++) {
            try (var member = consumer(group, Map.of("group.instance.id", "one"))) {
                member.subscribe(List.of(topic));
                Suite.equal(values(take(member, 1)), List.of("a"), "values");
            }
        }
    }

    static KafkaProducer<String, String> transactional(String identity) {
        var producer = producer(Map.of("transactional.id", identity, "transaction.timeout.ms", 30_000));
        producer.initTransactions();
        return producer;
    }

    static void transactions() throws Exception {
        String topic = topic(1);
        List<String> wanted = new ArrayList<>();
        try (var producer = transactional(Suite.unique("txn"))) {
            for (int i = 0; i < 6; i++) {
                producer.beginTransaction();
                for (String value : numbered(10)) {
                    producer.send(new ProducerRecord<>(topic, 0, "k", i + ":" + value)).get();
                    if (i % 2 == 0) wanted.add(i + ":" + value);
                }
                if (i % 2 == 0) producer.commitTransaction(); else producer.abortTransaction();
            }
        }
        Suite.equal(values(read(topic, 30, 0, Map.of("isolation.level", "read_committed"))), wanted, "read committed");
        Suite.equal(read(topic, 60, 0, Map.of("isolation.level", "read_uncommitted")).size(), 60, "read uncommitted");
    }

    static void fencing() throws Exception {
        String topic = topic(1), identity = Suite.unique("txn");
        var older = transactional(identity);
        older.beginTransaction();
        older.send(new ProducerRecord<>(topic, 0, "k", "lost")).get();
        var newer = transactional(identity);
        try {
            older.commitTransaction();
            throw new AssertionError("the older producer was not fenced");
        } catch (ProducerFencedException | InvalidProducerEpochException fenced) {
            // As it must be.
        }
        newer.beginTransaction();
        newer.send(new ProducerRecord<>(topic, 0, "k", "kept"));
        newer.commitTransaction();
        newer.close();
        older.close(Duration.ZERO);
        Suite.equal(values(read(topic, 1, 0, Map.of("isolation.level", "read_committed"))), List.of("kept"), "values");
    }

    static void consumeProcessProduce() throws Exception {
        String source = topic(1), target = topic(1), group = Suite.unique("group");
        produce(source, numbered(100), Map.of());
        TopicPartition partition = new TopicPartition(source, 0);
        try (var producer = transactional(Suite.unique("txn")); var consumer = consumer(group, Map.of("isolation.level", "read_committed"))) {
            consumer.subscribe(List.of(source));
            var taken = take(consumer, 100);
            for (boolean commit : new boolean[] {false, true}) {
                producer.beginTransaction();
                for (var record : taken) producer.send(new ProducerRecord<>(target, 0, record.key(), record.value())).get();
                producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(100)), consumer.groupMetadata());
                if (commit) producer.commitTransaction(); else producer.abortTransaction();
                var committed = consumer.committed(Set.of(partition)).get(partition);
                Suite.equal(committed == null ? null : committed.offset(), commit ? 100L : null, "committed offset");
            }
        }
        Suite.equal(values(read(target, 100, 0, Map.of("isolation.level", "read_committed"))), numbered(100), "values");
    }

    static void adminTopics() throws Exception {
        try (Admin admin = admin()) {
            String topic = topic(2);
            Suite.holds(admin.listTopics().names().get().contains(topic), "the topic is listed");
            var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            Suite.equal(described.partitions().size(), 2, "partitions");
            var byId = admin.describeTopics(org.apache.kafka.common.TopicCollection.ofTopicIds(List.of(described.topicId()))).allTopicIds().get();
            Suite.equal(byId.get(described.topicId()).name(), topic, "name by id");
            fails(admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all(), TopicExistsException.class);
            fails(admin.createTopics(List.of(new NewTopic("no/such name", 1, (short) 1))).all(), InvalidTopicException.class);
            admin.createTopics(List.of(new NewTopic(topic + "x", 1, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all().get();
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            Suite.waitFor("five partitions", () -> admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == 5);
            fails(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all(), InvalidPartitionsException.class);
            admin.deleteTopics(List.of(topic)).all().get();
            Suite.waitFor("the topic is gone", () -> !admin.listTopics().names().get().contains(topic));
            fails(admin.deleteTopics(List.of(topic)).all(), UnknownTopicOrPartitionException.class);
        }
    }

    static void fails(org.apache.kafka.common.KafkaFuture<?> future, Class<?> wanted) throws Exception {
        try {
            future.get();
        } catch (ExecutionException error) {
            Suite.equal(error.getCause().getClass(), wanted, "error");
            return;
        }
        throw new AssertionError("no " + wanted.getSimpleName());
    }

    static void adminConfigs() throws Exception {
        try (Admin admin = admin()) {
            String topic = topic(1, Map.of("retention.ms", "1234567"));
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            Config found = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            Suite.equal(found.get("retention.ms").value(), "1234567", "retention.ms");
            Suite.equal(found.get("retention.ms").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "source");
            Suite.equal(found.get("cleanup.policy").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG, "source of a default");
            var set = new AlterConfigOp(new ConfigEntry("retention.ms", "7654321"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(set))).all().get();
            Suite.waitFor("the new value", () -> "7654321".equals(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value()));
            var delete = new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(delete))).all().get();
            Suite.waitFor("the default again", () -> "604800000".equals(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value()));
            var wrong = new AlterConfigOp(new ConfigEntry("retention.ms", "soon"), AlterConfigOp.OpType.SET);
            fails(admin.incrementalAlterConfigs(Map.of(resource, List.of(wrong))).all(), InvalidConfigurationException.class);
        }
    }

    static void adminDeleteRecords() throws Exception {
        try (Admin admin = admin()) {
            String topic = topic(1);
            produce(topic, numbered(10), Map.of());
            TopicPartition partition = new TopicPartition(topic, 0);
            var deleted = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4))).lowWatermarks();
            Suite.equal(deleted.get(partition).get().lowWatermark(), 4L, "low watermark");
            Suite.equal(offset(admin, partition, OffsetSpec.earliest()), 4L, "earliest");
            Suite.equal(offset(admin, partition, OffsetSpec.latest()), 10L, "latest");
            fails(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(11))).all(), org.apache.kafka.common.errors.OffsetOutOfRangeException.class);
        }
    }

    static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    static void adminGroups() throws Exception {
        String topic = topic(1), group = Suite.unique("group");
        produce(topic, numbered(10), Map.of());
        TopicPartition partition = new TopicPartition(topic, 0);
        try (Admin admin = admin()) {
            try (var member = consumer(group, Map.of())) {
                member.subscribe(List.of(topic));
                take(member, 10);
                member.commitSync();
                var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                Suite.equal(described.groupState().toString(), "Stable", "state");
                Suite.equal(described.members().size(), 1, "members");
                fails(admin.deleteConsumerGroups(List.of(group)).all(), GroupNotEmptyException.class);
            }
            Suite.holds(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)), "the group is listed");
            Suite.equal(committed(admin, group, partition), 10L, "committed");
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3))).all().get();
            Suite.equal(committed(admin, group, partition), 3L, "moved");
            admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
            Suite.equal(committed(admin, group, partition), null, "deleted");
            admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(3))).all().get();
            admin.deleteConsumerGroups(List.of(group)).all().get();
            Suite.holds(admin.listGroups().all().get().stream().noneMatch(g -> g.groupId().equals(group)), "the group is gone");
            fails(admin.deleteConsumerGroups(List.of(group)).all(), GroupIdNotFoundException.class);
        }
    }

    static Long committed(Admin admin, String group, TopicPartition partition) throws Exception {
        var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition);
        return found == null ? null : (Long) found.offset();
    }

    static void adminCluster() throws Exception {
        try (Admin admin = admin()) {
            var cluster = admin.describeCluster();
            Suite.equal(cluster.nodes().get().size(), 1, "nodes");
            Suite.holds(!cluster.clusterId().get().isEmpty(), "there is a cluster id");
            String identity = Suite.unique("txn");
            var older = transactional(identity);
            admin.fenceProducers(List.of(identity)).all().get();
            try {
                older.beginTransaction();
                older.send(new ProducerRecord<>(topic(1), "v"));
                older.commitTransaction();
                throw new AssertionError("the producer was not fenced");
            } catch (KafkaException fenced) {
                older.close(Duration.ZERO);
            }
        }
    }
}
