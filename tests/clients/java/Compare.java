// The same raw requests to a broker and to Apache Kafka: their answers must be the same, error codes included.
//
//   Compare --bootstrap HOST:PORT --oracle HOST:PORT [--only TEXT]
//
// Prints `ok NAME` or `FAIL NAME` with the first differences per script, and exits 1 when one differs.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.*;
import java.util.*;
import java.util.stream.IntStream;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

public class Compare {
    interface Script { void run(Side side) throws Exception; }

    /** Recent, or markers that are written now would begin segments of their own. */
    static final long TIME = System.currentTimeMillis() - 60_000;
    static final int SHOWN_MAX = 40;
    static String run = UUID.randomUUID().toString().substring(0, 8);

    public static void main(String[] arguments) throws Exception {
        Map<String, String> given = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) given.put(arguments[i], arguments[i + 1]);
        String only = given.getOrDefault("--only", "");
        int passed = 0, count = 0;
        for (Map.Entry<String, Script> script : scripts().entrySet()) {
            if (!script.getKey().contains(only)) continue;
            count++;
            List<Side.Line> ours = play(script.getValue(), "ours", given.get("--bootstrap"));
            List<Side.Line> kafkas = play(script.getValue(), "kafka", given.get("--oracle"));
            if (report(script.getKey(), ours, kafkas)) passed++;
        }
        System.out.println(passed + " of " + count + " comparisons agree");
        System.exit(count > 0 && passed == count ? 0 : 1);
    }

    static List<Side.Line> play(Script script, String name, String bootstrap) throws Exception {
        try (Side side = new Side(name, bootstrap)) {
            try {
                script.run(side);
            } catch (Exception error) {
                side.note("the script ended", error.toString());
            }
            return side.lines;
        }
    }

    static boolean report(String name, List<Side.Line> ours, List<Side.Line> kafkas) {
        // The same difference in many versions is told once, with all of them.
        Map<String, List<String>> differences = new LinkedHashMap<>();
        for (int i = 0; i < Math.max(ours.size(), kafkas.size()); i++) {
            Side.Line our = i < ours.size() ? ours.get(i) : null, kafka = i < kafkas.size() ? kafkas.get(i) : null;
            if (our == null || kafka == null || !our.place().equals(kafka.place())) {
                differences.computeIfAbsent("the scripts part: ours " + our + ", Kafka's " + kafka, unknown -> new ArrayList<>());
                break;
            }
            for (String one : differences(our.answer(), kafka.answer(), "")) {
                String place = our.place().replaceAll(" v\\d+", "");
                one = one.replaceAll("\\d*-" + run, "");
                String version = our.place().replaceAll(".* (v\\d+).*", "$1");
                differences.computeIfAbsent(place + ": " + one, unknown -> new ArrayList<>()).add(version);
            }
        }
        System.out.println((differences.isEmpty() ? "ok " : "FAIL ") + "compare: " + name + " (" + kafkas.size() + " answers)");
        differences.entrySet().stream().limit(SHOWN_MAX).forEach(d -> System.out.println("    " + d.getKey() + " " + d.getValue()));
        if (differences.size() > SHOWN_MAX) System.out.println("    and " + (differences.size() - SHOWN_MAX) + " more");
        return differences.isEmpty();
    }

    /** Where two trees part. */
    static List<String> differences(JsonNode our, JsonNode kafka, String path) {
        if (our.equals(kafka)) return List.of();
        List<String> all = new ArrayList<>();
        if (our instanceof ObjectNode && kafka instanceof ObjectNode) {
            Set<String> names = new TreeSet<>();
            our.fieldNames().forEachRemaining(names::add);
            kafka.fieldNames().forEachRemaining(names::add);
            for (String name : names) {
                JsonNode left = our.path(name), right = kafka.path(name);
                all.addAll(differences(left, right, path + "." + name));
            }
        } else if (our instanceof ArrayNode && kafka instanceof ArrayNode && keyed(our) && keyed(kafka)) {
            Map<String, JsonNode> left = byName(our), right = byName(kafka);
            Set<String> names = new TreeSet<>(left.keySet());
            names.addAll(right.keySet());
            for (String name : names) all.addAll(differences(left.getOrDefault(name, MissingNode.getInstance()), right.getOrDefault(name, MissingNode.getInstance()), path + "[" + name + "]"));
        } else if (our instanceof ArrayNode && kafka instanceof ArrayNode && our.size() == kafka.size()) {
            for (int i = 0; i < our.size(); i++) all.addAll(differences(our.get(i), kafka.get(i), path + "[]"));
        } else {
            all.add(path + " ours " + our + ", Kafka's " + kafka);
        }
        return all;
    }

    static boolean keyed(JsonNode array) {
        if (array.isEmpty()) return false;
        for (JsonNode item : array) if (!item.has("name")) return false;
        return true;
    }

    static Map<String, JsonNode> byName(JsonNode array) {
        Map<String, JsonNode> all = new TreeMap<>();
        array.forEach(item -> all.put(item.get("name").asText(), item));
        return all;
    }

    static Map<String, Script> scripts() {
        Map<String, Script> all = new LinkedHashMap<>();
        all.put("unknown versions and keys", Compare::unknown);
        all.put("metadata", Compare::metadata);
        all.put("create, grow and delete topics", Compare::topics);
        all.put("produce", Compare::produce);
        all.put("produce, idempotent", Compare::idempotent);
        all.put("fetch", Compare::fetch);
        all.put("list offsets, epochs, delete records", Compare::offsets);
        all.put("find coordinator", Compare::coordinator);
        all.put("offsets of groups", Compare::groupOffsets);
        all.put("groups", Compare::groups);
        all.put("refused joins", Compare::refusedJoins);
        all.put("producer ids", Compare::producerIds);
        all.put("transactions", Compare::transactions);
        all.put("refused transactions", Compare::refusedTransactions);
        all.put("configs", Compare::configs);
        all.put("cluster and SASL", Compare::cluster);
        return all;
    }

    static String unique(String stem) { return stem + "-" + run; }

    static IntStream versions(int from, int to) { return IntStream.rangeClosed(from, to); }

    interface AtVersion { void run(int version) throws Exception; }

    static void each(int from, int to, AtVersion work) throws Exception {
        for (int version = from; version <= to; version++) work.run(version);
    }

    // ---- pieces ----
    static Uuid create(Side side, String name, int partitions, String... configs) throws Exception {
        var topic = new CreateTopicsRequestData.CreatableTopic().setName(name).setNumPartitions(partitions).setReplicationFactor((short) 1);
        for (int i = 0; i < configs.length; i += 2)
            topic.configs().add(new CreateTopicsRequestData.CreatableTopicConfig().setName(configs[i]).setValue(configs[i + 1]));
        var topics = new CreateTopicsRequestData.CreatableTopicCollection();
        topics.add(topic);
        var made = (CreateTopicsResponseData) side.ask("create", new CreateTopicsRequestData().setTopics(topics).setTimeoutMs(10_000), 7);
        for (int i = 0; i < 200; i++) {
            int before = side.lines.size();
            var found = (MetadataResponseData) side.ask("settle", new MetadataRequestData().setTopics(List.of(new MetadataRequestData.MetadataRequestTopic().setName(name)))
                .setAllowAutoTopicCreation(false), 9);
            side.lines.subList(before, side.lines.size()).clear();
            var first = found.topics().iterator().next();
            if (first.errorCode() == 0 && first.partitions().stream().allMatch(p -> p.leaderId() >= 0) && leads(side, name, partitions)) break;
            Thread.sleep(20);
        }
        return made.topics().iterator().next().topicId();
    }

    /** Whether the broker leads all partitions already: Kafka tells of leaders before they lead. */
    static boolean leads(Side side, String name, int partitions) throws Exception {
        int before = side.lines.size();
        boolean all = true;
        for (int i = 0; i < partitions; i++) {
            var found = (ListOffsetsResponseData) side.ask("leads", listing(name, i, -1), 5);
            all &= found.topics().get(0).partitions().get(0).errorCode() == 0;
        }
        side.lines.subList(before, side.lines.size()).clear();
        return all;
    }

    static MemoryRecords records(int count) {
        SimpleRecord[] all = IntStream.range(0, count).mapToObj(i -> new SimpleRecord(TIME + i, ("k" + i).getBytes(), ("v" + i).getBytes())).toArray(SimpleRecord[]::new);
        return MemoryRecords.withRecords(Compression.NONE, all);
    }

    static ProduceRequestData produceTo(String name, Uuid id, int version, int partition, MemoryRecords records) {
        var data = new ProduceRequestData.TopicProduceData().setPartitionData(List.of(new ProduceRequestData.PartitionProduceData().setIndex(partition).setRecords(records)));
        if (version >= 13) data.setTopicId(id); else data.setName(name);
        var topics = new ProduceRequestData.TopicProduceDataCollection();
        topics.add(data);
        return new ProduceRequestData().setAcks((short) -1).setTimeoutMs(10_000).setTopicData(topics);
    }

    // ---- scripts ----
    static void unknown(Side side) throws Exception {
        each(0, 4, v -> {
            var asked = new ApiVersionsRequestData();
            if (v >= 3) asked.setClientSoftwareName("compare").setClientSoftwareVersion("1");
            int before = side.lines.size();
            var answer = (ApiVersionsResponseData) side.ask("versions", asked, v);
            // What each side offers is its own; what both offer must be the same.
            side.lines.subList(before, side.lines.size()).clear();
            for (int key : new int[] {0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 32, 37, 42, 44, 47, 60}) {
                var one = answer.apiKeys().find((short) key);
                side.note("key " + key + " v" + v, (one == null ? "absent" : one.minVersion() + "-" + one.maxVersion()));
            }
        });
        byte[] header = {0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'x', 0, 2, 'x', 2, '1', 0};
        side.raw("versions v99", header);
        for (int[] wrong : new int[][] {{0, 2}, {1, 3}, {3, 50}, {99, 0}, {1000, 0}, {11, 77}, {-1, 0}})
            side.raw("key " + wrong[0] + " v" + wrong[1], new byte[] {(byte) (wrong[0] >> 8), (byte) wrong[0], 0, (byte) wrong[1], 0, 0, 0, 1, 0, 1, 'x'});
        side.raw("empty frame", new byte[0]);
        side.raw("torn header", new byte[] {0, 3, 0});
        side.raw("metadata without a body", new byte[] {0, 3, 0, 5, 0, 0, 0, 1, 0, 1, 'x'});
    }

    static void metadata(Side side) throws Exception {
        String name = unique("metadata");
        Uuid id = create(side, name, 2);
        each(0, 13, v -> {
            var asked = new MetadataRequestData().setTopics(List.of(new MetadataRequestData.MetadataRequestTopic().setName(name)));
            side.ask("known", asked, v);
            if (v >= 4) {
                var missing = List.of(new MetadataRequestData.MetadataRequestTopic().setName("nobody-" + run), new MetadataRequestData.MetadataRequestTopic().setName("bad name"),
                    new MetadataRequestData.MetadataRequestTopic().setName(""), new MetadataRequestData.MetadataRequestTopic().setName("x".repeat(250)));
                side.ask("missing", new MetadataRequestData().setTopics(missing).setAllowAutoTopicCreation(false), v);
                side.ask("none", new MetadataRequestData().setTopics(List.of()).setAllowAutoTopicCreation(false), v);
            }
            if (v >= 12) {
                side.ask("by id", new MetadataRequestData().setTopics(List.of(new MetadataRequestData.MetadataRequestTopic().setName(null).setTopicId(id))), v);
                side.ask("unknown id", new MetadataRequestData().setTopics(List.of(new MetadataRequestData.MetadataRequestTopic().setName(null).setTopicId(new Uuid(1, 2)))), v);
            }
            if (v >= 8) side.ask("operations", new MetadataRequestData().setTopics(asked.topics()).setIncludeTopicAuthorizedOperations(true), v);
        });
    }

    static CreateTopicsRequestData creating(CreateTopicsRequestData.CreatableTopic... topics) {
        var all = new CreateTopicsRequestData.CreatableTopicCollection();
        all.addAll(List.of(topics));
        return new CreateTopicsRequestData().setTopics(all).setTimeoutMs(10_000);
    }

    static CreateTopicsRequestData.CreatableTopic topic(String name, int partitions, int replicas) {
        return new CreateTopicsRequestData.CreatableTopic().setName(name).setNumPartitions(partitions).setReplicationFactor((short) replicas);
    }

    static CreateTopicsRequestData.CreatableTopic configured(String name, String key, String value) {
        var topic = topic(name, 1, 1);
        topic.configs().add(new CreateTopicsRequestData.CreatableTopicConfig().setName(key).setValue(value));
        return topic;
    }

    static void topics(Side side) throws Exception {
        each(2, 7, v -> {
            String name = unique("topics" + v);
            side.ask("validate", creating(topic(name, 3, 1)).setValidateOnly(true), v);
            side.ask("create", creating(topic(name, 3, 1)), v);
            side.ask("again", creating(topic(name, 3, 1)), v);
            side.ask("bad name", creating(topic("a/b", 1, 1)), v);
            side.ask("empty name", creating(topic("", 1, 1)), v);
            side.ask("dots", creating(topic("..", 1, 1)), v);
            side.ask("long name", creating(topic("x".repeat(250), 1, 1)), v);
            side.ask("no partitions", creating(topic(name + "a", 0, 1)), v);
            side.ask("three replicas", creating(topic(name + "b", 1, 3)), v);
            side.ask("no replicas", creating(topic(name + "c", 1, 0)), v);
            side.ask("negative", creating(topic(name + "d", -5, 1)), v);
            if (v >= 4) side.ask("defaults", creating(topic(name + "e", -1, -1)), v);
            side.ask("bad value", creating(configured(name + "f", "retention.ms", "soon")), v);
            side.ask("bad key", creating(configured(name + "g", "no.such.key", "1")), v);
            side.ask("bad policy", creating(configured(name + "h", "cleanup.policy", "burn")), v);
            side.ask("null value", creating(configured(name + "i", "retention.ms", null)), v);
            var assigned = topic(name + "j", -1, -1);
            assigned.assignments().add(new CreateTopicsRequestData.CreatableReplicaAssignment().setPartitionIndex(0).setBrokerIds(List.of(1)));
            side.ask("assigned", creating(assigned), v);
            var misplaced = topic(name + "k", -1, -1);
            misplaced.assignments().add(new CreateTopicsRequestData.CreatableReplicaAssignment().setPartitionIndex(0).setBrokerIds(List.of(77)));
            side.ask("assigned to nobody", creating(misplaced), v);
            side.ask("collides", creating(topic(name.replace('-', '.') + ".x", 1, 1)), v);
            side.ask("collides too", creating(topic(name.replace('-', '.') + "_x", 1, 1)), v);
            side.ask("configured", creating(configured(name + "l", "retention.ms", "1000")), v);
        });
        each(0, 3, v -> {
            String name = unique("grow" + v);
            create(side, name, 1);
            side.ask("grow", growing(name, 3, false), v);
            side.ask("same", growing(name, 3, false), v);
            side.ask("shrink", growing(name, 1, false), v);
            side.ask("validate", growing(name, 9, true), v);
            side.ask("missing", growing("nobody-" + run, 3, false), v);
            side.ask("negative", growing(name, -1, false), v);
        });
        each(1, 6, v -> {
            String name = unique("delete" + v);
            Uuid id = create(side, name, 1);
            side.ask("missing", deleting("nobody-" + run, null, v), v);
            if (v >= 6) {
                side.ask("by id", deleting(null, id, v), v);
                side.ask("unknown id", deleting(null, new Uuid(1, 2), v), v);
            } else {
                side.ask("delete", deleting(name, null, v), v);
            }
        });
    }

    static CreatePartitionsRequestData growing(String name, int count, boolean validate) {
        var topics = new CreatePartitionsRequestData.CreatePartitionsTopicCollection();
        topics.add(new CreatePartitionsRequestData.CreatePartitionsTopic().setName(name).setCount(count).setAssignments(null));
        return new CreatePartitionsRequestData().setTopics(topics).setTimeoutMs(10_000).setValidateOnly(validate);
    }

    static DeleteTopicsRequestData deleting(String name, Uuid id, int version) {
        var request = new DeleteTopicsRequestData().setTimeoutMs(10_000);
        if (version < 6) return request.setTopicNames(List.of(name));
        var state = new DeleteTopicsRequestData.DeleteTopicState().setName(name);
        return request.setTopics(List.of(id == null ? state : state.setTopicId(id)));
    }

    static void produce(Side side) throws Exception {
        String name = unique("produce"), compact = unique("compact"), small = unique("small");
        Uuid id = create(side, name, 1);
        Uuid compactId = create(side, compact, 1, "cleanup.policy", "compact");
        Uuid smallId = create(side, small, 1, "max.message.bytes", "200");
        each(3, 13, v -> {
            side.ask("fine", produceTo(name, id, v, 0, records(3)), v);
            side.ask("no such partition", produceTo(name, id, v, 9, records(3)), v);
            side.ask("no such topic", produceTo("nobody-" + run, new Uuid(1, 2), v, 0, records(3)), v);
            side.ask("no key", produceTo(compact, compactId, v, 0, MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(TIME, "v".getBytes()))), v);
            side.ask("too large", produceTo(small, smallId, v, 0, records(50)), v);
            side.ask("bad acks", produceTo(name, id, v, 0, records(1)).setAcks((short) 5), v);
            side.ask("acks 1", produceTo(name, id, v, 0, records(1)).setAcks((short) 1), v);
            MemoryRecords torn = records(2);
            torn.buffer().put(30, (byte) (torn.buffer().get(30) ^ 1));
            side.ask("bad checksum", produceTo(name, id, v, 0, torn), v);
            MemoryRecords old = records(2);
            old.buffer().put(16, (byte) 1);
            side.ask("magic 1", produceTo(name, id, v, 0, old), v);
            MemoryRecords cut = MemoryRecords.readableRecords(records(2).buffer().slice(0, 70));
            side.ask("cut", produceTo(name, id, v, 0, cut), v);
            side.ask("empty", produceTo(name, id, v, 0, MemoryRecords.EMPTY), v);
            var far = MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(System.currentTimeMillis() + 86_400_000L * 30, "k".getBytes(), "v".getBytes()));
            side.ask("far future", produceTo(name, id, v, 0, far), v);
        });
    }

    static MemoryRecords sequenced(long producer, int epoch, int sequence, int count) {
        SimpleRecord[] all = IntStream.range(0, count).mapToObj(i -> new SimpleRecord(TIME, "k".getBytes(), "v".getBytes())).toArray(SimpleRecord[]::new);
        return MemoryRecords.withIdempotentRecords(Compression.NONE, producer, (short) epoch, sequence, all);
    }

    static long producerId(Side side) throws Exception {
        var answer = (InitProducerIdResponseData) side.ask("id", new InitProducerIdRequestData().setTransactionalId(null).setTransactionTimeoutMs(60_000), 4);
        return answer.producerId();
    }

    static void idempotent(Side side) throws Exception {
        String name = unique("idempotent");
        Uuid id = create(side, name, 1);
        long producer = producerId(side);
        int v = 11;
        for (int i = 0; i < 7; i++) side.ask("in order " + i, produceTo(name, id, v, 0, sequenced(producer, 0, i * 2, 2)), v);
        for (int i = 1; i < 7; i++) side.ask("again " + i, produceTo(name, id, v, 0, sequenced(producer, 0, i * 2, 2)), v);
        side.ask("gap", produceTo(name, id, v, 0, sequenced(producer, 0, 20, 2)), v);
        side.ask("partly old", produceTo(name, id, v, 0, sequenced(producer, 0, 12, 5)), v);
        side.ask("newer epoch, wrong start", produceTo(name, id, v, 0, sequenced(producer, 1, 5, 1)), v);
        side.ask("newer epoch", produceTo(name, id, v, 0, sequenced(producer, 1, 0, 1)), v);
        side.ask("older epoch", produceTo(name, id, v, 0, sequenced(producer, 0, 14, 1)), v);
        side.ask("unknown producer", produceTo(name, id, v, 0, sequenced(producer + 1000, 0, 7, 1)), v);
        side.ask("after that", produceTo(name, id, v, 0, sequenced(producer + 1000, 0, 8, 1)), v);
    }

    static FetchRequestData fetching(String name, Uuid id, int version, int partition, long offset) {
        var one = new FetchRequestData.FetchPartition().setPartition(partition).setFetchOffset(offset).setPartitionMaxBytes(1 << 20);
        var topic = new FetchRequestData.FetchTopic().setPartitions(List.of(one));
        if (version >= 13) topic.setTopicId(id); else topic.setTopic(name);
        return new FetchRequestData().setMaxWaitMs(100).setMinBytes(0).setMaxBytes(1 << 20).setTopics(List.of(topic));
    }

    static void fetch(Side side) throws Exception {
        String name = unique("fetch");
        Uuid id = create(side, name, 1);
        for (int i = 0; i < 4; i++) side.ask("produce", produceTo(name, id, 9, 0, records(5)), 9);
        each(4, 18, v -> {
            for (long offset : new long[] {0, 7, 19, 20, 21, -1}) side.ask("from " + offset, fetching(name, id, v, 0, offset), v);
            side.ask("committed", fetching(name, id, v, 0, 0).setIsolationLevel((byte) 1), v);
            side.ask("no such partition", fetching(name, id, v, 5, 0), v);
            side.ask("no such topic", fetching("nobody-" + run, new Uuid(1, 2), v, 0, 0), v);
            var little = fetching(name, id, v, 0, 3).setMaxBytes(1);
            little.topics().get(0).partitions().get(0).setPartitionMaxBytes(1);
            side.ask("one byte", little, v);
            if (v >= 9) {
                var epoch = fetching(name, id, v, 0, 0);
                epoch.topics().get(0).partitions().get(0).setCurrentLeaderEpoch(0);
                side.ask("this epoch", epoch, v);
                epoch.topics().get(0).partitions().get(0).setCurrentLeaderEpoch(5);
                side.ask("later epoch", epoch, v);
            }
        });
    }

    static ListOffsetsRequestData listing(String name, int partition, long time) {
        var one = new ListOffsetsRequestData.ListOffsetsPartition().setPartitionIndex(partition).setTimestamp(time);
        return new ListOffsetsRequestData().setReplicaId(-1).setTopics(List.of(new ListOffsetsRequestData.ListOffsetsTopic().setName(name).setPartitions(List.of(one))));
    }

    static void offsets(Side side) throws Exception {
        String name = unique("offsets");
        Uuid id = create(side, name, 1);
        each(1, 10, v -> {
            side.ask("empty latest", listing(name, 0, -1), v);
            side.ask("empty time", listing(name, 0, TIME), v);
        });
        for (int i = 0; i < 4; i++) side.ask("produce", produceTo(name, id, 9, 0, records(5)), 9);
        each(1, 10, v -> {
            for (long time : new long[] {-1, -2, 0, TIME, TIME + 3, TIME + 4, TIME + 5}) side.ask("time " + time, listing(name, 0, time), v);
            if (v >= 7) side.ask("max timestamp", listing(name, 0, -3), v);
            if (v >= 8) side.ask("local", listing(name, 0, -4), v);
            side.ask("no such partition", listing(name, 5, -1), v);
            side.ask("no such topic", listing("nobody-" + run, 0, -1), v);
            if (v >= 2) side.ask("committed", listing(name, 0, -1).setIsolationLevel((byte) 1), v);
        });
        each(2, 4, v -> {
            for (int epoch : new int[] {0, 1, -1}) side.ask("epoch " + epoch, epochs(name, 0, epoch), v);
            side.ask("no such partition", epochs(name, 7, 0), v);
        });
        each(0, 2, v -> {
            side.ask("delete before", deleting(name, 0, 2 + v), v);
            side.ask("delete too much", deleting(name, 0, 999), v);
            side.ask("no such partition", deleting(name, 4, 0), v);
            side.ask("no such topic", deleting("nobody-" + run, 0, 0), v);
        });
        side.ask("delete all", deleting(name, 0, -1), 2);
        side.ask("earliest", listing(name, 0, -2), 9);
        side.ask("below the start", fetching(name, id, 12, 0, 3), 12);
    }

    static DeleteRecordsRequestData deleting(String name, int partition, long offset) {
        var one = new DeleteRecordsRequestData.DeleteRecordsPartition().setPartitionIndex(partition).setOffset(offset);
        var topic = new DeleteRecordsRequestData.DeleteRecordsTopic().setName(name).setPartitions(List.of(one));
        return new DeleteRecordsRequestData().setTopics(List.of(topic)).setTimeoutMs(10_000);
    }

    static OffsetForLeaderEpochRequestData epochs(String name, int partition, int epoch) {
        var one = new OffsetForLeaderEpochRequestData.OffsetForLeaderPartition().setPartition(partition).setLeaderEpoch(epoch);
        var topics = new OffsetForLeaderEpochRequestData.OffsetForLeaderTopicCollection();
        topics.add(new OffsetForLeaderEpochRequestData.OffsetForLeaderTopic().setTopic(name).setPartitions(List.of(one)));
        return new OffsetForLeaderEpochRequestData().setReplicaId(-1).setTopics(topics);
    }

    static void coordinator(Side side) throws Exception {
        warm(side);
        each(0, 6, v -> {
            for (int type = 0; type <= (v == 0 ? 0 : 1); type++) {
                var asked = new FindCoordinatorRequestData();
                if (v >= 1) asked.setKeyType((byte) type);
                if (v >= 4) asked.setCoordinatorKeys(List.of("a", "b")); else asked.setKey("a");
                side.ask("type " + type, asked, v);
            }
            if (v >= 1) {
                var odd = new FindCoordinatorRequestData().setKeyType((byte) 7);
                if (v >= 4) odd.setCoordinatorKeys(List.of("a")); else odd.setKey("a");
                side.ask("odd type", odd, v);
            }
            var empty = new FindCoordinatorRequestData();
            if (v >= 4) empty.setCoordinatorKeys(List.of("")); else empty.setKey("");
            side.ask("empty key", empty, v);
        });
    }

    /** Makes the coordinators' topics, which answer with COORDINATOR_NOT_AVAILABLE until they are there. */
    static void warm(Side side) throws Exception {
        for (byte type = 0; type < 2; type++) {
            for (int i = 0; i < 500; i++) {
                int before = side.lines.size();
                var found = (FindCoordinatorResponseData) side.ask("warm", new FindCoordinatorRequestData().setKeyType(type).setCoordinatorKeys(List.of("a")), 4);
                side.lines.subList(before, side.lines.size()).clear();
                if (found.coordinators().get(0).errorCode() == 0) break;
                Thread.sleep(20);
            }
        }
        for (int i = 0; i < 500; i++) {
            int before = side.lines.size();
            var beat = (HeartbeatResponseData) side.ask("warm", new HeartbeatRequestData().setGroupId("warm").setMemberId("x").setGenerationId(1), 3);
            var init = (InitProducerIdResponseData) side.ask("warm", new InitProducerIdRequestData().setTransactionalId("warm-" + run).setTransactionTimeoutMs(1000), 4);
            side.lines.subList(before, side.lines.size()).clear();
            if (beat.errorCode() == 25 && init.errorCode() == 0) return;
            Thread.sleep(20);
        }
    }

    static OffsetCommitRequestData committing(String group, String topic, Uuid id, int version, int partition, long offset, String metadata) {
        var one = new OffsetCommitRequestData.OffsetCommitRequestPartition().setPartitionIndex(partition).setCommittedOffset(offset).setCommittedMetadata(metadata);
        var t = new OffsetCommitRequestData.OffsetCommitRequestTopic().setPartitions(List.of(one));
        if (version >= 10) t.setTopicId(id); else t.setName(topic);
        return new OffsetCommitRequestData().setGroupId(group).setTopics(List.of(t));
    }

    static OffsetFetchRequestData fetchingOffsets(String group, String topic, Uuid id, int version, boolean all) {
        if (version < 8) {
            var request = new OffsetFetchRequestData().setGroupId(group);
            return request.setTopics(all ? null : List.of(new OffsetFetchRequestData.OffsetFetchRequestTopic().setName(topic).setPartitionIndexes(List.of(0, 1, 7))));
        }
        var one = new OffsetFetchRequestData.OffsetFetchRequestTopics().setPartitionIndexes(List.of(0, 1, 7));
        if (version >= 10) one.setTopicId(id); else one.setName(topic);
        var asked = new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId(group).setTopics(all ? null : List.of(one));
        return new OffsetFetchRequestData().setGroups(List.of(asked));
    }

    static void groupOffsets(Side side) throws Exception {
        warm(side);
        String name = unique("committed");
        Uuid id = create(side, name, 2);
        each(2, 10, v -> {
            String group = unique("group" + v);
            side.ask("commit", committing(group, name, id, v, 0, 5, "note"), v);
            side.ask("no such partition", committing(group, name, id, v, 9, 5, ""), v);
            side.ask("no such topic", committing(group, "nobody-" + run, new Uuid(1, 2), v, 0, 5, ""), v);
            side.ask("long note", committing(group, name, id, v, 1, 5, "x".repeat(5000)), v);
            side.ask("null note", committing(group, name, id, v, 1, 6, null), v);
            side.ask("unknown member", committing(group, name, id, v, 0, 7, "").setMemberId("nobody").setGenerationIdOrMemberEpoch(3), v);
            side.ask("empty group", committing("", name, id, v, 0, 7, ""), v);
        });
        String group = unique("group3");
        each(1, 10, v -> {
            side.ask("offsets", fetchingOffsets(group, name, id, v, false), v);
            if (v >= 2) side.ask("all offsets", fetchingOffsets(group, name, id, v, true), v);
            side.ask("unknown group", fetchingOffsets("nobody", name, id, v, false), v);
            side.ask("unknown topic", fetchingOffsets(group, "nobody-" + run, new Uuid(1, 2), v, false), v);
        });
        side.ask("delete offset", deletingOffset(group, name, 0), 0);
        side.ask("delete offset of no topic", deletingOffset(group, "nobody-" + run, 0), 0);
        side.ask("delete offset of no group", deletingOffset("nobody", name, 0), 0);
        side.ask("after", fetchingOffsets(group, name, id, 7, true), 7);
        each(0, 2, v -> {
            side.ask("delete group", new DeleteGroupsRequestData().setGroupsNames(List.of(unique("group" + (4 + v)), "nobody", "")), v);
        });
    }

    static OffsetDeleteRequestData deletingOffset(String group, String topic, int partition) {
        var topics = new OffsetDeleteRequestData.OffsetDeleteRequestTopicCollection();
        topics.add(new OffsetDeleteRequestData.OffsetDeleteRequestTopic().setName(topic)
            .setPartitions(List.of(new OffsetDeleteRequestData.OffsetDeleteRequestPartition().setPartitionIndex(partition))));
        return new OffsetDeleteRequestData().setGroupId(group).setTopics(topics);
    }

    static JoinGroupRequestData joining(String group, String member) {
        var protocols = new JoinGroupRequestData.JoinGroupRequestProtocolCollection();
        protocols.add(new JoinGroupRequestData.JoinGroupRequestProtocol().setName("range").setMetadata(new byte[] {0, 1, 0, 0, 0, 0, -1, -1, -1, -1}));
        return new JoinGroupRequestData().setGroupId(group).setMemberId(member).setSessionTimeoutMs(30_000).setRebalanceTimeoutMs(30_000)
            .setProtocolType("consumer").setProtocols(protocols);
    }

    static void groups(Side side) throws Exception {
        warm(side);
        each(0, 9, v -> {
            String group = unique("classic" + v);
            var joined = (JoinGroupResponseData) side.ask("join", joining(group, ""), v);
            if (joined.errorCode() == 79) joined = (JoinGroupResponseData) side.ask("join again", joining(group, joined.memberId()), v);
            String member = joined.memberId();
            int generation = joined.generationId();
            side.ask("describe joining", new DescribeGroupsRequestData().setGroups(List.of(group)), Math.min(v, 6));
            var assignment = new SyncGroupRequestData.SyncGroupRequestAssignment().setMemberId(member).setAssignment(new byte[] {0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
            var sync = new SyncGroupRequestData().setGroupId(group).setMemberId(member).setGenerationId(generation).setAssignments(List.of(assignment));
            if (v >= 5) sync.setProtocolType("consumer").setProtocolName("range");
            int syncVersion = Math.min(v, 5);
            if (syncVersion < 5) sync.setProtocolType(null).setProtocolName(null);
            side.ask("wrong generation", sync.duplicate().setGenerationId(generation + 5), syncVersion);
            side.ask("sync", sync, syncVersion);
            side.ask("sync again", sync, syncVersion);
            int beat = Math.min(v, 4);
            var heartbeat = new HeartbeatRequestData().setGroupId(group).setMemberId(member).setGenerationId(generation);
            side.ask("heartbeat", heartbeat, beat);
            side.ask("old heartbeat", heartbeat.duplicate().setGenerationId(generation - 1), beat);
            side.ask("stranger", heartbeat.duplicate().setMemberId("stranger"), beat);
            side.ask("delete while in use", new DeleteGroupsRequestData().setGroupsNames(List.of(group)), 2);
            side.ask("commit of a stranger", committing(group, unique("none"), Uuid.ZERO_UUID, 8, 0, 1, ""), 8);
            side.ask("join with another type", joining(group, "").setProtocolType("connect"), v);
            int leave = Math.min(v, 5);
            var leaving = new LeaveGroupRequestData().setGroupId(group);
            if (leave >= 3) leaving.setMembers(List.of(new LeaveGroupRequestData.MemberIdentity().setMemberId(member), new LeaveGroupRequestData.MemberIdentity().setMemberId("stranger")));
            else leaving.setMemberId(member);
            side.ask("leave", leaving, leave);
            side.ask("describe empty", new DescribeGroupsRequestData().setGroups(List.of(group, "nobody")), Math.min(v, 6));
            side.ask("heartbeat after leaving", heartbeat, beat);
        });
        each(0, 5, v -> {
            var all = new ListGroupsRequestData();
            if (v >= 4) all.setStatesFilter(List.of("NoSuchState"));
            if (v >= 4) side.ask("list by state", all, v);
        });
    }

    static void refusedJoins(Side side) throws Exception {
        warm(side);
        each(0, 9, v -> {
            String group = unique("refused" + v);
            side.ask("short session", joining(group, "").setSessionTimeoutMs(1), v);
            side.ask("long session", joining(group, "").setSessionTimeoutMs(999_999_999), v);
            side.ask("empty group", joining("", ""), v);
            side.ask("unknown member", joining(group, "stranger"), v);
            side.ask("no protocols", joining(group, "").setProtocols(new JoinGroupRequestData.JoinGroupRequestProtocolCollection()), v);
            side.ask("no type", joining(group, "").setProtocolType(""), v);
            if (v >= 5) {
                var fixed = (JoinGroupResponseData) side.ask("static", joining(unique("static" + v), "").setGroupInstanceId("one"), v);
                var again = (JoinGroupResponseData) side.ask("static again", joining(unique("static" + v), "").setGroupInstanceId("one"), v);
                side.ask("fenced", new HeartbeatRequestData().setGroupId(unique("static" + v)).setMemberId(fixed.memberId()).setGenerationId(fixed.generationId()).setGroupInstanceId("one"), 4);
                side.ask("unknown instance", new HeartbeatRequestData().setGroupId(unique("static" + v)).setMemberId(again.memberId()).setGenerationId(again.generationId()).setGroupInstanceId("two"), 4);
                side.ask("leave by instance", new LeaveGroupRequestData().setGroupId(unique("static" + v)).setMembers(List.of(new LeaveGroupRequestData.MemberIdentity().setGroupInstanceId("one"),
                    new LeaveGroupRequestData.MemberIdentity().setGroupInstanceId("two"))), 5);
            }
        });
        each(0, 5, v -> {
            var sync = new SyncGroupRequestData().setGroupId("nobody").setMemberId("x").setGenerationId(1);
            side.ask("sync of no group", sync, v);
            if (v <= 4) side.ask("heartbeat of no group", new HeartbeatRequestData().setGroupId("nobody").setMemberId("x").setGenerationId(1), v);
            var leave = new LeaveGroupRequestData().setGroupId("nobody");
            if (v >= 3) leave.setMembers(List.of(new LeaveGroupRequestData.MemberIdentity().setMemberId("x"))); else leave.setMemberId("x");
            side.ask("leave no group", leave, v);
        });
        each(0, 6, v -> side.ask("describe", new DescribeGroupsRequestData().setGroups(List.of("nobody", "")), v));
    }

    static void producerIds(Side side) throws Exception {
        warm(side);
        each(0, 5, v -> {
            side.ask("plain", new InitProducerIdRequestData().setTransactionalId(null).setTransactionTimeoutMs(1000), v);
            String identity = unique("identity" + v);
            var first = (InitProducerIdResponseData) side.ask("first", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(60_000), v);
            side.ask("second", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(60_000), v);
            side.ask("empty", new InitProducerIdRequestData().setTransactionalId("").setTransactionTimeoutMs(60_000), v);
            side.ask("too long a time", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(Integer.MAX_VALUE), v);
            side.ask("no time", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(0), v);
            if (v >= 3) {
                side.ask("older epoch", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(60_000).setProducerId(first.producerId()).setProducerEpoch((short) 0), v);
                side.ask("this epoch", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(60_000).setProducerId(first.producerId()).setProducerEpoch((short) 1), v);
                side.ask("another id", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(60_000).setProducerId(first.producerId() + 5555).setProducerEpoch((short) 1), v);
            }
        });
    }

    static AddPartitionsToTxnRequestData adding(String identity, long producer, int epoch, String topic, int... partitions) {
        var topics = new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopicCollection();
        topics.add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic().setName(topic).setPartitions(Arrays.stream(partitions).boxed().toList()));
        return new AddPartitionsToTxnRequestData().setV3AndBelowTransactionalId(identity).setV3AndBelowProducerId(producer)
            .setV3AndBelowProducerEpoch((short) epoch).setV3AndBelowTopics(topics);
    }

    static EndTxnRequestData ending(String identity, long producer, int epoch, boolean commit) {
        return new EndTxnRequestData().setTransactionalId(identity).setProducerId(producer).setProducerEpoch((short) epoch).setCommitted(commit);
    }

    static MemoryRecords transactional(long producer, int epoch, int sequence) {
        return MemoryRecords.withTransactionalRecords(Compression.NONE, producer, (short) epoch, sequence, new SimpleRecord(TIME, "k".getBytes(), "v".getBytes()));
    }

    static void transactions(Side side) throws Exception {
        warm(side);
        String name = unique("transactions"), group = unique("txn-group");
        Uuid id = create(side, name, 2);
        String identity = unique("txn");
        var init = (InitProducerIdResponseData) side.ask("init", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(60_000), 4);
        long producer = init.producerId();
        int epoch = init.producerEpoch();
        for (int i = 0; i < 4; i++) {
            boolean commit = i % 2 == 0;
            side.ask("add", adding(identity, producer, epoch, name, 0, 1), i);
            side.ask("produce", produceTo(name, id, 11, 0, transactional(producer, epoch, i)).setTransactionalId(identity), 11);
            var offsets = new AddOffsetsToTxnRequestData().setTransactionalId(identity).setProducerId(producer).setProducerEpoch((short) epoch).setGroupId(group);
            side.ask("add offsets", offsets, i);
            side.ask("commit offsets", committing(identity, group, producer, epoch, name, 10 + i), i);
            side.ask("hidden offsets", fetchingOffsets(group, name, id, 7, false).setRequireStable(true), 7);
            side.ask("hidden records", listing(name, 0, -1).setIsolationLevel((byte) 1), 7);
            side.ask("end", ending(identity, producer, epoch, commit), i);
            for (int tries = 0; tries < 300; tries++) {
                int before = side.lines.size();
                var again = (EndTxnResponseData) side.ask("wait", ending(identity, producer, epoch, commit), 3);
                side.lines.subList(before, side.lines.size()).clear();
                if (again.errorCode() != 51) break;
                Thread.sleep(10);
            }
            settle(side, group, name, id);
            side.ask("offsets", fetchingOffsets(group, name, id, 7, false).setRequireStable(true), 7);
            side.ask("records", fetching(name, id, 12, 0, 0).setIsolationLevel((byte) 1), 12);
        }
    }

    static void settle(Side side, String group, String name, Uuid id) throws Exception {
        for (int tries = 0; tries < 300; tries++) {
            int before = side.lines.size();
            var offsets = (OffsetFetchResponseData) side.ask("wait", fetchingOffsets(group, name, id, 7, false).setRequireStable(true), 7);
            var stable = (ListOffsetsResponseData) side.ask("wait", listing(name, 0, -1).setIsolationLevel((byte) 1), 7);
            var latest = (ListOffsetsResponseData) side.ask("wait", listing(name, 0, -1), 7);
            side.lines.subList(before, side.lines.size()).clear();
            boolean done = offsets.topics().get(0).partitions().get(0).errorCode() == 0
                && stable.topics().get(0).partitions().get(0).offset() == latest.topics().get(0).partitions().get(0).offset();
            if (done) return;
            Thread.sleep(10);
        }
    }

    static TxnOffsetCommitRequestData committing(String identity, String group, long producer, int epoch, String topic, long offset) {
        var one = new TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition().setPartitionIndex(0).setCommittedOffset(offset).setCommittedMetadata("");
        return new TxnOffsetCommitRequestData().setTransactionalId(identity).setGroupId(group).setProducerId(producer).setProducerEpoch((short) epoch)
            .setTopics(List.of(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic().setName(topic).setPartitions(List.of(one))));
    }

    static void refusedTransactions(Side side) throws Exception {
        warm(side);
        String name = unique("refused");
        Uuid id = create(side, name, 1);
        String identity = unique("refused-txn");
        var init = (InitProducerIdResponseData) side.ask("init", new InitProducerIdRequestData().setTransactionalId(identity).setTransactionTimeoutMs(60_000), 4);
        long producer = init.producerId();
        int epoch = init.producerEpoch();
        each(0, 3, v -> {
            side.ask("unknown identity", adding("nobody", producer, epoch, name, 0), v);
            side.ask("wrong producer", adding(identity, producer + 1, epoch, name, 0), v);
            side.ask("wrong epoch", adding(identity, producer, epoch + 3, name, 0), v);
            side.ask("unknown topic", adding(identity, producer, epoch, "nobody-" + run, 0), v);
            side.ask("unknown partition", adding(identity, producer, epoch, name, 0, 9), v);
            side.ask("empty identity", adding("", producer, epoch, name, 0), v);
            side.ask("end of nothing", ending(identity, producer, epoch, true), v);
            side.ask("abort of nothing", ending(identity, producer, epoch, false), v);
            side.ask("end by a stranger", ending("nobody", producer, epoch, true), v);
            side.ask("end with a wrong epoch", ending(identity, producer, epoch + 1, true), v);
            side.ask("offsets of a stranger", new AddOffsetsToTxnRequestData().setTransactionalId("nobody").setProducerId(producer).setProducerEpoch((short) epoch).setGroupId("g"), v);
        });
        side.ask("produce outside", produceTo(name, id, 11, 0, transactional(producer, epoch, 0)).setTransactionalId(identity), 11);
        side.ask("produce of a stranger", produceTo(name, id, 11, 0, transactional(producer + 77, 0, 0)).setTransactionalId("nobody"), 11);
        side.ask("transactional without identity", produceTo(name, id, 11, 0, transactional(producer, epoch, 0)), 11);
        each(0, 4, v -> side.ask("offsets with a wrong epoch", committing(identity, unique("g"), producer, epoch + 9, name, 1), v));
    }

    static DescribeConfigsRequestData describing(int type, String name, List<String> keys) {
        return new DescribeConfigsRequestData().setResources(List.of(new DescribeConfigsRequestData.DescribeConfigsResource()
            .setResourceType((byte) type).setResourceName(name).setConfigurationKeys(keys)));
    }

    static IncrementalAlterConfigsRequestData altering(int type, String resource, String key, int operation, String value) {
        var changes = new IncrementalAlterConfigsRequestData.AlterableConfigCollection();
        changes.add(new IncrementalAlterConfigsRequestData.AlterableConfig().setName(key).setConfigOperation((byte) operation).setValue(value));
        var resources = new IncrementalAlterConfigsRequestData.AlterConfigsResourceCollection();
        resources.add(new IncrementalAlterConfigsRequestData.AlterConfigsResource().setResourceType((byte) type).setResourceName(resource).setConfigs(changes));
        return new IncrementalAlterConfigsRequestData().setResources(resources);
    }

    static void configs(Side side) throws Exception {
        String name = unique("configs");
        create(side, name, 1, "retention.ms", "1000");
        each(1, 4, v -> {
            side.ask("all", describing(2, name, null), v);
            side.ask("some", describing(2, name, List.of("retention.ms", "cleanup.policy", "no.such.key")), v);
            side.ask("synonyms", describing(2, name, null).setIncludeSynonyms(true), v);
            side.ask("missing", describing(2, "nobody-" + run, null), v);
            side.ask("odd type", describing(99, "x", null), v);
            side.ask("unknown broker", describing(4, "77", List.of()), v);
        });
        each(0, 1, v -> {
            side.ask("set", altering(2, name, "retention.ms", 0, "2000"), v);
            side.ask("append", altering(2, name, "cleanup.policy", 2, "compact"), v);
            side.ask("subtract", altering(2, name, "cleanup.policy", 3, "delete"), v);
            side.ask("append to a number", altering(2, name, "retention.ms", 2, "1"), v);
            side.ask("bad value", altering(2, name, "retention.ms", 0, "soon"), v);
            side.ask("bad key", altering(2, name, "no.such.key", 0, "1"), v);
            side.ask("null", altering(2, name, "retention.ms", 0, null), v);
            side.ask("missing", altering(2, "nobody-" + run, "retention.ms", 0, "1"), v);
            side.ask("validate", altering(2, name, "retention.ms", 0, "5").setValidateOnly(true), v);
            Thread.sleep(200);
            side.ask("after", describing(2, name, List.of("retention.ms", "cleanup.policy")), 4);
            side.ask("delete", altering(2, name, "retention.ms", 1, null), v);
            side.ask("delete", altering(2, name, "cleanup.policy", 1, null), v);
            Thread.sleep(200);
            side.ask("after", describing(2, name, List.of("retention.ms", "cleanup.policy")), 4);
        });
    }

    static void cluster(Side side) throws Exception {
        each(0, 2, v -> side.ask("cluster", new DescribeClusterRequestData(), v));
        side.ask("controllers", new DescribeClusterRequestData().setEndpointType((byte) 2), 1);
        each(0, 1, v -> side.ask("sasl", new SaslHandshakeRequestData().setMechanism("PLAIN"), v));
        each(0, 2, v -> side.ask("authenticate", new SaslAuthenticateRequestData().setAuthBytes(new byte[] {1}), v));
    }
}
