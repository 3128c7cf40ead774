// Kafka Streams, exactly once: a running count per key.
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.*;

public class Streams {
    static final int KEYS = 10;
    static final int PER_KEY = 100;

    static List<Suite.Case> cases() {
        return List.of(new Suite.Case("kafka-streams: exactly_once_v2 count", Streams::count));
    }

    static void count() throws Exception {
        String source = Clients.topic(2), target = Clients.topic(1);
        try (var producer = Clients.producer(Map.of())) {
            for (int i = 0; i < KEYS * PER_KEY; i++) producer.send(new ProducerRecord<>(source, "k" + i % KEYS, "v"));
        }
        try (KafkaStreams streams = new KafkaStreams(topology(source, target), settings())) {
            streams.setUncaughtExceptionHandler(error -> {
                Suite.say("kafka-streams: " + error);
                return org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            var found = Clients.read(target, KEYS * PER_KEY, 0, Map.of("isolation.level", "read_committed"));
            Map<String, Integer> last = new HashMap<>();
            for (var record : found) {
                int wanted = last.getOrDefault(record.key(), 0) + 1;
                Suite.equal(record.value(), Integer.toString(wanted), "count of " + record.key());
                last.put(record.key(), wanted);
            }
            streams.close(Duration.ofSeconds(10));
        }
    }

    static Topology topology(String source, String target) {
        StreamsBuilder builder = new StreamsBuilder();
        var store = Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts")).withCachingDisabled()
            .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long());
        builder.stream(source, Consumed.with(Serdes.String(), Serdes.String()))
            .groupByKey().count(store).toStream().mapValues(count -> Long.toString(count))
            .to(target, Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    static Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", Suite.bootstrap);
        settings.put("application.id", Suite.unique("streams"));
        settings.put("processing.guarantee", "exactly_once_v2");
        settings.put("commit.interval.ms", "100");
        settings.put("replication.factor", "1");
        settings.put("auto.offset.reset", "earliest");
        settings.put("state.dir", Suite.scratch.resolve(Suite.unique("state")).toString());
        return settings;
    }
}
