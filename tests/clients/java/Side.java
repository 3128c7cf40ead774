// One broker as the comparison sees it: raw requests in a chosen version, answers as masked text.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.*;
import java.io.*;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.RecordBatch;

public class Side implements AutoCloseable {
    final String name;
    private final String host;
    private final int port;
    private Socket socket;
    private int correlation = 0;
    /** What a broker invents (ids of topics, members, producers) is named in the order of its appearance. */
    private final Map<String, String> invented = new HashMap<>();
    /** What was asked, and the answer as text or as a tree. */
    record Line(String place, JsonNode answer) {}
    final List<Line> lines = new ArrayList<>();

    void note(String place, String answer) {
        lines.add(new Line(place, TextNode.valueOf(answer)));
    }

    Side(String name, String bootstrap) {
        this.name = name;
        this.host = bootstrap.split(":")[0];
        this.port = Integer.parseInt(bootstrap.split(":")[1]);
    }

    /** Asks and notes the answer under a label; null when the connection was closed instead. */
    ApiMessage ask(String label, ApiMessage request, int version) throws Exception {
        return ask(label, request, (short) version, (short) version);
    }

    private ApiMessage ask(String label, ApiMessage request, short version, short sent) throws Exception {
        ApiMessageType type = ApiMessageType.fromApiKey(request.apiKey());
        String place = label + " " + type.name + " v" + sent;
        byte[] answer;
        try {
            answer = exchange(frame(type, request, version, sent));
        } catch (EOFException | java.net.SocketException closed) {
            close();
            note(place, "connection closed");
            return null;
        }
        ByteBufferAccessor in = new ByteBufferAccessor(ByteBuffer.wrap(answer));
        new ResponseHeaderData(in, type.responseHeaderVersion(version));
        ApiMessage response = type.newResponse();
        response.read(in, version);
        if (in.remaining() > 0) note(place, in.remaining() + " bytes too many");
        lines.add(new Line(place, masked(response, version)));
        if (response instanceof FetchResponseData fetched) note(place + " batches", batches(fetched));
        return response;
    }

    /** Sends bytes as they are and notes what came back. */
    void raw(String label, byte[] frame) throws Exception {
        try {
            note(label, HexFormat.of().formatHex(exchange(frame)));
        } catch (EOFException | java.net.SocketException closed) {
            close();
            note(label, "connection closed");
        }
    }

    private byte[] frame(ApiMessageType type, ApiMessage request, short version, short sent) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        RequestHeaderData header = new RequestHeaderData().setRequestApiKey(type.apiKey()).setRequestApiVersion(sent)
            .setCorrelationId(correlation++).setClientId("compare");
        short headerVersion = type.requestHeaderVersion(version);
        ByteBuffer buffer = ByteBuffer.allocate(header.size(cache, headerVersion) + request.size(cache, version));
        ByteBufferAccessor out = new ByteBufferAccessor(buffer);
        header.write(out, cache, headerVersion);
        request.write(out, cache, version);
        return Arrays.copyOf(buffer.array(), buffer.position());
    }

    private byte[] exchange(byte[] frame) throws Exception {
        if (socket == null) {
            socket = new Socket(host, port);
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(10_000);
        }
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(socket.getOutputStream()));
        out.writeInt(frame.length);
        out.write(frame);
        out.flush();
        DataInputStream in = new DataInputStream(socket.getInputStream());
        byte[] answer = new byte[in.readInt()];
        in.readFully(answer);
        return answer;
    }

    @Override public void close() throws IOException {
        if (socket != null) socket.close();
        socket = null;
    }

    // ---- masks ----
    private static String batches(FetchResponseData fetched) {
        StringBuilder text = new StringBuilder();
        for (var topic : fetched.responses()) for (var partition : topic.partitions()) {
            if (!(partition.records() instanceof MemoryRecords records)) continue;
            text.append(records.sizeInBytes()).append(" bytes: ");
            for (RecordBatch batch : records.batches()) {
                text.append(batch.baseOffset()).append('-').append(batch.lastOffset()).append(" epoch ").append(batch.partitionLeaderEpoch())
                    .append(batch.isControlBatch() ? " control" : "").append(batch.isTransactional() ? " transactional" : "").append(", ");
                if (!batch.isControlBatch()) text.append("until ").append(batch.maxTimestamp()).append(", ").append(batch.sizeInBytes()).append(" bytes; ");
            }
        }
        return text.toString();
    }

    private JsonNode masked(ApiMessage response, short version) throws Exception {
        Class<?> converter = Class.forName(response.getClass().getName() + "JsonConverter");
        JsonNode tree = (JsonNode) converter.getMethod("write", response.getClass(), short.class).invoke(null, response, version);
        return mask("", tree);
    }

    private JsonNode mask(String field, JsonNode node) {
        if (node instanceof ObjectNode object) {
            ObjectNode copy = JsonNodeFactory.instance.objectNode();
            // The id of a topic that was only validated is nobody's, so creation's ids get no names.
            boolean creation = object.has("numPartitions");
            object.properties().forEach(entry -> copy.set(entry.getKey(), creation && entry.getKey().equals("topicId") ? TextNode.valueOf("*") : mask(entry.getKey(), entry.getValue())));
            forget(copy);
            return copy;
        }
        if (node instanceof ArrayNode array) {
            List<JsonNode> items = new ArrayList<>();
            array.forEach(item -> items.add(mask(field, item)));
            // The order of topics and groups in an answer is nobody's promise.
            items.sort(Comparator.comparing(JsonNode::toString));
            return JsonNodeFactory.instance.arrayNode().addAll(items);
        }
        return switch (field) {
            // What a message says is its own, and so is what a clock or an address says.
            case "throttleTimeMs", "host", "port", "clusterId", "errorMessage", "batchIndexErrorMessage", "logAppendTimeMs" -> TextNode.valueOf("*");
            case "topicId" -> TextNode.valueOf(named("topic", node));
            case "memberId", "leader" -> TextNode.valueOf(named("member", node));
            case "producerId" -> TextNode.valueOf(named("producer", node));
            default -> node;
        };
    }

    /** Places where Kafka itself answers by chance or by its cluster's bookkeeping. */
    private static void forget(ObjectNode object) {
        // Where an append failed, whether the log's start is told depends on how far it got.
        if (object.has("logStartOffset") && object.has("baseOffset") && object.path("errorCode").asInt() != 0) object.put("logStartOffset", "*");
        // A cluster that elects leaders keeps this one as a dynamic default.
        if (object.path("name").asText().equals("min.insync.replicas")) object.put("configSource", "*");
    }

    private String named(String kind, JsonNode node) {
        String text = node.asText();
        if (text.isEmpty() || text.equals("-1") || text.equals("AAAAAAAAAAAAAAAAAAAAAA")) return text;
        return invented.computeIfAbsent(kind + text, unknown -> kind + "#" + invented.keySet().stream().filter(k -> k.startsWith(kind)).count());
    }
}
