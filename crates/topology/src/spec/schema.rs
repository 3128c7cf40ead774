//! The grammar of pipeline files as a JSON Schema (draft-07), for editors.
//!
//! Words, aliases and bounds come from the tables that the readers use; a test compares every
//! field with what the readers know. Choices are `if`/`then`/`else` and never `oneOf`, because an
//! editor then says what is wrong with a field and not that nothing fits the whole file. The schema
//! asks for a little more than the reader does: a field is left out rather than left empty, and
//! true and false stand without quotes.

use serde_json::{Map, Value, json};

use super::errors::{ON_ERROR_WORDS, ORDER_WORDS, RULE_WORDS};
use super::reader::ALIASES;
use super::task::{EMIT_WORDS, TYPES};
use super::{FULL_FIELDS, Form, edges, full, legacy};
use crate::limits::{
    NAME_BYTES_MAX, PARALLELISM_MAX, PARTITIONS_MAX, RETRIES_MAX, STANDBY_MAX, TASKS_MAX,
    TOPIC_BYTES_MAX,
};

/// Where the schema can be found; stable for version 1 of the grammar.
pub const SCHEMA_ID: &str = "https://millstream.dev/schema/pipeline-v1.json";

/// The first line of files that are written for people: it tells editors where the schema is.
#[must_use]
pub fn schema_line() -> String {
    format!("# yaml-language-server: $schema={SCHEMA_ID}\n")
}

/// The schema as one JSON document.
#[must_use]
pub fn schema() -> String {
    let begins_full: Vec<Value> =
        FULL_FIELDS.iter().map(|name| json!({ "required": [name] })).collect();
    let root = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_ID,
        "title": "Millstream pipeline",
        "description": "A pipeline file of Millstream: `version: 1`, or a list of tasks.",
        "if": { "type": "array" },
        "then": refer("old_tasks"),
        "else": {
            "if": { "type": "object", "anyOf": begins_full },
            "then": refer("pipeline"),
            "else": refer("configuration"),
        },
        "definitions": definitions(),
    });
    format!("{root:#}\n")
}

fn definitions() -> Value {
    let all = [
        ("pipeline", pipeline()),
        ("configuration", configuration()),
        ("cluster", cluster()),
        ("runtime", runtime()),
        ("state", state()),
        ("gateway", gateway()),
        ("source", source()),
        ("format", format()),
        ("json", json_format()),
        ("tasks", tasks("task")),
        ("task", task(Form::Full)),
        ("old_tasks", tasks("old_task")),
        ("old_task", task(Form::Legacy)),
        ("window", window()),
        ("retry", retry()),
        ("sink", sink()),
        ("dead_letter", dead_letter()),
        ("topic", topic_alone()),
        ("table", table()),
        ("topic_settings", topic_settings()),
        ("test", test()),
        ("step", step()),
        ("record", mapping("A record.", &[], record_fields())),
        ("error", error()),
    ];
    Value::Object(all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// `version: 1`.
fn pipeline() -> Value {
    let mut root = mapping(
        "A pipeline.",
        &["version", "tasks"],
        vec![
            ("version", json!({ "const": 1, "description": "The version of the grammar." })),
            ("name", name("The pipeline's name; the file's when it is left out.", NAME_BYTES_MAX)),
            ("cluster", refer("cluster")),
            ("runtime", refer("runtime")),
            ("partitions", whole("Partitions of the topics that it makes.", PARTITIONS_MAX)),
            ("edges", words("When there are topics between tasks.", &edges::EDGES_WORDS)),
            ("ingest", by_name("Gateways that feed topics.", NAME_BYTES_MAX, refer("gateway"))),
            ("source", refer("source")),
            ("sources", by_name("Topics that it reads.", NAME_BYTES_MAX, refer("source"))),
            ("on_error", words("What becomes of records that fail.", &RULE_WORDS)),
            ("retry", refer("retry")),
            ("tasks", refer("tasks")),
            ("sink", refer("sink")),
            ("sinks", by_name("Places for results.", NAME_BYTES_MAX, refer("sink"))),
            ("dead_letter", refer("dead_letter")),
            ("topics", by_name("Single topics.", TOPIC_BYTES_MAX, refer("topic_settings"))),
            ("tests", json!({ "type": "array", "items": refer("test") })),
        ],
    );
    root["patternProperties"] = json!({ "^x-": true });
    root["dependencies"] = json!({
        "source": { "properties": { "sources": false } },
        "sink": { "properties": { "sinks": false } },
    });
    root["allOf"] = json!([
        { "if": { "anyOf": [{ "required": ["sources"] }, { "required": ["ingest"] }] },
          "else": { "required": ["source"] } },
        { "if": { "required": ["sinks"] }, "else": { "required": ["sink"] } },
    ]);
    root
}

/// What stands around or beside a list of tasks.
fn configuration() -> Value {
    let instances = "Instances of each processor.";
    let mut root = mapping(
        "A list of tasks with its settings.",
        &[],
        vec![
            ("name", name("The pipeline's name; the file's when it is left out.", NAME_BYTES_MAX)),
            ("brokers", text("Addresses of the cluster.")),
            ("broker_port", whole("The port, when the address has none.", legacy::PORT_MAX)),
            ("task_managers", whole("Processes that share the work.", PARALLELISM_MAX)),
            ("parallelism", whole(instances, PARALLELISM_MAX)),
            ("commit_interval", duration("The longest time between commits.")),
            ("edges", words("When there are topics between tasks.", &edges::EDGES_WORDS)),
            ("partitions", whole("Partitions of the topics that it makes.", PARTITIONS_MAX)),
            ("source_topic", name("The topic that it reads.", TOPIC_BYTES_MAX)),
            ("sink_topic", name("The topic of the results.", TOPIC_BYTES_MAX)),
            ("pipeline", refer("old_tasks")),
        ],
    );
    root["patternProperties"] = json!({ "^x-": true });
    root
}

fn cluster() -> Value {
    let properties = json!({ "type": "object", "additionalProperties": text("Kafka's value."),
        "description": "Client properties under Kafka's names." });
    mapping(
        "Where the log is.",
        &[],
        vec![
            ("brokers", texts("host:port, a list of them, or the word embedded.")),
            ("properties", properties),
        ],
    )
}

fn runtime() -> Value {
    mapping(
        "How it runs.",
        &[],
        vec![
            ("task_managers", whole("Processes that share the work.", PARALLELISM_MAX)),
            ("parallelism", whole("Slots of each process.", PARALLELISM_MAX)),
            ("commit_interval", duration("The longest time between commits.")),
            ("delivery", words("What is promised.", &full::DELIVERY_WORDS)),
            ("state", refer("state")),
        ],
    )
}

fn state() -> Value {
    mapping(
        "Where state is kept.",
        &[],
        vec![
            ("memory_limit", size("Memory for the state in each process.")),
            ("spill", words("Where state beyond it lies.", &full::SPILL_WORDS)),
            ("snapshot_interval", duration("Time between two snapshots of state in memory.")),
            ("standby", whole_from(0, "Copies of each task's state at others.", STANDBY_MAX)),
        ],
    )
}

fn gateway() -> Value {
    mapping(
        "A gateway: readings that become records of a topic.",
        &["type", "topic"],
        vec![
            ("type", words("What it reads.", &edges::GATEWAY_WORDS)),
            ("every", duration("The time between two readings.")),
            ("topic", name("The topic that it feeds.", TOPIC_BYTES_MAX)),
            ("retention", duration("How long the topic keeps its records.")),
        ],
    )
}

fn source() -> Value {
    let fields = mapping(
        "A topic that the pipeline reads.",
        &["topic"],
        vec![
            ("topic", name("The topic.", TOPIC_BYTES_MAX)),
            ("group", name("The consumer group of its positions.", NAME_BYTES_MAX)),
            ("start", words("Where to begin when nothing is committed.", &edges::START_WORDS)),
            ("format", refer("format")),
            ("event_time", text("An expression for the time of a record.")),
            ("max_out_of_order", duration_or_none("How late a record may come.")),
            ("idle", duration("How long a silent partition holds time back.")),
        ],
    );
    mapping_or(fields, name("The topic that it reads.", TOPIC_BYTES_MAX))
}

fn format() -> Value {
    let fields = mapping("What values are.", &["json"], vec![("json", refer("json"))]);
    mapping_or(fields, words("What values are.", &edges::FORMAT_WORDS))
}

fn json_format() -> Value {
    let validate = truth("Whether the whole document is checked.");
    mapping("JSON documents.", &[], vec![("validate", validate)])
}

fn tasks(one: &str) -> Value {
    json!({ "type": "array", "minItems": 1, "maxItems": TASKS_MAX, "items": refer(one),
        "description": "What is done, in a list." })
}

/// The fields of every task; those of its type are told by `if type == ...`.
fn task(form: Form) -> Value {
    let common = vec![
        ("id", name("Its id; topics and groups are made of it.", NAME_BYTES_MAX)),
        ("type", one_of("What it does.", &TYPES)),
        ("to", texts("Tasks or sinks that get what it gives.")),
        ("from", texts("Sources that it reads, when there are several.")),
        ("key", text("An expression for the key of what comes in.")),
        ("event_time", text("An expression for the time of what comes in.")),
        ("on_error", words("What becomes of a record that fails.", &RULE_WORDS)),
        ("retry", refer("retry")),
        ("partitions", whole("Partitions of the topics that lead to it.", PARTITIONS_MAX)),
    ];
    let names: Vec<&str> = common.iter().map(|(name, _)| *name).collect();
    let types = TYPES.iter().map(|word| {
        let known = names.iter().map(|name| (*name, json!(true)));
        let (required, fields) = fields_of(word, form);
        let mut then = mapping("", required, known.chain(fields).collect());
        match *word {
            "count" => {
                let alone = json!({ "properties": { "window": false } });
                then["dependencies"] =
                    json!({ "grace": ["window"], "emit": ["window"], "ttl": alone });
            }
            "map" => {
                then["if"] = json!({ "required": ["unset"] });
                then["else"] = json!({ "required": ["set"] });
            }
            _ => {}
        }
        let condition =
            json!({ "required": ["type"], "properties": { "type": { "const": word } } });
        json!({ "if": condition, "then": then })
    });
    let types: Vec<Value> = types.collect();
    let mut task = mapping("One task.", &["id", "type"], common);
    // Which fields there are is said by the type; a misspelt type must not make them all wrong.
    task["additionalProperties"] = json!(true);
    task["allOf"] = Value::Array(types);
    task
}

/// What a type of task needs, and the fields that it has beside the common ones.
fn fields_of(word: &str, form: Form) -> (&'static [&'static str], Vec<(&'static str, Value)>) {
    let windowed = || {
        vec![
            ("window", refer("window")),
            ("grace", duration_or_none("How long after its end a window takes records.")),
            ("emit", words("When a window gives its result.", &EMIT_WORDS)),
        ]
    };
    match word {
        "sum" => {
            let add = number("What is added; 1 when it is left out.");
            (&[], vec![("field", text("The path of the number.")), ("add", add)])
        }
        "count" => {
            let mut fields = windowed();
            fields.push(("ttl", duration("How long a key is remembered after its last record.")));
            (&[], fields)
        }
        "average" => {
            let required: &[&str] = if form == Form::Full { &["window"] } else { &[] };
            let mut fields = windowed();
            fields.push(("value", text("An expression for the number.")));
            (required, fields)
        }
        "filter" => (&["where"], vec![("where", text("A condition; others are left out."))]),
        "map" => {
            let set = json!({ "type": "object", "additionalProperties": text("An expression."),
                "description": "Fields to set: path and expression." });
            (&[], vec![("set", set), ("unset", texts("Paths of fields to remove."))])
        }
        _ => (&[], Vec::new()),
    }
}

fn window() -> Value {
    let fields = mapping(
        "Windows that overlap.",
        &["size"],
        vec![
            ("size", duration("The length of a window.")),
            ("every", duration("The time between two beginnings.")),
        ],
    );
    mapping_or(fields, duration("The length of a window."))
}

fn sink() -> Value {
    let tables = json!({ "if": { "type": "array" }, "then": { "items": refer("table") },
        "else": refer("table") });
    let kafka = topic_or("The topic of the results.");
    let mut sink = mapping("Where results go.", &[], vec![("kafka", kafka), ("sqlite", tables)]);
    sink["minProperties"] = json!(1);
    sink
}

fn retry() -> Value {
    mapping(
        "How a record is tried again whose failure may pass with time.",
        &[],
        vec![
            ("limit", whole("How often, at most.", RETRIES_MAX)),
            ("backoff", duration("The first pause; each is twice the one before.")),
            ("backoff_max", duration("The longest pause.")),
            ("then", words("What becomes of it at last.", &ON_ERROR_WORDS)),
        ],
    )
}

fn dead_letter() -> Value {
    let fields = mapping(
        "Records that failed.",
        &[],
        vec![
            ("topic", name("Their topic.", TOPIC_BYTES_MAX)),
            ("order", words("What later records of a key do.", &ORDER_WORDS)),
        ],
    );
    mapping_or(fields, name("Their topic, or the word plain or sequenced.", TOPIC_BYTES_MAX))
}

/// A topic's name, or a mapping that has nothing else.
fn topic_or(about: &str) -> Value {
    mapping_or(refer("topic"), name(about, TOPIC_BYTES_MAX))
}

fn topic_alone() -> Value {
    mapping("A topic.", &["topic"], vec![("topic", name("Its name.", TOPIC_BYTES_MAX))])
}

fn table() -> Value {
    let mut key = texts("Columns that tell rows apart.");
    key["minItems"] = json!(1);
    mapping(
        "A table of a SQLite file.",
        &["file", "table"],
        vec![
            ("file", text("The database file.")),
            ("table", text("The table.")),
            ("key", key),
            ("create_table", truth("Whether a missing table is created.")),
        ],
    )
}

fn topic_settings() -> Value {
    let config = json!({ "type": "object", "additionalProperties": text("Kafka's value."),
        "description": "Topic configs under Kafka's names." });
    mapping(
        "Settings of one topic.",
        &[],
        vec![
            ("partitions", whole("Partitions when it is made.", PARTITIONS_MAX)),
            ("retention", duration("How long it keeps its records.")),
            ("config", config),
        ],
    )
}

fn test() -> Value {
    let state = json!({ "type": "object", "additionalProperties": { "type": "object" },
        "description": "What tasks remember of a key before windows close." });
    let mut test = mapping(
        "A case for `millstream pipeline test`.",
        &["name", "input"],
        vec![
            ("name", text("What it shows.")),
            ("at", text("The task whose output is compared; all sinks without it.")),
            ("input", list("step", "Records, and `advance: 10s` between them.")),
            ("expect", list("record", "What comes out, in order.")),
            ("state", state),
            ("errors", list("error", "The records that fail, in order.")),
        ],
    );
    test["if"] = json!({ "anyOf": [{ "required": ["state"] }, { "required": ["errors"] }] });
    test["else"] = json!({ "required": ["expect"] });
    test
}

fn list(one: &str, about: &str) -> Value {
    json!({ "type": "array", "items": refer(one), "description": about })
}

fn record_fields() -> Vec<(&'static str, Value)> {
    let value = json!({ "description": "The document; what `expect` does not name may be there." });
    vec![
        ("topic", name("Its topic; the first source without it.", TOPIC_BYTES_MAX)),
        ("key", text("Its key.")),
        ("value", value),
        ("timestamp", text("A time of RFC 3339, or milliseconds since 1970.")),
    ]
}

/// A record, or nothing but time that passes.
fn step() -> Value {
    let mut fields = record_fields();
    let nothing: Map<String, Value> =
        fields.iter().map(|(name, _)| ((*name).to_owned(), json!(false))).collect();
    fields.push(("advance", duration("How far time goes on in every source.")));
    let mut step = mapping("A record, or `advance: 10s`.", &[], fields);
    step["dependencies"] = json!({ "advance": { "properties": nothing } });
    step
}

fn error() -> Value {
    mapping(
        "A record that fails; what is not named does not matter.",
        &[],
        vec![
            ("task", text("The task that cannot work on it.")),
            ("key", text("Its key.")),
            ("value", json!({ "description": "Its document, or a part of it." })),
            ("on_error", words("What becomes of it.", &ON_ERROR_WORDS)),
            ("reason", text("A part of the reason.")),
        ],
    )
}

fn refer(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

/// A mapping that has these fields, under their other names too, and no others.
fn mapping(about: &str, required: &[&str], fields: Vec<(&str, Value)>) -> Value {
    let mut properties = Map::new();
    for (field, value) in fields {
        for (written, _) in ALIASES.iter().filter(|(_, meant)| *meant == field) {
            properties.insert((*written).to_owned(), value.clone());
        }
        properties.insert(field.to_owned(), value);
    }
    let mut mapping = json!({ "type": "object", "properties": properties });
    if !about.is_empty() {
        mapping["description"] = json!(about);
    }
    if !required.is_empty() {
        mapping["required"] = json!(required);
    }
    mapping["additionalProperties"] = json!(false);
    mapping
}

/// A mapping, or else something without fields.
fn mapping_or(mapping: Value, otherwise: Value) -> Value {
    json!({ "if": { "type": "object" }, "then": mapping, "else": otherwise })
}

/// A mapping whose names are free.
fn by_name(about: &str, bytes_max: usize, one: Value) -> Value {
    let names = json!({ "pattern": format!("^{}$", name_pattern(bytes_max)) });
    json!({ "type": "object", "description": about, "propertyNames": names,
        "additionalProperties": one })
}

fn name_pattern(bytes_max: usize) -> String {
    format!("[A-Za-z0-9._-]{{1,{bytes_max}}}")
}

/// The part of a pattern for values that come from the environment.
const VARIABLE: &str = "\\$\\{";

/// Any text; YAML takes some texts for numbers or truth values.
fn text(about: &str) -> Value {
    json!({ "type": ["string", "number", "boolean"], "description": about })
}

fn texts(about: &str) -> Value {
    json!({ "type": ["string", "number", "boolean", "array"], "description": about,
        "items": { "type": ["string", "number", "boolean"] } })
}

fn name(about: &str, bytes_max: usize) -> Value {
    let pattern = format!("{VARIABLE}|^{}$", name_pattern(bytes_max));
    json!({ "type": ["string", "number", "boolean"], "pattern": pattern, "description": about })
}

fn truth(about: &str) -> Value {
    json!({ "type": "boolean", "description": about })
}

/// One of a few words of a table.
fn words<T>(about: &str, table: &[(&str, T)]) -> Value {
    let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
    one_of(about, &words)
}

/// One of a few words, or a variable. Editors offer the examples.
fn one_of(about: &str, words: &[&str]) -> Value {
    json!({ "description": about, "examples": words,
        "if": { "type": "string", "pattern": VARIABLE }, "else": { "enum": words } })
}

/// A whole number from 1 on, also as a text with `_` between its digits.
fn whole(about: &str, most: u64) -> Value {
    whole_from(1, about, most)
}

fn whole_from(least: u64, about: &str, most: u64) -> Value {
    let text = json!({ "type": "string", "pattern": format!("{VARIABLE}|^[0-9_]+$") });
    json!({ "description": about, "if": text,
        "else": { "type": "integer", "minimum": least, "maximum": most } })
}

fn number(about: &str) -> Value {
    let text = json!({ "type": "string", "pattern": format!("{VARIABLE}|^-?[0-9]") });
    json!({ "description": about, "if": text, "else": { "type": "number" } })
}

fn duration(about: &str) -> Value {
    let pattern = format!("{VARIABLE}|^ *([0-9]+(\\.[0-9]+)?(ms|s|m|h|d) *)+$");
    json!({ "type": "string", "pattern": pattern, "examples": ["250ms", "10s", "1h30m"],
        "description": format!("{about} With its unit: 250ms, 10s, 1h30m, 7d.") })
}

fn size(about: &str) -> Value {
    let pattern = format!("{VARIABLE}|^ *[0-9]+(\\.[0-9]+)? *([KMGT]i?)?B *$");
    json!({ "type": "string", "pattern": pattern, "examples": ["256MiB", "2GiB"],
        "description": format!("{about} With its unit: 256MiB, 2GiB.") })
}

/// A duration that may be 0, which needs no unit.
fn duration_or_none(about: &str) -> Value {
    json!({ "if": { "const": 0 }, "else": duration(about) })
}
