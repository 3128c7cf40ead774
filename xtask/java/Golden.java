// Writes golden bytes: what Apache Kafka's own generated classes make of every message that we speak, in every version.
//
//   Golden FOLDER     one text file per message; README.md in that folder states the form and the rule of the values
//
// The classes tell their fields through their schemas, so nothing here knows a message by heart.
import java.io.IOException;
import java.lang.reflect.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.*;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class Golden {
    static final String CLIENTS = "org.apache.kafka.common.message.";
    static final String GROUP = "org.apache.kafka.coordinator.group.generated.";
    static final String TRANSACTION = "org.apache.kafka.coordinator.transaction.generated.";
    static final String STORAGE = "org.apache.kafka.server.log.remote.metadata.storage.generated.";

    static final String[] APIS = {
        "AddOffsetsToTxn", "AddPartitionsToTxn", "ApiVersions", "CreatePartitions", "CreateTopics", "DeleteGroups",
        "DeleteRecords", "DeleteTopics", "DescribeCluster", "DescribeConfigs", "DescribeGroups", "EndTxn", "Fetch",
        "FindCoordinator", "Heartbeat", "IncrementalAlterConfigs", "InitProducerId", "JoinGroup", "LeaveGroup",
        "ListGroups", "ListOffsets", "Metadata", "OffsetCommit", "OffsetDelete", "OffsetFetch", "OffsetForLeaderEpoch",
        "Produce", "SaslAuthenticate", "SaslHandshake", "SyncGroup", "TxnOffsetCommit",
    };
    static final String[] RECORDS = {
        CLIENTS + "ConsumerProtocolAssignment", CLIENTS + "ConsumerProtocolSubscription", CLIENTS + "EndTxnMarker",
        GROUP + "GroupMetadataKey", GROUP + "GroupMetadataValue", GROUP + "OffsetCommitKey", GROUP + "OffsetCommitValue",
        TRANSACTION + "TransactionLogKey", TRANSACTION + "TransactionLogValue", STORAGE + "ProducerSnapshot",
    };

    enum Mode { VALUES, NULLS, DEFAULTS }

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        Files.createDirectories(folder);
        for (String api : APIS) {
            StringBuilder out = new StringBuilder();
            dump("request", CLIENTS + api + "RequestData", out);
            dump("response", CLIENTS + api + "ResponseData", out);
            write(folder, api, out);
        }
        for (String name : RECORDS) {
            StringBuilder out = new StringBuilder();
            dump("record", name, out);
            write(folder, name.substring(name.lastIndexOf('.') + 1), out);
        }
    }

    static void write(Path folder, String name, StringBuilder out) throws IOException {
        Files.writeString(folder.resolve(snake(name) + ".txt"), out.toString());
    }

    static String snake(String name) {
        return name.replaceAll("([a-z])([A-Z])", "$1_$2").toLowerCase(Locale.ROOT);
    }

    static void dump(String kind, String className, StringBuilder out) throws Exception {
        Class<?> type = Class.forName(className);
        short lowest = (short) type.getField("LOWEST_SUPPORTED_VERSION").get(null);
        short highest = (short) type.getField("HIGHEST_SUPPORTED_VERSION").get(null);
        for (short version = lowest; version <= highest; version++) {
            for (Mode mode : Mode.values()) {
                Filler filler = new Filler(version, mode);
                Message message = (Message) type.getConstructor().newInstance();
                if (mode != Mode.DEFAULTS) filler.fill(message, " ");
                if (mode == Mode.NULLS && !filler.sawNull) continue;
                out.append(kind).append(' ').append(version).append(' ').append(mode.name().toLowerCase(Locale.ROOT))
                    .append(' ').append(hex(message, version)).append('\n');
                if (mode == Mode.VALUES) out.append(filler.text);
            }
        }
    }

    static String hex(Message message, short version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        return HexFormat.of().formatHex(buffer.array(), 0, buffer.position());
    }

    /** Fills every field of one message in one version and notes the values. */
    static class Filler {
        final short version;
        final Mode mode;
        final StringBuilder text = new StringBuilder();
        boolean sawNull = false;
        int count = 0;

        Filler(short version, Mode mode) {
            this.version = version;
            this.mode = mode;
        }

        void fill(Object struct, String indent) throws Exception {
            Schema schema = ((Schema[]) struct.getClass().getField("SCHEMAS").get(null))[version];
            for (BoundField bound : schema.fields()) {
                if (bound.def.type instanceof TaggedFields tagged) {
                    for (org.apache.kafka.common.protocol.types.Field field : tagged.fields().values()) set(struct, field, indent);
                } else {
                    set(struct, bound.def, indent);
                }
            }
        }

        void set(Object struct, org.apache.kafka.common.protocol.types.Field field, String indent) throws Exception {
            Method setter = setter(struct.getClass(), field.name);
            text.append(indent).append(field.name);
            setter.invoke(struct, value(field.type, setter.getGenericParameterTypes()[0], indent));
        }

        Object value(org.apache.kafka.common.protocol.types.Type wire, java.lang.reflect.Type java, String indent) throws Exception {
            if (mode == Mode.NULLS && wire.isNullable()) {
                sawNull = true;
                text.append(" null\n");
                return null;
            }
            if (wire.isArray()) return array(wire, java, indent);
            if (wire instanceof Schema) {
                text.append('\n');
                Object struct = ((Class<?>) java).getConstructor().newInstance();
                fill(struct, indent + " ");
                return struct;
            }
            return leaf((Class<?>) java);
        }

        @SuppressWarnings("unchecked")
        Object array(org.apache.kafka.common.protocol.types.Type wire, java.lang.reflect.Type java, String indent) throws Exception {
            text.append('\n');
            Class<?> raw = java instanceof ParameterizedType generic ? (Class<?>) generic.getRawType() : (Class<?>) java;
            java.lang.reflect.Type element = java instanceof ParameterizedType generic
                ? generic.getActualTypeArguments()[0]
                : ((ParameterizedType) raw.getGenericSuperclass()).getActualTypeArguments()[0];
            Collection<Object> all = raw.isInterface() ? new ArrayList<>() : (Collection<Object>) raw.getConstructor().newInstance();
            for (int i = 0; i < 2; i++) {
                text.append(indent).append(" -");
                all.add(value(wire.arrayElementType().orElseThrow(), element, indent + " "));
            }
            return all;
        }

        Object leaf(Class<?> type) {
            int n = ++count;
            Object value;
            String shown;
            if (type == boolean.class || type == Boolean.class) { value = n % 2 == 1; shown = value.toString(); }
            else if (type == byte.class || type == Byte.class) { value = (byte) (n % 100 + 10); shown = value.toString(); }
            else if (type == short.class || type == Short.class) { value = (short) (1000 + n); shown = value.toString(); }
            else if (type == int.class || type == Integer.class) { value = 1_000_000 + n; shown = value.toString(); }
            else if (type == long.class || type == Long.class) { value = 3_000_000_000L + n; shown = value.toString(); }
            else if (type == double.class || type == Double.class) { value = n + 0.5; shown = value.toString(); }
            else if (type == String.class) { value = "s-" + n; shown = "\"" + value + "\""; }
            else if (type == Uuid.class) { value = new Uuid(0x1000L + n, 0x2000L + n); shown = value.toString(); }
            else {
                byte[] bytes = ("b-" + n).getBytes(StandardCharsets.US_ASCII);
                shown = "b\"b-" + n + "\"";
                if (type == byte[].class) value = bytes;
                else if (type == ByteBuffer.class) value = ByteBuffer.wrap(bytes);
                else value = MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
            }
            text.append(' ').append(shown).append('\n');
            return value;
        }

        Method setter(Class<?> type, String name) {
            String wanted = "set" + name.replace("_", "");
            for (Method method : type.getMethods()) {
                if (method.getName().equalsIgnoreCase(wanted) && method.getParameterCount() == 1) return method;
            }
            throw new IllegalStateException(type + " has no setter for " + name);
        }
    }
}
