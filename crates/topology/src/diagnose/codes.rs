//! Every MS-1xxx code with its title and the long text of `millstream explain`.

use std::fmt;

/// A stable code of a diagnostic, such as `MS-1005`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

impl Code {
    /// The code as it is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What `millstream explain` says about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// The problem in a few words.
    pub title: &'static str,
    /// What it means and what to do, in a few sentences.
    pub text: &'static str,
}

/// Declares the codes and their explanations together, so that none can lack its text.
macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        /// The codes by name.
        #[expect(missing_docs, reason = "each code's meaning is its explanation")]
        pub mod code {
            use super::Code;
            $(pub const $name: Code = Code($code);)*
        }

        const EXPLANATIONS: &[Explanation] = &[
            $(Explanation { code: code::$name, title: $title, text: $text },)*
        ];
    };
}

codes! {
    INVALID_YAML = "MS-1001", "the file is not valid YAML",
        "The file could not be read as YAML, so nothing in it was checked. Look at the marked \
         line and the one above it: the usual reasons are indentation that does not line up, a \
         tab, a missing colon or a quote that is never closed.";
    UNKNOWN_FIELD = "MS-1002", "unknown field",
        "The grammar has no field of this name here. A misspelt field would otherwise be ignored \
         in silence, so it is an error. `x-...` fields at the top of the file are left to you.";
    WRONG_VALUE = "MS-1003", "a field has a value of the wrong kind",
        "The field wants another kind of value: a number instead of a text, a list instead of a \
         mapping, one of a few words. The message says what is wanted and what was found.";
    UNKNOWN_TYPE = "MS-1004", "unknown task type",
        "A task's `type` is one of forward, sum, count, average, filter and map.";
    UNKNOWN_TARGET = "MS-1005", "a task sends to something that does not exist",
        "Each entry of `to` is the id of a task, the name of a sink or the word `sink`.";
    DUPLICATE = "MS-1006", "something is named twice",
        "Ids of tasks, names of sinks and sources, and the fields of one mapping must differ. \
         Both places are shown. An alias (such as `checkpoint_interval`) counts as its field.";
    MISSING_FIELD = "MS-1007", "a required field is missing",
        "The mapping lacks a field that it cannot do without. The help shows how to write it.";
    RESERVED_NAME = "MS-1008", "the name is reserved",
        "`source` and `sink` mean the beginning and the end of a pipeline and cannot name a task.";
    BAD_NAME = "MS-1009", "the name has characters that are not allowed",
        "Names become parts of topic names, group names and file names, so they consist of ASCII \
         letters, digits, `.`, `_` and `-`, and are at most 100 long (topics: 249).";
    LOOP = "MS-1010", "tasks form a loop",
        "Records would run in a circle for ever. Each arrow of the loop is shown with its line; \
         take one of them away.";
    NO_WAY_OUT = "MS-1011", "a task has no way from the source or to a sink",
        "Each task must be reached from a source, and each task must lead to a sink; otherwise \
         its work is for nothing.";
    NO_UNIT = "MS-1012", "a number has no unit",
        "Durations carry their unit (500ms, 10s, 5m, 1h, 7d), and so do sizes (256MiB, 2GiB). A \
         bare number would leave open which one is meant.";
    EMPTY_TARGETS = "MS-1013", "`to` is an empty list",
        "A task that sends nowhere does nothing. Write `to: sink`, or leave `to` out, which means \
         the same.";
    CONFLICT = "MS-1014", "two things exclude each other",
        "Both fields say the same thing in different ways, or contradict one another. Keep one.";
    UNSET_VARIABLE = "MS-1015", "a variable of the file has no value",
        "`${NAME}` takes the value of an environment variable, `${NAME:-text}` has a default, \
         `${NAME:?why}` a reason, `${file:/path}` reads a file, `$${` writes `${`. A missing \
         value is an error and never an empty text.";
    OUT_OF_RANGE = "MS-1016", "a number is outside its range",
        "The message names the smallest and the largest value that make sense here.";
    COLLIDING_NAMES = "MS-1017", "two names differ only in `.` and `_`",
        "Kafka takes `.` and `_` for one character in the names of its metrics and refuses topics \
         that differ in nothing else.";
    SAME_TOPIC = "MS-1018", "two parts of the pipeline use one topic",
        "Two arcs, or an arc and a source or sink, would share a topic and see each other's \
         records. Rename a task.";
    SINK_KEY = "MS-1019", "the key columns of a table do not fit",
        "The rows of a table are told apart by its key columns: `key` by default, `key` and \
         `window_start` behind a window. Every task that feeds the table must write all of them.";
    BAD_EXPRESSION = "MS-1020", "an expression cannot be read",
        "Expressions consist of paths (`temp_c`, `a.b`, `a[0]`), facts of the record (`@key`, \
         `@timestamp`, `@topic`, `@partition`, `@offset`, `@headers.name`), numbers, texts in \
         quotes, true, false, null, the operators ! - * / % + < <= > >= == != in && || ?: and \
         functions.";
    UNKNOWN_FUNCTION = "MS-1021", "an expression calls a function that does not exist",
        "The functions are len, lower, upper, trim, contains, starts_with, ends_with, abs, round, \
         floor, ceil, min, max, number, text, coalesce and exists. The message also names a wrong \
         number of arguments.";
    EXPRESSION_TYPES = "MS-1022", "an expression mixes kinds of values",
        "The operator or function cannot work on this kind of value: for example a text minus a \
         number, or a condition that is a number. `number(x)` and `text(x)` convert.";
    BAD_WINDOW = "MS-1023", "the window does not fit the task",
        "`average` needs a window (`window: 10s`), and so do `grace` and `emit`. A hopping window \
         has `every` smaller than or equal to `size`.";
    UNKNOWN_SOURCE = "MS-1024", "a task reads from a source that does not exist",
        "`from` names entries of `sources`. With several sources every task that no one sends to \
         says which it reads.";
    TOO_LARGE = "MS-1025", "the file is too large or too deeply nested",
        "A pipeline file may have 1 MiB, 1,000 tasks and 64 levels, aliases expanded.";
    TOPIC_LOOP = "MS-1026", "the pipeline would read what it writes",
        "A topic is both a source and a sink, so every output would come back as an input.";
    NO_SOURCE = "MS-1027", "the pipeline has no source",
        "Write `source: { topic: ... }`, or one `ingest` gateway whose topic is then the source.";
    FIELD_OF_OTHER_TYPE = "MS-1028", "the field belongs to another type of task",
        "The field exists, and this type of task has no use for it: for example `where` belongs \
         to `filter`, `set` to `map`, `window` to `count` and `average`.";
    UNKNOWN_SINK = "MS-1029", "unknown kind of sink",
        "A sink is made of `kafka: { topic }` and `sqlite: { file, table }`, one or both.";
    NO_SINK = "MS-1030", "the pipeline has no sink",
        "Write `sink: { kafka: { topic: ... } }`, or `sinks:` with several of them by name.";
    AMBIGUOUS_SINK = "MS-1031", "the word `sink` could mean several sinks",
        "With several entries in `sinks` a task names the ones it sends to.";
    WRONG_FORM = "MS-1032", "the file is no pipeline",
        "A pipeline file is a list of tasks, a configuration with a list under `pipeline`, or a \
         mapping that begins with `version: 1`.";
    IMPLICIT_SINK = "MS-1050", "a task without `to` sends to the sink",
        "Nothing is wrong; write `to: sink` to make it visible.";
    HOPPING = "MS-1051", "a record is counted in several windows",
        "A hopping window (`{ size, every }`) starts anew at each step, so each record belongs to \
         size divided by step windows.";
    DEFAULT_WINDOW = "MS-1052", "`average` without a window uses 10 s",
        "In the short form of a pipeline `average` needs no window; it then takes tumbling \
         windows of ten seconds.";
    GUARANTEE = "MS-1053", "what is promised along this path",
        "Topics: outputs, state and positions are in one Kafka transaction. Databases: rows and \
         positions are in one database transaction, fenced by an epoch. Both are exactly once.";
    DEAD_LETTER_GAP = "MS-1054", "a dead letter leaves a gap in its key",
        "With `dead_letter: plain` a record that fails is put aside, and later records of its key \
         go on without it. Leave the word out, and they wait behind it until somebody decides.";
    UNUSED = "MS-1055", "something is declared and never used",
        "The source, sink, gateway or topic setting has no task that uses it.";
    REWRITTEN_ROWS = "MS-1056", "later windows overwrite earlier rows",
        "The table's key has no `window_start`, so it holds the newest window of each key only.";
    AT_LEAST_ONCE = "MS-1057", "records may be delivered twice",
        "`delivery: at_least_once` writes without transactions: after a crash some outputs come \
         again.";
    ALWAYS_NULL = "MS-1058", "a field that is never there",
        "The records that come in are made by a `count` or an `average`, and their documents have \
         only the fields that the message names. The record's key is `@key`.";
    LETTERS_WAIT = "MS-1059", "records wait behind a dead letter of their key",
        "Once a record of a key is parked at a task, later records of that key wait behind it in \
         the dead-letter topic, in order, and other keys go on. `millstream dlq list FILE` shows \
         the keys that wait; `dlq release` leaves the record out and lets the others through, \
         `dlq replay` runs it again, after the file was mended, and `dlq drop` takes all of them \
         out. `dead_letter: plain` lets a key go on with a gap instead.";
    RETRY_AT_ONCE = "MS-1060", "a record that fails is not tried again",
        "`on_error: retry` is for failures that pass with time. A task that works on nothing but \
         the record itself and its own state fails in the same way each time, so what `then` says \
         is done at once: waiting would only hold up the records behind. The log itself, when it \
         is away for a while, is waited for whatever `on_error` says.";
}

/// All codes with their texts, in the order of the codes.
#[must_use]
pub fn explanations() -> &'static [Explanation] {
    EXPLANATIONS
}

/// The text for a code such as `MS-1005` (case and the `MS-` may vary); `None` when unknown.
#[must_use]
pub fn explanation(code: &str) -> Option<&'static Explanation> {
    let wanted = code.trim().to_ascii_uppercase();
    let number = wanted.strip_prefix("MS-").unwrap_or(&wanted);
    EXPLANATIONS.iter().find(|known| known.code.0.strip_prefix("MS-") == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_explained() {
        for pair in EXPLANATIONS.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} before {}", pair[0].code, pair[1].code);
        }
        for known in EXPLANATIONS {
            assert!(known.code.as_str().starts_with("MS-1"), "{}", known.code);
            assert!(known.text.ends_with('.') && !known.title.ends_with('.'), "{}", known.code);
        }
    }

    #[test]
    fn codes_are_found_as_people_type_them() {
        assert_eq!(explanation("ms-1005").map(|known| known.code), Some(code::UNKNOWN_TARGET));
        assert_eq!(explanation("1005").map(|known| known.code), Some(code::UNKNOWN_TARGET));
        assert_eq!(explanation("MS-9999"), None);
    }
}
