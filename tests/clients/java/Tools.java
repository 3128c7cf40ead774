// Kafka's console tools, called as their scripts call them, but in this process: a virtual machine each would cost a second.
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.regex.Pattern;
import org.apache.kafka.common.utils.Exit;

public class Tools {
    static final String TOPICS = "org.apache.kafka.tools.TopicCommand";
    static final String PRODUCER = "org.apache.kafka.tools.ConsoleProducer";
    static final String CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    static final String GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    static final String CONFIGS = "kafka.admin.ConfigCommand";
    static final String OFFSETS = "org.apache.kafka.tools.GetOffsetShell";
    static final String DELETE_RECORDS = "org.apache.kafka.tools.DeleteRecordsCommand";
    static final String PRODUCER_PERF = "org.apache.kafka.tools.ProducerPerformance";
    static final String CONSUMER_PERF = "org.apache.kafka.tools.ConsumerPerformance";
    static final String END_TO_END = "org.apache.kafka.tools.EndToEndLatency";
    static final String API_VERSIONS = "org.apache.kafka.tools.BrokerApiVersionsCommand";
    static final String CLUSTER = "org.apache.kafka.tools.ClusterTool";

    /** Takes what a tool prints; everything else goes where it always went. */
    static final class Capture extends OutputStream {
        final ByteArrayOutputStream taken = new ByteArrayOutputStream();
        @Override public synchronized void write(int b) { taken.write(b); }
        @Override public synchronized void write(byte[] b, int from, int len) { taken.write(b, from, len); }
        synchronized String drain() { String text = taken.toString(StandardCharsets.UTF_8); taken.reset(); return text; }
    }

    static final class Exited extends RuntimeException {
        final int code;
        Exited(int code) { super("exit code " + code); this.code = code; }
    }

    static final Capture CAPTURE = new Capture();
    /** The exit code that the tool asked for first: some catch what is thrown here and ask again. */
    static volatile Integer exitCode;

    static void exit(int code) {
        if (exitCode == null) exitCode = code;
        throw new Exited(code);
    }

    static List<Suite.Case> cases() {
        // Set once, because Scala's tools keep the stream that they saw first.
        System.setOut(new PrintStream(CAPTURE, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(CAPTURE, true, StandardCharsets.UTF_8));
        Exit.setExitProcedure((code, message) -> exit(code));
        Exit.setHaltProcedure((code, message) -> exit(code));
        return List.of(
            new Suite.Case("kafka-topics: create, list, describe, alter, delete", Tools::topics),
            new Suite.Case("kafka-console-producer and consumer", Tools::console),
            new Suite.Case("kafka-console-consumer: a group", Tools::consoleGroup),
            new Suite.Case("kafka-console-consumer: read_committed", Tools::consoleCommitted),
            new Suite.Case("kafka-consumer-groups: list, describe, reset, delete", Tools::groups),
            new Suite.Case("kafka-configs: describe, alter", Tools::configs),
            new Suite.Case("kafka-get-offsets", Tools::offsets),
            new Suite.Case("kafka-delete-records", Tools::deleteRecords),
            new Suite.Case("kafka-producer-perf-test", Tools::producerPerf),
            new Suite.Case("kafka-producer-perf-test: --transactional-id", Tools::transactionalPerf),
            new Suite.Case("kafka-consumer-perf-test", Tools::consumerPerf),
            new Suite.Case("kafka-e2e-latency", Tools::endToEnd),
            new Suite.Case("kafka-broker-api-versions", Tools::apiVersions),
            new Suite.Case("kafka-cluster: cluster-id", Tools::clusterId));
    }

    /** Runs a tool and hands back what it printed; any exit code but 0 fails. */
    static String tool(String name, String... arguments) throws Exception {
        CAPTURE.drain();
        exitCode = null;
        Throwable thrown = null;
        try {
            Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (java.lang.reflect.InvocationTargetException error) {
            thrown = error.getCause();
        }
        System.out.flush();
        boolean fine = exitCode == null ? thrown == null : exitCode == 0;
        if (!fine) throw new AssertionError(name + " " + String.join(" ", arguments) + ": " + thrown + ": " + CAPTURE.drain().strip());
        return CAPTURE.drain();
    }

    /** The same for a tool that connects. */
    static String asked(String name, String... arguments) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", Suite.bootstrap));
        all.addAll(List.of(arguments));
        return tool(name, all.toArray(String[]::new));
    }

    static void shows(String text, String pattern) {
        if (!Pattern.compile(pattern, Pattern.MULTILINE).matcher(text).find()) throw new AssertionError("no /" + pattern + "/ in: " + text.strip());
    }

    static void hides(String text, String pattern) {
        if (Pattern.compile(pattern, Pattern.MULTILINE).matcher(text).find()) throw new AssertionError("/" + pattern + "/ in: " + text.strip());
    }

    static void type(String topic, String lines) throws Exception {
        System.setIn(new ByteArrayInputStream(lines.getBytes(StandardCharsets.UTF_8)));
        asked(PRODUCER, "--topic", topic, "--reader-property", "parse.key=true", "--reader-property", "key.separator=:");
    }

    static void topics() throws Exception {
        String topic = Suite.unique("tools");
        shows(asked(TOPICS, "--create", "--topic", topic, "--partitions", "2", "--config", "retention.ms=1234567"), "Created topic " + topic);
        shows(asked(TOPICS, "--list"), "^" + topic + "$");
        String described = asked(TOPICS, "--describe", "--topic", topic);
        shows(described, "PartitionCount: 2\\s+ReplicationFactor: 1\\s+Configs: .*retention.ms=1234567");
        shows(described, "Topic: " + topic + "\\s+Partition: 1\\s+Leader: \\d+\\s+Replicas: \\d+\\s+Isr: \\d+");
        asked(TOPICS, "--alter", "--topic", topic, "--partitions", "4");
        Suite.waitFor("four partitions", () -> asked(TOPICS, "--describe", "--topic", topic).contains("PartitionCount: 4"));
        asked(TOPICS, "--delete", "--topic", topic);
        Suite.waitFor("the topic is gone", () -> !asked(TOPICS, "--list").contains(topic));
    }

    static void console() throws Exception {
        String topic = Clients.topic(1);
        type(topic, "a:1\nb:2\na:3\n");
        String read = asked(CONSUMER, "--topic", topic, "--from-beginning", "--max-messages", "3", "--formatter-property", "print.key=true",
            "--formatter-property", "print.offset=true", "--timeout-ms", "20000");
        shows(read, "Offset:0\\ta\\t1\\R.*Offset:1\\tb\\t2\\R.*Offset:2\\ta\\t3");
        String one = asked(CONSUMER, "--topic", topic, "--partition", "0", "--offset", "2", "--max-messages", "1", "--timeout-ms", "20000");
        shows(one, "^3$");
    }

    static void consoleGroup() throws Exception {
        String topic = Clients.topic(3), group = Suite.unique("group");
        type(topic, "a:1\nb:2\nc:3\n");
        String read = asked(CONSUMER, "--topic", topic, "--group", group, "--from-beginning", "--max-messages", "3", "--timeout-ms", "20000");
        for (String value : List.of("1", "2", "3")) shows(read, "^" + value + "$");
        type(topic, "a:4\n");
        String more = asked(CONSUMER, "--topic", topic, "--group", group, "--max-messages", "1", "--timeout-ms", "20000");
        shows(more, "^4$");
        hides(more, "^1$");
    }

    static void consoleCommitted() throws Exception {
        String topic = Clients.topic(1);
        try (var producer = Clients.transactional(Suite.unique("txn"))) {
            for (boolean commit : new boolean[] {false, true}) {
                producer.beginTransaction();
                producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(topic, 0, "k", commit ? "kept" : "dropped")).get();
                if (commit) producer.commitTransaction(); else producer.abortTransaction();
            }
        }
        String read = asked(CONSUMER, "--topic", topic, "--from-beginning", "--isolation-level", "read_committed", "--max-messages", "1", "--timeout-ms", "20000");
        shows(read, "^kept$");
        hides(read, "^dropped$");
    }

    static void groups() throws Exception {
        String topic = Clients.topic(1), group = Suite.unique("group");
        type(topic, "a:1\nb:2\nc:3\n");
        asked(CONSUMER, "--topic", topic, "--group", group, "--from-beginning", "--max-messages", "3", "--timeout-ms", "20000");
        shows(asked(GROUPS, "--list"), "^" + group + "$");
        Suite.waitFor("the group is empty", () -> asked(GROUPS, "--describe", "--group", group, "--state").contains("Empty"));
        shows(asked(GROUPS, "--describe", "--group", group), group + "\\s+" + topic + "\\s+0\\s+3\\s+3\\s+0\\s+-");
        try (var member = Clients.consumer(group, Map.of())) {
            member.subscribe(List.of(topic));
            Suite.waitFor("the member has its partition", () -> { member.poll(Clients.POLL); return member.assignment().size() == 1; });
            shows(asked(GROUPS, "--describe", "--group", group, "--members"), group + "\\s+consumer-");
            shows(asked(GROUPS, "--describe", "--group", group, "--state"), "range\\s+Stable\\s+1");
            // It exits with 0 even when it is refused, so its words are read.
            shows(asked(GROUPS, "--delete", "--group", group), "Error: Deletion of some consumer groups failed");
        }
        asked(GROUPS, "--reset-offsets", "--group", group, "--topic", topic, "--to-offset", "1", "--execute");
        shows(asked(GROUPS, "--describe", "--group", group), topic + "\\s+0\\s+1\\s+3\\s+2");
        shows(asked(GROUPS, "--delete-offsets", "--group", group, "--topic", topic), "Request succeeded for deleting offsets");
        asked(GROUPS, "--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute");
        shows(asked(GROUPS, "--delete", "--group", group), "Deletion of requested consumer groups \\('" + group + "'\\) was successful");
        hides(asked(GROUPS, "--list"), "^" + group + "$");
    }

    static void configs() throws Exception {
        String topic = Clients.topic(1);
        asked(CONFIGS, "--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", "retention.ms=1234567,cleanup.policy=[compact,delete]");
        Suite.waitFor("the new configs", () -> asked(CONFIGS, "--describe", "--entity-type", "topics", "--entity-name", topic).contains("retention.ms=1234567"));
        shows(asked(CONFIGS, "--describe", "--entity-type", "topics", "--entity-name", topic), "cleanup.policy=compact,delete");
        shows(asked(CONFIGS, "--describe", "--entity-type", "topics", "--entity-name", topic, "--all"), "segment.bytes=1073741824");
        asked(CONFIGS, "--alter", "--entity-type", "topics", "--entity-name", topic, "--delete-config", "retention.ms");
        Suite.waitFor("the default again", () -> !asked(CONFIGS, "--describe", "--entity-type", "topics", "--entity-name", topic).contains("retention.ms"));
    }

    static void offsets() throws Exception {
        String topic = Clients.topic(2);
        Clients.produce(topic, Clients.numbered(7), Map.of());
        shows(asked(OFFSETS, "--topic", topic), topic + ":0:7\\R" + topic + ":1:0");
        shows(asked(OFFSETS, "--topic", topic, "--time", "earliest"), topic + ":0:0");
        shows(asked(OFFSETS, "--topic", topic, "--time", "max-timestamp"), topic + ":0:\\d");
    }

    static void deleteRecords() throws Exception {
        String topic = Clients.topic(1);
        Clients.produce(topic, Clients.numbered(7), Map.of());
        Files.createDirectories(Suite.scratch);
        Path wanted = Suite.scratch.resolve(topic + ".json");
        Files.writeString(wanted, "{\"version\":1,\"partitions\":[{\"topic\":\"" + topic + "\",\"partition\":0,\"offset\":5}]}");
        shows(asked(DELETE_RECORDS, "--offset-json-file", wanted.toString()), "low_watermark: 5");
        shows(asked(OFFSETS, "--topic", topic, "--time", "earliest"), topic + ":0:5");
    }

    static void producerPerf() throws Exception {
        String topic = Clients.topic(4);
        String told = tool(PRODUCER_PERF, "--topic", topic, "--num-records", "20000", "--record-size", "100", "--throughput", "-1",
            "--command-property", "bootstrap.servers=" + Suite.bootstrap);
        shows(told, "20000 records sent, .* records/sec");
    }

    static void transactionalPerf() throws Exception {
        String topic = Clients.topic(4);
        String told = tool(PRODUCER_PERF, "--topic", topic, "--num-records", "5000", "--record-size", "100", "--throughput", "-1",
            "--transactional-id", Suite.unique("perf"), "--transaction-duration-ms", "50", "--command-property", "bootstrap.servers=" + Suite.bootstrap);
        shows(told, "5000 records sent, .* records/sec");
        Suite.equal(Clients.committedCount(topic, 4, 5000), 5000, "committed records");
    }

    static void consumerPerf() throws Exception {
        String topic = Clients.topic(1);
        Clients.produce(topic, Clients.numbered(5000), Map.of());
        String told = asked(CONSUMER_PERF, "--topic", topic, "--num-records", "5000", "--timeout", "20000", "--group", Suite.unique("perf"));
        shows(told, ", 5000, ");
    }

    static void endToEnd() throws Exception {
        String topic = Clients.topic(1);
        shows(asked(END_TO_END, "--topic", topic, "--num-records", "200", "--producer-acks", "all", "--record-size", "100"), "Percentiles: 50th = ");
    }

    static void apiVersions() throws Exception {
        String told = asked(API_VERSIONS);
        shows(told, "Produce\\(0\\): \\d+ to \\d+");
        shows(told, "TxnOffsetCommit\\(28\\): ");
    }

    static void clusterId() throws Exception {
        shows(tool(CLUSTER, "cluster-id", "--bootstrap-server", Suite.bootstrap), "Cluster ID: \\S+");
    }
}
