// Kafka Streams as a peer of our pipelines, and the programs that measure both from outside.
//
//   StreamsPeer load    bootstrap= in= records=                 fills the input: JSON of 105 bytes, 10,000 keys
//   StreamsPeer topics  bootstrap= names=a,b                    makes topics of 4 partitions
//   StreamsPeer run     bootstrap= in= out= group= task= state= a topology until it is told to end
//   StreamsPeer watch   bootstrap= group= in=                   how fast a group's commits come to the end
//   StreamsPeer probe   bootstrap= in= out= seconds=            from sending to the count that has come of it
//   StreamsPeer clean   bootstrap= name=                        deletes the topics that have the name in theirs
//
// What is measured prints one line of JSON. The two that measure print `ready` first and are then told the processes,
// application and broker, in a line: so nothing has run before somebody looks.
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.*;

public class StreamsPeer {
    static final int PARTITIONS = 4, KEYS = 10_000, RATE = 1_000, WARMUP_S = 5;
    static final Duration WINDOW = Duration.ofSeconds(10);
    /** Event time of the input: the last 200 seconds, from the begin of a window; what is older than a topic's retention is deleted. */
    static final long SPAN_MS = 200_000;
    /** Share of the input after which a run is warm and measured. */
    static final double MEASURED_FROM = 0.25;
    static final ObjectMapper JSON = new ObjectMapper();
    static final Map<String, String> WORDS = new HashMap<>();

    static String word(String name) {
        String value = WORDS.get(name);
        if (value == null) throw new IllegalArgumentException(name + "= is missing");
        return value;
    }

    public static void main(String[] words) throws Exception {
        for (String word : Arrays.asList(words).subList(1, words.length)) {
            String[] pair = word.split("=", 2);
            WORDS.put(pair[0], pair[1]);
        }
        switch (words[0]) {
            case "load" -> load();
            case "topics" -> topics(word("names").split(","));
            case "run" -> run();
            case "watch" -> watch();
            case "probe" -> probe();
            case "clean" -> clean();
            default -> throw new IllegalArgumentException(words[0]);
        }
        System.exit(0);
    }

    // Input and topics.

    static Admin admin() { return Admin.create(Map.<String, Object>of("bootstrap.servers", word("bootstrap"))); }

    static KafkaProducer<byte[], byte[]> producer(int lingerMs) {
        Map<String, Object> settings = Map.of("bootstrap.servers", word("bootstrap"), "acks", "all", "linger.ms", lingerMs,
            "batch.size", 262_144, "buffer.memory", 134_217_728L);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static void topics(String... names) throws Exception {
        try (Admin admin = admin()) {
            admin.createTopics(Arrays.stream(names).map(name -> new NewTopic(name, PARTITIONS, (short) 1)).toList()).all().get();
        }
    }

    static void clean() throws Exception {
        try (Admin admin = admin()) {
            List<String> found = admin.listTopics().names().get().stream().filter(name -> name.contains(word("name"))).toList();
            admin.deleteTopics(found).all().get();
        }
    }

    static byte[] key(int number) { return String.format(Locale.ROOT, "k%05d", number).getBytes(StandardCharsets.US_ASCII); }

    static byte[] reading(Random random, int key, int number) {
        double value = 100 + random.nextInt(9_000_000) / 10_000.0;
        return String.format(Locale.ROOT, "{\"sensor\":\"k%05d\",\"value\":%.4f,\"unit\":\"watt\",\"valid\":true,\"number\":%010d,\"room\":\"%s\",\"note\":\"abc\"}",
            key, value, 1_000_000_000 + number, "north-east").getBytes(StandardCharsets.US_ASCII);
    }

    static void load() throws Exception {
        int records = Integer.parseInt(word("records"));
        topics(word("in"));
        Random random = new Random(7);
        long bytes = 0, begin = System.currentTimeMillis() / WINDOW.toMillis() * WINDOW.toMillis() - SPAN_MS;
        try (var producer = producer(5)) {
            for (int number = 0; number < records; number++) {
                int key = random.nextInt(KEYS);
                byte[] value = reading(random, key, number);
                bytes += value.length;
                long at = begin + SPAN_MS * number / records;
                producer.send(new ProducerRecord<>(word("in"), null, at, key(key), value));
            }
        }
        System.out.printf(Locale.ROOT, "{\"records\":%d,\"bytes_per_value\":%.1f}%n", records, (double) bytes / records);
    }

    // The topologies: what each pipeline of ours does, every update going out.

    record Mean(double sum, long count) {}

    static final Serde<Mean> MEAN = Serdes.serdeFrom(
        (topic, mean) -> mean == null ? null : ByteBuffer.allocate(16).putDouble(mean.sum()).putLong(mean.count()).array(),
        (topic, bytes) -> bytes == null ? null : new Mean(ByteBuffer.wrap(bytes).getDouble(), ByteBuffer.wrap(bytes).getLong(8)));

    static ObjectNode tree(byte[] value) {
        try { return (ObjectNode) JSON.readTree(value); } catch (IOException error) { throw new UncheckedIOException(error); }
    }

    static byte[] bytes(ObjectNode tree) {
        try { return JSON.writeValueAsBytes(tree); } catch (IOException error) { throw new UncheckedIOException(error); }
    }

    static byte[] ascii(String text) { return text.getBytes(StandardCharsets.US_ASCII); }

    static Topology topology(String task) {
        StreamsBuilder builder = new StreamsBuilder();
        Serde<String> keys = Serdes.String();
        Serde<byte[]> values = Serdes.ByteArray();
        KStream<String, byte[]> input = builder.stream(word("in"), Consumed.with(keys, values));
        KStream<String, byte[]> output = switch (task) {
            case "forward" -> input;
            case "filter" -> input.filter((key, value) -> tree(value).get("value").doubleValue() > 500);
            case "sum" -> input.mapValues(value -> {
                ObjectNode tree = tree(value);
                return bytes(tree.put("value", tree.get("value").doubleValue() + 1.5));
            });
            case "count" -> input.groupByKey(Grouped.with(keys, values))
                .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withKeySerde(keys).withValueSerde(Serdes.Long()))
                .toStream().mapValues(count -> ascii("{\"count\":" + count + "}"));
            case "average" -> averages(input, keys, values);
            default -> throw new IllegalArgumentException(task);
        };
        output.to(word("out"), Produced.with(keys, values));
        return builder.build();
    }

    static KStream<String, byte[]> averages(KStream<String, byte[]> input, Serde<String> keys, Serde<byte[]> values) {
        Materialized<String, Mean, WindowStore<Bytes, byte[]>> store =
            Materialized.as(Stores.inMemoryWindowStore("means", WINDOW.multipliedBy(2), WINDOW, false));
        return input.groupByKey(Grouped.with(keys, values)).windowedBy(TimeWindows.ofSizeWithNoGrace(WINDOW))
            .aggregate(() -> new Mean(0, 0),
                (key, value, mean) -> new Mean(mean.sum() + tree(value).get("value").doubleValue(), mean.count() + 1),
                store.withKeySerde(keys).withValueSerde(MEAN))
            .toStream().map((key, mean) -> KeyValue.pair(key.key(), ascii("{\"average\":" + mean.sum() / mean.count()
                + ",\"count\":" + mean.count() + ",\"window_start\":" + key.window().start() + "}")));
    }

    static void run() throws Exception {
        Properties settings = new Properties();
        settings.putAll(Map.of("bootstrap.servers", word("bootstrap"), "application.id", word("group"), "state.dir", word("state"),
            "processing.guarantee", "exactly_once_v2", "num.stream.threads", 1, "commit.interval.ms", 100,
            "statestore.cache.max.bytes", 0, "replication.factor", 1, "auto.offset.reset", "earliest"));
        KafkaStreams streams = new KafkaStreams(topology(word("task")), settings);
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(3);
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(10));
            // Being told to end is how it ends well.
            Runtime.getRuntime().halt(0);
        }));
        streams.start();
        ended.await();
    }

    // From outside: the same programs look at both sides.

    /** Seconds of processor time of the processes so far. */
    static double spent(String[] pids) throws IOException {
        double seconds = 0;
        for (String pid : pids) {
            String stat = Files.readString(Path.of("/proc", pid, "stat"));
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            if (fields[0].equals("Z")) throw new IOException("process " + pid + " has ended");
            seconds += (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / 100.0;
        }
        return seconds;
    }

    /** Says that the application may begin now; hands back its process and the broker's. */
    static String[] begun() throws IOException {
        System.out.println("ready");
        return new java.io.BufferedReader(new java.io.InputStreamReader(System.in)).readLine().trim().split(",");
    }

    static List<TopicPartition> partitions(String topic) {
        return java.util.stream.IntStream.range(0, PARTITIONS).mapToObj(number -> new TopicPartition(topic, number)).toList();
    }

    static void watch() throws Exception {
        try (Admin admin = admin()) {
            Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
            partitions(word("in")).forEach(partition -> asked.put(partition, OffsetSpec.latest()));
            long all = admin.listOffsets(asked).all().get().values().stream().mapToLong(end -> end.offset()).sum();
            committed(admin);
            String[] pids = begun();
            long from = -1, fromNs = 0, seen = 0, seenNs = System.nanoTime();
            double fromSpent = 0;
            while (true) {
                long done = committed(admin), now = System.nanoTime();
                double spent = spent(pids);
                if (done > seen) { seen = done; seenNs = now; }
                if (now - seenNs > 60_000_000_000L) throw new IllegalStateException("stuck at " + done + " of " + all);
                if (from < 0 && done >= all * MEASURED_FROM) { from = done; fromNs = now; fromSpent = spent; }
                if (done >= all) {
                    double seconds = (now - fromNs) / 1e9;
                    // A run that was over between two looks has no rate.
                    if (all == from) throw new IllegalStateException("too few records to measure");
                    System.out.printf(Locale.ROOT, "{\"records_per_s\":%.1f,\"cpu_s_per_m\":%.4f,\"measured\":%d}%n",
                        (all - from) / seconds, (spent - fromSpent) / (all - from) * 1e6, all - from);
                    return;
                }
                LockSupport.parkNanos(20_000_000);
            }
        }
    }

    static long committed(Admin admin) throws Exception {
        try {
            var offsets = admin.listConsumerGroupOffsets(word("group")).partitionsToOffsetAndMetadata().get();
            return partitions(word("in")).stream().map(offsets::get).filter(Objects::nonNull).mapToLong(it -> it.offset()).sum();
        } catch (java.util.concurrent.ExecutionException error) {
            // Before its first commit a group need not exist.
            if (error.getCause() instanceof org.apache.kafka.common.errors.ApiException) return 0;
            throw error;
        }
    }

    /** Delays in nanoseconds of counts that have come; a count is known by its key and its number. */
    static final class Arrivals implements Runnable {
        final Map<String, Long> sent = new ConcurrentHashMap<>();
        final List<Long> delays = Collections.synchronizedList(new ArrayList<>());
        volatile boolean isOver;

        @Override public void run() {
            Map<String, Object> settings = Map.of("bootstrap.servers", word("bootstrap"), "isolation.level", "read_committed");
            try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
                consumer.assign(partitions(word("out")));
                consumer.seekToBeginning(partitions(word("out")));
                while (!isOver) {
                    var records = consumer.poll(Duration.ofMillis(50));
                    long now = System.nanoTime();
                    records.forEach(record -> {
                        String count = record.value().replaceAll("[^0-9]", "");
                        Long at = sent.remove(record.key() + " " + count);
                        if (at != null) delays.add(now - at);
                    });
                }
            }
        }
    }

    static void probe() throws Exception {
        int seconds = Integer.parseInt(word("seconds"));
        Arrivals arrivals = new Arrivals();
        Thread reader = new Thread(arrivals);
        reader.start();
        int[] counts = new int[KEYS];
        Random random = new Random(11);
        String[] pids = begun();
        try (var producer = producer(0)) {
            // The first count says that the pipeline runs; only then the load begins.
            send(producer, arrivals, counts, random, System.nanoTime());
            for (int look = 0; arrivals.delays.isEmpty(); look++) {
                spent(pids);
                if (look > 6_000) throw new IllegalStateException("no count has come within a minute");
                Thread.sleep(10);
            }
            long begin = System.nanoTime(), step = 1_000_000_000L / RATE;
            for (int number = 0; number < RATE * (WARMUP_S + seconds); number++) {
                if (number == RATE * WARMUP_S) arrivals.delays.clear();
                long due = begin + number * step;
                for (long left; (left = due - System.nanoTime()) > 0; ) LockSupport.parkNanos(left);
                send(producer, arrivals, counts, random, due);
            }
        }
        for (int look = 0; !arrivals.sent.isEmpty(); look++) {
            if (look > 1_000) throw new IllegalStateException(arrivals.sent.size() + " counts have not come");
            Thread.sleep(10);
        }
        arrivals.isOver = true;
        reader.join();
        long[] delays = arrivals.delays.stream().mapToLong(Long::longValue).sorted().toArray();
        System.out.printf(Locale.ROOT, "{\"records\":%d,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}%n", delays.length,
            at(delays, 0.5), at(delays, 0.99), at(delays, 1));
    }

    static void send(KafkaProducer<byte[], byte[]> producer, Arrivals arrivals, int[] counts, Random random, long due) {
        int key = random.nextInt(KEYS);
        arrivals.sent.put(new String(key(key), StandardCharsets.US_ASCII) + " " + ++counts[key], due);
        producer.send(new ProducerRecord<>(word("in"), key(key), reading(random, key, counts[key])));
    }

    static double at(long[] sorted, double share) {
        return sorted[(int) Math.min(sorted.length - 1L, (long) (sorted.length * share))] / 1e6;
    }
}
