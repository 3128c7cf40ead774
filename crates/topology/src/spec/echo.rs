//! A spec written out as it was understood: in the names that fields have today, with every
//! setting that the file left out, and with the values of its variables.

use super::edges::{EDGES_WORDS, FORMAT_WORDS, START_WORDS};
use super::full::{DELIVERY_WORDS, SPILL_WORDS};
use super::upgrade::{Detail, quoted, scalar, task};
use super::{
    Form, Format, IngestKind, LetterOrder, Sink, Source, Spec, TestCase, TestError, TestRecord,
    TestState, TestStep, duration_text, size_text, timestamp_text,
};
use crate::json::write_text;

/// The text of a file of the same form that means the same.
#[must_use]
pub fn echo(spec: &Spec) -> String {
    let mut out = String::new();
    match spec.form {
        Form::Legacy => legacy(spec, &mut out),
        Form::Full => full(spec, &mut out),
    }
    out
}

/// A configuration with the list inside.
fn legacy(spec: &Spec, out: &mut String) {
    line(out, "name", &scalar(&spec.name.value));
    if let Some(brokers) = &spec.brokers {
        line(out, "broker", &scalar(&brokers.value));
    }
    line(out, "task_managers", &spec.runtime.task_managers.to_string());
    line(out, "parallelism", &spec.runtime.parallelism.to_string());
    line(out, "partitions", &spec.partitions.to_string());
    line(out, "commit_interval", &duration_text(spec.runtime.commit_interval_ms));
    line(out, "edges", word(&EDGES_WORDS, spec.edges));
    for source in spec.sources.iter().take(1) {
        line(out, "source_topic", &scalar(&source.topic.value));
    }
    for topic in spec.sinks.iter().take(1).filter_map(|sink| sink.topic.as_ref()) {
        line(out, "sink_topic", &scalar(&topic.value));
    }
    out.push_str("pipeline:\n");
    for written in &spec.tasks {
        task(written, Detail::All, out);
    }
}

fn full(spec: &Spec, out: &mut String) {
    out.push_str("version: 1\n");
    line(out, "name", &scalar(&spec.name.value));
    let brokers = spec.brokers.as_ref().map_or("embedded", |brokers| brokers.value.as_str());
    let mut cluster = vec![format!("brokers: {}", quoted(brokers))];
    let properties: Vec<(String, String)> =
        spec.properties.iter().map(|(name, value)| (key(name), quoted(value))).collect();
    if !properties.is_empty() {
        cluster.push(format!("properties: {}", flow(&properties)));
    }
    line(out, "cluster", &braces(&cluster));
    let runtime = &spec.runtime;
    let state = [
        format!("memory_limit: {}", size_text(runtime.state.memory_limit_bytes)),
        format!("spill: {}", word(&SPILL_WORDS, runtime.state.spill)),
        format!("snapshot_interval: {}", duration_text(runtime.state.snapshot_interval_ms)),
        format!("standby: {}", runtime.state.standby),
    ];
    let settings = [
        format!("task_managers: {}", runtime.task_managers),
        format!("parallelism: {}", runtime.parallelism),
        format!("commit_interval: {}", duration_text(runtime.commit_interval_ms)),
        format!("delivery: {}", word(&DELIVERY_WORDS, runtime.delivery)),
        format!("state: {}", braces(&state)),
    ];
    line(out, "runtime", &braces(&settings));
    line(out, "edges", word(&EDGES_WORDS, spec.edges));
    line(out, "partitions", &spec.partitions.to_string());
    ends(spec, out);
    if spec.dead_letter.is_some() || spec.letters != LetterOrder::default() {
        let topic = spec.dead_letter.as_ref();
        let mut fields: Vec<String> =
            topic.map(|topic| format!("topic: {}", scalar(&topic.value))).into_iter().collect();
        fields.push(format!("order: {}", spec.letters.word()));
        line(out, "dead_letter", &braces(&fields));
    }
    topics(spec, out);
    out.push_str("tasks:\n");
    for written in &spec.tasks {
        task(written, Detail::All, out);
    }
    if !spec.tests.is_empty() {
        out.push_str("tests:\n");
    }
    for case in &spec.tests {
        test(case, out);
    }
}

/// Gateways, sources and sinks.
fn ends(spec: &Spec, out: &mut String) {
    if !spec.ingest.is_empty() {
        out.push_str("ingest:\n");
    }
    for gateway in &spec.ingest {
        let IngestKind::Host { every_ms } = gateway.kind;
        let mut fields =
            vec!["type: host".to_owned(), format!("every: {}", duration_text(every_ms))];
        fields.push(format!("topic: {}", scalar(&gateway.topic.value)));
        fields.extend(gateway.retention_ms.map(|ms| format!("retention: {}", duration_text(ms))));
        out.push_str(&format!("  {}: {}\n", scalar(&gateway.name.value), braces(&fields)));
    }
    match spec.sources.as_slice() {
        [only] if only.name.value == "source" => line(out, "source", &braces(&source(only))),
        several => {
            out.push_str("sources:\n");
            for one in several {
                let fields = braces(&source(one));
                out.push_str(&format!("  {}: {fields}\n", scalar(&one.name.value)));
            }
        }
    }
    match spec.sinks.as_slice() {
        [only] if only.name.value == "sink" => {
            out.push_str("sink:\n");
            sink(only, "  ", out);
        }
        several => {
            out.push_str("sinks:\n");
            for one in several {
                out.push_str(&format!("  {}:\n", scalar(&one.name.value)));
                sink(one, "    ", out);
            }
        }
    }
}

fn source(source: &Source) -> Vec<String> {
    let mut fields = vec![format!("topic: {}", scalar(&source.topic.value))];
    fields.extend(source.group.as_ref().map(|group| format!("group: {}", scalar(&group.value))));
    fields.push(format!("start: {}", word(&START_WORDS, source.start)));
    fields.push(match source.format {
        Format::Json { validate: true } => "format: { json: { validate: true } }".to_owned(),
        usual => format!("format: {}", word(&FORMAT_WORDS, usual)),
    });
    let time = source.event_time.as_ref();
    fields.extend(time.map(|time| format!("event_time: {}", quoted(time.text()))));
    fields.push(format!("max_out_of_order: {}", duration_text(source.max_out_of_order_ms)));
    fields.push(format!("idle: {}", duration_text(source.idle_ms)));
    fields
}

fn sink(sink: &Sink, indent: &str, out: &mut String) {
    if let Some(topic) = &sink.topic {
        out.push_str(&format!("{indent}kafka: {{ topic: {} }}\n", scalar(&topic.value)));
    }
    if !sink.tables.is_empty() {
        out.push_str(&format!("{indent}sqlite:\n"));
    }
    for table in &sink.tables {
        let mut fields = vec![
            format!("file: {}", quoted(&table.file.value)),
            format!("table: {}", quoted(&table.table.value)),
        ];
        if let Some(columns) = &table.key {
            let columns: Vec<String> = columns.iter().map(|it| quoted(&it.value)).collect();
            fields.push(format!("key: [{}]", columns.join(", ")));
        }
        fields.push(format!("create_table: {}", table.create_table));
        out.push_str(&format!("{indent}  - {}\n", braces(&fields)));
    }
}

fn topics(spec: &Spec, out: &mut String) {
    if !spec.topics.is_empty() {
        out.push_str("topics:\n");
    }
    for (name, settings) in &spec.topics {
        let mut fields = Vec::new();
        fields.extend(settings.partitions.map(|count| format!("partitions: {count}")));
        fields.extend(settings.retention_ms.map(|ms| format!("retention: {}", duration_text(ms))));
        if !settings.config.is_empty() {
            let config: Vec<(String, String)> =
                settings.config.iter().map(|(name, value)| (key(name), quoted(value))).collect();
            fields.push(format!("config: {}", flow(&config)));
        }
        out.push_str(&format!("  {}: {}\n", scalar(name), braces(&fields)));
    }
}

fn test(case: &TestCase, out: &mut String) {
    out.push_str(&format!("  - name: {}\n", quoted(&case.name.value)));
    if let Some(at) = &case.at {
        out.push_str(&format!("    at: {}\n", scalar(&at.value)));
    }
    let steps = case.input.iter().map(|step| match step {
        TestStep::Record(it) => record(it),
        TestStep::Advance(ms) => format!("{{ advance: {} }}", duration_text(*ms)),
    });
    items("input", steps, out);
    if let Some(expected) = &case.expect {
        items("expect", expected.iter().map(record), out);
    }
    if !case.state.is_empty() {
        out.push_str("    state:\n");
    }
    for TestState { task, keys } in &case.state {
        let known = keys.iter().map(|it| (key(&it.key.value), documents(&it.documents)));
        let known: Vec<(String, String)> = known.collect();
        out.push_str(&format!("      {}: {}\n", scalar(&task.value), flow(&known)));
    }
    if let Some(errors) = &case.errors {
        items("errors", errors.iter().map(error), out);
    }
}

fn record(record: &TestRecord) -> String {
    let mut fields = Vec::new();
    fields.extend(record.topic.as_ref().map(|topic| format!("topic: {}", scalar(&topic.value))));
    fields.extend(record.key.as_ref().map(|key| format!("key: {}", quoted(key))));
    fields.extend(record.value.as_ref().map(|value| format!("value: {value}")));
    let time = record.timestamp_ms.map(timestamp_text);
    fields.extend(time.map(|time| format!("timestamp: {}", quoted(&time))));
    braces(&fields)
}

fn error(error: &TestError) -> String {
    let mut fields = Vec::new();
    fields.extend(error.task.as_ref().map(|task| format!("task: {}", scalar(&task.value))));
    fields.extend(error.key.as_ref().map(|key| format!("key: {}", quoted(key))));
    fields.extend(error.value.as_ref().map(|value| format!("value: {value}")));
    fields.extend(error.on_error.map(|word| format!("on_error: {}", word.word())));
    fields.extend(error.reason.as_ref().map(|reason| format!("reason: {}", quoted(reason))));
    braces(&fields)
}

/// One document by itself; several in a list, and so is one that is a list.
fn documents(documents: &[String]) -> String {
    match documents {
        [] => "null".to_owned(),
        [one] if !one.starts_with('[') => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn items(name: &str, items: impl Iterator<Item = String>, out: &mut String) {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        out.push_str(&format!("    {name}: []\n"));
        return;
    }
    out.push_str(&format!("    {name}:\n"));
    for item in items {
        out.push_str(&format!("      - {item}\n"));
    }
}

fn line(out: &mut String, name: &str, value: &str) {
    out.push_str(&format!("{name}: {value}\n"));
}

fn braces(fields: &[String]) -> String {
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
}

fn flow(entries: &[(String, String)]) -> String {
    let fields: Vec<String> =
        entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    braces(&fields)
}

/// The name of an entry; in names nothing is a variable.
fn key(text: &str) -> String {
    let mut out = String::new();
    write_text(&mut out, text);
    out
}

/// The word of a table.
fn word<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, it)| *it == value).map_or("", |(word, _)| *word)
}
