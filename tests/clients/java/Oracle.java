// The same records through a pipeline of Millstream and through Kafka Streams: what is committed must be the same.
//
//   Oracle --bootstrap HOST:PORT --program MILLSTREAM --scratch FOLDER [--seed N] [--only TEXT]
//
// Prints `ok NAME` or `FAIL NAME` with the first difference per case, and exits 1 when one differs.
import com.fasterxml.jackson.databind.*;
import java.nio.file.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.TimeUnit;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.Stores;

public class Oracle {
    static final int PARTITIONS = 4, KEYS = 40, RECORDS = 6_000;
    /** Records are this far apart in event time, and come up to so much later than they should. */
    static final long STEP_MS = 20, DISORDER_MS = 6_000;
    /** Windows close in the middle of the disorder, so that some records are late. */
    static final long SIZE_MS = 5_000, EVERY_MS = 2_000, GRACE_MS = 1_500;
    static final long WAIT_SECONDS_MAX = 60;
    static final ObjectMapper JSON = new ObjectMapper();

    /** A topology, the task that should do the same, and how its results are made comparable. */
    record Case(String name, String tasks, Work topology, Reading ours) {}
    interface Work { void build(KStream<String, String> source, String target); }
    interface Reading { String text(String value) throws Exception; }

    static String program;
    static Random random;

    public static void main(String[] arguments) throws Exception {
        Map<String, String> given = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) given.put(arguments[i], arguments[i + 1]);
        Suite.bootstrap = given.get("--bootstrap");
        Suite.scratch = Path.of(given.get("--scratch"));
        Files.createDirectories(Suite.scratch);
        program = given.get("--program");
        String only = given.getOrDefault("--only", "");
        long seed = Long.parseLong(given.getOrDefault("--seed", "1"));
        int passed = 0, count = 0;
        for (Case one : cases()) {
            if (!one.name().contains(only)) continue;
            count++;
            random = new Random(seed);
            String difference;
            try {
                difference = check(one);
            } catch (Exception | AssertionError error) {
                difference = error.toString().replace("\n", " ");
            }
            System.out.println((difference == null ? "ok " : "FAIL ") + "streams: " + one.name() + (difference == null ? "" : ": " + difference + " (seed " + seed + ")"));
            if (difference == null) passed++;
        }
        System.out.println(passed + " of " + count + " pipelines give what Kafka Streams gives");
        System.exit(count > 0 && passed == count ? 0 : 1);
    }

    static List<Case> cases() {
        Reading count = value -> JSON.readTree(value).get("count").asText();
        Reading window = value -> window(JSON.readTree(value));
        return List.of(
            new Case("running count", work("type: count"), Oracle::count, count),
            new Case("filter, then count", "[{ id: high, type: filter, where: v >= 50, to: work }, { id: work, type: count, to: sink }]", Oracle::filteredCount, count),
            new Case("tumbling count with grace", work("type: count, window: 5s, grace: 1500ms"), (source, target) -> windows(source, target, TimeWindows.ofSizeAndGrace(Duration.ofMillis(SIZE_MS), Duration.ofMillis(GRACE_MS)), false),
                value -> onlyCount(JSON.readTree(value))),
            new Case("tumbling average with grace", work("type: average, value: v, window: 5s, grace: 1500ms"), (source, target) -> windows(source, target, TimeWindows.ofSizeAndGrace(Duration.ofMillis(SIZE_MS), Duration.ofMillis(GRACE_MS)), true), window),
            new Case("hopping average with grace", work("type: average, value: v, window: { size: 5s, every: 2s }, grace: 1500ms"),
                (source, target) -> windows(source, target, TimeWindows.ofSizeAndGrace(Duration.ofMillis(SIZE_MS), Duration.ofMillis(GRACE_MS)).advanceBy(Duration.ofMillis(EVERY_MS)), true), window));
    }

    static String work(String words) {
        return "[{ id: work, " + words + ", to: sink }]";
    }

    /** Null when both agree, else the first difference. */
    static String check(Case one) throws Exception {
        String name = Suite.unique("oracle"), source = name + "-in", ours = name + "-ours", theirs = name + "-theirs";
        try (Admin admin = Clients.admin()) {
            admin.createTopics(Stream.of(source, ours, theirs).map(t -> new NewTopic(t, PARTITIONS, (short) 1)).toList()).all().get();
        }
        produce(source);
        streams(one, name, source, theirs);
        millstream(one, name, source, ours);
        Map<String, List<String>> wanted = results(theirs, value -> value), found = results(ours, one.ours());
        if (wanted.isEmpty()) return "Kafka Streams gave nothing";
        for (String key : new TreeSet<>(Stream.concat(wanted.keySet().stream(), found.keySet().stream()).toList())) {
            List<String> left = found.getOrDefault(key, List.of()), right = wanted.getOrDefault(key, List.of());
            for (int i = 0; i < Math.max(left.size(), right.size()); i++) {
                String our = i < left.size() ? left.get(i) : "nothing", their = i < right.size() ? right.get(i) : "nothing";
                if (!our.equals(their)) return key + ", result " + i + ": ours " + our + ", Kafka Streams' " + their;
            }
        }
        return null;
    }

    /** Times that go on with jumps back: some within the grace, some beyond it. */
    static void produce(String topic) throws Exception {
        long began = System.currentTimeMillis() / 60_000 * 60_000 - 600_000;
        try (var producer = Clients.producer(Map.of())) {
            for (int i = 0; i < RECORDS; i++) {
                long late = random.nextInt(4) == 0 ? (long) (random.nextDouble() * DISORDER_MS) : 0;
                String key = "k" + random.nextInt(KEYS);
                producer.send(new ProducerRecord<>(topic, null, began + i * STEP_MS - late, key, "{\"v\":" + random.nextInt(100) + "}"));
            }
        }
    }

    // ---- Kafka Streams ----
    static void count(KStream<String, String> source, String target) {
        source.groupByKey().count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withCachingDisabled()
            .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long())).toStream().mapValues(n -> Long.toString(n)).to(target);
    }

    static void filteredCount(KStream<String, String> source, String target) {
        count(source.filter((key, value) -> number(value) >= 50), target);
    }

    static void windows(KStream<String, String> source, String target, TimeWindows windows, boolean averages) {
        var grouped = source.groupByKey().windowedBy(windows);
        var store = Materialized.<String, String>as(Stores.inMemoryWindowStore("windows", Duration.ofMinutes(30), Duration.ofMillis(SIZE_MS), false))
            .withKeySerde(Serdes.String()).withValueSerde(Serdes.String()).withCachingDisabled();
        var sums = grouped.aggregate(() -> "0 0", (key, value, sum) -> {
            String[] parts = sum.split(" ");
            return (Long.parseLong(parts[0]) + number(value)) + " " + (Long.parseLong(parts[1]) + 1);
        }, store);
        sums.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded())).toStream((window, sum) -> window.key() + "@" + window.window().start())
            .map((key, sum) -> {
                String[] parts = sum.split(" "), at = key.split("@");
                long total = Long.parseLong(parts[0]), count = Long.parseLong(parts[1]), start = Long.parseLong(at[1]);
                return KeyValue.pair(at[0], text(averages ? total / (double) count : -1, count, start, start + SIZE_MS));
            }).to(target);
    }

    static long number(String value) {
        try {
            return JSON.readTree(value).get("v").asLong();
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    static void streams(Case one, String name, String source, String target) throws Exception {
        Properties settings = Streams.settings();
        settings.put("application.id", name);
        settings.put("default.key.serde", Serdes.StringSerde.class);
        settings.put("default.value.serde", Serdes.StringSerde.class);
        StreamsBuilder builder = new StreamsBuilder();
        one.topology().build(builder.stream(source), target);
        try (KafkaStreams streams = new KafkaStreams(builder.build(), settings); Admin admin = Clients.admin()) {
            streams.start();
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS_MAX);
            while (committed(admin, name, source) < RECORDS) {
                if (System.nanoTime() > end) throw new AssertionError("Kafka Streams has not come to the end of its input");
                Thread.sleep(50);
            }
            streams.close(Duration.ofSeconds(20));
        }
    }

    static long committed(Admin admin, String group, String source) throws Exception {
        var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        return offsets.entrySet().stream().filter(e -> e.getKey().topic().equals(source) && e.getValue() != null).mapToLong(e -> e.getValue().offset()).sum();
    }

    // ---- Millstream ----
    static void millstream(Case one, String name, String source, String target) throws Exception {
        Path file = Suite.scratch.resolve(name + ".yaml");
        Files.writeString(file, "version: 1\nname: " + name + "\npartitions: " + PARTITIONS + "\nsource: { topic: " + source + ", max_out_of_order: 0s }\n"
            + "tasks: " + one.tasks() + "\nsink: { kafka: { topic: " + target + " } }\n");
        Process process = new ProcessBuilder(program, "run", file.toString(), "-b", Suite.bootstrap, "--until-end", "--plain")
            .directory(Suite.scratch.toFile()).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes());
        if (process.waitFor() != 0) throw new AssertionError("millstream run ended with " + process.exitValue() + ": " + said);
    }

    static String window(JsonNode value) {
        return text(value.get("average").asDouble(), value.get("count").asLong(), time(value, "window_start"), time(value, "window_end"));
    }

    static String onlyCount(JsonNode value) {
        return text(-1, value.get("count").asLong(), time(value, "window_start"), time(value, "window_end"));
    }

    static long time(JsonNode value, String name) {
        return Instant.parse(value.get(name).asText()).toEpochMilli();
    }

    static String text(double average, long count, long start, long end) {
        return String.format(Locale.ROOT, "%d to %d: %d records, average %.9f", start, end, count, average);
    }

    // ---- what was committed ----
    static Map<String, List<String>> results(String topic, Reading reading) throws Exception {
        Map<String, List<String>> results = new TreeMap<>();
        try (var consumer = Clients.consumer(null, Map.of("isolation.level", "read_committed"))) {
            List<TopicPartition> all = IntStream.range(0, PARTITIONS).mapToObj(p -> new TopicPartition(topic, p)).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_SECONDS_MAX);
            while (all.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                if (System.nanoTime() > end) throw new AssertionError(topic + " cannot be read to its end");
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    results.computeIfAbsent(record.key(), key -> new ArrayList<>()).add(reading.text(record.value()));
                }
            }
        }
        return results;
    }
}
