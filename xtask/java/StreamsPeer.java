// Kafka Streams as a peer of our pipelines, and the programs that measure both from outside.
//
//   StreamsPeer load     bootstrap= in= records=       fills the input: JSON of 116 bytes, 10,000 keys
//   StreamsPeer keys     bootstrap= in= records= keys= fills an input with small records, each key once, then again
//   StreamsPeer topics   bootstrap= names=a,b          makes topics of 4 partitions
//   StreamsPeer run      bootstrap= in= out= group= task= threads= store= session= state=
//                                                      a topology until it is told to end
//   StreamsPeer watch    bootstrap= group= in= out= until=
//                                                      makes the topic of results; how fast a group's commits come to
//                                                      the end, or to so many
//   StreamsPeer verify   bootstrap= out= task= records= keys=
//                                                      whether each result is there once and in the order of its key
//   StreamsPeer probe    bootstrap= in= out= seconds=  from sending to the count that has come of it
//   StreamsPeer first    bootstrap= in= out= group=    from the start of an application to its first new counts
//   StreamsPeer failover bootstrap= in= out= group= keys= members=
//                                                      from a death to the next count of each partition
//   StreamsPeer clean    bootstrap= name=              deletes the topics that have the name in theirs
//
// What is measured prints one line of JSON. Those that measure print `ready` first and are then told the processes,
// application and broker, in a line: so nothing has run before somebody looks. `failover` prints `kill` when all is
// in place, and waits for a line that says that it has been done.
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
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.common.utils.Utils;
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

    static int number(String name) { return Integer.parseInt(word(name)); }

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
            case "keys" -> keys();
            case "topics" -> topics(word("names").split(","));
            case "run" -> run();
            case "watch" -> watch();
            case "verify" -> verify();
            case "probe" -> probe();
            case "first" -> first();
            case "failover" -> failover();
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

    /** Keys in an order that is none: neither side finds them sorted. */
    static int place(int number, int keys) { return (int) (number % keys * 7_368_787L % keys); }

    /** `k` and nine digits. */
    static byte[] smallKey(int number) {
        byte[] key = new byte[10];
        key[0] = 'k';
        for (int at = 9; at > 0; at--, number /= 10) key[at] = (byte) ('0' + number % 10);
        return key;
    }

    static final byte[] SMALL = ascii("{\"value\":1}");

    static int partition(byte[] key) { return Utils.toPositive(Utils.murmur2(key)) % PARTITIONS; }

    static void keys() throws Exception {
        topics(word("in"));
        sendKeys(number("records"), number("keys"));
        System.out.printf(Locale.ROOT, "{\"records\":%d}%n", number("records"));
    }

    static void sendKeys(int records, int keys) {
        try (var producer = producer(5)) {
            for (int number = 0; number < records; number++) {
                producer.send(new ProducerRecord<>(word("in"), smallKey(place(number, keys)), SMALL));
            }
        }
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
            case "count" -> counts(input, keys, values);
            // The same cuts as in our file: a topic behind the filter, another one behind what passes everything on.
            case "stages" -> {
                var cut = Repartitioned.with(keys, values).withNumberOfPartitions(PARTITIONS);
                yield counts(input.filter((key, value) -> tree(value).get("value").doubleValue() > 0)
                    .repartition(cut.withName("kept")).repartition(cut.withName("passed")), keys, values);
            }
            case "average" -> averages(input, keys, values);
            default -> throw new IllegalArgumentException(task);
        };
        output.to(word("out"), Produced.with(keys, values));
        return builder.build();
    }

    /** In memory, or in what Streams takes when nothing is said: RocksDB. */
    static KStream<String, byte[]> counts(KStream<String, byte[]> input, Serde<String> keys, Serde<byte[]> values) {
        Materialized<String, Long, KeyValueStore<Bytes, byte[]>> store =
            isInMemory() ? Materialized.as(Stores.inMemoryKeyValueStore("counts")) : Materialized.as("counts");
        return input.groupByKey(Grouped.with(keys, values)).count(store.withKeySerde(keys).withValueSerde(Serdes.Long()))
            .toStream().mapValues(count -> ascii("{\"count\":" + count + "}"));
    }

    static boolean isInMemory() { return word("store").equals("memory"); }

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
            "processing.guarantee", "exactly_once_v2", "num.stream.threads", number("threads"),
            "commit.interval.ms", 100, "replication.factor", 1, "auto.offset.reset", "earliest"));
        // Every update goes out. RocksDB keeps the cache that Streams gives it, 10 MiB: keys come once or far apart.
        if (isInMemory()) settings.put("statestore.cache.max.bytes", 0);
        if (!word("session").equals("usual")) {
            settings.put("consumer.session.timeout.ms", number("session"));
            settings.put("consumer.heartbeat.interval.ms", number("session") / 3);
        }
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

    /** Seconds of processor time of each process so far, and at the end of all. */
    static double[] spent(String[] pids) throws IOException {
        double[] seconds = new double[pids.length + 1];
        for (int at = 0; at < pids.length; at++) {
            String stat = Files.readString(Path.of("/proc", pids[at], "stat"));
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
            if (fields[0].equals("Z")) throw new IOException("process " + pids[at] + " has ended");
            seconds[at] = (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / 100.0;
            seconds[pids.length] += seconds[at];
        }
        return seconds;
    }

    static final java.io.BufferedReader INPUT = new java.io.BufferedReader(new java.io.InputStreamReader(System.in));

    static String told() throws IOException {
        String line = INPUT.readLine();
        if (line == null) throw new IOException("whoever asked has gone");
        return line.trim();
    }

    /** Says that the application may begin now; hands back its process and the broker's. */
    static String[] begun() throws IOException {
        System.out.println("ready");
        return told().split(",");
    }

    static List<TopicPartition> partitions(String topic) {
        return java.util.stream.IntStream.range(0, PARTITIONS).mapToObj(number -> new TopicPartition(topic, number)).toList();
    }

    static void watch() throws Exception {
        // Results have as many partitions on both sides, whoever would make the topic.
        topics(word("out"));
        try (Admin admin = admin()) {
            Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
            partitions(word("in")).forEach(partition -> asked.put(partition, OffsetSpec.latest()));
            long all = admin.listOffsets(asked).all().get().values().stream().mapToLong(end -> end.offset()).sum();
            long until = WORDS.containsKey("until") ? Math.min(all, number("until")) : all;
            committed(admin);
            String[] pids = begun();
            long from = -1, fromNs = 0, seen = 0, seenNs = System.nanoTime();
            double[] fromSpent = {};
            while (true) {
                long done = committed(admin), now = System.nanoTime();
                double[] spent = spent(pids);
                if (done > seen) { seen = done; seenNs = now; }
                if (now - seenNs > 60_000_000_000L) throw new IllegalStateException("stuck at " + done + " of " + all);
                if (from < 0 && done >= all * MEASURED_FROM) { from = done; fromNs = now; fromSpent = spent; }
                if (done >= until) {
                    double seconds = (now - fromNs) / 1e9;
                    // A run that was over between two looks has no rate.
                    if (done == from) throw new IllegalStateException("too few records to measure");
                    double millions = (done - from) / 1e6;
                    System.out.printf(Locale.ROOT,
                        "{\"records_per_s\":%.1f,\"cpu_s_per_m\":%.4f,\"app_cpu_s_per_m\":%.4f,\"measured\":%d}%n",
                        (done - from) / seconds, (spent[pids.length] - fromSpent[pids.length]) / millions,
                        (spent[0] - fromSpent[0]) / millions, done - from);
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

    // Whether all is there.

    /** What is known of a key: its last number, count or window. */
    static final class Last { int number = -1; long count; String window = ""; }

    static String field(String document, String name) {
        int at = document.indexOf("\"" + name + "\":");
        if (at < 0) return "";
        int begin = at + name.length() + 3, end = begin;
        while (end < document.length() && document.charAt(end) != ',' && document.charAt(end) != '}') end++;
        return document.substring(begin, end);
    }

    /** Keys and readings of the input, as `load` has made them. */
    record Input(int[] keys, int[] steps) {
        static Input of(int records) {
            Input input = new Input(new int[records], new int[records]);
            Random random = new Random(7);
            for (int number = 0; number < records; number++) {
                input.keys[number] = random.nextInt(KEYS);
                input.steps[number] = random.nextInt(9_000_000);
            }
            return input;
        }

        double value(int number) { return 100 + steps[number] / 10_000.0; }

        boolean passes(int number, String task) { return !task.equals("filter") || value(number) > 500; }

        /** Whether a document is what the task makes of its record, and behind the last one of its key. */
        boolean isRight(String document, int key, String task, Last last) {
            int number = Integer.parseInt(field(document, "number")) - 1_000_000_000;
            double added = task.equals("sum") ? 1.5 : 0;
            boolean isRight = number > last.number && keys[number] == key && passes(number, task)
                && Math.abs(Double.parseDouble(field(document, "value")) - value(number) - added) < 1e-6;
            last.number = number;
            return isRight;
        }
    }

    /** Counts of a key go up by one; those of windows begin anew with each later window. */
    static boolean isNext(String document, Last last) {
        String window = field(document, "window_start");
        long before = window.equals(last.window) ? last.count : 0;
        boolean isNext = window.compareTo(last.window) >= 0 && Long.parseLong(field(document, "count")) == before + 1;
        last.window = window;
        last.count = before + 1;
        return isNext;
    }

    static void verify() throws Exception {
        String task = word("task");
        int records = number("records"), keys = number("keys");
        boolean isCounted = task.equals("count") || task.equals("average");
        Input input = isCounted ? null : Input.of(records);
        long expected = isCounted ? records
            : java.util.stream.IntStream.range(0, records).filter(number -> input.passes(number, task)).count();
        Last[] lasts = new Last[keys];
        byte[] counts = new byte[keys > KEYS ? keys : 0];
        long found = 0, wrong = 0;
        Map<String, Object> settings = Map.of("bootstrap.servers", word("bootstrap"), "isolation.level", "read_committed",
            "fetch.max.bytes", 8 << 20);
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = partitions(word("out"));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            var ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(it -> consumer.position(it) < ends.get(it))) {
                for (var record : consumer.poll(Duration.ofMillis(500))) {
                    int key = Integer.parseInt(record.key().substring(1));
                    String document = record.value();
                    found++;
                    if (counts.length > 0) {
                        // So many keys are counted in a byte each.
                        if (Long.parseLong(field(document, "count")) != ++counts[key]) wrong++;
                        continue;
                    }
                    if (lasts[key] == null) lasts[key] = new Last();
                    boolean isRight = isCounted ? isNext(document, lasts[key]) : input.isRight(document, key, task, lasts[key]);
                    if (!isRight) wrong++;
                }
            }
        }
        if (wrong > 0 || found != expected) {
            throw new IllegalStateException(found + " results instead of " + expected + ", " + wrong + " of them wrong or not in order");
        }
        System.out.printf(Locale.ROOT, "{\"results\":%d}%n", found);
    }

    // State that is gone, and processes that die.

    /** Results from where they end now, by partition: when did the first one of a record of this time or later come? */
    static final class Results implements AutoCloseable {
        final KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
            Map.<String, Object>of("bootstrap.servers", word("bootstrap"), "isolation.level", "read_committed"),
            new StringDeserializer(), new StringDeserializer());
        final long[] seenNs = new long[PARTITIONS];
        long sinceMs;

        Results() {
            consumer.assign(partitions(word("out")));
            consumer.seekToEnd(partitions(word("out")));
            partitions(word("out")).forEach(consumer::position);
        }

        void expect(long sinceMs) {
            this.sinceMs = sinceMs;
            Arrays.fill(seenNs, 0);
        }

        boolean areThere() { return Arrays.stream(seenNs).allMatch(ns -> ns != 0); }

        void poll() {
            var records = consumer.poll(Duration.ofMillis(10));
            long now = System.nanoTime();
            for (var record : records) {
                // A key that was there before has been counted before.
                if (Long.parseLong(field(record.value(), "count")) < 2 && record.timestamp() >= sinceMs) {
                    throw new IllegalStateException(record.key() + " is counted from one on: its state is lost");
                }
                if (record.timestamp() >= sinceMs && seenNs[record.partition()] == 0) seenNs[record.partition()] = now;
            }
        }

        double first(long beginNs) { return (Arrays.stream(seenNs).min().getAsLong() - beginNs) / 1e6; }

        double last(long beginNs) { return (Arrays.stream(seenNs).max().getAsLong() - beginNs) / 1e6; }

        @Override public void close() { consumer.close(); }
    }

    /** A key of each partition, from this number on. */
    static byte[][] keyOfEach(int from) {
        byte[][] found = new byte[PARTITIONS][];
        for (int number = from, left = PARTITIONS; left > 0; number++) {
            byte[] key = smallKey(number);
            if (found[partition(key)] == null) left--;
            found[partition(key)] = key;
        }
        return found;
    }

    static void sendToEach(KafkaProducer<byte[], byte[]> producer, byte[][] keys) {
        for (byte[] key : keys) producer.send(new ProducerRecord<>(word("in"), key, SMALL));
    }

    /** Waits for so many members of the group that have partitions; or, for none, until nobody is in it. */
    static void awaitMembers(Admin admin, int wanted) throws Exception {
        for (int look = 0; look < 1_200; look++) {
            var members = members(admin);
            boolean areThere = wanted == 0 ? members.isEmpty()
                : members.stream().filter(it -> !it.assignment().topicPartitions().isEmpty()).count() == wanted;
            if (areThere) return;
            Thread.sleep(50);
        }
        throw new IllegalStateException("the group has not come to " + wanted + " members within a minute");
    }

    static Collection<MemberDescription> members(Admin admin) throws Exception {
        try {
            return admin.describeConsumerGroups(List.of(word("group"))).describedGroups().get(word("group")).get().members();
        } catch (java.util.concurrent.ExecutionException error) {
            if (error.getCause() instanceof org.apache.kafka.common.errors.ApiException) return List.of();
            throw error;
        }
    }

    static void first() throws Exception {
        try (Admin admin = admin(); var results = new Results(); var producer = producer(0)) {
            // A member that has left without a word would be waited for.
            awaitMembers(admin, 0);
            long since = System.currentTimeMillis();
            sendToEach(producer, keyOfEach(0));
            producer.flush();
            results.expect(since);
            long begin = System.nanoTime();
            String[] pids = begun();
            while (!results.areThere()) {
                spent(pids);
                results.poll();
                if (System.nanoTime() - begin > 600_000_000_000L) throw new IllegalStateException("no counts within ten minutes");
            }
            System.out.printf(Locale.ROOT, "{\"first_ms\":%.1f,\"all_ms\":%.1f}%n", results.first(begin), results.last(begin));
        }
    }

    static void failover() throws Exception {
        int keys = number("keys");
        topics(word("in"), word("out"));
        try (Admin admin = admin(); var producer = producer(0); var results = new Results()) {
            String[] pids = begun();
            if (number("members") > 0) awaitMembers(admin, number("members"));
            sendKeys(keys, keys);
            for (int look = 0; committed(admin) < keys; look++) {
                spent(pids);
                if (look > 12_000) throw new IllegalStateException("the keys are not counted within ten minutes");
                Thread.sleep(50);
            }
            double[] steady = followed(producer, results, keys, System.nanoTime());
            System.out.println("kill");
            long begin = System.nanoTime();
            told();
            // What was sent before the death may have been counted by the dead.
            double[] after = followed(producer, results, keys, begin);
            if (after[1] < 1_000) throw new IllegalStateException("the process that was killed had no partition");
            System.out.printf(Locale.ROOT, "{\"steady_ms\":%.1f,\"first_ms\":%.1f,\"all_ms\":%.1f}%n", steady[1], after[0], after[1]);
        }
    }

    /** Sends to each partition every 20 ms until each has given a count of what was sent from now on: first and last. */
    static double[] followed(KafkaProducer<byte[], byte[]> producer, Results results, int keys, long beginNs) throws Exception {
        results.expect(System.currentTimeMillis() + 1);
        Thread.sleep(2);
        long due = System.nanoTime();
        for (int round = 0; !results.areThere(); round++) {
            if (due - beginNs > 120_000_000_000L) throw new IllegalStateException("a partition is silent for two minutes");
            sendToEach(producer, keyOfEach(round * 20 % (keys / 2)));
            due += 20_000_000;
            do { results.poll(); } while (System.nanoTime() < due && !results.areThere());
        }
        return new double[] {results.first(beginNs), results.last(beginNs)};
    }
}
