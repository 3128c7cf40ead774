// Writes golden record batches: what Apache Kafka's own classes write, beside what they read from it.
//
//   GoldenRecords write FOLDER    one text file per case (crates/protocol/tests/golden_records)
//   GoldenRecords read FOLDER     prints the same facts about every .bin file, to try batches of ours
//
// A part of a record is `-` for null, `x` and hex digits, or `#length:crc32c` above 64 bytes.
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.zip.CRC32C;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.*;
import org.apache.kafka.common.utils.ByteBufferOutputStream;
import org.apache.kafka.common.utils.Utils;

public class GoldenRecords {
    static final long TIME = 1700000000000L;
    static final Header[] HEADERS = {
        new RecordHeader("trace", bytes("a1")), new RecordHeader("trace", bytes("a2")),
        new RecordHeader("empty", new byte[0]), new RecordHeader("null", (byte[]) null),
        new RecordHeader("", bytes("no name")), new RecordHeader("\u00e4", bytes("utf8")),
    };

    static Path folder;

    public static void main(String[] arguments) throws Exception {
        folder = Path.of(arguments[1]);
        if (arguments[0].equals("read")) {
            read();
            return;
        }
        everyCompression();
        producersAndTimes();
        whatCleanersLeave();
        markers();
    }

    static void read() throws Exception {
        try (var files = Files.list(folder)) {
            for (Path file : files.sorted().filter(name -> name.toString().endsWith(".bin")).toList()) {
                System.out.println("file " + file.getFileName());
                System.out.print(facts(MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)))));
            }
        }
    }

    static void everyCompression() throws Exception {
        Map<String, Compression> codecs = new LinkedHashMap<>();
        codecs.put("none", Compression.NONE);
        codecs.put("gzip", Compression.gzip().build());
        codecs.put("snappy", Compression.snappy().build());
        codecs.put("lz4", Compression.lz4().build());
        codecs.put("zstd", Compression.zstd().build());
        for (var codec : codecs.entrySet()) {
            String name = codec.getKey();
            write("mixed_" + name, "Keys and values null, empty and filled; headers with duplicates, null values"
                + " and an empty name; " + name + ".", mixed(plain(codec.getValue())));
            if (!name.equals("none")) {
                write("large_" + name, "Three values of 70 kB, several blocks of " + name + ".",
                    large(plain(codec.getValue())));
            }
        }
        write("mixed_zstd_22", "The mixed records at zstd's highest level, whose window is the largest.",
            mixed(plain(Compression.zstd().level(22).build())));
        write("mixed_gzip_9", "The mixed records at gzip level 9.", mixed(plain(Compression.gzip().level(9).build())));
        write("mixed_lz4_9", "The mixed records at lz4 level 9.", mixed(plain(Compression.lz4().level(9).build())));
        write("two_batches", "Two batches in a row, plain and snappy.", inARow(mixed(plain(Compression.NONE)),
            mixed(batch(Compression.snappy().build(), TimestampType.CREATE_TIME, 25, -1, -1, -1, -1, false, -1))));
    }

    static void producersAndTimes() throws Exception {
        var wrap = batch(Compression.NONE, TimestampType.CREATE_TIME, 0, -1, 4711, 3, Integer.MAX_VALUE - 1, false, -1);
        for (int i = 0; i < 4; i++) wrap.append(i, bytes("k"), bytes("v" + i));
        write("idempotent_wrap", "An idempotent producer whose sequences wrap inside of the batch.", wrap.build());

        var lz4 = Compression.lz4().build();
        write("transactional_lz4", "A transactional batch at offset 4200, leader epoch 9.",
            mixed(batch(lz4, TimestampType.CREATE_TIME, 4200, -1, 4711, 3, 17, true, 9)));

        var append = batch(Compression.NONE, TimestampType.LOG_APPEND_TIME, 100, 1800000000000L, -1, -1, -1, false, 2);
        for (int i = 0; i < 3; i++) append.append(TIME + i, bytes("k"), bytes("v"));
        write("append_time", "LogAppendTime: every record has the log's time.", append.build());

        var none = plain(Compression.NONE);
        none.append(-1L, bytes("k"), bytes("no timestamp"));
        none.append(-1L, bytes("k"), bytes("no timestamp either"));
        write("no_timestamp", "Records without timestamps.", none.build());

        var far = plain(Compression.NONE);
        far.append(0L, bytes("k"), bytes("first"));
        far.append(Long.MAX_VALUE, bytes("k"), bytes("far future"));
        far.append(0L, bytes("k"), bytes("back"));
        write("far_timestamps", "Timestamps as far apart as they can be.", far.build());
    }

    static void whatCleanersLeave() throws Exception {
        var gzip = Compression.gzip().build();
        var holes = batch(gzip, TimestampType.CREATE_TIME, 1000, -1, -1, -1, -1, false, 1);
        holes.appendWithOffset(1003, 5L, bytes("a"), bytes("1"));
        holes.appendWithOffset(1010, 6L, bytes("b"), (byte[]) null);
        holes.overrideLastOffset(1019);
        write("compacted_gzip", "What a cleaner leaves: offsets with holes in front, between and behind.",
            holes.build());

        var horizon = new MemoryRecordsBuilder(new ByteBufferOutputStream(512), RecordBatch.MAGIC_VALUE_V2,
            Compression.NONE, TimestampType.CREATE_TIME, 50, -1, -1, (short) -1, -1, false, false, 1, 512,
            1900000000000L);
        horizon.append(TIME + 1, bytes("dead"), (byte[]) null);
        write("delete_horizon", "A tombstone with a delete horizon in the place of the base timestamp.",
            horizon.build());

        ByteBuffer empty = ByteBuffer.allocate(61);
        DefaultRecordBatch.writeEmptyHeader(empty, RecordBatch.MAGIC_VALUE_V2, 77, (short) 2, 5, 60, 69, 3,
            TimestampType.CREATE_TIME, TIME, true, false);
        empty.flip();
        write("empty_kept", "An empty batch that a cleaner keeps for the producer's sequence.",
            MemoryRecords.readableRecords(empty));
    }

    static void markers() throws Exception {
        write("control_commit", "The marker of a commit, coordinator epoch 11.",
            MemoryRecords.withEndTransactionMarker(0, TIME, -1, 4711, (short) 3,
                new EndTransactionMarker(ControlRecordType.COMMIT, 11)));
        write("control_abort", "The marker of an abort, coordinator epoch 0, at offset 12, leader epoch 4.",
            MemoryRecords.withEndTransactionMarker(12, TIME, 4, 0, (short) 0,
                new EndTransactionMarker(ControlRecordType.ABORT, 0)));
    }

    static MemoryRecordsBuilder plain(Compression codec) {
        return batch(codec, TimestampType.CREATE_TIME, 0, -1, -1, -1, -1, false, -1);
    }

    static MemoryRecordsBuilder batch(Compression codec, TimestampType type, long baseOffset, long appendTime,
            long producer, int epoch, int sequence, boolean transactional, int leaderEpoch) {
        return new MemoryRecordsBuilder(ByteBuffer.allocate(1 << 20), RecordBatch.MAGIC_VALUE_V2, codec, type,
            baseOffset, appendTime, producer, (short) epoch, sequence, transactional, false, leaderEpoch, 1 << 20);
    }

    static MemoryRecords mixed(MemoryRecordsBuilder to) {
        to.append(TIME, bytes("key-1"), bytes("value-1"));
        to.append(TIME + 5, (byte[]) null, bytes("no key"));
        to.append(TIME - 1000, bytes("tombstone"), (byte[]) null);
        to.append(TIME + 7, (byte[]) null, (byte[]) null, HEADERS);
        to.append(TIME + 3, new byte[0], new byte[0], HEADERS);
        for (int i = 0; i < 20; i++) {
            byte[] value = bytes("{\"temperature\":" + (20 + i) + ".5,\"unit\":\"C\"}");
            to.append(TIME + 10 + i, bytes("sensor-" + i % 4), value, new Header[] {new RecordHeader("n", bytes("" + i))});
        }
        return to.build();
    }

    static MemoryRecords large(MemoryRecordsBuilder to) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; text.length() < 70000; i++) text.append("reading ").append(i % 13).append("; ");
        for (int i = 0; i < 3; i++) to.append(TIME + i * 1000000000L, bytes("k" + i), bytes(text.toString()));
        return to.build();
    }

    static MemoryRecords inARow(MemoryRecords first, MemoryRecords second) {
        ByteBuffer both = ByteBuffer.allocate(first.sizeInBytes() + second.sizeInBytes());
        both.put(first.buffer().duplicate()).put(second.buffer().duplicate()).flip();
        return MemoryRecords.readableRecords(both);
    }

    static void write(String name, String note, MemoryRecords records) throws Exception {
        StringBuilder out = new StringBuilder("# " + note + "\n");
        out.append("# Written and read by Kafka 4.3.1 (MemoryRecordsBuilder, MemoryRecords).\n");
        out.append(facts(records)).append("bytes\n");
        String hex = HexFormat.of().formatHex(Utils.toArray(records.buffer().duplicate()));
        for (int at = 0; at < hex.length(); at += 96) {
            out.append(hex, at, Math.min(hex.length(), at + 96)).append("\n");
        }
        Files.writeString(folder.resolve(name + ".txt"), out.toString());
    }

    static String facts(MemoryRecords records) {
        StringBuilder out = new StringBuilder();
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            var horizon = batch.deleteHorizonMs();
            out.append("batch offsets=" + batch.baseOffset() + ".." + batch.lastOffset()
                + " epoch=" + batch.partitionLeaderEpoch() + " count=" + batch.countOrNull()
                + " max_timestamp=" + batch.maxTimestamp() + " compression=" + batch.compressionType().name
                + " append_time=" + (batch.timestampType() == TimestampType.LOG_APPEND_TIME)
                + " transactional=" + batch.isTransactional() + " control=" + batch.isControlBatch()
                + " producer=" + batch.producerId() + "/" + batch.producerEpoch()
                + " sequences=" + batch.baseSequence() + ".." + batch.lastSequence()
                + " horizon=" + (horizon.isPresent() ? "" + horizon.getAsLong() : "-")
                + " bytes=" + batch.sizeInBytes() + "\n");
            for (org.apache.kafka.common.record.internal.Record record : batch) {
                out.append("record " + record.offset() + " " + record.timestamp());
                out.append(" " + spell(array(record.key())) + " " + spell(array(record.value())));
                for (Header header : record.headers()) {
                    out.append(" " + spell(bytes(header.key())) + "=" + spell(header.value()));
                }
                out.append("\n");
            }
        }
        return out.toString();
    }

    static String spell(byte[] part) {
        if (part == null) return "-";
        if (part.length <= 64) return "x" + HexFormat.of().formatHex(part);
        CRC32C sum = new CRC32C();
        sum.update(part);
        return "#" + part.length + ":" + String.format("%08x", sum.getValue());
    }

    static byte[] array(ByteBuffer part) {
        return part == null ? null : Utils.toArray(part);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
