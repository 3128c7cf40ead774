// The Java client, Kafka's console tools and Kafka Streams against a broker.
//
//   Suite --bootstrap HOST:PORT --scratch FOLDER [--only TEXT]
//
// Prints `ok NAME` or `FAIL NAME: why` per case and exits 1 when a case failed. A case's name is a cell of the README's
// compatibility table.
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;

public class Suite {
    interface Work { void run() throws Exception; }
    record Case(String name, Work work) {}

    /** A healthy broker needs a tenth of this. */
    static final long SUITE_SECONDS_MAX = 120;

    static final PrintStream OUT = System.out;
    static final AtomicInteger passed = new AtomicInteger();
    static String bootstrap;
    static Path scratch;

    public static void main(String[] arguments) throws Exception {
        Map<String, String> given = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) given.put(arguments[i], arguments[i + 1]);
        bootstrap = given.get("--bootstrap");
        scratch = Path.of(given.get("--scratch"));
        String only = given.getOrDefault("--only", "");
        String[] address = bootstrap.split(":");
        new java.net.Socket(address[0], Integer.parseInt(address[1])).close();
        // Tools share one standard output, so they run one after another, and clients beside them.
        List<List<Case>> lanes = List.of(Tools.cases(), Streams.cases(), Clients.cases());
        ExecutorService lanesPool = Executors.newFixedThreadPool(lanes.size());
        ExecutorService clientPool = Executors.newFixedThreadPool(2);
        List<Future<?>> running = new ArrayList<>();
        int count = 0;
        for (List<Case> lane : lanes) {
            List<Case> wanted = lane.stream().filter(c -> c.name().contains(only)).toList();
            count += wanted.size();
            if (lane == lanes.get(2)) wanted.forEach(c -> running.add(clientPool.submit(() -> run(c))));
            else running.add(lanesPool.submit(() -> wanted.forEach(Suite::run)));
        }
        long end = System.nanoTime() + SUITE_SECONDS_MAX * 1_000_000_000L;
        try {
            for (Future<?> one : running) one.get(Math.max(1, end - System.nanoTime()), TimeUnit.NANOSECONDS);
        } catch (TimeoutException late) {
            say("FAIL the rest: not within the suite's time");
        }
        say(passed.get() + " of " + count + " cases passed");
        // Clients that a failed case left open must not keep the program alive.
        Runtime.getRuntime().halt(count > 0 && passed.get() == count ? 0 : 1);
    }

    static void run(Case one) {
        long began = System.nanoTime();
        String line;
        try {
            one.work().run();
            passed.incrementAndGet();
            line = "ok " + one.name();
        } catch (Throwable error) {
            line = "FAIL " + one.name() + ": " + told(error);
        }
        long seconds = (System.nanoTime() - began) / 1_000_000_000;
        say(line + (seconds > 5 ? " (" + seconds + " s)" : ""));
    }

    static String told(Throwable error) {
        String at = Arrays.stream(error.getStackTrace()).filter(f -> !f.getClassName().startsWith("java.") && f.getModuleName() == null)
            .filter(f -> Set.of("Suite", "Tools", "Streams", "Clients").contains(f.getClassName().split("\\$")[0]))
            .findFirst().map(f -> " (" + f.getFileName() + ":" + f.getLineNumber() + ")").orElse("");
        return (error + at).replace("\n", " ");
    }

    static synchronized void say(String line) {
        OUT.println(line);
        OUT.flush();
    }

    // ---- what all cases share ----
    static String unique(String stem) {
        return stem + "-" + UUID.randomUUID().toString().substring(0, 12);
    }

    static void equal(Object found, Object wanted, String what) {
        if (!Objects.equals(found, wanted)) throw new AssertionError(what + ": found " + found + ", wanted " + wanted);
    }

    static void holds(boolean fact, String what) {
        if (!fact) throw new AssertionError("does not hold: " + what);
    }

    interface Fact { boolean holds() throws Exception; }

    /** Asks until the fact holds; the pause only spares the processor. */
    static void waitFor(String what, Fact fact) throws Exception {
        long end = System.nanoTime() + 20_000_000_000L;
        while (!fact.holds()) {
            if (System.nanoTime() > end) throw new AssertionError("not within 20 s: " + what);
            Thread.sleep(20);
        }
    }
}
