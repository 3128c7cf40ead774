//! The codes of the process, the cluster, the running pipeline and the machine, with the long
//! text of `millstream explain`. What is wrong in a pipeline file is told by `pipeline`.

/// A code and what `millstream explain` says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
}

/// Declares the codes and their texts together, so that none can lack its text.
macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(pub(crate) const $name: &str = $code;)*

        const ENTRIES: &[Entry] = &[$(Entry { code: $name, title: $title, text: $text },)*];
    };
}

codes! {
    CONFIG_FILE = "MS-0001", "a configuration file cannot be read",
        "The file named by --config or --env-file does not exist, may not be read, or has a line \
         that is not `name=value`. The message names the file and the line.";
    BAD_VALUE = "MS-0002", "a setting has a value of the wrong kind",
        "A number, a duration, a host and port or one of a few words was expected. The message \
         says what is wanted, and where the value came from: a flag, -X, the environment, an \
         .env file or the file of --config, in this order of strength.";
    UNKNOWN_SETTING = "MS-0003", "a setting of this name does not exist",
        "A name after -X or in the file of --config is not known. Names are Kafka's own \
         (linger.ms, isolation.level), so properties files of other clients can be used; a \
         misspelt name would otherwise be ignored in silence.";
    BAD_FORMAT = "MS-0004", "a format (-f) cannot be read",
        "A format holds tokens such as %k %v %t %p %o, escapes such as \\n, and text. The message \
         says at which character it goes wrong. `millstream consume --help` lists the tokens.";
    BAD_OFFSET = "MS-0005", "a place to read from (-o) cannot be read",
        "Known forms: start, end, N (that offset), -N (N before the end), +N (N after the start), \
         N:M (a range), @TIME and @TIME:TIME, where TIME is a date, a time of RFC 3339, \
         milliseconds since 1970 or an age such as -1h.";
    BAD_INPUT = "MS-0006", "a record of the input cannot be read",
        "`produce` reads records as -f says, or one JSON envelope per line with --json. What was \
         read before the faulty record has been produced; the message names its line.";
    UNUSED_VARIABLE = "MS-0007", "an environment variable is set but not used",
        "Variables that begin with MILLSTREAM_ belong to this program, and one that it does not \
         know is most likely misspelt. This is a warning: the command goes on.";
    ADVERTISE_NEEDED = "MS-0008", "other machines would be told an address that they cannot reach",
        "The log listens beyond this machine, so clients must be told the name under which they \
         reach it: --advertise host:port. Without it they would be sent to 127.0.0.1, which is \
         themselves.";
    PIPELINE_FILE = "MS-0009", "the pipeline file cannot be read",
        "The file does not exist, may not be read or is no text. A pipeline is one YAML file, or a \
         list of tasks and its configuration, given one after the other.";
    UNREACHABLE = "MS-2001", "nobody answers at the broker's address",
        "The address given by -b, MILLSTREAM_BROKERS or bootstrap.servers was tried and nobody \
         accepted the connection. Is the broker running, and on this port? Without any of them \
         the address is 127.0.0.1:9092.";
    NOT_KAFKA = "MS-2002", "what listens there does not speak Kafka's protocol",
        "The connection was accepted, but the answer was no answer to a Kafka request: the port \
         probably belongs to something else, such as a web server.";
    ADVERTISED_UNREACHABLE = "MS-2003", "the broker sends clients to an address that does not work",
        "A client connects to the bootstrap address and is then told each broker's advertised \
         address, which it must reach as well. Set advertised.listeners on the broker (for \
         Millstream: --advertise host:port) to a name that works from here.";
    PROBABLY_TLS = "MS-2004", "the broker closed the connection at once",
        "A listener that wants TLS hangs up when it is spoken to in plain text. Use the port of \
         the broker's PLAINTEXT listener: this version speaks no TLS.";
    TIMED_OUT = "MS-2005", "no answer came in time",
        "The broker is reachable but did not answer within the time of --timeout. It may be \
         starting, overloaded, or waiting for other brokers.";
    REFUSED = "MS-2006", "the broker refused the request",
        "The broker answered with an error of its own, which the message names as Kafka does.";
    NOT_AUTHORISED = "MS-2007", "the broker does not allow this",
        "The cluster has access rules, and this user has no right to what was asked.";
    UNKNOWN_TOPIC = "MS-2008", "the topic does not exist",
        "Topics are made by `millstream topic create`, or by producing to them where the broker \
         allows it (auto.create.topics.enable). Reading never makes one.";
    TOPIC_EXISTS = "MS-2009", "the topic exists already",
        "Nothing was changed. `millstream topic describe` shows what it is like.";
    UNSUPPORTED = "MS-2010", "the broker is too old or too new for this",
        "The broker speaks no version of the request that this program speaks as well.";
    NOT_DELIVERED = "MS-2011", "records were not acknowledged",
        "The connection broke, or the broker did not acknowledge the records in time. They may or \
         may not be in the log. With acks=all and idempotence, the default, repeating the command \
         after a complete failure cannot lose records, but may store them twice.";
    DAMAGED_BATCH = "MS-2012", "a record batch is damaged",
        "The bytes of a batch do not match their checksum or their own lengths. The message names \
         the partition and the offset.";
    OUT_OF_RANGE = "MS-2013", "the position is not in the log",
        "The records at this offset have been deleted by retention, or were never written. \
         Nothing is skipped silently: choose a place with -o.";
    UNKNOWN_GROUP = "MS-2014", "the consumer group does not exist",
        "No group of this name has members or committed offsets. `millstream group list` shows \
         those that do.";
    FENCED = "MS-3001", "the pipeline was started elsewhere",
        "Two processes ran the same pipeline. The one that came later has taken over, and the \
         earlier one stopped: what it had not committed was never visible and is done again by \
         the newcomer.";
    RECORD_FAILED = "MS-3002", "a record cannot be processed",
        "A task met a value that it cannot work with, and `on_error: fail` is the default. \
         Everything before that record is committed and nothing after it. `on_error: skip` or \
         `dead_letter` lets the pipeline go on.";
    PLAN_CHANGED = "MS-3003", "the stored state does not fit the changed file",
        "A task that keeps state was changed in a way that its stored state cannot follow. \
         `millstream pipeline reset FILE --task ID` drops the state of that task.";
    SINK_AHEAD = "MS-3004", "the database knows more than the log",
        "The database has positions beyond the end of the topic: the log was deleted or is \
         another one. Remove the database or bring the log back.";
    SINK_FAILED = "MS-3005", "a table cannot be written",
        "The database refused, or a record fits no row. Rows and positions change together, so \
         nothing was written by half; the message names the sink and, where one is to blame, the \
         record.";
    STATE_UNUSABLE = "MS-3006", "the stored state cannot be used",
        "A changelog or the plan topic of the pipeline holds what was not written by it, was \
         written by a newer Millstream, or cannot be read to its end because a transaction hangs \
         in it. The message names the topic.";
    GROUP_SHARED = "MS-3007", "two pipelines use one group",
        "The positions of the group were committed by another pipeline. Each of the two would go \
         on where the other one stopped, and so see only part of the data. A pipeline marks the \
         offsets that it commits with its name. Name another group with `group:` at the source; \
         or, if the other pipeline is not to run again, let `millstream pipeline reset` forget it.";
    TOPIC_UNFIT = "MS-3008", "a topic does not fit the pipeline",
        "A topic that the pipeline reads or keeps state in is missing or has a number of \
         partitions that does not fit: a key must meet itself in one task.";
    RESULT_TOO_LARGE = "MS-3009", "a result is larger than the log takes",
        "A record that the pipeline makes exceeds the largest batch that the broker accepts \
         (max.message.bytes), or what it makes of one record, or of 1,024 windows that close, \
         exceeds 64 MiB. The transaction under way was given up; what was committed before it \
         stays, and the next start begins there. Let the topic take larger batches, or make the \
         results smaller.";
    TASK_WITHOUT_STATE = "MS-3010", "the task keeps no state",
        "Only tasks that remember something per key (count, average) have state that can be \
         reset. Without --task the whole pipeline is reset.";
    NO_JOB = "MS-3011", "the cluster has no such pipeline",
        "Nothing of this name was applied to the cluster, or it has no room for more. \
         `millstream pipeline list` shows what there is, and `millstream pipeline apply FILE` adds \
         to it.";
    NOTHING_TO_DO = "MS-3012", "the pipeline is as it should become",
        "It was paused, stopped or running already. Nothing was changed; \
         `millstream pipeline status` shows how it is.";
    NOT_ON_TASK_MANAGERS = "MS-3013", "task managers do not run this",
        "Gateways measure one machine, and tables of SQLite lie in files of one machine: a cluster \
         that moves its work about cannot have them. Run the file with `millstream run`, or let \
         another pipeline fill the topic, or read it, there.";
    NO_LEADER = "MS-3014", "no job manager has answered",
        "The request lies in the log. A job manager that comes to lead within the hour still \
         carries it out. `millstream jobmanager` starts one.";
    OTHER_PROTOCOL = "MS-3015", "the cluster speaks another protocol between its nodes",
        "The cluster is led by a program of another version, whose nodes could misunderstand \
         this one's. Let all nodes run one version; the jobs stay as they are meanwhile.";
    ID_TAKEN = "MS-3016", "another process has the id of this node",
        "Two nodes were started with one id, and the later one stays: its slots would fence \
         those of the other. Give each node an id of its own with --id.";
    KEY_NOT_PARKED = "MS-3017", "the key is not parked",
        "No record of this key waits behind a dead letter at the task: it never did, or all of \
         them have left. `millstream dlq list FILE` shows the keys that wait; a key that is no \
         text is written in hexadecimal digits.";
    LETTERS_WITHOUT_ORDER = "MS-3018", "no key waits behind dead letters",
        "With `dead_letter: plain`, or when no task says `on_error: dead_letter`, no record waits \
         behind another one, so there is nothing to be released, replayed or dropped. The letters \
         are records of a topic, and `millstream produce` puts them into a source again.";
    STATE_LIMIT = "MS-3020", "the state takes more memory than it may",
        "What the tasks of the pipeline remember per key has come to its limit in this process: \
         `memory_limit` of the file's `runtime: { state: ... }`, 1GiB when it names none. \
         Everything before is committed and nothing is lost; a start with more room goes on \
         there. With `spill: disk` the state lies in files of the data folder, and memory holds \
         what is in use. A `ttl` lets a count forget keys that have been silent.";
    STATE_DISK = "MS-3021", "the state on disk cannot be worked with",
        "With `spill: disk` the state of a pipeline lies below state/spill in the data folder. The \
         disk refused to read or write there, or another process has the files open. Everything \
         before is committed. The folder may be removed while the pipeline stands: all that is in \
         it is read again from the changelogs.";
    CLUSTER_TOPIC_UNFIT = "MS-3022", "a topic of the cluster has more than one partition",
        "The nodes of a cluster read and write the first partition of its topics (`__ms.cluster`, \
         `__ms.beats`, `__ms.requests`, `__ms.answers`), so that all see the same in the same \
         order. Somebody made one of them with more: a broker that makes topics by itself, when a \
         program asked for it. Nothing was changed. `__ms.beats`, `__ms.requests` and \
         `__ms.answers` may be deleted while no node runs; `__ms.cluster` holds the pipelines, \
         which must then be applied again.";
    NO_EDGE = "MS-3030", "the pipeline has no such edge",
        "An edge is named by both of its ends (`a->b`) or by one of them: sources, tasks and sinks \
         by their names. The message lists those that there are; `millstream pipeline graph FILE` \
         draws them.";
    FUSED_EDGE = "MS-3031", "nobody can be asked for the records of the edge",
        "The two tasks run in one call, so only the processes that run them can tell what passes: \
         they are asked over HTTP, where the beats of a cluster or --http say. None answers, or \
         none runs the pipeline. With `edges: topics` in the file a topic lies on every edge, with \
         the same results.";
    NO_STATE_OF_KEY = "MS-3032", "the task remembers nothing of the key",
        "It never came, its windows have closed, or what the task knows of it is not committed \
         yet. `millstream state keys NAME TASK` lists what there is; a key that is no text is \
         given with --hex.";
    MUST_REST = "MS-3033", "the pipeline must not run meanwhile",
        "Its positions and its state are about to be changed, and whoever runs it would go on with \
         what it has in memory. Stop it first; a foreground run on another machine cannot be seen \
         from here, and is fenced instead.";
    TASK_MANAGERS_MISSING = "MS-3040", "task managers have not answered",
        "A job manager that is given a pipeline says `sos` at its start, on the topic __ms.sos, \
         and waits until as many task managers have answered as the configuration names \
         (`task_managers`). Those that did are named. Start the others with \
         `millstream taskmanager --config FILE`, then the job manager again; `--wait TIME` lets \
         it wait for longer.";
    ARC_SHARED = "MS-3041", "two pipelines would share a topic between processors",
        "In a bare list the topic of an arc from p1 to p2 is called p1_p2, whatever the pipeline \
         is called: a second pipeline with an arc of the same name would read the records of the \
         first. Nothing was changed. Give its processors other ids, or write it in the new form \
         (`millstream pipeline upgrade`), where the names begin with the pipeline's. A file that \
         was only renamed goes on when its configuration has `name:` with the old name.";
    TOPIC_GONE = "MS-3050", "a topic was deleted while the pipeline ran",
        "A topic that the pipeline reads or writes was deleted, or was deleted and made again: \
         another topic of that name has other records at the same offsets. What was committed \
         before stays. The next start makes a missing topic anew, reads sources from where they \
         begin, and goes on with the state that there is.";
    TOPIC_LOST = "MS-3051", "a topic is gone that held state or records",
        "The pipeline has read its sources up to its positions, and what it made of that is gone: \
         the changelog of a task, or a topic between two tasks. Going on would give wrong results \
         without a word. `millstream pipeline reset FILE` lets it begin anew, and with --task ID \
         only that task begins with empty state.";
    NO_TRANSACTIONS = "MS-3052", "the broker has no transactions",
        "Results, state and positions are one transaction, and job managers keep what they agree \
         on in transactions. The broker does not speak the requests for that (InitProducerId and \
         those that follow). Apache Kafka does since 0.11, and so does `millstream up`. Nothing \
         was read or written.";
    TRANSACTION_TIMEOUT = "MS-3053", "the broker allows only shorter transactions",
        "A transaction of a pipeline may stay open for 10 seconds before the broker aborts it, \
         and the broker's transaction.max.timeout.ms is less than that (Kafka's usual value is \
         15 minutes). Nothing was read or written.";
    CLOCKS_APART = "MS-3054", "the clocks of the machines are minutes apart",
        "A node of the cluster has another time than the log. Nothing is lost by it: who is there \
         and who leads follows from the order of the log. But records that are stamped there have \
         the wrong time, so windows put them elsewhere or leave them out as late. Set the clock, \
         best with NTP. This is a warning.";
    OTHER_CLUSTER = "MS-3055", "the node belongs to another cluster",
        "The data folder keeps the id of the node and of the cluster that it has joined, and the \
         log at this address has another id: it is another cluster, or its data was deleted. Use \
         the address of the cluster, another folder (--data), or a name of its own (--id).";
    PORT_TAKEN = "MS-5001", "the port is taken",
        "Another process listens on it; the message names it where the system tells. Stop it, \
         use it (-b host:port), or listen elsewhere (--listen 127.0.0.1:0 takes a free port).";
    FOLDER_IN_USE = "MS-5002", "the data folder is in use",
        "Another process holds the lock of the folder. Use the log that it serves \
         (-b host:port), or another folder (--data DIR).";
    FOLDER_UNUSABLE = "MS-5003", "the data folder cannot be used",
        "The folder cannot be made, read or written. The message has the path and what the \
         system says: permissions, a full disk, a file in the folder's place.";
    LOG_UNUSABLE = "MS-5004", "the log in the data folder cannot be opened",
        "Its files are damaged beyond what recovery mends by itself, or were written by a newer \
         Millstream. Nothing was changed. Torn ends of files are no such damage: they are cut \
         off at the start, and logged.";
    CANNOT_LISTEN = "MS-5005", "the address cannot be listened on",
        "The address does not belong to this machine, or listening on it is not allowed.";
    MACHINE = "MS-5006", "the system refused something",
        "A thread, a file or a signal handler could not be had. The message has what the system \
         says.";
}

/// All codes of this crate, sorted.
pub(crate) fn entries() -> &'static [Entry] {
    ENTRIES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique_over_both_tables() {
        assert!(ENTRIES.is_sorted_by(|left, right| left.code < right.code));
        for entry in ENTRIES {
            assert!(topology::diagnose::explanation(entry.code).is_none(), "{}", entry.code);
            assert!(entry.title.len() > 10 && entry.text.len() > 40, "{}", entry.code);
        }
    }
}
